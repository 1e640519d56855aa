/* conf_slot.h - where models come from: named at the start, or later, by the control socket or from the repository.
 *
 * Reads the options alone and opens nothing.  Called by conf_check(); conf_control() again by who opens the socket.
 * What would leave a server without a way to a model, or a socket open to other users, is refused. */
#ifndef SERVE_CONF_SLOT_H
#define SERVE_CONF_SLOT_H
#include "os/sock.h"
#include "serve/conf.h"

/* Whether there is a model, or a way for one to come, but not both for a slot. */
err_code conf_slot(const conf *c, err *e) MUST_USE;
/* The address of --control, which is not empty. */
err_code conf_control(const conf *c, sock_addr *ret, err *e) MUST_USE;

#endif
