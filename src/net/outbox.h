/* outbox.h - bytes of one connection that wait: for the socket, for room for their requests, or for their turn.
 *
 * Owns its bytes; taken from a shard when something has to wait and given back as soon as it is empty, so an
 * idle connection holds none.  A box keeps its memory, so there are two kinds: one kind would in time give
 * every held answer of some hundred bytes the memory of a whole read.
 * Its memory, in use or kept, is taken from a quota where it has one: what all clients together leave waiting has a
 * bound. */
#ifndef NET_OUTBOX_H
#define NET_OUTBOX_H
#include "base/buf.h"
#include "base/quota.h"

typedef enum {
    OUTBOX_STREAM,      /* what a socket did not take, or a read that came too early: up to 64 kB and more */
    OUTBOX_ANSWER,      /* one answer, held until its turn: mostly small */
    OUTBOX_KINDS
} outbox_kind;

typedef struct outbox outbox;
struct outbox {
    buf bytes;
    size_t used;        /* of them, already sent or read */
    outbox_kind kind;
    quota *memory;      /* set by the owner while it is empty; NULL = not limited */
    size_t taken;       /* of it */
    outbox *next;       /* in a pool */
};

outbox *outbox_new(outbox_kind kind) MUST_USE;   /* NULL = no memory */
void outbox_free(outbox *o);
bool outbox_put(outbox *o, const void *bytes, size_t n) MUST_USE;   /* false = no memory, for ever */
str outbox_waiting(const outbox *o);
void outbox_use(outbox *o, size_t n);
void outbox_clear(outbox *o);           /* keeps its memory, */
size_t outbox_room(const outbox *o);    /* so many bytes */
size_t outbox_growth(const outbox *o, size_t n);   /* what putting n bytes may take of its quota */
void outbox_disown(outbox *o);          /* gives the quota back, though it has the memory still; NULL = nothing */

#endif
