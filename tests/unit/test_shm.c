/* A region gives back what its object holds and takes what is written, never outside of itself; an object that is cut,
 * gone or not there is an error, and nothing is left behind whatever fails. */
#include "fake/sys_fake.h"
#include "os/shm.h"
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static char key[40];

static int object(size_t bytes)
{
    int fd = shm_open(key, O_CREAT | O_RDWR | O_TRUNC, 0600);
    INVARIANT(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
    return fd;
}

static err_code add(shm_set *s, const char *name, uint64_t offset, uint64_t bytes, err *e)
{
    shm_region r = {str_of(name), str_of(key), offset, bytes};
    return shm_register(s, &r, e);
}

static void bytes_go_both_ways_inside_the_region(void)
{
    shm_set *s;
    err e;
    char got[8] = {0}, all[16] = {0};
    int fd = object(16);
    INVARIANT(pwrite(fd, "0123456789abcdef", 16, 0) == 16);
    CHECK(shm_set_new(&s, &e) == ERR_OK);
    CHECK(add(s, "r", 4, 8, &e) == ERR_OK);
    CHECK(shm_read(s, STR("r"), 0, got, 8, &e) == ERR_OK && memcmp(got, "456789ab", 8) == 0);
    CHECK(shm_read(s, STR("r"), 8, got, 0, &e) == ERR_OK);
    CHECK(shm_write(s, STR("r"), 6, "XY", 2, &e) == ERR_OK);
    CHECK(pread(fd, all, 16, 0) == 16 && memcmp(all, "0123456789XYcdef", 16) == 0);
    CHECK(shm_read(s, STR("r"), 1, got, 8, &e) == ERR_INVALID);
    CHECK_STR(e.text, "shared memory region 'r': expected at most 8 bytes, got 8 at offset 1");
    CHECK(shm_write(s, STR("r"), UINT64_MAX, "X", 1, &e) == ERR_INVALID);
    CHECK(shm_read(s, STR("q"), 0, got, 1, &e) == ERR_NOT_FOUND);
    CHECK_STR(e.text, "Unable to find shared memory region: 'q'");
    shm_unlink(key);   /* the region keeps its object */
    CHECK(shm_read(s, STR("r"), 6, got, 2, &e) == ERR_OK && memcmp(got, "XY", 2) == 0);
    INVARIANT(ftruncate(fd, 5) == 0);   /* and no cut of it kills */
    CHECK(shm_read(s, STR("r"), 0, got, 1, &e) == ERR_OK);
    CHECK(shm_read(s, STR("r"), 0, got, 8, &e) == ERR_INVALID);
    CHECK_STR(e.text, "shared memory region 'r': the object has been cut to 5 bytes");
    CHECK(shm_write(s, STR("r"), 0, got, 8, &e) == ERR_INVALID);
    shm_set_free(s);
    close(fd);
}

static void wrong_registrations_are_refused(void)
{
    static const char *const keys[] = {"", "/", "/a/b", "..", "/..", "/.", "a/../b"};
    shm_set *s;
    err e;
    char text[500];
    close(object(16));
    CHECK(shm_set_new(&s, &e) == ERR_OK);
    for (size_t i = 0; i < COUNTOF(keys); i++) {
        CHECK(shm_register(s, &(shm_region){STR("r"), str_of(keys[i]), 0, 1}, &e) == ERR_INVALID);
        snprintf(text, sizeof text,
                 "Unable to open shared memory region: '%s': key: expected '/' and 1..255 bytes without '/', got '%s'",
                 keys[i], keys[i]);
        CHECK_STR(e.text, text);
    }
    CHECK(shm_register(s, &(shm_region){STR("r"), STR("/proa-none"), 0, 1}, &e) == ERR_NOT_FOUND);
    CHECK_STR(e.text,
              "Unable to open shared memory region: '/proa-none': /dev/shm/proa-none: open: No such file or directory");
    CHECK(add(s, "r", 0, 17, &e) == ERR_INVALID && add(s, "r", 17, 0, &e) == ERR_INVALID);
    CHECK(add(s, "r", 10, UINT64_MAX, &e) == ERR_INVALID && add(s, "", 0, 1, &e) == ERR_INVALID);
    CHECK(add(s, "r", 0, 16, &e) == ERR_OK && add(s, "r", 0, 16, &e) == ERR_CONFLICT);
    CHECK_STR(e.text, "shared memory region 'r' already in manager");
    CHECK(shm_register(s, &(shm_region){STR("t"), str_of(key + 1), 0, 1}, &e) == ERR_OK);   /* without its '/' */
    shm_set_free(s);
    shm_unlink(key);
}

static void regions_are_listed_and_forgotten(void)
{
    shm_set *s;
    err e;
    arena a;
    shm_region *list;
    size_t count;
    long fds = sys_fake_fds();
    close(object(16));
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(shm_set_new(&s, &e) == ERR_OK);
    CHECK(shm_list(s, STR(""), &a, &list, &count, &e) == ERR_OK && count == 0);
    CHECK(add(s, "a", 1, 2, &e) == ERR_OK && add(s, "b", 3, 4, &e) == ERR_OK && add(s, "c", 0, 0, &e) == ERR_OK);
    CHECK(shm_list(s, STR(""), &a, &list, &count, &e) == ERR_OK && count == 3);
    CHECK(shm_list(s, STR("b"), &a, &list, &count, &e) == ERR_OK && count == 1);
    CHECK(str_is(list[0].name, "b") && str_is(list[0].key, key) && list[0].offset == 3 && list[0].bytes == 4);
    shm_unregister(s, STR("b"));
    shm_unregister(s, STR("b"));
    CHECK(shm_list(s, STR("b"), &a, &list, &count, &e) == ERR_OK && count == 0);
    shm_unregister(s, STR(""));
    CHECK(shm_list(s, STR(""), &a, &list, &count, &e) == ERR_OK && count == 0);
    CHECK_U64((uint64_t)sys_fake_fds(), (uint64_t)fds);
    for (int i = 0; i < SHM_REGIONS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        CHECK(add(s, name, 0, 1, &e) == ERR_OK);
    }
    CHECK(add(s, "more", 0, 1, &e) == ERR_LIMIT);
    shm_set_free(s);
    CHECK_U64((uint64_t)sys_fake_fds(), (uint64_t)fds);
    arena_fini(&a);
    shm_unlink(key);
}

static void nothing_is_left_whatever_fails(void)
{
    err e;
    char got[4] = {0};   /* what a read that fails leaves */
    close(object(16));
    FAULT_SWEEP({
        shm_set *s = NULL;
        arena a;
        shm_region *list;
        size_t count;
        arena_init(&a, NULL, 0, 1 << 20);
        if (shm_set_new(&s, &e) == ERR_OK && add(s, "a", 0, 16, &e) == ERR_OK)
            (void)(shm_list(s, STR(""), &a, &list, &count, &e) == ERR_OK);
        arena_fini(&a);
        shm_set_free(s);
    })
    SYS_SWEEP(-EIO, {
        shm_set *s = NULL;
        if (shm_set_new(&s, &e) == ERR_OK && add(s, "a", 0, 16, &e) == ERR_OK) {
            (void)(shm_read(s, STR("a"), 0, got, 4, &e) == ERR_OK);
            (void)(shm_write(s, STR("a"), 0, got, 4, &e) == ERR_OK);
        }
        shm_set_free(s);
    })
    shm_unlink(key);
}

int main(void)
{
    snprintf(key, sizeof key, "/proa-test-%d", (int)getpid());
    static const test_case cases[] = {
        TEST(bytes_go_both_ways_inside_the_region), TEST(wrong_registrations_are_refused),
        TEST(regions_are_listed_and_forgotten), TEST(nothing_is_left_whatever_fails),
    };
    return test_main(cases, COUNTOF(cases));
}
