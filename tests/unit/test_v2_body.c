/* A body that is the model's only input gets name, datatype and shape from the model, is used where it lies and comes
 * back as binary data; what cannot be deduced, or does not fit, is refused in one line. */
#include "serve/v2_body.h"
#include "serve/v2.h"
#include "serve_rig.h"
#include "test.h"

static const str none = {0};
static const float row[] = {1, 2, 3, 4, 5, 6};

static const char *ask(serve_rig *r, const void *bytes, size_t n)
{
    return serve_rig_ask(r, &v2_protocol, none, (str){bytes, n});
}

static void same(serve_rig *r, dtype type, const char *dims)
{
    onnx_build b;
    serve_rig_same(&b, type, dims);
    serve_rig_start(r, &b);
}

/* What a model of that type and those dimensions says to the bytes. */
static const char *says(dtype type, const char *dims, const void *bytes, size_t n)
{
    static char text[256];
    serve_rig r;
    same(&r, type, dims);
    snprintf(text, sizeof text, "%s", ask(&r, bytes, n));
    serve_rig_stop(&r);
    return text;
}

#define YB(type, shape, size)                                                                          \
    "200 {\"model_name\":\"m\",\"model_version\":\"1\",\"outputs\":[{\"name\":\"y\",\"datatype\":\"" type \
    "\",\"shape\":" shape ",\"parameters\":{\"binary_data_size\":" size "}}]}"

static void the_bytes_say_how_long_the_open_dimension_is(void)
{
    CHECK_STR(says(DT_F32, "N", row, 24), YB("FP32", "[6]", "24"));
    CHECK_STR(says(DT_F32, "N", row, 0), YB("FP32", "[0]", "0"));
    CHECK_STR(says(DT_F32, "N,3", row, 24), YB("FP32", "[2,3]", "24"));
    CHECK_STR(says(DT_F32, "3,N", row, 24), YB("FP32", "[3,2]", "24"));
    CHECK_STR(says(DT_F32, "3,N,1", row, 12), YB("FP32", "[3,1,1]", "12"));
    CHECK_STR(says(DT_F32, "N,0", row, 0), YB("FP32", "[0,0]", "0"));
    CHECK_STR(says(DT_I64, "N", row, 24), YB("INT64", "[3]", "24"));
    CHECK_STR(says(DT_BOOL, "N", "\0\1\1", 3), YB("BOOL", "[3]", "3"));
}

static void where_nothing_is_open_the_size_is_the_models(void)
{
    CHECK_STR(says(DT_F32, "2,3", row, 24), YB("FP32", "[2,3]", "24"));
    CHECK_STR(says(DT_F32, "", row, 4), YB("FP32", "[]", "4"));
    CHECK_STR(says(DT_F16, "2", row, 4), YB("FP16", "[2]", "4"));
}

static void an_input_of_unknown_rank_is_one_list(void)
{
    CHECK_STR(says(DT_F32, NULL, row, 24), YB("FP32", "[6]", "24"));
    CHECK_STR(says(DT_STRING, NULL, "a", 1),
              "400 For BYTE datatype raw input 'x', the model must have input shape [1]");
}

static void a_body_is_used_where_it_lies_and_comes_back_as_binary_data(void)
{
    serve_rig r;
    same(&r, DT_F32, "N,3");
    CHECK_STR(ask(&r, row, sizeof row), YB("FP32", "[2,3]", "24"));
    CHECK(r.request.inputs[0].data == r.request.body.p);
    CHECK_U64(r.request.reply_json_bytes, strlen(r.text) - 4);
    CHECK(r.tail.len == sizeof row && memcmp(r.tail.p, row, sizeof row) == 0);
    serve_rig_stop(&r);
}

static void all_outputs_go_as_binary_data(void)
{
    serve_rig r;
    onnx_build b;
    onnx_build_start(&b, 17);
    onnx_build_input(&b, "x", DT_F32, "N");
    onnx_build_node(&b, "Add", "x,x", "y", "");
    onnx_build_node(&b, "Identity", "x", "z", "");
    onnx_build_output(&b, "y", DT_F32, "N");
    onnx_build_output(&b, "z", DT_F32, "N");
    serve_rig_start(&r, &b);
    CHECK_STR(ask(&r, row, 8),
              "200 {\"model_name\":\"m\",\"model_version\":\"1\",\"outputs\":["
              "{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[2],\"parameters\":{\"binary_data_size\":8}},"
              "{\"name\":\"z\",\"datatype\":\"FP32\",\"shape\":[2],\"parameters\":{\"binary_data_size\":8}}]}");
    static const float want[] = {2, 4, 1, 2};
    CHECK(r.tail.len == sizeof want && memcmp(r.tail.p, want, sizeof want) == 0);
    serve_rig_stop(&r);
}

/* Without a length before it, even where it looks like one, and whatever bytes it has. */
static void a_string_is_the_whole_body(void)
{
    static const struct {
        const char *body;
        size_t n;
        const char *want, *tail;
    } rows[] = {
        {"427", 3, YB("BYTES", "[1,1]", "7"), "\3\0\0\0" "427"},
        {"", 0, YB("BYTES", "[1,1]", "4"), "\0\0\0\0"},
        {"\1\0\0\0a", 5, YB("BYTES", "[1,1]", "9"), "\5\0\0\0\1\0\0\0a"},
        {"\377\0{", 3, YB("BYTES", "[1,1]", "7"), "\3\0\0\0\377\0{"},
    };
    serve_rig r;
    same(&r, DT_STRING, "1,1");
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        CHECK_STR(ask(&r, rows[i].body, rows[i].n), rows[i].want);
        CHECK(r.tail.len == rows[i].n + 4 && memcmp(r.tail.p, rows[i].tail, r.tail.len) == 0);
    }
    serve_rig_stop(&r);
    CHECK_STR(says(DT_STRING, "", "ab", 2), YB("BYTES", "[]", "6"));
}

static void what_cannot_be_deduced_or_does_not_fit_is_refused_in_one_line(void)
{
    static const struct {
        dtype type;
        const char *dims;
        size_t n;
        const char *want;
    } rows[] = {
        {DT_F32, "N,M", 24, "400 The shape of the raw input 'x' can not be deduced because there are more than one "
                            "variable-sized dimension"},
        {DT_STRING, "N,M", 1, "400 The shape of the raw input 'x' can not be deduced because there are more than one "
                              "variable-sized dimension"},
        {DT_STRING, "N", 1, "400 For BYTE datatype raw input 'x', the model must have input shape [1]"},
        {DT_STRING, "N,1", 0, "400 For BYTE datatype raw input 'x', the model must have input shape [1]"},
        {DT_STRING, "2", 1, "400 For BYTE datatype raw input 'x', the model must have input shape [1]"},
        {DT_STRING, "0", 0, "400 For BYTE datatype raw input 'x', the model must have input shape [1]"},
        {DT_F32, "N", 3, "400 input 'x': raw request: expected a multiple of 4 bytes for FP32 [-1], got 3"},
        {DT_F32, "N,3", 16, "400 input 'x': raw request: expected a multiple of 12 bytes for FP32 [-1,3], got 16"},
        {DT_F32, "N,0", 4, "400 input 'x': raw request: expected 0 bytes for its shape and datatype, got 4"},
        {DT_F32, "2,3", 20, "400 input 'x': raw request: expected 24 bytes for its shape and datatype, got 20"},
        {DT_F32, "2", 24, "400 input 'x': raw request: expected 8 bytes for its shape and datatype, got 24"},
        {DT_F32, "2", 0, "400 input 'x': raw request: expected 8 bytes for its shape and datatype, got 0"},
        {DT_F32, "", 0, "400 input 'x': raw request: expected 4 bytes for its shape and datatype, got 0"},
        {DT_BOOL, "N", 4, "400 input 'x': raw request: expected 0 or 1 in a BOOL, got 128"},
        {DT_I4, "N", 4, "400 input 'x': raw request: int4 has no V2 datatype"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++)
        CHECK_STR(says(rows[i].type, rows[i].dims, row, rows[i].n), rows[i].want);
}

static void a_raw_request_is_for_models_of_one_input(void)
{
    serve_rig r;
    onnx_build b;
    serve_rig_four(&b);
    serve_rig_start(&r, &b);
    CHECK_STR(ask(&r, row, 8), "400 Raw request must only have 1 input (found 1) to be deduced but got 4 inputs in 'm' "
                               "model configuration");
    CHECK_STR(ask(&r, row, 0), "400 Raw request must only have 1 input (found 1) to be deduced but got 4 inputs in 'm' "
                               "model configuration");
    serve_rig_stop(&r);
}

/* x FP32 [N,M] behind a configuration: what a client brings is what that says. */
static const char *configured(const char *json, size_t n)
{
    static char text[256];
    model_config *c = NULL;
    serve_rig r;
    onnx_build b;
    err e = {0};
    serve_rig_same(&b, DT_F32, "N,M");
    serve_rig_start(&r, &b);
    model_config_from from = {.name = STR("m"), .path = "/m", .override = str_of(json)};
    err_code rc = model_config_read(&c, &from, &e);
    if (rc == ERR_OK) rc = model_config_fit(c, r.served.model, &e);
    if (rc) printf("# %s\n", e.text);
    INVARIANT(rc == ERR_OK);
    r.served.config = c;
    r.served.ios = c->ios;
    snprintf(text, sizeof text, "%s", ask(&r, row, n));
    serve_rig_stop(&r);
    model_config_free(c);
    return text;
}

#define CONFIG(batch, dims, reshape)                                                                \
    "{\"backend\":\"onnxruntime\",\"max_batch_size\":" batch                                        \
    ",\"input\":[{\"name\":\"x\",\"data_type\":\"TYPE_FP32\",\"dims\":" dims reshape "}],"          \
    "\"output\":[{\"name\":\"y\",\"data_type\":\"TYPE_FP32\",\"dims\":[-1]}]}"
#define CONFIG_UNBATCHED                                                                            \
    "{\"backend\":\"onnxruntime\",\"max_batch_size\":0,"                                            \
    "\"input\":[{\"name\":\"x\",\"data_type\":\"TYPE_FP32\",\"dims\":[-1,2]}],"                      \
    "\"output\":[{\"name\":\"y\",\"data_type\":\"TYPE_FP32\",\"dims\":[-1,-1]}]}"

static void what_batches_gets_one_row(void)
{
    CHECK_STR(configured(CONFIG("4", "[2]", ""), 8), YB("FP32", "[1,2]", "8"));
    CHECK_STR(configured(CONFIG("4", "[2]", ""), 16),
              "400 input 'x': raw request: expected 8 bytes for its shape and datatype, got 16");
    CHECK_STR(configured(CONFIG("4", "[-1]", ""), 8), YB("FP32", "[1,2]", "8"));
    CHECK_STR(configured(CONFIG("4", "[2,1]", ",\"reshape\":{\"shape\":[2]}"), 8), YB("FP32", "[1,2]", "8"));
    CHECK_STR(configured(CONFIG_UNBATCHED, 16), YB("FP32", "[2,2]", "16"));
}

static void only_a_header_of_zero_makes_a_request_raw(void)
{
    infer r = {.has_binary = true, .json_bytes = 0};
    CHECK(v2_body_is(&r));
    r.json_bytes = 1;
    CHECK(!v2_body_is(&r));
    r = (infer){.has_binary = false, .json_bytes = 0};
    CHECK(!v2_body_is(&r));
}

static void no_memory_is_an_error_wherever_it_happens(void)
{
    static const dtype types[] = {DT_F32, DT_STRING};
    for (size_t i = 0; i < COUNTOF(types); i++) {
        serve_rig r;
        same(&r, types[i], types[i] == DT_F32 ? "N" : "1");
        long failed = 0;
        CHECK(strncmp(ask(&r, row, 24), "200 ", 4) == 0);
        serve_rig_forget(&r);
        FAULT_SWEEP({
            const char *got = ask(&r, row, 24);
            CHECK(strncmp(got, "200 ", 4) == 0 || strncmp(got, "503 ", 4) == 0 || strncmp(got, "413 ", 4) == 0);
            failed += got[0] != '2';
            serve_rig_forget(&r);
        });
        CHECK(failed >= 3);
        serve_rig_stop(&r);
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(the_bytes_say_how_long_the_open_dimension_is),
        TEST(where_nothing_is_open_the_size_is_the_models),
        TEST(an_input_of_unknown_rank_is_one_list),
        TEST(a_body_is_used_where_it_lies_and_comes_back_as_binary_data),
        TEST(all_outputs_go_as_binary_data),
        TEST(a_string_is_the_whole_body),
        TEST(what_cannot_be_deduced_or_does_not_fit_is_refused_in_one_line),
        TEST(a_raw_request_is_for_models_of_one_input),
        TEST(what_batches_gets_one_row),
        TEST(only_a_header_of_zero_makes_a_request_raw),
        TEST(no_memory_is_an_error_wherever_it_happens),
    };
    return test_main(cases, COUNTOF(cases));
}
