/* The small methods say what the server and its models are, in the fields that the published protocols number, and
 * refuse in REST's words what is unknown or cannot be. */
#include "base/log.h"
#include "http_rig.h"
#include "serve/health_rpc.h"
#include "serve/proto_table.h"
#include "serve/reflection_rpc.h"
#include "serve/v2_rpc.h"
#include "test.h"
#include "wire/pb_fields.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static char twice_path[64];
static const char *const models[] = {"m", twice_path, "n", twice_path, NULL};
static http_rig rig;
static buf reply;
static char text[4096];

/* "ok " and the reply in hex, or the code's HTTP status and the error. */
static const char *say(rpc_answer *fn, const void *request, size_t len)
{
    err e = {0};
    buf_clear(&reply);
    err_code rc = fn(&rig.endpoints, (rpc_request){.bytes = {request, len}}, &reply, &e);
    if (rc) {
        snprintf(text, sizeof text, "%d %s", err_http_status(rc), e.text);
        return text;
    }
    int n = snprintf(text, sizeof text, "ok ");
    for (size_t i = 0; i < reply.len && (size_t)n < sizeof text - 2; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%02x", reply.p[i]);
    return text;
}

#define ASK(fn, literal) say(fn, literal, sizeof literal - 1)

static bool reply_has(const char *z) { return reply.len && memmem(reply.p, reply.len, z, strlen(z)); }

static void health_follows_the_server(void)
{
    CHECK_STR(ASK(v2_rpc_server_live, ""), "ok 0801");
    CHECK_STR(ASK(v2_rpc_server_ready, ""), "ok 0801");
    CHECK_STR(ASK(v2_rpc_model_ready, "\x0a\1m"), "ok 0801");
    CHECK_STR(ASK(v2_rpc_model_ready, "\x0a\1m\x12\1" "1"), "ok 0801");
    CHECK_STR(ASK(v2_rpc_model_ready, "\x0a\1m\x12\1" "2"), "ok 0800");
    CHECK_STR(ASK(v2_rpc_model_ready, "\x0a\1?"), "ok 0800");
    CHECK_STR(ASK(v2_rpc_model_ready, "\x0a\5m"),
              "400 ModelReadyRequest: byte 1: field 1: length: expected at most the 1 bytes that follow, got 5");
    CHECK_STR(ASK(health_rpc_check, ""), "ok 0801");
    CHECK_STR(ASK(health_rpc_check, "\x0a\1n"), "ok 0801");
    CHECK_STR(ASK(health_rpc_check, "\x0a\1?"), "404 unknown service ?");
    endpoints_leave(&rig.endpoints);
    CHECK_STR(ASK(v2_rpc_server_live, ""), "ok 0801");
    CHECK_STR(ASK(v2_rpc_server_ready, ""), "ok 0800");
    CHECK_STR(ASK(v2_rpc_model_ready, "\x0a\1m"), "ok 0800");
    CHECK_STR(ASK(health_rpc_check, ""), "ok 0802");
    atomic_store(&rig.endpoints.leaving, false);
}

static void metadata_names_inputs_and_outputs(void)
{
    /* x and y are FP32 [-1,2]. */
    CHECK_STR(ASK(v2_rpc_model_metadata, "\x0a\1m"),
              "ok 0a016d1201311a0b6f6e6e785f6f6e6e787631"
              "2216" "0a0178" "120446503332" "1a0bffffffffffffffffff0102"
              "2a16" "0a0179" "120446503332" "1a0bffffffffffffffffff0102");
    CHECK_STR(ASK(v2_rpc_model_metadata, "\x0a\1?"), "404 Model with name ? does not exist.");
    CHECK_STR(ASK(v2_rpc_model_metadata, "\x0a\1m\x12\1" "2"), "404 Model with name m and version 2 does not exist.");
    CHECK(strncmp(ASK(v2_rpc_server_metadata, ""), "ok 0a0470726f61", 15) == 0);   /* proa */
    CHECK(reply_has("statistics") && reply_has("model_repository") && reply_has("sequence"));
    CHECK(strncmp(ASK(v2_rpc_model_config, "\x0a\1m"), "ok 0a", 5) == 0 && reply_has("onnxruntime_onnx"));
    CHECK(reply_has("\x0a\1x\x10\x0b\x22"));   /* name x, TYPE_FP32, dims = 4 */
    CHECK(reply_has("\x0a\1y\x10\x0b\x1a"));   /* name y, TYPE_FP32, dims = 3 */
    CHECK_STR(ASK(v2_rpc_model_config, ""), "404 Model with name  does not exist.");
}

static void statistics_count_what_was_asked(void)
{
    static const char body[] = "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]}]}";
    CHECK(strncmp(http_rig_post(&rig, "/v2/models/m/infer", "", body, sizeof body - 1), "200 ", 4) == 0);
    CHECK(strncmp(http_rig_post(&rig, "/v2/models/m/infer", "", "{}", 2), "400 ", 4) == 0);
    CHECK(strncmp(ASK(v2_rpc_model_statistics, "\x0a\1m"), "ok ", 3) == 0);
    pb_fields all, m, s, d;
    pb_fields_read(&all, buf_str(&reply));
    pb_fields_read(&m, pb_fields_bytes(&all, 1));
    CHECK(str_is(pb_fields_text(&m, 1), "m") && pb_fields_u64(&m, 3) > 0);
    CHECK(pb_fields_u64(&m, 4) == 1 && pb_fields_u64(&m, 5) == 1);
    pb_fields_read(&s, pb_fields_bytes(&m, 6));
    static const uint64_t counts[] = {1, 1, 1, 1, 1, 1, 0, 0};   /* both were read, one was run: that one counts */
    for (uint32_t i = 0; i < COUNTOF(counts); i++) {
        CHECK(pb_fields_has(&s, i + 1));
        pb_fields_read(&d, pb_fields_bytes(&s, i + 1));
        CHECK_U64(pb_fields_u64(&d, 1), counts[i]);
        CHECK((pb_fields_u64(&d, 2) > 0) == (counts[i] > 0));
    }
    CHECK(strncmp(ASK(v2_rpc_model_statistics, ""), "ok ", 3) == 0 && reply_has("\x0a\1n\x12\1" "1"));
    CHECK_STR(ASK(v2_rpc_model_statistics, "\x0a\1?"), "404 Model with name ? does not exist.");
}

static void what_cannot_be_is_refused_by_name(void)
{
    CHECK_STR(ASK(v2_rpc_repository_index, ""), "ok 0a0d0a016d1201311a0552454144590a0d0a016e1201311a055245414459");
    static const char no[] = "503 explicit model load / unload is not allowed if polling is enabled";
    CHECK_STR(ASK(v2_rpc_model_load, "\x12\1m"), no);
    CHECK_STR(ASK(v2_rpc_model_load, "\x0a\1m"), no);
    CHECK_STR(ASK(v2_rpc_model_unload, "\x12\1m"), no);
    CHECK_STR(ASK(v2_rpc_cuda_memory_status, ""), "ok ");
    CHECK_STR(ASK(v2_rpc_cuda_memory_status, "\x0a\1a"), "404 Unable to find shared memory region: 'a'");
    CHECK_STR(ASK(v2_rpc_cuda_memory_register, ""), "501 CUDA shared memory is not supported: models run on the CPU");
    CHECK_STR(ASK(v2_rpc_cuda_memory_unregister, "\x0a\1a"), "ok ");
    CHECK(strncmp(ASK(v2_rpc_trace_setting, ""), "ok ", 3) == 0 && reply_has("trace_level") && reply_has("OFF"));
    CHECK_STR(ASK(v2_rpc_trace_setting, "\x12\1?"), "404 Model with name ? does not exist.");
}

static void regions_come_and_go(void)
{
    char key[40], request[80];
    snprintf(key, sizeof key, "/proa-rpc-%d", (int)getpid());
    int fd = shm_open(key, O_CREAT | O_RDWR, 0600);
    INVARIANT(fd >= 0 && ftruncate(fd, 64) == 0);
    int n = snprintf(request, sizeof request, "\x0a\1r\x12%c%s\x18\x08\x20\x10", (char)strlen(key), key);
    CHECK_STR(ASK(v2_rpc_memory_status, ""), "ok ");
    CHECK_STR(say(v2_rpc_memory_register, request, (size_t)n), "ok ");
    CHECK_STR(say(v2_rpc_memory_register, request, (size_t)n), "409 shared memory region 'r' already in manager");
    CHECK(strncmp(ASK(v2_rpc_memory_status, "\x0a\1r"), "ok 0a", 5) == 0);
    CHECK(reply_has("\x0a\1r\x12") && reply_has(key) && reply_has("\x18\x08\x20\x10"));
    CHECK_STR(ASK(v2_rpc_memory_status, "\x0a\1q"), "404 Unable to find shared memory region: 'q'");
    CHECK(strstr(http_rig_get(&rig, "/v2/systemsharedmemory/status"), "\"offset\":8,\"byte_size\":16}]"));
    CHECK(strstr(http_rig_get(&rig, "/v2/systemsharedmemory/region/r/status"),
                 "[{\"name\":\"r\",\"key\":\"/proa-rpc-"));
    CHECK_STR(http_rig_get(&rig, "/v2/systemsharedmemory/region/q/status"),
              "404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 52\r\n\r\n"
              "{\"error\":\"Unable to find shared memory region: 'q'\"}");
    n = snprintf(request, sizeof request, "{\"key\":\"%s\",\"byte_size\":64}", key);
    const char *added = http_rig_post(&rig, "/v2/systemsharedmemory/region/s/register", "", request, (size_t)n);
    CHECK(strncmp(added, "200 ", 4) == 0);
    CHECK(strncmp(http_rig_post(&rig, "/v2/systemsharedmemory/region/t/register", "", "{}", 2), "400 ", 4) == 0);
    CHECK(strncmp(http_rig_post(&rig, "/v2/systemsharedmemory/region/t/register", "", "[", 1), "400 ", 4) == 0);
    CHECK(strncmp(ASK(v2_rpc_memory_status, "\x0a\1s"), "ok 0a", 5) == 0);
    CHECK_STR(ASK(v2_rpc_memory_unregister, "\x0a\1r"), "ok ");
    CHECK(strncmp(http_rig_post(&rig, "/v2/systemsharedmemory/region/q/unregister", "", "", 0), "200 ", 4) == 0);
    CHECK(strncmp(http_rig_post(&rig, "/v2/systemsharedmemory/unregister", "", "", 0), "200 ", 4) == 0);
    CHECK_STR(ASK(v2_rpc_memory_status, ""), "ok ");
    close(fd);
    shm_unlink(key);
}

/* One entry of map<string, SettingValue>. */
static const char *set_log(const char *key, uint32_t number, uint64_t v, const char *z)
{
    buf b;
    buf_init(&b, 500);
    size_t entry = pb_open(&b, 1);
    pb_put_str(&b, 1, str_of(key));
    size_t to = pb_open(&b, 2);
    if (z) pb_put_str(&b, number, str_of(z));
    else pb_put_u64(&b, number, v);
    pb_close(&b, to);
    pb_close(&b, entry);
    const char *got = say(v2_rpc_log_settings, b.p, b.len);
    buf_fini(&b);
    return got;
}

static void the_logs_level_may_be_set(void)
{
    log_level before = log_level_now();
    log_level_set(LOG_INFO);
    CHECK(strncmp(ASK(v2_rpc_log_settings, ""), "ok ", 3) == 0 && log_level_now() == LOG_INFO);
    CHECK(strncmp(set_log("log_verbose_level", 2, 2, NULL), "ok ", 3) == 0 && log_level_now() == LOG_DEBUG);
    CHECK(strncmp(set_log("log_verbose_level", 2, 0, NULL), "ok ", 3) == 0 && log_level_now() == LOG_INFO);
    CHECK(strncmp(set_log("log_info", 1, 0, NULL), "ok ", 3) == 0 && log_level_now() == LOG_WARN);
    CHECK(strncmp(set_log("log_warning", 1, 0, NULL), "ok ", 3) == 0 && log_level_now() == LOG_ERROR);
    CHECK(strncmp(set_log("log_warning", 1, 1, NULL), "ok ", 3) == 0 && log_level_now() == LOG_WARN);
    CHECK(strncmp(set_log("log_format", 3, 0, "default"), "ok ", 3) == 0 && log_level_now() == LOG_WARN);
    CHECK(strncmp(set_log("log_error", 1, 0, NULL), "ok ", 3) == 0 && !log_level_on(LOG_ERROR));
    CHECK(strncmp(set_log("log_error", 1, 1, NULL), "ok ", 3) == 0 && log_level_on(LOG_ERROR));
    CHECK(strncmp(set_log("log_format", 3, 0, "ISO8601"), "ok ", 3) == 0 && log_plain_now());
    CHECK(strncmp(set_log("log_format", 3, 0, "default"), "ok ", 3) == 0 && !log_plain_now());
    CHECK_STR(set_log("log_file", 3, 0, "/x"), "501 log file location can not be updated through network protocol");
    CHECK_STR(set_log("log_info", 2, 1, NULL), "400 expect boolean for 'log_info'");
    CHECK_STR(set_log("log_verbose_level", 1, 1, NULL), "400 expect unsigned int32 for 'log_verbose_level'");
    CHECK_STR(set_log("log_x", 1, 1, NULL), "400 settings: unknown setting 'log_x'");
    CHECK_STR(set_log("log_format", 3, 0, "x"), "400 invalid argument for --log_format, got: x");   /* 503 by REST */
    CHECK(strncmp(ASK(v2_rpc_log_settings, "\x08\1"), "400 ", 4) == 0);
    CHECK(log_level_now() == LOG_WARN);
    log_level_set(before);
}

/* {"trace_rate": value, or nothing} of `model`. */
static const char *set_rate(const char *of, const char *rate)
{
    buf b;
    buf_init(&b, 500);
    size_t entry = pb_open(&b, 1);
    pb_put_str(&b, 1, STR("trace_rate"));
    size_t to = pb_open(&b, 2);
    if (rate) pb_put_str(&b, 1, str_of(rate));
    pb_close(&b, to);
    pb_close(&b, entry);
    pb_put_str(&b, 2, str_of(of));
    const char *got = say(v2_rpc_trace_setting, b.p, b.len);
    buf_fini(&b);
    return got;
}

static void trace_settings_are_rests_own(void)
{
    static const char on[] = "{\"trace_level\":[\"TIMESTAMPS\"]}";
    CHECK(strncmp(set_rate("m", "7"), "ok ", 3) == 0 && reply_has("\x0a\x01" "7"));
    CHECK(strstr(http_rig_get(&rig, "/v2/models/m/trace/setting"), "\"trace_rate\":\"7\""));
    CHECK(strstr(http_rig_get(&rig, "/v2/trace/setting"), "\"trace_rate\":\"1000\""));
    CHECK(strncmp(set_rate("", "9"), "ok ", 3) == 0 && reply_has("\x0a\x01" "9"));
    CHECK(strncmp(set_rate("m", NULL), "ok ", 3) == 0 && reply_has("\x0a\x01" "9"));
    CHECK_STR(set_rate("m", "x"), "400 Unable to parse 'trace_rate', got: x");
    CHECK_STR(set_rate("?", "1"), "404 Model with name ? does not exist.");
    CHECK(strncmp(set_rate("", NULL), "ok ", 3) == 0 && reply_has("\x0a\x04" "1000"));
    const char *got = http_rig_post(&rig, "/v2/models/m/trace/setting", "", on, sizeof on - 1);
    CHECK(strstr(got, "trace file name is not given"));
    CHECK(strncmp(http_rig_post(&rig, "/v2/models/q/trace/setting", "", "{}", 2), "404 ", 4) == 0);
}

static void rest_says_what_grpc_says(void)
{
    const char *got = http_rig_get(&rig, "/v2/models/m/config");
    CHECK(strncmp(got, "200 OK", 6) == 0 && strstr(got, "\"data_type\":\"TYPE_FP32\",\"format\":\"FORMAT_NONE\","
                                                        "\"dims\":[-1,2],"));
    CHECK(strstr(got, "\"instance_group\":[{\"name\":\"m\",\"kind\":\"KIND_CPU\""));
    CHECK(strncmp(http_rig_get(&rig, "/v2/models/m/versions/2/config"), "404 ", 4) == 0);
    got = http_rig_get(&rig, "/v2/models/m/stats");
    CHECK(strstr(got, "{\"model_stats\":[{\"name\":\"m\",\"version\":\"1\",\"last_inference\":"));
    CHECK(strstr(got, "\"inference_count\":1,\"execution_count\":1,") && !strstr(got, "\"name\":\"n\""));
    CHECK(strstr(got, "\"cache_miss\":{\"count\":0,\"ns\":0}},\"response_stats\":{},\"batch_stats\":[{\"batch_size\":1,"
                      "\"compute_input\":{\"count\":1,\"ns\":"));
    CHECK(strstr(http_rig_get(&rig, "/v2/models/stats"), "},{\"name\":\"n\",\"version\":\"1\""));
    CHECK(strncmp(http_rig_get(&rig, "/v2/models/m/versions/2/stats"), "404 ", 4) == 0);
    CHECK(strstr(http_rig_post(&rig, "/v2/repository/index", "", "{\"ready\":true}", 14),
                 "[{\"name\":\"m\",\"version\":\"1\",\"state\":\"READY\"},{\"name\":\"n\","));
    CHECK(strstr(http_rig_post(&rig, "/v2/repository/index", "", "{\"ready\":1}", 11), "ready: expected"));
    CHECK(strstr(http_rig_post(&rig, "/v2/cudasharedmemory/region/r/register", "", "{}", 2), "501 Not Implemented"));
    CHECK(strstr(http_rig_post(&rig, "/v2/cudasharedmemory/unregister", "", "", 0), "200 OK"));
    CHECK(strstr(http_rig_get(&rig, "/v2/cudasharedmemory/region/r/status"), "Unable to find shared memory region"));
    CHECK(strstr(http_rig_get(&rig, "/v2/logging"), "{\"log_file\":\"\",\"log_info\":"));
}

static void reflection_finds_files_by_name_and_symbol(void)
{
    CHECK(strncmp(ASK(reflection_rpc_info, "\x3a\0"), "ok ", 3) == 0);
    for (size_t i = 0; i < proto_service_count; i++) CHECK(reply_has(proto_services[i]));
    CHECK(strncmp(ASK(reflection_rpc_info, "\x1a\x0chealth.proto"), "ok ", 3) == 0 && reply_has("NOT_SERVING"));
    for (size_t i = 0; i < proto_symbol_count; i++) {
        buf b;
        buf_init(&b, 500);
        pb_put_str(&b, 1, STR("host"));
        pb_put_str(&b, 4, str_of(proto_symbols[i].name));
        CHECK(strncmp(say(reflection_rpc_info, b.p, b.len), "ok ", 3) == 0);
        pb_fields q, file;
        pb_fields_read(&q, buf_str(&reply));
        CHECK(str_is(pb_fields_text(&q, 1), "host") && str_eq(pb_fields_bytes(&q, 2), buf_str(&b)));
        pb_fields_read(&file, pb_fields_bytes(&q, 4));
        CHECK_U64(pb_fields_bytes(&file, 1).len, proto_files[proto_symbols[i].file].len);
        buf_fini(&b);
    }
    CHECK(strncmp(ASK(reflection_rpc_info, "\x22\x1einference.ModelInferRequest.id"), "ok ", 3) == 0);
    CHECK(reply_has("raw_input_contents"));
    CHECK(strncmp(ASK(reflection_rpc_info, "\x22\x01."), "ok ", 3) == 0 && reply_has("symbol not found: ."));
    CHECK(strncmp(ASK(reflection_rpc_info, "\x1a\x01z"), "ok ", 3) == 0 && reply_has("file not found: z"));
    CHECK(strncmp(ASK(reflection_rpc_info, "\x2a\0"), "ok ", 3) == 0 && reply_has("extension not found"));
    CHECK(strncmp(ASK(reflection_rpc_info, "\x32\1z"), "ok ", 3) == 0 && reply_has("extensions of type not found: z"));
    CHECK_STR(ASK(reflection_rpc_info, ""), "400 ServerReflectionRequest: expected a message_request, got none");
}

int main(void)
{
    onnx_build b;
    serve_rig_twice(&b);
    serve_rig_save(&b, twice_path);
    onnx_build_end(&b);
    buf_init(&reply, 1 << 20);
    bool started = http_rig_start(&rig, &(http_rig_opts){.threads = "1"}, models);
    INVARIANT(started);
    static const test_case cases[] = {
        TEST(health_follows_the_server), TEST(metadata_names_inputs_and_outputs), TEST(statistics_count_what_was_asked),
        TEST(what_cannot_be_is_refused_by_name), TEST(the_logs_level_may_be_set),
        TEST(trace_settings_are_rests_own), TEST(rest_says_what_grpc_says), TEST(regions_come_and_go),
        TEST(reflection_finds_files_by_name_and_symbol),
    };
    int status = test_main(cases, COUNTOF(cases));
    http_rig_stop(&rig);
    serve_rig_unsave(twice_path);
    buf_fini(&reply);
    return status;
}
