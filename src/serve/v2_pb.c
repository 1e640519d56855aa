#include "serve/v2_pb.h"

#include "serve/pictures.h"
#include "serve/schedule.h"
#include "serve/v2_tensor.h"
#include "wire/pb_fields.h"

#include <string.h>

/* Field numbers.  Request and response share the first five. */
enum {
    INFER_MODEL_NAME = 1, INFER_MODEL_VERSION = 2, INFER_ID = 3, INFER_PARAMETERS = 4,
    REQUEST_INPUTS = 5, REQUEST_OUTPUTS = 6, REQUEST_RAW = 7,
    RESPONSE_OUTPUTS = 5, RESPONSE_RAW = 6,
    TENSOR_NAME = 1, TENSOR_DATATYPE = 2, TENSOR_SHAPE = 3, TENSOR_PARAMETERS = 4, TENSOR_CONTENTS = 5,
    WANT_NAME = 1, WANT_PARAMETERS = 2,
    MAP_KEY = 1, MAP_VALUE = 2,
    PARAMETER_PB_BOOL = 1, PARAMETER_PB_INT64 = 2, PARAMETER_PB_STRING = 3, PARAMETER_PB_DOUBLE = 4,
    PARAMETER_PB_UINT64 = 5,
    STREAM_ERROR = 1, STREAM_RESPONSE = 2
};

enum { TYPED = 1 };   /* infer.variant: inputs had typed contents */

#define MESSAGE "ModelInferRequest"

err_code v2_pb_target_read(str message, v2_pb_target *ret, err *e)
{
    v2_pb_target t = {.name = STR(""), .version = STR(""), .id = STR(""), .read_bytes = message.len};
    pb m;
    pb_field f;
    size_t fields = 0;
    pb_init(&m, message.p, message.len);
    while (pb_next(&m, &f)) {
        if (++fields > V2_PB_FIELDS_MAX)
            return err_set(e, ERR_TOO_LARGE, MESSAGE ": expected at most %d fields, got more", V2_PB_FIELDS_MAX);
        switch (f.number) {
        case INFER_MODEL_NAME: t.name = pb_text(&m, &f); break;
        case INFER_MODEL_VERSION: t.version = pb_text(&m, &f); break;
        case INFER_ID: t.id = pb_text(&m, &f); break;
        case REQUEST_RAW: t.read_bytes -= pb_bytes(&m, &f).len; break;
        default: break;
        }
    }
    err_code rc = pb_check(&m, MESSAGE, e);
    if (rc) return rc;
    *ret = t;
    return ERR_OK;
}

/* ---- reading ---- */

typedef struct {
    uint32_t input;                  /* of the model */
    bool has_contents;
    pb contents;
    v2_parameters asked;
} given_input;

typedef struct {
    infer *r;
    bool *given;                     /* per model input */
    given_input *inputs;             /* in the order of the request */
    str *raw;
    size_t input_count, raw_count, raw_used, want_count;
} reader;

static const v2_raw_words raw_words = {.size = "raw_input_contents", .data = "raw_input_contents"};

/* How a type's elements stand in InferTensorContents; number 0 = they cannot. */
typedef struct {
    uint32_t number;
    pb_type item;
} form;

static const form forms[DT_COUNT] = {
    [DT_BOOL] = {1, PB_VARINT},  [DT_I8] = {2, PB_VARINT},    [DT_I16] = {2, PB_VARINT},   [DT_I32] = {2, PB_VARINT},
    [DT_I64] = {3, PB_VARINT},   [DT_U8] = {4, PB_VARINT},    [DT_U16] = {4, PB_VARINT},   [DT_U32] = {4, PB_VARINT},
    [DT_U64] = {5, PB_VARINT},   [DT_F32] = {6, PB_FIXED32},  [DT_F64] = {7, PB_FIXED64},  [DT_STRING] = {8, PB_BYTES},
};
static const char *const content_names[] = {"",
                                            "bool_contents",
                                            "int_contents",
                                            "int64_contents",
                                            "uint_contents",
                                            "uint64_contents",
                                            "fp32_contents",
                                            "fp64_contents",
                                            "bytes_contents"};

/* Counts the elements; sets *ret_only where they are in one piece. */
static err_code contents_count(pb m, dtype type, size_t *ret, pb_field *ret_only, err *e)
{
    form want = forms[type];
    size_t count = 0;
    pb_field f;
    *ret_only = (pb_field){0};
    while (pb_next(&m, &f)) {
        if (f.number != want.number) {
            if (f.number < COUNTOF(content_names) && f.len > 0)
                return err_set(e, ERR_INVALID, "contents: expected %s for %s, got %s", content_names[want.number],
                               dtype_v2_name(type), content_names[f.number]);
            continue;
        }
        if (count == 0)
            *ret_only = f;
        else
            *ret_only = (pb_field){0};
        if (want.item == PB_BYTES) {
            (void)pb_bytes(&m, &f);
            count++;
        } else {
            pb it = pb_items(&m, &f, want.item);
            count += pb_item_count(&it, want.item);
        }
    }
    *ret = count;
    return pb_check(&m, "contents", e);
}

/* One element that came as a varint; false = it does not fit the type. */
static bool number_put(void *to, dtype type, size_t i, uint64_t v)
{
    int32_t s = (int32_t)(uint32_t)v;   /* as protobuf wants: the low 32 bits */
    uint32_t u = (uint32_t)v;
    switch (type) {
    case DT_BOOL: ((bool *)to)[i] = v != 0; return true;
    case DT_I8: ((int8_t *)to)[i] = (int8_t)s; return s >= INT8_MIN && s <= INT8_MAX;
    case DT_I16: ((int16_t *)to)[i] = (int16_t)s; return s >= INT16_MIN && s <= INT16_MAX;
    case DT_I32: ((int32_t *)to)[i] = s; return true;
    case DT_U8: ((uint8_t *)to)[i] = (uint8_t)u; return u <= UINT8_MAX;
    case DT_U16: ((uint16_t *)to)[i] = (uint16_t)u; return u <= UINT16_MAX;
    case DT_U32: ((uint32_t *)to)[i] = u; return true;
    default: INVARIANT(type == DT_I64 || type == DT_U64); ((uint64_t *)to)[i] = v; return true;
    }
}

/* A list of varints, from element *i on. */
static err_code numbers_copy(tensor *t, pb it, size_t *i, err *e)
{
    uint64_t v;
    for (; pb_item(&it, PB_VARINT, &v); ++*i) {
        if (!number_put(t->data, t->type, *i, v))
            return err_set(e, ERR_INVALID, "contents: element %zu: does not fit %s", *i, dtype_v2_name(t->type));
    }
    return pb_check(&it, "contents", e);
}

static err_code contents_copy(tensor *t, pb m, err *e)
{
    form want = forms[t->type];
    size_t size = dtype_bits(t->type) / 8, i = 0;
    pb_field f;
    while (pb_next(&m, &f)) {
        if (f.number != want.number) continue;
        err_code rc = ERR_OK;
        if (want.item == PB_BYTES) {
            ((str *)t->data)[i++] = pb_bytes(&m, &f);
        } else if (want.item == PB_VARINT) {
            if ((rc = numbers_copy(t, pb_items(&m, &f, PB_VARINT), &i, e)) != ERR_OK) return rc;
        } else {
            memcpy((uint8_t *)t->data + i * size, f.p, f.len);   /* little-endian, as we are */
            i += f.len / size;
        }
    }
    INVARIANT(i == tensor_count(t));
    return ERR_OK;
}

static err_code contents_read(infer *r, tensor *t, pb m, err *e)
{
    char text[SHAPE_TEXT_MAX];
    pb_field only;
    size_t count, size = dtype_bits(t->type) / 8;
    if (forms[t->type].number == 0)
        return err_set(e, ERR_INVALID, "contents: %s has no typed form, send it in raw_input_contents",
                       dtype_v2_name(t->type));
    err_code rc = contents_count(m, t->type, &count, &only, e);
    if (rc) return rc;
    if (count != tensor_count(t))
        return err_set(e, ERR_INVALID, "contents: expected %llu elements for shape %s, got %zu",
                       (unsigned long long)tensor_count(t), shape_text(&t->shape, text), count);
    bool as_is = forms[t->type].item == PB_FIXED32 || forms[t->type].item == PB_FIXED64;
    if (as_is && only.p && (uintptr_t)only.p % size == 0) {
        t->data = (void *)(uintptr_t)only.p;
        return ERR_OK;
    }
    t->data = arena_push_raw(&r->memory, count * size, 64);
    if (!t->data) return err_set(e, ERR_NOMEM, "no memory for %zu elements", count);
    return contents_copy(t, m, e);
}

static const parameter_fields infer_parameter = {.on = PARAMETER_PB_BOOL,
                                                .i64 = PARAMETER_PB_INT64,
                                                .text = PARAMETER_PB_STRING,
                                                .real = PARAMETER_PB_DOUBLE,
                                                .u64 = PARAMETER_PB_UINT64};

/* One entry of a map<string, InferParameter>: of a tensor, */
static err_code parameter_read(v2_parameters *to, pb entry, bool output, err *e)
{
    str name;
    parameter p;
    err_code rc = parameter_of_pb(entry, &infer_parameter, "parameters", &name, &p, e);
    if (rc) return rc;
    return v2_parameter_add(to, name, p.kind == PARAMETER_TEXT ? &p.text : NULL,
                            p.kind == PARAMETER_NUMBER ? &p.number : NULL, output, e);
}

/* or of the request. */
static err_code schedule_read(infer *r, pb entry, err *e)
{
    str name;
    parameter p;
    err_code rc = parameter_of_pb(entry, &infer_parameter, "parameters", &name, &p, e);
    return rc ? rc : schedule_take(r, name, &p, e);
}

/* Dimensions may come packed or one by one. */
static void shape_add(pb *m, const pb_field *f, int64_t dims[TENSOR_RANK_MAX], size_t *rank)
{
    uint64_t v;
    pb it = pb_items(m, f, PB_VARINT);
    for (; pb_item(&it, PB_VARINT, &v); ++*rank)
        if (*rank < TENSOR_RANK_MAX) dims[*rank] = (int64_t)v;
}

typedef struct {
    str name, datatype;
    int64_t dims[TENSOR_RANK_MAX];
    size_t rank;
    given_input found;
} input_fields;

static err_code input_fields_read(input_fields *ret, pb m, err *e)
{
    pb_field f;
    while (pb_next(&m, &f)) {
        switch (f.number) {
        case TENSOR_NAME: ret->name = pb_text(&m, &f); break;
        case TENSOR_DATATYPE: ret->datatype = pb_text(&m, &f); break;
        case TENSOR_SHAPE: shape_add(&m, &f, ret->dims, &ret->rank); break;
        case TENSOR_PARAMETERS: {
            err_code rc = parameter_read(&ret->found.asked, pb_sub(&m, &f), false, e);
            if (rc) return rc;
            break;
        }
        case TENSOR_CONTENTS:
            if (ret->found.has_contents) return err_set(e, ERR_INVALID, "contents: given twice");
            ret->found.has_contents = true;
            ret->found.contents = pb_sub(&m, &f);
            break;
        default: break;
        }
    }
    err_code rc = pb_check(&m, "InferInputTensor", e);
    return rc ? rc : v2_parameters_check(&ret->found.asked, e);
}

static err_code input_read(reader *rd, pb m, err *e)
{
    input_fields in = {.name = STR(""), .datatype = STR("")};
    dtype type;
    shape s;
    err_code rc = input_fields_read(&in, m, e);
    if (rc) return err_wrap(e, "inputs[%zu]", rd->input_count);
    rc = v2_input_named(rd->r, rd->given, rd->input_count, in.name, &in.found.input, e);
    if (rc) return rc;
    rc = v2_datatype(&type, in.datatype, e);
    if (rc == ERR_OK) rc = v2_shape(&s, in.dims, in.rank, e);
    if (rc) return err_wrap(e, "input '" STR_FMT "'", STR_ARG(in.name));
    rd->inputs[rd->input_count++] = in.found;
    return infer_input_set(rd->r, in.found.input, type, &s, e);
}

static err_code want_read(reader *rd, pb m, err *e)
{
    v2_parameters asked = {.classes = 0};
    str name = STR("");
    pb_field f;
    err_code rc = ERR_OK;
    while (rc == ERR_OK && pb_next(&m, &f)) {
        if (f.number == WANT_NAME) name = pb_text(&m, &f);
        else if (f.number == WANT_PARAMETERS) rc = parameter_read(&asked, pb_sub(&m, &f), true, e);
    }
    if (rc == ERR_OK) rc = pb_check(&m, "InferRequestedOutputTensor", e);
    if (rc == ERR_OK) rc = v2_parameters_check(&asked, e);
    if (rc) return err_wrap(e, "outputs[%zu]", rd->want_count);
    rd->want_count++;
    return v2_want_named(rd->r, name, true, &asked, e);
}

/* The data of the k-th input of the request. */
static err_code data_read(reader *rd, size_t k, err *e)
{
    given_input *in = &rd->inputs[k];
    tensor *t = &rd->r->inputs[in->input];
    str name = served_input(rd->r->model, in->input)->name;
    if (in->asked.memory.region.p && in->has_contents)
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': expected contents or shared_memory_region, got both",
                       STR_ARG(name));
    if (in->asked.memory.region.p) return v2_memory_read(rd->r, t, name, &in->asked.memory, e);
    /* These words are KServe's. */
    if (rd->raw_count && in->has_contents)
        return err_set(e, ERR_INVALID,
                       "contents field must not be specified when using raw_input_contents for input '" STR_FMT
                       "' for model '" STR_FMT "'",
                       STR_ARG(name), STR_ARG(rd->r->model->name));
    if (rd->raw_count) return v2_raw_read(rd->r, t, name, rd->raw[rd->raw_used++], &raw_words, e);
    if (!in->has_contents && tensor_count(t) > 0)
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': expected contents or raw_input_contents, got none",
                       STR_ARG(name));
    if (!in->has_contents) return v2_raw_read(rd->r, t, name, STR(""), &raw_words, e);
    rd->r->variant |= TYPED;
    err_code rc = contents_read(rd->r, t, in->contents, e);
    return rc ? err_wrap(e, "input '" STR_FMT "'", STR_ARG(name)) : ERR_OK;
}

static err_code fields_read(reader *rd, err *e)
{
    uint32_t most = served_input_count(rd->r->model);
    err_code rc = ERR_OK;
    pb m;
    pb_field f;
    pb_init(&m, rd->r->body.p, rd->r->body.len);
    while (rc == ERR_OK && pb_next(&m, &f)) {
        switch (f.number) {
        case INFER_ID: rd->r->id = pb_text(&m, &f); break;
        case INFER_PARAMETERS: rc = schedule_read(rd->r, pb_sub(&m, &f), e); break;
        case REQUEST_INPUTS: rc = input_read(rd, pb_sub(&m, &f), e); break;
        case REQUEST_OUTPUTS: rc = want_read(rd, pb_sub(&m, &f), e); break;
        case REQUEST_RAW:
            if (rd->raw_count < most) rd->raw[rd->raw_count] = pb_bytes(&m, &f);
            rd->raw_count++;
            break;
        default: break;
        }
    }
    return rc ? rc : pb_check(&m, MESSAGE, e);
}

static err_code pb_read(infer *r, err *e)
{
    uint32_t n = served_input_count(r->model);
    reader rd = {.r = r,
                 .given = arena_new(&r->memory, bool, n + 1),
                 .inputs = arena_new(&r->memory, given_input, n + 1),
                 .raw = arena_new(&r->memory, str, n + 1)};
    if (!rd.given || !rd.inputs || !rd.raw) return err_set(e, ERR_NOMEM, "request: no memory for its inputs");
    err_code rc = infer_inputs(r, e);
    if (rc == ERR_OK) rc = v2_wants_new(r, e);
    if (rc == ERR_OK) rc = fields_read(&rd, e);
    if (rc == ERR_OK) rc = v2_inputs_complete(r, rd.given, rd.input_count, e);
    if (rc) return rc;
    size_t in_message = rd.input_count;
    for (size_t k = 0; k < rd.input_count; k++) in_message -= rd.inputs[k].asked.memory.region.p != NULL;
    for (size_t k = 0; k < rd.input_count && rd.raw_count; k++)
        if (rd.inputs[k].has_contents) return data_read(&rd, k, e);   /* which refuses both */
    if (rd.raw_count && rd.raw_count != in_message)
        return err_set(e, ERR_INVALID,
                       "the number of inputs (%zu) does not match the expected number of raw input contents (%zu) for "
                       "model '" STR_FMT "'.",
                       in_message, rd.raw_count, STR_ARG(r->model->name));
    for (size_t k = 0; k < rd.input_count && rc == ERR_OK; k++) rc = data_read(&rd, k, e);
    if (rc) return rc;
    if (rd.want_count == 0) v2_wants_all(r, true);
    return pictures_take(r, e);
}

/* ---- writing ---- */

/* Varints go in lists of this many: a packed field may come in several, and each is made on the stack. */
enum { LIST_MAX = 256 };

static int64_t number_at(const void *from, dtype type, size_t i)
{
    switch (type) {
    case DT_BOOL: return ((const bool *)from)[i];
    case DT_I8: return ((const int8_t *)from)[i];
    case DT_I16: return ((const int16_t *)from)[i];
    case DT_I32: return ((const int32_t *)from)[i];
    case DT_U8: return ((const uint8_t *)from)[i];
    case DT_U16: return ((const uint16_t *)from)[i];
    case DT_U32: return ((const uint32_t *)from)[i];
    default: INVARIANT(type == DT_I64 || type == DT_U64); return ((const int64_t *)from)[i];
    }
}

static void contents_put(buf *out, const tensor *t)
{
    form as = forms[t->type];
    size_t count = (size_t)tensor_count(t), opened = pb_open(out, TENSOR_CONTENTS);
    if (as.item == PB_BYTES) {
        for (size_t i = 0; i < count; i++) pb_put_str(out, as.number, ((const str *)t->data)[i]);
    } else if (as.item == PB_VARINT) {
        int64_t list[LIST_MAX];
        for (size_t i = 0; i < count; i += LIST_MAX) {
            size_t n = count - i < LIST_MAX ? count - i : LIST_MAX;
            for (size_t k = 0; k < n; k++) list[k] = number_at(t->data, t->type, i + k);
            pb_put_packed_i64(out, as.number, list, n);
        }
    } else if (count) {
        pb_put_bytes(out, as.number, t->data, tensor_bytes(t));
    }
    pb_close(out, opened);
}

/* An entry "labels" of the output's parameters: the class labels of what was a ZipMap, as JSON. */
static void labels_put(buf *out, const attr *labels)
{
    size_t entry = pb_open(out, TENSOR_PARAMETERS);
    pb_put_str(out, MAP_KEY, STR("labels"));
    size_t value_at = pb_open(out, MAP_VALUE), text = pb_open(out, PARAMETER_PB_STRING);
    v2_labels_print(out, labels);
    pb_close(out, text);
    pb_close(out, value_at);
    pb_close(out, entry);
}

/* Inputs came typed to a model that has no config.pbtxt, and every wanted output has a typed form. */
static bool may_be_typed(const infer *r)
{
    bool may = (r->variant & TYPED) != 0 && !model_config_limits(r->model->config);
    for (uint32_t i = 0; i < r->want_count && may; i++) may = forms[r->wants[i].t->type].number != 0;
    return may;
}

static void parameter_put(buf *out, const char *key, uint32_t number, const uint64_t *v, str text)
{
    size_t entry = pb_open(out, TENSOR_PARAMETERS);
    pb_put_str(out, MAP_KEY, str_of(key));
    size_t value_at = pb_open(out, MAP_VALUE);
    if (v) pb_put_u64(out, number, *v);
    else pb_put_str(out, number, text);
    pb_close(out, value_at);
    pb_close(out, entry);
}

static void memory_put(buf *out, const infer_memory *m)
{
    parameter_put(out, "shared_memory_region", PARAMETER_PB_STRING, NULL, m->region);
    if (m->offset) parameter_put(out, "shared_memory_offset", PARAMETER_PB_INT64, &m->offset, m->region);
    parameter_put(out, "shared_memory_byte_size", PARAMETER_PB_INT64, &m->bytes, m->region);
}

static err_code output_put(infer *r, uint32_t i, bool typed, err *e)
{
    const infer_want *w = &r->wants[i];
    const model_io *io = infer_output_io(r, w->output);
    const tensor *t = w->t;
    const char *type;
    err_code rc = v2_output_datatype(&type, io, t, e);
    if (rc) return rc;
    size_t opened = pb_open(&r->reply, RESPONSE_OUTPUTS);
    pb_put_str(&r->reply, TENSOR_NAME, io->name);
    pb_put_str(&r->reply, TENSOR_DATATYPE, str_of(type));
    pb_put_packed_i64(&r->reply, TENSOR_SHAPE, t->shape.dim, t->shape.rank);
    if (io->labels && !w->classes) labels_put(&r->reply, io->labels);
    if (w->memory.region.p) memory_put(&r->reply, &w->memory);
    else if (typed) contents_put(&r->reply, t);
    pb_close(&r->reply, opened);
    return ERR_OK;
}

/* The last tensor may stay where it lies: `tail`. */
static void raw_put(infer *r, uint32_t i, bool tail)
{
    const infer_want *w = &r->wants[i];
    if (w->memory.region.p) {   /* there is an entry for each output */
        pb_put_bytes(&r->reply, RESPONSE_RAW, "", 0);
        return;
    }
    pb_put_head(&r->reply, RESPONSE_RAW, v2_raw_bytes(w->t));
    v2_raw_put(&r->reply, w->t, tail ? &r->tail : NULL);
}

static err_code response_put(infer *r, bool stream, err *e)
{
    static const uint8_t room[V2_PB_ROOM];
    err_code rc = v2_outputs_make(r, e);
    if (rc) return rc;
    bool typed = may_be_typed(r);
    buf_put(&r->reply, room, sizeof room);
    r->reply_head = sizeof room;
    pb_put_str(&r->reply, INFER_MODEL_NAME, r->model->name);
    pb_put_str(&r->reply, INFER_MODEL_VERSION, r->model->version);
    if (r->id.len) pb_put_str(&r->reply, INFER_ID, r->id);
    if (stream) {   /* one answer to each message: it is the final one */
        static const char entry[] = "\x0a\x15" "triton_final_response" "\x12\x02\x08\x01";
        pb_put_bytes(&r->reply, INFER_PARAMETERS, entry, sizeof entry - 1);
    }
    for (uint32_t i = 0; i < r->want_count && rc == ERR_OK; i++) rc = output_put(r, i, typed, e);
    for (uint32_t i = 0; i < r->want_count && rc == ERR_OK && !typed; i++)
        raw_put(r, i, !stream && i + 1 == r->want_count);
    return rc;
}

static err_code pb_write(infer *r, err *e) { return response_put(r, false, e); }

static err_code stream_write(infer *r, err *e)
{
    err_code rc = response_put(r, true, e);
    if (rc || r->reply.full) return rc;
    size_t len = r->reply.len - V2_PB_ROOM;
    r->reply_head -= pb_head_size(STREAM_RESPONSE, len);
    pb_print_head(r->reply.p + r->reply_head, STREAM_RESPONSE, len);
    return ERR_OK;
}

void v2_pb_stream_error_print(buf *out, str id, const char *text)
{
    pb_put_str(out, STREAM_ERROR, str_of(text));
    size_t response = pb_open(out, STREAM_RESPONSE);   /* so that the client knows which one failed */
    if (id.len) pb_put_str(out, INFER_ID, id);
    pb_close(out, response);
}

const infer_protocol v2_pb_protocol = {.read = pb_read, .write = pb_write, .counted = METRIC_GRPC};
const infer_protocol v2_pb_stream_protocol = {.read = pb_read, .write = stream_write, .counted = METRIC_STREAM};
