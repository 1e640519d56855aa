/* health_rpc.h - gRPC's health checking protocol: Check, and one message of Watch.
 *
 * "" is the server; the names of its services are as healthy as it is, and so is each model by its name.  Runs on a
 * loop, from state that is only read. */
#ifndef SERVE_HEALTH_RPC_H
#define SERVE_HEALTH_RPC_H
#include "serve/ask.h"

/* ERR_NOT_FOUND when the service is unknown, with SERVICE_UNKNOWN in the reply: Check fails with it, Watch sends it. */
rpc_answer health_rpc_check;

#endif
