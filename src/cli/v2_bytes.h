/* v2_bytes.h - a tensor out of V2's raw little-endian bytes, as binary_tensor_data and raw_output_contents have them.
 *
 * The bytes must be as many as type and shape say; strings each stand behind four bytes of length.  What is aligned
 * for its type stays where it is, the rest is copied into the arena. */
#ifndef CLI_V2_BYTES_H
#define CLI_V2_BYTES_H
#include "tensor/tensor.h"

err_code v2_bytes_read(str raw, arena *a, tensor *t, err *e) MUST_USE;   /* sets t->data; t has type and shape */

#endif
