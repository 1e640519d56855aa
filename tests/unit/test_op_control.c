/* If, Loop and Scan run their subgraphs with values of the graphs around them, at any shape, again and again. */
#include "engine/model.h"
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

/* What a branch cannot compute is an error when it is taken, not when the model is loaded. */
static void a_branch_that_is_not_taken_may_be_wrong(void)
{
    onnx_build b, yes, no;
    err e = {0};
    exec *x = NULL;
    int64_t n = 2;
    onnx_build_start(&yes, 16);
    onnx_build_node(&yes, "Neg", "x", "a", "");
    onnx_build_output(&yes, "a", DT_F32, NULL);
    onnx_build_start(&no, 16);
    onnx_build_node(&no, "Reshape", "w,three", "z", "");
    onnx_build_output(&no, "z", DT_F32, NULL);
    onnx_build_start(&b, 16);
    onnx_build_input(&b, "x", DT_F32, "N");
    onnx_build_input(&b, "c", DT_BOOL, "");
    onnx_build_floats(&b, "w", "2", (const float[]){7, 8});
    onnx_build_ints(&b, "three", "1", (const int64_t[]){3});
    onnx_build_node_graph(&b, "If", "c", "y", "then_branch", &yes, "else_branch", &no);
    onnx_build_output(&b, "y", DT_F32, NULL);
    CLEANUP(model) model *m = opened(&b);
    RUN(m, 2, true, -1, -2);
    shape s[2] = {shape_make(1, &n), {0}};
    CHECK(exec_take(&x, m, s, &e) == ERR_OK);
    *(bool *)exec_input(x, 1)->data = false;
    CHECK(exec_run(x, NULL, &e) == ERR_INVALID && strstr(e.text, "Reshape"));
    exec_give(x);
    onnx_build_end(&yes);
    onnx_build_end(&no);
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

/* How long it takes is up to what its client sends, however little the last one cost: never on an event loop. */
static void a_model_with_a_loop_is_never_cheap(void)
{
    onnx_build b;
    const int64_t n = 2;
    const shape s = shape_make(1, &n);
    loop_build(&b, 3, true);
    CLEANUP(model) model *m = opened(&b);
    for (int i = 0; i < 3; i++) RUN(m, 2, false, 1, 2, 1, 2, 1, 2, 1, 2);
    exec *cheap = exec_take_cheap(m, &s, UINT32_MAX);
    CHECK(!cheap);
    if (cheap) exec_give(cheap);
    onnx_build_end(&b);
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

/* y = x, passed on so many times by a body without a node. */
static void spin_build(onnx_build *b)
{
    const int64_t trips = INT64_MAX;
    onnx_build body;
    onnx_build_start(&body, 16);
    onnx_build_input(&body, "i", DT_I64, "");
    onnx_build_input(&body, "go", DT_BOOL, "");
    onnx_build_input(&body, "v", DT_F32, NULL);
    onnx_build_output(&body, "go", DT_BOOL, "");
    onnx_build_output(&body, "v", DT_F32, NULL);
    onnx_build_start(b, 16);
    onnx_build_input(b, "x", DT_F32, "N");
    onnx_build_ints(b, "trips", "1", &trips);
    onnx_build_node_graph(b, "Loop", "trips,,x", "y", "body", &body, NULL, NULL);
    onnx_build_output(b, "y", DT_F32, NULL);
    onnx_build_end(&body);
}

static void cancel_soon(void *ctx)
{
    for (int i = 0; i < 1000; i++) thread_yield();
    atomic_store((_Atomic bool *)ctx, true);
}

/* By another thread, while it runs, or by the clock; before the first node, too. */
static void an_endless_loop_ends_when_it_is_cancelled_or_its_time_is_over(void)
{
    for (int empty = 0; empty < 2; empty++) {
        onnx_build b;
        if (empty) spin_build(&b);
        else loop_build(&b, INT64_MAX, false);
        CLEANUP(model) model *m = opened(&b);
        err e = {0};
        exec *x = NULL;
        thread other;
        int64_t n = 1;
        shape s = shape_make(1, &n);
        _Atomic bool cancelled = true;
        CHECK(exec_take(&x, m, &s, &e) == ERR_OK);
        CHECK(exec_run(x, &(exec_stop){.cancelled = &cancelled}, &e) == ERR_CANCELLED);
        atomic_store(&cancelled, false);
        CHECK(thread_start(&other, "cancels", cancel_soon, (void *)&cancelled, &e) == ERR_OK);
        CHECK(exec_run(x, &(exec_stop){.cancelled = &cancelled}, &e) == ERR_CANCELLED);
        thread_join(&other);
        CHECK(exec_run(x, &(exec_stop){.until_us = 1}, &e) == ERR_TIMEOUT);
        CHECK_STR(e.text, "its time was over before the last node");
        bool begun = false;
        for (uint64_t us = 2000; !begun && us < 60000000; us *= 2) {   /* a thread may be held up before it begins */
            CHECK(exec_run(x, &(exec_stop){.until_us = clock_now_us() + us}, &e) == ERR_TIMEOUT);
            begun = strstr(e.text, "Loop") != NULL;
        }
        CHECK(begun);
        exec_give(x);
        onnx_build_end(&b);
    }
}

/* ---- Scan ------------------------------------------------------------------------------------------------------ */

typedef struct {
    int64_t length, width, axis[2], out_axis[2];   /* axes as the attributes have them, possibly negative */
    bool back[2], out_back[2];
} scan_case;

/* s' = s + x[t], o[t] = s' * z[t], p[t] = s' with a size of 1 before it; x and z are scanned. */
static void scan_build(onnx_build *b, const scan_case *k)
{
    onnx_build body;
    char attrs[400];
    onnx_build_start(&body, 16);
    onnx_build_input(&body, "s", DT_F32, "C");
    onnx_build_input(&body, "xt", DT_F32, "C");
    onnx_build_input(&body, "zt", DT_F32, "C");
    onnx_build_node(&body, "Add", "s,xt", "s2", "");
    onnx_build_node(&body, "Mul", "s2,zt", "o", "");
    onnx_build_node(&body, "Unsqueeze", "s2,first", "p", "");
    onnx_build_output(&body, "s2", DT_F32, "C");
    onnx_build_output(&body, "o", DT_F32, "C");
    onnx_build_output(&body, "p", DT_F32, "1,C");
    onnx_build_start(b, 16);
    onnx_build_input(b, "s0", DT_F32, "C");
    onnx_build_input(b, "x", DT_F32, "A,B");
    onnx_build_input(b, "z", DT_F32, "D,E");
    onnx_build_ints(b, "first", "1", (const int64_t[]){0});
    snprintf(attrs, sizeof attrs,
             "num_scan_inputs=2 scan_input_axes=[%d,%d] scan_input_directions=[%d,%d] scan_output_axes=[%d,%d] "
             "scan_output_directions=[%d,%d]", (int)k->axis[0], (int)k->axis[1], k->back[0], k->back[1],
             (int)k->out_axis[0], (int)k->out_axis[1], k->out_back[0], k->out_back[1]);
    onnx_build_node_body(b, "Scan", "s0,x,z", "s,o,p", attrs, &body);
    onnx_build_output(b, "s", DT_F32, NULL);
    onnx_build_output(b, "o", DT_F32, NULL);
    onnx_build_output(b, "p", DT_F32, NULL);
    onnx_build_end(&body);
}

/* Element c of slice t, where the slices lie along this axis of a matrix. */
static size_t scan_at(const scan_case *k, bool along_rows, bool back, int64_t t, int64_t c)
{
    if (back) t = k->length - 1 - t;
    return (size_t)(along_rows ? t * k->width + c : c * k->length + t);
}

static void scan_check(const scan_case *k, const exec *x, const float *xs, const float *zs)
{
    const tensor *s = exec_output(x, 0), *o = exec_output(x, 1), *p = exec_output(x, 2);
    bool rows = k->out_axis[0] == 0 || k->out_axis[0] == -2;
    int64_t p_axis = k->out_axis[1] < 0 ? k->out_axis[1] + 3 : k->out_axis[1];
    float state[4] = {0.5f, 0.5f, 0.5f, 0.5f};
    CHECK(o->shape.rank == 2 && o->shape.dim[!rows] == k->length && p->shape.rank == 3);
    CHECK(p->shape.dim[p_axis] == k->length);
    if (k->length) CHECK(o->shape.dim[rows] == k->width && tensor_count(p) == (uint64_t)(k->length * k->width));
    for (int64_t t = 0; t < k->length; t++) {
        for (int64_t c = 0; c < k->width; c++) {
            state[c] += xs[scan_at(k, k->axis[0] == 0 || k->axis[0] == -2, k->back[0], t, c)];
            float z = zs[scan_at(k, k->axis[1] == 0 || k->axis[1] == -2, k->back[1], t, c)];
            CHECK(((const float *)o->data)[scan_at(k, rows, k->out_back[0], t, c)] == state[c] * z);
            CHECK(((const float *)p->data)[scan_at(k, p_axis < 2, k->out_back[1], t, c)] == state[c]);
        }
    }
    for (int64_t c = 0; c < k->width; c++) CHECK(((const float *)s->data)[c] == state[c]);
}

static void scans_walk_any_axis_in_both_directions(void)
{
    uint64_t seed = 21;
    for (int round = 0; round < 150; round++) {
        scan_case k = {.length = (int64_t)(test_rand(&seed) % 5), .width = 1 + (int64_t)(test_rand(&seed) % 4)};
        for (int i = 0; i < 2; i++) {
            k.axis[i] = (int64_t)(test_rand(&seed) % 4) - 2;
            k.out_axis[i] = (int64_t)(test_rand(&seed) % (i ? 6 : 4)) - (i ? 3 : 2);
            k.back[i] = test_rand(&seed) & 1;
            k.out_back[i] = test_rand(&seed) & 1;
        }
        onnx_build b;
        exec *x = NULL;
        err e = {0};
        scan_build(&b, &k);
        CLEANUP(model) model *m = opened(&b);
        shape s[3] = {shape_make(1, &k.width)};
        for (int i = 0; i < 2; i++) {
            bool rows = k.axis[i] == 0 || k.axis[i] == -2;
            s[i + 1] = shape_make(2, (const int64_t[]){rows ? k.length : k.width, rows ? k.width : k.length});
        }
        float xs[16], zs[16], start[4] = {0.5f, 0.5f, 0.5f, 0.5f};
        for (int i = 0; i < 16; i++) {
            xs[i] = (float)(test_rand(&seed) % 64) / 4;
            zs[i] = (float)(test_rand(&seed) % 64) / 4;
        }
        CHECK(exec_take(&x, m, s, &e) == ERR_OK);
        exec_input(x, 0)->data = start;
        exec_input(x, 1)->data = xs;
        exec_input(x, 2)->data = zs;
        for (int again = 0; again < 2; again++) {
            err_code rc = exec_run(x, NULL, &e);
            CHECK_STR(rc ? e.text : "", "");
            if (!rc) scan_check(&k, x, xs, zs);
        }
        exec_give(x);
        onnx_build_end(&b);
    }
}

/* Loads, and where it loads takes and runs with x and z of 2 x 3, s0 of 3; the error ends as `text` says. */
static void control_refused(onnx_build *b, const char *text, int line)
{
    err e = {0};
    exec *x = NULL;
    model *m = NULL;
    shape s[3] = {shape_make(1, (const int64_t[]){3}), shape_make(2, (const int64_t[]){2, 3}),
                  shape_make(2, (const int64_t[]){2, 3})};
    err_code rc = model_open_bytes(&m, onnx_build_bytes(b), "t.onnx", NULL, &no_opts, &e);
    if (!rc) rc = exec_take(&x, m, s, &e);
    for (uint32_t i = 0; !rc && i < model_input_count(m); i++)
        memset(exec_input(x, i)->data, 0, tensor_bytes(exec_input(x, i)));
    if (!rc) rc = exec_run(x, NULL, &e);
    bool same = rc && str_ends(str_of(e.text), str_of(text));
    if (!same) printf("# line %d: got '%s'\n", line, rc ? e.text : "no error");
    test_failures += !same;
    if (x) exec_give(x);
    model_free(m);
    onnx_build_end(b);
}
#define CONTROL_REFUSED(b, text) control_refused(b, text, __LINE__)

/* s0, x, z into a Scan with this body and these attributes. */
static void scan_wrong(const char *ins, const char *outs, const char *attrs, const char *text, int line)
{
    onnx_build b, body;
    onnx_build_start(&body, 16);
    onnx_build_input(&body, "s", DT_F32, NULL);
    onnx_build_input(&body, "xt", DT_F32, NULL);
    onnx_build_input(&body, "zt", DT_F32, NULL);
    onnx_build_node(&body, "Concat", "s,xt", "s2", "axis=0");
    onnx_build_node(&body, "Identity", "s2", "o", "");
    onnx_build_output(&body, "s2", DT_F32, NULL);
    onnx_build_output(&body, "o", DT_F32, NULL);
    onnx_build_start(&b, 16);
    onnx_build_input(&b, "s0", DT_F32, "3");
    onnx_build_input(&b, "x", DT_F32, "2,B");
    onnx_build_input(&b, "z", DT_F32, "2,3");
    onnx_build_floats(&b, "one", "", (const float[]){1});
    onnx_build_node_body(&b, "Scan", ins, outs, attrs, &body);
    onnx_build_output(&b, "y", DT_F32, NULL);
    onnx_build_output(&b, "o", DT_F32, NULL);
    if (strstr(outs, "q")) onnx_build_output(&b, "q", DT_F32, NULL);
    onnx_build_end(&body);
    control_refused(&b, text, line);
}
#define SCAN_WRONG(ins, outs, attrs, text) scan_wrong(ins, outs, attrs, text, __LINE__)

static void scans_that_cannot_be_are_refused(void)
{
    SCAN_WRONG("s0,x,z", "y,o", "num_scan_inputs=0", "num_scan_inputs: expected 1 to 3, got 0");
    SCAN_WRONG("s0,x,z", "y,o", "num_scan_inputs=4", "num_scan_inputs: expected 1 to 3, got 4");
    SCAN_WRONG("s0,x,z", "y,o", "num_scan_inputs=-1", "num_scan_inputs: expected 1 to 3, got -1");
    SCAN_WRONG("s0,x", "y,o", "num_scan_inputs=1", "subgraph: expected 2 inputs, got 3");
    SCAN_WRONG("s0,x,z", "y,o,q", "num_scan_inputs=2", "outputs: expected at most 2, got 3");
    SCAN_WRONG("s0,x,z", "y,o", "num_scan_inputs=2 scan_input_axes=[0]", "scan_input_axes: expected 2 values, got 1");
    SCAN_WRONG("s0,x,z", "y,o", "num_scan_inputs=2 scan_output_axes=[0,1]",
               "scan_output_axes: expected 1 values, got 2");
    SCAN_WRONG("s0,x,z", "y,o", "num_scan_inputs=2 scan_output_directions=[0,1]",
               "scan_output_directions: expected 1 values, got 2");
    SCAN_WRONG("s0,x,z", "y,o", "num_scan_inputs=2 scan_input_axes=[0,2]",
               "scan axes: expected an axis in -2..1, got 2");
    SCAN_WRONG("s0,x,z", "y,o", "num_scan_inputs=2 scan_input_axes=[0,1]", "scan input 1: expected length 2, got 3");
    SCAN_WRONG("s0,x,one", "y,o", "num_scan_inputs=2", "scan input 1: expected rank 1 or more");
    SCAN_WRONG("s0,,z", "y,o", "num_scan_inputs=2", "input 1: expected a value, got none");
    SCAN_WRONG(",x,z", "y,o", "num_scan_inputs=2", "input 0: expected a value, got none");
    SCAN_WRONG("s0,x,z", "y,o", "num_scan_inputs=2", "scan output 0: expected [2,6] in every iteration, got [2,9]");
    SCAN_WRONG("s0,x,z", "y,o", "num_scan_inputs=2 scan_output_axes=[2]",
               "scan axes: expected an axis in -2..1, got 2");
}

/* Its types, attributes and subgraphs are held against the table before anything runs. */
static void conditions_and_counts_have_their_types(void)
{
    onnx_build b, body;
    loop_build(&b, 1, true);
    onnx_build_end(&b);
    onnx_build_start(&body, 16);
    onnx_build_input(&body, "i", DT_I64, "");
    onnx_build_input(&body, "go", DT_BOOL, "");
    onnx_build_input(&body, "v", DT_F32, NULL);
    onnx_build_node(&body, "Neg", "v", "w", "");
    onnx_build_output(&body, "go", DT_BOOL, "");
    onnx_build_output(&body, "w", DT_F32, NULL);
    static const struct { const char *trips, *cond, *text; } rows[] = {
        {"few", "", "input 0 'few': expected int64, got float32"}, {"many", "", "trip count: expected one number"},
        {"", "few", "input 1 'few': expected bool, got float32"},
        {"", "both", "cond: expected one bool, got bool [2]"}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        char ins[32];
        onnx_build_start(&b, 16);
        onnx_build_input(&b, "x", DT_F32, "3");
        onnx_build_floats(&b, "few", "", (const float[]){1});
        onnx_build_ints(&b, "many", "2", (const int64_t[]){1, 1});
        onnx_build_node(&b, "Cast", "many", "both", "to=9");
        snprintf(ins, sizeof ins, "%s,%s,x", rows[i].trips, rows[i].cond);
        onnx_build_node_body(&b, "Loop", ins, "y", "", &body);
        onnx_build_output(&b, "y", DT_F32, NULL);
        CONTROL_REFUSED(&b, rows[i].text);
    }
    onnx_build_end(&body);
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

/* [2^40, 0] costs its client nothing. */
static void slices_without_elements_are_not_scanned_for_ever(void)
{
    const scan_case k = {.length = INT64_C(1) << 40};
    onnx_build b;
    exec *x = NULL;
    err e = {0};
    scan_build(&b, &k);
    CLEANUP(model) model *m = opened(&b);
    const shape s[3] = {shape_make(1, &k.width), shape_make(2, (const int64_t[]){k.length, k.width}),
                        shape_make(2, (const int64_t[]){k.length, k.width})};
    CHECK(exec_take(&x, m, s, &e) == ERR_OK);
    CHECK(exec_run(x, NULL, &e) != ERR_OK);
    CHECK(strstr(e.text, "scan inputs: expected at most 2147483647 iterations, got 1099511627776") != NULL);
    exec_give(x);
    onnx_build_end(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(both_branches_see_the_graph_around),
        TEST(a_branch_that_is_not_taken_may_be_wrong),
        TEST(loops_carry_values_that_grow_and_stack_what_they_scan),
        TEST(a_model_with_a_loop_is_never_cheap),
        TEST(an_endless_loop_ends_when_it_is_cancelled_or_its_time_is_over),
        TEST(scans_walk_any_axis_in_both_directions),
        TEST(scans_that_cannot_be_are_refused),
        TEST(conditions_and_counts_have_their_types),
        TEST(wrong_subgraphs_are_refused_by_name),
        TEST(every_failed_allocation_is_survived),
        TEST(slices_without_elements_are_not_scanned_for_ever),
    };
    return test_main(cases, COUNTOF(cases));
}
