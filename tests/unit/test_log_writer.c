/* Property: whoever logs never waits for the reader of the log.  While it keeps up, every line arrives whole and in
 * order; when it stands still, lines are dropped and counted, and what it reads next says how many. */
#include "async/log_writer.h"
#include "base/log.h"
#include "fake/sys_fake.h"
#include "os/clock.h"
#include "os/thread.h"
#include "test.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { OUT_MAX = 4 << 20, LINE = 100, THREADS = 4, LINES = 2000 };

static char out[OUT_MAX];
static _Atomic size_t out_len;
static _Atomic bool stalled, hangs;
static _Atomic size_t longest;

static void reader(const char *line, size_t len)
{
    for (; atomic_load(&stalled); usleep(200)) atomic_store(&hangs, true);
    atomic_store(&hangs, false);
    if (len > atomic_load(&longest)) atomic_store(&longest, len);
    size_t at = atomic_load(&out_len);
    CHECK(len <= OUT_MAX - at && line[len - 1] == '\n');
    memcpy(out + at, line, len);
    atomic_store(&out_len, at + len);
}

static uint64_t clock_us(void) { return 0; }

static void begin(void)
{
    err e;
    atomic_store(&out_len, 0);
    atomic_store(&stalled, false);
    log_setup(&(log_opts){.level = LOG_INFO, .sink = log_writer_line, .clock_us = clock_us});
    CHECK(log_writer_start(reader, &e) == ERR_OK);
}

static void end(void)
{
    CHECK(log_writer_stop());
    log_setup(&(log_opts){.sink = NULL});
}

/* LINE bytes: "THREAD NUMBER ----...\n". */
static void say(size_t thread_index, size_t number)
{
    char line[LINE + 1];
    int n = snprintf(line, sizeof line, "%zu %zu ", thread_index, number);
    memset(line + n, '-', (size_t)(LINE - n));
    line[LINE - 1] = '\n';
    log_writer_line(line, LINE);
}

/* Whole lines; each thread's numbers go up.  Notes are put aside: their numbers are summed. */
static void check_out(size_t *ret_lines, uint64_t *ret_dropped, size_t *ret_notes)
{
    size_t next[THREADS] = {0}, len = atomic_load(&out_len);
    *ret_lines = *ret_notes = 0;
    *ret_dropped = 0;
    for (size_t at = 0, n; at < len; at += n) {
        const char *line = out + at, *stop = memchr(line, '\n', len - at);
        CHECK(stop != NULL);
        if (!stop) return;
        n = (size_t)(stop + 1 - line);
        const char *note = memmem(line, n, " dropped=", 9);
        if (note) {
            CHECK(memmem(line, n, "warn  log: lines were dropped here: standard error took no more", 63) != NULL);
            *ret_dropped += strtoull(note + 9, NULL, 10);
            ++*ret_notes;
            continue;
        }
        size_t of = 0, number = 0;
        CHECK(n == LINE && sscanf(line, "%zu %zu -", &of, &number) == 2 && of < THREADS);
        CHECK(number >= next[of]);
        next[of] = number + 1;
        ++*ret_lines;
    }
}

static void wait_for(size_t bytes)
{
    for (int i = 0; i < 50000 && atomic_load(&out_len) < bytes; i++) usleep(100);
}

static void without_a_writer_lines_go_straight_out(void)
{
    begin();
    end();   /* which leaves `reader` behind */
    say(0, 7);
    CHECK_U64(atomic_load(&out_len), LINE);
}

static void lines_arrive_whole_and_in_order(void)
{
    size_t lines, notes;
    uint64_t dropped, before = log_writer_dropped();
    begin();
    for (size_t i = 0; i < 300; i++) say(0, i);   /* half a page */
    wait_for(300 * LINE);                         /* nobody had to ask for it */
    CHECK_U64(atomic_load(&out_len), 300 * LINE);
    for (size_t i = 300; i < 600; i++) say(0, i);
    end();
    check_out(&lines, &dropped, &notes);
    CHECK_U64(lines, 600);
    CHECK_U64(notes, 0);
    CHECK_U64(log_writer_dropped(), before);
    CHECK(atomic_load(&longest) <= 4096);
}

typedef struct {
    thread thread;
    size_t index;
} talker;

static void talk(void *ctx)
{
    const talker *t = ctx;
    for (size_t i = 0; i < LINES; i++) say(t->index, i);
}

static void threads_may_log_at_once(void)
{
    err e;
    size_t lines, notes;
    uint64_t dropped, before = log_writer_dropped();
    talker talkers[THREADS];
    begin();
    for (size_t i = 0; i < THREADS; i++) {
        talkers[i].index = i;
        CHECK(thread_start(&talkers[i].thread, "talker", talk, &talkers[i], &e) == ERR_OK);
    }
    for (size_t i = 0; i < THREADS; i++) thread_join(&talkers[i].thread);
    end();
    check_out(&lines, &dropped, &notes);
    CHECK_U64(lines + dropped, THREADS * LINES);
    CHECK_U64(dropped, log_writer_dropped() - before);
}

static void a_reader_that_stands_still_delays_nobody(void)
{
    size_t lines, notes;
    uint64_t dropped, before = log_writer_dropped();
    begin();
    atomic_store(&stalled, true);
    say(0, 0);
    while (!atomic_load(&hangs)) usleep(100);
    uint64_t sleeps = sys_fake_calls(SYS_futex_wait);
    for (size_t i = 1; i < 10 * LINES; i++) say(0, i);   /* 2 MB */
    CHECK_U64(sys_fake_calls(SYS_futex_wait), sleeps);
    CHECK(log_writer_dropped() - before >= 10 * LINES - 2 * LOG_WRITER_BYTES / LINE);
    CHECK_U64(atomic_load(&out_len), 0);
    atomic_store(&stalled, false);
    for (int i = 0; i < 50000 && !memmem(out, atomic_load(&out_len), " dropped=", 9); i++) usleep(100);
    say(0, 10 * LINES);
    end();
    check_out(&lines, &dropped, &notes);
    CHECK_U64(notes, 1);
    CHECK_U64(lines + dropped, 10 * LINES + 1);
    CHECK_U64(dropped, log_writer_dropped() - before);
    CHECK(lines >= LOG_WRITER_BYTES / LINE);
    const char *note = memmem(out, atomic_load(&out_len), " dropped=", 9);
    CHECK(note && atoi(note + 9) > 0 && memchr(note, '\n', LINE)
          && strncmp((const char *)memchr(note, '\n', LINE) + 1, "0 20000 -", 9) == 0);   /* before the next line */
}

static void a_reader_that_stands_still_delays_the_end_only_so_long(void)
{
    begin();
    atomic_store(&stalled, true);
    say(0, 1);
    say(0, 2);
    sys_fake_clock_set(1000000000);
    CHECK(!log_writer_stop());
    CHECK_U64(clock_now_us(), 1000000 + LOG_WRITER_STOP_US);
    sys_fake_clock_set(0);
    CHECK_U64(atomic_load(&out_len), 0);
    atomic_store(&stalled, false);
    end();
    CHECK_U64(atomic_load(&out_len), 2 * LINE);
}

static void start_or_not(void)
{
    err e;
    if (log_writer_start(reader, &e) == ERR_OK) CHECK(log_writer_stop());
}

static void construction_survives_every_fault(void)
{
    FAULT_SWEEP(start_or_not());
    SYS_SWEEP(-EAGAIN, start_or_not());
}

int main(void)
{
    static const test_case cases[] = {
        TEST(without_a_writer_lines_go_straight_out),
        TEST(lines_arrive_whole_and_in_order),
        TEST(threads_may_log_at_once),
        TEST(a_reader_that_stands_still_delays_nobody),
        TEST(a_reader_that_stands_still_delays_the_end_only_so_long),
        TEST(construction_survives_every_fault),
    };
    return test_main(cases, COUNTOF(cases));
}
