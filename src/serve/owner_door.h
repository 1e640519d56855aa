/* owner_door.h - --control unix:PATH: a socket for the owner of this server, who may do everything there.
 *
 * The same REST endpoints as everywhere, without API keys, and more: whatever --model-control says, models come and go,
 * and a load may name the file or folder to read (parameter "path").  So the socket's file is for the user alone who
 * runs the server (mode 0600), and a name without a file (unix:@NAME), which everybody on the machine may dial, is
 * refused.  A server of its own on loop 0: its connections hold no drain up, and are cut when that ends. */
#ifndef SERVE_OWNER_DOOR_H
#define SERVE_OWNER_DOOR_H
#include "os/sock.h"
#include "serve/endpoint.h"

typedef struct {
    loop *on;                  /* borrowed */
    const sock_addr *at;
    const http_limits *limits; /* as the other listeners have them */
    endpoints *endpoints;      /* borrowed */
    uint64_t id_seed;
} owner_door_opts;

/* What comes is answered by endpoints.c, once the loop runs. */
err_code owner_door_open(server **ret, const owner_door_opts *opts, err *e) MUST_USE;

#endif
