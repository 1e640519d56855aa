#include "wire/json.h"

#include "base/map.h"
#include "wire/json_text.h"

#include <stdio.h>
#include <string.h>

enum { FEW_KEYS = 16 };   /* compared pairwise; above it a map is cheaper */

static void *alc_malloc(void *ctx, size_t size) { return arena_push_raw(ctx, size, 16); }

static void *alc_realloc(void *ctx, void *old, size_t old_size, size_t size)
{
    void *p = arena_push_raw(ctx, size, 16);
    return p ? memcpy(p, old, old_size < size ? old_size : size) : NULL;
}

static void alc_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

/* Where nesting goes beyond depth_max, or text.len.  yyjson itself does not recurse; those after it may. */
static size_t too_deep(str text, size_t depth_max)
{
    const char *p = text.p, *end = text.p + text.len;
    size_t depth = 0;
    for (; p < end; p++) {
        if (*p == '"') {
            bool escaped;
            p = json_text_end(p + 1, end, &escaped);
            if (!p) break;
        } else if ((*p | 0x20) == '{' && ++depth > depth_max) {
            return (size_t)(p - text.p);
        } else if ((*p | 0x20) == '}' && depth) {
            depth--;
        }
    }
    return text.len;
}

static err_code twice(yyjson_val *key, err *e)
{
    str s = json_key(key);
    return err_set(e, ERR_INVALID, "JSON: expected member '" STR_FMT "' once in its object, got it twice", STR_ARG(s));
}

static err_code few_keys_check(yyjson_val *obj, err *e)
{
    str seen[FEW_KEYS] UNINIT;
    size_t i, max, n = 0;
    yyjson_val *key, *val;
    yyjson_obj_foreach(obj, i, max, key, val) {
        str s = json_key(key);
        for (size_t j = 0; j < n; j++) {
            if (str_eq(seen[j], s)) return twice(key, e);
        }
        seen[n++] = s;
    }
    return ERR_OK;
}

static err_code many_keys_check(yyjson_val *obj, err *e)
{
    map seen;
    size_t i, max;
    yyjson_val *key, *val;
    err_code rc = ERR_OK;
    map_init(&seen);
    yyjson_obj_foreach(obj, i, max, key, val) {
        str s = json_key(key);
        if (map_get(&seen, s)) rc = twice(key, e);
        else if (!map_put(&seen, s, key)) rc = err_set(e, ERR_NOMEM, "JSON: no memory for %zu member names", max);
        if (rc) break;
    }
    map_fini(&seen);
    return rc;
}

/* A document's values stand in one array, in the order of the text. */
static err_code keys_check(yyjson_doc *doc, err *e)
{
    yyjson_val *v = yyjson_doc_get_root(doc);
    for (size_t left = yyjson_doc_get_val_count(doc); left; left--, v++) {
        if (!yyjson_is_obj(v)) continue;
        err_code rc = yyjson_obj_size(v) <= FEW_KEYS ? few_keys_check(v, e) : many_keys_check(v, e);
        if (rc) return rc;
    }
    return ERR_OK;
}

static size_t origin(const json_opts *o, size_t at) { return o->cut ? json_cut_origin(o->cut, at) : at; }

err_code json_parse(str text, const json_opts *o, yyjson_val **ret, err *e)
{
    _Static_assert((int)JSON_CUT_DEPTH_MAX <= (int)JSON_DEPTH_MAX, "a cut has looked at the depth of its skeleton");
    INVARIANT(!o->cut || !o->depth_max);
    INVARIANT(!o->words || o->numbers_as_text);   /* else 1e999 would be infinite, too */
    size_t depth_max = o->depth_max ? o->depth_max : JSON_DEPTH_MAX, at = o->cut ? text.len : too_deep(text, depth_max);
    if (at < text.len)
        return err_set(e, ERR_INVALID, "JSON: byte %zu: nesting: expected at most %zu levels, got more", origin(o, at),
                       depth_max);
    yyjson_alc alc = {.malloc = alc_malloc, .realloc = alc_realloc, .free = alc_free, .ctx = o->memory};
    yyjson_read_err why = {0};
    /* Without the in-situ flag yyjson only reads the text. */
    yyjson_read_flag flags = o->numbers_as_text ? YYJSON_READ_NUMBER_AS_RAW : YYJSON_READ_NOFLAG;
    if (o->words) flags |= YYJSON_READ_ALLOW_INF_AND_NAN;
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text.p, text.len, flags, &alc, &why);
    if (!doc && why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION && o->memory->starved)
        return err_set(e, ERR_NOMEM, "JSON: no memory for a document of %zu bytes", text.len);
    if (!doc && why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return err_set(e, ERR_LIMIT, "JSON: expected a document that fits %zu bytes of memory, got %zu bytes of text",
                       o->memory->limit, text.len);
    if (!doc && text.len == 0) return err_set(e, ERR_INVALID, "JSON: expected a document, got nothing");
    if (!doc) return err_set(e, ERR_INVALID, "JSON: byte %zu: %s", origin(o, why.pos), why.msg);
    err_code rc = keys_check(doc, e);
    if (rc) return rc;
    *ret = yyjson_doc_get_root(doc);
    return ERR_OK;
}

/* 8.0 is not shown as 8, which would have been right. */
static void real_text(char *to, size_t room, double v)
{
    int n = snprintf(to, room, "%.17g", v);
    if (!strpbrk(to, ".e")) snprintf(to + n, room - (size_t)n, ".0");
}

err_code json_wrong(yyjson_val *v, const char *what, const char *expected, err *e)
{
    char number[32];
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_STR: {
        str s = {unsafe_yyjson_get_str(v), unsafe_yyjson_get_len(v)};
        return err_set(e, ERR_INVALID, "%s: expected %s, got '%.*s%s'", what, expected, s.len < 80 ? (int)s.len : 80,
                       s.p, s.len < 80 ? "" : "...");
    }
    case YYJSON_TYPE_NUM:
        if (yyjson_is_uint(v)) snprintf(number, sizeof number, "%llu", (unsigned long long)yyjson_get_uint(v));
        else if (yyjson_is_sint(v)) snprintf(number, sizeof number, "%lld", (long long)yyjson_get_sint(v));
        else real_text(number, sizeof number, yyjson_get_real(v));
        return err_set(e, ERR_INVALID, "%s: expected %s, got %s", what, expected, number);
    case YYJSON_TYPE_RAW: {
        size_t len = yyjson_get_len(v);
        return err_set(e, ERR_INVALID, "%s: expected %s, got %.*s%s", what, expected, len < 80 ? (int)len : 80,
                       yyjson_get_raw(v), len < 80 ? "" : "...");
    }
    case YYJSON_TYPE_BOOL:
        return err_set(e, ERR_INVALID, "%s: expected %s, got %s", what, expected, yyjson_is_true(v) ? "true" : "false");
    case YYJSON_TYPE_NULL: return err_set(e, ERR_INVALID, "%s: expected %s, got null", what, expected);
    case YYJSON_TYPE_ARR: return err_set(e, ERR_INVALID, "%s: expected %s, got a list", what, expected);
    case YYJSON_TYPE_OBJ: return err_set(e, ERR_INVALID, "%s: expected %s, got an object", what, expected);
    default: return err_set(e, ERR_INVALID, "%s: expected %s, got nothing", what, expected);
    }
}

err_code json_str(yyjson_val *v, const char *what, str *ret, err *e)
{
    if (!yyjson_is_str(v)) return json_wrong(v, what, "a string", e);
    *ret = (str){yyjson_get_str(v), yyjson_get_len(v)};
    return ERR_OK;
}

err_code json_bool(yyjson_val *v, const char *what, bool *ret, err *e)
{
    if (!yyjson_is_bool(v)) return json_wrong(v, what, "true or false", e);
    *ret = yyjson_get_bool(v);
    return ERR_OK;
}

err_code json_u64(yyjson_val *v, const char *what, uint64_t *ret, err *e)
{
    if (!yyjson_is_uint(v)) return json_wrong(v, what, "a non-negative integer", e);
    *ret = yyjson_get_uint(v);
    return ERR_OK;
}

err_code json_i64(yyjson_val *v, const char *what, int64_t *ret, err *e)
{
    if (!yyjson_is_int(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX))
        return json_wrong(v, what, "an integer in 64 bits", e);
    *ret = yyjson_get_sint(v);
    return ERR_OK;
}

err_code json_f64(yyjson_val *v, const char *what, double *ret, err *e)
{
    if (!yyjson_is_num(v)) return json_wrong(v, what, "a number", e);
    *ret = yyjson_get_num(v);
    return ERR_OK;
}

err_code json_obj(yyjson_val *v, const char *what, err *e)
{
    return yyjson_is_obj(v) ? ERR_OK : json_wrong(v, what, "an object", e);
}

err_code json_list(yyjson_val *v, const char *what, err *e)
{
    return yyjson_is_arr(v) ? ERR_OK : json_wrong(v, what, "a list", e);
}
