#include "serve/later.h"

#include "base/mem.h"
#include "models/model_control.h"

enum { REPLY_MAX = 64 << 10 };

/* What is asked lives in the call until it is answered. */
typedef struct {
    endpoints *endpoints;
    http_call *call;
    route_args args;
    str body;
    rest_answer *fn;
    buf reply;
    err failure;
    compute_job job;
    loop_msg done;
} later;

static void answered(loop *on, loop_msg *m)
{
    (void)on;
    later *l = (later *)(void *)((char *)m - offsetof(later, done));
    if (l->failure.code)
        http_reply_error(l->call, err_http_status(l->failure.code), l->failure.text);
    else
        http_reply(l->call, &(http_response){.status = 200,
                                             .content_type = STR("application/json"),
                                             .body = {buf_str(&l->reply)}});
    buf_fini(&l->reply);
    mem_free(l);
}

static void work(compute_job *j)
{
    later *l = (later *)(void *)((char *)j - offsetof(later, job));
    err_code rc = l->fn(l->endpoints, &l->args, l->body, &l->reply, &l->failure);
    if (rc == ERR_OK) rc = buf_check(&l->reply, "answer", &l->failure);
    l->failure.code = rc;
    loop_post(http_call_loop(l->call), &l->done);
}

void later_answer(endpoints *s, http_call *call, const http_request *req, const route_args *args, rest_answer *fn)
{
    later *l = mem_new0(later, 1);
    if (!l) {
        http_reply_error(call, err_http_status(ERR_NOMEM), "no memory for the request");
        return;
    }
    *l = (later){.endpoints = s, .call = call, .args = *args, .body = req->body, .fn = fn};
    l->args.who = NULL;
    l->job.run = work;
    l->done.run = answered;
    buf_init(&l->reply, REPLY_MAX);
    if (model_control_submit(s->control, &l->job, &l->failure)) answered(NULL, &l->done);
}
