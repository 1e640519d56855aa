#include "os/resolve.h"

#include "base/mem.h"
#include "os/bell.h"
#include "os/sys.h"
#include "os/thread.h"

#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* UNDER_WAY -> OVER, by the thread; -> LEFT, by the owner.  Whoever comes second frees it. */
enum { UNDER_WAY, OVER, LEFT };

struct resolve {
    thread runs;
    int bell;
    _Atomic int state;
    int64_t rc;
    void *list;                 /* of struct addrinfo */
    char host[RESOLVE_HOST_MAX + 1], service[8];
};

static _Atomic uint32_t left;   /* threads that were given up and have not ended */

static void destroy(resolve *r)
{
    if (r->list) freeaddrinfo(r->list);
    bell_close(r->bell);
    mem_free(r);
}

static void look_up(void *ctx)
{
    resolve *r = ctx;
    r->rc = SYS_RETRY(sys_resolve(r->host, r->service, &r->list));
    int expected = UNDER_WAY;
    if (atomic_compare_exchange_strong(&r->state, &expected, OVER)) {
        bell_ring(r->bell);     /* the owner joins this thread before it closes the bell */
        return;
    }
    thread_leave(&r->runs);
    destroy(r);
    atomic_fetch_sub(&left, 1);
}

bool resolve_numeric(const char *host, uint16_t port, resolved *ret)
{
    err none;
    resolved one = {.count = 1};
    if (sock_addr_parse(&one.at[0], host, port, &none)) return false;
    *ret = one;
    return true;
}

err_code resolve_start(resolve **ret, const char *host, uint16_t port, err *e)
{
    if (strlen(host) > RESOLVE_HOST_MAX)
        return err_set(e, ERR_INVALID, "host: expected at most %d bytes, got %zu", RESOLVE_HOST_MAX, strlen(host));
    if (atomic_load(&left) >= RESOLVE_LEFT_MAX)
        return err_set(e, ERR_UNAVAILABLE, "%s: cannot resolve: %d look-ups hang already", host, RESOLVE_LEFT_MAX);
    resolve *r = mem_new0(resolve, 1);
    if (!r) return err_set(e, ERR_NOMEM, "%s: cannot resolve: no memory", host);
    r->bell = -1;
    snprintf(r->host, sizeof r->host, "%s", host);
    snprintf(r->service, sizeof r->service, "%u", (unsigned)port);
    err_code rc = bell_open(&r->bell, e);
    if (rc == ERR_OK) rc = thread_start(&r->runs, "resolver", look_up, r, e);
    if (rc) {
        destroy(r);
        return rc;
    }
    *ret = r;
    return ERR_OK;
}

int resolve_fd(const resolve *r) { return r->bell; }

static err_code fail(err *e, int64_t rc, const char *host)
{
    if (rc == -ENOENT) return err_set(e, ERR_NOT_FOUND, "%s: no such host", host);
    if (rc == -EAGAIN) return err_set(e, ERR_UNAVAILABLE, "%s: cannot resolve: no name server answers", host);
    return sys_err(e, rc, host, "cannot resolve");
}

err_code resolve_result(const resolve *r, resolved *ret, err *e)
{
    resolved all = {.count = 0};
    INVARIANT(atomic_load(&r->state) == OVER);
    if (r->rc < 0) return fail(e, r->rc, r->host);
    for (const struct addrinfo *i = r->list; i && all.count < RESOLVE_MAX; i = i->ai_next) {
        sock_addr *a = &all.at[all.count];
        if (i->ai_addrlen > sizeof a->to) continue;
        memcpy(&a->to, i->ai_addr, i->ai_addrlen);
        a->len = i->ai_addrlen;
        all.count++;
    }
    if (all.count == 0) return fail(e, -ENOENT, r->host);
    *ret = all;
    return ERR_OK;
}

void resolve_free(resolve *r)
{
    if (!r) return;
    int expected = UNDER_WAY;
    atomic_fetch_add(&left, 1);   /* first: the thread may end in this very moment */
    if (atomic_compare_exchange_strong(&r->state, &expected, LEFT)) return;
    atomic_fetch_sub(&left, 1);
    thread_join(&r->runs);
    destroy(r);
}
