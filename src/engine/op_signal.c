/* DFT, STFT, the window functions and MelWeightMatrix. */
#include "engine/op.h"
#include "tensor/fft.h"

#include <math.h>
#include <string.h>

/* ---- DFT ---------------------------------------------------------------------------------------------------- */

/* x as [outer, in, inner, parts], y as [outer, out, inner, 1 or 2]. */
typedef struct {
    uint32_t axis;
    size_t outer, in, inner, parts, length, out, out_parts;
    bool inverse, onesided;
} dft_shape;

/* A scalar integer input; *ret is unchanged when it is absent. */
static err_code scalar_in(const op_call *c, uint32_t input, int64_t *ret, err *e)
{
    if (input >= c->in_count || !c->in[input]) return ERR_OK;
    if (tensor_count(c->in[input]) != 1) return op_err(c, e, ERR_INVALID, "input %u: expected one number", input);
    *ret = tensor_int(c->in[input], 0);
    return ERR_OK;
}

static err_code length_check(const op_call *c, int64_t length, err *e)
{
    if (length >= 1 && length <= FFT_LENGTH_MAX) return ERR_OK;
    return op_err(c, e, ERR_INVALID, "a transform of length %lld: expected 1 to %d", (long long)length, FFT_LENGTH_MAX);
}

static err_code dft_of(const op_call *c, dft_shape *ret, err *e)
{
    const shape *x = &c->in[0]->shape;
    bool has_input = c->node->row->since >= 20;
    int64_t axis = has_input ? -2 : node_int(c->node, "axis", 1);
    dft_shape d = {.inverse = node_int(c->node, "inverse", 0) != 0, .onesided = node_int(c->node, "onesided", 0) != 0};
    err inner;
    err_code rc = op_rank(c, 0, 2, TENSOR_RANK_MAX, e);
    if (!rc && has_input) rc = scalar_in(c, 2, &axis, e);
    if (rc) return rc;
    if (shape_axis(&d.axis, axis, x->rank, "axis", &inner) || d.axis == x->rank - 1)
        return op_err(c, e, ERR_INVALID, "axis: expected one before the last of %u dimensions, got %lld", x->rank,
                      (long long)axis);
    d.outer = (size_t)shape_count_range(x, 0, d.axis);
    d.in = (size_t)x->dim[d.axis];
    d.inner = (size_t)shape_count_range(x, d.axis + 1, x->rank - 1);
    d.parts = (size_t)x->dim[x->rank - 1];
    if (d.parts != 1 && d.parts != 2)
        return op_err(c, e, ERR_INVALID, "input 0: expected 1 or 2 in the last dimension");
    bool real_out = d.inverse && d.onesided;
    int64_t length = real_out ? 2 * ((int64_t)d.in - 1) : (int64_t)d.in;
    rc = scalar_in(c, 1, &length, e);
    if (!rc) rc = length_check(c, length, e);
    if (rc) return rc;
    d.length = (size_t)length;
    d.out = d.onesided && !d.inverse ? d.length / 2 + 1 : d.length;
    d.out_parts = real_out ? 1 : 2;
    *ret = d;
    return ERR_OK;
}

static err_code dft_infer(op_call *c, err *e)
{
    dft_shape d;
    for (uint32_t i = 1; i < 3; i++)
        if (!op_known(c, i)) return op_later(c, i);
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc) rc = dft_of(c, &d, e);
    if (rc) return rc;
    shape y = c->in[0]->shape;
    y.dim[d.axis] = (int64_t)d.out;
    y.dim[y.rank - 1] = (int64_t)d.out_parts;
    return op_set(c, 0, c->in[0]->type, &y, e);
}

/* Reads one line into `line`, cut or filled up with zeros; of a one-sided spectrum the other half follows. */
static void dft_read(const op_call *c, const dft_shape *d, size_t outer, size_t inner, double *line)
{
    size_t want = d->inverse && d->onesided ? d->length / 2 + 1 : d->length, n = d->in < want ? d->in : want;
    memset(line, 0, 2 * d->length * sizeof *line);
    for (size_t i = 0; i < n; i++)
        for (size_t part = 0; part < d->parts; part++)
            line[2 * i + part] = tensor_f64(c->in[0], ((outer * d->in + i) * d->inner + inner) * d->parts + part);
    if (!d->inverse || !d->onesided) return;
    line[1] = 0; /* what a real signal cannot have */
    if (d->length % 2 == 0) line[d->length + 1] = 0;
    for (size_t i = d->length / 2 + 1; i < d->length; i++) {
        line[2 * i] = line[2 * (d->length - i)];
        line[2 * i + 1] = -line[2 * (d->length - i) + 1];
    }
}

static err_code dft_run(op_call *c, err *e)
{
    dft_shape d;
    fft f;
    err_code rc = dft_of(c, &d, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    bool ok = fft_init(&f, d.length, c->scratch);
    double *line = ok ? arena_push(c->scratch, 2 * d.length + fft_work(&f), sizeof *line, 16) : NULL;
    if (!line) return op_err(c, e, ERR_LIMIT, "no memory for a transform of length %zu", d.length);
    for (size_t outer = 0; outer < d.outer; outer++)
        for (size_t inner = 0; inner < d.inner; inner++) {
            dft_read(c, &d, outer, inner, line);
            fft_run(&f, line, d.inverse, line + 2 * d.length);
            for (size_t i = 0; i < d.out; i++)
                for (size_t part = 0; part < d.out_parts; part++)
                    tensor_put_f64(c->out[0], ((outer * d.out + i) * d.inner + inner) * d.out_parts + part,
                                   line[2 * i + part]);
        }
    return ERR_OK;
}

/* ---- STFT --------------------------------------------------------------------------------------------------- */

typedef struct {
    size_t batch, samples, parts, step, length, frames, bins;
} stft_shape;

static err_code stft_of(const op_call *c, stft_shape *ret, err *e)
{
    const shape *x = &c->in[0]->shape;
    const tensor *window = c->in_count > 2 ? c->in[2] : NULL;
    int64_t step = 0, length = window ? (int64_t)tensor_count(window) : 0;
    err_code rc = op_rank(c, 0, 2, 3, e);
    if (!rc) rc = scalar_in(c, 1, &step, e);
    if (!rc && !window) length = x->dim[1];
    if (!rc) rc = scalar_in(c, 3, &length, e);
    if (!rc) rc = length_check(c, length, e);
    if (rc) return rc;
    stft_shape s = {.batch = (size_t)x->dim[0],
                    .samples = (size_t)x->dim[1],
                    .parts = x->rank == 3 ? (size_t)x->dim[2] : 1,
                    .step = (size_t)step,
                    .length = (size_t)length};
    if (step < 1 || length > x->dim[1] || s.parts < 1 || s.parts > 2 ||
        (window && (int64_t)tensor_count(window) != length))
        return op_err(c, e, ERR_INVALID, "frames of %lld every %lld do not fit %lld samples and the window",
                      (long long)length, (long long)step, (long long)x->dim[1]);
    s.frames = 1 + (s.samples - s.length) / s.step;
    s.bins = node_int(c->node, "onesided", 1) ? s.length / 2 + 1 : s.length;
    *ret = s;
    return ERR_OK;
}

static err_code stft_infer(op_call *c, err *e)
{
    stft_shape s;
    if (!op_known(c, 1)) return op_later(c, 1);
    if (!op_known(c, 3)) return op_later(c, 3);
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc) rc = op_type(c, 2, T1(c->in[0]->type), e);
    if (!rc) rc = stft_of(c, &s, e);
    if (rc) return rc;
    shape y = shape_make(4, (int64_t[]){(int64_t)s.batch, (int64_t)s.frames, (int64_t)s.bins, 2});
    return op_set(c, 0, c->in[0]->type, &y, e);
}

static err_code stft_run(op_call *c, err *e)
{
    stft_shape s;
    fft f;
    err_code rc = stft_of(c, &s, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    bool ok = fft_init(&f, s.length, c->scratch);
    double *line = ok ? arena_push(c->scratch, 2 * s.length + fft_work(&f), sizeof *line, 16) : NULL;
    if (!line) return op_err(c, e, ERR_LIMIT, "no memory for a transform of length %zu", s.length);
    const tensor *window = c->in_count > 2 ? c->in[2] : NULL;
    for (size_t at = 0; at < s.batch * s.frames; at++) {
        size_t first = at / s.frames * s.samples + at % s.frames * s.step;
        for (size_t i = 0; i < s.length; i++) {
            double w = window ? tensor_f64(window, i) : 1;
            line[2 * i] = w * tensor_f64(c->in[0], (first + i) * s.parts);
            line[2 * i + 1] = s.parts == 2 ? w * tensor_f64(c->in[0], (first + i) * s.parts + 1) : 0;
        }
        fft_run(&f, line, false, line + 2 * s.length);
        for (size_t i = 0; i < 2 * s.bins; i++) tensor_put_f64(c->out[0], at * 2 * s.bins + i, line[i]);
    }
    return ERR_OK;
}

/* ---- windows ------------------------------------------------------------------------------------------------ */

static err_code window_infer(op_call *c, err *e)
{
    int64_t size = 0, type = node_int(c->node, "output_datatype", DT_F32);
    if (!op_known(c, 0)) return op_later(c, 0);
    err_code rc = op_type(c, 0, T1(DT_I32) | T1(DT_I64), e);
    if (!rc) rc = scalar_in(c, 0, &size, e);
    if (rc) return rc;
    if (!dtype_ok(type) || !(T1(type) & T_NUMBER))
        return op_err(c, e, ERR_INVALID, "attribute 'output_datatype': expected a number type, got %lld",
                      (long long)type);
    shape y = shape_make(1, &size);
    return op_set(c, 0, (dtype)type, &y, e);
}

/* a0 - a1 * cos(2 pi i / n) + a2 * cos(4 pi i / n) */
static err_code window_run(op_call *c, double a0, double a1, double a2)
{
    const double turn = 2 * 3.14159265358979323846;
    uint64_t count = tensor_count(c->out[0]);
    double n = (double)(node_int(c->node, "periodic", 1) ? count : count - 1);
    for (uint64_t i = 0; i < count; i++) {
        double at = n > 0 ? turn * (double)i / n : turn / 2; /* one symmetric sample: the top of the window */
        tensor_put_f64(c->out[0], i, a0 - a1 * cos(at) + a2 * cos(2 * at));
    }
    return ERR_OK;
}

static err_code hann_run(op_call *c, err *e)
{
    (void)e;
    return window_run(c, 0.5, 0.5, 0);
}

static err_code hamming_run(op_call *c, err *e)
{
    (void)e;
    return window_run(c, 25.0 / 46, 21.0 / 46, 0);
}

static err_code blackman_run(op_call *c, err *e)
{
    (void)e;
    return window_run(c, 0.42, 0.5, 0.08);
}

/* ---- MelWeightMatrix ---------------------------------------------------------------------------------------- */

static err_code mel_infer(op_call *c, err *e)
{
    int64_t bins = 0, length = 0, type = node_int(c->node, "output_datatype", DT_F32);
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < 2; i++)
        if (!op_known(c, i)) return op_later(c, i);
    for (uint32_t i = 0; i < 5 && !rc; i++) {
        rc = op_type(c, i, i < 3 ? T1(DT_I32) | T1(DT_I64) : T_FLOAT, e);
        if (!rc && tensor_count(c->in[i]) != 1) rc = op_err(c, e, ERR_INVALID, "input %u: expected one number", i);
    }
    if (!rc) rc = scalar_in(c, 0, &bins, e);
    if (!rc) rc = scalar_in(c, 1, &length, e);
    if (!rc) rc = length_check(c, length, e);
    if (rc) return rc;
    if (!dtype_ok(type) || !(T1(type) & T_NUMBER))
        return op_err(c, e, ERR_INVALID, "attribute 'output_datatype': expected a number type, got %lld",
                      (long long)type);
    shape y = shape_make(2, (int64_t[]){length / 2 + 1, bins});
    return op_set(c, 0, (dtype)type, &y, e);
}

/* The spectrogram bin of edge i of bins + 2, which are evenly spaced on the mel scale; -1 = none of any number. */
static int64_t mel_edge(const op_call *c, int64_t i)
{
    double bins = (double)tensor_int(c->in[0], 0), length = (double)tensor_int(c->in[1], 0);
    double low = 2595 * log10(1 + tensor_f64(c->in[3], 0) / 700),
           high = 2595 * log10(1 + tensor_f64(c->in[4], 0) / 700);
    double mel = low + (double)i * (high - low) / (bins + 2), hertz = 700 * (pow(10, mel / 2595) - 1);
    double bin = floor((length + 1) * hertz / tensor_f64(c->in[2], 0));
    return bin >= 0 ? (int64_t)fmin(bin, 0x1p62) : -1;
}

static err_code mel_run(op_call *c, err *e)
{
    tensor *y = c->out[0];
    int64_t rows = y->shape.dim[0], bins = y->shape.dim[1];
    if (tensor_count(y)) memset(y->data, 0, tensor_bytes(y));
    for (int64_t i = 0; i < bins; i++) {
        int64_t left = mel_edge(c, i), center = mel_edge(c, i + 1), right = mel_edge(c, i + 2);
        if (left < 0 || right < center || right > rows)
            return op_err(c, e, ERR_INVALID, "a filter from bin %lld to %lld is outside the %lld bins", (long long)left,
                          (long long)right, (long long)rows);
        for (int64_t j = left; j <= center && j < rows; j++) {
            double v = center == left ? 1 : (double)(j - left) / (double)(center - left);
            tensor_put_f64(y, (uint64_t)(j * bins + i), v);
        }
        for (int64_t j = center; j < right; j++)
            tensor_put_f64(y, (uint64_t)(j * bins + i), (double)(right - j) / (double)(right - center));
    }
    return ERR_OK;
}

#define WINDOW(op, fn) \
    { \
        .name = op, .domain = "", .since = 17, .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, \
        .attrs = {{"output_datatype", ATTR_INT, false}, {"periodic", ATTR_INT, false}}, .infer = window_infer, \
        .run = fn \
    }

const op_row op_rows_signal[] = {
    {.name = "DFT",
     .domain = "",
     .since = 17,
     .in_min = 1,
     .in_max = 2,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"axis", ATTR_INT, false}, {"inverse", ATTR_INT, false}, {"onesided", ATTR_INT, false}},
     .infer = dft_infer,
     .run = dft_run},
    {.name = "DFT",
     .domain = "",
     .since = 20,
     .in_min = 1,
     .in_max = 3,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"inverse", ATTR_INT, false}, {"onesided", ATTR_INT, false}},
     .infer = dft_infer,
     .run = dft_run},
    {.name = "STFT",
     .domain = "",
     .since = 17,
     .in_min = 2,
     .in_max = 4,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"onesided", ATTR_INT, false}},
     .infer = stft_infer,
     .run = stft_run},
    WINDOW("HannWindow", hann_run),
    WINDOW("HammingWindow", hamming_run),
    WINDOW("BlackmanWindow", blackman_run),
    {.name = "MelWeightMatrix",
     .domain = "",
     .since = 17,
     .in_min = 5,
     .in_max = 5,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"output_datatype", ATTR_INT, false}},
     .infer = mel_infer,
     .run = mel_run},
    {0},
};
