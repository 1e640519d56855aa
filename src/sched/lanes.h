/* lanes.h - the lanes of a batcher by kind: made when a kind is first seen, kept for their cost curves.
 *
 * There are at most `max` of them, which protects memory from clients that send ever new shapes: a new kind takes the
 * place of the one that was unused for longest, and is refused while all are in use.  Once as many were made as there
 * are kinds, nothing is allocated.  Owns the lanes. */
#ifndef SCHED_LANES_H
#define SCHED_LANES_H
#include "sched/lane.h"

typedef struct {
    uint32_t count, max;   /* read only */
    /* private */
    order_tree kinds;
    lane *stalest, *newest;   /* of those without pins */
} lanes;

void lanes_init(lanes *s, uint32_t max);
void lanes_fini(lanes *s);                        /* none has pins */
lane *lanes_find(const lanes *s, order_key kind); /* NULL = not known */
/* Finds or makes, and pins: it stays until as many lanes_unpin().  NULL = all `max` are pinned, or no memory. */
lane *lanes_pin(lanes *s, order_key kind);
void lanes_unpin(lanes *s, lane *l);

#endif
