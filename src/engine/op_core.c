/* Operators without arithmetic that the graph itself needs. */
#include "engine/op.h"

/* A map of labels to probabilities is kept as the tensor of probabilities; its output has the labels (pass_zipmap). */
static err_code zipmap_infer(op_call *c, err *e)
{
    err_code rc = op_type(c, 0, T1(DT_F32), e);
    if (!rc) rc = op_rank(c, 0, 1, 2, e);
    return rc ? rc : op_same(c, e);
}

/* Of opsets before 7: input 0 seen so that its first axis lies on axis `axis` of input 1 (onnx_legacy.c). */
static err_code align_infer(op_call *c, err *e)
{
    shape s = c->in[0]->shape;
    uint32_t rank = c->in[1]->shape.rank, axis;
    err_code rc = shape_axis(&axis, node_int(c->node, "axis", 0), rank, "attribute 'axis'", e);
    if (rc) return op_err(c, e, rc, "attribute 'axis': expected an axis of the first input");
    for (uint32_t used = axis + s.rank; used < rank && !rc; used++) rc = shape_push(&s, 1, e);
    return rc ? rc : op_set(c, 0, c->in[0]->type, &s, e);
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
    {.name = "AlignAxis", .domain = "proa.legacy", .since = 1, .flags = OP_VIEW, .in_min = 2, .in_max = 2, .out_min = 1,
     .out_max = 1, .attrs = {{"axis", ATTR_INT, true}}, .infer = align_infer},
    {0},
};
