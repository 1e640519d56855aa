/* What must hold for files: what was saved is read back whole whatever the kernel shortens or interrupts; a failed
 * save leaves the old file and nothing beside it; no path leads out of a folder, with openat2 and without; sizes are
 * refused before memory is spent; texts name the path; no failure leaks a descriptor. */
#include "fake/sys_fake.h"
#include "os/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];   /* of this run */

static const char *in_folder(const char *name)
{
    static char paths[4][200];
    static size_t turn;
    char *path = paths[turn++ % COUNTOF(paths)];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void check_holds(const char *path, const char *want)
{
    err e;
    char *got = NULL;
    size_t len = 0;
    CHECK(file_read(path, 1 << 20, &got, &len, &e) == ERR_OK);
    CHECK_U64(len, strlen(want));
    if (got) CHECK_STR(got, want);
    mem_free(got);
}

static size_t entries_of(const char *path)
{
    err e;
    arena a;
    arena_init(&a, NULL, 0, 1 << 20);
    file_entry *entries;
    size_t count = 0;
    CHECK(file_list(&a, path, &entries, &count, &e) == ERR_OK);
    arena_fini(&a);
    return count;
}

static void what_is_saved_is_read_back(void)
{
    err e;
    const char *path = in_folder("saved");
    CHECK(file_save(path, "first", 5, &e) == ERR_OK);
    check_holds(path, "first");
    CHECK(file_save(path, "second, longer", 14, &e) == ERR_OK);
    check_holds(path, "second, longer");
    CHECK(file_write(path, "", 0, &e) == ERR_OK);
    check_holds(path, "");
    CHECK(unlink(path) == 0);
}

static void short_and_interrupted_calls_lose_nothing(void)
{
    err e;
    char big[10000];
    for (size_t i = 0; i < sizeof big - 1; i++) big[i] = (char)('a' + i % 26);
    big[sizeof big - 1] = '\0';
    const char *path = in_folder("big");
    static const sys_fault script[] = {
        {SYS_write, .skip = 1, .times = 2, .result = -EINTR}, {SYS_write, .times = SYS_FAKE_EVER, .result = 700},
        {SYS_read, .skip = 2, .times = 3, .result = -EINTR},  {SYS_read, .times = SYS_FAKE_EVER, .result = 7},
        {SYS_open, .times = 1, .result = -EINTR},             {SYS_sync, .times = 1, .result = -EINTR},
    };
    sys_fake_script(script, COUNTOF(script));
    CHECK(file_save(path, big, sizeof big - 1, &e) == ERR_OK);
    check_holds(path, big);
    CHECK(sys_fake_hits() > 1400);
    sys_fake_script(NULL, 0);
    CHECK(unlink(path) == 0);
}

static void a_failed_save_leaves_the_old_file_and_nothing_beside_it(void)
{
    err e;
    const char *path = in_folder("kept");
    CHECK(file_save(path, "old", 3, &e) == ERR_OK);
    static const sys_call steps[] = {SYS_random, SYS_open, SYS_write, SYS_sync, SYS_close, SYS_rename};
    for (size_t i = 0; i < COUNTOF(steps); i++) {
        long fds = sys_fake_fds();
        sys_fake_script((sys_fault[]){{steps[i], .times = 1, .result = -EIO}}, 1);
        CHECK(file_save(path, "new", 3, &e) == ERR_INTERNAL);
        CHECK(strstr(e.text, path) == e.text && strstr(e.text, "Input/output error"));
        sys_fake_script(NULL, 0);
        CHECK_U64((uint64_t)sys_fake_fds(), (uint64_t)fds);
        check_holds(path, "old");
        CHECK_U64(entries_of(folder), 1);
    }
    CHECK(unlink(path) == 0);
    CHECK(file_save(in_folder("no/such/folder"), "x", 1, &e) == ERR_NOT_FOUND);
}

static void no_failure_leaks(void)
{
    err e;
    const char *path = in_folder("leak");
    CHECK(file_save(path, "abc", 3, &e) == ERR_OK);
    SYS_SWEEP(-EIO, {
        char *bytes = NULL;
        size_t len;
        CHECK((file_read(path, 100, &bytes, &len, &e) == ERR_OK) == (bytes != NULL));
        mem_free(bytes);
    });
    SYS_SWEEP(-EIO, {
        file_map m = {0};
        CHECK((file_map_open(path, &m, &e) == ERR_OK) == (m.p != NULL));
        file_map_close(&m);
    });
    SYS_SWEEP(-EIO, {
        file_map m = {0};
        CHECK((file_map_open_beneath(folder, "leak", &m, &e) == ERR_OK) == (m.p != NULL));
        file_map_close(&m);
    });
    SYS_SWEEP(-EMFILE, {
        uint8_t memory[4096];
        arena a;
        arena_init(&a, memory, sizeof memory, sizeof memory);
        file_entry *entries = NULL;
        size_t count;
        CHECK((file_list(&a, folder, &entries, &count, &e) == ERR_OK) == (entries != NULL));
    });
    FAULT_SWEEP({
        char *bytes = NULL;
        size_t len;
        CHECK((file_read("/proc/self/status", 1 << 20, &bytes, &len, &e) == ERR_OK) == (bytes != NULL));
        mem_free(bytes);
    });
    CHECK(unlink(path) == 0);
}

static void sizes_are_bounded_and_the_text_says_by_how_much(void)
{
    err e;
    char *bytes = NULL, want[200];
    size_t len;
    const char *path = in_folder("size");
    CHECK(file_save(path, "0123456789", 10, &e) == ERR_OK);
    CHECK(file_read(path, 10, &bytes, &len, &e) == ERR_OK && len == 10);
    mem_free(TAKE(bytes));
    CHECK(file_read(path, 9, &bytes, &len, &e) == ERR_TOO_LARGE);
    snprintf(want, sizeof want, "%s: too large: expected at most 9 bytes, got 10", path);
    CHECK_STR(e.text, want);
    CHECK(file_read("/dev/zero", 100000, &bytes, &len, &e) == ERR_TOO_LARGE);   /* no size to know beforehand */
    CHECK_STR(e.text, "/dev/zero: too large: expected at most 100000 bytes");
    CHECK(bytes == NULL);
    CHECK(unlink(path) == 0);
}

static void pipes_and_proc_are_read_whole(void)
{
    err e;
    int ends[2];
    char path[40], *bytes = NULL;
    size_t len;
    CHECK(pipe(ends) == 0 && write(ends[1], "through", 7) == 7);
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    check_holds(path, "through");
    close(ends[0]);
    CHECK(file_read("/proc/self/maps", 1 << 24, &bytes, &len, &e) == ERR_OK && len > 500);
    mem_free(bytes);
    CHECK(mkfifo(in_folder("fifo"), 0600) == 0);
    check_holds(in_folder("fifo"), "");   /* nobody writes: does not hang */
    CHECK(file_read_regular(in_folder("fifo"), 100, &bytes, &len, &e) == ERR_INVALID);
    CHECK(strstr(e.text, "/fifo: expected a file, got a device or pipe"));
    CHECK(unlink(in_folder("fifo")) == 0);
}

static void refusals_name_path_and_reason(void)
{
    err e;
    char *bytes = NULL;
    size_t len;
    file_map m = {0};
    file_id id;
    CHECK(file_read("/nowhere/x", 10, &bytes, &len, &e) == ERR_NOT_FOUND);
    CHECK_STR(e.text, "/nowhere/x: cannot open: No such file or directory");
    CHECK(file_read("/", 10, &bytes, &len, &e) == ERR_INVALID);
    CHECK_STR(e.text, "/: expected a file, got a folder");
    CHECK(file_map_open("/", &m, &e) == ERR_INVALID);
    CHECK_STR(e.text, "/: expected a file, got a folder");
    CHECK(file_map_open("/dev/null", &m, &e) == ERR_INVALID);
    CHECK_STR(e.text, "/dev/null: expected a file, got a device or pipe");
    CHECK(file_identify("/nowhere", &id, &e) == ERR_NOT_FOUND);
    CHECK_STR(e.text, "/nowhere: cannot look up: No such file or directory");
    sys_fake_script((sys_fault[]){{SYS_open, .times = 1, .result = -EMFILE}}, 1);
    CHECK(file_map_open("/etc/passwd", &m, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "/etc/passwd: cannot open: Too many open files");
    sys_fake_script(NULL, 0);
}

static void a_map_shows_the_bytes_also_after_the_file_was_replaced(void)
{
    err e;
    file_map m = {0}, empty = {0};
    const char *path = in_folder("map");
    CHECK(file_save(path, "old bytes", 9, &e) == ERR_OK);
    CHECK(file_map_open(path, &m, &e) == ERR_OK);
    CHECK(file_save(path, "", 0, &e) == ERR_OK);
    CHECK(m.len == 9 && memcmp(m.p, "old bytes", 9) == 0);
    CHECK(file_map_open(path, &empty, &e) == ERR_OK);
    CHECK(empty.len == 0 && empty.p != NULL);
    file_map_close(&m);
    file_map_close(&empty);
    file_map_close(&m);   /* closed twice is none */
    CHECK(unlink(path) == 0);
}

static void an_identity_changes_with_the_file(void)
{
    err e;
    file_id a, b;
    const char *path = in_folder("id");
    CHECK(file_save(path, "one", 3, &e) == ERR_OK);
    CHECK(file_identify(path, &a, &e) == ERR_OK && file_identify(path, &b, &e) == ERR_OK);
    CHECK(file_id_eq(&a, &b) && a.kind == FILE_REGULAR && a.bytes == 3);
    CHECK(file_save(path, "two", 3, &e) == ERR_OK);   /* same size, perhaps the same time: another inode */
    CHECK(file_identify(path, &b, &e) == ERR_OK);
    CHECK(!file_id_eq(&a, &b));
    CHECK(file_identify(folder, &a, &e) == ERR_OK && a.kind == FILE_FOLDER);
    CHECK(unlink(path) == 0);
}

static void a_folder_is_listed_in_order_with_kinds(void)
{
    err e;
    uint8_t memory[4096];
    arena a;
    arena_init(&a, memory, sizeof memory, sizeof memory);
    file_entry *entries = NULL;
    size_t count = 0;
    CHECK(mkdir(in_folder("list"), 0700) == 0);
    CHECK(file_list(&a, in_folder("list"), &entries, &count, &e) == ERR_OK && count == 0);
    CHECK(file_write(in_folder("list/b"), "", 0, &e) == ERR_OK);
    CHECK(file_write(in_folder("list/B"), "", 0, &e) == ERR_OK);
    CHECK(mkdir(in_folder("list/a"), 0700) == 0);
    CHECK(symlink("b", in_folder("list/c")) == 0);
    CHECK(symlink("nothing", in_folder("list/d")) == 0);
    CHECK(file_list(&a, in_folder("list"), &entries, &count, &e) == ERR_OK);
    static const file_entry want[] = {{"B", FILE_REGULAR}, {"a", FILE_FOLDER}, {"b", FILE_REGULAR},
                                      {"c", FILE_REGULAR}, {"d", FILE_OTHER}};
    CHECK_U64(count, COUNTOF(want));
    for (size_t i = 0; i < count && i < COUNTOF(want); i++) {
        CHECK_STR(entries[i].name, want[i].name);
        CHECK_U64(entries[i].kind, want[i].kind);
    }
    arena_init(&a, memory, 40, 40);
    CHECK(file_list(&a, in_folder("list"), &entries, &count, &e) == ERR_NOMEM);
    CHECK(file_list(&a, in_folder("list/b"), &entries, &count, &e) == ERR_NOT_FOUND);   /* not a folder */
    static const char *const names[] = {"list/d", "list/c", "list/b", "list/B"};
    for (size_t i = 0; i < COUNTOF(names); i++) CHECK(unlink(in_folder(names[i])) == 0);
    CHECK(rmdir(in_folder("list/a")) == 0 && rmdir(in_folder("list")) == 0);
}

/* The same answers from openat2 and, where the kernel or a filter has none, from the way without it. */
static void no_path_leads_out_of_a_folder(void)
{
    err e;
    static const struct { const char *path; bool inside; } rows[] = {
        {"data", true}, {"./data", true}, {"sub/../data", true}, {"sub/deep", true}, {"link_in", true},
        {"sub/link_up", true},
        {"../outside", false}, {"sub/../../outside", false}, {"link_out", false}, {"sub_out/outside", false},
        {"/etc/passwd", false}, {"link_root", false}, {"..", false},
    };
    CHECK(mkdir(in_folder("model"), 0700) == 0 && mkdir(in_folder("model/sub"), 0700) == 0);
    CHECK(mkdir(in_folder("model2"), 0700) == 0);   /* a name that begins like the folder's is still outside */
    CHECK(file_write(in_folder("outside"), "out", 3, &e) == ERR_OK);
    CHECK(file_write(in_folder("model2/outside"), "out", 3, &e) == ERR_OK);
    CHECK(file_write(in_folder("model/data"), "in", 2, &e) == ERR_OK);
    CHECK(file_write(in_folder("model/sub/deep"), "in", 2, &e) == ERR_OK);
    CHECK(symlink("data", in_folder("model/link_in")) == 0 && symlink("../data", in_folder("model/sub/link_up")) == 0);
    CHECK(symlink("../outside", in_folder("model/link_out")) == 0);
    CHECK(symlink("../model2", in_folder("model/sub_out")) == 0);
    CHECK(symlink("/etc/passwd", in_folder("model/link_root")) == 0);
    for (int way = 0; way < 3; way++) {
        static const int64_t results[] = {0, -ENOSYS, -EPERM};
        sys_fake_script((sys_fault[]){{SYS_open_beneath, .times = SYS_FAKE_EVER, .result = results[way]}}, way != 0);
        for (size_t i = 0; i < COUNTOF(rows); i++) {
            file_map m = {0};
            err_code rc = file_map_open_beneath(in_folder("model"), rows[i].path, &m, &e);
            if ((rc == ERR_OK) != rows[i].inside) printf("# way %d: %s\n", way, rows[i].path);
            CHECK((rc == ERR_OK) == rows[i].inside);
            CHECK(rc == ERR_OK || rc == ERR_INVALID);
            CHECK(rc || (m.len == 2 && memcmp(m.p, "in", 2) == 0));
            file_map_close(&m);
        }
    }
    file_map m = {0};
    CHECK(file_map_open_beneath("/nowhere", "x", &m, &e) == ERR_NOT_FOUND);
    CHECK_STR(e.text, "/nowhere: cannot open the folder: No such file or directory");
    CHECK(file_map_open_beneath(folder, "model/none", &m, &e) == ERR_NOT_FOUND);
    CHECK_STR(e.text, "model/none: cannot open: No such file or directory");
    sys_fake_script(NULL, 0);
    static const char *const files[] = {"model/data", "model/sub/deep", "model/link_in", "model/sub/link_up",
                                        "model/link_out", "model/sub_out", "model/link_root", "outside",
                                        "model2/outside"};
    for (size_t i = 0; i < COUNTOF(files); i++) CHECK(unlink(in_folder(files[i])) == 0);
    CHECK(rmdir(in_folder("model/sub")) == 0 && rmdir(in_folder("model")) == 0 && rmdir(in_folder("model2")) == 0);
}

static void a_renaming_neighbour_only_delays_an_opening(void)
{
    err e;
    file_map m = {0};
    CHECK(file_write(in_folder("busy"), "in", 2, &e) == ERR_OK);
    sys_fake_script((sys_fault[]){{SYS_open_beneath, .times = 3, .result = -EAGAIN}}, 1);
    CHECK(file_map_open_beneath(folder, "busy", &m, &e) == ERR_OK);
    file_map_close(&m);
    sys_fake_script((sys_fault[]){{SYS_open_beneath, .times = SYS_FAKE_EVER, .result = -EAGAIN}}, 1);
    CHECK(file_map_open_beneath(folder, "busy", &m, &e) == ERR_LIMIT);
    sys_fake_script(NULL, 0);
    CHECK(unlink(in_folder("busy")) == 0);
}

static void a_part_is_read_and_no_byte_behind_the_end(void)
{
    char path[] = "/tmp/proa_part_XXXXXX", got[8] = {0};
    err e;
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, "0123456789", 10) == 10 && close(fd) == 0);
    CHECK(file_read_part(path, 3, got, 7, &e) == ERR_OK);
    CHECK_STR(got, "3456789");
    CHECK(file_read_part(path, 4, got, 7, &e) == ERR_INVALID && strstr(e.text, "expected 1 more bytes, got the end"));
    CHECK(file_delete(path, &e) == ERR_OK && access(path, F_OK) != 0);
    CHECK(file_delete(path, &e) == ERR_NOT_FOUND);
    CHECK(file_rename(path, path, &e) == ERR_NOT_FOUND && strstr(e.text, "cannot rename"));
    CHECK(file_read_part(path, 0, got, 1, &e) == ERR_NOT_FOUND);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_is_saved_is_read_back),
        TEST(short_and_interrupted_calls_lose_nothing),
        TEST(a_failed_save_leaves_the_old_file_and_nothing_beside_it),
        TEST(no_failure_leaks),
        TEST(sizes_are_bounded_and_the_text_says_by_how_much),
        TEST(pipes_and_proc_are_read_whole),
        TEST(refusals_name_path_and_reason),
        TEST(a_map_shows_the_bytes_also_after_the_file_was_replaced),
        TEST(an_identity_changes_with_the_file),
        TEST(a_folder_is_listed_in_order_with_kinds),
        TEST(no_path_leads_out_of_a_folder),
        TEST(a_renaming_neighbour_only_delays_an_opening), TEST(a_part_is_read_and_no_byte_behind_the_end),
    };
    snprintf(folder, sizeof folder, "/tmp/proa_test_XXXXXX");
    if (!mkdtemp(folder)) return 1;
    int bad = test_main(cases, COUNTOF(cases));
    (void)rmdir(folder);
    return bad;
}
