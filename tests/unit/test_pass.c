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
        double worst = 0, largest = 1;
        for (uint64_t k = 0; k < tensor_count(s); k++) {
            worst = fmax(worst, fabs(tensor_f64(s, k) - tensor_f64(t, k)));
            largest = fmax(largest, fabs(tensor_f64(t, k)));
        }
        CHECK(worst <= 1e-5 * largest);
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
    start(&b, "N,3");   /* nor does an output that is another output, too */
    onnx_build_node(&b, "Relu", "x", "r", "");
    onnx_build_node(&b, "Identity", "r", "y", "");
    onnx_build_output(&b, "r", DT_F32, "N,3");
    onnx_build_output(&b, "y", DT_F32, "N,3");
    expect(&b, "Relu Identity");
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

/* Half of what one run may use: two of 400 KB do not fit 512. */
static void constants_are_computed_within_a_budget(void)
{
    onnx_build b;
    err e = {0};
    CLEANUP(model) model *m = NULL;
    start(&b, "1");
    onnx_build_ints(&b, "n", "1", (const int64_t[]){100000});
    onnx_build_node(&b, "ConstantOfShape", "n", "a", "");
    onnx_build_node(&b, "Neg", "a", "b", "");
    onnx_build_node(&b, "Add", "b,x", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    str bytes = onnx_build_bytes(&b);
    CHECK(model_open_bytes(&m, bytes, "t.onnx", NULL, &(model_opts){.memory_max = 8 << 20}, &e) == ERR_OK);
    CHECK(m && model_graph(m)->node_count == 1);
    model_free(TAKE(m));
    CHECK(model_open_bytes(&m, bytes, "t.onnx", NULL, &(model_opts){.memory_max = 1 << 20}, &e) == ERR_OK);
    CHECK(m && model_graph(m)->node_count == 2);
    onnx_build_end(&b);
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

/* How many outputs a node has can say what it does: they are left out one by one, the node keeps its count. */
static void outputs_that_nobody_reads_still_count(void)
{
    onnx_build b;
    start(&b, "N,6");
    onnx_build_node(&b, "Split", "x", "p,q,r", "axis=1");
    onnx_build_node(&b, "Relu", "q", "y", "");
    onnx_build_output(&b, "y", DT_F32, "N,2");
    expect(&b, "Split Relu");
    start(&b, "N,6");
    onnx_build_ints(&b, "parts", "3", (const int64_t[]){1, 2, 3});
    onnx_build_node(&b, "Split", "x,parts", "p,q,r", "axis=1");
    onnx_build_node(&b, "Relu", "p", "y", "");
    onnx_build_output(&b, "y", DT_F32, "N,1");
    expect(&b, "Split Relu");
    start(&b, "N,6");
    onnx_build_node(&b, "DynamicQuantizeLinear", "x", "y,scale,zero", "");
    onnx_build_output(&b, "y", DT_U8, "N,6");
    expect(&b, "DynamicQuantizeLinear");
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
    start(&b, "2,3,4");   /* these two do not commute */
    onnx_build_node(&b, "Transpose", "x", "a", "perm=[1,0,2]");
    onnx_build_node(&b, "Transpose", "a", "b", "perm=[0,2,1]");
    onnx_build_node(&b, "Relu", "b", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    expect(&b, "Transpose Relu");
    start(&b, "2,3,4");
    onnx_build_node(&b, "Transpose", "x", "a", "");
    onnx_build_node(&b, "Transpose", "a", "b", "perm=[2,1,0]");
    onnx_build_node(&b, "Relu", "b", "y", "");
    onnx_build_output(&b, "y", DT_F32, "2,3,4");
    expect(&b, "Relu");
}

static const float eights[64] = {0.5f, -0.25f, 0.75f, 1, -1, 0.125f, 2, -0.5f, 0.25f, 1.5f, -0.75f, 0.5f};

/* BatchNormalization parameters s, b, m, v of c channels. */
static void norm_put(onnx_build *b, const char *channels)
{
    onnx_build_floats(b, "s", channels, (const float[]){0.5f, 2, -1, 1});
    onnx_build_floats(b, "b", channels, (const float[]){1, 0, 0.5f, -1});
    onnx_build_floats(b, "m", channels, (const float[]){0.25f, -1, 0, 0.5f});
    onnx_build_floats(b, "v", channels, (const float[]){1, 0.5f, 2, 4});
}

static void batch_norms_and_activations_join_a_convolution(void)
{
    onnx_build b;
    start(&b, "N,2,4,4");
    onnx_build_floats(&b, "w", "3,2,1,1", eights);
    norm_put(&b, "3");
    onnx_build_node(&b, "Conv", "x,w", "c", "");
    onnx_build_node(&b, "BatchNormalization", "c,s,b,m,v", "n", "epsilon=0.1");
    onnx_build_node(&b, "Relu", "n", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    expect(&b, "Conv(BatchNormalization+Relu)");
    start(&b, "N,2,4,4");
    onnx_build_floats(&b, "w", "3,2,1,1", eights);
    norm_put(&b, "3");
    onnx_build_node(&b, "Conv", "x,w", "c", "");
    onnx_build_node(&b, "BatchNormalization", "c,s,b,m,v", "n", "");
    onnx_build_node(&b, "Relu", "c", "y", "");   /* a second reader of c: nothing may be folded */
    onnx_build_output(&b, "n", DT_F32, NULL);
    onnx_build_output(&b, "y", DT_F32, NULL);
    expect(&b, "Conv BatchNormalization Relu");
}

static void constants_per_channel_join_weights(void)
{
    static const struct { const char *op, *ins, *dims, *want;
    } rows[] = {
        {"Add", "c,k", "3,1,1", "Conv(Add)"}, {"Mul", "k,c", "1,3,1,1", "Conv(Mul)"},
        {"Sub", "c,k", "3,1,1", "Conv(Sub)"}, {"Sub", "k,c", "3,1,1", "Conv(Sub)"},
        {"Div", "c,k", "1", "Conv(Div)"},     {"Div", "k,c", "1", "Conv Div"},
        {"Add", "c,k", "3", "Conv Add"},      {"Add", "c,k", "1,1,3,1,1", "Conv Add"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        onnx_build b;
        start(&b, "N,2,3,3");
        onnx_build_floats(&b, "w", "3,2,1,1", eights);
        onnx_build_floats(&b, "bias", "3", eights + 3);
        onnx_build_floats(&b, "k", rows[i].dims, (const float[]){2, 4, 8});
        onnx_build_node(&b, "Conv", "x,w,bias", "c", "");
        onnx_build_node(&b, rows[i].op, rows[i].ins, "y", "");
        onnx_build_output(&b, "y", DT_F32, NULL);
        expect(&b, rows[i].want);
    }
}

static void products_take_what_follows(void)
{
    onnx_build b;
    start(&b, "N,2");
    onnx_build_floats(&b, "w", "2,3", eights);
    onnx_build_floats(&b, "k", "3", eights + 4);
    norm_put(&b, "3");
    onnx_build_node(&b, "MatMul", "x,w", "p", "");
    onnx_build_node(&b, "Add", "k,p", "q", "");
    onnx_build_node(&b, "Tanh", "q", "r", "");
    onnx_build_node(&b, "Mul", "r,k", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    expect(&b, "MatMul(Add+Tanh) Mul");
    start(&b, "N,2");
    onnx_build_floats(&b, "w", "3,2", eights);
    onnx_build_floats(&b, "k", "1,3", eights + 4);
    norm_put(&b, "3");
    onnx_build_node(&b, "Gemm", "x,w,k", "p", "transB=1 alpha=0.5 beta=2.0");
    onnx_build_node(&b, "BatchNormalization", "p,s,b,m,v", "q", "");
    onnx_build_node(&b, "Sigmoid", "q", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    expect(&b, "Gemm(BatchNormalization+Sigmoid)");
    start(&b, "N,3,2");   /* rank 3: axis 1 is not the product's channel */
    onnx_build_floats(&b, "w", "2,3", eights);
    norm_put(&b, "3");
    onnx_build_node(&b, "MatMul", "x,w", "p", "");
    onnx_build_node(&b, "BatchNormalization", "p,s,b,m,v", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    expect(&b, "MatMul BatchNormalization");
}

static void activations_are_recognised(void)
{
    static const struct { const char *op, *ins, *attrs, *want;
    } rows[] = {
        {"Relu", "c", "", "Conv(Relu)"},
        {"LeakyRelu", "c", "alpha=0.3", "Conv(LeakyRelu)"},
        {"Sigmoid", "c", "", "Conv(Sigmoid)"},
        {"Tanh", "c", "", "Conv(Tanh)"},
        {"HardSigmoid", "c", "alpha=0.25", "Conv(HardSigmoid)"},
        {"Clip", "c,lo,hi", "", "Conv(Clip)"},
        {"Clip", "c,,hi", "", "Conv(Clip)"},
        {"HardSwish", "c", "", "Conv(HardSwish)"},
        {"Exp", "c", "", "Conv Exp"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        onnx_build b;
        onnx_build_start(&b, 14);
        onnx_build_input(&b, "x", DT_F32, "N,2,3,3");
        onnx_build_floats(&b, "w", "3,2,1,1", eights);
        onnx_build_floats(&b, "lo", "", (const float[]){-0.5f});
        onnx_build_floats(&b, "hi", "", (const float[]){0.5f});
        onnx_build_node(&b, "Conv", "x,w", "c", "");
        onnx_build_node(&b, rows[i].op, rows[i].ins, "y", rows[i].attrs);
        onnx_build_output(&b, "y", DT_F32, NULL);
        expect(&b, rows[i].want);
    }
}

static void gates_become_one_activation(void)
{
    for (int hard = 0; hard < 2; hard++) {
        onnx_build b;
        start(&b, "N,2,3,3");
        onnx_build_floats(&b, "w", "3,2,1,1", eights);
        onnx_build_node(&b, "Conv", "x,w", "c", "");
        onnx_build_node(&b, hard ? "HardSigmoid" : "Sigmoid", "c", "g", hard ? "alpha=0.16666667 beta=0.5" : "");
        onnx_build_node(&b, "Mul", hard ? "g,c" : "c,g", "y", "");
        onnx_build_output(&b, "y", DT_F32, NULL);
        expect(&b, "Conv(Mul)");
    }
    static const struct { const char *gate, *attrs, *more, *want; } rows[] = {
        {"HardSigmoid", "alpha=0.2 beta=0.5", NULL, "Conv HardSigmoid Mul"},
        {"HardSigmoid", "alpha=0.16666667 beta=0.25", NULL, "Conv HardSigmoid Mul"},
        {"Tanh", "", NULL, "Conv Tanh Mul"},
        {"Sigmoid", "", "c", "Conv Sigmoid Mul Neg"},   /* somebody else wants what is gated, */
        {"Sigmoid", "", "g", "Conv Sigmoid Mul Neg"},   /* or the gate */
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        onnx_build b;
        start(&b, "N,2,3,3");
        onnx_build_floats(&b, "w", "3,2,1,1", eights);
        onnx_build_node(&b, "Conv", "x,w", "c", "");
        onnx_build_node(&b, rows[i].gate, "c", "g", rows[i].attrs);
        onnx_build_node(&b, "Mul", "c,g", "y", "");
        if (rows[i].more) onnx_build_node(&b, "Neg", rows[i].more, "z", "");
        onnx_build_output(&b, "y", DT_F32, NULL);
        if (rows[i].more) onnx_build_output(&b, "z", DT_F32, NULL);
        expect(&b, rows[i].want);
    }
}

static void sums_of_equal_shapes_join_and_others_do_not(void)
{
    static const struct { const char *other, *want;
    } rows[] = {{"N,2,3,3", "Conv Add(Relu)"},   /* as it is declared; a request may still have 1 for either */
                {"N,2,3,1", "Conv Add(Relu)"},
                {"M,2,3,3", "Conv Add Relu"},
                {"1,2,3,3", "Conv Add(Relu)"}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        onnx_build b;
        start(&b, "N,2,3,3");
        onnx_build_input(&b, "z", DT_F32, rows[i].other);
        onnx_build_floats(&b, "w", "2,2,1,1", eights);
        onnx_build_node(&b, "Conv", "x,w", "c", "");
        onnx_build_node(&b, "Add", "z,c", "a", "");
        onnx_build_node(&b, "Relu", "a", "y", "");
        onnx_build_output(&b, "y", DT_F32, NULL);
        expect(&b, rows[i].want);
    }
}

static void an_open_dimension_stays_open(void)
{
    onnx_build b;
    err e = {0};
    CLEANUP(model) model *m = NULL;
    start(&b, "N,3,M,N");
    onnx_build_node(&b, "Transpose", "x", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &(model_opts){0}, &e) == ERR_OK);
    shape want = shape_make(4, (const int64_t[]){-1, -1, 3, -1});
    CHECK(m && model_output(m, 0)->ranked && shape_eq(&model_output(m, 0)->shape, &want));
    onnx_build_end(&b);
}

/* Sizes are told apart by trying two; a number that happens to be one of those tried is not the open dimension. */
static void a_number_is_never_taken_for_an_open_dimension(void)
{
    for (int64_t fixed = 32; fixed <= 256; fixed += 32) {
        onnx_build b;
        err e = {0};
        exec *x = NULL;
        char dims[32];
        CLEANUP(model) model *m = NULL;
        snprintf(dims, sizeof dims, "%lld,2,3,3", (long long)fixed);
        start(&b, "N,2,3,3");
        onnx_build_input(&b, "z", DT_F32, dims);
        onnx_build_floats(&b, "w", "2,2,1,1", eights);
        onnx_build_node(&b, "Conv", "x,w", "c", "");
        onnx_build_node(&b, "Add", "c,z", "y", "");
        onnx_build_output(&b, "y", DT_F32, NULL);
        CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &(model_opts){0}, &e) == ERR_OK);
        CHECK(m && model_graph(m)->node_count == 2);
        shape s[2] = {shape_make(4, (const int64_t[]){1, 2, 3, 3}), shape_make(4, (const int64_t[]){fixed, 2, 3, 3})};
        CHECK(m && exec_take(&x, m, s, &e) == ERR_OK);
        if (x) {
            CHECK(exec_output(x, 0)->shape.dim[0] == fixed);
            exec_give(x);
        }
        onnx_build_end(&b);
    }
}

/* Both branches could take the sum; one does, and reads what the other makes. */
static void two_branches_meet_in_one(void)
{
    onnx_build b;
    start(&b, "N,2,3,3");
    onnx_build_floats(&b, "w", "2,2,1,1", eights);
    onnx_build_floats(&b, "v", "2,2,3,3", eights);
    onnx_build_node(&b, "Conv", "x,v", "a", "pads=[1,1,1,1]");
    onnx_build_node(&b, "Conv", "x,w", "c", "");
    onnx_build_node(&b, "Add", "c,a", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    expect(&b, "Conv Conv(Add)");
}

static void paddings_join_a_convolution_when_they_are_zeros(void)
{
    static const struct { const char *pads, *mode, *want; } rows[] = {
        {"p", "mode='constant'", "Conv(Pad)"}, {"p,zero", "", "Conv(Pad)"}, {"p,one", "", "Pad Conv"},
        {"p", "mode='edge'", "Pad Conv"}, {"channels", "", "Pad Conv"}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        char ins[32];
        onnx_build b;
        start(&b, "N,2,3,3");
        onnx_build_floats(&b, "w", i == 4 ? "2,3,3,3" : "2,2,3,3", eights);
        onnx_build_floats(&b, "zero", "", (const float[]){0});
        onnx_build_floats(&b, "one", "", (const float[]){1});
        onnx_build_ints(&b, "p", "8", (const int64_t[]){0, 0, 1, 2, 0, 0, 1, 0});
        onnx_build_ints(&b, "channels", "8", (const int64_t[]){0, 1, 1, 2, 0, 0, 1, 0});
        snprintf(ins, sizeof ins, "x,%s", rows[i].pads);
        onnx_build_node(&b, "Pad", ins, "q", rows[i].mode);
        onnx_build_node(&b, "Conv", "q,w", "y", "pads=[0,1,0,0]");
        onnx_build_output(&b, "y", DT_F32, NULL);
        expect(&b, rows[i].want);
    }
    onnx_build b;
    start(&b, "N,2,3,3");   /* somebody else wants what is padded */
    onnx_build_floats(&b, "w", "2,2,3,3", eights);
    onnx_build_ints(&b, "p", "8", (const int64_t[]){0, 0, 1, 1, 0, 0, 1, 1});
    onnx_build_node(&b, "Pad", "x,p", "q", "");
    onnx_build_node(&b, "Conv", "q,w", "y", "");
    onnx_build_node(&b, "Neg", "q", "z", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    onnx_build_output(&b, "z", DT_F32, NULL);
    expect(&b, "Pad Conv Neg");
}

static void dropout_and_casts_to_the_same_type_vanish(void)
{
    onnx_build b;
    start(&b, "N,3");   /* not where somebody wants the mask */
    onnx_build_node(&b, "Dropout", "x", "d,mask", "");
    onnx_build_node(&b, "Cast", "mask", "c", "to=1");
    onnx_build_node(&b, "Add", "d,c", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    expect(&b, "Dropout Cast Add");
    start(&b, "N,3");
    onnx_build_node(&b, "Dropout", "x", "d,mask", "");
    onnx_build_node(&b, "Cast", "d", "c", "to=1");
    onnx_build_node(&b, "Relu", "c", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    expect(&b, "Relu");
}

/* Random chains of layers, with branches that join again. */
static void random_nets_give_the_same_with_and_without_passes(void)
{
    static const char *const acts[] = {"Relu", "Sigmoid", "Tanh", "HardSwish", "Identity", "Neg"};
    uint64_t seed = 3;
    for (int round = 0; round < 200; round++) {
        char in[8] = "x", out[8], text[400];
        onnx_build b;
        onnx_build_start(&b, 14);
        onnx_build_input(&b, "x", DT_F32, "N,4,4,4");
        onnx_build_floats(&b, "w", "4,4,1,1", eights);
        onnx_build_floats(&b, "w3", "4,1,3,3", eights);
        onnx_build_floats(&b, "k", "4,1,1", eights + 2);
        norm_put(&b, "4");
        for (int i = 0; i < 14; i++) {
            char ins[40];
            uint64_t what = test_rand(&seed) % 8;
            snprintf(out, sizeof out, "v%d", i);
            snprintf(ins, sizeof ins,
                     what == 0   ? "%s,w"
                     : what == 1 ? "%s,w3"
                     : what == 2 ? "%s,s,b,m,v"
                     : what == 3 ? "%s,k"
                     : what == 4 ? "%s,x"
                                 : "%s",
                     in);
            const char *op = what < 2    ? "Conv"
                             : what == 2 ? "BatchNormalization"
                             : what == 3 ? (test_rand(&seed) & 1 ? "Mul" : "Add")
                             : what == 4 ? "Add"
                                         : acts[test_rand(&seed) % 6];
            onnx_build_node(&b, op, ins, out, what == 1 ? "group=4 pads=[1,1,1,1]" : "");
            if (test_rand(&seed) % 6) memcpy(in, out, sizeof in);   /* else the next node reads the same value too */
        }
        onnx_build_output(&b, in, DT_F32, NULL);
        if (strcmp(in, out) != 0) onnx_build_output(&b, out, DT_F32, NULL);
        passed(&b, text);
        onnx_build_end(&b);
    }
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

/* Passes come before the check of types: they must not read what is no number. */
static void constants_of_another_type_are_left_alone(void)
{
    static const struct { const char *op, *ins; } cases[] = {{"Pad", "x,p,s"}, {"Dropout", "x,,s"}};
    str word = STR("a");
    const shape one = {.rank = 1, .dim = {1}};
    const tensor text = tensor_make(DT_STRING, &one, &word);
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        onnx_build b;
        model *m = NULL;
        err e = {0};
        model_opts o = {.memory_max = 1 << 20};
        onnx_build_start(&b, 13);
        onnx_build_input(&b, "x", DT_F32, "1,1,4");
        onnx_build_ints(&b, "p", "6", (const int64_t[]){0, 0, 1, 0, 0, 1});
        onnx_build_tensor(&b, "s", &text);
        onnx_build_floats(&b, "w", "1,1,1", (const float[]){1});
        onnx_build_node(&b, cases[i].op, cases[i].ins, "c", "");
        onnx_build_node(&b, "Conv", "c,w", "y", "");
        onnx_build_output(&b, "y", DT_F32, NULL);
        exec *x = NULL;
        const shape s = shape_make(3, (const int64_t[]){1, 1, 4});
        err_code rc = model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &o, &e);
        if (!rc) rc = exec_take(&x, m, &s, &e);
        CHECK(rc != ERR_OK && strstr(e.text, "got string") != NULL);
        model_free(m);
        onnx_build_end(&b);
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(identities_vanish_and_outputs_keep_their_names),
        TEST(constants_are_computed_once),
        TEST(constants_are_computed_within_a_budget),
        TEST(what_nobody_reads_is_not_computed),
        TEST(outputs_that_nobody_reads_still_count),
        TEST(transposes_in_a_row_become_one_or_none),
        TEST(a_zipmap_becomes_its_tensor_with_labels),
        TEST(batch_norms_and_activations_join_a_convolution),
        TEST(constants_per_channel_join_weights),
        TEST(products_take_what_follows),
        TEST(activations_are_recognised),
        TEST(gates_become_one_activation),
        TEST(sums_of_equal_shapes_join_and_others_do_not),
        TEST(an_open_dimension_stays_open),
        TEST(a_number_is_never_taken_for_an_open_dimension),
        TEST(two_branches_meet_in_one),
        TEST(paddings_join_a_convolution_when_they_are_zeros),
        TEST(dropout_and_casts_to_the_same_type_vanish),
        TEST(random_nets_give_the_same_with_and_without_passes),
        TEST(constants_of_another_type_are_left_alone),
    };
    return test_main(cases, COUNTOF(cases));
}
