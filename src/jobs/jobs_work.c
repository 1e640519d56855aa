#include "jobs/jobs_work.h"

#include "base/log.h"
#include "base/mem.h"
#include "jobs/job_event.h"
#include "os/clock.h"

#include <stdio.h>

void jobs_run_free(jobs *j, job_run *r)
{
    j->run_count--;
    *(r->prev ? &r->prev->next : &j->runs) = r->next;
    if (r->next) r->next->prev = r->prev;
    buf_fini(&r->bytes);
    buf_fini(&r->reply);
    mem_free(r);
}

/* ---- what runs, whom to tell ---- */

static void run_begins(loop *on, loop_msg *m)
{
    (void)on;
    job_run *r = (job_run *)(void *)((char *)m - offsetof(job_run, msg));
    r->of->opts.run(r);
}

uint64_t jobs_run_us(const jobs *j)
{
    /* Runs of forgotten jobs count until they end. */
    if (atomic_load(&j->leaving) || j->run_count >= j->opts.limits.running_max) return UINT64_MAX;
    return j->failing ? j->probe_us : 0;
}

void jobs_start_runs(jobs *j)
{
    job *next;
    while (jobs_run_us(j) <= clock_now_us() && (next = job_book_next(&j->book, clock_wall_us(), clock_now_us()))) {
        job_record record;
        err e;
        job_run *r = mem_new0(job_run, 1);
        j->probe_us = clock_now_us() + JOBS_LOOK_US;
        if (!r) {
            job_book_again(&j->book, next, clock_now_us());
            return;
        }
        *r = (job_run){.of = j, .id = next->id, .on = j->opts.loops[j->next_loop++ % j->opts.loop_count]};
        buf_init(&r->bytes, (size_t)next->at.bytes + 1);
        buf_init(&r->reply, j->opts.reply_bytes_max);
        r->next = j->runs;
        if (r->next) r->next->prev = r;
        j->runs = r;
        j->run_count++;
        err_code rc = job_store_read(j->store, &next->at, &r->bytes, &record, &e);
        if (rc == ERR_OK && !job_meta_read(record.meta, &r->meta)) rc = err_set(&e, ERR_INVALID, "job: damaged");
        if (rc) {
            log_write(LOG_ERROR, NULL, "jobs: %s", e.text);
            r->status = rc == ERR_INVALID ? 500 : 503;   /* damaged: it is lost; else the disk may come back */
            r->meta = (job_meta){.accepted_us = next->accepted_us, .model = next->model};
            buf_put_z(&r->reply, "{\"error\":\"the question of this job is damaged on disk\"}");
            r->headers[r->header_count++] = (http_header){STR("content-type"), STR("application/json")};
            if (rc == ERR_INVALID) atomic_fetch_add_explicit(&j->counts[COUNT_LOST], 1, memory_order_relaxed);
            jobs_ran(r);
            continue;
        }
        r->body = record.body;
        r->meta.started_us = next->started_us;
        r->msg.run = run_begins;
        loop_post(r->on, &r->msg);
    }
}

static void tell_done(job_tell *t)
{
    told_mail *m = (told_mail *)(void *)((char *)t - offsetof(told_mail, tell));
    jobs_send(t->of, &m->mail);
}

void jobs_told_free(told_mail *m)
{
    buf_fini(&m->tell.bytes);
    buf_fini(&m->tell.text);
    mem_free(m);
}

/* Once when it fails first, so that nobody has to wait for the last time to see why, and once when it is given up. */
static void untold_say(const job_tell *t, const char *then)
{
    char id[JOB_ID_DIGITS + 1];
    job_id_print(&t->id, id);
    if (t->status) log_write(LOG_WARN, NULL, "jobs: %s: webhook %s: expected a 2xx, got %d", id, then, t->status);
    else log_write(LOG_WARN, NULL, "jobs: %s: webhook %s: %s", id, then, t->failure.text);
}

void jobs_told(jobs *j, told_mail *m)
{
    job_tell *t = &m->tell;
    job *of = job_book_find(&j->book, &t->id);
    job_record r = {.kind = JOB_RECORD_TOLD, .id = t->id};
    bool good = t->result == JOB_TELL_TOLD;
    err e;
    if (of && of->busy) {
        bool again = t->result == JOB_TELL_LATER && job_book_untold(&j->book, of, clock_now_us());
        if (again && of->tries == 1 && t->failure.code != ERR_CANCELLED) untold_say(t, "told again later");
        if (!again) {
            if (!good) untold_say(t, "given up");
            atomic_fetch_add_explicit(&j->counts[good ? COUNT_TOLD : COUNT_UNTOLD], 1, memory_order_relaxed);
            /* Not synced for its own sake: what is lost is told once more. */
            job_place at = {.segment = 0};
            if (!good) r.meta = STR("given up");
            if (job_store_put(j->store, &r, &at, &e)) jobs_failing(j, &e);
            if (job_book_take(&j->book, &r, &at, clock_wall_us(), clock_now_us(), &e))
                log_write(LOG_ERROR, NULL, "jobs: %s", e.text);
        }
    }
    jobs_told_free(m);
}

void jobs_start_tells(jobs *j)
{
    job *next;
    while (!atomic_load(&j->leaving) && job_teller_idle(j->teller) &&
           (next = job_book_tell(&j->book, clock_now_us()))) {
        job_record record;
        job_meta meta;
        err e;
        told_mail *m = mem_new0(told_mail, 1);
        if (!m) {
            (void)job_book_untold(&j->book, next, clock_now_us());
            return;
        }
        m->mail.kind = JOB_TOLD;
        m->tell = (job_tell){.id = next->id, .done = tell_done, .of = j, .result = JOB_TELL_LATER};
        buf_init(&m->tell.bytes, (size_t)next->at.bytes + 1);
        buf_init(&m->tell.text, 4096);
        err_code rc = job_store_read(j->store, &next->at, &m->tell.bytes, &record, &e);
        if (rc == ERR_OK && !job_meta_read(record.meta, &meta)) rc = err_set(&e, ERR_INVALID, "job: damaged");
        if (rc == ERR_OK) rc = job_hook_check(meta.hook, j->opts.tell.hosts, &e);
        if (rc == ERR_OK) rc = job_event_make(&m->tell, &record, &meta, &e);
        if (rc == ERR_OK) snprintf(m->tell.url, sizeof m->tell.url, "%.*s", (int)meta.hook.len, meta.hook.p);
        if (rc == ERR_OK && job_teller_put(j->teller, &m->tell)) continue;
        if (rc) m->tell.failure = e;
        if (rc == ERR_INVALID || rc == ERR_FORBIDDEN) m->tell.result = JOB_TELL_NEVER;
        jobs_told(j, m);
    }
}

/* ---- room ---- */

/* Behind the sync that makes their new places good, or without. */
static void moved(jobs *j, bool good)
{
    for (job *at = j->book.all.first; at; at = at->all_next) {
        if (at->moved.segment && good) at->at = at->moved;
        at->moved.segment = 0;
    }
}

/* The jobs whose record lies in the oldest file, put once more, so that it can go. */
static err_code move_oldest(jobs *j, uint32_t oldest, err *e)
{
    buf bytes;
    err_code rc = ERR_OK;
    buf_init(&bytes, SIZE_MAX / 4);
    for (job *at = j->book.all.first; at && rc == ERR_OK; at = at->all_next) {
        job_record r, told_too = {.kind = JOB_RECORD_TOLD, .id = at->id};
        job_place ignored;
        if (at->hook == JOB_HOOK_GIVEN_UP) told_too.meta = STR("given up");
        if (at->at.segment != oldest) continue;
        rc = job_store_read(j->store, &at->at, &bytes, &r, e);
        if (rc == ERR_INVALID) {   /* nothing there can be moved: see count_lost() */
            rc = ERR_OK;
            continue;
        }
        if (rc == ERR_OK) rc = job_store_put(j->store, &r, &at->moved, e);
        if (rc == ERR_OK && at->state >= JOB_DONE && at->hook > JOB_HOOK_WAITING)
            rc = job_store_put(j->store, &told_too, &ignored, e);
    }
    buf_fini(&bytes);
    if (rc == ERR_OK) rc = job_store_sync(j->store, e);
    else job_store_undo(j->store);   /* a disk that is full is not filled with what did not help */
    moved(j, rc == ERR_OK);
    return rc;
}

/* Of a file that has gone: what stayed in it was damaged.  Who asks for such an answer is told; a question is counted
 * when it runs. */
static void count_lost(jobs *j, uint32_t gone)
{
    for (const job *at = j->book.all.first; at; at = at->all_next) {
        char id[JOB_ID_DIGITS + 1];
        if (at->at.segment != gone || at->state < JOB_DONE) continue;
        job_id_print(&at->id, id);
        log_write(LOG_ERROR, NULL, "jobs: %s: its answer was damaged on disk", id);
        atomic_fetch_add_explicit(&j->counts[COUNT_LOST], 1, memory_order_relaxed);
    }
}

/* No job has its record there, but for `but`. */
static bool of_no_use(const jobs *j, uint32_t segment, const job *but)
{
    for (const job *at = j->book.all.first; at; at = at->all_next)
        if (at->at.segment == segment && at != but) return false;
    return true;
}

/* Files in which no job but `but` has a record, oldest first, up to the file `to`: for that no room is needed. */
static void drop_useless(jobs *j, uint32_t to, const job *but)
{
    uint32_t first;
    err e;
    err_code rc = job_store_sync(j->store, &e);
    while (rc == ERR_OK && job_store_first(j->store, &first) && first <= to && of_no_use(j, first, but))
        rc = job_store_drop_oldest(j->store, &e);
    if (rc) jobs_failing(j, &e);
}

bool jobs_drop_with(jobs *j, const job *of, bool *ret_durable)
{
    uint32_t first;
    err e;
    INVARIANT(!j->batch);
    drop_useless(j, of->at.segment, of);
    *ret_durable = job_store_drop_sync(j->store, &e) == ERR_OK;
    return !job_store_first(j->store, &first) || first > of->at.segment;
}

void jobs_make_room(jobs *j)
{
    uint32_t oldest;
    err e;
    uint64_t used = j->book.bytes, now = clock_now_us(), slack = j->opts.limits.bytes_max / 4;
    INVARIANT(!j->batch);
    if (j->failing) {
        if (now < j->look_us) return;
        j->look_us = now + JOBS_LOOK_US;
        drop_useless(j, UINT32_MAX, NULL);
        if (j->works) jobs_works(j);
    }
    bool tight = !used || job_store_bytes(j->store) > used + used / 2 + slack;
    if (!tight || !job_store_oldest(j->store, &oldest)) return;
    err_code rc = job_store_sync(j->store, &e);
    if (rc == ERR_OK) rc = move_oldest(j, oldest, &e);
    if (rc == ERR_OK) rc = job_store_drop_oldest(j->store, &e);
    if (rc) jobs_failing(j, &e);
    else count_lost(j, oldest);
}

void jobs_expire(jobs *j)
{
    job *old;
    while ((old = job_book_expired(&j->book, clock_now_us()))) {
        job_record r = {.kind = JOB_RECORD_FORGET, .id = old->id};
        job_place at;
        err e;
        /* Where that finds no room it is forgotten all the same: behind a start it is there once more, and expired. */
        if (job_store_put(j->store, &r, &at, &e)) jobs_failing(j, &e);
        job_book_forget(&j->book, old);
    }
}
