/* v2_body.h - Triton's raw binary request: the whole body is the model's only input.
 *
 *   curl --data-binary @x.raw -H 'Inference-Header-Content-Length: 0' HOST/v2/models/M/infer
 * The header says that there is no JSON: name, datatype and shape are the model's, as its metadata tell them - one row
 * where it has a max_batch_size, and the one dimension that may be open is as long as the bytes make it.  Of BYTES the
 * body is the one string itself, without a length before it.  All outputs go, as binary data.  What cannot be deduced
 * is refused in Triton's words. */
#ifndef SERVE_V2_BODY_H
#define SERVE_V2_BODY_H
#include "serve/infer.h"

bool v2_body_is(const infer *r);
err_code v2_body_read(infer *r, err *e) MUST_USE;   /* as v2_protocol's read; borrows the body where it is aligned */

#endif
