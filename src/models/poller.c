#include "models/poller.h"

#include "base/log.h"
#include "base/mem.h"
#include "models/settle.h"
#include "models/source.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/watch.h"

#include <stdio.h>

enum { LIST_BYTES = 64 << 20 };

struct poller {
    poller_opts opts;
    settle settle;
    loop_fd heard;        /* fd WATCH_NONE = inotify was refused: the timer alone */
    loop_timer timer;
    compute_job look;
    loop_msg looked;
    bool looking, attached, stopped;
    _Atomic bool refused; /* a folder is not watched */
    bool said;
};

static poller *of_timer(loop_timer *t) { return (poller *)(void *)((char *)t - offsetof(poller, timer)); }

/* The next look, when what is known calls for one. */
static void arm(poller *p)
{
    err e;
    uint64_t due_us = settle_due(&p->settle);
    bool blind = p->heard.fd == WATCH_NONE || atomic_load(&p->refused);
    if (blind && due_us == UINT64_MAX) due_us = loop_now_us(p->opts.on) + p->opts.poll_us;
    if (p->looking || p->stopped || due_us == UINT64_MAX) return;
    if (loop_timer_set(p->opts.on, &p->timer, due_us, &e)) log_write(LOG_ERROR, NULL, "model repository: %s", e.text);
}

static void on_heard(loop_fd *f, uint32_t events)
{
    (void)events;
    poller *p = (poller *)(void *)((char *)f - offsetof(poller, heard));
    if (!watch_drain(f->fd)) return;
    settle_hear(&p->settle, loop_now_us(p->opts.on));
    arm(p);
}

static void looked(loop *on, loop_msg *m)
{
    (void)on;
    poller *p = (poller *)(void *)((char *)m - offsetof(poller, looked));
    p->looking = false;
    if (atomic_load(&p->refused) && !p->said) {
        p->said = true;
        log_write(LOG_WARN, NULL, "%s: inotify refused: it is looked every %llu ms instead", p->opts.folder.p,
                  (unsigned long long)(p->opts.poll_us / 1000));
    }
    arm(p);
}

static void on_time(loop_timer *t)
{
    poller *p = of_timer(t);
    err e;
    settle_look(&p->settle);
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
    bool failed = p->heard.fd != WATCH_NONE && watch_add(p->heard.fd, path, &e);
    if (failed && e.code != ERR_NOT_FOUND) atomic_store(&p->refused, true);
}

/* The folders in one, watched; those that Kubernetes hides are what its links point to. */
static err_code folders(poller *p, arena *a, const char *path, file_entry **ret, size_t *ret_count, err *e)
{
    watch_folder(p, path);   /* before it is looked at, so that nothing falls between the two */
    return file_list(a, path, ret, ret_count, e);
}

static void look_at(poller *p, arena *a, const char *name)
{
    char path[FILE_PATH_MAX], inner[FILE_PATH_MAX];
    file_entry *all;
    size_t count;
    err e;
    int n = snprintf(path, sizeof path, "%s/%s", p->opts.folder.p, name);
    if (n < 0 || (size_t)n >= sizeof path || folders(p, a, path, &all, &count, &e)) return;
    for (size_t i = 0; i < count; i++) {
        uint64_t version;
        if (all[i].kind != FILE_FOLDER || !source_is_version(str_of(all[i].name), &version)) continue;
        n = snprintf(inner, sizeof inner, "%s/%s", path, all[i].name);
        if (n > 0 && (size_t)n < sizeof inner) watch_folder(p, inner);
    }
    if (model_control_refresh(p->opts.control, &(model_wish){.name = str_of(name), .granted = true}, &e))
        return;   /* log, index and metric have said so */
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
        const model_wish w = {.name = names.all[i], .granted = true};
        if (model_control_unload(p->opts.control, &w, &e))
            log_write(LOG_WARN, NULL, "model '" STR_FMT "' is not unloaded: %s", STR_ARG(w.name), e.text);
    }
}

static void look(compute_job *j)
{
    poller *p = (poller *)(void *)((char *)j - offsetof(poller, look));
    arena a;
    file_entry *all;
    size_t count;
    err e;
    arena_init(&a, NULL, 0, LIST_BYTES);
    if (folders(p, &a, p->opts.folder.p, &all, &count, &e)) {
        log_write(LOG_WARN, NULL, "model repository: %s", e.text);
        count = 0;   /* it is away for a moment: what serves goes on */
    } else {
        look_for_gone(p, &a);
    }
    for (size_t i = 0; i < count; i++)
        if (all[i].kind == FILE_FOLDER && all[i].name[0] != '.') look_at(p, &a, all[i].name);
    arena_fini(&a);
    loop_post(p->opts.on, &p->looked);
}

/* ---- life ---- */

err_code poller_new(poller **ret, const poller_opts *opts, err *e)
{
    err refused;
    CLEANUP(poller) poller *p = mem_new0(poller, 1);
    if (!p) return err_set(e, ERR_NOMEM, "model repository: no memory to watch it");
    p->opts = *opts;
    p->settle = (settle){.quiet_us = POLLER_QUIET_US, .most_us = POLLER_MOST_US};
    p->heard = (loop_fd){.fd = WATCH_NONE, .ready = on_heard};
    p->timer.fire = on_time;
    p->look.run = look;
    p->looked.run = looked;
    if (watch_open(&p->heard.fd, &refused) == ERR_OK) {
        err_code rc = loop_fd_add(opts->on, &p->heard, LOOP_READ, e);
        if (rc) return rc;
        p->attached = true;
    } else {
        atomic_store(&p->refused, true);
    }
    err_code rc = loop_timer_set(opts->on, &p->timer, loop_now_us(opts->on), e);
    if (rc == ERR_OK) *ret = TAKE(p);
    return rc;
}

void poller_stop(poller *p)
{
    if (!p || p->stopped) return;
    p->stopped = true;
    loop_timer_cancel(p->opts.on, &p->timer);
    if (p->attached) loop_fd_del(&p->heard);
    p->attached = false;
}

void poller_free(poller *p)
{
    if (!p) return;
    poller_stop(p);
    watch_close(p->heard.fd);
    mem_free(p);
}
