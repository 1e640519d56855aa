/* job_meta.h - what a record of the log says of a job, besides the bytes that were asked or answered.
 *
 * Of a question: what path it goes to, with which headers.  Of an answer: its status and headers, and again what is
 * wanted of the job, so that the question's record is of no more use.  No header that proves who somebody is gets
 * here.  Numbers are little endian, texts have their length before them; reading takes nothing on trust. */
#ifndef JOBS_JOB_META_H
#define JOBS_JOB_META_H
#include "base/buf.h"
#include "wire/http_header.h"

enum { JOB_HEADERS_MAX = 32, JOB_META_BYTES_MAX = 64 << 10 };

typedef struct {
    uint64_t accepted_us, started_us, ended_us;   /* since the epoch; 0 = not yet */
    uint32_t status;                /* of the answer; 0 = there is none yet */
    bool structured;                /* the event for `hook` is one JSON document */
    str model, target, hook;        /* target: path, with a query; hook: "" = none */
    http_header headers[JOB_HEADERS_MAX];
    size_t header_count;
} job_meta;

void job_meta_put(buf *out, const job_meta *m);
bool job_meta_read(str bytes, job_meta *ret) MUST_USE;   /* views into bytes; false = damaged */

#endif
