/* op_harness.h - runs one operator through the real table: find, check, infer, run, as the engine does.
 *
 * A case owns copies of its inputs and its outputs, each in a heap block of just its size, so that ASan sees a
 * step outside.  Values are given and read as doubles; an error is kept in `e`. */
#ifndef TESTS_OP_HARNESS_H
#define TESTS_OP_HARNESS_H
#include "engine/op.h"
#include "test.h"

enum { OP_CASE_MAX = 8, OP_CASE_ATTRS_MAX = 24, OP_CASE_BYTES = 1 << 20 };

typedef struct {
    graph graph;
    node node;
    attr attrs[OP_CASE_ATTRS_MAX];
    value values[2 * OP_CASE_MAX];
    value_id in_ids[OP_CASE_MAX], out_ids[OP_CASE_MAX];
    tensor in[OP_CASE_MAX], out[OP_CASE_MAX];
    const tensor *in_list[OP_CASE_MAX];
    tensor *out_list[OP_CASE_MAX];
    arena memory;                  /* lasting and scratch */
    const kernel_set *k;           /* NULL = the active ones */
    compute *pool;
    bool inplace;                  /* output 0 in the memory of input 0 */
    struct exec *within;           /* NULL, as at plan time */
    err e;
} op_case;

#define SHAPE(...) shape_make((uint32_t)COUNTOF(((int64_t[]){__VA_ARGS__})), (int64_t[]){__VA_ARGS__})
#define SCALAR ((shape){0})
#define IN(t, type, shape, ...) \
    op_case_in(t, type, shape, (const double[]){__VA_ARGS__}, COUNTOF(((double[]){__VA_ARGS__})))

void op_case_init(op_case *t, const char *op, int64_t opset);       /* one output */
void op_case_fini(op_case *t);
/* Values are repeated from the first when there are more elements than values. */
void op_case_in(op_case *t, dtype type, shape s, const double *values, size_t count);
void op_case_strings(op_case *t, shape s, const char *const *values);
void op_case_none(op_case *t);                                      /* an optional input left out */
void op_case_outputs(op_case *t, uint32_t count);
void op_case_int(op_case *t, const char *name, int64_t v);
void op_case_float(op_case *t, const char *name, float v);
void op_case_str(op_case *t, const char *name, const char *v);
void op_case_ints(op_case *t, const char *name, const int64_t *v, uint32_t count);
void op_case_floats(op_case *t, const char *name, const float *v, uint32_t count);
void op_case_texts(op_case *t, const char *name, const str *v, uint32_t count);
void op_case_tensor(op_case *t, const char *name, const tensor *v);
err_code op_case_run(op_case *t);
/* The same within a run that is to end at its next look: ERR_CANCELLED where the node itself looks. */
err_code op_case_run_cancelled(op_case *t, const _Atomic bool *cancelled);
/* The run is refused, with this text. */
void op_case_refused(op_case *t, const char *text, int line);
#define REFUSED(t, text) op_case_refused(t, text, __LINE__)
/* Output i is a tensor of strings of this shape. */
void op_case_check_strings(const op_case *t, uint32_t i, shape s, const char *const *values, int line);
#define WANT_STRINGS(t, i, shape, ...) op_case_check_strings(t, i, shape, (const char *const[]){__VA_ARGS__}, __LINE__)
/* Output i has this type and shape, and these values within `within`, absolute and relative (NaN equals NaN). */
void op_case_check(const op_case *t, uint32_t i, dtype type, shape s, double within, const double *values, size_t count,
                   int line);
#define WANT(t, i, type, shape, within, ...)                                                              \
    op_case_check(t, i, type, shape, within, (const double[]){__VA_ARGS__}, COUNTOF(((double[]){__VA_ARGS__})), \
                  __LINE__)

#endif
