/* Operators without arithmetic that the graph itself needs. */
#include "engine/op.h"

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
    {0},
};
