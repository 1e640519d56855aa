/* taker.h - the new server's side of a hand-over: takes the listeners of the old one at a path (serve/handover.h).
 *
 * Before any loop runs, so it may wait, but never longer than HANDOVER_STEP_MS.  Freed before taker_ready(), it gives
 * up: the old server goes on. */
#ifndef SERVE_TAKER_H
#define SERVE_TAKER_H
#include "net/listeners.h"

typedef struct taker taker;

/* NULL, and no error, when nobody is there: the first server of its kind. */
err_code taker_take(taker **ret, const sock_addr *at, err *e) MUST_USE;
void taker_free(taker *t);
DEFINE_CLEANUP(taker)
listeners *taker_listeners(taker *t);   /* what came; the caller moves out what it wants, the rest closes in the end */
int taker_control(taker *t);            /* the socket at the path; the caller's from now on */
/* Both fail when the old server has lost patience; one that died is no failure, its sockets are here. */
err_code taker_check(taker *t, err *e) MUST_USE;   /* just before accepting */
err_code taker_ready(taker *t, err *e) MUST_USE;   /* just after: all is ours, the old server drains */

#endif
