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

int main(void)
{
    static const test_case cases[] = {TEST(rows_are_found_by_version), TEST(types_are_found_by_version),
                                      TEST(inputs_of_other_types_are_refused)};
    return test_main(cases, COUNTOF(cases));
}
