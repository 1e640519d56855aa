/* json_pair.h - any bytes as a request in JSON to a model with one input or with four: the first byte chooses.  For the
 * fuzz targets of protocols whose requests and answers are JSON; included once by each. */
#ifndef FUZZ_JSON_PAIR_H
#define FUZZ_JSON_PAIR_H
#include "naive.h"
#include "serve_rig.h"

/* Of what was accepted: what was asked, and what was answered. */
typedef void json_pair_check(serve_rig *r, yyjson_val *asked, yyjson_val *answered);

static inline void json_pair_run(const uint8_t *data, size_t size, const infer_protocol *protocol,
                                 json_pair_check *check)
{
    static serve_rig rigs[2];
    static bool started;
    if (!started) {
        onnx_build made;
        serve_rig_twice(&made);
        serve_rig_start(&rigs[0], &made);
        serve_rig_four(&made);
        serve_rig_start(&rigs[1], &made);
        started = true;
    }
    if (size == 0) return;
    serve_rig *r = &rigs[data[0] & 1];
    str json = {(const char *)data + 1, size - 1};
    const char *text = serve_rig_ask(r, protocol, json, (str){0});
    if (text[0] == '2') {
        yyjson_doc *doc = naive_parse(json), *answer = naive_parse(buf_str(&r->request.reply));
        INVARIANT(doc && answer);
        check(r, yyjson_doc_get_root(doc), yyjson_doc_get_root(answer));
        yyjson_doc_free(doc);
        yyjson_doc_free(answer);
    }
    serve_rig_forget(r);
}

#endif
