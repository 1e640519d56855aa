/* If, Loop and Scan run their subgraphs with values of the graphs around them, at any shape, again and again. */
#include "engine/model.h"
#include "onnx_build.h"
#include "test.h"

static const model_opts no_opts;

static model *opened(onnx_build *b)
{
    model *m = NULL;
    err e = {0};
    if (model_open_bytes(&m, onnx_build_bytes(b), "t.onnx", NULL, &no_opts, &e)) printf("# %s\n", e.text);
    CHECK(m != NULL);
    return m;   /* borrows the bytes: b ends after the last run */
}

/* Runs with x = 1, 2, ... of length n and, where the model has it, a second input of one element. */
static void run(model *m, int64_t n, bool yes, size_t count, const float *want, int line)
{
    err e = {0};
    exec *x = NULL;
    shape s[2] = {shape_make(1, &n), {0}};
    CHECK(exec_take(&x, m, s, &e) == ERR_OK);
    for (int64_t i = 0; i < n; i++) ((float *)exec_input(x, 0)->data)[i] = (float)i + 1;
    if (model_input_count(m) > 1) *(bool *)exec_input(x, 1)->data = yes;
    if (exec_run(x, NULL, &e)) {
        printf("# line %d: %s\n", line, e.text);
        test_failures++;
    } else {
        const tensor *y = exec_output(x, 0);
        bool same = y->type == DT_F32 && tensor_count(y) == count;
        for (size_t i = 0; i < count && same; i++) same = ((const float *)y->data)[i] == want[i];
        if (!same) printf("# line %d: other values\n", line);
        test_failures += !same;
    }
    exec_give(x);
}
#define RUN(m, n, yes, ...) \
    run(m, n, yes, COUNTOF(((float[]){__VA_ARGS__})), (const float[]){__VA_ARGS__}, __LINE__)

/* yes ? x + r : (yes ? - : w), with r = relu(x): a value around, a constant around, and one that is passed through. */
static void if_build(onnx_build *b)
{
    onnx_build yes, no;
    onnx_build_start(&yes, 16);
    onnx_build_node(&yes, "Add", "x,r", "a", "");
    onnx_build_output(&yes, "a", DT_F32, NULL);
    onnx_build_start(&no, 16);
    onnx_build_output(&no, "w", DT_F32, NULL);
    onnx_build_start(b, 16);
    onnx_build_input(b, "x", DT_F32, "N");
    onnx_build_input(b, "c", DT_BOOL, "");
    onnx_build_floats(b, "w", "2", (const float[]){7, 8});
    onnx_build_node(b, "Relu", "x", "r", "");
    onnx_build_node_graph(b, "If", "c", "i", "then_branch", &yes, "else_branch", &no);
    onnx_build_node(b, "Neg", "i", "y", "");
    onnx_build_output(b, "y", DT_F32, NULL);
    onnx_build_end(&yes);
    onnx_build_end(&no);
}

static void both_branches_see_the_graph_around(void)
{
    onnx_build b;
    if_build(&b);
    CLEANUP(model) model *m = opened(&b);
    for (int64_t n = 1; n < 12; n++) {   /* more shapes than are kept */
        RUN(m, 2, true, -2, -4);
        RUN(m, n, false, -7, -8);
        RUN(m, 3, true, -2, -4, -6);
    }
    long before = mem_allocs();
    RUN(m, 3, true, -2, -4, -6);
    RUN(m, 3, false, -7, -8);
    CHECK_U64((uint64_t)mem_allocs(), (uint64_t)before);   /* what was seen is kept */
    onnx_build_end(&b);
}

/* carried: v = v concat x (grows); scanned: the number of the iteration, as float. */
static void loop_build(onnx_build *b, int64_t trips, bool carried)
{
    onnx_build body;
    onnx_build_start(&body, 16);
    onnx_build_input(&body, "i", DT_I64, "");
    onnx_build_input(&body, "go", DT_BOOL, "");
    onnx_build_input(&body, "v", DT_F32, NULL);
    onnx_build_node(&body, "Identity", "go", "on", "");
    onnx_build_node(&body, "Concat", "v,x", "w", "axis=0");
    onnx_build_node(&body, "Cast", "i", "f", "to=1");
    onnx_build_output(&body, "on", DT_BOOL, "");
    onnx_build_output(&body, "w", DT_F32, NULL);
    onnx_build_output(&body, "f", DT_F32, "");
    onnx_build_start(b, 16);
    onnx_build_input(b, "x", DT_F32, "N");
    onnx_build_ints(b, "trips", "1", &trips);
    onnx_build_node_graph(b, "Loop", "trips,,x", carried ? "y,z" : "z,y", "body", &body, NULL, NULL);
    onnx_build_output(b, "y", DT_F32, NULL);
    onnx_build_end(&body);
}

static void loops_carry_values_that_grow_and_stack_what_they_scan(void)
{
    onnx_build b, b2, b3;
    loop_build(&b, 3, true);
    CLEANUP(model) model *grow = opened(&b);
    RUN(grow, 2, false, 1, 2, 1, 2, 1, 2, 1, 2);
    RUN(grow, 1, false, 1, 1, 1, 1);
    loop_build(&b2, 3, false);
    CLEANUP(model) model *scan = opened(&b2);
    RUN(scan, 1, false, 0, 1, 2);
    RUN(scan, 2, false, 0, 1, 2);
    loop_build(&b3, 0, true);
    CLEANUP(model) model *none = opened(&b3);
    RUN(none, 2, false, 1, 2);
    onnx_build_end(&b);
    onnx_build_end(&b2);
    onnx_build_end(&b3);
}

static void an_endless_loop_ends_when_it_is_cancelled(void)
{
    onnx_build b;
    loop_build(&b, INT64_MAX, false);
    CLEANUP(model) model *m = opened(&b);
    err e = {0};
    exec *x = NULL;
    int64_t n = 1;
    shape s = shape_make(1, &n);
    _Atomic bool cancel = true;
    CHECK(exec_take(&x, m, &s, &e) == ERR_OK);
    CHECK(exec_run(x, &cancel, &e) == ERR_CANCELLED);
    exec_give(x);
    onnx_build_end(&b);
}

static void wrong_subgraphs_are_refused_by_name(void)
{
    onnx_build b, body;
    onnx_build_start(&body, 16);
    onnx_build_input(&body, "i", DT_I64, "");
    onnx_build_output(&body, "x", DT_F32, NULL);
    onnx_build_start(&b, 16);
    onnx_build_input(&b, "x", DT_F32, "N");
    onnx_build_node_graph(&b, "Loop", ",,x", "y", "body", &body, NULL, NULL);
    onnx_build_output(&b, "y", DT_F32, NULL);
    onnx_build_end(&body);
    CLEANUP(model) model *m = opened(&b);
    err e = {0};
    exec *x = NULL;
    int64_t n = 1;
    shape s = shape_make(1, &n);
    CHECK(exec_take(&x, m, &s, &e) == ERR_OK);
    CHECK(exec_run(x, NULL, &e) == ERR_INVALID);
    CHECK(strstr(e.text, "(Loop, ai.onnx 16): subgraph: expected 3 inputs, got 1") != NULL);
    exec_give(x);
    onnx_build_end(&b);
}

static void run_once(str bytes)
{
    err e = {0};
    model *m = NULL;
    exec *x = NULL;
    const int64_t two = 2;
    shape s[] = {shape_make(1, &two), (shape){0}};
    err_code rc = model_open_bytes(&m, bytes, "t.onnx", NULL, &no_opts, &e);
    if (!rc) rc = exec_take(&x, m, s, &e);
    if (!rc) {
        memset(exec_input(x, 0)->data, 0, 2 * sizeof(float));
        *(bool *)exec_input(x, 1)->data = true;
        rc = exec_run(x, NULL, &e);
        exec_give(x);
    }
    CHECK(!rc || e.text[0]);
    model_free(m);
}

static void every_failed_allocation_is_survived(void)
{
    onnx_build b;
    if_build(&b);
    str bytes = onnx_build_bytes(&b);
    FAULT_SWEEP(run_once(bytes));
    onnx_build_end(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(both_branches_see_the_graph_around),
        TEST(loops_carry_values_that_grow_and_stack_what_they_scan),
        TEST(an_endless_loop_ends_when_it_is_cancelled),
        TEST(wrong_subgraphs_are_refused_by_name),
        TEST(every_failed_allocation_is_survived),
    };
    return test_main(cases, COUNTOF(cases));
}
