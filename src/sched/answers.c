#include "sched/answers.h"

void answers_init(answers *a, bool in_order)
{
    *a = (answers){.in_order = in_order};
    a->end = &a->ready;
}

void answers_expect(answers *a, batch_item *i)
{
    if (!a->in_order) return;
    i->answer_behind = NULL;
    i->answer_before = a->last;
    *(a->last ? &a->last->answer_behind : &a->first) = i;
    a->last = i;
}

static void unlink_one(answers *a, batch_item *i)
{
    *(i->answer_before ? &i->answer_before->answer_behind : &a->first) = i->answer_behind;
    *(i->answer_behind ? &i->answer_behind->answer_before : &a->last) = i->answer_before;
}

static void hand_out(answers *a, batch_item *i)
{
    if (a->in_order) unlink_one(a, i);
    i->state = BATCH_OUTSIDE;
    i->next = NULL;
    *a->end = i;
    a->end = &i->next;
}

void answers_put(answers *a, batch_item *i)
{
    if (!a->in_order || i->drop != BATCH_RAN) {
        hand_out(a, i);
    } else {
        i->state = BATCH_WITHHELD;
        a->withheld++;
    }
    while (a->first && a->first->state == BATCH_WITHHELD) {
        a->withheld--;
        hand_out(a, a->first);
    }
}

batch_item *answers_collect(answers *a)
{
    batch_item *all = a->ready;
    a->ready = NULL;
    a->end = &a->ready;
    return all;
}
