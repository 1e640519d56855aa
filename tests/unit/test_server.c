/* Property: every limit of a server answers with its status; a steady load allocates nothing, an idle one neither
 * wakes the loop nor holds memory; a lack of memory does not stop it. */
#include "net/shard.h"
#include "server_rig.h"
#include "test_own.h"

#include <sys/resource.h>

static void each_limit_is_answered_with_its_status(void)
{
    static char many[2 << 20];
    memset(many, 'x', sizeof many);
    static const struct { const char *head; size_t more; const char *status; } rows[] = {
        {"GET /", 300, "414"},
        {"GET / HTTP/1.1\r\nA: ", 500, "431"},
        {"GET / HTTP/1.1\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n", 0, "431"},
        {ECHO "Content-Length: 2097152\r\n\r\n", 2 << 20, "413"},
        {ECHO "Transfer-Encoding: chunked\r\n\r\n200000\r\n", 2 << 20, "413"},
        {ECHO "Expect: teapot\r\n\r\n", 0, "417"},
        {ECHO "Transfer-Encoding: gzip\r\n\r\n", 0, "501"},
        {"GET / HTTP/1.1\r\n\r\n", 0, "400"},
        {"GET / HTTP/3.1\r\n\r\n", 0, "505"},
        {"\x16\x03\x01", 0, "400"},
    };
    rig r;
    static const char *const strangers[] = {"INVALID CONNECTION PREFACE\r\n\r\n", "EHLO there\r\n"};
    rig_start(&r, &(http_limits){.line_bytes_max = 200, .header_bytes_max = 400, .header_count_max = 8,
                                 .body_bytes_max = 1000}, 1);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        int fd = dial(&r);
        say(fd, rows[i].head);
        say_bytes(fd, many, rows[i].more);   /* all of it, before the answer is read */
        check_status(fd, rows[i].status);
        shutdown(fd, SHUT_WR);
        check_ends(fd);
    }
    for (size_t i = 0; i < COUNTOF(strangers); i++) {
        int fd = dial(&r);
        say(fd, strangers[i]);
        check_ends(fd);
    }
    int fd = dial(&r);   /* an answer to come is not lost to a refusal behind it */
    say(fd, HOLD "BREW / HTTP/1.1\r\n\r\n");
    wait_holding(&r, 1);
    on_loop(&r, release, 0);
    check_status(fd, "200");
    check_status(fd, "501");
    check_ends(fd);
    server_stats stats;
    server_stats_read(r.server, &stats);
    CHECK_U64(stats.bad_requests, COUNTOF(rows) + COUNTOF(strangers) + 1);
    CHECK_U64(stats.requests, 1);
    rig_stop(&r);
}

static void connections_beyond_the_limit_are_told_so(void)
{
    rig r;
    rig_start(&r, &(http_limits){.connections_max = 2}, 1);
    int a = dial(&r), b = dial(&r);
    say(a, ECHO "\r\n");
    check_status(a, "200");
    say(b, ECHO "\r\n");
    check_status(b, "200");
    int c = dial(&r);
    say(c, ECHO "\r\n");
    check_status(c, "503");
    check_ends(c);
    close(a);
    wait_open(&r, 1);
    c = dial(&r);
    say(c, ECHO "\r\n");
    check_status(c, "200");
    server_stats stats;
    server_stats_read(r.server, &stats);
    CHECK_U64(stats.accepted, 3);
    CHECK_U64(stats.refused, 1);
    CHECK_U64(stats.requests, 3);
    close(b);
    close(c);
    rig_stop(&r);
}

/* ---- memory for bodies ---- */

enum { BODY = 400000, ALL_BODIES = 1 << 20 };
#define LONG_BODY "Content-Length: 400000\r\n\r\n"

static uint64_t bodies_bytes(const rig *r)
{
    server_stats stats;
    server_stats_read(r->server, &stats);
    return stats.bodies_bytes;
}

/* Two bodies but for their last byte, and no room for a third. */
static void two_long_bodies(rig *r, const char *head, int fds[2])
{
    reply got;
    for (size_t i = 0; i < 2; i++) {
        fds[i] = dial(r);
        say(fds[i], head);
        say_bytes(fds[i], big, BODY - 1);
    }
    for (int i = 0; i < 50000 && bodies_bytes(r) < 2 * BODY; i++) usleep(100);
    pass_time_everywhere(r, LOW_WATER_WAIT_US);   /* what the kernel holds back is read, too */
    int third = dial(r);
    say(third, ECHO LONG_BODY);
    hear(third, &got);
    char *kept = strstr(got.text, "got 120");   /* and what small requests left in the pools */
    CHECK(kept && strcmp(kept + 11, "\"}") == 0);
    if (kept) *kept = 0;
    CHECK_STR(got.text, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
              "Content-Length: 79\r\nConnection: close\r\n\r\n"
              "{\"error\":\"bodies: expected at most 1048576 bytes in all requests, ");
    shutdown(third, SHUT_WR);
    check_ends(third);
    third = dial(r);
    say(third, ECHO "Content-Length: 5\r\n\r\nhello");   /* a small one finds room */
    CHECK_STR(hear(third, &got), HEAD_OK("5") "hello");
    close(third);
}

static void way_answered(rig *r, int fd)
{
    reply got;
    (void)r;
    say(fd, "!");
    hear(fd, &got);
    CHECK_U64(got.body_bytes, BODY);
    close(fd);
}

static void way_closed(rig *r, int fd)
{
    (void)r;
    close(fd);
}

static void way_reset(rig *r, int fd)
{
    (void)r;
    hang_up(fd);
}

static void way_half_closed(rig *r, int fd)
{
    (void)r;
    shutdown(fd, SHUT_WR);
    check_ends(fd);
}

static void way_timed_out(rig *r, int fd)
{
    pass_time_everywhere(r, 200000);
    check_status(fd, "408");
    shutdown(fd, SHUT_WR);
    check_ends(fd);
}

static void way_gone_while_held(rig *r, int fd)
{
    size_t holding = atomic_load(&r->holding);
    say(fd, "!");
    wait_holding(r, holding + 1);
    hang_up(fd);
}

static void the_memory_of_bodies_is_bounded_and_given_back_on_every_way_out(void)
{
    static const struct {
        const char *head;
        void (*out)(rig *r, int fd);
    } rows[] = {
        {ECHO LONG_BODY, way_answered}, {ECHO LONG_BODY, way_closed}, {ECHO LONG_BODY, way_reset},
        {ECHO LONG_BODY, way_half_closed}, {ECHO LONG_BODY, way_timed_out},
        {"POST /hold HTTP/1.1\r\n" HOST LONG_BODY, way_gone_while_held},
    };
    for (size_t loops = 1; loops <= LOOPS_MAX; loops++) {
        rig r;
        int fds[2];
        sys_fake_clock_hold(CLOCK_START_NS);
        rig_start(&r, &(http_limits){.body_bytes_max = BODY, .bodies_bytes_max = ALL_BODIES, .body_wait_us = 200000},
                  loops);
        for (size_t i = 0; i < COUNTOF(rows) - (loops > 1); i++) {   /* calls are held on loop 0 only */
            two_long_bodies(&r, rows[i].head, fds);
            for (size_t k = 0; k < 2; k++) rows[i].out(&r, fds[k]);
            wait_open(&r, 0);
            if (atomic_load(&r.holding)) CHECK(bodies_bytes(&r) >= 2 * BODY);   /* until the answer */
            for (size_t k = 0; k < atomic_load(&r.holding); k++) on_loop(&r, release, k);
            CHECK(bodies_bytes(&r) <= ALL_BODIES / 4);
        }
        server_stats stats;
        server_stats_read(r.server, &stats);
        CHECK_U64(stats.bodies_refused, COUNTOF(rows) - (loops > 1));
        two_long_bodies(&r, ECHO LONG_BODY, fds);
        server_drain(r.server, 50000, NULL, NULL);
        pass_time_everywhere(&r, 50000);
        check_ends(fds[0]);
        check_ends(fds[1]);
        wait_open(&r, 0);
        CHECK(bodies_bytes(&r) <= ALL_BODIES / 4);
        rig_stop(&r);
        sys_fake_clock_set(0);
    }
}

/* No socket takes a byte, so all answers wait: who would make it too much is cut off, the others get theirs. */
static void what_waits_for_all_clients_together_is_bounded(void)
{
    rig r;
    reply got;
    server_stats stats;
    rig_start(&r, &(http_limits){.replies_bytes_max = BIG + BIG / 2}, 1);
    int late = dial(&r), more = dial(&r), held = dial(&r);
    sys_fake_script((sys_fault[]){{SYS_send, .times = SYS_FAKE_EVER, .result = -EAGAIN}}, 1);
    say(late, "GET /big HTTP/1.1\r\n" HOST "\r\n");
    while (atomic_load(&r.handled) < 1) usleep(100);
    say(more, "GET /big HTTP/1.1\r\n" HOST "\r\n");
    check_ends(more);
    say(held, HOLD "GET /big HTTP/1.1\r\n" HOST "\r\n");   /* behind another */
    check_ends(held);
    server_stats_read(r.server, &stats);
    CHECK_U64(stats.replies_refused, 2);
    CHECK(stats.replies_bytes >= BIG && stats.replies_bytes <= BIG + BIG / 2);
    sys_fake_script(NULL, 0);
    hear(late, &got);
    CHECK(got.body_bytes == BIG && memcmp(got.body, big, BIG) == 0);
    on_loop(&r, release, 0);
    close(late);
    wait_open(&r, 0);
    server_stats_read(r.server, &stats);
    CHECK(stats.replies_bytes <= SHARD_REST_BYTES_MAX);
    rig_stop(&r);
    CHECK_U64(stats.replies_refused, 2);
}

/* Two answers wait behind a request that is not answered: their client holds more than who asks then.  Where that one
 * is on the other loop it is refused, but the next is not. */
static void who_holds_most_of_that_memory_makes_room_for_others(void)
{
    for (size_t loops = 1; loops <= 2; loops++) {
        rig r;
        reply got;
        server_stats stats;
        rig_start(&r, &(http_limits){.replies_bytes_max = 2 * BIG + BIG / 2}, loops);
        int hog = dial_on(&r, 0), first = dial_on(&r, loops - 1), second = dial_on(&r, loops - 1);
        const size_t handled = atomic_load(&r.handled);
        say(hog, HOLD "GET /big HTTP/1.1\r\n" HOST "\r\nGET /big HTTP/1.1\r\n" HOST "\r\n");
        do server_stats_read(r.server, &stats);   /* until it holds them: another loop looks at once */
        while (stats.replies_bytes < 2 * BIG);
        sys_fake_script((sys_fault[]){{SYS_send, .times = SYS_FAKE_EVER, .result = -EAGAIN}}, 1);
        say(first, "GET /big HTTP/1.1\r\n" HOST "\r\n");
        check_ends(hog);
        say(second, "GET /big HTTP/1.1\r\n" HOST "\r\n");
        while (atomic_load(&r.handled) < handled + 5) usleep(100);
        server_stats_read(r.server, &stats);
        CHECK(stats.replies_refused >= 1 && stats.replies_bytes <= 2 * BIG + BIG / 2);
        if (loops == 1) CHECK_U64(stats.replies_refused, 1);
        sys_fake_script(NULL, 0);
        if (loops == 1) CHECK((hear(first, &got), got.body_bytes == BIG));
        hear(second, &got);
        CHECK(got.body_bytes == BIG && memcmp(got.body, big, BIG) == 0);
        close(first);
        close(second);
        wait_open(&r, 0);
        rig_stop(&r);
    }
}

static void the_date_follows_the_clock(void)
{
    static const char *const want[] = {"Thu, 01 Jan 1970 01:00:00 GMT\r\n", "Thu, 01 Jan 1970 01:00:00 GMT\r\n",
                                       "Thu, 01 Jan 1970 01:00:01 GMT\r\n", "Thu, 01 Jan 1970 01:00:02 GMT\r\n"};
    rig r;
    sys_fake_clock_hold(CLOCK_START_NS + 300000000);
    rig_start(&r, &plain, 1);
    for (size_t i = 0; i < COUNTOF(want); i++) {   /* the second ends between the second and the third */
        char got[300] = "";
        int fd = dial(&r);
        say(fd, "GET / HTTP/1.0\r\n\r\n");
        CHECK(recv(fd, got, sizeof got - 1, MSG_WAITALL) > 0);
        CHECK(strncmp(got, "HTTP/1.1 200 OK\r\nDate: ", 23) == 0 && strstr(got, want[i]));
        close(fd);
        on_loop(&r, move_clock, 600000);
    }
    rig_stop(&r);
    sys_fake_clock_set(0);
}

/* It comes to rest: rounds in a row that take nothing.  How many calls are in use at once is up to timing. */
static void a_steady_load_allocates_nothing(void)
{
    enum { CONNS = 8, AT_REST = 30, ROUNDS_MAX = 1000 };
    static const char small[] = ECHO "Content-Length: 5\r\n\r\nhello";
    rig r;
    rig_start(&r, &plain, 1);
    int fds[CONNS], quiet = 0;
    char head[128];
    int n = snprintf(head, sizeof head, ECHO "Content-Length: %d\r\n\r\n", 600000);
    for (size_t i = 0; i < CONNS; i++) fds[i] = dial(&r);
    for (int round = 0; round < ROUNDS_MAX && quiet < AT_REST; round++) {
        reply got;
        long before = mem_allocs();
        for (size_t i = 0; i < CONNS; i++) say(fds[i], small);
        for (size_t i = 0; i < CONNS; i++) CHECK_STR(hear(fds[i], &got), HEAD_OK("5") "hello");
        say_bytes(fds[0], head, (size_t)n);
        say_bytes(fds[0], big, 600000);
        hear(fds[0], &got);
        CHECK_U64(got.body_bytes, 600000);
        quiet = mem_allocs() == before ? quiet + 1 : 0;
    }
    CHECK_U64((uint64_t)quiet, AT_REST);
    for (size_t i = 0; i < CONNS; i++) close(fds[i]);
    rig_stop(&r);
}

/* More in all than is kept: what is taken out of the pool counts no longer. */
static void answers_that_wait_for_their_turn_allocate_nothing(void)
{
    enum { ROUNDS = 150, LARGE = 20000 };
    rig r;
    reply got;
    char head[160];
    long before = 0;
    rig_start(&r, &plain, 1);
    int fd = dial(&r);
    snprintf(head, sizeof head, HOLD ECHO "Content-Length: %d\r\n\r\n", LARGE);
    for (size_t round = 0; round < ROUNDS; round++) {
        say(fd, head);
        say_bytes(fd, big, LARGE);
        while (atomic_load(&r.handled) < 2 * round + 2) usleep(100);
        on_loop(&r, release, round);
        CHECK(strstr(hear(fd, &got), "held "));
        hear(fd, &got);
        CHECK_U64(got.body_bytes, LARGE);
        if (round == 9) before = mem_allocs();
    }
    CHECK(mem_allocs() < before + 5);
    close(fd);
    rig_stop(&r);
}

static void idle_connections_cost_little_memory_and_no_wake_ups(void)
{
    struct rlimit files;
    CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max < 8192 ? files.rlim_max : 8192;
    CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
    size_t count = files.rlim_cur >= 4200 ? 2000 : (size_t)files.rlim_cur / 3;
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int *fds = mem_alloc_raw(count * sizeof *fds);
    size_t before = heap_bytes();
    for (size_t i = 0; i < count; i++) {
        fds[i] = dial(&r);
        say(fds[i], ECHO "Content-Length: 5\r\n\r\nhello");
        CHECK_STR(hear(fds[i], &got), HEAD_OK("5") "hello");
    }
    CHECK(sleeps(&r));
    size_t each = (heap_bytes() - before) / count;
    CHECK(each < 1500);
    for (size_t i = 0; i < count; i += 100) {
        say(fds[i], ECHO "Content-Length: 5\r\n\r\nhello");
        CHECK_STR(hear(fds[i], &got), HEAD_OK("5") "hello");
    }
    for (size_t i = 0; i < count; i++) close(fds[i]);
    wait_open(&r, 0);
    mem_free(fds);
    rig_stop(&r);
}

static void what_a_burst_leaves_in_the_pools_is_bounded(void)
{
    enum { BODIES = 12, BOXES = 100 };
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int fds[BOXES];
    char head[128];
    size_t before = heap_bytes();
    snprintf(head, sizeof head, "POST /hold HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", BIG);
    for (size_t i = 0; i < BODIES; i++) {   /* 48 MiB */
        fds[i] = dial(&r);
        say(fds[i], head);
        say_bytes(fds[i], big, BIG);
    }
    for (size_t i = BODIES; i < BOXES; i++) {   /* a reply held behind another */
        fds[i] = dial(&r);
        say(fds[i], HOLD ECHO "Content-Length: 1\r\n\r\nx");
    }
    wait_holding(&r, BOXES);
    for (size_t i = 0; i < BOXES; i++) on_loop(&r, release, i);
    for (size_t i = 0; i < BOXES; i++) CHECK(strstr(hear(fds[i], &got), "held "));
    for (size_t i = BODIES; i < BOXES; i++) CHECK_STR(hear(fds[i], &got), HEAD_OK("1") "x");
    for (size_t i = 0; i < 2 * BODIES; i++) say(fds[i / 2], "GET /big HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 10; i++) catch_up(&r);   /* what the sockets do not take waits in boxes */
    for (size_t i = 0; i < 2 * BODIES; i++) CHECK((hear(fds[i / 2], &got), got.body_bytes == BIG));
    CHECK(heap_bytes() < before + SHARD_BYTES_KEPT_MAX + (2 << 20));
    for (size_t i = 0; i < BOXES; i++) close(fds[i]);
    wait_open(&r, 0);
    on_loop(&r, nothing, 0);   /* what the last close began is done */
    CHECK(heap_bytes() < before + (2 << 20));
    rig_stop(&r);
}

/* ---- at rest ---- */

static _Atomic size_t rests, last_rests;

static void note_rest(void *ctx, loop *on, bool last)
{
    const rig *r = ctx;
    CHECK(on == r->loops[0] || on == r->loops[1]);
    atomic_fetch_add(&rests, 1);
    atomic_fetch_add(&last_rests, last);
}

static void a_burst(rig *r, int *fds, size_t count)
{
    reply got;
    for (size_t i = 0; i < count; i++) {
        fds[i] = dial(r);
        say(fds[i], HOLD "GET /big HTTP/1.1\r\n" HOST "\r\n");
    }
    wait_holding(r, count);
    for (size_t i = 0; i < count; i++) on_loop(r, release, i);
    for (size_t i = 0; i < count; i++) CHECK(strstr(hear(fds[i], &got), "held "));
    for (size_t i = 0; i < count; i++) CHECK((hear(fds[i], &got), got.body_bytes == BIG));
    r->held_count = 0;
    atomic_store(&r->holding, 0);
}

/* With connections that stay open, under a clock that the test moves. */
static void a_server_that_rests_keeps_nothing_and_sleeps(void)
{
    enum { COUNT = 50 };
    rig r;
    reply got;
    int fds[COUNT];
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_rested = note_rest;
    rig_start(&r, &plain, 1);
    rig_rested = NULL;
    int stays = dial(&r);
    long level = 0;
    for (size_t round = 0; round < 3; round++) {
        atomic_store(&rests, 0);
        a_burst(&r, fds, COUNT);
        for (size_t i = 0; i < COUNT; i++) close(fds[i]);
        wait_open(&r, 1);
        pass_time(&r, SERVER_REST_US / 2);
        say(stays, ECHO "Content-Length: 5\r\n\r\nhello");
        CHECK_STR(hear(stays, &got), HEAD_OK("5") "hello");
        pass_time(&r, SERVER_REST_US - 1);
        CHECK_U64(atomic_load(&rests), 0);   /* it had something to do meanwhile */
        long busy = mem_live();
        pass_time(&r, 1);
        CHECK_U64(atomic_load(&rests), 1);
        CHECK(mem_live() < busy);
        if (round == 0) level = mem_live();
        CHECK_U64((uint64_t)mem_live(), (uint64_t)level);
        CHECK(sleeps(&r));
        pass_time(&r, 10 * SERVER_REST_US);
        CHECK_U64(atomic_load(&rests), 1);
    }
    say(stays, ECHO "Content-Length: 5\r\n\r\nhello");   /* and goes on from there */
    CHECK_STR(hear(stays, &got), HEAD_OK("5") "hello");
    close(stays);
    wait_open(&r, 0);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void the_last_loop_to_rest_says_so(void)
{
    enum { COUNT = 16 };
    rig r;
    int fds[COUNT];
    atomic_store(&rests, 0);
    atomic_store(&last_rests, 0);
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_rested = note_rest;
    rig_start(&r, &plain, 2);
    rig_rested = NULL;
    for (size_t i = 0; i < COUNT || !atomic_load(&r.handled_on[0]) || !atomic_load(&r.handled_on[1]); i++) {
        fds[i % COUNT] = dial(&r);
        say(fds[i % COUNT], ECHO "\r\n");
        check_status(fds[i % COUNT], "200");
        if (i >= COUNT - 1) close(fds[i % COUNT]);
    }
    for (size_t i = 0; i < COUNT - 1; i++) close(fds[i]);
    wait_open(&r, 0);
    for (size_t i = 0; i < 2; i++) on_loop_of(&r, i, nothing, 0);
    pass_time(&r, SERVER_REST_US);
    CHECK(sleeps(&r));
    for (size_t i = 0; i < 2; i++) on_loop_of(&r, i, nothing, 0);
    CHECK_U64(atomic_load(&rests), 2);
    CHECK_U64(atomic_load(&last_rests), 1);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

/* From the loop itself, which so reads all of it at once: as many requests as may wait, and 50 kB behind them. */
static void say_more_than_may_wait(rig *r, size_t fd)
{
    static char all[60000];
    size_t n = 0;
    for (size_t i = 0; i < http_limits_default.pipelined_max; i++) n += (size_t)sprintf(all + n, "%s", HOLD);
    n += (size_t)sprintf(all + n, ECHO "Content-Length: 50000\r\n\r\n");
    memset(all + n, 'x', 50000);
    say_bytes((int)fd, all, n + 50000);
    (void)r;
}

static void release_the_last(rig *r, size_t count)
{
    for (size_t i = r->held_count - count; i < r->held_count; i++) release(r, i);
}

/* While more and more answers are held, a read waits: the same boxes for both would all become as large as a read. */
static void held_answers_keep_no_more_memory_than_they_need(void)
{
    enum { ANSWERS = 40 };
    rig r;
    reply got;
    int fds[ANSWERS];
    size_t holding = 0, burst = http_limits_default.pipelined_max;
    rig_start(&r, &plain, 1);
    int stays = dial(&r);   /* or the pools would be emptied */
    exchange(&r, 1);
    size_t before = heap_bytes();
    for (size_t i = 0; i < ANSWERS; i++) {
        fds[i] = dial(&r);
        say(fds[i], HOLD ECHO "Content-Length: 1\r\n\r\nx");
        wait_holding(&r, holding += 1);
        int fd = dial(&r);
        on_loop(&r, say_more_than_may_wait, (size_t)fd);
        wait_holding(&r, holding += burst);
        hang_up(fd);
        wait_open(&r, 2 + i);
        on_loop(&r, release_the_last, burst);
    }
    for (size_t i = 0; i < ANSWERS; i++) {
        on_loop(&r, release, i * (1 + burst));
        CHECK(strstr(hear(fds[i], &got), "held "));
        CHECK_STR(hear(fds[i], &got), HEAD_OK("1") "x");
        close(fds[i]);
    }
    wait_open(&r, 1);
    CHECK(heap_bytes() < before + (1 << 20));   /* 60 kB for each answer would be 2.4 MB */
    close(stays);
    rig_stop(&r);
}

/* Sockets as another server left them: more than there are loops, or fewer; and a Unix socket, shared by all loops. */
static void every_socket_is_served_whatever_the_number_of_loops(void)
{
    enum { CONNS = 64 };
    static const size_t counts[][2] = {{1, 2}, {5, 1}, {5, 2}};   /* sockets, loops */
    for (size_t i = 0; i < COUNTOF(counts); i++) {
        rig r = {.loop_count = counts[i][1]};
        reply got;
        err e;
        int fds[CONNS];
        sock_addr name;
        listeners *at = listen_here("127.0.0.1", 0, counts[i][0], &e);
        CHECK(sock_addr_unix(&name, test_own("@test_server"), &e) == ERR_OK);
        CHECK(listeners_open(at, &(listeners_opts){.addr = &name, .sockets = 1}, &e) == ERR_OK);
        for (size_t k = 0; k < r.loop_count; k++) CHECK(loop_new(&r.loops[k], k, &e) == ERR_OK);
        const server_opts opts = {.at = at, .loops = r.loops, .loop_count = r.loop_count, .handler = handle, .ctx = &r};
        CHECK(server_new(&r.server, &opts, &e) == ERR_OK);
        for (size_t k = 0; k < r.loop_count; k++)
            CHECK(thread_start(&r.threads[k], "loop", run_loop, r.loops[k], &e) == ERR_OK);
        for (size_t k = 0; k < CONNS; k++) {
            fds[k] = k % 4 ? dial(&r) : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (k % 4 == 0) CHECK(connect(fds[k], (struct sockaddr *)&name.to, name.len) == 0);
            say(fds[k], ECHO "Content-Length: 1\r\n\r\nx");
            CHECK_STR(hear(fds[k], &got), HEAD_OK("1") "x");
        }
        server_drain(r.server, 10000000, note_drained, &r);
        for (size_t k = 0; k < CONNS; k++) check_ends(fds[k]);
        wait_drained(&r);
        CHECK(dial(&r) == -1);
        rig_stop(&r);
    }
}

/* ---- construction and faults ---- */

static void construct(size_t loops)
{
    err e;
    rig r = {.loop_count = loops};
    bool ok = true;
    for (size_t i = 0; i < loops; i++) ok = ok && loop_new(&r.loops[i], i, &e) == ERR_OK;
    const server_opts opts = {.at = listen_here("::1", 0, loops, &e), .loops = r.loops, .loop_count = loops,
                              .handler = handle, .ctx = &r};
    ok = ok && opts.at;
    if (!ok) listeners_free(opts.at);
    if (ok) CHECK((server_new(&r.server, &opts, &e) == ERR_OK) == (r.server != NULL));
    server_free(r.server);
    for (size_t i = 0; i < loops; i++) loop_free(r.loops[i]);
}

static void construction_survives_every_fault(void)
{
    FAULT_SWEEP(construct(2));
    SYS_SWEEP(-EMFILE, construct(2));
}

static void a_port_in_use_is_refused_by_name(void)
{
    rig r;
    err e;
    char want[100];
    rig_start(&r, &plain, 1);
    CHECK(!listen_here("127.0.0.1", rig_port(&r), 1, &e));
    snprintf(want, sizeof want, "127.0.0.1:%u: cannot listen: Address already in use", rig_port(&r));
    CHECK_STR(e.text, want);
    CHECK(!listen_here("localhost", 0, 1, &e));
    CHECK_STR(e.text, "address: expected an IPv4 or IPv6 address, got 'localhost'");
    rig_stop(&r);
}

static void fail_on_loop(rig *r, size_t nth)
{
    (void)r;
    mem_fault_after(nth == SIZE_MAX ? -1 : (long)nth);
}

/* Every allocation of an exchange fails in turn: that client may be cut off or told 503, the next is served. */
static void a_server_without_memory_goes_on(void)
{
    rig r;
    long live = mem_live();
    for (size_t nth = 0; nth < 12; nth++) {
        rig_start(&r, &(http_limits){.pipelined_max = 2}, 1);
        on_loop(&r, fail_on_loop, nth);
        int fd = dial(&r);
        say(fd, HOLD ECHO "Content-Length: 1\r\n\r\nx" ECHO "Content-Length: 1\r\n\r\ny");
        for (int turns = 0; turns < 5; turns++) on_loop(&r, nothing, 0);   /* accepted, read, called */
        if (atomic_load(&r.holding)) on_loop(&r, release, 0);
        reply got;
        const char *text = hear(fd, &got);
        CHECK(strstr(text, "held 0") || strstr(text, " 503 ") || !strcmp(text, "end") || !strcmp(text, "reset"));
        close(fd);
        on_loop(&r, fail_on_loop, SIZE_MAX);
        exchange(&r, 1);
        rig_stop(&r);
        CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
    }
}

static void a_connection_that_cannot_be_watched_is_closed(void)
{
    rig r;
    rig_start(&r, &plain, 1);
    sys_fake_script((sys_fault[]){{SYS_poll_add, .times = 1, .result = -ENOSPC}}, 1);
    check_ends(dial(&r));
    exchange(&r, 1);
    sys_fake_script(NULL, 0);
    wait_open(&r, 0);
    rig_stop(&r);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(each_limit_is_answered_with_its_status),
        TEST(connections_beyond_the_limit_are_told_so),
        TEST(the_memory_of_bodies_is_bounded_and_given_back_on_every_way_out),
        TEST(what_waits_for_all_clients_together_is_bounded),
        TEST(who_holds_most_of_that_memory_makes_room_for_others),
        TEST(the_date_follows_the_clock),
        TEST(a_steady_load_allocates_nothing),
        TEST(answers_that_wait_for_their_turn_allocate_nothing),
        TEST(idle_connections_cost_little_memory_and_no_wake_ups),
        TEST(a_server_that_rests_keeps_nothing_and_sleeps),
        TEST(the_last_loop_to_rest_says_so),
        TEST(what_a_burst_leaves_in_the_pools_is_bounded),
        TEST(held_answers_keep_no_more_memory_than_they_need),
        TEST(every_socket_is_served_whatever_the_number_of_loops),
        TEST(construction_survives_every_fault),
        TEST(a_port_in_use_is_refused_by_name),
        TEST(a_server_without_memory_goes_on),
        TEST(a_connection_that_cannot_be_watched_is_closed),
    };
    return test_main(cases, COUNTOF(cases));
}
