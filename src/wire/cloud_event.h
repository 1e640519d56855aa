/* cloud_event.h - CloudEvents 1.0 over HTTP: in the header fields ("binary") or as one JSON document ("structured").
 *
 * Reading says whether there is an event, which attributes it has and where its data lies; a document is only taken
 * apart at its outermost level, so who uses the data checks it.  Writing gives fields, or a document with the data as
 * it is where that is JSON, else in base64: of what is called JSON, where it says NaN or Infinity.  No I/O; attributes
 * are Unicode without control characters, others are refused. */
#ifndef WIRE_CLOUD_EVENT_H
#define WIRE_CLOUD_EVENT_H
#include "base/buf.h"
#include "wire/http_header.h"

#define CLOUD_EVENT_TYPE "application/cloudevents+json"

enum { CLOUD_EVENT_FIELDS = 8, CLOUD_EVENT_TIME_BYTES = 48 };

typedef enum { CLOUD_EVENT_NONE, CLOUD_EVENT_BINARY, CLOUD_EVENT_STRUCTURED } cloud_event_mode;

typedef struct {
    str id, source, type;           /* all three are there */
    str subject, time, data_type;   /* or "" */
} cloud_event;

cloud_event_mode cloud_event_mode_of(const http_header *headers, size_t count);
/* *ret_data: a view into body, or into `decoded` where it came as base64; so attributes, where they came with escapes.
 * decoded: empty before; of at least 2 * body.len + 1. */
err_code cloud_event_read(cloud_event_mode mode, http_header_span headers, str body, buf *decoded, cloud_event *ret,
                          str *ret_data, err *e) MUST_USE;

/* An attribute as the binary form has it: what is no printable ASCII, and blank, quote and percent, percent-encoded at
 * the end of `out`, else as it is. */
str cloud_event_field_text(buf *out, str attribute);
/* Fields of the binary form, without Content-Type, which is data_type; attributes as they are. */
size_t cloud_event_fields(const cloud_event *ev, http_header ret[CLOUD_EVENT_FIELDS]);
void cloud_event_put(buf *out, const cloud_event *ev, str data);
/* "2023-11-14T22:13:20.000001Z", NUL-terminated. */
void cloud_event_time(char ret[CLOUD_EVENT_TIME_BYTES], uint64_t unix_us);

#endif
