/* sys.h - the system calls of the whole tree, one function each, for the other files of os/ only.
 *
 * Each returns its value, or -errno; none retries.  The table makes three things:
 *   sys_x()        what os/ calls; sys.c passes it on to sys_real_x()
 *   sys_real_x()   the kernel's (sys_real.c)
 *   SYS_x          its name in a script of faults
 * A test that uses tests/fake links other sys_x(), which fail, interrupt or shorten calls by script: the
 * linker takes tests/fake/sys_fake.o and so never looks for sys.o.  Nothing in the product knows of it. */
#ifndef OS_SYS_H
#define OS_SYS_H
#include "base/err.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

struct termios;   /* its header has macros of short names */

/* They move bytes: a script may shorten them.  And close(), which closes even when it reports a failure. */
#define SYS_MOVES(X)                                                                                             \
    X(close, (int fd), (fd))                                                                                     \
    X(read, (int fd, void *p, size_t n), (fd, p, n))                                                             \
    X(write, (int fd, const void *p, size_t n), (fd, p, n))                                                      \
    X(write_at, (int fd, const void *p, size_t n, uint64_t at), (fd, p, n, at))                                  \
    X(recv, (int fd, const struct iovec *v, size_t count), (fd, v, count))                                       \
    X(send, (int fd, const struct iovec *v, size_t count), (fd, v, count))
/* They read a clock or wait for it: a test may own the time. */
#define SYS_TIMES(X)                                                                                             \
    X(clock_ns, (int which, uint64_t *ret), (which, ret))                                                        \
    X(poll_wait_ms, (int poll, struct epoll_event *ret, int max, int ms), (poll, ret, max, ms))                  \
    X(poll_wait_ns, (int poll, struct epoll_event *ret, int max, uint64_t ns), (poll, ret, max, ns))             \
    X(futex_wait, (_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns), (word, expected, deadline_ns))
/* They make durable what was written: a test may ask which file it was. */
#define SYS_SYNCS(X)                                                                                             \
    X(sync, (int fd), (fd))                                                                                      \
    X(sync_data, (int fd), (fd))
/* The others. */
#define SYS_PLAIN(X)                                                                                             \
    X(open, (int folder, const char *path, int flags, uint32_t mode), (folder, path, flags, mode))               \
    X(open_beneath, (int folder, const char *path, int flags), (folder, path, flags))                            \
    X(read_at, (int fd, void *p, size_t n, uint64_t at), (fd, p, n, at))                                         \
    X(wait_writable, (int fd, int ms), (fd, ms))                                                                 \
    X(stat_fd, (int fd, struct stat *ret), (fd, ret))                                                            \
    X(open_flags, (int fd), (fd))                                                                                \
    X(stat_at, (int folder, const char *path, struct stat *ret), (folder, path, ret))                            \
    X(block, (int fd), (fd))                                                                                     \
    X(truncate, (int fd, uint64_t n), (fd, n))                                                                   \
    X(rename, (const char *from, const char *to), (from, to))                                                    \
    X(unlink, (const char *path), (path))                                                                        \
    X(make_folder, (const char *path, uint32_t mode), (path, mode))                                              \
    X(hold, (int fd), (fd))                                                                                      \
    X(read_link, (const char *path, char *p, size_t n), (path, p, n))                                            \
    X(list, (int fd, void *p, size_t n), (fd, p, n))                                                             \
    X(map, (int fd, size_t n, void **ret), (fd, n, ret))                                                         \
    X(unmap, (void *p, size_t n), (p, n))                                                                        \
    X(chmod, (const char *path, uint32_t mode), (path, mode))                                                    \
    X(chmod_fd, (int fd, uint32_t mode), (fd, mode))                                                             \
    X(adopt, (int fd), (fd))                                                                                     \
    X(socket, (int family, int kind), (family, kind))                                                            \
    X(bind, (int fd, const void *addr, uint32_t len), (fd, addr, len))                                           \
    X(listen, (int fd, int backlog), (fd, backlog))                                                              \
    X(accept, (int fd, void *ret_addr, uint32_t *len), (fd, ret_addr, len))                                      \
    X(connect, (int fd, const void *addr, uint32_t len), (fd, addr, len))                                        \
    X(send_to, (int fd, const void *p, size_t n, const void *addr, uint32_t len), (fd, p, n, addr, len))         \
    X(shutdown, (int fd, int how), (fd, how))                                                                    \
    X(option_set, (int fd, int level, int name, int value), (fd, level, name, value))                            \
    X(option_get, (int fd, int level, int name, int *ret), (fd, level, name, ret))                               \
    X(linger_none, (int fd), (fd))                                                                               \
    X(local_addr, (int fd, void *ret_addr, uint32_t *len), (fd, ret_addr, len))                                  \
    X(resolve, (const char *host, const char *port, void **ret_list), (host, port, ret_list))                     \
    X(term_get, (int fd, struct termios *ret), (fd, ret))                                                        \
    X(term_set, (int fd, const struct termios *to), (fd, to))                                                    \
    X(term_size, (int fd, uint32_t *ret_columns, uint32_t *ret_rows), (fd, ret_columns, ret_rows))               \
    X(poll_open, (void), ())                                                                                     \
    X(poll_add, (int poll, int fd, uint32_t events, void *owner), (poll, fd, events, owner))                     \
    X(poll_change, (int poll, int fd, uint32_t events, void *owner), (poll, fd, events, owner))                  \
    X(poll_del, (int poll, int fd), (poll, fd))                                                                  \
    X(watch_open, (void), ())                                                                                    \
    X(watch_add, (int fd, const char *folder, uint32_t what), (fd, folder, what))                                \
    X(event_open, (void), ())                                                                                    \
    X(futex_wake, (_Atomic uint32_t *word, uint32_t count), (word, count))                                       \
    X(thread_start, (pthread_t *ret, void *(*run)(void *), void *ctx), (ret, run, ctx))                          \
    X(thread_join, (pthread_t id), (id))                                                                         \
    X(thread_leave, (pthread_t id), (id))                                                                        \
    X(thread_yield, (void), ())                                                                                  \
    X(thread_slice, (uint64_t ns), (ns))                                                                         \
    X(signals_open, (const int *signals, size_t count), (signals, count))                                        \
    X(send_fds, (int fd, const void *p, size_t n, const int *fds, size_t count), (fd, p, n, fds, count))         \
    X(recv_fds, (int fd, void *p, size_t n, int *fds, size_t *count), (fd, p, n, fds, count))                    \
    X(peer_user, (int fd, uint32_t *ret), (fd, ret))                                                             \
    X(wait_readable, (int fd, int ms), (fd, ms))                                                                 \
    X(user, (void), ())                                                                                          \
    X(pid, (void), ())                                                                                           \
    X(cpus, (void), ())                                                                                          \
    X(usage, (struct rusage *ret), (ret))                                                                        \
    X(limit_get, (int which, struct rlimit *ret), (which, ret))                                                  \
    X(limit_set, (int which, const struct rlimit *value), (which, value))                                        \
    X(random, (void *p, size_t n), (p, n))                                                                       \
    X(lib_open, (const char *name, void **ret), (name, ret))                                                     \
    X(lib_find, (void *lib, const char *symbol, void **ret), (lib, symbol, ret))
#define SYS_TABLE(X) SYS_MOVES(X) SYS_TIMES(X) SYS_SYNCS(X) SYS_PLAIN(X)

typedef enum {
#define X(name, params, args) SYS_##name,
    SYS_TABLE(X)
#undef X
    SYS_CALLS
} sys_call;

#define X(name, params, args) int64_t sys_##name params; int64_t sys_real_##name params;
SYS_TABLE(X)
#undef X

/* Repeats a call that a signal interrupted. */
#define SYS_RETRY(call) __extension__({ int64_t rc_; do rc_ = (call); while (rc_ == -EINTR); rc_; })

/* rc is a negative result; the text becomes "where: what: No such file or directory". */
err_code sys_err(err *e, int64_t rc, const char *where, const char *what);
#define sys_err(...) ERR_FAILED(sys_err(__VA_ARGS__))

#endif
