/* job_id.h - the name of a job.
 *
 * 128 random bits, so that only who was told it knows it; as text 32 hex digits in lower case.  Whoever makes a job
 * draws them from the kernel.  Pure functions. */
#ifndef JOBS_JOB_ID_H
#define JOBS_JOB_ID_H
#include "base/str.h"

enum { JOB_ID_BYTES = 16, JOB_ID_DIGITS = 32 };

typedef struct {
    uint8_t bytes[JOB_ID_BYTES];
} job_id;

void job_id_print(const job_id *id, char ret[JOB_ID_DIGITS + 1]);   /* lower case, NUL-terminated */
bool job_id_parse(str text, job_id *ret);                           /* false = that is none */

#endif
