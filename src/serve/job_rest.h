/* job_rest.h - jobs over REST: an inference that is answered later (docs/jobs.md).
 *
 *   POST .../infer, :predict, /generate with Prefer: respond-async, or POST .../jobs   202, Location: /jobs/ID
 *   GET /jobs, GET /jobs/ID, GET /jobs/ID/result, DELETE /jobs/ID
 *
 * A job is run as a request that the server asks itself (net/inner.h), so its answer is the one that would have been
 * given at once.  Whoever may use the model may read the job; what proves who asked is not kept.  All of this is on the
 * call's loop; the calls are taken over. */
#ifndef SERVE_JOB_REST_H
#define SERVE_JOB_REST_H
#include "jobs/jobs.h"
#include "serve/endpoint.h"
#include "serve/route.h"

bool job_wanted(const endpoints *s, const http_request *req);   /* it prefers that, and there are jobs; or has a hook */
/* What is never a job: a preference is not met, but a webhook that would never be told is ERR_UNSUPPORTED. */
typedef enum { JOB_NEVER_RPC, JOB_NEVER_STREAM } job_never;
err_code job_refuse(const http_request *req, job_never why, err *e) MUST_USE;
/* The model is there and may be used. */
void job_submit(endpoints *s, http_call *call, const http_request *req, const route_args *args);
void job_list(endpoints *s, http_call *call, const http_request *req, const route_args *args);
void job_show(endpoints *s, http_call *call, const http_request *req, const route_args *args);
void job_result(endpoints *s, http_call *call, const http_request *req, const route_args *args);
void job_forget(endpoints *s, http_call *call, const http_request *req, const route_args *args);
void job_begin(job_run *r);   /* jobs_opts.run; its ctx = endpoints */

#endif
