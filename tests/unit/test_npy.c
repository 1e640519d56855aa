/* Headers that NumPy writes are read, ours are laid out as NumPy's, and the data is as long as the header says. */
#include "wire/npy.h"
#include "test.h"

/* A version 1 file with this header and that many bytes of data. */
static str file(buf *b, const char *header, size_t data)
{
    size_t n = strlen(header);
    buf_clear(b);
    buf_put(b, "\x93NUMPY\1\0", 8);
    buf_put_byte(b, (uint8_t)n);
    buf_put_byte(b, (uint8_t)(n >> 8));
    buf_put_z(b, header);
    while (data--) buf_put_byte(b, 7);
    return buf_str(b);
}

static void headers_of_numpy_are_read(void)
{
    static const struct {
        const char *header;
        size_t data;
        char kind;
        size_t item_bytes, rank;
        uint64_t count;
    } rows[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }          \n", 24, 'f', 4, 2, 6},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (5,), }\n", 5, 'u', 1, 1, 5},
        {"{'descr': '|b1', 'fortran_order': True, 'shape': (), }\n", 1, 'b', 1, 0, 1},
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (0, 3), }\n", 0, 'f', 2, 2, 0},
        {"{'descr': '<U3', 'fortran_order': False, 'shape': (2,), }\n", 24, 'U', 12, 1, 2},
        {"{'descr': '|S5', 'fortran_order': False, 'shape': (2,), }\n", 10, 'S', 5, 1, 2},
        {"{'descr': '<V2', 'fortran_order': False, 'shape': (4,), }\n", 8, 'V', 2, 1, 4},
        {"{'shape':(3L,1L),'fortran_order':False,\"descr\":\"|i1\"}", 3, 'i', 1, 2, 3},
        {"{'descr': '>i1', 'fortran_order': False, 'shape': (1,), }\n", 1, 'i', 1, 1, 1},
    };
    buf b;
    buf_init(&b, 4096);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        npy a;
        str data;
        err e = {0};
        str f = file(&b, rows[i].header, rows[i].data);
        if (npy_parse(f, &a, &data, &e)) CHECK_STR(e.text, rows[i].header);
        CHECK(a.kind == rows[i].kind && a.item_bytes == rows[i].item_bytes && a.rank == rows[i].rank);
        CHECK(a.count == rows[i].count && data.len == rows[i].data && data.p + data.len == f.p + f.len);
        CHECK(a.fortran == (strstr(rows[i].header, "True") != NULL));
    }
    buf_fini(&b);
}

static void refuse(const char *header, size_t data, err_code want, const char *text)
{
    buf b;
    npy a;
    str s;
    err e = {0};
    buf_init(&b, 4096);
    CHECK(npy_parse(file(&b, header, data), &a, &s, &e) == want);
    CHECK_STR(e.text, text);
    buf_fini(&b);
}

static void what_no_tensor_holds_is_refused_by_name(void)
{
    refuse("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8, ERR_UNSUPPORTED,
           "npy: descr: expected numbers or text, got pickled objects");
    refuse("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 8, ERR_UNSUPPORTED,
           "npy: descr: expected one element type, got a structure");
    refuse("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", 4, ERR_UNSUPPORTED,
           "npy: descr: expected little-endian data, got '>f4'");
    refuse("{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (1,), }", 8, ERR_UNSUPPORTED,
           "npy: descr: expected a number or text type, got '<M8[ns]'");
    refuse("{'descr': 'f4', 'fortran_order': False, 'shape': (1,), }", 4, ERR_INVALID,
           "npy: descr: expected a type such as '<f4', got 'f4'");
}

static void broken_headers_are_refused(void)
{
    refuse("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 7, ERR_INVALID,
           "npy: data: expected 2 elements of 4 bytes, got 7 bytes");
    refuse("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 9, ERR_INVALID,
           "npy: data: expected 2 elements of 4 bytes, got 9 bytes");
    refuse("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387905,), }", 4, ERR_INVALID,
           "npy: data: expected 4611686018427387905 elements of 4 bytes, got 4 bytes");
    refuse("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 0, ERR_INVALID,
           "npy: shape: more elements than 64 bits can count");
    refuse("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 0, ERR_INVALID,
           "npy: shape: expected integers");
    refuse("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 0, ERR_INVALID,
           "npy: shape: expected integers");
    refuse("{'descr': '<f4', 'fortran_order': False, 'shape': (1 2), }", 0, ERR_INVALID,
           "npy: shape: expected ',' or ')'");
    refuse("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }", 4, ERR_INVALID,
           "npy: fortran_order: expected True or False");
    refuse("{'descr': '<f4', 'shape': (1,), }", 4, ERR_INVALID, "npy: header: expected descr, fortran_order and shape");
    refuse("{'descr': '<f4', 'descr': '<f4'}", 4, ERR_INVALID,
           "npy: header: expected descr, fortran_order and shape once, got 'descr'");
    refuse("{'x': 1}", 4, ERR_INVALID, "npy: header: expected descr, fortran_order and shape once, got 'x'");
    refuse("[1]", 4, ERR_INVALID, "npy: header: expected a dictionary");
    refuse("", 4, ERR_INVALID, "npy: header: expected a dictionary");

    npy a;
    str s;
    err e = {0};
    CHECK(npy_parse(STR("PK\3\4 and so on, long enough"), &a, &s, &e) == ERR_INVALID);
    CHECK_STR(e.text, "npy: expected a .npy file, got other bytes");
    CHECK(npy_parse(STR("\x93NUMPY\4\0\0\0\0\0"), &a, &s, &e) == ERR_UNSUPPORTED);
    CHECK_STR(e.text, "npy: version: expected 1 to 3, got 4");
    CHECK(npy_parse(STR("\x93NUMPY\2\0\xff\xff\xff\xff{}"), &a, &s, &e) == ERR_INVALID);
    CHECK_STR(e.text, "npy: header: expected at most 2 bytes, got 4294967295");
    CHECK(npy_parse(STR(""), &a, &s, &e) == ERR_INVALID);
}

static void what_is_written_is_read(void)
{
    static const struct { char kind; size_t item_bytes; const char *descr; } kinds[] = {
        {'f', 4, "'<f4'"}, {'b', 1, "'|b1'"}, {'u', 8, "'<u8'"}, {'V', 2, "'|V2'"},
        {'S', 3, "'|S3'"}, {'U', 8, "'<U2'"}, {'U', 4, "'<U1'"}};
    buf b;
    buf_init(&b, 1 << 16);
    for (size_t k = 0; k < COUNTOF(kinds); k++) {
        for (size_t rank = 0; rank <= NPY_RANK_MAX; rank = rank * 2 + 1) {
            npy a = {.kind = kinds[k].kind, .item_bytes = kinds[k].item_bytes, .rank = rank, .count = 1}, back = {0};
            str data;
            err e;
            for (size_t i = 0; i < rank; i++) a.dims[i] = 1 + (i % 16 == 3);
            for (size_t i = 0; i < rank; i++) a.count *= a.dims[i];
            buf_clear(&b);
            npy_put_header(&b, &a);
            CHECK_U64(b.len % 64, 0);
            CHECK(b.p[b.len - 1] == '\n');
            for (uint64_t i = 0; i < a.count * a.item_bytes; i++) buf_put_byte(&b, 1);
            CHECK(npy_parse(buf_str(&b), &back, &data, &e) == ERR_OK);
            CHECK(memcmp(&a, &back, sizeof a) == 0);
            for (size_t cut = 0; rank == 3 && cut < b.len; cut++)
                CHECK(npy_parse((str){(const char *)b.p, cut}, &back, &data, &e) != ERR_OK);
            buf_put_byte(&b, 0);
            CHECK(strstr((const char *)b.p + 10, kinds[k].descr) != NULL);
        }
    }
    buf_fini(&b);
    npy a = {.kind = 'f', .item_bytes = 4, .rank = 1, .dims = {3}, .count = 3};
    FAULT_SWEEP({ buf_init(&b, 200); npy_put_header(&b, &a); buf_fini(&b); });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(headers_of_numpy_are_read),
        TEST(what_no_tensor_holds_is_refused_by_name),
        TEST(broken_headers_are_refused),
        TEST(what_is_written_is_read),
    };
    return test_main(cases, COUNTOF(cases));
}
