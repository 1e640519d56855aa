#include "wire/json_cut.h"

#include "wire/decimal.h"
#include "wire/json_mask.h"
#include "wire/json_text.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    bool object;
    uint8_t mask;               /* bit i: the steps of path i lead here */
} level;

typedef struct {
    json_cut *cut;
    const json_cut_path *paths;
    size_t path_count;
    buf *skeleton;
    const char *begin, *p, *end;
    const char *copied;         /* up to here the body is in the skeleton */
    size_t depth;
    level levels[JSON_CUT_DEPTH_MAX];
    bool key_next;              /* in an object, after '{' or ',' */
    uint8_t key_mask;           /* bit i: the last key is path i's step from this level */
} cutter;

static err_code fail(const cutter *c, const char *at, const char *what, err *e)
{
    return err_set(e, ERR_INVALID, "JSON: byte %zu: %s", (size_t)(at - c->begin), what);
}

static err_code too_deep(const cutter *c, const char *at, err *e)
{
    return err_set(e, ERR_INVALID, "JSON: byte %zu: nesting: expected at most %d levels, got more",
                   (size_t)(at - c->begin), JSON_CUT_DEPTH_MAX);
}

static bool is_step(str key, const char *step)
{
    size_t i = 0;
    while (i < key.len && step[i] == key.p[i] && step[i]) i++;
    return i == key.len && !step[i];
}

/* Which paths, of those that lead to this level, go on with this key. */
static uint8_t key_match(const cutter *c, str key, bool escaped)
{
    char text[JSON_CUT_KEY_MAX * 6] UNINIT;   /* \u0061 */
    uint8_t hits = 0, mask = c->levels[c->depth - 1].mask;
    if (!mask || (escaped && key.len > sizeof text)) return 0;
    if (escaped) {
        if (!json_text_decode(key, text, &key.len)) return 0;
        key.p = text;
    }
    for (size_t i = 0; i < c->path_count; i++) {
        if (mask >> i & 1 && is_step(key, c->paths[i].steps[c->depth - 1])) hits |= (uint8_t)(1u << i);
    }
    return hits;
}

/* Which paths lead to the value that begins at c->p, and whether one of them ends there. */
static inline uint8_t value_mask(const cutter *c, bool *ret_ends)
{
    const level *in = c->depth ? &c->levels[c->depth - 1] : NULL;
    uint8_t may = !in ? UINT8_MAX : in->object ? c->key_mask : in->mask, mask = 0;
    *ret_ends = false;
    for (size_t i = 0; may >> i && i < c->path_count; i++) {
        uint8_t bit = (uint8_t)(1u << i);
        bool leads = may & bit && (!in || in->object || strcmp(c->paths[i].steps[c->depth - 1], "[]") == 0);
        if (!leads) continue;
        if (c->paths[i].steps[c->depth]) mask |= bit;
        else *ret_ends = true;
    }
    return mask;
}

/* Cuts c->p .. past out of the document. */
static err_code cut(cutter *c, const char *past, err *e)
{
    char number[DECIMAL_TEXT_MAX + 2] UNINIT;
    if (c->cut->count == JSON_CUT_MAX)
        return err_set(e, ERR_LIMIT, "JSON: byte %zu: expected at most %d tensors, got more", (size_t)(c->p - c->begin),
                       JSON_CUT_MAX);
    buf_put(c->skeleton, c->copied, (size_t)(c->p - c->copied));
    /* The blanks keep the number apart from whatever broken text stands around it. */
    number[0] = ' ';
    size_t n = 1 + decimal_print_u64(number + 1, c->cut->count);
    number[n++] = ' ';
    buf_put(c->skeleton, number, n);
    c->cut->spans[c->cut->count++] = (str){c->p, (size_t)(past - c->p)};
    c->p = c->copied = past;
    return ERR_OK;
}

/* The next 64 bytes; the last ones of the body are copied and filled up with blanks. */
static const char *block_at(const cutter *c, const char *p, char tail[JSON_MASK_BYTES])
{
    size_t room = (size_t)(c->end - p);
    if (room >= JSON_MASK_BYTES) return p;
    memset(tail, ' ', JSON_MASK_BYTES);
    memcpy(tail, p, room);
    return tail;
}

/* Past the array or object that begins at p; NULL when it never ends, or holds an object and must not. */
static err_code value_end(const cutter *c, const char *p, bool objects, const char **ret, err *e)
{
    char tail[JSON_MASK_BYTES] UNINIT;
    size_t depth = c->depth;
    *ret = NULL;
    while (p < c->end) {
        size_t room = (size_t)(c->end - p), skip = JSON_MASK_BYTES;
        const char *block = block_at(c, p, tail);
        for (uint64_t mask = json_mask(block); mask; mask &= mask - 1) {
            size_t i = (size_t)__builtin_ctzll(mask);
            char bracket = block[i];
            if (objects) bracket = (char)(bracket & ~0x20);   /* { is [ here, and bars are backslashes */
            if (bracket == '[') {
                if (++depth > JSON_CUT_DEPTH_MAX) return too_deep(c, p + i, e);
            } else if (bracket == ']') {
                if (--depth > c->depth) continue;
                *ret = p + i + 1;
                return ERR_OK;
            } else if (block[i] == '"') {
                bool escaped;
                const char *close = json_text_end(p + i + 1, c->end, &escaped);
                if (!close) return fail(c, p + i, "a string without its closing quote", e);
                skip = (size_t)(close + 1 - p);
                break;
            } else if (!objects) {
                return ERR_OK;
            }
        }
        p += skip < room ? skip : room;
        p = json_mask_clean(p, c->end);
    }
    return ERR_OK;
}

static err_code on_bracket(cutter *c, err *e)
{
    bool ends;
    uint8_t mask = value_mask(c, &ends);
    const char *past = NULL;
    err_code rc = ERR_OK;
    if (ends && *c->p == '[') {
        rc = value_end(c, c->p, false, &past, e);
        if (rc) return rc;
        if (past) return cut(c, past, e);
    }
    if (!mask) {   /* no path leads into it */
        rc = value_end(c, c->p, true, &past, e);
        c->p = past ? past : c->end;
        return rc;
    }
    if (c->depth == JSON_CUT_DEPTH_MAX) return too_deep(c, c->p, e);
    c->levels[c->depth++] = (level){.object = *c->p == '{', .mask = mask};
    c->key_next = *c->p == '{';
    c->p++;
    return ERR_OK;
}

static err_code on_string(cutter *c, err *e)
{
    bool escaped, ends;
    const char *close = json_text_end(c->p + 1, c->end, &escaped);
    if (!close) return fail(c, c->p, "a string without its closing quote", e);
    if (c->depth && c->levels[c->depth - 1].object && c->key_next) {
        c->key_mask = key_match(c, (str){c->p + 1, (size_t)(close - c->p - 1)}, escaped);
        c->key_next = false;
        c->p = close + 1;
        if (c->p < c->end && *c->p == ':') c->p++;
        return ERR_OK;
    }
    value_mask(c, &ends);
    if (ends) return cut(c, close + 1, e);
    c->p = close + 1;
    return ERR_OK;
}

/* A number or a word, or what stands in its place: all up to the next byte with a meaning. */
static err_code on_scalar(cutter *c, err *e)
{
    static const bool stops[256] = {[' '] = 1, ['\t'] = 1, ['\r'] = 1, ['\n'] = 1, [','] = 1, [':'] = 1, ['['] = 1,
                                    [']'] = 1, ['{'] = 1, ['}'] = 1, ['"'] = 1};
    const char *p = c->p;
    bool ends;
    while (p < c->end && !stops[(uint8_t)*p]) p++;
    value_mask(c, &ends);
    if (ends) return cut(c, p, e);
    c->p = p;
    return ERR_OK;
}

static inline err_code step(cutter *c, err *e)
{
    if (*c->p == '"') return on_string(c, e);   /* every second time */
    switch (*c->p) {
    case '[':
    case '{': return on_bracket(c, e);
    case ']':
    case '}':
        if (c->depth) c->depth--;   /* one too many is for yyjson to refuse */
        c->key_next = false;
        c->p++;
        return ERR_OK;
    case ',':
        c->key_next = c->depth && c->levels[c->depth - 1].object;
        c->key_mask = 0;
        c->p++;
        return ERR_OK;
    case ' ':
    case '\t':
    case '\r':
    case '\n':
    case ':':
        c->p++;
        return ERR_OK;
    default: return on_scalar(c, e);
    }
}

err_code json_cut_find(json_cut *ret, str body, const json_cut_path *paths, size_t path_count, buf *skeleton, err *e)
{
    cutter c = {.cut = ret, .paths = paths, .path_count = path_count, .skeleton = skeleton, .begin = body.p,
                .p = body.p, .end = body.p + body.len, .copied = body.p};
    INVARIANT(path_count <= JSON_CUT_PATHS_MAX);
    ret->body = body;
    ret->count = 0;
    while (c.p < c.end) {
        err_code rc = step(&c, e);
        if (rc) return rc;
    }
    buf_put(skeleton, c.copied, (size_t)(c.end - c.copied));
    return ERR_OK;
}

size_t json_cut_origin(const json_cut *c, size_t at)
{
    size_t body = 0;   /* where in the body the text after the last cut begins */
    for (size_t i = 0; i < c->count; i++) {
        size_t start = (size_t)(c->spans[i].p - c->body.p), number = (size_t)snprintf(NULL, 0, " %zu ", i);
        if (at < start - body) break;
        at -= start - body;
        if (at < number) return start;
        at -= number;
        body = start + c->spans[i].len;
    }
    return body + at < c->body.len ? body + at : c->body.len;
}
