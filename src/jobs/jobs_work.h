/* jobs_work.h - the inside of jobs.h, for its two files: jobs.c takes orders and syncs, jobs_work.c begins runs, tells
 * webhooks and makes room.
 *
 * All of this is the thread's, but for what is atomic. */
#ifndef JOBS_JOBS_WORK_H
#define JOBS_JOBS_WORK_H
#include "jobs/jobs.h"
#include "os/thread.h"

#include <stdatomic.h>

typedef enum { COUNT_REFUSED, COUNT_TOLD, COUNT_UNTOLD, COUNT_LOST, COUNTS } count;

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): what every loop writes has a cache line of its own */
struct jobs {
    jobs_opts opts;
    thread thread;
    bool started;
    /* the thread's own, once it has started */
    job_store *store;
    job_book book;
    job_teller *teller;
    job_run *runs;                  /* those that are out, */
    uint32_t run_count;             /* some of jobs that were forgotten */
    job_mail *batch, **batch_end;   /* put, not synced */
    uint64_t batch_bytes;
    size_t next_loop;
    uint64_t failing_until_us;
    bool failing;
    _Alignas(64) mailbox in;
    _Atomic uint32_t events;
    _Atomic bool asleep, stopping, leaving, over;
    _Atomic uint64_t counts[COUNTS], shown[8];   /* for metrics: see show() */
};

typedef struct {
    job_mail mail;
    job_tell tell;
} told_mail;

void jobs_send(jobs *j, job_mail *m);           /* any thread */
/* What the disk said; NULL = it works.  One line of log when that changes. */
void jobs_failing(jobs *j, const err *e);
void jobs_run_free(jobs *j, job_run *r);
void jobs_start_runs(jobs *j);
void jobs_start_tells(jobs *j);
void jobs_told(jobs *j, told_mail *m);          /* takes it */
void jobs_told_free(told_mail *m);
void jobs_expire(jobs *j);
void jobs_make_room(jobs *j);

#endif
