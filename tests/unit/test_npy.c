/* Headers that NumPy writes are read, ours are laid out as NumPy's, and the data is as long as the header says.  Any
 * strings become text that NumPy reads, and come back byte for byte. */
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
        {"{'descr': '>S5', 'fortran_order': False, 'shape': (2,), }\n", 10, 'S', 5, 1, 2},
        {"{'descr': '<U0', 'fortran_order': False, 'shape': (2,), }\n", 0, 'U', 0, 1, 2},
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
           "npy: descr: expected numbers or text, got pickled objects: save strings with dtype=str");
    refuse("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 8, ERR_UNSUPPORTED,
           "npy: descr: expected one element type, got a structure");
    refuse("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", 4, ERR_UNSUPPORTED,
           "npy: descr: expected little-endian data, got '>f4'");
    refuse("{'descr': '>U1', 'fortran_order': False, 'shape': (1,), }", 4, ERR_UNSUPPORTED,
           "npy: descr: expected little-endian data, got '>U1'");
    refuse("{'descr': '>V2', 'fortran_order': False, 'shape': (1,), }", 2, ERR_UNSUPPORTED,
           "npy: descr: expected little-endian data, got '>V2'");
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

/* ---- text ------------------------------------------------------------------------------------------------------ */

/* Whole characters of every length, and bytes that are part of none, at the start, between and at the end. */
static const str texts[] = {
    {"", 0}, {"a", 1}, {"cat", 3}, {"\xC3\xA9t\xC3\xA9", 5}, {"\xE2\x82\xAC", 3}, {"\xF0\x9F\x98\x80!", 5},
    {"a\0b", 3}, {"\0x", 2}, {"\x80", 1}, {"\xFF\xFE z", 4}, {"x\xE2\x82", 3}, {"\xED\xA0\x80", 3},
    {"\xC0\xAF", 2}, {"\xF4\x90\x80\x80", 4}, {"\xC3\xA9\xC3", 3}};

static npy vector(uint64_t count) { return (npy){.rank = 1, .dims = {count}, .count = count}; }

static str text_file(buf *b, const str *s, uint64_t count)
{
    npy a = vector(count);
    buf_clear(b);
    npy_put_text(b, &a, s);
    return buf_str(b);
}

/* The strings of a file, or the error. */
static err_code text_read(str f, arena *m, str **ret, npy *a, err *e)
{
    str data;
    err_code rc = npy_parse(f, a, &data, e);
    return rc ? rc : npy_text_read(ret, a, data, m, e);
}

static void any_bytes_come_back_from_text(void)
{
    buf b;
    arena m;
    uint64_t seed = 11;
    buf_init(&b, 1 << 16);
    arena_init(&m, NULL, 0, 1 << 20);
    for (int round = 0; round < 300; round++) {
        char bytes[8][6];
        str random[8], *back = NULL;
        const str *s = round ? random : texts;
        uint64_t count = round ? test_rand(&seed) % 9 : COUNTOF(texts);
        for (size_t i = 0; i < 8; i++) {
            for (size_t k = 0; k < 6; k++)
                bytes[i][k] = "az\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\xED\xA0\xFF"[test_rand(&seed) % 13];
            random[i] = (str){bytes[i], test_rand(&seed) % 7};
        }
        npy a;
        err e = {0};
        arena_reset(&m);
        if (text_read(text_file(&b, s, count), &m, &back, &a, &e)) CHECK_STR(e.text, "");
        CHECK(a.kind == 'U' && a.count == count);
        for (size_t i = 0; i < count && back; i++) CHECK(str_eq(back[i], s[i]));
    }
    arena_fini(&m);
    buf_fini(&b);
}

static void text_is_laid_out_as_numpys(void)
{
    static const str s[] = {{"\xC3\xA9", 2}, {"", 0}, {"a\xFF\0", 3}};
    static const uint32_t want[] = {0xE9, 0, 0, 0, 0, 0, 'a', 0xDCFF, 0};
    buf b;
    buf_init(&b, 4096);
    str f = text_file(&b, s, 3);
    CHECK(memcmp(f.p + 10, "{'descr': '<U3', 'fortran_order': False, 'shape': (3,), }", 57) == 0);
    CHECK_U64(f.len, 128 + sizeof want);
    CHECK(memcmp(f.p + 128, want, sizeof want) == 0);
    f = text_file(&b, s + 1, 1);   /* one wide, as NumPy writes it */
    CHECK(memcmp(f.p + 10, "{'descr': '<U1'", 15) == 0 && f.len == 132 && memcmp(f.p + 128, "\0\0\0", 4) == 0);
    f = text_file(&b, NULL, 0);
    CHECK(memcmp(f.p + 10, "{'descr': '<U1'", 15) == 0 && f.len == 128);
    buf_fini(&b);
}

/* NULs that fill a cell are no part of the string, NULs within it are; bytes need no encoding. */
static void cells_end_where_only_nuls_follow(void)
{
    static const struct { const char *header, *data; size_t len; str want[2]; } rows[] = {
        {"{'descr': '|S3', 'fortran_order': False, 'shape': (2,), }", "ab\0\0\xFF\xC3", 6,
         {{"ab", 2}, {"\0\xFF\xC3", 3}}},
        {"{'descr': '|S3', 'fortran_order': False, 'shape': (2,), }", "\0\0\0a\0b", 6, {{"", 0}, {"a\0b", 3}}},
        {"{'descr': '<U1', 'fortran_order': False, 'shape': (2,), }", "\xE9\0\0\0\0\0\0\0", 8,
         {{"\xC3\xA9", 2}, {"", 0}}},
        {"{'descr': '<U1', 'fortran_order': False, 'shape': (2,), }", "\xFF\xFF\x10\0\x80\xDC\0\0", 8,
         {{"\xF4\x8F\xBF\xBF", 4}, {"\x80", 1}}},
        {"{'descr': '<U2', 'fortran_order': False, 'shape': (2,), }", "\0\1\0\0\0\0\0\0\0\0\0\0a\0\0\0", 16,
         {{"\xC4\x80", 2}, {"\0a", 2}}},
        {"{'descr': '<U0', 'fortran_order': False, 'shape': (2,), }", "", 0, {{"", 0}, {"", 0}}},
        {"{'descr': '|S0', 'fortran_order': False, 'shape': (2,), }", "", 0, {{"", 0}, {"", 0}}},
    };
    buf b;
    arena m;
    buf_init(&b, 4096);
    arena_init(&m, NULL, 0, 1 << 16);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        npy a;
        err e = {0};
        str *s = NULL;
        file(&b, rows[i].header, 0);
        buf_put(&b, rows[i].data, rows[i].len);
        if (text_read(buf_str(&b), &m, &s, &a, &e)) CHECK_STR(e.text, rows[i].header);
        for (size_t k = 0; k < 2 && s; k++) CHECK(str_eq(s[k], rows[i].want[k]));
    }
    arena_fini(&m);
    buf_fini(&b);
}

static void code_points_that_are_no_characters_are_refused(void)
{
    static const struct { uint32_t code; const char *text; } rows[] = {
        {0xD800, "npy: string 1: expected Unicode characters, got U+D800"},
        {0xDC7F, "npy: string 1: expected Unicode characters, got U+DC7F"},
        {0xDD00, "npy: string 1: expected Unicode characters, got U+DD00"},
        {0xDFFF, "npy: string 1: expected Unicode characters, got U+DFFF"},
        {0x110000, "npy: string 1: expected Unicode characters, got U+110000"},
        {0xFFFFFFFF, "npy: string 1: expected Unicode characters, got U+FFFFFFFF"}};
    buf b;
    arena m;
    buf_init(&b, 4096);
    arena_init(&m, NULL, 0, 1 << 16);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        npy a;
        err e = {0};
        str *s = NULL;
        file(&b, "{'descr': '<U2', 'fortran_order': False, 'shape': (2,), }", 0);
        buf_put(&b, "a\0\0\0\0\0\0\0z\0\0\0", 12);
        buf_put(&b, &rows[i].code, 4);
        CHECK(text_read(buf_str(&b), &m, &s, &a, &e) == ERR_INVALID && !s);
        CHECK_STR(e.text, rows[i].text);
    }
    arena_fini(&m);
    buf_fini(&b);
}

static void every_cut_of_text_is_refused(void)
{
    buf b;
    arena m;
    buf_init(&b, 1 << 16);
    arena_init(&m, NULL, 0, 1 << 16);
    str whole = text_file(&b, texts, COUNTOF(texts));
    for (size_t cut = 0; cut < whole.len; cut++) {
        char *copy = mem_alloc0(1, cut);   /* a block of its own: a read past the cut is one past the block */
        npy a;
        err e;
        str *s = NULL;
        memcpy(copy, whole.p, cut);
        CHECK(text_read((str){copy, cut}, &m, &s, &a, &e) == ERR_INVALID);
        mem_free(copy);
    }
    arena_fini(&m);
    buf_fini(&b);
}

static void text_meets_its_limits_in_order(void)
{
    npy a = {.kind = 'U', .rank = 1, .dims = {NPY_EMPTY_MAX + 1}, .count = NPY_EMPTY_MAX + 1};
    str *s = NULL;
    buf b;
    err e;
    FAULT_SWEEP({
        arena m;
        arena_init(&m, NULL, 0, 1 << 16);
        npy two = vector(2);
        buf_init(&b, 200);
        npy_put_text(&b, &two, texts + 1);
        if (!b.full) (void)(text_read(buf_str(&b), &m, &s, &two, &e) == ERR_OK);
        buf_fini(&b);
        arena_fini(&m);
    });
    arena small;
    arena_init(&small, NULL, 0, 64);
    CHECK(npy_text_read(&s, &a, STR(""), &small, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "npy: data: expected at most 1048576 strings of width 0, got 1048577");
    a = (npy){.kind = 'S', .item_bytes = 1, .rank = 1, .dims = {20}, .count = 20};
    CHECK(npy_text_read(&s, &a, STR("aaaaaaaaaaaaaaaaaaaa"), &small, &e) == ERR_NOMEM);
    CHECK_STR(e.text, "npy: no memory for 20 strings");
    arena_fini(&small);
    buf_init(&b, 200);   /* the header fits, its data does not */
    text_file(&b, texts, COUNTOF(texts));
    CHECK(b.full && buf_check(&b, "out", &e) == ERR_LIMIT);
    buf_fini(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(headers_of_numpy_are_read),
        TEST(what_no_tensor_holds_is_refused_by_name),
        TEST(broken_headers_are_refused),
        TEST(what_is_written_is_read),
        TEST(any_bytes_come_back_from_text),
        TEST(text_is_laid_out_as_numpys),
        TEST(cells_end_where_only_nuls_follow),
        TEST(code_points_that_are_no_characters_are_refused),
        TEST(every_cut_of_text_is_refused),
        TEST(text_meets_its_limits_in_order),
    };
    return test_main(cases, COUNTOF(cases));
}
