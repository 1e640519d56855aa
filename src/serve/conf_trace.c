#include "serve/conf_trace.h"

#include <string.h>

enum { VALUES_MAX = 8 };

static err_code add(trace_change *to, const char *option, const char *name, str list, err *e)
{
    str values[VALUES_MAX], rest = list;
    size_t count = 0;
    for (bool more = true; more && count < VALUES_MAX;) {
        more = str_cut(rest, ',', &values[count], &rest);
        if (!more) values[count] = rest;
        count++;
    }
    err_code rc = trace_change_add(to, str_of(name), values, count, e);
    return rc ? err_wrap(e, "%s", option) : ERR_OK;
}

err_code conf_trace(const conf *c, int64_t ret[TRACE_SETTINGS], err *e)
{
    trace_setting none = {.given = 0};
    trace_change change = {.set = 0};
    const trace_settings settings = {.own = &none, .file = c->trace_file};
    err_code rc = add(&change, "trace-level", "trace_level", c->trace_level, e);
    if (rc == ERR_OK) rc = add(&change, "trace-rate", "trace_rate", c->trace_rate, e);
    if (rc == ERR_OK) rc = add(&change, "trace-count", "trace_count", c->trace_count, e);
    if (rc == ERR_OK) rc = add(&change, "trace-log-frequency", "log_frequency", c->trace_frequency, e);
    if (rc) return rc;
    if (change.value[TRACE_LEVEL] != TRACE_OFF && !c->trace_file.len)
        return err_set(e, ERR_INVALID, "trace-level: expected trace-file with it, got none");
    if (trace_setting_apply(&settings, &change, e)) return err_wrap(e, "trace-level");
    if (ret) memcpy(ret, change.value, sizeof change.value);
    return ERR_OK;
}
