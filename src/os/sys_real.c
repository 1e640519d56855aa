#include "os/sys.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static int64_t result(int64_t rc) { return rc < 0 ? -errno : rc; }

err_code (sys_err)(err *e, int64_t rc, const char *where, const char *what)
{
    static const struct { int number; err_code code; } rows[] = {
        {ENOENT, ERR_NOT_FOUND},   {ENOTDIR, ERR_NOT_FOUND},   {EACCES, ERR_INVALID},      {EPERM, ERR_INVALID},
        {EISDIR, ERR_INVALID},     {ELOOP, ERR_INVALID},       {ENAMETOOLONG, ERR_INVALID}, {EINVAL, ERR_INVALID},
        {EXDEV, ERR_INVALID},      {EADDRINUSE, ERR_CONFLICT}, {EEXIST, ERR_CONFLICT},     {EADDRNOTAVAIL, ERR_INVALID},
        {EMFILE, ERR_LIMIT},       {ENFILE, ERR_LIMIT},        {EAGAIN, ERR_LIMIT},        {ENOSPC, ERR_LIMIT},
        {ENOMEM, ERR_NOMEM},       {ENOBUFS, ERR_NOMEM},       {EFBIG, ERR_TOO_LARGE},     {ENOSYS, ERR_UNSUPPORTED},
        {EHOSTUNREACH, ERR_UNAVAILABLE}, {ENETUNREACH, ERR_UNAVAILABLE},
        {ECONNREFUSED, ERR_UNAVAILABLE}, {ECONNRESET, ERR_UNAVAILABLE}, {ETIMEDOUT, ERR_TIMEOUT},
    };
    INVARIANT(rc < 0);
    int number = (int)-rc;
    err_code code = ERR_INTERNAL;
    for (size_t i = 0; i < COUNTOF(rows); i++)
        if (rows[i].number == number) code = rows[i].code;
    char text[100];   /* strerror_r is told apart from the POSIX one by _GNU_SOURCE: it returns the text */
    return err_set(e, code, "%s: %s: %s", where, what, strerror_r(number, text, sizeof text));
}

int64_t sys_real_open(int folder, const char *path, int flags, uint32_t mode)
{
    return result(openat(folder, path, flags | O_CLOEXEC, mode));
}

int64_t sys_real_open_beneath(int folder, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)((uint32_t)flags | O_CLOEXEC), .resolve = RESOLVE_BENEATH};
    return result(syscall(SYS_openat2, folder, path, &how, sizeof how));
}

int64_t sys_real_close(int fd) { return result(close(fd)); }
int64_t sys_real_read(int fd, void *p, size_t n) { return result(read(fd, p, n)); }
int64_t sys_real_write(int fd, const void *p, size_t n) { return result(write(fd, p, n)); }
int64_t sys_real_read_at(int fd, void *p, size_t n, uint64_t at) { return result(pread(fd, p, n, (off_t)at)); }
int64_t sys_real_write_at(int fd, const void *p, size_t n, uint64_t at)
{
    return result(pwrite(fd, p, n, (off_t)at));
}

int64_t sys_real_wait_writable(int fd, int ms)
{
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    return result(poll(&one, 1, ms));
}

int64_t sys_real_stat_fd(int fd, struct stat *ret) { return result(fstat(fd, ret)); }
int64_t sys_real_open_flags(int fd) { return result(fcntl(fd, F_GETFL)); }
int64_t sys_real_sync(int fd) { return result(fsync(fd)); }
int64_t sys_real_sync_data(int fd) { return result(fdatasync(fd)); }
int64_t sys_real_make_folder(const char *path, uint32_t mode) { return result(mkdir(path, mode)); }
int64_t sys_real_hold(int fd) { return result(flock(fd, LOCK_EX | LOCK_NB)); }
int64_t sys_real_truncate(int fd, uint64_t n) { return result(ftruncate(fd, (off_t)n)); }
int64_t sys_real_rename(const char *from, const char *to) { return result(rename(from, to)); }
int64_t sys_real_chmod(const char *path, uint32_t mode) { return result(chmod(path, mode)); }
int64_t sys_real_chmod_fd(int fd, uint32_t mode) { return result(fchmod(fd, mode)); }
int64_t sys_real_unlink(const char *path) { return result(unlink(path)); }
int64_t sys_real_read_link(const char *path, char *p, size_t n) { return result(readlink(path, p, n)); }
int64_t sys_real_list(int fd, void *p, size_t n) { return result(syscall(SYS_getdents64, fd, p, n)); }

int64_t sys_real_stat_at(int folder, const char *path, struct stat *ret)
{
    return result(fstatat(folder, path, ret, 0));
}

int64_t sys_real_block(int fd)   /* makes a descriptor that was opened with O_NONBLOCK wait */
{
    int flags = fcntl(fd, F_GETFL);
    return result(flags < 0 ? flags : fcntl(fd, F_SETFL, flags & ~O_NONBLOCK));
}

int64_t sys_real_map(int fd, size_t n, void **ret)
{
    void *p = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) return -errno;
    *ret = p;
    return 0;
}

int64_t sys_real_unmap(void *p, size_t n) { return result(munmap(p, n)); }

int64_t sys_real_clock_ns(int which, uint64_t *ret)
{
    struct timespec t;
    if (clock_gettime(which, &t) < 0) return -errno;
    *ret = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    return 0;
}

int64_t sys_real_socket(int family, int kind)
{
    return result(socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

int64_t sys_real_adopt(int fd)   /* a descriptor that this program did not open, made as if it had */
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;
    return result(fcntl(fd, F_SETFD, FD_CLOEXEC));
}

int64_t sys_real_bind(int fd, const void *addr, uint32_t len) { return result(bind(fd, addr, len)); }
int64_t sys_real_listen(int fd, int backlog) { return result(listen(fd, backlog)); }
int64_t sys_real_connect(int fd, const void *addr, uint32_t len) { return result(connect(fd, addr, len)); }

/* Receiving and sending go to the kernel directly: the C library makes each a point where a thread may be cancelled,
 * two atomic exchanges for what nobody does here. */
int64_t sys_real_recv(int fd, const struct iovec *v, size_t count)
{
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = count};
    if (count == 1) return result(syscall(SYS_recvfrom, fd, v->iov_base, v->iov_len, 0, NULL, NULL));
    return result(syscall(SYS_recvmsg, fd, &m, 0));
}

int64_t sys_real_shutdown(int fd, int how) { return result(shutdown(fd, how)); }
int64_t sys_real_local_addr(int fd, void *ret_addr, uint32_t *len) { return result(getsockname(fd, ret_addr, len)); }

int64_t sys_real_accept(int fd, void *ret_addr, uint32_t *len)
{
    return result(accept4(fd, ret_addr, len, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

int64_t sys_real_send(int fd, const struct iovec *v, size_t count)
{
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = count};
    const int flags = MSG_NOSIGNAL;   /* a vanished peer is an error of this call, not a signal */
    if (count == 1) return result(syscall(SYS_sendto, fd, v->iov_base, v->iov_len, flags, NULL, 0));
    return result(syscall(SYS_sendmsg, fd, &m, flags));
}

int64_t sys_real_send_to(int fd, const void *p, size_t n, const void *addr, uint32_t len)
{
    return result(sendto(fd, p, n, MSG_NOSIGNAL, addr, len));
}

int64_t sys_real_option_set(int fd, int level, int name, int value)
{
    return result(setsockopt(fd, level, name, &value, sizeof value));
}

int64_t sys_real_option_get(int fd, int level, int name, int *ret)
{
    socklen_t len = sizeof *ret;
    return result(getsockopt(fd, level, name, ret, &len));
}

int64_t sys_real_linger_none(int fd)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    return result(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none));
}

int64_t sys_real_resolve(const char *host, const char *port, void **ret_list)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    switch (getaddrinfo(host, port, &hints, &list)) {   /* its numbers are none of errno's */
    case 0: *ret_list = list; return 0;
    case EAI_NONAME: case EAI_NODATA: case EAI_FAIL: case EAI_ADDRFAMILY: return -ENOENT;
    case EAI_AGAIN: return -EAGAIN;
    case EAI_MEMORY: return -ENOMEM;
    case EAI_SYSTEM: return -errno;
    default: return -EINVAL;
    }
}

int64_t sys_real_term_get(int fd, struct termios *ret) { return result(tcgetattr(fd, ret)); }
int64_t sys_real_term_set(int fd, const struct termios *to) { return result(tcsetattr(fd, TCSADRAIN, to)); }

int64_t sys_real_term_size(int fd, uint32_t *ret_columns, uint32_t *ret_rows)
{
    struct winsize w;
    if (ioctl(fd, TIOCGWINSZ, &w) < 0) return -errno;
    *ret_columns = w.ws_col;
    *ret_rows = w.ws_row;
    return 0;
}

int64_t sys_real_poll_open(void) { return result(epoll_create1(EPOLL_CLOEXEC)); }

static int64_t poll_set(int poll, int op, int fd, uint32_t events, void *owner)
{
    struct epoll_event event = {.events = events, .data.ptr = owner};
    return result(epoll_ctl(poll, op, fd, &event));
}

int64_t sys_real_poll_add(int poll, int fd, uint32_t events, void *owner)
{
    return poll_set(poll, EPOLL_CTL_ADD, fd, events, owner);
}

int64_t sys_real_poll_change(int poll, int fd, uint32_t events, void *owner)
{
    return poll_set(poll, EPOLL_CTL_MOD, fd, events, owner);
}

int64_t sys_real_poll_del(int poll, int fd) { return poll_set(poll, EPOLL_CTL_DEL, fd, 0, NULL); }

int64_t sys_real_poll_wait_ms(int poll, struct epoll_event *ret, int max, int ms)
{
    return result(epoll_wait(poll, ret, max, ms));
}

int64_t sys_real_poll_wait_ns(int poll, struct epoll_event *ret, int max, uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    return result(syscall(SYS_epoll_pwait2, poll, ret, max, &t, NULL, 0));
}

int64_t sys_real_watch_open(void) { return result(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)); }

int64_t sys_real_watch_add(int fd, const char *folder, uint32_t what)
{
    return result(inotify_add_watch(fd, folder, what));
}

int64_t sys_real_event_open(void) { return result(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)); }

int64_t sys_real_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    struct timespec t = {.tv_sec = (time_t)(deadline_ns / 1000000000u), .tv_nsec = (long)(deadline_ns % 1000000000u)};
    return result(syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, deadline_ns == UINT64_MAX ? NULL : &t,
                          NULL, FUTEX_BITSET_MATCH_ANY));
}

int64_t sys_real_futex_wake(_Atomic uint32_t *word, uint32_t count)
{
    return result(syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count > INT_MAX ? INT_MAX : count, NULL, NULL, 0));
}

int64_t sys_real_thread_start(pthread_t *ret, void *(*run)(void *), void *ctx)
{
    return -pthread_create(ret, NULL, run, ctx);
}

int64_t sys_real_thread_join(pthread_t id) { return -pthread_join(id, NULL); }
int64_t sys_real_thread_leave(pthread_t id) { return -pthread_detach(id); }

int64_t sys_real_thread_yield(void) { return result(sched_yield()); }

/* sched_setattr(2), struct sched_attr in its first size: not all C libraries have it. */
int64_t sys_real_thread_slice(uint64_t ns)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } a = {.size = 0};
    int64_t rc = result(syscall(SYS_sched_getattr, 0, &a, sizeof a, 0));
    if (rc < 0 || a.policy != SCHED_OTHER || a.runtime == ns) return rc;
    a.size = sizeof a;
    a.flags = a.deadline = a.period = 0;
    a.runtime = ns;
    return result(syscall(SYS_sched_setattr, 0, &a, 0));
}

int64_t sys_real_signals_open(const int *signals, size_t count)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < count; i++)
        if (sigaddset(&set, signals[i]) < 0) return -errno;
    int rc = pthread_sigmask(SIG_BLOCK, &set, NULL);
    return rc ? -rc : result(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
}

int64_t sys_real_wait_readable(int fd, int ms)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    return result(poll(&one, 1, ms));
}

int64_t sys_real_peer_user(int fd, uint32_t *ret)
{
    struct ucred who;
    socklen_t len = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0) return -errno;
    *ret = who.uid;
    return 0;
}

/* Room for SOCK_PASS_FDS_MAX descriptors, aligned as a control message must be. */
typedef union {
    struct cmsghdr head;
    uint8_t bytes[CMSG_SPACE(64 * sizeof(int))];
} fd_room;

int64_t sys_real_send_fds(int fd, const void *p, size_t n, const int *fds, size_t count)
{
    fd_room room = {.bytes = {0}};
    struct iovec v = {(void *)(uintptr_t)p, n};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    if (CMSG_SPACE(count * sizeof(int)) > sizeof room) return -EINVAL;
    if (count) {
        m.msg_control = room.bytes;
        m.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *head = &room.head;   /* CMSG_FIRSTHDR(), which gcc takes for NULL */
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(head), fds, count * sizeof(int));
    }
    return result(sendmsg(fd, &m, MSG_NOSIGNAL));
}

/* *count: the room in fds[], then how many came.  What did not fit, bytes or descriptors, is -EMSGSIZE. */
int64_t sys_real_recv_fds(int fd, void *p, size_t n, int *fds, size_t *count)
{
    fd_room room = {.bytes = {0}};
    struct iovec v = {p, n};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = sizeof room};
    size_t most = *count, got = 0;
    ssize_t rc = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    if (rc < 0) return -errno;
    bool cut = m.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&m); head; head = CMSG_NXTHDR(&m, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
        size_t here = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++) {
            int one;
            memcpy(&one, CMSG_DATA(head) + i * sizeof one, sizeof one);
            cut |= got == most;
            if (got < most) fds[got++] = one;
            else close(one);
        }
    }
    for (size_t i = 0; cut && i < got; i++) close(fds[i]);
    *count = cut ? 0 : got;
    return cut ? -EMSGSIZE : rc;
}

int64_t sys_real_user(void) { return geteuid(); }
int64_t sys_real_pid(void) { return getpid(); }

int64_t sys_real_cpus(void)
{
    /* The kernel refuses a mask that is too small for its CPUs; 64 Ki bits is its largest configuration. */
    static const size_t bytes = 8192;
    union { cpu_set_t set; uint8_t bytes[8192]; } mask;
    memset(&mask, 0, sizeof mask);
    if (sched_getaffinity(0, bytes, &mask.set) < 0) return -errno;
    return CPU_COUNT_S(bytes, &mask.set);
}

int64_t sys_real_usage(struct rusage *ret) { return result(getrusage(RUSAGE_SELF, ret)); }
int64_t sys_real_limit_get(int which, struct rlimit *ret) { return result(getrlimit((__rlimit_resource_t)which, ret)); }
int64_t sys_real_random(void *p, size_t n) { return result(getrandom(p, n, 0)); }

int64_t sys_real_limit_set(int which, const struct rlimit *value)
{
    return result(setrlimit((__rlimit_resource_t)which, value));
}

int64_t sys_real_lib_open(const char *name, void **ret)
{
    void *lib = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!lib) return -ENOENT;
    *ret = lib;
    return 0;
}

int64_t sys_real_lib_find(void *lib, const char *symbol, void **ret)
{
    void *p = dlsym(lib, symbol);
    if (!p) return -ENOENT;
    *ret = p;
    return 0;
}
