#include "cli/v2_grpc.h"

#include "base/mem.h"
#include "cli/v2_bytes.h"
#include "net/grpc_client.h"
#include "serve/v2_tensor.h"
#include "wire/grpc.h"
#include "wire/pb_fields.h"

#include <string.h>

#define SERVICE "/inference.GRPCInferenceService/"

struct v2_grpc {
    grpc_client *client;
    v2_rest_opts opts;
    http_header metadata[V2_REST_HEADERS_MAX];
    buf names, body;                /* names: those of the metadata in lower case, as HTTP/2 has them */
    bool reached;
};

static err_code metadata_make(v2_grpc *r, err *e)
{
    for (size_t i = 0; i < r->opts.header_count; i++) buf_put_str(&r->names, r->opts.headers[i].name);
    err_code rc = buf_check(&r->names, "headers", e);
    char *at = (char *)r->names.p;
    for (size_t i = 0; i < r->names.len && !rc; i++) {
        if (at[i] >= 'A' && at[i] <= 'Z') at[i] = (char)(at[i] | 32);
    }
    for (size_t i = 0; i < r->opts.header_count && !rc; i++) {
        http_header h = r->opts.headers[i];
        r->metadata[i] = (http_header){{at, h.name.len}, h.value};
        at += h.name.len;
    }
    return rc;
}

err_code v2_grpc_new(const v2_rest_opts *opts, v2_grpc **ret, err *e)
{
    CLEANUP(v2_grpc) v2_grpc *r = mem_new0(v2_grpc, 1);
    if (!r) return err_set(e, ERR_NOMEM, "client: no memory");
    INVARIANT(opts->header_count <= V2_REST_HEADERS_MAX);
    r->opts = *opts;
    buf_init(&r->names, 1 << 20);
    buf_init(&r->body, V2_REST_BYTES_MAX);
    err_code rc = metadata_make(r, e);
    grpc_client_opts to = {.address = opts->address, .trust = opts->trust, .wait_us = opts->wait_us,
                           .message_bytes_max = V2_REST_BYTES_MAX};
    if (rc == ERR_OK) rc = grpc_client_new(&to, &r->client, e);
    if (rc) return rc;
    *ret = TAKE(r);
    return ERR_OK;
}

void v2_grpc_free(v2_grpc *r)
{
    if (!r) return;
    grpc_client_free(r->client);
    buf_fini(&r->names);
    buf_fini(&r->body);
    mem_free(r);
}

bool v2_grpc_reached(const v2_grpc *r) { return r->reached; }

/* The answer's message, in the arena. */
static err_code call(v2_grpc *r, const char *path, arena *a, str *ret, err *e)
{
    grpc_result result;
    r->reached = false;
    err_code rc = buf_check(&r->body, "request", e);
    if (rc) return rc;
    grpc_ask ask = {.path = str_of(path), .metadata = r->metadata, .metadata_count = r->opts.header_count,
                    .message = buf_str(&r->body)};
    rc = grpc_client_call(r->client, &ask, &result, e);
    if (rc) return rc;
    r->reached = true;
    const char *name = grpc_status_name((uint64_t)result.status);
    if (result.status)
        return err_set(e, ERR_INVALID, "%s: %s: %s", grpc_client_address(r->client), name ? name : "UNKNOWN",
                       *result.text ? result.text : "no text");
    char *kept = arena_copy(a, result.message.p, result.message.len, MEM_ALIGN);
    if (!kept) return err_set(e, ERR_NOMEM, "no memory for an answer of %zu bytes", result.message.len);
    *ret = (str){kept, result.message.len};
    return ERR_OK;
}

/* ---- metadata ---------------------------------------------------------------------------------------------------- */

/* TensorMetadata, and the first fields of InferOutputTensor. */
static err_code io_read(pb m, v2_io *ret, err *e)
{
    pb_field f;
    v2_io io = {.name = STR(""), .datatype = STR("")};
    err_code rc = ERR_OK;
    while (pb_next(&m, &f) && !rc) {
        if (f.number == 1) io.name = pb_text(&m, &f);
        if (f.number == 2) io.datatype = pb_text(&m, &f);
        if (f.number != 3) continue;
        pb dims = pb_items(&m, &f, PB_VARINT);
        uint64_t dim;
        while (!rc && pb_item(&dims, PB_VARINT, &dim)) {
            rc = shape_push(&io.dims, (int64_t)dim < 0 ? -1 : (int64_t)dim, e);
        }
        if (!rc) rc = pb_check(&dims, "shape", e);
    }
    if (!rc) rc = pb_check(&m, "tensor", e);
    io.type = dtype_of_v2(io.datatype);
    *ret = io;
    return rc;
}

static size_t count_of(str message, uint32_t number)
{
    pb m;
    pb_field f;
    size_t n = 0;
    pb_init(&m, message.p, message.len);
    while (pb_next(&m, &f)) n += f.number == number;
    return n;
}

static err_code model_read(str message, arena *a, v2_model *m, err *e)
{
    pb all;
    pb_field f;
    m->inputs = arena_new(a, v2_io, count_of(message, 4) + 1);
    m->outputs = arena_new(a, v2_io, count_of(message, 5) + 1);
    if (!m->inputs || !m->outputs) return err_set(e, ERR_NOMEM, "no memory for metadata");
    pb_init(&all, message.p, message.len);
    while (pb_next(&all, &f)) {
        if (f.number != 4 && f.number != 5) continue;
        v2_io *io = f.number == 4 ? &m->inputs[m->input_count++] : &m->outputs[m->output_count++];
        err_code rc = io_read(pb_sub(&all, &f), io, e);
        if (rc) return rc;
    }
    return pb_check(&all, "metadata", e);
}

err_code v2_grpc_model(v2_grpc *r, str name, str version, arena *a, v2_model *ret, err *e)
{
    v2_model m = {.name = name, .version = version};
    str message;
    buf_clear(&r->body);
    pb_put_str(&r->body, 1, name);
    pb_put_str(&r->body, 2, version);
    err_code rc = call(r, SERVICE "ModelMetadata", a, &message, e);
    if (rc) return rc;
    rc = model_read(message, a, &m, e);
    if (rc) return err_wrap(e, "%s: metadata of '" STR_FMT "'", grpc_client_address(r->client), STR_ARG(name));
    *ret = m;
    return ERR_OK;
}

/* ---- inference --------------------------------------------------------------------------------------------------- */

static void request_print(v2_grpc *r, const v2_model *m, const v2_value *inputs, size_t count)
{
    buf *b = &r->body;
    buf_clear(b);
    pb_put_str(b, 1, m->name);
    pb_put_str(b, 2, m->version);
    for (size_t i = 0; i < count; i++) {
        size_t opened = pb_open(b, 5);
        pb_put_str(b, 1, inputs[i].name);
        pb_put_str(b, 2, str_of(dtype_v2_name(inputs[i].t.type)));
        pb_put_packed_i64(b, 3, inputs[i].t.shape.dim, inputs[i].t.shape.rank);
        pb_close(b, opened);
    }
    for (size_t i = 0; i < count; i++) {
        pb_put_head(b, 7, v2_raw_bytes(&inputs[i].t));
        v2_raw_put(b, &inputs[i].t, NULL);
    }
}

/* InferTensorContents: which field holds a type's elements, and how they are written there. */
static uint32_t contents_field(dtype type, pb_type *ret_item)
{
    static const struct { dtype type; uint32_t number; pb_type item; } rows[] = {
        {DT_BOOL, 1, PB_VARINT}, {DT_I8, 2, PB_VARINT},  {DT_I16, 2, PB_VARINT}, {DT_I32, 2, PB_VARINT},
        {DT_I64, 3, PB_VARINT},  {DT_U8, 4, PB_VARINT},  {DT_U16, 4, PB_VARINT}, {DT_U32, 4, PB_VARINT},
        {DT_U64, 5, PB_VARINT},  {DT_F32, 6, PB_FIXED32}, {DT_F64, 7, PB_FIXED64}, {DT_STRING, 8, PB_BYTES}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        if (rows[i].type != type) continue;
        *ret_item = rows[i].item;
        return rows[i].number;
    }
    return 0;
}

/* Little-endian: the low bytes of a number are the element. */
static uint64_t numbers_read(pb *items, pb_type item, tensor *t, uint64_t at)
{
    size_t size = dtype_bits(t->type) / 8;
    uint64_t v, count = tensor_count(t);
    for (; pb_item(items, item, &v); at++) {
        if (at < count) memcpy((char *)t->data + at * size, &v, size);
    }
    return at;
}

static err_code contents_read(str contents, arena *a, tensor *t, err *e)
{
    pb m;
    pb_field f;
    pb_type item = PB_VARINT;
    uint32_t number = contents_field(t->type, &item);
    uint64_t got = 0, count = tensor_count(t);
    size_t size = dtype_bits(t->type) / 8;
    pb_init(&m, contents.p, contents.len);
    /* Each element takes a byte of the message at least, whatever the shape claims. */
    if (count > contents.len)
        return err_set(e, ERR_INVALID, "contents: expected %llu elements, got fewer", (unsigned long long)count);
    t->data = arena_push(a, (size_t)count + 1, size, MEM_ALIGN);
    if (!t->data) return err_set(e, ERR_NOMEM, "no memory for %llu elements", (unsigned long long)count);
    while (pb_next(&m, &f)) {
        if (f.number != number) continue;
        if (item == PB_BYTES) {
            str s = pb_bytes(&m, &f);
            if (got < count) ((str *)t->data)[got] = s;
            got++;
            continue;
        }
        pb items = pb_items(&m, &f, item);
        got = numbers_read(&items, item, t, got);
        err_code rc = pb_check(&items, "contents", e);
        if (rc) return rc;
    }
    err_code rc = pb_check(&m, "contents", e);
    if (rc == ERR_OK && got != count)
        rc = err_set(e, ERR_INVALID, "contents: expected %llu elements, got %llu", (unsigned long long)count,
                     (unsigned long long)got);
    return rc;
}

/* raw: NULL = typed contents. */
static err_code output_read(pb m, const str *raw, arena *a, v2_value *ret, err *e)
{
    v2_io io;
    pb_field f;
    err_code rc = io_read(m, &io, e);
    if (rc) return rc;
    *ret = (v2_value){.name = io.name, .t = tensor_make(io.type, &io.dims, NULL)};
    if (io.type == DT_NONE || tensor_count(&ret->t) == UINT64_MAX)
        return err_set(e, ERR_INVALID, "expected a datatype and a shape, got '" STR_FMT "'", STR_ARG(io.datatype));
    if (raw) return v2_bytes_read(*raw, a, &ret->t, e);
    str contents = STR("");
    while (pb_next(&m, &f)) {
        if (f.number == 5) contents = pb_bytes(&m, &f);
    }
    return contents_read(contents, a, &ret->t, e);
}

static err_code answer_read(str message, arena *a, v2_answer *ret, err *e)
{
    size_t count = count_of(message, 5), raw_count = count_of(message, 6), at = 0, raw_at = 0;
    pb all;
    pb_field f;
    v2_answer answer = {.outputs = arena_new(a, v2_value, count + 1)};
    str *raw = arena_new(a, str, raw_count + 1);
    if (!answer.outputs || !raw) return err_set(e, ERR_NOMEM, "no memory for outputs");
    if (raw_count && raw_count != count)
        return err_set(e, ERR_INVALID, "raw_output_contents: expected %zu, got %zu", count, raw_count);
    pb_init(&all, message.p, message.len);
    while (pb_next(&all, &f)) {
        if (f.number == 1) answer.model = pb_text(&all, &f);
        if (f.number == 2) answer.version = pb_text(&all, &f);
        if (f.number == 6) raw[raw_at++] = pb_bytes(&all, &f);
    }
    err_code rc = pb_check(&all, "answer", e);
    if (rc) return rc;
    pb_init(&all, message.p, message.len);
    while (pb_next(&all, &f)) {
        if (f.number != 5) continue;
        rc = output_read(pb_sub(&all, &f), raw_count ? &raw[at] : NULL, a, &answer.outputs[at], e);
        if (rc) return err_wrap(e, "outputs[%zu] '" STR_FMT "'", at, STR_ARG(answer.outputs[at].name));
        at++;
    }
    answer.output_count = at;
    *ret = answer;
    return ERR_OK;
}

err_code v2_grpc_infer(v2_grpc *r, const v2_model *m, const v2_value *inputs, size_t count, arena *a, v2_answer *ret,
                       err *e)
{
    str message;
    request_print(r, m, inputs, count);
    err_code rc = call(r, SERVICE "ModelInfer", a, &message, e);
    if (rc) return rc;
    rc = answer_read(message, a, ret, e);
    return rc ? err_wrap(e, "%s: answer", grpc_client_address(r->client)) : ERR_OK;
}
