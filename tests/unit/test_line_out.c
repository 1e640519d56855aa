/* A line goes whole or not at all, nothing waits for a reader, and a reader that is gone is an error of its own. */
#include "fake/sys_fake.h"
#include "os/line_out.h"
#include "test.h"

#include <signal.h>
#include <unistd.h>

static void only_an_open_descriptor_is_taken(void)
{
    err e;
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(line_out_check(ends[1], &e) == ERR_OK);
    close(ends[1]);
    CHECK(line_out_check(ends[1], &e) == ERR_INVALID);
    CHECK(strstr(e.text, "expected an open descriptor, got '") != NULL);
    CHECK(line_out_check(ends[0], &e) == ERR_INVALID);
    CHECK(strstr(e.text, "expected a descriptor that can be written to, got '") != NULL);
    close(ends[0]);
}

static void lines_arrive_in_their_order(void)
{
    char got[40] = {0};
    err e;
    int ends[2];
    CHECK(pipe(ends) == 0);
    sys_fake_script((sys_fault[]){{SYS_wait_writable, .times = 1, .result = -EINTR},
                                  {SYS_write, .times = 1, .result = -EINTR}}, 2);
    CHECK(line_out_put(ends[1], "one\n", 4, &e) == ERR_OK);
    CHECK(line_out_put(ends[1], "two\n", 4, &e) == ERR_OK);
    CHECK_U64(sys_fake_hits(), 2);
    sys_fake_script(NULL, 0);
    CHECK(read(ends[0], got, sizeof got) == 8);
    CHECK_STR(got, "one\ntwo\n");
    close(ends[0]);
    close(ends[1]);
}

static void a_pipe_that_nobody_reads_holds_nobody_up(void)
{
    static char line[LINE_OUT_BYTES_MAX];
    err e;
    int ends[2];
    CHECK(pipe(ends) == 0);
    err_code rc = ERR_OK;
    for (int i = 0; i < 1000 && rc == ERR_OK; i++) rc = line_out_put(ends[1], line, sizeof line, &e);
    CHECK(rc == ERR_LIMIT);
    CHECK(strstr(e.text, ": cannot write: nobody reads what is there") != NULL);
    sys_fake_script((sys_fault[]){{SYS_wait_writable, .times = 1, .result = 1},
                                  {SYS_write, .times = 1, .result = -EAGAIN}}, 2);
    CHECK(line_out_put(ends[1], line, 1, &e) == ERR_LIMIT);
    sys_fake_script(NULL, 0);
    close(ends[0]);
    close(ends[1]);
}

static void a_reader_that_is_gone_is_an_error(void)
{
    char want[80];
    err e;
    int ends[2];
    CHECK(pipe(ends) == 0);
    close(ends[0]);
    CHECK(line_out_put(ends[1], "x\n", 2, &e) != ERR_OK && e.code != ERR_LIMIT);
    snprintf(want, sizeof want, "descriptor %d: cannot write: Broken pipe", ends[1]);
    CHECK_STR(e.text, want);
    sys_fake_script((sys_fault[]){{SYS_write, .times = 1, .result = 1}}, 1);
    close(ends[1]);
    CHECK(pipe(ends) == 0);
    CHECK(line_out_put(ends[1], "half\n", 5, &e) == ERR_INTERNAL);
    snprintf(want, sizeof want, "descriptor %d: cannot write: 1 of 5 bytes went", ends[1]);
    CHECK_STR(e.text, want);
    sys_fake_script(NULL, 0);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(only_an_open_descriptor_is_taken),
        TEST(lines_arrive_in_their_order),
        TEST(a_pipe_that_nobody_reads_holds_nobody_up),
        TEST(a_reader_that_is_gone_is_an_error),
    };
    signal(SIGPIPE, SIG_IGN);
    return test_main(cases, COUNTOF(cases));
}
