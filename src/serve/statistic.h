/* statistic.h - Triton's statistics extension: what a model has done since it was loaded, over REST and gRPC.
 *
 * Counts and durations are those of the metrics (models/metrics.h): nothing is counted twice.  As in
 * Triton, what the response cache answered is a success, but no inference.  A batch's size is its rows; beyond 8 it
 * stands for the next of 12, 16, 24, ... */
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
    X("compute_output", postprocess) \
    X("cache_hit", cache_hit) \
    X("cache_miss", cache_miss)

enum { STATISTIC_INPUT = 3, STATISTIC_INFER, STATISTIC_OUTPUT, STATISTIC_PARTS_MAX = 8 };

typedef struct {
    const char *name;
    uint64_t count, ns;
} statistic_part;

typedef struct {
    uint64_t size, count, input_ns, infer_ns, output_ns;   /* count: of runs */
} statistic_batch;

typedef struct {
    uint64_t last_ms;               /* of the last result, since the epoch; 0 = none yet */
    uint64_t inferences, executions;
    statistic_part parts[STATISTIC_PARTS_MAX];
    statistic_batch batches[METRIC_SIZES];
    uint32_t batch_count;
} statistic;

void statistic_read(statistic *ret, const metrics_model *m);
/* One of "model_stats". */
void statistic_print(buf *out, const served *m);

#endif
