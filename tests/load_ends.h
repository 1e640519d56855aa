/* load_ends.h - how the load of a built model ends: for the tests of what is refused then. */
#ifndef TESTS_LOAD_ENDS_H
#define TESTS_LOAD_ENDS_H
#include "engine/model.h"
#include "onnx_build.h"
#include "test.h"

/* text NULL: it loads. */
static inline void load_ends(onnx_build *b, const char *text)
{
    static const model_opts no_opts;
    err e = {0};
    model *m = NULL;
    err_code rc = model_open_bytes(&m, onnx_build_bytes(b), "t.onnx", NULL, &no_opts, &e);
    CHECK_STR(rc ? e.text : "", text ? text : "");
    CHECK((rc == ERR_OK) == (text == NULL));
    model_free(m);
    onnx_build_end(b);
}

#endif
