#include "wire/pbtree.h"

#include "base/map.h"
#include "wire/decimal.h"
#include "wire/json_text.h"
#include "wire/pb.h"

#include <math.h>
#include <string.h>

const pbdef_field *pbtree_field(const pbdef *def, str name)
{
    for (size_t i = 0; i < def->count; i++)
        if (str_is(name, def->fields[i].name)) return &def->fields[i];
    return NULL;
}

const char *pbtree_value_name(const pbdef_enum *values, int64_t number)
{
    for (size_t i = 0; i < values->count; i++)
        if (values->values[i].number == number) return values->values[i].name;
    return NULL;
}

static bool message_init(arena *a, pbtree *m, const pbdef *def)
{
    m->def = def;
    m->fields = arena_new(a, pbtree_list, def->count ? def->count : 1);
    return m->fields != NULL;
}

pbtree *pbtree_new(arena *a, const pbdef *def)
{
    pbtree *m = arena_new(a, pbtree, 1);
    return m && message_init(a, m, def) ? m : NULL;
}

static pbtree_list *list_of(const pbtree *m, const pbdef_field *f) { return &m->fields[f - m->def->fields]; }

static void append(pbtree_list *l, pbtree *v)
{
    if (l->last) l->last->next = v;
    else l->first = v;
    l->last = v;
    l->count++;
}

pbtree *pbtree_add(arena *a, pbtree *m, const pbdef_field *f)
{
    pbtree *v = arena_new(a, pbtree, 1);
    if (!v || (f->kind == PBDEF_MESSAGE && !message_init(a, v, f->message))) return NULL;
    v->field = f;
    if (f->kind == PBDEF_TEXT) v->text = STR("");
    append(list_of(m, f), v);
    return v;
}

static const pbdef_field *known(const pbtree *m, const char *name)
{
    const pbdef_field *f = pbtree_field(m->def, str_of(name));
    INVARIANT(f);
    return f;
}

pbtree_list *pbtree_values(const pbtree *m, const char *name) { return list_of(m, known(m, name)); }

static str key_bytes(const pbtree *key)
{
    return key->field->kind == PBDEF_TEXT ? key->text : (str){(const char *)&key->u64, sizeof key->u64};
}

bool pbtree_map_settle(arena *a, pbtree *m, const pbdef_field *f)
{
    pbtree_list *l = list_of(m, f), kept = {0};
    map seen;
    bool ok = true;
    map_init(&seen);
    for (pbtree *v = l->first, *next; v && ok; v = next) {
        next = v->next;
        v->next = NULL;
        pbtree *key = pbtree_open(a, v, "key");
        pbtree *before = key ? map_get(&seen, key_bytes(key)) : NULL;
        ok = key && pbtree_open(a, v, "value") != NULL;
        if (before) before->fields = v->fields;
        else if (ok) {
            ok = map_put(&seen, key_bytes(key), v);
            append(&kept, v);
        }
    }
    map_fini(&seen);
    *l = kept;
    return ok;
}

const pbtree *pbtree_get(const pbtree *m, const char *name) { return m ? pbtree_values(m, name)->first : NULL; }
size_t pbtree_count(const pbtree *m, const char *name) { return m ? pbtree_values(m, name)->count : 0; }
bool pbtree_has(const pbtree *m, const char *name) { return pbtree_count(m, name) > 0; }

int64_t pbtree_i64(const pbtree *m, const char *name)
{
    const pbtree *v = pbtree_get(m, name);
    return v ? v->i64 : 0;
}

bool pbtree_bool(const pbtree *m, const char *name) { return pbtree_i64(m, name) != 0; }

uint64_t pbtree_u64(const pbtree *m, const char *name)
{
    const pbtree *v = pbtree_get(m, name);
    return v ? v->u64 : 0;
}

double pbtree_f64(const pbtree *m, const char *name)
{
    const pbtree *v = pbtree_get(m, name);
    return v ? v->f64 : 0;
}

str pbtree_text(const pbtree *m, const char *name)
{
    const pbtree *v = pbtree_get(m, name);
    return v ? v->text : STR("");
}

pbtree *pbtree_append(arena *a, pbtree *m, const char *name) { return pbtree_add(a, m, known(m, name)); }

pbtree *pbtree_open(arena *a, pbtree *m, const char *name)
{
    const pbdef_field *f = known(m, name);
    pbtree *v = list_of(m, f)->first;
    return v ? v : pbtree_add(a, m, f);
}

bool pbtree_set_i64(arena *a, pbtree *m, const char *name, int64_t n)
{
    pbtree *v = pbtree_open(a, m, name);
    if (v) v->i64 = n;
    return v != NULL;
}

bool pbtree_set_text(arena *a, pbtree *m, const char *name, str text)
{
    pbtree *v = pbtree_open(a, m, name);
    if (v) v->text = text;
    return v != NULL;
}

/* ---- JSON ---- */

static void real_print(buf *out, double v, bool narrow)
{
    char text[DECIMAL_TEXT_MAX];
    decimal d;
    uint64_t bits = 0;
    float f = (float)v;
    if (!isfinite(v)) {
        buf_put_z(out, isnan(v) ? "\"NaN\"" : v < 0 ? "\"-Infinity\"" : "\"Infinity\"");
        return;
    }
    if (narrow) memcpy(&bits, &f, sizeof f);
    else memcpy(&bits, &v, sizeof v);
    decimal_shortest(bits, narrow ? &decimal_f32 : &decimal_f64, &d);
    buf_put(out, text, decimal_print(text, &d));
}

static void value_print(buf *out, const pbtree *v)
{
    const char *name;
    switch (v->field->kind) {
    case PBDEF_BOOL: buf_put_z(out, v->i64 ? "true" : "false"); break;
    case PBDEF_U64: buf_printf(out, "%llu", (unsigned long long)v->u64); break;
    case PBDEF_F32:
    case PBDEF_F64: real_print(out, v->f64, v->field->kind == PBDEF_F32); break;
    case PBDEF_TEXT: json_text_put(out, v->text); break;
    case PBDEF_MESSAGE: pbtree_print(out, v); break;
    case PBDEF_ENUM:
        name = pbtree_value_name(v->field->values, v->i64);
        if (name) buf_printf(out, "\"%s\"", name);
        else buf_printf(out, "%lld", (long long)v->i64);
        break;
    case PBDEF_I32:
    case PBDEF_I64:
    case PBDEF_U32: buf_printf(out, "%lld", (long long)v->i64); break;
    }
}

/* Keys of JSON are strings, whatever they are. */
static void key_print(buf *out, const pbtree *key)
{
    if (key->field->kind == PBDEF_TEXT) {
        json_text_put(out, key->text);
        return;
    }
    buf_put_byte(out, '"');
    value_print(out, key);
    buf_put_byte(out, '"');
}

static void list_print(buf *out, const pbtree_list *l, bool is_map)
{
    buf_put_byte(out, is_map ? '{' : '[');
    for (const pbtree *v = l->first; v; v = v->next) {
        if (v != l->first) buf_put_byte(out, ',');
        if (is_map) {
            key_print(out, pbtree_get(v, "key"));
            buf_put_byte(out, ':');
        }
        value_print(out, is_map ? pbtree_get(v, "value") : v);
    }
    buf_put_byte(out, is_map ? '}' : ']');
}

/* Recursion is as deep as the table, which contains no message in itself. */
void pbtree_print(buf *out, const pbtree *m)
{
    bool more = false;
    buf_put_byte(out, '{');
    for (size_t i = 0; i < m->def->count; i++) {
        const pbdef_field *f = &m->def->fields[i];
        const pbtree_list *l = &m->fields[i];
        const pbtree absent = {.field = f, .text = f->kind == PBDEF_TEXT ? STR("") : (str){0}};
        if (l->count == 0 && !f->repeated && (f->kind == PBDEF_MESSAGE || f->oneof)) continue;
        buf_printf(out, more ? ",\"%s\":" : "\"%s\":", f->name);
        if (f->repeated) list_print(out, l, f->kind == PBDEF_MESSAGE && f->message->map_entry);
        else value_print(out, l->first ? l->first : &absent);
        more = true;
    }
    buf_put_byte(out, '}');
}

/* ---- protobuf ---- */

static void scalar_put(buf *out, const pbtree *v)
{
    uint32_t number = v->field->number;
    switch (v->field->kind) {
    case PBDEF_U64: pb_put_u64(out, number, v->u64); break;
    case PBDEF_F32: pb_put_f32(out, number, (float)v->f64); break;
    case PBDEF_F64: pb_put_f64(out, number, v->f64); break;
    case PBDEF_TEXT: pb_put_str(out, number, v->text); break;
    default: pb_put_i64(out, number, v->i64); break;
    }
}

/* What is repeated, and what of a oneof, counts even where it is zero. */
static bool is_default(const pbtree *v)
{
    if (v->field->repeated || v->field->oneof) return false;
    if (v->field->kind == PBDEF_TEXT) return v->text.len == 0;
    return v->field->kind == PBDEF_F32 || v->field->kind == PBDEF_F64 ? v->f64 == 0 : v->u64 == 0;
}

/* As proto3 wants repeated numbers: one field that holds them all. */
static void packed_put(buf *out, const pbtree_list *l)
{
    const pbdef_field *f = l->first->field;
    size_t opened = pb_open(out, f->number);
    for (const pbtree *v = l->first; v; v = v->next) {
        uint64_t bits = v->u64;
        size_t fixed = f->kind == PBDEF_F64 ? 8 : f->kind == PBDEF_F32 ? 4 : 0;
        float narrow = fixed == 4 ? (float)v->f64 : 0;
        if (fixed == 4) bits = 0;
        if (fixed) memcpy(&bits, fixed == 4 ? (const void *)&narrow : (const void *)&v->f64, fixed);
        for (size_t k = 0; k < fixed; k++) buf_put_byte(out, (uint8_t)(bits >> (8 * k)));
        for (; !fixed && bits >= 0x80; bits >>= 7) buf_put_byte(out, (uint8_t)(bits | 0x80));
        if (!fixed) buf_put_byte(out, (uint8_t)bits);
    }
    pb_close(out, opened);
}

void pbtree_put(buf *out, const pbtree *m)
{
    for (size_t i = 0; i < m->def->count; i++) {
        const pbdef_field *f = &m->def->fields[i];
        if (f->repeated && f->kind != PBDEF_MESSAGE && f->kind != PBDEF_TEXT && m->fields[i].count) {
            packed_put(out, &m->fields[i]);
            continue;
        }
        for (const pbtree *v = m->fields[i].first; v; v = v->next) {
            if (v->field->kind == PBDEF_MESSAGE) {
                size_t opened = pb_open(out, v->field->number);
                pbtree_put(out, v);
                pb_close(out, opened);
            } else if (!is_default(v)) {
                scalar_put(out, v);
            }
        }
    }
}
