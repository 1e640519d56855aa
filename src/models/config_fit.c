#include "models/config_fit.h"

#include "models/config_type.h"

#include <stdio.h>
#include <string.h>

#define bad(e, ...) err_set(e, ERR_INVALID, __VA_ARGS__)

enum { NAMES_TEXT_MAX = 256 };

static uint32_t io_count(const model *m, bool in) { return in ? model_input_count(m) : model_output_count(m); }

static const model_io *io_at(const model *m, bool in, uint32_t i)
{
    return in ? model_input(m, i) : model_output(m, i);
}

static const model_io *io_find(const model *m, bool in, str name)
{
    for (uint32_t i = 0; i < io_count(m, in); i++)
        if (str_eq(io_at(m, in, i)->name, name)) return io_at(m, in, i);
    return NULL;
}

/* ---- completing ---- */

static bool no_memory(err *e)
{
    (void)err_set(e, ERR_NOMEM, "no memory for a model's configuration");
    return false;
}

static bool listed(const pbtree *c, const char *field, str name)
{
    for (const pbtree *io = pbtree_get(c, field); io; io = io->next)
        if (str_eq(pbtree_text(io, "name"), name)) return true;
    return false;
}

bool config_fit_sequence_io(const pbtree *c, str name, bool input)
{
    const pbtree *s = pbtree_get(c, "sequence_batching");
    if (input && listed(s, "control_input", name)) return true;
    for (const pbtree *state = pbtree_get(s, "state"); state; state = state->next)
        if (str_eq(pbtree_text(state, input ? "input_name" : "output_name"), name))
            return input || !listed(c, "output", name);
    return false;
}

static bool can_batch(const model *m)
{
    for (int in = 0; in < 2; in++) {
        for (uint32_t i = 0; i < io_count(m, in); i++) {
            const model_io *io = io_at(m, in, i);
            if (!io->ranked || io->shape.rank == 0 || io->shape.dim[0] != -1) return false;
        }
    }
    return true;
}

static err_code batching_complete(pbtree *c, arena *a, const model *m, err *e)
{
    int64_t size = pbtree_i64(c, "max_batch_size");
    if (!can_batch(m)) {
        str name = pbtree_text(c, "name");
        return size == 0 ? ERR_OK
                         : bad(e, "autofill failed for model '" STR_FMT "': model does not support batching while "
                                  "non-zero max_batch_size is specified", STR_ARG(name));
    }
    if (size == 0) size = CONFIG_BATCH_SIZE;
    bool scheduled = pbtree_has(c, "sequence_batching") || pbtree_has(c, "dynamic_batching");
    bool ok = pbtree_set_i64(a, c, "max_batch_size", size) &&
              (size <= 1 || scheduled || pbtree_open(a, c, "dynamic_batching"));
    return ok || no_memory(e) ? ERR_OK : e->code;
}

static bool dim_add(arena *a, pbtree *to, const char *field, int64_t n)
{
    pbtree *v = pbtree_append(a, to, field);
    if (v) v->i64 = n;
    return v != NULL;
}

static bool io_complete(pbtree *c, arena *a, const model_io *from, bool in, bool given, bool batched)
{
    pbtree *io = pbtree_append(a, c, in ? "input" : "output");
    str name = str_copy(a, from->name);
    if (!io || !name.p || !pbtree_set_text(a, io, "name", name)) return false;
    if (!pbtree_set_i64(a, io, "data_type", config_type_number(from->type))) return false;
    for (uint32_t d = batched ? 1 : 0; d < from->shape.rank; d++)
        if (!dim_add(a, io, "dims", from->shape.dim[d])) return false;
    if (!given || pbtree_has(io, "dims")) return true;
    /* Triton has no scalars: a client sends one element, which is reshaped where there is a batch around it. */
    return dim_add(a, io, "dims", from->ranked ? 1 : -1) && (!batched || pbtree_open(a, io, "reshape"));
}

err_code config_complete(pbtree *c, arena *a, const model *m, bool batches, err *e)
{
    bool has[2] = {pbtree_has(c, "output"), pbtree_has(c, "input") || pbtree_has(c, "batch_input")};
    if (has[0] && has[1]) return ERR_OK;
    err_code rc = batches ? batching_complete(c, a, m, e) : ERR_OK;
    bool batched = batches && pbtree_i64(c, "max_batch_size") > 0;
    for (int in = 0; in < 2 && rc == ERR_OK; in++) {
        for (uint32_t i = 0; !has[in] && i < io_count(m, in); i++)
            if (!config_fit_sequence_io(c, io_at(m, in, i)->name, in) &&
                !io_complete(c, a, io_at(m, in, i), in, batches, batched) && !no_memory(e)) return e->code;
    }
    return rc;
}

/* ---- checking ---- */

static const char *dims_text(char to[SHAPE_TEXT_MAX], const shape *s)
{
    size_t n = 0;
    to[n++] = '[';
    for (uint32_t d = 0; d < s->rank && n < SHAPE_TEXT_MAX - 24; d++)
        n += (size_t)snprintf(to + n, SHAPE_TEXT_MAX - n, d ? ",%lld" : "%lld", (long long)s->dim[d]);
    snprintf(to + n, SHAPE_TEXT_MAX - n, "]");
    return to;
}

static bool before(str a, str b)
{
    int order = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);
    return order < 0 || (order == 0 && a.len < b.len);
}

/* Names in order, as many as fit an error. */
static void names_text(char to[NAMES_TEXT_MAX], const model *m, bool in)
{
    size_t n = 0;
    str last = {0};
    to[0] = 0;
    for (uint32_t k = 0; k < io_count(m, in); k++) {
        const model_io *best = NULL;
        for (uint32_t i = 0; i < io_count(m, in); i++) {
            const model_io *io = io_at(m, in, i);
            bool past = !last.p || before(last, io->name);
            if (past && (!best || before(io->name, best->name))) best = io;
        }
        if (!best) return;
        n += (size_t)snprintf(to + n, NAMES_TEXT_MAX - n, k ? ", " STR_FMT : STR_FMT, STR_ARG(best->name));
        if (n >= NAMES_TEXT_MAX) return;
        last = best->name;
    }
}

/* With `batched` behind -1. */
static err_code shape_of(const pbtree *d, str name, bool batched, shape *ret, err *e)
{
    *ret = (shape){.rank = batched};
    ret->dim[0] = -1;
    for (; d; d = d->next) {
        if (ret->rank == TENSOR_RANK_MAX)
            return err_set(e, ERR_LIMIT, "tensor '" STR_FMT "': expected at most %d dimensions, got more",
                           STR_ARG(name), TENSOR_RANK_MAX);
        ret->dim[ret->rank++] = d->i64;
    }
    return ERR_OK;
}

/* How the model has it: reshape if there is one, else dims. */
static err_code wanted_shape(const pbtree *io, bool batched, shape *ret, err *e)
{
    const pbtree *reshape = pbtree_get(io, "reshape");
    const pbtree *d = reshape ? pbtree_get(reshape, "shape") : pbtree_get(io, "dims");
    return shape_of(d, pbtree_text(io, "name"), batched, ret, e);
}

static bool same(const shape *have, const shape *want, bool exact)
{
    if (have->rank != want->rank) return false;
    for (uint32_t d = 0; d < have->rank; d++)
        if ((exact || have->dim[d] != -1) && have->dim[d] != want->dim[d]) return false;
    return true;
}

static err_code dims_differ(str model_name, str name, const shape *have, const shape *want, bool batched, err *e)
{
    char one[SHAPE_TEXT_MAX], two[SHAPE_TEXT_MAX];
    return bad(e, "model '" STR_FMT "', tensor '" STR_FMT "': the model expects %u dimensions (shape %s) but the model "
                  "configuration specifies %u dimensions (%sshape %s)", STR_ARG(model_name), STR_ARG(name), have->rank,
               dims_text(one, have), want->rank,
               batched ? "an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, "
                         "making complete " : "", dims_text(two, want));
}

static err_code dims_fit(str model_name, const pbtree *io, const model_io *have, bool batched, bool exact, err *e)
{
    char one[SHAPE_TEXT_MAX];
    str name = pbtree_text(io, "name");
    shape want;
    err_code rc = wanted_shape(io, batched, &want, e);
    if (rc || !have->ranked) return rc;
    const shape *s = &have->shape;
    if (s->rank == 0 && !batched) {
        for (uint32_t d = 0; d < want.rank; d++)
            if (want.dim[d] != 1)
                return bad(e, "unable to load model '" STR_FMT "', scalar tensor '" STR_FMT "', should only provide "
                              "1 in the model configuration when the model doesn't support batching. Model "
                              "configuration provided: %s.", STR_ARG(model_name), STR_ARG(name), dims_text(one, &want));
        return ERR_OK;
    }
    if (batched && (s->rank == 0 || s->dim[0] != -1))
        return bad(e, "model '" STR_FMT "', tensor '" STR_FMT "': for the model to support batching the shape "
                      "should have at least 1 dimension and the first dimension must be -1; but shape expected by the "
                      "model is %s",
                   STR_ARG(model_name), STR_ARG(name), dims_text(one, s));
    return same(s, &want, exact) ? ERR_OK : dims_differ(model_name, name, s, &want, batched, e);
}

static err_code type_fit(const pbtree *c, const pbtree *said, const model_io *have, const char *what, err *e)
{
    str model_name = pbtree_text(c, "name");
    dtype type = config_type_dtype(pbtree_i64(said, "data_type"));
    if (have->type == DT_NONE || type == have->type) return ERR_OK;
    return bad(e, "unable to load model '" STR_FMT "', configuration expects datatype TYPE_%s for %s '" STR_FMT
                  "', model provides TYPE_%s", STR_ARG(model_name), config_type_name(type), what, STR_ARG(have->name),
               config_type_name(have->type));
}

static err_code io_fit(const pbtree *c, const pbtree *io, const model *m, bool in, err *e)
{
    char names[NAMES_TEXT_MAX];
    const char *what = in ? "input" : "output";
    str name = pbtree_text(io, "name"), model_name = pbtree_text(c, "name");
    const model_io *have = io_find(m, in, name);
    if (!have) {
        names_text(names, m, in);
        return bad(e, "unexpected inference %s '" STR_FMT "', allowed %ss are: %s", what, STR_ARG(name), what, names);
    }
    if (pbtree_count(io, "dims") >= TENSOR_RANK_MAX)   /* a batch may stand before them */
        return err_set(e, ERR_LIMIT, "tensor '" STR_FMT "': expected fewer than %d dimensions, got %zu", STR_ARG(name),
                       TENSOR_RANK_MAX, pbtree_count(io, "dims"));
    err_code rc = type_fit(c, io, have, what, e);
    return rc ? rc : dims_fit(model_name, io, have, pbtree_i64(c, "max_batch_size") > 0, !in, e);
}

static const char *onnx_name(dtype t)
{
    if (t == DT_F32) return "FLOAT";
    if (t == DT_F16) return "FLOAT16";
    if (t == DT_F64) return "DOUBLE";
    return t == DT_BF16 ? "BFLOAT16" : config_type_name(t);
}

/* Of START, END, READY by the values that it has, of CORRID as it says. */
static dtype control_type(const pbtree *control)
{
    if (pbtree_has(control, "int32_false_true")) return DT_I32;
    if (pbtree_has(control, "fp32_false_true")) return DT_F32;
    if (pbtree_has(control, "bool_false_true")) return DT_BOOL;
    return config_type_dtype(pbtree_i64(control, "data_type"));
}

static err_code control_fit(const pbtree *c, str name, dtype type, const model *m, err *e)
{
    char text[SHAPE_TEXT_MAX];
    str model_name = pbtree_text(c, "name");
    const model_io *have = io_find(m, true, name);
    if (!have)
        return bad(e, "configuration specified sequence control '" STR_FMT "', but model does not provide that input",
                   STR_ARG(name));
    uint32_t first = pbtree_i64(c, "max_batch_size") > 0 && have->shape.rank > 0;
    shape rest = shape_make(have->shape.rank - first, have->shape.dim + first);
    if (have->ranked && (rest.rank != 1 || rest.dim[0] != 1))
        return bad(e, "unable to load model '" STR_FMT "', sequence control '" STR_FMT "' in model has dims %s but "
                      "dims [1] is expected", STR_ARG(model_name), STR_ARG(name), dims_text(text, &rest));
    if (type != have->type)
        return bad(e, "unable to load model '" STR_FMT "', sequence control '" STR_FMT "', the model expects "
                      "data-type %s but the model configuration specifies data-type TYPE_%s", STR_ARG(model_name),
                   STR_ARG(name), onnx_name(have->type), config_type_name(type));
    return ERR_OK;
}

/* What begins a sequence has the dims of initial_state, or the state's own with 1 for -1: where the model does not take
 * that, no request could run. */
static err_code state_dims_fit(const pbtree *c, const pbtree *state, const model_io *in, err *e)
{
    const bool batched = pbtree_i64(c, "max_batch_size") > 0;
    const pbtree *initial = pbtree_get(pbtree_get(state, "initial_state"), "dims");
    shape first;
    err_code rc = shape_of(pbtree_get(state, "dims"), in->name, batched, &first, e);
    if (rc || !in->ranked) return rc;
    for (uint32_t d = batched; d < first.rank; d++) {
        if (initial) first.dim[d] = initial->i64;
        else if (first.dim[d] < 0) first.dim[d] = 1;
        initial = initial ? initial->next : NULL;
    }
    return same(&in->shape, &first, false) ? ERR_OK : dims_differ(pbtree_text(c, "name"), in->name, &in->shape, &first,
                                                                  batched, e);
}

static err_code state_fit(const pbtree *c, const pbtree *state, const model *m, err *e)
{
    str model_name = pbtree_text(c, "name"), in = pbtree_text(state, "input_name");
    str out = pbtree_text(state, "output_name");
    const model_io *has_in = io_find(m, true, in), *has_out = io_find(m, false, out);
    if (!has_in || !has_out)
        return bad(e, "unable to load model '" STR_FMT "', configuration specified state %s '" STR_FMT
                      "', but model does not provide it", STR_ARG(model_name), has_in ? "output" : "input",
                   STR_ARG(has_in ? out : in));
    err_code rc = type_fit(c, state, has_in, "input state", e);
    if (rc == ERR_OK) rc = type_fit(c, state, has_out, "output state", e);
    return rc ? rc : state_dims_fit(c, state, has_in, e);
}

/* What the sequence batcher gives the model beside the client's inputs: controls and states. */
static err_code sequence_fit(const pbtree *c, const model *m, size_t *inputs, err *e)
{
    const pbtree *s = pbtree_get(c, "sequence_batching");
    for (const pbtree *in = pbtree_get(s, "control_input"); in; in = in->next) {
        for (const pbtree *k = pbtree_get(in, "control"); k; k = k->next) {
            err_code rc = control_fit(c, pbtree_text(in, "name"), control_type(k), m, e);
            if (rc) return rc;
            (*inputs)++;
        }
    }
    for (const pbtree *state = pbtree_get(s, "state"); state; state = state->next) {
        err_code rc = state_fit(c, state, m, e);
        if (rc) return rc;
        (*inputs)++;
    }
    return ERR_OK;
}

err_code config_fit(const pbtree *c, const model *m, err *e)
{
    size_t inputs = pbtree_count(c, "input") + pbtree_count(c, "batch_input");
    str name = pbtree_text(c, "name");
    err_code rc = sequence_fit(c, m, &inputs, e);
    for (const pbtree *io = pbtree_get(c, "input"); io; io = io->next) inputs -= pbtree_bool(io, "optional");
    if (rc == ERR_OK && inputs != model_input_count(m) && pbtree_has(c, "input"))
        rc = bad(e, "unable to load model '" STR_FMT "', configuration expects %zu inputs, model provides %u",
                 STR_ARG(name), inputs, model_input_count(m));
    for (const pbtree *io = pbtree_get(c, "input"); io && rc == ERR_OK; io = io->next)
        rc = io_fit(c, io, m, true, e);
    for (const pbtree *io = pbtree_get(c, "output"); io && rc == ERR_OK; io = io->next)
        rc = io_fit(c, io, m, false, e);
    return rc;
}
