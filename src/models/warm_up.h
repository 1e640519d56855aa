/* warm_up.h - runs of a model before it is ready: the samples of its configuration, or zeros.
 *
 * A sample's inputs become tensors once (zeros, numbers in 0..1, or FOLDER/warmup/FILE: raw little-endian elements of
 * one row, texts each behind its length in 4 bytes; an input has to say which) and are run `count` times with
 * batch_size rows that are the same; batch_size 0 skips it, as in Triton.  What fails refuses the load: "failed to run
 * warmup sample 'S': ..." names the input.  Afterwards plans and memory of these shapes are there, and executions rest
 * in the model's pool.
 * On the thread that loads, while nobody else has the model. */
#ifndef MODELS_WARM_UP_H
#define MODELS_WARM_UP_H
#include "models/model_config.h"

enum {
    WARM_UP_RUNS_MAX = 1 << 16,            /* of all samples: a load ends */
    WARM_UP_FILE_BYTES_MAX = 256 << 20
};

typedef struct {
    model *model;
    const model_config *config;
    size_t memory_max;                     /* of one sample's inputs; 0 = 4 GiB */
    uint64_t run_us_max;                   /* of one run: ERR_TIMEOUT; 0 = no limit */
} warm_up_opts;

err_code warm_up_samples(const warm_up_opts *o, err *e) MUST_USE;
/* `runs` runs with zeros, where every shape is fixed but for a first dimension that is a batch.  *ret_fixed = it was
 * so; no configuration asks for these, so an error of them is for the log. */
err_code warm_up_zeros(const warm_up_opts *o, uint32_t runs, bool *ret_fixed, err *e) MUST_USE;

#endif
