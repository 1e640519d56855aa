#include "models/warm_up.h"

#include "base/mem.h"
#include "base/rng.h"
#include "os/clock.h"
#include "os/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { DATA_ALIGN = 64, MEMORY_DEFAULT_SHIFT = 32 };

/* The inputs of a run, in the model's order. */
typedef struct {
    arena memory;
    tensor *inputs;
    shape *shapes;
    uint32_t count;
} rows;

static err_code rows_init(rows *r, const warm_up_opts *o, err *e)
{
    size_t most = o->memory_max ? o->memory_max : (size_t)1 << MEMORY_DEFAULT_SHIFT;
    *r = (rows){.count = model_input_count(o->model)};
    arena_init(&r->memory, NULL, 0, most);
    r->inputs = arena_new(&r->memory, tensor, (size_t)r->count + 1);
    r->shapes = arena_new(&r->memory, shape, (size_t)r->count + 1);
    return r->inputs && r->shapes ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for %u inputs", r->count);
}

static void rows_fini(rows *r) { arena_fini(&r->memory); }

/* Memory of input i in that shape, all zero: texts are empty. */
static err_code input_make(rows *r, uint32_t i, const model_io *io, const shape *s, err *e)
{
    size_t bytes = dtype_bytes(io->type, shape_count(s));
    r->shapes[i] = *s;
    r->inputs[i] = tensor_make(io->type, s, NULL);
    if (bytes != SIZE_MAX) r->inputs[i].data = arena_push(&r->memory, bytes ? bytes : 1, 1, DATA_ALIGN);
    if (r->inputs[i].data) return ERR_OK;
    return err_set(e, ERR_TOO_LARGE, "input '" STR_FMT "' needs more than the %zu bytes a request may have",
                   STR_ARG(io->name), r->memory.limit);
}

static err_code run(const warm_up_opts *o, const rows *r, uint64_t runs, err *e)
{
    err_code rc = ERR_OK;
    for (uint64_t k = 0; k < runs && rc == ERR_OK; k++) {
        exec *x = NULL;
        rc = exec_take(&x, o->model, r->shapes, e);
        if (rc) return rc;
        uint64_t now_us = clock_now_us();
        const exec_stop stop = {.until_us = o->run_us_max ? now_us + o->run_us_max : 0};
        for (uint32_t i = 0; i < r->count; i++) exec_input(x, i)->data = r->inputs[i].data;
        rc = exec_run(x, &stop, e);
        if (rc == ERR_TIMEOUT) err_set(e, rc, "run: expected its end within %" PRIu64 " ms", o->run_us_max / 1000);
        exec_give(x);
    }
    return rc;
}

/* ---- samples ---- */

/* Numbers that are valid wherever a model expects a share or an index: floats from 0 to 1, integers 0 or 1.  The same
 * at each load. */
static void fill(tensor *t, uint64_t row_elements)
{
    rng r;
    rng_init(&r, row_elements);
    dtype_kind kind = dtype_kind_of(t->type);
    for (uint64_t i = 0; i < tensor_count(t) && kind != KIND_STRING; i++) {
        if (kind == KIND_FLOAT) tensor_put_f64(t, i, rng_unit(&r));
        else tensor_put_int(t, i, (int64_t)rng_below(&r, 2));
    }
}

/* A file's bytes are one row; the other rows are copies. */
static err_code texts_take(tensor *t, str bytes, uint64_t row_elements, const warmup_input *in, err *e)
{
    str *to = t->data;
    size_t at = 0;
    for (uint64_t i = 0; i < row_elements; i++) {
        uint32_t len = 0;
        bool whole = bytes.len - at >= sizeof len;
        if (whole) memcpy(&len, bytes.p + at, sizeof len);
        if (!whole || len > bytes.len - at - sizeof len)
            return err_set(e, ERR_INVALID, "input '" STR_FMT "': " STR_FMT ": expected %" PRIu64
                           " texts, each behind its length, got %" PRIu64, STR_ARG(in->name), STR_ARG(in->file),
                           row_elements, i);
        to[i] = (str){bytes.p + at + sizeof len, len};
        at += sizeof len + len;
    }
    for (uint64_t i = row_elements; row_elements && i < tensor_count(t); i++) to[i] = to[i % row_elements];
    return ERR_OK;
}

static err_code file_take(const warm_up_opts *o, rows *r, tensor *t, const warmup_input *in, uint64_t row_elements,
                          err *e)
{
    char path[FILE_PATH_MAX], *text = NULL;
    size_t len = 0, row_bytes = dtype_bytes(t->type, row_elements);
    if (in->file.len == 0 || memchr(in->file.p, '/', in->file.len) || in->file.p[0] == '.')
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': input_data_file: expected the name of a file, got '"
                       STR_FMT "'", STR_ARG(in->name), STR_ARG(in->file));
    int n = snprintf(path, sizeof path, STR_FMT "/warmup/" STR_FMT, (int)o->config->folder.len, o->config->folder.p,
                     STR_ARG(in->file));
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': the path of '" STR_FMT "' is too long", STR_ARG(in->name),
                       STR_ARG(in->file));
    err_code rc = file_read_regular(path, WARM_UP_FILE_BYTES_MAX, &text, &len, e);
    if (rc) return err_wrap(e, "input '" STR_FMT "'", STR_ARG(in->name));
    const char *copy = arena_copy(&r->memory, text, len, DATA_ALIGN);
    mem_free(text);
    if (!copy)
        return err_set(e, ERR_TOO_LARGE, "input '" STR_FMT "': %s: no memory for its %zu bytes", STR_ARG(in->name),
                       path, len);
    if (t->type == DT_STRING) return texts_take(t, (str){copy, len}, row_elements, in, e);
    if (len < row_bytes)
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': warmup setting expects %zu bytes, but the data provided "
                       "from " STR_FMT " only has %zu bytes", STR_ARG(in->name), row_bytes, STR_ARG(in->file), len);
    for (size_t at = 0; row_bytes && at < tensor_bytes(t); at += row_bytes)
        memcpy((uint8_t *)t->data + at, copy, row_bytes);
    tensor_settle_bools(t);
    return ERR_OK;
}

static int64_t index_of(const model *m, str name)
{
    for (uint32_t i = 0; i < model_input_count(m); i++)
        if (str_eq(model_input(m, i)->name, name)) return i;
    return -1;
}

/* What clients do not bring, such as the controls of sequences, has no other shape than the model's. */
static err_code model_shape(const model_config *c, str name, const shape *client, shape *ret, err *e)
{
    for (uint32_t k = 0; k < c->ios.input_count; k++)
        if (str_eq(c->ios.inputs[k].name, name)) return model_config_input_shape(c, k, client, ret, e);
    *ret = *client;
    return ERR_OK;
}

static err_code sample_shape(const warm_up_opts *o, const warmup *w, const warmup_input *in, shape *ret,
                             uint64_t *ret_row, err *e)
{
    shape client = {.rank = 0}, row = {.rank = 0};
    if (in->data == WARMUP_UNSET)
        return err_set(e, ERR_INVALID, "warmup setting expects input '" STR_FMT "' to have input_data_type set",
                       STR_ARG(in->name));
    err_code rc = o->config->max_batch_size > 0 ? shape_push(&client, w->batch_size, e) : ERR_OK;
    for (size_t d = 0; d < in->dims.count && rc == ERR_OK; d++) {
        if (in->dims.at[d] < 0)
            return err_set(e, ERR_INVALID, "warmup setting expects all variable-size dimensions are specified for "
                           "input '" STR_FMT "'", STR_ARG(in->name));
        rc = shape_push(&client, in->dims.at[d], e);
        if (rc == ERR_OK) rc = shape_push(&row, in->dims.at[d], e);
    }
    if (rc == ERR_OK) rc = model_shape(o->config, in->name, &client, ret, e);
    *ret_row = shape_count(&row);
    return rc ? err_wrap(e, "input '" STR_FMT "'", STR_ARG(in->name)) : ERR_OK;
}

static err_code input_take(const warm_up_opts *o, const warmup *w, const warmup_input *in, rows *r, err *e)
{
    shape s;
    uint64_t row_elements;
    int64_t i = index_of(o->model, in->name);
    if (i < 0)
        return err_set(e, ERR_INVALID, "unexpected inference input '" STR_FMT "' for model '" STR_FMT "'",
                       STR_ARG(in->name), STR_ARG(o->config->name));
    const model_io *io = model_input(o->model, (uint32_t)i);
    if (in->type != io->type)
        return err_set(e, ERR_INVALID, "inference input '" STR_FMT "' data-type is '%s', but model '" STR_FMT
                       "' expects '%s'", STR_ARG(in->name), dtype_v2_name(in->type), STR_ARG(o->config->name),
                       dtype_v2_name(io->type));
    err_code rc = sample_shape(o, w, in, &s, &row_elements, e);
    if (rc == ERR_OK) rc = input_make(r, (uint32_t)i, io, &s, e);
    if (rc) return rc;
    if (in->data == WARMUP_RANDOM) fill(&r->inputs[i], row_elements);
    return in->data == WARMUP_FILE ? file_take(o, r, &r->inputs[i], in, row_elements, e) : ERR_OK;
}

static err_code sample_make(const warm_up_opts *o, const warmup *w, rows *r, err *e)
{
    err_code rc = rows_init(r, o, e);
    for (size_t i = 0; i < w->input_count && rc == ERR_OK; i++) rc = input_take(o, w, &w->inputs[i], r, e);
    for (uint32_t i = 0; i < r->count && rc == ERR_OK; i++)
        if (!r->inputs[i].data)
            rc = err_set(e, ERR_INVALID, "input '" STR_FMT "': expected it in the sample, got none",
                         STR_ARG(model_input(o->model, i)->name));
    return rc;
}

/* Rows that cannot share a run come one after the other. */
static uint64_t runs_of(const warm_up_opts *o, const warmup *w)
{
    return o->config->max_batch_size > 0 ? (w->batch_size > 0 ? w->count : 0) : (uint64_t)w->count * w->batch_size;
}

err_code warm_up_samples(const warm_up_opts *o, err *e)
{
    const scheduling *s = &o->config->scheduling;
    uint64_t all = 0;
    for (size_t k = 0; k < s->warmup_count; k++) {
        const warmup *w = &s->warmups[k];
        uint64_t runs = runs_of(o, w);
        rows r;
        if (runs == 0) continue;
        all += runs;
        if (all > WARM_UP_RUNS_MAX)
            return err_set(e, ERR_LIMIT, "failed to run warmup sample '" STR_FMT "': count: expected at most %d runs "
                           "of all samples, got %" PRIu64, STR_ARG(w->name), WARM_UP_RUNS_MAX, all);
        err_code rc = sample_make(o, w, &r, e);
        if (rc == ERR_OK) rc = run(o, &r, runs, e);
        rows_fini(&r);
        if (rc) return err_wrap(e, "failed to run warmup sample '" STR_FMT "'", STR_ARG(w->name));
    }
    return ERR_OK;
}

/* ---- zeros ---- */

/* One row, where the first dimension counts rows. */
static bool fixed_shape(const warm_up_opts *o, const model_io *io, shape *ret)
{
    bool rows_first = model_batch(o->model)->proven || (o->config && o->config->max_batch_size > 0);
    *ret = io->shape;
    if (rows_first && io->ranked && ret->rank > 0 && ret->dim[0] < 0) ret->dim[0] = 1;
    for (uint32_t d = 0; d < ret->rank; d++)
        if (ret->dim[d] < 0) return false;
    return io->ranked;
}

err_code warm_up_zeros(const warm_up_opts *o, uint32_t runs, bool *ret_fixed, err *e)
{
    rows r;
    bool fixed = true;
    err_code rc = rows_init(&r, o, e);
    for (uint32_t i = 0; i < r.count && rc == ERR_OK && fixed; i++) {
        shape s;
        const model_io *io = model_input(o->model, i);
        fixed = fixed_shape(o, io, &s);
        if (fixed) rc = input_make(&r, i, io, &s, e);
    }
    if (rc == ERR_OK && fixed) rc = run(o, &r, runs, e);
    rows_fini(&r);
    if (rc == ERR_OK) *ret_fixed = fixed;
    return rc;
}
