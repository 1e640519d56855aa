#include "async/log_writer.h"

#include "base/log.h"
#include "os/clock.h"
#include "os/console.h"
#include "os/futex.h"
#include "os/lock.h"
#include "os/thread.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* What a pipe takes whole or not at all (PIPE_BUF), so that lines do not mix with those of other processes. */
enum { WRITE_BYTES_MAX = 4096 };
_Static_assert((int)LOG_LINE_MAX <= (int)WRITE_BYTES_MAX, "a line goes out in one write");

typedef struct {
    char bytes[LOG_WRITER_BYTES];
    size_t len;
} page;

/* Callers fill one page while the thread writes the other; they change places when the thread has nothing left. */
static struct {
    lock lock;                      /* guards pages[filling], filling, dropped_now, stopping */
    page pages[2];
    unsigned filling;
    uint64_t dropped_now;           /* lines, since the last note of it */
    bool stopping;
    _Atomic uint64_t dropped;
    _Atomic uint32_t events;        /* moves when there is something to do */
    _Atomic bool asleep;
    _Atomic bool running;
    _Atomic uint32_t ended;
    void (*out)(const char *line, size_t len);
    thread thread;
} the = {.lock = LOCK_INIT, .out = console_err};

/* Its own lines, which tell what was dropped, go straight out. */
static _Thread_local bool is_writer;

static void notify(void)
{
    atomic_fetch_add(&the.events, 1);
    if (atomic_exchange(&the.asleep, false)) futex_wake(&the.events, 1);
}

void log_writer_line(const char *line, size_t len)
{
    if (is_writer || !atomic_load_explicit(&the.running, memory_order_acquire)) {
        the.out(line, len);
        return;
    }
    lock_take(&the.lock);
    page *to = &the.pages[the.filling];
    bool fits = len <= sizeof to->bytes - to->len;
    if (fits) {
        memcpy(to->bytes + to->len, line, len);
        to->len += len;
    } else {
        the.dropped_now++;
    }
    lock_give(&the.lock);
    if (fits)
        notify();
    else
        atomic_fetch_add_explicit(&the.dropped, 1, memory_order_relaxed);
}

uint64_t log_writer_dropped(void) { return atomic_load_explicit(&the.dropped, memory_order_relaxed); }

/* Whole lines, as many as go into one write. */
static size_t piece(const char *p, size_t len)
{
    if (len <= WRITE_BYTES_MAX) return len;
    const char *end = memrchr(p, '\n', WRITE_BYTES_MAX);
    return end ? (size_t)(end + 1 - p) : WRITE_BYTES_MAX;
}

static void write_page(page *from)
{
    for (size_t at = 0, n; at < from->len; at += n) {
        n = piece(from->bytes + at, from->len - at);
        the.out(from->bytes + at, n);
    }
    from->len = 0;
}

static void tell(uint64_t dropped)
{
    char fields[40];
    snprintf(fields, sizeof fields, "dropped=%" PRIu64, dropped);
    log_write(LOG_WARN, fields, "log: lines were dropped here: standard error took no more");
}

/* One turn of the thread: false when it was told to stop and nothing is left. */
static bool write_waiting(void)
{
    uint32_t seen = atomic_load(&the.events);
    lock_take(&the.lock);
    page *full = &the.pages[the.filling];
    uint64_t dropped = the.dropped_now;
    bool stopping = the.stopping, work = full->len > 0;
    if (work) {
        the.filling ^= 1;
        the.dropped_now = 0;
    }
    lock_give(&the.lock);
    if (work) {
        write_page(full);
        if (dropped) tell(dropped);   /* behind the lines before them: that page was full then */
        return true;
    }
    if (stopping) return false;
    atomic_store(&the.asleep, true);
    (void)futex_wait(&the.events, seen, FUTEX_FOREVER);
    return true;
}

static void write_all(void *ctx)
{
    (void)ctx;
    is_writer = true;
    while (write_waiting()) {}
    atomic_store(&the.ended, 1);
    futex_wake(&the.ended, 1);
}

err_code log_writer_start(void (*out)(const char *line, size_t len), err *e)
{
    INVARIANT(!atomic_load(&the.running));
    the.out = out;
    the.stopping = false;
    atomic_store(&the.ended, 0);
    err_code rc = thread_start(&the.thread, "log", write_all, NULL, e);
    if (rc == ERR_OK) atomic_store_explicit(&the.running, true, memory_order_release);
    return rc;
}

bool log_writer_stop(void)
{
    if (!atomic_load(&the.running)) return true;
    lock_take(&the.lock);
    the.stopping = true;
    lock_give(&the.lock);
    notify();
    uint64_t until_us = clock_now_us() + LOG_WRITER_STOP_US;
    while (!atomic_load(&the.ended) && futex_wait(&the.ended, 0, until_us)) {}
    if (!atomic_load(&the.ended)) return false;
    thread_join(&the.thread);
    atomic_store(&the.running, false);
    return true;
}
