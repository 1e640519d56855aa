#include "serve/v2.h"

#include "serve/json_body.h"
#include "serve/json_tensor.h"
#include "wire/json_array.h"
#include "wire/json_text.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    infer *r;
    json_body body;
    str binary; /* what is left of the bytes after the JSON */
    bool *given; /* per model input */
} reader;

/* ---- reading ---- */

/* A member that may be left out; null is the same, as clients with optional fields write it. */
static yyjson_val *optional(yyjson_val *object, const char *key)
{
    yyjson_val *v = yyjson_obj_get(object, key);
    return yyjson_is_null(v) ? NULL : v;
}

static err_code shape_read(shape *ret, yyjson_val *v, err *e)
{
    shape s = {0};
    err_code rc = json_list(v, "shape", e);
    if (rc) return rc;
    if (yyjson_arr_size(v) > TENSOR_RANK_MAX)
        return err_set(e, ERR_INVALID, "shape: expected at most %d dimensions, got %zu", TENSOR_RANK_MAX,
                       yyjson_arr_size(v));
    yyjson_val *d;
    size_t i, n;
    yyjson_arr_foreach(v, i, n, d)
    {
        if ((rc = json_i64(d, "shape", &s.dim[s.rank], e)) != ERR_OK) return rc;
        if (s.dim[s.rank++] < 0)
            return err_set(e, ERR_INVALID, "shape[%zu]: expected 0 or more, got %lld", i, (long long)s.dim[i]);
    }
    if (shape_count(&s) > INT64_MAX) return err_set(e, ERR_INVALID, "shape: expected fewer than 2^63 elements");
    *ret = s;
    return ERR_OK;
}

/* Elements of a BYTES tensor: each a 4-byte little-endian length and its bytes. */
static err_code strings_read(tensor *t, arena *memory, str name, str raw, err *e)
{
    uint64_t count = tensor_count(t);
    if (count > raw.len / 4)
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': binary data: expected %llu strings, got %zu bytes",
                       STR_ARG(name), (unsigned long long)count, raw.len);
    str *s = arena_new(memory, str, (size_t)count);
    if (!s)
        return err_set(e, ERR_NOMEM, "input '" STR_FMT "': no memory for %llu strings", STR_ARG(name),
                       (unsigned long long)count);
    size_t at = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t len = 0;
        if (raw.len - at >= 4) memcpy(&len, raw.p + at, 4);
        if (raw.len - at < 4 || len > raw.len - at - 4)
            return err_set(e, ERR_INVALID, "input '" STR_FMT "': binary data: string %llu reaches past its %zu bytes",
                           STR_ARG(name), (unsigned long long)i, raw.len);
        s[i] = (str){raw.p + at + 4, len};
        at += 4 + len;
    }
    if (at != raw.len)
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': binary data: expected %zu bytes for %llu strings, got %zu",
                       STR_ARG(name), at, (unsigned long long)count, raw.len);
    t->data = s;
    return ERR_OK;
}

/* Borrows the body's bytes where they are aligned for the type, else copies them. */
static err_code binary_read(reader *rd, tensor *t, str name, uint64_t bytes, err *e)
{
    if (bytes > rd->binary.len)
        return err_set(e, ERR_INVALID,
                       "input '" STR_FMT
                       "': binary_data_size: expected at most the %zu bytes left after the JSON, got %llu",
                       STR_ARG(name), rd->binary.len, (unsigned long long)bytes);
    str raw = {rd->binary.p, (size_t)bytes};
    rd->binary = (str){raw.p + raw.len, rd->binary.len - raw.len};
    if (t->type == DT_STRING) return strings_read(t, &rd->r->memory, name, raw, e);
    size_t want = tensor_bytes(t);
    if (want != raw.len)
        return err_set(e, ERR_INVALID,
                       "input '" STR_FMT "': binary_data_size: expected %zu bytes for its shape and datatype, got %zu",
                       STR_ARG(name), want, raw.len);
    for (size_t i = 0; t->type == DT_BOOL && i < want; i++) {   /* kernels take 0 and 1 for granted */
        if ((uint8_t)raw.p[i] > 1)
            return err_set(e, ERR_INVALID, "input '" STR_FMT "': binary data: expected 0 or 1 in a BOOL, got %u",
                           STR_ARG(name), (uint8_t)raw.p[i]);
    }
    uint32_t align = dtype_bits(t->type) / 8;
    if (align > 1 && (uintptr_t)raw.p % align != 0) {
        raw.p = arena_copy(&rd->r->memory, raw.p, raw.len, 64);
        if (!raw.p)
            return err_set(e, ERR_NOMEM, "input '" STR_FMT "': no memory for %zu bytes", STR_ARG(name), raw.len);
    }
    t->data = (void *)(uintptr_t)raw.p;
    return ERR_OK;
}

/* Where the values are: binary_data_size among the parameters, else "data". */
static err_code data_read(reader *rd, tensor *t, str name, yyjson_val *input, err *e)
{
    yyjson_val *parameters = optional(input, "parameters"), *data = optional(input, "data");
    yyjson_val *size = optional(parameters, "binary_data_size");
    err_code rc = parameters ? json_obj(parameters, "parameters", e) : ERR_OK;
    if (rc == ERR_OK && yyjson_obj_get(parameters, "shared_memory_region"))
        rc = err_set(e, ERR_INVALID, "parameters: shared_memory_region is not supported");
    if (rc == ERR_OK && data && size) rc = err_set(e, ERR_INVALID, "expected data or binary_data_size, got both");
    if (rc == ERR_OK && !data && !size)
        rc = err_set(e, ERR_INVALID, "expected data or parameters.binary_data_size, got none");
    if (rc == ERR_OK && size && !rd->r->has_binary)
        rc = err_set(e, ERR_INVALID,
                     "binary_data_size: expected the header Inference-Header-Content-Length with it, got none");
    uint64_t bytes = 0;
    if (rc == ERR_OK && size) rc = json_u64(size, "binary_data_size", &bytes, e);
    if (rc) return err_wrap(e, "input '" STR_FMT "'", STR_ARG(name));
    if (size) return binary_read(rd, t, name, bytes, e);
    str text;
    rc = json_body_text(&rd->body, data, &text, e);
    if (rc) return err_wrap(e, "input '" STR_FMT "'", STR_ARG(name));
    return json_tensor_read(t, &rd->r->memory, name, t->type, &t->shape, text, e);
}

static err_code datatype_read(dtype *ret, yyjson_val *v, err *e)
{
    str text;
    err_code rc = json_str(v, "datatype", &text, e);
    if (rc) return rc;
    dtype type = dtype_of_v2(text);
    if (type == DT_NONE)
        return err_set(e, ERR_INVALID,
                       "datatype: expected BOOL, UINT8-64, INT8-64, FP16, BF16, FP32, FP64 or BYTES, got '" STR_FMT "'",
                       STR_ARG(text));
    *ret = type;
    return ERR_OK;
}

static err_code input_read(reader *rd, size_t at, yyjson_val *v, err *e)
{
    const model *m = rd->r->model->model;
    str name;
    dtype type;
    shape s;
    err_code rc = json_obj(v, "input", e);
    if (rc == ERR_OK) rc = json_str(yyjson_obj_get(v, "name"), "name", &name, e);
    if (rc) return err_wrap(e, "inputs[%zu]", at);
    int32_t i = infer_input_index(rd->r, name);
    if (i < 0 && model_input_count(m) == 0)
        return err_set(e, ERR_INVALID, "inputs: expected none, got '" STR_FMT "'", STR_ARG(name));
    if (i < 0)
        return err_set(e, ERR_INVALID,
                       "inputs[%zu]: name: expected an input of the model ('" STR_FMT "'%s), got '" STR_FMT "'", at,
                       STR_ARG(model_input(m, 0)->name), model_input_count(m) > 1 ? ", ..." : "", STR_ARG(name));
    if (rd->given[i]) return err_set(e, ERR_INVALID, "input '" STR_FMT "': given twice", STR_ARG(name));
    rd->given[i] = true;
    rc = datatype_read(&type, yyjson_obj_get(v, "datatype"), e);
    if (rc == ERR_OK) rc = shape_read(&s, yyjson_obj_get(v, "shape"), e);
    if (rc) return err_wrap(e, "input '" STR_FMT "'", STR_ARG(name));
    rc = infer_input_set(rd->r, (uint32_t)i, type, &s, e);
    return rc ? rc : data_read(rd, &rd->r->inputs[i], name, v, e);
}

static err_code inputs_read(reader *rd, yyjson_val *root, err *e)
{
    yyjson_val *list = yyjson_obj_get(root, "inputs"), *v;
    uint32_t want = model_input_count(rd->r->model->model);
    err_code rc = json_list(list, "inputs", e);
    if (rc) return rc;
    size_t i, n;
    yyjson_arr_foreach(list, i, n, v)
    {
        if ((rc = input_read(rd, i, v, e)) != ERR_OK) return rc;
    }
    for (uint32_t k = 0; k < want; k++) {
        if (rd->given[k]) continue;
        return err_set(e, ERR_INVALID, "inputs: expected %u, got %zu: '" STR_FMT "' is missing", want, n,
                       STR_ARG(model_input(rd->r->model->model, k)->name));
    }
    if (rd->binary.len)
        return err_set(e, ERR_INVALID, "binary data: expected no bytes after those of the inputs, got %zu more",
                       rd->binary.len);
    return ERR_OK;
}

static err_code flag_read(yyjson_val *parameters, const char *key, bool *ret, err *e)
{
    yyjson_val *v = optional(parameters, key);
    return v ? json_bool(v, key, ret, e) : ERR_OK;
}

static err_code want_read(infer *r, size_t at, yyjson_val *v, bool binary, err *e)
{
    static const char *const refused[] = {"classification", "shared_memory_region"};
    str name;
    err_code rc = json_obj(v, "output", e);
    if (rc == ERR_OK) rc = json_str(yyjson_obj_get(v, "name"), "name", &name, e);
    if (rc) return err_wrap(e, "outputs[%zu]", at);
    int32_t i = infer_output_index(r, name);
    if (i < 0)
        return err_set(e, ERR_INVALID, "outputs[%zu]: name: expected an output of the model, got '" STR_FMT "'", at,
                       STR_ARG(name));
    for (uint32_t k = 0; k < r->want_count; k++) {
        if (r->wants[k].output == (uint32_t)i)
            return err_set(e, ERR_INVALID, "output '" STR_FMT "': asked for twice", STR_ARG(name));
    }
    yyjson_val *parameters = optional(v, "parameters");
    if (parameters) rc = json_obj(parameters, "parameters", e);
    for (size_t k = 0; k < COUNTOF(refused) && rc == ERR_OK; k++) {
        if (yyjson_obj_get(parameters, refused[k]))
            rc = err_set(e, ERR_INVALID, "parameters: %s is not supported", refused[k]);
    }
    if (rc == ERR_OK) rc = flag_read(parameters, "binary_data", &binary, e);
    if (rc) return err_wrap(e, "output '" STR_FMT "'", STR_ARG(name));
    r->wants[r->want_count++] = (infer_want){(uint32_t)i, binary};
    return ERR_OK;
}

static err_code wants_read(infer *r, yyjson_val *root, err *e)
{
    yyjson_val *parameters = optional(root, "parameters"), *list = optional(root, "outputs"), *v;
    uint32_t outputs = model_output_count(r->model->model);
    bool binary = false;
    err_code rc = parameters ? json_obj(parameters, "parameters", e) : ERR_OK;
    if (rc == ERR_OK) rc = flag_read(parameters, "binary_data_output", &binary, e);
    if (rc == ERR_OK && list) rc = json_list(list, "outputs", e);
    if (rc) return rc;
    r->wants = arena_new(&r->memory, infer_want, outputs);
    if (!r->wants) return err_set(e, ERR_NOMEM, "no memory for %u outputs", outputs);
    size_t i, n;
    yyjson_arr_foreach(list, i, n, v)
    {
        if ((rc = want_read(r, i, v, binary, e)) != ERR_OK) return rc;
    }
    /* An absent or empty list asks for all of them. */
    for (uint32_t k = 0; k < outputs && yyjson_arr_size(list) == 0; k++)
        r->wants[r->want_count++] = (infer_want){k, binary};
    return ERR_OK;
}

/* The reference's words, to the letter. */
static err_code header_missing(err *e)
{
    return err_set(e, ERR_INVALID,
                   "received byte inputs, but the'inference-header-content-length' header is missing.");
}

static err_code v2_read(infer *r, err *e)
{
    static const json_cut_path data[] = {{{"inputs", "[]", "data"}}};
    reader rd = {.r = r, .binary = {r->body.p + r->json_bytes, r->body.len - r->json_bytes}};
    json_body_opts bo = {.memory = &r->memory, .scratch = &r->scratch, .paths = data, .path_count = COUNTOF(data)};
    err_code rc = json_body_read(&rd.body, (str){r->body.p, r->json_bytes}, &bo, e);
    /* JSON is welcome: aiohttp calls all bytes octets. */
    if (rc == ERR_INVALID && r->octets && !r->has_binary) return header_missing(e);
    if (rc) return rc;
    yyjson_val *id = optional(rd.body.root, "id");
    if (id && (rc = json_str(id, "id", &r->id, e)) != ERR_OK) return rc;
    rd.given = arena_new(&r->memory, bool, model_input_count(r->model->model) + 1);
    if (!rd.given) return err_set(e, ERR_NOMEM, "request: no memory for its inputs");
    rc = infer_inputs(r, e);
    if (rc == ERR_OK) rc = inputs_read(&rd, rd.body.root, e);
    if (rc == ERR_OK) rc = wants_read(r, rd.body.root, e);
    return rc;
}

/* ---- writing ---- */

/* Integers always have a JSON form. */
static void array_print(buf *out, json_elem elem, const void *from, size_t count)
{
    err e;
    err_code rc = json_array_print(out, &(json_array){.elem = elem, .from = from, .count = count}, &e);
    INVARIANT(rc == ERR_OK);
}

static size_t strings_bytes(const tensor *t)
{
    size_t bytes = 0;
    const str *s = t->data;
    for (uint64_t i = 0; i < tensor_count(t); i++) bytes += 4 + s[i].len;
    return bytes;
}

static size_t binary_bytes(const tensor *t) { return t->type == DT_STRING ? strings_bytes(t) : tensor_bytes(t); }

/* The class labels of an output that was a ZipMap. */
static void labels_print(buf *out, const attr *labels)
{
    buf_put_z(out, "\"labels\":");
    if (labels->kind != ATTR_STRINGS) {
        array_print(out, JSON_I64, labels->ints, labels->count);
        return;
    }
    buf_put_byte(out, '[');
    for (size_t i = 0; i < labels->count; i++) {
        if (i) buf_put_byte(out, ',');
        json_text_put(out, labels->strings[i]);
    }
    buf_put_byte(out, ']');
}

static err_code output_head_print(buf *out, const model_io *io, const tensor *t, bool binary, err *e)
{
    const char *type = dtype_v2_name(t->type);
    if (!type)
        return err_set(e, ERR_UNSUPPORTED, "output '" STR_FMT "': %s has no V2 datatype", STR_ARG(io->name),
                       dtype_name(t->type));
    buf_put_z(out, "{\"name\":");
    json_text_put(out, io->name);
    buf_put_z(out, ",\"datatype\":\"");
    buf_put_z(out, type);
    buf_put_z(out, "\",\"shape\":");
    array_print(out, JSON_I64, t->shape.dim, t->shape.rank);
    if (!binary && !io->labels) return ERR_OK;
    buf_put_z(out, ",\"parameters\":{");
    if (io->labels) labels_print(out, io->labels);
    if (binary) {
        char text[64];
        int n = snprintf(text, sizeof text, "%s\"binary_data_size\":%zu", io->labels ? "," : "", binary_bytes(t));
        buf_put(out, text, (size_t)n);
    }
    buf_put_byte(out, '}');
    return ERR_OK;
}

static void strings_put(buf *out, const tensor *t)
{
    const str *s = t->data;
    for (uint64_t i = 0; i < tensor_count(t); i++) {
        uint32_t len = (uint32_t)s[i].len;
        buf_put(out, &len, sizeof len);
        buf_put_str(out, s[i]);
    }
}

/* The bytes behind the JSON.  One dense tensor at the end is sent from where it lies. */
static void binary_put(infer *r)
{
    r->reply_json_bytes = r->reply.len;
    for (uint32_t i = 0; i < r->want_count; i++) {
        const tensor *t = exec_output(r->outputs, r->wants[i].output);
        if (!r->wants[i].binary) continue;
        bool last = true;
        for (uint32_t k = i + 1; k < r->want_count; k++) last = last && !r->wants[k].binary;
        if (t->type == DT_STRING)
            strings_put(&r->reply, t);
        else if (last)
            r->tail = (str){t->data, tensor_bytes(t)};
        else
            buf_put(&r->reply, t->data, tensor_bytes(t));
    }
}

static err_code v2_write(infer *r, err *e)
{
    buf *out = &r->reply;
    bool binary = false;
    buf_put_z(out, "{\"model_name\":");
    json_text_put(out, r->model->name);
    buf_put_z(out, ",\"model_version\":");
    json_text_put(out, r->model->version);
    if (r->id.p) {
        buf_put_z(out, ",\"id\":");
        json_text_put(out, r->id);
    }
    buf_put_z(out, ",\"outputs\":[");
    for (uint32_t i = 0; i < r->want_count; i++) {
        const model_io *io = model_output(r->model->model, r->wants[i].output);
        const tensor *t = exec_output(r->outputs, r->wants[i].output);
        if (i) buf_put_byte(out, ',');
        err_code rc = output_head_print(out, io, t, r->wants[i].binary, e);
        if (rc) return rc;
        binary = binary || r->wants[i].binary;
        if (!r->wants[i].binary) {
            buf_put_z(out, ",\"data\":");
            if ((rc = json_tensor_print(out, io->name, t, e)) != ERR_OK) return rc;
        }
        buf_put_byte(out, '}');
    }
    buf_put_z(out, "]}");
    if (binary) binary_put(r);
    return ERR_OK;
}

const infer_protocol v2_protocol = {.read = v2_read, .write = v2_write};

/* ---- metadata ---- */

static void ios_print(buf *out, const served *m, const model_io *(*at)(const model *, uint32_t), uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const model_io *io = at(m->model, i);
        const char *type = dtype_v2_name(io->type);
        buf_put_z(out, i ? ",{\"name\":" : "{\"name\":");
        json_text_put(out, io->name);
        buf_put_z(out, ",\"datatype\":\"");
        buf_put_z(out, type ? type : dtype_name(io->type));
        buf_put_z(out, "\",\"shape\":");
        array_print(out, JSON_I64, io->shape.dim, io->shape.rank);
        buf_put_byte(out, '}');
    }
}

void v2_metadata_print(buf *out, const served *m)
{
    buf_put_z(out, "{\"name\":");
    json_text_put(out, m->name);
    buf_put_z(out, ",\"versions\":[");
    json_text_put(out, m->version);
    buf_put_z(out, "],\"platform\":\"onnx_onnxv1\",\"inputs\":[");
    ios_print(out, m, model_input, model_input_count(m->model));
    buf_put_z(out, "],\"outputs\":[");
    ios_print(out, m, model_output, model_output_count(m->model));
    buf_put_z(out, "]}");
}
