#include "models/trace_setting.h"

#include "wire/json.h"
#include "wire/json_text.h"

#include <stdio.h>

enum { BODY_MEMORY = 64 << 10, LEVELS_MAX = 8 };   /* of a change, and of its trace_level */

static const struct {
    const char *name;
    int64_t init, min, max;
} rows[TRACE_SETTINGS] = {
    [TRACE_LEVEL] = {"trace_level", TRACE_OFF, TRACE_OFF, TRACE_TIMESTAMPS | TRACE_TENSORS},
    [TRACE_RATE] = {"trace_rate", 1000, 0, UINT32_MAX},
    [TRACE_COUNT] = {"trace_count", -1, -1, INT32_MAX},
    [TRACE_FREQUENCY] = {"log_frequency", 0, 0, UINT32_MAX},
};

static const struct {
    const char *name;
    int64_t level;
} levels[TRACE_LEVELS] = {{"TIMESTAMPS", TRACE_TIMESTAMPS}, {"TENSORS", TRACE_TENSORS}};

static bool given(const trace_setting *s, trace_setting_name name)
{
    return s && (atomic_load_explicit(&s->given, memory_order_acquire) >> name & 1u);
}

static int64_t initial(const trace_settings *s, trace_setting_name name)
{
    return s->defaults ? s->defaults[name] : rows[name].init;
}

/* Who holds it; NULL = nobody does. */
static trace_setting *holder(const trace_settings *s, trace_setting_name name)
{
    return given(s->own, name) ? s->own : given(s->server, name) ? s->server : NULL;
}

int64_t trace_setting_get(const trace_settings *s, trace_setting_name name)
{
    const trace_setting *from = holder(s, name);
    return from ? atomic_load_explicit(&from->value[name], memory_order_relaxed) : initial(s, name);
}

static err_code level_read(int64_t *ret, const str *values, size_t count, err *e)
{
    int64_t level = TRACE_OFF;
    for (size_t i = 0; i < count; i++) {
        if (str_is(values[i], "OFF") && count > 1)
            return err_set(e, ERR_INVALID, "Expect only one trace level 'OFF' is specified");
        int64_t one = TRACE_OFF;
        for (size_t k = 0; k < TRACE_LEVELS; k++)
            if (str_is(values[i], levels[k].name)) one = levels[k].level;
        if (one == TRACE_OFF && !str_is(values[i], "OFF"))
            return err_set(e, ERR_INVALID, "trace_level: expected OFF, TIMESTAMPS or TENSORS, got '" STR_FMT "'",
                           STR_ARG(values[i]));
        level |= one;
    }
    *ret = level;
    return ERR_OK;
}

static err_code number_read(int64_t *ret, trace_setting_name name, str text, err *e)
{
    const char *what = rows[name].name;
    bool digits = text.len > 0;
    for (size_t i = 0; i < text.len; i++)
        digits = digits && ((text.p[i] >= '0' && text.p[i] <= '9') || (i == 0 && text.len > 1 && text.p[i] == '-'));
    if (!digits) return err_set(e, ERR_INVALID, "Unable to parse '%s', got: " STR_FMT, what, STR_ARG(text));
    if (!str_i64(text, ret) || *ret < rows[name].min || *ret > rows[name].max)
        return err_set(e, ERR_INVALID, "Unable to parse '%s', value is out of range [ %lld, %lld ], got: " STR_FMT,
                       what, (long long)rows[name].min, (long long)rows[name].max, STR_ARG(text));
    return ERR_OK;
}

err_code trace_change_add(trace_change *to, str name, const str *values, size_t count, err *e)
{
    if (str_is(name, "trace_file"))
        return err_set(e, ERR_UNSUPPORTED, "trace file location can not be updated through network protocol");
    if (str_is(name, "trace_mode"))
        return err_set(e, ERR_UNSUPPORTED, "trace mode can not be updated through network protocol");
    for (trace_setting_name n = TRACE_LEVEL; n < TRACE_SETTINGS; n++) {
        err_code rc = ERR_OK;
        if (!str_is(name, rows[n].name)) continue;
        if (count == 0) {
            to->clear |= 1u << n;
            return ERR_OK;
        }
        if (n == TRACE_LEVEL) rc = level_read(&to->value[n], values, count, e);
        else if (count > 1) rc = err_set(e, ERR_INVALID, "expect only 1 value for '%s'", rows[n].name);
        else rc = number_read(&to->value[n], n, values[0], e);
        if (rc == ERR_OK) to->set |= 1u << n;
        return rc;
    }
    return err_set(e, ERR_INVALID, "settings: unknown setting '" STR_FMT "'", STR_ARG(name));
}

/* As it would be. */
static int64_t after(const trace_settings *s, const trace_change *c, trace_setting_name name)
{
    const trace_settings without = {.server = s->server, .defaults = s->defaults};
    if (c->set >> name & 1u) return c->value[name];
    return trace_setting_get(c->clear >> name & 1u ? &without : s, name);
}

/* A count that the server was started with counts down, too: it is held like a given one. */
static void defaults_hold(const trace_settings *s)
{
    if (s->server || !s->defaults || given(s->own, TRACE_COUNT)) return;
    atomic_store_explicit(&s->own->value[TRACE_COUNT], s->defaults[TRACE_COUNT], memory_order_relaxed);
    atomic_fetch_or_explicit(&s->own->given, 1u << TRACE_COUNT, memory_order_release);
}

err_code trace_setting_apply(const trace_settings *s, const trace_change *c, err *e)
{
    const char *why = !after(s, c, TRACE_RATE) ? "sample rate must be non-zero"
                      : !s->file.len           ? "trace file name is not given"
                                               : NULL;
    if (why && after(s, c, TRACE_LEVEL) != TRACE_OFF)
        return err_set(e, ERR_INVALID, "Attempting to set invalid trace setting :%s", why);
    for (trace_setting_name n = TRACE_LEVEL; n < TRACE_SETTINGS; n++)
        if (c->set >> n & 1u) atomic_store_explicit(&s->own->value[n], c->value[n], memory_order_relaxed);
    atomic_fetch_or_explicit(&s->own->given, c->set, memory_order_release);
    atomic_fetch_and_explicit(&s->own->given, ~c->clear, memory_order_release);
    defaults_hold(s);
    atomic_store_explicit(&s->own->seen, 0, memory_order_relaxed);
    atomic_fetch_add(&s->own->changes, 1);
    return ERR_OK;
}

bool trace_setting_text(const trace_settings *s, size_t i, trace_setting_words *ret)
{
    static const str mode = {"triton", 6}, off = {"OFF", 3};
    ret->count = 1;
    if (i >= TRACE_SETTINGS) {
        ret->name = i == TRACE_SETTINGS ? "trace_file" : "trace_mode";
        ret->values[0] = i == TRACE_SETTINGS ? s->file : mode;
        return i <= TRACE_SETTINGS + 1;
    }
    int64_t v = trace_setting_get(s, (trace_setting_name)i);
    ret->name = rows[i].name;
    if (i != TRACE_LEVEL) {
        ret->values[0] = (str){ret->room, (size_t)snprintf(ret->room, sizeof ret->room, "%lld", (long long)v)};
        return true;
    }
    ret->count = 0;
    for (size_t k = 0; k < TRACE_LEVELS; k++)
        if (v & levels[k].level) ret->values[ret->count++] = str_of(levels[k].name);
    if (v == TRACE_OFF) ret->values[ret->count++] = off;
    return true;
}

/* One less of them; false = none is left. */
static bool count_take(_Atomic int64_t *count)
{
    int64_t left = atomic_load_explicit(count, memory_order_relaxed);
    while (left > 0 && !atomic_compare_exchange_weak(count, &left, left - 1)) {}
    return left != 0;
}

bool trace_setting_sample(const trace_settings *s, trace_sample *ret)
{
    trace_setting *by = atomic_load_explicit(&s->own->given, memory_order_relaxed) || !s->server ? s->own : s->server;
    trace_setting *counts = holder(s, TRACE_COUNT);
    int64_t rate = trace_setting_get(s, TRACE_RATE);
    *ret = (trace_sample){.changes = trace_setting_changes(s), .level = (uint32_t)trace_setting_get(s, TRACE_LEVEL)};
    if (ret->level == TRACE_OFF || rate <= 0 || trace_setting_spent(s)) return false;
    uint64_t at = atomic_fetch_add_explicit(&by->seen, 1, memory_order_relaxed) + 1;
    if (at % (uint64_t)rate) return false;
    ret->by = by;
    ret->frequency = trace_setting_get(s, TRACE_FREQUENCY);
    ret->counted = trace_setting_get(s, TRACE_COUNT) >= 0;
    atomic_fetch_add(&by->open, 1);   /* before the count is 0: then none is open means all are written */
    if (!counts || count_take(&counts->value[TRACE_COUNT])) return true;
    atomic_fetch_sub(&by->open, 1);
    return false;
}

uint32_t trace_setting_changes(const trace_settings *s)
{
    return atomic_load(&s->own->changes) + (s->server ? atomic_load(&s->server->changes) : 0);
}

bool trace_setting_spent(const trace_settings *s) { return trace_setting_get(s, TRACE_COUNT) == 0; }

static err_code member_read(trace_change *to, str name, yyjson_val *v, err *e)
{
    str values[LEVELS_MAX];
    size_t count = 0;
    char what[40];
    err_code rc = ERR_OK;
    snprintf(what, sizeof what, "%.*s", (int)(name.len < 32 ? name.len : 32), name.p);
    if (str_is(name, rows[TRACE_LEVEL].name) && !yyjson_is_null(v)) {
        yyjson_val *level;
        size_t i, n;
        rc = json_list(v, what, e);
        if (rc == ERR_OK && (yyjson_arr_size(v) == 0 || yyjson_arr_size(v) > LEVELS_MAX))
            rc = err_set(e, ERR_INVALID, "trace_level: expected 1..%d levels, got %zu", LEVELS_MAX, yyjson_arr_size(v));
        if (rc) return rc;
        yyjson_arr_foreach(v, i, n, level)
        {
            if ((rc = json_str(level, what, &values[count++], e)) != ERR_OK) return rc;
        }
    } else if (!yyjson_is_null(v) && !str_is(name, "trace_file") && !str_is(name, "trace_mode")) {
        if ((rc = json_str(v, what, &values[count++], e)) != ERR_OK) return rc;
    }
    return trace_change_add(to, name, values, count, e);
}

err_code trace_setting_read(const trace_settings *s, str body, err *e)
{
    arena a;
    yyjson_val *root, *key, *v;
    size_t i, n;
    trace_change change = {.set = 0};
    arena_init(&a, NULL, 0, BODY_MEMORY);
    err_code rc = json_parse(body, &(json_opts){.memory = &a}, &root, e);
    if (rc == ERR_OK && (rc = json_obj(root, "request", e)) == ERR_OK) {
        yyjson_obj_foreach(root, i, n, key, v)
        {
            str name = json_key(key);
            if ((rc = member_read(&change, name, v, e)) != ERR_OK) break;
        }
    }
    arena_fini(&a);
    return rc ? rc : trace_setting_apply(s, &change, e);
}

void trace_setting_print(buf *out, const trace_settings *s)
{
    trace_setting_words w;
    for (size_t i = 0; trace_setting_text(s, i, &w); i++) {
        buf_printf(out, i ? ",\"%s\":" : "{\"%s\":", w.name);
        if (i == TRACE_LEVEL) buf_put_byte(out, '[');
        for (size_t k = 0; k < w.count; k++) {
            if (k) buf_put_byte(out, ',');
            json_text_put(out, w.values[k]);
        }
        if (i == TRACE_LEVEL) buf_put_byte(out, ']');
    }
    buf_put_byte(out, '}');
}
