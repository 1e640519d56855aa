/* waker.h - wakes whoever asked for it at a time of day, on a thread of its own.
 *
 * For what belongs to no loop: any thread may set a call, also while it holds a lock, since setting takes none.  The
 * thread sleeps until the earliest of all; with nothing set it sleeps for ever.  A call rings once for each setting, at
 * the earliest time it was set to since it rang last, so that it does not matter in which order threads set it; that
 * may be for nothing.  ring() runs on the waker's thread and is short.  Finding who rings costs a step for each. */
#ifndef ASYNC_WAKER_H
#define ASYNC_WAKER_H
#include "base/err.h"

#include <stdatomic.h>

typedef struct waker waker;

/* Embedded in its owner, from waker_add() to waker_remove(). */
typedef struct waker_call waker_call;
struct waker_call {
    void (*ring)(waker_call *c);
    /* private */
    _Atomic uint64_t at_us;
    waker_call *prev, *next;
};

err_code waker_new(waker **ret, err *e) MUST_USE;   /* starts the thread */
void waker_stop(waker *a);                          /* from now on nobody rings; twice does no harm */
void waker_free(waker *a);                          /* all calls were removed */
DEFINE_CLEANUP(waker)

void waker_add(waker *a, waker_call *c);            /* not set */
void waker_remove(waker *a, waker_call *c);         /* not in ring(): after this it neither rings nor will */
/* Rings at that time on clock_now_us(), or before where it is set so already.  Any thread, takes no lock. */
void waker_by(waker *a, waker_call *c, uint64_t at_us);

#endif
