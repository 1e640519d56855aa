#include "wire/pbjson.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WHERE_MAX = 200, NAMES_MAX = 64 };

typedef struct {
    arena *memory;
    char where[WHERE_MAX];        /* of the value being read: "config: input[1].dims" */
    size_t len, root;             /* root: of what stands before the first name */
} reader;

/* Goes into a member; returns what `len` was, to come back. */
static size_t enter(reader *r, const char *name, int64_t index)
{
    size_t before = r->len, room = sizeof r->where - r->len;
    int n = index < 0 ? snprintf(r->where + r->len, room, before == r->root ? ": %s" : ".%s", name)
                      : snprintf(r->where + r->len, room, "[%lld]", (long long)index);
    if (n > 0) r->len = (size_t)n < room ? r->len + (size_t)n : sizeof r->where - 1;
    return before;
}

static void leave(reader *r, size_t before)
{
    r->len = before;
    r->where[before] = 0;
}

static err_code no_memory(const reader *r, err *e)
{
    return err_set(e, r->memory->starved ? ERR_NOMEM : ERR_LIMIT, "%s: no memory", r->where);
}

/* ---- scalars ---- */

static str text_of(yyjson_val *v) { return (str){yyjson_get_str(v), yyjson_get_len(v)}; }

static bool i64_of(yyjson_val *v, int64_t *ret)
{
    if (yyjson_is_str(v)) return str_i64(text_of(v), ret);
    if (yyjson_is_uint(v) && yyjson_get_uint(v) <= INT64_MAX) *ret = (int64_t)yyjson_get_uint(v);
    else if (yyjson_is_sint(v)) *ret = yyjson_get_sint(v);
    else if (yyjson_is_real(v) && yyjson_get_real(v) == trunc(yyjson_get_real(v)) && fabs(yyjson_get_real(v)) < 0x1p53)
        *ret = (int64_t)yyjson_get_real(v);
    else return false;
    return true;
}

static bool whole_of(yyjson_val *v, pbdef_kind kind, pbtree *to)
{
    int64_t n;
    if (kind == PBDEF_U64) {
        if (yyjson_is_str(v)) return str_u64(text_of(v), &to->u64);
        if (yyjson_is_uint(v)) {
            to->u64 = yyjson_get_uint(v);
            return true;
        }
        return i64_of(v, &to->i64) && to->i64 >= 0;
    }
    if (!i64_of(v, &n)) return false;
    to->i64 = n;
    return kind == PBDEF_I64 || (kind == PBDEF_I32 && n >= INT32_MIN && n <= INT32_MAX) ||
           (kind == PBDEF_U32 && n >= 0 && n <= UINT32_MAX);
}

static bool real_of(yyjson_val *v, bool narrow, double *ret)
{
    str s = text_of(v);
    if (yyjson_is_num(v)) *ret = yyjson_get_num(v);
    else if (str_is(s, "NaN")) *ret = NAN;
    else if (str_is(s, "Infinity")) *ret = INFINITY;
    else if (str_is(s, "-Infinity")) *ret = -INFINITY;
    else if (!yyjson_is_str(v) || !str_f64(s, ret)) return false;
    return !narrow || !isfinite(*ret) || fabs(*ret) <= (double)FLT_MAX;
}

static bool enum_of(yyjson_val *v, const pbdef_enum *of, int64_t *ret)
{
    if (!yyjson_is_str(v)) return i64_of(v, ret) && pbtree_value_name(of, *ret);
    for (size_t i = 0; i < of->count; i++) {
        *ret = of->values[i].number;
        if (str_is_nocase(text_of(v), of->values[i].name)) return true;
    }
    return false;
}

static const char *const wanted[] = {
    [PBDEF_BOOL] = "true or false",
    [PBDEF_I32] = "a whole number of 32 bits",
    [PBDEF_I64] = "a whole number of 64 bits",
    [PBDEF_U32] = "a whole number from 0 to 4294967295",
    [PBDEF_U64] = "a whole number from 0 to 18446744073709551615",
    [PBDEF_F32] = "a number of 32 bits",
    [PBDEF_F64] = "a number",
    [PBDEF_TEXT] = "a string without NUL",
    [PBDEF_ENUM] = "a name of its enum",
};

static err_code scalar_read(reader *r, yyjson_val *v, pbtree *to, err *e)
{
    pbdef_kind kind = to->field->kind;
    bool ok = true;
    if (kind == PBDEF_BOOL) {
        ok = yyjson_is_bool(v);
        to->i64 = ok && yyjson_get_bool(v);
    } else if (kind == PBDEF_TEXT) {
        ok = yyjson_is_str(v) && !memchr(yyjson_get_str(v), 0, yyjson_get_len(v));
        if (ok && !(to->text = str_copy(r->memory, text_of(v))).p) return no_memory(r, e);
    } else if (kind == PBDEF_F32 || kind == PBDEF_F64) {
        ok = real_of(v, kind == PBDEF_F32, &to->f64);
    } else if (kind == PBDEF_ENUM) {
        ok = enum_of(v, to->field->values, &to->i64);
    } else {
        ok = whole_of(v, kind, to);
    }
    return ok ? ERR_OK : json_wrong(v, r->where, wanted[kind], e);
}

/* The key of a map's entry is a member's name. */
static bool key_read(reader *r, str name, pbtree *to)
{
    if (to->field->kind == PBDEF_U64) return str_u64(name, &to->u64);
    to->text = str_copy(r->memory, name);
    return to->field->kind == PBDEF_TEXT && to->text.p && !memchr(to->text.p, 0, name.len);
}

/* ---- messages ---- */

static err_code object_read(reader *r, yyjson_val *v, pbtree *to, err *e);

static err_code value_read(reader *r, yyjson_val *v, pbtree *m, const pbdef_field *f, err *e)
{
    pbtree *to = pbtree_add(r->memory, m, f);
    if (!to) return no_memory(r, e);
    return f->kind == PBDEF_MESSAGE ? object_read(r, v, to, e) : scalar_read(r, v, to, e);
}

static err_code map_read(reader *r, yyjson_val *v, pbtree *m, const pbdef_field *f, err *e)
{
    size_t i, n;
    yyjson_val *key, *value;
    err_code rc = json_obj(v, r->where, e);
    yyjson_obj_foreach(v, i, n, key, value)
    {
        if (rc) return rc;
        size_t before = enter(r, yyjson_get_str(key), -1);
        pbtree *to = pbtree_add(r->memory, m, f), *k = to ? pbtree_open(r->memory, to, "key") : NULL;
        if (!k) return no_memory(r, e);
        if (!key_read(r, text_of(key), k))
            return r->memory->starved ? no_memory(r, e) : json_wrong(key, r->where, wanted[k->field->kind], e);
        rc = value_read(r, value, to, pbtree_field(f->message, STR("value")), e);
        leave(r, before);
    }
    if (rc == ERR_OK && !pbtree_map_settle(r->memory, m, f)) rc = no_memory(r, e);
    return rc;
}

static err_code list_read(reader *r, yyjson_val *v, pbtree *m, const pbdef_field *f, err *e)
{
    size_t i, n;
    yyjson_val *item;
    err_code rc = json_list(v, r->where, e);
    yyjson_arr_foreach(v, i, n, item)
    {
        if (rc) return rc;
        size_t before = enter(r, NULL, (int64_t)i);
        rc = value_read(r, item, m, f, e);
        leave(r, before);
    }
    return rc;
}

/* "maxBatchSize" is max_batch_size. */
static bool is_camel(str camel, const char *name)
{
    size_t i = 0;
    for (bool up = false; *name; name++) {
        if (*name == '_') {
            up = true;
            continue;
        }
        char want = up && *name >= 'a' && *name <= 'z' ? (char)(*name - 32) : *name;
        if (i == camel.len || camel.p[i++] != want) return false;
        up = false;
    }
    return i == camel.len;
}

static const pbdef_field *field_of(const pbdef *def, str name)
{
    const pbdef_field *f = pbtree_field(def, name);
    for (size_t i = 0; !f && i < def->count; i++)
        if (is_camel(name, def->fields[i].name)) f = &def->fields[i];
    return f;
}

static err_code unknown(const reader *r, const pbdef *def, str name, err *e)
{
    const char *names[NAMES_MAX];
    size_t n = def->count < NAMES_MAX ? def->count : NAMES_MAX;
    for (size_t i = 0; i < n; i++) names[i] = def->fields[i].name;
    const char *near = str_nearest(name, names, n);
    return err_set(e, ERR_INVALID, "%s: unknown field '" STR_FMT "'%s%s%s%s", r->where, STR_ARG(name),
                   near ? ", did you mean '" : " of ", near ? near : def->name, near ? "'" : "", near ? "?" : "");
}

static err_code once(const reader *r, const pbtree *m, const pbdef_field *f, err *e)
{
    if (pbtree_has(m, f->name))
        return err_set(e, ERR_INVALID, "%s: expected '%s' once, got it under two names", r->where, f->name);
    for (size_t i = 0; f->oneof && i < m->def->count; i++)
        if (m->def->fields[i].oneof == f->oneof && m->fields[i].count)
            return err_set(e, ERR_INVALID, "%s: expected one of '%s' and '%s', got both", r->where,
                           m->def->fields[i].name, f->name);
    return ERR_OK;
}

/* Recursion is as deep as the table, which contains no message in itself. */
static err_code object_read(reader *r, yyjson_val *v, pbtree *to, err *e)
{
    size_t i, n;
    yyjson_val *key, *value;
    err_code rc = json_obj(v, r->where, e);
    yyjson_obj_foreach(v, i, n, key, value)
    {
        if (rc) return rc;
        const pbdef_field *f = field_of(to->def, text_of(key));
        if (!f) return unknown(r, to->def, text_of(key), e);
        if (yyjson_is_null(value)) continue;
        if ((rc = once(r, to, f, e)) != ERR_OK) return rc;
        size_t before = enter(r, f->name, -1);
        if (f->kind == PBDEF_MESSAGE && f->message->map_entry) rc = map_read(r, value, to, f, e);
        else rc = f->repeated ? list_read(r, value, to, f, e) : value_read(r, value, to, f, e);
        leave(r, before);
    }
    return rc;
}

err_code pbjson_read(yyjson_val *v, const char *what, const pbdef *def, arena *a, pbtree **ret, err *e)
{
    reader r = {.memory = a};
    int n = snprintf(r.where, sizeof r.where, "%s", what);
    r.root = r.len = n > 0 && (size_t)n < sizeof r.where ? (size_t)n : sizeof r.where - 1;
    pbtree *m = pbtree_new(a, def);
    if (!m) return no_memory(&r, e);
    err_code rc = object_read(&r, v, m, e);
    if (rc == ERR_OK) *ret = m;
    return rc;
}
