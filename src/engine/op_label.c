/* Operators of ai.onnx.ml that look categories up: LabelEncoder, CategoryMapper and OneHotEncoder.
 *
 * The table is built when the model is loaded; a node that is folded before that builds it for the one call. */
#include "engine/label_map.h"

#include <string.h>

typedef struct {
    label_map map;
    tensor otherwise; /* one element of the values' type */
} encoder;

typedef err_code read_fn(const node *n, encoder *ret, arena *a, err *e);

/* ---- attributes ------------------------------------------------------------------------------------------------- */

static err_code lists_check(const encoder *x, err *e)
{
    uint64_t keys = tensor_count(&x->map.keys), values = tensor_count(&x->map.values);
    if (x->map.keys.type == DT_NONE) return err_set(e, ERR_INVALID, "keys: expected a list, got none");
    if (x->map.values.type == DT_NONE) return err_set(e, ERR_INVALID, "values: expected a list, got none");
    if (!(T1(x->map.keys.type) & T_LABEL))
        return err_set(e, ERR_UNSUPPORTED, "keys: %s is not supported", dtype_name(x->map.keys.type));
    if (dtype_bits(x->map.values.type) < 8 || T1(x->map.values.type) & (T1(DT_C64) | T1(DT_C128)))
        return err_set(e, ERR_UNSUPPORTED, "values: %s is not supported", dtype_name(x->map.values.type));
    if (keys == values) return ERR_OK;
    return err_set(e, ERR_INVALID, "expected as many keys as values, got %llu and %llu", (unsigned long long)keys,
                   (unsigned long long)values);
}

/* The default of a type: the attribute, or what the specification says; NULL = no memory. */
static void *default_of(const node *n, dtype type, arena *a)
{
    float f = node_float(n, "default_float", -0.0f);
    int64_t i = node_int(n, "default_int64", -1);
    str s = node_str(n, "default_string", STR("_Unused"));
    shape one = {0};
    tensor t = tensor_make(type, &one, arena_push(a, 1, 16, 16));
    if (!t.data) return NULL;
    if (type == DT_STRING)
        memcpy(t.data, &s, sizeof s);
    else if (dtype_kind_of(type) == KIND_FLOAT)
        tensor_put_f64(&t, 0, (double)f);
    else
        tensor_put_int(&t, 0, i);
    return t.data;
}

static err_code default_set(const node *n, encoder *x, arena *a, err *e)
{
    const attr *d = node_attr(n, "default_tensor");
    shape one = {0};
    if (d && (d->t->type != x->map.values.type || tensor_count(d->t) != 1))
        return err_set(e, ERR_INVALID, "default_tensor: expected one %s, got %llu %s", dtype_name(x->map.values.type),
                       (unsigned long long)tensor_count(d->t), dtype_name(d->t->type));
    void *data = d ? d->t->data : default_of(n, x->map.values.type, a);
    if (!data) return err_set(e, ERR_NOMEM, "no memory for a default");
    x->otherwise = tensor_make(x->map.values.type, &one, data);
    return ERR_OK;
}

/* keys_strings, keys_int64s, keys_floats or keys_tensor: the one that is there. */
static err_code list_of(const node *n, const char *const names[4], tensor *ret, err *e)
{
    const attr *found = NULL;
    for (int i = 0; i < 4; i++) {
        const attr *a = node_attr(n, names[i]);
        if (a && found) return err_set(e, ERR_INVALID, "%s: expected only one list of its kind", names[i]);
        if (a) found = a;
    }
    *ret = label_list(found);
    return ERR_OK;
}

static err_code read_lists(const node *n, encoder *ret, arena *a, err *e)
{
    static const char *const keys[4] = {"keys_strings", "keys_int64s", "keys_floats", "keys_tensor"},
                             *const values[4] = {"values_strings", "values_int64s", "values_floats", "values_tensor"};
    *ret = (encoder){.map = {.nan_equal = n->opset >= 4}};
    err_code rc = list_of(n, keys, &ret->map.keys, e);
    if (!rc) rc = list_of(n, values, &ret->map.values, e);
    if (!rc) rc = lists_check(ret, e);
    return rc ? rc : default_set(n, ret, a, e);
}

/* 0, 1, 2, ...: the index of a class is its number. */
static err_code numbers(uint64_t n, arena *a, tensor *ret, err *e)
{
    shape s = shape_make(1, (const int64_t[]){(int64_t)n});
    int64_t *at = arena_new(a, int64_t, n);
    if (n && !at) return err_set(e, ERR_NOMEM, "no memory for %llu classes", (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++) at[i] = (int64_t)i;
    *ret = tensor_make(DT_I64, &s, at);
    return ERR_OK;
}

/* Two lists of the same length, looked up from strings to integers or back, as the input's type says. */
static err_code read_two_ways(const node *n, tensor strings, tensor ints, bool from_strings, encoder *ret, arena *a,
                              err *e)
{
    *ret = (encoder){
        .map = {.keys = from_strings ? strings : ints, .values = from_strings ? ints : strings, .last_wins = true}};
    err_code rc = lists_check(ret, e);
    return rc ? rc : default_set(n, ret, a, e);
}

static err_code read_classes(const node *n, encoder *ret, arena *a, bool from_strings, err *e)
{
    tensor strings = label_list(node_attr(n, "classes_strings")), ints;
    err_code rc = numbers(tensor_count(&strings), a, &ints, e);
    return rc ? rc : read_two_ways(n, strings, ints, from_strings, ret, a, e);
}

static err_code read_categories(const node *n, encoder *ret, arena *a, bool from_strings, err *e)
{
    return read_two_ways(n, label_list(node_attr(n, "cats_strings")), label_list(node_attr(n, "cats_int64s")),
                         from_strings, ret, a, e);
}

static err_code strings_to_classes(const node *n, encoder *ret, arena *a, err *e)
{
    return read_classes(n, ret, a, true, e);
}

static err_code classes_to_strings(const node *n, encoder *ret, arena *a, err *e)
{
    return read_classes(n, ret, a, false, e);
}

static err_code strings_to_categories(const node *n, encoder *ret, arena *a, err *e)
{
    return read_categories(n, ret, a, true, e);
}

static err_code categories_to_strings(const node *n, encoder *ret, arena *a, err *e)
{
    return read_categories(n, ret, a, false, e);
}

/* OneHotEncoder: the value of a category is its column. */
static err_code read_columns(const node *n, encoder *ret, arena *a, err *e)
{
    const attr *strings = node_attr(n, "cats_strings"), *ints = node_attr(n, "cats_int64s");
    *ret = (encoder){.map = {.last_wins = true}};
    if (!strings == !ints) return err_set(e, ERR_INVALID, "expected one of cats_strings and cats_int64s");
    ret->map.keys = label_list(strings ? strings : ints);
    err_code rc = numbers(tensor_count(&ret->map.keys), a, &ret->map.values, e);
    return rc ? rc : lists_check(ret, e);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

/* How a row's attributes are read, by the type of the input. */
typedef struct {
    read_fn *from_strings, *from_numbers;
} readers;

enum { STATES = 2 }; /* of a prepared node: [0] for strings, [1] for numbers */

static err_code encoder_build(const node *n, read_fn *read, arena *a, encoder *ret, err *e)
{
    err_code rc = read(n, ret, a, e);
    return rc ? rc : label_map_build(&ret->map, a, "keys", e);
}

/* The node's table for the input at hand: made before, or made now. */
static err_code encoder_of(op_call *c, encoder *ret, err *e)
{
    const readers *r = c->node->row->data;
    bool strings = c->in[0]->type == DT_STRING;
    if (c->state) {
        *ret = ((const encoder *)c->state)[!strings];
        return ERR_OK;
    }
    err inner;
    err_code rc = encoder_build(c->node, strings ? r->from_strings : r->from_numbers, c->scratch, ret, &inner);
    return rc ? op_err(c, e, rc, "%s", inner.text) : ERR_OK;
}

static err_code prepare(op_prep *p, void **ret_state, err *e)
{
    const readers *r = p->node->row->data;
    char text[200];
    encoder *x = arena_new(p->memory, encoder, STATES);
    if (!x) return err_set(e, ERR_NOMEM, "no memory for a table");
    for (int i = 0; i < STATES; i++) {
        read_fn *read = i == 0 ? r->from_strings : r->from_numbers;
        if (i > 0 && read == r->from_strings) {
            x[i] = x[0];
            continue;
        }
        if (encoder_build(p->node, read, p->memory, &x[i], e))
            return err_wrap(e, "%s", node_text(p->graph, p->node, text));
    }
    *ret_state = x;
    return ERR_OK;
}

/* ---- infer and run ---------------------------------------------------------------------------------------------- */

static err_code lookup_infer(op_call *c, err *e)
{
    encoder x;
    err_code rc = encoder_of(c, &x, e);
    if (!rc) rc = op_type(c, 0, T1(x.map.keys.type), e);
    return rc ? rc : op_set(c, 0, x.map.values.type, &c->in[0]->shape, e);
}

static err_code lookup_run(op_call *c, err *e)
{
    encoder x;
    err_code rc = encoder_of(c, &x, e);
    if (rc) return rc;
    size_t size = dtype_bits(x.map.values.type) / 8;
    const char *values = x.map.values.data;
    char *to = c->out[0]->data;
    uint64_t n = tensor_count(c->in[0]);
    for (uint64_t i = 0; i < n; i++) {
        uint32_t at = label_map_find(&x.map, c->in[0], i);
        memcpy(to + i * size, at == UINT32_MAX ? x.otherwise.data : values + at * size, size);
    }
    return ERR_OK;
}

static err_code one_hot_infer(op_call *c, err *e)
{
    encoder x;
    err inner;
    err_code rc = encoder_of(c, &x, e);
    if (!rc) rc = op_type(c, 0, x.map.keys.type == DT_STRING ? T1(DT_STRING) : T_NUMBER, e);
    if (rc) return rc;
    shape s = c->in[0]->shape;
    if (shape_push(&s, (int64_t)tensor_count(&x.map.keys), &inner)) return op_err(c, e, inner.code, "%s", inner.text);
    return op_set(c, 0, DT_F32, &s, e);
}

/* Numbers are cut to integers before they are looked up. */
static uint32_t column_of(const encoder *x, const tensor *t, uint64_t i)
{
    if (t->type == DT_STRING || t->type == DT_I64) return label_map_find(&x->map, t, i);
    int64_t v = 0;
    if (dtype_kind_of(t->type) != KIND_FLOAT)
        v = tensor_int(t, i);
    else if (!(tensor_f64(t, i) > -0x1p63 && tensor_f64(t, i) < 0x1p63))
        return UINT32_MAX;
    else
        v = (int64_t)tensor_f64(t, i);
    tensor whole = tensor_make(DT_I64, &(shape){0}, &v);
    return label_map_find(&x->map, &whole, 0);
}

static err_code one_hot_run(op_call *c, err *e)
{
    encoder x;
    err_code rc = encoder_of(c, &x, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    size_t columns = (size_t)tensor_count(&x.map.keys);
    bool zeros = node_int(c->node, "zeros", 1) != 0;
    uint64_t n = tensor_count(c->in[0]);
    float *y = c->out[0]->data;
    memset(y, 0, tensor_bytes(c->out[0]));
    for (uint64_t i = 0; i < n; i++) {
        uint32_t at = column_of(&x, c->in[0], i);
        if (at != UINT32_MAX)
            y[i * columns + at] = 1;
        else if (!zeros)
            return op_err(c, e, ERR_INVALID, "element %llu: its category is not among the %zu that are known",
                          (unsigned long long)i, columns);
    }
    return ERR_OK;
}

static const readers of_lists = {read_lists, read_lists}, of_classes = {strings_to_classes, classes_to_strings},
                     of_categories = {strings_to_categories, categories_to_strings},
                     of_columns = {read_columns, read_columns};

#define ROW(n, version) \
    .name = (n), .domain = "ai.onnx.ml", .since = (version), .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, \
    .prepare = prepare
#define LOOKUP .infer = lookup_infer, .run = lookup_run
#define DEFAULTS \
    {"default_float", ATTR_FLOAT, false}, {"default_int64", ATTR_INT, false}, { "default_string", ATTR_STRING, false }
#define LISTS \
    {"keys_floats", ATTR_FLOATS, false}, {"keys_int64s", ATTR_INTS, false}, {"keys_strings", ATTR_STRINGS, false}, \
        {"values_floats", ATTR_FLOATS, false}, {"values_int64s", ATTR_INTS, false}, \
    { \
        "values_strings", ATTR_STRINGS, false \
    }
const op_row op_rows_label[] = {
    {ROW("LabelEncoder", 1), .attrs = {{"classes_strings", ATTR_STRINGS, true}, DEFAULTS}, LOOKUP, .data = &of_classes},
    {ROW("LabelEncoder", 2), .attrs = {LISTS, DEFAULTS}, LOOKUP, .data = &of_lists},
    {ROW("LabelEncoder", 4),
     .attrs = {LISTS,
               DEFAULTS,
               {"keys_tensor", ATTR_TENSOR, false},
               {"values_tensor", ATTR_TENSOR, false},
               {"default_tensor", ATTR_TENSOR, false}},
     LOOKUP, .data = &of_lists},
    {ROW("CategoryMapper", 1),
     .attrs = {{"cats_int64s", ATTR_INTS, true}, {"cats_strings", ATTR_STRINGS, true}, DEFAULTS}, LOOKUP,
     .data = &of_categories},
    {ROW("OneHotEncoder", 1),
     .attrs = {{"cats_int64s", ATTR_INTS, false}, {"cats_strings", ATTR_STRINGS, false}, {"zeros", ATTR_INT, false}},
     .infer = one_hot_infer, .run = one_hot_run, .data = &of_columns},
    {0},
};
