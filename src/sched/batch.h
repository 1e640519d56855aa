/* batch.h - the words of batching: an item that waits, the batch that it runs in, and what can happen to it.
 *
 * An item is embedded in the request that it stands for and is the batcher's from push() until batcher_answers() hands
 * it back, exactly once: run, or dropped with the reason.  Instants are nanoseconds on one clock that the caller
 * chooses; 0 means none. */
#ifndef SCHED_BATCH_H
#define SCHED_BATCH_H
#include "sched/order.h"

#include <stdatomic.h>

enum {
    BATCH_LEVELS_MAX = 16,   /* of priority */
    BATCH_PREFERRED_MAX = 128
};

typedef struct batch_item batch_item;
struct lane;

typedef enum { BATCH_ADAPTIVE, BATCH_FIXED, BATCH_OFF } batch_mode;   /* batch_rule.h */

/* Why it never ran, in Triton's words where it has them. */
typedef enum {
    BATCH_RAN,
    BATCH_DEADLINE,    /* its deadline passed while it waited */
    BATCH_TIMEOUT,     /* the queue's timeout passed, and the level says REJECT */
    BATCH_CANCELLED,
    BATCH_DROPS
} batch_drop;

/* What refused a push. */
typedef enum {
    BATCH_LIMIT_NONE,
    BATCH_LIMIT_ROWS,        /* more rows than any batch may have */
    BATCH_LIMIT_REQUESTS,
    BATCH_LIMIT_BYTES,
    BATCH_LIMIT_LEVEL,       /* max_queue_size of its priority level */
    BATCH_LIMIT_KINDS,       /* too many unlike shapes wait at once */
    BATCH_LIMIT_RATE,
    BATCH_LIMIT_OBJECTIVE,   /* it would be answered later than the objective allows */
    BATCH_LIMIT_DEADLINE,    /* or than its own deadline */
    BATCH_LIMITS
} batch_limit;

struct batch_item {
    /* set by the caller */
    order_key kind;       /* equal = may share a batch: what the caller numbered, or 128 bits of a keyed hash */
    uint64_t bytes;       /* that it holds on to while it waits */
    uint64_t deadline_ns; /* not started then or later */
    uint64_t timeout_us;  /* Triton's parameter: shortens the level's default_timeout_us where that allows it */
    uint64_t sequence;    /* not 0: one at a time and in order with all others of the same sequence */
    const _Atomic bool *cancelled; /* may be NULL; set by any thread: not started any more */
    uint32_t rows;        /* >= 1 */
    uint32_t extent;      /* what is padded to the longest of the batch; 0 = nothing is: all of its kind are alike */
    uint32_t level;       /* of priority, 0 = most urgent; beyond the last counts as the last */
    /* written by the batcher */
    batch_drop drop;
    uint64_t since_ns;    /* pushed */
    batch_item *next;     /* in the batch, or among the answers */
    /* private */
    enum { BATCH_OUTSIDE, BATCH_BEHIND, BATCH_WAITS, BATCH_RUNS, BATCH_WITHHELD } state;
    bool delayed;         /* its timeout passed, and the level says DELAY */
    uint64_t number, ready_ns, timeout_ns;
    struct lane *lane;
    order_node place;     /* in its lane, while it waits */
    order_node timer;     /* while it waits or stands behind another, and has a deadline or timeout */
    order_node head;      /* the first of its sequence, among the sequences */
    batch_item *older, *younger;                  /* in its lane, as they became ready */
    batch_item *behind, *before, *last;           /* in its sequence; last: at the first one only */
    batch_item *answer_before, *answer_behind;    /* with preserve_ordering: all that are not answered, as they came */
};

typedef struct {
    batch_item *items;   /* linked by next, most urgent first */
    uint32_t count, rows;
    uint32_t extent;     /* the longest: all are padded to it; 0 = nothing is padded */
    bool unequal;        /* some are padded */
    uint64_t work;       /* rows, times the extent where there is one and then as batch_size.h rounds both up */
    uint64_t wanted;     /* how much of the work was asked for: the rest is padding */
    uint64_t cost_ns;    /* expected; 0 = not known */
    uint64_t start_ns;
    struct lane *lane;   /* private */
} batch_run;

const char *batch_limit_name(batch_limit l);   /* err.limit: who sets it, where somebody does */
const char *batch_limit_text(batch_limit l);   /* what it bounds, for people */
const char *batch_drop_name(batch_drop d);

#endif
