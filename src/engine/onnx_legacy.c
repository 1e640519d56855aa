#include "engine/onnx_legacy.h"

static void attr_drop(node *n, const char *name)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n->attr_count; i++) {
        if (!str_is(n->attrs[i].name, name)) n->attrs[kept++] = n->attrs[i];
    }
    n->attr_count = kept;
}

err_code onnx_legacy_rewrite(graph *g, node *n, err *e)
{
    (void)g;
    (void)e;
    attr_drop(n, "consumed_inputs");
    return ERR_OK;
}
