/* doors.h - what a server listens at: sockets that were given to it, those of an old server, and new ones.
 *
 * A service manager's come first; then what the configuration names, taken from the old server at --handover where that
 * has it, and opened otherwise.  Without anything named, all that was given or taken, and the default port without
 * either.  A wrong address, a port in use, a path where somebody answers: nothing is left open, and an old server goes
 * on.  Called before any loop runs. */
#ifndef SERVE_DOORS_H
#define SERVE_DOORS_H
#include "net/listeners.h"
#include "serve/conf.h"
#include "serve/service.h"
#include "serve/taker.h"

typedef struct {
    listeners *all;
    taker *from;      /* the old server; NULL = none */
} doors;

/* TCP addresses that are opened get a socket for each of `loops`. */
err_code doors_open(doors *ret, const conf *c, const service *by, size_t loops, err *e) MUST_USE;
void doors_close(doors *d);   /* {0} = none */

#endif
