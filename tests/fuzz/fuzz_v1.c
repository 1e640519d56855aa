/* Any bytes as a V1 request to a model with one input or with four: what is accepted is what a naive reader finds in
 * it, and the answer is JSON.  The first byte of an input chooses the model. */
#include "naive.h"
#include "serve/v1.h"
#include "serve_rig.h"

#include <string.h>

static serve_rig rigs[2];

static void once(void)
{
    onnx_build b;
    if (rigs[0].served.model) return;
    serve_rig_twice(&b);
    serve_rig_start(&rigs[0], &b);
    serve_rig_four(&b);
    serve_rig_start(&rigs[1], &b);
}

/* Input i over all rows, or whole. */
static void check_named(serve_rig *r, uint32_t i, yyjson_val *from)
{
    const model_io *io = model_input(r->served.model, i);
    const tensor *t = &r->request.inputs[i];
    uint64_t at = 0;
    size_t row, rows;
    yyjson_val *v;
    if (yyjson_is_obj(from)) at = naive_compare(yyjson_obj_getn(from, io->name.p, io->name.len), t, 0);
    yyjson_arr_foreach(from, row, rows, v) { at = naive_compare(yyjson_obj_getn(v, io->name.p, io->name.len), t, at); }
    INVARIANT(at == tensor_count(t));
}

static void check_inputs(serve_rig *r, yyjson_val *root)
{
    yyjson_val *v = yyjson_obj_get(root, "instances");
    if (!v) v = yyjson_obj_get(root, "inputs");
    if (yyjson_is_arr(v) && !yyjson_is_obj(yyjson_arr_get_first(v))) {
        INVARIANT(model_input_count(r->served.model) == 1);
        INVARIANT(naive_compare(v, r->request.inputs, 0) == tensor_count(r->request.inputs));
        return;
    }
    for (uint32_t i = 0; i < model_input_count(r->served.model); i++) check_named(r, i, v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    once();
    if (size == 0) return 0;
    serve_rig *r = &rigs[data[0] & 1];
    str json = {(const char *)data + 1, size - 1};
    const char *text = serve_rig_ask(r, &v1_protocol, json, (str){0});
    if (text[0] == '2') {
        yyjson_doc *doc = naive_parse(json), *answer = naive_parse(buf_str(&r->request.reply));
        INVARIANT(doc && answer);
        check_inputs(r, yyjson_doc_get_root(doc));
        INVARIANT(yyjson_obj_size(yyjson_doc_get_root(answer)) == 1);
        yyjson_doc_free(doc);
        yyjson_doc_free(answer);
    }
    serve_rig_forget(r);
    return 0;
}
