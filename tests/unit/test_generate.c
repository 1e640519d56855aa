/* A flat object names inputs and parameters, there or nested; lists are spread over the shape as Triton spreads them;
 * the answer is as flat, and a stream is the same answer as one event. */
#include "serve/generate.h"
#include "serve_rig.h"
#include "test.h"

static serve_rig rig;

static const char *ask(const char *json) { return serve_rig_ask(&rig, &generate_protocol, str_of(json), (str){0}); }

#define FOUR(f) "{\"f\":" f ",\"i\":7,\"s\":\"a\\u00fc\",\"b\":true}"
#define HEAD "200 {\"model_name\":\"m\",\"model_version\":\"1\","

static void names_are_inputs_there_or_nested(void)
{
    CHECK_STR(ask(FOUR("[1,2.5]")), HEAD "\"fo\":[1.0,2.5],\"io\":7,\"so\":\"a\303\274\",\"bo\":true}");
    CHECK_STR(ask("{\"parameters\":{\"f\":[1,2],\"i\":[7],\"x\":1},\"s\":[\"\"],\"b\":false,\"y\":\"z\",\"t\":-0.5}"),
              HEAD "\"fo\":[1.0,2.0],\"io\":7,\"so\":\"\",\"bo\":false}");
    CHECK_STR(ask("{\"f\":[1,2,3,4],\"i\":[1,9007199254740993],\"s\":[\"a\",\"b\"],\"b\":true,\"id\":\"q\\\"\"}"),
              "200 {\"id\":\"q\\\"\",\"model_name\":\"m\",\"model_version\":\"1\",\"fo\":[1.0,2.0,3.0,4.0],"
              "\"io\":[1,9007199254740993],\"so\":[\"a\",\"b\"],\"bo\":true}");
    CHECK(strncmp(ask("{\"id\":12,\"f\":[1,2],\"i\":7,\"s\":\"\",\"b\":true}"), "200 {\"id\":\"12\",", 15) == 0);
}

static void floats_may_be_words_and_nothing_else_may(void)
{
    CHECK_STR(ask(FOUR("[NaN,-Infinity]")), HEAD "\"fo\":[NaN,-Infinity],\"io\":7,\"so\":\"a\303\274\",\"bo\":true}");
    CHECK_STR(ask("{\"parameters\":{\"f\":[1,Inf]},\"i\":7,\"s\":\"\",\"b\":true}"),
              HEAD "\"fo\":[1.0,Infinity],\"io\":7,\"so\":\"\",\"bo\":true}");
    CHECK_STR(ask("{\"f\":[1,2],\"i\":Infinity,\"s\":\"\",\"b\":true}"),
              "400 input 'i': data: [0]: expected an integer in -9223372036854775808..9223372036854775807, got "
              "'Infinity'");
    CHECK_STR(ask("{\"x\":NaN}"),
              "400 parameter 'x' has invalid type. It should be either 'int', 'bool', or 'string'");
    CHECK_STR(ask("{\"parameters\":{\"x\":-Inf}}"),
              "400 Converting keyword: 'parameters': parameter 'x' has invalid type. It should be either 'int', "
              "'bool', or 'string'");
    CHECK_STR(ask("{\"id\":NaN}"), "400 id: expected a string, got NaN");

    onnx_build b;   /* one element: without brackets */
    serve_rig one;
    serve_rig_same(&b, DT_F32, "N");
    serve_rig_start(&one, &b);
    CHECK_STR(serve_rig_ask(&one, &generate_stream_protocol, STR("{\"x\":-Infinity}"), (str){0}),
              "200 data: {\"model_name\":\"m\",\"model_version\":\"1\",\"y\":-Infinity}\n\n");
    serve_rig_stop(&one);
}

static void a_stream_is_one_event(void)
{
    CHECK_STR(serve_rig_ask(&rig, &generate_stream_protocol, STR(FOUR("[1,2]")), (str){0}),
              "200 data: {\"model_name\":\"m\",\"model_version\":\"1\",\"fo\":[1.0,2.0],\"io\":7,\"so\":\"a\303\274\","
              "\"bo\":true}\n\n");
    CHECK_STR(generate_stream_protocol.content_type, "text/event-stream; charset=utf-8");
}

static void what_is_wrong_is_refused_by_name(void)
{
    static const struct {
        const char *body, *want;
    } wrong[] = {
        {"{", "400 "},
        {"[]", "400 "},
        {"{\"f\":[1,2]}", "400 inputs: expected 4, got 1: 'i' is missing"},
        {FOUR("[1,2,3]"), "400 The schema can not convert input 'f' to tensor with proper shape"},
        {FOUR("1"), "400 The schema can not convert input 'f' to tensor with proper shape"},
        {"{\"b\":[true,false]}", "400 The schema can not convert input 'b' to tensor with proper shape"},
        {FOUR("{}"), "400 input 'f': expected a value or a list of values"},
        {FOUR("null"), "400 input 'f': expected a value or a list of values"},
        {FOUR("[\"a\",\"b\"]"), "400 input 'f': data: "},
        {FOUR("[[1,2],[3,4]]"), "400 input 'f': data: "},
        {"{\"i\":1,\"parameters\":{\"i\":1}}", "400 Converting keyword: 'parameters': input 'i': given twice"},
        {"{\"parameters\":[]}", "400 Expected JSON object for keyword: 'parameters'"},
        {"{\"x\":[1]}", "400 parameter 'x' has invalid type. It should be either 'int', 'bool', or 'string'"},
        {"{\"triton_x\":1}",
         "400 parameter keys starting with 'triton_' are reserved for Triton usage only"},
        {"{\"timeout\":-1}", "400 parameters: timeout: expected a number of 0 or more"},
        {"{\"id\":true}", "400 id: expected a string, got true"},
    };
    for (size_t i = 0; i < COUNTOF(wrong); i++) {
        const char *got = ask(wrong[i].body);
        if (strncmp(got, wrong[i].want, strlen(wrong[i].want)) != 0) CHECK_STR(got, wrong[i].want);
    }
}

static void parameters_are_no_place_for_an_input_of_that_name(void)
{
    onnx_build b;
    serve_rig other;
    onnx_build_start(&b, 17);
    onnx_build_input(&b, "parameters", DT_F32, "2,N,N");
    onnx_build_node(&b, "Identity", "parameters", "y", "");
    onnx_build_output(&b, "y", DT_F32, "2,N,N");
    serve_rig_start(&other, &b);
    CHECK_STR(serve_rig_ask(&other, &generate_protocol, STR("{\"parameters\":{}}"), (str){0}),
              "400 Keyword 'parameters' for nested schema also given as input tensor name");
    serve_rig_stop(&other);
}

static void a_request_survives_failed_allocations(void)
{
    serve_rig_forget(&rig);
    FAULT_SWEEP({
        const char *got = ask(FOUR("[1,2]"));
        CHECK(strncmp(got, "200 ", 4) == 0 || strncmp(got, "503 ", 4) == 0 || strncmp(got, "4", 1) == 0);
        serve_rig_forget(&rig);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(names_are_inputs_there_or_nested),
        TEST(floats_may_be_words_and_nothing_else_may),
        TEST(a_stream_is_one_event),
        TEST(what_is_wrong_is_refused_by_name),
        TEST(parameters_are_no_place_for_an_input_of_that_name),
        TEST(a_request_survives_failed_allocations),
    };
    onnx_build b;
    serve_rig_four(&b);
    serve_rig_start(&rig, &b);
    int status = test_main(cases, COUNTOF(cases));
    serve_rig_stop(&rig);
    return status;
}
