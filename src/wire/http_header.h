/* http_header.h - what every version of HTTP and its users share: header fields, and the date.
 *
 * A field is two views; whoever made them says how long they live.  Names are matched without case.
 * Pure functions: nothing is owned, nothing allocated. */
#ifndef WIRE_HTTP_HEADER_H
#define WIRE_HTTP_HEADER_H
#include "base/str.h"

enum { HTTP_HEADER_DATE_BYTES = 29, HTTP_TRAILERS_MAX = 8 };   /* of an answer */

typedef struct {
    str name, value;
} http_header;

typedef struct {
    const http_header *at;
    size_t count;
} http_header_span;

/* The value of the first field of that name; empty (p not NULL) when there is none. */
str http_header_find(const http_header *headers, size_t count, const char *name);
/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7), not NUL-terminated; for the years 1970 to 9999. */
void http_header_date(char ret[HTTP_HEADER_DATE_BYTES], uint64_t unix_seconds);

#endif
