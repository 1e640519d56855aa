/* http_field.h - the header fields that this server asks for, or that frame messages, by number instead of by name.
 *
 * Who reads a message finds out a field's number once; who asks for a field then need not compare names.  The index of
 * a message says where its fields are; the message owns it.  Pure functions: nothing is allocated. */
#ifndef WIRE_HTTP_FIELD_H
#define WIRE_HTTP_FIELD_H
#include "wire/http_header.h"

/* Ordered by length; in lower case. */
#define HTTP_FIELDS(X) \
    X(HOST, "host") \
    X(ACCEPT, "accept") \
    X(EXPECT, "expect") \
    X(ORIGIN, "origin") \
    X(PREFER, "prefer") \
    X(UPGRADE, "upgrade") \
    X(X_API_KEY, "x-api-key") \
    X(CONNECTION, "connection") \
    X(TRACEPARENT, "traceparent") \
    X(CONTENT_TYPE, "content-type") \
    X(GRPC_TIMEOUT, "grpc-timeout") \
    X(PROA_WEBHOOK, "proa-webhook") \
    X(X_REQUEST_ID, "x-request-id") \
    X(AUTHORIZATION, "authorization") \
    X(GRPC_ENCODING, "grpc-encoding") \
    X(X_PROA_TIMING, "x-proa-timing") \
    X(CE_SPECVERSION, "ce-specversion") \
    X(CONTENT_LENGTH, "content-length") \
    X(HTTP2_SETTINGS, "http2-settings") \
    X(ACCEPT_ENCODING, "accept-encoding") \
    X(CONTENT_ENCODING, "content-encoding") \
    X(PROXY_CONNECTION, "proxy-connection") \
    X(TRANSFER_ENCODING, "transfer-encoding") \
    X(TRITON_GRPC_ERROR, "triton_grpc_error") \
    X(GRPC_ACCEPT_ENCODING, "grpc-accept-encoding") \
    X(ACCESS_CONTROL_REQUEST_METHOD, "access-control-request-method") \
    X(ACCESS_CONTROL_REQUEST_HEADERS, "access-control-request-headers") \
    X(X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, "x-envoy-expected-rq-timeout-ms") \
    X(INFERENCE_HEADER_CONTENT_LENGTH, "inference-header-content-length")

typedef enum {
#define X(member, name) HTTP_FIELD_##member,
    HTTP_FIELDS(X)
#undef X
    HTTP_FIELD_OTHER            /* one that nobody asks for; the number of all others */
} http_field;

http_field http_field_of(str name);     /* ASCII letters match without case */
str http_field_name(http_field f);      /* in lower case; not of HTTP_FIELD_OTHER */

/* All zero: no fields. */
typedef struct {
    uint32_t has, repeats;              /* a bit for each field: it is there; it is there more than once */
    uint32_t first[HTTP_FIELD_OTHER];   /* place of the first one, where it is there */
} http_field_index;

void http_field_index_add(http_field_index *x, http_field f, size_t place);   /* the places ascend */
/* Of `count` headers those from the first to the last that may be `f`; the names of others can be among them.
 * x == NULL: nobody has looked. */
http_header_span http_field_span(const http_field_index *x, http_field f, const http_header *headers, size_t count);
/* The value of the first one; empty (p not NULL) when there is none. */
str http_field_get(const http_field_index *x, http_field f, const http_header *headers, size_t count);

#endif
