/* Any bytes as a V2 request: what is accepted is what a naive reader finds in it, the answer is JSON, and its tensors
 * are the request's again, for the model gives back what it gets.
 *
 * The first line of an input is the length of its JSON, as in the header; "-" = no header.  What follows a 0 is a raw
 * request, which models of one input get, too: what they take is told by its length. */
#include "naive.h"
#include "serve/v2.h"
#include "serve_rig.h"

#include <string.h>

static serve_rig rig, floats, flags, text; /* x FP32 [N,2], BOOL [3], BYTES [1] -> y, the same */

static void once(void)
{
    onnx_build b;
    if (rig.served.model) return;
    serve_rig_four(&b);
    serve_rig_start(&rig, &b);
    serve_rig_same(&b, DT_F32, "N,2");
    serve_rig_start(&floats, &b);
    serve_rig_same(&b, DT_BOOL, "3");
    serve_rig_start(&flags, &b);
    serve_rig_same(&b, DT_STRING, "1");
    serve_rig_start(&text, &b);
}

/* The accepted tensors, in the order of the document: raw bytes are taken from the tail one after the other. */
static void check_inputs(yyjson_val *root, str tail)
{
    yyjson_val *list = yyjson_obj_get(root, "inputs"), *v;
    size_t i, n;
    INVARIANT(yyjson_arr_size(list) == model_input_count(rig.served.model));
    yyjson_arr_foreach(list, i, n, v)
    {
        int32_t index = infer_input_index(&rig.request, naive_str(yyjson_obj_get(v, "name")));
        INVARIANT(index >= 0);
        const tensor *t = &rig.request.inputs[index];
        const char *type = dtype_v2_name(t->type);
        INVARIANT(str_is(naive_str(yyjson_obj_get(v, "datatype")), type));
        yyjson_val *dims = yyjson_obj_get(v, "shape"), *dim, *size = NULL;
        size_t k, rank;
        INVARIANT(yyjson_arr_size(dims) == t->shape.rank);
        yyjson_arr_foreach(dims, k, rank, dim)
        {
            int64_t d;
            INVARIANT((str_i64(naive_str(dim), &d) && d == t->shape.dim[k]) || str_is(naive_str(dim), "-0"));
        }
        size = yyjson_obj_get(yyjson_obj_get(v, "parameters"), "binary_data_size");
        if (size && !yyjson_is_null(size)) {
            uint64_t bytes;
            INVARIANT(str_u64(naive_str(size), &bytes) || str_is(naive_str(size), "-0"));
            if (str_is(naive_str(size), "-0")) bytes = 0;
            INVARIANT(bytes <= tail.len);
            naive_compare_raw((str){tail.p, bytes}, t);
            tail = (str){tail.p + bytes, tail.len - bytes};
        } else {
            INVARIANT(naive_compare(yyjson_obj_get(v, "data"), t, 0) == tensor_count(t));
        }
    }
    INVARIANT(tail.len == 0);
}

/* Output k of the model is its input k. */
static void check_outputs(str json, str tail)
{
    yyjson_doc *doc = naive_parse(json);
    INVARIANT(doc);
    yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "outputs"), *v;
    size_t i, n;
    INVARIANT(yyjson_arr_size(list) == rig.request.want_count);
    yyjson_arr_foreach(list, i, n, v)
    {
        int32_t index = infer_output_index(&rig.request, naive_str(yyjson_obj_get(v, "name")));
        INVARIANT(index >= 0);
        const tensor *t = &rig.request.inputs[index];
        yyjson_val *size = yyjson_obj_get(yyjson_obj_get(v, "parameters"), "binary_data_size");
        uint64_t bytes;
        INVARIANT(!size == (yyjson_obj_get(v, "data") != NULL));
        bool classes = rig.request.wants[i].classes > 0;   /* strings: another tensor */
        if (!size) {
            INVARIANT(classes || naive_compare(yyjson_obj_get(v, "data"), t, 0) == tensor_count(t));
            continue;
        }
        INVARIANT(str_u64(naive_str(size), &bytes) && bytes <= tail.len);
        if (!classes) naive_compare_raw((str){tail.p, bytes}, t);
        tail = (str){tail.p + bytes, tail.len - bytes};
    }
    INVARIANT(tail.len == 0);
    yyjson_doc_free(doc);
}

static bool split(str all, str *ret_json, str *ret_tail)
{
    str line, rest;
    uint64_t n;
    if (!str_cut(all, '\n', &line, &rest)) return false;
    *ret_json = rest;
    *ret_tail = (str){0};
    if (str_is(line, "-")) return true;
    if (!str_u64(line, &n) || n > rest.len) return false;
    *ret_json = (str){rest.p, n};
    *ret_tail = (str){rest.p + n, rest.len - n};
    return true;
}

/* A raw request comes back as it came, behind `length` of it, or is refused. */
static void check_raw(serve_rig *r, str body, str length, bool taken)
{
    const char *got = serve_rig_ask(r, &v2_protocol, (str){body.p, 0}, body);
    INVARIANT(got[0] == (taken ? '2' : '4'));
    if (taken) {
        INVARIANT(r->tail.len == length.len + body.len && memcmp(r->tail.p, length.p, length.len) == 0);
        INVARIANT(body.len == 0 || memcmp(r->tail.p + length.len, body.p, body.len) == 0);
    }
    serve_rig_forget(r);
}

static void check_raws(str body)
{
    const uint32_t len = (uint32_t)body.len;
    bool booleans = body.len == 3;
    for (size_t i = 0; i < body.len; i++) booleans = booleans && (uint8_t)body.p[i] <= 1;
    check_raw(&floats, body, STR(""), body.len % 8 == 0);
    check_raw(&flags, body, STR(""), booleans);
    check_raw(&text, body, (str){(const char *)&len, sizeof len}, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str json, tail;
    once();
    if (!split((str){(const char *)data, size}, &json, &tail)) return 0;
    if (tail.p && json.len == 0) check_raws(tail);
    const char *got = serve_rig_ask(&rig, &v2_protocol, json, tail);
    if (got[0] == '2') {
        yyjson_doc *doc = naive_parse(json);
        INVARIANT(doc);
        check_inputs(yyjson_doc_get_root(doc), tail);
        yyjson_doc_free(doc);
        str all = buf_str(&rig.request.reply);
        size_t head = rig.request.reply_json_bytes ? rig.request.reply_json_bytes : all.len;
        check_outputs((str){all.p, head}, rig.tail);
    }
    serve_rig_forget(&rig);
    return 0;
}
