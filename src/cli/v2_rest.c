#include "cli/v2_rest.h"

#include "base/mem.h"
#include "cli/refusal.h"
#include "cli/v2_bytes.h"
#include "serve/json_body.h"
#include "serve/v2_tensor.h"
#include "wire/json_array.h"
#include "wire/json_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES_MAX = 1800, SCRATCH_BYTES_MAX = 64 << 20 };
#define JSON_LENGTH "Inference-Header-Content-Length"

struct v2_rest {
    client *http;
    v2_rest_opts opts;
    buf path, body, scratch;
    bool reached, asked, binary;    /* asked: `binary` is known */
};

err_code v2_rest_new(const v2_rest_opts *opts, v2_rest **ret, err *e)
{
    CLEANUP(v2_rest) v2_rest *r = mem_new0(v2_rest, 1);
    if (!r) return err_set(e, ERR_NOMEM, "client: no memory");
    INVARIANT(opts->header_count <= V2_REST_HEADERS_MAX);
    r->opts = *opts;
    buf_init(&r->path, PATH_BYTES_MAX);
    buf_init(&r->body, V2_REST_BYTES_MAX);
    buf_init(&r->scratch, SCRATCH_BYTES_MAX);
    client_opts to = {.address = opts->address, .trust = opts->trust, .wait_us = opts->wait_us,
                      .body_bytes_max = V2_REST_BYTES_MAX};
    err_code rc = client_new(&to, &r->http, e);
    if (rc) return rc;
    *ret = TAKE(r);
    return ERR_OK;
}

void v2_rest_free(v2_rest *r)
{
    if (!r) return;
    client_free(r->http);
    buf_fini(&r->path);
    buf_fini(&r->body);
    buf_fini(&r->scratch);
    mem_free(r);
}

bool v2_rest_reached(const v2_rest *r) { return r->reached; }

/* ---- calls ------------------------------------------------------------------------------------------------------- */

/* One step of a path: no '/', '?' or '%' of a name may mean anything. */
static void put_step(buf *b, str s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.p[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c && strchr("-._~", c));
        if (plain) buf_put_byte(b, c);
        else buf_printf(b, "%%%02X", c);
    }
}

static err_code path_of(v2_rest *r, str name, str version, const char *end, err *e)
{
    buf_clear(&r->path);
    buf_put_z(&r->path, "/v2/models/");
    put_step(&r->path, name);
    if (version.len) buf_put_z(&r->path, "/versions/");
    put_step(&r->path, version);
    buf_put_z(&r->path, end);
    return buf_check(&r->path, "model's name", e);
}

static err_code call(v2_rest *r, client_request *q, client_reply *ret, err *e)
{
    r->reached = false;
    q->again = true;   /* an inference changes nothing */
    err_code rc = client_call(r->http, q, ret, e);
    if (rc) return rc;
    r->reached = true;
    return ret->status == 200 ? ERR_OK : refusal_say(r->http, ret, e);
}

static err_code get(v2_rest *r, str path, arena *a, yyjson_val **ret, err *e)
{
    client_request q = {.target = path, .headers = r->opts.headers, .header_count = r->opts.header_count};
    client_reply reply;
    err_code rc = call(r, &q, &reply, e);
    if (rc) return rc;
    char *kept = arena_copy(a, reply.body.p, reply.body.len, 1);   /* the next call overwrites it */
    if (!kept) return err_set(e, ERR_NOMEM, "no memory for an answer of %zu bytes", reply.body.len);
    json_opts o = {.memory = a};
    rc = json_parse((str){kept, reply.body.len}, &o, ret, e);
    if (rc == ERR_OK) rc = json_obj(*ret, "answer", e);
    return rc ? err_wrap(e, "%s: " STR_FMT, client_address(r->http), STR_ARG(path)) : ERR_OK;
}

/* ---- metadata ---------------------------------------------------------------------------------------------------- */

static err_code dims_read(yyjson_val *list, shape *ret, err *e)
{
    yyjson_val *v;
    size_t i, n;
    shape s = {.rank = 0};
    err_code rc = json_list(list, "shape", e);
    if (rc) return rc;
    yyjson_arr_foreach(list, i, n, v)
    {
        int64_t dim = 0;
        rc = json_i64(v, "shape", &dim, e);
        if (rc == ERR_OK) rc = shape_push(&s, dim < 0 ? -1 : dim, e);
        if (rc) return rc;
    }
    *ret = s;
    return ERR_OK;
}

static err_code io_read(yyjson_val *v, v2_io *ret, err *e)
{
    err_code rc = json_obj(v, "tensor", e);
    if (rc == ERR_OK) rc = json_str(yyjson_obj_get(v, "name"), "name", &ret->name, e);
    if (rc == ERR_OK) rc = json_str(yyjson_obj_get(v, "datatype"), "datatype", &ret->datatype, e);
    if (rc == ERR_OK) rc = dims_read(yyjson_obj_get(v, "shape"), &ret->dims, e);
    if (rc == ERR_OK) ret->type = dtype_of_v2(ret->datatype);
    return rc;
}

static err_code ios_read(yyjson_val *root, const char *member, arena *a, v2_io **ret, size_t *ret_count, err *e)
{
    yyjson_val *list = yyjson_obj_get(root, member), *v;
    size_t i, n;
    err_code rc = json_list(list, member, e);
    if (rc) return rc;
    v2_io *io = arena_new(a, v2_io, yyjson_arr_size(list) + 1);
    if (!io) return err_set(e, ERR_NOMEM, "no memory for %s", member);
    yyjson_arr_foreach(list, i, n, v)
    {
        rc = io_read(v, &io[i], e);
        if (rc) return err_wrap(e, "%s[%zu]", member, i);
    }
    *ret = io;
    *ret_count = yyjson_arr_size(list);
    return ERR_OK;
}

err_code v2_rest_model(v2_rest *r, str name, str version, arena *a, v2_model *ret, err *e)
{
    yyjson_val *root = NULL;
    v2_model m = {.name = name, .version = version};
    err_code rc = path_of(r, name, version, "", e);
    if (rc == ERR_OK) rc = get(r, buf_str(&r->path), a, &root, e);
    if (rc) return rc;
    rc = ios_read(root, "inputs", a, &m.inputs, &m.input_count, e);
    if (rc == ERR_OK) rc = ios_read(root, "outputs", a, &m.outputs, &m.output_count, e);
    if (rc) return err_wrap(e, "%s: metadata of '" STR_FMT "'", client_address(r->http), STR_ARG(name));
    *ret = m;
    return ERR_OK;
}

/* What the server says of itself; a server that says nothing has no extensions. */
static void ask_extensions(v2_rest *r, arena *a)
{
    yyjson_val *root = NULL, *v;
    size_t i, n;
    err none;
    if (r->asked) return;
    r->asked = true;
    if (get(r, STR("/v2"), a, &root, &none)) return;
    yyjson_arr_foreach(yyjson_obj_get(root, "extensions"), i, n, v)
    {
        if (yyjson_equals_str(v, "binary_tensor_data")) r->binary = true;
    }
}

/* ---- inference: out ---------------------------------------------------------------------------------------------- */

static err_code data_print(buf *b, const v2_value *v, err *e)
{
    const char *type = dtype_v2_name(v->t.type);
    json_array array = {.elem = JSON_ELEMS, .from = v->t.data, .count = (size_t)tensor_count(&v->t)};
    for (json_elem i = 0; i < JSON_ELEMS; i++) {
        if (strcmp(json_elem_name(i), type) == 0) array.elem = i;
    }
    if (array.elem == JSON_ELEMS || v->t.type == DT_F16 || v->t.type == DT_BF16)
        return err_set(e, ERR_UNSUPPORTED,
                       "input '" STR_FMT "': %s has no JSON form, and this server takes no binary data",
                       STR_ARG(v->name), type);
    err_code rc = json_array_print(b, &array, e);
    return rc ? err_wrap(e, "input '" STR_FMT "'", STR_ARG(v->name)) : ERR_OK;
}

static err_code input_print(v2_rest *r, const v2_value *v, err *e)
{
    buf *b = &r->body;
    buf_put_z(b, "{\"name\":");
    json_text_put(b, v->name);
    buf_put_z(b, ",\"shape\":[");
    for (uint32_t i = 0; i < v->t.shape.rank; i++) buf_printf(b, i ? ",%" PRId64 : "%" PRId64, v->t.shape.dim[i]);
    buf_printf(b, "],\"datatype\":\"%s\",", dtype_v2_name(v->t.type));
    if (r->binary) {
        buf_printf(b, "\"parameters\":{\"binary_data_size\":%zu}}", v2_raw_bytes(&v->t));
        return ERR_OK;
    }
    buf_put_z(b, "\"data\":");
    err_code rc = data_print(b, v, e);
    buf_put_byte(b, '}');
    return rc;
}

/* JSON, then the binary part; ret_json_bytes is the size of the former. */
static err_code request_print(v2_rest *r, const v2_value *inputs, size_t count, size_t *ret_json_bytes, err *e)
{
    buf *b = &r->body;
    buf_clear(b);
    buf_put_z(b, "{\"inputs\":[");
    for (size_t i = 0; i < count; i++) {
        if (i) buf_put_byte(b, ',');
        err_code rc = input_print(r, &inputs[i], e);
        if (rc) return rc;
    }
    buf_put_z(b, r->binary ? "],\"parameters\":{\"binary_data_output\":true}}" : "]}");
    *ret_json_bytes = b->len;
    for (size_t i = 0; i < count && r->binary; i++) v2_raw_put(b, &inputs[i].t, NULL);
    return buf_check(b, "request", e);
}

/* ---- inference: in ----------------------------------------------------------------------------------------------- */

typedef struct {
    json_body body;
    str binary;                     /* what is left of it */
    arena *memory;
} reader;

static err_code json_data(reader *rd, yyjson_val *v, str datatype, tensor *t, err *e)
{
    str text;
    err_code rc = json_body_text(&rd->body, v, &text, e);
    if (rc) return rc;
    json_array_opts o = {.elem = JSON_ELEMS, .count_max = json_array_bound(text), .strings = rd->memory};
    for (json_elem i = 0; i < JSON_ELEMS; i++) {
        if (str_is(datatype, json_elem_name(i))) o.elem = i;
    }
    if (o.elem == JSON_ELEMS)
        return err_set(e, ERR_UNSUPPORTED, "datatype '" STR_FMT "': not implemented", STR_ARG(datatype));
    o.to = arena_push_raw(rd->memory, o.count_max * json_elem_size(o.elem), MEM_ALIGN);
    if (!o.to) return err_set(e, ERR_NOMEM, "no memory for %zu elements", o.count_max);
    json_shape got;
    rc = json_array_parse(text, &o, &got, e);
    if (rc) return rc;
    if (got.count != tensor_count(t))
        return err_set(e, ERR_INVALID, "data: expected %llu elements, got %zu", (unsigned long long)tensor_count(t),
                       got.count);
    t->data = o.to;
    return ERR_OK;
}

static err_code output_read(reader *rd, yyjson_val *v, v2_value *ret, err *e)
{
    v2_io io = {.type = DT_NONE};
    err_code rc = io_read(v, &io, e);
    if (rc) return rc;
    yyjson_val *size = yyjson_obj_get(yyjson_obj_get(v, "parameters"), "binary_data_size");
    *ret = (v2_value){.name = io.name, .t = tensor_make(io.type, &io.dims, NULL)};
    if (io.type == DT_NONE || tensor_count(&ret->t) == UINT64_MAX)
        return err_set(e, ERR_INVALID, "expected a datatype and a shape, got '" STR_FMT "'", STR_ARG(io.datatype));
    if (!size) return json_data(rd, yyjson_obj_get(v, "data"), io.datatype, &ret->t, e);
    uint64_t bytes = 0;
    rc = json_u64(size, "binary_data_size", &bytes, e);
    if (rc == ERR_OK && bytes > rd->binary.len)
        rc = err_set(e, ERR_INVALID, "binary_data_size: expected at most %zu bytes, got %llu", rd->binary.len,
                     (unsigned long long)bytes);
    if (rc) return rc;
    str raw = {rd->binary.p, (size_t)bytes};
    rd->binary = (str){raw.p + raw.len, rd->binary.len - raw.len};
    return v2_bytes_read(raw, rd->memory, &ret->t, e);
}

static err_code outputs_read(reader *rd, yyjson_val *root, v2_answer *ret, err *e)
{
    yyjson_val *list = yyjson_obj_get(root, "outputs"), *v;
    size_t i, n;
    err_code rc = json_list(list, "outputs", e);
    if (rc) return rc;
    ret->outputs = arena_new(rd->memory, v2_value, yyjson_arr_size(list) + 1);
    if (!ret->outputs) return err_set(e, ERR_NOMEM, "no memory for outputs");
    yyjson_arr_foreach(list, i, n, v)
    {
        rc = output_read(rd, v, &ret->outputs[i], e);
        if (rc) return err_wrap(e, "outputs[%zu] '" STR_FMT "'", i, STR_ARG(ret->outputs[i].name));
    }
    ret->output_count = yyjson_arr_size(list);
    return ERR_OK;
}

static str optional_text(yyjson_val *root, const char *member)
{
    yyjson_val *v = yyjson_obj_get(root, member);
    return yyjson_is_str(v) ? (str){yyjson_get_str(v), yyjson_get_len(v)} : STR("");
}

static err_code answer_read(v2_rest *r, const client_reply *reply, arena *a, v2_answer *ret, err *e)
{
    static const json_cut_path data[] = {{{"outputs", "[]", "data"}}};
    reader rd = {.memory = a};
    v2_answer answer = {.output_count = 0};
    str length = http_header_find(reply->headers, reply->header_count, JSON_LENGTH);
    uint64_t json_bytes = reply->body.len;
    if (length.len && (!str_u64(length, &json_bytes) || json_bytes > reply->body.len))
        return err_set(e, ERR_INVALID, JSON_LENGTH ": expected 0..%zu, got '" STR_FMT "'", reply->body.len,
                       STR_ARG(length));
    char *kept = arena_copy(a, reply->body.p, reply->body.len, MEM_ALIGN);
    if (!kept) return err_set(e, ERR_NOMEM, "no memory for an answer of %zu bytes", reply->body.len);
    rd.binary = (str){kept + json_bytes, reply->body.len - (size_t)json_bytes};
    json_body_opts o = {.memory = a, .scratch = &r->scratch, .paths = data, .path_count = COUNTOF(data)};
    err_code rc = json_body_read(&rd.body, (str){kept, (size_t)json_bytes}, &o, e);
    if (rc == ERR_OK) rc = outputs_read(&rd, rd.body.root, &answer, e);
    if (rc) return rc;
    answer.model = optional_text(rd.body.root, "model_name");
    answer.version = optional_text(rd.body.root, "model_version");
    *ret = answer;
    return ERR_OK;
}

err_code v2_rest_infer(v2_rest *r, const v2_model *m, const v2_value *inputs, size_t count, arena *a, v2_answer *ret,
                       err *e)
{
    http_header fields[V2_REST_HEADERS_MAX + 2];
    size_t json_bytes = 0, n = 0;
    char digits[24];
    client_reply reply;
    ask_extensions(r, a);
    err_code rc = request_print(r, inputs, count, &json_bytes, e);
    if (rc == ERR_OK) rc = path_of(r, m->name, m->version, "/infer", e);
    if (rc) return rc;
    str length = {digits, (size_t)snprintf(digits, sizeof digits, "%zu", json_bytes)};
    str type = r->binary ? STR("application/octet-stream") : STR("application/json");
    fields[n++] = (http_header){STR("Content-Type"), type};
    if (r->binary) fields[n++] = (http_header){STR(JSON_LENGTH), length};
    for (size_t i = 0; i < r->opts.header_count; i++) fields[n++] = r->opts.headers[i];
    client_request q = {.method = STR("POST"), .target = buf_str(&r->path), .headers = fields, .header_count = n,
                        .body = {buf_str(&r->body)}};
    rc = call(r, &q, &reply, e);
    if (rc) return rc;
    rc = answer_read(r, &reply, a, ret, e);
    return rc ? err_wrap(e, "%s: answer", client_address(r->http)) : ERR_OK;
}
