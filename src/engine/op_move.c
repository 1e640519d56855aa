/* Operators that put elements elsewhere: transposes, slices, concatenations, paddings.  All are strided copies. */
#include "engine/op.h"
#include "tensor/move.h"

#include <string.h>

/* Types under a byte are moved as bytes: unpacked into scratch, moved, packed again. */
typedef struct {
    const void *from;
    void *to;
    size_t size; /* bytes per element while it moves */
    uint32_t packed_bits; /* 0 = not packed */
} moving;

static err_code moving_begin(op_call *c, uint32_t input, moving *m, err *e)
{
    const tensor *x = c->in[input];
    uint32_t bits = dtype_bits(x->type);
    *m = (moving){.from = x->data, .to = c->out[0]->data, .size = bits / 8};
    if (bits >= 8) return ERR_OK;
    size_t n = (size_t)tensor_count(x), out = (size_t)tensor_count(c->out[0]);
    uint8_t *wide = arena_push_raw(c->scratch, n, 1), *to = arena_push_raw(c->scratch, out, 1);
    if (!wide || !to) return op_err(c, e, ERR_LIMIT, "no memory to unpack %zu elements", n + out);
    move_unpack(wide, x->data, n, bits);
    *m = (moving){.from = wide, .to = to, .size = 1, .packed_bits = bits};
    return ERR_OK;
}

static void moving_end(op_call *c, const moving *m)
{
    if (m->packed_bits) move_pack(c->out[0]->data, m->to, (size_t)tensor_count(c->out[0]), m->packed_bits);
}

/* ---- Transpose ---- */

static err_code transpose_order(const op_call *c, uint32_t order[TENSOR_RANK_MAX], err *e)
{
    uint32_t rank = c->in[0]->shape.rank, n = 0, seen = 0;
    const int64_t *perm = node_ints(c->node, "perm", &n);
    for (uint32_t i = 0; i < rank && !perm; i++) order[i] = rank - 1 - i;
    if (!perm) return ERR_OK;
    if (n != rank) return op_err(c, e, ERR_INVALID, "perm: expected %u axes, got %u", rank, n);
    for (uint32_t i = 0; i < rank; i++) {
        int64_t axis = perm[i] < 0 ? perm[i] + rank : perm[i];
        if (axis < 0 || axis >= rank || seen >> axis & 1)
            return op_err(c, e, ERR_INVALID, "perm: expected a permutation of %u axes, got %lld", rank,
                          (long long)perm[i]);
        seen |= 1u << axis;
        order[i] = (uint32_t)axis;
    }
    return ERR_OK;
}

static err_code transpose_infer(op_call *c, err *e)
{
    uint32_t order[TENSOR_RANK_MAX];
    err_code rc = transpose_order(c, order, e);
    if (rc) return rc;
    shape s = {.rank = c->in[0]->shape.rank};
    for (uint32_t i = 0; i < s.rank; i++) s.dim[i] = c->in[0]->shape.dim[order[i]];
    return op_set(c, 0, c->in[0]->type, &s, e);
}

static err_code transpose_run(op_call *c, err *e)
{
    uint32_t order[TENSOR_RANK_MAX];
    moving m;
    err_code rc = transpose_order(c, order, e);
    if (rc == ERR_OK && c->out[0]->data) rc = moving_begin(c, 0, &m, e);
    if (rc || !c->out[0]->data) return rc;
    view dense = view_of(&c->in[0]->shape), from = view_permute(&dense, order), to = view_of(&c->out[0]->shape);
    move_copy(m.to, &to, m.from, &from, m.size);
    moving_end(c, &m);
    return ERR_OK;
}

/* ---- Concat, Split ---- */

static err_code concat_infer(op_call *c, err *e)
{
    uint32_t axis;
    err_code rc = op_axis(c, 1, c->in[0]->shape.rank, &axis, e);
    if (rc) return rc;
    shape s = c->in[0]->shape;
    char a[SHAPE_TEXT_MAX], b[SHAPE_TEXT_MAX];
    for (uint32_t i = 1; i < c->in_count; i++) {
        const tensor *x = c->in[i];
        shape same = x->shape;
        if (same.rank == s.rank) same.dim[axis] = s.dim[axis];
        if (x->type != c->in[0]->type || !shape_eq(&same, &s))
            return op_err(c, e, ERR_INVALID, "input %u: expected %s %s but for axis %u, got %s %s", i,
                          dtype_name(c->in[0]->type), shape_text(&s, a), axis, dtype_name(x->type),
                          shape_text(&x->shape, b));
        if (__builtin_add_overflow(s.dim[axis], x->shape.dim[axis], &s.dim[axis]))
            return op_err(c, e, ERR_LIMIT, "the axis is too long");
    }
    return op_set(c, 0, c->in[0]->type, &s, e);
}

static err_code concat_run(op_call *c, err *e)
{
    uint32_t axis;
    err_code rc = op_axis(c, 1, c->in[0]->shape.rank, &axis, e);
    if (rc || !c->out[0]->data) return rc;
    const shape *s = &c->out[0]->shape;
    int64_t at = 0;
    size_t size = dtype_bits(c->out[0]->type) / 8;
    if (size == 0) return op_err(c, e, ERR_UNSUPPORTED, "%s is not supported", dtype_name(c->out[0]->type));
    /* Everything from the axis on is one run in either tensor. */
    size_t outer = (size_t)shape_count_range(s, 0, axis), tail = (size_t)shape_count_range(s, axis + 1, s->rank) * size;
    size_t stride = (size_t)s->dim[axis] * tail;
    for (uint32_t i = 0; i < c->in_count; i++) {
        size_t run = (size_t)c->in[i]->shape.dim[axis] * tail;
        char *to = (char *)c->out[0]->data + (size_t)at * tail;
        const char *from = c->in[i]->data;
        for (size_t k = 0; k < outer && run; k++) memcpy(to + k * stride, from + k * run, run);
        at += c->in[i]->shape.dim[axis];
    }
    return ERR_OK;
}

/* How long each part is: the split input, the split attribute, or equal parts with the last one shorter. */
static err_code split_parts(const op_call *c, uint32_t *ret_axis, int64_t *parts, err *e)
{
    const shape *s = &c->in[0]->shape;
    err_code rc = op_axis(c, 0, s->rank, ret_axis, e);
    if (rc) return rc;
    int64_t length = s->dim[*ret_axis], sum = 0, n = c->out_count;
    const tensor *given = c->in_count > 1 ? c->in[1] : NULL;
    uint32_t attr_count = 0;
    const int64_t *ints = node_ints(c->node, "split", &attr_count);
    uint64_t count = given ? tensor_count(given) : attr_count;
    int64_t wanted = node_int(c->node, "num_outputs", n);
    if (!given && !ints) {
        if (wanted != n)
            return op_err(c, e, ERR_INVALID, "num_outputs: expected %lld, got %lld", (long long)n, (long long)wanted);
        int64_t part = (length + n - 1) / n;
        bool ragged = node_attr(c->node, "num_outputs") != NULL;
        if (length % n != 0 && !ragged)
            return op_err(c, e, ERR_INVALID, "axis %u of %lld does not split into %lld equal parts", *ret_axis,
                          (long long)length, (long long)n);
        for (int64_t i = 0; i < n; i++)
            parts[i] = (i + 1) * part <= length ? part : length - i * part > 0 ? length - i * part : 0;
        return ERR_OK;
    }
    if (count != (uint64_t)n)
        return op_err(c, e, ERR_INVALID, "split: expected %lld parts, got %llu", (long long)n,
                      (unsigned long long)count);
    for (int64_t i = 0; i < n; i++) {
        parts[i] = given ? tensor_int(given, (uint64_t)i) : ints[i];
        if (parts[i] < 0 || parts[i] > length - sum)
            return op_err(c, e, ERR_INVALID, "split: expected parts that add up to %lld", (long long)length);
        sum += parts[i];
    }
    if (sum != length)
        return op_err(c, e, ERR_INVALID, "split: expected parts that add up to %lld, got %lld", (long long)length,
                      (long long)sum);
    return ERR_OK;
}

static int64_t *parts_new(op_call *c) { return arena_new(c->scratch, int64_t, c->out_count); }

static err_code split_infer(op_call *c, err *e)
{
    uint32_t axis;
    if (!op_known(c, 1)) return op_later(c, 1);
    int64_t *parts = parts_new(c);
    if (!parts) return op_err(c, e, ERR_LIMIT, "no memory for %u parts", c->out_count);
    err_code rc = split_parts(c, &axis, parts, e);
    for (uint32_t i = 0; i < c->out_count && rc == ERR_OK; i++) {
        shape s = c->in[0]->shape;
        s.dim[axis] = parts[i];
        rc = op_set(c, i, c->in[0]->type, &s, e);
    }
    return rc;
}

static err_code split_run(op_call *c, err *e)
{
    uint32_t axis;
    int64_t *parts = parts_new(c), at = 0;
    if (!parts) return op_err(c, e, ERR_LIMIT, "no memory for %u parts", c->out_count);
    err_code rc = split_parts(c, &axis, parts, e);
    if (rc) return rc;
    const shape *s = &c->in[0]->shape;
    size_t size = dtype_bits(c->in[0]->type) / 8;
    if (size == 0) return op_err(c, e, ERR_UNSUPPORTED, "%s is not supported", dtype_name(c->in[0]->type));
    size_t outer = (size_t)shape_count_range(s, 0, axis), tail = (size_t)shape_count_range(s, axis + 1, s->rank) * size;
    size_t stride = (size_t)s->dim[axis] * tail;
    for (uint32_t i = 0; i < c->out_count; i++) {
        size_t run = (size_t)parts[i] * tail;
        const char *from = (const char *)c->in[0]->data + (size_t)at * tail;
        for (size_t k = 0; k < outer && run && c->out[i]; k++)
            memcpy((char *)c->out[i]->data + k * run, from + k * stride, run);
        at += parts[i];
    }
    return ERR_OK;
}

/* ---- Slice ---- */

typedef struct {
    int64_t start[TENSOR_RANK_MAX], step[TENSOR_RANK_MAX];
    shape out;
} slice;

/* One axis by numpy's rules: ends beyond the tensor are clamped, a negative step walks back. */
static void slice_axis(slice *s, uint32_t axis, int64_t length, int64_t start, int64_t end, int64_t step)
{
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? length : length - 1;
    if (start < 0) start = start < -length ? low : start + length;
    if (end < 0) end = end < -length ? low : end + length;
    start = start < low ? low : start > high ? high : start;
    end = end < low ? low : end > high ? high : end;
    int64_t n = 0;
    if (step > 0 && end > start) n = (end - start - 1) / step + 1;
    if (step < 0 && end < start) n = (start - end - 1) / -(step + 1 ? step : -1) + 1;
    s->start[axis] = start;
    s->step[axis] = step;
    s->out.dim[axis] = n;
}

static err_code slice_find(const op_call *c, slice *ret, err *e)
{
    const shape *x = &c->in[0]->shape;
    op_ints starts, ends, axes, steps;
    err_code rc = op_ints_of(c, 1, "starts", &starts, e);
    if (rc == ERR_OK) rc = op_ints_of(c, 2, "ends", &ends, e);
    if (rc == ERR_OK) rc = op_axes_of(c, 3, "axes", x->rank, &axes, e);
    if (rc == ERR_OK) rc = op_ints_of(c, 4, NULL, &steps, e);
    if (rc) return rc;
    if (starts.count != ends.count || starts.count > x->rank || (axes.count && axes.count != starts.count) ||
        (steps.count && steps.count != starts.count))
        return op_err(c, e, ERR_INVALID, "expected starts, ends, axes and steps of one length, got %u, %u, %u, %u",
                      starts.count, ends.count, axes.count, steps.count);
    slice s = {.out = *x};
    for (uint32_t i = 0; i < x->rank; i++) s.step[i] = 1;
    for (uint32_t i = 0; i < starts.count; i++) {
        uint32_t axis = axes.count ? (uint32_t)axes.at[i] : i;
        int64_t step = steps.count ? steps.at[i] : 1;
        if (step == 0) return op_err(c, e, ERR_INVALID, "steps[%u]: expected a step, got 0", i);
        if (step == INT64_MIN) step++;
        slice_axis(&s, axis, x->dim[axis], starts.at[i], ends.at[i], step);
    }
    *ret = s;
    return ERR_OK;
}

static err_code slice_infer(op_call *c, err *e)
{
    slice s;
    for (uint32_t i = 1; i < c->in_count; i++) {
        if (!op_known(c, i)) return op_later(c, i);
    }
    err_code rc = slice_find(c, &s, e);
    return rc ? rc : op_set(c, 0, c->in[0]->type, &s.out, e);
}

static err_code slice_run(op_call *c, err *e)
{
    slice s;
    moving m;
    err_code rc = slice_find(c, &s, e);
    if (rc == ERR_OK && c->out[0]->data) rc = moving_begin(c, 0, &m, e);
    if (rc || !c->out[0]->data) return rc;
    view from = view_of(&c->in[0]->shape), to = view_of(&c->out[0]->shape);
    for (uint32_t i = 0; i < from.rank; i++) {
        from.offset += s.start[i] * from.stride[i];
        from.stride[i] = s.out.dim[i] > 1 ? from.stride[i] * s.step[i] : 0;   /* else of any size, and never walked */
        from.dim[i] = s.out.dim[i];
    }
    move_copy(m.to, &to, m.from, &from, m.size);
    moving_end(c, &m);
    return ERR_OK;
}

/* ---- Tile ---- */

static err_code tile_infer(op_call *c, err *e)
{
    op_ints times;
    if (!op_known(c, 1)) return op_later(c, 1);
    err_code rc = op_ints_of(c, 1, NULL, &times, e);
    if (rc) return rc;
    shape s = c->in[0]->shape;
    if (times.count != s.rank) return op_err(c, e, ERR_INVALID, "repeats: expected %u, got %u", s.rank, times.count);
    for (uint32_t i = 0; i < s.rank; i++) {
        if (times.at[i] < 0 || __builtin_mul_overflow(s.dim[i], times.at[i], &s.dim[i]))
            return op_err(c, e, ERR_INVALID, "repeats[%u]: got %lld", i, (long long)times.at[i]);
    }
    return op_set(c, 0, c->in[0]->type, &s, e);
}

/* Seen with twice the dims - [times, dim] for each - a tile is a broadcast; it goes axis by axis, so that the rank
 * stays in bounds. */
static err_code tile_run(op_call *c, err *e)
{
    const tensor *x = c->in[0], *y = c->out[0];
    size_t size = dtype_bits(x->type) / 8;
    if (!y->data) return ERR_OK;
    if (size == 0) return op_err(c, e, ERR_UNSUPPORTED, "%s is not supported", dtype_name(x->type));
    /* The tile itself first, in the near corner; then each axis doubles from what is there. */
    view corner = view_of(&y->shape), from = view_of(&x->shape);
    for (uint32_t i = 0; i < corner.rank; i++) corner.dim[i] = x->shape.dim[i];
    move_copy(y->data, &corner, x->data, &from, size);
    for (uint32_t axis = corner.rank; axis-- > 0;) {
        int64_t times = x->shape.dim[axis] ? y->shape.dim[axis] / x->shape.dim[axis] : 0;
        view filled = corner;
        for (int64_t t = 1; t < times; t++) {
            view to = filled;
            to.offset = t * x->shape.dim[axis] * filled.stride[axis];
            move_copy(y->data, &to, y->data, &filled, size);
        }
        corner.dim[axis] = y->shape.dim[axis];
    }
    return ERR_OK;
}

/* ---- DepthToSpace, SpaceToDepth ---- */

/* [n, c, h, w] as six dimensions, permuted: the two are each other's inverse. */
static err_code blocks_shape(op_call *c, bool to_space, err *e)
{
    const shape *x = &c->in[0]->shape;
    int64_t b = node_int(c->node, "blocksize", 0);
    err_code rc = op_rank(c, 0, 4, 4, e);
    if (rc) return rc;
    bool fits =
        b > 0 && b < 1 << 15 && (to_space ? x->dim[1] % (b * b) == 0 : x->dim[2] % b == 0 && x->dim[3] % b == 0);
    if (!fits)
        return op_err(c, e, ERR_INVALID, "blocksize: expected a divisor of the input's dimensions, got %lld",
                      (long long)b);
    shape s = *x;
    s.dim[1] = to_space ? x->dim[1] / (b * b) : x->dim[1];
    if (!to_space && __builtin_mul_overflow(x->dim[1], b * b, &s.dim[1])) s.dim[1] = INT64_MAX;
    s.dim[2] = to_space ? x->dim[2] * b : x->dim[2] / b;
    s.dim[3] = to_space ? x->dim[3] * b : x->dim[3] / b;
    return op_set(c, 0, c->in[0]->type, &s, e);
}

static err_code to_space_infer(op_call *c, err *e) { return blocks_shape(c, true, e); }
static err_code to_depth_infer(op_call *c, err *e) { return blocks_shape(c, false, e); }

static err_code blocks_move(op_call *c, const int64_t dims[6], const uint32_t order[6], err *e)
{
    shape in = shape_make(6, dims), out = {.rank = 6};
    moving m;
    if (!c->out[0]->data) return ERR_OK;
    err_code rc = moving_begin(c, 0, &m, e);
    if (rc) return rc;
    for (uint32_t i = 0; i < 6; i++) out.dim[i] = dims[order[i]];
    view dense = view_of(&in), from = view_permute(&dense, order), to = view_of(&out);
    move_copy(m.to, &to, m.from, &from, m.size);
    moving_end(c, &m);
    return ERR_OK;
}

static err_code to_space_run(op_call *c, err *e)
{
    const int64_t *d = c->in[0]->shape.dim;
    int64_t b = node_int(c->node, "blocksize", 0), deep = d[1] / (b * b);
    bool crd = str_is(node_str(c->node, "mode", STR("DCR")), "CRD");
    const int64_t dims[6] = {d[0], crd ? deep : b, b, crd ? b : deep, d[2], d[3]};
    static const uint32_t dcr_order[6] = {0, 3, 4, 1, 5, 2}, crd_order[6] = {0, 1, 4, 2, 5, 3};
    return blocks_move(c, dims, crd ? crd_order : dcr_order, e);
}

static err_code to_depth_run(op_call *c, err *e)
{
    const int64_t *d = c->in[0]->shape.dim;
    int64_t b = node_int(c->node, "blocksize", 0);
    const int64_t dims[6] = {d[0], d[1], d[2] / b, b, d[3] / b, b};
    static const uint32_t order[6] = {0, 3, 5, 1, 2, 4};
    return blocks_move(c, dims, order, e);
}

/* ---- ReverseSequence, Trilu ---- */

static err_code reverse_infer(op_call *c, err *e)
{
    int64_t time = node_int(c->node, "time_axis", 0), batch = node_int(c->node, "batch_axis", 1);
    if (time == batch || time < 0 || time > 1 || batch < 0 || batch > 1)
        return op_err(c, e, ERR_INVALID, "expected time_axis and batch_axis 0 and 1, got %lld and %lld",
                      (long long)time, (long long)batch);
    err_code rc = op_rank(c, 0, 2, TENSOR_RANK_MAX, e);
    if (rc) return rc;
    if (tensor_count(c->in[1]) != (uint64_t)c->in[0]->shape.dim[batch])
        return op_err(c, e, ERR_INVALID, "sequence_lens: expected %lld, got %llu",
                      (long long)c->in[0]->shape.dim[batch], (unsigned long long)tensor_count(c->in[1]));
    return op_same(c, e);
}

static err_code reverse_run(op_call *c, err *e)
{
    const shape *s = &c->in[0]->shape;
    uint32_t time = (uint32_t)node_int(c->node, "time_axis", 0), batch = 1 - time;
    size_t size = dtype_bits(c->in[0]->type) / 8, run = (size_t)shape_count_range(s, 2, s->rank) * size;
    size_t stride[2] = {(size_t)s->dim[1] * run, run};
    const char *from = c->in[0]->data;
    for (int64_t b = 0; b < s->dim[batch]; b++) {
        int64_t len = tensor_int(c->in[1], (uint64_t)b);
        if (len < 0 || len > s->dim[time])
            return op_err(c, e, ERR_INVALID, "sequence_lens[%lld]: expected 0..%lld, got %lld", (long long)b,
                          (long long)s->dim[time], (long long)len);
        for (int64_t t = 0; t < s->dim[time] && run; t++) {
            int64_t source = t < len ? len - 1 - t : t;
            memcpy((char *)c->out[0]->data + (size_t)b * stride[batch] + (size_t)t * stride[time],
                   from + (size_t)b * stride[batch] + (size_t)source * stride[time], run);
        }
    }
    return ERR_OK;
}

static err_code trilu_infer(op_call *c, err *e)
{
    err_code rc = op_rank(c, 0, 2, TENSOR_RANK_MAX, e);
    if (rc) return rc;
    if (c->in_count > 1 && c->in[1] && tensor_count(c->in[1]) != 1)
        return op_err(c, e, ERR_INVALID, "k: expected one number, got %llu",
                      (unsigned long long)tensor_count(c->in[1]));
    return op_same(c, e);
}

static err_code trilu_run(op_call *c, err *e)
{
    const shape *s = &c->in[0]->shape;
    bool upper = node_int(c->node, "upper", 1) != 0;
    int64_t rows = s->dim[s->rank - 2], cols = s->dim[s->rank - 1],
            k = c->in_count > 1 && c->in[1] ? tensor_int(c->in[1], 0) : 0;
    size_t size = dtype_bits(c->in[0]->type) / 8, row_bytes = (size_t)cols * size;
    uint64_t planes = shape_count_range(s, 0, s->rank - 2);
    if (size == 0) return op_err(c, e, ERR_UNSUPPORTED, "%s is not supported", dtype_name(c->in[0]->type));
    k = k > cols ? cols : k < -rows - cols ? -rows - cols : k;
    for (uint64_t r = 0; r < planes * (uint64_t)rows; r++) {
        char *to = (char *)c->out[0]->data + r * row_bytes;
        const char *from = (const char *)c->in[0]->data + r * row_bytes;
        int64_t edge =
            (int64_t)(r % (uint64_t)rows) + k + (upper ? 0 : 1); /* upper keeps [edge, cols), lower [0, edge) */
        edge = edge < 0 ? 0 : edge > cols ? cols : edge;
        size_t at = (size_t)edge * size;
        memset(upper ? to : to + at, 0, upper ? at : row_bytes - at);
        memcpy(upper ? to + at : to, upper ? from + at : from, upper ? row_bytes - at : at);
    }
    return ERR_OK;
}

#define IO(in_lo, in_hi) .in_min = (in_lo), .in_max = (in_hi), .out_min = 1, .out_max = 1
const op_row op_rows_move[] = {
    {.name = "Transpose",
     .domain = "",
     .since = 1,
     IO(1, 1),
     .attrs = {{"perm", ATTR_INTS, false}},
     .infer = transpose_infer,
     .run = transpose_run},
    {.name = "Concat",
     .domain = "",
     .since = 1,
     IO(1, OP_ANY),
     .attrs = {{"axis", ATTR_INT, false}},
     .infer = concat_infer,
     .run = concat_run},
    {.name = "Concat",
     .domain = "",
     .since = 4,
     IO(1, OP_ANY),
     .attrs = {{"axis", ATTR_INT, true}},
     .infer = concat_infer,
     .run = concat_run},
    {.name = "Split",
     .domain = "",
     .since = 2,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = OP_ANY,
     .attrs = {{"axis", ATTR_INT, false}, {"split", ATTR_INTS, false}},
     .infer = split_infer,
     .run = split_run},
    {.name = "Split",
     .domain = "",
     .since = 13,
     .in_min = 1,
     .in_max = 2,
     .out_min = 1,
     .out_max = OP_ANY,
     .attrs = {{"axis", ATTR_INT, false}},
     .infer = split_infer,
     .run = split_run},
    {.name = "Split",
     .domain = "",
     .since = 18,
     .in_min = 1,
     .in_max = 2,
     .out_min = 1,
     .out_max = OP_ANY,
     .attrs = {{"axis", ATTR_INT, false}, {"num_outputs", ATTR_INT, false}},
     .infer = split_infer,
     .run = split_run},
    {.name = "Slice",
     .domain = "",
     .since = 1,
     IO(1, 1),
     .attrs = {{"starts", ATTR_INTS, true}, {"ends", ATTR_INTS, true}, {"axes", ATTR_INTS, false}},
     .infer = slice_infer,
     .run = slice_run},
    {.name = "Slice", .domain = "", .since = 10, IO(3, 5), .infer = slice_infer, .run = slice_run},
    {.name = "Tile", .domain = "", .since = 6, IO(2, 2), .infer = tile_infer, .run = tile_run},
    {.name = "DepthToSpace",
     .domain = "",
     .since = 1,
     IO(1, 1),
     .attrs = {{"blocksize", ATTR_INT, true}},
     .infer = to_space_infer,
     .run = to_space_run},
    {.name = "DepthToSpace",
     .domain = "",
     .since = 11,
     IO(1, 1),
     .attrs = {{"blocksize", ATTR_INT, true}, {"mode", ATTR_STRING, false}},
     .infer = to_space_infer,
     .run = to_space_run},
    {.name = "SpaceToDepth",
     .domain = "",
     .since = 1,
     IO(1, 1),
     .attrs = {{"blocksize", ATTR_INT, true}},
     .infer = to_depth_infer,
     .run = to_depth_run},
    {.name = "ReverseSequence",
     .domain = "",
     .since = 10,
     IO(2, 2),
     .attrs = {{"time_axis", ATTR_INT, false}, {"batch_axis", ATTR_INT, false}},
     .infer = reverse_infer,
     .run = reverse_run},
    {.name = "Trilu",
     .domain = "",
     .since = 14,
     IO(1, 2),
     .attrs = {{"upper", ATTR_INT, false}},
     .infer = trilu_infer,
     .run = trilu_run},
    {0},
};
