#include "base/log.h"
#include "jobs/jobs_work.h"
#include "os/clock.h"
#include "os/random.h"

enum { SEGMENT_SHARE = 16, SEGMENT_MIN = 64 << 10, SEGMENT_MAX = 16 << 20, TRY_US = 10000, RETRY_US = 1000000 };

/* ---- taking ---- */

typedef struct {
    jobs *of;
    uint64_t wall_us, now_us;
} replay;

static err_code found(void *ctx, const job_record *r, const job_place *at, err *e)
{
    replay *p = ctx;
    return job_book_take(&p->of->book, r, at, p->wall_us, p->now_us, e);
}

static void book_begin(jobs *j, uint64_t seed)
{
    job_book_limits limits = j->opts.limits;
    limits.bytes_max /= 2;
    job_book_fini(&j->book);
    job_book_init(&j->book, &limits, seed);
}

/* Nothing of the folder is ours: not its jobs, nor its files. */
static void let_go(jobs *j)
{
    uint64_t done = j->book.ended[0], failed = j->book.ended[1];
    job_store_free(TAKE(j->store));
    book_begin(j, 0);
    j->book.ended[0] = done;
    j->book.ended[1] = failed;
}

err_code jobs_hand_take(jobs *j, err *e)
{
    const char *path = j->opts.path;
    uint64_t seed, segment = j->opts.limits.bytes_max / SEGMENT_SHARE;
    err_code rc = random_u64(&seed, e);
    if (rc) return rc;
    book_begin(j, seed);
    segment = segment < SEGMENT_MIN ? SEGMENT_MIN : segment > SEGMENT_MAX ? SEGMENT_MAX : segment;
    replay p = {j, clock_wall_us(), clock_now_us()};
    j->book.starting = true;
    const job_store_opts so = {.path = path, .segment_bytes = segment, .found = found, .ctx = &p};
    rc = job_store_open(&j->store, &so, e);
    if (rc == ERR_OK) rc = job_teller_new(&j->teller, &j->opts.tell, e);
    j->book.ended[0] = j->book.ended[1] = 0;
    if (rc) {
        let_go(j);
        return rc;
    }
    job_book_sort(&j->book);
    if (j->book.all.last) j->last_us = j->book.all.last->accepted_us;
    if (job_store_unread(j->store)) {
        atomic_fetch_add_explicit(&j->counts[COUNT_LOST], job_store_unread(j->store), memory_order_relaxed);
        log_write(LOG_ERROR, NULL, "jobs: %s: %llu files whose head is damaged are kept as NUMBER.jobs.damaged", path,
                  (unsigned long long)job_store_unread(j->store));
    }
    if (job_store_damaged(j->store))
        log_write(LOG_WARN, NULL, "jobs: %s: went over damaged bytes at %llu places", path,
                  (unsigned long long)job_store_damaged(j->store));
    if (j->book.count)
        log_write(LOG_INFO, NULL, "jobs: %s: %u to run, %u ended and kept", path, j->book.of[JOB_QUEUED],
                  j->book.of[JOB_DONE] + j->book.of[JOB_FAILED]);
    j->folder = FOLDER_HELD;
    return ERR_OK;
}

static void refuse_held(jobs *j, const char *why)
{
    job_mail *m = TAKE(j->held);
    j->held_end = &j->held;
    while (m) {
        job_mail *next = m->next;
        err_set(&m->failure, ERR_UNAVAILABLE, "jobs: %s", why);
        jobs_refuse((job_order *)(void *)m, 0);
        m = next;
    }
}

/* Orders wait for the folder: the old server has it for some hundred milliseconds more. */
static uint64_t turn_waiting(jobs *j, mail *m, bool stopping)
{
    uint64_t now = clock_now_us();
    err e;
    for (; m; m = m->next) {   /* orders alone: nothing runs, nobody is told */
        job_mail *one = (job_mail *)(void *)m;
        one->next = NULL;
        *j->held_end = one;
        j->held_end = &one->next;
    }
    if (stopping) {
        refuse_held(j, "the server leaves");
        return UINT64_MAX;
    }
    err_code rc = jobs_hand_take(j, &e);
    if (rc == ERR_OK) {
        job_mail *held = TAKE(j->held), *next;
        j->failed_us = 0;   /* what failed was to get the folder */
        jobs_works(j);
        for (j->held_end = &j->held; held; held = next) {
            next = held->next;
            jobs_mail(j, held);
        }
        (void)jobs_sync(j);
        return 0;
    }
    if (!j->held_until_us) j->held_until_us = now + JOBS_TAKE_US;
    if (rc == ERR_CONFLICT && now < j->held_until_us) return now + TRY_US;
    jobs_failing(j, &e);
    refuse_held(j, rc == ERR_CONFLICT ? "the server before this one has their folder still" : e.text);
    return now + RETRY_US;
}

/* ---- giving ---- */

static void turn_given(jobs *j, mail *m)
{
    while (m) {
        mail *next = m->next;
        job_mail *one = (job_mail *)(void *)m;
        if (one->kind == JOB_RAN) {
            jobs_run_free(j, (job_run *)(void *)one);
        } else {
            err_set(&one->failure, ERR_UNAVAILABLE, "jobs: another server has them now: ask once more");
            jobs_refuse((job_order *)(void *)one, 0);
        }
        m = next;
    }
}

uint64_t jobs_hand_turn(jobs *j, mail *m, bool stopping)
{
    if (j->folder == FOLDER_WAITING) return turn_waiting(j, m, stopping);
    turn_given(j, m);
    return UINT64_MAX;
}

/* No run and no telling begins any more.  What its webhook took before the end is recorded as any other. */
uint64_t jobs_hand_give(jobs *j)
{
    uint64_t now = clock_now_us();
    if (!j->give_until_us) j->give_until_us = now + JOBS_GIVE_US;
    if ((j->run_count || !job_teller_rests(j->teller)) && now < j->give_until_us) return j->give_until_us;
    job_teller_free(TAKE(j->teller));
    for (mail *m = mailbox_take(&j->in), *next; m; m = next) {
        next = m->next;
        jobs_mail(j, (job_mail *)(void *)m);
    }
    (void)jobs_sync(j);
    let_go(j);
    j->folder = FOLDER_GIVEN;
    atomic_store(&j->given, true);
    log_write(LOG_INFO, NULL, "jobs: %s: given to the new server", j->opts.path);
    return 0;
}
