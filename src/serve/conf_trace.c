#include "serve/conf_trace.h"

#include <string.h>

enum { VALUES_MAX = 8 };

static const struct {
    const char *option, *name, *expected;
    size_t offset;
} rows[] = {
    {"trace-level", "trace_level", "OFF, or TIMESTAMPS and TENSORS", offsetof(conf, trace_level)},
    {"trace-rate", "trace_rate", "an integer in 0..4294967295", offsetof(conf, trace_rate)},
    {"trace-count", "trace_count", "an integer in -1..2147483647", offsetof(conf, trace_count)},
    {"trace-log-frequency", "log_frequency", "an integer in 0..4294967295", offsetof(conf, trace_frequency)},
};

/* What is wrong is said in this server's words: Triton's name the setting, which the command line does not have. */
static err_code add(trace_change *to, const conf *c, size_t row, err *e)
{
    const str *list = (const str *)(const void *)((const char *)c + rows[row].offset);
    str values[VALUES_MAX], rest = *list;
    size_t count = 0;
    for (bool more = true; more && count < VALUES_MAX;) {
        more = str_cut(rest, ',', &values[count], &rest);
        if (!more) values[count] = rest;
        count++;
    }
    if (trace_change_add(to, str_of(rows[row].name), values, count, e) == ERR_OK) return ERR_OK;
    return err_set(e, ERR_INVALID, "%s: expected %s, got '" STR_FMT "'", rows[row].option, rows[row].expected,
                   STR_ARG(*list));
}

err_code conf_trace(const conf *c, int64_t ret[TRACE_SETTINGS], err *e)
{
    trace_setting none = {.given = 0};
    trace_change change = {.set = 0};
    const trace_settings settings = {.own = &none, .file = c->trace_file};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err_code rc = add(&change, c, i, e);
        if (rc) return rc;
    }
    if (change.value[TRACE_LEVEL] != TRACE_OFF && !c->trace_file.len)
        return err_set(e, ERR_INVALID, "trace-level: expected trace-file with it, got none");
    if (trace_setting_apply(&settings, &change, e)) return err_wrap(e, "trace-level");
    if (ret) memcpy(ret, change.value, sizeof change.value);
    return ERR_OK;
}
