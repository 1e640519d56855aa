#include "serve/job_rest.h"

#include "base/mem.h"
#include "net/inner.h"
#include "wire/cloud_event.h"
#include "wire/json_text.h"

#include <stdio.h>

enum { TARGET_ROOM = 8 << 10, REPLY_MAX = 1 << 20, LIST_DEFAULT = 100, RESULT_HEADERS_MAX = 8 };

/* An order and the call that waits for it. */
typedef struct {
    job_order order;
    endpoints *endpoints;
    http_call *call;
    const http_request *req;        /* of the call: it lives until the answer */
    job_meta meta;
    char target[TARGET_ROOM];
    /* LIST: pages are of jobs that may be seen, so what is read is not what is shown */
    buf page;
    size_t wanted, shown;
    job_view last;                  /* of those shown */
    bool on;                        /* not the first reading */
} job_call;

static void reply_err(http_call *call, int status, const err *e)
{
    if (e->code == ERR_UNAUTHENTICATED || (e->code == ERR_FORBIDDEN && status == 403)) guard_refuse(call, e);
    else http_reply_error(call, status, e->text);
}

/* ---- asking ---- */

static bool prefers_async(const http_request *req)
{
    http_header_span all = http_headers_of(req, HTTP_FIELD_PREFER);
    for (size_t i = 0; i < all.count; i++) {
        str rest = all.at[i].value, one;
        if (!str_is_nocase(all.at[i].name, "prefer")) continue;
        while (rest.len) {
            one = str_next(&rest, ',');
            str name = str_next(&one, ';'), text = STR("");   /* parameters say nothing of it */
            (void)str_cut(name, '=', &name, &text);
            text = str_trim(text);
            if (str_is_nocase(str_trim(name), "respond-async") && (!text.len || str_is(text, "\"\""))) return true;
        }
    }
    return false;
}

static str asked(const http_request *req, const char *name)
{
    return http_header_find(req->headers, req->header_count, name);
}

/* Without a folder for jobs the preference is one that is not met, as RFC 7240 has it; a webhook is a demand. */
bool job_wanted(const endpoints *s, const http_request *req)
{
    return http_header_get(req, HTTP_FIELD_PROA_WEBHOOK).len || (prefers_async(req) && s->jobs);
}

err_code job_refuse(const http_request *req, job_never why, err *e)
{
    static const char *const texts[] = {
        [JOB_NEVER_RPC] = "a REST request, got it over gRPC",
        [JOB_NEVER_STREAM] = "an answer that is no stream, got it with generate_stream"};
    if (!http_header_get(req, HTTP_FIELD_PROA_WEBHOOK).len) return ERR_OK;
    return err_set(e, ERR_UNSUPPORTED, "jobs: expected Proa-Webhook with %s", texts[why]);
}

/* What the answer depends on, and nothing that says who asked. */
static bool is_kept(str name)
{
    static const char *const kept[] = {"content-type", "inference-header-content-length", "x-request-id", "traceparent",
                                       "tracestate", "accept"};
    for (size_t i = 0; i < COUNTOF(kept); i++)
        if (str_is_nocase(name, kept[i])) return true;
    return name.len > 3 && str_eq_nocase((str){name.p, 3}, STR("ce-"));
}

static err_code headers_keep(job_meta *m, const http_request *req, err *e)
{
    for (size_t i = 0; i < req->header_count; i++) {
        if (!is_kept(req->headers[i].name)) continue;
        if (m->header_count == JOB_HEADERS_MAX)
            return err_set(e, ERR_INVALID, "job: headers: expected at most %d that belong to it, got more",
                           JOB_HEADERS_MAX);
        m->headers[m->header_count++] = req->headers[i];
    }
    return ERR_OK;
}

/* ".../jobs" is ".../infer" then. */
static err_code target_print(job_call *c, err *e)
{
    str path = c->req->path;
    char other[TARGET_ROOM];
    bool own = str_ends(path, STR("/jobs"));
    bool fits = !own || path.len + 1 < sizeof other;
    if (own && fits) {
        memcpy(other, path.p, path.len - 4);
        memcpy(other + path.len - 4, "infer", 5);
        path = (str){other, path.len + 1};
    }
    size_t len;
    if (!fits || !inner_target(c->target, sizeof c->target, path, c->req->query, &len))
        return err_set(e, ERR_INVALID, "job: path: expected at most %d bytes, got more", TARGET_ROOM);
    c->meta.target = (str){c->target, len};
    return ERR_OK;
}

static err_code hook_read(job_call *c, err *e)
{
    str url = http_header_get(c->req, HTTP_FIELD_PROA_WEBHOOK), mode = asked(c->req, "proa-webhook-mode");
    if (mode.len && !str_is_nocase(mode, "binary") && !str_is_nocase(mode, "structured"))
        return err_set(e, ERR_INVALID, "Proa-Webhook-Mode: expected binary or structured, got '" STR_FMT "'",
                       STR_ARG(mode));
    c->meta.structured = str_is_nocase(mode, "structured");
    c->meta.hook = url;
    if (!url.len || jobs_allow_hook(c->endpoints->jobs, url, e)) return ERR_OK;
    return e->code;
}

/* ---- answers ---- */

static const char *state_name(job_state s)
{
    static const char *const names[JOB_STATES] = {"queued", "running", "done", "failed"};
    return names[s];
}

static void time_put(buf *out, const char *name, uint64_t us)
{
    char text[CLOUD_EVENT_TIME_BYTES];
    if (!us) return;
    cloud_event_time(text, us);
    buf_printf(out, ",\"%s\":\"%s\"", name, text);
}

static void view_put(buf *out, const job_view *v)
{
    static const char *const hooks[] = {NULL, "waiting", "delivered", "given up"};
    char id[JOB_ID_DIGITS + 1];
    job_id_print(&v->id, id);
    buf_printf(out, "{\"id\":\"%s\",\"status\":\"%s\",\"model\":", id, state_name(v->state));
    json_text_put(out, str_of(v->model));
    time_put(out, "accepted_at", v->accepted_us);
    time_put(out, "started_at", v->started_us);
    time_put(out, "ended_at", v->ended_us);
    if (v->status) buf_printf(out, ",\"http_status\":%u", v->status);
    if (hooks[v->hook]) buf_printf(out, ",\"webhook\":\"%s\"", hooks[v->hook]);
    buf_put_byte(out, '}');
}

/* 202 says where the job is, and when to look again. */
static void view_reply(http_call *call, const job_view *v, int status, bool applied)
{
    char id[JOB_ID_DIGITS + 1], where[JOB_ID_DIGITS + 8];
    http_header fields[3];
    size_t count = 0;
    buf out;
    job_id_print(&v->id, id);
    snprintf(where, sizeof where, "/jobs/%s", id);
    if (status == 202) fields[count++] = (http_header){STR("Location"), str_of(where)};
    if (status == 202) fields[count++] = (http_header){STR("Retry-After"), STR("1")};
    if (applied) fields[count++] = (http_header){STR("Preference-Applied"), STR("respond-async")};
    buf_init(&out, REPLY_MAX);
    view_put(&out, v);
    http_reply(call, &(http_response){.status = status,
                                      .content_type = STR("application/json"),
                                      .headers = fields,
                                      .header_count = count,
                                      .body = {buf_str(&out)}});
    buf_fini(&out);
}

/* What whoever asks may not see is not there. */
static void unknown_reply(http_call *call, str id)
{
    err e;
    err_set(&e, ERR_NOT_FOUND, "Job with id " STR_FMT " does not exist.", STR_ARG(id));
    reply_err(call, 404, &e);
}

static void hidden_reply(job_call *c)
{
    char id[JOB_ID_DIGITS + 1];
    job_id_print(&c->order.view.id, id);
    unknown_reply(c->call, str_of(id));
}

/* The page is whole: where the next one begins is said by its last job, should that be gone by then, by its instant. */
static void list_reply(job_call *c, bool more)
{
    err e;
    buf_put_byte(&c->page, ']');
    if (more) {
        char id[JOB_ID_DIGITS + 1];
        job_id_print(&c->last.id, id);
        buf_printf(&c->page, ",\"next\":\"/jobs?after=%s.%llu&limit=%zu\"", id,
                   (unsigned long long)c->last.accepted_us, c->wanted);
    }
    buf_put_byte(&c->page, '}');
    if (buf_check(&c->page, "jobs", &e)) reply_err(c->call, 503, &e);
    else coding_reply(&c->endpoints->coding, c->call, c->req, STR("application/json"), &c->page);
}

/* False = the page is not whole yet, and more is read. */
static bool list_read(job_call *c, const api_key *who)
{
    const job_view *views = (const job_view *)(const void *)c->order.bytes.p;
    job_order *o = &c->order;
    size_t i = 0;
    if (!c->on && o->view.model[0] && !guard_sees(who, str_of(o->view.model))) {
        hidden_reply(c);
        return true;
    }
    for (; i < o->list_count && c->shown < c->wanted; i++) {
        if (!guard_sees(who, str_of(views[i].model))) continue;
        if (c->shown++) buf_put_byte(&c->page, ',');
        view_put(&c->page, &views[i]);
        c->last = views[i];
    }
    bool more = i < o->list_count || o->list_more;
    if (!more || c->shown == c->wanted || !o->list_count) {
        list_reply(c, more && c->shown == c->wanted);
        return true;
    }
    c->on = true;
    o->id = views[i - 1].id;
    o->after_us = views[i - 1].accepted_us;
    o->list_max = JOBS_LIST_MAX;
    jobs_order(c->endpoints->jobs, o);
    return false;
}

static void result_reply(job_call *c)
{
    job_meta m;
    http_header fields[RESULT_HEADERS_MAX];
    http_response res = {.headers = fields, .body = {c->order.answer.body}};
    if (c->order.view.state < JOB_DONE) {
        view_reply(c->call, &c->order.view, 202, false);
        return;
    }
    if (!job_meta_read(c->order.answer.meta, &m)) {
        http_reply_error(c->call, 500, "job: its answer is of a form that is not known here");
        return;
    }
    res.status = (int)m.status;
    for (size_t i = 0; i < m.header_count; i++) {
        if (str_is_nocase(m.headers[i].name, "content-type")) res.content_type = m.headers[i].value;
        else if (res.header_count < RESULT_HEADERS_MAX) fields[res.header_count++] = m.headers[i];
    }
    http_reply(c->call, &res);
}

static void call_free(job_call *c)
{
    buf_fini(&c->order.bytes);
    buf_fini(&c->page);
    mem_free(c);
}

/* The thread has answered: may whoever asks see it?  Keys may have changed meanwhile. */
static void done(job_order *o)
{
    job_call *c = (job_call *)(void *)o;
    const api_key *who;
    err e UNINIT;
    err_code rc = guard_check(&c->endpoints->guard, c->req, &who, &e);
    bool one = o->mail.kind == JOB_ORDER_SHOW || o->mail.kind == JOB_ORDER_RESULT;
    bool good = rc == ERR_OK && !o->mail.failure.code;
    bool hidden = good && one && !guard_sees(who, str_of(o->view.model));
    if (good && o->mail.kind == JOB_ORDER_LIST && !list_read(c, who)) return;
    if (good && one && !hidden && str_is(c->req->method, "DELETE")) {
        o->mail.kind = JOB_ORDER_FORGET;
        jobs_order(c->endpoints->jobs, o);
        return;
    }
    if (rc) reply_err(c->call, err_http_status(e.code), &e);
    else if (o->mail.failure.code) reply_err(c->call, o->status, &o->mail.failure);
    else if (hidden) hidden_reply(c);
    else if (o->mail.kind == JOB_ORDER_SUBMIT) view_reply(c->call, &o->view, 202, prefers_async(c->req));
    else if (o->mail.kind == JOB_ORDER_SHOW) view_reply(c->call, &o->view, 200, false);
    else if (o->mail.kind == JOB_ORDER_RESULT) result_reply(c);
    else if (o->mail.kind == JOB_ORDER_FORGET) http_reply(c->call, &(http_response){.status = 204});
    call_free(c);
}

/* NULL = it is answered: there are no jobs, or there is no memory. */
static job_call *call_new(endpoints *s, http_call *call, const http_request *req, job_mail_kind kind)
{
    if (!s->jobs) {
        http_reply_error(call, 501, "jobs: expected a server with --jobs-dir, got one without");
        return NULL;
    }
    job_call *c = mem_new0(job_call, 1);
    if (!c) {
        http_reply_error(call, 503, "no memory for the request");
        return NULL;
    }
    c->endpoints = s;
    c->call = call;
    c->req = req;
    c->order.mail.kind = kind;
    c->order.on = http_call_loop(call);
    c->order.done = done;
    return c;
}

void job_submit(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    err e;
    job_call *c = call_new(s, call, req, JOB_ORDER_SUBMIT);
    if (!c) return;
    c->meta.model = args->model;
    c->order.meta = &c->meta;
    c->order.body = req->body;
    err_code rc = target_print(c, &e);
    if (rc == ERR_OK) rc = headers_keep(&c->meta, req, &e);
    if (rc == ERR_OK) rc = hook_read(c, &e);
    if (rc == ERR_OK) {
        jobs_order(s->jobs, &c->order);
        return;
    }
    http_reply_error(call, err_http_status(rc), e.text);
    call_free(c);
}

static void one(endpoints *s, http_call *call, const http_request *req, const route_args *args, job_mail_kind kind)
{
    job_call *c = call_new(s, call, req, kind);
    if (!c) return;
    if (job_id_parse(args->job, &c->order.id)) {
        jobs_order(s->jobs, &c->order);
        return;
    }
    unknown_reply(call, args->job);
    call_free(c);
}

void job_show(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    one(s, call, req, args, JOB_ORDER_SHOW);
}

void job_result(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    one(s, call, req, args, JOB_ORDER_RESULT);
}

/* First shown, as who may forget it depends on its model. */
void job_forget(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    one(s, call, req, args, JOB_ORDER_SHOW);
}

/* ID, or ID.INSTANT as `next` has it. */
static bool after_read(job_order *o, str text)
{
    str id = text, instant;
    if (str_cut(text, '.', &id, &instant) && !str_u64(instant, &o->after_us)) return false;
    return job_id_parse(id, &o->id);
}

/* "limit=N&after=ID" in any order. */
static err_code page_read(job_order *o, str query, err *e)
{
    str pair, name, text;
    o->list_max = LIST_DEFAULT;
    while (query.len) {
        uint64_t n;
        if (!str_cut(query, '&', &pair, &query)) {
            pair = query;
            query = STR("");
        }
        if (!str_cut(pair, '=', &name, &text)) name = pair, text = STR("");
        if (str_is(name, "limit") && str_u64(text, &n) && n >= 1 && n <= JOBS_LIST_MAX) o->list_max = n;
        else if (str_is(name, "limit"))
            return err_set(e, ERR_INVALID, "limit: expected an integer in 1..%d, got '" STR_FMT "'", JOBS_LIST_MAX,
                           STR_ARG(text));
        else if (!str_is(name, "after") || !after_read(o, text))
            return err_set(e, ERR_INVALID, "jobs: expected limit=N and after=ID, got '" STR_FMT "'", STR_ARG(pair));
    }
    return ERR_OK;
}

void job_list(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    err e;
    (void)args;
    job_call *c = call_new(s, call, req, JOB_ORDER_LIST);
    if (!c) return;
    if (page_read(&c->order, req->query, &e) == ERR_OK) {
        c->wanted = c->order.list_max;
        buf_init(&c->page, REPLY_MAX);
        buf_put_z(&c->page, "{\"jobs\":[");
        jobs_order(s->jobs, &c->order);
        return;
    }
    reply_err(call, 400, &e);
    call_free(c);
}

/* ---- running ---- */

/* Of the answer, what belongs to it and not to the call that it came by. */
static bool is_answers(str name)
{
    if (str_is_nocase(name, "inference-header-content-length") || str_is_nocase(name, "content-encoding")) return true;
    return name.len > 3 && str_eq_nocase((str){name.p, 3}, STR("ce-"));
}

static void header_add(job_run *r, str name, str text)
{
    if (r->header_count == RESULT_HEADERS_MAX) return;
    str put[2] = {name, text};
    for (size_t i = 0; i < 2; i++) {
        const char *at = (const char *)r->reply.p + r->reply.len;
        buf_put_str(&r->reply, put[i]);
        put[i].p = at;
    }
    r->headers[r->header_count++] = (http_header){put[0], put[1]};
}

static void failed(job_run *r, int status, const char *text)
{
    buf_fini(&r->reply);
    buf_init(&r->reply, REPLY_MAX);
    r->header_count = 0;
    r->headers[r->header_count++] = (http_header){STR("content-type"), STR("application/json")};
    r->reply_at = 0;
    r->status = (uint32_t)status;
    buf_put_z(&r->reply, "{\"error\":");
    json_text_put(&r->reply, str_of(text));
    buf_put_byte(&r->reply, '}');
    jobs_ran(r);
}

static void answered(void *ctx, const http_response *res)
{
    job_run *r = ctx;
    size_t room = 64;
    if (!res) return;   /* the server ends: it is run behind the next start */
    for (size_t i = 0; i < res->header_count; i++) room += res->headers[i].name.len + res->headers[i].value.len;
    room += res->content_type.len + res->body[0].len + res->body[1].len;
    if (!buf_room(&r->reply, room)) {
        failed(r, 413, "job: its answer is larger than reply-bytes-max or jobs-bytes-max, or than the memory there is");
        return;
    }
    if (res->content_type.len) header_add(r, STR("content-type"), res->content_type);
    for (size_t i = 0; i < res->header_count; i++)
        if (is_answers(res->headers[i].name)) header_add(r, res->headers[i].name, res->headers[i].value);
    r->reply_at = r->reply.len;
    buf_put_str(&r->reply, res->body[0]);
    buf_put_str(&r->reply, res->body[1]);
    r->status = (uint32_t)res->status;
    jobs_ran(r);
}

void job_begin(job_run *r)
{
    endpoints *s = jobs_ctx(r->of);
    uint64_t json = 0;
    http_call *call;
    err e;
    inner_request q = {.method = STR("POST"), .target = r->meta.target, .headers = r->meta.headers,
                       .header_count = r->meta.header_count, .body = r->body, .answered = answered, .ctx = r};
    str split = http_header_find(r->meta.headers, r->meta.header_count, "inference-header-content-length");
    if (str_u64(split, &json) && json <= r->body.len) q.aligned = (size_t)json;
    err_code rc = inner_ask(s->server, r->on, &q, &call, &e);
    if (rc) failed(r, err_http_status(rc), e.text);
}
