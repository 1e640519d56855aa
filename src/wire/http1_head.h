/* http1_head.h - the head of a request as nearly every client writes it, read in one pass.
 *
 * Takes only what no two parsers can read in two ways, and only when all of it is there: GET or POST, a path, HTTP/1.1,
 * one Host, at most one Content-Length, no other field that says how a message is framed or goes on, printable ASCII.
 * Everything else - what is split, unusual, too long or wrong - is left to llhttp, which also refuses it: see http1.h,
 * whose tests read each stream whole and byte by byte, so by both.  Nothing is owned. */
#ifndef WIRE_HTTP1_HEAD_H
#define WIRE_HTTP1_HEAD_H
#include "wire/http1.h"

typedef struct {
    size_t bytes;               /* of the head, its blank line included */
    uint64_t body_bytes;
} http1_head;

/* Of the head that `bytes` begin with.  `into` is clear, and clear again where it is false. */
bool http1_head_read(http_message *into, str bytes, const http1_limits *limits, http1_head *ret) MUST_USE;
bool http1_head_host_ok(str host);   /* no character but those of a host and a port */

#endif
