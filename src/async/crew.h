/* crew.h - a few threads for errands that may wait long, or for ever: files, foreign disks, models that do not end.
 *
 * A thread is started when all of them are busy, up to `most`; then errands queue.  One without an errand sleeps.  It
 * is compute.h's opposite: threads wait here, and none is worth its CPU.  An errand that never ends costs its thread
 * and nothing else: crew_free() leaves it behind. */
#ifndef ASYNC_CREW_H
#define ASYNC_CREW_H
#include "async/compute.h"

enum { CREW_THREADS_MAX = 64, CREW_QUEUE_MAX = 65536 };

typedef struct crew crew;

err_code crew_new(crew **ret, const char *name, uint32_t most, err *e) MUST_USE;   /* borrows name; starts nothing */
/* Waits so long for errands that run or queue.  false = some do not end: their threads, and all that they use, are left
 * for good, so whoever made that may not free it. */
bool crew_free(crew *c, uint64_t wait_us);
err_code crew_submit(crew *c, compute_job *j, err *e) MUST_USE;   /* any thread; begun in order */

#endif
