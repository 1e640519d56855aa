/* Any bytes as a generate request to a model with one input or with four: what is accepted is JSON, and so is its
 * answer, which names the model and each output once.  The first byte of an input chooses the model. */
#include "naive.h"
#include "serve/generate.h"
#include "serve_rig.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    once();
    if (size == 0) return 0;
    serve_rig *r = &rigs[data[0] & 1];
    str json = {(const char *)data + 1, size - 1};
    const char *text = serve_rig_ask(r, &generate_protocol, json, (str){0});
    if (text[0] == '2') {
        yyjson_doc *doc = naive_parse(json), *answer = naive_parse(buf_str(&r->request.reply));
        INVARIANT(doc && answer);
        yyjson_val *root = yyjson_doc_get_root(answer);
        INVARIANT(yyjson_obj_size(root) == (r->request.id.p ? 3u : 2u) + model_output_count(r->served.model));
        INVARIANT(yyjson_equals_str(yyjson_obj_get(root, "model_name"), "m"));
        yyjson_doc_free(doc);
        yyjson_doc_free(answer);
    }
    serve_rig_forget(r);
    return 0;
}
