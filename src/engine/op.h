/* op.h - one table of operators: a row is an operator from one opset version on.
 *
 * Adding an operator is one row in the table of its family file (op_*.c), an infer and a run function, and a test.
 *
 * The life of a node:
 *   load      the row is found by name, domain and the highest `since` <= the model's opset; unknown attributes,
 *             counts or types are refused here, with the node's name
 *   prepare   once per model, after the passes: reads attributes, packs constant weights into `state` (model's arena)
 *   infer     once per plan (per set of input shapes): sets type and shape of every output.  An input whose value
 *             is known then (constant, or computed from shapes) has data; else data == NULL.  Where the
 *             output shape hangs on a value that is not known, say `return op_later(c, input)`: the planner
 * calls infer again when the
 *             request has computed it
 *   run       outputs are allocated, dense, not zeroed (zero-element ones have data NULL): compute
 * A node all of whose inputs are known at plan time is run then, so infer/run serve constant folding too.
 * infer and run are re-entrant: they touch only the op_call, never the node or globals.  Passes fold and probe nodes
 * before they are prepared: with state NULL both must read the attributes themselves.  A fused residual (OP_FUSES_ADD)
 * is the last input, after all optional ones, at index row->in_max. */
#ifndef ENGINE_OP_H
#define ENGINE_OP_H
#include "async/compute.h"
#include "base/mem.h"
#include "engine/graph.h"
#include "tensor/kernel.h"

typedef struct op_call {
    const node *node;
    const graph *graph;
    uint32_t in_count, out_count;
    const tensor *const *in;     /* NULL entry = optional input left out */
    tensor *const *out;          /* NULL entry = output not wanted */
    void *state;                 /* what prepare made */
    compute *pool;               /* for compute_for(); may be NULL */
    const kernel_set *k;         /* the kernels to use */
    arena *scratch;              /* empty again after each node; for strings of outputs use `lasting` */
    arena *lasting;              /* lives as long as the outputs (strings' bytes, run-time sized outputs) */
    bool later;                  /* set by op_later() */
    struct exec *within;         /* the execution, for what runs subgraphs (subrun.h); NULL at plan time */
    struct subrun *kept;         /* what subrun.h keeps for this node between runs */
} op_call;

typedef struct {
    graph *graph;
    node *node;
    const tensor **in;           /* constant inputs; NULL = absent or not constant */
    arena *memory;               /* the model's: what is pushed lives as long as the node */
    const kernel_set *k;
} op_prep;

enum {
    OP_VIEW = 1 << 0, /* output 0 is input 0 with another shape: no data moves, run is not called */
    OP_INPLACE = 1 << 1, /* output 0 may share the memory of any input that dies here and has the same shape and type */
    OP_FUSES_ACT = 1 << 2, /* honours node->act on output 0 */
    OP_FUSES_ADD = 1 << 3, /* honours node->residual */
    OP_RUNTIME =
        1 << 4, /* output shapes depend on computed data: run calls op_alloc() for each output; infer sets types */
    OP_RANDOM = 1 << 5, /* not folded: another result each time */
    OP_GRAPH = 1 << 6, /* has subgraph attributes */
    OP_SHAPE = 1 << 7, /* run reads only the shapes of its inputs: run at plan time though their data is not known */
    OP_UNEVEN = 1 << 8, /* what it costs hangs on its inputs' values by whole orders, not on their shapes alone */
};

enum { OP_ANY = 255 };           /* in_max, out_max: variadic */

/* Which element types an input or output may have, as a bit set of 1 << dtype. */
#define T1(t) (1u << (t))
#define T_FLOAT   (T1(DT_F32) | T1(DT_F16) | T1(DT_F64) | T1(DT_BF16))
#define T_INT     (T1(DT_I8) | T1(DT_I16) | T1(DT_I32) | T1(DT_I64))
#define T_UINT    (T1(DT_U8) | T1(DT_U16) | T1(DT_U32) | T1(DT_U64))
#define T_NUMBER  (T_FLOAT | T_INT | T_UINT)
#define T_ANY     UINT32_MAX

typedef struct {
    const char *name;
    attr_kind kind;
    bool required;
} op_attr;
enum { OP_ATTRS_MAX = 24 };   /* TreeEnsembleClassifier has 21 */
#define OP_BYTES_MAX ((size_t)1 << 40)   /* of one output; more than any machine has, and far from overflow */

struct op_row {
    const char *name, *domain;   /* domain "" = ai.onnx */
    int since;                   /* first opset version with these semantics */
    uint32_t flags;
    uint8_t in_min, in_max, out_min, out_max;
    op_attr attrs[OP_ATTRS_MAX]; /* ends with a zero row; an attribute not listed is refused at load */
    err_code (*prepare)(op_prep *p, void **ret_state, err *e);   /* NULL = nothing to prepare */
    err_code (*infer)(op_call *c, err *e);
    err_code (*run)(op_call *c, err *e);
    uint64_t (*flops)(const op_call *c);                         /* NULL = outputs' elements; shapes are known */
    const char *(*kernel)(const op_call *c);                     /* for `model inspect`; NULL = the ISA's name */
    const void *data;            /* what rows of a family that share infer and run differ in; the family's own type */
};

/* The families, each a NULL-name-terminated table op_rows_NAME[] in its own op_NAME.c; listed in op_list.h. */
const op_row *op_find(str domain, str name, int64_t opset,
                      int *reterr_newest); /* NULL: unknown (newest 0) or too old */
size_t op_count(void);                                   /* distinct operators, for docs and tests */
const op_row *op_at(size_t i);
/* Counts and attributes of a node against its row. */
err_code op_check(const graph *g, const node *n, err *e) MUST_USE;
/* The inputs' types against ONNX's; of one that is NULL the type is not known. */
err_code op_types_fit(const op_call *c, err *e) MUST_USE;
/* op_types_fit(), then calls the row's infer: what the planner and the run call. */
err_code op_infer(op_call *c, err *e) MUST_USE;
int op_opset_max(str domain);                            /* 27 for ai.onnx; 0 = unknown domain */

/* Helpers for infer. */
err_code op_later(op_call *c, uint32_t input);           /* ERR_OK and c->later: the value of `input` is needed first */
bool op_known(const op_call *c, uint32_t input);         /* absent, or has data, or has no elements */
err_code op_same(op_call *c, err *e);                    /* infer: output 0 like input 0 */
err_code op_broadcast(op_call *c, err *e); /* infer: output 0 = broadcast of all inputs, type of input 0 */
err_code op_set(op_call *c, uint32_t output, dtype type, const shape *s,
                err *e) MUST_USE; /* checks overflow and limits */
err_code op_type(const op_call *c, uint32_t input, uint32_t types,
                 err *e) MUST_USE; /* "input 1 'w': expected float32, got int8" */
err_code op_rank(const op_call *c, uint32_t input, uint32_t rank_min, uint32_t rank_max, err *e) MUST_USE;
/* Where `axis` lies, which may count from the end, in a tensor of `rank`; `what` opens the message. */
err_code op_axis_of(const op_call *c, int64_t axis, uint32_t rank, const char *what, uint32_t *ret, err *e) MUST_USE;
err_code op_axis(const op_call *c, int64_t absent, uint32_t rank, uint32_t *ret,
                 err *e) MUST_USE; /* the attribute 'axis' */
/* The integers of a known input, or of an attribute where the input is not there; none = count 0. */
enum { OP_INTS_MAX = 2 * TENSOR_RANK_MAX };
typedef struct {
    uint32_t count;
    int64_t at[OP_INTS_MAX];
} op_ints;
err_code op_ints_of(const op_call *c, uint32_t input, const char *attr_name, op_ints *ret, err *e) MUST_USE;
/* The same as axes of a tensor of `rank`: each in 0..rank-1, none twice. */
err_code op_axes_of(const op_call *c, uint32_t input, const char *attr_name, uint32_t rank, op_ints *ret,
                    err *e) MUST_USE;
/* After infer: whether the outputs have any element.  Where not, run is not called: a shape like [1099511627776,0]
 * costs its client nothing and must not make anybody count to its end.  Unknown before an OP_RUNTIME row ran: true. */
bool op_makes_anything(const op_call *c);
/* Helper for run of OP_RUNTIME rows: sets type and shape and gives the output its memory in c->lasting. */
err_code op_alloc(op_call *c, uint32_t output, dtype type, const shape *s, err *e) MUST_USE;
/* An error that names the node: "node 'x' (Op): " + text. */
err_code op_err(const op_call *c, err *e, err_code code, const char *fmt, ...) PRINTF(4, 5);
#define op_err(...) ERR_FAILED(op_err(__VA_ARGS__))

#endif
