/* loop.h - one event loop per core; nothing is shared between loops except messages.
 *
 *   core 0   loop --- accept --- connections it owns for life
 *   core 1   loop --- accept --- connections it owns for life         loop_post(): mailbox + eventfd
 *   ...        |                                       ^
 *              +-- compute_submit(job) --> pool of compute threads --+
 *
 * Rules that make this safe without locks in the modules above:
 *   1. An object belongs to the loop that created it; only that loop's thread touches it.
 *   2. To reach another loop, post a message.  A message owns everything it points to.
 *   3. A callback never blocks and never runs longer than LOOP_SLICE_US; longer work is a compute job.
 *      loop_overruns() counts the slices that did; it is a metric.
 *   4. Time and randomness come from the loop, never from libc, so a test can own both.
 * A loop with nothing to do sleeps in the kernel: no tick, no poll, 0.0 % CPU.
 * Events, timers and messages take turns: of each kind at most LOOP_TURN_MAX run before the others get theirs. */
#ifndef ASYNC_LOOP_H
#define ASYNC_LOOP_H
#include "async/mailbox.h"
#include "base/err.h"

enum { LOOP_SLICE_US = 500, LOOP_TURN_MAX = 256, LOOP_TIMERS_MAX = 1 << 20 };

/* For loop_timer_move(): a timer that is set once, and has nothing to wait for, wakes nobody this far away. */
#define LOOP_FAR_US UINT64_C(31536000000000)

typedef struct loop loop;

/* A descriptor that the loop watches, level-triggered.  Embedded in its owner; the owner closes fd after
 * loop_fd_del().  After a HANGUP the owner must delete it, or it is reported again at once. */
typedef struct loop_fd loop_fd;
enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4, LOOP_SHARED = 16 };
/* HANGUP (peer gone, error) is always reported.  SHARED, for loop_fd_add() alone: several loops watch the descriptor,
 * and an event wakes one of them; loop_fd_want() is not for these. */
struct loop_fd {
    int fd;
    void (*ready)(loop_fd *f, uint32_t events);            /* may delete f and free its owner */
    /* private */
    uint32_t want;
    loop *on;
};

/* A one-shot timer.  Embedded in its owner. */
typedef struct loop_timer loop_timer;
struct loop_timer {
    void (*fire)(loop_timer *t);
    /* private */
    uint64_t at_us;
    size_t index;      /* place in the heap + 1; 0 = not set */
};

/* A message to a loop.  Embedded in what it carries. */
typedef struct loop_msg loop_msg;
struct loop_msg {
    mail link;                          /* private */
    void (*run)(loop *on, loop_msg *m); /* runs on the receiving loop; now owns the message */
};

err_code loop_new(loop **ret, uint64_t seed, err *e) MUST_USE;
void loop_free(loop *l);                /* no fds, timers and senders may be left; pending messages are run first */
DEFINE_CLEANUP(loop)
err_code loop_run(loop *l, err *e) MUST_USE;   /* on the calling thread, until loop_stop() */
void loop_flush(loop *l);               /* runs the messages that wait, while the loop itself does not run */
void loop_stop(loop *l);                /* from the loop's own thread, or by a message from another */

err_code loop_fd_add(loop *l, loop_fd *f, uint32_t want, err *e) MUST_USE;   /* f->fd and f->ready are set */
void loop_fd_want(loop_fd *f, uint32_t want);   /* 0 = only hang-ups; costs no system call when it is so already */
void loop_fd_del(loop_fd *f);                   /* safe inside any callback; no event for f comes after it */

/* Moves it when it is set already.  That cannot fail, nor can setting it again in its own callback. */
err_code loop_timer_set(loop *l, loop_timer *t, uint64_t at_us, err *e) MUST_USE;
void loop_timer_move(loop *l, loop_timer *t, uint64_t at_us);   /* one that is set, or runs its callback: cannot fail */
void loop_timer_cancel(loop *l, loop_timer *t);                                     /* no-op when not set */

void loop_post(loop *to, loop_msg *m);  /* any thread; never fails: the caller already owns the memory */
void loop_trim(loop *l);                /* in a callback: gives back what more timers than now took */
uint64_t loop_now_us(const loop *l);    /* monotonic; read once per wake-up: the same value for every callback in it */
uint64_t loop_random(loop *l);
uint64_t loop_overruns(const loop *l);  /* any thread */

#endif
