/* op_list.h - the families of operators: each line is a table op_rows_NAME[] in op_NAME.c; included by op.c only. */
OP_FAMILY(core)
OP_FAMILY(conv)
OP_FAMILY(gemm)
OP_FAMILY(shape)
OP_FAMILY(math)
OP_FAMILY(move)
OP_FAMILY(act)
OP_FAMILY(logic)
