/* A model made of bytes is loaded, planned once per shape and run by many at once; others are refused by name. */
#include "engine/model.h"

#include "engine/op.h"
#include "fake/sys_fake.h"
#include "onnx_build.h"
#include "os/clock.h"
#include "os/thread.h"
#include "test.h"

static const model_opts no_opts;

static model *opened(onnx_build *b)
{
    model *m = NULL;
    err e = {0};
    if (model_open_bytes(&m, onnx_build_bytes(b), "t.onnx", NULL, &no_opts, &e)) printf("# %s\n", e.text);
    CHECK(m != NULL);
    return m;
}

static void refused(onnx_build *b, const char *text)
{
    model *m = NULL;
    err e = {0};
    CHECK(model_open_bytes(&m, onnx_build_bytes(b), "t.onnx", NULL, &no_opts, &e) != ERR_OK);
    CHECK_STR(e.text, text);
    onnx_build_end(b);
}

/* x -> Relu -> + w -> y, with a chain of Identity between. */
static void chain_build(onnx_build *b)
{
    static const float w[3] = {10, 20, 30};
    onnx_build_start(b, 13);
    onnx_build_input(b, "x", DT_F32, "N,3");
    onnx_build_floats(b, "w", "3", w);
    onnx_build_node(b, "Relu", "x", "r", "");
    onnx_build_node(b, "Identity", "r", "i", "");
    onnx_build_node(b, "Add", "i,w", "s", "");
    onnx_build_node(b, "Relu", "s", "y", "");
    onnx_build_output(b, "y", DT_F32, "N,3");
}

static void run_chain(model *m, int64_t rows)
{
    err e = {0};
    exec *x = NULL;
    shape s = shape_make(2, (const int64_t[]){rows, 3});
    CHECK(exec_take(&x, m, &s, &e) == ERR_OK);
    float *in = exec_input(x, 0)->data;
    for (int64_t i = 0; i < rows * 3; i++) in[i] = (float)(i - 2);
    CHECK(exec_run(x, NULL, &e) == ERR_OK);
    const tensor *y = exec_output(x, 0);
    CHECK(shape_eq(&y->shape, &s));
    for (int64_t i = 0; i < rows * 3; i++) {
        float want = (i > 2 ? (float)(i - 2) : 0) + 10 * (float)(i % 3 + 1);
        CHECK(((const float *)y->data)[i] == want);
    }
    CHECK(exec_cost_us(x) > 0);
    exec_give(x);
}

static void a_chain_runs_at_every_batch(void)
{
    onnx_build b;
    chain_build(&b);
    CLEANUP(model) model *m = opened(&b);
    CHECK_U64(model_input_count(m), 1);
    CHECK(str_is(model_input(m, 0)->name, "x"));
    CHECK(model_input(m, 0)->shape.dim[0] == -1);
    CHECK(str_is(model_input(m, 0)->dim_name[0], "N"));
    for (int64_t rows = 1; rows < 3 * MODEL_PLANS_MAX; rows++) run_chain(m, rows);
    onnx_build_end(&b);
}

static void a_seen_shape_runs_without_the_heap(void)
{
    onnx_build b;
    chain_build(&b);
    CLEANUP(model) model *m = opened(&b);
    run_chain(m, 2);
    run_chain(m, 5);
    long before = mem_allocs();
    for (int i = 0; i < 10; i++) {
        run_chain(m, 2);
        run_chain(m, 5);
    }
    CHECK_U64((uint64_t)mem_allocs(), (uint64_t)before);
    onnx_build_end(&b);
}

/* Weights of 512 kB, packed for the product: what is not filled of the pieces that they lie in is not much. */
static void a_model_holds_hardly_more_than_its_bytes(void)
{
    enum { WIDTH = 256, ROWS = 64 };
    err e = {0};
    exec *x = NULL;
    const shape s = shape_make(2, (const int64_t[]){ROWS, WIDTH});
    static float w[WIDTH * WIDTH];
    onnx_build b;
    for (size_t i = 0; i < COUNTOF(w); i++) w[i] = (float)(i % 7);
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N,256");
    onnx_build_floats(&b, "w", "256,256", w);
    onnx_build_floats(&b, "v", "256,256", w);
    onnx_build_node(&b, "MatMul", "x,w", "h", "");
    onnx_build_node(&b, "MatMul", "h,v", "y", "");
    onnx_build_output(&b, "y", DT_F32, "N,256");
    CLEANUP(model) model *m = opened(&b);
    size_t bytes = model_bytes(m), held = model_held_bytes(m);
    CHECK(bytes >= 2 * sizeof w && held >= bytes && held <= bytes + bytes / 4);
    CHECK(exec_take(&x, m, &s, &e) == ERR_OK);
    exec_give(x);
    CHECK(model_held_bytes(m) >= held + 2 * ROWS * WIDTH * sizeof(float));   /* with what rests: at least two values */
    onnx_build_end(&b);
}

static void a_callers_buffer_is_read_in_place_and_left_alone(void)
{
    onnx_build b;
    chain_build(&b);
    CLEANUP(model) model *m = opened(&b);
    err e = {0};
    exec *x = NULL;
    shape s = shape_make(2, (const int64_t[]){1, 3});
    float mine[3] = {-1, 2, 3};
    CHECK(exec_take(&x, m, &s, &e) == ERR_OK);
    exec_input(x, 0)->data = mine;
    CHECK(exec_run(x, NULL, &e) == ERR_OK);
    CHECK(((const float *)exec_output(x, 0)->data)[1] == 22);
    CHECK(mine[0] == -1 && mine[1] == 2 && mine[2] == 3);
    exec_give(x);
    CHECK(exec_take(&x, m, &s, &e) == ERR_OK);
    CHECK(exec_input(x, 0)->data != mine);   /* the next user has the execution's own */
    exec_give(x);
    run_chain(m, 1);
    onnx_build_end(&b);
}

/* x -> Relu -> y, x -> Neg -> Abs -> z. */
static void only_wanted_outputs_are_computed(void)
{
    static const str y = {"y", 1}, other[] = {{"z", 1}, {"q", 1}};
    static const struct {
        const str *names;
        size_t count;
        uint32_t outputs, nodes;
        const char *first;
    } rows[] = {{NULL, 0, 2, 3, "z"}, {&y, 1, 1, 1, "y"}, {other, 1, 1, 2, "z"}, {other, 2, 2, 3, "z"}};
    onnx_build b;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N,3");
    onnx_build_node(&b, "Relu", "x", "y", "");
    onnx_build_node(&b, "Neg", "x", "n", "");
    onnx_build_node(&b, "Abs", "n", "z", "");
    onnx_build_output(&b, "z", DT_F32, "N,3");
    onnx_build_output(&b, "y", DT_F32, "N,3");
    str bytes = onnx_build_bytes(&b);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        model_opts o = {.outputs = rows[i].names, .output_count = rows[i].count};
        CLEANUP(model) model *m = NULL;
        err e = {0};
        INVARIANT(model_open_bytes(&m, bytes, "t.onnx", NULL, &o, &e) == ERR_OK);
        CHECK_U64(model_output_count(m), rows[i].outputs);
        CHECK_U64(model_graph(m)->node_count, rows[i].nodes);
        CHECK(str_is(model_output(m, 0)->name, rows[i].first));
    }
    onnx_build_end(&b);
}

static void shapes_that_do_not_fit_are_refused(void)
{
    onnx_build b;
    chain_build(&b);
    CLEANUP(model) model *m = opened(&b);
    err e = {0};
    exec *x = NULL;
    shape s = shape_make(2, (const int64_t[]){2, 4});
    CHECK(exec_take(&x, m, &s, &e) == ERR_INVALID);
    CHECK_STR(e.text, "input 'x': expected shape [-1,3], got [2,4]");
    s = shape_make(1, (const int64_t[]){3});
    CHECK(exec_take(&x, m, &s, &e) == ERR_INVALID);
    s = shape_make(2, (const int64_t[]){INT64_MAX, 3});
    CHECK(exec_take(&x, m, &s, &e) == ERR_TOO_LARGE);
    CHECK_STR(e.text, "input 'x': shape [9223372036854775807,3] is too large");
    s = shape_make(2, (const int64_t[]){INT64_MAX / 4, 3});
    CHECK(exec_take(&x, m, &s, &e) == ERR_TOO_LARGE);
    CHECK_STR(e.text, "input 'x': shape [2305843009213693951,3] is too large");
    s = shape_make(2, (const int64_t[]){-1, 3});
    CHECK(exec_take(&x, m, &s, &e) == ERR_TOO_LARGE);
    onnx_build_end(&b);
}

static void the_number_of_executions_is_bounded(void)
{
    onnx_build b;
    chain_build(&b);
    CLEANUP(model) model *m = opened(&b);
    err e = {0};
    exec *x[MODEL_EXECS_MAX + 1];
    shape s = shape_make(2, (const int64_t[]){2, 3});
    for (int i = 0; i < MODEL_EXECS_MAX; i++) CHECK(exec_take(&x[i], m, &s, &e) == ERR_OK);
    CHECK(exec_take(&x[MODEL_EXECS_MAX], m, &s, &e) == ERR_LIMIT);
    CHECK_STR(e.limit, "model-executions");
    for (int i = 0; i < MODEL_EXECS_MAX; i++) exec_give(x[i]);
    run_chain(m, 2);
    onnx_build_end(&b);
}

/* One execution stays, for the shapes used last; what is in use is nobody's business. */
static void executions_that_nobody_uses_go_back(void)
{
    enum { SHAPES = 5, EACH = 7 };
    onnx_build b;
    chain_build(&b);
    CLEANUP(model) model *m = opened(&b);
    err e = {0};
    exec *x[SHAPES][EACH], *used = NULL;
    long one = 0;
    for (int k = 0; k < SHAPES; k++) {
        shape s = shape_make(2, (const int64_t[]){1 + k, 3});
        for (int i = 0; i < EACH; i++) {
            long before = mem_live();
            CHECK(exec_take(&x[k][i], m, &s, &e) == ERR_OK);
            if (i) one = mem_live() - before;   /* the first makes the plan, too */
        }
    }
    CHECK(one > 0);
    long all = mem_live();
    for (int k = 0; k < SHAPES; k++)
        for (int i = 0; i < EACH; i++) exec_give(x[k][i]);
    shape s = shape_make(2, (const int64_t[]){2, 3});
    CHECK(exec_take(&used, m, &s, &e) == ERR_OK);
    model_trim(m, true);
    CHECK_U64((uint64_t)(all - mem_live()), (uint64_t)one * (SHAPES * EACH - 2));
    model_trim(m, true);
    CHECK_U64((uint64_t)(all - mem_live()), (uint64_t)one * (SHAPES * EACH - 2));
    exec_give(used);
    model_trim(m, true);
    CHECK_U64((uint64_t)(all - mem_live()), (uint64_t)one * (SHAPES * EACH - 1));
    size_t held = model_held_bytes(m), resting = model_resting_bytes(m);
    CHECK(resting > 0);
    model_trim(m, false);
    CHECK_U64((uint64_t)(all - mem_live()), (uint64_t)one * SHAPES * EACH);
    CHECK(model_resting_bytes(m) == 0 && model_held_bytes(m) == held - resting);
    for (int k = 1; k <= SHAPES; k++) run_chain(m, k);
    onnx_build_end(&b);
}

static void memory_over_the_limit_is_refused(void)
{
    onnx_build b;
    chain_build(&b);
    err e = {0};
    exec *x = NULL;
    CLEANUP(model) model *m = NULL;
    model_opts o = {.memory_max = 1 << 20};
    CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &o, &e) == ERR_OK);
    shape s = shape_make(2, (const int64_t[]){1 << 20, 3});
    CHECK(exec_take(&x, m, &s, &e) == ERR_TOO_LARGE);
    CHECK_STR(e.text, "one execution needs more than the 1048576 bytes it may use");
    run_chain(m, 2);
    onnx_build_end(&b);
}

/* Of one value or of a product of dimensions, in elements or only in bytes. */
static void shapes_that_no_machine_holds_are_refused_at_load(void)
{
    static const char memory[] = "t.onnx: one execution needs more than the 4294967296 bytes it may use";
    static const struct { dtype type; const char *dims, *text; } rows[] = {
        {DT_F32, "9223372036854775807,9223372036854775807",
         "t.onnx: input 'x': shape [9223372036854775807,9223372036854775807] is too large"},
        {DT_F64, "2305843009213693952", "t.onnx: input 'x': shape [2305843009213693952] is too large"},
        {DT_U8, "1099511627777", "t.onnx: input 'x': shape [1099511627777] is too large"},
        {DT_U8, "N,0,1099511627777", "t.onnx: input 'x': shape [-1,0,1099511627777] is too large"},
        {DT_U8, "1099511627776", memory}, {DT_STRING, "1099511627776", memory}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        onnx_build b;
        onnx_build_start(&b, 13);
        onnx_build_input(&b, "x", rows[i].type, rows[i].dims);
        onnx_build_node(&b, "Shape", "x", "y", "");
        onnx_build_output(&b, "y", DT_I64, NULL);
        refused(&b, rows[i].text);
    }
    onnx_build b;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N");
    onnx_build_node(&b, "Relu", "x", "y", "");
    onnx_build_output(&b, "y", DT_F32, "2199023255552");
    refused(&b, "t.onnx: output 'y': shape [2199023255552] is too large");
}

static model *opened_with(onnx_build *b, size_t memory_max)
{
    model *m = NULL;
    err e = {0};
    model_opts o = {.memory_max = memory_max};
    chain_build(b);
    CHECK(model_open_bytes(&m, onnx_build_bytes(b), "t.onnx", NULL, &o, &e) == ERR_OK);
    return m;
}

static void idle_executions_hold_no_more_than_one_run_may(void)
{
    enum { AT_ONCE = 20 };
    onnx_build b;
    CLEANUP(model) model *m = opened_with(&b, 1 << 20);
    err e = {0};
    exec *x[AT_ONCE];
    shape s = shape_make(2, (const int64_t[]){8192, 3});   /* some 200 KB */
    long before = 0;
    for (int round = 0; round < 2; round++) {
        before = mem_allocs();
        for (int i = 0; i < AT_ONCE; i++) CHECK(exec_take(&x[i], m, &s, &e) == ERR_OK);
        for (int i = 0; i < AT_ONCE; i++) exec_give(x[i]);
    }
    CHECK(mem_allocs() > before);   /* not all were kept */
    run_chain(m, 8192);
    before = mem_allocs();
    for (int i = 0; i < 30; i++) run_chain(m, 8192);
    CHECK_U64((uint64_t)mem_allocs(), (uint64_t)before);   /* but some, however often they came and went */
    onnx_build_end(&b);
}

static void plans_that_go_leave_room_for_others(void)
{
    onnx_build b;
    CLEANUP(model) model *m = opened_with(&b, 1 << 20);
    err e = {0};
    exec *x = NULL;
    for (int64_t rows = 100; rows < 500; rows++) run_chain(m, rows);   /* 3 MB of idle executions came and went */
    run_chain(m, 500);
    long before = mem_allocs(), live = mem_live();
    run_chain(m, 500);
    CHECK_U64((uint64_t)mem_allocs(), (uint64_t)before);
    /* One that is in use goes when it is given back. */
    shape s = shape_make(2, (const int64_t[]){1, 3});
    CHECK(exec_take(&x, m, &s, &e) == ERR_OK);
    for (int64_t rows = 501; rows < 501 + MODEL_PLANS_MAX; rows++) run_chain(m, rows);
    if (x) exec_give(x);
    CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
    onnx_build_end(&b);
}

static void the_plans_that_were_used_last_are_kept(void)
{
    onnx_build b;
    chain_build(&b);
    CLEANUP(model) model *m = opened(&b);
    long live = 0;
    for (int64_t rows = 2; rows < 5 * MODEL_PLANS_MAX; rows++) {
        run_chain(m, rows);
        long before = mem_allocs();
        run_chain(m, 1);   /* in use all the time */
        if (rows > 2) CHECK_U64((uint64_t)mem_allocs(), (uint64_t)before);
        if (rows == 2 * MODEL_PLANS_MAX) live = mem_live();
    }
    CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
    onnx_build_end(&b);
}

static void only_what_is_cheap_runs_cheaply(void)
{
    onnx_build b;
    chain_build(&b);
    CLEANUP(model) model *m = opened(&b);
    err e = {0};
    exec *x = NULL;
    shape s = shape_make(2, (const int64_t[]){5000, 3});
    CHECK(!exec_take_cheap(m, &s, UINT32_MAX));   /* never run, so not known */
    run_chain(m, 5000);
    CHECK(exec_take(&x, m, &s, &e) == ERR_OK);
    uint32_t cost_us = x ? exec_cost_us(x) : 1;
    CHECK(!exec_take_cheap(m, &s, cost_us));   /* the only execution is in use, and making one is not cheap */
    if (x) exec_give(x);
    CHECK(!exec_take_cheap(m, &s, cost_us - 1));
    x = exec_take_cheap(m, &s, cost_us);
    CHECK(x != NULL);
    if (x) exec_give(x);
    onnx_build_end(&b);
}

/* A region of one element says nothing about the next, which may cover the plane. */
static void a_model_of_regions_is_never_cheap(void)
{
    onnx_build b;
    onnx_build_start(&b, 16);
    onnx_build_input(&b, "x", DT_F32, "1,1,4,4");
    onnx_build_input(&b, "r", DT_F32, "1,4");
    onnx_build_ints(&b, "batch", "1", (const int64_t[]){0});
    onnx_build_node(&b, "RoiAlign", "x,r,batch", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    CLEANUP(model) model *m = opened(&b);
    shape s[2] = {shape_make(4, (const int64_t[]){1, 1, 4, 4}), shape_make(2, (const int64_t[]){1, 4})};
    exec *x = NULL;
    err e = {0};
    CHECK(exec_take(&x, m, s, &e) == ERR_OK);
    memset(exec_input(x, 0)->data, 0, 16 * sizeof(float));
    memset(exec_input(x, 1)->data, 0, 4 * sizeof(float));
    CHECK(exec_run(x, NULL, &e) == ERR_OK && exec_cost_us(x) > 0);
    exec_give(x);
    x = exec_take_cheap(m, s, UINT32_MAX);
    CHECK(!x);
    if (x) exec_give(x);
    onnx_build_end(&b);
}

/* Runs once, for so long on the test's own clock; what a run costs then. */
static uint32_t cost_behind(exec *x, uint64_t us)
{
    err e;
    exec_stop stop = {.since_ns = clock_now_ns() - us * 1000};
    CHECK(exec_run(x, &stop, &e) == ERR_OK);
    CHECK_U64(exec_until_ns(x), clock_now_ns());
    return exec_cost_us(x);
}

static void a_run_that_was_held_up_leaves_a_cheap_model_cheap(void)
{
    onnx_build b;
    chain_build(&b);
    CLEANUP(model) model *m = opened(&b);
    err e;
    exec *x = NULL;
    shape s = shape_make(2, (const int64_t[]){1, 3});
    CHECK(exec_take(&x, m, &s, &e) == ERR_OK);
    memset(exec_input(x, 0)->data, 0, 3 * sizeof(float));
    sys_fake_clock_set(60000000000);
    CHECK_U64(cost_behind(x, 9), 10);   /* microseconds begun */
    CHECK(cost_behind(x, 8000) < 20);
    for (int i = 0; i < 20; i++) (void)cost_behind(x, 9);
    CHECK(cost_behind(x, 9) < 12);
    for (int i = 0; i < 8; i++) (void)cost_behind(x, 8000);   /* but what is often so long is no accident */
    CHECK(cost_behind(x, 8000) > 500);
    for (int i = 0; i < 100; i++) (void)cost_behind(x, 8000);
    CHECK(cost_behind(x, 8000) > 7900 && cost_behind(x, 8000) < 8100);
    for (int i = 0; i < 100; i++) (void)cost_behind(x, 0);
    CHECK_U64(cost_behind(x, 0), 1);
    sys_fake_clock_set(0);
    exec_give(x);
    onnx_build_end(&b);
}

/* What depends on the data is not in the plan: such memory counts, too, where executions are kept for the next one. */
static void idle_executions_keep_no_more_than_one_run_may_use(void)
{
    enum { ROWS = 1 << 20 };
    onnx_build b;
    err e = {0};
    CLEANUP(model) model *m = NULL;
    exec *x[3];
    model_opts o = {.memory_max = 20 * ROWS};   /* the input takes 4 bytes a row, its index 8 */
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N");
    onnx_build_node(&b, "NonZero", "x", "y", "");
    onnx_build_output(&b, "y", DT_I64, NULL);
    CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &o, &e) == ERR_OK);
    shape s = shape_make(1, (const int64_t[]){ROWS});
    for (int i = 0; i < 3; i++) {
        CHECK(exec_take(&x[i], m, &s, &e) == ERR_OK);
        float *in = exec_input(x[i], 0)->data;
        for (int k = 0; k < ROWS; k++) in[k] = 1;
        CHECK(exec_run(x[i], NULL, &e) == ERR_OK);
        CHECK_U64(tensor_count(exec_output(x[i], 0)), ROWS);
    }
    for (int i = 0; i < 3; i++) exec_give(x[i]);
    long before = mem_allocs();
    CHECK(exec_take(&x[0], m, &s, &e) == ERR_OK);
    CHECK_U64((uint64_t)mem_allocs(), (uint64_t)before);   /* one was kept, */
    CHECK(exec_take(&x[1], m, &s, &e) == ERR_OK);
    CHECK(mem_allocs() > before);                          /* two would have been too much */
    for (int i = 0; i < 2; i++) exec_give(x[i]);
    onnx_build_end(&b);
}

/* A request may have 1 where the model declares the symbol of another input: passes must not stand in its way. */
static void one_broadcasts_whatever_its_symbol(void)
{
    static const int64_t rows[][2] = {{3, 3}, {3, 1}, {1, 2}};
    for (size_t k = 0; k < COUNTOF(rows); k++) {
        onnx_build b;
        err e = {0};
        exec *x = NULL;
        onnx_build_start(&b, 13);
        onnx_build_input(&b, "x", DT_F32, "N,2");
        onnx_build_input(&b, "z", DT_F32, "N,1");
        onnx_build_floats(&b, "w", "2,1", (const float[]){1, 10});
        onnx_build_node(&b, "MatMul", "x,w", "p", "");
        onnx_build_node(&b, "Add", "p,z", "y", "");
        onnx_build_output(&b, "y", DT_F32, "N,1");
        CLEANUP(model) model *m = opened(&b);
        shape s[] = {shape_make(2, (const int64_t[]){rows[k][0], 2}), shape_make(2, (const int64_t[]){rows[k][1], 1})};
        if (exec_take(&x, m, s, &e)) printf("# %s\n", e.text);
        CHECK(x != NULL);
        for (int64_t i = 0; x && i < 2 * rows[k][0]; i++) ((float *)exec_input(x, 0)->data)[i] = (float)(i / 2 + 1);
        for (int64_t i = 0; x && i < rows[k][1]; i++) ((float *)exec_input(x, 1)->data)[i] = (float)(100 * (i + 1));
        CHECK(x && exec_run(x, NULL, &e) == ERR_OK);
        int64_t most = rows[k][0] > rows[k][1] ? rows[k][0] : rows[k][1];
        for (int64_t i = 0; x && i < most; i++) {
            int64_t at_x = rows[k][0] > 1 ? i : 0, at_z = rows[k][1] > 1 ? i : 0;
            CHECK(((const float *)exec_output(x, 0)->data)[i] == (float)(11 * (at_x + 1) + 100 * (at_z + 1)));
        }
        if (x) exec_give(x);
        onnx_build_end(&b);
    }
}

static void a_cancelled_run_says_so(void)
{
    onnx_build b;
    chain_build(&b);
    CLEANUP(model) model *m = opened(&b);
    err e = {0};
    exec *x = NULL;
    _Atomic bool cancel = true;
    shape s = shape_make(2, (const int64_t[]){1, 3});
    CHECK(exec_take(&x, m, &s, &e) == ERR_OK);
    CHECK(exec_run(x, &(exec_stop){.cancelled = &cancel}, &e) == ERR_CANCELLED);
    exec_give(x);
    onnx_build_end(&b);
}

static void run_many(void *ctx)
{
    for (int i = 0; i < 100; i++) run_chain(ctx, 1 + i % 40);
}

static void many_threads_share_one_model(void)
{
    enum { THREADS = 4 };
    onnx_build b;
    chain_build(&b);
    CLEANUP(model) model *m = opened(&b);
    thread t[THREADS];
    err e = {0};
    for (int i = 0; i < THREADS; i++) CHECK(thread_start(&t[i], "exec", run_many, m, &e) == ERR_OK);
    for (int i = 0; i < THREADS; i++) thread_join(&t[i]);
    onnx_build_end(&b);
}

static void unknown_operators_are_named(void)
{
    onnx_build b;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "3");
    onnx_build_node(&b, "Foo", "x", "y", "");
    onnx_build_output(&b, "y", DT_F32, "3");
    refused(&b, "t.onnx: node that makes 'y' (Foo, ai.onnx 13): operator not implemented");
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "3");
    onnx_build_node(&b, "Identity", "x", "y", "axis=1");
    onnx_build_output(&b, "y", DT_F32, "3");
    refused(&b, "t.onnx: node that makes 'y' (Identity, ai.onnx 13): attribute 'axis': not implemented");
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "3");
    onnx_build_node(&b, "Identity", "x,x", "y", "");
    onnx_build_output(&b, "y", DT_F32, "3");
    refused(&b, "t.onnx: node that makes 'y' (Identity, ai.onnx 13): inputs: expected 1, got 2");
    onnx_build_start(&b, 99);
    refused(&b, "t.onnx: opset 99 of ai.onnx: not implemented, the newest is 27");
    onnx_build_start(&b, 13);
    onnx_build_node(&b, "com.acme:Foo", "", "y", "");
    refused(&b, "t.onnx: node that makes 'y' (Foo, com.acme 0): the model imports no opset of this domain");
}

static void outputs_have_the_type_that_they_declare(void)
{
    onnx_build b;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N");
    onnx_build_node(&b, "Relu", "x", "y", "");
    onnx_build_output(&b, "y", DT_I64, "N");
    refused(&b, "t.onnx: output 'y': expected float32, as its node computes, got int64");
}

static void names_must_make_sense(void)
{
    onnx_build b;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "3");
    onnx_build_node(&b, "Identity", "z", "y", "");
    refused(&b, "t.onnx: node that makes 'y' (Identity, ai.onnx 13): input 'z': no such value");
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "3");
    onnx_build_node(&b, "Identity", "x", "y", "");
    onnx_build_node(&b, "Identity", "x", "y", "");
    refused(&b, "t.onnx: value 'y': defined twice");
    onnx_build_start(&b, 13);
    onnx_build_node(&b, "Identity", "a", "b", "");
    onnx_build_node(&b, "Identity", "b", "a", "");
    refused(&b, "t.onnx: node that makes 'b' (Identity, ai.onnx 13): is part of a cycle");
    onnx_build_start(&b, 13);
    onnx_build_output(&b, "nobody", DT_F32, "3");
    refused(&b, "t.onnx: output 'nobody': no node computes it");
}

static void open_and_run(const onnx_build *b)
{
    model *m = NULL;
    exec *x = NULL;
    err e = {0};
    shape s = shape_make(2, (const int64_t[]){2, 3});
    if (model_open_bytes(&m, buf_str(&b->model), "t.onnx", NULL, &no_opts, &e) == ERR_OK) {
        if (exec_take(&x, m, &s, &e) == ERR_OK) exec_give(x);
    }
    CHECK(e.code == ERR_OK || (e.code == ERR_NOMEM || e.code == ERR_LIMIT));
    model_free(m);
}

static void every_failed_allocation_is_survived(void)
{
    onnx_build b;
    chain_build(&b);
    onnx_build_bytes(&b);
    op_count();
    FAULT_SWEEP(open_and_run(&b));
    onnx_build_end(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_chain_runs_at_every_batch),
        TEST(a_seen_shape_runs_without_the_heap),
        TEST(a_model_holds_hardly_more_than_its_bytes),
        TEST(a_callers_buffer_is_read_in_place_and_left_alone),
        TEST(only_wanted_outputs_are_computed),
        TEST(shapes_that_do_not_fit_are_refused),
        TEST(the_number_of_executions_is_bounded),
        TEST(executions_that_nobody_uses_go_back),
        TEST(memory_over_the_limit_is_refused),
        TEST(shapes_that_no_machine_holds_are_refused_at_load),
        TEST(idle_executions_hold_no_more_than_one_run_may),
        TEST(plans_that_go_leave_room_for_others),
        TEST(the_plans_that_were_used_last_are_kept),
        TEST(only_what_is_cheap_runs_cheaply),
        TEST(a_model_of_regions_is_never_cheap),
        TEST(a_run_that_was_held_up_leaves_a_cheap_model_cheap),

        TEST(idle_executions_keep_no_more_than_one_run_may_use),
        TEST(one_broadcasts_whatever_its_symbol),
        TEST(a_cancelled_run_says_so),
        TEST(many_threads_share_one_model),
        TEST(unknown_operators_are_named),
        TEST(outputs_have_the_type_that_they_declare),
        TEST(names_must_make_sense),
        TEST(every_failed_allocation_is_survived),
    };
    return test_main(cases, COUNTOF(cases));
}
