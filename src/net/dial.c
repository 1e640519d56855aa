#include "net/dial.h"

#include "os/clock.h"
#include "os/poll.h"
#include "os/resolve.h"

#include <stdio.h>
#include <string.h>

/* ---- addresses ---- */

static err_code unknown(const char *address, err *e)
{
    return err_set(e, ERR_INVALID, "address: expected http://HOST:PORT, HOST:PORT or unix:/path, got '%.200s'",
                   address);
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

static err_code parse_tcp(dial_to *to, const char *address, str s, bool port_needed, err *e)
{
    str authority = s, host, port, path = STR("");
    uint64_t number = 80;
    const char *slash = memchr(s.p, '/', s.len);
    if (slash) {
        authority.len = (size_t)(slash - s.p);
        path = (str){slash, s.len - authority.len};
    }
    while (path.len && path.p[path.len - 1] == '/') path.len--;
    if (!split_host(authority, &host, &port) || path.len > DIAL_HOST_MAX) return unknown(address, e);
    if (port_needed && port.len == 0) return unknown(address, e);
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
    str s = str_of(address);
    dial_to to = {.port = 0};
    err_code rc;
    if (str_starts(s, STR("unix:"))) {
        rc = parse_unix(&to, address, (str){s.p + 5, s.len - 5}, e);
    } else if (str_starts(s, STR("http://"))) {
        rc = parse_tcp(&to, address, (str){s.p + 7, s.len - 7}, false, e);
    } else if (str_starts(s, STR("https://"))) {
        rc = err_set(e, ERR_UNSUPPORTED, "address: expected http, got '%.200s': this client has no TLS yet", address);
    } else {
        rc = parse_tcp(&to, address, s, true, e);
    }
    if (rc == ERR_OK) *ret = to;
    return rc;
}

/* ---- waiting ---- */

err_code dial_init(dial *d, const dial_to *to, int stop_fd, err *e)
{
    dial made = {.to = to, .fd = -1, .poll = -1, .stop_fd = stop_fd};
    err_code rc = poll_open(&made.poll, e);
    if (rc) return rc;
    if (stop_fd) rc = poll_add(made.poll, stop_fd, POLL_READ, NULL, e);
    if (rc) {
        poll_close(made.poll);
        return rc;
    }
    *d = made;
    return ERR_OK;
}

void dial_fini(dial *d)
{
    dial_close(d);
    poll_close(d->poll);
    d->poll = -1;
}

void dial_begin(dial *d, uint64_t wait_us)
{
    uint64_t now = clock_now_us();
    d->wait_us = wait_us;
    d->deadline_us = now + wait_us < now ? UINT64_MAX : now + wait_us;
}

static err_code wait_until(dial *d, uint32_t want, uint64_t until_us, const char *for_what, uint32_t *ret_events,
                           err *e)
{
    if (want != d->watched) poll_change(d->poll, d->fd, want, d);
    d->watched = want;
    for (;;) {
        poll_event events[POLL_BATCH_MAX];
        size_t count = 0;
        uint64_t now = clock_now_us();
        bool late = now >= until_us;
        err_code rc = poll_wait(d->poll, events, late ? 0 : until_us - now, &count, e);
        if (rc) return err_wrap(e, "%s", d->to->text);
        uint32_t got = 0;
        for (size_t i = 0; i < count; i++) {
            if (!events[i].owner) return err_set(e, ERR_CANCELLED, "%s: %s: stopped", d->to->text, for_what);
            got |= events[i].events;
        }
        if (late)   /* whatever is there: a peer that always has more would never end */
            return err_set(e, ERR_TIMEOUT, "%s: %s: expected it within %llu ms", d->to->text, for_what,
                           (unsigned long long)(d->wait_us / 1000));
        if (got) {
            if (got & POLL_HANGUP) got |= want;   /* the call that follows says what is wrong */
            *ret_events = got;
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
    if (rc) dial_close(d);
    return rc;
}

static err_code addresses(const dial_to *to, resolved *ret, err *e)
{
    if (!to->is_unix) return resolve_host(to->host, to->port, ret, e);
    ret->count = 1;
    return sock_addr_unix(&ret->at[0], to->host, e);
}

err_code dial_open(dial *d, err *e)
{
    INVARIANT(d->fd < 0);
    resolved all;
    err_code rc = addresses(d->to, &all, e);
    if (rc) return rc;
    for (size_t i = 0; i < all.count; i++) {
        uint64_t now = clock_now_us(), left = d->deadline_us > now ? d->deadline_us - now : 0;
        rc = connect_to(d, &all.at[i], now + left / (all.count - i), e);
        if (rc == ERR_OK || rc == ERR_CANCELLED) return rc;
    }
    return rc;
}

void dial_close(dial *d)
{
    if (d->fd < 0) return;
    poll_del(d->poll, d->fd);
    sock_close(d->fd);
    d->fd = -1;
}

bool dial_is_open(const dial *d) { return d->fd >= 0; }

bool dial_is_quiet(const dial *d)
{
    uint8_t byte;
    size_t n;
    return d->fd >= 0 && sock_read(d->fd, &byte, 1, &n) == SOCK_AGAIN;
}

sock_io dial_read(dial *d, void *p, size_t room, size_t *ret_n) { return sock_read(d->fd, p, room, ret_n); }

sock_io dial_write(dial *d, const struct iovec *v, size_t count, size_t *ret_n)
{
    return sock_write(d->fd, v, count, ret_n);
}
