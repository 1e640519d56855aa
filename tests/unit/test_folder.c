/* A folder is made where it is missing and is one process's at a time; nothing that fails leaves a descriptor. */
#include "os/folder.h"
#include "fake/sys_fake.h"
#include "test_folder.h"

static void it_is_made_and_held_until_it_is_closed(void)
{
    folder a, b;
    err e;
    const char *path = test_folder_path("new");
    CHECK(folder_take(&a, path, &e) == ERR_OK);
    CHECK_U64((uint64_t)test_folder_mode("new"), 0700);
    CHECK(folder_take(&b, path, &e) == ERR_CONFLICT && strstr(e.text, path) == e.text);
    CHECK(folder_sync(&a, &e) == ERR_OK);
    folder_close(&a);
    CHECK(folder_take(&b, path, &e) == ERR_OK);
    folder_close(&b);
}

static void what_is_no_folder_is_refused(void)
{
    folder f;
    err e;
    CHECK(folder_take(&f, "/dev/null", &e) == ERR_NOT_FOUND);
    CHECK(folder_take(&f, "/no/such/place", &e) == ERR_NOT_FOUND && strstr(e.text, "cannot make the folder"));
}

static void no_failure_leaks(void)
{
    err e;
    const char *path = test_folder_path("new");
    SYS_SWEEP(-EIO, {
        folder f;
        if (folder_take(&f, path, &e) == ERR_OK) {
            (void)!folder_sync(&f, &e);
            folder_close(&f);
        }
    });
    FAULT_SWEEP({
        folder f;
        if (folder_take(&f, path, &e) == ERR_OK) folder_close(&f);
    });
    rmdir(path);
}

int main(void)
{
    static const test_case cases[] = {TEST(it_is_made_and_held_until_it_is_closed), TEST(what_is_no_folder_is_refused),
                                      TEST(no_failure_leaks)};
    if (!test_folder_open()) return 1;
    int rc = test_main(cases, COUNTOF(cases));
    test_folder_close();
    return rc;
}
