#include "sched/sequences.h"

void sequences_init(sequences *s) { order_init(&s->heads); }

static order_key key_of(const batch_item *i) { return (order_key){.hi = i->sequence}; }

bool sequences_join(sequences *s, batch_item *i)
{
    i->behind = i->before = NULL;
    if (!i->sequence) return true;
    batch_item *head = ORDER_OF(order_find(&s->heads, key_of(i)), batch_item, head);
    if (!head) {
        order_put(&s->heads, &i->head, key_of(i));
        i->last = i;
        return true;
    }
    i->before = head->last;
    head->last->behind = i;
    head->last = i;
    return false;
}

batch_item *sequences_leave(sequences *s, batch_item *i)
{
    if (!i->sequence) return NULL;
    batch_item *next = i->behind;
    if (order_has(&i->head)) {
        INVARIANT(!i->before);
        order_del(&s->heads, &i->head);
        if (!next) return NULL;
        next->before = NULL;
        next->last = i->last;
        order_put(&s->heads, &next->head, key_of(next));
        return next;
    }
    INVARIANT(i->before != NULL);
    i->before->behind = next;
    if (next) {
        next->before = i->before;
        return NULL;
    }
    batch_item *head = ORDER_OF(order_find(&s->heads, key_of(i)), batch_item, head);
    INVARIANT(head && head->last == i);
    head->last = i->before;
    return NULL;
}
