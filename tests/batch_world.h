/* batch_world.h - a simulated world around a batcher: clients, a clock and instances that take as long as a random cost
 * says.  It keeps its own account of every request, and with `checked` compares after each step what the batcher does
 * with what it promises.  The same seed gives the same run; nothing depends on real time. */
#ifndef TESTS_BATCH_WORLD_H
#define TESTS_BATCH_WORLD_H
#include "base/rng.h"
#include "sched/batcher.h"

typedef struct {
    batcher_opts batcher;
    uint32_t requests;           /* in all */
    bool checked;
    /* what a batch takes: base + row * work + bend * work^2, times 1 +- noise, and ten times that once in `stalls` */
    double base_ns, row_ns, bend_ns, noise;
    uint32_t stalls;             /* 0 = never */
    double stall_times;          /* 0 = ten */
    uint32_t failures;           /* one run in so many says nothing about its cost; 0 = none */
    /* how requests come: by `gap`, or from `clients` that ask again `think_ns` after their answer */
    double (*gap)(void *ctx, rng *r, uint32_t number, uint64_t now_ns);
    void *ctx;
    uint32_t clients;
    double think_ns;
    /* what they are like */
    uint32_t kinds, rows_max, extent_max, sequences;
    double part_sequence, part_cancel, part_flag, part_deadline, part_timeout;
    double patience_ns;          /* mean of deadlines, timeouts and the time until somebody cancels */
    uint64_t bytes_max;
} world_opts;

typedef struct {
    uint32_t refused, ran, dropped, good;   /* good: within good_ns */
    uint64_t end_ns;
    double *latency_ns;          /* of those that ran, sorted; freed by world_result_fini() */
    double batch_mean;
    batcher_stats stats;
} world_result;

/* Returns how many promises were broken, and says which on stdout.  good_ns: see world_result.good. */
int world_run(const world_opts *o, uint64_t seed, uint64_t good_ns, world_result *ret);
void world_result_fini(world_result *r);
double world_percentile(const world_result *r, double part);   /* ns */

double world_exponential(rng *r, double mean);

#endif
