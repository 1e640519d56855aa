/* op_types.h - the element types that ONNX allows for the inputs of its operators, and those of the outputs.
 *
 * op_infer() (op.h) checks them before any operator sees its inputs, so that a model cannot make one read a
 * tensor as something that it is not; typing.h checks them at load along the whole graph.  Operators that ONNX
 * does not define have no row and check for themselves. */
#ifndef ENGINE_OP_TYPES_H
#define ENGINE_OP_TYPES_H
#include "base/str.h"

typedef struct op_types op_types;
struct op_types {
    const char *domain, *name;   /* sorted by both, then by `since`; ends with a NULL name */
    int since;
    int variadic;                /* the last input may be repeated */
    const char *inputs;          /* OP_TYPES_STEP characters each: set in base 26, type variable */
    const char *outputs;         /* one character each: type variable, 'a' + dtype - 1, or '0'; '*': the last again */
};
enum { OP_TYPES_STEP = 3, OP_TYPES_VARS = 10 };

extern const uint32_t op_type_sets[];
extern const op_types op_types_rows[];
extern const size_t op_types_count;

/* NULL: ONNX has no such operator at this version. */
const op_types *op_types_find(str domain, str name, int64_t opset);
/* The set (bit 1 << dtype) and the type variable (0 = none) of an input; false = the operator has no such input. */
bool op_types_input(const op_types *t, uint32_t input, uint32_t *ret_set, uint32_t *ret_var);
/* Of an output: the one type it always has (*ret_type), else the variable whose type it has (*ret_var), else both 0. */
void op_types_output(const op_types *t, uint32_t output, uint32_t *ret_type, uint32_t *ret_var);

#endif
