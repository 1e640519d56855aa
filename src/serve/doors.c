#include "serve/doors.h"

#include "serve/conf_listen.h"

static err_code take_given(listeners *l, const service *by, err *e)
{
    for (uint32_t i = 0; i < by->fd_count; i++) {
        str name = service_fd_name(by, i);
        if (listeners_adopt(l, SERVICE_FD_FIRST + (int)i, e) == ERR_OK) continue;
        return name.len ? err_wrap(e, "LISTEN_FDS: '" STR_FMT "'", STR_ARG(name)) : err_wrap(e, "LISTEN_FDS");
    }
    return ERR_OK;
}

err_code doors_open(listeners **ret, const conf *c, const service *by, size_t loops, err *e)
{
    conf_addresses addresses;
    CLEANUP(listeners) listeners *l = NULL;
    err_code rc = listeners_new(&l, e);
    if (rc == ERR_OK) rc = take_given(l, by, e);
    if (rc == ERR_OK) rc = conf_listen(c, by->fd_count > 0, &addresses, e);
    for (size_t i = 0; rc == ERR_OK && i < addresses.count; i++) {
        const listeners_opts opts = {.addr = &addresses.at[i], .sockets = loops, .mode = (uint32_t)c->socket_mode};
        rc = listeners_open(l, &opts, e);
    }
    if (rc == ERR_OK) *ret = TAKE(l);
    return rc;
}
