/* Passes change how a graph is computed and never what: each rewrite happens where it is legal, not where it is not,
 * and models give the same outputs with and without them. */
#include "engine/pass.h"

#include "engine/model.h"
#include "onnx_build.h"
#include "test.h"

#include <math.h>

/* The graph after the passes as text: "Conv(BatchNormalization+Relu) Add", and what it computes with and without
 * them. */
static const char *passed(onnx_build *b, char text[400])
{
    static const model_opts with, without = {.no_passes = true};
    CLEANUP(model) model *m = NULL, *plain = NULL;
    err e = {0};
    str bytes = onnx_build_bytes(b);
    text[0] = 0;
    CHECK(model_open_bytes(&plain, bytes, "t.onnx", NULL, &without, &e) == ERR_OK);
    if (model_open_bytes(&m, bytes, "t.onnx", NULL, &with, &e)) printf("# %s\n", e.text);
    CHECK(m != NULL);
    if (!m || !plain) return text;
    const graph *g = model_graph(m);
    size_t n = 0;
    for (uint32_t i = 0; i < g->node_count; i++) {
        const node *x = &g->nodes[i];
        n += (size_t)snprintf(text + n, 400 - n, "%s" STR_FMT, i ? " " : "", STR_ARG(x->op));
        if (x->fused) n += (size_t)snprintf(text + n, 400 - n, "(%s)", x->fused);
    }
    uint32_t count = model_input_count(m);
    shape shapes[4];
    exec *x = NULL, *y = NULL;
    for (uint32_t i = 0; i < count; i++) {
        shapes[i] = model_input(m, i)->shape;
        for (uint32_t d = 0; d < shapes[i].rank; d++) {
            if (shapes[i].dim[d] < 0) shapes[i].dim[d] = 3;
        }
    }
    if (exec_take(&x, m, shapes, &e) || exec_take(&y, plain, shapes, &e)) printf("# %s\n", e.text);
    CHECK(x && y);
    uint64_t seed = 11;
    for (uint32_t i = 0; i < count && x && y; i++) {
        float *p = exec_input(x, i)->data, *q = exec_input(y, i)->data;
        for (uint64_t k = 0; k < shape_count(&shapes[i]); k++) {
            p[k] = q[k] = (float)(test_rand(&seed) % 2001) / 1000 - 1;
        }
    }
    if (x && y) CHECK(exec_run(x, NULL, &e) == ERR_OK && exec_run(y, NULL, &e) == ERR_OK);
    for (uint32_t i = 0; i < model_output_count(m) && x && y; i++) {
        const tensor *s = exec_output(x, i), *t = exec_output(y, i);
        CHECK(s->type == t->type && shape_eq(&s->shape, &t->shape));
        CHECK(str_eq(model_output(m, i)->name, model_output(plain, i)->name));
        for (uint64_t k = 0; k < tensor_count(s); k++) {
            double a = tensor_f64(s, k), c = tensor_f64(t, k);
            CHECK(fabs(a - c) <= 1e-5 + 1e-5 * fabs(c));
        }
    }
    if (x) exec_give(x);
    if (y) exec_give(y);
    return text;
}

static void expect(onnx_build *b, const char *want)
{
    char text[400];
    CHECK_STR(passed(b, text), want);
    onnx_build_end(b);
}

static void start(onnx_build *b, const char *dims)
{
    onnx_build_start(b, 13);
    onnx_build_input(b, "x", DT_F32, dims);
}

static void identities_vanish_and_outputs_keep_their_names(void)
{
    onnx_build b;
    start(&b, "N,3");
    onnx_build_node(&b, "Identity", "x", "a", "");
    onnx_build_node(&b, "Relu", "a", "r", "");
    onnx_build_node(&b, "Identity", "r", "i", "");
    onnx_build_node(&b, "Identity", "i", "y", "");
    onnx_build_output(&b, "y", DT_F32, "N,3");
    expect(&b, "Relu");
    start(&b, "N,3");
    onnx_build_node(&b, "Identity", "x", "y", "");
    onnx_build_output(&b, "y", DT_F32, "N,3");
    expect(&b, "Identity");   /* an input that is an output has nobody who could take its name over */
}

static void constants_are_computed_once(void)
{
    onnx_build b;
    start(&b, "N,3");
    onnx_build_floats(&b, "w", "3", (const float[]){-1, 2, -3});
    onnx_build_node(&b, "Relu", "w", "r", "");
    onnx_build_node(&b, "Add", "r,r", "s", "");
    onnx_build_node(&b, "Add", "x,s", "y", "");
    onnx_build_output(&b, "y", DT_F32, "N,3");
    expect(&b, "Add");
}

static void what_nobody_reads_is_not_computed(void)
{
    onnx_build b;
    start(&b, "N,3");
    onnx_build_node(&b, "Relu", "x", "a", "");
    onnx_build_node(&b, "Relu", "a", "unused", "");
    onnx_build_node(&b, "Add", "x,x", "y", "");
    onnx_build_output(&b, "y", DT_F32, "N,3");
    expect(&b, "Add");
}

static void transposes_in_a_row_become_one_or_none(void)
{
    onnx_build b;
    start(&b, "2,3,4");
    onnx_build_node(&b, "Transpose", "x", "a", "perm=[1,0,2]");
    onnx_build_node(&b, "Transpose", "a", "b", "perm=[0,2,1]");
    onnx_build_node(&b, "Transpose", "b", "c", "");
    onnx_build_node(&b, "Relu", "c", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    expect(&b, "Transpose Relu");
    start(&b, "2,3,4");
    onnx_build_node(&b, "Transpose", "x", "a", "");
    onnx_build_node(&b, "Transpose", "a", "b", "perm=[2,1,0]");
    onnx_build_node(&b, "Relu", "b", "y", "");
    onnx_build_output(&b, "y", DT_F32, "2,3,4");
    expect(&b, "Relu");
}

static void a_zipmap_becomes_its_tensor_with_labels(void)
{
    onnx_build b;
    start(&b, "N,2");
    onnx_build_node(&b, "Relu", "x", "p", "");
    onnx_build_node(&b, "ai.onnx.ml:ZipMap", "p", "y", "classlabels_int64s=[7,9]");
    onnx_build_import(&b, "ai.onnx.ml", 1);
    onnx_build_output(&b, "y", DT_NONE, NULL);
    CLEANUP(model) model *m = NULL;
    err e = {0};
    CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &(model_opts){0}, &e) == ERR_OK);
    CHECK(m && model_output(m, 0)->labels && model_output(m, 0)->labels->count == 2);
    CHECK(m && model_output(m, 0)->labels->ints[1] == 9);
    CHECK(m && model_output(m, 0)->type == DT_F32 && model_output(m, 0)->shape.dim[1] == 2);
    onnx_build_end(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(identities_vanish_and_outputs_keep_their_names), TEST(constants_are_computed_once),
        TEST(what_nobody_reads_is_not_computed), TEST(transposes_in_a_row_become_one_or_none),
        TEST(a_zipmap_becomes_its_tensor_with_labels),
    };
    return test_main(cases, COUNTOF(cases));
}
