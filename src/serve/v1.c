#include "serve/v1.h"

#include "models/pipeline.h"
#include "serve/json_body.h"
#include "serve/json_tensor.h"
#include "serve/pictures.h"
#include "serve/plain.h"
#include "wire/json_text.h"

#include <string.h>

/* What read noted for write, in infer.variant. */
enum { V1_ROWS, V1_COLUMNS };

/* An input whose data came as JSON text: its type is the model's, its shape the nesting.  A scalar is a list of one. */
static err_code input_text(infer *r, uint32_t i, str json, err *e)
{
    const model_io *io = served_input(r->model, i);
    bool scalar = io->ranked && io->shape.rank == 0;
    tensor t;
    err_code rc = json_tensor_read(&t, &r->memory, io->name, io->type, scalar ? &io->shape : NULL, json, e);
    if (rc == ERR_OK) rc = infer_input_set(r, i, t.type, &t.shape, e);
    if (rc == ERR_OK) r->inputs[i].data = t.data;
    return rc;
}

static err_code one_input(const infer *r, const char *key, err *e)
{
    uint32_t n = served_input_count(r->model);
    if (n == 1) return ERR_OK;
    return err_set(e, ERR_INVALID, "%s: expected objects with the model's %u inputs, got bare values", key, n);
}

/* What was gathered in the scratch.  Strings without escapes stay views into their text, so it moves to the arena of
 * the request. */
static err_code gathered_take(infer *r, str *ret, err *e)
{
    err_code rc = buf_check(&r->scratch, "request", e);
    str kept = rc == ERR_OK ? str_copy(&r->memory, buf_str(&r->scratch)) : (str){0};
    buf_clear(&r->scratch);
    if (rc) return rc;
    if (!kept.p) return err_set(e, ERR_NOMEM, "request: no memory for the values of an input");
    *ret = kept;
    return ERR_OK;
}

static err_code gathered_read(infer *r, uint32_t i, err *e)
{
    str text;
    err_code rc = gathered_take(r, &text, e);
    return rc ? rc : input_text(r, i, text, e);
}

/* ---- bytes: {"b64": "..."}, as TensorFlow Serving has them; of pictures the base64 alone will do ---- */

static yyjson_val *file_text(yyjson_val *v)
{
    yyjson_val *text = yyjson_is_obj(v) && yyjson_obj_size(v) == 1 ? yyjson_obj_get(v, "b64") : v;
    return yyjson_is_str(text) ? text : NULL;
}

/* The object is the bytes themselves, of the only input, and not an object of inputs. */
static bool is_bytes(const infer *r, yyjson_val *v)
{
    return served_input_count(r->model) == 1 && yyjson_is_obj(v) && file_text(v) &&
           (pipeline_takes(infer_pipeline(r), 0) || served_input(r->model, 0)->type == DT_STRING) &&
           infer_input_index(r, STR("b64")) < 0;
}

/* Input i of a row or of columns, by its name or by that of its pictures. */
static yyjson_val *member_of(const infer *r, yyjson_val *row, uint32_t i)
{
    const model_io *io = served_input(r->model, i);
    if (is_bytes(r, row)) return row;
    yyjson_val *v = yyjson_obj_getn(row, io->name.p, io->name.len);
    if (v || !pipeline_takes(infer_pipeline(r), i)) return v;
    str name = infer_pipeline(r)->inputs[i].name;
    return name.p ? yyjson_obj_getn(row, name.p, name.len) : NULL;
}

static bool brings_files(const infer *r, yyjson_val *v, uint32_t i)
{
    return pipeline_takes(infer_pipeline(r), i) && file_text(v);
}

static err_code files_new(infer *r, uint32_t i, size_t n, str **ret, err *e)
{
    shape s = shape_make(1, (int64_t[]){(int64_t)n});
    str *files = arena_new(&r->memory, str, n + 1);
    if (!files) return err_set(e, ERR_NOMEM, "request: no memory for %zu images", n);
    err_code rc = infer_input_set(r, i, DT_STRING, &s, e);
    r->inputs[i].data = files;
    *ret = files;
    return rc;
}

static err_code file_put(str *to, yyjson_val *v, const char *key, size_t at, err *e)
{
    yyjson_val *text = file_text(v);
    if (!text) return err_set(e, ERR_INVALID, "%s[%zu]: expected {\"b64\": \"...\"}, as before", key, at);
    *to = (str){yyjson_get_str(text), yyjson_get_len(text)};
    return ERR_OK;
}

/* One such input over all instances. */
static err_code files_column(infer *r, const char *key, yyjson_val *list, uint32_t i, err *e)
{
    yyjson_val *row;
    size_t at, n;
    str *files;
    err_code rc = files_new(r, i, yyjson_arr_size(list), &files, e);
    if (rc) return rc;
    yyjson_arr_foreach(list, at, n, row)
    {
        rc = file_put(&files[at], member_of(r, row, i), key, at, e);
        if (rc) return rc;
    }
    return ERR_OK;
}

/* The whole column: a list of them, or one. */
static err_code files_read(infer *r, yyjson_val *v, uint32_t i, err *e)
{
    yyjson_val *one;
    size_t at, n;
    str *files;
    bool list = yyjson_is_arr(v);
    err_code rc = files_new(r, i, list ? yyjson_arr_size(v) : 1, &files, e);
    if (rc || !list) return rc ? rc : file_put(files, v, "inputs", 0, e);
    yyjson_arr_foreach(v, at, n, one)
    {
        rc = file_put(&files[at], one, "inputs", at, e);
        if (rc) return rc;
    }
    return ERR_OK;
}

/* ---- rows and columns ---- */

/* One input over all instances: "[" v0 "," v1 ... "]". */
static err_code column_read(infer *r, const char *key, yyjson_val *list, uint32_t i, err *e)
{
    const model_io *io = served_input(r->model, i);
    yyjson_val *row;
    size_t at, n;
    if (brings_files(r, member_of(r, yyjson_arr_get_first(list), i), i)) return files_column(r, key, list, i, e);
    buf_put_byte(&r->scratch, '[');
    yyjson_arr_foreach(list, at, n, row)
    {
        yyjson_val *v = member_of(r, row, i);
        if (!v)
            return err_set(e, ERR_INVALID, "%s[%zu]: expected input '" STR_FMT "', got none", key, at,
                           STR_ARG(io->name));
        if (at) buf_put_byte(&r->scratch, ',');
        json_body_print(&r->scratch, v);
    }
    buf_put_byte(&r->scratch, ']');
    return gathered_read(r, i, e);
}

static err_code names_check(const infer *r, yyjson_val *object, err *e)
{
    yyjson_val *key, *v;
    size_t i, n;
    yyjson_obj_foreach(object, i, n, key, v)
    {
        str name = json_key(key);
        if (infer_input_index(r, name) < 0)
            return err_set(e, ERR_INVALID, "expected only inputs of the model, got '" STR_FMT "'", STR_ARG(name));
        (void)v;
    }
    return ERR_OK;
}

/* [{"a": x, "b": y}, ...] */
static err_code rows_read(infer *r, const char *key, yyjson_val *list, err *e)
{
    yyjson_val *row;
    size_t at, n;
    err_code rc = json_list(list, key, e);
    if (rc) return rc;
    yyjson_arr_foreach(list, at, n, row)
    {
        rc = json_obj(row, "instance", e);
        if (rc == ERR_OK && !is_bytes(r, row)) rc = names_check(r, row, e);
        if (rc) return err_wrap(e, "%s[%zu]", key, at);
    }
    for (uint32_t i = 0; i < served_input_count(r->model) && rc == ERR_OK; i++)
        rc = column_read(r, key, list, i, e);
    return rc;
}

/* {"a": [...], "b": [...]}: whole tensors by name. */
static err_code columns_read(infer *r, yyjson_val *object, err *e)
{
    r->variant = V1_COLUMNS;
    err_code rc = is_bytes(r, object) ? ERR_OK : names_check(r, object, e);
    if (rc) return err_wrap(e, "inputs");
    for (uint32_t i = 0; i < served_input_count(r->model) && rc == ERR_OK; i++) {
        const model_io *io = served_input(r->model, i);
        yyjson_val *v = member_of(r, object, i);
        if (!v) return err_set(e, ERR_INVALID, "inputs: expected input '" STR_FMT "', got none", STR_ARG(io->name));
        if (brings_files(r, yyjson_is_arr(v) ? yyjson_arr_get_first(v) : v, i)) {
            rc = files_read(r, v, i, e);
            continue;
        }
        bool bare = !yyjson_is_arr(v);
        if (bare) buf_put_byte(&r->scratch, '[');
        json_body_print(&r->scratch, v);
        if (bare) buf_put_byte(&r->scratch, ']');
        rc = gathered_read(r, i, e);
    }
    return rc;
}

/* One tensor for all, as text: of an input that takes pictures, strings are their base64. */
static err_code bare_read(infer *r, str json, err *e)
{
    size_t at = 0;
    tensor t;
    while (at < json.len && strchr(" \t\r\n[", json.p[at])) at++;
    bool strings = at < json.len && (json.p[at] == '"' || json.p[at] == '{');
    if (!pipeline_takes(infer_pipeline(r), 0) || !strings) return input_text(r, 0, json, e);
    err_code rc = json_tensor_read(&t, &r->memory, served_input(r->model, 0)->name, DT_STRING, NULL, json, e);
    if (rc == ERR_OK) rc = infer_input_set(r, 0, DT_STRING, &t.shape, e);
    if (rc == ERR_OK) r->inputs[0].data = t.data;
    return rc;
}

/* A list with objects in it that are no objects of inputs: values of the only one, some of them as {"b64": "..."}. */
static bool is_bare(const infer *r, yyjson_val *list)
{
    yyjson_val *first = yyjson_is_arr(list) ? yyjson_arr_get_first(list) : NULL;
    bool files = pipeline_takes(infer_pipeline(r), 0) && file_text(first);   /* which stay views into the tree */
    return first && !files && (!yyjson_is_obj(first) || is_bytes(r, first));
}

static err_code printed_read(infer *r, yyjson_val *v, err *e)
{
    str text;
    json_body_print(&r->scratch, v);
    err_code rc = gathered_take(r, &text, e);
    return rc ? rc : bare_read(r, text, e);
}

/* What is no data is read by nobody, but it is JSON. */
static err_code others_check(yyjson_val *root, err *e)
{
    yyjson_val *key, *v;
    size_t i, n;
    yyjson_obj_foreach(root, i, n, key, v)
    {
        str name = json_key(key);
        bool data = str_is(name, "instances") || str_is(name, "inputs");
        err_code rc = data ? ERR_OK : json_body_words_check(v, name, e);
        if (rc) return rc;
    }
    return ERR_OK;
}

static err_code json_read(infer *r, err *e)
{
    static const json_cut_path big[] = {{{"instances"}}, {{"inputs"}}};
    json_body body UNINIT;
    str text;
    json_body_opts bo = {.memory = &r->memory, .scratch = &r->scratch, .paths = big, .path_count = COUNTOF(big),
                         .prints = true};
    err_code rc = json_body_read(&body, (str){r->body.p, r->json_bytes}, &bo, e);
    if (rc == ERR_OK) rc = others_check(body.root, e);
    if (rc) return rc;
    yyjson_val *instances = yyjson_obj_get(body.root, "instances"), *inputs = yyjson_obj_get(body.root, "inputs");
    if (!instances == !inputs)
        return err_set(e, ERR_INVALID, "request: expected \"instances\" or \"inputs\", got %s",
                       instances ? "both" : "neither");
    const char *key = instances ? "instances" : "inputs";
    yyjson_val *v = instances ? instances : inputs;
    r->variant = V1_ROWS;
    if ((rc = infer_inputs(r, e)) != ERR_OK) return rc;
    if (inputs && yyjson_is_obj(inputs)) return columns_read(r, inputs, e);
    bool cut = json_body_is_cut(v);
    if (!cut && !is_bare(r, v)) return rows_read(r, key, v, e);
    if ((rc = one_input(r, key, e)) != ERR_OK) return rc;
    if (!cut) return printed_read(r, v, e);
    if ((rc = json_body_text(&body, v, &text, e)) != ERR_OK) return rc;
    return bare_read(r, text, e);
}

static err_code v1_read(infer *r, err *e)
{
    err_code rc = ERR_OK;
    if (plain_is(r)) {
        rc = infer_inputs(r, e);
        r->variant = V1_ROWS;
        if (rc == ERR_OK) rc = plain_read(r, e);
    } else {
        rc = json_read(r, e);
    }
    return rc ? rc : pictures_take(r, e);
}

/* ---- writing ---- */

/* The rows that all outputs share, or UINT64_MAX: then there is no row to speak of. */
static uint64_t rows_of(const infer *r)
{
    uint64_t rows = UINT64_MAX;
    for (uint32_t i = 0; i < served_output_count(r->model); i++) {
        const tensor *t = infer_output(r, i);
        if (t->shape.rank == 0) return UINT64_MAX;
        if (i == 0)
            rows = (uint64_t)t->shape.dim[0];
        else if (rows != (uint64_t)t->shape.dim[0])
            return UINT64_MAX;
    }
    return rows;
}

/* {"name": value, ...} with whole tensors, or with one row of each. */
static err_code object_print(infer *r, uint64_t row, err *e)
{
    buf *out = &r->reply;
    for (uint32_t i = 0; i < served_output_count(r->model); i++) {
        const model_io *io = served_output(r->model, i);
        const tensor *t = infer_output(r, i);
        buf_put_byte(out, i ? ',' : '{');
        json_text_put(out, io->name);
        buf_put_byte(out, ':');
        err_code rc = row == UINT64_MAX ? json_tensor_print_nested(out, io->name, t, e)
                                        : json_tensor_print_row(out, io->name, t, row, e);
        if (rc) return rc;
    }
    buf_put_byte(out, '}');
    return ERR_OK;
}

static err_code rows_print(infer *r, uint64_t rows, err *e)
{
    buf_put_byte(&r->reply, '[');
    for (uint64_t row = 0; row < rows && !r->reply.full; row++) {
        if (row) buf_put_byte(&r->reply, ',');
        err_code rc = object_print(r, row, e);
        if (rc) return rc;
    }
    buf_put_byte(&r->reply, ']');
    return ERR_OK;
}

static err_code v1_write(infer *r, err *e)
{
    uint32_t outputs = served_output_count(r->model);
    uint64_t rows = outputs > 1 ? rows_of(r) : UINT64_MAX;
    err_code rc = ERR_OK;
    buf_put_z(&r->reply, r->variant == V1_COLUMNS ? "{\"outputs\":" : "{\"predictions\":");
    if (pictures_answer(r))
        pictures_print(r);
    else if (outputs == 1)
        rc = json_tensor_print_nested(&r->reply, served_output(r->model, 0)->name, infer_output(r, 0), e);
    else if (r->variant == V1_ROWS && rows != UINT64_MAX)
        rc = rows_print(r, rows, e);
    else
        rc = object_print(r, UINT64_MAX, e);
    buf_put_byte(&r->reply, '}');
    return rc;
}

const infer_protocol v1_protocol = {.read = v1_read, .write = v1_write, .counted = METRIC_V1};
