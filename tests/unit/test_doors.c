/* All that the configuration names is open, in its order, or nothing is. */
#include "fake/sys_fake.h"
#include "serve/doors.h"
#include "test_folder.h"

static arena memory;
static conf c;
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
    CHECK(doors_open(&l, &c, 2, &e) == ERR_OK);
    CHECK_U64(listeners_count(l), 3);
    CHECK(sock_addr_port(listeners_at(l, 0)) > 0);
    CHECK_STR(sock_addr_path(listeners_at(l, 1)), path);
    CHECK(!sock_addr_path(listeners_at(l, 2)));
    listeners *again = NULL;
    configure("0", "unix:@test_doors");
    CHECK(doors_open(&again, &c, 2, &e) == ERR_CONFLICT && !again);
    CHECK_STR(e.text, "unix:@test_doors: cannot listen: Address already in use");
    listeners_free(l);
    CHECK(access(path, F_OK) != 0);
}

static void construct(void)
{
    err e;
    listeners *l = NULL;
    (void)!doors_open(&l, &c, 2, &e);
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
        TEST(opening_survives_every_fault),
    };
    if (!test_folder_open()) return 1;
    path = test_folder_path("a");
    int failed = test_main(cases, COUNTOF(cases));
    arena_fini(&memory);
    test_folder_close();
    return failed;
}
