/* doors.h - opens what the configuration says a server listens at.
 *
 * Ports at --address, and --listen.  A wrong address, a port in use, a path where somebody answers: nothing is left
 * open.  Called before any loop runs. */
#ifndef SERVE_DOORS_H
#define SERVE_DOORS_H
#include "net/listeners.h"
#include "serve/conf.h"

/* TCP addresses get a socket for each of `loops`. */
err_code doors_open(listeners **ret, const conf *c, size_t loops, err *e) MUST_USE;

#endif
