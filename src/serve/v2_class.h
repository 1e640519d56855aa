/* v2_class.h - Triton's classification extension: the best k of an output, as strings "value:index" or
 * "value:index:label".
 *
 * Rows of a batch are ranked each on its own: [rows, k], also of a batch of one; anything else as one list: [k].  A
 * model with a configuration has a batch along dim 0 if that says max_batch_size; of another, more than one row of an
 * output of rank 2 and more is taken for one.  k is cut to what there is.  Ties go to the lower index, NaN is less than
 * all. */
#ifndef SERVE_V2_CLASS_H
#define SERVE_V2_CLASS_H
#include "serve/infer.h"

/* *t becomes a tensor of strings in the request's arena. */
err_code v2_classes_make(infer *r, const attr *labels, uint64_t k, const tensor **t, err *e) MUST_USE;

#endif
