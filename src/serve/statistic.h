/* statistic.h - Triton's statistics extension: what a model has done since it was loaded, over REST and gRPC.
 *
 * Counts and durations are those of the metrics (models/metrics.h): nothing is counted twice.  There is no response
 * cache, so its two parts stay 0; batches and memory are not told apart. */
#ifndef SERVE_STATISTIC_H
#define SERVE_STATISTIC_H
#include "models/repository.h"

/* In the order of the fields of InferStatistics, from 1. */
#define STATISTIC_PARTS(X) \
    X("success", total) \
    X("fail", failed) \
    X("queue", queue_wait) \
    X("compute_input", preprocess) \
    X("compute_infer", predict) \
    X("compute_output", postprocess)

enum { STATISTIC_PARTS_MAX = 8 };   /* those, cache_hit and cache_miss */

typedef struct {
    const char *name;
    uint64_t count, ns;
} statistic_part;

typedef struct {
    uint64_t last_ms;               /* of the last result, since the epoch; 0 = none yet */
    uint64_t inferences, executions;
    statistic_part parts[STATISTIC_PARTS_MAX];
} statistic;

void statistic_read(statistic *ret, const metrics_model *m);
/* One of "model_stats". */
void statistic_print(buf *out, const served *m);

#endif
