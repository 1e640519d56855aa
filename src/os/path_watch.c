#include "os/path_watch.h"

#include "base/arena.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/sys.h"
#include "os/watch.h"

#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

enum {
    NAMES_BYTES = PATH_WATCH_NAMES_MAX * 320,   /* each NAME_MAX, a NUL, and what the arena adds */
    EVENTS_BYTES = 4096
};

typedef struct {
    int folder;         /* inotify's number of it */
    const char *name;
} place;

struct path_watch {
    int fd;
    arena memory;       /* of the names */
    place all[PATH_WATCH_NAMES_MAX];
    size_t count;
};

/* A way along a path: what lies behind is free of links, so ".." means there what it says. */
typedef struct {
    char at[FILE_PATH_MAX], rest[FILE_PATH_MAX];
    int links;
} walk;

/* ERR_OK also where it cannot be watched. */
static err_code watch_name(path_watch *w, const char *folder, const char *name, err *e)
{
    int64_t id = SYS_RETRY(sys_watch_add(w->fd, folder, IN_CREATE | IN_DELETE | IN_MOVE | IN_ONLYDIR));
    if (id < 0) return ERR_OK;
    const char *text = arena_copy(&w->memory, name, strlen(name) + 1, 1);
    if (!text) return err_set(e, ERR_NOMEM, "no memory to watch a path");
    w->all[w->count++] = (place){(int)id, text};
    return ERR_OK;
}

/* Takes the first name off the rest; false = there is none. */
static bool name_next(walk *k, char ret[FILE_PATH_MAX])
{
    const char *from = k->rest + strspn(k->rest, "/");
    size_t len = strcspn(from, "/");
    memcpy(ret, from, len);
    ret[len] = '\0';
    memmove(k->rest, from + len, strlen(from + len) + 1);
    return len > 0;
}

static bool go_into(walk *k, const char *name)
{
    size_t len = strlen(k->at), more = strlen(name);
    if (len + 1 + more >= sizeof k->at) return false;
    k->at[len] = '/';
    memcpy(k->at + len + 1, name, more + 1);
    return true;
}

/* What the link leads to comes before what is left of the path. */
static bool follow(walk *k, const char *target)
{
    char whole[2 * FILE_PATH_MAX];
    int n = snprintf(whole, sizeof whole, "%s/%s", target, k->rest);
    if (k->links++ == PATH_WATCH_LINKS_MAX || n < 0 || (size_t)n >= sizeof k->rest) return false;
    memcpy(k->rest, whole, (size_t)n + 1);
    if (target[0] == '/') k->at[0] = '\0';
    return true;
}

/* *ret_on: there is more of the path.  Watched before it is looked at, so that nothing falls between the two. */
static err_code step(path_watch *w, walk *k, bool *ret_on, err *e)
{
    char name[FILE_PATH_MAX], path[FILE_PATH_MAX + 1], target[FILE_PATH_MAX];
    *ret_on = name_next(k, name);
    if (!*ret_on || strcmp(name, ".") == 0) return ERR_OK;
    if (strcmp(name, "..") == 0) {
        *ret_on = go_into(k, name);
        return ERR_OK;
    }
    err_code rc = watch_name(w, k->at[0] ? k->at : "/", name, e);
    if (rc) return rc;
    int n = snprintf(path, sizeof path, "%s/%s", k->at, name);
    *ret_on = n > 0 && (size_t)n < FILE_PATH_MAX && w->count < PATH_WATCH_NAMES_MAX;
    if (!*ret_on) return ERR_OK;
    int64_t len = sys_read_link(path, target, sizeof target);
    if (len == -EINVAL) {
        *ret_on = go_into(k, name);   /* no link */
    } else if (len > 0 && (size_t)len < sizeof target) {
        target[len] = '\0';
        *ret_on = follow(k, target);
    } else {
        *ret_on = false;
    }
    return ERR_OK;
}

err_code path_watch_new(path_watch **ret, const char *path, err *e)
{
    CLEANUP(path_watch) path_watch *w = mem_new0(path_watch, 1);
    if (!w) return err_set(e, ERR_NOMEM, "%s: no memory to watch it", path);
    w->fd = WATCH_NONE;
    arena_init(&w->memory, NULL, 0, NAMES_BYTES);
    walk k = {.at = "."};
    size_t len = strlen(path);
    if (len >= sizeof k.rest)
        return err_set(e, ERR_INVALID, "path: expected at most %zu bytes, got %zu", sizeof k.rest - 1, len);
    memcpy(k.rest, path, len + 1);
    if (path[0] == '/') k.at[0] = '\0';
    bool on = true;
    err_code rc = watch_open(&w->fd, e);
    while (rc == ERR_OK && on) rc = step(w, &k, &on, e);
    if (rc == ERR_OK) *ret = TAKE(w);
    return rc;
}

void path_watch_free(path_watch *w)
{
    if (!w) return;
    watch_close(w->fd);
    arena_fini(&w->memory);
    mem_free(w);
}

int path_watch_fd(const path_watch *w) { return w->fd; }
size_t path_watch_count(const path_watch *w) { return w->count; }

/* One without a name is about the folder itself, which has gone, or says that some were lost. */
static bool concerns(const path_watch *w, const struct inotify_event *v)
{
    if (v->len == 0) return true;
    for (size_t i = 0; i < w->count; i++)
        if (w->all[i].folder == v->wd && strcmp(w->all[i].name, v->name) == 0) return true;
    return false;
}

bool path_watch_heard(path_watch *w)
{
    _Alignas(struct inotify_event) char events[EVENTS_BYTES];
    bool heard = false;
    int64_t n;
    while ((n = SYS_RETRY(sys_read(w->fd, events, sizeof events))) > 0)
        for (size_t at = 0; at + sizeof(struct inotify_event) <= (size_t)n;) {
            const struct inotify_event *v = (const void *)(events + at);
            heard = heard || concerns(w, v);
            at += sizeof *v + v->len;
        }
    return heard;
}
