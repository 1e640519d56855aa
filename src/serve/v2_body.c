#include "serve/v2_body.h"

#include "serve/v2_tensor.h"

bool v2_body_is(const infer *r) { return r->has_binary && r->json_bytes == 0; }

/* As clients bring it, -1 = open; of what batches a raw request is one row. */
static shape shape_declared(const served *m)
{
    const model_config *c = m->config;
    if (!served_input(m, 0)->ranked && !model_config_said(c, true, 0)) return shape_make(1, (int64_t[]){-1});
    shape s = model_config_declared(c, &m->ios, true, 0);
    if (c && c->max_batch_size > 0 && s.rank) s.dim[0] = 1;
    return s;
}

/* A dimension that is open becomes what the bytes make of it.  Of one string nothing may be open. */
static err_code shape_deduce(shape *s, const model_io *io, size_t bytes, err *e)
{
    uint32_t open = s->rank;
    shape row = *s;   /* 1 where it is open */
    char text[SHAPE_TEXT_MAX] UNINIT;
    for (uint32_t d = 0; d < s->rank; d++) {
        if (s->dim[d] >= 0) continue;
        if (open < s->rank)
            return err_set(e, ERR_INVALID,
                           "The shape of the raw input '" STR_FMT
                           "' can not be deduced because there are more than one variable-sized dimension",
                           STR_ARG(io->name));
        open = d;
        row.dim[d] = 1;
    }
    if (io->type == DT_STRING && (open < s->rank || shape_count(s) != 1))
        return err_set(e, ERR_INVALID,
                       "For BYTE datatype raw input '" STR_FMT "', the model must have input shape [1]",
                       STR_ARG(io->name));
    if (open == s->rank) return ERR_OK;
    size_t row_bytes = dtype_bytes(io->type, shape_count(&row));
    if (row_bytes && bytes % row_bytes)
        return err_set(e, ERR_INVALID,
                       "input '" STR_FMT "': raw request: expected a multiple of %zu bytes for %s %s, got %zu",
                       STR_ARG(io->name), row_bytes, dtype_v2_name(io->type), shape_text(s, text), bytes);
    s->dim[open] = row_bytes ? (int64_t)(bytes / row_bytes) : 0;   /* 0: another dimension is 0 */
    return ERR_OK;
}

static err_code input_take(infer *r, const model_io *io, err *e)
{
    static const v2_raw_words words = {.size = "raw request", .data = "raw request"};
    if (io->type != DT_STRING) return v2_raw_read(r, &r->inputs[0], io->name, r->body, &words, e);
    str *one = arena_new(&r->memory, str, 1);
    if (!one) return err_set(e, ERR_NOMEM, "input '" STR_FMT "': no memory for a string", STR_ARG(io->name));
    *one = r->body;
    r->inputs[0].data = one;
    return ERR_OK;
}

err_code v2_body_read(infer *r, err *e)
{
    uint32_t inputs = served_input_count(r->model);
    if (inputs != 1)
        return err_set(e, ERR_INVALID,
                       "Raw request must only have 1 input (found 1) to be deduced but got %u inputs in '" STR_FMT
                       "' model configuration", inputs, STR_ARG(r->model->name));
    const model_io *io = served_input(r->model, 0);
    if (!dtype_v2_name(io->type))
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': raw request: %s has no V2 datatype", STR_ARG(io->name),
                       dtype_name(io->type));
    shape s = shape_declared(r->model);
    err_code rc = infer_inputs(r, e);
    if (rc == ERR_OK) rc = shape_deduce(&s, io, r->body.len, e);
    if (rc == ERR_OK) rc = infer_input_set(r, 0, io->type, &s, e);
    if (rc == ERR_OK) rc = input_take(r, io, e);
    if (rc == ERR_OK) rc = v2_wants_new(r, e);
    if (rc == ERR_OK) v2_wants_all(r, true);
    return rc;
}
