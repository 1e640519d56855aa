/* What is said of a request, in the order in which it happened, as far as it came; tensors of every type in words that
 * Triton's tools read; it is JSON whatever names and strings hold, however long, and wherever it is cut into pieces. */
#include "serve/trace_entry.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>

static quota memory;
static buf out, whole;

static void spill(void *ctx, buf *b)
{
    (void)ctx;
    buf_put_str(&whole, buf_str(b));
    buf_clear(b);
}

static const char *print(const trace_entry *t)
{
    buf_clear(&out);
    buf_clear(&whole);
    trace_entry_print(t, &out, spill, NULL);
    buf_put_str(&whole, buf_str(&out));
    buf_put_byte(&whole, 0);
    return (const char *)whole.p;
}

static trace_entry one(uint32_t level)
{
    return (trace_entry){.id = 7, .sample = {.level = level}, .model = STR("m"), .version = STR("3")};
}

#define HEAD "{\"id\":7,\"model_name\":\"m\",\"model_version\":3}"
#define AT(name, ns) ",{\"id\":7,\"timestamps\":[{\"name\":\"" name "\",\"ns\":" ns "}]}"

static void each_event_has_its_place_as_far_as_it_came(void)
{
    trace_entry t = one(TRACE_TIMESTAMPS);
    CHECK_STR(print(&t), HEAD);
    for (size_t i = 0; i < TRACE_EVENTS; i++) t.at_ns[i] = 100 + i;
    CHECK_STR(print(&t),
              HEAD AT("HTTP_RECV_START", "100") AT("HTTP_RECV_END", "101") AT("REQUEST_START", "102") AT(
                  "QUEUE_START", "103") AT("COMPUTE_START", "104") AT("COMPUTE_INPUT_END", "105")
                  AT("COMPUTE_OUTPUT_START", "106") AT("COMPUTE_END", "107") AT("INFER_RESPONSE_COMPLETE", "108")
                      AT("REQUEST_END", "109") AT("HTTP_SEND_START", "110") AT("HTTP_SEND_END", "111"));
    t.grpc = true;
    for (size_t i = TRACE_AT_QUEUE_START; i < TRACE_AT_REQUEST_END; i++) t.at_ns[i] = 0;
    CHECK_STR(print(&t), HEAD AT("GRPC_WAITREAD_START", "100") AT("GRPC_WAITREAD_END", "101") AT("REQUEST_START", "102")
                             AT("REQUEST_END", "109") AT("GRPC_SEND_START", "110") AT("GRPC_SEND_END", "111"));
}

/* Every subset of what may have happened, in every order of its instants: never an end before its start. */
static void times_never_go_back(void)
{
    uint64_t seed = 5;
    for (int round = 0; round < 2000; round++) {
        trace_entry t = one(TRACE_TIMESTAMPS);
        uint64_t last = 0, given = 0, found = 0;
        for (size_t i = 0; i < TRACE_EVENTS; i++) {
            t.at_ns[i] = test_rand(&seed) % 3 ? 1 + test_rand(&seed) % 50 : 0;
            given += t.at_ns[i] != 0;
        }
        for (const char *p = print(&t); (p = strstr(p, "\"ns\":")); found++) {
            uint64_t ns = strtoull(p += 5, NULL, 10);
            CHECK(ns >= last && ns > 0);
            last = ns;
        }
        CHECK_U64(found, given);
    }
}

static void names_and_versions_are_json(void)
{
    trace_entry t = one(TRACE_TIMESTAMPS);
    t.model = STR("a\"\n\xff");
    t.version = STR("latest");
    t.request_id = STR("\\");
    CHECK_STR(print(&t),
              "{\"id\":7,\"model_name\":\"a\\\"\\n\xef\xbf\xbd\",\"model_version\":-1,\"request_id\":\"\\\\\"}");
    t.version = STR("9223372036854775808");
    CHECK(strstr(print(&t), "\"model_version\":-1,"));
    t.version = STR("9223372036854775807");
    CHECK(strstr(print(&t), "\"model_version\":9223372036854775807,"));
}

static const char *data_of(dtype type, uint32_t count, const void *data)
{
    static char text[4096];
    trace_tensor x = {.name = STR("x")};
    trace_entry t = one(TRACE_TENSORS);
    const shape s = shape_make(1, (int64_t[]){count});
    x.t = tensor_make(type, &s, (void *)(uintptr_t)data);
    t.tensors = &x;
    t.tensor_count = 1;
    const char *from = strstr(print(&t), "\"data\":\"");
    const char *end = from ? strstr(from, "\",\"shape\"") : NULL;
    INVARIANT(end && (size_t)(end - from) < sizeof text);
    snprintf(text, sizeof text, "%.*s", (int)(end - from - 8), from + 8);
    return text;
}

static void every_type_has_its_words(void)
{
    CHECK_STR(data_of(DT_F32, 6, (float[]){1, -0.1f, NAN, INFINITY, -INFINITY, 1e-30f}), "1.0,-0.1,nan,inf,-inf,1e-30");
    CHECK_STR(data_of(DT_F64, 2, (double[]){0.1, 1e300}), "0.1,1e300");
    CHECK_STR(data_of(DT_F16, 3, (uint16_t[]){0x3C00, 0x7E00, 0xFC00}), "1.0,nan,-inf");
    CHECK_STR(data_of(DT_BF16, 1, (uint16_t[]){0x3F80}), "1.0");
    CHECK_STR(data_of(DT_F8E4M3FN, 1, (uint8_t[]){0x38}), "1.0");
    CHECK_STR(data_of(DT_BOOL, 2, (uint8_t[]){1, 0}), "1,0");
    CHECK_STR(data_of(DT_U8, 2, (uint8_t[]){255, 0}), "255,0");
    CHECK_STR(data_of(DT_I8, 1, (int8_t[]){-128}), "-128");
    CHECK_STR(data_of(DT_I64, 2, (int64_t[]){INT64_MIN, INT64_MAX}), "-9223372036854775808,9223372036854775807");
    CHECK_STR(data_of(DT_U64, 1, (uint64_t[]){UINT64_MAX}), "18446744073709551615");
    CHECK_STR(data_of(DT_I4, 2, (uint8_t[]){0xF1}), "1,-1");
    CHECK_STR(data_of(DT_C64, 1, (float[]){1, 2}), "");
    CHECK_STR(data_of(DT_F32, 0, NULL), "");
    CHECK_STR(data_of(DT_STRING, 3, (str[]){STR("a"), STR(""), STR("q\"\n,")}),
              "\\\"a\\\",\\\"\\\",\\\"q\\\\\\\"\\\\n,\\\"");
}

static void tensors_say_what_they_are(void)
{
    float data[6] = {1, 2, 3, 4, 5, 6};
    trace_tensor both[2] = {{.name = STR("y"), .output = true}, {.name = STR("x")}};
    trace_entry t = one(TRACE_TENSORS | TRACE_TIMESTAMPS);
    const shape s = shape_make(2, (int64_t[]){2, 3}), scalar = shape_make(0, NULL);
    both[0].t = tensor_make(DT_F32, &scalar, data);
    both[1].t = tensor_make(DT_F32, &s, data);
    t.tensors = both;
    t.tensor_count = 2;
    t.at_ns[TRACE_AT_QUEUE_START] = 1;
    t.at_ns[TRACE_AT_COMPUTE_START] = 2;
    t.at_ns[TRACE_AT_COMPUTE_END] = 3;
    CHECK_STR(print(&t),
              HEAD AT("QUEUE_START", "1")
              ",{\"id\":7,\"activity\":\"TENSOR_QUEUE_INPUT\",\"tensor\":{\"name\":\"x\",\"data\":"
              "\"1.0,2.0,3.0,4.0,5.0,6.0\",\"shape\":\"2,3\",\"dtype\":\"FP32\"}}" AT("COMPUTE_START", "2")
              ",{\"id\":7,\"activity\":\"TENSOR_BACKEND_OUTPUT\",\"tensor\":{\"name\":\"y\",\"data\":\"1.0\","
              "\"shape\":\"\",\"dtype\":\"FP32\"}}" AT("COMPUTE_END", "3"));
}

/* Long texts go out in pieces, which end between characters: nothing of them is lost or doubled. */
static void long_strings_and_tensors_go_out_in_pieces(void)
{
    enum { LONG = 200001, MANY = 60000 };
    static char text[LONG];
    static uint32_t many[MANY];
    for (size_t i = 0; i + 1 < LONG; i += 2) memcpy(text + i, "\xc3\xbc", 2);
    text[LONG - 1] = '"';
    const str s = {text, LONG};
    trace_tensor x = {.name = STR("x")};
    trace_entry t = one(TRACE_TENSORS);
    const shape of_one = shape_make(1, (int64_t[]){1}), of_many = shape_make(1, (int64_t[]){MANY});
    t.tensors = &x;
    t.tensor_count = 1;
    x.t = tensor_make(DT_STRING, &of_one, (void *)(uintptr_t)&s);
    const char *got = strstr(print(&t), "\\\"\xc3\xbc");
    CHECK(got && memcmp(got + 2, text, LONG - 1) == 0 && strncmp(got + LONG + 1, "\\\\\\\"\\\"\",\"shape\"", 15) == 0);
    for (uint32_t i = 0; i < MANY; i++) many[i] = i;
    x.t = tensor_make(DT_U32, &of_many, many);
    char *at = strstr(print(&t), "\"data\":\"") + 8;
    for (uint32_t i = 0; i < MANY; i++) {
        if (strtoul(at, &at, 10) != i) CHECK(!"a number is missing");
        at++;
    }
    CHECK(strncmp(at, ",\"shape\":\"60000\"", 16) == 0);
}

static void its_memory_is_the_quotas(void)
{
    quota_init(&memory, sizeof(trace_entry) + 10);
    trace_entry *t = trace_entry_new(&memory);
    CHECK(t && !trace_entry_new(&memory) && quota_refused(&memory) == 1);
    trace_entry_free(t);
    CHECK_U64(quota_used(&memory), 0);
    trace_entry_free(NULL);
    FAULT_SWEEP({
        t = trace_entry_new(&memory);
        trace_entry_free(t);
        CHECK_U64(quota_used(&memory), 0);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(each_event_has_its_place_as_far_as_it_came),
        TEST(times_never_go_back),
        TEST(names_and_versions_are_json),
        TEST(every_type_has_its_words),
        TEST(tensors_say_what_they_are),
        TEST(long_strings_and_tensors_go_out_in_pieces),
        TEST(its_memory_is_the_quotas),
    };
    buf_init(&out, 1 << 20);
    buf_init(&whole, 4 << 20);
    int status = test_main(cases, COUNTOF(cases));
    buf_fini(&out);
    buf_fini(&whole);
    return status;
}
