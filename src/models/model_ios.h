/* model_ios.h - the tensors that clients bring to what is served, and get from it, whatever runs behind it.
 *
 * A model's own; of an ensemble what its configuration says; of a model in sequences without what the server brings.
 * Borrowed from the model or from its configuration, whichever has them. */
#ifndef MODELS_MODEL_IOS_H
#define MODELS_MODEL_IOS_H
#include "engine/model.h"

typedef struct {
    const model_io *inputs, *outputs;
    uint32_t input_count, output_count;
} model_ios;

static inline model_ios model_ios_of(const model *m)
{
    uint32_t in = model_input_count(m), out = model_output_count(m);
    return (model_ios){.inputs = in ? model_input(m, 0) : NULL,
                       .outputs = out ? model_output(m, 0) : NULL,
                       .input_count = in,
                       .output_count = out};
}

#endif
