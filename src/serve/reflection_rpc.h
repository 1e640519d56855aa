/* reflection_rpc.h - gRPC's server reflection, v1 and v1alpha (their messages are the same): one request, one response.
 *
 * Answers from proto_table.h.  What is not there is an error inside the response, as the protocol wants it, so that the
 * stream goes on. */
#ifndef SERVE_REFLECTION_RPC_H
#define SERVE_REFLECTION_RPC_H
#include "serve/ask.h"

rpc_answer reflection_rpc_info;

#endif
