/* The file is whole JSON behind each commit, also behind one that failed at any byte: then it is what it was before;
 * and it goes on growing once there is room again. */
#include "fake/sys_fake.h"
#include "serve/trace_file.h"

#include <stdlib.h>
#include <unistd.h>

static char folder[64], path[100];   /* of this run */

static const char *holds(void)
{
    static char text[1000];
    FILE *f = fopen(path, "r");   /* allocates nothing of ours */
    size_t len = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[len] = 0;
    if (f) fclose(f);
    return text;
}

static err_code put(trace_file *f, const char *a, const char *b, err *e)
{
    buf_put_z(trace_file_value(f), a);
    if (b) buf_put_z(trace_file_value(f), b);
    return trace_file_commit(f, e);
}

static void it_is_whole_behind_each_commit(void)
{
    trace_file f;
    err e;
    CHECK(trace_file_open(&f, path, &e) == ERR_OK);
    CHECK_STR(holds(), "[]");
    CHECK(trace_file_commit(&f, &e) == ERR_OK && put(&f, "1", NULL, &e) == ERR_OK);
    CHECK_STR(holds(), "[1]");
    CHECK(put(&f, "2", "3", &e) == ERR_OK && f.count == 3);
    CHECK_STR(holds(), "[1,2,3]");
    CHECK_U64(trace_file_bytes(&f), 7);
    buf_put_z(trace_file_value(&f), "4");
    CHECK_U64(trace_file_bytes(&f), 9);   /* what waits counts, gathered or spilled */
    trace_file_spill(&f);
    CHECK_U64(trace_file_bytes(&f), 9);
    buf_put_z(trace_file_value(&f), "5");
    trace_file_spill(&f);
    CHECK(trace_file_commit(&f, &e) == ERR_OK);
    CHECK_U64(trace_file_bytes(&f), 11);
    CHECK_STR(holds(), "[1,2,3,4,5]");
    trace_file_close(&f);
}

/* Whatever call of a commit fails, whether before it or behind some bytes, what was there stays there. */
static void a_commit_that_fails_takes_back_what_it_wrote(void)
{
    static const sys_fault faults[][3] = {
        {{SYS_write_at, .times = 1, .result = -ENOSPC}},
        {{SYS_write_at, .times = 1, .result = 2}, {SYS_write_at, .times = 1, .result = -ENOSPC}},
        {{SYS_write_at, .times = 1, .result = 2}, {SYS_write_at, .times = 1, .result = -EIO}, {SYS_open, .times = 0}},
        {{SYS_write_at, .times = 1, .result = 3}, {SYS_write_at, .times = 1, .result = 0}},
    };
    trace_file f;
    err e;
    CHECK(trace_file_open(&f, path, &e) == ERR_OK && put(&f, "\"one\"", NULL, &e) == ERR_OK);
    for (size_t i = 0; i < COUNTOF(faults); i++) {
        sys_fake_script(faults[i], 3);
        CHECK(put(&f, "\"two\"", "\"three\"", &e) != ERR_OK && f.fresh == 0 && f.count == 1);
        sys_fake_script(NULL, 0);
        CHECK_STR(holds(), "[\"one\"]");
    }
    buf_put_z(trace_file_value(&f), "\"a part");
    trace_file_spill(&f);
    sys_fake_script((sys_fault[]){{SYS_write_at, .times = 1, .result = -ENOSPC}}, 1);
    buf_put_z(&f.text, " and more");
    trace_file_spill(&f);
    sys_fake_script(NULL, 0);
    buf_put_z(&f.text, " and its end\"");
    CHECK(trace_file_commit(&f, &e) != ERR_OK && strstr(e.text, "No space left"));
    CHECK_STR(holds(), "[\"one\"]");
    CHECK(put(&f, "\"two\"", NULL, &e) == ERR_OK);
    CHECK_STR(holds(), "[\"one\",\"two\"]");
    trace_file_close(&f);
}

/* A disk that fails altogether: the next commit that works begins with what was whole last. */
static void what_could_not_be_taken_back_is_with_the_next(void)
{
    trace_file f;
    err e;
    CHECK(trace_file_open(&f, path, &e) == ERR_OK && put(&f, "1", NULL, &e) == ERR_OK);
    sys_fake_script((sys_fault[]){{SYS_write_at, .times = 1, .result = 4},
                                  {SYS_write_at, .times = SYS_FAKE_EVER, .result = -EIO},
                                  {SYS_truncate, .times = SYS_FAKE_EVER, .result = -EIO}}, 3);
    CHECK(put(&f, "\"a long one\"", NULL, &e) != ERR_OK);
    CHECK(put(&f, "2", NULL, &e) != ERR_OK);
    sys_fake_script(NULL, 0);
    CHECK(put(&f, "3", NULL, &e) == ERR_OK);
    CHECK_STR(holds(), "[1,3]");
    trace_file_close(&f);
}

static void what_no_memory_is_for_is_an_error(void)
{
    trace_file f;
    err e;
    static char long_text[TRACE_FILE_TEXT_MAX + 1];
    memset(long_text, '1', sizeof long_text - 1);
    CHECK(trace_file_open(&f, path, &e) == ERR_OK);
    CHECK(put(&f, long_text, NULL, &e) != ERR_OK);
    CHECK(put(&f, "7", NULL, &e) == ERR_OK);
    CHECK_STR(holds(), "[7]");
    trace_file_close(&f);
    FAULT_SWEEP({
        if (trace_file_open(&f, path, &e) == ERR_OK) {
            bool good = put(&f, "1", "2", &e) == ERR_OK;
            CHECK_STR(holds(), good ? "[1,2]" : "[]");
            trace_file_close(&f);
        }
    });
}

static void a_file_that_cannot_be_begun_is_not_left(void)
{
    trace_file f;
    err e;
    sys_fake_script((sys_fault[]){{SYS_write_at, .times = 1, .result = -ENOSPC}}, 1);
    CHECK(trace_file_open(&f, path, &e) != ERR_OK && access(path, F_OK) != 0);
    sys_fake_script(NULL, 0);
    SYS_SWEEP(-EIO, {
        if (trace_file_open(&f, path, &e) == ERR_OK) {
            (void)!put(&f, "1", "2", &e);
            trace_file_close(&f);
        }
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(it_is_whole_behind_each_commit),
        TEST(a_commit_that_fails_takes_back_what_it_wrote),
        TEST(what_could_not_be_taken_back_is_with_the_next),
        TEST(what_no_memory_is_for_is_an_error),
        TEST(a_file_that_cannot_be_begun_is_not_left),
    };
    snprintf(folder, sizeof folder, "/tmp/proa-trace-file-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/file", folder);
    int status = test_main(cases, COUNTOF(cases));
    (void)unlink(path);
    (void)rmdir(folder);
    return status;
}
