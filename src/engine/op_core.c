/* Operators without arithmetic that the graph itself needs. */
#include "engine/op.h"

/* A map of labels to probabilities is kept as the tensor of probabilities; its output has the labels (pass_zipmap). */
static err_code zipmap_infer(op_call *c, err *e)
{
    err_code rc = op_type(c, 0, T1(DT_F32), e);
    if (!rc) rc = op_rank(c, 0, 1, 2, e);
    return rc ? rc : op_same(c, e);
}

const op_row op_rows_core[] = {
    {.name = "Identity",
     .domain = "",
     .since = 1,
     .flags = OP_VIEW,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 1,
     .infer = op_same},
    {.name = "ZipMap", .domain = "ai.onnx.ml", .since = 1, .flags = OP_VIEW, .in_min = 1, .in_max = 1, .out_min = 1,
     .out_max = 1, .attrs = {{"classlabels_int64s", ATTR_INTS, false}, {"classlabels_strings", ATTR_STRINGS, false}},
     .infer = zipmap_infer},
    {0},
};
