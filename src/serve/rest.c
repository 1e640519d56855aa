#include "serve/rest.h"

#include "serve/deadline.h"
#include "serve/plain.h"
#include "serve/trace_entry.h"

#include <stdio.h>

static void answer(http_call *call, const infer *r)
{
    const char *type = r->protocol->content_type;
    http_response res = {.status = 200,
                         .content_type = type ? str_of(type) : STR("application/json"),
                         .body = {buf_str(&r->reply), r->tail}};
    char digits[24] UNINIT, timing[INFER_TIMING_BYTES] UNINIT;
    http_header fields[2 + CODING_HEADERS_MAX] UNINIT;
    if (r->reply_json_bytes) {
        int n = snprintf(digits, sizeof digits, "%zu", r->reply_json_bytes);
        fields[res.header_count++] = (http_header){STR("Inference-Header-Content-Length"), {digits, (size_t)n}};
        res.content_type = STR("application/octet-stream");
    }
    if (r->timed) fields[res.header_count++] = (http_header){STR("Server-Timing"), infer_timing(r, timing)};
    coding_wish wish = {r->packing, r->pack_bytes_min};
    res.header_count += coding_headers(&wish, r->packed, r->reply.len + r->tail.len, fields + res.header_count);
    res.headers = fields;
    http_reply(call, &res);
}

static void answered(infer *r)
{
    http_call *call = r->asker;
    int status = err_http_status(r->failure.code);
    traced_infer(r->traced, r);
    if (r->failure.code)
        http_reply_failed(call, &r->failure);
    else
        answer(call, r);
    traced_end(r->traced, false, status, r->failure.code ? r->failure.text : NULL);
    infer_give(r);
}

/* Nobody waits for the answer any more. */
static void client_gone(void *ctx) { infer_cancel(ctx); }

/* "Inference-Header-Content-Length: N" splits the body into JSON and tensors. */
static err_code split(infer *r, const http_request *req, size_t *ret_json_bytes, err *e)
{
    str length = http_header_get(req, HTTP_FIELD_INFERENCE_HEADER_CONTENT_LENGTH);
    uint64_t n = req->body.len;
    r->has_binary = length.len > 0;
    r->octets = str_is(http_header_get(req, HTTP_FIELD_CONTENT_TYPE), "application/octet-stream");
    r->plain = (uint8_t)plain_kind_of(http_header_get(req, HTTP_FIELD_CONTENT_TYPE));
    if (r->has_binary && (!str_u64(length, &n) || n > req->body.len))
        return err_set(e, ERR_INVALID,
                       "Inference-Header-Content-Length: expected bytes of JSON in 0..%zu, got '" STR_FMT "'",
                       req->body.len, STR_ARG(length));
    *ret_json_bytes = n;
    return ERR_OK;
}

void rest_infer(const rest_opts *o, http_call *call, const http_request *req)
{
    size_t json_bytes = 0;
    trace_context from;
    infer *r = infer_take(o->requests, o->model, o->protocol);
    if (!r) {
        http_reply_error(call, err_http_status(ERR_NOMEM), "no memory for the request");
        return;
    }
    r->on = http_call_loop(call);
    r->request_id = http_call_request_id(call);
    r->answered = answered;
    r->asker = call;
    r->asked_us = o->asked_us;
    http_header_span parents = http_headers_of(req, HTTP_FIELD_TRACEPARENT);
    trace_context_read(parents.at, parents.count, &from);
    r->trace_id = from.id;
    r->traced = traced_begin(o->traces, call, req, &from, true);
    if (r->trace) r->trace->at_ns[TRACE_AT_RECV_START] = http_call_since_us(call) * 1000;
    coding_wish wish = coding_wanted(o->coding, req);
    r->packing = wish.kind;
    r->pack_bytes_min = wish.bytes_min;
    r->timed = str_is(http_header_get(req, HTTP_FIELD_X_PROA_TIMING), "1");
    if (deadline_of(req, http_call_since_us(call), &r->deadline_us, &r->failure) ||
        split(r, req, &json_bytes, &r->failure)) {
        infer_refuse(r);
        return;
    }
    http_call_on_gone(call, client_gone, r);
    infer_start(r, req->body, json_bytes);
}
