/* What must hold for a value that a person gives: it becomes the very tensor the model wants, whatever form it came
 * in, or is refused in words that say what was expected. */
#include "cli/infer_value.h"
#include "cli/tensor_text.h"
#include "os/file.h"
#include "test.h"

#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/proa-test-infer-value-XXXXXX";

static const char *path(const char *name)
{
    static char text[4][200];
    static size_t turn;
    char *p = text[turn++ % 4];
    snprintf(p, sizeof text[0], "%s/%s", folder, name);
    return p;
}

static void save(const char *name, const void *bytes, size_t len)
{
    err e;
    CHECK(file_write(path(name), bytes, len, &e) == ERR_OK);
}

/* The value as `proa infer` would print it, without the headline; or the error. */
static void check_as(const char *type, const int64_t *dims, uint32_t rank, const char *what, const char *want)
{
    arena a;
    err e = {.text = ""};
    v2_value v = {.name = STR("x")};
    v2_io io = {.name = STR("x"), .datatype = str_of(type), .type = dtype_of_v2(str_of(type)),
                .dims = shape_make(rank, dims)};
    buf b;
    char got[600];
    arena_init(&a, NULL, 0, 64 << 20);
    buf_init(&b, 1 << 20);
    infer_value_opts o = {.memory = &a, .pixel_max = 1};
    if (infer_value_read(&io, what, &o, &v.t, &e)) {
        snprintf(got, sizeof got, "%s", e.text);
    } else {
        tensor_text_table(&b, &v, 1);
        buf_put_byte(&b, 0);
        const char *line = strchr((const char *)b.p, '\n') + 1;
        snprintf(got, sizeof got, "%.*s", (int)(strlen(line) - 1), line);
    }
    CHECK_STR(got, want);
    buf_fini(&b);
    arena_fini(&a);
}

#define CHECK_VALUE(type, what, want, ...)                                                          \
    check_as(type, (const int64_t[]){__VA_ARGS__}, (uint32_t)COUNTOF(((const int64_t[]){__VA_ARGS__})), what, want)

static void json_takes_the_type_of_the_model(void)
{
    CHECK_VALUE("FP32", "[[1,2.5],[3,-4]]", "x     FP32    [2,2]  1 2.5 3 -4", 2, 2);
    CHECK_VALUE("INT64", "[1,9223372036854775807]", "x     INT64   [2]    1 9223372036854775807", -1);
    CHECK_VALUE("UINT64", "[18446744073709551615]", "x     UINT64  [1]    18446744073709551615", -1);
    CHECK_VALUE("BOOL", "[true,false]", "x     BOOL    [2]    true false", 2);
    CHECK_VALUE("FP16", "[0.5, 1]", "x     FP16    [2]    0.5 1", 2);
    CHECK_VALUE("BYTES", "[\"a\", \"\\u00e4\\n\"]", "x     BYTES   [2]    \"a\" \"\xc3\xa4\\n\"", -1);
    CHECK_VALUE("INT8", "[300]", "input 'x': [0]: expected an integer in -128..127, got '300'", -1);
    CHECK_VALUE("INT8", "[1.5]", "input 'x': [0]: expected an integer in -128..127, got '1.5'", -1);
    CHECK_VALUE("FP8", "[1]", "input 'x': datatype 'FP8': not implemented", -1);
}

#define FORMS "expected JSON, a file (.npy .json .pgm .ppm .png) or raw:FILE"

static void a_scalar_is_an_array_of_one(void)
{
    CHECK_VALUE("FP32", "3.5", "x     FP32    [1]    3.5", -1);
    CHECK_VALUE("FP32", " -3e2 ", "x     FP32    [1,1]  -300", -1, 1);
    CHECK_VALUE("BOOL", "true", "x     BOOL    [1]    true", 1);
    CHECK_VALUE("BYTES", "\"quoted\"", "x     BYTES   [1]    \"quoted\"", -1);
    CHECK_VALUE("BYTES", "any text", "x     BYTES   [1,1]  \"any text\"", 1, 1);
    CHECK_VALUE("FP32", "-Infinity", "x     FP32    [1]    -inf", -1);
    CHECK_VALUE("FP64", "NaN", "x     FP64    [1]    nan", -1);
    CHECK_VALUE("INT8", "Inf", "input 'x': [0]: expected an integer in -128..127, got 'Inf'", -1);
    CHECK_VALUE("FP32", "three", "input 'x': " FORMS ", got 'three'", 1);
    CHECK_VALUE("FP32", "", "input 'x': " FORMS ", got ''", 1);
}

static void a_leading_dimension_that_is_missing_is_put_in_front(void)
{
    CHECK_VALUE("INT32", "[[1,2],[3,4]]", "x     INT32   [1,2,2]  1 2 3 4", -1, 2, 2);
    CHECK_VALUE("INT32", "[[1,2],[3,4]]", "x     INT32   [1,2,2]  1 2 3 4", 1, -1, 2);
    CHECK_VALUE("INT32", "[[1,2],[3,4]]", "input 'x': shape: expected [2,2,2], got [2,2]", 2, 2, 2);
    CHECK_VALUE("INT32", "[[1,2],[3,4]]", "input 'x': shape: expected [-1,2,3], got [2,2]", -1, 2, 3);
}

static void flat_data_takes_a_shape_that_is_known(void)
{
    CHECK_VALUE("INT32", "[1,2,3,4]", "x     INT32   [2,2]  1 2 3 4", 2, 2);
    CHECK_VALUE("INT32", "[1,2,3,4]", "x     INT32   [2,1,2]  1 2 3 4", -1, 1, 2);
    CHECK_VALUE("INT32", "[1,2,3]", "input 'x': shape: expected [-1,2,1], got [3]", -1, 2, 1);
    CHECK_VALUE("INT32", "[1,2,3]", "input 'x': shape: expected [-1,-1,3,1], got [3]", -1, -1, 3, 1);
}

static void a_npy_file_must_have_the_type(void)
{
    static const char head[] = "\x93NUMPY\1\0\x46\0{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"
                               "              \n";
    uint8_t file[80 + 8];
    float data[2] = {1.5f, -2};
    memcpy(file, head, 80);
    memcpy(file + 80, data, 8);
    save("a.npy", file, sizeof file);
    char want[300];
    CHECK_VALUE("FP32", path("a.npy"), "x     FP32    [1,2]  1.5 -2", -1, 2);
    snprintf(want, sizeof want, "input 'x': %s: expected int64, got float32", path("a.npy"));
    CHECK_VALUE("INT64", path("a.npy"), want, 2);
    snprintf(want, sizeof want, "input 'x': %s: cannot open: No such file or directory", path("no.npy"));
    CHECK_VALUE("INT64", path("no.npy"), want, 2);
}

static void pixels_go_where_the_model_has_its_channels(void)
{
    save("g.pgm", "P5 3 2 255\n\0\377\0\0\0\377", 17);
    save("c.ppm", "P6 2 1 255\n\1\2\3\4\5\6", 17);
    CHECK_VALUE("FP32", path("g.pgm"), "x     FP32    [1,1,2,3]  0 1 0 0 0 1", -1, 1, 2, 3);
    CHECK_VALUE("UINT8", path("g.pgm"), "x     UINT8   [1,2,3,1]  0 255 0 0 0 255", -1, 2, 3, 1);
    CHECK_VALUE("UINT8", path("g.pgm"), "x     UINT8   [2,3]  0 255 0 0 0 255", 2, 3);
    CHECK_VALUE("UINT8", path("c.ppm"), "x     UINT8   [1,3,1,2]  1 4 2 5 3 6", 1, 3, -1, -1);
    CHECK_VALUE("INT32", path("c.ppm"), "x     INT32   [1,1,2,3]  1 2 3 4 5 6", -1, -1, -1, 3);
    CHECK_VALUE("UINT8", path("c.ppm"), "input 'x': shape: expected [1,3,224,224], got [3,1,2]", 1, 3, 224, 224);
    char want[300];
    snprintf(want, sizeof want, "input 'x': %s: expected BOOL, got a picture", path("c.ppm"));
    CHECK_VALUE("BOOL", path("c.ppm"), want, 1, 3, 224, 224);
}

static void a_bytes_input_gets_the_file_itself(void)
{
    save("p.jpg", "\xff\xd8\xff\xe0rest", 8);
    CHECK_VALUE("BYTES", path("c.ppm"),
                "x     BYTES   [1]    \"P6 2 1 255\\n\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\"", -1);
    char want[300];
    snprintf(want, sizeof want, "input 'x': %s: picture: expected PGM, PPM or PNG, got JPEG: convert it to PPM",
             path("p.jpg"));
    CHECK_VALUE("FP32", path("p.jpg"), want, 1, 3, 2, 2);
}

static void raw_bytes_are_the_elements(void)
{
    save("r", "\1\0\2\0\3\0", 6);
    char raw[220], want[300];
    snprintf(raw, sizeof raw, "raw:%s", path("r"));
    CHECK_VALUE("INT16", raw, "x     INT16   [1,3]  1 2 3", 1, 3);
    CHECK_VALUE("BYTES", raw, "x     BYTES   [1]    \"\\u0001\\u0000\\u0002\\u0000\\u0003\\u0000\"", 1);
    snprintf(want, sizeof want, "input 'x': %s: expected a multiple of 4 bytes for float32, got 6", path("r"));
    CHECK_VALUE("FP32", raw, want, 1, 3);
}

static void read_once(void)
{
    err e;
    arena a;
    tensor t;
    v2_io io = {.name = STR("x"), .datatype = STR("INT64"), .type = DT_I64, .dims = {.rank = 1, .dim = {-1}}};
    arena_init(&a, NULL, 0, 1 << 20);
    infer_value_opts o = {.memory = &a, .pixel_max = 1};
    CHECK(infer_value_read(&io, "[1,2,3]", &o, &t, &e) != ERR_OK || tensor_count(&t) == 3);
    arena_fini(&a);
}

static void lack_of_memory_is_told(void) { FAULT_SWEEP(read_once()); }

int main(void)
{
    static const test_case cases[] = {
        TEST(json_takes_the_type_of_the_model),
        TEST(a_scalar_is_an_array_of_one),
        TEST(a_leading_dimension_that_is_missing_is_put_in_front),
        TEST(flat_data_takes_a_shape_that_is_known),
        TEST(a_npy_file_must_have_the_type),
        TEST(pixels_go_where_the_model_has_its_channels),
        TEST(a_bytes_input_gets_the_file_itself),
        TEST(raw_bytes_are_the_elements),
        TEST(lack_of_memory_is_told),
    };
    CHECK(mkdtemp(folder) != NULL);
    int status = test_main(cases, COUNTOF(cases));
    static const char *const names[] = {"a.npy", "g.pgm", "c.ppm", "p.jpg", "r"};
    for (size_t i = 0; i < COUNTOF(names); i++) unlink(path(names[i]));
    rmdir(folder);
    return status;
}
