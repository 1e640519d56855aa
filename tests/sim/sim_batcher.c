/* Thousands of small worlds with random options, clients and costs: no request is answered twice or never, deadlines
 * and cancels are respected, limits hold, order is kept within level, kind and sequence, a lone request starts at once,
 * and no instance idles while something waits longer than it may.  batch_world.c holds the promises; a seed replays.
 * SIM_SEEDS says how many worlds, SIM_SEED which one alone. */
#include "batch_world.h"
#include "test.h"

#include <stdlib.h>

enum { SEEDS_DEFAULT = 600 };

typedef struct {
    double mean_ns, ramp;   /* ramp: the rate's growth from begin to end */
    uint32_t burst, requests;
} stream;

static double gap(void *ctx, rng *r, uint32_t number, uint64_t now_ns)
{
    const stream *s = ctx;
    (void)now_ns;
    if (s->burst > 1 && number % s->burst) return (double)rng_below(r, 2) * 1000;
    double mean = s->mean_ns * (s->burst > 1 ? s->burst : 1);
    return world_exponential(r, mean / (1 + (s->ramp - 1) * number / s->requests));
}

static uint32_t one_of(rng *r, const uint32_t *list, size_t count) { return list[rng_below(r, count)]; }
#define ONE_OF(r, ...) one_of(r, (const uint32_t[]){__VA_ARGS__}, COUNTOF(((const uint32_t[]){__VA_ARGS__})))

static void random_batcher(batcher_opts *b, rng *r)
{
    b->mode = (batch_mode)ONE_OF(r, BATCH_ADAPTIVE, BATCH_ADAPTIVE, BATCH_FIXED, BATCH_FIXED, BATCH_OFF);
    b->max_batch = ONE_OF(r, 1, 2, 4, 8, 16, 32, 64);
    b->instances = ONE_OF(r, 1, 1, 2, 4);
    b->crowded = ONE_OF(r, 0, 0, 1, 3);
    b->max_delay_us = ONE_OF(r, 0, 0, 100, 1000, 5000);
    b->objective_us = ONE_OF(r, 0, 0, 5000, 20000, 100000);
    for (uint32_t size = 1; size <= b->max_batch && rng_below(r, 3) == 0; size *= 2)
        if (rng_below(r, 2) && size > 1) b->preferred[b->preferred_count++] = size;
    b->preserve_ordering = rng_below(r, 3) == 0;
    b->waste_percent = ONE_OF(r, 0, 1, 20, 100);
    b->requests_max = ONE_OF(r, 0, 3, 20, 100);
    b->bytes_max = ONE_OF(r, 0, 0, 5000);
    b->kinds_max = ONE_OF(r, 0, 0, 2);
    b->rate_per_s = ONE_OF(r, 0, 0, 0, 1000);
    b->rate_burst = ONE_OF(r, 1, 10);
    b->level_count = ONE_OF(r, 0, 1, 2, 3);
    for (uint32_t i = 0; i < b->level_count; i++) {
        b->levels[i].delay = rng_below(r, 2);
        b->levels[i].keep_timeout = rng_below(r, 4) == 0;
        b->levels[i].default_timeout_us = ONE_OF(r, 0, 0, 2000, 20000);
        b->levels[i].max_queue_size = ONE_OF(r, 0, 0, 5);
    }
}

static void random_world(world_opts *o, stream *s, uint64_t seed)
{
    rng r;
    rng_init(&r, seed * 7919);
    *o = (world_opts){.checked = true, .requests = 40 + (uint32_t)rng_below(&r, 300)};
    random_batcher(&o->batcher, &r);
    o->base_ns = ONE_OF(&r, 0, 100000, 1000000, 10000000);
    o->row_ns = ONE_OF(&r, 1000, 100000, 1000000);
    o->bend_ns = ONE_OF(&r, 0, 0, 1000);
    o->noise = ONE_OF(&r, 0, 10, 50) / 100.0;
    o->stalls = ONE_OF(&r, 0, 0, 30);
    o->failures = ONE_OF(&r, 0, 0, 10);
    o->kinds = ONE_OF(&r, 1, 1, 3, 10);
    o->rows_max = ONE_OF(&r, 1, 1, 4, o->batcher.max_batch + 1);
    o->extent_max = ONE_OF(&r, 0, 0, 0, 32);
    o->sequences = 1 + (uint32_t)rng_below(&r, 6);
    o->part_sequence = ONE_OF(&r, 0, 0, 30, 100) / 100.0;
    o->part_cancel = ONE_OF(&r, 0, 0, 20) / 100.0;
    o->part_flag = 0.5;
    o->part_deadline = ONE_OF(&r, 0, 0, 50) / 100.0;
    o->part_timeout = ONE_OF(&r, 0, 0, 50) / 100.0;
    o->bytes_max = 1000;
    double cost = o->base_ns + o->row_ns * (o->extent_max ? 16 : 1);
    o->patience_ns = cost * ONE_OF(&r, 1, 3, 10);
    double load = ONE_OF(&r, 5, 50, 90, 150, 500) / 100.0;
    *s = (stream){.mean_ns = cost / load, .ramp = ONE_OF(&r, 1, 1, 10), .requests = o->requests};
    if (rng_below(&r, 3) == 0) s->burst = 2 + (uint32_t)rng_below(&r, 30);
    if (rng_below(&r, 4) == 0) {
        o->clients = 1 + (uint32_t)rng_below(&r, 32);
        o->think_ns = cost * ONE_OF(&r, 1, 10, 100) / 100.0;
    }
    o->gap = gap;
    o->ctx = s;
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *z = getenv(name);
    return z ? strtoull(z, NULL, 10) : otherwise;
}

static void no_world_breaks_a_promise(void)
{
    uint64_t alone = setting("SIM_SEED", 0), count = setting("SIM_SEEDS", SEEDS_DEFAULT), requests = 0, batches = 0;
    uint64_t worlds = 0;
    for (uint64_t seed = alone ? alone : 1; seed <= (alone ? alone : count) && test_failures < 3; seed++) {
        world_opts o;
        stream s;
        world_result res;
        random_world(&o, &s, seed);
        long live = mem_live();
        CHECK_U64((uint64_t)world_run(&o, seed, 0, &res), 0);
        requests += o.requests;
        batches += res.stats.batches;
        worlds++;
        world_result_fini(&res);
        if (!test_failures) CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
    }
    printf("# %" PRIu64 " worlds, %" PRIu64 " requests, %" PRIu64 " batches\n", worlds, requests, batches);
}

int main(void)
{
    const test_case cases[] = {TEST(no_world_breaks_a_promise)};
    return test_main(cases, COUNTOF(cases));
}
