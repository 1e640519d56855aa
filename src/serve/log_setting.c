#include "serve/log_setting.h"

#include "base/log.h"

#include <stdatomic.h>

enum { BODY_MEMORY = 64 << 10 };   /* of a change: far more than its six members need */

static _Atomic uint32_t verbose_level = 1;   /* what was asked for last; of meaning while LOG_DEBUG is on */

void log_setting_now(log_setting *ret)
{
    uint32_t levels[LOG_LEVELS] = {0};
    for (log_level l = LOG_DEBUG; l < LOG_LEVELS; l++) levels[l] = log_level_on(l);
    *ret = (log_setting){.info = levels[LOG_INFO],
                         .warning = levels[LOG_WARN],
                         .error = levels[LOG_ERROR],
                         .iso8601 = log_plain_now(),
                         .verbose = levels[LOG_DEBUG] * atomic_load_explicit(&verbose_level, memory_order_relaxed)};
}

void log_setting_apply(const log_setting *to)
{
    if (to->verbose) atomic_store_explicit(&verbose_level, to->verbose, memory_order_relaxed);
    log_level_turn(LOG_DEBUG, to->verbose > 0);
    log_level_turn(LOG_INFO, to->info);
    log_level_turn(LOG_WARN, to->warning);
    log_level_turn(LOG_ERROR, to->error);
    log_plain_set(to->iso8601);
}

const char *log_setting_format(const log_setting *s) { return s->iso8601 ? "ISO8601" : "default"; }

static err_code format_take(log_setting *to, str text, err *e)
{
    bool iso8601 = str_is(text, "ISO8601");
    if (!iso8601 && !str_is(text, "default"))
        return err_set(e, ERR_UNAVAILABLE, "invalid argument for --log_format, got: " STR_FMT, STR_ARG(text));
    to->iso8601 = iso8601;
    return ERR_OK;
}

static err_code wrong_kind(const char *expected, str key, err *e)
{
    return err_set(e, ERR_INVALID, "expect %s for '" STR_FMT "'", expected, STR_ARG(key));
}

/* The words are Triton's. */
err_code log_setting_take(log_setting *to, str key, const parameter *v, err *e)
{
    const struct {
        const char *name;
        bool *on;
    } rows[] = {{"log_info", &to->info}, {"log_warning", &to->warning}, {"log_error", &to->error}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        if (!str_is(key, rows[i].name)) continue;
        if (v->kind != PARAMETER_NONE && v->kind != PARAMETER_BOOL) return wrong_kind("boolean", key, e);
        if (v->kind == PARAMETER_BOOL) *rows[i].on = v->on;
        return ERR_OK;
    }
    if (str_is(key, "log_verbose_level")) {
        if (v->kind == PARAMETER_NONE) return ERR_OK;
        if (v->kind != PARAMETER_NUMBER || v->number > INT32_MAX) return wrong_kind("unsigned int32", key, e);
        to->verbose = (uint32_t)v->number;
        return ERR_OK;
    }
    if (str_is(key, "log_format")) {
        if (v->kind == PARAMETER_NONE) return ERR_OK;
        return v->kind == PARAMETER_TEXT ? format_take(to, v->text, e) : wrong_kind("string", key, e);
    }
    if (str_is(key, "log_file")) {
        if (v->kind == PARAMETER_NONE) return ERR_OK;
        return err_set(e, ERR_UNSUPPORTED, "log file location can not be updated through network protocol");
    }
    return err_set(e, ERR_INVALID, "settings: unknown setting '" STR_FMT "'", STR_ARG(key));
}

err_code log_setting_read(str body, err *e)
{
    arena a;
    yyjson_val *root, *key, *v;
    size_t i, n;
    log_setting to;
    log_setting_now(&to);
    arena_init(&a, NULL, 0, BODY_MEMORY);
    err_code rc = json_parse(body, &(json_opts){.memory = &a}, &root, e);
    if (rc == ERR_OK && (rc = json_obj(root, "request", e)) == ERR_OK) {
        yyjson_obj_foreach(root, i, n, key, v)
        {
            parameter value = parameter_of_json(v);
            str name = json_key(key);
            if ((rc = log_setting_take(&to, name, &value, e)) != ERR_OK) break;
        }
    }
    arena_fini(&a);
    if (rc == ERR_OK) log_setting_apply(&to);
    return rc;
}

void log_setting_print(buf *out)
{
    log_setting s;
    log_setting_now(&s);
    buf_printf(out,
               "{\"log_file\":\"\",\"log_info\":%s,\"log_warning\":%s,\"log_error\":%s,\"log_verbose_level\":%u,"
               "\"log_format\":\"%s\"}",
               s.info ? "true" : "false", s.warning ? "true" : "false", s.error ? "true" : "false", s.verbose,
               log_setting_format(&s));
}
