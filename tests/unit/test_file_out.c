/* A file is filled at any place of it, whatever the kernel shortens or interrupts; links, folders and pipes are refused
 * at once; whoever removes or moves it is noticed; no failure leaks a descriptor. */
#include "fake/sys_fake.h"
#include "os/file.h"
#include "os/file_out.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[100], other[100];   /* of this run */

static void check_holds(const char *at, const char *want)
{
    err e;
    char *got = NULL;
    size_t len = 0;
    CHECK(file_read(at, 1 << 20, &got, &len, &e) == ERR_OK);
    if (got) CHECK_STR(got, want);
    mem_free(got);
}

static void bytes_go_where_they_are_put_and_a_cut_takes_them(void)
{
    file_out f;
    err e;
    CHECK(file_save(path, "older and longer", 16, &e) == ERR_OK);
    CHECK(file_out_open(&f, path, 0640, &e) == ERR_OK);
    check_holds(path, "");
    CHECK(file_out_put(&f, 0, "[abc]", 5, &e) == ERR_OK && file_out_put(&f, 4, ",d]", 3, &e) == ERR_OK);
    check_holds(path, "[abc,d]");
    CHECK(file_out_cut(&f, 2, &e) == ERR_OK && file_out_put(&f, 1, "]", 1, &e) == ERR_OK);
    check_holds(path, "[]");
    CHECK(file_out_move(&f, other, &e) == ERR_OK && file_out_gone(&f));
    check_holds(other, "[]");
    file_out_close(&f);
    CHECK(unlink(other) == 0);
}

static void short_and_interrupted_calls_lose_nothing(void)
{
    static const sys_fault script[] = {{SYS_open, .times = 1, .result = -EINTR},
                                       {SYS_truncate, .times = 1, .result = -EINTR},
                                       {SYS_write_at, .skip = 1, .times = 1, .result = -EINTR},
                                       {SYS_write_at, .times = SYS_FAKE_EVER, .result = 3}};
    file_out f;
    err e;
    sys_fake_script(script, COUNTOF(script));
    CHECK(file_out_open(&f, path, 0640, &e) == ERR_OK);
    CHECK(file_out_put(&f, 0, "0123456789", 10, &e) == ERR_OK);
    sys_fake_script(NULL, 0);
    check_holds(path, "0123456789");
    sys_fake_script((sys_fault[]){{SYS_write_at, .times = 1, .result = -ENOSPC}}, 1);
    CHECK(file_out_put(&f, 0, "x", 1, &e) != ERR_OK && strstr(e.text, "No space left on device"));
    CHECK(strstr(e.text, path) == e.text);
    sys_fake_script(NULL, 0);
    file_out_close(&f);
}

static void only_files_are_opened_and_no_link_is_followed(void)
{
    file_out f;
    err e;
    CHECK(unlink(path) == 0 && symlink(other, path) == 0);
    CHECK(file_out_open(&f, path, 0640, &e) != ERR_OK && access(other, F_OK) != 0);
    CHECK(unlink(path) == 0 && mkfifo(path, 0600) == 0);
    CHECK(file_out_open(&f, path, 0640, &e) != ERR_OK);   /* nobody reads: that is no reason to wait */
    CHECK(unlink(path) == 0);
    CHECK(file_out_open(&f, folder, 0640, &e) != ERR_OK);
    CHECK(file_out_open(&f, "/dev/null", 0640, &e) == ERR_INVALID);
    CHECK_STR(e.text, "/dev/null: expected a file, got a device or pipe");
    CHECK(file_out_open(&f, "/no/such/folder/x", 0640, &e) == ERR_NOT_FOUND);
}

static void who_removes_or_replaces_it_is_noticed(void)
{
    file_out f;
    err e;
    CHECK(file_out_open(&f, path, 0640, &e) == ERR_OK);
    CHECK(!file_out_gone(&f));
    CHECK(rename(path, other) == 0 && file_out_gone(&f));
    CHECK(file_save(path, "another", 7, &e) == ERR_OK && file_out_gone(&f));
    CHECK(rename(other, path) == 0 && !file_out_gone(&f));
    file_out_remove(&f);
    CHECK(file_out_gone(&f));
    file_out_remove(&f);
    file_out_close(&f);
}

static void no_failure_leaks(void)
{
    err e;
    SYS_SWEEP(-EIO, {
        file_out f;
        if (file_out_open(&f, path, 0640, &e) == ERR_OK) {
            (void)!file_out_put(&f, 0, "abc", 3, &e);
            (void)!file_out_cut(&f, 1, &e);
            (void)!file_out_move(&f, other, &e);
            file_out_close(&f);
        }
    });
    FAULT_SWEEP({
        file_out f;
        if (file_out_open(&f, path, 0640, &e) == ERR_OK) file_out_close(&f);
    });
    (void)unlink(path);
    (void)unlink(other);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(bytes_go_where_they_are_put_and_a_cut_takes_them),
        TEST(short_and_interrupted_calls_lose_nothing),
        TEST(only_files_are_opened_and_no_link_is_followed),
        TEST(who_removes_or_replaces_it_is_noticed),
        TEST(no_failure_leaks),
    };
    snprintf(folder, sizeof folder, "/tmp/proa-file-out-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    int status = test_main(cases, COUNTOF(cases));
    (void)rmdir(folder);
    return status;
}
