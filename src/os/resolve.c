#include "os/resolve.h"

#include "os/sys.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

static err_code fail(err *e, int64_t rc, const char *host)
{
    if (rc == -ENOENT) return err_set(e, ERR_NOT_FOUND, "%s: no such host", host);
    if (rc == -EAGAIN) return err_set(e, ERR_UNAVAILABLE, "%s: cannot resolve: no name server answers", host);
    return sys_err(e, rc, host, "cannot resolve");
}

err_code resolve_host(const char *host, uint16_t port, resolved *ret, err *e)
{
    err none;
    resolved all = {.count = 1};
    if (sock_addr_parse(&all.at[0], host, port, &none) == ERR_OK) {
        *ret = all;
        return ERR_OK;
    }
    char service[8];
    void *list = NULL;
    snprintf(service, sizeof service, "%u", (unsigned)port);
    int64_t rc = SYS_RETRY(sys_resolve(host, service, &list));
    if (rc < 0) return fail(e, rc, host);
    all.count = 0;
    for (const struct addrinfo *i = list; i && all.count < RESOLVE_MAX; i = i->ai_next) {
        sock_addr *a = &all.at[all.count];
        if (i->ai_addrlen > sizeof a->to) continue;
        memcpy(&a->to, i->ai_addr, i->ai_addrlen);
        a->len = i->ai_addrlen;
        all.count++;
    }
    freeaddrinfo(list);
    if (all.count == 0) return fail(e, -ENOENT, host);
    *ret = all;
    return ERR_OK;
}
