/* health_rpc.h - gRPC's health checking protocol: Check, and the messages of Watch.
 *
 * "" is the server; the names of its services are as healthy as it is, and so is each model by its name.  Runs on a
 * loop, from state that is only read. */
#ifndef SERVE_HEALTH_RPC_H
#define SERVE_HEALTH_RPC_H
#include "serve/ask.h"

enum { HEALTH_SERVING = 1, HEALTH_NOT_SERVING = 2, HEALTH_UNKNOWN = 3 };   /* HealthCheckResponse.ServingStatus */

str health_rpc_service(str request);    /* whose health is asked for; of what is no request "" */
uint8_t health_rpc_status(const endpoints *s, str service);

/* ERR_NOT_FOUND when the service is unknown, with SERVICE_UNKNOWN in the reply: Check fails with it, Watch sends it. */
rpc_answer health_rpc_check;

#endif
