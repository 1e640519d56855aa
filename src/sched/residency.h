/* residency.h - which models are in memory, within a budget: what is loaded next, what leaves for it, who has to wait.
 *
 *   OUT --want--> WAITING --room--> LOADING --came--> IN --its turn to leave--> LEAVING --left--> OUT
 *    ^                                 '--failed--> OUT
 *    '--refused--'                     '--again--> WAITING
 * A model that needs others (an ensemble its members) gets room for all of them at once, is loaded when they are
 * there, and they stay as long as it does.  What waits gets room in its turn: nobody behind overtakes, so the largest
 * is not starved.  Who leaves is the one that was used longest ago, is not busy, pinned or needed, and has been there
 * for stay_us; only a budget that is exceeded, by what has grown or came larger than was guessed, takes one earlier.
 * What can never fit is refused; if then others shrink, it may wait once more.
 * Knows neither clocks nor threads: the caller says what it sees, asks for steps until there are none, and does
 * them. */
#ifndef SCHED_RESIDENCY_H
#define SCHED_RESIDENCY_H
#include "base/err.h"

enum {
    RESIDENCY_RETRY_US = 2000,      /* who waits for what is busy looks again then: nobody tells when it is not */
    RESIDENCY_GROUP_MAX = 256       /* models that are needed at once */
};

typedef struct residency residency;

typedef struct {
    uint64_t bytes_max;             /* of all that is LOADING, IN or LEAVING */
    uint64_t stay_us;
    uint32_t loads_max;             /* at a time */
} residency_opts;

typedef enum {
    RESIDENCY_OUT,
    RESIDENCY_WAITING,
    RESIDENCY_LOADING,
    RESIDENCY_IN,
    RESIDENCY_LEAVING
} residency_state;

typedef enum {
    RESIDENCY_NOTHING,              /* until something changes, or again_us */
    RESIDENCY_LOAD,                 /* then residency_came(), _failed() or _again() */
    RESIDENCY_EVICT,                /* then residency_left() */
    RESIDENCY_REFUSE                /* it is OUT again: with what it needs and what is pinned it takes `bytes` */
} residency_what;

typedef struct {
    residency_what what;
    size_t model;
    uint64_t bytes;
    uint64_t again_us;              /* of NOTHING; 0 = time changes nothing */
} residency_step;

typedef struct {
    uint64_t used;                  /* bytes */
    uint64_t loads, evictions, refused;
    size_t in, waiting;             /* models */
} residency_counts;

err_code residency_new(residency **ret, const residency_opts *opts, err *e) MUST_USE;
void residency_free(residency *r);
DEFINE_CLEANUP(residency)

err_code residency_add(residency *r, err *e) MUST_USE;   /* one more, OUT; its index is how many there were */
size_t residency_count(const residency *r);
void residency_pin(residency *r, size_t i, bool pinned);
/* What it needs from now on, instead of what it needed. */
err_code residency_need(residency *r, size_t i, const size_t *of, size_t count, err *e) MUST_USE;
bool residency_needs_all(const residency *r, size_t i);   /* what it needs is there */

void residency_guess(residency *r, size_t i, uint64_t bytes);   /* its size, as long as it was never there */
/* false = it is LOADING or IN, or waits already: nothing begins. */
bool residency_want(residency *r, size_t i);
/* What is LOADING turned out to take so much: false = that never fits, and it is to fail. */
bool residency_fits(residency *r, size_t i, uint64_t bytes);
/* Whether model k is one of those without which i cannot be, behind residency_needed_bytes(r, i). */
bool residency_counts_in(const residency *r, size_t k);
/* It was refused, or did not fit, but since then others have shrunk: it goes on, in its old place. */
void residency_readmit(residency *r, size_t i);
void residency_came(residency *r, size_t i, uint64_t bytes, uint64_t now_us);   /* wanted, or not: it is there */
void residency_failed(residency *r, size_t i);   /* what was LOADING is not there; else nothing happens */
void residency_again(residency *r, size_t i);    /* the same, and it waits once more, where it waited before */
/* Somebody has to leave for who waits, or for what has grown: what is IN is to be seen before steps are asked for. */
bool residency_tight(residency *r);
void residency_see(residency *r, size_t i, uint64_t bytes, uint64_t used_us, bool busy);
/* Somebody takes it out: what was IN is LEAVING and has to leave; what waits does not any more.  true = it was IN. */
bool residency_drop(residency *r, size_t i);
void residency_left(residency *r, size_t i);
/* The EVICT that was just asked for could not be begun: all is as before it.  The next step is the same. */
void residency_stays(residency *r, size_t i);

residency_step residency_next(residency *r, uint64_t now_us);

residency_state residency_of(const residency *r, size_t i);
uint64_t residency_bytes(const residency *r, size_t i);   /* as far as they are known */
uint64_t residency_needed_bytes(residency *r, size_t i);   /* with what it needs, and what is pinned */
void residency_read(const residency *r, residency_counts *ret);

#endif
