#include "serve/v2_rpc.h"

#include "base/log.h"
#include "base/version.h"
#include "os/clock.h"
#include "wire/pb_fields.h"

enum {
    MAP_KEY = 1, MAP_VALUE = 2,
    REGIONS_MEMORY = 2 << 20   /* for the list of shared memory's, each with two strings of SHM_NAME_MAX */
};

/* ---- health and metadata ---- */

err_code v2_rpc_server_live(endpoints *s, str request, buf *reply, err *e)
{
    (void)s, (void)request, (void)e;
    pb_put_bool(reply, 1, true);
    return ERR_OK;
}

err_code v2_rpc_server_ready(endpoints *s, str request, buf *reply, err *e)
{
    (void)request, (void)e;
    pb_put_bool(reply, 1, endpoints_ready(s));
    return ERR_OK;
}

/* {name = 1, version = 2}, as most requests are. */
static err_code model_read(endpoints *s, str request, const char *what, served **ret, err *e)
{
    pb_fields q;
    pb_fields_read(&q, request);
    str name = pb_fields_text(&q, 1), version = pb_fields_text(&q, 2);
    err_code rc = pb_fields_check(&q, what, e);
    return rc ? rc : repository_find(s->models, name, version, ret, e);
}

/* A model that is not there is not ready: clients ask until it is, so that is an answer and no error. */
err_code v2_rpc_model_ready(endpoints *s, str request, buf *reply, err *e)
{
    served *m;
    err_code rc = model_read(s, request, "ModelReadyRequest", &m, e);
    if (rc && rc != ERR_NOT_FOUND) return rc;
    pb_put_bool(reply, 1, rc == ERR_OK && endpoints_ready(s));
    return ERR_OK;
}

err_code v2_rpc_server_metadata(endpoints *s, str request, buf *reply, err *e)
{
    static const char *const extensions[] = {"binary_tensor_data", "model_configuration", "model_repository",
                                             "statistics", "logging", "classification", "system_shared_memory"};
    (void)s, (void)request, (void)e;
    pb_put_str(reply, 1, STR("proa"));
    pb_put_str(reply, 2, STR(PROA_VERSION));
    for (size_t i = 0; i < COUNTOF(extensions); i++) pb_put_str(reply, 3, str_of(extensions[i]));
    return ERR_OK;
}

typedef const model_io *io_at(const model *m, uint32_t i);

static void metadata_put(buf *reply, uint32_t number, const model *m, io_at *at, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const model_io *io = at(m, i);
        const char *type = dtype_v2_name(io->type);
        size_t opened = pb_open(reply, number);
        pb_put_str(reply, 1, io->name);
        pb_put_str(reply, 2, str_of(type ? type : dtype_name(io->type)));
        pb_put_packed_i64(reply, 3, io->shape.dim, io->shape.rank);
        pb_close(reply, opened);
    }
}

err_code v2_rpc_model_metadata(endpoints *s, str request, buf *reply, err *e)
{
    served *m;
    err_code rc = model_read(s, request, "ModelMetadataRequest", &m, e);
    if (rc) return rc;
    pb_put_str(reply, 1, m->name);
    pb_put_str(reply, 2, m->version);
    pb_put_str(reply, 3, STR("onnx_onnxv1"));
    metadata_put(reply, 4, m->model, model_input, model_input_count(m->model));
    metadata_put(reply, 5, m->model, model_output, model_output_count(m->model));
    return ERR_OK;
}

/* ---- model configuration ---- */

/* Triton's enum DataType. */
static int64_t config_type(dtype t)
{
    static const uint8_t types[DT_COUNT] = {
        [DT_BOOL] = 1, [DT_U8] = 2,  [DT_U16] = 3,  [DT_U32] = 4,  [DT_U64] = 5,  [DT_I8] = 6,      [DT_I16] = 7,
        [DT_I32] = 8,  [DT_I64] = 9, [DT_F16] = 10, [DT_F32] = 11, [DT_F64] = 12, [DT_STRING] = 13, [DT_BF16] = 14,
    };
    return types[t];
}

static void config_io_put(buf *reply, uint32_t number, uint32_t dims_number, const model_io *io)
{
    size_t opened = pb_open(reply, number);
    pb_put_str(reply, 1, io->name);
    pb_put_i64(reply, 2, config_type(io->type));
    pb_put_packed_i64(reply, dims_number, io->shape.dim, io->shape.rank);
    pb_close(reply, opened);
}

err_code v2_rpc_model_config(endpoints *s, str request, buf *reply, err *e)
{
    served *m;
    err_code rc = model_read(s, request, "ModelConfigRequest", &m, e);
    if (rc) return rc;
    size_t config = pb_open(reply, 1);
    pb_put_str(reply, 1, m->name);
    pb_put_str(reply, 2, STR("onnxruntime_onnx"));   /* what clients know such a model by */
    size_t policy = pb_open(reply, 3), latest = pb_open(reply, 1);
    pb_put_u64(reply, 1, 1);
    pb_close(reply, latest);
    pb_close(reply, policy);
    for (uint32_t i = 0; i < model_input_count(m->model); i++) config_io_put(reply, 5, 4, model_input(m->model, i));
    for (uint32_t i = 0; i < model_output_count(m->model); i++) config_io_put(reply, 6, 3, model_output(m->model, i));
    pb_put_str(reply, 8, STR("model.onnx"));
    pb_put_str(reply, 17, STR("onnxruntime"));
    pb_close(reply, config);
    return ERR_OK;
}

/* ---- statistics ---- */

static void duration_put(buf *reply, uint32_t number, uint64_t count, uint64_t ns)
{
    size_t opened = pb_open(reply, number);
    if (count) pb_put_u64(reply, 1, count);
    if (ns) pb_put_u64(reply, 2, ns);
    pb_close(reply, opened);
}

/* InferStatistics: success, fail, queue, compute_input, compute_infer, compute_output, cache_hit, cache_miss. */
static void statistics_put(buf *reply, const metrics_model *m)
{
    const metric_histogram *const parts[] = {&m->total,      &m->failed,  &m->queue_wait,
                                             &m->preprocess, &m->predict, &m->postprocess};
    size_t opened = pb_open(reply, 6);
    for (uint32_t i = 0; i < COUNTOF(parts); i++) {
        uint64_t count, ns;
        metric_sum(parts[i], &count, &ns);
        duration_put(reply, i + 1, count, ns);
    }
    duration_put(reply, 7, 0, 0);
    duration_put(reply, 8, 0, 0);
    pb_close(reply, opened);
}

static void model_statistics_put(buf *reply, served *m)
{
    uint64_t successes, runs, ns, last_ms = 0;
    uint64_t last_ns = atomic_load_explicit(&m->metrics.last_ns, memory_order_relaxed);
    if (last_ns) last_ms = (clock_wall_us() - (clock_now_ns() - last_ns) / 1000) / 1000;
    metric_sum(&m->metrics.total, &successes, &ns);
    metric_sum(&m->metrics.predict, &runs, &ns);
    size_t opened = pb_open(reply, 1);
    pb_put_str(reply, 1, m->name);
    pb_put_str(reply, 2, m->version);
    pb_put_u64(reply, 3, last_ms);
    pb_put_u64(reply, 4, successes);
    pb_put_u64(reply, 5, runs);
    statistics_put(reply, &m->metrics);
    pb_close(reply, opened);
}

/* Without a name: of all models. */
err_code v2_rpc_model_statistics(endpoints *s, str request, buf *reply, err *e)
{
    pb_fields q;
    served *m;
    pb_fields_read(&q, request);
    if (pb_fields_text(&q, 1).len) {
        err_code rc = model_read(s, request, "ModelStatisticsRequest", &m, e);
        if (rc == ERR_OK) model_statistics_put(reply, m);
        return rc;
    }
    err_code rc = pb_fields_check(&q, "ModelStatisticsRequest", e);
    for (size_t i = 0; i < repository_count(s->models) && rc == ERR_OK; i++)
        model_statistics_put(reply, repository_at(s->models, i));
    return rc;
}

/* ---- repository ---- */

err_code v2_rpc_repository_index(endpoints *s, str request, buf *reply, err *e)
{
    pb_fields q;
    pb_fields_read(&q, request);
    (void)pb_fields_text(&q, 1);
    (void)pb_fields_bool(&q, 2);   /* only what is ready: all of them are */
    err_code rc = pb_fields_check(&q, "RepositoryIndexRequest", e);
    for (size_t i = 0; i < repository_count(s->models) && rc == ERR_OK; i++) {
        const served *m = repository_at(s->models, i);
        size_t opened = pb_open(reply, 1);
        pb_put_str(reply, 1, m->name);
        pb_put_str(reply, 2, m->version);
        pb_put_str(reply, 3, STR("READY"));
        pb_close(reply, opened);
    }
    return rc;
}

/* The name is field 2, behind a repository's; KServe's clients have it in field 1. */
static err_code refuse_change(endpoints *s, str request, const char *what, const char *verb, err *e)
{
    pb_fields q;
    served *m;
    pb_fields_read(&q, request);
    str first = pb_fields_text(&q, 1), second = pb_fields_text(&q, 2);
    err_code rc = pb_fields_check(&q, what, e);
    if (rc == ERR_OK) rc = repository_find(s->models, second.len ? second : first, STR(""), &m, e);
    return rc ? rc
              : err_set(e, ERR_UNSUPPORTED, "Model with name " STR_FMT " cannot be %s: models are chosen at start.",
                        STR_ARG(m->name), verb);
}

err_code v2_rpc_model_load(endpoints *s, str request, buf *reply, err *e)
{
    (void)reply;
    return refuse_change(s, request, "RepositoryModelLoadRequest", "loaded again", e);
}

err_code v2_rpc_model_unload(endpoints *s, str request, buf *reply, err *e)
{
    (void)reply;
    return refuse_change(s, request, "RepositoryModelUnloadRequest", "unloaded", e);
}

/* ---- shared memory ---- */

static err_code region_read(str request, const char *what, str *ret, err *e)
{
    pb_fields q;
    pb_fields_read(&q, request);
    *ret = pb_fields_text(&q, 1);
    return pb_fields_check(&q, what, e);
}

static err_code region_unknown(str name, err *e)
{
    return err_set(e, ERR_NOT_FOUND, "Unable to find shared memory region: '" STR_FMT "'", STR_ARG(name));
}

static void region_put(buf *reply, const shm_region *r)
{
    size_t entry = pb_open(reply, 1);
    pb_put_str(reply, MAP_KEY, r->name);
    size_t status = pb_open(reply, MAP_VALUE);
    pb_put_str(reply, 1, r->name);
    pb_put_str(reply, 2, r->key);
    pb_put_u64(reply, 3, r->offset);
    pb_put_u64(reply, 4, r->bytes);
    pb_close(reply, status);
    pb_close(reply, entry);
}

/* Without a name: all regions. */
err_code v2_rpc_memory_status(endpoints *s, str request, buf *reply, err *e)
{
    str name;
    shm_region *list;
    size_t count = 0;
    arena a;
    err_code rc = region_read(request, "SystemSharedMemoryStatusRequest", &name, e);
    if (rc) return rc;
    arena_init(&a, NULL, 0, REGIONS_MEMORY);
    rc = shm_list(s->regions, name, &a, &list, &count, e);
    for (size_t i = 0; i < count; i++) region_put(reply, &list[i]);
    arena_fini(&a);
    return rc == ERR_OK && name.len && count == 0 ? region_unknown(name, e) : rc;
}

err_code v2_rpc_memory_register(endpoints *s, str request, buf *reply, err *e)
{
    (void)reply;
    pb_fields q;
    pb_fields_read(&q, request);
    shm_region r = {.name = pb_fields_text(&q, 1),
                    .key = pb_fields_text(&q, 2),
                    .offset = pb_fields_u64(&q, 3),
                    .bytes = pb_fields_u64(&q, 4)};
    err_code rc = pb_fields_check(&q, "SystemSharedMemoryRegisterRequest", e);
    return rc ? rc : shm_register(s->regions, &r, e);
}

/* Without a name: all regions. */
err_code v2_rpc_memory_unregister(endpoints *s, str request, buf *reply, err *e)
{
    (void)reply;
    str name;
    err_code rc = region_read(request, "SystemSharedMemoryUnregisterRequest", &name, e);
    if (rc == ERR_OK) shm_unregister(s->regions, name);
    return rc;
}

/* There are none. */
err_code v2_rpc_cuda_memory_status(endpoints *s, str request, buf *reply, err *e)
{
    (void)s, (void)reply;
    str name;
    err_code rc = region_read(request, "CudaSharedMemoryStatusRequest", &name, e);
    return rc == ERR_OK && name.len ? region_unknown(name, e) : rc;
}

err_code v2_rpc_cuda_memory_register(endpoints *s, str request, buf *reply, err *e)
{
    (void)s, (void)request, (void)reply;
    return err_set(e, ERR_UNSUPPORTED, "CUDA shared memory is not supported: models run on the CPU");
}

/* Nothing is registered, so nothing is left of it: scripts begin with this call. */
err_code v2_rpc_cuda_memory_unregister(endpoints *s, str request, buf *reply, err *e)
{
    (void)s, (void)reply;
    str name;
    return region_read(request, "CudaSharedMemoryUnregisterRequest", &name, e);
}

/* ---- settings ---- */

/* Triton's names and its values for "no tracing". */
err_code v2_rpc_trace_setting(endpoints *s, str request, buf *reply, err *e)
{
    static const char *const rows[][2] = {{"trace_level", "OFF"}, {"trace_rate", "1000"}, {"trace_count", "-1"},
                                          {"log_frequency", "0"}, {"trace_file", ""},     {"trace_mode", "triton"}};
    pb_fields q;
    served *m;
    pb_fields_read(&q, request);
    str name = pb_fields_text(&q, 2);
    err_code rc = pb_fields_check(&q, "TraceSettingRequest", e);
    if (rc == ERR_OK && name.len) rc = repository_find(s->models, name, STR(""), &m, e);
    if (rc == ERR_OK && pb_fields_has(&q, 1)) rc = err_set(e, ERR_UNSUPPORTED, "trace settings cannot be changed");
    for (size_t i = 0; i < COUNTOF(rows) && rc == ERR_OK; i++) {
        size_t entry = pb_open(reply, 1);
        pb_put_str(reply, MAP_KEY, str_of(rows[i][0]));
        size_t setting = pb_open(reply, MAP_VALUE);
        pb_put_str(reply, 1, str_of(rows[i][1]));
        pb_close(reply, setting);
        pb_close(reply, entry);
    }
    return rc;
}

/* Settings of a log that knows levels: the lowest one that is written. */
typedef struct {
    bool verbose, info, warning;
} log_wish;

static log_wish log_now(void)
{
    log_level l = log_level_now();
    return (log_wish){.verbose = l <= LOG_DEBUG, .info = l <= LOG_INFO, .warning = l <= LOG_WARN};
}

static log_level level_of(const log_wish *w)
{
    return w->verbose ? LOG_DEBUG : w->info ? LOG_INFO : w->warning ? LOG_WARN : LOG_ERROR;
}

/* One entry of map<string, SettingValue>; the value is a bool, a number or a string. */
static err_code log_setting_read(pb entry, log_wish *w, err *e)
{
    pb_fields v = {.has = {false}};
    pb_field f;
    str key = STR("");
    while (pb_next(&entry, &f)) {
        if (f.number == MAP_KEY) key = pb_text(&entry, &f);
        if (f.number == MAP_VALUE) pb_fields_read(&v, pb_bytes(&entry, &f));
    }
    bool on = pb_fields_bool(&v, 1);
    uint64_t number = pb_fields_u64(&v, 2);
    str text = pb_fields_text(&v, 3);
    err_code rc = pb_check(&entry, "settings", e);
    if (rc == ERR_OK) rc = pb_fields_check(&v, "settings", e);
    if (rc) return rc;
    if (str_is(key, "log_info")) w->info = on;
    else if (str_is(key, "log_warning")) w->warning = on;
    else if (str_is(key, "log_verbose_level")) w->verbose = number > 0;
    else if (str_is(key, "log_error") && !on) return err_set(e, ERR_UNSUPPORTED, "log_error: errors are always logged");
    else if (str_is(key, "log_file") && text.len)
        return err_set(e, ERR_UNSUPPORTED, "log_file: the log goes to standard error, as it was started");
    else if (str_is(key, "log_format") && !str_is(text, "default"))
        return err_set(e, ERR_UNSUPPORTED, "log_format: expected 'default', got '" STR_FMT "'", STR_ARG(text));
    else if (!str_is(key, "log_error") && !str_is(key, "log_file") && !str_is(key, "log_format"))
        return err_set(e, ERR_INVALID, "settings: unknown setting '" STR_FMT "'", STR_ARG(key));
    return ERR_OK;
}

static void log_setting_put(buf *reply, const char *key, uint32_t number, uint64_t v, const char *text)
{
    size_t entry = pb_open(reply, 1);
    pb_put_str(reply, MAP_KEY, str_of(key));
    size_t setting = pb_open(reply, MAP_VALUE);
    if (text) pb_put_str(reply, number, str_of(text));
    else pb_put_u64(reply, number, v);
    pb_close(reply, setting);
    pb_close(reply, entry);
}

err_code v2_rpc_log_settings(endpoints *s, str request, buf *reply, err *e)
{
    (void)s;
    log_wish w = log_now();
    pb m;
    pb_field f;
    bool changed = false;
    err_code rc = ERR_OK;
    pb_init(&m, request.p, request.len);
    while (rc == ERR_OK && pb_next(&m, &f)) {
        if (f.number != 1) continue;
        rc = log_setting_read(pb_sub(&m, &f), &w, e);
        changed = true;
    }
    if (rc == ERR_OK) rc = pb_check(&m, "LogSettingsRequest", e);
    if (rc) return rc;
    if (changed) log_level_set(level_of(&w));
    w = log_now();
    log_setting_put(reply, "log_file", 3, 0, "");
    log_setting_put(reply, "log_info", 1, w.info, NULL);
    log_setting_put(reply, "log_warning", 1, w.warning, NULL);
    log_setting_put(reply, "log_error", 1, true, NULL);
    log_setting_put(reply, "log_verbose_level", 2, w.verbose, NULL);
    log_setting_put(reply, "log_format", 3, 0, "default");
    return ERR_OK;
}
