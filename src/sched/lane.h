/* lane.h - the items that may run together: those of one kind, in their order, and what their batches cost.
 *
 * The order is: priority level, those whose timeout delayed them last within a level, then arrival.  Beside it stands
 * the order in which they became ready, from which delays are counted.  A lane outlives its items, because its
 * cost curve is worth keeping; lanes (lanes.h) owns it.  Adding and removing cost O(log n). */
#ifndef SCHED_LANE_H
#define SCHED_LANE_H
#include "sched/batch.h"
#include "sched/cost_curve.h"

typedef struct lane lane;
struct lane {
    order_node at;      /* among all lanes, by kind */
    order_node turn;    /* among those that may run now, or among those that wait, while it has items */
    bool ripe;          /* among the former */
    uint64_t rows, work;   /* that wait here; work without padding */
    uint32_t count;
    uint32_t pins;      /* items that wait here, stand behind others of their sequence, or run */
    uint32_t extent_max;   /* ever seen; 0 = nothing is padded */
    uint64_t cap_work;  /* the most work that one batch shall have */
    uint64_t backlog_ns;   /* the time that one instance needs for what waits; 0 = not known */
    uint32_t forbade;   /* batches that ended at cap_work since larger ones were tried */
    cost_curve curve;
    double runs, wanted, took_ns;   /* the last some sixteen runs: how many, what was asked for, and what it took */
    lane *newer, *staler;   /* among those without pins, by the time of their last use */
    /* private */
    order_tree line;
    batch_item *oldest, *youngest;
};

void lane_init(lane *l);
void lane_put(lane *l, batch_item *i, bool delayed, uint64_t now_ns);   /* ready from now on */
void lane_del(lane *l, batch_item *i);
void lane_delay(lane *l, batch_item *i);            /* behind all of its level that are not delayed */
batch_item *lane_first(const lane *l);              /* NULL = nothing waits */
batch_item *lane_after(const batch_item *i);
uint64_t lane_oldest_ns(const lane *l);             /* since when the one waits that has waited longest; needs one */
order_key lane_urgency(const lane *l);              /* of its first */

/* Rows that one batch at this extent shall have at most: the cap, never less than one nor more than max_batch. */
uint32_t lane_cap_rows(const lane *l, uint32_t extent, uint32_t max_batch);

typedef struct {
    uint64_t objective_ns; /* of waiting and computing; 0 = none */
    uint32_t max_batch, instances;
    double rows_per_s;     /* that come, 0 = not known */
} lane_plan;

/* A batch of it cost that much: learns, and sets the cap anew. */
void lane_learn(lane *l, const batch_run *b, uint64_t cost_ns, const lane_plan *p);
void lane_set_backlog(lane *l, uint32_t max_batch);
bool lane_crowded(const lane *l);  /* more waits than two runs of late took */
double lane_rate(const lane *l);   /* of late, what was asked for per nanosecond of runs; 0 = nothing ran */

static inline uint64_t lane_work(uint32_t rows, uint32_t extent) { return (uint64_t)rows * (extent ? extent : 1); }

#endif
