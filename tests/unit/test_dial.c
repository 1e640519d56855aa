/* What must hold for outgoing connections: an address reads as what it says or is refused with its text; the
 * addresses of a name are tried in turn, within one deadline; no failing step leaks. */
#include "fake/sys_fake.h"
#include "loopback.h"
#include "net/dial.h"
#include "os/bell.h"
#include "os/poll.h"

#include <pthread.h>
#include <unistd.h>

static void addresses_read_as_what_they_say(void)
{
    static const struct { const char *address, *text, *authority, *base; bool is_secure, is_grpc; } rows[] = {
        {"https://h", "h:443", "h:443", "", true, false},
        {"https://h:1/a", "h:1", "h:1", "/a", true, false},
        {"grpcs://[::1]", "[::1]:443", "[::1]:443", "", true, true},
        {"grpc://h:81", "h:81", "h:81", "", false, true},
        {"http://localhost:8000", "localhost:8000", "localhost:8000", "", false, false},
        {"http://h", "h:80", "h:80", "", false, false},
        {"http://h/", "h:80", "h:80", "", false, false},
        {"http://h:8/a/b//", "h:8", "h:8", "/a/b", false, false},
        {"127.0.0.1:80", "127.0.0.1:80", "127.0.0.1:80", "", false, false},
        {"http://[::1]:8000/x", "[::1]:8000", "[::1]:8000", "/x", false, false},
        {"[::1]:8000", "[::1]:8000", "[::1]:8000", "", false, false},
        {"unix:/run/p.sock", "unix:/run/p.sock", "localhost", "", false, false},
        {"unix:///run/p.sock", "unix:/run/p.sock", "localhost", "", false, false},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e;
        dial_to to;
        CHECK(dial_to_parse(&to, rows[i].address, &e) == ERR_OK);
        CHECK_STR(to.text, rows[i].text);
        CHECK_STR(to.authority, rows[i].authority);
        CHECK_STR(to.base, rows[i].base);
        CHECK(to.is_secure == rows[i].is_secure && to.is_grpc == rows[i].is_grpc);
    }
}

static void other_addresses_are_refused(void)
{
    static const char *const unknown[] = {"", "localhost", "http://", "http://:80", "ftp://h:1", "a@b:1", "[::1",
                                          "[::1]x:1", "http://h:8/a?b", "unix:", "unix:relative", "unix://host/x",
                                          "/path", "h b:1", "https://", "grpc://:1", "http://h\x7f:1"};
    err e;
    dial_to to;
    for (size_t i = 0; i < COUNTOF(unknown); i++) {
        char want[160];
        snprintf(want, sizeof want, "address: expected http[s]://HOST:PORT, grpc[s]://HOST:PORT, HOST:PORT or "
                 "unix:/path, got '%s'", unknown[i]);
        CHECK(dial_to_parse(&to, unknown[i], &e) == ERR_INVALID);
        CHECK_STR(e.text, want);
    }
    static const char *const ports[] = {"h:0", "h:65536", "h:x", "h:-1", "h:1:2", "h:1?x"};
    for (size_t i = 0; i < COUNTOF(ports); i++) {
        char want[160];
        snprintf(want, sizeof want, "address: expected a port in 1..65535, got '%s'", ports[i] + 2);
        CHECK(dial_to_parse(&to, ports[i], &e) == ERR_INVALID);
        CHECK_STR(e.text, want);
    }
    char path[300] = "unix:/";
    memset(path + 6, 'x', 120);
    CHECK(dial_to_parse(&to, path, &e) == ERR_INVALID);
    CHECK(strstr(e.text, "expected a path of 1 to 107 bytes, got 121"));
}

static err_code dial_once(const char *address, err *e)
{
    dial_to to;
    dial d;
    CHECK(dial_to_parse(&to, address, e) == ERR_OK);
    err_code rc = dial_init(&d, &(dial_opts){.to = &to}, e);
    if (rc) return rc;
    dial_begin(&d, 1000000);
    rc = dial_open(&d, e);
    CHECK(dial_is_open(&d) == (rc == ERR_OK) && (dial_is_open(&d) || !dial_is_quiet(&d)));
    dial_fini(&d);
    return rc;
}

/* A look-up that a failure made it give up ends a little later. */
static void dial_and_settle(const char *address)
{
    err e;
    long live = mem_live(), fds = sys_fake_fds();
    (void)!dial_once(address, &e);
    for (int i = 0; i < 60000 && (mem_live() != live || sys_fake_fds() != fds); i++) usleep(1000);
}

/* "localhost" is ::1 and 127.0.0.1 on most machines, 127.0.0.1 alone on others; the listener has only the latter. */
static void each_address_of_a_name_is_tried(void)
{
    err e;
    uint16_t port;
    int listener = loopback_listen(&port);
    char address[60];
    snprintf(address, sizeof address, "localhost:%u", port);
    CHECK(dial_once(address, &e) == ERR_OK);
    SYS_SWEEP(-ENOMEM, dial_and_settle(address));
    close(listener);
    CHECK(dial_once(address, &e) == ERR_UNAVAILABLE);
    CHECK(strstr(e.text, "cannot connect: Connection refused"));
}

static void a_name_that_is_none_is_told(void)
{
    err e;
    static const struct { int64_t result; err_code code; const char *want; } rows[] = {
        {-ENOENT, ERR_NOT_FOUND, "nowhere.example: no such host"},
        {-EAGAIN, ERR_UNAVAILABLE, "nowhere.example: cannot resolve: no name server answers"},
        {-ENOMEM, ERR_NOMEM, "nowhere.example: cannot resolve: Cannot allocate memory"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        sys_fake_script((sys_fault[]){{SYS_resolve, .times = 1, .result = rows[i].result}}, 1);
        CHECK(dial_once("nowhere.example:80", &e) == rows[i].code);
        CHECK_STR(e.text, rows[i].want);
    }
    sys_fake_script(NULL, 0);
}

/* The resolver holds its thread until the test lets it go. */
static pthread_mutex_t resolving = PTHREAD_MUTEX_INITIALIZER;

static void wait_for_the_test(void)
{
    pthread_mutex_lock(&resolving);
    pthread_mutex_unlock(&resolving);
}

static void a_name_has_the_time_of_the_call(void)
{
    err e;
    long live = mem_live();
    dial_to to;
    dial d;
    int bell = -1;
    pthread_mutex_lock(&resolving);
    sys_fake_script((sys_fault[]){{SYS_resolve, .times = SYS_FAKE_EVER, .result = -ENOENT,
                                   .then = wait_for_the_test}}, 1);
    sys_fake_clock_set(UINT64_C(5000000000));
    CHECK(dial_once("nowhere.example:80", &e) == ERR_TIMEOUT);
    CHECK_STR(e.text, "nowhere.example:80: name: expected it within 1000 ms");
    sys_fake_clock_set(0);
    CHECK(bell_open(&bell, &e) == ERR_OK && dial_to_parse(&to, "nowhere.example:80", &e) == ERR_OK);
    CHECK(dial_init(&d, &(dial_opts){.to = &to, .stop_fd = bell}, &e) == ERR_OK);
    dial_begin(&d, UINT64_MAX);
    bell_ring(bell);
    CHECK(dial_open(&d, &e) == ERR_CANCELLED);
    CHECK_STR(e.text, "nowhere.example:80: name: stopped");
    dial_fini(&d);
    bell_close(bell);
    pthread_mutex_unlock(&resolving);
    for (int i = 0; i < 60000 && mem_live() != live; i++) usleep(1000);
    CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
    sys_fake_script(NULL, 0);
}

/* Bytes are there at every wait: only the deadline can end that. */
static void a_peer_that_always_has_more_does_not_outlive_the_deadline(void)
{
    err e;
    uint16_t port;
    int listener = loopback_listen(&port);
    char address[60], want[120];
    uint32_t events = 0;
    dial_to to;
    dial d;
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    CHECK(dial_to_parse(&to, address, &e) == ERR_OK && dial_init(&d, &(dial_opts){.to = &to}, &e) == ERR_OK);
    sys_fake_clock_hold(UINT64_C(5000000000));
    dial_begin(&d, 1000000);
    CHECK(dial_open(&d, &e) == ERR_OK);
    int peer = accept(listener, NULL, NULL);
    CHECK(peer >= 0 && send(peer, "more", 4, MSG_NOSIGNAL) == 4);
    sys_fake_clock_hold(UINT64_C(5999999000));
    CHECK(dial_wait(&d, POLL_READ, &events, &e) == ERR_OK && events == POLL_READ);
    sys_fake_clock_hold(UINT64_C(6000000000));
    CHECK(dial_wait(&d, POLL_READ, &events, &e) == ERR_TIMEOUT);
    snprintf(want, sizeof want, "127.0.0.1:%u: answer: expected it within 1000 ms", port);
    CHECK_STR(e.text, want);
    sys_fake_clock_set(0);
    dial_fini(&d);
    close(peer);
    close(listener);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(addresses_read_as_what_they_say),
        TEST(other_addresses_are_refused),
        TEST(each_address_of_a_name_is_tried),
        TEST(a_name_that_is_none_is_told),
        TEST(a_name_has_the_time_of_the_call),
        TEST(a_peer_that_always_has_more_does_not_outlive_the_deadline),
    };
    return test_main(cases, COUNTOF(cases));
}
