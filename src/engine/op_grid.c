/* AffineGrid and GridSample: where to look in a plane, and looking there.
 *
 * A point of the grid touches 1, 2 or 4 elements along each dimension; the weights of what it touches in all are their
 * products.  They are found once for all channels. */
#include "engine/half.h"
#include "engine/op.h"

#include <math.h>
#include <string.h>

enum { DIMS_MAX = 3, TAPS_MAX = 4, ALL_TAPS_MAX = 64, POINTS = 128 }; /* POINTS: of one job */
#define T_GRID (T1(DT_F32) | T1(DT_F16) | T1(DT_BF16) | T1(DT_F64))
#define OUTSIDE SIZE_MAX

typedef enum { LOOK_LINEAR, LOOK_NEAREST, LOOK_CUBIC } look;
typedef enum { PAD_ZEROS, PAD_BORDER, PAD_REFLECT } padding;

typedef struct {
    look look;
    padding pad;
    bool align;
    uint32_t dims, taps, all; /* taps along one dimension, and in all */
    size_t batch, channels, plane, points;
    int64_t size[DIMS_MAX];
    bool wide; /* double, else float */
    const void *x, *grid;
    void *y;
} sampling;

/* ---- one coordinate --------------------------------------------------------------------------------------------- */

/* Back and forth between the edges. */
static double reflect(double v, double low, double high)
{
    double range = high - low;
    if (!(range > 0)) return low;
    double far = v < low ? low - v : v > high ? v - high : 0;
    if (far == 0) return v;
    double times = trunc(far / range), rest = far - times * range;
    bool even = fmod(times, 2) == 0;
    return (v < low) == even ? low + rest : high - rest;
}

/* Element number `at` along dimension d, or OUTSIDE. */
static size_t element(const sampling *s, uint32_t d, double at)
{
    double last = (double)(s->size[d] - 1);
    if (at >= 0 && at <= last) return (size_t)at;
    if (s->pad == PAD_ZEROS) return OUTSIDE;
    if (s->pad == PAD_REFLECT) at = trunc(s->align ? reflect(at, 0, last) : reflect(at, -0.5, last + 0.5));
    return at > 0 ? (size_t)fmin(at, last) : 0; /* a NaN is the first element */
}

/* Keys's cubic convolution with a = -0.75. */
static void cubic(double t, double w[TAPS_MAX])
{
    const double a = -0.75;
    double far = t + 1, near = 1 - t, end = 2 - t;
    w[0] = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a;
    w[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
    w[2] = ((a + 2) * near - (a + 3)) * near * near + 1;
    w[3] = ((a * end - 5 * a) * end + 8 * a) * end - 4 * a;
}

static void taps_of(const sampling *s, uint32_t d, double v, size_t at[TAPS_MAX], double w[TAPS_MAX])
{
    double length = (double)s->size[d], first;
    v = s->align ? (v + 1) / 2 * (length - 1) : ((v + 1) * length - 1) / 2;
    if (!s->wide) v = (double)(float)v; /* where float would round to, a tie of the nearest is decided */
    switch (s->look) {
    case LOOK_NEAREST:
        first = rint(v);
        w[0] = 1;
        break;
    case LOOK_LINEAR:
        first = floor(v);
        w[1] = v - first;
        w[0] = 1 - w[1];
        break;
    default:
        first = floor(v) - 1;
        cubic(v - first - 1, w);
        break;
    }
    for (uint32_t i = 0; i < s->taps; i++) at[i] = element(s, d, first + (double)i);
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

typedef struct {
    uint32_t count;
    size_t at[ALL_TAPS_MAX];
    double w[ALL_TAPS_MAX];
} point;

/* The grid's last axis names the last dimension first. */
static void point_find(const sampling *s, size_t index, point *ret)
{
    uint32_t count = 1;
    size_t stride = 1;
    ret->at[0] = 0;
    ret->w[0] = 1;
    for (uint32_t k = 0; k < s->dims; k++) {
        uint32_t d = s->dims - 1 - k;
        size_t at[TAPS_MAX];
        double w[TAPS_MAX] = {0}, v = s->wide ? ((const double *)s->grid)[index * s->dims + k]
                                        : (double)((const float *)s->grid)[index * s->dims + k];
        taps_of(s, d, v, at, w);
        for (uint32_t i = s->taps; i-- > 0;) { /* the first last: it overwrites what the others read */
            for (uint32_t j = 0; j < count; j++) {
                bool out = at[i] == OUTSIDE || ret->at[j] == OUTSIDE;
                ret->at[i * count + j] = out ? OUTSIDE : ret->at[j] + at[i] * stride;
                ret->w[i * count + j] = ret->w[j] * w[i];
            }
        }
        count *= s->taps;
        stride *= (size_t)s->size[d];
    }
    ret->count = count;
}

#define WEIGH(name, TYPE) \
    static double name(const point *p, const TYPE *plane) \
    { \
        double sum = 0; \
        for (uint32_t i = 0; i < p->count; i++) { \
            if (p->at[i] != OUTSIDE) sum += p->w[i] * (double)plane[p->at[i]]; \
        } \
        return sum; \
    }
WEIGH(weigh_f32, float)
WEIGH(weigh_f64, double)

static void sample_job(void *ctx, uint32_t index)
{
    const sampling *s = ctx;
    size_t jobs = (s->points + POINTS - 1) / POINTS, n = index / jobs, first = index % jobs * POINTS;
    for (size_t q = first; q < s->points && q < first + POINTS; q++) {
        point p UNINIT;
        point_find(s, n * s->points + q, &p);
        for (size_t k = 0; k < s->channels; k++) {
            size_t plane = n * s->channels + k;
            if (s->wide)
                ((double *)s->y)[plane * s->points + q] = weigh_f64(&p, (const double *)s->x + plane * s->plane);
            else
                ((float *)s->y)[plane * s->points + q] = (float)weigh_f32(&p, (const float *)s->x + plane * s->plane);
        }
    }
}

/* ---- GridSample ------------------------------------------------------------------------------------------------- */

static err_code name_of(const op_call *c, const char *attr_name, const char *const *names, int count, str absent,
                        int *ret, err *e)
{
    str name = node_str(c->node, attr_name, absent);
    for (int i = 0; i < count; i++) {
        if (!str_is(name, names[i])) continue;
        *ret = i;
        return ERR_OK;
    }
    return op_err(c, e, ERR_INVALID, "%s: expected %s, %s or %s, got '" STR_FMT "'", attr_name, names[0], names[1],
                  names[2], STR_ARG(name));
}

static err_code sampling_of(const op_call *c, sampling *ret, err *e)
{
    static const char *const modes16[] = {"bilinear", "nearest", "bicubic"},
                             *const modes20[] = {"linear", "nearest", "cubic"},
                             *const pads[] = {"zeros", "border", "reflection"};
    const shape *x = &c->in[0]->shape, *g = &c->in[1]->shape;
    bool old = c->node->row->since < 20;
    int mode, pad;
    err_code rc = op_type(c, 0, T_GRID, e);
    if (!rc) rc = op_type(c, 1, T_GRID, e);
    if (!rc) rc = op_rank(c, 0, old ? 4 : 3, old ? 4 : 2 + DIMS_MAX, e);
    if (!rc) rc = op_rank(c, 1, x->rank, x->rank, e);
    if (!rc) rc = name_of(c, "mode", old ? modes16 : modes20, 3, old ? STR("bilinear") : STR("linear"), &mode, e);
    if (!rc) rc = name_of(c, "padding_mode", pads, 3, STR("zeros"), &pad, e);
    if (rc) return rc;
    sampling s = {.look = (look)mode,
                  .pad = (padding)pad,
                  .align = node_int(c->node, "align_corners", 0) != 0,
                  .dims = x->rank - 2,
                  .batch = (size_t)x->dim[0],
                  .channels = (size_t)x->dim[1],
                  .plane = (size_t)shape_count_range(x, 2, x->rank),
                  .points = (size_t)shape_count_range(g, 1, g->rank - 1),
                  .all = 1,
                  .wide = c->in[0]->type == DT_F64};
    if (g->dim[0] != x->dim[0] || g->dim[g->rank - 1] != s.dims) {
        char text[SHAPE_TEXT_MAX];
        return op_err(c, e, ERR_INVALID, "grid: expected [%lld,...,%u], got %s", (long long)x->dim[0], s.dims,
                      shape_text(g, text));
    }
    s.taps = s.look == LOOK_NEAREST ? 1 : s.look == LOOK_LINEAR ? 2 : 4;
    for (uint32_t d = 0; d < s.dims; d++) {
        s.size[d] = x->dim[2 + d];
        s.all *= s.taps;
    }
    *ret = s;
    return ERR_OK;
}

static err_code sample_infer(op_call *c, err *e)
{
    sampling s;
    err_code rc = sampling_of(c, &s, e);
    if (rc) return rc;
    shape y = c->in[0]->shape;
    for (uint32_t d = 0; d < s.dims; d++) y.dim[2 + d] = c->in[1]->shape.dim[1 + d];
    if (s.plane == 0 && s.points > 0) return op_err(c, e, ERR_INVALID, "expected planes with elements to look at");
    return op_set(c, 0, c->in[0]->type, &y, e);
}

/* The grid in the type that is computed in, which may be another than its own. */
static err_code grid_read(op_call *c, sampling *s, err *e)
{
    const tensor *g = c->in[1];
    size_t n = (size_t)tensor_count(g);
    if ((g->type == DT_F64) == s->wide && g->type != DT_F16 && g->type != DT_BF16) {
        s->grid = g->data;
        return ERR_OK;
    }
    void *data = arena_push_raw(c->scratch, n * (s->wide ? sizeof(double) : sizeof(float)), MEM_ALIGN);
    if (!data) return op_err(c, e, ERR_LIMIT, "no memory for a grid of %zu", n);
    tensor to = tensor_make(s->wide ? DT_F64 : DT_F32, &g->shape, data);
    for (size_t i = 0; i < n; i++) tensor_put_f64(&to, i, tensor_f64(g, i));
    s->grid = data;
    return ERR_OK;
}

static err_code sample_run(op_call *c, err *e)
{
    sampling s;
    float *y = NULL;
    const float *x = NULL;
    if (tensor_count(c->out[0]) == 0) return ERR_OK;
    err_code rc = sampling_of(c, &s, e);
    if (!rc) rc = grid_read(c, &s, e);
    if (!rc && !s.wide) rc = half_in(c, 0, &x, e);
    if (!rc && !s.wide) rc = half_out(c, 0, &y, e);
    if (rc) return rc;
    s.x = s.wide ? c->in[0]->data : x;
    s.y = s.wide ? c->out[0]->data : y;
    uint64_t jobs = (s.points + POINTS - 1) / POINTS * (uint64_t)s.batch;
    if (jobs > UINT32_MAX) return op_err(c, e, ERR_LIMIT, "a grid of %zu points is too large", s.points);
    compute_for(c->pool, (uint32_t)jobs, sample_job, &s);
    if (!s.wide) half_done(c, 0, y);
    return ERR_OK;
}

/* ---- AffineGrid ------------------------------------------------------------------------------------------------- */

static err_code affine_infer(op_call *c, err *e)
{
    op_ints size;
    if (!op_known(c, 1)) return op_later(c, 1);
    err_code rc = op_type(c, 0, T_GRID, e);
    if (!rc) rc = op_type(c, 1, T1(DT_I64), e);
    if (!rc) rc = op_rank(c, 0, 3, 3, e);
    if (!rc) rc = op_ints_of(c, 1, NULL, &size, e);
    if (rc) return rc;
    const int64_t *theta = c->in[0]->shape.dim;
    int64_t dims = (int64_t)size.count - 2;
    if (dims < 2 || dims > 3 || theta[0] != size.at[0] || theta[1] != dims || theta[2] != dims + 1) {
        char text[SHAPE_TEXT_MAX];
        return op_err(c, e, ERR_INVALID,
                      "expected theta [n,2,3] with a size of 4 or [n,3,4] with one of 5, got %s and %u",
                      shape_text(&c->in[0]->shape, text), size.count);
    }
    shape s = {.rank = size.count, .dim = {size.at[0]}};
    for (uint32_t d = 2; d < size.count; d++) s.dim[d - 1] = size.at[d];
    s.dim[size.count - 1] = dims;
    return op_set(c, 0, c->in[0]->type, &s, e);
}

/* Point i of n in -1..1: the ends themselves, or the middles of n equal parts. */
static double place(int64_t i, int64_t n, bool align)
{
    if (!align) return (2 * (double)i + 1) / (double)n - 1;
    return n > 1 ? 2 * (double)i / (double)(n - 1) - 1 : -1;
}

static err_code affine_run(op_call *c, err *e)
{
    (void)e;
    tensor *y = c->out[0];
    const shape *s = &y->shape;
    uint64_t dims = s->rank - 2;
    bool align = node_int(c->node, "align_corners", 0) != 0;
    uint64_t points = shape_count_range(s, 1, s->rank - 1), total = tensor_count(y) ? points * (uint64_t)s->dim[0] : 0;
    for (uint64_t p = 0; p < total; p++) {
        double v[DIMS_MAX] = {0};
        uint64_t rest = p % points, theta = p / points * dims * (dims + 1);
        for (uint32_t k = 0; k < dims; k++) { /* x, the last dimension, comes first */
            uint64_t n = (uint64_t)s->dim[dims - k];
            v[k] = place((int64_t)(rest % n), (int64_t)n, align);
            rest /= n;
        }
        for (uint32_t r = 0; r < dims; r++) {
            double sum = tensor_f64(c->in[0], theta + r * (dims + 1) + dims);
            for (uint32_t k = 0; k < dims; k++) sum += tensor_f64(c->in[0], theta + r * (dims + 1) + k) * v[k];
            tensor_put_f64(y, p * dims + r, sum);
        }
    }
    return ERR_OK;
}

static uint64_t sample_flops(const op_call *c)
{
    sampling s;
    err e;
    return sampling_of(c, &s, &e) ? 0 : 2 * tensor_count(c->out[0]) * s.all;
}

#define ROW(n, version) \
    .name = (n), .domain = "", .since = (version), .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1
#define SAMPLE \
    .attrs = {{"align_corners", ATTR_INT, false}, {"mode", ATTR_STRING, false}, {"padding_mode", ATTR_STRING, false}}, \
    .infer = sample_infer, .run = sample_run, .flops = sample_flops
const op_row op_rows_grid[] = {
    {ROW("GridSample", 16), SAMPLE},
    {ROW("GridSample", 20), SAMPLE},
    {ROW("AffineGrid", 20), .attrs = {{"align_corners", ATTR_INT, false}}, .infer = affine_infer, .run = affine_run},
    {0},
};
