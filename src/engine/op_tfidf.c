/* TfIdfVectorizer: counts the n-grams of a pool in each row of tokens.
 *
 * Tokens become the numbers of equal items in the pool; n-grams are paths in a trie whose edges lie in one hash table.
 * Both are made when the model is loaded. */
#include "engine/label_map.h"
#include "engine/op_watch.h"

#include <string.h>

enum { GRAMS_MAX = 1 << 26, NO_GRAM = -1 };

typedef enum { MODE_TF, MODE_IDF, MODE_TFIDF } tfidf_mode;

typedef struct {
    uint32_t from, item, to; /* to 0 = a free slot: nothing leads back to the root */
} edge;

typedef struct {
    tfidf_mode mode;
    int64_t length_min, length_max, skip_max;
    size_t width; /* columns of the output */
    label_map items; /* of the pool */
    edge *edges;
    uint32_t mask, nodes;
    int64_t *column; /* [nodes] of the n-gram that ends here, or NO_GRAM */
    float *weight; /* [nodes] of that n-gram */
} vectorizer;

/* ---- the trie --------------------------------------------------------------------------------------------------- */

static edge *edge_slot(const vectorizer *v, uint32_t from, uint32_t item)
{
    uint64_t h = ((uint64_t)from << 32 | item) * 0x9e3779b97f4a7c15u;
    uint32_t at = (uint32_t)(h >> 32) & v->mask;
    while (v->edges[at].to && (v->edges[at].from != from || v->edges[at].item != item)) at = (at + 1) & v->mask;
    return &v->edges[at];
}

/* The node behind the edge; 0 = there is none. */
static uint32_t follow(const vectorizer *v, uint32_t from, uint32_t item)
{
    return item == UINT32_MAX ? 0 : edge_slot(v, from, item)->to;
}

static uint32_t follow_or_add(vectorizer *v, uint32_t from, uint32_t item)
{
    edge *slot = edge_slot(v, from, item);
    if (!slot->to) {
        *slot = (edge){from, item, v->nodes};
        v->column[v->nodes++] = NO_GRAM;
    }
    return slot->to;
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

static err_code lists_read(const node *n, vectorizer *v, uint32_t *ret_columns, err *e)
{
    static const char *const modes[] = {"TF", "IDF", "TFIDF"};
    const attr *strings = node_attr(n, "pool_strings"), *ints = node_attr(n, "pool_int64s"),
               *weights = node_attr(n, "weights");
    const int64_t *columns = node_ints(n, "ngram_indexes", ret_columns);
    str mode = node_str(n, "mode", STR("TF"));
    int found = 0;
    while (found < 3 && !str_is(mode, modes[found])) found++;
    if (found == 3) return err_set(e, ERR_INVALID, "mode: expected TF, IDF or TFIDF, got '" STR_FMT "'", STR_ARG(mode));
    if (!strings == !ints) return err_set(e, ERR_INVALID, "expected one of pool_strings and pool_int64s");
    *v = (vectorizer){.mode = (tfidf_mode)found,
                      .length_min = node_int(n, "min_gram_length", 1),
                      .length_max = node_int(n, "max_gram_length", 1),
                      .skip_max = node_int(n, "max_skip_count", 0),
                      .items = {.keys = label_list(strings ? strings : ints)}};
    if (v->length_min < 1 || v->length_max < v->length_min || v->skip_max < 0 || v->skip_max > INT32_MAX)
        return err_set(e, ERR_INVALID, "gram lengths %lld to %lld with %lld skipped: expected 1 or more, and 0 or more",
                       (long long)v->length_min, (long long)v->length_max, (long long)v->skip_max);
    for (uint32_t i = 0; i < *ret_columns; i++) {
        if (columns[i] < 0 || columns[i] >= GRAMS_MAX)
            return err_set(e, ERR_INVALID, "ngram_indexes[%u]: expected 0..%d, got %lld", i, GRAMS_MAX - 1,
                           (long long)columns[i]);
        if ((size_t)columns[i] >= v->width) v->width = (size_t)columns[i] + 1;
    }
    if (weights && weights->count != *ret_columns)
        return err_set(e, ERR_INVALID, "weights: expected %u values, got %u", *ret_columns, weights->count);
    return ERR_OK;
}

/* n-grams of `length` items in the pool from..to-1; *gram counts those of all lengths. */
static err_code grams_add(const node *n, vectorizer *v, uint64_t length, uint64_t from, uint64_t to, uint32_t *gram,
                          err *e)
{
    uint32_t count;
    const int64_t *columns = node_ints(n, "ngram_indexes", &count);
    const attr *weights = node_attr(n, "weights");
    if ((to - from) % length)
        return err_set(e, ERR_INVALID, "ngram_counts: %llu items are no whole number of %llu-grams",
                       (unsigned long long)(to - from), (unsigned long long)length);
    bool wanted = (int64_t)length >= v->length_min && (int64_t)length <= v->length_max;
    for (; from < to; from += length, ++*gram) {
        if (*gram >= count)
            return err_set(e, ERR_INVALID, "ngram_indexes: expected one for each n-gram, got %u", count);
        if (!wanted) continue;
        uint32_t at = 0;
        for (uint64_t i = 0; i < length; i++)
            at = follow_or_add(v, at, label_map_find(&v->items, &v->items.keys, from + i));
        v->column[at] = columns[*gram];
        v->weight[at] = weights && v->mode != MODE_TF ? weights->floats[*gram] : 1;
    }
    return ERR_OK;
}

static err_code build(const node *n, vectorizer *ret, arena *a, err *e)
{
    vectorizer v;
    uint32_t columns, lengths, gram = 0;
    const int64_t *starts = node_ints(n, "ngram_counts", &lengths);
    err_code rc = lists_read(n, &v, &columns, e);
    if (rc) return rc;
    uint64_t items = tensor_count(&v.items.keys), room = 4;
    if (items > GRAMS_MAX) return err_set(e, ERR_LIMIT, "pool: expected at most %d items", GRAMS_MAX);
    rc = label_map_build(&v.items, a, "pool", e);
    if (rc) return rc;
    while (room < 2 * items) room *= 2;
    v.mask = (uint32_t)room - 1;
    v.edges = arena_new(a, edge, room);
    v.column = arena_new(a, int64_t, items + 1);
    v.weight = arena_new(a, float, items + 1);
    if (!v.edges || !v.column || !v.weight)
        return err_set(e, ERR_NOMEM, "no memory for a pool of %llu", (unsigned long long)items);
    v.column[v.nodes++] = NO_GRAM; /* the root */
    for (uint32_t i = 0; i < lengths && !rc; i++) {
        uint64_t to = i + 1 < lengths ? (uint64_t)starts[i + 1] : items;
        if (starts[i] < 0 || (uint64_t)starts[i] > to || to > items)
            return err_set(e, ERR_INVALID, "ngram_counts[%u]: expected places in the pool in order, got %lld", i,
                           (long long)starts[i]);
        rc = grams_add(n, &v, i + 1u, (uint64_t)starts[i], to, &gram, e);
    }
    if (!rc) *ret = v;
    return rc;
}

static err_code prepare(op_prep *p, void **ret_state, err *e)
{
    char text[200];
    vectorizer *v = arena_new(p->memory, vectorizer, 1);
    if (!v) return err_set(e, ERR_NOMEM, "no memory for a pool");
    if (build(p->node, v, p->memory, e)) return err_wrap(e, "%s", node_text(p->graph, p->node, text));
    *ret_state = v;
    return ERR_OK;
}

static err_code vectorizer_of(op_call *c, const vectorizer **ret, err *e)
{
    *ret = c->state;
    if (*ret) return ERR_OK;
    err inner;
    vectorizer *v = arena_new(c->scratch, vectorizer, 1);
    *ret = v;
    if (!v) return op_err(c, e, ERR_LIMIT, "no memory for a pool");
    return build(c->node, v, c->scratch, &inner) ? op_err(c, e, inner.code, "%s", inner.text) : ERR_OK;
}

/* ---- infer and run ---------------------------------------------------------------------------------------------- */

static err_code tfidf_infer(op_call *c, err *e)
{
    const vectorizer *v;
    err_code rc = vectorizer_of(c, &v, e);
    if (!rc) rc = op_type(c, 0, v->items.keys.type == DT_STRING ? T1(DT_STRING) : T1(DT_I32) | T1(DT_I64), e);
    if (!rc) rc = op_rank(c, 0, 1, 2, e);
    if (rc) return rc;
    shape s = c->in[0]->shape;
    s.dim[s.rank - 1] = (int64_t)v->width;
    return op_set(c, 0, DT_F32, &s, e);
}

/* The pool's items that the tokens of row r are; UINT32_MAX = none. */
static void items_of(const vectorizer *v, const tensor *t, size_t r, size_t n, uint32_t *items)
{
    for (size_t i = 0; i < n; i++) {
        int64_t whole = t->type == DT_I32 ? tensor_int(t, r * n + i) : 0;
        tensor one = tensor_make(DT_I64, &(shape){0}, &whole);
        items[i] = t->type == DT_I32 ? label_map_find(&v->items, &one, 0) : label_map_find(&v->items, t, r * n + i);
    }
}

/* Counts the n-grams that begin with the first of n items and have `skip` others between two of theirs; single tokens
 * only where skip is 0.  IDF asks only whether an n-gram is there.  Returns how many items it saw, or one more. */
static uint64_t count_from(const vectorizer *v, const uint32_t *items, size_t n, size_t skip, float *y)
{
    uint32_t at = 0;
    int64_t length = 1;
    for (size_t i = 0; length <= v->length_max && i < n; length++, i += skip + 1) {
        at = follow(v, at, items[i]);
        if (!at) break;
        if (v->column[at] == NO_GRAM || (length == 1 && skip > 0)) continue;
        float *cell = &y[v->column[at]];
        *cell = v->weight[at] + (v->mode == MODE_IDF ? 0 : *cell);
    }
    return (uint64_t)length;
}

/* Single tokens are counted once; longer n-grams once for each distance between their tokens. */
static err_code count(const vectorizer *v, const uint32_t *items, size_t n, float *y, op_watch *w, err *e)
{
    size_t skip_max = v->length_max > 1 ? (size_t)v->skip_max : 0;
    err_code rc = ERR_OK;
    for (size_t skip = 0; skip <= skip_max && skip < n && !rc; skip++)
        for (size_t start = 0; start < n && !rc; start++)
            rc = op_watch_add(w, count_from(v, items + start, n - start, skip, y), e);
    return rc;
}

static err_code tfidf_run(op_call *c, err *e)
{
    const vectorizer *v;
    const shape *s = &c->in[0]->shape;
    size_t rows = s->rank == 1 ? 1 : (size_t)s->dim[0], n = (size_t)s->dim[s->rank - 1];
    err_code rc = vectorizer_of(c, &v, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    uint32_t *items = arena_push_raw(c->scratch, n * sizeof *items, _Alignof(uint32_t));
    if (!items) return op_err(c, e, ERR_LIMIT, "no memory for %zu tokens", n);
    memset(c->out[0]->data, 0, tensor_bytes(c->out[0]));
    op_watch watch = {.call = c};
    for (size_t r = 0; r < rows && !rc; r++) {
        float *y = (float *)c->out[0]->data + r * v->width;
        items_of(v, c->in[0], r, n, items);
        rc = count(v, items, n, y, &watch, e);
    }
    return rc;
}

const op_row op_rows_tfidf[] = {
    {.name = "TfIdfVectorizer",
     .domain = "",
     .since = 9,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"max_gram_length", ATTR_INT, true},
               {"max_skip_count", ATTR_INT, true},
               {"min_gram_length", ATTR_INT, true},
               {"mode", ATTR_STRING, true},
               {"ngram_counts", ATTR_INTS, true},
               {"ngram_indexes", ATTR_INTS, true},
               {"pool_int64s", ATTR_INTS, false},
               {"pool_strings", ATTR_STRINGS, false},
               {"weights", ATTR_FLOATS, false}},
     .prepare = prepare,
     .infer = tfidf_infer,
     .run = tfidf_run},
    {0},
};
