/* Whoever shares a run with longer rows gets what its own rows give alone, in its own shape, also from a model that
 * takes no length beyond those that clients bring. */
#include "base/rng.h"
#include "models/queue_run.h"
#include "os/clock.h"
#include "os/thread.h"
#include "serve_rig.h"
#include "test.h"

#include <math.h>

enum { ROWS_MAX = 3, LENGTH_MAX = 10, WIDTH = 4, ASKS = 40, OUTPUTS = 3 };

typedef struct {
    queue_item item;
    tensor inputs[2];
    int64_t ids[ROWS_MAX * LENGTH_MAX], mask[ROWS_MAX * LENGTH_MAX];
    uint32_t rows, length;
    float got[OUTPUTS][ROWS_MAX * LENGTH_MAX * WIDTH];
    shape shapes[OUTPUTS];
    bool shared, first;          /* first: of its run */
    uint64_t entries, waste;     /* of that */
    err_code code;
    _Atomic uint32_t done;
} ask;

/* Words and their places, masked: by token, turned, and summed. */
static void model_made(onnx_build *b)
{
    static const float words[] = {0.5F, -1, 2, 0.25F, 1.5F, 3, -0.5F, 1, 4, 0.125F, -3, 2};
    static float places[LENGTH_MAX * WIDTH];
    for (size_t i = 0; i < COUNTOF(places); i++) places[i] = (float)(i * 7 % 11);
    onnx_build_start(b, 11);
    onnx_build_floats(b, "words", "3,4", words);
    onnx_build_floats(b, "places", "10,4", places);
    onnx_build_ints(b, "zero", "", (const int64_t[]){0});
    onnx_build_ints(b, "one", "", (const int64_t[]){1});
    onnx_build_input(b, "ids", DT_I64, "N,S");
    onnx_build_input(b, "attention_mask", DT_I64, "N,S");
    onnx_build_node(b, "Gather", "words,ids", "e", "");
    onnx_build_node(b, "Shape", "ids", "dims", "");
    onnx_build_node(b, "Gather", "dims,one", "length", "");
    onnx_build_node(b, "Range", "zero,length,one", "at", "");
    onnx_build_node(b, "Gather", "places,at", "p", "");
    onnx_build_node(b, "Add", "e,p", "a", "");
    onnx_build_node(b, "Cast", "attention_mask", "c", "to=1");
    onnx_build_node(b, "Unsqueeze", "c", "m", "axes=[2]");
    onnx_build_node(b, "Mul", "a,m", "h", "");
    onnx_build_node(b, "Transpose", "h", "t", "perm=[0,2,1]");
    onnx_build_node(b, "ReduceSum", "h", "y", "axes=[1] keepdims=0");
    onnx_build_output(b, "h", DT_F32, "N,S,4");
    onnx_build_output(b, "t", DT_F32, "N,4,S");
    onnx_build_output(b, "y", DT_F32, "N,4");
}

static void done(queue_item *item, const err *e)
{
    ask *a = (ask *)(void *)item;
    a->code = e ? e->code : ERR_OK;
    for (uint32_t i = 0; i < OUTPUTS && !e; i++) {
        tensor t = queue_output(item, i);
        a->shapes[i] = t.shape;
        CHECK(tensor_bytes(&t) <= sizeof a->got[i]);
        memcpy(a->got[i], t.data, tensor_bytes(&t));
    }
    a->shared = queue_shares(item);
    a->entries = item->outputs.entries;
    a->waste = item->outputs.waste;
    a->first = item->outputs.row == 0;
    queue_release(item);
    atomic_store(&a->done, 1);
}

static void ask_init(ask *a, rng *r, uint32_t longest)
{
    *a = (ask){.rows = 1 + (uint32_t)rng_below(r, ROWS_MAX), .length = 1 + (uint32_t)rng_below(r, longest)};
    const shape s = shape_make(2, (const int64_t[]){a->rows, a->length});
    for (uint32_t i = 0; i < a->rows * a->length; i++) {
        a->ids[i] = (int64_t)rng_below(r, 3);
        a->mask[i] = (int64_t)rng_below(r, 4) > 0;
    }
    a->inputs[0] = tensor_make(DT_I64, &s, a->ids);
    a->inputs[1] = tensor_make(DT_I64, &s, a->mask);
    a->item.inputs = a->inputs;
    a->item.done = done;
}

static void check_right(const ask *a, model *m)
{
    const shape shapes[] = {a->inputs[0].shape, a->inputs[1].shape};
    exec *x = NULL;
    err e;
    CHECK(a->code == ERR_OK && exec_take(&x, m, shapes, &e) == ERR_OK);
    if (!x) return;
    for (uint32_t i = 0; i < 2; i++) exec_input(x, i)->data = a->inputs[i].data;
    CHECK(exec_run(x, NULL, &e) == ERR_OK);
    for (uint32_t i = 0; i < OUTPUTS; i++) {
        const tensor *want = exec_output(x, i);
        CHECK(shape_eq(&want->shape, &a->shapes[i]));
        for (uint64_t n = 0; n < tensor_count(want); n++)
            CHECK(fabsf(((const float *)want->data)[n] - a->got[i][n]) <= 1e-5F * (1 + fabsf(a->got[i][n])));
    }
    exec_give(x);
}

typedef struct {
    compute_job job;
    _Atomic bool held;
} holder;

static void hold(compute_job *j)
{
    holder *h = (holder *)(void *)j;
    while (atomic_load(&h->held)) thread_pause();
}

/* `lengths` up to `longest` wait behind a held worker, then share runs.  How many of the items did. */
static uint32_t run_all(const padding *pad, model *m, uint32_t longest, uint64_t seed)
{
    static ask asks[ASKS];
    holder h = {.job = {.run = hold}};
    compute *pool = NULL;
    turns *workers = NULL;
    waker *bell = NULL;
    queue *q = NULL;
    metrics_model metrics = {.lane_count = 0};
    uint64_t used = 0, counted = 0, wasted = 0;
    uint32_t shared = 0;
    rng r;
    err e;
    rng_init(&r, seed);
    CHECK(metrics_model_init(&metrics, 1, &e) == ERR_OK);
    CHECK(compute_new(&pool, 1, &e) == ERR_OK && waker_new(&bell, &e) == ERR_OK);
    CHECK(turns_new(&workers, pool, false, &e) == ERR_OK);
    const queue_opts o = {.name = STR("m"), .model = m, .turns = workers, .waker = bell, .metrics = &metrics,
                          .pad = *pad,
                          .batching = {.mode = BATCH_FIXED, .max_batch = 16, .requests_max = 1000, .kinds_max = 65,
                                       .waste_percent = 90}};
    CHECK(queue_new(&q, &o, &e) == ERR_OK);
    atomic_store(&h.held, true);
    CHECK(compute_submit(pool, &h.job, &e) == ERR_OK);
    for (uint32_t i = 0; i < ASKS; i++) {
        ask_init(&asks[i], &r, longest);
        CHECK(queue_push(q, &asks[i].item, &e) == ERR_OK);
    }
    static ask torn;   /* words and mask of unequal length: its own failure, nobody else's */
    ask_init(&torn, &r, 1);
    torn.rows = 1;
    for (uint32_t i = 0; i < 2; i++) torn.inputs[i].shape = shape_make(2, (const int64_t[]){1, 7 - 4 * i});
    CHECK(queue_push(q, &torn.item, &e) == ERR_OK);
    atomic_store(&h.held, false);
    for (uint32_t i = 0; i < ASKS; i++) {
        while (!atomic_load(&asks[i].done)) thread_yield();
        check_right(&asks[i], m);
        if (!asks[i].shared) continue;
        shared++;
        if (pad->on) used += asks[i].rows * asks[i].length;
        if (asks[i].first) counted += asks[i].entries - asks[i].waste;
        if (asks[i].first) wasted += asks[i].waste;
    }
    CHECK_U64(counted, used);   /* what is counted as waste is all that nobody brought */
    CHECK(pad->on ? wasted > 0 : wasted == 0);
    while (!atomic_load(&torn.done)) thread_yield();
    CHECK(torn.code == ERR_INVALID && !torn.shared);
    compute_free(pool);
    queue_free(q);
    turns_free(workers);
    waker_free(bell);
    metrics_model_fini(&metrics);
    return shared;
}

static void rows_of_unequal_length_share_runs_and_get_their_own(void)
{
    onnx_build b;
    model *m = NULL;
    /* It takes no more than 10 of a length: 9 and 10 cannot be rounded up. */
    const padding pad = {.on = true, .inputs = 3, .output_axis = {1, 2, 0}}, none = {.on = false, .inputs = 3};
    err e;
    model_made(&b);
    CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "m", NULL, &(model_opts){.pool = NULL}, &e) == ERR_OK);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        CHECK(run_all(&pad, m, LENGTH_MAX, seed) >= ASKS - 8);
        CHECK(run_all(&pad, m, 5, seed) >= ASKS - 8);
        (void)run_all(&none, m, LENGTH_MAX, seed);   /* grouped by length */
    }
    model_free(m);
    onnx_build_end(&b);
}

int main(void)
{
    static const test_case cases[] = {TEST(rows_of_unequal_length_share_runs_and_get_their_own)};
    return test_main(cases, COUNTOF(cases));
}
