/* grpc.h - what gRPC adds to HTTP/2, without I/O: messages in a stream of bytes, deadlines, statuses.
 *
 *   stream:   | compressed 1 byte | length 4 bytes, big-endian | message | compressed | length | message | ...
 *
 * The reader is fed a stream's bytes in any cut and finds the same messages, or the same refusal.  It keeps nothing of
 * them: their bytes are handed on as pieces of what was fed, so the caller decides what is copied, and where to.
 * Framing that is wrong is ERR_INTERNAL, because gRPC's own servers say so; a message over the limit is
 * ERR_TOO_LARGE, found before its first byte.  Everything else here is a pure function. */
#ifndef WIRE_GRPC_H
#define WIRE_GRPC_H
#include "base/buf.h"

enum {
    GRPC_PREFIX_BYTES = 5,
    GRPC_TIMEOUT_DIGITS_MAX = 8
};

/* What is neither in ERR_TABLE nor made by it. */
enum { GRPC_UNKNOWN = 2, GRPC_PERMISSION_DENIED = 7, GRPC_UNAUTHENTICATED = 16 };

typedef enum {
    GRPC_MORE,                  /* all bytes are used */
    GRPC_PIECE,                 /* ret_piece continues the message; never empty */
    GRPC_MESSAGE,               /* ret_piece ends the message; the only piece of a short or an empty one */
    GRPC_REFUSED                /* the error says why; the reader takes nothing more */
} grpc_event;

typedef struct {
    size_t len;                 /* of the message whose pieces come, */
    bool compressed;            /* valid from its first piece on */
    /* private */
    size_t limit, seen;         /* seen: bytes of the message so far */
    uint8_t prefix[GRPC_PREFIX_BYTES], prefix_len;
    bool encoded, refused;
} grpc_reader;

/* encoded: the call has a grpc-encoding other than identity, so that messages may be compressed. */
void grpc_reader_init(grpc_reader *r, size_t message_bytes_max, bool encoded);
/* Takes what it reads off the front of *in. */
grpc_event grpc_reader_feed(grpc_reader *r, str *in, str *ret_piece, err *e);
size_t grpc_reader_rest(const grpc_reader *r);   /* bytes of the message still to come; 0 = its prefix has not */
/* The stream ended: an error when that is inside a message. */
err_code grpc_reader_end(const grpc_reader *r, err *e) MUST_USE;

void grpc_prefix_print(uint8_t ret[GRPC_PREFIX_BYTES], bool compressed, uint32_t len);

/* grpc-timeout: "100m", "1S"; from hours to nanoseconds, which are rounded up. */
err_code grpc_timeout_parse(str text, uint64_t *ret_us, err *e) MUST_USE;
int grpc_status_of_http(int http_status);
const char *grpc_status_name(uint64_t status);   /* "UNAVAILABLE"; NULL = there is no such status */
/* grpc-message: what is not printable ASCII, and '%', as %XX. */
void grpc_message_print(buf *out, str text);
/* grpc-status-details-bin: base64 of a google.rpc.Status with a google.rpc.ErrorInfo that holds the reason, and with a
 * google.rpc.RetryInfo where retry_ms is not 0. */
void grpc_details_print(buf *out, int status, str message, str reason, uint32_t retry_ms);

#endif
