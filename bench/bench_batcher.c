/* What a request costs in the batcher - pushed, under a deadline, taken in a batch of 8, answered - while 100 and while
 * 100,000 wait, interleaved in one run.  Exit status 1 when the longer queue costs more than it may. */
#include "base/mem.h"
#include "base/rng.h"
#include "sched/batcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 21, TURNS = 4000, BATCH = 8, SHORT = 100, LONG = 100000, KINDS = 16 };
#define RATIO_MAX 12.0   /* the tree is 17 levels deep instead of 7, and no longer in the nearest cache */

typedef struct {
    batcher *b;
    batch_item *items, *spare;   /* spare: linked by next */
    uint64_t now;
    rng r;
} queue_of;

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void push(queue_of *q)
{
    batch_item *i = q->spare;
    batch_limit limit;
    uint64_t retry_ns;
    err e;
    q->spare = i->next;
    q->now += 1000;
    *i = (batch_item){.rows = 1, .bytes = 100, .kind = {rng_below(&q->r, KINDS), 0}};
    i->deadline_ns = q->now + 1000000000000 + rng_below(&q->r, 1000000);
    i->level = (uint32_t)rng_below(&q->r, 2);
    INVARIANT(batcher_push(q->b, i, q->now, &limit, &retry_ns, &e) == ERR_OK);
}

static void run(queue_of *q)
{
    uint64_t again;
    const batch_run *t = batcher_take(q->b, q->now, &again);
    INVARIANT(t != NULL);
    batcher_done(q->b, t, 1000000 + 1000 * t->rows, q->now);
    for (batch_item *i = batcher_answers(q->b), *next; i; i = next) {
        next = i->next;
        i->next = q->spare;
        q->spare = i;
    }
}

static void fill(queue_of *q, uint32_t count)
{
    err e;
    batcher_opts o = {.max_batch = BATCH, .requests_max = count + BATCH, .level_count = 2};
    INVARIANT(batcher_new(&q->b, &o, &e) == ERR_OK);
    INVARIANT((q->items = mem_new0(batch_item, count + BATCH)) != NULL);
    for (uint32_t i = 0; i < count + BATCH; i++) {
        q->items[i].next = q->spare;
        q->spare = &q->items[i];
    }
    rng_init(&q->r, count);
    for (uint32_t i = 0; i < count; i++) push(q);
}

/* CPU ns of one request, the queue being as long after as before. */
static double turn(queue_of *q)
{
    double since = cpu_ns();
    for (uint32_t n = 0; n < TURNS; n++) {
        if (q->spare)
            push(q);
        else
            run(q);
    }
    return (cpu_ns() - since) / TURNS;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    queue_of few = {0}, many = {0};
    double few_ns[ROUNDS], many_ns[ROUNDS];
    fill(&few, SHORT);
    fill(&many, LONG);
    for (size_t i = 0; i < ROUNDS; i++) {
        few_ns[i] = turn(&few);
        many_ns[i] = turn(&many);
    }
    qsort(few_ns, ROUNDS, sizeof few_ns[0], compare);
    qsort(many_ns, ROUNDS, sizeof many_ns[0], compare);
    double ratio = many_ns[ROUNDS / 2] / few_ns[ROUNDS / 2];
    printf("a request in the batcher: %.0f ns while %d wait, %.0f ns while %d wait: %.1f times (at most %.0f)\n",
           few_ns[ROUNDS / 2], SHORT, many_ns[ROUNDS / 2], LONG, ratio, RATIO_MAX);
    return ratio > RATIO_MAX;
}
