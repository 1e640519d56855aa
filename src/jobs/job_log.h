/* job_log.h - the log of jobs as bytes: segments of records.  No I/O.
 *
 *   segment   head (twice, so that one bad byte does not cost the whole), record, record, ...
 *   record    magic, CRC of its head, kind, id, lengths and CRCs of meta and body; meta (job_meta.h); body
 *
 * All sums are CRC-32C and begin with a number that each segment draws for itself: what a client sends cannot look like
 * a record, and bytes of an older file in the same place do not either.  A reader goes over what is damaged to the next
 * record that is whole; lengths are believed only where the sum over them is right.  What is cut off at the end is thus
 * no record. */
#ifndef JOBS_JOB_LOG_H
#define JOBS_JOB_LOG_H
#include "base/buf.h"
#include "jobs/job_id.h"

enum { JOB_LOG_FORM = 1, JOB_LOG_HEAD_BYTES = 64, JOB_RECORD_HEAD_BYTES = 48 };

typedef enum {
    JOB_RECORD_ASK = 1,     /* a job: meta and body of the question */
    JOB_RECORD_ANSWER,      /* it has ended: meta and body of the answer */
    JOB_RECORD_TOLD,        /* its hook took it; with a meta, whatever it is, the hook was given up */
    JOB_RECORD_FORGET,      /* it is no more: neither */
    JOB_RECORD_KINDS
} job_record_kind;

typedef struct {
    job_record_kind kind;
    job_id id;
    str meta, body;
} job_record;

typedef struct {
    uint64_t salt;              /* random */
    uint32_t number;            /* of the segment */
} job_log_head;

void job_log_head_put(buf *out, const job_log_head *head);
uint64_t job_record_bytes(const job_record *r);
/* Head and meta: the body's bytes follow. */
void job_record_put(buf *out, uint64_t salt, const job_record *r);
/* `bytes` are those of one whole record. */
bool job_record_read(str bytes, uint64_t salt, job_record *ret) MUST_USE;

typedef struct {
    job_log_head head;
    uint64_t damaged, torn;     /* stretches that were gone over, with a record behind them and without */
    uint64_t whole;             /* bytes up to the end of the last record that is whole */
    /* private */
    str bytes;
    size_t at;
    bool lost;
} job_log_reader;

/* bytes: of a segment, as many as there are; false = it has no head that can be read. */
bool job_log_begin(job_log_reader *r, str bytes) MUST_USE;
/* Of a segment without: another build's, whose form is not ours. */
bool job_log_is_other(str bytes);
/* The next record, views into the bytes, and where it begins; false = there is none any more. */
bool job_log_next(job_log_reader *r, job_record *ret, uint64_t *ret_at);

#endif
