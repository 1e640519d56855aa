/* model_limit.h - what the server's options say of one model by its name; its own configuration says the same by
 * parameters.
 *
 * A name that is not served does no harm: its model may come later.  Of 0 nothing is said here. */
#ifndef MODELS_MODEL_LIMIT_H
#define MODELS_MODEL_LIMIT_H
#include "base/str.h"

enum { MODEL_RATE_MAX = 1000000 };

typedef struct {
    str model;
    uint32_t weight;               /* 1 .. FAIR_WEIGHT_MAX */
    uint32_t rate_per_s, burst;    /* 1 .. MODEL_RATE_MAX */
} model_limit;

#endif
