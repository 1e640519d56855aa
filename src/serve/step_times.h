/* step_times.h - when each step of an ensemble waited and ran: a copy that outlives its request, for traces.
 *
 * Taken when the request is answered, on its loop; one block of memory, of STEP_TIMES_MAX steps at most.  A step of an
 * ensemble within comes behind the step that asked for it, one deeper. */
#ifndef SERVE_STEP_TIMES_H
#define SERVE_STEP_TIMES_H
#include "models/ensemble.h"
#include "models/served.h"

enum { STEP_TIMES_MAX = 64, STEP_TIMES_DEPTH_MAX = ENSEMBLE_DEPTH_MAX + 1 };

typedef struct {
    str model, version;
    uint64_t since_ns, start_ns, end_ns; /* came to its queue; began to run and ended: 0 = it did not run */
    uint64_t found_ns;                   /* when the response cache had its answer; 0 = it had not */
    uint32_t depth;                      /* 0 = of what was asked; below STEP_TIMES_DEPTH_MAX */
    bool failed;
} step_time;

typedef struct {
    uint32_t count;
    bool more; /* than are here */
    step_time all[];
} step_times;

/* Of an item that is answered and not yet ended.  NULL = no steps reached a queue, or no memory. */
step_times *step_times_new(const queue_item *item) MUST_USE;
size_t step_times_bytes(const step_times *t); /* 0 of NULL */
void step_times_free(step_times *t);
/* The last instant that is known of it. */
uint64_t step_time_end(const step_time *s);

#endif
