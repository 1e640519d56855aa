#include "jobs/jobs.h"

#include "base/log.h"
#include "base/mem.h"
#include "jobs/jobs_work.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/random.h"

#include <stdio.h>

enum { SAME_US = 100000 };   /* less far back, the clock stands; further, it was set */

void jobs_wake(jobs *j)
{
    atomic_fetch_add(&j->events, 1);
    if (atomic_exchange(&j->asleep, false)) futex_wake(&j->events, 1);
}

void jobs_send(jobs *j, job_mail *m)
{
    mailbox_put(&j->in, &m->link);
    jobs_wake(j);
}

/* ---- on a loop ---- */

static void order_done(loop *on, loop_msg *m)
{
    (void)on;
    job_order *o = (job_order *)(void *)((char *)m - offsetof(job_order, msg));
    o->done(o);
}

void jobs_order(jobs *j, job_order *o)
{
    o->mail.failure.code = ERR_OK;
    o->status = 200;
    if (!atomic_load(&j->over)) {
        jobs_send(j, &o->mail);
        return;
    }
    o->status = err_http_status(err_set(&o->mail.failure, ERR_UNAVAILABLE, "jobs: the server leaves"));
    o->msg.run = order_done;
    loop_post(o->on, &o->msg);
}

void jobs_ran(job_run *r)
{
    r->mail.kind = JOB_RAN;
    jobs_send(r->of, &r->mail);
}

/* ---- on the thread: answers to orders ---- */

static void answer(job_order *o)
{
    o->msg.run = order_done;
    loop_post(o->on, &o->msg);
}

void jobs_refuse(job_order *o, int status)
{
    o->status = status ? status : err_http_status(o->mail.failure.code);
    answer(o);
}

static void view_fill(job_view *v, const job *from)
{
    *v = (job_view){.id = from->id, .state = from->state, .hook = from->hook, .status = from->status,
                    .tries = from->tries, .accepted_us = from->accepted_us, .started_us = from->started_us,
                    .ended_us = from->ended_us};
    snprintf(v->model, sizeof v->model, "%.*s", (int)(from->model.len < sizeof v->model ? from->model.len
                                                                                        : sizeof v->model - 1),
             from->model.p);
}

static job *find(jobs *j, job_order *o)
{
    char text[JOB_ID_DIGITS + 1];
    job *found = job_book_find(&j->book, &o->id);
    if (found) return found;
    job_id_print(&o->id, text);
    err_set(&o->mail.failure, ERR_NOT_FOUND, "Job with id %s does not exist.", text);
    return NULL;
}

/* The first job of a page; NULL = there is none, or its failure says why. */
static const job *list_first(jobs *j, job_order *o)
{
    static const job_id none;
    if (memcmp(&o->id, &none, sizeof none) == 0) return job_book_behind(&j->book, NULL);
    const job *behind = job_book_find(&j->book, &o->id);
    if (behind) view_fill(&o->view, behind);
    if (behind) return job_book_behind(&j->book, behind);
    if (!o->after_us) return find(j, o);
    return job_book_later(&j->book, o->after_us, &o->id);
}

static void list(jobs *j, job_order *o)
{
    o->view = (job_view){.model = ""};
    o->list_count = 0;
    const job *at = list_first(j, o);
    if (o->mail.failure.code) {
        jobs_refuse(o, 0);
        return;
    }
    buf_fini(&o->bytes);
    buf_init(&o->bytes, JOBS_LIST_MAX * sizeof(job_view) + 1);
    for (; at && o->list_count < o->list_max; at = job_book_behind(&j->book, at)) {
        job_view v;
        view_fill(&v, at);
        buf_put(&o->bytes, &v, sizeof v);
        o->list_count++;
    }
    o->list_more = at != NULL;
    if (buf_check(&o->bytes, "jobs: list", &o->mail.failure)) jobs_refuse(o, 0);
    else answer(o);
}

static void show(jobs *j, job_order *o)
{
    const job *found = find(j, o);
    if (!found) {
        jobs_refuse(o, 0);
        return;
    }
    view_fill(&o->view, found);
    if (o->mail.kind == JOB_ORDER_RESULT && found->state >= JOB_DONE) {
        buf_init(&o->bytes, (size_t)found->at.bytes + 1);
        if (job_store_read(j->store, &found->at, &o->bytes, &o->answer, &o->mail.failure)) {
            jobs_refuse(o, 500);
            return;
        }
    }
    answer(o);
}

/* ---- on the thread: what is put and synced ---- */

void jobs_failing(jobs *j, const err *e)
{
    if (!j->failing) log_write(LOG_ERROR, NULL, "jobs: %s; jobs may be refused until that works again", e->text);
    j->failing = true;
    j->works = false;
    j->failed_us = clock_now_us();
}

void jobs_works(jobs *j)
{
    j->works = true;
    if (!j->failing || clock_now_us() - j->failed_us < JOBS_LOOK_US) return;
    log_write(LOG_INFO, NULL, "jobs: %s takes them again", j->opts.path);
    j->failing = false;
}

/* Where the disk has no room some may be made first; all that waits for a sync is settled then. */
static err_code put(jobs *j, job_mail *m, const job_record *r)
{
    err_code rc = job_store_put(j->store, r, &m->at, &m->failure);
    if (rc) {
        (void)jobs_sync(j);
        jobs_failing(j, &m->failure);
        jobs_make_room(j);
        m->failure.code = ERR_OK;
        rc = job_store_put(j->store, r, &m->at, &m->failure);
    }
    if (rc) {
        jobs_failing(j, &m->failure);
        return rc;
    }
    m->next = NULL;
    *j->batch_end = m;
    j->batch_end = &m->next;
    j->batch_bytes += m->at.bytes;
    return ERR_OK;
}

/* The record that belongs to a mail; `text` holds its meta. */
static err_code record_of(job_mail *m, buf *text, job_record *ret)
{
    *ret = (job_record){.kind = JOB_RECORD_FORGET};
    buf_init(text, JOB_META_BYTES_MAX);
    if (m->kind == JOB_ORDER_SUBMIT) {
        const job_order *o = (const job_order *)(const void *)m;
        job_meta meta = *o->meta;
        meta.accepted_us = m->wall_us;
        job_meta_put(text, &meta);
        *ret = (job_record){.kind = JOB_RECORD_ASK, .id = o->id, .body = o->body};
    } else if (m->kind == JOB_RAN) {
        const job_run *r = (const job_run *)(const void *)m;
        job_meta meta = r->meta;
        meta.status = r->status;
        meta.ended_us = m->wall_us;
        meta.header_count = r->header_count;
        memcpy(meta.headers, r->headers, r->header_count * sizeof *r->headers);
        job_meta_put(text, &meta);
        str all = buf_str(&r->reply);
        *ret = (job_record){.kind = JOB_RECORD_ANSWER, .id = r->id};
        ret->body = (str){all.p + r->reply_at, all.len - r->reply_at};
    } else if (m->kind == JOB_ORDER_FORGET) {
        ret->id = ((const job_order *)(const void *)m)->id;
    }
    ret->meta = buf_str(text);
    return buf_check(text, "job", &m->failure);
}

static void submit(jobs *j, job_order *o)
{
    buf text;
    job_record r;
    int status = 0;
    o->mail.wall_us = clock_wall_us();
    /* Two of one instant would be one place in a list. */
    if (o->mail.wall_us <= j->last_us && j->last_us - o->mail.wall_us < SAME_US) o->mail.wall_us = j->last_us + 1;
    j->last_us = o->mail.wall_us;
    err_code rc = random_bytes(o->id.bytes, sizeof o->id.bytes, &o->mail.failure);
    if (rc == ERR_OK) rc = record_of(&o->mail, &text, &r);
    else buf_init(&text, 1);
    const job_book_coming coming = {j->batch_asks, j->batch_bytes};
    if (rc == ERR_OK) rc = job_book_admit(&j->book, &coming, job_record_bytes(&r), &status, &o->mail.failure);
    if (rc == ERR_OK && put(j, &o->mail, &r)) {
        status = 507;
        rc = o->mail.failure.code;
    }
    buf_fini(&text);
    if (rc == ERR_OK) {
        j->batch_asks++;
        return;
    }
    atomic_fetch_add_explicit(&j->counts[COUNT_REFUSED], 1, memory_order_relaxed);
    jobs_refuse(o, status);
}

static void forget(jobs *j, job_order *o)
{
    buf text;
    job_record r;
    bool durable = false;
    if (!find(j, o)) {
        jobs_refuse(o, 0);
        return;
    }
    err_code rc = record_of(&o->mail, &text, &r);
    if (rc == ERR_OK) rc = put(j, &o->mail, &r);
    buf_fini(&text);
    job *of = job_book_find(&j->book, &o->id);   /* unless it was forgotten before, by what put() has settled */
    if (rc == ERR_OK) {
        if (of) of->going = true;
        return;
    }
    bool gone = of && !j->batch && jobs_drop_with(j, of, &durable);
    if (gone) job_book_forget(&j->book, of);
    if (of && !(gone && durable)) {
        jobs_refuse(o, 507);
        return;
    }
    o->mail.failure.code = ERR_OK;
    answer(o);
}

/* Its answer counts, unless the server has no time for it now, or its model is away, which was there when it was
 * accepted: then it is asked again, unless that was so too often. */
static void ran(jobs *j, job_run *r)
{
    buf text;
    job_record record;
    job *of = job_book_find(&j->book, &r->id);
    bool busy = r->status == 429 || r->status == 503 || r->status == 404;
    r->mail.wall_us = clock_wall_us();
    if (!of || of->going || of->state != JOB_RUNNING) {   /* it was forgotten */
        jobs_run_free(j, r);
        return;
    }
    if (busy && of->tries < JOB_RUNS_MAX) {
        job_book_again(&j->book, of, clock_now_us());
        jobs_run_free(j, r);
        return;
    }
    err_code rc = record_of(&r->mail, &text, &record);
    if (rc == ERR_OK) rc = put(j, &r->mail, &record);
    buf_fini(&text);
    if (rc == ERR_OK) return;
    job_book_lost(&j->book, of, clock_now_us());
    jobs_run_free(j, r);
}

static bool is_out(const jobs *j, const job_id *id)
{
    for (const job_run *r = j->runs; r; r = r->next)
        if (memcmp(&r->id, id, sizeof *id) == 0) return true;
    return false;
}

/* It stays.  What its run brought while it was going is gone. */
static void stay(jobs *j, job *of)
{
    of->going = false;
    if (of->state == JOB_RUNNING && !is_out(j, &of->id)) job_book_lost(&j->book, of, clock_now_us());
}

/* One of a batch is durable, or is not. */
static void settle(jobs *j, job_mail *m, const err *failure)
{
    buf text;
    job_record r;
    job_run *run = m->kind == JOB_RAN ? (job_run *)(void *)m : NULL;
    job_order *o = run ? NULL : (job_order *)(void *)m;
    if (failure && run) {
        job *of = job_book_find(&j->book, &run->id);
        if (of) job_book_lost(&j->book, of, clock_now_us());
        jobs_run_free(j, run);
        return;
    }
    if (failure) {
        job *of = job_book_find(&j->book, &o->id);
        if (of) stay(j, of);
        m->failure = *failure;
        jobs_refuse(o, 507);
        return;
    }
    err_code rc = record_of(m, &text, &r);
    if (rc == ERR_OK) rc = job_book_take(&j->book, &r, &m->at, m->wall_us, clock_now_us(), &m->failure);
    buf_fini(&text);
    if (run) {
        if (rc) log_write(LOG_ERROR, NULL, "jobs: %s", m->failure.text);
        jobs_run_free(j, run);
        return;
    }
    const job *found = job_book_find(&j->book, &o->id);
    if (found) view_fill(&o->view, found);
    if (rc) jobs_refuse(o, 0);   /* it is in the log, and would be run behind the next start */
    else answer(o);
}

err_code jobs_sync(jobs *j)
{
    err e;
    err_code rc = job_store_sync(j->store, &e);
    if (rc) jobs_failing(j, &e);
    else if (j->batch) jobs_works(j);
    job_mail *m = TAKE(j->batch);
    j->batch_end = &j->batch;
    j->batch_bytes = 0;
    j->batch_asks = 0;
    while (m) {
        job_mail *next = m->next;
        settle(j, m, rc ? &e : NULL);
        m = next;
    }
    return rc;
}

/* ---- the thread ---- */

static void stats_show(jobs *j)
{
    const job_book *b = &j->book;
    const uint64_t now[] = {b->of[JOB_QUEUED], b->of[JOB_RUNNING], b->of[JOB_DONE] + b->of[JOB_FAILED],
                            job_book_oldest_us(b), b->bytes, j->store ? job_store_bytes(j->store) : 0, b->ended[0],
                            b->ended[1]};
    _Static_assert(COUNTOF(now) == COUNTOF(j->shown), "each has its place");
    for (size_t i = 0; i < COUNTOF(now); i++) atomic_store_explicit(&j->shown[i], now[i], memory_order_relaxed);
}

void jobs_mail(jobs *j, job_mail *m)
{
    job_order *o = (job_order *)(void *)m;
    switch (m->kind) {
    case JOB_ORDER_SUBMIT: submit(j, o); break;
    case JOB_ORDER_FORGET: forget(j, o); break;
    case JOB_ORDER_LIST: list(j, o); break;
    case JOB_RAN: ran(j, (job_run *)(void *)m); break;
    case JOB_TOLD: jobs_told(j, (told_mail *)(void *)m); break;
    case JOB_ORDER_SHOW:
    case JOB_ORDER_RESULT: show(j, o); break;
    }
    if (j->batch_bytes >= JOBS_BATCH_BYTES) (void)jobs_sync(j);
}

/* A turn with the folder: when the next is due, 0 = at once. */
static uint64_t turn_held(jobs *j, mail *m, bool stopping)
{
    while (m) {
        mail *next = m->next;
        jobs_mail(j, (job_mail *)(void *)m);
        m = next;
    }
    (void)jobs_sync(j);
    if (stopping) return UINT64_MAX;
    jobs_start_runs(j);
    jobs_start_tells(j);
    jobs_expire(j);
    jobs_make_room(j);
    if (atomic_load(&j->giving)) return jobs_hand_give(j);
    uint64_t due = atomic_load(&j->leaving) ? UINT64_MAX : job_book_due_us(&j->book, jobs_run_us(j));
    uint64_t now = clock_now_us();
    if (j->failing && j->look_us < due) due = j->look_us;   /* whether anybody asks or not */
    if (!job_teller_idle(j->teller) && due <= now) due = now + JOBS_LOOK_US;
    return due <= now ? 0 : due;
}

/* One turn: false when it was told to stop and nothing is left. */
static bool turn(jobs *j)
{
    uint32_t seen = atomic_load(&j->events);
    bool stopping = atomic_load(&j->stopping);
    mail *m = mailbox_take(&j->in);
    bool work = m != NULL;
    uint64_t due = j->folder == FOLDER_HELD ? turn_held(j, m, stopping) : jobs_hand_turn(j, m, stopping);
    stats_show(j);
    if (work || due == 0) return true;
    if (stopping) return false;
    atomic_store(&j->asleep, true);
    (void)futex_wait(&j->events, seen, due == UINT64_MAX ? FUTEX_FOREVER : due);
    atomic_store(&j->asleep, false);
    return true;
}

static void work(void *ctx)
{
    jobs *j = ctx;
    while (turn(j)) {}
}

/* ---- life ---- */

err_code jobs_new(jobs **ret, const jobs_opts *opts, err *e)
{
    CLEANUP(jobs) jobs *j = mem_alloc_raw(sizeof *j);   /* aligned: see in */
    if (!j) return err_set(e, ERR_NOMEM, "jobs: no memory");
    *j = (jobs){.opts = *opts};
    if (j->opts.reply_bytes_max > opts->limits.bytes_max) j->opts.reply_bytes_max = opts->limits.bytes_max;
    j->batch_end = &j->batch;
    j->held_end = &j->held;
    mailbox_init(&j->in);
    job_book_init(&j->book, &opts->limits, 0);
    err_code rc = jobs_hand_take(j, e);
    bool waits = rc == ERR_CONFLICT && opts->heir;
    if (rc && !waits) return rc;
    if (waits) log_write(LOG_INFO, NULL, "jobs: %s: waiting for the old server to give it", opts->path);
    stats_show(j);
    *ret = TAKE(j);
    return ERR_OK;
}

err_code jobs_start(jobs *j, err *e)
{
    err_code rc = thread_start(&j->thread, "jobs", work, j, e);
    j->started = rc == ERR_OK;
    return rc;
}

void jobs_leave(jobs *j)
{
    if (!j) return;
    atomic_store(&j->leaving, true);
    jobs_wake(j);
}

void jobs_give(jobs *j)
{
    if (!j) return;
    atomic_store(&j->giving, true);
    jobs_leave(j);
}

bool jobs_given(const jobs *j) { return !j || atomic_load(&j->given); }

void jobs_stop(jobs *j)
{
    if (!j || !j->started) return;
    atomic_store(&j->stopping, true);
    jobs_leave(j);
    thread_join(&j->thread);
    j->started = false;
    atomic_store(&j->over, true);
}

void jobs_free(jobs *j)
{
    if (!j) return;
    jobs_stop(j);
    job_teller_free(j->teller);
    for (mail *m = mailbox_take(&j->in), *next; m; m = next) {
        next = m->next;
        job_mail *one = (job_mail *)(void *)m;
        if (one->kind == JOB_TOLD) jobs_told_free((told_mail *)(void *)one);
    }
    while (j->runs) jobs_run_free(j, j->runs);
    job_book_fini(&j->book);
    job_store_free(j->store);
    mem_free(j);
}

void *jobs_ctx(const jobs *j) { return j->opts.ctx; }

bool jobs_allow_hook(const jobs *j, str url, err *e) { return job_hook_check(url, j->opts.tell.hosts, e) == ERR_OK; }

void jobs_stats_read(const jobs *j, jobs_stats *ret)
{
    uint64_t v[8] = {0}, c[COUNTS] = {0};
    for (size_t i = 0; j && i < COUNTOF(v); i++) v[i] = atomic_load_explicit(&j->shown[i], memory_order_relaxed);
    for (size_t i = 0; j && i < COUNTS; i++) c[i] = atomic_load_explicit(&j->counts[i], memory_order_relaxed);
    *ret = (jobs_stats){.queued = v[0], .running = v[1], .kept = v[2], .oldest_us = v[3], .bytes = v[4],
                        .file_bytes = v[5], .done = v[6], .failed = v[7], .refused = c[COUNT_REFUSED],
                        .told = c[COUNT_TOLD], .untold = c[COUNT_UNTOLD], .lost = c[COUNT_LOST]};
}
