/* job_event.h - what a webhook is told: the answer of a job as a CloudEvent 1.0.
 *
 * id and subject are the job's, source and type those of KServe's answers; the extension jobstatus is the answer's HTTP
 * status.  An answer that is an event goes out as it is, so the field Proa-Job names the job in any case.  Pure:
 * from a record to what is sent. */
#ifndef JOBS_JOB_EVENT_H
#define JOBS_JOB_EVENT_H
#include "jobs/job_log.h"
#include "jobs/job_meta.h"
#include "jobs/job_teller.h"

#define JOB_EVENT_TYPE "io.kserve.inference.response"
#define JOB_EVENT_SOURCE "io.kserve.inference."

/* Views into `answer` and `m`, or into t->text. */
err_code job_event_make(job_tell *t, const job_record *answer, const job_meta *m, err *e) MUST_USE;

#endif
