/* giver.h - the old server's side of a hand-over: offers its listeners to a new one at a path (serve/handover.h).
 *
 * Lives on one loop, loop 0.  One new server at a time is served; one that breaks off, keeps it waiting, says something
 * else or belongs to another user is let go, and nothing has changed.  After `given` ran, the listeners are another
 * process' too, and whoever called must stop accepting. */
#ifndef SERVE_GIVER_H
#define SERVE_GIVER_H
#include "async/loop.h"
#include "net/listeners.h"

typedef struct giver giver;

typedef struct {
    loop *on;
    const sock_addr *at;
    int control;                /* a listening socket for `at` that an older server gave, taken; -1 = open one */
    listeners *all;
    uint64_t ready_wait_us;     /* from taking to being ready */
    void (*given)(void *ctx);   /* on the loop, once */
    void *ctx;
} giver_opts;

err_code giver_new(giver **ret, const giver_opts *opts, err *e) MUST_USE;   /* before the loop runs, or on it */
void giver_own(giver *g);       /* the file at the path is ours now; giver_new() without control does it */
/* On the loop: no hand-over begins any more.  One that is under way goes on without us. */
void giver_stop(giver *g);
void giver_free(giver *g);      /* after the loop has stopped */
DEFINE_CLEANUP(giver)

#endif
