/* The table is found by name and version, and no operator sees an input of a type that ONNX does not allow it. */
#include "engine/op.h"

#include "engine/model.h"
#include "engine/op_types.h"
#include "onnx_build.h"
#include "test.h"

static void rows_are_found_by_version(void)
{
    int newest = 0;
    CHECK(op_find(STR(""), STR("Relu"), 13, &newest) == op_find(STR("ai.onnx"), STR("Relu"), 13, &newest));
    CHECK(op_find(STR(""), STR("Nope"), 13, &newest) == NULL && newest == 0);
    CHECK(op_find(STR(""), STR("HardSwish"), 13, &newest) == NULL && newest == 14);
    CHECK(op_find(STR("elsewhere"), STR("Relu"), 13, &newest) == NULL);
    for (size_t i = 0; i < op_count(); i++) CHECK(op_at(i)->name != NULL);
}

static void types_are_found_by_version(void)
{
    uint32_t set, var;
    const op_types *t = op_types_find(STR(""), STR("Where"), 17);
    CHECK(t && t->since == 16);
    CHECK(op_types_input(t, 0, &set, &var) && set == T1(DT_BOOL));
    CHECK(op_types_input(t, 2, &set, &var) && var == 2 && set & T1(DT_STRING));
    CHECK(!op_types_input(t, 3, &set, &var));
    t = op_types_find(STR(""), STR("Concat"), 13);
    CHECK(t && op_types_input(t, 1000, &set, &var) && var == 1);
    static const struct { const char *op; int opset; uint32_t output, type, var; } outputs[] = {
        {"Where", 17, 0, 0, 2},  {"Where", 17, 1, 0, 0},     {"TopK", 17, 1, DT_I64, 0},  {"Equal", 17, 0, DT_BOOL, 0},
        {"Split", 17, 0, 0, 1},  {"Split", 17, 1000, 0, 1},  {"If", 17, 3, 0, 0},         {"Cast", 17, 0, 0, 0},
        {"Dropout", 7, 1, 0, 0}, {"Dropout", 12, 1, 0, 3},   {"BitShift", 17, 0, 0, 1},
    };
    for (size_t i = 0; i < COUNTOF(outputs); i++) {
        uint32_t type = 99;
        t = op_types_find(STR(""), str_of(outputs[i].op), outputs[i].opset);
        op_types_output(t, outputs[i].output, &type, &var);
        CHECK(type == outputs[i].type && var == outputs[i].var);
    }
    CHECK(op_types_find(STR(""), STR("Aaa"), 13) == NULL);
    CHECK(op_types_find(STR(""), STR("Zzz"), 13) == NULL);
    CHECK(op_types_find(STR("ai.onnx.ml"), STR("Scaler"), 1) != NULL);
    for (size_t i = 0; i < op_types_count; i++) {
        const op_types *r = &op_types_rows[i];
        CHECK(op_types_find(str_of(r->domain), str_of(r->name), r->since) == r);
    }
}

static void refused(const char *op, dtype a, dtype b, const char *text)
{
    onnx_build g;
    err e = {0};
    exec *x = NULL;
    CLEANUP(model) model *m = NULL;
    onnx_build_start(&g, 13);
    onnx_build_input(&g, "a", a, "2");
    onnx_build_input(&g, "b", b, "2");
    onnx_build_node(&g, op, "a,b", "y", "");
    onnx_build_output(&g, "y", DT_F32, NULL);
    shape s[2] = {shape_make(1, (const int64_t[]){2}), shape_make(1, (const int64_t[]){2})};
    err_code rc = model_open_bytes(&m, onnx_build_bytes(&g), "t.onnx", NULL, &(model_opts){0}, &e);
    if (!rc) rc = exec_take(&x, m, s, &e);
    CHECK(rc != ERR_OK);
    CHECK(strstr(e.text, text) != NULL);
    if (x) exec_give(x);
    onnx_build_end(&g);
}

static void inputs_of_other_types_are_refused(void)
{
    refused("Add", DT_F32, DT_U8, "(Add, ai.onnx 13): input 1 'b': expected float32 like input 0, got uint8");
    refused("And", DT_F32, DT_F32, "(And, ai.onnx 13): input 0 'a': expected bool, got float32");
    refused("Reshape", DT_F32, DT_F32, "(Reshape, ai.onnx 13): input 1 'b': expected int64, got float32");
}

/* y = op(x) with x FP32 [2], refused at loading. */
static void node_refused(const char *op, const char *ins, const char *attrs, const char *text)
{
    onnx_build g;
    err e = {0};
    CLEANUP(model) model *m = NULL;
    onnx_build_start(&g, 13);
    onnx_build_input(&g, "x", DT_F32, "2");
    onnx_build_ints(&g, "huge", "2", (const int64_t[]){1ll << 40, 2});
    onnx_build_ints(&g, "long", "3", (const int64_t[]){1ll << 40, 2, 0});
    onnx_build_node(&g, op, ins, "y", attrs);
    onnx_build_output(&g, "y", DT_F32, NULL);
    CHECK(model_open_bytes(&m, onnx_build_bytes(&g), "t.onnx", NULL, &(model_opts){0}, &e) != ERR_OK);
    CHECK_STR(e.text, text);
    onnx_build_end(&g);
}

static void attributes_have_their_kind_and_those_required_are_there(void)
{
    node_refused("Softmax", "x", "axis=1.0",
                 "t.onnx: node that makes 'y' (Softmax, ai.onnx 13): attribute 'axis': expected int, got float");
    node_refused("Softmax", "x", "axis=[1]",
                 "t.onnx: node that makes 'y' (Softmax, ai.onnx 13): attribute 'axis': expected int, got ints");
    node_refused("Cast", "x", "",
                 "t.onnx: node that makes 'y' (Cast, ai.onnx 13): attribute 'to': expected int, got none");
}

static void outputs_of_no_sane_size_are_refused(void)
{
    node_refused("ConstantOfShape", "huge", "",
                 "t.onnx: pass fold: node that makes 'y' (ConstantOfShape, ai.onnx 13): output 0: shape "
                 "[1099511627776,2] is too large");
    node_refused("Expand", "x,huge", "",
                 "t.onnx: node that makes 'y' (Expand, ai.onnx 13): output 0: shape [1099511627776,2] is too large");
    node_refused("ConstantOfShape", "long", "",
                 "t.onnx: pass fold: node that makes 'y' (ConstantOfShape, ai.onnx 13): output 0: shape "
                 "[1099511627776,2,0] is too large");
}

int main(void)
{
    static const test_case cases[] = {TEST(rows_are_found_by_version), TEST(types_are_found_by_version),
                                      TEST(inputs_of_other_types_are_refused),
                                      TEST(attributes_have_their_kind_and_those_required_are_there),
                                      TEST(outputs_of_no_sane_size_are_refused)};
    return test_main(cases, COUNTOF(cases));
}
