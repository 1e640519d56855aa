/* json_tensor.h - between JSON arrays and tensors, for the REST protocols.
 *
 * FP16 and BF16 have no JSON form (the V2 specification): they are refused both ways with the way out, the binary
 * extension.  NaN and infinities are read as json_array.h has them; V2 writes them as Triton does (NaN, Infinity,
 * -Infinity), V1 as KServe does (null).  Memory for the elements comes from the request's arena and is bounded by the
 * text, whatever shape it claims. */
#ifndef SERVE_JSON_TENSOR_H
#define SERVE_JSON_TENSOR_H
#include "base/buf.h"
#include "tensor/tensor.h"

/* Reads `json` as elements of `type`; a string may be {"b64": "..."}, too.  With `want`, the text is flat or nested in
 * just that shape; without, its nesting is the shape. Errors open with "input 'NAME': data". */
err_code json_tensor_read(tensor *ret, arena *memory, str name, dtype type, const shape *want, str json,
                          err *e) MUST_USE;

/* Flat, as V2 writes it. */
err_code json_tensor_print(buf *out, str name, const tensor *t, err *e) MUST_USE;
/* Of one element: that alone, as generate writes it. */
err_code json_tensor_print_one(buf *out, str name, const tensor *t, err *e) MUST_USE;
/* Nested by the shape, as V1 writes it; a scalar is a number. */
err_code json_tensor_print_nested(buf *out, str name, const tensor *t, err *e) MUST_USE;
/* Row `row` of dim 0, nested. */
err_code json_tensor_print_row(buf *out, str name, const tensor *t, uint64_t row, err *e) MUST_USE;

#endif
