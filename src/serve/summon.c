#include "serve/summon.h"

#include "base/mem.h"
#include "models/model_keeper.h"
#include "os/clock.h"
#include "serve/alias_rest.h"
#include "serve/deadline.h"
#include "serve/patience.h"
#include "serve/v2.h"

typedef struct {
    model_summons at;
    endpoints *endpoints;
    http_call *call;
    const http_request *req;
    route_args args;
} call_wait;

typedef struct {
    model_summons at;
    ask *of;
    void (*again)(ask *a);
} ask_wait_for;

summon_end summon_find(const summon_way *w, err *e)
{
    err why UNINIT;
    for (int looks = 1;; looks++) {
        err_code rc = w->look(w->ctx, &why);
        if (rc == ERR_OK) return SUMMON_FOUND;
        bool brings = rc == ERR_NOT_FOUND && w->summon;
        if (brings && w->summon(w->ctx)) return SUMMON_COMES;
        if (brings && looks < SUMMON_LOOKS) continue;
        *e = why;
        return SUMMON_FAILED;
    }
}

static void call_over(loop *on, loop_msg *m)
{
    call_wait *w = (call_wait *)(void *)((char *)m - offsetof(call_wait, at.msg));
    endpoints *s = w->endpoints;
    if (w->at.failure.code) metric_limit_hit(&s->pools_of(s->ctx, on)->counts, w->at.failure.limit);
    if (w->at.failure.code) http_reply_failed(w->call, &w->at.failure);
    else if (http_call_gone(w->call)) http_reply_error(w->call, err_http_status(ERR_CANCELLED), "the client is gone");
    else endpoints_again(s, w->call, w->req, &w->args);
    mem_free(w);
}

/* When its own timeout passes, where that counts; 0 = never. */
static uint64_t patience_end(const endpoints *s, str name, uint64_t asked_us, uint64_t patience_us)
{
    if (!patience_us || !repository_patience(s->models, name).own_timeout) return 0;
    return patience_us > UINT64_MAX - asked_us ? UINT64_MAX : asked_us + patience_us;
}

bool summon_call(endpoints *s, http_call *call, const http_request *req, const route_args *args,
                 const infer_protocol *protocol)
{
    err e;
    alias led;
    char text[ALIASES_NAME_MAX];
    uint64_t deadline_us;
    if (!s->keeper || !repository_comes(s->models, alias_rest_asked(args, text), args->version, &led)) return false;
    if (deadline_of(req, http_call_since_us(call), &deadline_us, &e)) {
        http_reply_failed(call, &e);
        return true;
    }
    call_wait *w = mem_new0(call_wait, 1);
    if (!w) {
        http_reply_error(call, err_http_status(ERR_NOMEM), "no memory for the request");
        return true;
    }
    *w = (call_wait){.endpoints = s, .call = call, .req = req, .args = *args};
    w->args.who = NULL;   /* it was let in, and keys may be others by then */
    w->args.asked_us = http_call_since_us(call);
    uint64_t patience_us = protocol == &v2_protocol ? patience_of_json(req) : 0;
    w->at.timeout_us = patience_end(s, args->model, w->args.asked_us, patience_us);
    w->at.name = args->model;
    w->at.since_us = http_call_since_us(call);
    w->at.deadline_us = deadline_us;
    w->at.on = http_call_loop(call);
    w->at.msg.run = call_over;
    keeper_summon(s->keeper, &w->at);
    return true;
}

static void ask_over(loop *on, loop_msg *m)
{
    (void)on;
    ask_wait_for *w = (ask_wait_for *)(void *)((char *)m - offsetof(ask_wait_for, at.msg));
    ask *a = w->of;
    a->failure = w->at.failure;
    void (*again)(ask *a) = w->again;
    mem_free(w);
    again(a);
}

bool summon_ask(ask *a, const summon_what *what, void (*again)(ask *a))
{
    endpoints *s = what->endpoints;
    alias led;
    if (!s->keeper || !repository_comes(s->models, what->name, what->version, &led)) return false;
    ask_wait_for *w = mem_new0(ask_wait_for, 1);
    if (!w) return false;   /* it is not found, then */
    *w = (ask_wait_for){.of = a, .again = again};
    if (!a->asked_us) a->asked_us = clock_now_us();
    uint64_t patience_us = what->message.p ? patience_of_message(what->message) : 0;
    w->at.timeout_us = patience_end(s, what->name, a->asked_us, patience_us);
    w->at.name = what->name;
    w->at.since_us = what->since_us;
    w->at.deadline_us = what->deadline_us;
    w->at.on = what->on;
    w->at.msg.run = ask_over;
    keeper_summon(s->keeper, &w->at);
    return true;
}
