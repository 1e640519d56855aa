#include "wire/yaml.h"

#include "base/map.h"

#include <math.h>
#include <string.h>
#include <yaml.h>

enum { FEW_KEYS = 16 };   /* compared pairwise; above it a map is cheaper */

typedef struct {
    yaml_parser_t parser;         /* of libyaml; its events are a flat list, so nothing here recurses */
    const char *file;
    arena *memory;
    size_t nodes, depth;
    struct {
        yaml *node, *last;
        str key;                  /* read, and waiting for its value */
        uint32_t key_line, key_column;
    } open[YAML_DEPTH_MAX];
    yaml *root;
} reader;

static err_code refuse_at(const reader *r, yaml_mark_t at, const char *what, err *e)
{
    return err_set(e, ERR_INVALID, "%s:%zu:%zu: %s", r->file, at.line + 1, at.column + 1, what);
}

static err_code no_memory(const reader *r, err *e)
{
    if (r->memory->starved) return err_set(e, ERR_NOMEM, "%s: no memory for the document", r->file);
    return err_set(e, ERR_LIMIT, "%s: expected a document that fits %zu bytes of memory", r->file, r->memory->limit);
}

static err_code broken(const reader *r, err *e)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR) return err_set(e, ERR_NOMEM, "%s: no memory", r->file);
    if (p->error == YAML_READER_ERROR)
        return err_set(e, ERR_INVALID, "%s: byte %zu: %s", r->file, p->problem_offset, p->problem);
    return err_set(e, ERR_INVALID, "%s:%zu:%zu: %s%s%s", r->file, p->problem_mark.line + 1, p->problem_mark.column + 1,
                   p->problem ? p->problem : "broken", p->context ? " " : "", p->context ? p->context : "");
}

static err_code twice(const yaml *first, const yaml *again, err *e)
{
    return err_set(e, ERR_INVALID, "%s:%u:%u: expected '" STR_FMT "' once, got it again after line %u", again->file,
                   again->key_line, again->key_column, STR_ARG(again->key), first->key_line);
}

static err_code keys_check(const reader *r, yaml *node, err *e)
{
    map seen;
    err_code rc = ERR_OK;
    if (node->count <= FEW_KEYS) {
        for (yaml *m = node->first; m; m = m->next) {
            for (yaml *k = node->first; k != m; k = k->next) {
                if (str_eq(k->key, m->key)) return twice(k, m, e);
            }
        }
        return ERR_OK;
    }
    map_init(&seen);
    for (yaml *m = node->first; m && !rc; m = m->next) {
        yaml *first = map_get(&seen, m->key);
        if (first) rc = twice(first, m, e);
        else if (!map_put(&seen, m->key, m)) rc = err_set(e, ERR_NOMEM, "%s: no memory", r->file);
    }
    map_fini(&seen);
    return rc;
}

static err_code close_node(reader *r, err *e)
{
    yaml *node = r->open[--r->depth].node;
    return node->kind == YAML_MAP ? keys_check(r, node, e) : ERR_OK;
}

/* Hangs a new node under the innermost open one; NULL = refused, see e. */
static yaml *add(reader *r, yaml_kind kind, yaml_mark_t at, err *e)
{
    if (++r->nodes > YAML_NODES_MAX) {
        err_set(e, ERR_LIMIT, "%s:%zu:%zu: expected at most %d values, got more", r->file, at.line + 1,
                at.column + 1, YAML_NODES_MAX);
        return NULL;
    }
    yaml *node = arena_new(r->memory, yaml, 1);
    if (!node) {
        no_memory(r, e);
        return NULL;
    }
    node->kind = kind;
    node->file = r->file;
    node->line = (uint32_t)at.line + 1;
    node->column = (uint32_t)at.column + 1;
    if (r->depth == 0) {
        r->root = node;
        return node;
    }
    yaml *parent = r->open[r->depth - 1].node, *last = r->open[r->depth - 1].last;
    if (parent->kind == YAML_MAP) {
        node->key = r->open[r->depth - 1].key;
        node->key_line = r->open[r->depth - 1].key_line;
        node->key_column = r->open[r->depth - 1].key_column;
        r->open[r->depth - 1].key.p = NULL;
    }
    if (last) last->next = node;
    else parent->first = node;
    r->open[r->depth - 1].last = node;
    parent->count++;
    return node;
}

static bool key_next(const reader *r)
{
    return r->depth && r->open[r->depth - 1].node->kind == YAML_MAP && !r->open[r->depth - 1].key.p;
}

static err_code on_open(reader *r, yaml_kind kind, const yaml_event_t *ev, err *e)
{
    if (key_next(r)) return refuse_at(r, ev->start_mark, "key: expected a scalar, got a list or map", e);
    if (kind == YAML_MAP ? ev->data.mapping_start.tag != NULL : ev->data.sequence_start.tag != NULL)
        return refuse_at(r, ev->start_mark, "tags are not supported", e);
    if (r->depth == YAML_DEPTH_MAX)
        return refuse_at(r, ev->start_mark, "nesting: expected at most 64 levels, got more", e);
    yaml *node = add(r, kind, ev->start_mark, e);
    if (!node) return e->code;
    memset(&r->open[r->depth], 0, sizeof r->open[0]);
    r->open[r->depth++].node = node;
    return ERR_OK;
}

static err_code on_scalar(reader *r, const yaml_event_t *ev, err *e)
{
    if (ev->data.scalar.tag) return refuse_at(r, ev->start_mark, "tags are not supported", e);
    str text = str_copy(r->memory, (str){(const char *)ev->data.scalar.value, ev->data.scalar.length});
    if (!text.p) return no_memory(r, e);
    if (key_next(r)) {
        r->open[r->depth - 1].key = text;
        r->open[r->depth - 1].key_line = (uint32_t)ev->start_mark.line + 1;
        r->open[r->depth - 1].key_column = (uint32_t)ev->start_mark.column + 1;
        return ERR_OK;
    }
    yaml *node = add(r, YAML_TEXT, ev->start_mark, e);
    if (!node) return e->code;
    node->text = text;
    node->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return ERR_OK;
}

static err_code on_event(reader *r, const yaml_event_t *ev, err *e)
{
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        return r->root ? refuse_at(r, ev->start_mark, "expected one document, got another", e) : ERR_OK;
    case YAML_ALIAS_EVENT: return refuse_at(r, ev->start_mark, "aliases are not supported: write the value again", e);
    case YAML_SCALAR_EVENT: return on_scalar(r, ev, e);
    case YAML_SEQUENCE_START_EVENT: return on_open(r, YAML_LIST, ev, e);
    case YAML_MAPPING_START_EVENT: return on_open(r, YAML_MAP, ev, e);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return close_node(r, e);
    default: return ERR_OK;
    }
}

static err_code read_events(reader *r, err *e)
{
    for (bool more = true; more;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&r->parser, &ev)) return broken(r, e);
        err_code rc = on_event(r, &ev, e);
        more = ev.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&ev);
        if (rc) return rc;
    }
    return ERR_OK;
}

err_code yaml_parse(str text, const char *file, arena *a, yaml **ret, err *e)
{
    reader r = {.file = file, .memory = a};
    if (!str_utf8_ok(text)) return err_set(e, ERR_INVALID, "%s: expected UTF-8, got other bytes", file);
    if (!yaml_parser_initialize(&r.parser)) return err_set(e, ERR_NOMEM, "%s: no memory", file);
    /* Told the encoding, libyaml takes a mark of it for a column of the first line; asked to find it, it skips it. */
    if (!str_starts(text, STR("\xef\xbb\xbf"))) yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.p ? text.p : ""), text.len);
    err_code rc = read_events(&r, e);
    yaml_parser_delete(&r.parser);
    if (rc) return rc;
    if (!r.root) {
        yaml *nothing = arena_new(a, yaml, 1);
        if (!nothing) return no_memory(&r, e);
        *nothing = (yaml){.plain = true, .line = 1, .column = 1, .file = file, .text = STR("")};
        r.root = nothing;
    }
    *ret = r.root;
    return ERR_OK;
}

/* -- Getters --------------------------------------------------------------------------------------------------- */

const yaml *yaml_get(const yaml *y, const char *key)
{
    if (!y || y->kind != YAML_MAP) return NULL;
    for (const yaml *m = y->first; m; m = m->next) {
        if (str_is(m->key, key)) return m;
    }
    return NULL;
}

static bool one_of(const yaml *y, const char *const *words)
{
    if (y->kind != YAML_TEXT || !y->plain) return false;
    for (; *words; words++) {
        if (str_is(y->text, *words)) return true;
    }
    return false;
}

bool yaml_is_null(const yaml *y)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    return one_of(y, words);
}

err_code yaml_wrong(const yaml *y, const char *expected, err *e)
{
    static const char *const kinds[] = {[YAML_LIST] = "a list", [YAML_MAP] = "a map"};
    if (y->kind != YAML_TEXT) err_set(e, ERR_INVALID, "expected %s, got %s", expected, kinds[y->kind]);
    else if (yaml_is_null(y)) err_set(e, ERR_INVALID, "expected %s, got nothing", expected);
    else err_set(e, ERR_INVALID, "expected %s, got '%.*s%s'%s", expected, y->text.len < 80 ? (int)y->text.len : 80,
                 y->text.p, y->text.len < 80 ? "" : "...", y->plain ? "" : " in quotes");
    if (y->key.p) err_wrap(e, STR_FMT, STR_ARG(y->key));
    return err_wrap(e, "%s:%u:%u", y->file, y->line, y->column);
}

err_code yaml_str(const yaml *y, str *ret, err *e)
{
    if (y->kind != YAML_TEXT || yaml_is_null(y)) return yaml_wrong(y, "a string", e);
    *ret = y->text;
    return ERR_OK;
}

err_code yaml_bool(const yaml *y, bool *ret, err *e)
{
    static const char *const yes[] = {"true", "True", "TRUE", NULL}, *const no[] = {"false", "False", "FALSE", NULL};
    bool is_true = one_of(y, yes);
    if (!is_true && !one_of(y, no)) return yaml_wrong(y, "true or false", e);
    *ret = is_true;
    return ERR_OK;
}

/* 0..15, or 16 for what is no digit. */
static unsigned digit(char c)
{
    if (c >= '0' && c <= '9') return (unsigned)(c - '0');
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

/* 10.3.2: [-+]? [0-9]+, 0o [0-7]+, 0x [0-9a-fA-F]+; as sign and magnitude. */
static bool integer(const yaml *y, bool *ret_minus, uint64_t *ret)
{
    str s = y->text;
    unsigned base = 10;
    uint64_t v = 0;
    if (y->kind != YAML_TEXT || !y->plain) return false;
    *ret_minus = s.len && s.p[0] == '-';
    if (s.len && (s.p[0] == '-' || s.p[0] == '+')) s = (str){s.p + 1, s.len - 1};
    else if (str_starts(s, STR("0x")) || str_starts(s, STR("0o"))) {
        base = s.p[1] == 'x' ? 16 : 8;
        s = (str){s.p + 2, s.len - 2};
    }
    if (s.len == 0) return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned d = digit(s.p[i]);
        if (d >= base || __builtin_mul_overflow(v, (uint64_t)base, &v) || __builtin_add_overflow(v, (uint64_t)d, &v))
            return false;
    }
    *ret = v;
    return true;
}

err_code yaml_u64(const yaml *y, uint64_t *ret, err *e)
{
    bool minus;
    uint64_t v;
    if (!integer(y, &minus, &v) || (minus && v)) return yaml_wrong(y, "a non-negative integer", e);
    *ret = v;
    return ERR_OK;
}

err_code yaml_i64(const yaml *y, int64_t *ret, err *e)
{
    bool minus;
    uint64_t v;
    if (!integer(y, &minus, &v) || v > (uint64_t)INT64_MAX + minus) return yaml_wrong(y, "an integer", e);
    *ret = (int64_t)(minus ? 0 - v : v);
    return ERR_OK;
}

err_code yaml_f64(const yaml *y, double *ret, err *e)
{
    static const char *const inf[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", NULL};
    static const char *const minus_inf[] = {"-.inf", "-.Inf", "-.INF", NULL};
    static const char *const nan[] = {".nan", ".NaN", ".NAN", NULL};
    bool minus;
    uint64_t v;
    str s = y->text;
    if (integer(y, &minus, &v)) {
        *ret = minus ? -(double)v : (double)v;
        return ERR_OK;
    }
    if (one_of(y, inf) || one_of(y, minus_inf)) {
        *ret = s.p[0] == '-' ? -INFINITY : INFINITY;
        return ERR_OK;
    }
    if (one_of(y, nan)) {
        *ret = NAN;
        return ERR_OK;
    }
    if (s.len && s.p[0] == '+') s = (str){s.p + 1, s.len - 1};
    if (y->kind != YAML_TEXT || !y->plain || (s.len && s.p[0] == '-' && y->text.p != s.p) || !str_f64(s, ret))
        return yaml_wrong(y, "a number", e);
    return ERR_OK;
}

err_code yaml_list(const yaml *y, err *e) { return y->kind == YAML_LIST ? ERR_OK : yaml_wrong(y, "a list", e); }
err_code yaml_map(const yaml *y, err *e) { return y->kind == YAML_MAP ? ERR_OK : yaml_wrong(y, "a map", e); }
