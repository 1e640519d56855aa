/* Models of opsets before 7 mean what they meant: axes and shapes as attributes, hints that say nothing. */
#include "engine/onnx_legacy.h"

#include "engine/model.h"
#include "onnx_build.h"
#include "test.h"

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
                                      TEST(what_has_no_counterpart_is_refused)};
    return test_main(cases, COUNTOF(cases));
}
