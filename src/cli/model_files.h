/* model_files.h - inputs and outputs of a model on disk.
 *
 * A folder holds input_0.pb, input_1.pb, ... and gets output_0.pb, ... (TensorProto, in the model's order), as
 * ONNX's backend tests do; a path that ends in .npz holds arrays by the names of the inputs and gets those of
 * the outputs.  Strings are read from arrays of kind S or U and written as U, as wire/npy.h has it. */
#ifndef CLI_MODEL_FILES_H
#define CLI_MODEL_FILES_H
#include "engine/model.h"

enum { MODEL_FILES_BYTES_MAX = 1 << 30 };   /* of one file */

/* ret: [model_input_count(m)], checked for type; data lives in arena a. */
err_code model_files_read(const model *m, const char *path, arena *a, tensor **ret, err *e) MUST_USE;
err_code model_files_write(const model *m, const exec *x, const char *path, err *e) MUST_USE;
/* An execution whose inputs are these tensors, which live until exec_give(). */
err_code model_files_take(exec **ret, model *m, const tensor *in, arena *a, err *e) MUST_USE;

#endif
