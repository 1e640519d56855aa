/* Property: any bytes as the body of a request to a model that takes pictures - JSON of V1 or V2, a picture, a form, a
 * text - are answered in JSON, or refused in words, as the client's fault.  The first byte chooses protocol and
 * content type. */
#include "models/pipeline.h"
#include "naive.h"
#include "serve/plain.h"
#include "serve/v1.h"
#include "serve/v2.h"
#include "serve_rig.h"
#include "test.h"

#include <stdlib.h>

static void start(serve_rig *r)
{
    onnx_build b;
    err e;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N,3,2,2");
    onnx_build_ints(&b, "axes", "2", (const int64_t[]){2, 3});
    onnx_build_node(&b, "ReduceSum", "x,axes", "y", "keepdims=0");
    onnx_build_output(&b, "y", DT_F32, "N,3");
    serve_rig_start(r, &b);
    pipeline_from from = {.path = "m", .ios = &r->served.ios, .pixels_max = 10000};
    const str text = STR("inputs: {x: {image: {}}}\nanswer: {classes: {labels: [a, b]}}");
    err_code rc = pipeline_parse(&r->served.pipeline, text, "p", NULL, &from, &e);
    INVARIANT(rc == ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static serve_rig rig;
    if (!rig.served.pipeline) start(&rig);
    if (size == 0 || size > 1 << 16) return 0;
    rig.plain = (data[0] >> 1) % (PLAIN_FORM + 1);
    const infer_protocol *by = data[0] & 1 ? &v2_protocol : &v1_protocol;
    const char *text = serve_rig_ask(&rig, by, (str){(const char *)data + 1, size - 1}, (str){0});
    if (text[0] == '2') {
        yyjson_doc *answer = naive_parse(buf_str(&rig.request.reply));
        INVARIANT(answer);
        yyjson_doc_free(answer);
    } else {
        int status = atoi(text);   /* 501: what the protocol or the decoder refuses by name */
        INVARIANT(strlen(text) > 4 && (status == 400 || status == 413 || status == 501));
    }
    serve_rig_forget(&rig);
    return 0;
}
