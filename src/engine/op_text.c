/* StringConcat, StringSplit and StringNormalizer.  Bytes of new strings live in the call's lasting arena. */
#include "engine/label_map.h"

#include <string.h>

static err_code no_room(const op_call *c, err *e) { return op_err(c, e, ERR_LIMIT, "no room for the strings"); }

/* ---- StringConcat ----------------------------------------------------------------------------------------------- */

static err_code concat_infer(op_call *c, err *e)
{
    err_code rc = op_type(c, 0, T1(DT_STRING), e);
    if (!rc) rc = op_type(c, 1, T1(DT_STRING), e);
    return rc ? rc : op_broadcast(c, e);
}

static err_code concat_run(op_call *c, err *e)
{
    const shape *y = &c->out[0]->shape;
    view a = view_broadcast(&c->in[0]->shape, y), b = view_broadcast(&c->in[1]->shape, y);
    uint64_t n = tensor_count(c->out[0]);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t rest = i, at_a = 0, at_b = 0;
        for (uint32_t d = y->rank; d-- > 0;) {
            uint64_t k = rest % (uint64_t)y->dim[d];
            rest /= (uint64_t)y->dim[d];
            at_a += k * (uint64_t)a.stride[d];
            at_b += k * (uint64_t)b.stride[d];
        }
        str s = ((const str *)c->in[0]->data)[at_a], t = ((const str *)c->in[1]->data)[at_b];
        char *both = arena_push_raw(c->lasting, s.len + t.len, 1);
        if (!both) return no_room(c, e);
        if (s.len) memcpy(both, s.p, s.len);
        if (t.len) memcpy(both + s.len, t.p, t.len);
        ((str *)c->out[0]->data)[i] = (str){both, s.len + t.len};
    }
    return ERR_OK;
}

/* ---- StringSplit ------------------------------------------------------------------------------------------------ */

/* Cuts the next part off *rest; false when there is none.  `last`: what is left is one part. */
typedef bool cut_fn(str *rest, bool last, str by, str *ret);

static bool is_blank(char b) { return b == ' ' || (b >= '\t' && b <= '\r'); }

/* Runs of blanks separate; at the ends they are no parts. */
static bool cut_blanks(str *rest, bool last, str by, str *ret)
{
    (void)by;
    while (rest->len && is_blank(*rest->p)) *rest = (str){rest->p + 1, rest->len - 1};
    if (!rest->len) return false;
    size_t n = last ? rest->len : 0;
    while (n < rest->len && !is_blank(rest->p[n])) n++;
    *ret = (str){rest->p, n};
    *rest = (str){rest->p + n, rest->len - n};
    return true;
}

/* Every delimiter separates, so a string has one part more than delimiters; p == NULL marks the end. */
static bool cut_delimiter(str *rest, bool last, str by, str *ret)
{
    if (!rest->p) return false;
    const char *at = last || rest->len < by.len ? NULL : memmem(rest->p, rest->len, by.p, by.len);
    *ret = at ? (str){rest->p, (size_t)(at - rest->p)} : *rest;
    *rest = at ? (str){at + by.len, rest->len - ret->len - by.len} : (str){0};
    return true;
}

typedef struct {
    cut_fn *cut;
    str by;
    int64_t cuts_max; /* negative: no limit */
} splitter;

static splitter splitter_of(const op_call *c)
{
    str by = node_str(c->node, "delimiter", (str){0});
    return (splitter){by.len ? cut_delimiter : cut_blanks, by, node_int(c->node, "maxsplit", -1)};
}

/* How many parts s has, the first `room` of them into `to`; NULL only counts. */
static uint64_t split(const splitter *by, str s, str *to, uint64_t room)
{
    uint64_t n = 0;
    str part, rest = {s.p ? s.p : "", s.len};
    while (by->cut(&rest, by->cuts_max >= 0 && n == (uint64_t)by->cuts_max, by->by, &part)) {
        if (to && n < room) to[n] = part;
        n++;
    }
    return n;
}

static err_code split_infer(op_call *c, err *e)
{
    err_code rc = op_type(c, 0, T1(DT_STRING), e);
    if (!rc) rc = op_rank(c, 0, 0, TENSOR_RANK_MAX - 1, e);
    if (rc) return rc;
    if (c->out[0]) c->out[0]->type = DT_STRING;
    if (c->out_count > 1 && c->out[1]) c->out[1]->type = DT_I64;
    return ERR_OK;
}

static err_code split_run(op_call *c, err *e)
{
    const str *from = c->in[0]->data;
    splitter by = splitter_of(c);
    uint64_t n = tensor_count(c->in[0]), most = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t parts = split(&by, from[i], NULL, 0);
        most = parts > most ? parts : most;
    }
    shape s = c->in[0]->shape;
    s.dim[s.rank++] = (int64_t)most;
    err_code rc = op_alloc(c, 0, DT_STRING, &s, e);
    if (!rc) rc = op_alloc(c, 1, DT_I64, &c->in[0]->shape, e);
    if (rc) return rc;
    str *parts = c->out[0] ? c->out[0]->data : NULL;
    for (uint64_t i = 0; i < n; i++) {
        str *to = parts ? parts + i * most : NULL;
        uint64_t count = split(&by, from[i], to, most);
        for (uint64_t k = count; to && k < most; k++) to[k] = STR("");
        if (c->out_count > 1 && c->out[1]) ((int64_t *)c->out[1]->data)[i] = (int64_t)count;
    }
    return ERR_OK;
}

/* ---- StringNormalizer ------------------------------------------------------------------------------------------- */

typedef enum { CASE_NONE, CASE_LOWER, CASE_UPPER } case_change;

/* Letters that have another case, by ranges: upper case u in lo..hi, every `step`-th, has the lower case u + shift.
 * Latin (to U+017F), Greek and Cyrillic; both cases take as many bytes in UTF-8. */
static const struct {
    uint32_t lo, hi, step, shift;
} cases[] = {
    {'A', 'Z', 1, 32},     {0xC0, 0xD6, 1, 32},   {0xD8, 0xDE, 1, 32},   {0x100, 0x12E, 2, 1},
    {0x132, 0x136, 2, 1},  {0x139, 0x147, 2, 1},  {0x14A, 0x176, 2, 1},  {0x178, 0x178, 1, UINT32_MAX - 120},
    {0x179, 0x17D, 2, 1},  {0x386, 0x386, 1, 38}, {0x388, 0x38A, 1, 37}, {0x38C, 0x38C, 1, 64},
    {0x38E, 0x38F, 1, 63}, {0x391, 0x3A1, 1, 32}, {0x3A3, 0x3AB, 1, 32}, {0x400, 0x40F, 1, 80},
    {0x410, 0x42F, 1, 32},
};

static uint32_t change_letter(uint32_t v, case_change to)
{
    if (to == CASE_UPPER && v == 0x3C2) return 0x3A3; /* the sigma at the end of a word */
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        uint32_t upper = to == CASE_UPPER ? v - cases[i].shift : v;
        if (upper < cases[i].lo || upper > cases[i].hi || (upper - cases[i].lo) % cases[i].step) continue;
        return to == CASE_UPPER ? upper : v + cases[i].shift;
    }
    return v;
}

/* s with its letters changed, in arena memory; what is not UTF-8 stays as it is.  p == NULL: no room. */
static str change(str s, case_change to, arena *a)
{
    char *p = arena_push_raw(a, s.len, 1);
    for (size_t i = 0; p && i < s.len; i++) {
        uint8_t b = (uint8_t)s.p[i], next = i + 1 < s.len ? (uint8_t)s.p[i + 1] : 0;
        p[i] = s.p[i];
        if (b < 0x80) {
            p[i] = (char)change_letter(b, to);
        } else if (b >= 0xC2 && b <= 0xDF && (next & 0xC0) == 0x80) {
            uint32_t v = change_letter((uint32_t)(b & 0x1F) << 6 | (next & 0x3F), to);
            p[i++] = (char)(0xC0 | v >> 6);
            p[i] = (char)(0x80 | (v & 0x3F));
        }
    }
    return (str){p, s.len};
}

static err_code change_of(const op_call *c, case_change *ret, err *e)
{
    static const char *const names[] = {"NONE", "LOWER", "UPPER"};
    str name = node_str(c->node, "case_change_action", STR("NONE"));
    for (int i = 0; i < 3; i++) {
        if (!str_is(name, names[i])) continue;
        *ret = (case_change)i;
        return ERR_OK;
    }
    return op_err(c, e, ERR_INVALID, "case_change_action: expected NONE, LOWER or UPPER, got '" STR_FMT "'",
                  STR_ARG(name));
}

static err_code normalizer_infer(op_call *c, err *e)
{
    case_change to;
    err_code rc = op_type(c, 0, T1(DT_STRING), e);
    if (!rc) rc = op_rank(c, 0, 1, 2, e);
    if (!rc) rc = change_of(c, &to, e);
    if (rc) return rc;
    if (c->in[0]->shape.rank == 2 && c->in[0]->shape.dim[0] != 1)
        return op_err(c, e, ERR_INVALID, "expected [n] or [1,n], got %lld rows", (long long)c->in[0]->shape.dim[0]);
    if (c->out[0]) c->out[0]->type = DT_STRING;
    return ERR_OK;
}

/* The stop words in the case in which they are compared. */
static err_code stops_make(op_call *c, bool exact, label_map *ret, err *e)
{
    *ret = (label_map){.keys = label_list(node_attr(c->node, "stopwords"))};
    err inner;
    if (ret->keys.type == DT_NONE) ret->keys = tensor_make(DT_STRING, &(shape){.rank = 1}, NULL);
    uint64_t n = tensor_count(&ret->keys);
    if (!exact && n) {
        const str *from = ret->keys.data;
        str *words = arena_new(c->scratch, str, n);
        for (uint64_t i = 0; words && i < n; i++) {
            words[i] = change(from[i], CASE_LOWER, c->scratch);
            if (!words[i].p) words = NULL;
        }
        if (!words) return no_room(c, e);
        ret->keys.data = words;
    }
    return label_map_build(ret, c->scratch, "stopwords", &inner) ? op_err(c, e, inner.code, "%s", inner.text) : ERR_OK;
}

static err_code normalizer_run(op_call *c, err *e)
{
    const str *from = c->in[0]->data;
    uint64_t n = tensor_count(c->in[0]), kept = 0;
    bool exact = node_int(c->node, "is_case_sensitive", 0) != 0;
    case_change to;
    label_map stops;
    err_code rc = change_of(c, &to, e);
    if (!rc) rc = stops_make(c, exact, &stops, e);
    if (rc) return rc;
    str *words = arena_new(c->scratch, str, n + 1);
    if (!words) return no_room(c, e);
    for (uint64_t i = 0; i < n; i++) {
        str word = exact ? from[i] : change(from[i], CASE_LOWER, c->scratch);
        if (from[i].len && !word.p) return no_room(c, e);
        tensor one = tensor_make(DT_STRING, &(shape){0}, &word);
        if (label_map_find(&stops, &one, 0) != UINT32_MAX) continue;
        words[kept] = to == CASE_NONE ? from[i] : change(from[i], to, c->lasting);
        if (!words[kept++].p && from[i].len) return no_room(c, e);
    }
    if (kept == 0) words[kept++] = STR(""); /* where nothing is left there is one empty string */
    shape s = c->in[0]->shape;
    s.dim[s.rank - 1] = (int64_t)kept;
    rc = op_alloc(c, 0, DT_STRING, &s, e);
    if (!rc && c->out[0]) memcpy(c->out[0]->data, words, kept * sizeof *words);
    return rc;
}

const op_row op_rows_text[] = {
    {.name = "StringConcat",
     .domain = "",
     .since = 20,
     .in_min = 2,
     .in_max = 2,
     .out_min = 1,
     .out_max = 1,
     .infer = concat_infer,
     .run = concat_run},
    {.name = "StringSplit",
     .domain = "",
     .since = 20,
     .flags = OP_RUNTIME,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 2,
     .attrs = {{"delimiter", ATTR_STRING, false}, {"maxsplit", ATTR_INT, false}},
     .infer = split_infer,
     .run = split_run},
    {.name = "StringNormalizer",
     .domain = "",
     .since = 10,
     .flags = OP_RUNTIME,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"case_change_action", ATTR_STRING, false},
               {"is_case_sensitive", ATTR_INT, false},
               {"locale", ATTR_STRING, false},
               {"stopwords", ATTR_STRINGS, false}},
     .infer = normalizer_infer,
     .run = normalizer_run},
    {0},
};
