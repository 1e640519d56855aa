/* Any bytes as a V1 request to a model with one input or with four: what is accepted is what a naive reader finds in
 * it, and the answer is JSON: without NaN, which a request may have.  The first byte of an input chooses the model. */
#include "json_pair.h"
#include "serve/v1.h"

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

static void check(serve_rig *r, yyjson_val *asked, yyjson_val *answered)
{
    check_inputs(r, asked);
    INVARIANT(yyjson_obj_size(answered) == 1 && naive_is_json(buf_str(&r->request.reply)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_pair_run(data, size, &v1_protocol, check);
    return 0;
}
