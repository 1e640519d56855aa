#include "os/proc.h"

#include "base/mem.h"
#include "os/file.h"
#include "os/sys.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

err_code proc_signals_open(const int *signals, size_t count, int *ret_fd, err *e)
{
    int64_t fd = sys_signals_open(signals, count);
    if (fd < 0) return sys_err(e, fd, "signals", "cannot watch");
    *ret_fd = (int)fd;
    return ERR_OK;
}

int proc_signal_next(int fd)
{
    struct signalfd_siginfo info;
    int64_t n = SYS_RETRY(sys_read(fd, &info, sizeof info));
    return n == (int64_t)sizeof info ? (int)info.ssi_signo : 0;
}

void proc_signals_close(int fd)
{
    if (fd >= 0) (void)sys_close(fd);
}

/* The bytes of the line "Name:   123 kB"; 0 where the kernel does not tell. */
static uint64_t kilobytes(const char *text, const char *name)
{
    const char *line = strstr(text, name);
    return line ? strtoull(line + strlen(name), NULL, 10) * 1024 : 0;
}

static err_code count_fds(uint64_t *ret, err *e)
{
    uint8_t memory[8192];
    arena a;
    arena_init(&a, memory, sizeof memory, 8u << 20);
    file_entry *entries;
    size_t count;
    err_code rc = file_list(&a, "/proc/self/fd", &entries, &count, e);
    if (rc == ERR_OK) *ret = count - 1;   /* without the one that listed them */
    arena_fini(&a);
    return rc;
}

err_code proc_usage_read(proc_usage *ret, err *e)
{
    struct rusage r = {0};
    struct rlimit l = {0};
    proc_usage u = {0};
    int64_t rc = sys_usage(&r);
    if (rc == 0) rc = sys_limit_get(RLIMIT_NOFILE, &l);
    if (rc < 0) return sys_err(e, rc, "process", "cannot tell what it uses");
    char *text = NULL;
    size_t len;
    err_code code = file_read("/proc/self/status", 1u << 20, &text, &len, e);
    if (code) return code;
    u.resident_bytes = kilobytes(text, "\nVmRSS:");
    u.resident_bytes_max = kilobytes(text, "\nVmHWM:");
    u.virtual_bytes = kilobytes(text, "\nVmSize:");
    mem_free(text);
    u.cpu_us = (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000u +
               (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
    u.switches = (uint64_t)(r.ru_nvcsw + r.ru_nivcsw);
    u.fd_count_max = (uint64_t)l.rlim_cur;
    code = count_fds(&u.fd_count, e);
    if (code) return code;
    *ret = u;
    return ERR_OK;
}

err_code proc_pss_read(uint64_t *ret_bytes, err *e)
{
    char *text = NULL;
    size_t len;
    err_code rc = file_read("/proc/self/smaps_rollup", 1u << 20, &text, &len, e);
    if (rc) return rc;
    *ret_bytes = kilobytes(text, "\nPss:");
    mem_free(text);
    return ERR_OK;
}

err_code proc_fds_raise(uint64_t *ret_max, err *e)
{
    struct rlimit l;
    int64_t rc = sys_limit_get(RLIMIT_NOFILE, &l);
    if (rc == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        rc = sys_limit_set(RLIMIT_NOFILE, &l);
    }
    if (rc < 0) return sys_err(e, rc, "process", "cannot raise the limit of open descriptors");
    *ret_max = (uint64_t)l.rlim_cur;
    return ERR_OK;
}

uint64_t proc_id(void) { return (uint64_t)sys_pid(); }

uint32_t proc_cpus(void)
{
    int64_t n = sys_cpus();
    return n < 1 ? 1 : (uint32_t)n;
}
