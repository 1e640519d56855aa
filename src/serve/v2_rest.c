#include "serve/v2_rest.h"

#include "models/model_config.h"
#include "serve/alias_rest.h"
#include "serve/log_setting.h"
#include "serve/statistic.h"
#include "wire/json.h"
#include "wire/json_text.h"

#include <string.h>

enum {
    BODY_MEMORY = 64 << 10,         /* of a request that has a member or two */
    CONTROL_MEMORY_PER_BYTE = 16    /* and of one that brings a whole model, to be refused by name */
};

const char *const v2_extensions[] = {
    "classification", "sequence", "model_repository", "model_repository(unload_dependents)", "schedule_policy",
    "model_configuration", "system_shared_memory", "binary_tensor_data", "parameters", "statistics", "trace", "logging",
    "generate", NULL};

static err_code find(endpoints *s, const route_args *args, served **ret, err *e)
{
    return repository_find(s->models, args->model, args->version, ret, e);
}

static void lineup_statistics(buf *reply, const lineup *l, size_t *count)
{
    for (size_t i = l ? l->count : 0; i > 0; i--) {   /* from the oldest version to the newest */
        if ((*count)++) buf_put_byte(reply, ',');
        statistic_print(reply, l->all[i - 1]);
    }
}

/* Without a version: of all of them; without a name: of all models. */
err_code v2_rest_statistics(endpoints *s, const route_args *args, str body, buf *reply, err *e)
{
    (void)body;
    served *m = NULL;
    alias led;
    bool waits = args->model.len && guard_sees(args->who, args->model) &&
                 repository_comes(s->models, args->model, args->version, &led);   /* it has none now */
    err_code rc = args->model.len && !waits ? find(s, args, &m, e) : ERR_OK;
    if (rc) return rc;
    buf_put_z(reply, "{\"model_stats\":[");
    size_t count = 0;
    if (m && alias_rest_one_version(s, args->model, args->version)) statistic_print(reply, m);
    else if (m) lineup_statistics(reply, repository_lineup_of(s->models, m), &count);
    for (size_t i = 0; !args->model.len && i < repository_count(s->models); i++) {
        m = repository_at(s->models, i);
        if (m && guard_sees(args->who, m->name)) lineup_statistics(reply, repository_lineup(s->models, i), &count);
    }
    buf_put_z(reply, "]}");
    return ERR_OK;
}

/* {"ready": true}, all of which may be left out. */
static err_code index_read(str body, bool *ret, err *e)
{
    arena a;
    yyjson_val *root;
    if (body.len == 0) return ERR_OK;
    arena_init(&a, NULL, 0, BODY_MEMORY);
    err_code rc = json_parse(body, &(json_opts){.memory = &a}, &root, e);
    if (rc == ERR_OK) rc = json_obj(root, "request", e);
    yyjson_val *ready = rc == ERR_OK ? yyjson_obj_get(root, "ready") : NULL;
    if (ready) rc = json_bool(ready, "ready", ret, e);
    arena_fini(&a);
    return rc;
}

static void entry_print(buf *reply, const repository_entry *m)
{
    buf_put_z(reply, "{\"name\":");
    json_text_put(reply, m->name);
    buf_put_z(reply, ",\"version\":");
    json_text_put(reply, str_of(m->version));
    buf_printf(reply, ",\"state\":\"%s\"", m->state);
    if (m->reason[0]) buf_put_z(reply, ",\"reason\":");
    if (m->reason[0]) json_text_put(reply, str_of(m->reason));
    buf_put_byte(reply, '}');
}

err_code v2_rest_index(endpoints *s, const route_args *args, str body, buf *reply, err *e)
{
    bool ready = false;   /* those alone */
    err_code rc = index_read(body, &ready, e);
    if (rc) return rc;
    size_t count = 0;
    buf_put_byte(reply, '[');
    repository_entry m;
    alias_rest_cursor at = {.model = 0};
    while (alias_rest_entry(s, args->who, &at, &m)) {
        if (ready && strcmp(m.state, "READY") != 0) continue;
        if (count++) buf_put_byte(reply, ',');
        entry_print(reply, &m);
    }
    buf_put_byte(reply, ']');
    return ERR_OK;
}

/* ---- load and unload ---- */

err_code v2_control_parameter(bool unload, str name, const parameter *p, model_wish *ret, err *e)
{
    if (unload && str_is(name, "unload_dependents")) {
        if (p->kind != PARAMETER_BOOL && p->kind != PARAMETER_NONE)
            return err_set(e, ERR_INVALID, "Unable to parse 'unload_dependents': expected true or false");
        ret->dependents = p->kind == PARAMETER_BOOL && p->on;
        return ERR_OK;
    }
    if (unload) return ERR_OK;
    if (str_is(name, "config")) {
        if (p->kind != PARAMETER_TEXT)
            return err_set(e, ERR_INVALID, "attribute 'config' for repository load: expected a string of JSON");
        ret->config = p->text;
        return ERR_OK;
    }
    if (str_is(name, "path")) {
        if (!ret->granted)
            return err_set(e, ERR_FORBIDDEN, "parameter 'path': expected it over the socket of --control alone");
        if (p->kind != PARAMETER_TEXT) return err_set(e, ERR_INVALID, "parameter 'path': expected a string");
        ret->path = p->text;
        return ERR_OK;
    }
    if (str_starts(name, STR("file:")))
        return err_set(e, ERR_UNSUPPORTED,
                       "parameter '" STR_FMT "' is not supported: a model's files are loaded as they lie in its folder",
                       STR_ARG(name));
    return err_set(e, ERR_INVALID, "unrecognized load parameter '" STR_FMT "'", STR_ARG(name));
}

/* {"parameters": {...}}, all of which may be left out.  What is returned lies in the arena. */
static err_code control_read(bool unload, str body, arena *a, model_wish *ret, err *e)
{
    yyjson_val *root, *key, *v;
    size_t i, n;
    arena_init(a, NULL, 0, BODY_MEMORY + CONTROL_MEMORY_PER_BYTE * body.len);
    if (body.len == 0) return ERR_OK;
    err_code rc = json_parse(body, &(json_opts){.memory = a}, &root, e);
    if (rc == ERR_OK) rc = json_obj(root, "request", e);
    yyjson_val *parameters = rc == ERR_OK ? yyjson_obj_get(root, "parameters") : NULL;
    if (parameters && !yyjson_is_null(parameters)) rc = json_obj(parameters, "parameters", e);
    yyjson_obj_foreach(parameters, i, n, key, v)
    {
        parameter p = parameter_of_json(v);
        str name = json_key(key);
        if (rc == ERR_OK) rc = v2_control_parameter(unload, name, &p, ret, e);
    }
    return rc;
}

err_code v2_rest_load(endpoints *s, const route_args *args, str body, buf *reply, err *e)
{
    (void)reply;
    arena a;
    model_wish w = {.name = args->model, .granted = args->owner};
    err_code rc = control_read(false, body, &a, &w, e);
    if (rc == ERR_OK) rc = model_control_load(s->control, &w, e);
    arena_fini(&a);
    return rc;
}

err_code v2_rest_unload(endpoints *s, const route_args *args, str body, buf *reply, err *e)
{
    (void)reply;
    arena a;
    model_wish w = {.name = args->model, .granted = args->owner};
    err_code rc = control_read(true, body, &a, &w, e);
    arena_fini(&a);
    return rc ? rc : model_control_unload(s->control, &w, e);
}

/* Proa's own: the version, or "latest", serves who names none.  No other load is needed to go back to one before. */
err_code v2_rest_activate(endpoints *s, const route_args *args, str body, buf *reply, err *e)
{
    (void)body, (void)reply;
    model_wish w = {.name = args->model,
                    .version = str_is(args->version, "latest") ? STR("") : args->version,
                    .granted = args->owner};
    return model_control_activate(s->control, &w, e);
}

/* ---- settings ---- */

err_code v2_trace_settings(endpoints *s, str of, trace_settings *ret, err *e)
{
    served *m = NULL;
    bool waits = of.len && repository_on_demand(s->models, of);   /* they are of its name, loaded or not */
    err_code rc = of.len && !waits ? repository_find(s->models, of, STR(""), &m, e) : ERR_OK;
    if (rc) return rc;
    *ret = (trace_settings){
        .own = waits ? repository_trace(s->models, of) : m ? m->trace : &s->trace,
        .server = of.len ? &s->trace : NULL,
        .defaults = s->trace_defaults,
        .file = s->trace_file};
    return ERR_OK;
}

err_code v2_rest_trace(endpoints *s, const route_args *args, str body, buf *reply, err *e)
{
    (void)body;
    trace_settings settings;
    err_code rc = v2_trace_settings(s, args->model, &settings, e);
    if (rc == ERR_OK) trace_setting_print(reply, &settings);
    return rc;
}

err_code v2_rest_trace_set(endpoints *s, const route_args *args, str body, buf *reply, err *e)
{
    trace_settings settings;
    err_code rc = guard_server(args->who, e);
    if (rc == ERR_OK) rc = v2_trace_settings(s, args->model, &settings, e);
    if (rc == ERR_OK) rc = trace_setting_read(&settings, body, e);
    if (rc == ERR_OK) trace_log_changed(s->trace_log);
    if (rc == ERR_OK) trace_setting_print(reply, &settings);
    return rc;
}

err_code v2_rest_log(endpoints *s, const route_args *args, str body, buf *reply, err *e)
{
    (void)s, (void)args, (void)body, (void)e;
    log_setting_print(reply);
    return ERR_OK;
}

err_code v2_rest_log_set(endpoints *s, const route_args *args, str body, buf *reply, err *e)
{
    (void)s;
    err_code rc = guard_server(args->who, e);
    if (rc == ERR_OK) rc = log_setting_read(body, e);
    if (rc == ERR_OK) log_setting_print(reply);
    return rc;
}

/* ---- CUDA shared memory: there is none, and scripts begin with giving back what they may have left ---- */

err_code v2_rest_cuda_status(endpoints *s, const route_args *args, str body, buf *reply, err *e)
{
    (void)s, (void)body;
    if (args->region.len)
        return err_set(e, ERR_NOT_FOUND, "Unable to find shared memory region: '" STR_FMT "'", STR_ARG(args->region));
    buf_put_z(reply, "[]");
    return ERR_OK;
}

err_code v2_rest_cuda_register(endpoints *s, const route_args *args, str body, buf *reply, err *e)
{
    (void)s, (void)args, (void)body, (void)reply;
    return err_set(e, ERR_UNSUPPORTED, "CUDA shared memory is not supported: models run on the CPU");
}

err_code v2_rest_cuda_unregister(endpoints *s, const route_args *args, str body, buf *reply, err *e)
{
    (void)s, (void)args, (void)body, (void)reply, (void)e;
    return ERR_OK;
}
