/* A V1 request's rows or columns reach the model digit for digit and the outputs come back in the same form; whatever
 * is wrong is refused in one line that says where. */
#include "serve/v1.h"
#include "serve_rig.h"
#include "test.h"

static const char *ask(serve_rig *r, const char *json)
{
    return serve_rig_ask(r, &v1_protocol, str_of(json), (str){0});
}

static void twice(serve_rig *r)
{
    onnx_build b;
    serve_rig_twice(&b);
    serve_rig_start(r, &b);
}

/* a FP32 [N,2], k INT64 [N] -> p = a, q = k. */
static void two(serve_rig *r)
{
    onnx_build b;
    onnx_build_start(&b, 17);
    onnx_build_input(&b, "a", DT_F32, "N,2");
    onnx_build_input(&b, "k", DT_I64, "N");
    onnx_build_node(&b, "Identity", "a", "p", "");
    onnx_build_node(&b, "Identity", "k", "q", "");
    onnx_build_output(&b, "p", DT_F32, "N,2");
    onnx_build_output(&b, "q", DT_I64, "N");
    serve_rig_start(r, &b);
}

static void rows_and_columns_come_back_in_their_form(void)
{
    serve_rig r;
    twice(&r);
    CHECK_STR(ask(&r, "{\"instances\":[[1,2],[0.5,-3]]}"), "200 {\"predictions\":[[2.0,4.0],[1.0,-6.0]]}");
    CHECK_STR(ask(&r, "{\"signature_name\":\"s\",\"inputs\":[[1,2]]}"), "200 {\"predictions\":[[2.0,4.0]]}");
    CHECK_STR(ask(&r, "{\"instances\":[{\"x\":[1,2]},{\"x\":[3,4]}]}"), "200 {\"predictions\":[[2.0,4.0],[6.0,8.0]]}");
    CHECK_STR(ask(&r, "{\"inputs\":{\"x\":[[1,2]]}}"), "200 {\"outputs\":[[2.0,4.0]]}");
    serve_rig_stop(&r);
    two(&r);
    CHECK_STR(ask(&r, "{\"instances\":[{\"k\":-1,\"a\":[1,2]},{\"a\":[3,4],\"k\":2}]}"),
              "200 {\"predictions\":[{\"p\":[1.0,2.0],\"q\":-1},{\"p\":[3.0,4.0],\"q\":2}]}");
    CHECK_STR(ask(&r, "{\"inputs\":{\"k\":[7],\"a\":[[1,2]]}}"), "200 {\"outputs\":{\"p\":[[1.0,2.0]],\"q\":[7]}}");
    serve_rig_stop(&r);
}

/* a FP32 [N,2] -> a itself as p, its sum as the scalar s, its first row alone as f. */
static void outputs_without_common_rows_come_whole(void)
{
    serve_rig r;
    for (int scalar = 0; scalar < 2; scalar++) {
        onnx_build b;
        onnx_build_start(&b, 13);
        onnx_build_input(&b, "a", DT_F32, "N,2");
        onnx_build_ints(&b, "zero", "1", (const int64_t[]){0});
        onnx_build_node(&b, "Identity", "a", "p", "");
        onnx_build_node(&b, "ReduceSum", "a", "s", "keepdims=0");
        onnx_build_node(&b, "Gather", "a,zero", "f", "axis=0");
        onnx_build_output(&b, "p", DT_F32, "N,2");
        onnx_build_output(&b, scalar ? "s" : "f", DT_F32, NULL);
        serve_rig_start(&r, &b);
        CHECK_STR(ask(&r, "{\"instances\":[[1,2],[3,4]]}"),
                  scalar ? "200 {\"predictions\":{\"p\":[[1.0,2.0],[3.0,4.0]],\"s\":10.0}}"
                         : "200 {\"predictions\":{\"p\":[[1.0,2.0],[3.0,4.0]],\"f\":[[1.0,2.0]]}}");
        serve_rig_stop(&r);
    }
}

static void scalars_have_no_rows(void)
{
    serve_rig r;
    onnx_build b;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "a", DT_F32, "N,2");
    onnx_build_node(&b, "ReduceSum", "a", "s", "keepdims=0");
    onnx_build_node(&b, "ReduceMax", "a", "t", "keepdims=0");
    onnx_build_output(&b, "s", DT_F32, "");
    onnx_build_output(&b, "t", DT_F32, "");
    serve_rig_start(&r, &b);
    CHECK_STR(ask(&r, "{\"instances\":[[1,2],[3,4]]}"), "200 {\"predictions\":{\"s\":10.0,\"t\":4.0}}");
    serve_rig_stop(&r);
}

/* Rows go through a tree on their way: no digit may be lost there. */
static void numbers_in_rows_are_exact(void)
{
    serve_rig r;
    two(&r);
    CHECK_STR(ask(&r, "{\"instances\":[{\"k\":9223372036854775807,\"a\":[-0.0,1.00000005960464477540]},"
                      "{\"k\":-9223372036854775808,\"a\":[1e-45,-0]}]}"),
              "200 {\"predictions\":[{\"p\":[-0.0,1.0000001],\"q\":9223372036854775807},"
              "{\"p\":[1e-45,-0.0],\"q\":-9223372036854775808}]}");
    serve_rig_stop(&r);
}

static void strings_scalars_and_bare_outputs_pass(void)
{
    serve_rig r;
    onnx_build b;
    serve_rig_same(&b, DT_STRING, "N");
    serve_rig_start(&r, &b);
    CHECK_STR(ask(&r, "{\"instances\":[\"a\\u0000\\\"\",\"\"]}"), "200 {\"predictions\":[\"a\\u0000\\\"\",\"\"]}");
    CHECK_STR(ask(&r, "{\"instances\":[{\"x\":\"a\\u0000\\\"\"},{\"x\":\"\"}]}"),
              "200 {\"predictions\":[\"a\\u0000\\\"\",\"\"]}");
    serve_rig_stop(&r);
    serve_rig_same(&b, DT_BOOL, "");
    serve_rig_start(&r, &b);
    CHECK_STR(ask(&r, "{\"inputs\":{\"x\":true}}"), "200 {\"outputs\":true}");
    serve_rig_stop(&r);
}

/* TensorFlow Serving's form of bytes, wherever a string may stand; beside plain strings, too. */
static void bytes_come_in_base64_wherever_strings_may(void)
{
    static const struct {
        const char *dims, *json, *want;
    } rows[] = {
        {"N", "{\"instances\":[{\"b64\":\"aGk=\"},{\"b64\":\"\"}]}", "200 {\"predictions\":[\"hi\",\"\"]}"},
        {"N", "{\"instances\":[{\"x\":{\"b64\":\"aGk\"}},{\"x\":\"b\"}]}", "200 {\"predictions\":[\"hi\",\"b\"]}"},
        {"N", "{\"instances\":[\"a\", { \"b64\" : \"aGk=\" }]}", "200 {\"predictions\":[\"a\",\"hi\"]}"},
        {"N", "{\"instances\":[{\"b64\":\"aGk=\"},\"a\"]}", "200 {\"predictions\":[\"hi\",\"a\"]}"},
        {"N,2", "{\"instances\":[[{\"b64\":\"aGk=\"},\"a\"],[\"b\",{\"b64\":\"AAE=\"}]]}",
         "200 {\"predictions\":[[\"hi\",\"a\"],[\"b\",\"\\u0000\\u0001\"]]}"},
        {"N,2", "{\"inputs\":{\"x\":[[{\"b64\":\"aGk=\"},\"a\"]]}}", "200 {\"outputs\":[[\"hi\",\"a\"]]}"},
        {"N", "{\"inputs\":[{\"b64\":\"aG\\u006b\"}]}", "200 {\"predictions\":[\"hi\"]}"},
        {"N", "{\"inputs\":{\"x\":{\"b64\":\"aGk\"}}}", "200 {\"outputs\":[\"hi\"]}"},
        {"N", "{\"inputs\":{\"b64\":\"aGk\"}}", "200 {\"outputs\":[\"hi\"]}"},
        {"", "{\"inputs\":{\"x\":{\"b64\":\"aGk\"}}}", "200 {\"outputs\":\"hi\"}"},
        {"N", "{\"instances\":[\"a\",{\"b64\":\"a!\"}]}",
         "400 input 'x': data: [1]: b64: expected base64, got other characters or an end in between"},
        {"N", "{\"instances\":[\"a\",{\"c64\":\"aGk=\"}]}", "400 input 'x': data: [1]: expected a string, got '{'"},
        {"N", "{\"instances\":[\"a\",{\"b64\":\"aGk=\",\"c\":1}]}",
         "400 input 'x': data: [1]: expected a string, got '{'"},
        {"N", "{\"instances\":[{\"b64\":7}]}", "400 instances[0]: expected only inputs of the model, got 'b64'"}};
    serve_rig r;
    onnx_build b;
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        serve_rig_same(&b, DT_STRING, rows[i].dims);
        serve_rig_start(&r, &b);
        CHECK_STR(ask(&r, rows[i].json), rows[i].want);
        serve_rig_stop(&r);
    }
    two(&r);   /* of several inputs a bare value is none */
    CHECK_STR(ask(&r, "{\"instances\":[{\"b64\":\"aGk=\"}]}"),
              "400 instances[0]: expected only inputs of the model, got 'b64'");
    CHECK_STR(ask(&r, "{\"instances\":[[{\"b64\":\"aGk=\"}]]}"),
              "400 instances: expected objects with the model's 2 inputs, got bare values");
    serve_rig_stop(&r);
    twice(&r);   /* numbers are no bytes */
    CHECK_STR(ask(&r, "{\"instances\":[[1,{\"b64\":\"aGk=\"}]]}"),
              "400 input 'x': data: [0][1]: expected a number within +-3.4028235e38, got '{'");
    serve_rig_stop(&r);
}

static void what_is_not_finite_is_null(void)
{
    serve_rig r;
    twice(&r);
    CHECK_STR(ask(&r, "{\"instances\":[[1,NaN],[-Infinity,3e38]]}"), "200 {\"predictions\":[[2.0,null],[null,null]]}");
    CHECK_STR(ask(&r, "{\"instances\":[{\"x\":[Inf,1]}]}"), "200 {\"predictions\":[[null,2.0]]}");
    CHECK_STR(ask(&r, "{\"inputs\":{\"x\":[[NaN,1]]}}"), "200 {\"outputs\":[[null,2.0]]}");
    serve_rig_stop(&r);
    two(&r);
    CHECK_STR(ask(&r, "{\"instances\":[{\"k\":1,\"a\":[-Inf,2]},{\"a\":[3,-NaN],\"k\":2}]}"),
              "200 {\"predictions\":[{\"p\":[null,2.0],\"q\":1},{\"p\":[3.0,null],\"q\":2}]}");
    CHECK_STR(ask(&r, "{\"inputs\":{\"k\":[7],\"a\":[[NaN,2]]}}"), "200 {\"outputs\":{\"p\":[[null,2.0]],\"q\":[7]}}");
    serve_rig_stop(&r);
}

static void each_wrong_request_is_refused_in_one_line(void)
{
    static const struct {
        bool two;
        const char *json, *want;
    } rows[] = {
        {false, "[]", "400 request: expected an object, got a list"},
        {false, "{}", "400 request: expected \"instances\" or \"inputs\", got neither"},
        {false, "{\"instances\":[],\"inputs\":[]}", "400 request: expected \"instances\" or \"inputs\", got both"},
        {false, "{\"instances\":7}", "400 input 'x': data: expected a JSON array, got '7'"},
        {false, "{\"instances\":{\"x\":1}}", "400 instances: expected a list, got an object"},
        {false, "{\"instances\":[]}", "400 input 'x': shape: expected [-1,2], got '[0]'"},
        {false, "{\"instances\":[[1,2],[3]]}",
         "400 input 'x': data: [1]: ragged array: expected 2 elements as in the lists before, got 1"},
        {false, "{\"instances\":[[1,2,3]]}", "400 input 'x': shape: expected [-1,2], got '[1,3]'"},
        {false, "{\"instances\":[[1,null]]}",
         "400 input 'x': data: [0][1]: expected a number within +-3.4028235e38, got 'null'"},
        {false, "{\"instances\":[1,{\"x\":[1,2]}]}",
         "400 input 'x': data: [1]: expected a number within +-3.4028235e38, got '{'"},
        {false, "{\"instances\":[{\"x\":[1,2]},-2.50]}", "400 instances[1]: instance: expected an object, got -2.50"},
        {false, "{\"instances\":[{\"x\":[1,{}]}]}",
         "400 input 'x': data: [0][1]: expected a number within +-3.4028235e38, got '{'"},
        {false, "{\"instances\":[{\"x\":[1,2],\"z\":1}]}",
         "400 instances[0]: expected only inputs of the model, got 'z'"},
        {false, "{\"inputs\":{\"z\":[[1,2]]}}", "400 inputs: expected only inputs of the model, got 'z'"},
        {false, "{\"inputs\":{}}", "400 inputs: expected input 'x', got none"},
        {false, "{\"instances\":[[[[[[[[[[[1]]]]]]]]]]]}",
         "400 input 'x': data: expected nesting of at most 8, got 11"},
        {true, "{\"instances\":[[1,2]]}", "400 instances: expected objects with the model's 2 inputs, got bare values"},
        {true, "{\"instances\":[{\"a\":[1,2]}]}", "400 instances[0]: expected input 'k', got none"},
        {false, "{\"instances\":NaN}", "400 input 'x': data: expected a JSON array, got 'NaN'"},
        {false, "{\"instances\":[{\"x\":[1,nan]}]}",
         "400 input 'x': data: [0][1]: expected a number within +-3.4028235e38, got 'nan' "
         "(the words are NaN, Infinity and -Infinity)"},
        {false, "{\"instances\":[{\"x\":[1,2]},NaN]}", "400 instances[1]: instance: expected an object, got NaN"},
        {false, "{\"instances\":[[1,2]],\"parameters\":{\"a\":[-Infinity]}}",
         "400 'parameters': expected JSON, got -Infinity, which only tensors may hold"},
        {true, "{\"instances\":[{\"a\":[1,2],\"k\":NaN}]}",
         "400 input 'k': data: [0]: expected an integer in -9223372036854775808..9223372036854775807, got 'NaN'"},
        {true, "{\"inputs\":{\"a\":[[1,2]],\"k\":[1.5]}}",
         "400 input 'k': data: [0]: expected an integer in -9223372036854775808..9223372036854775807, got '1.5'"},
    };
    serve_rig r, r2;
    twice(&r);
    two(&r2);
    for (size_t i = 0; i < COUNTOF(rows); i++) CHECK_STR(ask(rows[i].two ? &r2 : &r, rows[i].json), rows[i].want);
    serve_rig_stop(&r);
    serve_rig_stop(&r2);
}

static void no_memory_is_an_error_wherever_it_happens(void)
{
    serve_rig r;
    two(&r);
    long failed = 0;
    static const char *const bodies[] = {"{\"instances\":[{\"k\":-1,\"a\":[1,2]},{\"a\":[3,4],\"k\":2}]}",
                                         "{\"inputs\":{\"k\":[7],\"a\":[[1,2]]}}"};
    for (size_t i = 0; i < COUNTOF(bodies); i++) {
        CHECK(strncmp(ask(&r, bodies[i]), "200 ", 4) == 0);
        serve_rig_forget(&r);
        FAULT_SWEEP({
            const char *got = ask(&r, bodies[i]);
            CHECK(strncmp(got, "200 ", 4) == 0 || strncmp(got, "503 ", 4) == 0 || strncmp(got, "413 ", 4) == 0);
            failed += got[0] != '2';
            serve_rig_forget(&r);
        });
    }
    CHECK(failed >= 4);
    serve_rig_stop(&r);
}

/* s INT64 [R] -> zeros in that shape, as y, and as z where there are two outputs. */
static void zeros(serve_rig *r, bool both)
{
    onnx_build b;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "s", DT_I64, "R");
    onnx_build_node(&b, "ConstantOfShape", "s", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    if (both) onnx_build_node(&b, "ConstantOfShape", "s", "z", "");
    if (both) onnx_build_output(&b, "z", DT_F32, NULL);
    serve_rig_start(r, &b);
}

/* They cost whoever asks nothing: neither may they whoever answers. */
static void rows_without_end_and_without_values_are_refused(void)
{
    serve_rig r;
    zeros(&r, false);
    CHECK_STR(ask(&r, "{\"inputs\":[2,0]}"), "200 {\"predictions\":[[],[]]}");
    CHECK(strncmp(ask(&r, "{\"inputs\":[1099511627776,0]}"), "200", 3) != 0);
    CHECK(strncmp(ask(&r, "{\"inputs\":[1099511627776,1099511627776,0]}"), "200", 3) != 0);
    serve_rig_stop(&r);
    zeros(&r, true);
    CHECK_STR(ask(&r, "{\"instances\":[{\"s\":1},{\"s\":0}]}"), "200 {\"predictions\":[{\"y\":[],\"z\":[]}]}");
    CHECK(strncmp(ask(&r, "{\"instances\":[{\"s\":1099511627776},{\"s\":0}]}"), "200", 3) != 0);
    serve_rig_stop(&r);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(rows_and_columns_come_back_in_their_form),  TEST(outputs_without_common_rows_come_whole),
        TEST(scalars_have_no_rows),                      TEST(numbers_in_rows_are_exact),
        TEST(bytes_come_in_base64_wherever_strings_may),
        TEST(strings_scalars_and_bare_outputs_pass),     TEST(what_is_not_finite_is_null),
        TEST(each_wrong_request_is_refused_in_one_line),
        TEST(rows_without_end_and_without_values_are_refused),
        TEST(no_memory_is_an_error_wherever_it_happens),
    };
    return test_main(cases, COUNTOF(cases));
}
