#include "serve/doors.h"

#include "serve/conf_listen.h"

err_code doors_open(listeners **ret, const conf *c, size_t loops, err *e)
{
    conf_addresses addresses;
    CLEANUP(listeners) listeners *l = NULL;
    err_code rc = listeners_new(&l, e);
    if (rc == ERR_OK) rc = conf_listen(c, false, &addresses, e);
    for (size_t i = 0; rc == ERR_OK && i < addresses.count; i++) {
        const listeners_opts opts = {.addr = &addresses.at[i], .sockets = loops, .mode = (uint32_t)c->socket_mode};
        rc = listeners_open(l, &opts, e);
    }
    if (rc == ERR_OK) *ret = TAKE(l);
    return rc;
}
