/* doors.h - what a server listens at: sockets that were given to it, and those that its configuration names.
 *
 * Given ones come first, and instead of the default port.  A wrong address, a port in use, a path where somebody
 * answers: nothing is left open.  Called before any loop runs. */
#ifndef SERVE_DOORS_H
#define SERVE_DOORS_H
#include "net/listeners.h"
#include "serve/conf.h"
#include "serve/service.h"

/* TCP addresses that are opened get a socket for each of `loops`. */
err_code doors_open(listeners **ret, const conf *c, const service *by, size_t loops, err *e) MUST_USE;

#endif
