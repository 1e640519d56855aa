/* onnx_tensor.h - TensorProto and SparseTensorProto to tensors, for models and for inputs on disk.
 *
 * Raw data that is aligned for its type stays a view into the message; the rest is copied into the arena.
 * What a message declares is checked against the bytes that are really there before anything is allocated,
 * so a lie about size costs nothing.  External data comes from `external`, which gives a view that outlives the
 * tensor. */
#ifndef ENGINE_ONNX_TENSOR_H
#define ENGINE_ONNX_TENSOR_H
#include "base/arena.h"
#include "tensor/tensor.h"
#include "wire/pb.h"

typedef struct onnx_external onnx_external;
struct onnx_external {
    /* bytes == UINT64_MAX: to the end of the file. */
    err_code (*map)(onnx_external *x, str location, uint64_t offset, uint64_t bytes, str *ret, err *e);
};

typedef struct {
    arena *memory;
    onnx_external *external;      /* NULL: tensors with external data are refused */
    uint64_t dense_max;           /* bytes that a sparse tensor may become */
} onnx_tensor_opts;

enum { ONNX_SPARSE_MAX = 1 << 28 };

/* *ret_name is "" where the message has none.  Errors begin with "tensor 'NAME': ". */
err_code onnx_tensor_read(tensor *ret, str *ret_name, pb message, const onnx_tensor_opts *o, err *e) MUST_USE;
err_code onnx_sparse_read(tensor *ret, str *ret_name, pb message, const onnx_tensor_opts *o, err *e) MUST_USE;
/* Appends t as a TensorProto, without the head of a surrounding field. */
void onnx_tensor_write(buf *b, const tensor *t, str name);

#endif
