/* What facts claim holds for every request: symbols never meet by chance, and what cannot be known is not claimed. */
#include "engine/facts.h"

#include "engine/model.h"
#include "onnx_build.h"
#include "test.h"

/* The graph as it was written, which borrows b's bytes, and what is known of it. */
typedef struct {
    model *model;
    const graph *g;
    arena memory;
    facts facts;
} known;

static void find(known *k, onnx_build *b)
{
    err e = {0};
    *k = (known){.model = NULL};
    arena_init(&k->memory, NULL, 0, 1 << 20);
    if (model_open_bytes(&k->model, onnx_build_bytes(b), "t.onnx", NULL, &(model_opts){.no_passes = true}, &e))
        printf("# %s\n", e.text);
    INVARIANT(k->model);
    k->g = model_graph(k->model);
    CHECK(facts_find(&k->facts, k->g, NULL, &kernel_active()->set, &k->memory, &e) == ERR_OK);
}

static void forget(known *k, onnx_build *b)
{
    arena_fini(&k->memory);
    model_free(k->model);
    onnx_build_end(b);
}

static value_id named(const known *k, const char *name)
{
    for (value_id v = 0; v < k->g->value_count; v++) {
        if (str_is(k->g->values[v].name, name)) return v;
    }
    INVARIANT(!"a value of this name");
    return VALUE_NONE;
}

static const char *shape_known(const known *k, const char *name, char text[SHAPE_TEXT_MAX])
{
    shape s;
    return facts_shape(&k->facts, named(k, name), &s) ? shape_text(&s, text) : "unknown";
}

static void shapes_that_follow_from_shapes_are_known(void)
{
    onnx_build b;
    known k;
    char text[SHAPE_TEXT_MAX];
    uint32_t rank = 0;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N,3");
    onnx_build_input(&b, "z", DT_F32, "N,M");
    onnx_build_floats(&b, "w", "3,5", (const float[15]){1});
    onnx_build_ints(&b, "flat", "2", (const int64_t[]){2, -1});
    onnx_build_node(&b, "MatMul", "x,w", "p", "");
    onnx_build_node(&b, "Add", "x,z", "s", "");
    onnx_build_node(&b, "Transpose", "p", "t", "perm=[1,0]");
    onnx_build_node(&b, "Reshape", "p,flat", "r", "");
    onnx_build_node(&b, "Shape", "p", "d", "");
    onnx_build_node(&b, "Cast", "p", "c", "to=7");
    onnx_build_node(&b, "NonZero", "x", "nz", "");
    onnx_build_node(&b, "Relu", "x", "y", "");
    static const char *const outs[] = {"s", "t", "r", "d", "c", "nz", "y"};
    for (size_t i = 0; i < COUNTOF(outs); i++) onnx_build_output(&b, outs[i], DT_NONE, NULL);
    find(&k, &b);
    CHECK_STR(shape_known(&k, "p", text), "[-1,5]");
    CHECK_STR(shape_known(&k, "t", text), "[5,-1]");
    CHECK_STR(shape_known(&k, "r", text), "[2,-1]");
    CHECK_STR(shape_known(&k, "d", text), "[2]");
    CHECK_STR(shape_known(&k, "nz", text), "unknown");
    CHECK(facts_type(&k.facts, named(&k, "c")) == DT_I64 && facts_type(&k.facts, named(&k, "nz")) == DT_NONE);
    CHECK(!facts_rank(&k.facts, named(&k, "nz"), &rank));
    CHECK(facts_rank(&k.facts, named(&k, "r"), &rank) && rank == 2);
    CHECK(facts_same_shape(&k.facts, named(&k, "x"), named(&k, "y")));
    CHECK(!facts_same_shape(&k.facts, named(&k, "p"), named(&k, "t")));
    CHECK(!facts_same_shape(&k.facts, named(&k, "nz"), named(&k, "nz")));
    /* A value that a pass adds is unknown. */
    CHECK(facts_type(&k.facts, k.facts.count) == DT_NONE && !facts_rank(&k.facts, k.facts.count, &rank));
    CHECK(!facts_same_shape(&k.facts, k.facts.count, k.facts.count));
    forget(&k, &b);
}

/* A decoder with a cache for each layer has hundreds of dimensions without a number; that two have the same name is no
 * promise of their sizes. */
static void symbols_never_meet_by_chance(void)
{
    enum { INPUTS = 300 };
    onnx_build b;
    known k;
    char name[16], dims[32], out[16];
    onnx_build_start(&b, 13);
    for (int i = 0; i < INPUTS; i++) {
        snprintf(name, sizeof name, "x%d", i);
        snprintf(dims, sizeof dims, "B,D%d", i / 2);   /* each symbol stands in two inputs */
        snprintf(out, sizeof out, "y%d", i);
        onnx_build_input(&b, name, DT_F32, dims);
        onnx_build_node(&b, "Relu", name, out, "");
        onnx_build_output(&b, out, DT_F32, NULL);
    }
    find(&k, &b);
    for (int i = 0; i < INPUTS; i++) {
        snprintf(name, sizeof name, "y%d", i);
        value_id v = named(&k, name);
        for (int j = 0; j < INPUTS; j++) {
            snprintf(name, sizeof name, "y%d", j);
            if (facts_same_shape(&k.facts, v, named(&k, name)) != (i == j)) {
                printf("# y%d and y%d\n", i, j);
                test_failures++;
            }
        }
    }
    forget(&k, &b);
}

/* What was computed from one input has the input's sizes wherever it went. */
static void what_comes_from_one_input_keeps_its_shape(void)
{
    onnx_build b;
    known k;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N,N");
    onnx_build_input(&b, "z", DT_F32, "N,N");
    onnx_build_node(&b, "Relu", "x", "r", "");
    onnx_build_node(&b, "Transpose", "x", "t", "perm=[1,0]");
    onnx_build_node(&b, "Add", "x,z", "s", "");   /* two sizes in the third plan, which says no more of it */
    onnx_build_node(&b, "Neg", "s", "n", "");
    onnx_build_output(&b, "n", DT_F32, NULL);
    onnx_build_output(&b, "r", DT_F32, NULL);
    onnx_build_output(&b, "t", DT_F32, NULL);
    find(&k, &b);
    CHECK(facts_same_shape(&k.facts, named(&k, "x"), named(&k, "r")));
    CHECK(!facts_same_shape(&k.facts, named(&k, "x"), named(&k, "z")));
    CHECK(!facts_same_shape(&k.facts, named(&k, "x"), named(&k, "t")));
    CHECK(facts_same_shape(&k.facts, named(&k, "s"), named(&k, "n")));
    forget(&k, &b);
}

/* Sums and products of some symbols are not others, and dimensions without a name are all different. */
static void what_is_computed_from_symbols_is_no_symbol(void)
{
    onnx_build b;
    known k;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "a", DT_F32, "A");
    onnx_build_input(&b, "b", DT_F32, "B");
    for (int i = 0; i < 12; i++) {
        char name[8];
        snprintf(name, sizeof name, "c%d", i);
        onnx_build_input(&b, name, DT_F32, "-1");
        onnx_build_output(&b, name, DT_F32, NULL);
    }
    onnx_build_node(&b, "Concat", "a,b", "sum", "axis=0");
    onnx_build_node(&b, "Concat", "a,a", "twice", "axis=0");
    onnx_build_output(&b, "sum", DT_F32, NULL);
    onnx_build_output(&b, "twice", DT_F32, NULL);
    find(&k, &b);
    static const char *const made[] = {"a", "b", "sum", "twice"};
    for (size_t m = 0; m < COUNTOF(made); m++) {
        for (int i = 0; i < 12; i++) {
            char name[8], other[8];
            snprintf(name, sizeof name, "c%d", i);
            snprintf(other, sizeof other, "c%d", (i + 1) % 12);
            CHECK(!facts_same_shape(&k.facts, named(&k, made[m]), named(&k, name)));
            CHECK(!facts_same_shape(&k.facts, named(&k, other), named(&k, name)));
        }
    }
    forget(&k, &b);
}

/* An input without a type or a rank leaves everything open, and so do dimensions that no machine holds. */
static void nothing_is_claimed_of_a_graph_that_cannot_be_planned(void)
{
    static const char *const dims[] = {NULL, "N,1099511627776", "N,1048576,1048576", "N,0,1099511627776"};
    for (size_t i = 0; i < COUNTOF(dims); i++) {
        onnx_build b;
        known k;
        uint32_t rank;
        onnx_build_start(&b, 13);
        onnx_build_input(&b, "x", DT_F32, dims[i]);
        onnx_build_node(&b, "Relu", "x", "y", "");
        onnx_build_output(&b, "y", DT_F32, NULL);
        find(&k, &b);
        CHECK(!facts_rank(&k.facts, named(&k, "y"), &rank) && facts_type(&k.facts, named(&k, "y")) == DT_NONE);
        forget(&k, &b);
    }
}

static void every_failed_allocation_is_said(void)
{
    onnx_build b;
    known k;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N,3");
    onnx_build_node(&b, "Relu", "x", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    find(&k, &b);
    FAULT_SWEEP({
        arena a;
        facts f;
        err e;
        arena_init(&a, NULL, 0, 1 << 16);
        err_code rc = facts_find(&f, k.g, NULL, &kernel_active()->set, &a, &e);
        CHECK(rc == ERR_OK || (rc == ERR_NOMEM && mem_fault_fired()));
        arena_fini(&a);
    });
    forget(&k, &b);
}

static void a_trial_takes_one_size_for_all_that_is_open(void)
{
    onnx_build b;
    known k;
    err e = {0};
    tensor values[8];
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N,3");
    onnx_build_input(&b, "z", DT_F32, "M,4");
    onnx_build_node(&b, "Transpose", "x", "t", "");
    onnx_build_node(&b, "Add", "t,z", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    onnx_build_output(&b, "t", DT_F32, NULL);
    find(&k, &b);
    INVARIANT(k.g->value_count <= COUNTOF(values));
    for (int64_t size = 4; size < 6; size++) {
        memset(values, 0xff, sizeof values);
        CHECK(facts_trial(values, k.g, size, &kernel_active()->set, &k.memory, &e) == ERR_OK);
        const tensor *t = &values[named(&k, "t")], *y = &values[named(&k, "y")];
        CHECK(t->type == DT_F32 && t->shape.dim[0] == 3 && t->shape.dim[1] == size);
        CHECK(y->type == DT_NONE);   /* 3 rows and 4 or 5 */
    }
    forget(&k, &b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(shapes_that_follow_from_shapes_are_known),
        TEST(symbols_never_meet_by_chance),
        TEST(what_comes_from_one_input_keeps_its_shape),
        TEST(what_is_computed_from_symbols_is_no_symbol),
        TEST(nothing_is_claimed_of_a_graph_that_cannot_be_planned),
        TEST(every_failed_allocation_is_said),
        TEST(a_trial_takes_one_size_for_all_that_is_open),
    };
    return test_main(cases, COUNTOF(cases));
}
