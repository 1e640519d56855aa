/* Whoever shares a run gets exactly its own rows, whatever the others brought, how many there are and which threads
 * they come from; what fails in a shared run fails for its own item alone. */
#include "base/log.h"
#include "models/queue_run.h"
#include "os/clock.h"
#include "os/thread.h"
#include "serve_rig.h"
#include "test.h"

enum { ROWS_MAX = 40, COLUMNS = 2 };

typedef struct {
    queue_item item;
    tensor x;
    float data[ROWS_MAX * COLUMNS];
    uint32_t rows, columns, right; /* right: values that came back as they should */
    _Atomic uint32_t done;
    err_code code;
    bool shared;
    str strings[ROWS_MAX];
    char texts[ROWS_MAX][24];
} ask;

typedef struct {
    serve_rig rig;
    compute *pool;
    waker *waker;
    turns *turns;
    queue *queue;
} bench;

static void start(bench *b, onnx_build *made, const batcher_opts *batching)
{
    err e;
    serve_rig_start(&b->rig, made);
    CHECK(compute_new(&b->pool, 2, &e) == ERR_OK && waker_new(&b->waker, &e) == ERR_OK);
    CHECK(turns_new(&b->turns, b->pool, false, &e) == ERR_OK);
    queue_opts o = {.name = STR("m"),
                    .model = b->rig.served.model,
                    .turns = b->turns,
                    .waker = b->waker,
                    .metrics = &b->rig.served.metrics,
                    .batching = *batching};
    CHECK(queue_new(&b->queue, &o, &e) == ERR_OK);
}

static void stop(bench *b)
{
    compute_free(b->pool);
    queue_free(b->queue);
    turns_free(b->turns);
    waker_free(b->waker);
    serve_rig_stop(&b->rig);
}

/* Holds both workers, so that items wait. */
typedef struct holder holder;
typedef struct {
    compute_job job;
    holder *of;
} holding;

struct holder {
    holding by[2];
    _Atomic bool held;
    _Atomic uint32_t ended;   /* of the two: only then may they be used again */
};

static void hold(compute_job *j)
{
    holder *h = ((holding *)(void *)j)->of;
    while (atomic_load(&h->held)) thread_pause();
    atomic_fetch_add(&h->ended, 1);
}

static void let_workers_go(holder *h)
{
    atomic_store(&h->held, false);
    while (atomic_load(&h->ended) < 2) thread_yield();
}

static void hold_workers(bench *b, holder *h)
{
    err e;
    atomic_store(&h->held, true);
    atomic_store(&h->ended, 0);
    for (int i = 0; i < 2; i++) {
        h->by[i] = (holding){.job = {.run = hold}, .of = h};
        CHECK(compute_submit(b->pool, &h->by[i].job, &e) == ERR_OK);
    }
}

static void done(queue_item *item, const err *e)
{
    ask *a = (ask *)(void *)item;
    a->code = e ? e->code : ERR_OK;
    if (!e) {
        tensor y = queue_output(item, 0);
        a->shared = queue_shares(item);
        CHECK(y.shape.rank >= 1 && y.shape.dim[0] == a->rows);
        CHECK_U64(tensor_count(&y), a->rows * a->columns);
        for (uint32_t i = 0; y.type == DT_F32 && i < a->rows * a->columns; i++)
            a->right += ((const float *)y.data)[i] == 2 * a->data[i];
        for (uint32_t i = 0; y.type == DT_STRING && i < a->rows; i++)
            a->right += str_eq(((const str *)y.data)[i], a->strings[i]);
        queue_release(item);
    }
    atomic_fetch_add(&a->done, 1);
}

static void ask_init(ask *a, uint32_t rows, uint32_t columns, float from)
{
    shape s = shape_make(2, (const int64_t[]){rows, columns});
    *a = (ask){.rows = rows, .columns = columns};
    for (uint32_t i = 0; i < rows * columns; i++) a->data[i] = from + (float)i;
    a->x = tensor_make(DT_F32, &s, a->data);
    a->item.inputs = &a->x;
    a->item.done = done;
}

static void wait_done(ask *a)
{
    uint64_t until_us = clock_now_us() + 60000000;
    while (!atomic_load(&a->done) && clock_now_us() < until_us) thread_yield();
    CHECK_U64(atomic_load(&a->done), 1);
}

static void check_right(ask *a)
{
    wait_done(a);
    CHECK(a->code == ERR_OK);
    CHECK_U64(a->right, a->rows * a->columns);
}

static const batcher_opts greedy = {.mode = BATCH_FIXED, .max_batch = 8, .requests_max = 1000, .kinds_max = 65};

static void twice(bench *b, const batcher_opts *o)
{
    onnx_build made;
    serve_rig_twice(&made);
    start(b, &made, o);
}

static void what_waited_shares_a_run_and_each_gets_its_rows(void)
{
    static const uint32_t rows[] = {1, 2, 1, 3, 1, 5, 2, 40, 1};
    bench b;
    holder h;
    static ask a[COUNTOF(rows)];
    err e;
    twice(&b, &greedy);
    hold_workers(&b, &h);
    for (uint32_t i = 0; i < COUNTOF(rows); i++) {
        ask_init(&a[i], rows[i], COLUMNS, (float)(1000 * i));
        CHECK(queue_push(b.queue, &a[i].item, &e) == ERR_OK);
    }
    let_workers_go(&h);
    for (uint32_t i = 0; i < COUNTOF(rows); i++) check_right(&a[i]);
    for (uint32_t i = 0; i < 7; i++) CHECK(a[i].shared);
    for (uint32_t i = 0; i < 7; i++) CHECK(a[i].item.outputs.size == 8 && a[i].item.outputs.padding == 0);
    CHECK(!a[7].shared);   /* more rows than a run may have */
    CHECK(a[0].item.start_ns == a[1].item.start_ns && a[0].item.end_ns == a[1].item.end_ns && a[0].item.end_ns);
    stop(&b);
}

static float last_row[2];

/* What the run made of its last row, which is nobody's. */
static void done_looks_behind(queue_item *item, const err *e)
{
    if (!e && item->outputs.padding) {
        tensor y = queue_output(item, 0);
        memcpy(last_row, (const float *)y.data + 2 * (item->outputs.size - 1 - item->outputs.row), sizeof last_row);
    }
    done(item, e);
}

static void rows_of_nobody_are_the_last_again_or_empty(void)
{
    const float nothing[2] = {70, 80};
    const shape s = shape_make(2, (const int64_t[]){1, 2});
    const tensor empty = tensor_make(DT_F32, &s, (void *)(uintptr_t)nothing), whatever = {.data = NULL};
    const tensor *const bring[] = {NULL, &whatever, &empty};
    for (size_t k = 0; k < COUNTOF(bring); k++) {
        bench b;
        holder h;
        static ask a[5];
        err e;
        twice(&b, &greedy);
        hold_workers(&b, &h);
        for (uint32_t i = 0; i < COUNTOF(a); i++) {
            ask_init(&a[i], 1, COLUMNS, (float)i);
            a[i].item.done = i ? done : done_looks_behind;
            a[i].item.empty = bring[k];
            CHECK(queue_push(b.queue, &a[i].item, &e) == ERR_OK);
        }
        let_workers_go(&h);
        for (uint32_t i = 0; i < COUNTOF(a); i++) check_right(&a[i]);
        CHECK(k < 2 ? last_row[0] == 8 && last_row[1] == 10 : last_row[0] == 140 && last_row[1] == 160);
        stop(&b);
    }
}

static void a_client_alone_runs_on_its_own_memory(void)
{
    bench b;
    ask a;
    err e;
    onnx_build made;
    serve_rig_same(&made, DT_F32, "N,2");
    start(&b, &made, &greedy);
    ask_init(&a, 3, COLUMNS, 5);
    CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
    wait_done(&a);
    CHECK(a.code == ERR_OK && !a.shared);
    stop(&b);
}

static void strings_are_rows_too(void)
{
    bench b;
    holder h;
    static ask a[6];
    err e;
    onnx_build made;
    serve_rig_same(&made, DT_STRING, "N");
    start(&b, &made, &greedy);
    hold_workers(&b, &h);
    for (uint32_t i = 0; i < COUNTOF(a); i++) {
        shape s = shape_make(1, (const int64_t[]){i % 2 + 1});
        a[i] = (ask){.rows = i % 2 + 1, .columns = 1};
        for (uint32_t k = 0; k < a[i].rows; k++) {
            int n = snprintf(a[i].texts[k], sizeof a[i].texts[k], "row %u of %u", k, i);
            a[i].strings[k] = (str){a[i].texts[k], (size_t)n};
        }
        a[i].x = tensor_make(DT_STRING, &s, a[i].strings);
        a[i].item.inputs = &a[i].x;
        a[i].item.done = done;
        CHECK(queue_push(b.queue, &a[i].item, &e) == ERR_OK);
    }
    let_workers_go(&h);
    for (uint32_t i = 0; i < COUNTOF(a); i++) {
        check_right(&a[i]);
        CHECK(a[i].shared || i == 5);
    }
    stop(&b);
}

/* The model's numbers are positions in a list of three. */
static void what_fails_in_a_shared_run_fails_alone(void)
{
    bench b;
    holder h;
    static ask a[6];
    err e;
    onnx_build made;
    onnx_build_start(&made, 17);
    onnx_build_input(&made, "x", DT_F32, "N,2");
    onnx_build_floats(&made, "w", "3", (const float[]){0, 2, 4});
    onnx_build_node(&made, "Cast", "x", "i", "to=7");
    onnx_build_node(&made, "Gather", "w,i", "y", "axis=0");
    onnx_build_output(&made, "y", DT_F32, "N,2");
    start(&b, &made, &greedy);
    for (int round = 0; round < 3; round++) {
        hold_workers(&b, &h);
        for (uint32_t i = 0; i < COUNTOF(a); i++) {
            ask_init(&a[i], 1, COLUMNS, i == 2 || i == 5 ? 7 : (float)(i % 2));
            CHECK(queue_push(b.queue, &a[i].item, &e) == ERR_OK);
        }
        let_workers_go(&h);
        for (uint32_t i = 0; i < COUNTOF(a); i++) {
            bool wrong = i == 2 || i == 5;
            if (!wrong) check_right(&a[i]);
            wait_done(&a[i]);
            CHECK(!a[i].shared && (!wrong || a[i].code == ERR_INVALID));
            CHECK(i == 0 || a[i].item.start_ns >= a[i - 1].item.end_ns);   /* one after the other */
        }
    }
    hold_workers(&b, &h);
    for (uint32_t i = 0; i < 5; i++) {   /* batched on; the sixth row is nobody's, and wrong no more */
        ask_init(&a[i], 1, COLUMNS, (float)(i % 2));
        CHECK(queue_push(b.queue, &a[i].item, &e) == ERR_OK);
    }
    let_workers_go(&h);
    for (uint32_t i = 0; i < 5; i++) {
        check_right(&a[i]);
        CHECK(a[i].shared);
    }
    stop(&b);
}

/* Bytes of another type are never taken for the model's, alone or in a shared run. */
static void inputs_of_another_type_are_refused(void)
{
    bench b;
    holder h;
    static ask a[4];
    err e;
    twice(&b, &greedy);
    hold_workers(&b, &h);
    for (uint32_t i = 0; i < COUNTOF(a); i++) {
        ask_init(&a[i], i < 3 ? 1 : 40, COLUMNS, (float)i);
        if (i != 1) a[i].x.type = DT_I32;
        CHECK(queue_push(b.queue, &a[i].item, &e) == ERR_OK);
    }
    let_workers_go(&h);
    for (uint32_t i = 0; i < COUNTOF(a); i++) wait_done(&a[i]);
    check_right(&a[1]);
    for (uint32_t i = 0; i < COUNTOF(a); i++) CHECK(i == 1 || a[i].code == ERR_INVALID);
    CHECK_STR(a[0].item.failure.text, "input 'x': datatype: expected float32, got 'int32'");
    stop(&b);
}

/* One input has a row for each of the other's: no run can be shared, whichever comes last. */
static void inputs_of_unlike_rows_run_alone(void)
{
    bench b;
    holder h;
    static ask a[4];
    static float one[2];
    tensor both[COUNTOF(a)][2];
    err e;
    onnx_build made;
    onnx_build_start(&made, 17);
    onnx_build_input(&made, "x", DT_F32, "N,2");
    onnx_build_input(&made, "z", DT_F32, "M,2");
    onnx_build_node(&made, "Add", "x,x", "t", "");
    onnx_build_node(&made, "Add", "t,z", "y", "");
    onnx_build_output(&made, "y", DT_F32, "N,2");
    start(&b, &made, &greedy);
    hold_workers(&b, &h);
    for (uint32_t i = 0; i < COUNTOF(a); i++) {
        shape s = shape_make(2, (const int64_t[]){1, 2});
        ask_init(&a[i], 2, COLUMNS, (float)i);
        both[i][0] = a[i].x;
        both[i][1] = tensor_make(DT_F32, &s, one);
        a[i].item.inputs = both[i];
        CHECK(queue_push(b.queue, &a[i].item, &e) == ERR_OK);
    }
    let_workers_go(&h);
    for (uint32_t i = 0; i < COUNTOF(a); i++) {
        check_right(&a[i]);
        CHECK(!a[i].shared);
    }
    stop(&b);
}

static void what_is_refused_leaves_nothing_behind(void)
{
    bench b;
    holder h;
    static ask a[3];
    err e;
    twice(&b, &(batcher_opts){.mode = BATCH_FIXED, .max_batch = 8, .requests_max = 1});
    hold_workers(&b, &h);
    for (uint32_t i = 0; i < COUNTOF(a); i++) {
        ask_init(&a[i], 1, COLUMNS, (float)i);
        CHECK(queue_push(b.queue, &a[i].item, &e) == (i ? ERR_LIMIT : ERR_OK));
    }
    let_workers_go(&h);
    check_right(&a[0]);
    stop(&b);   /* minds a kind that is still in use */
}

static _Atomic uint32_t warnings;

static void count_warning(const char *line, size_t len)
{
    warnings += memmem(line, len, "not batched any more", 20) != NULL;
}

/* Against all that was proven: y is the first row alone. */
static void a_model_whose_outputs_are_no_rows_is_not_batched_again(void)
{
    bench b;
    holder h;
    static ask a[4];
    err e;
    onnx_build made;
    onnx_build_start(&made, 17);
    onnx_build_input(&made, "x", DT_F32, "N,2");
    onnx_build_ints(&made, "zero", "1", (const int64_t[]){0});
    onnx_build_floats(&made, "two", "1", (const float[]){2});
    onnx_build_node(&made, "Gather", "x,zero", "first", "axis=0");
    onnx_build_node(&made, "Mul", "first,two", "y", "");
    onnx_build_output(&made, "y", DT_F32, "M,2");
    /* Before there are threads that read it. */
    log_setup(&(log_opts){.level = LOG_WARN, .sink = count_warning, .clock_us = clock_wall_us});
    start(&b, &made, &greedy);
    for (int round = 0; round < 2; round++) {
        hold_workers(&b, &h);
        for (uint32_t i = 0; i < COUNTOF(a); i++) {
            ask_init(&a[i], 1, COLUMNS, (float)i);
            CHECK(queue_push(b.queue, &a[i].item, &e) == ERR_OK);
        }
        let_workers_go(&h);
        for (uint32_t i = 0; i < COUNTOF(a); i++) {
            check_right(&a[i]);
            CHECK(!a[i].shared);
        }
    }
    CHECK_U64(warnings, 1);
    stop(&b);
    log_setup(&(log_opts){.level = LOG_LEVELS});
}

/* ---- many threads ---- */

enum { THREADS = 6, EACH = 400 };

typedef struct {
    thread thread;
    bench *bench;
    uint64_t seed;
    uint32_t shared, cancelled, refused;
    ask asks[3];
} client;

static void ask_many(void *ctx)
{
    client *c = ctx;
    err e;
    for (int i = 0; i < EACH; i++) {
        uint32_t count = 1 + (uint32_t)(test_rand(&c->seed) % COUNTOF(c->asks));
        bool pushed[COUNTOF(c->asks)];
        for (uint32_t k = 0; k < count; k++) {
            uint64_t r = test_rand(&c->seed);
            ask_init(&c->asks[k], 1 + (uint32_t)(r % 10), 1 + (uint32_t)(r >> 32) % COLUMNS, (float)(r >> 40));
            pushed[k] = queue_push(c->bench->queue, &c->asks[k].item, &e) == ERR_OK;
            c->refused += !pushed[k];
            if (pushed[k] && r >> 60 == 0) queue_cancel(&c->asks[k].item);
        }
        for (uint32_t k = 0; k < count; k++) {
            ask *a = &c->asks[k];
            if (!pushed[k]) continue;
            wait_done(a);
            c->cancelled += a->code == ERR_CANCELLED;
            c->shared += a->shared;
            CHECK(a->code == ERR_OK || a->code == ERR_CANCELLED);
            CHECK(a->code || a->right == a->rows * a->columns);
        }
    }
}

/* Mixed rows and shapes, in every mode. */
static void nobody_gets_what_another_asked_for(void)
{
    static const batcher_opts modes[] = {
        {.mode = BATCH_ADAPTIVE, .max_batch = 8, .instances = 2, .requests_max = 1000, .kinds_max = 65},
        {.mode = BATCH_FIXED, .max_batch = 8, .max_delay_us = 50, .preserve_ordering = true, .requests_max = 1000},
        {.mode = BATCH_OFF, .max_batch = 1, .instances = 2, .requests_max = 1000}};
    static client c[THREADS];
    err e;
    for (size_t m = 0; m < COUNTOF(modes); m++) {
        bench b;
        onnx_build made;
        uint32_t shared = 0;
        onnx_build_start(&made, 17);
        onnx_build_input(&made, "x", DT_F32, "N,C");
        onnx_build_node(&made, "Add", "x,x", "y", "");
        onnx_build_output(&made, "y", DT_F32, "N,C");
        start(&b, &made, &modes[m]);
        for (size_t i = 0; i < THREADS; i++) {
            c[i] = (client){.bench = &b, .seed = m * 100 + i + 1};
            CHECK(thread_start(&c[i].thread, "client", ask_many, &c[i], &e) == ERR_OK);
        }
        for (size_t i = 0; i < THREADS; i++) {
            thread_join(&c[i].thread);
            shared += c[i].shared;
            CHECK_U64(c[i].refused, 0);
        }
        CHECK(modes[m].mode == BATCH_OFF ? shared == 0 : shared > 0);
        uint64_t until_us = clock_now_us() + 60000000;
        while (!queue_quiet(b.queue) && clock_now_us() < until_us) thread_yield();
        CHECK(queue_quiet(b.queue));
        CHECK_U64((uint64_t)atomic_load(&b.rig.served.metrics.waiting), 0);
        stop(&b);
    }
}

static void a_steady_load_takes_nothing_from_the_heap(void)
{
    bench b;
    holder h;
    static ask a[6];
    err e;
    long before = 0;
    twice(&b, &greedy);
    for (int round = 0; round < 20; round++) {
        if (round == 10) before = mem_allocs();
        hold_workers(&b, &h);
        for (uint32_t i = 0; i < COUNTOF(a); i++) {
            ask_init(&a[i], 1, COLUMNS, (float)i);
            CHECK(queue_push(b.queue, &a[i].item, &e) == ERR_OK);
        }
        let_workers_go(&h);
        for (uint32_t i = 0; i < COUNTOF(a); i++) check_right(&a[i]);
    }
    CHECK_U64((uint64_t)mem_allocs(), (uint64_t)before);
    stop(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_waited_shares_a_run_and_each_gets_its_rows),
        TEST(rows_of_nobody_are_the_last_again_or_empty),
        TEST(a_client_alone_runs_on_its_own_memory),
        TEST(strings_are_rows_too),
        TEST(what_fails_in_a_shared_run_fails_alone),
        TEST(inputs_of_another_type_are_refused),
        TEST(inputs_of_unlike_rows_run_alone),
        TEST(what_is_refused_leaves_nothing_behind),
        TEST(a_model_whose_outputs_are_no_rows_is_not_batched_again),
        TEST(nobody_gets_what_another_asked_for),
        TEST(a_steady_load_takes_nothing_from_the_heap),
    };
    return test_main(cases, COUNTOF(cases));
}
