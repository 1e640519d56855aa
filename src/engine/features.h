/* features.h - the input of a classic machine-learning operator: rows of features, as float.
 *
 * [n] is one row of n features, [m, n] are m.  float32 is read where it lies; float64, int32 and int64 are converted
 * into the call's scratch, because ai.onnx.ml computes in float. */
#ifndef ENGINE_FEATURES_H
#define ENGINE_FEATURES_H
#include "engine/op.h"

#define T_FEATURE (T1(DT_F32) | T1(DT_F64) | T1(DT_I64) | T1(DT_I32))

typedef struct {
    size_t rows, count;          /* count = features of a row */
    const float *at;             /* [rows, count] */
} features;

/* For infer: checks type and rank of input 0; `at` is NULL. */
err_code features_shape(features *ret, const op_call *c, err *e) MUST_USE;
err_code features_of(features *ret, op_call *c, err *e) MUST_USE;

#endif
