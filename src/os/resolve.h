/* resolve.h - names to addresses.
 *
 * Numeric addresses need no resolver.  A name is looked up with getaddrinfo(), which blocks for as long as
 * /etc/resolv.conf lets it and takes no deadline: not for loops.  The order is the system's (RFC 6724). */
#ifndef OS_RESOLVE_H
#define OS_RESOLVE_H
#include "os/sock.h"

enum { RESOLVE_MAX = 8 };   /* more addresses of one name are not tried */

typedef struct {
    sock_addr at[RESOLVE_MAX];
    size_t count;               /* > 0 */
} resolved;

err_code resolve_host(const char *host, uint16_t port, resolved *ret, err *e) MUST_USE;

#endif
