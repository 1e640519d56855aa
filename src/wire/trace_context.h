/* trace_context.h - who asked, across services: W3C Trace Context (Recommendation, level 1).
 *
 * `traceparent` is read strictly: it has to come once, in lower case, with ids that are not zero; of a version above 00
 * the part that this one knows counts.  What does not fit is ignored whole, and then so is `tracestate`; a tracestate
 * that is wrong by itself is ignored alone.  The Recommendation has no header for answers.  Pure functions: views
 * point into the headers. */
#ifndef WIRE_TRACE_CONTEXT_H
#define WIRE_TRACE_CONTEXT_H
#include "wire/http_header.h"

enum {
    TRACE_ID_BYTES = 16, SPAN_ID_BYTES = 8,
    TRACE_STATE_BYTES_MAX = 512,        /* what everybody has to pass on; of more, entries are left out at the end */
    TRACE_STATE_ENTRIES_MAX = 32
};

typedef struct {
    bool valid;                         /* there was a traceparent */
    bool sampled;
    uint8_t flags;
    uint8_t trace_id[TRACE_ID_BYTES], span_id[SPAN_ID_BYTES];
    str id;                             /* the trace's, 32 hex digits as they came; empty when there is none */
} trace_context;

bool trace_context_parse(str traceparent, trace_context *ret);
void trace_context_read(const http_header *headers, size_t count, trace_context *ret);
/* The tracestate of all its headers, joined; its bytes, 0 = none or wrong. */
size_t trace_context_state(const http_header *headers, size_t count, char ret[TRACE_STATE_BYTES_MAX]);

#endif
