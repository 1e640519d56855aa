/* v2_rpc.h - the methods of inference.GRPCInferenceService besides inference: each a message in, a message out.
 *
 * Run on a loop, from state that is only read; errors are REST's, word for word, and become gRPC statuses by their
 * code.  What this server cannot do is refused by name: loading and unloading at run time, CUDA's shared memory,
 * tracing. */
#ifndef SERVE_V2_RPC_H
#define SERVE_V2_RPC_H
#include "serve/ask.h"

rpc_answer v2_rpc_server_live, v2_rpc_server_ready, v2_rpc_model_ready, v2_rpc_server_metadata, v2_rpc_model_metadata,
    v2_rpc_model_config, v2_rpc_model_statistics, v2_rpc_repository_index, v2_rpc_model_load, v2_rpc_model_unload,
    v2_rpc_memory_status, v2_rpc_memory_register, v2_rpc_memory_unregister, v2_rpc_cuda_memory_status,
    v2_rpc_cuda_memory_register, v2_rpc_cuda_memory_unregister, v2_rpc_trace_setting, v2_rpc_log_settings;

#endif
