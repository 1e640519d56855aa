#include "wire/otlp.h"

#include "wire/pb.h"

/* Field numbers of opentelemetry/proto/{collector/trace,trace,common,resource}/v1. */
enum {
    REQUEST_RESOURCE_SPANS = 1,
    RESOURCE_SPANS_RESOURCE = 1, RESOURCE_SPANS_SCOPE_SPANS = 2,
    RESOURCE_ATTRIBUTES = 1,
    SCOPE_SPANS_SCOPE = 1, SCOPE_SPANS_SPANS = 2,
    SCOPE_NAME = 1, SCOPE_VERSION = 2,
    SPAN_TRACE_ID = 1, SPAN_SPAN_ID = 2, SPAN_TRACE_STATE = 3, SPAN_PARENT = 4, SPAN_NAME = 5, SPAN_KIND = 6,
    SPAN_START = 7, SPAN_END = 8, SPAN_ATTRIBUTES = 9, SPAN_STATUS = 15, SPAN_FLAGS = 16,
    STATUS_MESSAGE = 2, STATUS_CODE = 3, STATUS_ERROR = 2,
    PAIR_KEY = 1, PAIR_VALUE = 2,
    VALUE_TEXT = 1, VALUE_NUMBER = 3,
    REPLY_PARTIAL = 1, PARTIAL_REJECTED = 1,
    FLAG_REMOTE_KNOWN = 0x100, FLAG_REMOTE = 0x200
};

static void text_put(buf *out, uint32_t number, str s)
{
    if (str_utf8_ok(s)) {
        pb_put_str(out, number, s);
        return;
    }
    pb_put_head(out, number, s.len);
    while (s.len > 0) {
        uint32_t code;
        size_t n = str_utf8_step(s, &code);
        if (n) buf_put(out, s.p, n);
        else buf_put_byte(out, '?');
        n += n == 0;
        s.p += n;
        s.len -= n;
    }
}

static void attributes_put(buf *out, uint32_t number, const otlp_attribute *a, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t pair = pb_open(out, number);
        pb_put_str(out, PAIR_KEY, a[i].key);
        size_t value = pb_open(out, PAIR_VALUE);
        if (a[i].text.p) text_put(out, VALUE_TEXT, a[i].text);
        else pb_put_i64(out, VALUE_NUMBER, a[i].number);
        pb_close(out, value);
        pb_close(out, pair);
    }
}

void otlp_open(otlp_batch *b, buf *out, const otlp_attribute *resource, size_t count, str scope, str version)
{
    b->resource = pb_open(out, REQUEST_RESOURCE_SPANS);
    size_t of = pb_open(out, RESOURCE_SPANS_RESOURCE);
    attributes_put(out, RESOURCE_ATTRIBUTES, resource, count);
    pb_close(out, of);
    b->scope = pb_open(out, RESOURCE_SPANS_SCOPE_SPANS);
    of = pb_open(out, SCOPE_SPANS_SCOPE);
    pb_put_str(out, SCOPE_NAME, scope);
    pb_put_str(out, SCOPE_VERSION, version);
    pb_close(out, of);
}

void otlp_span_put(buf *out, const otlp_span *s)
{
    uint32_t flags = s->flags;
    size_t span = pb_open(out, SCOPE_SPANS_SPANS);
    pb_put_bytes(out, SPAN_TRACE_ID, s->trace_id, TRACE_ID_BYTES);
    pb_put_bytes(out, SPAN_SPAN_ID, s->span_id, SPAN_ID_BYTES);
    if (s->state.len) text_put(out, SPAN_TRACE_STATE, s->state);
    if (s->parent_id) {
        pb_put_bytes(out, SPAN_PARENT, s->parent_id, SPAN_ID_BYTES);
        flags |= (uint32_t)FLAG_REMOTE_KNOWN | (s->parent_remote ? (uint32_t)FLAG_REMOTE : 0);
    }
    text_put(out, SPAN_NAME, s->name);
    pb_put_u64(out, SPAN_KIND, s->kind);
    pb_put_fixed64(out, SPAN_START, s->start_ns);
    pb_put_fixed64(out, SPAN_END, s->end_ns);
    attributes_put(out, SPAN_ATTRIBUTES, s->attributes, s->attribute_count);
    if (s->failed) {
        size_t status = pb_open(out, SPAN_STATUS);
        if (s->message.len) text_put(out, STATUS_MESSAGE, s->message);
        pb_put_u64(out, STATUS_CODE, STATUS_ERROR);
        pb_close(out, status);
    }
    pb_put_fixed32(out, SPAN_FLAGS, flags);
    pb_close(out, span);
}

void otlp_close(otlp_batch *b, buf *out)
{
    pb_close(out, b->scope);
    pb_close(out, b->resource);
}

err_code otlp_reply_read(str body, uint64_t *ret_rejected, err *e)
{
    pb m;
    pb_field f, inner;
    uint64_t rejected = 0;
    err_code rc = ERR_OK;
    pb_init(&m, body.p ? body.p : "", body.len);
    while (rc == ERR_OK && pb_next(&m, &f)) {
        if (f.number != REPLY_PARTIAL) continue;
        pb partial = pb_sub(&m, &f);
        while (pb_next(&partial, &inner))
            if (inner.number == PARTIAL_REJECTED) rejected = pb_u64(&partial, &inner);
        rc = pb_check(&partial, "partial_success", e);
    }
    if (rc == ERR_OK) rc = pb_check(&m, "ExportTraceServiceResponse", e);
    if (rc == ERR_OK) *ret_rejected = rejected;
    return rc;
}
