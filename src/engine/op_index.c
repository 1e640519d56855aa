/* Operators that pick or place elements by index: Gather*, Scatter*, NonZero, OneHot, Compress, Unique, TopK. */
#include "engine/op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t elem_bytes(const tensor *t) { return dtype_bits(t->type) / 8; }

static err_code whole_bytes(const op_call *c, err *e)
{
    if (dtype_bits(c->in[0]->type) >= 8) return ERR_OK;
    return op_err(c, e, ERR_UNSUPPORTED, "%s is not supported", dtype_name(c->in[0]->type));
}

/* An index into an axis; negative ones count from the end. */
static err_code index_at(const op_call *c, const tensor *indices, uint64_t i, int64_t length, int64_t *ret, err *e)
{
    int64_t at = tensor_int(indices, i);
    if (at < -length || at >= length)
        return op_err(c, e, ERR_INVALID, "indices[%llu]: expected %lld..%lld, got %lld", (unsigned long long)i,
                      (long long)-length, (long long)length - 1, (long long)at);
    *ret = at < 0 ? at + length : at;
    return ERR_OK;
}

/* ---- Gather, GatherElements, GatherND ---- */

static err_code gather_infer(op_call *c, err *e)
{
    const shape *x = &c->in[0]->shape, *i = &c->in[1]->shape;
    uint32_t axis;
    err_code rc = op_rank(c, 0, 1, TENSOR_RANK_MAX, e);
    if (rc == ERR_OK) rc = op_type(c, 1, T1(DT_I32) | T1(DT_I64), e);
    if (rc == ERR_OK) rc = whole_bytes(c, e);
    if (rc == ERR_OK) rc = op_axis(c, 0, x->rank, &axis, e);
    if (rc) return rc;
    if (x->rank - 1 + i->rank > TENSOR_RANK_MAX)
        return op_err(c, e, ERR_UNSUPPORTED, "expected rank of at most %d", TENSOR_RANK_MAX);
    shape s = {0};
    for (uint32_t d = 0; d < axis; d++) s.dim[s.rank++] = x->dim[d];
    for (uint32_t d = 0; d < i->rank; d++) s.dim[s.rank++] = i->dim[d];
    for (uint32_t d = axis + 1; d < x->rank; d++) s.dim[s.rank++] = x->dim[d];
    return op_set(c, 0, c->in[0]->type, &s, e);
}

static err_code gather_run(op_call *c, err *e)
{
    const tensor *x = c->in[0], *indices = c->in[1];
    uint32_t axis;
    err_code rc = op_axis(c, 0, x->shape.rank, &axis, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    int64_t length = x->shape.dim[axis], at;
    size_t run = (size_t)shape_count_range(&x->shape, axis + 1, x->shape.rank) * elem_bytes(x);
    uint64_t outer = shape_count_range(&x->shape, 0, axis), n = tensor_count(indices);
    const char *from = x->data;
    char *to = c->out[0]->data;
    for (uint64_t i = 0; i < n; i++) {
        if ((rc = index_at(c, indices, i, length, &at, e)) != ERR_OK) return rc;
        for (uint64_t o = 0; o < outer; o++)
            memcpy(to + (o * n + i) * run, from + (o * (uint64_t)length + (uint64_t)at) * run, run);
    }
    return ERR_OK;
}

/* Same rank; every dim but the axis within the data's. */
static err_code elements_check(op_call *c, uint32_t *ret_axis, err *e)
{
    const shape *x = &c->in[0]->shape, *i = &c->in[1]->shape;
    err_code rc = op_type(c, 1, T1(DT_I32) | T1(DT_I64), e);
    if (rc == ERR_OK) rc = op_rank(c, 0, 1, TENSOR_RANK_MAX, e);
    if (rc == ERR_OK) rc = op_rank(c, 1, x->rank, x->rank, e);
    if (rc == ERR_OK) rc = whole_bytes(c, e);
    if (rc == ERR_OK) rc = op_axis(c, 0, x->rank, ret_axis, e);
    for (uint32_t d = 0; d < x->rank && rc == ERR_OK; d++) {
        if (d != *ret_axis && i->dim[d] > x->dim[d])
            rc = op_err(c, e, ERR_INVALID, "indices: expected at most %lld in dimension %u, got %lld",
                        (long long)x->dim[d], d, (long long)i->dim[d]);
    }
    return rc;
}

/* The place in the data of element number `i` of the indices, with `at` along the axis. */
static uint64_t element_place(const shape *x, const shape *indices, uint32_t axis, uint64_t i, int64_t at)
{
    uint64_t place = 0, stride = 1;
    for (uint32_t d = x->rank; d-- > 0;) {
        uint64_t k = i % (uint64_t)indices->dim[d];
        i /= (uint64_t)indices->dim[d];
        place += (d == axis ? (uint64_t)at : k) * stride;
        stride *= (uint64_t)x->dim[d];
    }
    return place;
}

static err_code gather_elements_infer(op_call *c, err *e)
{
    uint32_t axis;
    err_code rc = elements_check(c, &axis, e);
    return rc ? rc : op_set(c, 0, c->in[0]->type, &c->in[1]->shape, e);
}

static err_code gather_elements_run(op_call *c, err *e)
{
    const tensor *x = c->in[0], *indices = c->in[1];
    size_t size = elem_bytes(x);
    uint32_t axis;
    int64_t at;
    err_code rc = elements_check(c, &axis, e);
    for (uint64_t i = 0; i < tensor_count(indices) && rc == ERR_OK; i++) {
        rc = index_at(c, indices, i, x->shape.dim[axis], &at, e);
        if (rc == ERR_OK)
            memcpy((char *)c->out[0]->data + i * size,
                   (const char *)x->data + element_place(&x->shape, &indices->shape, axis, i, at) * size, size);
    }
    return rc;
}

/* indices [.., k]: each row of k names a slice of the data behind `batch` shared dims. */
typedef struct {
    uint32_t batch, k;
    uint64_t rows_per_batch; /* rows of indices for one place of the batch dims */
    size_t run; /* bytes of one slice */
} nd;

static err_code nd_find(const op_call *c, nd *ret, err *e)
{
    const shape *x = &c->in[0]->shape, *i = &c->in[1]->shape;
    int64_t batch = node_int(c->node, "batch_dims", 0);
    err_code rc = op_type(c, 1, T1(DT_I32) | T1(DT_I64), e);
    if (rc == ERR_OK) rc = op_rank(c, 0, 1, TENSOR_RANK_MAX, e);
    if (rc == ERR_OK) rc = op_rank(c, 1, 1, TENSOR_RANK_MAX, e);
    if (rc == ERR_OK) rc = whole_bytes(c, e);
    if (rc) return rc;
    int64_t k = i->dim[i->rank - 1];
    if (batch < 0 || batch >= i->rank || batch >= x->rank || k > x->rank - batch)
        return op_err(c, e, ERR_INVALID, "indices: expected rows of at most %u, got %lld with batch_dims %lld", x->rank,
                      (long long)k, (long long)batch);
    for (uint32_t d = 0; d < batch; d++) {
        if (x->dim[d] != i->dim[d])
            return op_err(c, e, ERR_INVALID, "batch dimension %u: expected %lld, got %lld", d, (long long)x->dim[d],
                          (long long)i->dim[d]);
    }
    *ret = (nd){(uint32_t)batch, (uint32_t)k, shape_count_range(i, (uint32_t)batch, i->rank - 1),
                (size_t)shape_count_range(x, (uint32_t)(batch + k), x->rank) * elem_bytes(c->in[0])};
    return ERR_OK;
}

/* The byte where slice `row` begins. */
static err_code nd_place(const op_call *c, const nd *n, uint64_t row, size_t *ret, err *e)
{
    const shape *x = &c->in[0]->shape;
    uint64_t place = n->rows_per_batch ? row / n->rows_per_batch : 0;
    for (uint32_t d = 0; d < n->k; d++) {
        int64_t at;
        err_code rc = index_at(c, c->in[1], row * n->k + d, x->dim[n->batch + d], &at, e);
        if (rc) return rc;
        place = place * (uint64_t)x->dim[n->batch + d] + (uint64_t)at;
    }
    *ret = place * n->run;
    return ERR_OK;
}

static err_code gather_nd_infer(op_call *c, err *e)
{
    nd n;
    err_code rc = nd_find(c, &n, e);
    if (rc) return rc;
    const shape *x = &c->in[0]->shape, *i = &c->in[1]->shape;
    shape s = {0};
    if (i->rank - 1 + x->rank - n.batch - n.k > TENSOR_RANK_MAX)
        return op_err(c, e, ERR_UNSUPPORTED, "expected rank of at most %d", TENSOR_RANK_MAX);
    for (uint32_t d = 0; d + 1 < i->rank; d++) s.dim[s.rank++] = i->dim[d];
    for (uint32_t d = n.batch + n.k; d < x->rank; d++) s.dim[s.rank++] = x->dim[d];
    return op_set(c, 0, c->in[0]->type, &s, e);
}

static err_code gather_nd_run(op_call *c, err *e)
{
    nd n;
    size_t at;
    err_code rc = nd_find(c, &n, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    uint64_t rows = shape_count_range(&c->in[1]->shape, 0, c->in[1]->shape.rank - 1);
    for (uint64_t r = 0; r < rows && rc == ERR_OK; r++) {
        rc = nd_place(c, &n, r, &at, e);
        if (rc == ERR_OK) memcpy((char *)c->out[0]->data + r * n.run, (const char *)c->in[0]->data + at, n.run);
    }
    return rc;
}

/* ---- Scatter, ScatterElements, ScatterND ---- */

typedef enum { PUT, ADD, MUL, MIN, MAX } reduction;

static err_code reduction_of(const op_call *c, reduction *ret, err *e)
{
    static const char *const names[] = {"none", "add", "mul", "min", "max"};
    str name = node_str(c->node, "reduction", STR("none"));
    for (uint32_t i = 0; i < COUNTOF(names); i++) {
        if (!str_is(name, names[i])) continue;
        *ret = (reduction)i;
        if (i > 0 && !(T1(c->in[0]->type) & T_NUMBER))
            return op_err(c, e, ERR_UNSUPPORTED, "reduction: %s has none", dtype_name(c->in[0]->type));
        return ERR_OK;
    }
    return op_err(c, e, ERR_INVALID, "reduction: expected none, add, mul, min or max, got '" STR_FMT "'",
                  STR_ARG(name));
}

static int64_t reduce_int(reduction how, int64_t a, int64_t b, bool is_unsigned)
{
    switch (how) {
    case ADD: return (int64_t)((uint64_t)a + (uint64_t)b);
    case MUL: return (int64_t)((uint64_t)a * (uint64_t)b);
    case MIN: return (is_unsigned ? (uint64_t)a < (uint64_t)b : a < b) ? a : b;
    case MAX: return (is_unsigned ? (uint64_t)a > (uint64_t)b : a > b) ? a : b;
    case PUT: break;
    }
    return b;
}

static double reduce_float(reduction how, double a, double b)
{
    switch (how) {
    case ADD: return a + b;
    case MUL: return a * b;
    case MIN: return a < b || isnan(a) ? a : b;
    case MAX: return a > b || isnan(a) ? a : b;
    case PUT: break;
    }
    return b;
}

/* y[to] = y[to] (reduction) u[from] */
static void reduce_one(reduction how, tensor *y, uint64_t to, const tensor *u, uint64_t from)
{
    size_t size = elem_bytes(y);
    if (how == PUT) {
        memcpy((char *)y->data + to * size, (const char *)u->data + from * size, size);
    } else if (dtype_kind_of(y->type) == KIND_FLOAT) {
        tensor_put_f64(y, to, reduce_float(how, tensor_f64(y, to), tensor_f64(u, from)));
    } else {
        uint64_t r =
            (uint64_t)reduce_int(how, tensor_int(y, to), tensor_int(u, from), dtype_kind_of(y->type) == KIND_UINT);
        memcpy((char *)y->data + to * size, &r, size); /* little-endian: the low bytes, as the type wraps */
    }
}

static err_code scatter_elements_infer(op_call *c, err *e)
{
    uint32_t axis;
    reduction how;
    err_code rc = elements_check(c, &axis, e);
    if (rc == ERR_OK) rc = reduction_of(c, &how, e);
    if (rc) return rc;
    if (c->in[2]->type != c->in[0]->type || !shape_eq(&c->in[2]->shape, &c->in[1]->shape))
        return op_err(c, e, ERR_INVALID, "updates: expected the data's type and the indices' shape");
    return op_same(c, e);
}

static err_code scatter_elements_run(op_call *c, err *e)
{
    const tensor *x = c->in[0], *indices = c->in[1];
    uint32_t axis;
    reduction how;
    int64_t at;
    err_code rc = elements_check(c, &axis, e);
    if (rc == ERR_OK) rc = reduction_of(c, &how, e);
    if (rc || tensor_count(x) == 0) return rc;
    memcpy(c->out[0]->data, x->data, tensor_bytes(x));
    for (uint64_t i = 0; i < tensor_count(indices) && rc == ERR_OK; i++) {
        rc = index_at(c, indices, i, x->shape.dim[axis], &at, e);
        if (rc == ERR_OK)
            reduce_one(how, c->out[0], element_place(&x->shape, &indices->shape, axis, i, at), c->in[2], i);
    }
    return rc;
}

static err_code scatter_nd_infer(op_call *c, err *e)
{
    nd n;
    reduction how;
    err_code rc = nd_find(c, &n, e);
    if (rc == ERR_OK) rc = reduction_of(c, &how, e);
    if (rc) return rc;
    uint64_t rows = shape_count_range(&c->in[1]->shape, 0, c->in[1]->shape.rank - 1), bytes;
    if (c->in[2]->type != c->in[0]->type || __builtin_mul_overflow(rows, n.run, &bytes) ||
        tensor_bytes(c->in[2]) != bytes)
        return op_err(c, e, ERR_INVALID, "updates: expected the data's type and %llu slices", (unsigned long long)rows);
    return op_same(c, e);
}

static err_code scatter_nd_run(op_call *c, err *e)
{
    nd n;
    reduction how;
    size_t at, size = elem_bytes(c->in[0]);
    err_code rc = nd_find(c, &n, e);
    if (rc == ERR_OK) rc = reduction_of(c, &how, e);
    if (rc || tensor_count(c->in[0]) == 0) return rc;
    memcpy(c->out[0]->data, c->in[0]->data, tensor_bytes(c->in[0]));
    uint64_t rows = shape_count_range(&c->in[1]->shape, 0, c->in[1]->shape.rank - 1), per_row = n.run / size;
    for (uint64_t r = 0; r < rows && rc == ERR_OK; r++) {
        rc = nd_place(c, &n, r, &at, e);
        for (uint64_t i = 0; i < per_row && rc == ERR_OK; i++)
            reduce_one(how, c->out[0], at / size + i, c->in[2], r * per_row + i);
    }
    return rc;
}

/* ---- NonZero, Compress, OneHot ---- */

static bool is_zero(const tensor *t, uint64_t i)
{
    if (t->type == DT_STRING) return ((const str *)t->data)[i].len == 0;
    return dtype_kind_of(t->type) == KIND_FLOAT ? tensor_f64(t, i) == 0 : tensor_int(t, i) == 0;
}

static uint64_t nonzero_count(const tensor *t, uint64_t limit)
{
    uint64_t n = 0, count = tensor_count(t);
    for (uint64_t i = 0; i < count && i < limit; i++) n += !is_zero(t, i);
    return n;
}

static err_code nonzero_infer(op_call *c, err *e)
{
    const tensor *x = c->in[0];
    if (!op_known(c, 0)) return op_later(c, 0);
    int64_t dims[2] = {x->shape.rank, (int64_t)nonzero_count(x, UINT64_MAX)};
    shape s = shape_make(2, dims);
    return op_set(c, 0, DT_I64, &s, e);
}

static err_code nonzero_run(op_call *c, err *e)
{
    (void)e;
    const tensor *x = c->in[0];
    int64_t *to = c->out[0]->data, n = c->out[0]->shape.dim[1], k = 0;
    for (uint64_t i = 0; i < tensor_count(x) && n; i++) {
        if (is_zero(x, i)) continue;
        uint64_t rest = i;
        for (uint32_t d = x->shape.rank; d-- > 0;) {
            to[d * n + k] = (int64_t)(rest % (uint64_t)x->shape.dim[d]);
            rest /= (uint64_t)x->shape.dim[d];
        }
        k++;
    }
    return ERR_OK;
}

static err_code compress_infer(op_call *c, err *e)
{
    if (!op_known(c, 1)) return op_later(c, 1);
    shape s = c->in[0]->shape;
    uint32_t axis = 0;
    bool flat = !node_attr(c->node, "axis");
    err_code rc = flat ? ERR_OK : op_axis(c, 0, s.rank, &axis, e);
    if (rc == ERR_OK) rc = op_type(c, 1, T1(DT_BOOL), e);
    if (rc == ERR_OK) rc = whole_bytes(c, e);
    if (rc) return rc;
    uint64_t length = flat ? tensor_count(c->in[0]) : (uint64_t)s.dim[axis];
    int64_t kept = (int64_t)nonzero_count(c->in[1], length);
    if (flat)
        s = shape_make(1, &kept);
    else
        s.dim[axis] = kept;
    return op_set(c, 0, c->in[0]->type, &s, e);
}

static err_code compress_run(op_call *c, err *e)
{
    const tensor *x = c->in[0];
    uint32_t axis = 0;
    bool flat = !node_attr(c->node, "axis");
    err_code rc = flat ? ERR_OK : op_axis(c, 0, x->shape.rank, &axis, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    uint64_t outer = flat ? 1 : shape_count_range(&x->shape, 0, axis),
             length = flat ? tensor_count(x) : (uint64_t)x->shape.dim[axis];
    size_t run = elem_bytes(x) * (flat ? 1 : (size_t)shape_count_range(&x->shape, axis + 1, x->shape.rank));
    const uint8_t *keep = c->in[1]->data;
    uint64_t told = tensor_count(c->in[1]);
    char *to = c->out[0]->data;
    for (uint64_t o = 0; o < outer; o++) {
        for (uint64_t i = 0; i < length && i < told; i++) {
            if (!keep[i]) continue;
            memcpy(to, (const char *)x->data + (o * length + i) * run, run);
            to += run;
        }
    }
    return ERR_OK;
}

static err_code one_hot_infer(op_call *c, err *e)
{
    const shape *i = &c->in[0]->shape;
    uint32_t axis;
    if (!op_known(c, 1)) return op_later(c, 1);
    err_code rc = op_type(c, 0, T_NUMBER, e);
    if (rc == ERR_OK) rc = op_axis(c, -1, i->rank + 1, &axis, e);
    if (rc) return rc;
    if (i->rank + 1 > TENSOR_RANK_MAX || tensor_count(c->in[1]) != 1 || tensor_count(c->in[2]) != 2 ||
        elem_bytes(c->in[2]) == 0)
        return op_err(c, e, ERR_INVALID, "expected one depth and two values");
    double depth = tensor_f64(c->in[1], 0);
    if (!(depth >= 0 && depth < 9e15)) return op_err(c, e, ERR_INVALID, "depth: expected 0 or more, got %g", depth);
    shape s = {0};
    for (uint32_t d = 0; d <= i->rank; d++) s.dim[s.rank++] = d == axis ? (int64_t)depth : i->dim[d < axis ? d : d - 1];
    return op_set(c, 0, c->in[2]->type, &s, e);
}

static err_code one_hot_run(op_call *c, err *e)
{
    const tensor *y = c->out[0];
    uint32_t axis;
    err_code rc = op_axis(c, -1, y->shape.rank, &axis, e);
    if (rc || tensor_count(y) == 0) return rc;
    int64_t depth = y->shape.dim[axis];
    size_t size = elem_bytes(y);
    uint64_t inner = shape_count_range(&y->shape, axis + 1, y->shape.rank);
    const char *off = c->in[2]->data, *on = off + size;
    for (uint64_t i = 0; i < tensor_count(y); i++) memcpy((char *)y->data + i * size, off, size);
    for (uint64_t i = 0; i < tensor_count(c->in[0]); i++) {
        double at = trunc(tensor_f64(c->in[0], i));
        if (!(at >= (double)-depth && at < (double)depth)) continue; /* out of range: all off */
        uint64_t k = (uint64_t)((int64_t)at + (at < 0 ? depth : 0));
        memcpy((char *)y->data + ((i / inner * (uint64_t)depth + k) * inner + i % inner) * size, on, size);
    }
    return ERR_OK;
}

/* ---- TopK ---- */

typedef struct {
    double value;
    int64_t exact; /* of integer types, whose 64 bits a double cannot hold; of floats 1 = a NaN, the largest of all */
    int64_t index;
} ranked;

static int by_rank(const void *pa, const void *pb)
{
    const ranked *a = pa, *b = pb;
    if (a->value != b->value) return a->value > b->value ? -1 : 1;
    if (a->exact != b->exact) return a->exact > b->exact ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static int by_index(const void *pa, const void *pb)
{
    const ranked *a = pa, *b = pb;
    return a->index < b->index ? -1 : a->index > b->index;
}

static err_code top_k_infer(op_call *c, err *e)
{
    shape s = c->in[0]->shape;
    uint32_t axis;
    if (!op_known(c, 1)) return op_later(c, 1);
    err_code rc = op_type(c, 0, T_NUMBER, e);
    if (rc == ERR_OK) rc = op_axis(c, -1, s.rank, &axis, e);
    if (rc) return rc;
    if (c->in_count > 1 && tensor_count(c->in[1]) != 1) return op_err(c, e, ERR_INVALID, "k: expected one integer");
    int64_t k = c->in_count > 1 ? tensor_int(c->in[1], 0) : node_int(c->node, "k", 0);
    if (k < 0 || k > s.dim[axis])
        return op_err(c, e, ERR_INVALID, "k: expected 0..%lld, got %lld", (long long)s.dim[axis], (long long)k);
    s.dim[axis] = k;
    rc = op_set(c, 0, c->in[0]->type, &s, e);
    return rc ? rc : op_set(c, 1, DT_I64, &s, e);
}

static err_code top_k_run(op_call *c, err *e)
{
    const tensor *x = c->in[0];
    tensor *values = c->out[0], *indices = c->out_count > 1 ? c->out[1] : NULL;
    uint32_t axis;
    err_code rc = op_axis(c, -1, x->shape.rank, &axis, e);
    if (rc || (!values && !indices)) return rc;
    const shape *ys = values ? &values->shape : &indices->shape;
    if (shape_count(ys) == 0) return ERR_OK;
    bool largest = node_int(c->node, "largest", 1) != 0, sorted = node_int(c->node, "sorted", 1) != 0,
         is_float = dtype_kind_of(x->type) == KIND_FLOAT;
    uint64_t length = (uint64_t)x->shape.dim[axis], k = (uint64_t)ys->dim[axis],
             inner = shape_count_range(&x->shape, axis + 1, x->shape.rank);
    ranked *all = arena_new(c->scratch, ranked, (size_t)length);
    if (!all) return op_err(c, e, ERR_LIMIT, "no memory to rank %llu elements", (unsigned long long)length);
    for (uint64_t lane = 0; lane < tensor_count(x) / length; lane++) {
        uint64_t first = lane / inner * length * inner + lane % inner, to = lane / inner * k * inner + lane % inner;
        for (uint64_t i = 0; i < length; i++) {
            double v = is_float ? tensor_f64(x, first + i * inner) : 0;
            int64_t n = is_float ? isnan(v) : tensor_int(x, first + i * inner);
            v = isnan(v) ? (double)INFINITY : v;      /* and `exact` says that it is larger */
            all[i] = (ranked){largest ? v : -v, largest ? n : ~n, (int64_t)i};
        }
        qsort(all, length, sizeof *all, by_rank);
        if (!sorted) qsort(all, k, sizeof *all, by_index);
        for (uint64_t i = 0; i < k; i++) {
            if (values) reduce_one(PUT, values, to + i * inner, x, first + (uint64_t)all[i].index * inner);
            if (indices) ((int64_t *)indices->data)[to + i * inner] = all[i].index;
        }
    }
    return ERR_OK;
}

/* ---- Unique ---- */

typedef struct {
    const op_call *c;
    uint64_t length, inner, outer; /* x is [outer, length, inner]; entries are slices of the middle */
} slices;

static int compare_one(const tensor *x, uint64_t i, uint64_t k)
{
    if (x->type == DT_STRING) {
        str a = ((const str *)x->data)[i], b = ((const str *)x->data)[k];
        int d = memcmp(a.p ? a.p : "", b.p ? b.p : "", a.len < b.len ? a.len : b.len);
        return d ? d : a.len < b.len ? -1 : a.len > b.len;
    }
    if (dtype_kind_of(x->type) == KIND_FLOAT) {
        double a = tensor_f64(x, i), b = tensor_f64(x, k);
        if (isnan(a) || isnan(b)) return isnan(a) - isnan(b);
        return a < b ? -1 : a > b;
    }
    int64_t a = tensor_int(x, i), b = tensor_int(x, k);
    return a < b ? -1 : a > b;
}

static int compare_slices(const void *pa, const void *pb, void *ctx)
{
    const slices *s = ctx;
    uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;
    for (uint64_t o = 0; o < s->outer; o++) {
        for (uint64_t i = 0; i < s->inner; i++) {
            int d = compare_one(s->c->in[0], (o * s->length + a) * s->inner + i, (o * s->length + b) * s->inner + i);
            if (d) return d;
        }
    }
    return 0;
}

static int compare_stable(const void *pa, const void *pb, void *ctx)
{
    int d = compare_slices(pa, pb, ctx);
    uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;
    return d ? d : a < b ? -1 : a > b;
}

static int compare_u64(const void *pa, const void *pb)
{
    uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;
    return a < b ? -1 : a > b;
}

static err_code unique_infer(op_call *c, err *e)
{
    static const dtype types[4] = {DT_NONE, DT_I64, DT_I64, DT_I64};
    uint32_t axis;
    err_code rc = node_attr(c->node, "axis") ? op_axis(c, 0, c->in[0]->shape.rank, &axis, e) : ERR_OK;
    if (rc == ERR_OK) rc = whole_bytes(c, e);
    for (uint32_t i = 0; i < c->out_count && rc == ERR_OK; i++) {
        if (c->out[i]) c->out[i]->type = i ? types[i] : c->in[0]->type;
    }
    return rc;
}

/* Finds the groups of equal slices: order[] sorted, first[] the first place of each group, group[] of each slice;
 * returns their count. */
static uint64_t unique_groups(slices *s, uint64_t *order, uint64_t *first, uint64_t *group)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < s->length; i++) order[i] = i;
    qsort_r(order, s->length, sizeof *order, compare_stable, s);
    for (uint64_t i = 0; i < s->length; i++) {
        if (i == 0 || compare_slices(&order[i - 1], &order[i], s) != 0) first[n++] = order[i];
        group[order[i]] = n - 1;
    }
    return n;
}

/* Renumbers the groups by where they first appear. */
static void unique_unsort(uint64_t n, uint64_t length, uint64_t *first, uint64_t *group, uint64_t *place)
{
    qsort(first, n, sizeof *first, compare_u64);
    for (uint64_t i = 0; i < n; i++) place[group[first[i]]] = i;
    for (uint64_t i = 0; i < length; i++) group[i] = place[group[i]];
}

static err_code unique_outputs(op_call *c, const slices *s, const shape *values, uint64_t n, const uint64_t *first,
                               const uint64_t *group, err *e)
{
    int64_t dims[4] = {0, (int64_t)n, (int64_t)s->length, (int64_t)n};
    err_code rc = op_alloc(c, 0, c->in[0]->type, values, e);
    for (uint32_t i = 1; i < 4 && rc == ERR_OK; i++) {
        shape one = shape_make(1, &dims[i]);
        rc = op_alloc(c, i, DT_I64, &one, e);
    }
    if (rc) return rc;
    for (uint64_t o = 0; o < s->outer && c->out[0]; o++) {
        for (uint64_t k = 0; k < n; k++) {
            for (uint64_t i = 0; i < s->inner; i++)
                reduce_one(PUT, c->out[0], (o * n + k) * s->inner + i, c->in[0],
                           (o * s->length + first[k]) * s->inner + i);
        }
    }
    int64_t *firsts = c->out_count > 1 && c->out[1] ? c->out[1]->data : NULL,
            *inverse = c->out_count > 2 && c->out[2] ? c->out[2]->data : NULL;
    int64_t *counts = c->out_count > 3 && c->out[3] ? c->out[3]->data : NULL;
    for (uint64_t k = 0; k < n; k++) {
        if (firsts) firsts[k] = (int64_t)first[k];
        if (counts) counts[k] = 0;
    }
    for (uint64_t i = 0; i < s->length; i++) {
        if (inverse) inverse[i] = (int64_t)group[i];
        if (counts) counts[group[i]]++;
    }
    return ERR_OK;
}

static err_code unique_run(op_call *c, err *e)
{
    const shape *x = &c->in[0]->shape;
    uint32_t axis = 0;
    bool flat = !node_attr(c->node, "axis");
    err_code rc = flat ? ERR_OK : op_axis(c, 0, x->rank, &axis, e);
    if (rc) return rc;
    slices s = {c, tensor_count(c->in[0]), 1, 1};
    if (!flat)
        s = (slices){c, (uint64_t)x->dim[axis], shape_count_range(x, axis + 1, x->rank), shape_count_range(x, 0, axis)};
    if (s.inner == 0 || s.length == 0) s.outer = 0;   /* nothing in it to compare or copy, however long it is */
    uint64_t *lists = arena_new(c->scratch, uint64_t, 4 * (size_t)s.length + 4);
    if (!lists) return op_err(c, e, ERR_LIMIT, "no memory for %llu entries", (unsigned long long)s.length);
    uint64_t *first = lists + s.length, *group = first + s.length, n = unique_groups(&s, lists, first, group);
    if (node_int(c->node, "sorted", 1) == 0) unique_unsort(n, s.length, first, group, group + s.length);
    int64_t count = (int64_t)n;
    shape values = flat ? shape_make(1, &count) : *x;
    if (!flat) values.dim[axis] = count;
    return unique_outputs(c, &s, &values, n, first, group, e);
}

#define IO(in_lo, in_hi) .in_min = (in_lo), .in_max = (in_hi), .out_min = 1, .out_max = 1
const op_row op_rows_index[] = {
    {.name = "Gather",
     .domain = "",
     .since = 1,
     IO(2, 2),
     .attrs = {{"axis", ATTR_INT, false}},
     .infer = gather_infer,
     .run = gather_run},
    {.name = "GatherElements",
     .domain = "",
     .since = 11,
     IO(2, 2),
     .attrs = {{"axis", ATTR_INT, false}},
     .infer = gather_elements_infer,
     .run = gather_elements_run},
    {.name = "GatherND", .domain = "", .since = 11, IO(2, 2), .infer = gather_nd_infer, .run = gather_nd_run},
    {.name = "GatherND",
     .domain = "",
     .since = 12,
     IO(2, 2),
     .attrs = {{"batch_dims", ATTR_INT, false}},
     .infer = gather_nd_infer,
     .run = gather_nd_run},
    {.name = "Scatter",
     .domain = "",
     .since = 9,
     IO(3, 3),
     .attrs = {{"axis", ATTR_INT, false}},
     .infer = scatter_elements_infer,
     .run = scatter_elements_run},
    {.name = "ScatterElements",
     .domain = "",
     .since = 11,
     IO(3, 3),
     .attrs = {{"axis", ATTR_INT, false}},
     .infer = scatter_elements_infer,
     .run = scatter_elements_run},
    {.name = "ScatterElements",
     .domain = "",
     .since = 16,
     IO(3, 3),
     .attrs = {{"axis", ATTR_INT, false}, {"reduction", ATTR_STRING, false}},
     .infer = scatter_elements_infer,
     .run = scatter_elements_run},
    {.name = "ScatterND", .domain = "", .since = 11, IO(3, 3), .infer = scatter_nd_infer, .run = scatter_nd_run},
    {.name = "ScatterND",
     .domain = "",
     .since = 16,
     IO(3, 3),
     .attrs = {{"reduction", ATTR_STRING, false}},
     .infer = scatter_nd_infer,
     .run = scatter_nd_run},
    {.name = "NonZero", .domain = "", .since = 9, IO(1, 1), .infer = nonzero_infer, .run = nonzero_run},
    {.name = "Compress",
     .domain = "",
     .since = 9,
     IO(2, 2),
     .attrs = {{"axis", ATTR_INT, false}},
     .infer = compress_infer,
     .run = compress_run},
    {.name = "OneHot",
     .domain = "",
     .since = 9,
     IO(3, 3),
     .attrs = {{"axis", ATTR_INT, false}},
     .infer = one_hot_infer,
     .run = one_hot_run},
    {.name = "TopK",
     .domain = "",
     .since = 1,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 2,
     .attrs = {{"axis", ATTR_INT, false}, {"k", ATTR_INT, true}},
     .infer = top_k_infer,
     .run = top_k_run},
    {.name = "TopK",
     .domain = "",
     .since = 10,
     .in_min = 2,
     .in_max = 2,
     .out_min = 1,
     .out_max = 2,
     .attrs = {{"axis", ATTR_INT, false}},
     .infer = top_k_infer,
     .run = top_k_run},
    {.name = "TopK",
     .domain = "",
     .since = 11,
     .in_min = 2,
     .in_max = 2,
     .out_min = 1,
     .out_max = 2,
     .attrs = {{"axis", ATTR_INT, false}, {"largest", ATTR_INT, false}, {"sorted", ATTR_INT, false}},
     .infer = top_k_infer,
     .run = top_k_run},
    {.name = "Unique",
     .domain = "",
     .since = 11,
     .flags = OP_RUNTIME,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 4,
     .attrs = {{"axis", ATTR_INT, false}, {"sorted", ATTR_INT, false}},
     .infer = unique_infer,
     .run = unique_run},
    {0},
};
