/* What a V2 request says reaches the model exactly, JSON or binary, and comes back so; whatever is wrong with it is
 * refused in one line that names it. */
#include "serve/v2.h"
#include "wire/json_cut.h"
#include "serve_rig.h"
#include "test.h"

static const str none = {0};

static const char *ask(serve_rig *r, const char *json) { return serve_rig_ask(r, &v2_protocol, str_of(json), none); }

static const char *ask_binary(serve_rig *r, const char *json, const void *bytes, size_t n)
{
    return serve_rig_ask(r, &v2_protocol, str_of(json), (str){bytes, n});
}

#define X(shape, data) "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":" shape ",\"data\":" data "}]"
#define Y(rest) "200 {\"model_name\":\"m\",\"model_version\":\"1\"" rest "}"
#define YD(shape, data) Y(",\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":" shape ",\"data\":" data "}]")

#define YC(shape, data) \
    Y(",\"outputs\":[{\"name\":\"y\",\"datatype\":\"BYTES\",\"shape\":" shape ",\"data\":" data "}]")

static void twice(serve_rig *r)
{
    onnx_build b;
    serve_rig_twice(&b);
    serve_rig_start(r, &b);
}

static void flat_and_nested_data_mean_the_same(void)
{
    serve_rig r;
    twice(&r);
    CHECK_STR(ask(&r, X("[2,2]", "[1,2,3.5,-0.0]") "}"), YD("[2,2]", "[2.0,4.0,7.0,-0.0]"));
    CHECK_STR(ask(&r, X("[2,2]", "[[1,2],[3.5,-0.0]]") "}"), YD("[2,2]", "[2.0,4.0,7.0,-0.0]"));
    CHECK_STR(ask(&r, X("[0,2]", "[]") "}"), YD("[0,2]", "[]"));
    serve_rig_stop(&r);
}

static void members_are_optional_null_or_unknown(void)
{
    serve_rig r;
    twice(&r);
    CHECK_STR(ask(&r, X("[1,2]", "[1,2]") ",\"id\":\"a\\\"b\"}"),
              Y(",\"id\":\"a\\\"b\",\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[1,2],"
                "\"data\":[2.0,4.0]}]"));
    CHECK_STR(ask(&r, X("[1,2]", "[1,2]") ",\"id\":null,\"outputs\":null,\"parameters\":null,\"x\":{\"y\":[1]}}"),
              YD("[1,2]", "[2.0,4.0]"));
    CHECK_STR(
        ask(&r,
            "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"parameters\":null,\"data\":[1,2]}],"
            "\"outputs\":[{\"name\":\"y\",\"parameters\":null}]}"),
        YD("[1,2]", "[2.0,4.0]"));
    CHECK_STR(ask(&r, X("[1,2]", "[1,2]") ",\"outputs\":[],\"parameters\":{\"priority\":1}}"),
              YD("[1,2]", "[2.0,4.0]"));
    serve_rig_stop(&r);
}

static void four(serve_rig *r)
{
    onnx_build b;
    serve_rig_four(&b);
    serve_rig_start(r, &b);
}

#define F "{\"name\":\"f\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]}"
#define I "{\"name\":\"i\",\"datatype\":\"INT64\",\"shape\":[1],\"data\":[-9223372036854775808]}"
#define S "{\"name\":\"s\",\"datatype\":\"BYTES\",\"shape\":[2],\"data\":[\"\",\"a\\u00e9\\n\"]}"
#define B "{\"name\":\"b\",\"datatype\":\"BOOL\",\"shape\":[],\"data\":[true]}"

static void every_kind_of_tensor_comes_back(void)
{
    serve_rig r;
    four(&r);
    CHECK_STR(ask(&r, "{\"inputs\":[" B "," S "," I "," F "]}"),
              Y(",\"outputs\":[{\"name\":\"fo\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1.0,2.0]},"
                "{\"name\":\"io\",\"datatype\":\"INT64\",\"shape\":[1],\"data\":[-9223372036854775808]},"
                "{\"name\":\"so\",\"datatype\":\"BYTES\",\"shape\":[2],\"data\":[\"\",\"a\303\251\\n\"]},"
                "{\"name\":\"bo\",\"datatype\":\"BOOL\",\"shape\":[],\"data\":[true]}]"));
    serve_rig_stop(&r);
}

/* The header's length is odd, so nothing in the binary part is aligned. */
static void binary_and_json_mix_in_any_order(void)
{
    serve_rig r;
    four(&r);
    static const char tail[] = "\0\0\0\0\2\0\0\0\377\n"
                               "\377\377\377\377\377\377\377\177"
                               "\0";
    const char *got = ask_binary(
        &r,
        "{\"inputs\":[{\"name\":\"s\",\"datatype\":\"BYTES\",\"shape\":[2],\"parameters\":{\"binary_data_size\":10}}," F
        ","
        "{\"name\":\"i\",\"datatype\":\"INT64\",\"shape\":[1],\"parameters\":{\"binary_data_size\":8}},"
        "{\"name\":\"b\",\"datatype\":\"BOOL\",\"shape\":[],\"parameters\":{\"binary_data_size\":1}}],"
        "\"parameters\":{\"binary_data_output\":true},"
        "\"outputs\":[{\"name\":\"io\"},{\"name\":\"fo\","
        "\"parameters\":{\"binary_data\":false}},{\"name\":\"so\"},{\"name\":\"bo\"}]}",
        tail, sizeof tail - 1);
    CHECK_STR(got, Y(",\"outputs\":[{\"name\":\"io\",\"datatype\":\"INT64\",\"shape\":[1],"
                     "\"parameters\":{\"binary_data_size\":8}},"
                     "{\"name\":\"fo\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1.0,2.0]},"
                     "{\"name\":\"so\",\"datatype\":\"BYTES\",\"shape\":[2],\"parameters\":{\"binary_data_size\":10}},"
                     "{\"name\":\"bo\",\"datatype\":\"BOOL\",\"shape\":[],\"parameters\":{\"binary_data_size\":1}}]"));
    static const char want[] = "\377\377\377\377\377\377\377\177"
                               "\0\0\0\0\2\0\0\0\377\n"
                               "\0";
    CHECK(r.tail.len == sizeof want - 1 && memcmp(r.tail.p, want, r.tail.len) == 0);
    CHECK_U64(r.request.reply_json_bytes, strlen(got) - 4);
    for (uint32_t i = 0; i < 4; i++) {
        const tensor *t = &r.request.inputs[i];
        CHECK((uintptr_t)t->data % (t->type == DT_I64 ? 8 : t->type == DT_F32 ? 4 : 1) == 0);
    }
    serve_rig_stop(&r);
}

static void an_empty_tensor_passes_in_binary(void)
{
    serve_rig r;
    twice(&r);
    CHECK_STR(
        ask_binary(&r,
                   "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[0,2],\"parameters\":"
                   "{\"binary_data_size\":0}}],\"outputs\":[{\"name\":\"y\",\"parameters\":{\"binary_data\":true}}]}",
                   "", 0),
        Y(",\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[0,2],"
          "\"parameters\":{\"binary_data_size\":0}}]"));
    CHECK_U64(r.tail.len, 0);
    serve_rig_stop(&r);
}

#define M(parameters, data) \
    "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"parameters\":{" parameters "}" data "}]}"

static void wrong_places_in_shared_memory_are_refused(void)
{
    serve_rig r;
    twice(&r);
    CHECK_STR(ask(&r, M("\"shared_memory_region\":\"r\"", "")),
              "400 input 'x': parameters: shared_memory_region: expected shared_memory_byte_size with it");
    CHECK_STR(ask(&r, M("\"shared_memory_region\":7", "")),
              "400 input 'x': parameters: shared_memory_region: expected a string");
    CHECK_STR(ask(&r, M("\"shared_memory_region\":\"r\",\"shared_memory_byte_size\":8", ",\"data\":[1,2]")),
              "400 input 'x': expected shared_memory_region, data or binary_data_size, got several");
    CHECK_STR(ask(&r, M("\"shared_memory_region\":\"r\",\"shared_memory_byte_size\":8", "")),
              "501 input 'x': shared memory is not supported");
    serve_rig_stop(&r);
}

static void each_wrong_request_is_refused_in_one_line(void)
{
    static const struct {
        const char *json, *want;
    } rows[] = {
        {"", "400 JSON: expected a document, got nothing"},
        {"[]", "400 request: expected an object, got a list"},
        {"{}", "400 inputs: expected a list, got nothing"},
        {"{\"inputs\":null}", "400 inputs: expected a list, got null"},
        {"{\"inputs\":[]}", "400 inputs: expected 1, got 0: 'x' is missing"},
        {"{\"inputs\":[3]}", "400 inputs[0]: input: expected an object, got 3"},
        {"{\"inputs\":[{}]}", "400 inputs[0]: name: expected a string, got nothing"},
        {"{\"inputs\":[{\"name\":\"z\"}]}", "400 inputs[0]: name: expected an input of the model ('x'), got 'z'"},
        {"{\"inputs\":[{\"name\":\"x\"}]}", "400 input 'x': datatype: expected a string, got nothing"},
        {"{\"inputs\":[{\"name\":\"x\",\"datatype\":\"fp32\"}]}",
         "400 input 'x': datatype: expected BOOL, UINT8-64, INT8-64, FP16, BF16, FP32, FP64 or BYTES, got 'fp32'"},
        {"{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP64\",\"shape\":[1,2]}]}",
         "400 input 'x': datatype: expected FP32, got 'FP64'"},
        {"{\"inputs\":[{\"name\":\"x\",\"datatype\":\"INT32\",\"shape\":[1,2]}]}",
         "400 input 'x': datatype: expected FP32, got 'INT32'"},
        {"{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\"}]}", "400 input 'x': shape: expected a list, got nothing"},
        {X("[1,2.5]", "[]") "}", "400 input 'x': shape: expected an integer in 64 bits, got 2.5"},
        {X("[-1,2]", "[]") "}", "400 input 'x': shape[0]: expected 0 or more, got -1"},
        {X("[1,1,1,1,1,1,1,1]", "[1]") "}", "400 input 'x': shape: expected [-1,2], got '[1,1,1,1,1,1,1,1]'"},
        {X("[1,1,1,1,1,1,1,1,1]", "[]") "}", "400 input 'x': shape: expected at most 8 dimensions, got 9"},
        {X("[4294967296,4294967296]", "[]") "}", "400 input 'x': shape: expected fewer than 2^63 elements"},
        {X("[2]", "[1,2]") "}", "400 input 'x': shape: expected [-1,2], got '[2]'"},
        {X("[1,3]", "[1,2,3]") "}", "400 input 'x': shape: expected [-1,2], got '[1,3]'"},
        {X("[1000000000000000000,2]", "[1]") "}", "400 input 'x': shape [1000000000000000000,2] overflows"},
        {X("[100000000000,2]", "[1]") "}",
         "400 input 'x': data: expected 200000000000 elements for shape [100000000000,2], got 1"},
        {X("[1,2]", "[1,2,3]") "}", "400 input 'x': data: [2]: expected at most 2 elements, got more"},
        {X("[2,2]", "[[1,2,3,4]]") "}", "400 input 'x': data: expected nesting [2,2], got [1,4]"},
        {X("[1,2]", "[1,\"2\"]") "}", "400 input 'x': data: [1]: expected a number within +-3.4028235e38, got '\"2\"'"},
        {X("[1,2]", "{}") "}", "400 input 'x': data: expected an array of values, got an object"},
        {X("[1,2]", "null") "}", "400 input 'x': data: expected a JSON array, got 'null'"},
        {X("[1,2]", "[1,nan]") "}", "400 input 'x': data: [1]: expected a number within +-3.4028235e38, got 'nan' "
                                    "(the words are NaN, Infinity and -Infinity)"},
        {X("[1,2]", "[1,1e39]") "}", "400 input 'x': data: [1]: expected a number within +-3.4028235e38, got '1e39'"},
        {"{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2]}]}",
         "400 input 'x': expected data or parameters.binary_data_size, got none"},
        {X("[1,2]", "[1,2]") ",\"id\":7}", "400 id: expected a string, got 7"},
        {X("[1,2]", "[1,2]") ",\"parameters\":[]}", "400 parameters: expected an object, got a list"},
        {X("[1,2]", "[1,2]") ",\"parameters\":{\"a\":{}}}",
         "400 parameter 'a' has invalid type. It should be either 'int', 'bool', or 'string'"},
        {X("[1,2]", "[1,2]") ",\"parameters\":{\"a\":1.5,\"b\":-1,\"c\":\"\",\"d\":true,\"e\":null,\"f\":[]}}",
         "400 parameter 'f' has invalid type. It should be either 'int', 'bool', or 'string'"},
        {X("[1,2]", "[1,2]") ",\"parameters\":{\"binary_data_output\":1}}",
         "400 binary_data_output: expected true or false, got 1"},
        {X("[1,2]", "[1,2]") ",\"outputs\":{}}", "400 outputs: expected a list, got an object"},
        {X("[1,2]", "[1,2]") ",\"outputs\":[{}]}", "400 outputs[0]: name: expected a string, got nothing"},
        {X("[1,2]", "[1,2]") ",\"outputs\":[{\"name\":\"x\"}]}",
         "400 unexpected inference output 'x' for model 'm'"},
        {X("[1,2]", "[1,2]") ",\"outputs\":[{\"name\":\"y\"},{\"name\":\"y\"}]}", "400 output 'y': asked for twice"},
        {X("[1,2]", "[1,2]") ",\"outputs\":[{\"name\":\"y\",\"parameters\":{\"classification\":-3}}]}",
         "400 output 'y': parameters: classification: expected a number of 0 or more"},
        {X("[1,2]", "[1,2]") ",\"outputs\":[{\"name\":\"y\",\"parameters\":{\"classification\":3}}]}",
         YC("[2]", "[\"4.000000:1\",\"2.000000:0\"]")},
        {"{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]},"
         "{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]}]}",
         "400 input 'x': given twice"},
        {"{\"inputs\":[],\"inputs\":[]}", "400 JSON: expected member 'inputs' once in its object, got it twice"},
        {"{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],"
         "\"parameters\":{\"binary_data_size\":8}}]}",
         "400 input 'x': binary_data_size: expected the header Inference-Header-Content-Length with it, got none"},
    };
    serve_rig r;
    twice(&r);
    for (size_t i = 0; i < COUNTOF(rows); i++) CHECK_STR(ask(&r, rows[i].json), rows[i].want);
    CHECK_STR(ask(&r, X("[1,2]", "[1,2]") "}"), YD("[1,2]", "[2.0,4.0]"));
    serve_rig_stop(&r);
}

#define XB(more) \
    "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"parameters\":{\"binary_data_size\":" more \
    "}]}"
#define SB(shape, size) \
    "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"BYTES\",\"shape\":" shape \
    ",\"parameters\":{\"binary_data_size\":" size "}}]}"

static void lies_about_binary_sizes_are_refused(void)
{
    static const struct {
        const char *json;
        size_t n;
        const char *want;
    } rows[] = {
        {XB("8}"), 7, "400 input 'x': binary_data_size: expected at most the 7 bytes left after the JSON, got 8"},
        {XB("8}"), 9, "400 binary data: expected no bytes after those of the inputs, got 1 more"},
        {XB("4}"), 4, "400 input 'x': binary_data_size: expected 8 bytes for its shape and datatype, got 4"},
        {XB("0}"), 0, "400 input 'x': binary_data_size: expected 8 bytes for its shape and datatype, got 0"},
        {XB("18446744073709551615}"), 8,
         "400 input 'x': binary_data_size: expected at most the 8 bytes left after the JSON, got 18446744073709551615"},
        {XB("-8}"), 8, "400 input 'x': binary_data_size: expected a non-negative integer, got -8"},
        {XB("8.0}"), 8, "400 input 'x': binary_data_size: expected a non-negative integer, got 8.0"},
        {XB("8},\"data\":[1,2]"), 8, "400 input 'x': expected data or binary_data_size, got both"},
    };
    static const char zeros[16];
    serve_rig r;
    twice(&r);
    for (size_t i = 0; i < COUNTOF(rows); i++) CHECK_STR(ask_binary(&r, rows[i].json, zeros, rows[i].n), rows[i].want);
    r.request.octets = true;
    serve_rig_stop(&r);
}

static void lies_inside_binary_strings_and_booleans_are_refused(void)
{
    static const struct {
        const char *json, *bytes;
        size_t n;
        const char *want;
    } rows[] = {
        {SB("[1]", "3"), "\0\0\0", 3, "400 input 'x': binary data: expected 1 strings, got 3 bytes"},
        {SB("[1]", "5"), "\2\0\0\0a", 5, "400 input 'x': binary data: string 0 reaches past its 5 bytes"},
        {SB("[2]", "8"), "\2\0\0\0ab\0\0", 8, "400 input 'x': binary data: string 1 reaches past its 8 bytes"},
        {SB("[1]", "4"), "\377\377\377\377", 4, "400 input 'x': binary data: string 0 reaches past its 4 bytes"},
        {SB("[1]", "6"), "\1\0\0\0ab", 6, "400 input 'x': binary data: expected 5 bytes for 1 strings, got 6"},
        {SB("[0]", "1"), "a", 1, "400 input 'x': binary data: expected 0 bytes for 0 strings, got 1"},
        {SB("[4611686018427387904]", "4"), "\0\0\0\0", 4, "400 input 'x': shape [4611686018427387904] overflows"},
        {SB("[1000000000000]", "4"), "\0\0\0\0", 4,
         "400 input 'x': binary data: expected 1000000000000 strings, got 4 bytes"},
    };
    serve_rig r;
    onnx_build b;
    serve_rig_same(&b, DT_STRING, "N");
    serve_rig_start(&r, &b);
    for (size_t i = 0; i < COUNTOF(rows); i++)
        CHECK_STR(ask_binary(&r, rows[i].json, rows[i].bytes, rows[i].n), rows[i].want);
    serve_rig_stop(&r);
    serve_rig_same(&b, DT_BOOL, "N");
    serve_rig_start(&r, &b);
    CHECK_STR(ask_binary(&r,
                         "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"BOOL\",\"shape\":[2],\"parameters\":"
                         "{\"binary_data_size\":2}}]}",
                         "\1\2", 2),
              "400 input 'x': binary data: expected 0 or 1 in a BOOL, got 2");
    serve_rig_stop(&r);
}

static void what_json_cannot_carry_names_the_way_out(void)
{
    serve_rig r;
    onnx_build b;
    twice(&r);
    static const float odd[] = {__builtin_inff(), 1};
    CHECK_STR(ask_binary(&r, XB("8}"), odd, sizeof odd), YD("[1,2]", "[Infinity,2.0]"));
    CHECK_STR(ask(&r, X("[1,2]", "[NaN,-Inf]") "}"), YD("[1,2]", "[NaN,-Infinity]"));
    CHECK_STR(ask(&r, X("[1,2]", "[[3e38,-Infinity]]") "}"), YD("[1,2]", "[Infinity,-Infinity]"));
    CHECK(strncmp(ask(&r, X("[1,2]", "[1,2]") ",\"parameters\":{\"p\":NaN}}"), "400 JSON: byte ", 15) == 0);
    CHECK(strncmp(ask(&r, X("[1,NaN]", "[1,2]") "}"), "400 JSON: byte ", 15) == 0);
    serve_rig_stop(&r);
    serve_rig_same(&b, DT_STRING, "N");
    serve_rig_start(&r, &b);
    CHECK_STR(
        ask_binary(&r, SB("[1]", "5"), "\1\0\0\0\377", 5),
        "400 output 'y': element 0: expected UTF-8, got other bytes, which JSON cannot carry: ask for binary output");
    serve_rig_stop(&r);
    serve_rig_same(&b, DT_F16, "N");
    serve_rig_start(&r, &b);
    CHECK_STR(
        ask(&r, "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP16\",\"shape\":[1],\"data\":[1]}]}"),
        "400 input 'x': data: FP16 cannot be sent as JSON, send it as binary data (Inference-Header-Content-Length)");
    CHECK_STR(ask_binary(&r,
                         "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP16\",\"shape\":[1],\"parameters\":"
                         "{\"binary_data_size\":2}}]}",
                         "\0\74", 2),
              "400 output 'y': FP16 cannot be sent as JSON, ask for it with parameters.binary_data");
    serve_rig_stop(&r);
}

/* Labels come from the model's file, which may hold any bytes. */
static void labels_stand_in_the_parameters_and_are_always_json(void)
{
    serve_rig r;
    onnx_build b;
    onnx_build_start(&b, 17);
    onnx_build_input(&b, "x", DT_F32, "N,2");
    onnx_build_node(&b, "Add", "x,x", "p", "");
    onnx_build_node(&b, "ai.onnx.ml:ZipMap", "p", "y", "classlabels_strings=['a\"\377','']");
    onnx_build_import(&b, "ai.onnx.ml", 1);
    onnx_build_output(&b, "y", DT_NONE, NULL);
    serve_rig_start(&r, &b);
    CHECK_STR(ask(&r, X("[1,2]", "[1,2]") "}"),
              Y(",\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[1,2],\"parameters\":{\"labels\":"
                "[\"a\\\"\357\277\275\",\"\"]},\"data\":[2.0,4.0]}]"));
    CHECK_STR(ask(&r, X("[1,2]", "[1,2]") ",\"parameters\":{\"binary_data_output\":true}}"),
              Y(",\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[1,2],\"parameters\":{\"labels\":"
                "[\"a\\\"\357\277\275\",\"\"],\"binary_data_size\":8}}]"));
    serve_rig_stop(&r);
}

/* json_cut.h has its number of cuts; a document of small values, what its size gives it. */
/* Its rows cost whoever asks nothing: nobody may count to their end. */
static void rows_without_a_value_have_no_classes(void)
{
    serve_rig r;
    onnx_build b;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "s", DT_I64, "2");
    onnx_build_node(&b, "ConstantOfShape", "s", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    serve_rig_start(&r, &b);
    CHECK_STR(ask(&r, "{\"inputs\":[{\"name\":\"s\",\"datatype\":\"INT64\",\"shape\":[2],"
                      "\"data\":[1099511627776,0]}],"
                      "\"outputs\":[{\"name\":\"y\",\"parameters\":{\"classification\":3}}]}"),
              YC("[1099511627776,0]", "[]"));
    serve_rig_stop(&r);
}

static void a_request_is_bounded_by_its_own_size(void)
{
    serve_rig r;
    buf b;
    twice(&r);
    buf_init(&b, 8 << 20);
    buf_put_z(&b, "{\"inputs\":[{\"data\":[1]}");
    for (int i = 0; i < JSON_CUT_MAX; i++) buf_put_z(&b, ",{\"data\":[1]}");
    buf_put_z(&b, "]}");
    CHECK_STR(serve_rig_ask(&r, &v2_protocol, buf_str(&b), none),
              "413 JSON: byte 3347: expected at most 256 tensors, got more");
    buf_clear(&b);
    buf_put_z(&b, "{\"inputs\":[],\"a\":[0");
    for (int i = 0; i < 3000000; i++) buf_put_z(&b, ",0");
    buf_put_z(&b, "]}");
    CHECK_STR(serve_rig_ask(&r, &v2_protocol, buf_str(&b), none),
              "413 JSON: expected a document that fits 67108864 bytes of memory, got 6000021 bytes of text");
    r.opts.reply_bytes_max = 60;
    CHECK_STR(ask(&r, X("[1,2]", "[1,2]") "}"), "413 answer: expected at most 60 bytes, got 73");
    buf_fini(&b);
    serve_rig_stop(&r);
}

static void no_memory_is_an_error_wherever_it_happens(void)
{
    serve_rig r;
    four(&r);
    static const char json[] = "{\"id\":\"1\",\"inputs\":[" B "," S "," I "," F "]}";
    long failed = 0;
    CHECK(strncmp(ask(&r, json), "200 ", 4) == 0);
    serve_rig_forget(&r);
    FAULT_SWEEP({
        const char *got = ask(&r, json);
        CHECK(strncmp(got, "200 ", 4) == 0 || strncmp(got, "503 ", 4) == 0 || strncmp(got, "413 ", 4) == 0);
        failed += got[0] != '2';
        serve_rig_forget(&r);
    });
    CHECK(failed >= 3);
    serve_rig_stop(&r);
}

static void metadata_says_what_the_model_takes_and_gives(void)
{
    serve_rig r;
    buf b;
    four(&r);
    buf_init(&b, 4096);
    v2_metadata_print(&b, &r.served, NULL, NULL);
    buf_put_byte(&b, 0);
    CHECK_STR(
        (const char *)b.p,
        "{\"name\":\"m\",\"versions\":[\"1\"],\"platform\":\"onnx_onnxv1\",\"inputs\":["
        "{\"name\":\"f\",\"datatype\":\"FP32\",\"shape\":[-1,2]},{\"name\":\"i\",\"datatype\":\"INT64\","
        "\"shape\":[-1]},"
        "{\"name\":\"s\",\"datatype\":\"BYTES\",\"shape\":[-1]},{\"name\":\"b\",\"datatype\":\"BOOL\",\"shape\":[]}],"
        "\"outputs\":[{\"name\":\"fo\",\"datatype\":\"FP32\",\"shape\":[-1,2]},"
        "{\"name\":\"io\",\"datatype\":\"INT64\",\"shape\":[-1]},{\"name\":\"so\",\"datatype\":\"BYTES\","
        "\"shape\":[-1]},"
        "{\"name\":\"bo\",\"datatype\":\"BOOL\",\"shape\":[]}]}");
    buf_fini(&b);
    serve_rig_stop(&r);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(flat_and_nested_data_mean_the_same),
        TEST(members_are_optional_null_or_unknown),
        TEST(every_kind_of_tensor_comes_back),
        TEST(binary_and_json_mix_in_any_order),
        TEST(an_empty_tensor_passes_in_binary),
        TEST(each_wrong_request_is_refused_in_one_line),
        TEST(wrong_places_in_shared_memory_are_refused),
        TEST(lies_about_binary_sizes_are_refused),
        TEST(lies_inside_binary_strings_and_booleans_are_refused),
        TEST(what_json_cannot_carry_names_the_way_out),
        TEST(labels_stand_in_the_parameters_and_are_always_json),
        TEST(rows_without_a_value_have_no_classes),
        TEST(a_request_is_bounded_by_its_own_size),
        TEST(no_memory_is_an_error_wherever_it_happens),
        TEST(metadata_says_what_the_model_takes_and_gives),
    };
    return test_main(cases, COUNTOF(cases));
}
