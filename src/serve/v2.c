#include "serve/v2.h"

#include "serve/json_body.h"
#include "serve/json_tensor.h"
#include "serve/pictures.h"
#include "serve/plain.h"
#include "serve/schedule.h"
#include "serve/v2_body.h"
#include "serve/v2_tensor.h"
#include "wire/decimal.h"
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
static yyjson_val *optional_of(yyjson_val *object, const char *key, size_t len)
{
    yyjson_val *v = yyjson_obj_getn(object, key, len);
    return yyjson_is_null(v) ? NULL : v;
}
static inline yyjson_val *optional(yyjson_val *o, const char *key) { return optional_of(o, key, strlen(key)); }

static err_code shape_read(shape *ret, yyjson_val *v, err *e)
{
    int64_t dims[TENSOR_RANK_MAX] = {0};
    err_code rc = json_list(v, "shape", e);
    if (rc) return rc;
    yyjson_val *d;
    size_t i, n;
    yyjson_arr_foreach(v, i, n, d)
    {
        if (i == COUNTOF(dims)) break;   /* too many: v2_shape() says so */
        if ((rc = json_i64(d, "shape", &dims[i], e)) != ERR_OK) return rc;
    }
    return v2_shape(ret, dims, yyjson_arr_size(v), e);
}

/* The next `bytes` of the binary part. */
static err_code binary_read(reader *rd, tensor *t, str name, uint64_t bytes, err *e)
{
    static const v2_raw_words words = {.size = "binary_data_size", .data = "binary data"};
    if (bytes > rd->binary.len)
        return err_set(e, ERR_INVALID,
                       "input '" STR_FMT
                       "': binary_data_size: expected at most the %zu bytes left after the JSON, got %llu",
                       STR_ARG(name), rd->binary.len, (unsigned long long)bytes);
    str raw = {rd->binary.p, (size_t)bytes};
    rd->binary = (str){raw.p + raw.len, rd->binary.len - raw.len};
    return v2_raw_read(rd->r, t, name, raw, &words, e);
}

/* Of a tensor; NULL = it has none. */
static err_code parameters_read(v2_parameters *ret, yyjson_val *parameters, bool output, err *e)
{
    *ret = (v2_parameters){.classes = 0};
    yyjson_val *key, *v;
    size_t i, n;
    err_code rc = parameters ? json_obj(parameters, "parameters", e) : ERR_OK;
    if (rc) return rc;
    yyjson_obj_foreach(parameters, i, n, key, v)
    {
        str name = json_key(key), text = {yyjson_get_str(v), yyjson_get_len(v)};
        uint64_t number = yyjson_get_uint(v);
        rc = v2_parameter_add(ret, name, yyjson_is_str(v) ? &text : NULL, yyjson_is_uint(v) ? &number : NULL, output,
                              e);
        if (rc) return rc;
    }
    return v2_parameters_check(ret, e);
}

/* Where the values are: binary_data_size among the parameters, else "data". */
static err_code data_read(reader *rd, tensor *t, str name, yyjson_val *input, err *e)
{
    yyjson_val *parameters = optional(input, "parameters"), *data = optional(input, "data");
    yyjson_val *size = optional(parameters, "binary_data_size");
    v2_parameters asked;
    err_code rc = parameters_read(&asked, parameters, false, e);
    if (rc == ERR_OK && asked.memory.region.p && (data || size))
        rc = err_set(e, ERR_INVALID, "expected shared_memory_region, data or binary_data_size, got several");
    if (rc == ERR_OK && asked.memory.region.p) return v2_memory_read(rd->r, t, name, &asked.memory, e);
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
    return rc ? rc : v2_datatype(ret, text, e);
}

static err_code input_read(reader *rd, size_t at, yyjson_val *v, err *e)
{
    str name;
    dtype type;
    shape s;
    uint32_t i = 0;
    err_code rc = json_obj(v, "input", e);
    if (rc == ERR_OK) rc = json_str(yyjson_obj_get(v, "name"), "name", &name, e);
    if (rc) return err_wrap(e, "inputs[%zu]", at);
    if ((rc = v2_input_named(rd->r, rd->given, at, name, &i, e)) != ERR_OK) return rc;
    rc = datatype_read(&type, yyjson_obj_get(v, "datatype"), e);
    if (rc == ERR_OK) rc = shape_read(&s, yyjson_obj_get(v, "shape"), e);
    if (rc) return err_wrap(e, "input '" STR_FMT "'", STR_ARG(name));
    rc = infer_input_set(rd->r, i, type, &s, e);
    return rc ? rc : data_read(rd, &rd->r->inputs[i], name, v, e);
}

static err_code inputs_read(reader *rd, yyjson_val *root, err *e)
{
    yyjson_val *list = yyjson_obj_get(root, "inputs"), *v;
    err_code rc = json_list(list, "inputs", e);
    if (rc) return rc;
    size_t i, n;
    yyjson_arr_foreach(list, i, n, v)
    {
        if ((rc = input_read(rd, i, v, e)) != ERR_OK) return rc;
    }
    if ((rc = v2_inputs_complete(rd->r, rd->given, n, e)) != ERR_OK) return rc;
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
    str name;
    err_code rc = json_obj(v, "output", e);
    if (rc == ERR_OK) rc = json_str(yyjson_obj_get(v, "name"), "name", &name, e);
    if (rc) return err_wrap(e, "outputs[%zu]", at);
    yyjson_val *parameters = optional(v, "parameters");
    v2_parameters asked;
    rc = parameters_read(&asked, parameters, true, e);
    if (rc == ERR_OK) rc = flag_read(parameters, "binary_data", &binary, e);
    if (rc) return err_wrap(e, "output '" STR_FMT "'", STR_ARG(name));
    return v2_want_named(r, name, binary, &asked, e);
}

/* Of the request itself. */
static err_code schedule_read(infer *r, yyjson_val *root, err *e)
{
    yyjson_val *parameters = optional(root, "parameters"), *key, *v;
    size_t i, n;
    err_code rc = parameters ? json_obj(parameters, "parameters", e) : ERR_OK;
    yyjson_obj_foreach(parameters, i, n, key, v)
    {
        parameter p = parameter_of_json(v);
        str name = json_key(key);
        if (rc == ERR_OK) rc = schedule_take(r, name, &p, e);
    }
    return rc;
}

static err_code wants_read(infer *r, yyjson_val *root, err *e)
{
    yyjson_val *parameters = optional(root, "parameters"), *list = optional(root, "outputs"), *v;
    bool binary = false;
    err_code rc = schedule_read(r, root, e);
    if (rc == ERR_OK) rc = flag_read(parameters, "binary_data_output", &binary, e);
    if (rc == ERR_OK && list) rc = json_list(list, "outputs", e);
    if (rc == ERR_OK) rc = v2_wants_new(r, e);
    if (rc) return rc;
    size_t i, n;
    yyjson_arr_foreach(list, i, n, v)
    {
        if ((rc = want_read(r, i, v, binary, e)) != ERR_OK) return rc;
    }
    if (yyjson_arr_size(list) == 0) v2_wants_all(r, binary);   /* absent, too */
    return ERR_OK;
}

/* The reference's words, to the letter. */
static err_code header_missing(err *e)
{
    return err_set(e, ERR_INVALID,
                   "received byte inputs, but the'inference-header-content-length' header is missing.");
}

/* The body is the input: all outputs. */
static err_code plain_v2_read(infer *r, err *e)
{
    err_code rc = infer_inputs(r, e);
    if (rc == ERR_OK) rc = plain_read(r, e);
    if (rc == ERR_OK) rc = v2_wants_new(r, e);
    if (rc) return rc;
    v2_wants_all(r, false);
    return pictures_take(r, e);
}

static err_code v2_read(infer *r, err *e)
{
    static const json_cut_path data[] = {{{"inputs", "[]", "data"}}};
    reader rd UNINIT;
    if (v2_body_is(r)) return v2_body_read(r, e);
    if (plain_is(r)) return plain_v2_read(r, e);
    rd.r = r;
    rd.binary = (str){r->body.p + r->json_bytes, r->body.len - r->json_bytes};
    json_body_opts bo = {.memory = &r->memory, .scratch = &r->scratch, .paths = data, .path_count = COUNTOF(data)};
    err_code rc = json_body_read(&rd.body, (str){r->body.p, r->json_bytes}, &bo, e);
    /* JSON is welcome: aiohttp calls all bytes octets. */
    if (rc == ERR_INVALID && r->octets && !r->has_binary) return header_missing(e);
    if (rc) return rc;
    yyjson_val *id = optional(rd.body.root, "id");
    if (id && (rc = json_str(id, "id", &r->id, e)) != ERR_OK) return rc;
    rd.given = arena_new(&r->memory, bool, served_input_count(r->model) + 1);
    if (!rd.given) return err_set(e, ERR_NOMEM, "request: no memory for its inputs");
    rc = infer_inputs(r, e);
    if (rc == ERR_OK) rc = inputs_read(&rd, rd.body.root, e);
    if (rc == ERR_OK) rc = wants_read(r, rd.body.root, e);
    return rc ? rc : pictures_take(r, e);
}

/* ---- writing ---- */

static void shape_print(buf *out, const shape *s)
{
    char *to = (char *)buf_room(out, 2 + s->rank * (DECIMAL_TEXT_MAX + 1)), *p = to;
    if (!to) return;
    *p++ = '[';
    for (uint32_t i = 0; i < s->rank; i++) {
        if (i) *p++ = ',';
        p += decimal_print_i64(p, s->dim[i]);
    }
    *p++ = ']';
    out->len += (size_t)(p - to);
}

/* Separates what it writes from what stands before it. */
static void number_print(buf *out, const char *key, uint64_t v, bool *more)
{
    buf_printf(out, "%s\"%s\":%llu", *more ? "," : "", key, (unsigned long long)v);
    *more = true;
}

static void parameters_print(buf *out, const model_io *io, const infer_want *w)
{
    bool more = io->labels != NULL && !w->classes;
    if (!more && !w->binary && !w->memory.region.p) return;
    buf_put_z(out, ",\"parameters\":{");
    if (more) {
        buf_put_z(out, "\"labels\":");
        v2_labels_print(out, io->labels);
    }
    if (w->binary) number_print(out, "binary_data_size", v2_raw_bytes(w->t), &more);
    if (w->memory.region.p) {
        buf_put_z(out, more ? ",\"shared_memory_region\":" : "\"shared_memory_region\":");
        json_text_put(out, w->memory.region);
        more = true;
        if (w->memory.offset) number_print(out, "shared_memory_offset", w->memory.offset, &more);
        number_print(out, "shared_memory_byte_size", w->memory.bytes, &more);
    }
    buf_put_byte(out, '}');
}

static err_code output_head_print(buf *out, const model_io *io, const infer_want *w, err *e)
{
    const tensor *t = w->t;
    const char *type;
    err_code rc = v2_output_datatype(&type, io, t, e);
    if (rc) return rc;
    buf_put_z(out, "{\"name\":");
    json_text_put(out, io->name);
    buf_put_z(out, ",\"datatype\":\"");
    buf_put_z(out, type);
    buf_put_z(out, "\",\"shape\":");
    shape_print(out, &t->shape);
    parameters_print(out, io, w);
    return ERR_OK;
}

/* The bytes behind the JSON.  One dense tensor at the end is sent from where it lies. */
static void binary_put(infer *r)
{
    r->reply_json_bytes = r->reply.len;
    for (uint32_t i = 0; i < r->want_count; i++) {
        const tensor *t = r->wants[i].t;
        if (!r->wants[i].binary) continue;
        bool last = true;
        for (uint32_t k = i + 1; k < r->want_count; k++) last = last && !r->wants[k].binary;
        v2_raw_put(&r->reply, t, last ? &r->tail : NULL);
    }
}

static err_code v2_write(infer *r, err *e)
{
    buf *out = &r->reply;
    bool binary = false;
    err_code rc = v2_outputs_make(r, e);
    if (rc) return rc;
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
        const model_io *io = infer_output_io(r, r->wants[i].output);
        const infer_want *w = &r->wants[i];
        if (i) buf_put_byte(out, ',');
        if ((rc = output_head_print(out, io, w, e)) != ERR_OK) return rc;
        binary = binary || w->binary;
        if (!w->binary && !w->memory.region.p) {
            buf_put_z(out, ",\"data\":");
            if ((rc = json_tensor_print(out, io->name, w->t, e)) != ERR_OK) return rc;
        }
        buf_put_byte(out, '}');
    }
    buf_put_z(out, "]}");
    if (binary) binary_put(r);
    return ERR_OK;
}

const infer_protocol v2_protocol = {.read = v2_read, .write = v2_write, .counted = METRIC_V2};

/* ---- metadata ---- */

static void ios_print(buf *out, const served *m, bool input)
{
    for (uint32_t i = 0; i < (input ? served_input_count(m) : served_output_count(m)); i++) {
        const model_io *io = input ? served_input(m, i) : served_output(m, i);
        shape s = model_config_declared(m->config, &m->ios, input, i);
        const char *type = dtype_v2_name(io->type);
        buf_put_z(out, i ? ",{\"name\":" : "{\"name\":");
        json_text_put(out, io->name);
        buf_put_z(out, ",\"datatype\":\"");
        buf_put_z(out, type ? type : dtype_name(io->type));
        buf_put_z(out, "\",\"shape\":");
        shape_print(out, &s);
        buf_put_byte(out, '}');
    }
}

static void versions_print(buf *out, const served *m, const lineup *of)
{
    if (!of) json_text_put(out, m->version);
    for (size_t i = of ? of->count : 0; i > 0; i--) {
        if (i < of->count) buf_put_byte(out, ',');
        json_text_put(out, of->all[i - 1]->version);
    }
}

/* Labels of its versions, as TensorFlow Serving has them: {"stable":"2","canary":"3"}; nothing where it has none. */
static void labels_print(buf *out, str name, const aliases *t)
{
    size_t count = 0;
    for (size_t i = 0; i < aliases_count(t); i++) {
        const alias *a = aliases_at(t, i);
        str of = alias_model(a);
        alias led;
        err e;
        if (!of.p || !str_eq(of, name) || aliases_lead(t, &(alias){.name = a->name}, &led, &e)) continue;
        buf_put_z(out, count++ ? "," : ",\"version_labels\":{");
        json_text_put(out, alias_label(a));
        buf_put_byte(out, ':');
        json_text_put(out, led.version);
    }
    if (count) buf_put_byte(out, '}');
}

void v2_metadata_print(buf *out, const served *m, const lineup *of, const aliases *labels)
{
    buf_put_z(out, "{\"name\":");
    json_text_put(out, m->name);
    buf_put_z(out, ",\"versions\":[");
    versions_print(out, m, of);
    buf_put_z(out, "],\"platform\":\"");
    buf_put_z(out, served_platform(m));
    buf_put_z(out, "\",\"inputs\":[");
    ios_print(out, m, true);
    buf_put_z(out, "],\"outputs\":[");
    ios_print(out, m, false);
    buf_put_byte(out, ']');
    labels_print(out, m->name, labels);
    buf_put_byte(out, '}');
}
