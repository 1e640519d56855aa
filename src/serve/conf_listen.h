/* conf_listen.h - the addresses that a configuration names: --address with its ports, and --listen.
 *
 * Read without opening anything, so a wrong one is a wrong option.  What is named twice is there once; a port of 0 is
 * another one each time. */
#ifndef SERVE_CONF_LISTEN_H
#define SERVE_CONF_LISTEN_H
#include "net/listeners.h"
#include "serve/conf.h"

typedef struct {
    sock_addr at[LISTENERS_MAX];
    size_t count;
} conf_addresses;

/* `given` = there are listeners from elsewhere, so that none is opened by default. */
err_code conf_listen(const conf *c, bool given, conf_addresses *ret, err *e) MUST_USE;
/* --handover, which is not empty. */
err_code conf_handover(const conf *c, sock_addr *ret, err *e) MUST_USE;

#endif
