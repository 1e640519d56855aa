#include "net/dial.h"

#include "os/clock.h"
#include "os/poll.h"
#include "os/resolve.h"

#include <stdio.h>
#include <string.h>

/* ---- addresses ---- */

static err_code unknown(const char *address, err *e)
{
    return err_set(e, ERR_INVALID, "address: expected http[s]://HOST:PORT, grpc[s]://HOST:PORT, HOST:PORT or "
                   "unix:/path, got '%.200s'", address);
}

static err_code parse_unix(dial_to *to, const char *address, str path, err *e)
{
    sock_addr probe;
    if (str_starts(path, STR("///"))) path = (str){path.p + 2, path.len - 2};
    if (path.len == 0 || path.p[0] != '/' || str_starts(path, STR("//")) || path.len > DIAL_HOST_MAX) {
        return unknown(address, e);
    }
    memcpy(to->host, path.p, path.len);
    snprintf(to->text, sizeof to->text, "unix:%s", to->host);
    snprintf(to->authority, sizeof to->authority, "localhost");
    to->is_unix = true;
    return sock_addr_unix(&probe, to->host, e);
}

/* "HOST", "HOST:PORT", "[V6]:PORT" */
static bool split_host(str s, str *ret_host, str *ret_port)
{
    str port = STR("");
    if (s.len && s.p[0] == '[') {
        const char *end = memchr(s.p, ']', s.len);
        if (!end) return false;
        *ret_host = (str){s.p + 1, (size_t)(end - s.p) - 1};
        port = (str){end + 1, s.len - (size_t)(end + 1 - s.p)};
        if (port.len && port.p[0] != ':') return false;
        if (port.len) port = (str){port.p + 1, port.len - 1};
    } else if (!str_cut(s, ':', ret_host, &port)) {
        *ret_host = s;
    }
    *ret_port = port;
    for (size_t i = 0; i < ret_host->len; i++) {
        uint8_t c = (uint8_t)ret_host->p[i];
        if (c <= ' ' || c >= 127 || strchr("@/?#\\\"<>", c)) return false;
    }
    return ret_host->len > 0 && ret_host->len <= DIAL_HOST_MAX - 2;   /* room for brackets */
}

/* number: of the port where none is named; 0 = one has to be. */
static err_code parse_tcp(dial_to *to, const char *address, str s, uint64_t number, err *e)
{
    str authority = s, host, port, path = STR("");
    const char *slash = memchr(s.p, '/', s.len);
    if (slash) {
        authority.len = (size_t)(slash - s.p);
        path = (str){slash, s.len - authority.len};
    }
    while (path.len && path.p[path.len - 1] == '/') path.len--;
    if (!split_host(authority, &host, &port) || path.len > DIAL_HOST_MAX) return unknown(address, e);
    if (number == 0 && port.len == 0) return unknown(address, e);
    if (memchr(path.p, '?', path.len) || memchr(path.p, '#', path.len)) return unknown(address, e);
    if (port.len && (!str_u64(port, &number) || number == 0 || number > UINT16_MAX))
        return err_set(e, ERR_INVALID, "address: expected a port in 1..65535, got '" STR_FMT "'", STR_ARG(port));
    memcpy(to->host, host.p, host.len);
    memcpy(to->base, path.p, path.len);
    to->port = (uint16_t)number;
    bool v6 = memchr(host.p, ':', host.len) != NULL;
    snprintf(to->text, sizeof to->text, v6 ? "[%s]:%u" : "%s:%u", to->host, (unsigned)to->port);
    memcpy(to->authority, to->text, sizeof to->authority);
    return ERR_OK;
}

err_code dial_to_parse(dial_to *ret, const char *address, err *e)
{
    static const struct {
        const char *opening;
        uint16_t port;
        bool is_secure, is_grpc;
    } schemes[] = {{"http://", 80, false, false}, {"https://", 443, true, false}, {"grpc://", 80, false, true},
                   {"grpcs://", 443, true, true}, {"", 0, false, false}};
    str s = str_of(address);
    dial_to to = {.port = 0};
    err_code rc;
    if (str_starts(s, STR("unix:"))) {
        rc = parse_unix(&to, address, (str){s.p + 5, s.len - 5}, e);
    } else {
        size_t i = 0;
        while (!str_starts(s, str_of(schemes[i].opening))) i++;   /* the last fits all */
        size_t skip = strlen(schemes[i].opening);
        to.is_secure = schemes[i].is_secure;
        to.is_grpc = schemes[i].is_grpc;
        rc = parse_tcp(&to, address, (str){s.p + skip, s.len - skip}, schemes[i].port, e);
    }
    if (rc == ERR_OK) *ret = to;
    return rc;
}

/* ---- waiting ---- */

err_code dial_init(dial *d, const dial_opts *opts, err *e)
{
    static const tls_trust systems = {.cacert = NULL};
    dial made = {.to = opts->to, .fd = -1, .poll = -1, .stop_fd = opts->stop_fd, .http2 = opts->http2};
    const tls_trust *trust = opts->trust ? opts->trust : &systems;
    err_code rc = tls_trust_check(trust, opts->to->is_secure, opts->to->text, e);
    if (rc == ERR_OK && opts->to->is_secure) rc = tls_context_new_client(&made.context, trust, opts->http2, e);
    if (rc == ERR_OK) rc = poll_open(&made.poll, e);
    if (rc == ERR_OK && opts->stop_fd) rc = poll_add(made.poll, opts->stop_fd, POLL_READ, NULL, e);
    if (rc) {
        dial_fini(&made);
        return rc;
    }
    *d = made;
    return ERR_OK;
}

void dial_fini(dial *d)
{
    dial_close(d);
    poll_close(d->poll);
    tls_context_free(d->context);
    d->context = NULL;
    d->poll = -1;
}

void dial_begin(dial *d, uint64_t wait_us)
{
    uint64_t now = clock_now_us();
    d->wait_us = wait_us;
    d->deadline_us = now + wait_us < now ? UINT64_MAX : now + wait_us;
}

/* One look at what there is, until the time is over; 0 = nothing yet. */
static err_code look(dial *d, bool held, uint64_t until_us, const char *for_what, uint32_t *ret_events, err *e)
{
    poll_event events[POLL_BATCH_MAX];
    size_t count = 0;
    uint64_t now = clock_now_us();
    bool late = now >= until_us;
    err_code rc = poll_wait(d->poll, events, late || held ? 0 : until_us - now, &count, e);
    if (rc) return err_wrap(e, "%s", d->to->text);
    uint32_t got = held ? POLL_READ : 0;
    for (size_t i = 0; i < count; i++) {
        if (!events[i].owner) return err_set(e, ERR_CANCELLED, "%s: %s: stopped", d->to->text, for_what);
        got |= events[i].events;
    }
    if (late)   /* whatever is there: a peer that always has more would never end */
        return err_set(e, ERR_TIMEOUT, "%s: %s: expected it within %llu ms", d->to->text, for_what,
                       (unsigned long long)(d->wait_us / 1000));
    *ret_events = got;
    return ERR_OK;
}

static err_code wait_until(dial *d, uint32_t want, uint64_t until_us, const char *for_what, uint32_t *ret_events,
                           err *e)
{
    bool held = d->tls && (want & POLL_READ) && dial_tls_holds(d->tls);
    for (;;) {
        uint32_t watch = want | (d->tls && dial_tls_waits(d->tls) ? (uint32_t)POLL_WRITE : 0), got = 0;
        if (watch != d->watched) poll_change(d->poll, d->fd, watch, d);
        d->watched = watch;
        err_code rc = look(d, held, until_us, for_what, &got, e);
        if (rc) return rc;
        if (d->tls && (got & POLL_WRITE)) dial_tls_push(d->tls, d->fd);
        if (got & POLL_HANGUP) got |= want;   /* the call that follows says what is wrong */
        if (got & (want | POLL_HANGUP)) {
            *ret_events = got & (want | POLL_HANGUP);
            return ERR_OK;
        }
    }
}

err_code dial_wait(dial *d, uint32_t want, uint32_t *ret_events, err *e)
{
    INVARIANT(d->fd >= 0);
    return wait_until(d, want, d->deadline_us, "answer", ret_events, e);
}

/* ---- connecting ---- */

static err_code check_protocol(const dial *d, err *e)
{
    str got = dial_tls_protocol(d->tls);
    if (!d->http2 || str_is(got, "h2")) return ERR_OK;
    return err_set(e, ERR_INTERNAL, "%s: TLS: ALPN: expected h2, got %s", d->to->text,
                   got.len ? "another protocol" : "none: it speaks no gRPC");
}

static err_code shake_hands(dial *d, uint64_t until_us, err *e)
{
    d->tls = dial_tls_new(d->context, d->to->host);
    if (!d->tls) return err_set(e, ERR_NOMEM, "%s: TLS: no memory", d->to->text);
    for (;;) {
        uint32_t events;
        sock_io io = dial_tls_shake(d->tls, d->fd);
        if (io == SOCK_DONE) return check_protocol(d, e);
        if (io != SOCK_AGAIN) return dial_tls_say(d->tls, d->to->text, e);
        err_code rc = wait_until(d, POLL_READ, until_us, "TLS handshake", &events, e);
        if (rc) return rc;
    }
}

static err_code connect_to(dial *d, const sock_addr *at, uint64_t until_us, err *e)
{
    uint32_t events;
    err_code rc = sock_connect(at, &d->fd, e);
    if (rc) return rc;
    rc = poll_add(d->poll, d->fd, POLL_WRITE, d, e);
    if (rc) {
        sock_close(d->fd);
        d->fd = -1;
        return rc;
    }
    d->watched = POLL_WRITE;
    rc = wait_until(d, POLL_WRITE, until_us, "connection", &events, e);
    if (rc == ERR_OK) rc = sock_connected(d->fd, at, e);
    if (rc == ERR_OK && d->context) rc = shake_hands(d, until_us, e);
    if (rc) dial_close(d);
    return rc;
}

static err_code look_up(dial *d, resolved *ret, err *e)
{
    resolve *r = NULL;
    uint32_t got = 0;
    err_code rc = resolve_start(&r, d->to->host, d->to->port, e);
    if (rc) return rc;
    rc = poll_add(d->poll, resolve_fd(r), POLL_READ, d, e);
    if (rc == ERR_OK) {
        while (rc == ERR_OK && !got) rc = look(d, false, d->deadline_us, "name", &got, e);
        poll_del(d->poll, resolve_fd(r));
    }
    if (rc == ERR_OK) rc = resolve_result(r, ret, e);
    resolve_free(r);
    return rc;
}

static err_code addresses(dial *d, resolved *ret, err *e)
{
    if (!d->to->is_unix) return resolve_numeric(d->to->host, d->to->port, ret) ? ERR_OK : look_up(d, ret, e);
    ret->count = 1;
    return sock_addr_unix(&ret->at[0], d->to->host, e);
}

err_code dial_open(dial *d, err *e)
{
    INVARIANT(d->fd < 0);
    resolved all;
    err_code rc = addresses(d, &all, e);
    if (rc) return rc;
    for (size_t i = 0; i < all.count; i++) {
        uint64_t now = clock_now_us(), left = d->deadline_us > now ? d->deadline_us - now : 0;
        rc = connect_to(d, &all.at[i], now + left / (all.count - i), e);
        /* Where a server answered, another one of the name would be asked in vain. */
        if (rc == ERR_OK || rc == ERR_CANCELLED || rc == ERR_UNAUTHENTICATED || rc == ERR_UNSUPPORTED) return rc;
    }
    return rc;
}

void dial_close(dial *d)
{
    if (d->fd < 0) return;
    if (d->tls) dial_tls_end(d->tls, d->fd);
    dial_tls_free(d->tls);
    d->tls = NULL;
    poll_del(d->poll, d->fd);
    sock_close(d->fd);
    d->fd = -1;
}

bool dial_is_open(const dial *d) { return d->fd >= 0; }

bool dial_is_quiet(dial *d)
{
    uint8_t byte;
    size_t n;
    return d->fd >= 0 && dial_read(d, &byte, 1, &n) == SOCK_AGAIN;
}

sock_io dial_read(dial *d, void *p, size_t room, size_t *ret_n)
{
    return d->tls ? dial_tls_read(d->tls, d->fd, p, room, ret_n) : sock_read(d->fd, p, room, ret_n);
}

sock_io dial_write(dial *d, const struct iovec *v, size_t count, size_t *ret_n)
{
    return d->tls ? dial_tls_write(d->tls, d->fd, v, count, ret_n) : sock_write(d->fd, v, count, ret_n);
}

err_code dial_gone(const dial *d, sock_io io, bool begun, err *e)
{
    if (d->tls && dial_tls_failed(d->tls)) return dial_tls_say(d->tls, d->to->text, e);
    return err_set(e, ERR_UNAVAILABLE, "%s: connection %s %s", d->to->text,
                   io == SOCK_EOF || (d->tls && dial_tls_closed(d->tls)) ? "closed" : "reset",
                   begun ? "within the answer" : "before the answer");
}
