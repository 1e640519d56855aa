/* rpc_list.h - the table of gRPC methods: path, kind, and what answers it. */
#ifndef SERVE_RPC_LIST_H
#define SERVE_RPC_LIST_H

/* The first is the one that is called. */
#define RPC_METHODS(X) \
    X("/inference.GRPCInferenceService/ModelInfer", RPC_INFER, NULL) \
    X("/inference.GRPCInferenceService/ModelStreamInfer", RPC_INFER_STREAM, NULL) \
    X("/inference.GRPCInferenceService/ServerLive", RPC_UNARY, v2_rpc_server_live) \
    X("/inference.GRPCInferenceService/ServerReady", RPC_UNARY, v2_rpc_server_ready) \
    X("/inference.GRPCInferenceService/ModelReady", RPC_UNARY, v2_rpc_model_ready) \
    X("/inference.GRPCInferenceService/ServerMetadata", RPC_UNARY, v2_rpc_server_metadata) \
    X("/inference.GRPCInferenceService/ModelMetadata", RPC_UNARY, v2_rpc_model_metadata) \
    X("/inference.GRPCInferenceService/ModelConfig", RPC_UNARY, v2_rpc_model_config) \
    X("/inference.GRPCInferenceService/ModelStatistics", RPC_UNARY, v2_rpc_model_statistics) \
    X("/inference.GRPCInferenceService/RepositoryIndex", RPC_UNARY, v2_rpc_repository_index) \
    X("/inference.GRPCInferenceService/RepositoryModelLoad", RPC_SLOW, v2_rpc_model_load) \
    X("/inference.GRPCInferenceService/RepositoryModelUnload", RPC_SLOW, v2_rpc_model_unload) \
    X("/inference.GRPCInferenceService/SystemSharedMemoryStatus", RPC_UNARY, v2_rpc_memory_status) \
    X("/inference.GRPCInferenceService/SystemSharedMemoryRegister", RPC_UNARY, v2_rpc_memory_register) \
    X("/inference.GRPCInferenceService/SystemSharedMemoryUnregister", RPC_UNARY, v2_rpc_memory_unregister) \
    X("/inference.GRPCInferenceService/CudaSharedMemoryStatus", RPC_UNARY, v2_rpc_cuda_memory_status) \
    X("/inference.GRPCInferenceService/CudaSharedMemoryRegister", RPC_UNARY, v2_rpc_cuda_memory_register) \
    X("/inference.GRPCInferenceService/CudaSharedMemoryUnregister", RPC_UNARY, v2_rpc_cuda_memory_unregister) \
    X("/inference.GRPCInferenceService/TraceSetting", RPC_UNARY, v2_rpc_trace_setting) \
    X("/inference.GRPCInferenceService/LogSettings", RPC_UNARY, v2_rpc_log_settings) \
    X("/grpc.health.v1.Health/Check", RPC_UNARY, health_rpc_check) \
    X("/grpc.health.v1.Health/Watch", RPC_WATCH, health_rpc_check) \
    X("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", RPC_EACH, reflection_rpc_info) \
    X("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", RPC_EACH, reflection_rpc_info)

#endif
