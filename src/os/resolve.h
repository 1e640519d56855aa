/* resolve.h - names to addresses, without waiting longer than one wants to.
 *
 * getaddrinfo() blocks for as long as /etc/resolv.conf lets it and takes no deadline, so a look-up has a thread of its
 * own: its owner waits for resolve_fd() in a poll, and may give it up at any time.  What is given up ends by itself,
 * with all that it has; RESOLVE_LEFT_MAX of those may hang at once, then the next one is refused.  Numeric addresses
 * need none of this.  The order of the addresses is the system's (RFC 6724). */
#ifndef OS_RESOLVE_H
#define OS_RESOLVE_H
#include "os/sock.h"

enum {
    RESOLVE_MAX = 8,            /* more addresses of one name are not tried */
    RESOLVE_HOST_MAX = 255,
    RESOLVE_LEFT_MAX = 8        /* threads that a resolver without answers may hold on to */
};

typedef struct {
    sock_addr at[RESOLVE_MAX];
    size_t count;               /* > 0 */
} resolved;

typedef struct resolve resolve;

bool resolve_numeric(const char *host, uint16_t port, resolved *ret) MUST_USE;   /* false = it is a name */
err_code resolve_start(resolve **ret, const char *host, uint16_t port, err *e) MUST_USE;
int resolve_fd(const resolve *r);   /* can be read when the look-up is over */
err_code resolve_result(const resolve *r, resolved *ret, err *e) MUST_USE;   /* it is over */
void resolve_free(resolve *r);      /* over or not */

#endif
