/* What must hold for the console: a line arrives whole through short, interrupted and delayed writes; a standard output
 * that takes nothing is an error, and so is one that is closed, whatever is opened later.  Random bytes come whole,
 * too. */
#include "fake/sys_fake.h"
#include "os/console.h"
#include "os/random.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs with standard output (or error) going into a pipe; returns what arrived. */
static size_t captured(int fd, char *ret, size_t room, const char *line)
{
    err e;
    int ends[2], kept = dup(fd);
    fflush(stdout);
    CHECK(pipe(ends) == 0 && dup2(ends[1], fd) == fd);
    close(ends[1]);
    if (fd == STDERR_FILENO)
        console_err(line, strlen(line));
    else
        CHECK(console_out(line, strlen(line), &e) == ERR_OK);
    CHECK(dup2(kept, fd) == fd);
    close(kept);
    ssize_t n = read(ends[0], ret, room);
    close(ends[0]);
    return n < 0 ? 0 : (size_t)n;
}

static void a_line_arrives_whole(void)
{
    char got[100];
    static const int fds[] = {STDOUT_FILENO, STDERR_FILENO};
    for (size_t i = 0; i < COUNTOF(fds); i++) {
        size_t n = captured(fds[i], got, sizeof got, "one line\n");
        CHECK(n == 9 && memcmp(got, "one line\n", 9) == 0);
        sys_fake_script((sys_fault[]){{SYS_write, .skip = 1, .times = 1, .result = -EINTR},
                                      {SYS_write, .skip = 1, .times = 1, .result = -EAGAIN},
                                      {SYS_write, .times = SYS_FAKE_EVER, .result = 2}}, 3);
        n = captured(fds[i], got, sizeof got, "another line\n");
        CHECK(n == 13 && memcmp(got, "another line\n", 13) == 0);
        CHECK(sys_fake_hits() == 2 + 7);
        sys_fake_script(NULL, 0);
    }
}

static void an_output_that_takes_nothing_is_an_error(void)
{
    err e;
    sys_fake_script((sys_fault[]){{SYS_write, .times = SYS_FAKE_EVER, .result = -ENOSPC}}, 1);
    CHECK(console_out("x", 1, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "standard output: cannot write: No space left on device");
    CHECK(console_err_all("x", 1, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "standard error: cannot write: No space left on device");
    console_err("x", 1);
    sys_fake_script(NULL, 0);
}

/* In a process of its own, which then lacks those of 0..2 whose bit is set. */
static void held_with(unsigned closed)
{
    err e;
    pid_t child = fork();
    if (child == 0) {
        bool ok = true;
        char byte;
        for (int fd = 0; fd < 3; fd++)
            if (closed >> fd & 1) close(fd);
        ok = ok && console_hold(&e) == ERR_OK;
        for (int fd = 0; fd < 3; fd++) ok = ok && fcntl(fd, F_GETFL) >= 0;
        int next = open("/dev/null", O_RDWR);
        ok = ok && next > 2;
        if (closed & 1) ok = ok && read(0, &byte, 1) == 0;
        if (closed & 2) ok = ok && console_out("x", 1, &e) != ERR_OK && strstr(e.text, "Bad file descriptor");
        if (closed & 4) ok = ok && console_err_all("x", 1, &e) != ERR_OK && strstr(e.text, "Bad file descriptor");
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

static void what_is_closed_of_the_first_three_is_held(void)
{
    err e;
    for (unsigned closed = 0; closed < 8; closed++) held_with(closed);
    CHECK(console_hold(&e) == ERR_OK);   /* nothing is closed: nothing is opened */
    sys_fake_script((sys_fault[]){{SYS_open_flags, .times = 1, .result = -EBADF},
                                  {SYS_open, .times = 1, .result = -ENOENT}}, 2);
    CHECK(console_hold(&e) == ERR_NOT_FOUND);
    CHECK_STR(e.text, "/dev/null: cannot open: No such file or directory");
    sys_fake_script(NULL, 0);
}

static void random_bytes_come_whole_or_not_at_all(void)
{
    err e;
    uint8_t a[300] = {0}, b[300] = {0};
    uint64_t value = 7;
    sys_fake_script((sys_fault[]){{SYS_random, .times = 2, .result = -EINTR}}, 1);
    CHECK(random_bytes(a, sizeof a, &e) == ERR_OK && random_bytes(b, sizeof b, &e) == ERR_OK);
    CHECK(memcmp(a, b, sizeof a) != 0);
    sys_fake_script((sys_fault[]){{SYS_random, .times = 1, .result = -ENOSYS}}, 1);
    CHECK(random_u64(&value, &e) == ERR_UNSUPPORTED && value == 7);
    CHECK_STR(e.text, "random: cannot read random bytes: Function not implemented");
    sys_fake_script(NULL, 0);
    CHECK(random_u64(&value, &e) == ERR_OK && value != 7);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_line_arrives_whole),
        TEST(an_output_that_takes_nothing_is_an_error),
        TEST(what_is_closed_of_the_first_three_is_held),
        TEST(random_bytes_come_whole_or_not_at_all),
    };
    return test_main(cases, COUNTOF(cases));
}
