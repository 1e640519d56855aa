/* op_each.h - operators whose output element i hangs on element i of each broadcast input, and on nothing else.
 *
 * An operator is a table: for each type that it computes in (op_tile.h) one function over a tile.  The
 * frame broadcasts, converts, splits the work over the pool, and applies the activation that a pass folded
 * into the node.  Tiles of the output may lie in the memory of an input: function results are written in order. */
#ifndef ENGINE_OP_EACH_H
#define ENGINE_OP_EACH_H
#include "engine/op_tile.h"

enum { EACH_INPUTS_MAX = 3, EACH_PARAMS_MAX = 4 };

typedef struct each each;
/* y: n results, in the type of the inputs' tiles, or bytes 0 and 1 where the output is bool. */
typedef void each_fn(const each *x, void *y, const void *const *in, size_t n);

typedef struct {
    uint32_t types;                  /* T_ bits of the inputs that must agree */
    dtype out;                       /* DT_NONE: like the input that `like` names */
    uint8_t like;                    /* inputs before it are bool, in tiles of bytes */
    uint8_t inputs;                  /* how many are elementwise; 0 = all.  The others are read by setup */
    bool mixed;                      /* inputs may differ in type; each is converted to that of `like` */
    bool fold;                       /* any number of inputs: fn(fn(in0, in1), in2) ... */
    bool averages;                   /* folds: setup gives x->mean */
    bool splats;                     /* f32: an input that is one value for long is passed as one element (x->splat) */
    each_fn *f32, *f64, *i64, *u64, *string;
    each_fn *native[DT_COUNT];       /* on elements of the type itself, for types worth sparing the conversion */
    err_code (*setup)(const op_call *c, each *x, err *e);     /* fills x->p and may choose x->fn */
} each_op;

struct each {
    const kernel_set *k;
    double p[EACH_PARAMS_MAX];       /* what setup found in attributes */
    int64_t n[EACH_PARAMS_MAX];
    bool splat[EACH_INPUTS_MAX];
    each_fn *fn;
    each_fn *mean;                   /* of a fold that averages: applied to the sum at the end, in place */
    uint32_t in_count;               /* elementwise ones */
    tile_as as;                      /* what the tiles of the inputs are in, unless they are native */
    /* private */
    bool native, folds;
    const each_op *op;
    const tensor *in[EACH_INPUTS_MAX];
    view walk[EACH_INPUTS_MAX];
    const op_call *call;
    uint64_t count, chunk;
};

/* Both find the each_op in the row's `data`. */
err_code each_infer(op_call *c, err *e);
err_code each_run(op_call *c, err *e);
/* x after `act`, in place, for n elements of a tile of type `as`, or of the type `native` where that is not DT_NONE. */
void each_act(const kernel_set *k, const activation *act, dtype native, tile_as as, void *x, size_t n);

/* One line per tile function.  a, b, c: elements; p: x->p; the expression is the result. */
#define EACH_1(name, TO, FROM, expr)                                                    \
    static void name(const each *x, void *y_, const void *const *in_, size_t n)         \
    {                                                                                   \
        TO *y = y_;                                                                     \
        const double *p = x->p;                                                         \
        const FROM *a_ = in_[0];                                                        \
        (void)p;                                                                        \
        for (size_t i = 0; i < n; i++) {                                                \
            FROM a = a_[i];                                                             \
            y[i] = (TO)(expr);                                                          \
        }                                                                               \
    }

#define EACH_2(name, TO, FROM, expr)                                                    \
    static void name(const each *x, void *y_, const void *const *in_, size_t n)         \
    {                                                                                   \
        TO *y = y_;                                                                     \
        const double *p = x->p;                                                         \
        const FROM *a_ = in_[0], *b_ = in_[1];                                          \
        (void)p;                                                                        \
        for (size_t i = 0; i < n; i++) {                                                \
            FROM a = a_[i], b = b_[i];                                                  \
            y[i] = (TO)(expr);                                                          \
        }                                                                               \
    }

/* The same expression for the types whose size decides alone: sums that wrap, bits, choice. */
#define EACH_2_SIZES(name, expr)                        \
    EACH_2(name##_8, uint8_t, uint8_t, expr)            \
    EACH_2(name##_16, uint16_t, uint16_t, expr)         \
    EACH_2(name##_32, uint32_t, uint32_t, expr)         \
    EACH_2(name##_64, uint64_t, uint64_t, expr)
#define EACH_SIZES(name)                                                                                    \
    [DT_U8] = name##_8, [DT_I8] = name##_8, [DT_U16] = name##_16, [DT_I16] = name##_16, [DT_U32] = name##_32, \
    [DT_I32] = name##_32, [DT_U64] = name##_64, [DT_I64] = name##_64

#endif
