/* mailbox.h - messages from any thread to one: lock-free, unbounded, in order.
 *
 * Senders push on a stack with one compare-and-swap; the receiver takes the whole stack with one exchange and
 * reverses it, so the messages of each sender stay in order.  The link is inside the message: sending never
 * allocates and never fails, and what a mailbox can hold is bounded by what its senders may own. */
#ifndef ASYNC_MAILBOX_H
#define ASYNC_MAILBOX_H
#include "base/base.h"

typedef struct mail mail;
struct mail {
    mail *next;
};

typedef struct {
    /* private */
    _Atomic(mail *) last;   /* a cache line that the senders fight for: the owner aligns it */
} mailbox;

void mailbox_init(mailbox *b);
void mailbox_put(mailbox *b, mail *m);    /* any thread */
mail *mailbox_take(mailbox *b);           /* the receiver: all that is in it, oldest first; NULL = none */
bool mailbox_empty(const mailbox *b);

#endif
