/* tensor.h - a typed, dense, row-major block of elements on a device, and views over it.
 *
 * A tensor does not own its data: it points into an arena, a mapped file or a caller's buffer that outlives
 * it.  Data is always dense and row-major; what other systems do with strides on tensors is done here by a
 * view, which a kernel iterates: broadcasting is a stride of 0, a transpose is permuted strides, a slice is an offset
 * and a step, and none of them copies.  DT_STRING data is an array of str whose bytes live with the data. */
#ifndef TENSOR_TENSOR_H
#define TENSOR_TENSOR_H
#include "base/err.h"
#include "tensor/dtype.h"

enum { TENSOR_RANK_MAX = 8 };   /* the largest rank in ONNX's own tests is 6; a view then fits two cache lines */

typedef enum { DEVICE_CPU } device;

typedef struct {
    uint32_t rank;
    int64_t dim[TENSOR_RANK_MAX];    /* >= 0; in a declared shape -1 = not known before the request */
} shape;

typedef struct {
    dtype type;
    device on;
    shape shape;
    void *data;                      /* NULL = not known yet (shape inference) or no elements */
} tensor;

/* Iteration over a tensor's elements in some order; strides count elements. */
typedef struct {
    uint32_t rank;
    int64_t dim[TENSOR_RANK_MAX];
    int64_t stride[TENSOR_RANK_MAX];
    int64_t offset;
} view;

#define SHAPE_TEXT_MAX 128
#define SHAPE_ELEMENTS_MAX (UINT64_C(1) << 40)   /* more than any machine has room for */
shape shape_make(uint32_t rank, const int64_t *dim);
bool shape_eq(const shape *a, const shape *b);
uint64_t shape_count(const shape *s);   /* elements; 1 for a scalar; UINT64_MAX on overflow or unknown */
uint64_t shape_count_range(const shape *s, uint32_t from, uint32_t to);   /* product of dim[from..to-1] */
/* Whether sizes of this shape and of any part of it, times a small number, stay far from overflow: its dimensions,
 * each that is 0 or not known taken for 1, give at most SHAPE_ELEMENTS_MAX.  [2^60,0] has no element, but what counts
 * its rows meets the 2^60. */
bool shape_bounded(const shape *s);
const char *shape_text(const shape *s, char text[SHAPE_TEXT_MAX]);        /* "[1,3,-1]"; returns text */
/* NumPy's rule; ERR_INVALID names both shapes. */
err_code shape_broadcast(shape *ret, const shape *a, const shape *b, err *e) MUST_USE;
/* axis in -rank..rank-1 to 0..rank-1; ERR_INVALID otherwise.  `what` opens the message. */
err_code shape_axis(uint32_t *ret, int64_t axis, uint32_t rank, const char *what, err *e) MUST_USE;
err_code shape_push(shape *s, int64_t dim, err *e) MUST_USE;              /* ERR_LIMIT over TENSOR_RANK_MAX */

uint64_t tensor_count(const tensor *t);
size_t tensor_bytes(const tensor *t);                     /* SIZE_MAX on overflow */
tensor tensor_make(dtype type, const shape *s, void *data);
/* Element i of an integer or bool tensor as int64 (uint64 over INT64_MAX saturates); for shapes, axes, indices. */
int64_t tensor_int(const tensor *t, uint64_t i);
/* Element i of any number type as double. */
double tensor_f64(const tensor *t, uint64_t i);
void tensor_put_f64(tensor *t, uint64_t i, double v);     /* rounds and saturates as a cast does in ONNX */
void tensor_put_int(tensor *t, uint64_t i, int64_t v);
/* For bytes that came from outside: of a bool tensor each but 0 becomes 1, as C and the kernels take for granted. */
void tensor_settle_bools(tensor *t);

view view_of(const shape *s);                             /* dense */
/* s seen with the larger shape `as`; the shapes are known to broadcast (INVARIANT). */
view view_broadcast(const shape *s, const shape *as);
view view_permute(const view *v, const uint32_t *order);
/* Merges neighbouring dimensions that `count` views all walk as one, and drops those of size 1, so the
 * inner loop is as long as it can be.  All views have the same dims before and after. */
void view_collapse(view *const *views, size_t count);

#endif
