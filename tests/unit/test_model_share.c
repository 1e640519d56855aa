/* What all executions of a model have together stays within its share: planned memory, what a run turns out to need,
 * and what subgraphs do; those that rest make room, and all of it is there again when they are gone. */
#include "engine/model.h"
#include "onnx_build.h"
#include "os/thread.h"
#include "test.h"

enum { ROWS = 1 << 16, MANY = 1 << 20 };

/* x FLOAT [N] -> y = x + x: 4 bytes a row for the input, and 4 for the output. */
static void planned(onnx_build *b)
{
    onnx_build_start(b, 17);
    onnx_build_input(b, "x", DT_F32, "N");
    onnx_build_node(b, "Add", "x,x", "y", "");
    onnx_build_output(b, "y", DT_F32, "N");
}

/* The indices of what is not zero: 8 bytes a row, which only the run knows. */
static void late(onnx_build *b)
{
    onnx_build_start(b, 17);
    onnx_build_input(b, "x", DT_F32, "N");
    onnx_build_node(b, "NonZero", "x", "y", "");
    onnx_build_output(b, "y", DT_I64, NULL);
}

static model *opened(onnx_build *b, size_t share_max)
{
    model *m = NULL;
    err e = {0};
    const model_opts o = {.share_max = share_max};
    bool good = model_open_bytes(&m, onnx_build_bytes(b), "t.onnx", NULL, &o, &e) == ERR_OK;
    INVARIANT(good);
    return m;
}

static err_code take(exec **ret, model *m, int64_t rows, err *e)
{
    const shape s = shape_make(1, &rows);
    return exec_take(ret, m, &s, e);
}

static void executions_share_what_there_is(void)
{
    onnx_build b;
    exec *x[3];
    err e;
    planned(&b);
    model *m = opened(&b, 20 * ROWS);
    CHECK(take(&x[0], m, ROWS, &e) == ERR_OK && take(&x[1], m, ROWS, &e) == ERR_OK);
    CHECK(take(&x[2], m, ROWS, &e) == ERR_LIMIT);   /* another try may find the others gone */
    CHECK_STR(e.limit, "model-memory-max");
    const str why = STR("memory of the model's executions: expected at most 1310720 bytes in all, got ");
    CHECK(str_starts(str_of(e.text), why));
    CHECK(model_share_read(m).refused == 1 && model_share_read(m).bytes <= 20 * ROWS);
    exec_give(x[0]);
    CHECK(take(&x[2], m, ROWS, &e) == ERR_OK);      /* the one that rested */
    exec_give(x[1]);
    exec_give(x[2]);
    CHECK(take(&x[0], m, 2 * ROWS, &e) == ERR_OK);  /* those that rest make room */
    CHECK(model_share_read(m).refused == 1);
    exec_give(x[0]);
    CHECK(take(&x[0], m, 3 * ROWS, &e) == ERR_TOO_LARGE);   /* nobody's but its own */
    CHECK(model_share_read(m).refused == 2);
    CHECK(take(&x[0], m, ROWS, &e) == ERR_OK);
    exec_give(x[0]);
    model_free(m);
    onnx_build_end(&b);
}

static void without_a_share_there_is_no_bound(void)
{
    onnx_build b;
    exec *x[8];
    err e;
    planned(&b);
    model *m = opened(&b, 0);
    for (size_t i = 0; i < COUNTOF(x); i++) CHECK(take(&x[i], m, ROWS, &e) == ERR_OK);
    for (size_t i = 0; i < COUNTOF(x); i++) exec_give(x[i]);
    CHECK(model_share_read(m).bytes == 0 && model_share_read(m).refused == 0);
    model_free(m);
    onnx_build_end(&b);
}

static err_code run_ones(model *m, int64_t rows, err *e)
{
    exec *x = NULL;
    err_code rc = take(&x, m, rows, e);
    if (rc) return rc;
    float *in = exec_input(x, 0)->data;
    for (int64_t k = 0; k < rows; k++) in[k] = 1;
    rc = exec_run(x, NULL, e);
    exec_give(x);
    return rc;
}

static void what_a_run_turns_out_to_need_counts(void)
{
    onnx_build b;
    exec *x;
    err e;
    late(&b);
    model *m = opened(&b, 8 * MANY);
    CHECK(run_ones(m, ROWS, &e) == ERR_OK);
    size_t small = model_share_read(m).bytes;
    CHECK(small >= 12 * ROWS && small <= 8 * MANY);
    CHECK(run_ones(m, MANY, &e) == ERR_LIMIT);   /* the small one rested, and is gone now: but not for this run */
    CHECK_STR(e.text, "memory of the model's executions: expected at most 8388608 bytes in all, got more");
    CHECK(run_ones(m, MANY, &e) == ERR_TOO_LARGE);
    CHECK(model_share_read(m).refused == 2);
    CHECK(take(&x, m, ROWS, &e) == ERR_OK);
    CHECK(run_ones(m, MANY, &e) == ERR_LIMIT);   /* that one may go */
    exec_give(x);
    CHECK(run_ones(m, ROWS, &e) == ERR_OK);      /* the rest lives on */
    model_free(m);
    onnx_build_end(&b);
}

/* Of two that rest the one with the memory lies below: the next run does not take it, and must not lack what it has. */
static void what_rests_with_all_the_memory_makes_room(void)
{
    onnx_build b;
    exec *x[2];
    err e;
    late(&b);
    model *m = opened(&b, 8 * MANY);
    const int64_t rows = MANY * 2 / 5;   /* 8 bytes each, and 4 more for the input */
    CHECK(take(&x[0], m, rows, &e) == ERR_OK && take(&x[1], m, rows, &e) == ERR_OK);
    float *in = exec_input(x[0], 0)->data;
    for (int64_t k = 0; k < rows; k++) in[k] = 1;
    CHECK(exec_run(x[0], NULL, &e) == ERR_OK);
    exec_give(x[0]);
    exec_give(x[1]);
    CHECK(run_ones(m, rows, &e) == ERR_LIMIT);
    CHECK(run_ones(m, rows, &e) == ERR_OK);
    model_free(m);
    onnx_build_end(&b);
}

/* A loop that doubles its value n times: what it holds between two turns is of the subgraph. */
static void subgraphs_have_no_share_of_their_own(void)
{
    onnx_build b, body;
    err e;
    const shape s = shape_make(1, (int64_t[]){1});
    onnx_build_start(&body, 17);
    onnx_build_input(&body, "i", DT_I64, "");
    onnx_build_input(&body, "go", DT_BOOL, "");
    onnx_build_input(&body, "v", DT_I64, NULL);
    onnx_build_node(&body, "Concat", "v,v", "w", "axis=0");
    onnx_build_output(&body, "go", DT_BOOL, "");
    onnx_build_output(&body, "w", DT_I64, NULL);
    onnx_build_start(&b, 17);
    onnx_build_input(&b, "n", DT_I64, "1");
    onnx_build_node_graph(&b, "Loop", "n,,n", "y", "body", &body, NULL, NULL);
    onnx_build_output(&b, "y", DT_I64, NULL);
    model *m = opened(&b, MANY);
    for (int64_t n = 4; n <= 30; n += 2) {
        exec *x = NULL;
        CHECK(exec_take(&x, m, &s, &e) == ERR_OK);
        *(int64_t *)exec_input(x, 0)->data = n;
        err_code rc = exec_run(x, NULL, &e);
        CHECK(n > 10 || rc == ERR_OK);
        CHECK(n < 18 || ((rc == ERR_TOO_LARGE || rc == ERR_LIMIT) && strstr(e.text, "expected at most 1048576 bytes")));
        CHECK(model_share_read(m).bytes <= MANY);
        exec_give(x);
    }
    model_free(m);
    onnx_build_end(&body);
    onnx_build_end(&b);
}

static model *shared;
static _Atomic uint32_t ran, refused;

static void worker(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < 200; i++) {
        err e;
        err_code rc = run_ones(shared, ROWS / 8 * (1 + i % 3), &e);
        CHECK(rc == ERR_OK || rc == ERR_LIMIT || rc == ERR_TOO_LARGE);
        atomic_fetch_add(rc ? &refused : &ran, 1);
        CHECK(model_share_read(shared).bytes <= 6 * ROWS);
    }
}

static void threads_stay_within_it(void)
{
    onnx_build b;
    thread t[4];
    err e;
    late(&b);
    shared = opened(&b, 6 * ROWS);
    for (size_t i = 0; i < COUNTOF(t); i++) CHECK(thread_start(&t[i], "worker", worker, NULL, &e) == ERR_OK);
    for (size_t i = 0; i < COUNTOF(t); i++) thread_join(&t[i]);
    CHECK(atomic_load(&ran) > 0);
    model_free(shared);
    onnx_build_end(&b);
}

static void no_memory_leaves_the_share_whole(void)
{
    onnx_build b;
    late(&b);
    model *m = opened(&b, 8 * MANY);
    err e;
    CHECK(run_ones(m, 64, &e) == ERR_OK);
    model_free(m);
    FAULT_SWEEP({
        const model_opts o = {.share_max = 8 * MANY};
        m = NULL;
        err_code rc = model_open_bytes(&m, buf_str(&b.model), "t.onnx", NULL, &o, &e);
        if (rc == ERR_OK) rc = run_ones(m, 64, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM || rc == ERR_TOO_LARGE);
        model_free(m);
    });
    onnx_build_end(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(executions_share_what_there_is),
        TEST(without_a_share_there_is_no_bound),
        TEST(what_a_run_turns_out_to_need_counts),
        TEST(what_rests_with_all_the_memory_makes_room),
        TEST(subgraphs_have_no_share_of_their_own),
        TEST(threads_stay_within_it),
        TEST(no_memory_leaves_the_share_whole),
    };
    return test_main(cases, COUNTOF(cases));
}
