/* Any bytes as a generate request to a model with one input or with four: what is accepted is JSON, and so is its
 * answer, which names the model and each output once.  The first byte of an input chooses the model. */
#include "json_pair.h"
#include "serve/generate.h"

static void check(serve_rig *r, yyjson_val *asked, yyjson_val *answered)
{
    (void)asked;
    INVARIANT(yyjson_obj_size(answered) == (r->request.id.p ? 3u : 2u) + model_output_count(r->served.model));
    INVARIANT(yyjson_equals_str(yyjson_obj_get(answered, "model_name"), "m"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_pair_run(data, size, &generate_protocol, check);
    return 0;
}
