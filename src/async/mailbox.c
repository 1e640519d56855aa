#include "async/mailbox.h"

#include <stdatomic.h>

void mailbox_init(mailbox *b) { atomic_init(&b->last, NULL); }

/* Sequentially consistent, like mailbox_empty(): a sender puts and then looks whether the receiver sleeps, a
 * receiver says that it sleeps and then looks into the mailbox; one of the two must see the other. */
void mailbox_put(mailbox *b, mail *m)
{
    mail *last = atomic_load_explicit(&b->last, memory_order_relaxed);
    do m->next = last;
    while (!atomic_compare_exchange_weak(&b->last, &last, m));
}

mail *mailbox_take(mailbox *b)
{
    if (!atomic_load_explicit(&b->last, memory_order_relaxed)) return NULL;
    mail *m = atomic_exchange_explicit(&b->last, NULL, memory_order_acquire), *first = NULL;
    while (m) {
        mail *before = m->next;
        m->next = first;
        first = m;
        m = before;
    }
    return first;
}

bool mailbox_empty(const mailbox *b) { return atomic_load(&b->last) == NULL; }
