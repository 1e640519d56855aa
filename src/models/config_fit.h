/* config_fit.h - a configuration beside its model: completed from it, then checked against it.
 *
 * As Triton does it for ONNX models with strict configuration off, and in its words.  The model is only looked at; what
 * is added to the tree lies in the arena. */
#ifndef MODELS_CONFIG_FIT_H
#define MODELS_CONFIG_FIT_H
#include "engine/model.h"
#include "wire/pbtree.h"

enum { CONFIG_BATCH_SIZE = 4 };   /* Triton's default-max-batch-size, where nothing says another */

/* Inputs, outputs and, with `batches`, max_batch_size and dynamic_batching, if inputs or outputs are absent.  Without
 * `batches` the dimensions are those of the model as they are. */
err_code config_complete(pbtree *c, arena *a, const model *m, bool batches, err *e) MUST_USE;
/* Whether a tensor of the model is a control or state of its sequences, and not a client's. */
bool config_fit_sequence_io(const pbtree *c, str name, bool input);
err_code config_fit(const pbtree *c, const model *m, err *e) MUST_USE;

#endif
