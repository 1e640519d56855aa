#include "serve/owner_door.h"

#include "net/listeners.h"

enum {
    OWNER_ONLY = 0600,
    OWNER_CONNECTIONS_MAX = 64
};

err_code owner_door_open(server **ret, const owner_door_opts *opts, err *e)
{
    CLEANUP(listeners) listeners *at = NULL;
    loop *on = opts->on;
    const listeners_opts lo = {.addr = opts->at, .sockets = 1, .mode = OWNER_ONLY};
    err_code rc = listeners_new(&at, e);
    if (rc == ERR_OK && (rc = listeners_open(at, &lo, e)) != ERR_OK) rc = err_wrap(e, "control");
    if (rc) return rc;
    server_opts so = {.at = TAKE(at),
                      .loops = &on,
                      .loop_count = 1,
                      .limits = *opts->limits,
                      .handler = endpoints_handle_owner,
                      .ctx = opts->endpoints,
                      .id_seed = opts->id_seed};
    so.limits.connections_max = OWNER_CONNECTIONS_MAX;
    return server_new(ret, &so, e);
}
