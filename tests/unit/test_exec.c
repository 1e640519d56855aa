/* Executions of one plan share nothing but the plan; each runs as often as one likes, asks for no memory after its
 * first runs, takes no more than it may, and stops between two nodes when it is told to. */
#include "engine/exec.h"

#include "fake/sys_fake.h"
#include "onnx_build.h"

/* A plan for x of n elements, and what it borrows. */
typedef struct {
    onnx_build build;
    model *model;
    plan *plan;
} made;

/* y = -relu(x) + 1; l = the indices of what is not 0 in x, seen as one row: known in the run only. */
static void start(made *m, int64_t n)
{
    err e = {0};
    shape s = shape_make(1, &n);
    tensor in = tensor_make(DT_F32, &s, NULL);
    onnx_build *b = &m->build;
    *m = (made){.plan = NULL};
    onnx_build_start(b, 13);
    onnx_build_input(b, "x", DT_F32, "N");
    onnx_build_floats(b, "one", "", (const float[]){1});
    onnx_build_ints(b, "row", "1", (const int64_t[]){-1});
    onnx_build_node(b, "Relu", "x", "r", "");
    onnx_build_node(b, "Neg", "r", "g", "");
    onnx_build_node(b, "Add", "g,one", "y", "");
    onnx_build_node(b, "NonZero", "x", "z", "");
    onnx_build_node(b, "Reshape", "z,row", "l", "");
    onnx_build_output(b, "y", DT_F32, NULL);
    onnx_build_output(b, "l", DT_I64, NULL);
    bool ready = model_open_bytes(&m->model, onnx_build_bytes(b), "t.onnx", NULL, &(model_opts){0}, &e) == ERR_OK;
    const plan_opts o = {.inputs = &in, .kernels = &kernel_active()->set, .memory_max = 1 << 20};
    ready = ready && plan_new(&m->plan, model_graph(m->model), &o, &e) == ERR_OK;
    if (!ready) printf("# %s\n", e.text);
    INVARIANT(ready);
}

static void stop(made *m)
{
    plan_free(m->plan);
    model_free(m->model);
    onnx_build_end(&m->build);
}

static const exec_opts *opts(size_t memory_max)
{
    static exec_opts o;
    o = (exec_opts){.kernels = &kernel_active()->set, .memory_max = memory_max};
    return &o;
}

static float element(uint64_t i, float first) { return i % 3 == 0 ? 0 : first + (float)i; }

static void fill(exec *x, float first)
{
    tensor *in = exec_input(x, 0);
    for (uint64_t i = 0; i < tensor_count(in); i++) ((float *)in->data)[i] = element(i, first);
}

static void check(const exec *x, uint64_t n, float first)
{
    const tensor *y = exec_output(x, 0), *l = exec_output(x, 1);
    uint64_t others = 0;
    CHECK_U64(tensor_count(y), n);
    for (uint64_t i = 0; i < n; i++) {
        float v = element(i, first);
        CHECK(((const float *)y->data)[i] == 1 - (v > 0 ? v : 0));
        if (v == 0) continue;
        CHECK(others < tensor_count(l) && ((const int64_t *)l->data)[others] == (int64_t)i);
        others++;
    }
    CHECK(l->shape.rank == 1 && tensor_count(l) == others);
}

static void executions_of_one_plan_do_not_meet(void)
{
    made m;
    exec *x[3];
    err e = {0};
    start(&m, 10);
    for (int i = 0; i < 3; i++) CHECK(exec_new(&x[i], m.plan, opts(1 << 20), &e) == ERR_OK);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++) fill(x[i], (float)(100 * i + round));
        for (int i = 3; i-- > 0;) CHECK(exec_steps(x[i], NULL, &e) == ERR_OK);
        for (int i = 0; i < 3; i++) check(x[i], 10, (float)(100 * i + round));
    }
    for (int i = 0; i < 3; i++) exec_free(x[i]);
    stop(&m);
}

static void a_second_run_asks_for_no_memory(void)
{
    made m;
    exec *x;
    err e = {0};
    start(&m, 1000);
    CHECK(exec_new(&x, m.plan, opts(1 << 20), &e) == ERR_OK);
    fill(x, 1);
    CHECK(exec_steps(x, NULL, &e) == ERR_OK);
    CHECK(exec_steps(x, NULL, &e) == ERR_OK);
    long before = mem_allocs();
    for (int i = 0; i < 10; i++) {
        fill(x, (float)i);
        CHECK(exec_steps(x, NULL, &e) == ERR_OK);
        check(x, 1000, (float)i);
    }
    CHECK_U64((uint64_t)mem_allocs(), (uint64_t)before);
    exec_free(x);
    stop(&m);
}

static void inputs_may_lie_elsewhere_until_they_are_reset(void)
{
    made m;
    exec *x;
    err e = {0};
    float mine[6] = {1, 2, 3, 4, 5, 6};
    start(&m, 6);
    CHECK(exec_new(&x, m.plan, opts(1 << 20), &e) == ERR_OK);
    void *own = exec_input(x, 0)->data;
    exec_input(x, 0)->data = mine;
    CHECK(exec_steps(x, NULL, &e) == ERR_OK && ((const float *)exec_output(x, 0)->data)[5] == -5);
    CHECK(mine[0] == 1 && mine[5] == 6);
    exec_inputs_reset(x);
    CHECK(exec_input(x, 0)->data == own);
    exec_free(x);
    stop(&m);
}

static void what_comes_late_counts_against_the_memory(void)
{
    made m;
    exec *x;
    err e = {0};
    start(&m, 1000);   /* late values: two thirds of 1000 indices, 8 bytes each */
    CHECK(exec_new(&x, m.plan, opts(m.plan->bytes + 1000), &e) == ERR_OK);
    fill(x, 1);
    for (int i = 0; i < 2; i++) {
        CHECK(exec_steps(x, NULL, &e) == ERR_LIMIT);
        CHECK(strstr(e.text, "NonZero"));
        CHECK(strstr(e.text, "bytes are over what is left of the 1000 that one run may use"));
    }
    memset(exec_input(x, 0)->data, 0, 4000);   /* nothing is found, nothing is needed */
    CHECK(exec_steps(x, NULL, &e) == ERR_OK && tensor_count(exec_output(x, 1)) == 0);
    exec_free(x);
    stop(&m);
}

static void a_cancelled_run_ends_and_the_next_one_is_whole(void)
{
    made m;
    exec *x;
    err e = {0};
    _Atomic bool cancel = true;
    start(&m, 10);
    CHECK(exec_new(&x, m.plan, opts(1 << 20), &e) == ERR_OK);
    fill(x, 1);
    CHECK(exec_steps(x, &(exec_stop){.cancelled = &cancel}, &e) == ERR_CANCELLED);
    CHECK_STR(e.text, "cancelled before the last node");
    cancel = false;
    CHECK(exec_steps(x, &(exec_stop){.cancelled = &cancel}, &e) == ERR_OK);
    check(x, 10, 1);
    exec_free(x);
    stop(&m);
}

/* A few nodes may take long, each by itself. */
static void the_time_is_looked_at_before_each_node_that_may_take_long(void)
{
    static const int64_t sizes[] = {10, 20000};   /* of a size that the run decides on, and large */
    for (size_t i = 0; i < COUNTOF(sizes); i++) {
        made m;
        exec *x;
        err e = {0};
        start(&m, sizes[i]);
        CHECK(exec_new(&x, m.plan, opts(1 << 20), &e) == ERR_OK);
        fill(x, 1);
        uint64_t before = sys_fake_calls(SYS_clock_ns);
        CHECK(exec_steps(x, &(exec_stop){.until_us = UINT64_MAX}, &e) == ERR_OK);
        CHECK_U64(sys_fake_calls(SYS_clock_ns) - before, m.plan->step_count);
        exec_free(x);
        stop(&m);
    }
}

static void every_failed_allocation_is_said(void)
{
    made m;
    err e;
    start(&m, 10);
    FAULT_SWEEP({
        exec *x = NULL;
        err_code rc = exec_new(&x, m.plan, opts(1 << 20), &e);
        if (!rc) {
            fill(x, 1);
            rc = exec_steps(x, NULL, &e);
        }
        CHECK(rc == ERR_OK || rc == ERR_NOMEM || rc == ERR_LIMIT);
        exec_free(x);
    });
    exec_free(NULL);
    stop(&m);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(executions_of_one_plan_do_not_meet),
        TEST(a_second_run_asks_for_no_memory),
        TEST(inputs_may_lie_elsewhere_until_they_are_reset),
        TEST(what_comes_late_counts_against_the_memory),
        TEST(a_cancelled_run_ends_and_the_next_one_is_whole),
        TEST(the_time_is_looked_at_before_each_node_that_may_take_long),
        TEST(every_failed_allocation_is_said),
    };
    return test_main(cases, COUNTOF(cases));
}
