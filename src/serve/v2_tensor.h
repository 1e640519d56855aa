/* v2_tensor.h - what V2 means by tensors, whatever carries them: REST's JSON with its binary part, or gRPC.
 *
 * Names, datatypes, shapes, which inputs must come and which outputs go, and the raw little-endian bytes of a tensor.
 * Both carriers check with these functions, so that they refuse the same things in the same words.  Memory comes
 * from the request's arena; raw bytes are borrowed where they are aligned for their type. */
#ifndef SERVE_V2_TENSOR_H
#define SERVE_V2_TENSOR_H
#include "serve/infer.h"

/* How a carrier calls a tensor's raw bytes in its errors: where their number is wrong, and where they are. */
typedef struct {
    const char *size, *data;
} v2_raw_words;

err_code v2_datatype(dtype *ret, str text, err *e) MUST_USE;
err_code v2_shape(shape *ret, const int64_t *dims, size_t count, err *e) MUST_USE; /* dims: TENSOR_RANK_MAX at most */

/* The `at`-th input of the request is the model's input *ret, which is marked in given (one flag per model input). */
err_code v2_input_named(const infer *r, bool *given, size_t at, str name, uint32_t *ret, err *e) MUST_USE;
err_code v2_inputs_complete(const infer *r, const bool *given, size_t count, err *e) MUST_USE;
/* Sets t->data. */
err_code v2_raw_read(infer *r, tensor *t, str name, str raw, const v2_raw_words *words, err *e) MUST_USE;

/* What the parameters of a tensor ask for.  Those that mean nothing here are ignored. */
typedef struct {
    infer_memory memory;
    uint64_t classes;
    bool sized;
} v2_parameters;

/* One of them: a text, or a number, or neither (both NULL). */
err_code v2_parameter_add(v2_parameters *to, str name, const str *text, const uint64_t *number, bool output, err *e)
    MUST_USE;
err_code v2_parameters_check(const v2_parameters *p, err *e) MUST_USE; /* behind the last */
/* The tensor's bytes out of shared memory. */
err_code v2_memory_read(infer *r, tensor *t, str name, const infer_memory *m, err *e) MUST_USE;

/* Room for the wanted outputs; then each by its name, or all of them. */
err_code v2_wants_new(infer *r, err *e) MUST_USE;
err_code v2_want_named(infer *r, str name, bool binary, const v2_parameters *p, err *e) MUST_USE;
void v2_wants_all(infer *r, bool binary); /* that go where nobody says which */

/* Writing.  First what goes: sets each want's `t`, and copies into shared memory what goes there. */
err_code v2_outputs_make(infer *r, err *e) MUST_USE;
err_code v2_output_datatype(const char **ret, const model_io *io, const tensor *t, err *e) MUST_USE;
size_t v2_raw_bytes(const tensor *t);
/* Appends them; where `tail` is not NULL and they lie in one piece, they are left there instead: sent behind. */
void v2_raw_put(buf *out, const tensor *t, str *tail);
/* The class labels of an output that was a ZipMap, as a JSON array. */
void v2_labels_print(buf *out, const attr *labels);

#endif
