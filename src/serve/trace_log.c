#include "serve/trace_log.h"

#include "base/log.h"
#include "base/mem.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/futex.h"
#include "os/thread.h"
#include "serve/trace_file.h"

#include <inttypes.h>
#include <stdio.h>

enum { PATH_ROOM = FILE_PATH_MAX + 32 };   /* with what is put behind it */

/* A numbered file that fills. */
typedef struct {
    bool open;
    trace_settings of;
    uint32_t changes;               /* of them, when it began */
    uint64_t begun;                 /* which of all parts that ever began it is */
    char path[PATH_ROOM];
    trace_file file;
} part;

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): what every loop writes has a cache line of its own */
struct trace_log {
    trace_log_opts opts;
    thread thread;
    bool started;
    /* the thread's own */
    bool failing, full;
    uint64_t next, begun, bytes;    /* number of a file; parts that ever began; written */
    bool open;
    trace_file file;
    part *parts;                    /* TRACE_LOG_PARTS_MAX */
    _Alignas(64) mailbox in;
    _Alignas(64) quota memory;
    _Atomic uint64_t ids, written, dropped, failed;
    _Atomic uint32_t events, ended;
    _Atomic bool asleep, stopping, left, reaches;   /* reaches: for a setting */
};

static void wake(trace_log *l)
{
    atomic_fetch_add(&l->events, 1);
    if (atomic_exchange(&l->asleep, false)) futex_wake(&l->events, 1);
}

/* ---- on a loop ---- */

trace_entry *trace_log_begin(trace_log *l, trace_setting *of)
{
    const trace_settings s = {.own = of, .server = l->opts.server, .defaults = l->opts.defaults};
    trace_sample sample;
    if (!trace_setting_sample(&s, &sample)) {
        if (sample.by) wake(l);
        return NULL;
    }
    trace_entry *t = trace_entry_new(&l->memory);
    if (!t) {
        atomic_fetch_add_explicit(&l->dropped, 1, memory_order_relaxed);
        atomic_fetch_sub(&sample.by->open, 1);
        wake(l);
        return NULL;
    }
    t->sample = sample;
    t->settings = sample.by == of ? s : (trace_settings){.own = l->opts.server, .defaults = l->opts.defaults};
    t->id = atomic_fetch_add_explicit(&l->ids, 1, memory_order_relaxed) + 1;
    return t;
}

void trace_log_end(trace_log *l, trace_entry *t)
{
    t->at_ns[TRACE_AT_SEND_END] = clock_now_ns();
    mailbox_put(&l->in, &t->link);
    wake(l);
}

void trace_log_changed(trace_log *l)
{
    if (l) wake(l);
}

/* ---- on the thread: settings ---- */

/* Around each access: false = the thread was left behind, and they may be gone. */
static bool reach(trace_log *l)
{
    atomic_store(&l->reaches, true);
    if (!atomic_load(&l->left)) return true;
    atomic_store(&l->reaches, false);
    return false;
}

static void reached(trace_log *l) { atomic_store(&l->reaches, false); }

/* This one is done with. */
static void let_go(trace_log *l, trace_setting *by)
{
    if (!reach(l)) return;
    atomic_fetch_sub(&by->open, 1);
    reached(l);
}

/* ---- on the thread: files ---- */

/* One line when it begins to fail, one when it works again. */
static void tell(trace_log *l, const char *text)
{
    if (text && !l->failing) log_write(LOG_ERROR, NULL, "traces: %s; traces are lost", text);
    if (!text && l->failing) log_write(LOG_INFO, NULL, "traces: %s takes them again", l->opts.path);
    l->failing = text != NULL;
}

static void commit(trace_log *l, trace_file *f)
{
    err e;
    uint32_t fresh = f->fresh;
    uint64_t before = f->whole;
    if (!fresh) return;
    if (trace_file_commit(f, &e)) {
        atomic_fetch_add_explicit(&l->failed, fresh, memory_order_relaxed);
        tell(l, e.text);
        return;
    }
    atomic_fetch_add_explicit(&l->written, fresh, memory_order_relaxed);
    l->bytes += f->whole - before;
    tell(l, NULL);
}

static void part_end(trace_log *l, part *p)
{
    char path[PATH_ROOM];
    err e;
    commit(l, &p->file);
    snprintf(path, sizeof path, "%s.%" PRIu64, l->opts.path, l->next);
    if (!p->file.count) {   /* nothing could be written */
        trace_file_remove(&p->file);
    } else if (trace_file_move(&p->file, path, &e)) {
        tell(l, e.text);
    } else {
        l->next++;
    }
    trace_file_close(&p->file);
    p->open = false;
}

/* No more will come to it: full, or the last one is there. */
static bool part_over(trace_log *l, const part *p)
{
    if (!reach(l)) return false;
    bool waits = atomic_load(&p->of.own->open) != 0;
    bool over = !waits && (p->changes != trace_setting_changes(&p->of) || trace_setting_spent(&p->of));
    reached(l);
    return over;
}

static void parts_look(trace_log *l)
{
    for (size_t i = 0; i < TRACE_LOG_PARTS_MAX; i++) {
        part *p = &l->parts[i];
        if (!p->open) continue;
        commit(l, &p->file);
        if (part_over(l, p)) part_end(l, p);
    }
}

/* A free place, or that of the oldest. */
static part *part_place(trace_log *l)
{
    part *oldest = l->parts;
    for (size_t i = 0; i < TRACE_LOG_PARTS_MAX; i++) {
        part *p = &l->parts[i];
        if (!p->open) return p;
        if (p->begun < oldest->begun) oldest = p;
    }
    part_end(l, oldest);
    return oldest;
}

static part *part_of(trace_log *l, const trace_entry *t)
{
    for (size_t i = 0; i < TRACE_LOG_PARTS_MAX; i++) {
        part *p = &l->parts[i];
        if (!p->open || p->of.own != t->sample.by) continue;
        if (!p->file.fresh && trace_file_gone(&p->file)) {
            log_write(LOG_WARN, NULL, "traces: %s is gone: it begins anew", p->path);
            trace_file_close(&p->file);
            p->open = false;
        } else if (t->sample.changes <= p->changes) {   /* one that began before a change may end behind it */
            return p;
        } else {
            part_end(l, p);
        }
    }
    return NULL;
}

static part *part_open(trace_log *l, const trace_entry *t, err *e)
{
    part *p = part_of(l, t);
    if (p) return p;
    p = part_place(l);
    snprintf(p->path, sizeof p->path, "%s.part%zu", l->opts.path, (size_t)(p - l->parts));
    if (trace_file_open(&p->file, p->path, e)) return NULL;
    p->open = true;
    p->of = t->settings;
    p->changes = t->sample.changes;
    p->begun = l->begun++;
    return p;
}

static trace_file *file_open(trace_log *l, err *e)
{
    if (l->open && !l->file.fresh && trace_file_gone(&l->file)) {
        log_write(LOG_WARN, NULL, "traces: %s is gone: it begins anew", l->opts.path);
        trace_file_close(&l->file);
        l->open = false;
    }
    if (!l->open && trace_file_open(&l->file, l->opts.path, e)) return NULL;
    l->open = true;
    return &l->file;
}

/* ---- on the thread: entries ---- */

static uint64_t gathered(const trace_file *f) { return trace_file_bytes(f) - f->whole; }

/* What waits to be written counts, too: when the thread is late, that is many at once. */
static bool has_room(trace_log *l)
{
    uint64_t bytes = l->bytes + (l->open ? gathered(&l->file) : 0);
    for (size_t i = 0; l->opts.bytes_max && i < TRACE_LOG_PARTS_MAX; i++)
        if (l->parts[i].open) bytes += gathered(&l->parts[i].file);
    bool full = l->opts.bytes_max && bytes >= l->opts.bytes_max;
    if (full && !l->full)
        log_write(LOG_WARN, NULL, "traces: trace-bytes-max: %" PRIu64 " bytes are written, the rest is dropped",
                  bytes);
    l->full = full;
    return !full;
}

static void spill(void *ctx, buf *out)
{
    (void)out;
    trace_file_spill(ctx);
}

static void write_entry(trace_log *l, trace_entry *t)
{
    bool numbered = t->sample.frequency > 0 || t->sample.counted;
    err e;
    if (t->lost || !t->model.p || !has_room(l)) {
        atomic_fetch_add_explicit(&l->dropped, 1, memory_order_relaxed);
        return;
    }
    part *p = numbered ? part_open(l, t, &e) : NULL;
    trace_file *f = p ? &p->file : numbered ? NULL : file_open(l, &e);
    if (!f) {
        atomic_fetch_add_explicit(&l->failed, 1, memory_order_relaxed);
        tell(l, e.text);
        return;
    }
    if (t->steps) t->steps_id = atomic_fetch_add_explicit(&l->ids, t->steps->count, memory_order_relaxed) + 1;
    trace_entry_print(t, trace_file_value(f), spill, f);
    if (p && t->sample.frequency > 0 && f->count + f->fresh >= (uint64_t)t->sample.frequency) part_end(l, p);
    else if (f->fresh >= TRACE_LOG_BATCH) commit(l, f);
}

/* One turn: false when it was told to stop and nothing is left. */
static bool turn(trace_log *l)
{
    uint32_t seen = atomic_load(&l->events);
    bool stopping = atomic_load(&l->stopping);
    mail *m = mailbox_take(&l->in);
    bool work = m != NULL;
    while (m) {
        trace_entry *t = (trace_entry *)(void *)m;
        m = m->next;
        if (!atomic_load(&l->left)) {
            write_entry(l, t);
            let_go(l, t->sample.by);
        }
        trace_entry_free(t);
    }
    if (atomic_load(&l->left)) return false;
    if (l->open) commit(l, &l->file);
    parts_look(l);
    if (work) return true;
    if (stopping) return false;
    atomic_store(&l->asleep, true);
    (void)futex_wait(&l->events, seen, FUTEX_FOREVER);
    return true;
}

static void work(void *ctx)
{
    trace_log *l = ctx;
    while (turn(l)) {}
    for (size_t i = 0; i < TRACE_LOG_PARTS_MAX; i++)
        if (l->parts[i].open) part_end(l, &l->parts[i]);
    if (l->open) trace_file_close(&l->file);
    atomic_store(&l->ended, 1);
    futex_wake(&l->ended, 1);
}

/* ---- life ---- */

err_code trace_log_new(trace_log **ret, const trace_log_opts *opts, err *e)
{
    CLEANUP(trace_log) trace_log *l = mem_alloc_raw(sizeof *l);   /* aligned: see in */
    if (!l) return err_set(e, ERR_NOMEM, "traces: no memory");
    *l = (trace_log){.opts = *opts};
    mailbox_init(&l->in);
    quota_init(&l->memory, TRACE_LOG_MEMORY);
    if (str_of(opts->path).len >= FILE_PATH_MAX)
        return err_set(e, ERR_INVALID, "trace-file: expected a path of at most %d bytes, got %zu", FILE_PATH_MAX - 1,
                       str_of(opts->path).len);
    l->parts = mem_new0(part, TRACE_LOG_PARTS_MAX);
    if (!l->parts) return err_set(e, ERR_NOMEM, "traces: no memory for %d files", TRACE_LOG_PARTS_MAX);
    err_code rc = thread_start(&l->thread, "traces", work, l, e);
    if (rc) return rc;
    l->started = true;
    *ret = TAKE(l);
    return ERR_OK;
}

/* False = the disk hangs: then it is left behind with all it has, and touches no setting any more. */
static bool stop(trace_log *l)
{
    if (!l->started) return true;
    atomic_store(&l->stopping, true);
    wake(l);
    uint64_t until_us = clock_now_us() + TRACE_LOG_STOP_US;
    while (!atomic_load(&l->ended) && futex_wait(&l->ended, 0, until_us)) {}
    if (!atomic_load(&l->ended)) {
        atomic_store(&l->left, true);
        while (atomic_load(&l->reaches)) thread_pause();   /* a few instructions */
        thread_leave(&l->thread);
        log_write(LOG_WARN, NULL, "traces: %s takes nothing: left behind with what waits", l->opts.path);
        return false;
    }
    thread_join(&l->thread);
    return true;
}

void trace_log_free(trace_log *l)
{
    if (!l || !stop(l)) return;
    mem_free(l->parts);
    mem_free(l);
}

void trace_log_stats_read(const trace_log *l, trace_log_stats *ret)
{
    *ret = (trace_log_stats){.written = 0};
    if (!l) return;
    ret->written = atomic_load(&l->written);
    ret->dropped = atomic_load(&l->dropped);
    ret->failed = atomic_load(&l->failed);
}
