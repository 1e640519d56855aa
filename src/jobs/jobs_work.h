/* jobs_work.h - the inside of jobs.h, for its three files: jobs.c takes orders and syncs, jobs_work.c begins runs,
 * tells webhooks and makes room, jobs_hand.c takes and gives the folder.
 *
 * All of this is the thread's, but for what is atomic. */
#ifndef JOBS_JOBS_WORK_H
#define JOBS_JOBS_WORK_H
#include "jobs/jobs.h"
#include "os/thread.h"

#include <stdatomic.h>

enum { JOBS_LOOK_US = 1000000 };

/* WAITING -> HELD -> GIVEN */
typedef enum { FOLDER_WAITING, FOLDER_HELD, FOLDER_GIVEN } folder_state;
typedef enum { COUNT_REFUSED, COUNT_TOLD, COUNT_UNTOLD, COUNT_LOST, COUNTS } jobs_count;

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): what every loop writes has a cache line of its own */
struct jobs {
    jobs_opts opts;
    thread thread;
    bool started;
    /* the thread's own, once it has started */
    folder_state folder;
    job_store *store;               /* HELD only, as the book's jobs and the teller */
    job_book book;
    job_teller *teller;
    job_mail *held, **held_end;     /* WAITING: orders */
    uint64_t held_until_us;         /* until then; 0 = nobody has waited */
    uint64_t give_until_us;         /* 0 = it is not to be given */
    job_run *runs;                  /* those that are out, */
    uint32_t run_count;             /* some of jobs that were forgotten */
    uint64_t probe_us;              /* JOBS_LOOK_US behind the last one's beginning */
    job_mail *batch, **batch_end;   /* put, not synced */
    uint64_t batch_bytes;
    uint32_t batch_asks;            /* how many of them are jobs */
    size_t next_loop;
    uint64_t last_us;               /* when the last one was accepted */
    uint64_t look_us;               /* while the disk fails: when to look for room again */
    uint64_t failed_us;             /* when it did last */
    bool failing, works;            /* works: it took something since */
    _Alignas(64) mailbox in;
    _Atomic uint32_t events;
    _Atomic bool asleep, stopping, leaving, giving, given, over;
    _Atomic uint64_t counts[COUNTS], shown[8];   /* for metrics: see show() */
};

typedef struct {
    job_mail mail;
    job_tell tell;
} told_mail;

void jobs_send(jobs *j, job_mail *m);           /* any thread */
void jobs_wake(jobs *j);                        /* the same */
void jobs_mail(jobs *j, job_mail *m);           /* HELD: takes it */
err_code jobs_sync(jobs *j);                    /* what was put is durable, or taken back, and answered */
void jobs_refuse(job_order *o, int status);     /* 0 = its failure's */
/* What the disk said: a line of log, unless it fails already. */
void jobs_failing(jobs *j, const err *e);
/* It took something.  Where it fails it works again, and a line says so, when nothing has failed for JOBS_LOOK_US: on a
 * disk that is nearly full small records find room between large ones that do not. */
void jobs_works(jobs *j);
void jobs_run_free(jobs *j, job_run *r);
/* When the next run may begin, UINT64_MAX = not by time.  While the disk fails one in JOBS_LOOK_US tries it: what
 * others would bring would be lost, and they take time from live requests. */
uint64_t jobs_run_us(const jobs *j);
void jobs_start_runs(jobs *j);
void jobs_start_tells(jobs *j);
void jobs_told(jobs *j, told_mail *m);          /* takes it */
void jobs_told_free(told_mail *m);
void jobs_expire(jobs *j);
/* Nothing waits for a sync.  While the disk fails: no more than once in JOBS_LOOK_US, by itself. */
void jobs_make_room(jobs *j);
/* A job that cannot be forgotten by a record for want of room, with all files up to its own, where they hold no other.
 * True = its record is gone from the log; *ret_durable: also behind a power loss. */
bool jobs_drop_with(jobs *j, const job *of, bool *ret_durable);
err_code jobs_hand_take(jobs *j, err *e);       /* opens and reads the folder; ERR_CONFLICT: another process has it */
/* WAITING and GIVEN: a turn of the thread, with the mail that came; the instant of the next, 0 = at once. */
uint64_t jobs_hand_turn(jobs *j, mail *m, bool stopping);
/* HELD and to be given: when to look again; 0 = it was given. */
uint64_t jobs_hand_give(jobs *j);

#endif
