/* Arrays become typed elements exactly, or an error that names the element; what is printed reads back the same. */
#include "wire/json_array.h"
#include "test.h"

#include <math.h>

static uint8_t memory[4096];

static void refuse(json_elem elem, const char *json, const char *text)
{
    str to[8];
    arena strings;
    arena_init(&strings, memory, sizeof memory, sizeof memory);
    json_array_opts o = {.elem = elem, .to = to, .count_max = 8, .strings = &strings};
    json_shape shape;
    err e = {0};
    CHECK(json_array_parse(str_of(json), &o, &shape, &e) != ERR_OK);
    CHECK_STR(e.text, text);
}

/* Parses and prints again, nested as it was. */
static void gives(json_elem elem, const char *json, const char *want)
{
    uint8_t to[64 * sizeof(str)];
    arena strings;
    arena_init(&strings, memory, sizeof memory, sizeof memory);
    json_array_opts o = {.elem = elem, .to = to, .count_max = 64, .strings = &strings};
    json_shape shape;
    err e = {0};
    buf b;
    buf_init(&b, 1 << 16);
    if (json_array_parse(str_of(json), &o, &shape, &e)) {
        CHECK_STR(e.text, "no error");
        return;
    }
    json_array a = {.elem = elem, .from = to, .count = shape.count, .rank = shape.rank, .dims = shape.dims};
    CHECK(json_array_print(&b, &a, &e) == ERR_OK);
    buf_put_byte(&b, 0);
    CHECK(shape.count <= json_array_bound(str_of(json)));
    CHECK_STR((const char *)b.p, want);
    buf_fini(&b);
}

static void every_type_reads_its_whole_range(void)
{
    gives(JSON_BOOL, "[true, false,1,0]", "[true,false,true,false]");
    gives(JSON_U8, "[0,255,-0]", "[0,255,0]");
    gives(JSON_U16, "[0,65535]", "[0,65535]");
    gives(JSON_U32, "[0,4294967295]", "[0,4294967295]");
    gives(JSON_U64, "[0,18446744073709551615]", "[0,18446744073709551615]");
    gives(JSON_I8, "[-128,127]", "[-128,127]");
    gives(JSON_I16, "[-32768,32767]", "[-32768,32767]");
    gives(JSON_I32, "[-2147483648,2147483647]", "[-2147483648,2147483647]");
    gives(JSON_I64, "[-9223372036854775808,9223372036854775807]", "[-9223372036854775808,9223372036854775807]");
    gives(JSON_F16, "[0.1,65504,6e-8,-1e-9]", "[0.1,65500.0,6e-8,-0.0]");
    gives(JSON_BF16, "[0.1,3.3895314e38]", "[0.1,3.39e38]");
    gives(JSON_F32, "[0.1,3.4028235e38,1e-45,-0.0,16777217]", "[0.1,3.4028235e38,1e-45,-0.0,16777216.0]");
    gives(JSON_F64, "[0.1,1.7976931348623157e308,5e-324,12]", "[0.1,1.7976931348623157e308,5e-324,12.0]");
    gives(JSON_BYTES, "[\"a\",\"\",\"\\ud83d\\ude00\\n\",\"\xc3\xa9\"]",
          "[\"a\",\"\",\"\xf0\x9f\x98\x80\\n\",\"\xc3\xa9\"]");
}

static void values_out_of_range_or_type_are_refused(void)
{
    refuse(JSON_U8, "[256]", "[0]: expected an integer in 0..255, got '256'");
    refuse(JSON_U8, "[1,-1]", "[1]: expected an integer in 0..255, got '-1'");
    refuse(JSON_I8, "[128]", "[0]: expected an integer in -128..127, got '128'");
    refuse(JSON_I8, "[-129]", "[0]: expected an integer in -128..127, got '-129'");
    refuse(JSON_U64, "[18446744073709551616]",
           "[0]: expected an integer in 0..18446744073709551615, got '18446744073709551616'");
    refuse(JSON_U64, "[100000000000000000000]",
           "[0]: expected an integer in 0..18446744073709551615, got '100000000000000000000'");
    refuse(JSON_U64, "[36893488147419103232000]",
           "[0]: expected an integer in 0..18446744073709551615, got '36893488147419103232000'");
    refuse(JSON_I64, "[9223372036854775808]",
           "[0]: expected an integer in -9223372036854775808..9223372036854775807, got '9223372036854775808'");
    refuse(JSON_I64, "[-9223372036854775809]",
           "[0]: expected an integer in -9223372036854775808..9223372036854775807, got '-9223372036854775809'");
    refuse(JSON_I32, "[1.5]", "[0]: expected an integer in -2147483648..2147483647, got '1.5'");
    refuse(JSON_I32, "[1e3]", "[0]: expected an integer in -2147483648..2147483647, got '1e3'");
    refuse(JSON_I32, "[01]", "[0]: expected an integer in -2147483648..2147483647, got '01'");
    refuse(JSON_I32, "[true]", "[0]: expected an integer in -2147483648..2147483647, got 'true'");
    refuse(JSON_BOOL, "[2]", "[0]: expected true or false, got '2'");
    refuse(JSON_BOOL, "[10]", "[0]: expected true or false, got '10'");
    refuse(JSON_BOOL, "[truth]", "[0]: expected true or false, got 'truth'");
    refuse(JSON_BOOL, "[tru]", "[0]: expected true or false, got 'tru'");
    refuse(JSON_F32, "[3.4028236e38]", "[0]: expected a number within +-3.4028235e38, got '3.4028236e38'");
    refuse(JSON_F16, "[65520]", "[0]: expected a number within +-65504, got '65520'");
    refuse(JSON_F64, "[1, -1e309]", "[1]: expected a number within +-1.7976931348623157e308, got '-1e309'");
    refuse(JSON_F32, "[null]", "[0]: expected a number within +-3.4028235e38, got 'null'");
    refuse(JSON_F32, "[\"1.0\"]", "[0]: expected a number within +-3.4028235e38, got '\"1.0\"'");
    refuse(JSON_F32, "[0,nan]", "[1]: expected a number within +-3.4028235e38, got 'nan' "
           "(the words are NaN, Infinity and -Infinity)");
    refuse(JSON_F64, "[-inf]", "[0]: expected a number within +-1.7976931348623157e308, got '-inf' "
           "(the words are NaN, Infinity and -Infinity)");
    refuse(JSON_F16, "[Infinit]", "[0]: expected a number within +-65504, got 'Infinit'");
    refuse(JSON_BF16, "[NaNs]", "[1]: expected ',' or ']', got 's'");
    refuse(JSON_F32, "[Na]", "[0]: expected a number within +-3.4028235e38, got 'Na'");
    refuse(JSON_F32, "[\"NaN\"]", "[0]: expected a number within +-3.4028235e38, got '\"NaN\"'");
    refuse(JSON_I8, "[NaN]", "[0]: expected an integer in -128..127, got 'NaN'");
    refuse(JSON_U64, "[0,Infinity]", "[1]: expected an integer in 0..18446744073709551615, got 'Infinity'");
    refuse(JSON_I32, "[[-Inf]]", "[0][0]: expected an integer in -2147483648..2147483647, got '-Inf'");
    refuse(JSON_BOOL, "[NaN]", "[0]: expected true or false, got 'NaN'");
    refuse(JSON_BYTES, "[NaN]", "[0]: expected a string, got 'NaN'");
    refuse(JSON_BYTES, "[1]", "[0]: expected a string, got '1'");
    refuse(JSON_BYTES, "[{\"b64\":\"aGk=\"}]", "[0]: expected a string, got '{'");
    refuse(JSON_BYTES, "[\"a\\ud800\"]", "[0]: expected a well-formed UTF-8 string, got '\"a\\ud800\"'");
    refuse(JSON_BYTES, "[\"a\xff\"]", "[0]: expected a well-formed UTF-8 string, got '\"a?\"'");
    refuse(JSON_BYTES, "[\"a]", "[0]: expected a well-formed UTF-8 string, got '\"a]'");
}

static void floats_may_be_words(void)
{
    static const char text[] = "[NaN,Infinity , -Infinity,\tInf,-Inf,-NaN,1]",
                      want[] = "[NaN,Infinity,-Infinity,Infinity,-Infinity,NaN,1.0]";
    for (json_elem elem = JSON_F16; elem <= JSON_F64; elem++) {
        gives(elem, text, want);
        gives(elem, "[[NaN,-0.0],[1.5,-Inf]]", "[[NaN,-0.0],[1.5,-Infinity]]");
    }
}

/* Where a word lies in the bytes that are looked at together decides nothing. */
static void words_read_alike_wherever_they_stand(void)
{
    static const char *const words[] = {"NaN", "Infinity", "-Infinity", "Inf", "-Inf"};
    enum { COUNT = 400 };
    for (size_t word = 0; word < COUNTOF(words); word++) {
        for (size_t blanks = 0; blanks < 70; blanks++) {
            char text[COUNT * 10 + 100];
            double to[COUNT] = {0};
            size_t n = (size_t)sprintf(text, "[%*s", (int)blanks, "");
            for (size_t i = 0; i < COUNT; i++)
                n += (size_t)sprintf(text + n, "%s%c", i % 3 ? words[word] : "0.5", i + 1 < COUNT ? ',' : ']');
            json_array_opts o = {.elem = JSON_F64, .to = to, .count_max = COUNT};
            json_shape shape;
            err e;
            CHECK(json_array_parse((str){text, n}, &o, &shape, &e) == ERR_OK && shape.count == COUNT);
            for (size_t i = 0; i < COUNT; i++) {
                if (i % 3 == 0) CHECK(to[i] == 0.5);
                else if (word == 0) CHECK(isnan(to[i]) && !signbit(to[i]));
                else CHECK(isinf(to[i]) && signbit(to[i]) == (words[word][0] == '-'));
            }
        }
    }
}

static void broken_syntax_is_refused(void)
{
    refuse(JSON_I8, "", "expected a JSON array, got ''");
    refuse(JSON_I8, "7", "expected a JSON array, got '7'");
    refuse(JSON_I8, "{\"a\":[1]}", "expected a JSON array, got '{'");
    refuse(JSON_I8, "[", "expected a JSON array, got '['");
    refuse(JSON_I8, "[1", "expected a JSON array, got '['");
    refuse(JSON_I8, "[1,]", "[1]: expected an integer in -128..127, got ']'");
    refuse(JSON_I8, "[,1]", "[0]: expected an integer in -128..127, got ','");
    refuse(JSON_I8, "[1 2]", "[1]: expected ',' or ']', got '2'");
    refuse(JSON_I8, "[1]]", "brackets: expected balanced ones, got ']' at the end");
    refuse(JSON_I8, "[[1]", "[1]: brackets: expected balanced ones, got '' at the end");
    refuse(JSON_I8, "[1][2]", "brackets: expected balanced ones, got '[' at the end");
    refuse(JSON_I8, "[[1] [2]]", "[1]: expected ',' or ']', got '['");
    refuse(JSON_I8, "[1,2,3,4,5,6,7,8,9]", "[8]: expected at most 8 elements, got more");
    refuse(JSON_F32, "[1}]", "[1]: expected ',' or ']', got '}'");
}

static void nesting_gives_the_shape_and_ragged_arrays_are_refused(void)
{
    gives(JSON_I8, " [ [ 1 , 2 ] , [ 3 , 4 ] , [ 5 , 6 ] ] ", "[[1,2],[3,4],[5,6]]");
    gives(JSON_I8, "[[[1],[2]],[[3],[4]]]", "[[[1],[2]],[[3],[4]]]");
    gives(JSON_I8, "[]", "[]");
    gives(JSON_I8, "[[],[\n],[]]", "[[],[],[]]");
    gives(JSON_I8, "[[[[[[[[[[[[[[[[1,2]]]]]]]]]]]]]]]]", "[[[[[[[[[[[[[[[[1,2]]]]]]]]]]]]]]]]");
    refuse(JSON_I8, "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]",
           "[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: nesting: expected at most 16 levels, got more");
    refuse(JSON_I8, "[[1,2],[3]]", "[1]: ragged array: expected 2 elements as in the lists before, got 1");
    refuse(JSON_I8, "[[1],[3,4]]", "[1]: ragged array: expected 1 elements as in the lists before, got 2");
    refuse(JSON_I8, "[[1],2]", "[1]: ragged array: expected a list, got '2'");
    refuse(JSON_I8, "[1,[2]]", "[1]: ragged array: expected an integer in -128..127, got a list");
    refuse(JSON_I8, "[[1],[[2]]]", "[1][0]: ragged array: expected an integer in -128..127, got '['");
    refuse(JSON_I8, "[[[1]],[2]]", "[1][0]: ragged array: expected a list, got '2'");
    refuse(JSON_I8, "[[[]],[]]", "[1]: ragged array: expected 1 elements as in the lists before, got 0");
    refuse(JSON_I8, "[[],[1]]", "[1]: ragged array: expected 0 elements as in the lists before, got 1");
    refuse(JSON_I8, "[[[]],[1]]", "[1][0]: ragged array: expected a list, got '1'");
    refuse(JSON_F32, "[[0.5,1],[2,x]]", "[1][1]: expected a number within +-3.4028235e38, got 'x'");
}

/* The text stands at the end of a block of its exact size, so that a sanitizer sees any step outside. */
static void every_cut_and_random_damage_stay_inside(void)
{
    static const char *const texts[] = {"[[1.5e3,-0.25],[1234567890.125,7]]", "[true,[false]]", "[\"a\\u00e9\",\"b\"]",
                                        "[[[]],[-12345678901234567890]]", "[[NaN,-Infinity],[Inf,-1.5]]"};
    uint64_t seed = 5;
    for (size_t t = 0; t < COUNTOF(texts); t++) {
        for (int round = 0; round < 4000; round++) {
            size_t full = strlen(texts[t]), len = round < 100 ? (size_t)round % (full + 1) : full;
            char *json = mem_alloc_raw(len) /* in whole cache lines */;
            char *at = json + (MEM_ALIGN - len % MEM_ALIGN) % MEM_ALIGN;
            memcpy(at, texts[t], len);
            for (size_t n = round < 100 ? 0 : 1 + test_rand(&seed) % 3; n; n--)
                at[test_rand(&seed) % len] = "[]{},:\"\\0123456789.-+eEtfnu \n\x80NaIi"[test_rand(&seed) % 35];
            uint8_t to[64 * sizeof(str)];
            arena strings;
            arena_init(&strings, memory, sizeof memory, sizeof memory);
            json_shape shape;
            err e;
            json_array_opts o = {.elem = (json_elem)(test_rand(&seed) % JSON_ELEMS), .to = to, .count_max = 64,
                                 .strings = &strings};
            if (json_array_parse((str){at, len}, &o, &shape, &e) == ERR_OK) {
                uint64_t count = 1;
                for (size_t d = 0; d < shape.rank; d++) count *= shape.dims[d];
                CHECK_U64(shape.count, count);
            }
            mem_free(json);
        }
    }
}

/* A number as clients write them, and now and then as they do not. */
static size_t number_put(char *to, size_t room, json_elem elem, uint64_t *seed)
{
    static const char *const words[] = {
        "0", "-0", "1", "-1", "12", "100", "7", "99", "12345678", "123456789", "0.5", "-0.25", "127", "0.12345678",
        "1.234567890123456", "0.12350600212812424", "1234567.5", "12345678.5", "1e-5", "-2.5E+3", "16777217",
        "16777217.0", "0.00000000", "1.00000017881393432617187499", "123456.1234567890123",
        "9999999.999999999999", "9999999.9999999999999", "99.123456789012345678", "NaN", "Infinity", "-Infinity",
        "Inf", "-Inf", "-NaN"};   /* integers are refused */
    static const char *const broken[] = {
        "01", "-", "1.", ".5", "1.x", "0x1", "", "1e", "--1", "+1", "1.2.3", "nan", "00.5", "Infi", "NaNN", "-inf",
        "1 2", "1e999",
        "99999999999999999999", "-129", "true", "12345678a", "0.1234567a"};
    uint64_t kind = test_rand(seed) % 64;
    int n;
    if (kind == 0 && test_rand(seed) % 4 == 0) n = snprintf(to, room, "%s", broken[test_rand(seed) % COUNTOF(broken)]);
    else if (kind < 8) n = snprintf(to, room, "%s", words[test_rand(seed) % COUNTOF(words)]);
    else if (elem < JSON_F16) n = snprintf(to, room, "%d", (int)(test_rand(seed) % 120));
    else if (kind < 12)   /* just beside the middle of two float32 values, where rounding twice shows */
        n = snprintf(to, room, "%.*f", (int)(15 + kind % 3),
                     1 + (double)(test_rand(seed) % (1 << 23) * 2 + 1) * 0x1p-24);
    else n = snprintf(to, room, "%.*f", (int)(test_rand(seed) % 18), (double)(test_rand(seed) % 100000) / 777 - 50);
    for (; kind % 8 == 7 && n < 40 && test_rand(seed) % 2; n++) to[n] = " \n\t\r"[test_rand(seed) % 4];
    return (size_t)n;
}

typedef struct {
    char text[4096];
    size_t len;
    size_t good;                /* elements before the first broken one */
    bool broken;
    uint8_t want[128 * 8];
    char error[sizeof ((err *)0)->text];
} long_row;

/* One element by itself is read without looking ahead. */
static void long_row_add(long_row *r, json_elem elem, const char *number, size_t len)
{
    char alone[64];
    json_array_opts o = {.elem = elem, .to = r->want + r->good * json_elem_size(elem), .count_max = 1};
    json_shape shape;
    err e = {0};
    int n = snprintf(alone, sizeof alone, "[%.*s]", (int)len, number);
    memcpy(r->text + r->len, number, len);
    r->len += len;
    if (r->broken) return;
    if (json_array_parse((str){alone, (size_t)n}, &o, &shape, &e) == ERR_OK && shape.count == 1) {
        r->good++;
        return;
    }
    r->broken = true;
    const char *text = strncmp(e.text, "[0]: ", 5) == 0 ? e.text + 5 : e.text;
    snprintf(r->error, sizeof r->error, "%s", text);
}

static void long_rows_read_as_their_elements_do_one_by_one(void)
{
    static const json_elem elems[] = {JSON_U8, JSON_I8, JSON_I16, JSON_U32, JSON_I64, JSON_F32, JSON_F64};
    static long_row r;
    uint64_t seed = 11;
    for (int round = 0; round < 20000; round++) {
        json_elem elem = elems[test_rand(&seed) % COUNTOF(elems)];
        size_t count = 1 + test_rand(&seed) % 100, style = test_rand(&seed) % 3;
        r = (long_row){.text = "[", .len = 1};
        for (size_t i = 0; i < count; i++) {
            char number[48];
            if (i) r.text[r.len++] = ',';
            if (i && style) r.text[r.len++] = style == 1 ? ' ' : '\n';
            long_row_add(&r, elem, number, number_put(number, 48, elem, &seed));
        }
        r.text[r.len++] = ']';
        uint8_t *to = mem_alloc_raw(count * 8);
        size_t block_bytes = (r.len + MEM_ALIGN) / MEM_ALIGN * MEM_ALIGN;   /* it ends where the text does */
        char *block = mem_alloc_raw(block_bytes), *text = block + block_bytes - r.len;
        memcpy(text, r.text, r.len);
        json_array_opts o = {.elem = elem, .to = to, .count_max = count};
        json_shape shape;
        err e = {0};
        err_code rc = json_array_parse((str){text, r.len}, &o, &shape, &e);
        CHECK((rc != ERR_OK) == r.broken);
        if (rc == ERR_OK) {
            CHECK(shape.count == count && memcmp(to, r.want, count * json_elem_size(elem)) == 0);
        } else if (strchr(r.error, ':') == NULL && strstr(r.error, "expected") == r.error) {
            char want[sizeof r.error + 8];
            snprintf(want, sizeof want, "[%zu]: %s", r.good, r.error);
            CHECK_STR(e.text, want);
        }
        mem_free(to);
        mem_free(block);
    }
}

static void a_row_longer_than_its_room_is_refused_wherever_it_ends(void)
{
    char text[2048];
    uint32_t to[200];
    for (size_t count = 1; count < 150; count++) {
        size_t n = 0;
        for (size_t i = 0; i < count; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%c%zu.5", i ? ',' : '[', i);
        text[n++] = ']';
        for (size_t room = 0; room <= count; room++) {
            json_shape shape;
            err e = {0};
            to[room] = 77;
            json_array_opts o = {.elem = JSON_F32, .to = to, .count_max = room};
            err_code rc = json_array_parse((str){text, n}, &o, &shape, &e);
            CHECK((rc == ERR_OK) == (room == count));
            CHECK_U64(to[room], 77);
        }
    }
}

static void decoded_strings_respect_their_arena(void)
{
    str to[2];
    arena strings;
    err e;
    json_shape shape;
    arena_init(&strings, memory, 4, 4);
    json_array_opts o = {.elem = JSON_BYTES, .to = to, .count_max = 2, .strings = &strings};
    CHECK(json_array_parse(STR("[\"plain text needs none\",\"\\n\"]"), &o, &shape, &e) == ERR_OK);
    CHECK(json_array_parse(STR("[\"\\n\",\"\\u0041\\u0042\"]"), &o, &shape, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "[1]: strings: the memory for decoded strings is used up");
}

static void print_gives(const json_array *a, const char *want)
{
    buf b;
    err e = {0};
    buf_init(&b, 1 << 16);
    err_code rc = json_array_print(&b, a, &e);
    buf_put_byte(&b, 0);
    CHECK_STR(rc ? e.text : (const char *)b.p, want);
    buf_fini(&b);
}

static void shapes_print_nested(void)
{
    static const int8_t v[24] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    static const uint64_t dims[] = {2, 3, 2}, empty[] = {2, 0, 3}, none[] = {0, 3}, ones[] = {1, 1, 1};
    print_gives(&(json_array){.elem = JSON_I8, .from = v, .count = 3}, "[0,1,2]");
    print_gives(&(json_array){.elem = JSON_I8, .from = v, .count = 0}, "[]");
    print_gives(&(json_array){.elem = JSON_I8, .from = v, .count = 12, .rank = 3, .dims = dims},
                "[[[0,1],[2,3],[4,5]],[[6,7],[8,9],[10,11]]]");
    print_gives(&(json_array){.elem = JSON_I8, .from = v, .count = 0, .rank = 3, .dims = empty}, "[[],[]]");
    print_gives(&(json_array){.elem = JSON_I8, .from = v, .count = 0, .rank = 2, .dims = none}, "[]");
    print_gives(&(json_array){.elem = JSON_I8, .from = v + 5, .count = 1, .rank = 3, .dims = ones}, "[[[5]]]");
}

static void more_empty_lists_than_can_be_counted_fill_the_buffer(void)
{
    static const uint64_t dims[] = {UINT64_C(1) << 40, UINT64_C(1) << 40, 0};
    buf b;
    err e;
    buf_init(&b, 1000);
    CHECK(json_array_print(&b, &(json_array){.elem = JSON_I8, .rank = 3, .dims = dims}, &e) == ERR_OK);
    CHECK(buf_check(&b, "array", &e) == ERR_LIMIT);
    buf_fini(&b);
}

static void what_is_not_finite_is_a_word_or_null(void)
{
    static const uint16_t f16[] = {0x3c00, 0x7e01, 0x7c00, 0xfc00}, bf16[] = {0x3f80, 0xffc0, 0x7f80, 0xff80};
    static const float f32[] = {1, NAN, INFINITY, -INFINITY};
    static const double f64[] = {1, -NAN, INFINITY, -INFINITY};
    static const void *const from[] = {f16, bf16, f32, f64};
    static const uint64_t dims[] = {2, 2};
    for (size_t i = 0; i < COUNTOF(from); i++) {
        json_array a = {.elem = (json_elem)(JSON_F16 + i), .from = from[i], .count = 4};
        print_gives(&a, "[1.0,NaN,Infinity,-Infinity]");
        a.null_for_nan = true;
        print_gives(&a, "[1.0,null,null,null]");
        a.rank = 2;
        a.dims = dims;
        print_gives(&a, "[[1.0,null],[null,null]]");
    }
}

static void strings_that_are_no_text_are_refused(void)
{
    static const str s[] = {{"ok", 2}, {"\xff", 1}};
    print_gives(&(json_array){.elem = JSON_BYTES, .from = s, .count = 2},
                "element 1: expected UTF-8, got other bytes, which JSON cannot carry: ask for binary output");
}

static void random_tensors_survive_print_and_parse(void)
{
    enum { COUNT = 1500 };
    static const uint8_t infinity[][8] = {
        {0, 0xfc}, {0x80, 0x7f}, {0, 0, 0x80, 0xff}, {0, 0, 0, 0, 0, 0, 0xf0, 0x7f}};
    static uint8_t from[COUNT * 8], to[COUNT * 8];
    uint64_t seed = 8;
    for (json_elem elem = JSON_BOOL; elem < JSON_BYTES; elem = (json_elem)(elem + 1)) {
        for (size_t count = 0; count <= COUNT; count = count * 2 + 1) {
            size_t size = json_elem_size(elem);
            uint8_t mask = elem == JSON_BOOL ? 1 : 255;
            for (size_t i = 0; i < count * size; i++) from[i] = (uint8_t)test_rand(&seed) & mask;
            for (size_t i = size; elem >= JSON_F16 && i <= count * size; i += size) from[i - 1] &= 0xbb;   /* finite, */
            for (size_t i = 0; elem >= JSON_F16 && i < count; i += 1 + test_rand(&seed) % 9)
                memcpy(from + i * size, infinity[elem - JSON_F16], size);   /* or an infinity */
            json_array a = {.elem = elem, .from = from, .count = count};
            json_array_opts o = {.elem = elem, .to = to, .count_max = count};
            json_shape shape;
            err e;
            buf b;
            buf_init(&b, 1 << 20);
            CHECK(json_array_print(&b, &a, &e) == ERR_OK && buf_check(&b, "array", &e) == ERR_OK);
            CHECK(json_array_bound(buf_str(&b)) == (count ? count : 1));
            CHECK(json_array_parse(buf_str(&b), &o, &shape, &e) == ERR_OK);
            CHECK(shape.count == count && shape.rank == 1 && shape.dims[0] == count);
            CHECK(memcmp(from, to, count * size) == 0);
            buf_fini(&b);
        }
    }
}

static void a_full_buf_is_reported_by_the_buf(void)
{
    static const int64_t v[300] = {INT64_MIN};
    static const uint64_t dims[] = {100, 3};
    json_array a = {.elem = JSON_I64, .from = v, .count = 300, .rank = 2, .dims = dims};
    err e;
    buf b;
    buf_init(&b, 500);
    CHECK(json_array_print(&b, &a, &e) == ERR_OK && buf_check(&b, "array", &e) == ERR_LIMIT);
    buf_fini(&b);
    FAULT_SWEEP({ buf_init(&b, 100000); CHECK(json_array_print(&b, &a, &e) == ERR_OK); buf_fini(&b); });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(every_type_reads_its_whole_range),
        TEST(values_out_of_range_or_type_are_refused),
        TEST(floats_may_be_words),
        TEST(words_read_alike_wherever_they_stand),
        TEST(broken_syntax_is_refused),
        TEST(nesting_gives_the_shape_and_ragged_arrays_are_refused),
        TEST(every_cut_and_random_damage_stay_inside),
        TEST(long_rows_read_as_their_elements_do_one_by_one),
        TEST(a_row_longer_than_its_room_is_refused_wherever_it_ends),
        TEST(decoded_strings_respect_their_arena),
        TEST(shapes_print_nested),
        TEST(more_empty_lists_than_can_be_counted_fill_the_buffer),
        TEST(what_is_not_finite_is_a_word_or_null),
        TEST(strings_that_are_no_text_are_refused),
        TEST(random_tensors_survive_print_and_parse),
        TEST(a_full_buf_is_reported_by_the_buf),
    };
    return test_main(cases, COUNTOF(cases));
}
