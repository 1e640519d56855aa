/* What a service manager says in the environment is taken only by the process that it names, and numbers that are none
 * are refused; what is told to it has sd_notify's form. */
#include "base/log.h"
#include "fake/sys_fake.h"
#include "os/clock.h"
#include "serve/service.h"
#include "test_own.h"

#include <unistd.h>

static const char *variables[6][2];   /* name, value; this test's environment */

static const char *get(const char *name)
{
    for (size_t i = 0; i < COUNTOF(variables); i++)
        if (variables[i][0] && strcmp(variables[i][0], name) == 0) return variables[i][1];
    return NULL;
}

static err_code open_with(service *s, const char *listen, const char *fds, const char *watchdog, const char *usec,
                          err *e)
{
    const char *const all[][2] = {{"LISTEN_PID", listen},       {"LISTEN_FDS", fds},  {"LISTEN_FDNAMES", "web::unix"},
                                  {"WATCHDOG_PID", watchdog},   {"WATCHDOG_USEC", usec}};
    memcpy(variables, all, sizeof all);
    return service_open(s, get, 42, e);
}

static void only_the_process_that_is_named_takes_it(void)
{
    static const struct {
        const char *listen, *fds, *watchdog, *usec;
        uint64_t want_fds, want_us;
    } rows[] = {
        {NULL, NULL, NULL, NULL, 0, 0},           {"42", "3", "42", "1000", 3, 1000}, {"41", "3", "41", "1000", 0, 0},
        {NULL, "3", NULL, "1000", 0, 1000},       {"42", NULL, "42", NULL, 0, 0},     {"42", "0", NULL, "0", 0, 0},
        {"41", "100000000", NULL, NULL, 0, 0},    {"42", "64", NULL, NULL, 64, 0},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e;
        service s;
        CHECK(open_with(&s, rows[i].listen, rows[i].fds, rows[i].watchdog, rows[i].usec, &e) == ERR_OK);
        CHECK_U64(s.fd_count, rows[i].want_fds);
        CHECK_U64(s.watchdog_us, rows[i].want_us);
        service_close(&s);
    }
}

static void what_is_no_number_is_refused(void)
{
    err e;
    service s;
    CHECK(open_with(&s, "me", "1", NULL, NULL, &e) == ERR_INVALID);
    CHECK_STR(e.text, "LISTEN_PID: expected a number, got 'me'");
    CHECK(open_with(&s, "42", "-1", NULL, NULL, &e) == ERR_INVALID);
    CHECK_STR(e.text, "LISTEN_FDS: expected a number, got '-1'");
    CHECK(open_with(&s, "42", "65", NULL, NULL, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "LISTEN_FDS: expected at most 64 sockets, got 65");
    CHECK(open_with(&s, NULL, NULL, "1 ", NULL, &e) == ERR_INVALID);
    CHECK(open_with(&s, NULL, NULL, NULL, "30s", &e) == ERR_INVALID);
    CHECK_STR(e.text, "WATCHDOG_USEC: expected a number, got '30s'");
    variables[5][0] = "NOTIFY_SOCKET";
    variables[5][1] = "here";
    CHECK(open_with(&s, NULL, NULL, NULL, NULL, &e) == ERR_INVALID);
    CHECK_STR(e.text, "NOTIFY_SOCKET: expected /PATH or @NAME, got 'here'");
    variables[5][0] = NULL;
}

static void names_belong_to_their_sockets(void)
{
    err e;
    service s;
    CHECK(open_with(&s, "42", "4", NULL, NULL, &e) == ERR_OK);
    CHECK(str_is(service_fd_name(&s, 0), "web") && str_is(service_fd_name(&s, 1), ""));
    CHECK(str_is(service_fd_name(&s, 2), "unix") && str_is(service_fd_name(&s, 3), ""));
    service_close(&s);
}

static char logged[400];

static void keep_line(const char *line, size_t len) { snprintf(logged, sizeof logged, "%.*s", (int)len, line); }

static const char *heard(int manager)
{
    static char text[512];
    ssize_t n = recv(manager, text, sizeof text - 1, 0);
    text[n < 0 ? 0 : n] = 0;
    return text;
}

static void the_manager_hears_of_each_step(void)
{
    err e;
    service s;
    sock_addr a;
    char want[80];
    int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(sock_addr_unix(&a, test_own("@test_service"), &e) == ERR_OK);
    CHECK(bind(manager, (struct sockaddr *)&a.to, a.len) == 0);
    variables[5][0] = "NOTIFY_SOCKET";
    variables[5][1] = test_own("@test_service");
    CHECK(open_with(&s, NULL, NULL, NULL, NULL, &e) == ERR_OK);
    service_ready(&s, "serving");
    CHECK_STR(heard(manager), "READY=1\nSTATUS=serving");
    sys_fake_clock_set(5000000);
    service_reloading(&s);
    sys_fake_clock_set(0);
    snprintf(want, sizeof want, "RELOADING=1\nMONOTONIC_USEC=%u", 5000);
    CHECK_STR(heard(manager), want);
    service_ready(&s, NULL);
    CHECK_STR(heard(manager), "READY=1");
    service_main(&s, 7);
    CHECK_STR(heard(manager), "MAINPID=7");
    service_alive(&s);
    CHECK_STR(heard(manager), "WATCHDOG=1");
    service_stopping(&s, "bye");
    CHECK_STR(heard(manager), "STOPPING=1\nSTATUS=bye");
    close(manager);
    log_setup(&(log_opts){.level = LOG_WARN, .sink = keep_line, .clock_us = clock_wall_us});
    service_ready(&s, "lost");
    CHECK(strstr(logged, "NOTIFY_SOCKET: cannot tell the service manager: Connection refused"));
    service_close(&s);
    variables[5][0] = NULL;
}

int main(void)
{
    static const test_case cases[] = {
        TEST(only_the_process_that_is_named_takes_it),
        TEST(what_is_no_number_is_refused),
        TEST(names_belong_to_their_sockets),
        TEST(the_manager_hears_of_each_step),
    };
    return test_main(cases, COUNTOF(cases));
}
