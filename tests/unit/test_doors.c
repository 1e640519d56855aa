/* All that the configuration names is open, in its order, or nothing is. */
#include "fake/sys_fake.h"
#include "os/thread.h"
#include "serve/doors.h"
#include "serve/giver.h"
#include "test_folder.h"
#include "test_own.h"

#include <stdatomic.h>

static arena memory;
static conf c;
static service by;   /* without anything from a service manager unless a test says so */
static const char *path;

static void configure(const char *port, const char *listen)
{
    err e;
    arena_fini(&memory);
    arena_init(&memory, NULL, 0, 1 << 20);
    CHECK(conf_init(&c, &memory, &e) == ERR_OK);
    if (port) CHECK(conf_set(&c, "t", STR("port"), str_of(port), &e) == ERR_OK);
    CHECK(conf_set(&c, "t", STR("listen"), str_of(listen), &e) == ERR_OK);
}

static void what_is_named_is_open(void)
{
    err e;
    doors d, again;
    char spec[200];
    snprintf(spec, sizeof spec, "unix:%s,%s", path, test_own("unix:@test_doors"));
    configure("0", spec);
    CHECK(doors_open(&d, &c, &by, 2, &e) == ERR_OK && !d.from);
    CHECK_U64(listeners_count(d.all), 3);
    CHECK(sock_addr_port(listeners_at(d.all, 0)) > 0);
    CHECK_STR(sock_addr_path(listeners_at(d.all, 1)), path);
    CHECK(!sock_addr_path(listeners_at(d.all, 2)));
    configure("0", test_own("unix:@test_doors"));
    CHECK(doors_open(&again, &c, &by, 2, &e) == ERR_CONFLICT);
    CHECK_STR(e.text, test_own("unix:@test_doors: cannot listen: Address already in use"));
    doors_close(&d);
    CHECK(access(path, F_OK) != 0);
}

static const char *environment(const char *name)
{
    return strcmp(name, "LISTEN_PID") == 0      ? "7"
           : strcmp(name, "LISTEN_FDS") == 0    ? "1"
           : strcmp(name, "LISTEN_FDNAMES") == 0 ? "web"
                                                 : NULL;
}

/* Socket activation: descriptor 3, which is free in a test unless whoever runs it left it open. */
static void given_sockets_replace_the_default_port(void)
{
    err e;
    sock_addr a;
    doors d;
    int kept = dup(SERVICE_FD_FIRST), fd = -1;
    close(SERVICE_FD_FIRST);
    configure(NULL, "");
    CHECK(service_open(&by, environment, 7, &e) == ERR_OK);
    CHECK(doors_open(&d, &c, &by, 2, &e) == ERR_INVALID);
    CHECK_STR(e.text, "LISTEN_FDS: 'web': descriptor 3: expected a socket that listens, got none that is open");
    CHECK(sock_addr_unix(&a, test_own("@test_doors"), &e) == ERR_OK);
    CHECK(sock_listen(&(sock_listen_opts){.addr = &a}, &fd, &e) == ERR_OK);
    if (fd != SERVICE_FD_FIRST) CHECK(dup2(fd, SERVICE_FD_FIRST) == SERVICE_FD_FIRST && close(fd) == 0);
    CHECK(doors_open(&d, &c, &by, 2, &e) == ERR_OK && listeners_count(d.all) == 1);
    CHECK(sock_addr_eq(listeners_at(d.all, 0), &a));
    doors_close(&d);
    service_close(&by);
    by = (service){.fd_count = 0};
    if (kept >= 0) CHECK(dup2(kept, SERVICE_FD_FIRST) == SERVICE_FD_FIRST && close(kept) == 0);
}

/* ---- an old server: a giver on a loop of its own ---- */

typedef struct {
    loop *loop;
    thread thread;
    giver *giver;
    doors doors;
    _Atomic bool given;
} old_server;

static void run_loop(void *ctx)
{
    err e;
    CHECK(loop_run(ctx, &e) == ERR_OK);
}

static void on_given(void *ctx) { atomic_store(&((old_server *)ctx)->given, true); }

static void stop_here(loop *on, loop_msg *m)
{
    (void)m;
    loop_stop(on);
}

static void old_start(old_server *o, const char *listen)
{
    err e;
    sock_addr at;
    *o = (old_server){.loop = NULL};
    configure("0", listen);
    CHECK(doors_open(&o->doors, &c, &by, 3, &e) == ERR_OK && loop_new(&o->loop, 1, &e) == ERR_OK);
    CHECK(sock_addr_unix(&at, test_own("@test_doors_heir"), &e) == ERR_OK);
    const giver_opts opts = {.on = o->loop, .at = &at, .control = -1, .all = o->doors.all, .ready_wait_us = 60000000,
                             .given = on_given, .ctx = o};
    CHECK(giver_new(&o->giver, &opts, &e) == ERR_OK);
    CHECK(thread_start(&o->thread, "old", run_loop, o->loop, &e) == ERR_OK);
}

static void old_stop(old_server *o)
{
    loop_msg stop = {.run = stop_here};
    loop_post(o->loop, &stop);
    thread_join(&o->thread);
    giver_free(o->giver);
    loop_free(o->loop);
    doors_close(&o->doors);
}

/* All addresses, ports as N, with blanks between. */
static const char *names(const doors *d)
{
    static char out[400];
    size_t n = 0;
    out[0] = 0;
    for (size_t i = 0; i < listeners_count(d->all); i++) {
        char text[SOCK_ADDR_TEXT_MAX];
        sock_addr_print(listeners_at(d->all, i), text);
        if (!sock_addr_is_unix(listeners_at(d->all, i))) snprintf(strrchr(text, ':'), 3, ":N");
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%s", i ? " " : "", text);
    }
    return out;
}

static void an_old_servers_sockets_are_taken_by_name(void)
{
    static const struct {
        const char *port, *listen, *want;
        bool same_port;
    } rows[] = {
        {NULL, "", "127.0.0.1:N [::1]:N unix:@test_doors_a", true},        /* nothing is named: all of them */
        {"0", "", "127.0.0.1:N", true},                                    /* any free port: theirs */
        {NULL, "unix:@test_doors_a,[::1]:0", "unix:@test_doors_a [::1]:N", false},
        {"0", "127.0.0.1:0,unix:@test_doors_b", "127.0.0.1:N 127.0.0.1:N unix:@test_doors_b", true},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e;
        doors d;
        old_server o;
        long fds = sys_fake_fds();
        old_start(&o, test_own("[::1]:0,unix:@test_doors_a"));
        uint16_t port = sock_addr_port(listeners_at(o.doors.all, 0));
        configure(rows[i].port, test_own(rows[i].listen));
        CHECK(conf_set(&c, "t", STR("handover"), str_of(test_own("@test_doors_heir")), &e) == ERR_OK);
        CHECK(doors_open(&d, &c, &by, 2, &e) == ERR_OK && d.from);
        CHECK_STR(names(&d), test_own(rows[i].want));
        CHECK(!rows[i].same_port || sock_addr_port(listeners_at(d.all, 0)) == port);
        CHECK(taker_check(d.from, &e) == ERR_OK && !atomic_load(&o.given));
        if (i % 2) CHECK(taker_ready(d.from, &e) == ERR_OK);
        for (int turn = 0; turn < 500000 && i % 2 && !atomic_load(&o.given); turn++) usleep(100);
        CHECK(atomic_load(&o.given) == (i % 2 == 1));
        doors_close(&d);
        old_stop(&o);
        CHECK_U64((uint64_t)sys_fake_fds(), (uint64_t)fds);
    }
}

static void construct(void)
{
    err e;
    doors d = {.all = NULL};
    (void)!doors_open(&d, &c, &by, 2, &e);
    doors_close(&d);
}

static void opening_survives_every_fault(void)
{
    char spec[200];
    err e;
    old_server o;
    snprintf(spec, sizeof spec, "unix:%s,%s", path, test_own("unix:@test_doors"));
    configure("0", spec);
    FAULT_SWEEP(construct());
    SYS_SWEEP(-EMFILE, construct());
    unlink(path);
    old_start(&o, test_own("unix:@test_doors_a"));
    configure(NULL, "");
    CHECK(conf_set(&c, "t", STR("handover"), str_of(test_own("@test_doors_heir")), &e) == ERR_OK);
    for (long n = 0, more = 1; more; n++) {   /* the old server works meanwhile: only what is reached is checked */
        sys_fake_fail_nth(n, -ENOBUFS);
        construct();
        more = sys_fake_fired();
        sys_fake_fail_nth(-1, 0);
    }
    CHECK(!atomic_load(&o.given));
    old_stop(&o);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_is_named_is_open),
        TEST(given_sockets_replace_the_default_port),
        TEST(an_old_servers_sockets_are_taken_by_name),
        TEST(opening_survives_every_fault),
    };
    if (!test_folder_open()) return 1;
    path = test_folder_path("a");
    int failed = test_main(cases, COUNTOF(cases));
    arena_fini(&memory);
    test_folder_close();
    return failed;
}
