/* job_teller.h - tells a job's webhook that it is over: a few threads of their own, one event each at a time.
 *
 * A webhook that hangs holds one of JOB_TELLERS threads for JOB_TELL_WAIT_US and nothing else.  https is verified, as
 * net/client.h does; redirects are not followed.  An answer ends with its head: 2xx = told; 408, 425, 429 and 5xx, or
 * no answer = another time; any other will not change.  Threads start with the first event. */
#ifndef JOBS_JOB_TELLER_H
#define JOBS_JOB_TELLER_H
#include "base/buf.h"
#include "jobs/job_id.h"
#include "net/tls_trust.h"
#include "wire/http_header.h"

enum { JOB_TELLERS = 4, JOB_TELL_HEADERS_MAX = 48, JOB_HOOK_BYTES_MAX = 1024, JOB_TELL_WAIT_US = 10 * 1000000 };

typedef enum { JOB_TELL_TOLD, JOB_TELL_LATER, JOB_TELL_NEVER } job_tell_result;

typedef struct job_teller job_teller;

typedef struct {
    const tls_trust *trust;         /* borrowed; NULL = the system's authorities */
    const char *hosts;              /* allowed ones: HOST or HOST:PORT, by commas, or * */
    uint64_t wait_us;               /* 0 = JOB_TELL_WAIT_US */
} job_teller_opts;

/* One event: owned by the teller from job_teller_put() to done(). */
typedef struct job_tell {
    job_id id;
    char id_text[JOB_ID_DIGITS + 1];
    char url[JOB_HOOK_BYTES_MAX + 1];
    http_header headers[JOB_TELL_HEADERS_MAX];   /* into `bytes`, or for ever */
    size_t header_count;
    buf bytes;                      /* what headers and body lie in */
    buf text;                       /* the same, of what was printed */
    str body;
    job_tell_result result;         /* in done() */
    int status;                     /* of its answer; 0 = there was none, and `failure` says why */
    err failure;
    void (*done)(struct job_tell *t);   /* on a thread of the teller */
    void *of;
} job_tell;

/* "http[s]://HOST[:PORT]/..." and allowed by `hosts`: ERR_INVALID, ERR_FORBIDDEN. */
err_code job_hook_check(str url, const char *hosts, err *e) MUST_USE;

/* Whether each of `hosts` can be met: HOST, HOST:PORT or *. */
err_code job_hosts_check(const char *hosts, err *e) MUST_USE;

/* Before job_teller_new(): what `trust` names can be used; without it, nothing is read. */
err_code job_teller_check(const job_teller_opts *opts, err *e) MUST_USE;
err_code job_teller_new(job_teller **ret, const job_teller_opts *opts, err *e) MUST_USE;
/* Ends what is under way: done() comes for each, JOB_TELL_LATER. */
void job_teller_free(job_teller *t);
DEFINE_CLEANUP(job_teller)
/* False = all are busy, or no thread can be started.  One thread calls it. */
bool job_teller_put(job_teller *t, job_tell *one) MUST_USE;
bool job_teller_idle(const job_teller *t);   /* one could be put now */
bool job_teller_rests(const job_teller *t);  /* none is under way; done() of the last may still be to come */

#endif
