#include "serve/doors.h"

#include "serve/conf_listen.h"

void doors_close(doors *d)
{
    listeners_free(d->all);
    taker_free(d->from);
    *d = (doors){.all = NULL};
}

static err_code take_given(listeners *l, const service *by, err *e)
{
    for (uint32_t i = 0; i < by->fd_count; i++) {
        str name = service_fd_name(by, i);
        if (listeners_adopt(l, SERVICE_FD_FIRST + (int)i, false, e) == ERR_OK) continue;
        return name.len ? err_wrap(e, "LISTEN_FDS: '" STR_FMT "'", STR_ARG(name)) : err_wrap(e, "LISTEN_FDS");
    }
    return ERR_OK;
}

/* Any port of that address, where any free one is wanted. */
static bool is_wanted(const sock_addr *at, const sock_addr *wanted)
{
    sock_addr any = *at;
    if (sock_addr_eq(at, wanted)) return true;
    if (sock_addr_is_unix(at) || sock_addr_is_unix(wanted) || sock_addr_port(wanted)) return false;
    sock_addr_port_set(&any, 0);
    return sock_addr_eq(&any, wanted);
}

static bool has(const listeners *l, const sock_addr *at)
{
    for (size_t i = 0; i < listeners_count(l); i++)
        if (sock_addr_eq(listeners_at(l, i), at)) return true;
    return false;
}

static err_code take_wanted(doors *d, const sock_addr *wanted, bool *ret_found, err *e)
{
    listeners *old = d->from ? taker_listeners(d->from) : NULL;
    for (size_t i = 0; old && i < listeners_count(old); i++) {
        if (!is_wanted(listeners_at(old, i), wanted)) continue;
        *ret_found = true;
        return listeners_move(d->all, old, i, e);
    }
    *ret_found = has(d->all, wanted);
    return ERR_OK;
}

/* Nothing is named: all of the old server's that a service manager did not give anyway. */
static err_code take_rest(doors *d, err *e)
{
    listeners *old = taker_listeners(d->from);
    err_code rc = ERR_OK;
    for (size_t i = 0; i < listeners_count(old) && rc == ERR_OK;) {
        if (has(d->all, listeners_at(old, i)))
            i++;
        else
            rc = listeners_move(d->all, old, i, e);
    }
    return rc;
}

static err_code open_all(doors *d, const conf *c, const service *by, size_t loops, err *e)
{
    conf_addresses addresses;
    sock_addr path;
    bool named = conf_port_given(c) || c->listen.len;
    err_code rc = listeners_new(&d->all, e);
    if (rc == ERR_OK) rc = take_given(d->all, by, e);
    if (rc == ERR_OK && c->handover.len) rc = conf_handover(c, &path, e);
    if (rc == ERR_OK && c->handover.len) rc = taker_take(&d->from, &path, e);
    if (rc == ERR_OK) rc = conf_listen(c, by->fd_count > 0 || d->from, &addresses, e);
    for (size_t i = 0; rc == ERR_OK && i < addresses.count; i++) {
        const listeners_opts opts = {.addr = &addresses.at[i], .sockets = loops, .mode = (uint32_t)c->socket_mode};
        bool found = false;
        rc = take_wanted(d, &addresses.at[i], &found, e);
        if (rc == ERR_OK && !found) rc = listeners_open(d->all, &opts, e);
    }
    return rc == ERR_OK && d->from && !named ? take_rest(d, e) : rc;
}

err_code doors_open(doors *ret, const conf *c, const service *by, size_t loops, err *e)
{
    doors d = {.all = NULL};
    err_code rc = open_all(&d, c, by, loops, e);
    if (rc)
        doors_close(&d);
    else
        *ret = d;
    return rc;
}
