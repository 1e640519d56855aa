#include "fake/sys_fake.h"

#include <dirent.h>
#include <stdatomic.h>
#include <time.h>

enum { PIECES_MAX = 64 };   /* of one call that moves bytes */

typedef struct {
    sys_fault fault;
    uint32_t seen;
} row;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;   /* guards rows: a script may change while threads run */
static row rows[SYS_FAULTS_MAX];
static _Atomic size_t row_count;
static _Atomic uint64_t hits, calls[SYS_CALLS], scattered, fake_ns;
static _Atomic int synced;
static _Atomic bool held;   /* waiting does not move the clocks */
static _Atomic uint64_t sleeps[SYS_SLEEPERS_MAX];   /* how long each sleeper would at most; 0 = a free place */
static _Thread_local long fail_in = -1;
static _Thread_local int64_t fail_result;
static _Thread_local bool fail_hit;

void sys_fake_script(const sys_fault *faults, size_t count)
{
    INVARIANT(count <= SYS_FAULTS_MAX);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count; i++) rows[i] = (row){.fault = faults[i]};
    atomic_store(&row_count, count);
    atomic_store(&hits, 0);
    pthread_mutex_unlock(&lock);
}

uint64_t sys_fake_hits(void) { return atomic_load(&hits); }
uint64_t sys_fake_calls(sys_call call) { return atomic_load(&calls[call]); }
uint64_t sys_fake_scattered(void) { return atomic_load(&scattered); }

void sys_fake_fail_nth(long n, int64_t result)
{
    fail_in = n;
    fail_result = result;
    fail_hit = false;
}

bool sys_fake_fired(void) { return fail_hit; }

void sys_fake_clock_set(uint64_t ns)
{
    if (ns == 0) atomic_store(&held, false);
    atomic_store(&fake_ns, ns);
}

void sys_fake_clock_hold(uint64_t ns)
{
    atomic_store(&held, true);
    atomic_store(&fake_ns, ns);
}

long sys_fake_fds(void)
{
    long count = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d)) count++;
    if (d) closedir(d);
    return count;
}

/* Those that cannot fail for a reason outside this program; os/ holds them to it by INVARIANT. */
static bool may_fail(sys_call call)
{
    switch (call) {
    case SYS_close: case SYS_unmap: case SYS_clock_ns: case SYS_futex_wait: case SYS_futex_wake:
    case SYS_thread_join: case SYS_thread_leave: case SYS_wait_writable: case SYS_poll_change: case SYS_poll_del:
    case SYS_pid: case SYS_user: case SYS_wait_readable:
        return false;
    default:
        return true;
    }
}

static bool scripted(sys_call call, int64_t *ret)
{
    bool found = false;
    void (*then)(void) = NULL;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < row_count && !found; i++) {
        const sys_fault *f = &rows[i].fault;
        if (f->call != call) continue;
        uint32_t seen = rows[i].seen++;
        if (seen < f->skip || seen - f->skip >= f->times) continue;
        atomic_fetch_add(&hits, 1);
        *ret = f->result;
        then = f->then;
        found = true;
    }
    pthread_mutex_unlock(&lock);
    if (then) then();
    return found;
}

/* True when the script has something for this call. */
static bool hit(sys_call call, int64_t *ret)
{
    atomic_fetch_add(&calls[call], 1);
    if (fail_in >= 0 && may_fail(call) && fail_in-- == 0) {
        fail_hit = true;
        *ret = fail_result;
        return true;
    }
    return atomic_load(&row_count) && scripted(call, ret);
}

#define X(name, params, args)                                                                       \
    int64_t sys_##name params                                                                       \
    {                                                                                               \
        int64_t result;                                                                             \
        return hit(SYS_##name, &result) ? result : sys_real_##name args;                            \
    }
SYS_PLAIN(X)
#undef X

#define X(name, params, args)                                                                       \
    int64_t sys_##name params                                                                       \
    {                                                                                               \
        int64_t result;                                                                             \
        atomic_store(&synced, fd);                                                                  \
        return hit(SYS_##name, &result) ? result : sys_real_##name args;                            \
    }
SYS_SYNCS(X)
#undef X

int sys_fake_synced(void) { return atomic_load(&synced); }

/* n, or less where the script shortens the call; false = *ret is the answer. */
static bool room(sys_call call, size_t *n, int64_t *ret)
{
    if (!hit(call, ret)) return true;
    if (*ret <= 0) return false;
    if (*n > (size_t)*ret) *n = (size_t)*ret;
    return true;
}

int64_t sys_read(int fd, void *p, size_t n)
{
    int64_t result;
    return room(SYS_read, &n, &result) ? sys_real_read(fd, p, n) : result;
}

int64_t sys_write(int fd, const void *p, size_t n)
{
    int64_t result;
    return room(SYS_write, &n, &result) ? sys_real_write(fd, p, n) : result;
}

int64_t sys_write_at(int fd, const void *p, size_t n, uint64_t at)
{
    int64_t result;
    return room(SYS_write_at, &n, &result) ? sys_real_write_at(fd, p, n, at) : result;
}

/* The pieces of v as far as n bytes go. */
static size_t shorten(const struct iovec *v, size_t count, size_t n, struct iovec cut[PIECES_MAX])
{
    size_t used = 0;
    for (; used < count && used < PIECES_MAX && n > 0; used++) {
        cut[used] = v[used];
        if (cut[used].iov_len > n) cut[used].iov_len = n;
        n -= cut[used].iov_len;
    }
    return used;
}

int64_t sys_recv(int fd, const struct iovec *v, size_t count)
{
    int64_t result;
    struct iovec cut[PIECES_MAX];
    size_t n = SIZE_MAX;
    if (count > 1) atomic_fetch_add(&scattered, 1);
    return room(SYS_recv, &n, &result) ? sys_real_recv(fd, cut, shorten(v, count, n, cut)) : result;
}

int64_t sys_send(int fd, const struct iovec *v, size_t count)
{
    int64_t result;
    struct iovec cut[PIECES_MAX];
    size_t n = SIZE_MAX;
    return room(SYS_send, &n, &result) ? sys_real_send(fd, cut, shorten(v, count, n, cut)) : result;
}

int64_t sys_close(int fd)
{
    int64_t result, rc = sys_real_close(fd);
    return hit(SYS_close, &result) ? result : rc;
}

int64_t sys_clock_ns(int which, uint64_t *ret)
{
    uint64_t now = atomic_load(&fake_ns);
    atomic_fetch_add_explicit(&calls[SYS_clock_ns], 1, memory_order_relaxed);
    if (now == 0) return sys_real_clock_ns(which, ret);
    *ret = now;
    return 0;
}

size_t sys_fake_asleep(uint64_t ns)
{
    size_t count = 0;
    for (size_t i = 0; i < SYS_SLEEPERS_MAX; i++) count += atomic_load(&sleeps[i]) >= ns;
    return count;
}

bool sys_fake_await_asleep(size_t count, uint64_t ns)
{
    for (int i = 0; i < 60000; i++) {
        if (sys_fake_asleep(ns) == count) return true;
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

/* Around a sleep of `ns`: a sleeper beyond the places that there are is not counted. */
static _Atomic uint64_t *lie_down(uint64_t ns)
{
    uint64_t none;
    for (size_t i = 0; ns && i < SYS_SLEEPERS_MAX; i++)
        if (none = 0, atomic_compare_exchange_strong(&sleeps[i], &none, ns)) return &sleeps[i];
    return NULL;
}

static int64_t get_up(_Atomic uint64_t *place, int64_t result)
{
    if (place) atomic_store(place, 0);
    return result;
}

/* Nothing happened before the time was over: so it is over. */
static int64_t skip_ahead(int64_t events, uint64_t ns)
{
    if (events == 0) atomic_fetch_add(&fake_ns, ns);
    return events;
}

int64_t sys_poll_wait_ms(int poll, struct epoll_event *ret, int max, int ms)
{
    int64_t result;
    if (hit(SYS_poll_wait_ms, &result)) return result;
    uint64_t ns = ms < 0 ? UINT64_MAX : (uint64_t)ms * 1000000u;
    bool real = ms < 0 || atomic_load(&fake_ns) == 0, stands = atomic_load(&held);
    if (!real && !stands) return skip_ahead(sys_real_poll_wait_ms(poll, ret, max, 0), ns);
    _Atomic uint64_t *place = lie_down(ns);
    return get_up(place, sys_real_poll_wait_ms(poll, ret, max, real || ms == 0 ? ms : -1));
}

int64_t sys_poll_wait_ns(int poll, struct epoll_event *ret, int max, uint64_t ns)
{
    int64_t result;
    if (hit(SYS_poll_wait_ns, &result)) return result;
    bool real = atomic_load(&fake_ns) == 0, stands = atomic_load(&held);
    if (!real && !stands) return skip_ahead(sys_real_poll_wait_ms(poll, ret, max, 0), ns);
    _Atomic uint64_t *place = lie_down(ns);
    if (real) return get_up(place, sys_real_poll_wait_ns(poll, ret, max, ns));
    return get_up(place, sys_real_poll_wait_ms(poll, ret, max, ns ? -1 : 0));
}

int64_t sys_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    int64_t result;
    uint64_t now_ns = 0;
    if (hit(SYS_futex_wait, &result)) return result;
    bool ever = deadline_ns == UINT64_MAX;
    if (ever || atomic_load(&fake_ns) == 0) {
        if (!ever) (void)sys_real_clock_ns(CLOCK_MONOTONIC, &now_ns);
        _Atomic uint64_t *place = lie_down(ever ? UINT64_MAX : deadline_ns > now_ns ? deadline_ns - now_ns : 0);
        return get_up(place, sys_real_futex_wait(word, expected, deadline_ns));
    }
    if (atomic_load(word) != expected) return -EAGAIN;
    if (atomic_load(&fake_ns) < deadline_ns) atomic_store(&fake_ns, deadline_ns);
    return -ETIMEDOUT;
}
