/* Models of opsets before 7 mean what they meant: axes and shapes as attributes, hints that say nothing. */
#include "engine/onnx_legacy.h"

#include "engine/model.h"
#include "onnx_build.h"
#include "test.h"

#include <math.h>

/* Runs a model of one float input x of the given shape, filled with 0, 1, 2, ..., and gives its first output. */
static exec *run(onnx_build *b, model **m, shape s)
{
    err e = {0};
    exec *x = NULL;
    if (model_open_bytes(m, onnx_build_bytes(b), "t.onnx", NULL, &(model_opts){0}, &e)) printf("# %s\n", e.text);
    CHECK(*m != NULL);
    if (!*m || exec_take(&x, *m, &s, &e)) return NULL;
    for (uint64_t i = 0; i < shape_count(&s); i++) ((float *)exec_input(x, 0)->data)[i] = (float)i;
    CHECK(exec_run(x, NULL, &e) == ERR_OK);
    return x;
}

static void an_axis_says_where_the_second_input_lies(void)
{
    for (int spread = 0; spread < 2; spread++) {
        onnx_build b;
        CLEANUP(model) model *m = NULL;
        onnx_build_start(&b, spread ? 6 : 1);
        onnx_build_input(&b, "x", DT_F32, spread ? "N,2,2" : "1,2,2");
        onnx_build_floats(&b, "c", "2", (const float[]){10, 20});
        onnx_build_node(&b, "Add", "x,c", "y", "broadcast=1 axis=1");
        onnx_build_output(&b, "y", DT_F32, NULL);
        exec *x = run(&b, &m, shape_make(3, (const int64_t[]){1, 2, 2}));
        CHECK(x != NULL);
        if (x) {
            const float *y = exec_output(x, 0)->data;
            CHECK(y[0] == 10 && y[1] == 11 && y[2] == 22 && y[3] == 23);
            exec_give(x);
        }
        onnx_build_end(&b);
    }
}

static void without_an_axis_the_last_ones_match(void)
{
    onnx_build b;
    CLEANUP(model) model *m = NULL;
    onnx_build_start(&b, 6);
    onnx_build_input(&b, "x", DT_F32, "1,2,2");
    onnx_build_floats(&b, "c", "2", (const float[]){10, 20});
    onnx_build_node(&b, "Add", "x,c", "y", "broadcast=1");
    onnx_build_output(&b, "y", DT_F32, NULL);
    exec *x = run(&b, &m, shape_make(3, (const int64_t[]){1, 2, 2}));
    CHECK(x && ((const float *)exec_output(x, 0)->data)[1] == 21);
    if (x) exec_give(x);
    onnx_build_end(&b);
}

static void shapes_and_hints_were_attributes(void)
{
    onnx_build b;
    CLEANUP(model) model *m = NULL;
    onnx_build_start(&b, 1);
    onnx_build_input(&b, "x", DT_F32, "2,3");
    onnx_build_node(&b, "Reshape", "x", "r", "shape=[3,-1] consumed_inputs=[0]");
    onnx_build_node(&b, "Relu", "r", "s", "consumed_inputs=[0]");
    onnx_build_node(&b, "Concat", "s,s", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    exec *x = run(&b, &m, shape_make(2, (const int64_t[]){2, 3}));
    CHECK(x != NULL);
    if (x) {
        const tensor *y = exec_output(x, 0);
        CHECK(y->shape.rank == 2 && y->shape.dim[0] == 3 && y->shape.dim[1] == 4);
        exec_give(x);
    }
    onnx_build_end(&b);
}

/* One node on x, which counts from 0, or on its negative m; constants to choose from. */
typedef struct {
    int64_t opset;
    const char *op, *ins, *attrs;
    shape x;
    size_t count;
    float want[8];   /* none: refused */
    const char *error;
} node_case;

static void node_build(onnx_build *b, const node_case *k)
{
    char dims[SHAPE_TEXT_MAX];
    shape_text(&k->x, dims);
    dims[strlen(dims) - 1] = 0;
    onnx_build_start(b, k->opset);
    onnx_build_input(b, "x", DT_F32, dims + 1);
    onnx_build_node(b, "Neg", "x", "m", "");
    onnx_build_floats(b, "two", "2", (const float[]){10, 20});
    onnx_build_floats(b, "unit", "2,2", (const float[]){1, 0, 0, 1});
    onnx_build_floats(b, "one", "1,1,1", (const float[]){1});
    onnx_build_floats(b, "zeros", "2", (const float[]){0, 0});
    onnx_build_floats(b, "ones", "2", (const float[]){1, 1});
    onnx_build_node(b, k->op, k->ins, "y", k->attrs);
    onnx_build_output(b, "y", DT_F32, NULL);
}

#define OF(...) shape_make((uint32_t)COUNTOF(((int64_t[]){__VA_ARGS__})), (const int64_t[]){__VA_ARGS__})

static void every_rewrite_keeps_the_meaning(void)
{
    const node_case rows[] = {
        {1, "Cast", "x", "to='float'", OF(2), 2, {0, 1}, NULL},
        {1, "Cast", "x", "to='quaternion'", OF(2), 0, {0}, "(Cast, ai.onnx 1): this type: not implemented"},
        {1, "Pad", "x", "paddings=[1,0] value=7.0", OF(2), 3, {7, 0, 1}, NULL},
        {1, "Upsample", "x", "height_scale=1.0 width_scale=2.0", OF(1, 1, 1, 2), 4, {0, 0, 1, 1}, NULL},
        {1, "Split", "x,two", "axis=0", OF(2), 0, {0},
         "(Split, ai.onnx 1): lengths as an input at this version: not implemented"},
        {1, "LpPool", "x", "p=2.0 kernel_shape=[2]", OF(1, 1, 3), 2, {1, 2.236068f}, NULL},
        {1, "GlobalLpPool", "x", "p=1.0", OF(1, 1, 3), 1, {3}, NULL},
        {1, "GlobalLpPool", "x", "p=1.5", OF(1, 1, 3), 0, {0}, "(GlobalLpPool, ai.onnx 1): this p: not implemented"},
        {1, "LpPool", "x", "p=1.e30 kernel_shape=[2]", OF(1, 1, 3), 0, {0},
         "(LpPool, ai.onnx 1): this p: not implemented"},
        {6, "PRelu", "m,two", "", OF(1, 2, 2), 4, {0, -10, -40, -60}, NULL},
        {6, "Gemm", "x,unit,two", "broadcast=1", OF(1, 2), 2, {10, 21}, NULL},
        {6, "BatchNormalization", "x,two,ones,zeros,ones", "is_test=1 epsilon=0.0", OF(1, 2, 1), 2, {1, 21}, NULL},
        {1, "BatchNormalization", "x,two,ones,zeros,ones", "consumed_inputs=[0,0,0,1,1] is_test=1 epsilon=0.0",
         OF(1, 2, 1), 2, {1, 21}, NULL},
        {6, "Dropout", "x", "is_test=1", OF(2), 2, {0, 1}, NULL},
        {1, "RNN", "x,one,one", "hidden_size=1 output_sequence=1", OF(1, 1, 1), 1, {0}, NULL},
        {6, "Sub", "x,two", "broadcast=1 axis=0", OF(2, 1), 2, {-10, -19}, NULL},
        {6, "Mul", "x,two", "broadcast=1 axis=-2", OF(2, 2), 4, {0, 10, 40, 60}, NULL},
        {6, "Pow", "x,two", "broadcast=1", OF(1, 2), 2, {0, 1}, NULL},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        const node_case *k = &rows[i];
        onnx_build b;
        CLEANUP(model) model *m = NULL;
        node_build(&b, k);
        if (k->error) {
            err e = {0};
            CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &(model_opts){0}, &e) != ERR_OK);
            CHECK(str_ends(str_of(e.text), str_of(k->error)));
            onnx_build_end(&b);
            continue;
        }
        exec *x = run(&b, &m, k->x);
        CHECK(x && tensor_count(exec_output(x, 0)) == k->count);
        for (size_t n = 0; x && n < k->count; n++) {
            float got = ((const float *)exec_output(x, 0)->data)[n];
            if (fabsf(got - k->want[n]) <= 1e-6f * (1 + fabsf(k->want[n]))) continue;
            printf("# row %zu, %s: [%zu] is %g\n", i, k->op, n, (double)got);
            test_failures++;
        }
        if (x) exec_give(x);
        onnx_build_end(&b);
    }
}

static void what_has_no_counterpart_is_refused(void)
{
    onnx_build b;
    model *m = NULL;
    err e;
    onnx_build_start(&b, 1);
    onnx_build_input(&b, "x", DT_F32, "2,3");
    onnx_build_input(&b, "t", DT_I64, "1");
    onnx_build_node(&b, "Tile", "x,t,t", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &(model_opts){0}, &e) == ERR_UNSUPPORTED);
    CHECK_STR(e.text, "t.onnx: node that makes 'y' (Tile, ai.onnx 1): tiles and axis as inputs: not implemented");
    onnx_build_end(&b);
}

int main(void)
{
    static const test_case cases[] = {TEST(an_axis_says_where_the_second_input_lies),
                                      TEST(without_an_axis_the_last_ones_match), TEST(shapes_and_hints_were_attributes),
                                      TEST(every_rewrite_keeps_the_meaning),
                                      TEST(what_has_no_counterpart_is_refused)};
    return test_main(cases, COUNTOF(cases));
}
