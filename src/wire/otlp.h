/* otlp.h - spans as OpenTelemetry's collector takes them: OTLP 1.x, protobuf, for POST /v1/traces.
 *
 *   otlp_open(&batch, ...) --> otlp_span_put() as often as wanted --> otlp_close()
 *
 * Only bytes: failures stay in the buf.  Text that is not UTF-8 would make a collector refuse the whole batch, so it is
 * written with '?' in place of what is wrong. */
#ifndef WIRE_OTLP_H
#define WIRE_OTLP_H
#include "base/buf.h"
#include "wire/trace_context.h"

typedef struct {
    str key, text;                      /* text.p NULL = the number */
    int64_t number;
} otlp_attribute;

typedef enum { OTLP_INTERNAL = 1, OTLP_SERVER = 2 } otlp_kind;

typedef struct {
    const uint8_t *trace_id, *span_id, *parent_id;   /* parent_id NULL = a root */
    bool parent_remote;                 /* the parent is another process's */
    uint8_t flags;                      /* W3C's */
    str state, name;
    otlp_kind kind;
    uint64_t start_ns, end_ns;          /* since the epoch */
    const otlp_attribute *attributes;
    size_t attribute_count;
    bool failed;
    str message;                        /* of the failure */
} otlp_span;

typedef struct {
    size_t resource, scope;             /* private */
} otlp_batch;

/* One resource (who), one scope (which library). */
void otlp_open(otlp_batch *b, buf *out, const otlp_attribute *resource, size_t count, str scope, str version);
void otlp_span_put(buf *out, const otlp_span *s);
void otlp_close(otlp_batch *b, buf *out);
/* An answer of 200: how many spans the collector refused for all that. */
err_code otlp_reply_read(str body, uint64_t *ret_rejected, err *e) MUST_USE;

#endif
