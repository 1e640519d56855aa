/* watchdog.h - tells the service manager that every loop still turns.
 *
 * Twice in the time that it allows, loop 0 says so and asks all loops for a sign; while one of them owes it, nothing is
 * said, and after that time the manager acts.  Nothing wakes up where nobody watches.
 * Made and freed while no loop runs; the loops outlive watchdog_stop(), and it outlives them. */
#ifndef SERVE_WATCHDOG_H
#define SERVE_WATCHDOG_H
#include "async/loop.h"
#include "serve/service.h"

typedef struct watchdog watchdog;

/* NULL, and no error, when nobody watches.  Borrows all. */
err_code watchdog_new(watchdog **ret, const service *s, loop *const *loops, size_t count, err *e) MUST_USE;
void watchdog_stop(watchdog *w);   /* after the loops have ended */
void watchdog_free(watchdog *w);   /* after the loops were freed */
DEFINE_CLEANUP(watchdog)

#endif
