/* Pad: each axis is an index map from the output to the input; -1 is where the constant goes. */
#include "engine/op.h"
#include "tensor/move.h"

#include <string.h>

typedef enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP } pad_mode;

typedef struct {
    pad_mode mode;
    int64_t before[TENSOR_RANK_MAX]; /* negative = cut */
    shape out;
} pad;

static err_code mode_of(const op_call *c, pad_mode *ret, err *e)
{
    static const char *const names[] = {"constant", "reflect", "edge", "wrap"};
    str mode = node_str(c->node, "mode", STR("constant"));
    for (uint32_t i = 0; i < COUNTOF(names); i++) {
        if (!str_is(mode, names[i])) continue;
        *ret = (pad_mode)i;
        return ERR_OK;
    }
    return op_err(c, e, ERR_INVALID, "mode: expected constant, reflect, edge or wrap, got '" STR_FMT "'",
                  STR_ARG(mode));
}

#define PAD_MOST ((int64_t)SHAPE_ELEMENTS_MAX)   /* what can be cut off, far from what cannot be turned round */

static err_code pad_find(const op_call *c, pad *ret, err *e)
{
    const shape *x = &c->in[0]->shape;
    op_ints pads, axes;
    pad p = {.out = *x};
    err_code rc = mode_of(c, &p.mode, e);
    if (rc == ERR_OK) rc = op_ints_of(c, 1, node_attr(c->node, "paddings") ? "paddings" : "pads", &pads, e);
    if (rc == ERR_OK) rc = op_axes_of(c, 3, NULL, x->rank, &axes, e);
    if (rc) return rc;
    bool some = c->in_count > 3 && c->in[3];
    uint32_t n = some ? axes.count : x->rank;
    if (pads.count != 2 * n) return op_err(c, e, ERR_INVALID, "pads: expected %u, got %u", 2 * n, pads.count);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t axis = some ? (uint32_t)axes.at[i] : i;
        int64_t length = x->dim[axis], before = pads.at[i], after = pads.at[n + i], to;
        if (before < -PAD_MOST || after < -PAD_MOST || __builtin_add_overflow(length, before, &to) ||
            __builtin_add_overflow(to, after, &to) || to < 0)
            return op_err(c, e, ERR_INVALID, "pads: axis %u of %lld cannot take %lld and %lld", axis, (long long)length,
                          (long long)before, (long long)after);
        if (p.mode != PAD_CONSTANT && length == 0 && to > 0)
            return op_err(c, e, ERR_INVALID, "pads: axis %u has no element to repeat", axis);
        p.before[axis] = before;
        p.out.dim[axis] = to;
    }
    *ret = p;
    return ERR_OK;
}

static err_code pad_infer(op_call *c, err *e)
{
    pad p;
    if (!op_known(c, 1)) return op_later(c, 1);
    if (!op_known(c, 3)) return op_later(c, 3);
    err_code rc = pad_find(c, &p, e);
    return rc ? rc : op_set(c, 0, c->in[0]->type, &p.out, e);
}

/* Where output place i of an axis comes from; reflections go on through as many mirrors as it takes. */
static int64_t source_of(pad_mode mode, int64_t i, int64_t length)
{
    if (i >= 0 && i < length) return i;
    if (mode == PAD_CONSTANT) return -1;
    if (mode == PAD_EDGE) return i < 0 ? 0 : length - 1;
    if (mode == PAD_WRAP) return (i % length + length) % length;
    if (length == 1) return 0;
    int64_t period = 2 * (length - 1), k = (i % period + period) % period;
    return k < length ? k : period - k;
}

static err_code constant_of(const op_call *c, uint8_t ret[16], err *e)
{
    const tensor *given = c->in_count > 2 ? c->in[2] : NULL;
    size_t size = dtype_bits(c->in[0]->type) / 8;
    memset(ret, 0, 16);
    if (given && (given->type != c->in[0]->type || tensor_count(given) != 1))
        return op_err(c, e, ERR_INVALID, "constant_value: expected one %s", dtype_name(c->in[0]->type));
    if (given) memcpy(ret, given->data, size);
    float legacy = node_float(c->node, "value", 0);
    if (!given && legacy != 0) {
        shape one = {0};
        tensor t = tensor_make(c->in[0]->type, &one, ret);
        tensor_put_f64(&t, 0, (double)legacy);
    }
    return ERR_OK;
}

/* One row of the last axis. */
static void row_pad(char *to, const char *from, const int64_t *map, int64_t n, size_t size, const uint8_t *constant)
{
    int64_t i = 0;
    while (i < n) {
        int64_t run = 1;
        if (map[i] < 0 || !from) {
            memcpy(to + (size_t)i * size, constant, size);
        } else {
            while (i + run < n && map[i + run] == map[i] + run) run++; /* a stretch that is dense in the input */
            memcpy(to + (size_t)i * size, from + (size_t)map[i] * size, (size_t)run * size);
        }
        i += run;
    }
}

/* maps: for each axis of y where its elements come from, -1 = padding. */
static void pad_rows(const op_call *c, const shape *y, int64_t *const *maps, size_t size, const uint8_t *constant)
{
    const shape *x = &c->in[0]->shape;
    uint32_t last = y->rank - 1;
    uint64_t rows = shape_count_range(y, 0, last);
    for (uint64_t r = 0; r < rows; r++) {
        uint64_t rest = r, stride = (uint64_t)x->dim[last], place = 0;
        bool inside = true;
        for (uint32_t d = last; d-- > 0;) {
            int64_t at = maps[d][rest % (uint64_t)y->dim[d]];
            rest /= (uint64_t)y->dim[d];
            inside = inside && at >= 0;
            place += (uint64_t)(at < 0 ? 0 : at) * stride;
            stride *= (uint64_t)x->dim[d];
        }
        row_pad((char *)c->out[0]->data + r * (uint64_t)y->dim[last] * size,
                inside ? (const char *)c->in[0]->data + place * size : NULL, maps[last], y->dim[last], size, constant);
    }
}

static err_code pad_run(op_call *c, err *e)
{
    pad p;
    uint8_t constant[16];
    int64_t *maps[TENSOR_RANK_MAX];
    size_t size = dtype_bits(c->in[0]->type) / 8;
    err_code rc = pad_find(c, &p, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    if (size == 0) return op_err(c, e, ERR_UNSUPPORTED, "%s is not supported", dtype_name(c->in[0]->type));
    if ((rc = constant_of(c, constant, e)) != ERR_OK) return rc;
    if (p.out.rank == 0) {
        memcpy(c->out[0]->data, c->in[0]->data, size);
        return ERR_OK;
    }
    for (uint32_t d = 0; d < p.out.rank; d++) {
        maps[d] = arena_push_raw(c->scratch, (size_t)p.out.dim[d] * sizeof(int64_t), _Alignof(int64_t));
        if (!maps[d]) return op_err(c, e, ERR_LIMIT, "no memory for an axis of %lld", (long long)p.out.dim[d]);
        /* What a negative pad cuts is gone before anything is repeated. */
        int64_t length = c->in[0]->shape.dim[d], cut = p.before[d] < 0 ? -p.before[d] : 0;
        int64_t after = p.out.dim[d] - length - p.before[d], kept = length - cut + (after < 0 ? after : 0);
        for (int64_t i = 0; i < p.out.dim[d]; i++) {
            int64_t at = kept > 0 ? source_of(p.mode, i - (p.before[d] > 0 ? p.before[d] : 0), kept) : -1;
            maps[d][i] = at < 0 ? -1 : at + cut;
        }
    }
    pad_rows(c, &p.out, maps, size, constant);
    return ERR_OK;
}

#define PAD_ATTRS \
    { \
        "mode", ATTR_STRING, false \
    }
const op_row op_rows_pad[] = {
    {.name = "Pad",
     .domain = "",
     .since = 1,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 1,
     .attrs = {PAD_ATTRS, {"paddings", ATTR_INTS, true}, {"value", ATTR_FLOAT, false}},
     .infer = pad_infer,
     .run = pad_run},
    {.name = "Pad",
     .domain = "",
     .since = 2,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 1,
     .attrs = {PAD_ATTRS, {"pads", ATTR_INTS, true}, {"value", ATTR_FLOAT, false}},
     .infer = pad_infer,
     .run = pad_run},
    {.name = "Pad",
     .domain = "",
     .since = 11,
     .in_min = 2,
     .in_max = 3,
     .out_min = 1,
     .out_max = 1,
     .attrs = {PAD_ATTRS},
     .infer = pad_infer,
     .run = pad_run},
    {.name = "Pad",
     .domain = "",
     .since = 18,
     .in_min = 2,
     .in_max = 4,
     .out_min = 1,
     .out_max = 1,
     .attrs = {PAD_ATTRS},
     .infer = pad_infer,
     .run = pad_run},
    {0},
};
