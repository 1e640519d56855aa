#include "serve/event_rest.h"

#include "base/mem.h"
#include "jobs/job_event.h"
#include "net/inner.h"
#include "os/clock.h"
#include "wire/cloud_event.h"

#include <stdio.h>

enum { TARGET_ROOM = 8 << 10, UUID_BYTES = 37, ENVELOPE_ROOM = 4096, MODEL_ROOM = 1024, PASSED_MAX = 4 };

/* A question that is under way. */
typedef struct {
    http_call *call;
    http_call *inner;               /* NULL = not any more */
    loop *on;
    cloud_event_mode mode;
    char source[sizeof JOB_EVENT_SOURCE + MODEL_ROOM];
    char target[TARGET_ROOM];
} event_call;

bool event_is(const http_request *req)
{
    if (http_header_get(req, HTTP_FIELD_CE_SPECVERSION).len) return true;   /* whichever it is */
    str type = http_header_get(req, HTTP_FIELD_CONTENT_TYPE);
    const http_header one = {STR("content-type"), type};
    return type.len > 12 && (type.p[12] | 32) == 'c' && cloud_event_mode_of(&one, 1) != CLOUD_EVENT_NONE;
}

static void uuid_print(loop *on, char ret[UUID_BYTES])
{
    uint64_t a = loop_random(on), b = loop_random(on);
    snprintf(ret, UUID_BYTES, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xFFFF),
             (unsigned)(a & 0xFFF), (unsigned)(0x8000 | (b >> 48 & 0x3FFF)),
             (unsigned long long)(b & 0xFFFFFFFFFFFF));
}

static void structured_reply(http_call *call, const cloud_event *ev, const http_response *res)
{
    buf data, out;
    err e;
    size_t bytes = res->body[0].len + res->body[1].len;
    buf_init(&data, bytes + 1);
    buf_init(&out, 2 * bytes + ENVELOPE_ROOM);
    buf_put_str(&data, res->body[0]);
    buf_put_str(&data, res->body[1]);
    if (!data.full) cloud_event_put(&out, ev, buf_str(&data));
    if (data.full || buf_check(&out, "CloudEvent", &e))
        http_reply_error(call, 503, "CloudEvent: no memory for the answer");
    else
        http_reply(call, &(http_response){.status = 200,
                                          .content_type = STR(CLOUD_EVENT_TYPE),
                                          .body = {buf_str(&out)}});
    buf_fini(&data);
    buf_fini(&out);
}

static void binary_reply(http_call *call, cloud_event *ev, const http_response *res)
{
    buf text;
    http_header fields[CLOUD_EVENT_FIELDS + PASSED_MAX];
    http_response with = *res;
    err e;
    buf_init(&text, ENVELOPE_ROOM);
    ev->source = cloud_event_field_text(&text, ev->source);
    size_t n = cloud_event_fields(ev, fields);
    for (size_t i = 0; i < res->header_count && i < PASSED_MAX; i++) fields[n++] = res->headers[i];
    with.headers = fields;
    with.header_count = n;
    if (buf_check(&text, "CloudEvent", &e)) http_reply_error(call, 503, "CloudEvent: no memory for the answer");
    else http_reply(call, &with);
    buf_fini(&text);
}

static void answered(void *ctx, const http_response *res)
{
    event_call *c = ctx;
    char id[UUID_BYTES], time[CLOUD_EVENT_TIME_BYTES];
    if (res && res->status >= 300) {
        http_reply(c->call, res);
    } else if (res) {
        uuid_print(c->on, id);
        cloud_event_time(time, clock_wall_us());
        cloud_event ev = {.id = str_of(id), .source = str_of(c->source), .type = STR(JOB_EVENT_TYPE),
                          .time = str_of(time), .data_type = res->content_type};
        if (c->mode == CLOUD_EVENT_STRUCTURED) structured_reply(c->call, &ev, res);
        else binary_reply(c->call, &ev, res);
    }
    mem_free(c);
}

static void client_gone(void *ctx)
{
    event_call *c = ctx;
    inner_cancel(c->inner);
}

/* What goes on with the data: nothing of the event, and nothing about how the answer is packed. */
static size_t fields_pass(const http_request *req, str data_type, http_header ret[PASSED_MAX])
{
    static const http_field passed[] = {HTTP_FIELD_INFERENCE_HEADER_CONTENT_LENGTH, HTTP_FIELD_X_REQUEST_ID,
                                        HTTP_FIELD_TRACEPARENT};
    size_t n = 0;
    ret[n++] = (http_header){STR("content-type"), data_type.len ? data_type : STR("application/json")};
    for (size_t i = 0; i < COUNTOF(passed); i++) {
        str value_of = http_header_get(req, passed[i]);
        if (value_of.len) ret[n++] = (http_header){http_field_name(passed[i]), value_of};
    }
    return n;
}

static err_code ask(endpoints *s, event_call *c, const http_request *req, err *e)
{
    http_header fields[PASSED_MAX];
    cloud_event ev;
    buf decoded;
    inner_request q = {.method = STR("POST"), .headers = fields, .answered = answered, .ctx = c};
    uint64_t json;
    buf_init(&decoded, 2 * req->body.len + 1);
    c->mode = cloud_event_mode_of(req->headers, req->header_count);
    const http_header_span headers = {req->headers, req->header_count};
    err_code rc = cloud_event_read(c->mode, headers, req->body, &decoded, &ev, &q.body, e);
    if (rc == ERR_OK && !inner_target(c->target, sizeof c->target, req->path, req->query, &q.target.len))
        rc = err_set(e, ERR_INVALID, "CloudEvent: path: expected at most %d bytes, got more", TARGET_ROOM);
    if (rc == ERR_OK) {
        q.target.p = c->target;
        q.header_count = fields_pass(req, ev.data_type, fields);
        bool split = str_u64(http_header_get(req, HTTP_FIELD_INFERENCE_HEADER_CONTENT_LENGTH), &json);
        if (split && json <= q.body.len) q.aligned = (size_t)json;
        http_call *call = c->call, *inner = NULL;
        rc = inner_ask(s->server, c->on, &q, &inner, e);
        if (rc == ERR_OK && inner) {
            c->inner = inner;
            if (http_call_gone(call)) inner_cancel(inner);
            else http_call_on_gone(call, client_gone, c);
        }
    }
    buf_fini(&decoded);
    return rc;
}

void event_infer(endpoints *s, http_call *call, const http_request *req, str of)
{
    err e;
    event_call *c = mem_new0(event_call, 1);
    if (!c) {
        http_reply_error(call, 503, "no memory for the request");
        return;
    }
    c->call = call;
    c->on = http_call_loop(call);
    snprintf(c->source, sizeof c->source, JOB_EVENT_SOURCE "%.*s", (int)(of.len < MODEL_ROOM ? of.len : MODEL_ROOM),
             of.p);
    err_code rc = ask(s, c, req, &e);
    if (rc == ERR_OK) return;
    http_reply_error(call, err_http_status(rc), e.text);
    mem_free(c);
}
