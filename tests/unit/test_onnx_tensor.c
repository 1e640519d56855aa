/* A tensor is the same whichever of ONNX's ways it was written in, and a message that lies about its size, cut or
 * not, costs nothing and gives an error that names the tensor. */
#include "engine/onnx_tensor.h"
#include "test.h"

enum { FLOATS = 4, INT32S = 5, STRINGS = 6, INT64S = 7, DOUBLES = 10, UINT64S = 11 };
enum { SPARSE_VALUES = 1, SPARSE_INDICES = 2, SPARSE_DIMS = 3 };

static uint32_t field_of(dtype t)
{
    switch (t) {
    case DT_F32: case DT_C64: return FLOATS;
    case DT_F64: case DT_C128: return DOUBLES;
    case DT_I64: return INT64S;
    case DT_U32: case DT_U64: return UINT64S;
    case DT_STRING: return STRINGS;
    default: return INT32S;
    }
}

static void head_put(buf *b, int64_t type, const int64_t *dims, size_t rank)
{
    buf_clear(b);
    for (size_t i = 0; i < rank; i++) pb_put_i64(b, 1, dims[i]);
    if (type) pb_put_i64(b, 2, type);
    pb_put_str(b, 8, STR("w"));
}

static void varint_put(buf *b, uint64_t v)
{
    for (; v > 0x7F; v >>= 7) buf_put_byte(b, (uint8_t)(v | 0x80));
    buf_put_byte(b, (uint8_t)v);
}

/* The bytes of t as ONNX's typed lists: one number for each item, signed ones as long as protobuf makes them. */
static void items_put(buf *b, const tensor *t, bool packed)
{
    uint32_t field = field_of(t->type), size = dtype_bits(t->type) < 8 ? 1 : dtype_bits(t->type) / 8;
    if (t->type == DT_C64 || t->type == DT_C128) size /= 2;
    size_t opened = packed ? pb_open(b, field) : 0;
    for (size_t at = 0; at < tensor_bytes(t); at += size) {
        uint64_t v = 0;
        memcpy(&v, (const uint8_t *)t->data + at, size);
        if (dtype_kind_of(t->type) == KIND_INT && size < 8 && dtype_bits(t->type) >= 8)
            v = (uint64_t)((int64_t)(v << (64 - 8 * size)) >> (64 - 8 * size));
        if (packed && field == FLOATS) buf_put(b, &v, 4);
        else if (packed && field == DOUBLES) buf_put(b, &v, 8);
        else if (packed) varint_put(b, v);
        else if (field == FLOATS) pb_put_fixed32(b, field, (uint32_t)v);
        else if (field == DOUBLES) pb_put_fixed64(b, field, v);
        else pb_put_u64(b, field, v);
    }
    if (packed) pb_close(b, opened);
}

static err_code read_bytes(const void *bytes, size_t len, arena *a, tensor *ret, err *e)
{
    pb message;
    str name = {0};
    onnx_tensor_opts o = {.memory = a, .dense_max = ONNX_SPARSE_MAX};
    pb_init(&message, bytes, len);
    err_code rc = onnx_tensor_read(ret, &name, message, &o, e);
    if (!rc) CHECK(str_is(name, "w") || name.len == 0);
    return rc;
}

static void check_same(buf *b, const tensor *want, const char *how)
{
    arena a;
    err e = {0};
    tensor got = {0};
    arena_init(&a, NULL, 0, 1 << 16);
    err_code rc = read_bytes(b->p, b->len, &a, &got, &e);
    if (rc) printf("# %s %s: %s\n", dtype_name(want->type), how, e.text);
    CHECK(rc == ERR_OK && got.type == want->type && shape_eq(&got.shape, &want->shape));
    if (!rc) CHECK(memcmp(got.data, want->data, tensor_bytes(want)) == 0);
    arena_fini(&a);
}

/* Other writers put other bytes; what runs later must not see a bool that is neither true nor false. */
static void any_byte_but_0_is_true(void)
{
    const int64_t dims[] = {4};
    uint8_t wild[4] = {0, 1, 2, 255}, tame[4] = {0, 1, 1, 1};
    shape s = shape_make(1, dims);
    tensor given = tensor_make(DT_BOOL, &s, wild), want = tensor_make(DT_BOOL, &s, tame);
    buf b;
    buf_init(&b, 4096);
    head_put(&b, DT_BOOL, dims, 1);
    pb_put_bytes(&b, 9, wild, sizeof wild);
    check_same(&b, &want, "raw");
    head_put(&b, DT_BOOL, dims, 1);
    items_put(&b, &given, true);
    check_same(&b, &want, "packed");
    buf_fini(&b);
}

static void every_type_is_the_same_in_every_form(void)
{
    const int64_t dims[] = {3, 2};
    shape s = shape_make(2, dims);
    uint64_t seed = 3;
    buf b;
    buf_init(&b, 4096);
    for (int type = 1; type < DT_COUNT; type++) {
        _Alignas(16) uint8_t bytes[6 * 16 + 1];
        tensor t = tensor_make((dtype)type, &s, bytes);
        if (type == DT_STRING) continue;
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = type == DT_BOOL ? test_rand(&seed) & 1 : (uint8_t)test_rand(&seed);
        for (int packed = 0; packed < 2; packed++) {
            head_put(&b, type, dims, 2);
            items_put(&b, &t, packed);
            check_same(&b, &t, packed ? "packed" : "one by one");
        }
        for (size_t shift = 0; shift < 9; shift++) {   /* raw data lies where the message before it ends */
            head_put(&b, type, dims, 2);
            pb_put_bytes(&b, 12, "documentation", shift);
            pb_put_bytes(&b, 9, bytes, tensor_bytes(&t));
            check_same(&b, &t, "raw");
        }
        buf_clear(&b);
        onnx_tensor_write(&b, &t, STR("w"));
        check_same(&b, &t, "written");
    }
    buf_fini(&b);
}

static void strings_keep_their_bytes(void)
{
    const str words[] = {STR("cat"), STR(""), STR("\xff\0x")};
    shape s = shape_make(1, (const int64_t[]){3});
    tensor t = tensor_make(DT_STRING, &s, (void *)(uintptr_t)words), got = {0};
    arena a;
    buf b;
    err e = {0};
    buf_init(&b, 4096);
    arena_init(&a, NULL, 0, 1 << 16);
    onnx_tensor_write(&b, &t, STR(""));
    CHECK(read_bytes(b.p, b.len, &a, &got, &e) == ERR_OK && got.type == DT_STRING && tensor_count(&got) == 3);
    for (size_t i = 0; i < 3 && got.data; i++) CHECK(str_eq(((const str *)got.data)[i], words[i]));
    arena_fini(&a);
    buf_fini(&b);
}

static void empty_tensors_and_scalars_need_no_data(void)
{
    buf b;
    arena a;
    err e;
    tensor t;
    buf_init(&b, 4096);
    arena_init(&a, NULL, 0, 64);
    for (int type = 1; type < DT_COUNT; type++) {
        head_put(&b, type, (const int64_t[]){0, 1ll << 40}, 2);
        CHECK(read_bytes(b.p, b.len, &a, &t, &e) == ERR_OK && tensor_count(&t) == 0 && !t.data);
        if (type != DT_STRING) pb_put_bytes(&b, 9, "", 0);
        CHECK(read_bytes(b.p, b.len, &a, &t, &e) == ERR_OK && tensor_count(&t) == 0);
    }
    head_put(&b, DT_I64, NULL, 0);
    pb_put_i64(&b, INT64S, -7);
    CHECK(read_bytes(b.p, b.len, &a, &t, &e) == ERR_OK && t.shape.rank == 0 && *(const int64_t *)t.data == -7);
    arena_fini(&a);
    buf_fini(&b);
}

/* ---- lies ------------------------------------------------------------------------------------------------------ */

static void refuse(buf *b, err_code code, const char *text)
{
    arena a;
    err e = {0};
    tensor t;
    long before = mem_allocs();
    arena_init(&a, NULL, 0, 1 << 16);
    CHECK(read_bytes(b->p, b->len, &a, &t, &e) == code);
    CHECK_STR(e.text, text);
    CHECK(mem_allocs() - before <= 1);   /* what the bytes bear out, not what is declared */
    arena_fini(&a);
}

static void sizes_are_held_against_the_bytes(void)
{
    buf b;
    buf_init(&b, 4096);
    head_put(&b, DT_F32, (const int64_t[]){1ll << 33}, 1);
    refuse(&b, ERR_INVALID, "tensor 'w': data: expected 8589934592 items, got 0");
    pb_put_bytes(&b, 9, "12345678", 8);
    refuse(&b, ERR_INVALID, "tensor 'w': data: expected 34359738368 bytes, got 8");
    head_put(&b, DT_F32, (const int64_t[]){1ll << 62}, 1);
    refuse(&b, ERR_INVALID, "tensor 'w': shape [4611686018427387904]: too large");
    head_put(&b, DT_U8, (const int64_t[]){1ll << 62, 1ll << 62}, 2);
    refuse(&b, ERR_INVALID, "tensor 'w': shape [4611686018427387904,4611686018427387904]: too large");
    head_put(&b, DT_U8, (const int64_t[]){0, 1ll << 41}, 2);
    refuse(&b, ERR_INVALID, "tensor 'w': shape [0,2199023255552]: too large");
    head_put(&b, DT_U8, (const int64_t[]){2, -1}, 2);
    refuse(&b, ERR_INVALID, "tensor 'w': dimensions: expected 0 or more, got -1");
    head_put(&b, DT_U8, (const int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, 9);
    refuse(&b, ERR_UNSUPPORTED, "tensor 'w': more than 8 dimensions: not implemented");
    head_put(&b, DT_I32, (const int64_t[]){2}, 1);
    pb_put_i64(&b, INT32S, 1);
    refuse(&b, ERR_INVALID, "tensor 'w': data: expected 2 items, got 1");
    pb_put_i64(&b, INT32S, 1);
    pb_put_i64(&b, INT32S, 1);
    refuse(&b, ERR_INVALID, "tensor 'w': data: expected 2 items, got 3");
    head_put(&b, DT_C64, (const int64_t[]){1}, 1);
    pb_put_f32(&b, FLOATS, 1);
    refuse(&b, ERR_INVALID, "tensor 'w': data: expected 2 items, got 1");
    head_put(&b, DT_I64, (const int64_t[]){1}, 1);   /* a whole item, and one without an end */
    pb_put_bytes(&b, INT64S, "\x01\x80", 2);
    refuse(&b, ERR_INVALID, "tensor 'w': data: byte 10: field 7: truncated: the message ends inside a value");
    head_put(&b, DT_I64, (const int64_t[]){1}, 1);   /* one item by its count, none by its bytes */
    pb_put_bytes(&b, INT64S, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11);
    refuse(&b, ERR_INVALID, "tensor 'w': data: byte 9: field 7: varint: expected at most 64 bits, got more");
    buf_fini(&b);
}

static void data_comes_in_one_form_that_fits_its_type(void)
{
    const int64_t one[] = {1};
    buf b;
    buf_init(&b, 4096);
    head_put(&b, DT_F32, one, 1);
    pb_put_i64(&b, INT32S, 1);
    refuse(&b, ERR_INVALID, "tensor 'w': data: expected field 4 for float32, got field 5");
    pb_put_f32(&b, FLOATS, 1);
    refuse(&b, ERR_INVALID, "tensor 'w': data: given in two fields (5 and 4)");
    head_put(&b, DT_F32, one, 1);
    pb_put_f32(&b, FLOATS, 1);
    pb_put_bytes(&b, 9, "1234", 4);
    refuse(&b, ERR_INVALID, "tensor 'w': data: given both raw and typed");
    head_put(&b, DT_STRING, one, 1);
    pb_put_bytes(&b, 9, "1234567890123456", 16);
    refuse(&b, ERR_INVALID, "tensor 'w': raw data: expected string_data for strings");
    head_put(&b, 0, one, 1);
    refuse(&b, ERR_INVALID, "tensor 'w': data type: expected one, got none");
    head_put(&b, 99, one, 1);
    refuse(&b, ERR_UNSUPPORTED, "tensor 'w': data type 99: not implemented");
    head_put(&b, -1, one, 1);
    refuse(&b, ERR_UNSUPPORTED, "tensor 'w': data type -1: not implemented");
    head_put(&b, DT_F32, one, 1);
    pb_put_bytes(&b, 3, "", 0);
    refuse(&b, ERR_UNSUPPORTED, "tensor 'w': data in segments: not implemented");
    buf_clear(&b);   /* the name may come last, and may be missing */
    pb_put_i64(&b, 2, 99);
    refuse(&b, ERR_UNSUPPORTED, "tensor '': data type 99: not implemented");
    pb_put_str(&b, 8, STR("late"));
    refuse(&b, ERR_UNSUPPORTED, "tensor 'late': data type 99: not implemented");
    buf_fini(&b);
}

static void every_cut_is_refused_or_harmless(void)
{
    buf b;
    buf_init(&b, 4096);
    head_put(&b, DT_I32, (const int64_t[]){2, 2}, 2);
    for (int64_t i = -2; i < 2; i++) pb_put_i64(&b, INT32S, i);
    for (size_t cut = 0; cut < b.len; cut++) {
        arena a;
        err e;
        tensor t;
        void *copy = mem_alloc0(1, cut);   /* of just that size: ASan sees a read past it */
        memcpy(copy, b.p, cut);
        arena_init(&a, NULL, 0, 1 << 16);
        CHECK(read_bytes(copy, cut, &a, &t, &e) != ERR_OK);
        arena_fini(&a);
        mem_free(copy);
    }
    buf_fini(&b);
}

/* ---- external data --------------------------------------------------------------------------------------------- */

typedef struct {
    onnx_external x;
    str file, asked;
    uint64_t offset, bytes;
} folder;

static err_code folder_map(onnx_external *x, str location, uint64_t offset, uint64_t bytes, str *ret, err *e)
{
    folder *f = (folder *)(void *)x;
    f->asked = location;
    f->offset = offset;
    f->bytes = bytes;
    if (offset > f->file.len || bytes > f->file.len - offset) return err_set(e, ERR_INVALID, "too short");
    *ret = (str){f->file.p + offset, (size_t)bytes};
    return ERR_OK;
}

static void entry_put(buf *b, const char *key, const char *value)
{
    size_t at = pb_open(b, 13);
    pb_put_str(b, 1, str_of(key));
    pb_put_str(b, 2, str_of(value));
    pb_close(b, at);
}

static void external_data_is_asked_for_by_place_and_size(void)
{
    static const struct { const char *offset, *length, *error; } rows[] = {
        {"4", "8", NULL}, {"4", NULL, NULL}, {NULL, "8", NULL}, {"5", NULL, NULL},
        {"4", "9", "tensor 'w': external data: length: expected 8, got 9"}, {"100", NULL, "tensor 'w': too short"},
        {"x", NULL, "tensor 'w': external_data: offset: expected a number, got 'x'"},
        {"-1", NULL, "tensor 'w': external_data: offset: expected a number, got '-1'"},
        {"0", "8 ", "tensor 'w': external_data: length: expected a number, got '8 '"}};
    static const char bytes[] = "0123456789abcdef";
    folder f = {.x = {.map = folder_map}, .file = str_of(bytes)};
    buf b;
    arena a;
    buf_init(&b, 4096);
    arena_init(&a, NULL, 0, 1 << 16);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        onnx_tensor_opts o = {.memory = &a, .external = &f.x};
        tensor t = {0};
        str name;
        pb message;
        err e = {0};
        head_put(&b, DT_F32, (const int64_t[]){2}, 1);
        entry_put(&b, "location", "w.bin");
        if (rows[i].offset) entry_put(&b, "offset", rows[i].offset);
        if (rows[i].length) entry_put(&b, "length", rows[i].length);
        entry_put(&b, "checksum", "unread");
        pb_put_i64(&b, 14, 1);
        pb_init(&message, b.p, b.len);
        err_code rc = onnx_tensor_read(&t, &name, message, &o, &e);
        CHECK_STR(rc ? e.text : "", rows[i].error ? rows[i].error : "");
        if (rc) continue;
        CHECK(str_is(f.asked, "w.bin") && f.bytes == 8);
        CHECK_U64(f.offset, rows[i].offset ? (uint64_t)(*rows[i].offset - '0') : 0);
        CHECK(memcmp(t.data, bytes + f.offset, 8) == 0);
        CHECK((uintptr_t)t.data % _Alignof(float) == 0);
        o.external = NULL;
        CHECK(onnx_tensor_read(&t, &name, message, &o, &e) == ERR_INVALID);
        CHECK_STR(e.text, "tensor 'w': external data: not allowed here");
    }
    arena_fini(&a);
    buf_fini(&b);
}

/* ---- sparse ---------------------------------------------------------------------------------------------------- */

static void part_put(buf *b, uint32_t field, const tensor *t)
{
    size_t at = pb_open(b, field);
    onnx_tensor_write(b, t, field == SPARSE_VALUES ? STR("s") : STR(""));
    pb_close(b, at);
}

static err_code sparse_read(buf *b, arena *a, uint64_t dense_max, tensor *ret, err *e)
{
    pb message;
    str name;
    onnx_tensor_opts o = {.memory = a, .dense_max = dense_max};
    pb_init(&message, b->p, b->len);
    err_code rc = onnx_sparse_read(ret, &name, message, &o, e);
    if (!rc) CHECK(str_is(name, "s"));
    return rc;
}

static void sparse_put(buf *b, const int64_t *indices, size_t per_value, const int64_t *dims, size_t rank)
{
    static const float values[2] = {1.5f, -2};
    shape two = shape_make(1, (const int64_t[]){2}), grid = shape_make(2, (const int64_t[]){2, (int64_t)per_value});
    tensor v = tensor_make(DT_F32, &two, (void *)(uintptr_t)values);
    tensor i = tensor_make(DT_I64, per_value ? &grid : &two, (void *)(uintptr_t)indices);
    buf_clear(b);
    part_put(b, SPARSE_VALUES, &v);
    part_put(b, SPARSE_INDICES, &i);
    for (size_t d = 0; d < rank; d++) pb_put_i64(b, SPARSE_DIMS, dims[d]);
}

static void sparse_tensors_become_dense(void)
{
    const float want[6] = {0, 1.5f, 0, 0, 0, -2};
    buf b;
    arena a;
    err e = {0};
    tensor t = {0};
    buf_init(&b, 4096);
    arena_init(&a, NULL, 0, 1 << 16);
    for (int coordinates = 0; coordinates < 2; coordinates++) {
        sparse_put(&b, coordinates ? (const int64_t[]){0, 1, 1, 2} : (const int64_t[]){1, 5}, coordinates ? 2 : 0,
                   (const int64_t[]){2, 3}, 2);
        CHECK(sparse_read(&b, &a, 24, &t, &e) == ERR_OK && t.type == DT_F32 && tensor_count(&t) == 6);
        CHECK(t.data && memcmp(t.data, want, sizeof want) == 0);
        CHECK(sparse_read(&b, &a, 23, &t, &e) == ERR_LIMIT);
        CHECK_STR(e.text, "sparse tensor 's': shape [2,3]: more than 23 bytes");
    }
    arena_fini(&a);
    buf_fini(&b);
}

static void indices_outside_of_a_sparse_tensor_are_refused(void)
{
    static const struct {
        int64_t indices[4];
        size_t per_value;
        int64_t dims[2];
        size_t rank;
        const char *text;
    } rows[] = {
        {{1, 6}, 0, {2, 3}, 2, "sparse tensor 's': indices: expected less than 6, got 6"},
        {{1, -1}, 0, {2, 3}, 2, "sparse tensor 's': indices: expected less than 6, got -1"},
        {{0, 1, 2, 0}, 2, {2, 3}, 2, "sparse tensor 's': indices: expected 0..1, got 2"},
        {{0, 1, 0, -1}, 2, {2, 3}, 2, "sparse tensor 's': indices: expected 0..2, got -1"},
        {{0, 0}, 1, {2, 3}, 2, "sparse tensor 's': indices: expected int64 for 2 values, got int64 [2,1]"},
        {{0, 0}, 0, {0, 3}, 2, "sparse tensor 's': indices: expected less than 0, got 0"},
        {{0, 0, 0, 0}, 2, {0, 3}, 2, "sparse tensor 's': indices: expected 0..-1, got 0"},
        {{0, 0}, 0, {1ll << 40, 1ll << 40}, 2,
         "sparse tensor 's': shape [1099511627776,1099511627776]: more than 1000 bytes"},
        {{0, 0}, 0, {0, 1ll << 41}, 2, "sparse tensor 's': shape [0,2199023255552]: more than 1000 bytes"},
        {{0, 0}, 0, {-1, 3}, 2, "sparse tensor 's': dimensions: expected 0 or more, got -1"}};
    buf b;
    arena a;
    tensor t;
    buf_init(&b, 4096);
    arena_init(&a, NULL, 0, 1 << 16);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e = {0};
        sparse_put(&b, rows[i].indices, rows[i].per_value, rows[i].dims, rows[i].rank);
        CHECK(sparse_read(&b, &a, 1000, &t, &e) != ERR_OK);
        CHECK_STR(e.text, rows[i].text);
    }
    err e = {0};
    buf_clear(&b);
    CHECK(sparse_read(&b, &a, 1000, &t, &e) == ERR_INVALID);
    CHECK_STR(e.text, "sparse tensor '': values: expected a tensor, got none");
    arena_fini(&a);
    buf_fini(&b);
}

static void every_failed_allocation_is_said(void)
{
    const int64_t dims[] = {3};
    buf typed, sparse;
    err e;
    buf_init(&typed, 4096);
    buf_init(&sparse, 4096);
    head_put(&typed, DT_F32, dims, 1);
    for (int i = 0; i < 3; i++) pb_put_f32(&typed, FLOATS, 1);
    sparse_put(&sparse, (const int64_t[]){1, 5}, 0, (const int64_t[]){2, 3}, 2);
    FAULT_SWEEP({
        arena a;
        tensor t;
        arena_init(&a, NULL, 0, 1 << 16);
        err_code rc = read_bytes(typed.p, typed.len, &a, &t, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
        rc = sparse_read(&sparse, &a, 1000, &t, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
        arena_fini(&a);
    });
    buf_fini(&typed);
    buf_fini(&sparse);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(any_byte_but_0_is_true),
        TEST(every_type_is_the_same_in_every_form),
        TEST(strings_keep_their_bytes),
        TEST(empty_tensors_and_scalars_need_no_data),
        TEST(sizes_are_held_against_the_bytes),
        TEST(data_comes_in_one_form_that_fits_its_type),
        TEST(every_cut_is_refused_or_harmless),
        TEST(external_data_is_asked_for_by_place_and_size),
        TEST(sparse_tensors_become_dense),
        TEST(indices_outside_of_a_sparse_tensor_are_refused),
        TEST(every_failed_allocation_is_said),
    };
    return test_main(cases, COUNTOF(cases));
}
