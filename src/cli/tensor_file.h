/* tensor_file.h - tensors as NumPy's files: one .npy into a tensor and back, several into an .npz.
 *
 * Strings are read from arrays of kind S or U and written as U, as wire/npy.h has it; bfloat16 as ml_dtypes saves it.
 * Fortran order and types that no tensor has are refused by name. */
#ifndef CLI_TENSOR_FILE_H
#define CLI_TENSOR_FILE_H
#include "base/buf.h"
#include "tensor/tensor.h"

enum { TENSOR_FILE_BYTES_MAX = 1 << 30 };   /* of one file that is read; twice that of one written */

err_code tensor_file_parse(str npy_file, arena *a, tensor *ret, err *e) MUST_USE;   /* copies */
err_code tensor_file_print(buf *b, const tensor *t, err *e) MUST_USE;               /* the bytes of an .npy */
err_code tensor_file_save_npz(const char *path, const str *names, const tensor *const *tensors, size_t count,
                              err *e) MUST_USE;

#endif
