/* The service manager hears that all is well while every loop turns, and nothing once one of them stands still; where
 * nobody watches nothing is made. */
#include "fake/sys_fake.h"
#include "os/thread.h"
#include "serve/watchdog.h"
#include "test_own.h"

#include <stdatomic.h>
#include <unistd.h>

static const char *get(const char *name)
{
    if (strcmp(name, "NOTIFY_SOCKET") == 0) return test_own("@test_watchdog");
    return strcmp(name, "WATCHDOG_USEC") == 0 ? "20000" : NULL;
}

static int manager_open(void)
{
    sock_addr a;
    err e;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 10};
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    CHECK(sock_addr_unix(&a, test_own("@test_watchdog"), &e) == ERR_OK);
    CHECK(bind(fd, (struct sockaddr *)&a.to, a.len) == 0);
    return fd;
}

static bool hears(int manager, int flags)
{
    char text[64];
    ssize_t n = recv(manager, text, sizeof text, flags);
    return n == 10 && memcmp(text, "WATCHDOG=1", 10) == 0;
}

static void run_loop(void *ctx)
{
    err e;
    CHECK(loop_run(ctx, &e) == ERR_OK);
}

static _Atomic bool held, holding;

static void hold(loop *on, loop_msg *m)
{
    (void)on;
    (void)m;
    atomic_store(&holding, true);
    while (atomic_load(&held)) usleep(100);
}

static void stop(loop *on, loop_msg *m)
{
    (void)m;
    loop_stop(on);
}

static void a_loop_that_stands_still_is_not_covered_up(void)
{
    err e;
    service s;
    loop *loops[2];
    thread threads[2];
    watchdog *w = NULL;
    loop_msg stops[2] = {{.run = stop}, {.run = stop}}, holds = {.run = hold};
    int manager = manager_open();
    CHECK(service_open(&s, get, 1, &e) == ERR_OK);
    for (size_t i = 0; i < 2; i++) CHECK(loop_new(&loops[i], i, &e) == ERR_OK);
    CHECK(watchdog_new(&w, &s, loops, 2, &e) == ERR_OK && w);
    for (size_t i = 0; i < 2; i++) CHECK(thread_start(&threads[i], "loop", run_loop, loops[i], &e) == ERR_OK);
    for (int i = 0; i < 3; i++) CHECK(hears(manager, 0));
    atomic_store(&held, true);
    loop_post(loops[1], &holds);
    while (!atomic_load(&holding)) usleep(100);
    while (hears(manager, MSG_DONTWAIT)) {}   /* from before */
    /* What was asked before may still be answered: one more at most, then silence however long it takes. */
    usleep(120000);
    CHECK(!hears(manager, MSG_DONTWAIT) || !hears(manager, MSG_DONTWAIT));
    atomic_store(&held, false);
    for (int i = 0; i < 3; i++) CHECK(hears(manager, 0));
    for (size_t i = 0; i < 2; i++) {
        loop_post(loops[i], &stops[i]);
        thread_join(&threads[i]);
    }
    watchdog_stop(w);
    for (size_t i = 0; i < 2; i++) loop_free(loops[i]);
    watchdog_free(w);
    service_close(&s);
    close(manager);
}

static void nobody_watches(void)
{
    err e;
    watchdog *w = NULL;
    const service s = {.watchdog_us = 0};
    long live = mem_live();
    CHECK(watchdog_new(&w, &s, NULL, 0, &e) == ERR_OK && !w && mem_live() == live);
    watchdog_stop(w);
    watchdog_free(w);
}

static void construction_survives_every_failed_allocation(void)
{
    err e;
    const service s = {.watchdog_us = 1};
    FAULT_SWEEP({
        watchdog *w = NULL;
        loop *own = NULL;
        if (loop_new(&own, 1, &e) == ERR_OK) {
            if (watchdog_new(&w, &s, &own, 1, &e) == ERR_OK) watchdog_stop(w);
            loop_free(own);
        }
        watchdog_free(w);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_loop_that_stands_still_is_not_covered_up),
        TEST(nobody_watches),
        TEST(construction_survives_every_failed_allocation),
    };
    return test_main(cases, COUNTOF(cases));
}
