/* batcher.h - what runs next, and with whom: the queue of one model version and the decisions of dynamic batching.
 *
 *   push() --> [ lanes of items that may run together ] -- take() --> batch, on one of `instances` --> done()
 *      |              |                                                                                 |
 *      refused,       deadline, timeout, cancelled --------> answers() <--------------------------------+
 *      with when to retry
 *
 * A pure decision core: no threads, clocks or I/O; every call is told the time, which may stand still.
 * After any call the driver collects batcher_answers() and, unless all instances run, calls batcher_take() until it
 * gives nothing to run; then again after the next push() or done(), or at again_ns.  Not thread-safe: the driver holds
 * its lock.  Items are intrusive; once all kinds were seen nothing allocates.  Operations cost O(log waiting),
 * take() in addition one step for each member of the batch.
 *
 * ADAPTIVE, the default, and where it comes from:
 * - It is work-conserving: a free instance runs what waits, so a lone request never waits, and batches grow out of
 *   what accumulates while instances are busy.  For costs a + b * rows this finds the batch size that the load needs
 *   by itself: the n for which n arrive during cost(n).  A timer adds delay and, at saturation, nothing.
 * - It waits in one case, when measured arrivals make that pay: clients in a closed loop come back just after an
 *   answer (arrival.h).  Waiting `w` for `e` of them costs those present n * w and saves each of the e most of a run:
 *   it waits while e * (run - w) > n * w, never longer than half a run or max_delay_us.
 * - A run that other threads help loses some of their time, one that has a thread of its own none.  But where runs are
 *   many their batches are small.  So beyond `instances` one begins only in a crowd, whose batches do not shrink by it:
 *   of one lane or, where every shape has its own, of many.  With an objective it does not: those under way would end
 *   later than foreseen.
 * - Batch size: a request that just missed a batch waits for that run and then for its own, so that with k instances
 *   (1 + 1/k) * cost(size) must fit the objective (Nexus, SOSP 2019); cost is the measured curve's high side, as
 *   predictable execution allows (Clockwork, OSDI 2020).  Where larger batches bring no throughput they are not made.
 * - Admission: a request that would be answered after the objective or its deadline is refused when it comes, with the
 *   time after which it would be in time; those accepted hold the objective instead of all being late (Nexus' early
 *   drop, Clockwork).  Its end is foreseen from what runs, what goes before it, and how many will join its batch at the
 *   rate at which requests come.  What would run at once is never refused.
 * - What the forecast does not know is corrected by slow increase and quick decrease of the part of the objective that
 *   admission plans for (after Clipper, NSDI 2017), see pace.h.  BATCH (SC 2020) sets delay and size offline from the
 *   arrival process; here both follow from the queue itself.
 * FIXED is Triton's batcher (batch_rule.h), OFF none.  Order in all modes: by level, then by arrival.  Deadlines,
 * limits, levels, sequences and cancelling work in every mode. */
#ifndef SCHED_BATCHER_H
#define SCHED_BATCHER_H
#include "base/err.h"
#include "sched/batch.h"

enum { BATCH_INSTANCES_MAX = 256 };
#define BATCHER_NEVER UINT64_MAX

typedef struct batcher batcher;

/* Triton's ModelQueuePolicy.  Zeroed: no timeout but the request's own, no limit. */
typedef struct {
    bool delay;   /* timeout_action DELAY: runs after all of its level that have not timed out; else REJECT */
    bool keep_timeout;   /* the request's own timeout does not count: allow_timeout_override is off */
    uint64_t default_timeout_us;   /* 0 = none; a request's own counts where it is shorter or there is no default */
    uint32_t max_queue_size;   /* requests; 0 = no limit of its own */
} batch_level;

typedef struct {
    batch_mode mode;
    uint32_t max_batch;      /* rows; 0 counts as 1 */
    uint32_t instances;      /* batches that may run at once; 0 counts as 1, at most BATCH_INSTANCES_MAX */
    uint32_t crowded;        /* ADAPTIVE without an objective: instances more, while more waits, in a lane or beside
                              * it, than two runs take */
    uint64_t max_delay_us;   /* FIXED: from arrival; ADAPTIVE: the most an idle instance waits, 0 = half a run */
    uint64_t objective_us;   /* ADAPTIVE: of waiting and computing, for 99 of 100; 0 = none */
    uint32_t preferred[BATCH_PREFERRED_MAX], preferred_count;   /* ascending, 1 .. max_batch */
    uint32_t enough;         /* FIXED: rows that need not wait for more; 0 = as batch_rule.h says */
    bool preserve_ordering;  /* answers are handed back in the order of arrival */
    uint32_t waste_percent;  /* of a padded batch that may be padding; 0 = 50 */
    uint32_t requests_max;   /* that wait; protects memory and bounds the wait; 0 = 1024 */
    uint64_t bytes_max;      /* that waiting requests hold; 0 = no limit */
    uint32_t kinds_max;      /* unlike shapes that wait at once, and cost curves that are kept; 0 = 64 */
    uint32_t rate_per_s, rate_burst;   /* rate_limit.h */
    batch_level levels[BATCH_LEVELS_MAX];
    uint32_t level_count;    /* 0 counts as 1 */
} batcher_opts;

typedef struct {
    uint64_t pushed, refused[BATCH_LIMITS], dropped[BATCH_DROPS];   /* pushed: and accepted; dropped[BATCH_RAN]: ran */
    uint64_t batches, rows, work, padding;   /* that ran */
    uint64_t waiting, waiting_rows, waiting_bytes, running;   /* now; running: batches */
    uint64_t planned_ns;      /* of the objective, now */
    double rows_per_s;        /* that come */
} batcher_stats;

/* ERR_INVALID names the option. */
err_code batcher_new(batcher **ret, const batcher_opts *opts, err *e) MUST_USE;
void batcher_free(batcher *b);   /* nothing waits or runs, and all answers were collected */
DEFINE_CLEANUP(batcher)

/* Takes the item until batcher_answers() gives it back.  On error it stays the caller's; *reterr_limit says which limit
 * it was and *reterr_retry_ns after which time it is likely to be accepted, 0 = never.  ERR_LIMIT; ERR_TOO_LARGE for
 * more than bytes_max in one item; ERR_INVALID for more rows than max_batch; ERR_TIMEOUT where the deadline has passed;
 * ERR_NOMEM. */
err_code batcher_push(batcher *b, batch_item *i, uint64_t now_ns, batch_limit *reterr_limit, uint64_t *reterr_retry_ns,
                      err *e) MUST_USE;

/* A batch to run now, the batcher's until batcher_done(); or NULL, and *ret_again_ns says when to call again at the
 * latest: BATCHER_NEVER = not before a push or done. */
const batch_run *batcher_take(batcher *b, uint64_t now_ns, uint64_t *ret_again_ns);

/* Whether batcher_take() may give one now, for a driver that sends for a worker first; *ret_again_ns as there.  What is
 * overdue is dropped here, too. */
bool batcher_ripe(batcher *b, uint64_t now_ns, uint64_t *ret_again_ns);

/* cost_ns teaches; 0 = it failed or says nothing.  The batch is gone, its items are among the answers. */
void batcher_done(batcher *b, const batch_run *ran, uint64_t cost_ns, uint64_t now_ns);

/* What a run of `rows` outside of it took, as a warm-up's or one on the calling thread: so that the first requests meet
 * a curve that is known.  Lost where there is no room for the kind. */
void batcher_teach(batcher *b, order_key kind, uint32_t rows, uint32_t extent, uint64_t cost_ns, uint64_t now_ns);

/* Drops an item that has not been started: true, and it is among the answers.  False: it runs, or has run. */
bool batcher_cancel(batcher *b, batch_item *i, uint64_t now_ns);

/* Items to be answered, linked by next; ->drop says how they ended.  They are the caller's again. */
batch_item *batcher_answers(batcher *b);

bool batcher_quiet(const batcher *b);   /* nothing waits, runs or is withheld */
uint64_t batcher_waiting(const batcher *b);   /* items */
/* What may be expected to run next costs that much: for shares between models; 0 = not known or nothing waits. */
uint64_t batcher_next_cost_ns(const batcher *b);
void batcher_read(const batcher *b, batcher_stats *ret);

#endif
