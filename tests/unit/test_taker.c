/* A new server takes all that was promised or nothing: what is cut, counted wrongly or no listener is refused with its
 * reason, and an old server that is gone is as good as none. */
#include "fake/sys_fake.h"
#include "os/thread.h"
#include "serve/handover.h"
#include "serve/taker.h"
#include "test_own.h"

#include <stdatomic.h>
#include <unistd.h>

/* An old server that answers "take" with a script, then closes, once or more often. */
typedef struct {
    const char *text;
    int fd;            /* goes with it; -1 = none */
} line;

typedef struct {
    thread thread;
    sock_addr at;
    int listener;
    const line *lines;
    size_t count, rounds;
    char heard[SOCK_PASS_BYTES_MAX];
    bool waits;        /* for one more message, at its end */
} old_server;

static void answer(void *ctx)
{
    old_server *o = ctx;
    for (size_t round = 0; round < o->rounds; round++) {
        int fd = accept4(o->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) return;   /* nobody came */
        char text[SOCK_PASS_BYTES_MAX];
        CHECK(recv(fd, text, sizeof text, 0) == 13 && memcmp(text, "proa 1 take 0", 13) == 0);
        for (size_t i = 0; i < o->count; i++) {
            const line *l = &o->lines[i];
            (void)!sys_real_send_fds(fd, l->text, strlen(l->text), &l->fd, l->fd >= 0);
        }
        if (o->waits) {
            ssize_t n = recv(fd, o->heard, sizeof o->heard - 1, 0);
            o->heard[n < 0 ? 0 : n] = 0;
        }
        close(fd);
    }
}

static void old_start(old_server *o, const line *lines, size_t count, size_t rounds, bool waits)
{
    err e;
    *o = (old_server){.lines = lines, .count = count, .rounds = rounds, .waits = waits};
    CHECK(sock_addr_unix(&o->at, test_own("@test_taker"), &e) == ERR_OK);
    o->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    CHECK(bind(o->listener, (struct sockaddr *)&o->at.to, o->at.len) == 0 && listen(o->listener, 8) == 0);
    CHECK(thread_start(&o->thread, "old", answer, o, &e) == ERR_OK);
}

static void old_stop(old_server *o)
{
    shutdown(o->listener, SHUT_RDWR);
    thread_join(&o->thread);
    close(o->listener);
}

static int listener_open(void)
{
    err e;
    sock_addr a;
    int fd = -1;
    CHECK(sock_addr_parse(&a, "127.0.0.1", 0, &e) == ERR_OK);
    CHECK(sock_listen(&(sock_listen_opts){.addr = &a}, &fd, &e) == ERR_OK);
    return fd;
}

static void all_that_was_promised_is_taken(void)
{
    err e;
    taker *t = NULL;
    old_server o;
    int fd = listener_open();
    const line lines[] = {{"proa 1 sockets 1", fd}, {"proa 1 own 1", fd}, {"proa 1 control 1", fd},
                          {"proa 1 end 2", -1}};
    long fds = sys_fake_fds();
    old_start(&o, lines, COUNTOF(lines), 1, true);
    CHECK(taker_take(&t, &o.at, &e) == ERR_OK && t);
    CHECK_U64(listeners_count(taker_listeners(t)), 1);   /* two sockets of one address */
    CHECK(listeners_socket(taker_listeners(t), 0, 1) >= 0 && listeners_socket(taker_listeners(t), 0, 2) == -1);
    CHECK(listeners_made(taker_listeners(t), 0));
    int control = taker_control(t);
    CHECK(control >= 0 && taker_control(t) == -1);
    sock_close(control);
    CHECK(taker_check(t, &e) == ERR_OK && taker_ready(t, &e) == ERR_OK);
    old_stop(&o);
    CHECK_STR(o.heard, "proa 1 ready 0");
    taker_free(t);
    CHECK_U64((uint64_t)sys_fake_fds(), (uint64_t)fds);
    sock_close(fd);
}

static void what_is_not_all_is_refused(void)
{
    int fd = listener_open(), plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const char *const where = test_own("hand-over: unix:@test_taker: ");
    const struct {
        line lines[3];
        const char *want;
    } rows[] = {
        {{{"hello", fd}}, "what is there is no server of this version"},
        {{{"proa 1 sockets 2", fd}}, "the server there sent something else than its listeners"},
        {{{"proa 1 sockets 0", fd}}, "the server there sent something else than its listeners"},
        {{{"proa 1 control 1", -1}}, "the server there sent something else than its listeners"},
        {{{"proa 1 sockets 1", fd}, {"proa 1 end 1", -1}}, "the server there sent something else than its listeners"},
        {{{"proa 1 control 1", fd}, {"proa 1 end 1", -1}}, "the server there sent something else than its listeners"},
        {{{"proa 1 control 1", fd}, {"proa 1 control 1", fd}},
         "the server there sent something else than its listeners"},
        {{{"proa 1 ready 0", -1}}, "the server there sent something else than its listeners"},
        {{{"proa 1 busy 0", -1}},
         "refused: another hand-over is under way, or the server there is leaving or of another user"},
        {{{"proa 1 late 0", -1}}, "the server there lost patience"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e;
        char want[300];
        taker *t = NULL;
        old_server o;
        long fds = sys_fake_fds();
        size_t count = 0;
        while (count < 3 && rows[i].lines[count].text) count++;
        old_start(&o, rows[i].lines, count, 1, false);
        CHECK(taker_take(&t, &o.at, &e) != ERR_OK && !t);
        snprintf(want, sizeof want, "%s%s", where, rows[i].want);
        CHECK_STR(e.text, want);
        old_stop(&o);
        CHECK_U64((uint64_t)sys_fake_fds(), (uint64_t)fds);
    }
    err e;
    taker *t = NULL;
    old_server o;
    const line lines[] = {{"proa 1 sockets 1", plain}};
    old_start(&o, lines, 1, 1, false);
    CHECK(taker_take(&t, &o.at, &e) == ERR_INVALID && strstr(e.text, "expected a socket that listens"));
    old_stop(&o);
    close(plain);
    sock_close(fd);
}

static void an_old_server_that_is_gone_is_none(void)
{
    err e;
    taker *t = NULL;
    old_server o;
    sock_addr nowhere;
    int fd = listener_open();
    CHECK(sock_addr_unix(&nowhere, test_own("@test_taker"), &e) == ERR_OK);
    CHECK(taker_take(&t, &nowhere, &e) == ERR_OK && !t);
    CHECK(sock_addr_unix(&nowhere, "/nowhere/at/all", &e) == ERR_OK);
    CHECK(taker_take(&t, &nowhere, &e) == ERR_OK && !t);
    const line half[] = {{"proa 1 sockets 1", fd}};
    old_start(&o, half, 1, 3, false);   /* it breaks off each time */
    CHECK(taker_take(&t, &o.at, &e) == ERR_UNAVAILABLE && !t);
    CHECK_STR(e.text, test_own("hand-over: unix:@test_taker: the server there broke off"));
    old_stop(&o);
    const line all[] = {{"proa 1 sockets 1", fd}, {"proa 1 control 1", fd}, {"proa 1 end 1", -1}};
    old_start(&o, all, COUNTOF(all), 1, false);   /* it dies once it has sent all */
    CHECK(taker_take(&t, &o.at, &e) == ERR_OK && t);
    old_stop(&o);
    CHECK(taker_check(t, &e) == ERR_OK && taker_check(t, &e) == ERR_OK && taker_ready(t, &e) == ERR_OK);
    taker_free(t);
    const line late[] = {{"proa 1 sockets 1", fd}, {"proa 1 control 1", fd}, {"proa 1 end 1", -1},
                         {"proa 1 late 0", -1}};
    for (int i = 0; i < 2; i++) {
        old_start(&o, late, COUNTOF(late), 1, false);
        CHECK(taker_take(&t, &o.at, &e) == ERR_OK && t);
        old_stop(&o);
        CHECK((i ? taker_ready(t, &e) : taker_check(t, &e)) == ERR_TIMEOUT);
        CHECK_STR(e.text,
                  test_own("hand-over: unix:@test_taker: the server there did not wait any longer, and goes on"));
        taker_free(t);
    }
    sock_close(fd);
    taker_free(NULL);
}

static void an_old_server_that_hangs_has_its_time(void)
{
    err e;
    taker *t = NULL;
    sock_addr at;
    CHECK(sock_addr_unix(&at, test_own("@test_taker"), &e) == ERR_OK);
    int hangs = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    CHECK(bind(hangs, (struct sockaddr *)&at.to, at.len) == 0 && listen(hangs, 8) == 0);
    sys_fake_script((sys_fault[]){{SYS_wait_readable, .times = 1, .result = 0}}, 1);   /* the time is over */
    CHECK(taker_take(&t, &at, &e) == ERR_TIMEOUT && !t);
    CHECK_STR(e.text, test_own("hand-over: unix:@test_taker: the server there does not answer within 5000 ms"));
    sys_fake_script((sys_fault[]){{SYS_user, .times = 1, .result = 12345}}, 1);
    CHECK(taker_take(&t, &at, &e) == ERR_INVALID && !t);
    CHECK_STR(e.text, test_own("hand-over: unix:@test_taker: belongs to another user: expected a server of this one"));
    sys_fake_script(NULL, 0);
    close(hangs);
}

static void taking_survives_every_failed_allocation(void)
{
    int fd = listener_open();
    const line all[] = {{"proa 1 sockets 1", fd}, {"proa 1 sockets 1", fd}, {"proa 1 control 1", fd},
                        {"proa 1 end 2", -1}};
    for (long n = 0, more = 1; more; n++) {   /* FAULT_SWEEP, with an old server for each round */
        err e;
        taker *t = NULL;
        old_server o;
        long live = mem_live(), fds = sys_fake_fds();
        old_start(&o, all, COUNTOF(all), 1, false);
        mem_fault_after(n);
        err_code rc = taker_take(&t, &o.at, &e);
        more = mem_fault_fired();
        mem_fault_after(-1);
        CHECK((rc == ERR_OK) == (t != NULL) && (more || t));
        taker_free(t);
        old_stop(&o);
        CHECK(mem_live() == live && sys_fake_fds() == fds);
    }
    sock_close(fd);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(all_that_was_promised_is_taken),
        TEST(what_is_not_all_is_refused),
        TEST(an_old_server_that_is_gone_is_none),
        TEST(an_old_server_that_hangs_has_its_time),
        TEST(taking_survives_every_failed_allocation),
    };
    return test_main(cases, COUNTOF(cases));
}
