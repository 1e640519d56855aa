/* outbox.h - bytes of one connection that wait: replies for the socket, or requests for their turn.
 *
 * Owns its bytes; conn.c takes one from its shard when something has to wait and gives it back as soon as
 * it is empty, so an idle connection holds none. */
#ifndef NET_OUTBOX_H
#define NET_OUTBOX_H
#include "base/buf.h"

enum { OUTBOX_KEEP_MAX = 256 << 10 };   /* a box that grew beyond this frees its memory when it is empty */

typedef struct outbox outbox;
struct outbox {
    buf bytes;
    size_t used;        /* of them, already sent or read */
    outbox *next;       /* in a pool */
};

outbox *outbox_new(void) MUST_USE;      /* NULL = no memory */
void outbox_free(outbox *o);
bool outbox_put(outbox *o, const void *bytes, size_t n) MUST_USE;   /* false = no memory; and so for ever */
str outbox_waiting(const outbox *o);
void outbox_use(outbox *o, size_t n);
void outbox_clear(outbox *o);           /* frees what is beyond OUTBOX_KEEP_MAX */

#endif
