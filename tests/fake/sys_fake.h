/* sys_fake.h - system calls that fail by script, and a clock that a test owns.
 *
 * A test that calls anything here is linked with these sys_x() instead of src/os/sys.c (see os/sys.h).  Until a
 * script says otherwise every call goes to the kernel.  A script is a table:
 *
 *     sys_fake_script((sys_fault[]){{SYS_accept, .skip = 2, .times = 1, .result = -EMFILE},
 *                                   {SYS_write, .times = SYS_FAKE_EVER, .result = 3}}, 2);
 *
 * lets two accepts pass, fails the third, and lets each write move three bytes at most.  Scripts hold for all
 * threads; sys_fake_fail_nth() for the calling one. */
#ifndef FAKE_SYS_FAKE_H
#define FAKE_SYS_FAKE_H
#include "os/sys.h"
#include "test.h"

enum { SYS_FAULTS_MAX = 16, SYS_SLEEPERS_MAX = 64 };
#define SYS_FAKE_EVER UINT32_MAX

typedef struct {
    sys_call call;
    uint32_t skip, times;   /* so many pass first, then so many are hit; an earlier row's hits do not count */
    int64_t result;         /* returned instead of calling; > 0 for read, write, write_at, recv, send: moves so much */
    void (*then)(void);     /* may be NULL; run at each hit: what another thread does in that very moment */
} sys_fault;

void sys_fake_script(const sys_fault *faults, size_t count);   /* replaces the one before; NULL, 0 = none */
uint64_t sys_fake_hits(void);                                  /* of this script */
uint64_t sys_fake_calls(sys_call call);                        /* since the start of the program, hits too */
uint64_t sys_fake_scattered(void);                             /* of them: bytes received to more than one place */

/* How many threads sleep in a poll or futex that lasts at least `ns` unless something happens; UINT64_MAX = for ever.
 * Who is to make no wake-ups is proved idle by this, whatever the machine does meanwhile. */
size_t sys_fake_asleep(uint64_t ns);
bool sys_fake_await_asleep(size_t count, uint64_t ns);         /* until that many do; false = not within a minute */

int sys_fake_synced(void);   /* in a `then` of SYS_sync or SYS_sync_data: whose descriptor */

/* The n-th call from now that may fail returns `result` (-errno); n < 0 turns it off. */
void sys_fake_fail_nth(long n, int64_t result);
bool sys_fake_fired(void);

/* From now on the clocks stand at `ns` and move only by sys_fake_clock_set() and by waiting: a poll or futex with
 * a time limit and nothing to report moves them to its end at once.  0 gives the real clocks back. */
void sys_fake_clock_set(uint64_t ns);
/* The same, but waiting does not move them: a poll ends by an event only.  Whoever moves them by sys_fake_clock_set()
 * wakes the loops.  (Futexes still skip ahead.) */
void sys_fake_clock_hold(uint64_t ns);
long sys_fake_fds(void);                                       /* descriptors of this process */

/* Like FAULT_SWEEP, for system calls: the 1st, 2nd, ... fails with `result` until the body reaches no more.
 * Neither memory nor a descriptor may be left. */
#define SYS_SWEEP(fault_result, body)                                                               \
    for (long sys_n_ = 0, sys_more_ = 1; sys_more_; sys_n_++) {                                     \
        long sys_live_ = mem_live(), sys_fds_ = sys_fake_fds();                                     \
        sys_fake_fail_nth(sys_n_, (fault_result));                                                  \
        body;                                                                                       \
        sys_more_ = sys_fake_fired();                                                               \
        sys_fake_fail_nth(-1, 0);                                                                   \
        CHECK_U64((uint64_t)mem_live(), (uint64_t)sys_live_);                                       \
        CHECK_U64((uint64_t)sys_fake_fds(), (uint64_t)sys_fds_);                                    \
    }

#endif
