/* What a ModelInferRequest says reaches the model exactly, raw or typed, and comes back the same way; whatever is wrong
 * with it is refused in one line that names it, in the words of REST where REST has them. */
#include "serve/v2_pb.h"
#include "serve_rig.h"
#include "test.h"
#include "v2_pb_text.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static buf message, text;

static void begin(void)
{
    buf_clear(&message);
    pb_put_str(&message, 1, STR("m"));
}

static size_t input_open(const char *name, const char *type, const int64_t *dims, size_t rank)
{
    size_t at = pb_open(&message, 5);
    pb_put_str(&message, 1, str_of(name));
    pb_put_str(&message, 2, str_of(type));
    pb_put_packed_i64(&message, 3, dims, rank);
    return at;
}

static void input(const char *name, const char *type, int64_t n, int64_t m)
{
    pb_close(&message, input_open(name, type, (int64_t[]){n, m}, m < 0 ? 1 : 2));
}

static void floats(const float *x, size_t count)
{
    size_t contents = pb_open(&message, 5);
    pb_put_bytes(&message, 6, x, count * sizeof *x);
    pb_close(&message, contents);
}

static void typed_floats(int64_t n, const float *x, size_t count)
{
    size_t in = input_open("x", "FP32", (int64_t[]){n, 2}, 2);
    floats(x, count);
    pb_close(&message, in);
}

static void raw(const void *p, size_t n) { pb_put_bytes(&message, 7, p, n); }

static void want(const char *name, const char *parameter)
{
    size_t at = pb_open(&message, 6);
    pb_put_str(&message, 1, str_of(name));
    if (parameter) {
        size_t entry = pb_open(&message, 2);
        pb_put_str(&message, 1, str_of(parameter));
        size_t v = pb_open(&message, 2);
        pb_put_f64(&message, 4, 0.5);
        pb_put_u64(&message, 5, 7);
        pb_close(&message, v);
        pb_close(&message, entry);
    }
    pb_close(&message, at);
}

static const char *ask_as(serve_rig *r, const infer_protocol *p)
{
    const char *failed = serve_rig_ask_message(r, p, buf_str(&message));
    if (failed) return failed;
    buf_clear(&text);
    (p == &v2_pb_protocol ? v2_pb_text : v2_pb_stream_text)(&text, r->tail);
    buf_put_byte(&text, 0);
    return (const char *)text.p;
}

static const char *ask(serve_rig *r) { return ask_as(r, &v2_pb_protocol); }

static void start(serve_rig *r, void (*make)(onnx_build *))
{
    onnx_build b;
    make(&b);
    serve_rig_start(r, &b);
}

static const float one_two[] = {1, 2};
#define TWO_FOUR "0000004000008040"

static void raw_in_raw_out(void)
{
    serve_rig r;
    start(&r, serve_rig_twice);
    begin();
    pb_put_str(&message, 3, STR("a1"));
    input("x", "FP32", 1, 2);
    raw(one_two, sizeof one_two);
    CHECK_STR(ask(&r), "m/1 id=a1 y:FP32[1,2] raw=" TWO_FOUR);
    CHECK_STR(ask_as(&r, &v2_pb_stream_protocol),
              "{m/1 id=a1 p=triton_final_response:true y:FP32[1,2] raw=" TWO_FOUR "}");
    begin();   /* the fields in another order, dimensions one by one, unknown fields among them */
    raw(one_two, sizeof one_two);
    pb_put_u64(&message, 99, 5);
    size_t in = pb_open(&message, 5);
    pb_put_i64(&message, 3, 1);
    pb_put_i64(&message, 3, 2);
    pb_put_str(&message, 77, STR("?"));
    pb_put_str(&message, 2, STR("FP32"));
    pb_put_str(&message, 1, STR("x"));
    pb_close(&message, in);
    CHECK_STR(ask(&r), "m/1 y:FP32[1,2] raw=" TWO_FOUR);
    serve_rig_stop(&r);
}

static void typed_in_typed_out(void)
{
    serve_rig r;
    start(&r, serve_rig_twice);
    begin();
    typed_floats(1, one_two, 2);
    CHECK_STR(ask(&r), "m/1 y:FP32[1,2]{6:" TWO_FOUR ";}");
    CHECK_STR(ask_as(&r, &v2_pb_stream_protocol), "{m/1 p=triton_final_response:true y:FP32[1,2]{6:" TWO_FOUR ";}}");
    begin();   /* in two lists, and one element on its own */
    size_t in = input_open("x", "FP32", (int64_t[]){2, 2}, 2), contents = pb_open(&message, 5);
    pb_put_bytes(&message, 6, one_two, 8);
    pb_put_f32(&message, 6, 3);
    pb_put_bytes(&message, 6, &(float){4}, 4);
    pb_close(&message, contents);
    pb_close(&message, in);
    CHECK_STR(ask(&r), "m/1 y:FP32[2,2]{6:" TWO_FOUR "0000c04000000041;}");
    serve_rig_stop(&r);
}

static void a_model_with_a_configuration_answers_raw(void)
{
    const model_config_from from = {.name = STR("m"), .path = "m", .override = STR("{\"max_batch_size\":4}")};
    CLEANUP(model_config) model_config *c = NULL;
    serve_rig r;
    err e;
    start(&r, serve_rig_twice);
    CHECK(model_config_read(&c, &from, &e) == ERR_OK && model_config_fit(c, r.served.model, &e) == ERR_OK);
    r.served.config = c;
    begin();
    typed_floats(1, one_two, 2);
    CHECK_STR(ask(&r), "m/1 y:FP32[1,2] raw=" TWO_FOUR);
    CHECK_STR(ask_as(&r, &v2_pb_stream_protocol),
              "{m/1 p=triton_final_response:true y:FP32[1,2] raw=" TWO_FOUR "}");
    r.served.config = NULL;
    serve_rig_stop(&r);
}

static void what_has_no_typed_form_comes_back_raw(void)
{
    serve_rig r;
    onnx_build b;
    onnx_build_start(&b, 17);
    onnx_build_input(&b, "x", DT_F32, "N,2");
    onnx_build_node(&b, "Cast", "x", "y", "to=10");
    onnx_build_node(&b, "Add", "x,x", "z", "");
    onnx_build_output(&b, "y", DT_F16, "N,2");
    onnx_build_output(&b, "z", DT_F32, "N,2");
    serve_rig_start(&r, &b);
    begin();
    typed_floats(1, one_two, 2);
    CHECK_STR(ask(&r), "m/1 y:FP16[1,2] z:FP32[1,2] raw=003c0040 raw=" TWO_FOUR);
    want("z", NULL);
    CHECK_STR(ask(&r), "m/1 z:FP32[1,2]{6:" TWO_FOUR ";}");
    serve_rig_stop(&r);
}

static void an_empty_tensor_needs_no_bytes(void)
{
    serve_rig r;
    start(&r, serve_rig_twice);
    begin();
    input("x", "FP32", 0, 2);
    CHECK_STR(ask(&r), "m/1 y:FP32[0,2] raw=");
    raw("", 0);
    CHECK_STR(ask(&r), "m/1 y:FP32[0,2] raw=");
    begin();
    typed_floats(0, one_two, 0);
    CHECK_STR(ask(&r), "m/1 y:FP32[0,2]{}");
    serve_rig_stop(&r);
}

/* The bytes of a value in each type's contents, by type, as protobuf's own rules have them. */
static void every_type_has_its_form_both_ways(void)
{
    static const struct {
        dtype type;
        uint32_t number;
        const char *bytes, *raw;
        size_t len, raw_len;
    } rows[] = {
        {DT_BOOL, 1, "\x01", "\x01", 1, 1},
        {DT_I8, 2, "\x80\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x80", 10, 1},
        {DT_I16, 2, "\xff\xff\x01", "\xff\x7f", 3, 2},
        {DT_I32, 2, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\xff\xff\xff\xff", 10, 4},
        {DT_I64, 3, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", "\0\0\0\0\0\0\0\x80", 10, 8},
        {DT_U8, 4, "\xff\x01", "\xff", 2, 1},
        {DT_U16, 4, "\xff\xff\x03", "\xff\xff", 3, 2},
        {DT_U32, 4, "\xff\xff\xff\xff\x0f", "\xff\xff\xff\xff", 5, 4},
        {DT_U64, 5, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\xff\xff\xff\xff\xff\xff\xff\xff", 10, 8},
        {DT_F32, 6, "\0\0\xc0\x7f", "\0\0\xc0\x7f", 4, 4},
        {DT_F64, 7, "\1\2\3\4\5\6\7\x40", "\1\2\3\4\5\6\7\x40", 8, 8},
        {DT_STRING, 8, "a\xff", "\2\0\0\0a\xff", 2, 6},
        {DT_F16, 0, "", "\1\x3c", 0, 2},
        {DT_BF16, 0, "", "\1\x3c", 0, 2},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        char want[200], hex[64];
        serve_rig r;
        onnx_build b;
        const char *type = dtype_v2_name(rows[i].type);
        serve_rig_same(&b, rows[i].type, "N");
        serve_rig_start(&r, &b);
        begin();
        input("x", type, 1, -1);
        raw(rows[i].raw, rows[i].raw_len);
        for (size_t k = 0; k < rows[i].raw_len; k++) snprintf(hex + 2 * k, 3, "%02x", (uint8_t)rows[i].raw[k]);
        snprintf(want, sizeof want, "m/1 y:%s[1] raw=%s", type, hex);
        CHECK_STR(ask(&r), want);
        begin();
        size_t in = input_open("x", type, (int64_t[]){1}, 1), contents = pb_open(&message, 5);
        if (rows[i].number) pb_put_bytes(&message, rows[i].number, rows[i].bytes, rows[i].len);
        pb_close(&message, contents);
        pb_close(&message, in);
        for (size_t k = 0; k < rows[i].len; k++) snprintf(hex + 2 * k, 3, "%02x", (uint8_t)rows[i].bytes[k]);
        snprintf(want, sizeof want, "m/1 y:%s[1]{%u:%s;}", type, rows[i].number, hex);
        if (rows[i].number == 0)
            snprintf(want, sizeof want,
                     "400 input 'x': contents: %s has no typed form, send it in raw_input_contents", type);
        CHECK_STR(ask(&r), want);
        serve_rig_stop(&r);
    }
}

static void numbers_that_do_not_fit_are_refused(void)
{
    static const struct {
        dtype type;
        uint32_t number;
        int64_t value;
        const char *want;
    } rows[] = {
        {DT_I8, 2, 128, "400 input 'x': contents: element 1: does not fit INT8"},
        {DT_I8, 2, -129, "400 input 'x': contents: element 1: does not fit INT8"},
        {DT_I16, 2, 32768, "400 input 'x': contents: element 1: does not fit INT16"},
        {DT_U8, 4, 256, "400 input 'x': contents: element 1: does not fit UINT8"},
        {DT_U16, 4, 65536, "400 input 'x': contents: element 1: does not fit UINT16"},
        {DT_I32, 3, 1, "400 input 'x': contents: expected int_contents for INT32, got int64_contents"},
        {DT_U8, 2, 1, "400 input 'x': contents: expected uint_contents for UINT8, got int_contents"},
        {DT_BOOL, 1, 7, "m/1 y:BOOL[2]{1:0001;}"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        serve_rig r;
        onnx_build b;
        serve_rig_same(&b, rows[i].type, "N");
        serve_rig_start(&r, &b);
        begin();
        size_t in = input_open("x", dtype_v2_name(rows[i].type), (int64_t[]){2}, 1), contents = pb_open(&message, 5);
        pb_put_packed_i64(&message, rows[i].number, (int64_t[]){0, rows[i].value}, 2);
        pb_close(&message, contents);
        pb_close(&message, in);
        CHECK_STR(ask(&r), rows[i].want);
        serve_rig_stop(&r);
    }
}

static void long_lists_of_numbers_come_back(void)
{
    enum { N = 1000 };
    serve_rig r;
    onnx_build b;
    int64_t x[N];
    for (int i = 0; i < N; i++) x[i] = (int64_t)i * i * i - 5;
    serve_rig_same(&b, DT_I64, "N");
    serve_rig_start(&r, &b);
    begin();
    size_t in = input_open("x", "INT64", (int64_t[]){N}, 1), contents = pb_open(&message, 5);
    pb_put_packed_i64(&message, 3, x, N);
    pb_close(&message, contents);
    pb_close(&message, in);
    CHECK(serve_rig_ask_message(&r, &v2_pb_protocol, buf_str(&message)) == NULL);
    CHECK(memcmp(r.request.inputs[0].data, x, sizeof x) == 0);
    pb m, out, c;
    pb_field f;
    uint64_t v;
    size_t seen = 0;
    for (pb_init(&m, r.tail.p, r.tail.len); pb_next(&m, &f);) {
        if (f.number != 5) continue;
        for (out = pb_sub(&m, &f); pb_next(&out, &f);) {
            if (f.number != 5) continue;
            for (c = pb_sub(&out, &f); pb_next(&c, &f);)
                for (pb it = pb_items(&c, &f, PB_VARINT); pb_item(&it, PB_VARINT, &v); seen++)
                    CHECK(seen < N && (int64_t)v == x[seen]);
        }
    }
    CHECK_U64(seen, N);
    serve_rig_stop(&r);
}

static void aligned_bytes_are_borrowed(void)
{
    serve_rig r;
    start(&r, serve_rig_twice);
    size_t borrowed = 0;
    for (size_t pad = 1; pad <= 4; pad++) {
        begin();
        pb_put_bytes(&message, 3, "abcd", pad);
        input("x", "FP32", 1, 2);
        raw(one_two, sizeof one_two);
        err e;
        CHECK(serve_rig_read(&r, &v2_pb_protocol, buf_str(&message), (str){0}, &e) == ERR_OK);
        const uint8_t *p = r.request.inputs[0].data;
        CHECK((uintptr_t)p % 4 == 0 && memcmp(p, one_two, sizeof one_two) == 0);
        borrowed += p >= r.body && p < r.body + message.len;
    }
    CHECK_U64(borrowed, 1);
    serve_rig_stop(&r);
}

/* In one list they may be borrowed, in two they are not in one piece; wherever they lie. */
static void typed_bytes_are_borrowed_where_they_may_be(void)
{
    serve_rig r;
    start(&r, serve_rig_twice);
    for (size_t lists = 1; lists <= 2; lists++) {
        size_t borrowed = 0;
        for (size_t pad = 1; pad <= 4; pad++) {
            begin();
            pb_put_bytes(&message, 3, "abcd", pad);
            size_t in = input_open("x", "FP32", (int64_t[]){1, 2}, 2), contents = pb_open(&message, 5);
            for (size_t i = 0; i < lists; i++) pb_put_bytes(&message, 6, one_two + i, sizeof one_two / lists);
            pb_close(&message, contents);
            pb_close(&message, in);
            err e;
            CHECK(serve_rig_read(&r, &v2_pb_protocol, buf_str(&message), (str){0}, &e) == ERR_OK);
            const uint8_t *p = r.request.inputs[0].data;
            CHECK((uintptr_t)p % 4 == 0 && memcmp(p, one_two, sizeof one_two) == 0);
            borrowed += p >= r.body && p < r.body + message.len;
        }
        CHECK_U64(borrowed, lists == 1);
    }
    serve_rig_stop(&r);
}

static void wanted_outputs_come_in_their_order(void)
{
    serve_rig r;
    start(&r, serve_rig_four);
    begin();
    input("i", "INT64", 1, -1);
    pb_close(&message, input_open("b", "BOOL", NULL, 0));
    input("s", "BYTES", 2, -1);
    input("f", "FP32", 1, 2);
    raw("\1\0\0\0\0\0\0\0", 8);
    raw("\1", 1);
    raw("\0\0\0\0\1\0\0\0z", 9);
    raw(one_two, sizeof one_two);
    CHECK_STR(ask(&r), "m/1 fo:FP32[1,2] io:INT64[1] so:BYTES[2] bo:BOOL raw=0000803f00000040 raw=0100000000000000 "
                       "raw=00000000010000007a raw=01");
    static const char *const wants[] = {"so", "io"};
    for (size_t i = 0; i < COUNTOF(wants); i++) {
        size_t at = pb_open(&message, 6);
        pb_put_str(&message, 1, str_of(wants[i]));
        pb_close(&message, at);
    }
    CHECK_STR(ask(&r), "m/1 so:BYTES[2] io:INT64[1] raw=00000000010000007a raw=0100000000000000");
    serve_rig_stop(&r);
}

#define REFUSED(want_, ...) \
    do { \
        begin(); \
        __VA_ARGS__; \
        CHECK_STR(ask(&r), "400 " want_); \
    } while (0)
#define REST_OF_FOUR \
    input("f", "FP32", 1, 2), input("s", "BYTES", 0, -1), pb_close(&message, input_open("b", "BOOL", NULL, 0)), \
        raw(one_two, 8), raw("", 0), raw("\1", 1)

static void each_wrong_request_is_refused_in_one_line(void)
{
    serve_rig r;
    start(&r, serve_rig_twice);
    REFUSED("inputs: expected 1, got 0: 'x' is missing", (void)0);
    REFUSED("inputs[0]: name: expected an input of the model ('x'), got 'z'", input("z", "FP32", 1, 2));
    REFUSED("input 'x': given twice", input("x", "FP32", 1, 2); input("x", "FP32", 1, 2));
    REFUSED("input 'x': datatype: expected BOOL, UINT8-64, INT8-64, FP16, BF16, FP32, FP64 or BYTES, got 'F'",
            input("x", "F", 1, 2));
    REFUSED("input 'x': datatype: expected FP32, got 'INT64'", input("x", "INT64", 1, 2));
    REFUSED("input 'x': shape: expected [-1,2], got '[1,3]'", input("x", "FP32", 1, 3));
    REFUSED("input 'x': shape[0]: expected 0 or more, got -5", input("x", "FP32", -5, 3));
    REFUSED("input 'x': shape: expected at most 8 dimensions, got 9",
            pb_close(&message, input_open("x", "FP32", (int64_t[9]){1, 1, 1, 1, 1, 1, 1, 1, 1}, 9)));
    REFUSED("input 'x': expected contents or raw_input_contents, got none", input("x", "FP32", 1, 2));
    REFUSED("input 'x': raw_input_contents: expected 8 bytes for its shape and datatype, got 4",
            input("x", "FP32", 1, 2); raw(one_two, 4));
    REFUSED("the number of inputs (1) does not match the expected number of raw input contents (2) for model 'm'.",
            input("x", "FP32", 1, 2); raw(one_two, 8); raw(one_two, 8));
    REFUSED("contents field must not be specified when using raw_input_contents for input 'x' for model 'm'",
            typed_floats(1, one_two, 2); raw(one_two, 8));
    REFUSED("input 'x': contents: expected 4 elements for shape [2,2], got 2", typed_floats(2, one_two, 2));
    REFUSED("input 'x': contents: expected 2 elements for shape [1,2], got 0", typed_floats(1, one_two, 0));
    REFUSED("inputs[0]: contents: given twice", size_t in = input_open("x", "FP32", (int64_t[]){1, 2}, 2);
            floats(one_two, 1); floats(one_two + 1, 1); pb_close(&message, in));
    REFUSED("unexpected inference output 'q' for model 'm'", want("q", NULL); input("x", "FP32", 1, 2));
    REFUSED("output 'y': asked for twice", want("y", NULL); want("y", NULL));
    REFUSED("outputs[0]: parameters: shared_memory_region: expected a string", want("y", "shared_memory_region"));
    REFUSED("ModelInferRequest: byte 5: field 3: string: expected UTF-8, got other bytes",
            pb_put_str(&message, 3, STR("\xff")));
    REFUSED("inputs[0]: InferInputTensor: byte 6: field 1: expected bytes, got a varint",
            pb_put_bytes(&message, 5, "\x08\x01", 2));
    REFUSED("ModelInferRequest: byte 4: field 3: length: expected at most the 0 bytes that follow, got 5",
            buf_put(&message, "\x1a\x05", 2));
    begin();
    want("y", "unknown");
    input("x", "FP32", 1, 2);
    raw(one_two, 8);
    CHECK_STR(ask(&r), "m/1 y:FP32[1,2] raw=" TWO_FOUR);
    serve_rig_stop(&r);
}

static void strings_and_booleans_are_checked(void)
{
    serve_rig r;
    onnx_build b;
    serve_rig_same(&b, DT_STRING, "N");
    serve_rig_start(&r, &b);
    begin();
    input("x", "BYTES", 1, -1);
    raw("\5\0\0\0abc", 7);
    CHECK_STR(ask(&r), "400 input 'x': raw_input_contents: string 0 reaches past its 7 bytes");
    serve_rig_stop(&r);
    serve_rig_same(&b, DT_BOOL, "N");
    serve_rig_start(&r, &b);
    begin();
    input("x", "BOOL", 1, -1);
    raw("\2", 1);
    CHECK_STR(ask(&r), "400 input 'x': raw_input_contents: expected 0 or 1 in a BOOL, got 2");
    serve_rig_stop(&r);
}

static void parameter(uint32_t number, const char *key, const char *z, uint64_t v)
{
    size_t entry = pb_open(&message, number);
    pb_put_str(&message, 1, str_of(key));
    size_t to = pb_open(&message, 2);
    if (z) pb_put_str(&message, 3, str_of(z));
    else pb_put_u64(&message, 2, v);
    pb_close(&message, to);
    pb_close(&message, entry);
}

static void in_memory(uint32_t number, const char *region, uint64_t offset, uint64_t bytes)
{
    parameter(number, "shared_memory_region", region, 0);
    if (offset) parameter(number, "shared_memory_offset", NULL, offset);
    parameter(number, "shared_memory_byte_size", NULL, bytes);
}

static void input_in_memory(const char *name, const char *type, int64_t n, uint64_t offset, uint64_t bytes)
{
    size_t at = input_open(name, type, (int64_t[]){n}, 1);
    in_memory(4, "r", offset, bytes);
    pb_close(&message, at);
}

static void want_in_memory(const char *name, uint64_t offset, uint64_t bytes)
{
    size_t at = pb_open(&message, 6);
    pb_put_str(&message, 1, str_of(name));
    in_memory(2, "r", offset, bytes);
    pb_close(&message, at);
}

/* i and s lie in a region, f and b in the message; io and so go into the region. */
static void tensors_may_lie_in_shared_memory(void)
{
    serve_rig r;
    shm_set *set;
    char key[40], got[8];
    err e;
    snprintf(key, sizeof key, "/proa-pb-%d", (int)getpid());
    int fd = shm_open(key, O_CREAT | O_RDWR, 0600);
    INVARIANT(fd >= 0 && ftruncate(fd, 100) == 0 && pwrite(fd, "\7\0\0\0\0\0\0\0\2\0\0\0ab", 14, 0) == 14);
    CHECK(shm_set_new(&set, &e) == ERR_OK);
    CHECK(shm_register(set, &(shm_region){STR("r"), str_of(key), 0, 100}, &e) == ERR_OK);
    start(&r, serve_rig_four);
    begin();
    input_in_memory("i", "INT64", 1, 0, 8);
    REST_OF_FOUR;
    CHECK_STR(ask(&r), "501 input 'i': shared memory is not supported");
    r.opts.regions = set;
    begin();
    input_in_memory("i", "INT64", 1, 0, 8);
    input("f", "FP32", 1, 2);
    input_in_memory("s", "BYTES", 1, 8, 6);
    pb_close(&message, input_open("b", "BOOL", NULL, 0));
    raw(one_two, 8);
    raw("\1", 1);
    CHECK_STR(ask(&r), "m/1 fo:FP32[1,2] io:INT64[1] so:BYTES[1] bo:BOOL raw=0000803f00000040 raw=0700000000000000 "
                       "raw=020000006162 raw=01");
    want_in_memory("io", 32, 8);
    want("fo", NULL);
    want_in_memory("so", 40, 20);
    CHECK_STR(ask(&r), "m/1 io:INT64[1] p=shared_memory_region:r p=shared_memory_offset:32 p=shared_memory_byte_size:8 "
                       "fo:FP32[1,2] so:BYTES[1] p=shared_memory_region:r p=shared_memory_offset:40 "
                       "p=shared_memory_byte_size:6 raw= raw=0000803f00000040 raw=");
    CHECK(pread(fd, got, 8, 32) == 8 && memcmp(got, "\7\0\0\0\0\0\0\0", 8) == 0);
    CHECK(pread(fd, got, 6, 40) == 6 && memcmp(got, "\2\0\0\0ab", 6) == 0);
    want_in_memory("bo", 0, 0);
    CHECK_STR(ask(&r), "400 output 'bo': shared_memory_byte_size: expected at least 1 bytes for its shape and "
                       "datatype, got 0");
    REFUSED("input 'i': shared_memory_byte_size: expected 8 bytes for its shape and datatype, got 7",
            input_in_memory("i", "INT64", 1, 0, 7); REST_OF_FOUR);
    REFUSED("input 'i': shared memory region 'r': expected at most 100 bytes, got 8 at offset 93",
            input_in_memory("i", "INT64", 1, 93, 8); REST_OF_FOUR);
    REFUSED("input 'f': expected contents or shared_memory_region, got both",
            size_t at = input_open("f", "FP32", (int64_t[]){1, 2}, 2); in_memory(4, "r", 0, 8); floats(one_two, 2);
            pb_close(&message, at); input_in_memory("i", "INT64", 1, 0, 8); input_in_memory("s", "BYTES", 1, 8, 6);
            pb_close(&message, input_open("b", "BOOL", NULL, 0)); raw("\1", 1));
    begin();
    size_t at = input_open("i", "INT64", (int64_t[]){1}, 1);
    in_memory(4, "q", 0, 8);
    pb_close(&message, at);
    REST_OF_FOUR;
    CHECK_STR(ask(&r), "404 input 'i': Unable to find shared memory region: 'q'");
    serve_rig_stop(&r);
    shm_set_free(set);
    close(fd);
    shm_unlink(key);
}

static void the_best_classes_come_as_strings(void)
{
    static const float x[] = {0.5f, -1, 2, 2, 0.25f, 3};
    serve_rig r;
    onnx_build b;
    serve_rig_same(&b, DT_F32, "N,M");
    serve_rig_start(&r, &b);
    for (int rows = 1; rows <= 2; rows++) {
        begin();
        input("x", "FP32", rows, 6 / rows);
        raw(x, sizeof x);
        size_t at = pb_open(&message, 6);
        pb_put_str(&message, 1, STR("y"));
        parameter(2, "classification", NULL, 2);
        pb_close(&message, at);
        /* "3.000000:5", "2.000000:2"; in two rows "2.000000:2", "0.500000:0" and "3.000000:2", "2.000000:0" */
        CHECK_STR(ask(&r), rows == 1 ? "m/1 y:BYTES[2] raw=0a000000332e3030303030303a350a000000322e3030303030303a32"
                                     : "m/1 y:BYTES[2,2] raw=0a000000322e3030303030303a320a000000302e3530303030303a30"
                                       "0a000000332e3030303030303a320a000000322e3030303030303a30");
    }
    serve_rig_stop(&r);
}

/* They name the columns of probabilities; of classes that were asked for each has its own. */
static void labels_stand_in_the_parameters_unless_classes_do(void)
{
    serve_rig r;
    onnx_build b;
    onnx_build_start(&b, 17);
    onnx_build_input(&b, "x", DT_F32, "N,2");
    onnx_build_node(&b, "Add", "x,x", "p", "");
    onnx_build_node(&b, "ai.onnx.ml:ZipMap", "p", "y", "classlabels_strings=['a','b']");
    onnx_build_import(&b, "ai.onnx.ml", 1);
    onnx_build_output(&b, "y", DT_NONE, NULL);
    serve_rig_start(&r, &b);
    begin();
    input("x", "FP32", 1, 2);
    raw(one_two, sizeof one_two);
    CHECK_STR(ask(&r), "m/1 y:FP32[1,2] p=labels:[\"a\",\"b\"] raw=" TWO_FOUR);
    size_t at = pb_open(&message, 6);
    pb_put_str(&message, 1, STR("y"));
    parameter(2, "classification", NULL, 1);
    pb_close(&message, at);
    CHECK_STR(ask(&r), "m/1 y:BYTES[1] raw=0c000000342e3030303030303a313a62");   /* "4.000000:1:b" */
    serve_rig_stop(&r);
}

static void a_lie_about_a_shape_costs_nothing(void)
{
    serve_rig r;
    start(&r, serve_rig_twice);
    begin();
    typed_floats(INT64_C(1) << 40, one_two, 2);
    CHECK_STR(ask(&r), "400 input 'x': contents: expected 2199023255552 elements for shape [1099511627776,2], got 2");
    CHECK(r.request.memory.total < 1 << 16);
    serve_rig_stop(&r);
}

static void the_target_is_found_wherever_it_stands(void)
{
    v2_pb_target t;
    err e;
    begin();
    input("x", "FP32", 1, 2);
    raw(one_two, sizeof one_two);
    pb_put_str(&message, 2, STR("3"));
    pb_put_str(&message, 1, STR("other"));   /* the last one counts */
    pb_put_str(&message, 3, STR("id"));
    CHECK(v2_pb_target_read(buf_str(&message), &t, &e) == ERR_OK);
    CHECK(str_is(t.name, "other") && str_is(t.version, "3") && str_is(t.id, "id"));
    CHECK_U64(t.read_bytes, message.len - sizeof one_two);
    buf_put_byte(&message, 0x0a);
    CHECK(v2_pb_target_read(buf_str(&message), &t, &e) == ERR_INVALID);
    buf_clear(&message);
    for (int i = 0; i <= V2_PB_FIELDS_MAX; i++) pb_put_u64(&message, 9, 1);
    CHECK(v2_pb_target_read(buf_str(&message), &t, &e) == ERR_TOO_LARGE);
    CHECK_STR(e.text, "ModelInferRequest: expected at most 65536 fields, got more");
}

static void an_error_in_a_stream_names_its_request(void)
{
    buf_clear(&text);
    buf out;
    buf_init(&out, 1000);
    v2_pb_stream_error_print(&out, STR("r7"), "no");
    v2_pb_stream_text(&text, buf_str(&out));
    buf_put_byte(&text, 0);
    CHECK_STR((char *)text.p, "error=no{ id=r7}");
    buf_fini(&out);
}

static void every_cut_of_a_request_is_refused_or_harmless(void)
{
    serve_rig r;
    start(&r, serve_rig_twice);
    begin();
    typed_floats(1, one_two, 2);
    want("y", "unknown");
    str whole = buf_str(&message);
    for (size_t len = 0; len < whole.len; len++) {
        err e;
        err_code rc = serve_rig_read(&r, &v2_pb_protocol, (str){whole.p, len}, (str){0}, &e);
        CHECK(rc == ERR_INVALID || rc == ERR_OK);
    }
    serve_rig_stop(&r);
}

static void no_memory_is_an_error_wherever_it_happens(void)
{
    serve_rig r;
    start(&r, serve_rig_four);
    begin();
    input("i", "INT64", 1, -1);
    pb_close(&message, input_open("b", "BOOL", NULL, 0));
    input("s", "BYTES", 1, -1);
    input("f", "FP32", 1, 2);
    raw("\1\0\0\0\0\0\0\0", 8);
    raw("\1", 1);
    raw("\1\0\0\0z", 5);
    raw(one_two, sizeof one_two);
    CHECK(strncmp(ask(&r), "m/1 ", 4) == 0);
    serve_rig_forget(&r);
    FAULT_SWEEP({
        const char *failed = serve_rig_ask_message(&r, &v2_pb_stream_protocol, buf_str(&message));
        if (failed) CHECK(strncmp(failed, "503 ", 4) == 0);
        serve_rig_forget(&r);
    })
    serve_rig_stop(&r);
}

static int run(void)
{
    static const test_case cases[] = {
        TEST(raw_in_raw_out), TEST(typed_in_typed_out),
        TEST(a_model_with_a_configuration_answers_raw), TEST(an_empty_tensor_needs_no_bytes),
        TEST(what_has_no_typed_form_comes_back_raw), TEST(labels_stand_in_the_parameters_unless_classes_do),
        TEST(every_type_has_its_form_both_ways), TEST(numbers_that_do_not_fit_are_refused),
        TEST(long_lists_of_numbers_come_back), TEST(aligned_bytes_are_borrowed),
        TEST(typed_bytes_are_borrowed_where_they_may_be),
        TEST(wanted_outputs_come_in_their_order), TEST(each_wrong_request_is_refused_in_one_line),
        TEST(strings_and_booleans_are_checked), TEST(tensors_may_lie_in_shared_memory),
        TEST(the_best_classes_come_as_strings), TEST(a_lie_about_a_shape_costs_nothing),
        TEST(the_target_is_found_wherever_it_stands), TEST(an_error_in_a_stream_names_its_request),
        TEST(every_cut_of_a_request_is_refused_or_harmless), TEST(no_memory_is_an_error_wherever_it_happens),
    };
    return test_main(cases, COUNTOF(cases));
}

int main(void)
{
    buf_init(&message, 1 << 20);
    buf_init(&text, 1 << 20);
    int status = run();
    buf_fini(&message);
    buf_fini(&text);
    return status;
}
