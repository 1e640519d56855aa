/* notify.h - a datagram to the service manager that started this process: sd_notify(3) without its library.
 *
 * Nobody to tell is no error, and costs nothing.  A manager whose queue is full is waited for, NOTIFY_WAIT_MS at most;
 * then, and when it is gone, the message is lost, which the caller is told. */
#ifndef OS_NOTIFY_H
#define OS_NOTIFY_H
#include "os/sock.h"

enum { NOTIFY_WAIT_MS = 500 };

typedef struct {
    /* private */
    bool heard;            /* there is somebody to tell */
    int fd;
    sock_addr to;
} notify;

/* `address` as NOTIFY_SOCKET holds it: "/path" or "@name"; NULL or "" = nobody. */
err_code notify_open(notify *ret, const char *address, err *e) MUST_USE;
void notify_close(notify *n);
err_code notify_send(const notify *n, const char *lines, err *e) MUST_USE;   /* "READY=1\nSTATUS=up" */

#endif
