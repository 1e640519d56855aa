/* Property: out of descriptors every client is told so or served, none waits for what others keep; a loop that has lost
 * the one in reserve gets one, of its own idle connections or of another loop's. */
#include "net/shard.h"
#include "server_rig.h"
#include "test_own.h"

static void out_of_descriptors_the_server_pauses_and_goes_on(void)
{
    rig r;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &plain, 1);
    long before = sys_fake_fds();
    sys_fake_script((sys_fault[]){{SYS_accept, .times = 2, .result = -EMFILE}}, 1);   /* not even for one more */
    const uint64_t base = sys_fake_calls(SYS_accept);
    int first = dial(&r);
    say(first, ECHO "\r\n");
    for (int i = 0; i < 50000 && sys_fake_calls(SYS_accept) < base + 2; i++) usleep(100);
    uint64_t accepts = sys_fake_calls(SYS_accept);
    int waits = dial(&r);
    say(waits, ECHO "\r\n");
    pass_time(&r, SERVER_PAUSE_US / 4);
    CHECK_U64(sys_fake_calls(SYS_accept), accepts);
    pass_time(&r, SERVER_PAUSE_US);
    check_status(first, "200");
    check_status(waits, "200");
    close(first);
    close(waits);
    sys_fake_script(NULL, 0);
    wait_open(&r, 0);
    CHECK_U64((uint64_t)sys_fake_fds(), (uint64_t)before);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

/* By way of the descriptor in reserve, one after the other, without a pause. */
static void out_of_descriptors_whoever_comes_is_told(void)
{
    rig r;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &plain, 1);
    long before = sys_fake_fds();
    for (int i = 0; i < 3; i++) {
        sys_fake_script((sys_fault[]){{SYS_accept, .times = 1, .result = -EMFILE}}, 1);
        int told = dial(&r);
        check_status(told, "503");
        close(told);
        catch_up(&r);   /* no accept is to come that the next fault could hit */
    }
    sys_fake_script(NULL, 0);
    int served = dial(&r);
    say(served, ECHO "\r\n");
    check_status(served, "200");
    close(served);
    wait_open(&r, 0);
    CHECK_U64((uint64_t)sys_fake_fds(), (uint64_t)before);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

/* The one in reserve may go to somebody else between its close and the accept. */
static void for_a_lost_reserve_an_idle_connection_is_closed(void)
{
    rig r;
    reply got;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &plain, 1);
    int idle = dial(&r);
    say(idle, ECHO "Content-Length: 1\r\n\r\nx");
    CHECK_STR(hear(idle, &got), HEAD_OK("1") "x");
    sys_fake_script((sys_fault[]){{SYS_accept, .times = 1, .result = -EMFILE},
                                  {SYS_poll_open, .times = 1, .result = -EMFILE}}, 2);
    int told = dial(&r);
    check_status(told, "503");
    close(told);
    check_ends(idle);
    catch_up(&r);
    sys_fake_script((sys_fault[]){{SYS_accept, .times = 1, .result = -EMFILE}}, 1);
    told = dial(&r);
    check_status(told, "503");   /* there is one again */
    close(told);
    sys_fake_script(NULL, 0);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

/* ---- two loops ---- */

/* From an address that no other process uses, so that a port is free again when its connection is; 0 = any port. */
static int dial_from(const rig *r, uint16_t port)
{
    const sock_addr *to = listeners_at(server_listeners(r->server), 0);
    const uint32_t mine = UINT32_C(0x7f100000) | ((uint32_t)getpid() & 0xfffff);   /* 127.16.0.0/12 */
    const struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(mine)};
    struct timeval limit = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    CHECK(bind(fd, (const struct sockaddr *)&from, sizeof from) == 0);
    CHECK(connect(fd, (const struct sockaddr *)&to->to, to->len) == 0);
    return fd;
}

/* Where the kernel brings a client follows from its address and port. */
static uint16_t port_to(rig *r, size_t which)
{
    for (reply got;;) {
        struct sockaddr_in from;
        size_t before = atomic_load(&r->handled_on[which]);
        int fd = dial_from(r, 0);
        CHECK(getsockname(fd, (struct sockaddr *)&from, &(socklen_t){sizeof from}) == 0);
        say(fd, ECHO "\r\n");
        hear(fd, &got);
        hang_up(fd);
        wait_open(r, 0);
        if (atomic_load(&r->handled_on[which]) > before) return from.sin_port;
    }
}

static void wait_lacks(const rig *r, bool want)
{
    for (int i = 0; i < 50000 && server_lacks(r->server) != want; i++) usleep(100);
    CHECK(server_lacks(r->server) == want);
}

/* The descriptor in reserve of the loop that accepts goes to somebody else, and so do the next `polls` - 1; a loop that
 * finds a client meanwhile tries to accept twice. */
static void lose_reserve(uint32_t accepts, uint32_t polls)
{
    sys_fake_script((sys_fault[]){{SYS_accept, .times = accepts, .result = -EMFILE},
                                  {SYS_poll_open, .times = polls, .result = -EMFILE}}, 2);
}

static void without_one_of_its_own_another_loop_closes_an_idle_connection(void)
{
    rig r;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &plain, 2);
    uint16_t poor = port_to(&r, 1);
    int idle = dial_on(&r, 0);
    wait_open(&r, 1);
    lose_reserve(2, 1);
    int waits = dial_from(&r, poor);
    say(waits, ECHO "\r\n");
    check_ends(idle);
    pass_time_everywhere(&r, SERVER_PAUSE_US);
    check_status(waits, "200");
    CHECK(!server_lacks(r.server));
    close(waits);
    sys_fake_script(NULL, 0);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

/* Who has work keeps his; each pause it is asked for again. */
static void it_is_asked_for_until_one_is_idle(void)
{
    rig r;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &plain, 2);
    uint16_t poor = port_to(&r, 1);
    int busy = dial_on(&r, 0);
    wait_open(&r, 1);
    say(busy, HOLD);
    wait_holding(&r, 1);
    lose_reserve(6, 5);
    int waits = dial_from(&r, poor);
    say(waits, ECHO "\r\n");
    wait_lacks(&r, true);
    pass_time_everywhere(&r, SERVER_PAUSE_US);
    on_loop(&r, release, 0);
    check_status(busy, "200");
    pass_time_everywhere(&r, SERVER_PAUSE_US);
    check_ends(busy);
    pass_time_everywhere(&r, SERVER_PAUSE_US);
    check_status(waits, "200");
    close(waits);
    sys_fake_script(NULL, 0);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void while_one_has_none_the_others_let_nobody_in(void)
{
    rig r;
    server_stats stats;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &plain, 2);
    uint16_t poor = port_to(&r, 1), rich = port_to(&r, 0);
    lose_reserve(2, UINT32_MAX);
    int waits = dial_from(&r, poor);
    say(waits, ECHO "\r\n");
    wait_lacks(&r, true);
    int told = dial_from(&r, rich);
    check_status(told, "503");
    check_ends(told);
    server_stats_read(r.server, &stats);
    CHECK_U64(stats.open, 0);
    CHECK_U64(stats.refused, 1);
    sys_fake_script(NULL, 0);
    pass_time_everywhere(&r, SERVER_PAUSE_US);
    check_status(waits, "200");
    close(dial_on(&r, 0));
    close(waits);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void one_is_looked_for_without_a_client_too(void)
{
    rig r;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &plain, 2);
    lose_reserve(1, 2);
    int told = dial(&r);
    check_status(told, "503");
    check_ends(told);
    wait_lacks(&r, true);
    pass_time_everywhere(&r, SERVER_PAUSE_US);
    CHECK(server_lacks(r.server));
    pass_time_everywhere(&r, SERVER_PAUSE_US);
    CHECK(!server_lacks(r.server));
    sys_fake_script(NULL, 0);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static _Atomic bool block_over;

static void block(loop *on, loop_msg *m)
{
    (void)on;
    (void)m;
    while (!atomic_load(&block_over)) usleep(100);
}

static void once_the_need_is_over_nobody_gives(void)
{
    rig r;
    loop_msg late = {.run = block};
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &plain, 2);
    uint16_t poor = port_to(&r, 1);
    int idle = dial_on(&r, 0);
    wait_open(&r, 1);
    atomic_store(&block_over, false);
    loop_post(r.loops[0], &late);
    lose_reserve(2, 1);
    int waits = dial_from(&r, poor);
    say(waits, ECHO "\r\n");
    wait_lacks(&r, true);
    on_loop_of(&r, 1, move_clock, SERVER_PAUSE_US);
    check_status(waits, "200");
    atomic_store(&block_over, true);
    catch_up(&r);
    say(idle, ECHO "\r\n");
    check_status(idle, "200");
    close(idle);
    close(waits);
    sys_fake_script(NULL, 0);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void of_all_that_are_asked_one_gives(void)
{
    rig r;
    rig_start(&r, &plain, 2);
    int a = dial_on(&r, 0), b = dial_on(&r, 1);
    wait_open(&r, 2);
    server_lack(r.server, true);
    server_ask(r.server, NULL);
    for (size_t i = 0; i < 4; i++) on_loop_of(&r, i % 2, nothing, 0);
    wait_open(&r, 1);
    server_lack(r.server, false);
    close(a);
    close(b);
    rig_stop(&r);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(out_of_descriptors_the_server_pauses_and_goes_on),
        TEST(out_of_descriptors_whoever_comes_is_told),
        TEST(for_a_lost_reserve_an_idle_connection_is_closed),
        TEST(without_one_of_its_own_another_loop_closes_an_idle_connection),
        TEST(it_is_asked_for_until_one_is_idle),
        TEST(while_one_has_none_the_others_let_nobody_in),
        TEST(one_is_looked_for_without_a_client_too),
        TEST(once_the_need_is_over_nobody_gives),
        TEST(of_all_that_are_asked_one_gives),
    };
    return test_main(cases, COUNTOF(cases));
}
