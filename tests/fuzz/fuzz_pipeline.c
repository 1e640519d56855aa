/* Property: any text is a declaration that fits a model, and then has a name and a shape for each of its outputs and
 * rows of the model's own size; or it is an error with a text.  It names no file. */
#include "models/pipeline.h"
#include "onnx_build.h"
#include "test.h"

static model *model_make(void)
{
    static const model_opts none;
    static onnx_build b;
    model *m = NULL;
    err e;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N,3,4,6");
    onnx_build_input(&b, "u", DT_U8, "H,W,1");
    onnx_build_input(&b, "b", DT_F32, "N,9,4");
    onnx_build_input(&b, "s", DT_F32, "N,9,6");
    onnx_build_node(&b, "Identity", "b", "boxes", "");
    onnx_build_node(&b, "Identity", "s", "scores", "");
    onnx_build_output(&b, "boxes", DT_F32, "N,9,4");
    onnx_build_output(&b, "scores", DT_F32, "N,9,6");
    err_code rc = model_open_bytes(&m, onnx_build_bytes(&b), "m.onnx", NULL, &none, &e);
    INVARIANT(rc == ERR_OK);
    return m;
}

static void check(const pipeline *p, const model_ios *ios)
{
    for (uint32_t i = 0; i < p->input_count; i++) {
        const prepare *made = p->inputs[i].image;
        INVARIANT(pipeline_takes(p, i) == (made != NULL));
        INVARIANT(!made || (made->type == ios->inputs[i].type && made->pixels_max <= 1000));
    }
    const pipeline_answer *a = &p->answer;
    INVARIANT(a->output_count <= ANSWER_OUTPUTS && (a->output_count > 0) == (a->kind != ANSWER_NONE));
    INVARIANT(a->scores < ios->output_count && a->boxes < ios->output_count);
    for (uint32_t i = 0; i < a->output_count; i++) INVARIANT(a->outputs[i].name.len && a->outputs[i].ranked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static model *m;
    if (!m) m = model_make();
    if (size > 1 << 16) return 0;
    model_ios ios = model_ios_of(m);
    pipeline_from from = {.path = "m", .ios = &ios, .pixels_max = 1000};
    pipeline *p = NULL;
    err e = {.text = ""};
    err_code rc = pipeline_parse(&p, (str){(const char *)data, size}, "fuzz", NULL, &from, &e);
    INVARIANT((rc == ERR_OK) == (p != NULL) && (p || e.text[0]));
    if (p) check(p, &ios);
    pipeline_free(p);
    return 0;
}
