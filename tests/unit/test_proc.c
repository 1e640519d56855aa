/* What must hold for the process: signals that are watched arrive at their descriptor and nowhere else; usage is told
 * in the right units; limits that cannot be raised are an error, not a crash. */
#include "fake/sys_fake.h"
#include "os/proc.h"

#include <signal.h>

static void watched_signals_arrive_at_the_descriptor(void)
{
    err e;
    int fd;
    static const int watched[] = {SIGTERM, SIGHUP};
    CHECK(proc_signals_open(watched, COUNTOF(watched), &fd, &e) == ERR_OK);
    CHECK_U64((uint64_t)proc_signal_next(fd), 0);
    raise(SIGTERM);   /* would end the test if it were not blocked */
    raise(SIGHUP);
    sys_fake_script((sys_fault[]){{SYS_read, .times = 1, .result = -EINTR}}, 1);
    int a = proc_signal_next(fd), b = proc_signal_next(fd);
    sys_fake_script(NULL, 0);
    CHECK((a == SIGTERM && b == SIGHUP) || (a == SIGHUP && b == SIGTERM));
    CHECK_U64((uint64_t)proc_signal_next(fd), 0);
    proc_signals_close(fd);
    CHECK(proc_signals_open((int[]){9999}, 1, &fd, &e) == ERR_INVALID);
    CHECK_STR(e.text, "signals: cannot watch: Invalid argument");
}

static void usage_is_plausible(void)
{
    err e;
    proc_usage u;
    uint64_t pss;
    CHECK(proc_usage_read(&u, &e) == ERR_OK);
    CHECK(u.resident_bytes > 100000 && u.resident_bytes <= u.resident_bytes_max);
    CHECK(u.resident_bytes < u.virtual_bytes);
    CHECK_U64(u.fd_count + 3, (uint64_t)sys_fake_fds());   /* that one counts ".", ".." and itself */
    CHECK(u.fd_count_max >= u.fd_count);
    CHECK(proc_pss_read(&pss, &e) == ERR_OK && pss > 50000 && pss <= u.resident_bytes_max + (1 << 20));
    CHECK(proc_cpus() >= 1);
}

static void no_failure_leaks(void)
{
    err e;
    SYS_SWEEP(-EIO, {
        proc_usage u;
        (void)!proc_usage_read(&u, &e);
    });
    FAULT_SWEEP({
        proc_usage u;
        err_code rc = proc_usage_read(&u, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
    });
}

static void the_limit_of_descriptors_is_raised_or_the_reason_told(void)
{
    err e;
    uint64_t max = 0;
    CHECK(proc_fds_raise(&max, &e) == ERR_OK && max >= 256);
    sys_fake_script((sys_fault[]){{SYS_limit_get, .times = 1, .result = -EPERM}}, 1);
    CHECK(proc_fds_raise(&max, &e) == ERR_INVALID);
    CHECK_STR(e.text, "process: cannot raise the limit of open descriptors: Operation not permitted");
    sys_fake_script(NULL, 0);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(watched_signals_arrive_at_the_descriptor),
        TEST(usage_is_plausible),
        TEST(no_failure_leaks),
        TEST(the_limit_of_descriptors_is_raised_or_the_reason_told),
    };
    return test_main(cases, COUNTOF(cases));
}
