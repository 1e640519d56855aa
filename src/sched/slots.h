/* slots.h - which sequences have a slot, and which of their requests may run.
 *
 *   START --> slot, or the backlog until one is free --> ... --> END ran --> free
 *                                  idle for so long with nothing to run --> free
 *                                  a request dropped, and no START behind it --> free
 * A sequence is known by its id from its START on.  Its requests run one at a time, in the order in which they came;
 * between sequences the one goes first whose request has been able to run for longest.  A second START goes on in the
 * same slot, as in Triton.  Behind its END the id is free: a START begins another sequence.
 *
 * A pure decision core: no threads, clocks or I/O; every call is told the time, which does not go back.  Requests are
 * intrusive.  Not thread-safe: it has one user at a time. */
#ifndef SCHED_SLOTS_H
#define SCHED_SLOTS_H
#include "base/err.h"
#include "base/map.h"
#include "sched/order.h"

#define SLOTS_NEVER UINT64_MAX

typedef struct slots slots;
typedef struct slot_sequence slot_sequence;

/* A request: the caller's until slots_push(), and again from slots_take() or slots_drop() on. */
typedef struct slot_item slot_item;
struct slot_item {
    bool start, end;               /* set by the caller */
    slot_sequence *of;             /* from slots_push() on */
    slot_item *next;               /* private */
};

/* Callers embed it to keep more of a sequence: see `bytes`. */
struct slot_sequence {
    /* private */
    str id;
    slot_item *first, *last;       /* that wait */
    uint64_t seen_us;              /* the last push or end of a run */
    bool running, seated, ended;
    order_node place;              /* in the backlog, among those that may run, that run, or that are idle */
};

typedef struct {
    uint32_t count;                /* slots; 0 counts as 1 */
    uint32_t waiting_max;          /* requests that wait; 0 = 1024 */
    uint64_t idle_us;
    size_t bytes;                  /* of a sequence with what the caller keeps of it, which begins zeroed */
    void (*forget)(slot_sequence *s);   /* frees what the caller keeps; NULL = nothing */
} slots_opts;

typedef struct {
    uint32_t seated, backlog, waiting, running;   /* sequences, sequences; requests, requests */
    uint64_t forgotten;            /* that were idle for too long */
} slots_counts;

err_code slots_new(slots **ret, const slots_opts *opts, err *e) MUST_USE;
void slots_free(slots *s);         /* nothing waits or runs */
DEFINE_CLEANUP(slots)

/* ERR_INVALID: it is no START, and there is no such sequence.  ERR_LIMIT, ERR_NOMEM.  *ret_again: a START came before
 * the END of the one before. */
err_code slots_push(slots *s, slot_item *i, str id, uint64_t now_us, bool *ret_again, err *e) MUST_USE;
slot_item *slots_take(slots *s, uint64_t now_us);         /* that may run now, or NULL */
/* Of the request that ran.  Where that was the last, behind an END or a loss, the sequence is gone. */
void slots_done(slots *s, slot_sequence *q, uint64_t now_us);
/* Those that `goes` says of leave without having run, linked by next; it is asked of each that waits.  Behind them
 * leaves what would run on a state without them: all up to a START.  Where none comes the sequence is over, once what
 * came before has run. */
slot_item *slots_drop(slots *s, bool (*goes)(const slot_item *i));
/* The same of the request that runs, which did not: before slots_done(). */
slot_item *slots_lose(slots *s, slot_sequence *q);
/* The same, but the sequence stays what it was, so that the request can come again.  Where it or what left had the END
 * that is taken back, unless another sequence has the id by now: then it is over. */
slot_item *slots_refuse(slots *s, slot_sequence *q);
/* Forgets what was idle for too long; when to call again: SLOTS_NEVER = not before another call. */
uint64_t slots_expire(slots *s, uint64_t now_us);
void slots_read(const slots *s, slots_counts *ret);

#endif
