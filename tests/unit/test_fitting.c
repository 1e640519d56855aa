/* A model whose shapes fit for no request is refused at load with the node's name; one that any request fits loads. */
#include "engine/fitting.h"

#include "engine/model.h"
#include "load_ends.h"

static const model_opts no_opts;

#define OPEN_WERE_1 "; sizes that the model leaves open were 1"

/* y = op(x, w), both of float32, w a constant or, with open dimensions, an input; text behind "t.onnx: node that makes
 * 'y' (Op, ai.onnx 17): ". */
typedef struct {
    const char *op, *x, *w, *attrs, *text;
} pair;

static bool is_number(const char *dims) { return !strpbrk(dims, "ABCHNM"); }

static void pair_ends(const pair *p)
{
    static const float zeros[1 << 18];
    char text[300];
    onnx_build b;
    onnx_build_start(&b, 17);
    onnx_build_input(&b, "x", DT_F32, p->x);
    if (p->w && is_number(p->w)) onnx_build_floats(&b, "w", p->w, zeros);
    else if (p->w) onnx_build_input(&b, "w", DT_F32, p->w);
    onnx_build_node(&b, p->op, p->w ? "x,w" : "x", "y", p->attrs);
    onnx_build_output(&b, "y", DT_F32, NULL);
    snprintf(text, sizeof text, "t.onnx: node that makes 'y' (%s, ai.onnx 17): %s", p->op, p->text ? p->text : "");
    load_ends(&b, p->text ? text : NULL);
}

static void shapes_that_never_fit_are_refused(void)
{
    static const pair rows[] = {
        {"MatMul", "N,4", "5,4", "", "shapes [1,4] and [5,4] do not fit" OPEN_WERE_1},
        {"MatMul", "N,M,4", "5,4", "", "shapes [1,1,4] and [5,4] do not fit" OPEN_WERE_1},
        {"MatMul", "N,4", "5,M", "", "shapes [1,4] and [5,1] do not fit" OPEN_WERE_1},
        {"MatMul", "2,4", "5,4", "", "shapes [2,4] and [5,4] do not fit"},
        {"Gemm", "N,4", "5,4", "", "shapes [1,4] and [5,4] do not fit" OPEN_WERE_1},
        {"Softmax", "N,4", NULL, "axis=7", "axis: expected an axis in -2..1, got 7" OPEN_WERE_1},
        {"Add", "N,4", "5", "", "shapes [1,4] and [5] do not broadcast" OPEN_WERE_1},
        {"PRelu", "N,4", "5", "", "shapes [1,4] and [5] do not broadcast" OPEN_WERE_1},
        {"Concat", "N,4", "1,5", "axis=0",
         "input 1: expected float32 [1,4] but for axis 0, got float32 [1,5]" OPEN_WERE_1},
        {"Conv", "N,3,8,8", "2,4,3,3", "",
         "1 groups of weights [2,4,3,3] do not fit input [1,3,8,8]" OPEN_WERE_1},
        {"Conv", "N,C,8,8", "2,4,9,9", "",
         "1 groups of weights [2,4,9,9] do not fit input [1,1,8,8]" OPEN_WERE_1},
        {"Transpose", "N,4", NULL, "perm=[0,1,2]", "perm: expected 2 axes, got 3" OPEN_WERE_1},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) pair_ends(&rows[i]);
}

/* The made-up sizes of facts fit none of them, but some request does. */
static void what_one_request_fits_loads(void)
{
    static const pair rows[] = {
        {"MatMul", "N,M", "5,4", "", NULL},           {"MatMul", "A,B,4", "7,4,9", "", NULL},
        {"MatMul", "4", "M,N", "", NULL},             {"Gemm", "N,M", "5,4", "", NULL},
        {"Gemm", "4,N", "5,6", "transA=1", "shapes [4,1] and [5,6] do not fit" OPEN_WERE_1},
        {"Gemm", "N,4", "5,6", "transA=1", NULL},     {"Add", "N,4", "8,4", "", NULL},
        {"Add", "N,M,4", "8,3,4", "", NULL},          {"Add", "N,4", "0,4", "", NULL},
        {"PRelu", "N,4", "8,4", "", NULL},            {"Concat", "N,4", "8,3", "axis=1", NULL},
        {"Squeeze", "N,4", NULL, "", NULL},           {"Conv", "N,C,8,8", "2,4,3,3", "", NULL},
        {"Conv", "N,C,8,8", "4,3,3,3", "group=2", NULL}, {"Conv", "1,3,H,M", "2,3,9,9", "", NULL},
        {"Conv", "1,3,H", "1,3,600", "dilations=[30]", NULL}, {"Softmax", "N,4", NULL, "axis=-2", NULL},
        {"Flatten", "N,4", NULL, "axis=2", NULL},     {"ReduceMax", "N,0", NULL, "axes=[1]", NULL},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) pair_ends(&rows[i]);
}

/* x [N,12] -> Reshape -> y; a graph around it may only fit eight rows, or even ones, or those of another input. */
static void reshapes_may_be_hard_wired(void)
{
    static const int64_t shapes[][2] = {{8, 12}, {8, -1}, {-1, 24}, {96, 1}};
    for (size_t i = 0; i < COUNTOF(shapes); i++) {
        onnx_build b;
        onnx_build_start(&b, 17);
        onnx_build_input(&b, "x", DT_F32, "N,12");
        onnx_build_ints(&b, "to", "2", shapes[i]);
        onnx_build_node(&b, "Reshape", "x,to", "r", "");
        onnx_build_node(&b, "Relu", "r", "y", "");
        onnx_build_output(&b, "y", DT_F32, NULL);
        load_ends(&b, NULL);
    }
}

/* A picture's size is wired into the weights behind Flatten: no made-up size fits, 8 x 8 does. */
static void a_picture_may_have_one_size(void)
{
    static const float zeros[3 * 64];
    for (int fits = 0; fits < 2; fits++) {
        onnx_build b;
        onnx_build_start(&b, 17);
        onnx_build_input(&b, "x", DT_F32, fits ? "N,3,H,H" : "N,3,8,9");
        onnx_build_floats(&b, "w", "192,1", zeros);
        onnx_build_node(&b, "Flatten", "x", "f", "");
        onnx_build_node(&b, "MatMul", "f,w", "y", "");
        onnx_build_output(&b, "y", DT_F32, NULL);
        load_ends(&b, fits ? NULL
                      : "t.onnx: node that makes 'y' (MatMul, ai.onnx 17): shapes [1,216] and [192,1] do not "
                        "fit" OPEN_WERE_1);
    }
}

/* Cut to 50 it never fits w in plans with many rows; with 30 rows it does. */
static void a_size_that_is_bounded_is_not_fixed(void)
{
    static const float zeros[30];
    onnx_build b;
    onnx_build_start(&b, 17);
    onnx_build_input(&b, "x", DT_F32, "N");
    onnx_build_ints(&b, "from", "1", (const int64_t[]){0});
    onnx_build_ints(&b, "to", "1", (const int64_t[]){50});
    onnx_build_floats(&b, "w", "30", zeros);
    onnx_build_node(&b, "Slice", "x,from,to", "s", "");
    onnx_build_node(&b, "Add", "s,w", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    load_ends(&b, NULL);
}

/* Nothing is known behind a node that refused, whatever its reason, nor of what hangs on data. */
static void what_lies_behind_an_open_question_is_not_judged(void)
{
    static const float zeros[20];
    for (int data = 0; data < 2; data++) {
        onnx_build b;
        onnx_build_start(&b, 17);
        onnx_build_input(&b, "x", DT_F32, "N,12");
        onnx_build_ints(&b, "to", "2", (const int64_t[]){8, 12});
        onnx_build_floats(&b, "w", "5,4", zeros);
        if (data) onnx_build_node(&b, "NonZero", "x", "r", "");
        else onnx_build_node(&b, "Reshape", "x,to", "r", "");
        if (data) onnx_build_node(&b, "Cast", "r", "c", "to=1");
        onnx_build_node(&b, "MatMul", data ? "c,w" : "r,w", "y", "");
        onnx_build_output(&b, "y", DT_F32, NULL);
        load_ends(&b, NULL);
    }
}

/* Where no dimension is open all operators are judged, also behind open ones. */
static void fixed_shapes_are_judged_for_every_operator(void)
{
    onnx_build b;
    onnx_build_start(&b, 17);
    onnx_build_input(&b, "x", DT_F32, "N,12");
    onnx_build_floats(&b, "w", "2,3", (const float[6]){1});
    onnx_build_ints(&b, "to", "2", (const int64_t[]){4, 2});
    onnx_build_node(&b, "Reshape", "w,to", "r", "");
    onnx_build_node(&b, "ReduceSum", "x", "s", "");
    onnx_build_node(&b, "Add", "s,r", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    load_ends(&b, "t.onnx: node that makes 'r' (Reshape, ai.onnx 17): cannot reshape [2,3] to [4,2]");
}

/* As torch writes squeeze(): the branch that fits is the one that runs. */
static void a_branch_may_never_be_taken(void)
{
    onnx_build b, yes, no;
    onnx_build_start(&yes, 17);
    onnx_build_node(&yes, "Squeeze", "x,axis", "s", "");
    onnx_build_output(&yes, "s", DT_F32, NULL);
    onnx_build_start(&no, 17);
    onnx_build_node(&no, "Identity", "x", "i", "");
    onnx_build_output(&no, "i", DT_F32, NULL);
    onnx_build_start(&b, 17);
    onnx_build_input(&b, "x", DT_F32, "N,4");
    onnx_build_ints(&b, "axis", "1", (const int64_t[]){1});
    onnx_build_tensor(&b, "c", &(tensor){DT_BOOL, DEVICE_CPU, {1, {1}}, (bool[]){false}});
    onnx_build_node_graph(&b, "If", "c", "y", "then_branch", &yes, "else_branch", &no);
    onnx_build_output(&b, "y", DT_F32, NULL);
    onnx_build_end(&yes);
    onnx_build_end(&no);
    load_ends(&b, NULL);
}

/* More dimensions than may be tried are not judged: 13 of them, or four of 9 sizes. */
static void what_would_take_too_long_is_not_judged(void)
{
    static const pair rows[] = {
        {"MatMul", "A,B,C,N,M,2,4", "3,5,6,7,8,9,4", "", NULL},
        {"MatMul", "A,B,4", "7,5,4", "", "shapes [1,1,4] and [7,5,4] do not fit" OPEN_WERE_1},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) pair_ends(&rows[i]);
    onnx_build b;
    char name[8], names[64] = "";
    onnx_build_start(&b, 17);
    for (int i = 0; i < 7; i++) {
        snprintf(name, sizeof name, "x%d", i);
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? "," : "", name);
        onnx_build_input(&b, name, DT_F32, i ? "N,M,4" : "N,M,5");
    }
    onnx_build_node(&b, "Sum", names, "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    load_ends(&b, NULL);
}

/* After eleven nodes that are given up at FITTING_TRIED_MAX the reads of a load are used up: what follows is not
 * judged, however wrong it is. */
static void all_that_is_tried_for_one_model_is_bounded(void)
{
    static const float zeros[5 * 6 * 7 * 8 * 9 * 4];
    for (int nodes = 10; nodes <= 11; nodes++) {
        onnx_build b;
        onnx_build_start(&b, 17);
        onnx_build_input(&b, "x", DT_F32, "A,B,C,N,2,4");
        onnx_build_floats(&b, "w", "5,6,7,8,9,4", zeros);
        onnx_build_input(&b, "z", DT_F32, "N,4");
        onnx_build_floats(&b, "v", "5,4", zeros);
        for (int i = 0; i < nodes; i++) {
            char name[8];
            snprintf(name, sizeof name, "y%d", i);
            onnx_build_node(&b, "MatMul", "x,w", name, "");
            onnx_build_output(&b, name, DT_F32, NULL);
        }
        onnx_build_node(&b, "MatMul", "z,v", "y", "");
        onnx_build_output(&b, "y", DT_F32, NULL);
        load_ends(&b, nodes > 10 ? NULL
                      : "t.onnx: node that makes 'y' (MatMul, ai.onnx 17): shapes [1,4] and [5,4] do not "
                        "fit" OPEN_WERE_1);
    }
}

static void open_once(str bytes)
{
    err e = {0};
    model *m = NULL;
    err_code rc = model_open_bytes(&m, bytes, "t.onnx", NULL, &no_opts, &e);
    CHECK(rc == ERR_INVALID || rc == ERR_NOMEM || rc == ERR_LIMIT);
    model_free(m);
}

static void every_failed_allocation_is_survived(void)
{
    static const float zeros[20];
    onnx_build b;
    onnx_build_start(&b, 17);
    onnx_build_input(&b, "x", DT_F32, "N,4");
    onnx_build_input(&b, "z", DT_F32, "N,N");
    onnx_build_floats(&b, "w", "5,4", zeros);
    onnx_build_node(&b, "Add", "x,z", "s", "");
    onnx_build_node(&b, "MatMul", "x,w", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    onnx_build_output(&b, "s", DT_F32, NULL);
    str bytes = onnx_build_bytes(&b);
    FAULT_SWEEP(open_once(bytes));
    onnx_build_end(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(shapes_that_never_fit_are_refused),
        TEST(what_one_request_fits_loads),
        TEST(reshapes_may_be_hard_wired),
        TEST(a_picture_may_have_one_size),
        TEST(a_size_that_is_bounded_is_not_fixed),
        TEST(what_lies_behind_an_open_question_is_not_judged),
        TEST(fixed_shapes_are_judged_for_every_operator),
        TEST(a_branch_may_never_be_taken),
        TEST(what_would_take_too_long_is_not_judged),
        TEST(all_that_is_tried_for_one_model_is_bounded),
        TEST(every_failed_allocation_is_survived),
    };
    return test_main(cases, COUNTOF(cases));
}
