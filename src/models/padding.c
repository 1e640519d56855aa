#include "models/padding.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Made-up lengths: nobody writes them into a model by chance and means the length in both. */
enum { SHORT_A = 5, LONG_A = 11, SHORT_B = 7, LONG_B = 13, ROWS = 2, INPUTS_BYTES_MAX = 1 << 20 };

/* Sums in another order differ by roundings; what looks at the padding differs by much more. */
static const double CLOSE = 1e-3;

static err_code off(padding *p, const char *why)
{
    *p = (padding){.on = false};   /* also what was found before something stood against it */
    snprintf(p->why, sizeof p->why, "%.*s", PADDING_WHY_MAX - 1, why);
    return ERR_OK;
}

/* ---- which inputs ------------------------------------------------------------------------------------------------ */

static bool is_mask(const model_io *io)
{
    static const char word[] = "mask";
    dtype_kind kind = dtype_kind_of(io->type);
    bool named = false;
    for (size_t i = 0; i + 4 <= io->name.len && !named; i++)
        named = str_is_nocase((str){io->name.p + i, 4}, word);
    return named && io->shape.rank == 2 && kind != KIND_STRING && kind != KIND_COMPLEX;
}

static bool takes_numbers(dtype t)
{
    dtype_kind kind = dtype_kind_of(t);
    return dtype_bits(t) >= 8 && (kind == KIND_INT || kind == KIND_UINT || kind == KIND_BOOL || kind == KIND_FLOAT);
}

/* Open dimensions are the rows, and the length of those that have one.  NULL, or what stands against it. */
static const char *find_inputs(padding *p, const model *m, bool *ret_masked)
{
    const uint32_t count = model_input_count(m);
    if (!model_batch(m)->proven) return "its rows are not proven to be apart";
    if (count > PADDING_TENSORS_MAX || model_output_count(m) > PADDING_TENSORS_MAX) return "too many tensors";
    *ret_masked = false;
    for (uint32_t i = 0; i < count; i++) {
        const model_io *io = model_input(m, i);
        if (!io->ranked || !takes_numbers(io->type)) return "an input that cannot be filled with zeros";
        for (uint32_t d = 2; d < io->shape.rank; d++)
            if (io->shape.dim[d] < 0) return "an input with more than one open dimension beside the rows";
        if (io->shape.rank < 2 || io->shape.dim[1] >= 0) continue;
        p->inputs |= UINT64_C(1) << i;
        *ret_masked |= is_mask(io);
    }
    return p->inputs ? NULL : "no input has an open length";
}

/* ---- trying it --------------------------------------------------------------------------------------------------- */

static shape shape_for(const padding *p, const model_io *io, uint32_t i, int64_t length)
{
    shape s = io->shape;
    s.dim[0] = ROWS;
    if (p->inputs >> i & 1) s.dim[1] = length;
    return s;
}

/* The same numbers whatever the length: of a row the first `length` entries, zeros behind.  Ones and zeros fit any
 * vocabulary. */
static void fill(const model *m, exec *x, uint32_t i, uint64_t inputs, int64_t length)
{
    tensor *t = exec_input(x, i);
    const bool mask = is_mask(model_input(m, i)), padded = inputs >> i & 1;
    const bool whole = dtype_kind_of(t->type) != KIND_FLOAT;
    const uint64_t inner = t->shape.rank > 1 ? shape_count_range(&t->shape, padded ? 2 : 1, t->shape.rank) : 1;
    const uint64_t most = padded ? (uint64_t)t->shape.dim[1] : 1;
    rng r;
    for (uint64_t row = 0, at = 0; row < ROWS; row++) {
        rng_init(&r, 1000 * row + i + 1);
        for (uint64_t n = 0; n < most * inner; n++, at++) {
            double v = whole ? (double)rng_below(&r, 2) : rng_unit(&r) * 2 - 1;
            if (mask) v = 1;
            if (padded && n >= (uint64_t)length * inner) v = 0;
            tensor_put_f64(t, at, v);
        }
    }
}

/* Runs rows of `length` in a run of `room`. */
static err_code attempt(exec **ret, const padding *p, model *m, int64_t length, int64_t room, err *e)
{
    const uint32_t count = model_input_count(m);
    shape *shapes = mem_new0(shape, count ? count : 1);
    exec *x = NULL;
    if (!shapes) return err_set(e, ERR_NOMEM, "no memory for %u input shapes", count);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        shapes[i] = shape_for(p, model_input(m, i), i, room);
        size_t one = dtype_bytes(model_input(m, i)->type, shape_count(&shapes[i]));
        bytes += one < INPUTS_BYTES_MAX ? one : INPUTS_BYTES_MAX;
    }
    err_code rc = bytes < INPUTS_BYTES_MAX ? exec_take(&x, m, shapes, e)
                                           : err_set(e, ERR_TOO_LARGE, "too large to be tried");
    mem_free(shapes);
    if (rc) return rc;
    for (uint32_t i = 0; i < count; i++) fill(m, x, i, p->inputs, length);
    if ((rc = exec_run(x, NULL, e)) != ERR_OK) exec_give(x);
    else *ret = x;
    return rc;
}

/* The one dimension of the output that is the length in both runs; 0 = none, -1 = it is something else. */
static int length_axis(const tensor *a, const tensor *b, int64_t length, int64_t room)
{
    int found = 0;
    if (a->type != b->type || a->shape.rank != b->shape.rank || a->shape.rank == 0) return -1;
    if (a->shape.dim[0] != ROWS || b->shape.dim[0] != ROWS || dtype_bits(a->type) < 8) return -1;
    for (uint32_t d = 1; d < a->shape.rank; d++) {
        if (a->shape.dim[d] == b->shape.dim[d]) continue;
        if (found || a->shape.dim[d] != length || b->shape.dim[d] != room) return -1;
        found = (int)d;
    }
    return found;
}

/* Outputs are cut where they lie, so none may lie in another. */
static bool apart(const tensor *a, const tensor *b)
{
    const char *p = a->data, *q = b->data;
    return !p || !q || p + tensor_bytes(a) <= q || q + tensor_bytes(b) <= p;
}

static double number(const tensor *t, uint64_t i) { return takes_numbers(t->type) ? tensor_f64(t, i) : 0; }

/* The padded output, cut, is that of the rows alone. */
static bool same(const tensor *a, const tensor *b, uint32_t axis)
{
    const uint64_t inner = axis ? shape_count_range(&a->shape, axis + 1, a->shape.rank) : tensor_count(a);
    const uint64_t kept = axis ? (uint64_t)a->shape.dim[axis] * inner : inner;
    const uint64_t step = axis ? (uint64_t)b->shape.dim[axis] * inner : inner;
    double most = 0;
    if (!takes_numbers(a->type) || kept == 0) return false;
    for (uint64_t i = 0; i < tensor_count(a); i++) most = fmax(most, fabs(number(a, i)));
    for (uint64_t i = 0; i < tensor_count(a); i++) {
        double v = number(a, i), w = number(b, i / kept * step + i % kept);
        if (!(fabs(v - w) <= CLOSE * most)) return false;   /* NaN is not the same */
    }
    return true;
}

/* NULL, or what stands against it. */
static const char *compare(padding *p, const model *m, const exec *alone, const exec *padded, int64_t length,
                           int64_t room, bool exactly)
{
    for (uint32_t i = 0; i < model_output_count(m); i++) {
        const tensor *a = exec_output(alone, i), *b = exec_output(padded, i);
        int axis = length_axis(a, b, length, room);
        if (axis < 0) return "an output whose shape follows the length in another way";
        for (uint32_t k = 0; k < i; k++)
            if (!apart(b, exec_output(padded, k))) return "outputs that share memory";
        if (exactly && !same(a, b, (uint32_t)axis)) return "what is padded changes the answer";
        p->output_axis[i] = (uint8_t)axis;
    }
    return NULL;
}

static err_code try_lengths(padding *p, model *m, int64_t length, int64_t room, bool exactly, const char **ret_why,
                            err *e)
{
    exec *alone = NULL, *padded = NULL;
    err_code rc = attempt(&alone, p, m, length, length, e);
    if (rc == ERR_OK) rc = attempt(&padded, p, m, length, room, e);
    if (rc == ERR_OK) *ret_why = compare(p, m, alone, padded, length, room, exactly);
    if (alone) exec_give(alone);
    if (padded) exec_give(padded);
    return rc;
}

/* ---- the verdict ------------------------------------------------------------------------------------------------- */

static err_code judge(padding *p, model *m, bool told, err *e)
{
    bool masked = false;
    const char *why = find_inputs(p, m, &masked);
    if (!why && !told && !masked) why = "no input is a mask";
    err_code rc = ERR_OK;
    if (!why) {
        rc = try_lengths(p, m, SHORT_A, LONG_A, !told, &why, e);
        if (rc == ERR_OK && !why) rc = try_lengths(p, m, SHORT_B, LONG_B, !told, &why, e);
        model_trim(m, true);
    }
    if (rc == ERR_NOMEM) return rc;
    if (rc) return off(p, e->text);
    p->on = !why;
    return why ? off(p, why) : ERR_OK;
}

err_code padding_find(padding *ret, model *m, str wish, err *e)
{
    padding p = {.on = false};
    const bool told = str_is(wish, "on");
    if (wish.len && !told && !str_is(wish, "off") && !str_is(wish, "auto"))
        return err_set(e, ERR_INVALID, "parameters: padding: expected 'on', 'off' or 'auto', got '" STR_FMT "'",
                       STR_ARG(wish));
    err_code rc = str_is(wish, "off") ? off(&p, "it is off") : judge(&p, m, told, e);
    if (rc == ERR_OK && told && !p.on) return err_set(e, ERR_UNSUPPORTED, "parameters: padding: %s", p.why);
    if (rc == ERR_OK) *ret = p;
    return rc;
}
