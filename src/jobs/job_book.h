/* job_book.h - which jobs there are, what runs next and what is over: decisions without threads, clocks or files.
 *
 *   queued --job_book_next()--> running --job_book_take()--> done or failed --keep_us--> gone
 *      ^--job_book_again(), _lost()'           '--with a hook: job_book_tell(), _untold(), _take()
 *
 * Jobs run in the order in which they were accepted; one whose run was refused for the moment rests, and others go
 * first.  The book is filled again from the log's records: the last record of a job says what it is.  A job holds the
 * place of the one record that is of use.  `now` is a clock that does not jump, times for people are the epoch's. */
#ifndef JOBS_JOB_BOOK_H
#define JOBS_JOB_BOOK_H
#include "base/map.h"
#include "base/rng.h"
#include "jobs/job_meta.h"
#include "jobs/job_store.h"

enum {
    JOB_RUNS_MAX = 10,                      /* refused so often for the moment: that is its answer */
    JOB_TELLS_MAX = 8,                      /* a hook that did not take it so often is given up */
    JOB_REST_MIN_US = 200000, JOB_REST_MAX_US = 60000000
};

typedef enum { JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_STATES } job_state;
typedef enum { JOB_HOOK_NONE, JOB_HOOK_WAITING, JOB_HOOK_TOLD, JOB_HOOK_GIVEN_UP } job_hook;

typedef struct job job;
struct job {
    job_id id;
    job_state state;
    job_hook hook;
    uint32_t status;                        /* of the answer */
    uint64_t accepted_us, started_us, ended_us;
    job_place at;
    str model;                              /* lives with the job */
    uint32_t tries;                         /* runs, then tells */
    uint32_t losses;                        /* of runs, that count as no try */
    uint64_t due_us;                        /* where it rests: until then */
    bool busy;                              /* its hook is being told */
    bool going;                             /* that it is forgotten is being written */
    job_place moved;                        /* where its record is being put again; segment 0 = it is not */
    /* private */
    uint64_t over_us;                       /* ended, on the clock that does not jump; then kept for a while */
    uint8_t list;
    job *prev, *next, *all_prev, *all_next;
};

typedef struct {
    uint64_t bytes_max, keep_us;            /* of records that are of use; UINT64_MAX = for good */
    uint32_t count_max, running_max;
} job_book_limits;

typedef struct {
    job *first, *last;
} job_row;

typedef struct {
    job_book_limits limits;
    uint64_t bytes;                         /* of records that are of use */
    uint32_t count, of[JOB_STATES];
    uint64_t ended[2];                      /* since the start: done, failed */
    bool starting;                          /* records of a start come: job_book_sort() is next */
    /* private */
    map by_id;
    job_row all, queued, resting, telling, over;
    job *oldest;                            /* of those that are not over; NULL = there is none */
    rng jitter;
} job_book;

void job_book_init(job_book *b, const job_book_limits *limits, uint64_t seed);
void job_book_fini(job_book *b);

/* A record of the log: from its start, or one that is durable now.  `wall_us` and `now_us` are the same instant.
 * ERR_UNSUPPORTED = of another form. */
err_code job_book_take(job_book *b, const job_record *r, const job_place *at, uint64_t wall_us, uint64_t now_us,
                       err *e) MUST_USE;
/* Behind the last record of a start: the log has jobs in the order of their records, of which some were put again. */
void job_book_sort(job_book *b);
job *job_book_find(const job_book *b, const job_id *id);
/* Those that were let in and are not taken yet. */
typedef struct {
    uint32_t count;
    uint64_t bytes;
} job_book_coming;

/* May one of so many bytes come in behind those?  *ret_status: 429, 507. */
err_code job_book_admit(const job_book *b, const job_book_coming *coming, uint64_t bytes, int *ret_status,
                        err *e) MUST_USE;
/* The next to run: it counts as running.  NULL = none, or enough run. */
job *job_book_next(job_book *b, uint64_t wall_us, uint64_t now_us);
/* Its run brought no answer that counts (404, 429, 503): it rests, longer each time. */
void job_book_again(job_book *b, job *j, uint64_t now_us);
/* The same where the disk did not take what it brought, which was no try. */
void job_book_lost(job_book *b, job *j, uint64_t now_us);
/* The next whose hook is to be told; it is busy then. */
job *job_book_tell(job_book *b, uint64_t now_us);
/* It was not; false = that was the last time. */
bool job_book_untold(job_book *b, job *j, uint64_t now_us);
/* One that is over and was kept long enough, and is not being told; NULL = none. */
job *job_book_expired(const job_book *b, uint64_t now_us);
void job_book_forget(job_book *b, job *j);
/* When one of these may have something; UINT64_MAX = not by time.  run_us: from when on the caller can begin a run. */
uint64_t job_book_due_us(const job_book *b, uint64_t run_us);
/* Oldest first, behind `after` (NULL = from the beginning); NULL = there is none.  Those of one instant go by id. */
const job *job_book_behind(const job_book *b, const job *after);
/* The first behind where one that is no more would be. */
const job *job_book_later(const job_book *b, uint64_t accepted_us, const job_id *id);
uint64_t job_book_oldest_us(const job_book *b);   /* when the oldest that is not over was accepted; 0 = none */

#endif
