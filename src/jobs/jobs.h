/* jobs.h - jobs: questions that are answered later, kept on disk until then and for a while after.
 *
 *   loop     jobs_order() --mailbox--> thread --> done() on the loop it came from
 *   thread   takes all orders that wait, appends their records, syncs once for all, then answers each
 *   thread   starts the next run --> opts.run() on a loop --> jobs_ran() --> an answer, appended and synced as well
 *
 * Whoever was told that a job is accepted finds its answer later, whatever becomes of this process or this machine: a
 * run that had not ended is run again.  Its answer is recorded once.  One thread owns log and book; loops never wait
 * for the disk.  Runs are bounded in number; what they may use is not theirs alone, so few are meant to go on beside
 * live requests.
 * The folder changes hands between processes: the old one gives it (jobs_give()), the new one was made with `heir` and
 * takes it as soon as it can; orders that come to it until then wait, JOBS_TAKE_US at most. */
#ifndef JOBS_JOBS_H
#define JOBS_JOBS_H
#include "async/loop.h"
#include "jobs/job_book.h"
#include "jobs/job_teller.h"

enum { JOBS_LIST_MAX = 1000, JOBS_BATCH_BYTES = 16 << 20 };   /* of a page; put before a sync */
/* How long who gives the folder waits for runs and webhooks that are under way, and who takes it lets orders wait. */
enum { JOBS_GIVE_US = 2000000, JOBS_TAKE_US = 5000000 };

typedef struct jobs jobs;

typedef enum { JOB_ORDER_SUBMIT, JOB_ORDER_SHOW, JOB_ORDER_RESULT, JOB_ORDER_FORGET, JOB_ORDER_LIST, JOB_RAN, JOB_TOLD }
    job_mail_kind;

/* What the thread gets, at the beginning of what it belongs to. */
typedef struct job_mail {
    mail link;
    job_mail_kind kind;
    /* the thread's own */
    struct job_mail *next;
    job_place at;
    uint64_t wall_us;
    err failure;
} job_mail;

/* A job as it is shown. */
typedef struct {
    job_id id;
    job_state state;
    job_hook hook;
    uint32_t status, tries;
    uint64_t accepted_us, started_us, ended_us;
    char model[256];                /* its first bytes, NUL-terminated */
} job_view;

typedef struct job_order {
    job_mail mail;                  /* kind: set by whoever orders, as all up to failure */
    loop *on;
    void (*done)(struct job_order *o);
    job_id id;                      /* LIST: behind this one; all zero = from the beginning */
    uint64_t after_us;              /* LIST: when that was accepted, in case it is no more; 0 = then ERR_NOT_FOUND */
    const job_meta *meta;           /* SUBMIT, borrowed until done() */
    str body;                       /* the same */
    size_t list_max;                /* LIST: at most JOBS_LIST_MAX */
    /* in done() */
    int status;                     /* of HTTP, where mail.failure is set */
    job_view view;                  /* SHOW, RESULT, SUBMIT; LIST: of `id`, its model "" where that is no more */
    buf bytes;                      /* RESULT: of `answer`; LIST: of job_views */
    job_record answer;
    size_t list_count;              /* how many were put */
    bool list_more;
    loop_msg msg;                   /* private */
} job_order;

/* A run: the question, then its answer. */
typedef struct job_run {
    job_mail mail;
    loop_msg msg;
    loop *on;
    jobs *of;
    job_id id;
    job_meta meta;                  /* of the question */
    str body;
    uint32_t status;                /* of the answer: set before jobs_ran(), */
    http_header headers[JOB_HEADERS_MAX];   /* like these, which live in `reply` or for ever */
    size_t header_count;
    buf reply;                      /* and this, from reply_at on */
    size_t reply_at;
    struct job_run *prev, *next;    /* private, like the next one */
    buf bytes;
} job_run;

typedef struct {
    const char *path;               /* all borrowed */
    bool heir;                      /* another process may have the folder, and will give it */
    job_book_limits limits;         /* bytes_max: of the files; of the log a half may be of use */
    uint64_t reply_bytes_max;       /* nor more than limits.bytes_max: there would never be room for it */
    loop *const *loops;
    size_t loop_count;
    void (*run)(job_run *r);        /* on r->on: jobs_ran() follows, on that loop */
    void *ctx;                      /* jobs_ctx() */
    job_teller_opts tell;
} jobs_opts;

typedef struct {
    uint64_t queued, running, kept, oldest_us, bytes, file_bytes, done, failed, refused, told, untold, lost;
} jobs_stats;

err_code jobs_new(jobs **ret, const jobs_opts *opts, err *e) MUST_USE;   /* reads the log; nothing runs yet */
err_code jobs_start(jobs *j, err *e) MUST_USE;   /* the loops run, or are about to */
void jobs_leave(jobs *j);           /* any thread: no run begins any more */
/* Any thread: the same, and when those under way are recorded the folder is for another process.  What took longer than
 * JOBS_GIVE_US is run, or told, once more there; orders are refused from then on. */
void jobs_give(jobs *j);
bool jobs_given(const jobs *j);     /* any thread: it has let the folder go; j == NULL: true */
/* No loop runs any more: what was ordered is on disk or refused, and answered by a message to its loop. */
void jobs_stop(jobs *j);
void jobs_free(jobs *j);            /* the loops were flushed; the server is gone */
DEFINE_CLEANUP(jobs)
void *jobs_ctx(const jobs *j);
void jobs_order(jobs *j, job_order *o);         /* any loop */
void jobs_ran(job_run *r);          /* on its loop; status 404, 429 or 503: it is run again later */
void jobs_stats_read(const jobs *j, jobs_stats *ret);   /* any thread; j == NULL: all zero */
bool jobs_allow_hook(const jobs *j, str url, err *e);   /* ERR_INVALID, ERR_FORBIDDEN */

#endif
