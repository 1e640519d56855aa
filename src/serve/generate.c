#include "serve/generate.h"

#include "serve/json_body.h"
#include "serve/json_tensor.h"
#include "serve/schedule.h"
#include "serve/v2_tensor.h"
#include "wire/json_text.h"

typedef struct {
    infer *r;
    bool *given;   /* per model input */
    size_t given_count;
} reader;

/* ---- reading ---- */

static err_code no_shape(str name, err *e)
{
    return err_set(e, ERR_INVALID, "The schema can not convert input '" STR_FMT "' to tensor with proper shape",
                   STR_ARG(name));
}

static err_code shape_guess(shape *ret, const model_io *io, uint64_t count, err *e)
{
    *ret = io->shape;
    if (!io->ranked) {
        ret->rank = 1;
        ret->dim[0] = (int64_t)count;
        return ERR_OK;
    }
    for (uint32_t d = 0; d < ret->rank; d++) {
        if (ret->dim[d] < 0) continue;
        if (ret->dim[d] == 0 || count % (uint64_t)ret->dim[d]) return no_shape(io->name, e);
        count /= (uint64_t)ret->dim[d];
    }
    for (uint32_t d = ret->rank; d-- > 0;) {
        if (ret->dim[d] >= 0) continue;
        ret->dim[d] = (int64_t)count;
        count = 1;
    }
    return count == 1 ? ERR_OK : no_shape(io->name, e);
}

/* The value's text, as a list. */
static err_code text_make(infer *r, yyjson_val *v, str *ret, err *e)
{
    bool list = yyjson_is_arr(v);
    if (!list) buf_put_byte(&r->scratch, '[');
    json_body_print(&r->scratch, v);
    if (!list) buf_put_byte(&r->scratch, ']');
    err_code rc = buf_check(&r->scratch, "request", e);
    if (rc) return rc;
    str copy = str_copy(&r->memory, buf_str(&r->scratch));
    buf_clear(&r->scratch);
    if (!copy.p) return err_set(e, ERR_NOMEM, "request: no memory for its values");
    *ret = copy;
    return ERR_OK;
}

static err_code input_take(reader *rd, str name, uint32_t i, yyjson_val *v, err *e)
{
    infer *r = rd->r;
    const model_io *io = served_input(r->model, i);
    shape s;
    str text;
    if (rd->given[i]) return err_set(e, ERR_INVALID, "input '" STR_FMT "': given twice", STR_ARG(name));
    rd->given[i] = true;
    rd->given_count++;
    if ((yyjson_is_obj(v) && io->type != DT_STRING) || yyjson_is_null(v))   /* {"b64": "..."} is a string */
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': expected a value or a list of values", STR_ARG(name));
    err_code rc = shape_guess(&s, io, yyjson_is_arr(v) ? yyjson_arr_size(v) : 1, e);
    if (rc == ERR_OK) rc = infer_input_set(r, i, io->type, &s, e);
    if (rc == ERR_OK) rc = text_make(r, v, &text, e);
    return rc ? rc : json_tensor_read(&r->inputs[i], &r->memory, io->name, io->type, &s, text, e);
}

/* Numbers were kept as text. */
static parameter parameter_of(yyjson_val *v)
{
    uint64_t number;
    if (!yyjson_is_raw(v)) return parameter_of_json(v);
    if (json_is_word(v)) return (parameter){.kind = PARAMETER_OTHER};
    str text = {yyjson_get_raw(v), yyjson_get_len(v)};
    if (str_u64(text, &number)) return (parameter){.kind = PARAMETER_NUMBER, .number = number};
    int64_t below;
    return (parameter){.kind = str_i64(text, &below) ? PARAMETER_NEGATIVE : PARAMETER_REAL};
}

static err_code member_take(reader *rd, str name, yyjson_val *v, err *e)
{
    int32_t i = infer_input_index(rd->r, name);
    if (i >= 0) return input_take(rd, name, (uint32_t)i, v, e);
    parameter p = parameter_of(v);
    return schedule_take(rd->r, name, &p, e);
}

static err_code nested_read(reader *rd, yyjson_val *v, err *e)
{
    yyjson_val *key, *member;
    size_t i, n;
    if (infer_input_index(rd->r, STR("parameters")) >= 0)
        return err_set(e, ERR_INVALID, "Keyword 'parameters' for nested schema also given as input tensor name");
    if (!yyjson_is_obj(v)) return err_set(e, ERR_INVALID, "Expected JSON object for keyword: 'parameters'");
    yyjson_obj_foreach(v, i, n, key, member)
    {
        err_code rc = member_take(rd, json_key(key), member, e);
        if (rc) return err_wrap(e, "Converting keyword: 'parameters'");
    }
    return ERR_OK;
}

static err_code members_read(reader *rd, yyjson_val *root, err *e)
{
    yyjson_val *key, *v;
    size_t i, n;
    yyjson_obj_foreach(root, i, n, key, v)
    {
        str name = json_key(key);
        err_code rc;
        if (str_is(name, "parameters")) rc = nested_read(rd, v, e);
        else if (!str_is(name, "id") || infer_input_index(rd->r, name) >= 0) rc = member_take(rd, name, v, e);
        else if (yyjson_is_raw(v) && !json_is_word(v)) {
            rd->r->id = (str){yyjson_get_raw(v), yyjson_get_len(v)};
            rc = ERR_OK;
        } else rc = json_str(v, "id", &rd->r->id, e);
        if (rc) return rc;
    }
    return ERR_OK;
}

static err_code generate_read(infer *r, err *e)
{
    json_body body;
    json_body_opts bo = {.memory = &r->memory, .scratch = &r->scratch, .prints = true};
    err_code rc = json_body_read(&body, r->body, &bo, e);
    if (rc) return rc;
    reader rd = {.r = r, .given = arena_new(&r->memory, bool, served_input_count(r->model) + 1)};
    if (!rd.given) return err_set(e, ERR_NOMEM, "request: no memory for its inputs");
    rc = infer_inputs(r, e);
    if (rc == ERR_OK) rc = members_read(&rd, body.root, e);
    if (rc == ERR_OK) rc = v2_inputs_complete(r, rd.given, rd.given_count, e);
    if (rc == ERR_OK) rc = v2_wants_new(r, e);
    if (rc == ERR_OK) v2_wants_all(r, false);
    return rc;
}

/* ---- writing ---- */

static err_code output_print(buf *out, const model_io *io, const tensor *t, err *e)
{
    return tensor_count(t) == 1 ? json_tensor_print_one(out, io->name, t, e) : json_tensor_print(out, io->name, t, e);
}

static err_code generate_write(infer *r, err *e)
{
    buf *out = &r->reply;
    err_code rc = v2_outputs_make(r, e);
    buf_put_byte(out, '{');
    if (r->id.p) {
        buf_put_z(out, "\"id\":");
        json_text_put(out, r->id);
        buf_put_byte(out, ',');
    }
    buf_put_z(out, "\"model_name\":");
    json_text_put(out, r->model->name);
    buf_put_z(out, ",\"model_version\":");
    json_text_put(out, r->model->version);
    for (uint32_t i = 0; i < r->want_count && rc == ERR_OK; i++) {
        const model_io *io = infer_output_io(r, r->wants[i].output);
        buf_put_byte(out, ',');
        json_text_put(out, io->name);
        buf_put_byte(out, ':');
        rc = output_print(out, io, r->wants[i].t, e);
    }
    buf_put_byte(out, '}');
    return rc;
}

/* JSON has no newline of its own, so it is one line of an event. */
static err_code event_write(infer *r, err *e)
{
    buf_put_z(&r->reply, "data: ");
    err_code rc = generate_write(r, e);
    buf_put_z(&r->reply, "\n\n");
    return rc;
}

const infer_protocol generate_protocol = {.read = generate_read, .write = generate_write, .counted = METRIC_GENERATE};
const infer_protocol generate_stream_protocol = {
    .read = generate_read,
    .write = event_write,
    .counted = METRIC_GENERATE,
    .content_type = "text/event-stream; charset=utf-8",
};
