/* Any bytes as a request of each small gRPC method: an answer that is well-formed protobuf, or the client's error.
 *
 * The first byte chooses the method. */
#include "base/log.h"
#include "http_rig.h"
#include "serve/health_rpc.h"
#include "serve/reflection_rpc.h"
#include "serve/v2_rpc.h"
#include "wire/pb.h"

static http_rig rig;

static void once(void)
{
    static char path[64];
    static const char *const models[] = {"m", path, NULL};
    onnx_build b;
    if (rig.loop) return;
    serve_rig_twice(&b);
    serve_rig_save(&b, path);
    bool started = http_rig_start(&rig, &(http_rig_opts){.threads = "1"}, models);
    INVARIANT(started);
    serve_rig_unsave(path);
    onnx_build_end(&b);
}

static void check_message(str message)
{
    pb m;
    pb_field f;
    err e;
    pb_init(&m, message.p, message.len);
    while (pb_next(&m, &f)) {}
    INVARIANT(pb_check(&m, "answer", &e) == ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rpc_answer *const answers[] = {
        v2_rpc_server_live,        v2_rpc_server_ready,     v2_rpc_model_ready,   v2_rpc_server_metadata,
        v2_rpc_model_metadata,     v2_rpc_model_config,     v2_rpc_model_statistics, v2_rpc_repository_index,
        v2_rpc_model_load,         v2_rpc_model_unload,     v2_rpc_memory_status, v2_rpc_cuda_memory_status,
        v2_rpc_cuda_memory_register, v2_rpc_memory_unregister, v2_rpc_trace_setting, v2_rpc_log_settings,
        health_rpc_check,          reflection_rpc_info,     v2_rpc_memory_register, v2_rpc_cuda_memory_unregister,
    };
    static buf reply;
    err e = {0};
    if (size == 0 || size > 4096) return 0;
    once();
    if (!reply.p) buf_init(&reply, 1 << 20);
    buf_clear(&reply);
    rpc_answer *answer = answers[data[0] % COUNTOF(answers)];
    err_code rc = answer(&rig.endpoints, (rpc_request){.bytes = {(const char *)data + 1, size - 1}}, &reply, &e);
    INVARIANT(rc == ERR_OK || rc == ERR_INVALID || rc == ERR_NOT_FOUND || rc == ERR_UNSUPPORTED || rc == ERR_LIMIT ||
              rc == ERR_UNAVAILABLE);
    if (rc == ERR_OK) check_message(buf_str(&reply));
    log_level_set(LOG_ERROR);
    return 0;
}
