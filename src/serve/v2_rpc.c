#include "serve/v2_rpc.h"

#include "base/version.h"
#include "models/model_config.h"
#include "models/model_control.h"
#include "serve/alias_rest.h"
#include "serve/log_setting.h"
#include "serve/statistic.h"
#include "serve/v2_rest.h"
#include "wire/pb_fields.h"

#include <string.h>

enum {
    MAP_KEY = 1, MAP_VALUE = 2,
    TRACE_VALUES_MAX = 8,      /* of one trace setting */
    REGIONS_MEMORY = 2 << 20   /* for the list of shared memory's, each with two strings of SHM_NAME_MAX */
};

/* ---- health and metadata ---- */

err_code v2_rpc_server_live(endpoints *s, rpc_request request, buf *reply, err *e)
{
    (void)s, (void)request, (void)e;
    pb_put_bool(reply, 1, true);
    return ERR_OK;
}

err_code v2_rpc_server_ready(endpoints *s, rpc_request request, buf *reply, err *e)
{
    (void)request, (void)e;
    pb_put_bool(reply, 1, endpoints_ready(s));
    return ERR_OK;
}

/* {name = 1, version = 2}, as most requests are. */
static err_code model_read(endpoints *s, rpc_request request, const char *what, served **ret, err *e)
{
    pb_fields q;
    pb_fields_read(&q, request.bytes);
    str name = pb_fields_text(&q, 1), version = pb_fields_text(&q, 2);
    err_code rc = pb_fields_check(&q, what, e);
    return rc ? rc : endpoints_find(s, request.who, &(model_id){name, version}, ret, e);
}

static bool version_asked(endpoints *s, rpc_request request)
{
    pb_fields q;
    pb_fields_read(&q, request.bytes);
    str name = pb_fields_text(&q, 1), version = pb_fields_text(&q, 2);
    return alias_rest_one_version(s, name, version);
}

/* It is not in memory, and is ready all the same: who asks for it is answered. */
static bool model_waits(endpoints *s, rpc_request request)
{
    pb_fields q;
    pb_fields_read(&q, request.bytes);
    str name = pb_fields_text(&q, 1), version = pb_fields_text(&q, 2);
    alias led;
    return guard_sees(request.who, name) && repository_comes(s->models, name, version, &led);
}

/* A model that is not there is not ready: clients ask until it is, so that is an answer and no error. */
err_code v2_rpc_model_ready(endpoints *s, rpc_request request, buf *reply, err *e)
{
    served *m;
    err_code rc = model_read(s, request, "ModelReadyRequest", &m, e);
    if (rc && rc != ERR_NOT_FOUND) return rc;
    pb_put_bool(reply, 1, (rc == ERR_OK || model_waits(s, request)) && endpoints_ready(s));
    return ERR_OK;
}

err_code v2_rpc_server_metadata(endpoints *s, rpc_request request, buf *reply, err *e)
{
    (void)s, (void)request, (void)e;
    pb_put_str(reply, 1, STR("proa"));
    pb_put_str(reply, 2, STR(PROA_VERSION));
    for (size_t i = 0; v2_extensions[i]; i++) pb_put_str(reply, 3, str_of(v2_extensions[i]));
    return ERR_OK;
}

static void metadata_put(buf *reply, uint32_t number, const served *m, bool input)
{
    for (uint32_t i = 0; i < (input ? served_input_count(m) : served_output_count(m)); i++) {
        const model_io *io = input ? served_input(m, i) : served_output(m, i);
        shape s = model_config_declared(m->config, &m->ios, input, i);
        const char *type = dtype_v2_name(io->type);
        size_t opened = pb_open(reply, number);
        pb_put_str(reply, 1, io->name);
        pb_put_str(reply, 2, str_of(type ? type : dtype_name(io->type)));
        pb_put_packed_i64(reply, 3, s.dim, s.rank);
        pb_close(reply, opened);
    }
}

err_code v2_rpc_model_metadata(endpoints *s, rpc_request request, buf *reply, err *e)
{
    served *m;
    err_code rc = model_read(s, request, "ModelMetadataRequest", &m, e);
    if (rc) return rc;
    const lineup *of = version_asked(s, request) ? NULL : repository_lineup_of(s->models, m);
    pb_put_str(reply, 1, m->name);
    if (!of) pb_put_str(reply, 2, m->version);
    for (size_t i = of ? of->count : 0; i > 0; i--) pb_put_str(reply, 2, of->all[i - 1]->version);
    pb_put_str(reply, 3, str_of(served_platform(m)));
    metadata_put(reply, 4, m, true);
    metadata_put(reply, 5, m, false);
    return ERR_OK;
}

/* ---- model configuration ---- */

err_code v2_rpc_model_config(endpoints *s, rpc_request request, buf *reply, err *e)
{
    served *m;
    err_code rc = model_read(s, request, "ModelConfigRequest", &m, e);
    if (rc) return rc;
    size_t config = pb_open(reply, 1);
    model_config_put(reply, m->config);
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

static void model_statistics_put(buf *reply, served *m)
{
    statistic st;
    statistic_read(&st, &m->metrics);
    size_t opened = pb_open(reply, 1);
    pb_put_str(reply, 1, m->name);
    pb_put_str(reply, 2, m->version);
    pb_put_u64(reply, 3, st.last_ms);
    pb_put_u64(reply, 4, st.inferences);
    pb_put_u64(reply, 5, st.executions);
    size_t parts = pb_open(reply, 6);
    for (uint32_t i = 0; i < STATISTIC_PARTS_MAX; i++) duration_put(reply, i + 1, st.parts[i].count, st.parts[i].ns);
    pb_close(reply, parts);
    for (uint32_t i = 0; i < st.batch_count; i++) {
        const statistic_batch *b = &st.batches[i];
        size_t batched = pb_open(reply, 7);
        pb_put_u64(reply, 1, b->size);
        duration_put(reply, 2, b->count, b->input_ns);
        duration_put(reply, 3, b->count, b->infer_ns);
        duration_put(reply, 4, b->count, b->output_ns);
        pb_close(reply, batched);
    }
    pb_close(reply, opened);
}

static void lineup_statistics_put(buf *reply, const lineup *l)
{
    for (size_t i = l ? l->count : 0; i > 0; i--) model_statistics_put(reply, l->all[i - 1]);
}

/* Without a version: of all of them; without a name: of all models. */
err_code v2_rpc_model_statistics(endpoints *s, rpc_request request, buf *reply, err *e)
{
    pb_fields q;
    served *m;
    pb_fields_read(&q, request.bytes);
    if (pb_fields_text(&q, 1).len) {
        if (model_waits(s, request)) return ERR_OK;   /* it has none now */
        err_code rc = model_read(s, request, "ModelStatisticsRequest", &m, e);
        if (rc == ERR_OK && version_asked(s, request)) model_statistics_put(reply, m);
        else if (rc == ERR_OK) lineup_statistics_put(reply, repository_lineup_of(s->models, m));
        return rc;
    }
    err_code rc = pb_fields_check(&q, "ModelStatisticsRequest", e);
    for (size_t i = 0; i < repository_count(s->models) && rc == ERR_OK; i++) {
        m = repository_at(s->models, i);
        if (m && guard_sees(request.who, m->name)) lineup_statistics_put(reply, repository_lineup(s->models, i));
    }
    return rc;
}

/* ---- repository ---- */

static err_code repository_named(err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "'repository_name' specification is not supported");
}

err_code v2_rpc_repository_index(endpoints *s, rpc_request request, buf *reply, err *e)
{
    pb_fields q;
    pb_fields_read(&q, request.bytes);
    str of = pb_fields_text(&q, 1);
    bool ready = pb_fields_bool(&q, 2);   /* those alone */
    err_code rc = pb_fields_check(&q, "RepositoryIndexRequest", e);
    if (rc == ERR_OK && of.len) rc = repository_named(e);
    repository_entry m;
    alias_rest_cursor at = {.model = 0};
    while (rc == ERR_OK && alias_rest_entry(s, request.who, &at, &m)) {
        if (ready && strcmp(m.state, "READY") != 0) continue;
        size_t opened = pb_open(reply, 1);
        pb_put_str(reply, 1, m.name);
        pb_put_str(reply, 2, str_of(m.version));
        pb_put_str(reply, 3, str_of(m.state));
        if (m.reason[0]) pb_put_str(reply, 4, str_of(m.reason));
        pb_close(reply, opened);
    }
    return rc;
}

/* The name is field 2, behind a repository's; KServe's clients have it in field 1. */
static err_code control_read(bool unload, str request, const char *what, model_wish *ret, err *e)
{
    static const parameter_fields fields = {.on = 1, .i64 = 2, .text = 3};
    pb_fields q;
    pb m;
    pb_field f;
    pb_fields_read(&q, request);
    str first = pb_fields_text(&q, 1), second = pb_fields_text(&q, 2);
    err_code rc = pb_fields_check(&q, what, e);
    if (rc == ERR_OK && first.len && second.len) rc = repository_named(e);
    pb_init(&m, request.p, request.len);
    while (rc == ERR_OK && pb_next(&m, &f)) {
        str name;
        parameter p;
        if (f.number != 3) continue;
        rc = parameter_of_pb(pb_sub(&m, &f), &fields, what, &name, &p, e);
        if (rc == ERR_OK) rc = v2_control_parameter(unload, name, &p, ret, e);
    }
    if (rc == ERR_OK) rc = pb_check(&m, what, e);
    ret->name = second.len ? second : first;
    return rc;
}

err_code v2_rpc_model_load(endpoints *s, rpc_request request, buf *reply, err *e)
{
    (void)reply;
    model_wish w = {.granted = false};
    err_code rc = control_read(false, request.bytes, "RepositoryModelLoadRequest", &w, e);
    return rc ? rc : model_control_load(s->control, &w, e);
}

err_code v2_rpc_model_unload(endpoints *s, rpc_request request, buf *reply, err *e)
{
    (void)reply;
    model_wish w = {.granted = false};
    err_code rc = control_read(true, request.bytes, "RepositoryModelUnloadRequest", &w, e);
    return rc ? rc : model_control_unload(s->control, &w, e);
}

/* ---- shared memory ---- */

static err_code region_read(rpc_request request, const char *what, str *ret, err *e)
{
    pb_fields q;
    pb_fields_read(&q, request.bytes);
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
err_code v2_rpc_memory_status(endpoints *s, rpc_request request, buf *reply, err *e)
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

err_code v2_rpc_memory_register(endpoints *s, rpc_request request, buf *reply, err *e)
{
    (void)reply;
    pb_fields q;
    pb_fields_read(&q, request.bytes);
    shm_region r = {.name = pb_fields_text(&q, 1),
                    .key = pb_fields_text(&q, 2),
                    .offset = pb_fields_u64(&q, 3),
                    .bytes = pb_fields_u64(&q, 4)};
    err_code rc = pb_fields_check(&q, "SystemSharedMemoryRegisterRequest", e);
    return rc ? rc : shm_register(s->regions, &r, e);
}

/* Without a name: all regions. */
err_code v2_rpc_memory_unregister(endpoints *s, rpc_request request, buf *reply, err *e)
{
    (void)reply;
    str name;
    err_code rc = region_read(request, "SystemSharedMemoryUnregisterRequest", &name, e);
    if (rc == ERR_OK) shm_unregister(s->regions, name);
    return rc;
}

/* There are none. */
err_code v2_rpc_cuda_memory_status(endpoints *s, rpc_request request, buf *reply, err *e)
{
    (void)s, (void)reply;
    str name;
    err_code rc = region_read(request, "CudaSharedMemoryStatusRequest", &name, e);
    return rc == ERR_OK && name.len ? region_unknown(name, e) : rc;
}

err_code v2_rpc_cuda_memory_register(endpoints *s, rpc_request request, buf *reply, err *e)
{
    (void)s, (void)request, (void)reply;
    return err_set(e, ERR_UNSUPPORTED, "CUDA shared memory is not supported: models run on the CPU");
}

/* Nothing is registered, so nothing is left of it: scripts begin with this call. */
err_code v2_rpc_cuda_memory_unregister(endpoints *s, rpc_request request, buf *reply, err *e)
{
    (void)s, (void)reply;
    str name;
    return region_read(request, "CudaSharedMemoryUnregisterRequest", &name, e);
}

/* ---- settings ---- */

/* One entry of map<string, SettingValue>: a list of strings, empty to clear it. */
static err_code trace_entry_read(trace_change *to, pb entry, err *e)
{
    str name = STR(""), values[TRACE_VALUES_MAX];
    size_t count = 0;
    pb list;
    pb_field f;
    pb_init(&list, "", 0);
    while (pb_next(&entry, &f)) {
        if (f.number == MAP_KEY) name = pb_text(&entry, &f);
        if (f.number == MAP_VALUE) list = pb_sub(&entry, &f);
    }
    while (pb_next(&list, &f)) {
        if (f.number != 1) continue;
        if (count == TRACE_VALUES_MAX)
            return err_set(e, ERR_INVALID, "settings: expected at most %d values of one", TRACE_VALUES_MAX);
        values[count++] = pb_text(&list, &f);
    }
    err_code rc = pb_check(&entry, "settings", e);
    if (rc == ERR_OK) rc = pb_check(&list, "settings", e);
    return rc ? rc : trace_change_add(to, name, values, count, e);
}

static err_code trace_request_read(str request, str *ret_model, trace_change *ret, bool *ret_any, err *e)
{
    pb m;
    pb_field f;
    err_code rc = ERR_OK;
    pb_init(&m, request.p, request.len);
    while (rc == ERR_OK && pb_next(&m, &f)) {
        if (f.number == 2) *ret_model = pb_text(&m, &f);
        if (f.number != 1) continue;
        rc = trace_entry_read(ret, pb_sub(&m, &f), e);
        *ret_any = true;
    }
    return rc ? rc : pb_check(&m, "TraceSettingRequest", e);
}

err_code v2_rpc_trace_setting(endpoints *s, rpc_request request, buf *reply, err *e)
{
    trace_settings settings = {.own = NULL};
    trace_change change = {.set = 0};
    trace_setting_words w;
    str of = STR("");
    bool any = false;
    err_code rc = trace_request_read(request.bytes, &of, &change, &any, e);
    if (rc == ERR_OK) rc = any ? guard_server(request.who, e) : of.len ? guard_model(request.who, of, e) : ERR_OK;
    if (rc == ERR_OK) rc = v2_trace_settings(s, of, &settings, e);
    if (rc == ERR_OK && any) rc = trace_setting_apply(&settings, &change, e);
    if (rc == ERR_OK && any) trace_log_changed(s->trace_log);
    for (size_t i = 0; rc == ERR_OK && trace_setting_text(&settings, i, &w); i++) {
        size_t entry = pb_open(reply, 1);
        pb_put_str(reply, MAP_KEY, str_of(w.name));
        size_t setting = pb_open(reply, MAP_VALUE);
        for (size_t k = 0; k < w.count; k++) pb_put_str(reply, 1, w.values[k]);
        pb_close(reply, setting);
        pb_close(reply, entry);
    }
    return rc;
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

err_code v2_rpc_log_settings(endpoints *s, rpc_request request, buf *reply, err *e)
{
    static const parameter_fields fields = {.on = 1, .u64 = 2, .text = 3};
    (void)s;
    log_setting to;
    pb m;
    pb_field f;
    bool changed = false;
    err_code rc = ERR_OK;
    log_setting_now(&to);
    pb_init(&m, request.bytes.p, request.bytes.len);
    while (rc == ERR_OK && pb_next(&m, &f)) {
        str key;
        parameter v = {.kind = PARAMETER_NONE};
        if (f.number != 1) continue;
        rc = parameter_of_pb(pb_sub(&m, &f), &fields, "settings", &key, &v, e);
        if (v.kind == PARAMETER_NONE) v.kind = PARAMETER_OTHER;   /* there is no null here, as in Triton */
        if (rc == ERR_OK) rc = log_setting_take(&to, key, &v, e);
        if (rc == ERR_UNAVAILABLE) rc = e->code = ERR_INVALID;   /* as Triton: 503 over REST, but no "try again" here */
        changed = true;
    }
    if (rc == ERR_OK) rc = pb_check(&m, "LogSettingsRequest", e);
    if (rc == ERR_OK && changed) rc = guard_server(request.who, e);
    if (rc) return rc;
    if (changed) log_setting_apply(&to);
    log_setting_now(&to);
    log_setting_put(reply, "log_file", 3, 0, "");
    log_setting_put(reply, "log_info", 1, to.info, NULL);
    log_setting_put(reply, "log_warning", 1, to.warning, NULL);
    log_setting_put(reply, "log_error", 1, to.error, NULL);
    log_setting_put(reply, "log_verbose_level", 2, to.verbose, NULL);
    log_setting_put(reply, "log_format", 3, 0, log_setting_format(&to));
    return ERR_OK;
}
