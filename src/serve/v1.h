/* v1.h - TensorFlow Serving's REST protocol, as KServe V1 has it.
 *
 *   {"instances": [x, ...]}           one tensor per instance, for a model with one input  -> {"predictions": [y, ...]}
 *   {"instances": [{"a": x, ...}]}    named tensors per instance                           -> {"predictions": ...}
 *   {"inputs": [x, ...]}              the same as instances, as KServe's runtimes take it  -> {"predictions": [y, ...]}
 *   {"inputs": {"a": [...], ...}}     whole named tensors (columns)                        -> {"outputs": ...}
 * A model with several outputs answers a row with an object of them.
 *
 * For an input that takes pictures (models/pipeline.h) x is {"b64": "..."}, as TensorFlow Serving has bytes, or the
 * base64 alone; then the declared answer, if there is one, stands in the place of outputs.  A body that is a picture or
 * a text (plain.h) is one instance. */
#ifndef SERVE_V1_H
#define SERVE_V1_H
#include "serve/infer.h"

extern const infer_protocol v1_protocol;

#endif
