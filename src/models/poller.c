#include "models/poller.h"

#include "base/log.h"
#include "base/mem.h"
#include "models/repository_names.h"
#include "models/settle.h"
#include "models/source.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/path_watch.h"
#include "os/watch.h"

#include <stdio.h>

enum { LIST_BYTES = 64 << 20 };

struct poller {
    poller_opts opts;
    settle settle;
    loop_fd inside;       /* the folder, models, versions; fd WATCH_NONE = inotify was refused */
    loop_fd path;         /* to the folder */
    path_watch *way;      /* of `path`; NULL = refused */
    loop_timer timer;
    compute_job look;
    loop_msg looked;
    uint64_t later_us;    /* it is looked then, though nothing is heard; UINT64_MAX = it is being looked */
    bool looking, stopped;
    bool whole;           /* the look is one at all models, */
    bool asks;            /* or whether the folder is another one; neither: it only closes what is old */
    _Atomic bool refused; /* a folder is not watched; also before any is */
    bool said;
    err why;              /* it is refused */
    /* the look's, while there is one */
    file_id at;           /* the folder as it was found; of another kind = it was not */
    file_id taken;        /* whose models were looked at last; of another kind = of none */
    uint8_t odd[SHA256_BYTES];   /* of names in it that no model can have, as they were said last */
    bool lost;            /* it is not there or cannot be read, which has been said */
    int added;            /* what is inside is watched by this */
    int next_inside, old_inside;
    path_watch *next_way, *old_way;   /* made by a look for the loop; given back by the loop, to be closed by a look */
};

static poller *of_timer(loop_timer *t) { return (poller *)(void *)((char *)t - offsetof(poller, timer)); }
static bool is_blind(const poller *p) { return atomic_load(&p->refused); }

static void refuse(poller *p, const err *why)
{
    if (!atomic_exchange(&p->refused, true)) p->why = *why;
}

/* The next look: when what is known calls for one, and whether the folder is another one now and then; at once where
 * there is something to close. */
static void arm(poller *p)
{
    err e;
    if (p->looking || p->stopped) return;   /* and what is the look's is not to be read */
    uint64_t due_us = settle_due(&p->settle);
    if (due_us > p->later_us) due_us = p->later_us;
    if (p->old_way || p->old_inside != WATCH_NONE) due_us = loop_now_us(p->opts.on);
    if (loop_timer_set(p->opts.on, &p->timer, due_us, &e)) log_write(LOG_ERROR, NULL, "model repository: %s", e.text);
}

static void hear(poller *p)
{
    settle_hear(&p->settle, loop_now_us(p->opts.on));
    arm(p);
}

static void on_inside(loop_fd *f, uint32_t events)
{
    (void)events;
    if (watch_drain(f->fd)) hear((poller *)(void *)((char *)f - offsetof(poller, inside)));
}

static void on_path(loop_fd *f, uint32_t events)
{
    (void)events;
    poller *p = (poller *)(void *)((char *)f - offsetof(poller, path));
    if (path_watch_heard(p->way)) hear(p);
}

/* From now on f is heard by fd; false = it is not heard at all. */
static bool listen_to(poller *p, loop_fd *f, int fd, err *e)
{
    if (f->on) loop_fd_del(f);
    f->fd = fd;
    if (loop_fd_add(p->opts.on, f, LOOP_READ, e) == ERR_OK) return true;
    log_write(LOG_WARN, NULL, "%s: %s", p->opts.folder.p, e->text);
    f->fd = WATCH_NONE;
    return false;
}

/* What the look has made. */
static void take_next(poller *p)
{
    err e;
    if (p->next_inside != WATCH_NONE) {
        int old = p->inside.fd, next = p->next_inside;
        bool heard = listen_to(p, &p->inside, next, &e);
        p->next_inside = heard ? WATCH_NONE : next;
        p->old_inside = old;
        if (!heard) refuse(p, &e);   /* and the next look has it once more */
    }
    if (p->next_way) {
        p->old_way = p->way;
        p->way = TAKE(p->next_way);
        if (listen_to(p, &p->path, path_watch_fd(p->way), &e)) return;
        p->next_way = TAKE(p->way);
    }
}

static void looked(loop *on, loop_msg *m)
{
    poller *p = (poller *)(void *)((char *)m - offsetof(poller, looked));
    p->looking = false;
    if (p->whole || p->later_us == UINT64_MAX) p->later_us = loop_now_us(on) + p->opts.poll_us;
    if (!p->stopped) take_next(p);
    if (is_blind(p) && !p->said) {
        p->said = true;
        log_write(LOG_WARN, NULL, "model repository: %s: it is looked every %llu ms instead", p->why.text,
                  (unsigned long long)(p->opts.poll_us / 1000));
    }
    arm(p);
}

static void on_time(loop_timer *t)
{
    poller *p = of_timer(t);
    err e;
    uint64_t now_us = loop_now_us(p->opts.on);
    p->whole = settle_due(&p->settle) <= now_us || (is_blind(p) && p->later_us <= now_us);
    p->asks = p->later_us <= now_us;
    if (p->whole) settle_look(&p->settle);
    if (p->later_us <= now_us) p->later_us = UINT64_MAX;
    p->looking = true;
    if (model_control_submit(p->opts.control, &p->look, &e) == ERR_OK) return;
    p->looking = false;
    settle_hear(&p->settle, loop_now_us(p->opts.on));   /* later */
    arm(p);
}

/* ---- the look, on a reader's thread ---- */

static void watch_folder(poller *p, const char *path)
{
    err e;
    bool failed = p->added != WATCH_NONE && watch_add(p->added, path, &e);
    if (failed && e.code != ERR_NOT_FOUND) refuse(p, &e);
}

static bool is_folder(const file_entry *f) { return f->kind == FILE_FOLDER && f->name[0] != '.'; }

static void watch_inner(void *ctx, const char *path) { watch_folder(ctx, path); }

/* Its folders are watched before they are looked at, so that nothing falls between the two; those that Kubernetes hides
 * are what its links point to. */
static void look_at(poller *p, const char *name)
{
    char path[FILE_PATH_MAX];
    arena a;
    err e;
    const source_visit visit = {.enter = watch_inner, .ctx = p};
    int n = snprintf(path, sizeof path, "%s/%s", p->opts.folder.p, name);
    if (n < 0 || (size_t)n >= sizeof path) return;
    arena_init(&a, NULL, 0, LIST_BYTES);
    err_code rc = source_folders(&a, path, &visit, &e);
    arena_fini(&a);
    if (rc == ERR_NOT_FOUND) return;   /* it has gone meanwhile */
    if (model_control_refresh(p->opts.control, &(model_wish){.name = str_of(name), .granted = true}, &e))
        return;   /* log, index and metric have said so */
}

static file_id find(const poller *p)
{
    file_id now;
    err e;
    return file_identify(p->opts.folder.p, &now, &e) == ERR_OK ? now : (file_id){.kind = FILE_OTHER};
}

static bool is_one(const file_id *a, const file_id *b)
{
    if (a->kind != FILE_FOLDER || b->kind != FILE_FOLDER) return a->kind != FILE_FOLDER && b->kind != FILE_FOLDER;
    return a->device == b->device && a->inode == b->inode;
}

/* The path leads where it did when the look began: what is not there is gone, and not elsewhere. */
static bool is_same(const poller *p)
{
    const file_id now = find(p);
    return is_one(&now, &p->at);
}

/* Models of the folder that are served, and not there any more. */
static void look_for_gone(poller *p, arena *a)
{
    model_control_names names;
    char path[FILE_PATH_MAX];
    file_id id;
    err e;
    if (model_control_served(p->opts.control, a, p->opts.folder, &names, &e)) return;
    for (size_t i = 0; i < names.count; i++) {
        int n = snprintf(path, sizeof path, "%s/%.*s", p->opts.folder.p, (int)names.all[i].len, names.all[i].p);
        if (n < 0 || (size_t)n >= sizeof path) continue;
        err_code rc = file_identify(path, &id, &e);
        if (rc != ERR_NOT_FOUND && (rc || id.kind == FILE_FOLDER)) continue;
        if (!is_same(p)) return;
        const model_wish w = {.name = names.all[i], .granted = true};
        if (model_control_unload(p->opts.control, &w, &e))
            log_write(LOG_WARN, NULL, "model '" STR_FMT "' is not unloaded: %s", STR_ARG(w.name), e.text);
    }
}

/* What is heard from now on: the path first of all, so that no switch falls between that and the look.  Where the
 * folder is another one, what is inside is watched by another descriptor: watches of the one before would stay as long
 * as it. */
static void listen_anew(poller *p)
{
    err e;
    path_watch *way = NULL;
    if (path_watch_new(&way, p->opts.folder.p, &e) == ERR_OK) {
        path_watch_free(p->next_way);
        p->next_way = way;
    }
    const file_id before = p->at;
    p->at = find(p);
    atomic_store(&p->refused, false);
    if (is_one(&p->at, &before) && p->added != WATCH_NONE) return;
    watch_close(p->next_inside);
    p->next_inside = p->added = WATCH_NONE;
    if (watch_open(&p->next_inside, &e)) refuse(p, &e);
    p->added = p->next_inside;
}

/* One line when it is lost, one when it is there again or another one. */
static void found_say(poller *p, bool lost, const err *why)
{
    bool first = p->taken.kind != FILE_FOLDER, same = first || is_one(&p->taken, &p->at);
    if (lost && !p->lost) log_write(LOG_WARN, NULL, "model repository: %s: what serves goes on", why->text);
    if (!lost && (p->lost || !same))
        log_write(LOG_INFO, NULL, "%s is %s: its models are taken up", p->opts.folder.p,
                  same ? "there again" : "another folder");
    p->lost = lost;
    if (!lost) p->taken = p->at;
}

/* One line for each name that no model can have, where they are others than before. */
static void odd_names_say(poller *p, const file_entry *all, size_t count)
{
    uint8_t now[SHA256_BYTES];
    buf names;
    err e;
    buf_init(&names, LIST_BYTES);
    for (size_t i = 0; i < count; i++)
        if (is_folder(&all[i]) && repository_name_check(str_of(all[i].name), &e))
            buf_put(&names, all[i].name, strlen(all[i].name) + 1);
    sha256(buf_str(&names), now);
    bool same = memcmp(p->odd, now, sizeof now) == 0;
    memcpy(p->odd, now, sizeof now);
    for (size_t i = 0; i < count && !same; i++)
        if (is_folder(&all[i]) && repository_name_check(str_of(all[i].name), &e))
            log_write(LOG_WARN, NULL, "%s/%s: passed over: %s", p->opts.folder.p, all[i].name, e.text);
    buf_fini(&names);
}

static void look_inside(poller *p)
{
    arena a;
    file_entry *all;
    size_t count;
    err e;
    arena_init(&a, NULL, 0, LIST_BYTES);
    watch_folder(p, p->opts.folder.p);   /* before it is looked at */
    bool lost = file_list(&a, p->opts.folder.p, &all, &count, &e) != ERR_OK;
    if (lost) atomic_store(&p->refused, false);   /* it is looked now and then in any case, until it is found */
    found_say(p, lost, &e);
    if (!lost) odd_names_say(p, all, count);
    for (size_t i = 0; !lost && i < count && is_same(p); i++)
        if (is_folder(&all[i]) && repository_name_check(str_of(all[i].name), &e) == ERR_OK) look_at(p, all[i].name);
    if (!lost && is_same(p)) look_for_gone(p, &a);   /* last: what builds on them has been loaded anew */
    arena_fini(&a);
}

static void look(compute_job *j)
{
    poller *p = (poller *)(void *)((char *)j - offsetof(poller, look));
    watch_close(p->old_inside);
    p->old_inside = WATCH_NONE;
    path_watch_free(TAKE(p->old_way));
    if (p->whole || (p->asks && (p->lost || !is_same(p)))) {
        listen_anew(p);
        look_inside(p);
    }
    loop_post(p->opts.on, &p->looked);
}

/* ---- life ---- */

err_code poller_new(poller **ret, const poller_opts *opts, err *e)
{
    CLEANUP(poller) poller *p = mem_new0(poller, 1);
    if (!p) return err_set(e, ERR_NOMEM, "model repository: no memory to watch it");
    p->opts = *opts;
    p->settle = (settle){.quiet_us = POLLER_QUIET_US, .most_us = POLLER_MOST_US};
    p->inside = (loop_fd){.fd = WATCH_NONE, .ready = on_inside};
    p->path = (loop_fd){.fd = WATCH_NONE, .ready = on_path};
    p->at.kind = p->taken.kind = FILE_OTHER;
    p->added = p->next_inside = p->old_inside = WATCH_NONE;
    p->timer.fire = on_time;
    p->look.run = look;
    p->looked.run = looked;
    atomic_store(&p->refused, true);
    err_code rc = loop_timer_set(opts->on, &p->timer, loop_now_us(opts->on), e);
    if (rc == ERR_OK) *ret = TAKE(p);
    return rc;
}

void poller_stop(poller *p)
{
    if (!p || p->stopped) return;
    p->stopped = true;
    loop_timer_cancel(p->opts.on, &p->timer);
    if (p->inside.on) loop_fd_del(&p->inside);
    if (p->path.on) loop_fd_del(&p->path);
}

void poller_free(poller *p)
{
    if (!p) return;
    poller_stop(p);
    watch_close(p->inside.fd);
    watch_close(p->next_inside);
    watch_close(p->old_inside);
    path_watch_free(p->way);
    path_watch_free(p->next_way);
    path_watch_free(p->old_way);
    mem_free(p);
}
