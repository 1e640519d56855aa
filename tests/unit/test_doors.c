/* All that the configuration names is open, in its order, or nothing is. */
#include "fake/sys_fake.h"
#include "serve/doors.h"
#include "test_folder.h"

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
    listeners *l = NULL;
    char spec[100];
    snprintf(spec, sizeof spec, "unix:%s,unix:@test_doors", path);
    configure("0", spec);
    CHECK(doors_open(&l, &c, &by, 2, &e) == ERR_OK);
    CHECK_U64(listeners_count(l), 3);
    CHECK(sock_addr_port(listeners_at(l, 0)) > 0);
    CHECK_STR(sock_addr_path(listeners_at(l, 1)), path);
    CHECK(!sock_addr_path(listeners_at(l, 2)));
    listeners *again = NULL;
    configure("0", "unix:@test_doors");
    CHECK(doors_open(&again, &c, &by, 2, &e) == ERR_CONFLICT && !again);
    CHECK_STR(e.text, "unix:@test_doors: cannot listen: Address already in use");
    listeners_free(l);
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
    listeners *l = NULL;
    int kept = dup(SERVICE_FD_FIRST), fd = -1;
    close(SERVICE_FD_FIRST);
    configure(NULL, "");
    CHECK(service_open(&by, environment, 7, &e) == ERR_OK);
    CHECK(doors_open(&l, &c, &by, 2, &e) == ERR_INVALID && !l);
    CHECK_STR(e.text, "LISTEN_FDS: 'web': descriptor 3: expected a socket that listens, got none that is open");
    CHECK(sock_addr_unix(&a, "@test_doors", &e) == ERR_OK);
    CHECK(sock_listen(&(sock_listen_opts){.addr = &a}, &fd, &e) == ERR_OK);
    if (fd != SERVICE_FD_FIRST) CHECK(dup2(fd, SERVICE_FD_FIRST) == SERVICE_FD_FIRST && close(fd) == 0);
    CHECK(doors_open(&l, &c, &by, 2, &e) == ERR_OK && listeners_count(l) == 1);
    CHECK(sock_addr_eq(listeners_at(l, 0), &a));
    listeners_free(l);
    service_close(&by);
    by = (service){.fd_count = 0};
    if (kept >= 0) CHECK(dup2(kept, SERVICE_FD_FIRST) == SERVICE_FD_FIRST && close(kept) == 0);
}

static void construct(void)
{
    err e;
    listeners *l = NULL;
    (void)!doors_open(&l, &c, &by, 2, &e);
    listeners_free(l);
}

static void opening_survives_every_fault(void)
{
    char spec[100];
    snprintf(spec, sizeof spec, "unix:%s,unix:@test_doors", path);
    configure("0", spec);
    FAULT_SWEEP(construct());
    SYS_SWEEP(-EMFILE, construct());
    unlink(path);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_is_named_is_open),
        TEST(given_sockets_replace_the_default_port),
        TEST(opening_survives_every_fault),
    };
    if (!test_folder_open()) return 1;
    path = test_folder_path("a");
    int failed = test_main(cases, COUNTOF(cases));
    arena_fini(&memory);
    test_folder_close();
    return failed;
}
