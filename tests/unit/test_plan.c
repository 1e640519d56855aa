/* A plan computes what the graph says however values share memory, computes before the run what does not hang on it,
 * and leaves to the run what hangs on data. */
#include "engine/plan.h"

#include "engine/exec.h"
#include "engine/model.h"
#include "onnx_build.h"
#include "test.h"

enum { N = 16, VALUES = 40 };

/* One of the [4,4] values of a graph: what it is computed from, so that the test can do it too, in its own memory. */
typedef struct {
    int op, a, b;
} made;

static const char *const ops[] = {"Relu", "Add", "Identity", "Reshape", "Transpose", "Sub", "Neg", "Reshape"};

static void by_hand(float out[N], const made *m, const float *a, const float *b)
{
    for (int i = 0; i < N; i++) {
        int turned = i % 4 * 4 + i / 4;
        switch (m->op) {
        case 0: out[i] = a[i] > 0 ? a[i] : 0; break;
        case 1: out[i] = a[i] + b[i]; break;
        case 4: out[i] = a[turned]; break;
        case 5: out[i] = a[i] - b[i]; break;
        case 6: out[i] = -a[i]; break;
        default: out[i] = a[i]; break;
        }
    }
}

static void build(onnx_build *b, made m[VALUES], uint64_t *seed)
{
    char ins[32], outs[16];
    onnx_build_start(b, 13);
    onnx_build_input(b, "v0", DT_F32, "4,N");
    onnx_build_ints(b, "square", "2", (const int64_t[]){4, -1});
    for (int i = 1; i < VALUES; i++) {
        m[i] = (made){(int)(test_rand(seed) % COUNTOF(ops)), (int)(test_rand(seed) % (uint64_t)i),
                      (int)(test_rand(seed) % (uint64_t)i)};
        if (i > 6) m[i].a = i - 1 - (int)(test_rand(seed) % 5);   /* mostly near, so that memory is reused */
        bool two = m[i].op == 1 || m[i].op == 5, view_of_it = m[i].op == 3 || m[i].op == 7;
        snprintf(outs, sizeof outs, "v%d", i);
        if (two) snprintf(ins, sizeof ins, "v%d,v%d", m[i].a, m[i].b);
        else snprintf(ins, sizeof ins, "v%d%s", m[i].a, view_of_it ? ",square" : "");
        onnx_build_node(b, ops[m[i].op], ins, outs, "");
        if (i == VALUES - 1 || test_rand(seed) % 12 == 0) onnx_build_output(b, outs, DT_F32, NULL);
    }
}

static void run_and_compare(const onnx_build *b, const made *m, bool no_passes)
{
    static float all[VALUES][N];
    err e = {0};
    exec *x = NULL;
    CLEANUP(model) model *md = NULL;
    model_opts o = {.no_passes = no_passes};
    if (model_open_bytes(&md, buf_str(&b->model), "t.onnx", NULL, &o, &e)) printf("# %s\n", e.text);
    shape s = shape_make(2, (const int64_t[]){4, 4});
    CHECK(md && exec_take(&x, md, &s, &e) == ERR_OK);
    if (!x) return;
    for (int i = 0; i < N; i++) all[0][i] = ((float *)exec_input(x, 0)->data)[i] = (float)(i % 7 - 3);
    for (int i = 1; i < VALUES; i++) by_hand(all[i], &m[i], all[m[i].a], all[m[i].b]);
    for (int again = 0; again < 2; again++) {
        memcpy(exec_input(x, 0)->data, all[0], sizeof all[0]);
        CHECK(exec_run(x, NULL, &e) == ERR_OK);
        for (uint32_t k = 0; k < model_output_count(md); k++) {
            uint64_t at = VALUES;
            str name = model_output(md, k)->name;
            CHECK(str_u64((str){name.p + 1, name.len - 1}, &at) && at < VALUES);
            const float *got = exec_output(x, k)->data;
            bool same = true;   /* -0 is 0 */
            for (int i = 0; i < N; i++) same &= got[i] == all[at][i];
            CHECK(same);
        }
    }
    exec_give(x);
}

static void random_graphs_compute_what_they_say_with_and_without_passes(void)
{
    uint64_t seed = 99;
    for (int round = 0; round < 150; round++) {
        onnx_build b;
        made m[VALUES];
        build(&b, m, &seed);
        onnx_build_bytes(&b);
        run_and_compare(&b, m, true);
        run_and_compare(&b, m, false);
        onnx_build_end(&b);
    }
}

/* Loads the model and gives an execution for x of the shape; its plan is x->plan.  The names in it are b's. */
static exec *planned_from(onnx_build *b, model **m, shape s)
{
    err e = {0};
    exec *x = NULL;
    if (model_open_bytes(m, onnx_build_bytes(b), "t.onnx", NULL, &(model_opts){0}, &e)) printf("# %s\n", e.text);
    CHECK(*m && exec_take(&x, *m, &s, &e) == ERR_OK);
    return x;
}

/* The same for who reads no name. */
static exec *planned(onnx_build *b, model **m, shape s)
{
    exec *x = planned_from(b, m, s);
    onnx_build_end(b);
    return x;
}

static void shapes_are_computed_before_the_run(void)
{
    onnx_build b;
    CLEANUP(model) model *m = NULL;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N,3,4");
    onnx_build_ints(&b, "zero", "", (const int64_t[]){0});
    onnx_build_ints(&b, "at", "1", (const int64_t[]){0});
    onnx_build_ints(&b, "rest", "1", (const int64_t[]){-1});
    onnx_build_node(&b, "Relu", "x", "r", "");
    onnx_build_node(&b, "Shape", "r", "s", "");
    onnx_build_node(&b, "Gather", "s,zero", "n", "");
    onnx_build_node(&b, "Unsqueeze", "n,at", "u", "");
    onnx_build_node(&b, "Concat", "u,rest", "t", "axis=0");
    onnx_build_node(&b, "Reshape", "r,t", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    exec *x = planned(&b, &m, shape_make(3, (const int64_t[]){5, 3, 4}));
    if (!x) return;
    CHECK_U64(x->plan->step_count, 1);
    CHECK_U64(x->plan->late_count, 0);
    CHECK(exec_output(x, 0)->shape.rank == 2 && exec_output(x, 0)->shape.dim[1] == 12);
    exec_give(x);
}

static void what_hangs_on_data_waits_for_the_run(void)
{
    onnx_build b;
    err e = {0};
    CLEANUP(model) model *m = NULL;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "4");
    onnx_build_node(&b, "NonZero", "x", "i", "");
    onnx_build_node(&b, "Add", "i,i", "y", "");
    onnx_build_output(&b, "y", DT_I64, NULL);
    exec *x = planned(&b, &m, shape_make(1, (const int64_t[]){4}));
    if (!x) return;
    CHECK_U64(x->plan->late_count, 2);
    for (int round = 0; round < 3; round++) {
        memcpy(exec_input(x, 0)->data, round == 1 ? (const float[4]){0} : (const float[4]){0, 1, 0, 1}, 16);
        CHECK(exec_run(x, NULL, &e) == ERR_OK);
        CHECK(exec_output(x, 0)->shape.dim[1] == (round == 1 ? 0 : 2));
        if (round != 1) CHECK(((const int64_t *)exec_output(x, 0)->data)[1] == 6);
    }
    exec_give(x);
}

/* What the views show is only known at the run; the memory that they look at must not have gone to others by then. */
static void memory_under_a_late_view_lives_as_long_as_the_view(void)
{
    onnx_build b;
    err e = {0};
    exec *x = NULL;
    CLEANUP(model) model *m = NULL;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "4,4");
    onnx_build_input(&b, "to", DT_I64, "2");
    onnx_build_node(&b, "Exp", "x", "e", "");
    onnx_build_node(&b, "Reshape", "e,to", "view", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    for (int i = 0; i < 4; i++) {   /* planned, of the same size as e, and alive to the end */
        char out[8];
        snprintf(out, sizeof out, "n%d", i);
        onnx_build_node(&b, "Neg", "x", out, "");
        onnx_build_output(&b, out, DT_F32, NULL);
    }
    onnx_build_node(&b, "Neg", "view", "y", "");
    CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &(model_opts){.no_passes = true}, &e) == ERR_OK);
    shape s[2] = {shape_make(2, (const int64_t[]){4, 4}), shape_make(1, (const int64_t[]){2})};
    CHECK(m && exec_take(&x, m, s, &e) == ERR_OK);
    if (x) {
        CHECK(x->plan->late_count > 0);
        for (int i = 0; i < N; i++) ((float *)exec_input(x, 0)->data)[i] = 0;
        memcpy(exec_input(x, 1)->data, (const int64_t[]){2, 8}, 16);
        CHECK(exec_run(x, NULL, &e) == ERR_OK);
        CHECK(exec_output(x, 0)->shape.dim[0] == 2 && exec_output(x, 0)->shape.dim[1] == 8);
        for (int i = 0; i < N; i++) CHECK(((const float *)exec_output(x, 0)->data)[i] == -1);
        for (int i = 0; i < N; i++) CHECK(((const float *)exec_output(x, 1)->data)[i] == 0);
        exec_give(x);
    }
    onnx_build_end(&b);
}

/* Each run begins with all of its memory: what the last one made is gone. */
static void what_a_run_made_does_not_pile_up(void)
{
    onnx_build b;
    err e = {0};
    exec *x = NULL;
    CLEANUP(model) model *m = NULL;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N");
    onnx_build_ints(&b, "pads", "2", (const int64_t[]){1, 1});
    onnx_build_node(&b, "NonZero", "x", "y", "");
    onnx_build_node(&b, "Pad", "x,pads", "z", "");   /* works in scratch memory */
    onnx_build_output(&b, "y", DT_I64, NULL);
    onnx_build_output(&b, "z", DT_F32, NULL);
    CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &(model_opts){.memory_max = 1 << 20}, &e) ==
          ERR_OK);
    shape s = shape_make(1, (const int64_t[]){20000});
    CHECK(m && exec_take(&x, m, &s, &e) == ERR_OK);
    for (int i = 0; i < 20000 && x; i++) ((float *)exec_input(x, 0)->data)[i] = 1;
    for (int i = 0; i < 40 && x; i++) CHECK(exec_run(x, NULL, &e) == ERR_OK);
    if (x) exec_give(x);
    onnx_build_end(&b);
}

static void random_numbers_are_drawn_in_each_run(void)
{
    for (int passes = 0; passes < 2; passes++) {
        onnx_build b;
        err e = {0};
        exec *x = NULL;
        float first[8];
        CLEANUP(model) model *m = NULL;
        onnx_build_start(&b, 13);
        onnx_build_input(&b, "x", DT_F32, "8");
        onnx_build_node(&b, "RandomUniform", "", "r", "shape=[8]");
        onnx_build_node(&b, "Add", "x,r", "y", "");
        onnx_build_output(&b, "y", DT_F32, NULL);
        CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &(model_opts){.no_passes = !passes}, &e) ==
              ERR_OK);
        shape s = shape_make(1, (const int64_t[]){8});
        CHECK(m && exec_take(&x, m, &s, &e) == ERR_OK);
        for (int run = 0; run < 2 && x; run++) {
            for (int i = 0; i < 8; i++) ((float *)exec_input(x, 0)->data)[i] = 0;
            CHECK(exec_run(x, NULL, &e) == ERR_OK);
            const float *got = exec_output(x, 0)->data;
            if (run) CHECK(memcmp(first, got, sizeof first) != 0);
            memcpy(first, got, sizeof first);
        }
        if (x) exec_give(x);
        onnx_build_end(&b);
    }
}

/* PLAN_FOLD_MAX bytes, for each shape that is asked for: more is not held by the plan. */
static void only_small_things_are_computed_before_the_run(void)
{
    static const int64_t counts[] = {PLAN_FOLD_MAX / 4, PLAN_FOLD_MAX / 4 + 1};
    for (size_t i = 0; i < COUNTOF(counts); i++) {
        onnx_build b;
        CLEANUP(model) model *m = NULL;
        onnx_build_start(&b, 13);
        onnx_build_input(&b, "x", DT_F32, "N");
        onnx_build_node(&b, "Shape", "x", "s", "");
        onnx_build_node(&b, "ConstantOfShape", "s", "y", "");
        onnx_build_output(&b, "y", DT_F32, NULL);
        exec *x = planned(&b, &m, shape_make(1, &counts[i]));
        if (!x) return;
        CHECK_U64(x->plan->step_count, i);
        exec_give(x);
    }
}

/* What `model inspect` shows: a product counts its multiplications and additions, others an operation for each
 * element; of what is known in the run only nothing is said. */
static void steps_tell_what_they_cost_and_who_computes_them(void)
{
    static const struct { const char *op; uint64_t flops; bool kernel; } want[] = {
        {"MatMul", 2 * 2 * 3 * 5, true}, {"Exp", 10, true}, {"NonZero", 0, false}};
    onnx_build b;
    CLEANUP(model) model *m = NULL;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N,3");
    onnx_build_floats(&b, "w", "3,5", (const float[15]){1});
    onnx_build_node(&b, "MatMul", "x,w", "p", "");
    onnx_build_node(&b, "Exp", "p", "q", "");
    onnx_build_node(&b, "NonZero", "q", "y", "");
    onnx_build_output(&b, "y", DT_I64, NULL);
    exec *x = planned_from(&b, &m, shape_make(2, (const int64_t[]){2, 3}));
    if (!x) {
        onnx_build_end(&b);
        return;
    }
    const plan *p = x->plan;
    CHECK_U64(p->step_count, COUNTOF(want));
    for (uint32_t i = 0; i < p->step_count && i < COUNTOF(want); i++) {
        const char *kernel = plan_step_kernel(p, &p->steps[i], "isa");
        CHECK(str_is(p->steps[i].node->op, want[i].op));
        CHECK_U64(plan_step_flops(p, &p->steps[i]), want[i].flops);
        CHECK((kernel[0] != 0) == want[i].kernel);
        if (i == 1) CHECK_STR(kernel, "isa");
    }
    exec_give(x);
    onnx_build_end(&b);
}

static void elementwise_nodes_overwrite_what_dies(void)
{
    onnx_build b;
    CLEANUP(model) model *m = NULL;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N");
    onnx_build_node(&b, "Exp", "x", "v0", "");
    for (int i = 0; i < 20; i++) {
        char in[8], out[8];
        snprintf(in, sizeof in, "v%d", i);
        snprintf(out, sizeof out, "v%d", i + 1);
        onnx_build_node(&b, i & 1 ? "Exp" : "Neg", in, out, "");
    }
    onnx_build_output(&b, "v20", DT_F32, NULL);
    exec *x = planned(&b, &m, shape_make(1, (const int64_t[]){1000}));
    if (!x) return;
    CHECK(x->plan->bytes <= 2 * 4032);   /* the input and one block, in steps of 64 bytes */
    exec_give(x);
}

static void plan_once(const graph *g)
{
    plan *p = NULL;
    err e = {0};
    shape s = shape_make(2, (const int64_t[]){4, 4});
    tensor in = tensor_make(DT_F32, &s, NULL);
    plan_opts o = {.inputs = &in, .kernels = &kernel_active()->set, .memory_max = 1 << 20};
    CHECK(plan_new(&p, g, &o, &e) == ERR_OK || mem_fault_fired());
    plan_free(p);
}

static void every_failed_allocation_is_survived(void)
{
    onnx_build b;
    made m[VALUES];
    uint64_t seed = 5;
    err e = {0};
    CLEANUP(model) model *md = NULL;
    build(&b, m, &seed);
    CHECK(model_open_bytes(&md, onnx_build_bytes(&b), "t.onnx", NULL, &(model_opts){0}, &e) == ERR_OK);
    if (md) FAULT_SWEEP(plan_once(model_graph(md)));
    model_free(TAKE(md));
    onnx_build_end(&b);
}

/* A client may claim any length beside a 0: nobody counts to its end, neither in the plan nor in the run. */
static void shapes_without_elements_cost_nothing_however_long(void)
{
    static const struct { const char *op, *attrs; } rows[] = {
        {"Trilu", ""}, {"Transpose", ""}, {"Softmax", "axis=0"}, {"Unique", "axis=1"}, {"Concat", "axis=1"}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        onnx_build b;
        err e = {0};
        exec *x = NULL;
        shape s = shape_make(2, (const int64_t[]){INT64_C(1) << 40, 0});
        onnx_build_start(&b, 14);
        onnx_build_input(&b, "x", DT_F32, "N,M");
        onnx_build_node(&b, rows[i].op, "x", "y", rows[i].attrs);
        onnx_build_output(&b, "y", DT_F32, NULL);
        CLEANUP(model) model *m = NULL;
        CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &(model_opts){0}, &e) == ERR_OK);
        CHECK(exec_take(&x, m, &s, &e) == ERR_OK);
        CHECK(exec_run(x, NULL, &e) == ERR_OK);
        CHECK_U64(tensor_count(exec_output(x, 0)), 0);
        exec_give(x);
        onnx_build_end(&b);
    }
}

/* Longer than that, sizes beside the 0 could overflow: no plan is made. */
static void inputs_of_no_sane_length_have_no_plan(void)
{
    onnx_build b;
    err e = {0};
    plan *p = NULL;
    CLEANUP(model) model *m = NULL;
    shape s = shape_make(2, (const int64_t[]){INT64_C(1) << 41, 0});
    tensor in = tensor_make(DT_F32, &s, NULL);
    onnx_build_start(&b, 14);
    onnx_build_input(&b, "x", DT_F32, "N,M");
    onnx_build_node(&b, "Relu", "x", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &(model_opts){0}, &e) == ERR_OK);
    plan_opts o = {.inputs = &in, .kernels = &kernel_active()->set, .memory_max = SIZE_MAX / 4, .probe = true};
    CHECK(plan_new(&p, model_graph(m), &o, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "input 'x': shape [2199023255552,0] is too large");
    in.shape.dim[0] = -1;
    CHECK(plan_new(&p, model_graph(m), &o, &e) == ERR_LIMIT);
    onnx_build_end(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(random_graphs_compute_what_they_say_with_and_without_passes), TEST(shapes_are_computed_before_the_run),
        TEST(what_hangs_on_data_waits_for_the_run), TEST(elementwise_nodes_overwrite_what_dies),
        TEST(steps_tell_what_they_cost_and_who_computes_them),
        TEST(random_numbers_are_drawn_in_each_run), TEST(only_small_things_are_computed_before_the_run),
        TEST(memory_under_a_late_view_lives_as_long_as_the_view), TEST(what_a_run_made_does_not_pile_up),
        TEST(every_failed_allocation_is_survived),
        TEST(shapes_without_elements_cost_nothing_however_long), TEST(inputs_of_no_sane_length_have_no_plan),
    };
    return test_main(cases, COUNTOF(cases));
}
