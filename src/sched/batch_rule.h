/* batch_rule.h - which items of a lane run together, and from when on.
 *
 * FIXED follows Triton's dynamic batcher (core src/dynamic_batch_scheduler.cc, GetDynamicBatch): a batch runs when its
 * rows are a preferred size, when it cannot grow, or when its oldest member has waited max_delay; unlike there, other
 * shapes do not cut a batch short, they gather in lanes of their own.  ADAPTIVE takes what is there, up to the lane's
 * cap.  OFF runs every request alone.  Of unequal lengths the most urgent runs with those that are nearest to its own,
 * in ADAPTIVE as many as make the most of the time by the lane's cost curve.  Pure: nothing is taken out of the lane
 * here. */
#ifndef SCHED_BATCH_RULE_H
#define SCHED_BATCH_RULE_H
#include "sched/lane.h"

enum {
    BATCH_LOOK_MAX = 256   /* members that are looked at for one batch: bounds the work where many do not fit */
};

typedef struct {
    batch_mode mode;
    uint32_t max_batch;   /* rows */
    uint64_t max_delay_ns;
    uint32_t preferred[BATCH_PREFERRED_MAX], preferred_count;   /* ascending; 0 = none */
    uint32_t enough;      /* FIXED: rows that need not wait for more, where others join them all the same; 0 = the
                           * largest preferred size */
    uint32_t waste_percent;   /* of a padded batch's work that may be padding */
} batch_rule;

/* From when on the lane, which has items, may run; 0 = now. */
uint64_t batch_rule_ripe_ns(const batch_rule *r, const lane *l);

/* Chooses from a lane that has items: fills ret but for its times, items linked by `next`.  Items that were cancelled
 * are met on the way and linked at *ret_cancelled; where there are any the choice is to be made again without them. */
void batch_rule_choose(const batch_rule *r, const lane *l, uint64_t now_ns, batch_run *ret, batch_item **ret_cancelled);

#endif
