/* Resize and Upsample: separable, one axis at a time.
 *
 * An axis is a table of taps: output place i is the weighted sum of `width` input places.  Nearest has one tap,
 * linear two, cubic four; antialiasing widens them by the scale.  Axes that do not change are passed over. */
#include "engine/op.h"

#include <math.h>
#include <string.h>

typedef enum {
    HALF_PIXEL,
    HALF_PIXEL_SYMMETRIC,
    PYTORCH_HALF_PIXEL,
    ALIGN_CORNERS,
    ASYMMETRIC,
    TF_HALF_PIXEL,
    TF_CROP
} coordinates;
typedef enum { NEAREST, LINEAR, CUBIC } filter;
typedef enum { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, FLOOR, CEIL } rounding;

typedef struct {
    coordinates how;
    filter filter;
    rounding round;
    bool antialias, exclude_outside;
    double cubic_a, extrapolation;
    shape out;
    double scale[TENSOR_RANK_MAX], roi_start[TENSOR_RANK_MAX], roi_end[TENSOR_RANK_MAX];
} resize;

#define LENGTH_MAX 0x1p53   /* of a dimension: exact in double, and more than any output may have */

typedef struct {
    int64_t in, out; /* the axis before and after */
    int64_t width; /* taps per output place */
    int64_t *place; /* [out, width] */
    float *weight; /* [out, width] */
    bool *outside; /* [out]: gets the extrapolation value */
} axis_taps;

static err_code choice(const op_call *c, const char *name, str absent, const char *const *words, size_t count,
                       uint32_t *ret, err *e)
{
    str word = node_str(c->node, name, absent);
    for (uint32_t i = 0; i < count; i++) {
        if (!str_is(word, words[i])) continue;
        *ret = i;
        return ERR_OK;
    }
    return op_err(c, e, ERR_UNSUPPORTED, "%s: '" STR_FMT "' is not implemented", name, STR_ARG(word));
}

static err_code modes_find(const op_call *c, resize *r, err *e)
{
    static const char *const hows[] = {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
                                       "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"};
    static const char *const filters[] = {"nearest", "linear", "cubic", "bilinear"};
    static const char *const rounds[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
    bool old = c->node->row->since < 11; /* Upsample, and Resize-10: asymmetric, floor */
    uint32_t how, kind, round;
    err_code rc = choice(c, "coordinate_transformation_mode", old ? STR("asymmetric") : STR("half_pixel"), hows,
                         COUNTOF(hows), &how, e);
    if (rc == ERR_OK) rc = choice(c, "mode", STR("nearest"), filters, COUNTOF(filters), &kind, e);
    if (rc == ERR_OK)
        rc = choice(c, "nearest_mode", old ? STR("floor") : STR("round_prefer_floor"), rounds, COUNTOF(rounds), &round,
                    e);
    if (rc) return rc;
    r->how = (coordinates)how;
    r->filter = kind == 3 ? LINEAR : (filter)kind;
    r->round = (rounding)round;
    r->antialias = node_int(c->node, "antialias", 0) != 0 && r->filter != NEAREST;
    r->exclude_outside = node_int(c->node, "exclude_outside", 0) != 0;
    r->cubic_a = (double)node_float(c->node, "cubic_coeff_a", -0.75f);
    r->extrapolation = (double)node_float(c->node, "extrapolation_value", 0);
    return ERR_OK;
}

/* The scales: an input, or Upsample-7's attribute. */
static err_code scales_apply(const op_call *c, const tensor *scales, const op_ints *axes, resize *r, err *e)
{
    const attr *a = node_attr(c->node, "scales");
    uint32_t n = axes->count;
    uint64_t got = scales ? tensor_count(scales) : a ? a->count : 0;
    if (got != n) return op_err(c, e, ERR_INVALID, "scales: expected %u, got %llu", n, (unsigned long long)got);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t axis = (uint32_t)axes->at[i];
        double scale = scales ? tensor_f64(scales, i) : (double)a->floats[i],
               length = floor((double)r->out.dim[axis] * scale);
        if (!(scale > 0) || !(length < LENGTH_MAX))
            return op_err(c, e, ERR_INVALID, "scales[%u]: expected more than 0, got %g", i, scale);
        r->scale[axis] = scale;
        r->out.dim[axis] = (int64_t)length;
    }
    return ERR_OK;
}

static err_code sizes_apply(const op_call *c, const tensor *sizes, const op_ints *axes, resize *r, err *e)
{
    str policy = node_str(c->node, "keep_aspect_ratio_policy", STR("stretch"));
    bool larger = str_is(policy, "not_smaller"), stretch = str_is(policy, "stretch");
    double common = larger ? 0 : INFINITY;
    if (tensor_count(sizes) != axes->count)
        return op_err(c, e, ERR_INVALID, "sizes: expected %u, got %llu", axes->count,
                      (unsigned long long)tensor_count(sizes));
    for (uint32_t i = 0; i < axes->count; i++) {
        int64_t want = tensor_int(sizes, i), have = r->out.dim[axes->at[i]];
        if (want < 0 || (have == 0 && want > 0))
            return op_err(c, e, ERR_INVALID, "sizes[%u]: got %lld for a dimension of %lld", i, (long long)want,
                          (long long)have);
        double scale = have ? (double)want / (double)have : 1;
        common = larger ? fmax(common, scale) : fmin(common, scale);
        r->scale[axes->at[i]] = scale;
        if (stretch) r->out.dim[axes->at[i]] = want;
    }
    for (uint32_t i = 0; i < axes->count && !stretch; i++) {
        uint32_t axis = (uint32_t)axes->at[i];
        double length = floor(common * (double)r->out.dim[axis] + 0.5);
        if (!(length < LENGTH_MAX))
            return op_err(c, e, ERR_INVALID, "sizes[%u]: expected fewer than 2^53 elements, got %g", i, length);
        r->scale[axis] = common;
        r->out.dim[axis] = (int64_t)length;
    }
    return ERR_OK;
}

static err_code resize_find(const op_call *c, resize *ret, err *e)
{
    const shape *x = &c->in[0]->shape;
    int since = c->node->row->since;
    resize r = {.out = *x};
    op_ints axes;
    err_code rc = modes_find(c, &r, e);
    if (rc == ERR_OK) rc = op_axes_of(c, OP_ANY, "axes", x->rank, &axes, e);
    if (rc) return rc;
    for (uint32_t i = 0; i < x->rank; i++) r.scale[i] = r.roi_end[i] = 1;
    if (!node_attr(c->node, "axes")) {
        for (axes.count = 0; axes.count < x->rank; axes.count++) axes.at[axes.count] = axes.count;
    }
    uint32_t scales_at = since >= 11 ? 2 : 1;
    const tensor *roi = since >= 11 && c->in_count > 1 ? c->in[1] : NULL;
    const tensor *scales = c->in_count > scales_at ? c->in[scales_at] : NULL,
                 *sizes = since >= 11 && c->in_count > 3 ? c->in[3] : NULL;
    if (scales && tensor_count(scales) == 0 && sizes) scales = NULL;
    if (r.how == TF_CROP && roi) {
        if (tensor_count(roi) != 2 * (uint64_t)axes.count)
            return op_err(c, e, ERR_INVALID, "roi: expected %u values", 2 * axes.count);
        for (uint32_t i = 0; i < axes.count; i++) {
            r.roi_start[axes.at[i]] = tensor_f64(roi, i);
            r.roi_end[axes.at[i]] = tensor_f64(roi, axes.count + i);
            double part = r.roi_end[axes.at[i]] - r.roi_start[axes.at[i]];
            double length = floor((double)x->dim[axes.at[i]] * part);
            if (scales && !(fabs(length) < LENGTH_MAX))
                return op_err(c, e, ERR_INVALID, "roi: expected fewer than 2^53 elements, got %g", length);
            if (scales) r.out.dim[axes.at[i]] = (int64_t)length;
        }
    }
    rc = sizes ? sizes_apply(c, sizes, &axes, &r, e) : scales_apply(c, scales, &axes, &r, e);
    *ret = r;
    return rc;
}

static err_code resize_infer(op_call *c, err *e)
{
    resize r;
    for (uint32_t i = 1; i < c->in_count; i++) {
        if (!op_known(c, i)) return op_later(c, i);
    }
    err_code rc = op_type(c, 0, c->node->row->since >= 11 ? T_NUMBER | T1(DT_BOOL) : T_NUMBER, e);
    if (rc == ERR_OK) rc = resize_find(c, &r, e);
    return rc ? rc : op_set(c, 0, c->in[0]->type, &r.out, e);
}

/* ---- where an output place lies in the input (ONNX Resize, coordinate_transformation_mode) ---- */

static double place_of(const resize *r, uint32_t axis, int64_t i, int64_t in, int64_t out)
{
    double x = (double)i, scale = r->scale[axis], start = r->roi_start[axis], end = r->roi_end[axis],
           length = (double)in;
    switch (r->how) {
    case HALF_PIXEL: return (x + 0.5) / scale - 0.5;
    case HALF_PIXEL_SYMMETRIC: {
        double adjustment = (double)out / (scale * length), center = length / 2;
        return center * (1 - adjustment) + (x + 0.5) / scale - 0.5;
    }
    case PYTORCH_HALF_PIXEL: return out > 1 ? (x + 0.5) / scale - 0.5 : 0;
    case ALIGN_CORNERS: {
        /* From the scale, not the output's length: the two differ where the length was rounded. */
        double wide = scale * length;
        return wide == 1 ? 0 : x * (length - 1) / (wide - 1);
    }
    case ASYMMETRIC: return x / scale;
    case TF_HALF_PIXEL: return (x + 0.5) / scale;
    case TF_CROP:
        if (out > 1) return start * (length - 1) + x * (end - start) * (length - 1) / (double)(out - 1);
        return 0.5 * (start + end) * (length - 1);
    }
    return 0;
}

/* The same, held where places still are whole numbers; a NaN, which only a region can give, lies outside. */
static double coordinate(const resize *r, uint32_t axis, int64_t i, int64_t in, int64_t out)
{
    double x = place_of(r, axis, i, in, out);
    return x > -LENGTH_MAX ? fmin(x, LENGTH_MAX) : -LENGTH_MAX;
}

static int64_t nearest(rounding how, double x)
{
    switch (how) {
    case ROUND_PREFER_FLOOR: return (int64_t)ceil(x - 0.5);
    case ROUND_PREFER_CEIL: return (int64_t)floor(x + 0.5);
    case FLOOR: return (int64_t)floor(x);
    case CEIL: return (int64_t)ceil(x);
    }
    return 0;
}

static double cubic(double a, double t)
{
    t = fabs(t);
    if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
    return t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
}

/* The taps of one output place around input coordinate x. */
static void taps_at(const resize *r, double x, double stretch, int64_t in, int64_t width, int64_t *place, float *weight)
{
    double radius = r->filter == LINEAR ? 1 : 2, sum = 0, w[64];
    int64_t first =
        r->antialias ? (int64_t)floor(x - radius * stretch) + 1 : (int64_t)floor(x) - (r->filter == LINEAR ? 0 : 1);
    for (int64_t k = 0; k < width; k++) {
        double t = ((double)(first + k) - x) / stretch;
        double v = r->filter == LINEAR ? fmax(0, 1 - fabs(t)) : cubic(r->cubic_a, t);
        bool outside = first + k < 0 || first + k >= in;
        if (outside && r->exclude_outside) v = 0;
        w[k] = v;
        sum += v;
    }
    bool normalise = (r->exclude_outside || r->antialias) && sum != 0;
    for (int64_t k = 0; k < width; k++) {
        int64_t at = first + k;
        place[k] = at < 0 ? 0 : at >= in ? in - 1 : at;
        weight[k] = (float)(normalise ? w[k] / sum : w[k]);
    }
}

static err_code taps_make(op_call *c, const resize *r, uint32_t axis, int64_t in, axis_taps *ret, err *e)
{
    int64_t out = r->out.dim[axis];
    double stretch = r->antialias && r->scale[axis] < 1 ? 1 / r->scale[axis] : 1;
    double wide = r->filter == NEAREST ? 1 : ceil((r->filter == LINEAR ? 2 : 4) * stretch) + (r->antialias ? 1 : 0);
    if (wide > 64) return op_err(c, e, ERR_UNSUPPORTED, "antialias: a scale of %g is not implemented", r->scale[axis]);
    axis_taps t = {.in = in, .out = out, .width = (int64_t)wide};
    size_t n = (size_t)(out * t.width);
    t.place = arena_new(c->scratch, int64_t, n);
    t.weight = arena_new(c->scratch, float, n);
    t.outside = arena_new(c->scratch, bool, (size_t)out);
    if (!t.place || !t.weight || !t.outside)
        return op_err(c, e, ERR_LIMIT, "no memory for an axis of %lld", (long long)out);
    for (int64_t i = 0; i < out; i++) {
        double x = coordinate(r, axis, i, in, out);
        t.outside[i] = r->how == TF_CROP && (x < 0 || x > (double)(in - 1));
        if (r->filter == NEAREST) {
            int64_t at = nearest(r->round, x);
            t.place[i] = at < 0 ? 0 : at >= in ? in - 1 : at;
            t.weight[i] = 1;
        } else {
            taps_at(r, x, stretch, in, t.width, t.place + i * t.width, t.weight + i * t.width);
        }
    }
    *ret = t;
    return ERR_OK;
}

/* ---- running ---- */

/* One axis of [outer, in, inner] to [outer, out, inner]. */
static void axis_weigh(float *to, const float *from, const axis_taps *t, uint64_t outer, uint64_t inner, float beyond)
{
    for (uint64_t o = 0; o < outer; o++) {
        const float *plane = from + o * (uint64_t)t->in * inner;
        for (int64_t i = 0; i < t->out; i++, to += inner) {
            const float *weight = t->weight + i * t->width;
            const int64_t *place = t->place + i * t->width;
            for (uint64_t k = 0; k < inner; k++) {
                float sum = 0;
                for (int64_t w = 0; w < t->width; w++) sum += weight[w] * plane[(uint64_t)place[w] * inner + k];
                to[k] = t->outside[i] ? beyond : sum;
            }
        }
    }
}

static void axis_pick(char *to, const char *from, const axis_taps *t, uint64_t outer, size_t run)
{
    for (uint64_t o = 0; o < outer; o++) {
        const char *plane = from + o * (uint64_t)t->in * run;
        for (int64_t i = 0; i < t->out; i++, to += run) {
            if (run == 4)
                memcpy(to, plane + (uint64_t)t->place[i] * 4, 4);
            else
                memcpy(to, plane + (uint64_t)t->place[i] * run, run);
        }
    }
}

/* Axis after axis, from the last one, so that the rows grow while they are short. */
static err_code axes_run(op_call *c, const resize *r, bool pick, const void *from, size_t size, const void **ret,
                         err *e)
{
    shape now = c->in[0]->shape;
    for (uint32_t axis = now.rank; axis-- > 0;) {
        axis_taps t;
        int64_t in = now.dim[axis], out = r->out.dim[axis];
        if (in == out && r->scale[axis] == 1 && r->how != TF_CROP) continue;
        err_code rc = taps_make(c, r, axis, in, &t, e);
        if (rc) return rc;
        uint64_t outer = shape_count_range(&now, 0, axis), inner = shape_count_range(&now, axis + 1, now.rank);
        now.dim[axis] = out;
        size_t bytes;
        bool fits = !__builtin_mul_overflow((size_t)shape_count(&now), size, &bytes);
        void *to = fits ? arena_push_raw(c->scratch, bytes, 64) : NULL;
        if (!to) return op_err(c, e, ERR_LIMIT, "no memory for %llu elements", (unsigned long long)shape_count(&now));
        if (pick)
            axis_pick(to, from, &t, outer, (size_t)inner * size);
        else
            axis_weigh(to, from, &t, outer, inner, (float)r->extrapolation);
        from = to;
    }
    *ret = from;
    return ERR_OK;
}

static err_code resize_run(op_call *c, err *e)
{
    resize r;
    const tensor *x = c->in[0];
    tensor *y = c->out[0];
    const void *done;
    err_code rc = resize_find(c, &r, e);
    if (rc || tensor_count(y) == 0) return rc;
    if (tensor_count(x) == 0) return op_err(c, e, ERR_INVALID, "cannot resize a tensor without elements");
    if (r.filter == NEAREST && r.how != TF_CROP) {
        size_t size = dtype_bits(x->type) / 8;
        rc = axes_run(c, &r, true, x->data, size, &done, e);
        if (rc == ERR_OK) memcpy(y->data, done, tensor_bytes(y));
        return rc;
    }
    const float *from = x->data;
    uint64_t n = tensor_count(x);
    if (x->type != DT_F32) {
        float *wide = arena_push_raw(c->scratch, (size_t)n * sizeof *wide, 64);
        if (!wide) return op_err(c, e, ERR_LIMIT, "no memory for %llu elements", (unsigned long long)n);
        for (uint64_t i = 0; i < n; i++) wide[i] = (float)tensor_f64(x, i);
        from = wide;
    }
    rc = axes_run(c, &r, false, from, sizeof(float), &done, e);
    if (rc) return rc;
    if (x->type == DT_F32)
        memcpy(y->data, done, tensor_bytes(y));
    else
        for (uint64_t i = 0; i < tensor_count(y); i++) tensor_put_f64(y, i, (double)((const float *)done)[i]);
    return ERR_OK;
}

#define IO(in_lo, in_hi) \
    .in_min = (in_lo), .in_max = (in_hi), .out_min = 1, .out_max = 1, .infer = resize_infer, .run = resize_run
#define RESIZE_11 \
    {"mode", ATTR_STRING, false}, {"coordinate_transformation_mode", ATTR_STRING, false}, \
        {"cubic_coeff_a", ATTR_FLOAT, false}, {"exclude_outside", ATTR_INT, false}, \
        {"extrapolation_value", ATTR_FLOAT, false}, \
    { \
        "nearest_mode", ATTR_STRING, false \
    }
const op_row op_rows_resize[] = {
    {.name = "Upsample",
     .domain = "",
     .since = 7,
     IO(1, 1),
     .attrs = {{"mode", ATTR_STRING, false}, {"scales", ATTR_FLOATS, true}}},
    {.name = "Upsample", .domain = "", .since = 9, IO(2, 2), .attrs = {{"mode", ATTR_STRING, false}}},
    {.name = "Resize", .domain = "", .since = 10, IO(2, 2), .attrs = {{"mode", ATTR_STRING, false}}},
    {.name = "Resize", .domain = "", .since = 11, IO(1, 4), .attrs = {RESIZE_11}},
    {.name = "Resize",
     .domain = "",
     .since = 18,
     IO(1, 4),
     .attrs = {RESIZE_11,
               {"antialias", ATTR_INT, false},
               {"axes", ATTR_INTS, false},
               {"keep_aspect_ratio_policy", ATTR_STRING, false}}},
    {0},
};
