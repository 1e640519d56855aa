/* http_message.h - a request as every version of HTTP fills it: line, headers and body in memory of its own.
 *
 * Its reader puts the target and the fields one behind the other and the body into one block whose first byte, or
 * another one of its choice, is aligned to 64; whoever handles the request sees views into both.  What may be put is
 * the reader's business: limits are not known here, lack of memory is a refusal.  A message keeps its memory over
 * http_message_clear(), so a pool of them stops allocating.  What it allocates for bodies, in use or kept, is taken
 * from a quota until http_message_fini().  http_refusal is a reader's verdict on a request that it does not take. */
#ifndef WIRE_HTTP_MESSAGE_H
#define WIRE_HTTP_MESSAGE_H
#include "base/quota.h"
#include "wire/http_field.h"

#include <string.h>

typedef struct {
    int status;                 /* to answer before closing */
    char text[120];             /* one line: what was expected */
} http_refusal;

typedef struct {
    str method;
    str path;                   /* percent-decoded, starts with '/' */
    str query;                  /* as sent, behind '?' */
    const http_header *headers; /* without the trailers */
    size_t header_count;
    http_field_index known;     /* where among them are those that have a number */
    http_field last;            /* the number of the last one */
    str body;
    bool keep_alive;            /* the connection may go on behind this request */
    bool http10;
    /* private */
    uint8_t *head, *bytes;      /* target, names and values; body, */
    uint32_t skew;              /* which begins so far into its block */
    size_t head_len, head_room, len, room;
    http_header *fields;
    size_t field_room;
    quota *bodies;              /* where `room` was taken from */
} http_message;

void http_message_init(http_message *m);   /* allocates nothing */
void http_message_fini(http_message *m);
void http_message_clear(http_message *m);  /* empty again; keeps the memory */
size_t http_message_room(const http_message *m);   /* bytes of memory it holds on to */

/* For readers.  Each is false when there is no memory or the input is wrong, and says so in reterr. */
bool http_message_grow(http_message *m, size_t more, http_refusal *reterr) MUST_USE;   /* for http_message_put() */
static inline bool http_message_put(http_message *m, const char *at, size_t len, http_refusal *reterr)
{
    if (len > m->head_room - m->head_len && !http_message_grow(m, len, reterr)) return false;
    if (len) memcpy(m->head + m->head_len, at, len);
    m->head_len += len;
    return true;
}
/* A field whose bytes live until http_message_own() or as long as the message. */
bool http_message_add(http_message *m, str name, str value, http_refusal *reterr) MUST_USE;
/* Puts the bytes that the fields lie in, and shows the fields there. */
bool http_message_own(http_message *m, str bytes, http_refusal *reterr) MUST_USE;
/* The last name_len + value_len bytes that were put are a field. */
bool http_message_add_field(http_message *m, size_t name_len, size_t value_len, http_refusal *reterr) MUST_USE;
/* `len` of the bytes that were put, from `at` on, are the target: origin form, absolute form or '*' (RFC 9112 3.2).
 * Sets path and query. */
bool http_message_set_target(http_message *m, size_t at, size_t len, http_refusal *reterr) MUST_USE;
typedef struct {
    size_t announced;           /* 0 = nobody knows */
    size_t most;                /* what it may be */
    quota *bodies;              /* memory of the bodies of all requests; NULL = not limited */
} http_body_plan;
/* Could the announced body be had?  Else it is refused before it is sent. */
bool http_message_has_room(const http_message *m, const http_body_plan *plan, http_refusal *reterr) MUST_USE;
/* Byte `at` of the body, which has not begun, shall lie at a multiple of 64: tensors behind JSON are then used where
 * they lie. */
void http_message_align(http_message *m, size_t at);
/* Room for `need` bytes of body in all. */
bool http_message_reserve(http_message *m, size_t need, const http_body_plan *plan, http_refusal *reterr) MUST_USE;
void http_message_whole(http_message *m);  /* sets headers and body: all has been put */
/* More of a body that is being unpacked: 413 beyond plan->most. */
bool http_message_put_body(http_message *m, str bytes, const http_body_plan *plan, http_refusal *reterr) MUST_USE;
/* m's body becomes that of `from`, with its memory; `from` is empty then. */
void http_message_take_body(http_message *m, http_message *from);

/* The first refusal stands. */
void http_refuse(http_refusal *r, int status, const char *fmt, ...) PRINTF(3, 4);

#endif
