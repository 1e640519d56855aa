/* A model whose element types contradict each other is refused at load with the node's name; no other one is. */
#include "engine/typing.h"

#include "engine/model.h"
#include "engine/op.h"
#include "load_ends.h"

#define MAKES "t.onnx: node that makes"

/* x [N,4] of a type, and a constant w [4] of another. */
static void start(onnx_build *b, dtype x, dtype w)
{
    double zeros[4] = {0};
    tensor t = tensor_make(w, &(shape){1, {4}}, zeros);
    onnx_build_start(b, 17);
    onnx_build_input(b, "x", x, "N,4");
    onnx_build_tensor(b, "w", &t);
}

static void two_inputs_of_one_variable_have_one_type(void)
{
    onnx_build b;
    start(&b, DT_F32, DT_F64);
    onnx_build_node(&b, "MatMul", "x,w", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    load_ends(&b, MAKES " 'y' (MatMul, ai.onnx 17): input 1 'w': expected float32 like input 0, got float64");
    start(&b, DT_F32, DT_I64);
    onnx_build_node(&b, "Add", "x,w", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    load_ends(&b, MAKES " 'y' (Add, ai.onnx 17): input 1 'w': expected float32 like input 0, got int64");
    start(&b, DT_F64, DT_F64);
    onnx_build_node(&b, "MatMul", "x,w", "y", "");
    onnx_build_output(&b, "y", DT_F64, NULL);
    load_ends(&b, NULL);
}

static void an_operator_gets_a_type_that_it_takes(void)
{
    onnx_build b;
    start(&b, DT_STRING, DT_F32);
    onnx_build_node(&b, "Relu", "x", "y", "");
    onnx_build_output(&b, "y", DT_STRING, NULL);
    load_ends(&b, MAKES " 'y' (Relu, ai.onnx 17): input 0 'x': expected float32 or int8 or int16 or int32 or "
             "int64 or float16 or float64 or bfloat16, got string");
    start(&b, DT_STRING, DT_F32);
    onnx_build_node(&b, "Identity", "x", "y", "");
    onnx_build_output(&b, "y", DT_STRING, NULL);
    load_ends(&b, NULL);
}

/* Each row: nodes that make t from x [N,4] of float32 and w [4] of int64, and the type of t. */
static void types_follow_from_node_to_node(void)
{
    static const struct { const char *op, *ins, *outs, *attrs; dtype type; } rows[] = {
        {"Relu", "x", "t", "", DT_F32},                                    /* a type variable */
        {"Shape", "x", "t", "", DT_I64},                                   /* one type */
        {"TopK", "x,one", ",t", "", DT_I64},                               /* the second output */
        {"Split", "x", "s,t", "axis=1", DT_F32},                           /* the last is repeated */
        {"Split", "w", "s,t", "", DT_I64},
        {"Cast", "x", "t", "to=11", DT_F64},                               /* an attribute */
        {"ConstantOfShape", "w", "t", "", DT_F32},
        {"RandomNormal", "", "t", "shape=[4]", DT_F32},
        {"RandomNormal", "", "t", "shape=[4] dtype=11", DT_F64},
        {"RandomNormalLike", "x", "t", "dtype=11", DT_F64},
        {"RandomUniformLike", "x", "t", "", DT_F32},
        {"Where", "yes,w,w", "t", "", DT_I64},                             /* the second variable */
        {"NonZero", "x", "t", "", DT_I64},                                 /* a shape that hangs on data */
        {"LayerNormalization", "x,ones", "t", "", DT_F32},                 /* an input left out */
    };
    char text[200];
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        for (dtype other = DT_F32; other <= DT_F64; other = other == DT_F32 ? DT_I64 : DT_F64) {
            onnx_build b;
            start(&b, DT_F32, DT_I64);
            onnx_build_ints(&b, "one", "1", (const int64_t[]){1});
            onnx_build_floats(&b, "ones", "4", (const float[]){1, 1, 1, 1});
            onnx_build_tensor(&b, "yes", &(tensor){DT_BOOL, DEVICE_CPU, {1, {1}}, (bool[]){true}});
            onnx_build_tensor(&b, "o", &(tensor){other, DEVICE_CPU, {1, {1}}, (double[]){0}});
            onnx_build_node(&b, rows[i].op, rows[i].ins, rows[i].outs, rows[i].attrs);
            onnx_build_node(&b, "Add", "t,o", "y", "");
            onnx_build_output(&b, "y", rows[i].type, NULL);
            snprintf(text, sizeof text,
                     MAKES " 'y' (Add, ai.onnx 17): input 1 'o': expected %s like input 0, got %s",
                     dtype_name(rows[i].type), dtype_name(other));
            load_ends(&b, other == rows[i].type ? NULL : text);
            if (other == DT_F64) break;
        }
    }
}

/* What is not known contradicts nothing: the zero point that says the type is left out, attributes nobody reads. */
static void what_is_not_known_is_not_refused(void)
{
    onnx_build b;
    start(&b, DT_F32, DT_F32);
    onnx_build_floats(&b, "one", "", (const float[]){1});
    onnx_build_node(&b, "QuantizeLinear", "x,one", "q", "");
    onnx_build_node(&b, "DequantizeLinear", "q,one", "d", "");
    onnx_build_node(&b, "Add", "d,w", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    load_ends(&b, NULL);
    start(&b, DT_I64, DT_F32);
    onnx_build_import(&b, "ai.onnx.ml", 2);
    onnx_build_node(&b, "ai.onnx.ml:LabelEncoder", "x", "l", "keys_int64s=[1] values_floats=[0.5]");
    onnx_build_node(&b, "Add", "l,w", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    load_ends(&b, NULL);
}

/* Also where nothing else shows its type before a request: the shape hangs on data. */
static void an_output_is_of_the_type_that_it_says(void)
{
    onnx_build b;
    start(&b, DT_F32, DT_F32);
    onnx_build_node(&b, "NonZero", "x", "z", "");
    onnx_build_node(&b, "Neg", "z", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    load_ends(&b, "t.onnx: output 'y': expected int64, as its node computes, got float32");
}

/* if (c) then Add(x, w) else x */
static void branch_build(onnx_build *b, dtype w, dtype after, const char *last)
{
    onnx_build yes, no;
    onnx_build_start(&yes, 17);
    onnx_build_node(&yes, "Add", "x,w", "s", "");
    onnx_build_output(&yes, "s", DT_F32, NULL);
    onnx_build_start(&no, 17);
    onnx_build_node(&no, last, "x", "i", "");
    onnx_build_output(&no, "i", DT_NONE, NULL);
    start(b, DT_F32, w);
    onnx_build_input(b, "c", DT_BOOL, "1");
    onnx_build_tensor(b, "o", &(tensor){after, DEVICE_CPU, {1, {1}}, (double[]){0}});
    onnx_build_node_graph(b, "If", "c", "t", "then_branch", &yes, "else_branch", &no);
    onnx_build_node(b, "Add", "t,o", "y", "");
    onnx_build_output(b, "y", DT_NONE, NULL);
    onnx_build_end(&yes);
    onnx_build_end(&no);
}

static void branches_see_the_types_around_and_give_theirs(void)
{
    onnx_build b;
    branch_build(&b, DT_F32, DT_F32, "Identity");
    load_ends(&b, NULL);
    branch_build(&b, DT_I64, DT_F32, "Identity");
    load_ends(&b, MAKES " 's' (Add, ai.onnx 17): input 1 'w': expected float32 like input 0, got int64");
    branch_build(&b, DT_F32, DT_I64, "Identity");
    load_ends(&b, MAKES " 'y' (Add, ai.onnx 17): input 1 'o': expected float32 like input 0, got int64");
    branch_build(&b, DT_F32, DT_F32, "Shape");   /* another type in each: unknown */
    load_ends(&b, NULL);
}

/* `op` carries x and stacks up the shape of what it carries; then the one or the other is added to o. */
static void loop_build(onnx_build *b, bool scan, dtype carried, dtype stacked)
{
    onnx_build body;
    onnx_build_start(&body, 17);
    if (!scan) {
        onnx_build_input(&body, "i", DT_I64, "");
        onnx_build_input(&body, "go", DT_BOOL, "");
    }
    onnx_build_input(&body, "v", DT_F32, NULL);
    if (scan) onnx_build_input(&body, "i", DT_I64, NULL);
    onnx_build_node(&body, "Neg", "v", "n", "");
    onnx_build_node(&body, "Add", "i,one", "j", "");
    onnx_build_node(&body, "Shape", "v", "s", "");
    if (!scan) onnx_build_output(&body, "go", DT_BOOL, "");
    onnx_build_output(&body, "n", DT_F32, NULL);
    onnx_build_output(&body, "s", DT_I64, NULL);
    onnx_build_output(&body, "j", DT_NONE, NULL);
    start(b, DT_F32, DT_I64);
    onnx_build_ints(b, "one", "", (const int64_t[]){1});
    onnx_build_tensor(b, "oc", &(tensor){carried, DEVICE_CPU, {1, {1}}, (double[]){0}});
    onnx_build_tensor(b, "os", &(tensor){stacked, DEVICE_CPU, {1, {1}}, (double[]){0}});
    onnx_build_node_body(b, scan ? "Scan" : "Loop", scan ? "x,w" : "one,,x", "c,t,u", scan ? "num_scan_inputs=1" : "",
                         &body);
    onnx_build_node(b, "Add", "c,oc", "y", "");
    onnx_build_node(b, "Add", "t,os", "z", "");
    onnx_build_node(b, "Add", "u,w", "k", "");
    onnx_build_output(b, "y", DT_NONE, NULL);
    onnx_build_output(b, "z", DT_NONE, NULL);
    onnx_build_end(&body);
}

static void loops_carry_and_stack_types(void)
{
    onnx_build b;
    for (int scan = 0; scan < 2; scan++) {
        loop_build(&b, scan, DT_F32, DT_I64);
        load_ends(&b, NULL);
        loop_build(&b, scan, DT_F64, DT_I64);
        load_ends(&b, MAKES " 'y' (Add, ai.onnx 17): input 1 'oc': expected float32 like input 0, got float64");
        loop_build(&b, scan, DT_F32, DT_F64);
        load_ends(&b, MAKES " 'z' (Add, ai.onnx 17): input 1 'os': expected int64 like input 0, got float64");
    }
}

/* A body is typed with what it is called with, not with what it declares: that is what it gets. */
static void a_body_gets_the_callers_types(void)
{
    for (dtype x = DT_F32; x <= DT_F64; x = x == DT_F32 ? DT_F64 : DT_COUNT) {
        onnx_build b, body;
        onnx_build_start(&body, 17);
        onnx_build_input(&body, "i", DT_I64, "");
        onnx_build_input(&body, "go", DT_BOOL, "");
        onnx_build_input(&body, "v", DT_F32, NULL);
        onnx_build_node(&body, "Add", "v,w", "n", "");
        onnx_build_output(&body, "go", DT_BOOL, "");
        onnx_build_output(&body, "n", DT_NONE, NULL);
        start(&b, x, DT_F64);
        onnx_build_ints(&b, "one", "", (const int64_t[]){1});
        onnx_build_node_body(&b, "Loop", "one,,x", "y", "", &body);
        onnx_build_output(&b, "y", DT_NONE, NULL);
        onnx_build_end(&body);
        load_ends(&b, x == DT_F64 ? NULL
                             : MAKES " 'n' (Add, ai.onnx 17): input 1 'w': expected float32 like input "
                               "0, got float64");
    }
}

static void check_once(const graph *g)
{
    err e = {0};
    err_code rc = typing_check(g, &e);
    CHECK(rc == ERR_OK || rc == ERR_NOMEM);
}

static void every_failed_allocation_is_survived(void)
{
    onnx_build b;
    err e = {0};
    branch_build(&b, DT_F32, DT_F32, "Identity");
    CLEANUP(model) model *m = NULL;
    CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &(model_opts){.no_passes = true}, &e) == ERR_OK);
    if (m) FAULT_SWEEP(check_once(model_graph(m)));
    onnx_build_end(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(two_inputs_of_one_variable_have_one_type),
        TEST(an_operator_gets_a_type_that_it_takes),
        TEST(types_follow_from_node_to_node),
        TEST(what_is_not_known_is_not_refused),
        TEST(an_output_is_of_the_type_that_it_says),
        TEST(branches_see_the_types_around_and_give_theirs),
        TEST(loops_carry_and_stack_types),
        TEST(a_body_gets_the_callers_types),
        TEST(every_failed_allocation_is_survived),
    };
    return test_main(cases, COUNTOF(cases));
}
