/* job_store.h - the log of jobs as files: DIR/<number>.jobs, appended to and synced by one thread.
 *
 * job_store_put() appends; what was put is durable once job_store_sync() has returned ERR_OK, and where that failed,
 * all since the sync before is taken back.  A file is begun with the first record behind a start, a failed sync or
 * segment_bytes, so what is wrong at the end of an old one is never written behind.  A full disk costs the record that
 * finds no room, and nothing of it stays.
 * A file of another form ends the opening; one whose head is damaged is kept beside, as <number>.jobs.damaged.
 * Opening reads all that is there: each record that is whole, oldest first.  Only the oldest file can be dropped, when
 * all that is of use in it was put again and synced: a record is so never gone before those that it replaces.  Dropping
 * needs no room on the disk. */
#ifndef JOBS_JOB_STORE_H
#define JOBS_JOB_STORE_H
#include "base/err.h"
#include "jobs/job_log.h"

typedef struct job_store job_store;

typedef struct {
    uint32_t segment;
    uint64_t at, bytes;             /* of the record, head and all */
} job_place;

typedef struct {
    const char *path;               /* borrowed */
    uint64_t segment_bytes;
    /* With each record that is there, in order; an error ends the opening. */
    err_code (*found)(void *ctx, const job_record *r, const job_place *at, err *e);
    void *ctx;
} job_store_opts;

/* ERR_CONFLICT: another process has the folder. */
err_code job_store_open(job_store **ret, const job_store_opts *opts, err *e) MUST_USE;
void job_store_free(job_store *s);
DEFINE_CLEANUP(job_store)
err_code job_store_put(job_store *s, const job_record *r, job_place *ret, err *e) MUST_USE;
err_code job_store_sync(job_store *s, err *e) MUST_USE;
/* into: cleared first, holds what *ret points to.  ERR_INVALID = it is damaged, or was and went with its file. */
err_code job_store_read(job_store *s, const job_place *at, buf *into, job_record *ret, err *e) MUST_USE;
uint64_t job_store_bytes(const job_store *s);       /* of all its files */
uint64_t job_store_damaged(const job_store *s);     /* stretches gone over at the opening; not what a crash cut off */
/* What was put since the last sync is no more; the next record takes its place. */
void job_store_undo(job_store *s);
uint64_t job_store_unread(const job_store *s);      /* files kept beside at the opening */
/* The oldest file that is not being written; false = there is none. */
bool job_store_oldest(const job_store *s, uint32_t *ret);
bool job_store_first(const job_store *s, uint32_t *ret);   /* the oldest one, even where it is being written */
/* That one; nothing was put since the last sync. */
err_code job_store_drop_oldest(job_store *s, err *e) MUST_USE;
/* What was dropped does not come back behind a power loss. */
err_code job_store_drop_sync(job_store *s, err *e) MUST_USE;

#endif
