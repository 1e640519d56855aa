/* The reader gives back what the writer wrote, never reads past its span, and names byte and field of what is wrong. */
#include "wire/pb.h"
#include "test.h"

#include <math.h>

/* One message with every kind of field, as other tests cut and damage it. */
static void sample(buf *b)
{
    static const int64_t dims[] = {1, 300, -1, INT64_MIN, INT64_MAX};
    pb_put_u64(b, 1, UINT64_MAX);
    pb_put_i64(b, 2, -5);
    pb_put_sint(b, 3, -3);
    pb_put_bool(b, 4, true);
    pb_put_fixed32(b, 5, 0xdeadbeef);
    pb_put_fixed64(b, 6, 0x0123456789abcdef);
    pb_put_f32(b, 7, 1.5f);
    pb_put_f64(b, 8, -2.25);
    pb_put_str(b, 15, STR("name"));
    pb_put_bytes(b, 16, "", 0);
    pb_put_packed_i64(b, 17, dims, COUNTOF(dims));
    size_t outer = pb_open(b, 18);
    size_t inner = pb_open(b, 1);
    pb_put_str(b, 1, STR("deep"));
    pb_close(b, inner);
    pb_close(b, outer);
    pb_put_u64(b, PB_NUMBER_MAX, 7);
}

/* Reads it all, like a loader would; the number of fields seen, or 0 when it was refused. */
static size_t walk(const uint8_t *p, size_t len, err *e)
{
    pb r;
    pb_field f;
    size_t fields = 0;
    uint64_t v;
    pb_init(&r, p, len);
    while (pb_next(&r, &f)) {
        CHECK(f.p >= p && f.p + f.len <= p + len);
        fields++;
        if (f.number == 17) {
            pb it = pb_items(&r, &f, PB_VARINT);
            size_t items = 0, count = pb_item_count(&it, PB_VARINT);
            while (pb_item(&it, PB_VARINT, &v)) items++;
            if (pb_check(&it, "dims", e)) return 0;
            CHECK_U64(items, count);
        }
        if (f.number == 18) {
            pb sub = pb_sub(&r, &f);
            while (pb_next(&sub, &f)) fields++;
            if (pb_check(&sub, "sub", e)) return 0;
        }
    }
    return pb_check(&r, "Sample", e) ? 0 : fields;
}

static void what_is_written_is_read(void)
{
    static const uint64_t want_dims[] = {1, 300, UINT64_MAX, (uint64_t)1 << 63, INT64_MAX};
    buf b;
    err e;
    pb r;
    pb_field f;
    size_t seen = 0;
    buf_init(&b, 4096);
    sample(&b);
    CHECK(buf_check(&b, "sample", &e) == ERR_OK);
    pb_init(&r, b.p, b.len);
    for (; pb_next(&r, &f); seen++) {
        switch (f.number) {
        case 1: CHECK_U64(pb_u64(&r, &f), UINT64_MAX); break;
        case 2: CHECK(pb_i64(&r, &f) == -5 && pb_i32(&r, &f) == -5); break;
        case 3: CHECK(pb_sint(&r, &f) == -3); break;
        case 4: CHECK(pb_bool(&r, &f)); break;
        case 5: CHECK_U64(pb_fixed32(&r, &f), 0xdeadbeef); break;
        case 6: CHECK_U64(pb_fixed64(&r, &f), 0x0123456789abcdef); break;
        case 7: CHECK(fabsf(pb_f32(&r, &f) - 1.5f) < 1e-9f); break;
        case 8: CHECK(fabs(pb_f64(&r, &f) + 2.25) < 1e-9); break;
        case 15: CHECK(str_is(pb_text(&r, &f), "name")); break;
        case 16: CHECK(pb_bytes(&r, &f).len == 0 && pb_bytes(&r, &f).p); break;
        case 17: {
            uint64_t v;
            size_t n = 0;
            pb it = pb_items(&r, &f, PB_VARINT);
            CHECK_U64(pb_item_count(&it, PB_VARINT), COUNTOF(want_dims));
            for (; pb_item(&it, PB_VARINT, &v); n++) CHECK(n < COUNTOF(want_dims) && v == want_dims[n]);
            CHECK_U64(n, COUNTOF(want_dims));
            CHECK(pb_check(&it, "dims", &e) == ERR_OK);
            break;
        }
        case 18: {
            pb sub = pb_sub(&r, &f), deep;
            CHECK(pb_next(&sub, &f));
            deep = pb_sub(&sub, &f);
            CHECK(pb_next(&deep, &f) && str_is(pb_text(&deep, &f), "deep"));
            CHECK(!pb_next(&deep, &f) && !pb_next(&sub, &f));
            break;
        }
        default: CHECK_U64(f.number, PB_NUMBER_MAX); CHECK_U64(pb_u64(&r, &f), 7);
        }
    }
    CHECK_U64(seen, 13);
    CHECK(pb_check(&r, "Sample", &e) == ERR_OK);
    buf_fini(&b);
}

static void the_first_failure_is_the_one_that_is_told(void)
{
    buf b;
    err e;
    pb r;
    pb_field one, two;
    buf_init(&b, 64);
    pb_put_str(&b, 1, STR("text"));
    pb_put_u64(&b, 2, 5);
    pb_init(&r, b.p, b.len);
    CHECK(pb_next(&r, &one) && pb_next(&r, &two));
    CHECK_U64(pb_u64(&r, &one), 0);
    CHECK_U64(pb_fixed64(&r, &two), 0);
    CHECK(pb_bytes(&r, &two).len == 0);
    CHECK(pb_check(&r, "M", &e) == ERR_INVALID);
    CHECK(strstr(e.text, "expected a varint, got bytes"));
    buf_fini(&b);
}

static void every_cut_is_refused_or_a_whole_prefix(void)
{
    buf b;
    err e;
    size_t whole = 0, last = 0;
    buf_init(&b, 4096);
    sample(&b);
    for (size_t len = 0; len <= b.len; len++) {
        uint8_t *copy = mem_alloc_raw(len);   /* of its exact size, so that a sanitizer sees any step outside */
        memcpy(copy, b.p, len);
        e.code = ERR_OK;
        size_t fields = walk(copy, len, &e);
        CHECK((e.code != ERR_OK) == (len > 0 && fields == 0));
        if (e.code == ERR_OK) {
            CHECK(fields >= last);
            whole++;
            last = fields;
        }
        mem_free(copy);
    }
    CHECK_U64(whole, 14);   /* the empty message and one more after each of the 13 fields */
    buf_fini(&b);
}

static void random_damage_never_leaves_the_span(void)
{
    uint64_t seed = 42;
    buf b;
    err e;
    buf_init(&b, 4096);
    sample(&b);
    for (int round = 0; round < 20000; round++) {
        uint8_t *copy = mem_alloc_raw(b.len);
        memcpy(copy, b.p, b.len);
        for (uint64_t n = 1 + test_rand(&seed) % 4; n; n--) copy[test_rand(&seed) % b.len] = (uint8_t)test_rand(&seed);
        walk(copy, b.len, &e);
        for (size_t i = 0; i < b.len; i++) copy[i] = (uint8_t)test_rand(&seed);
        walk(copy, b.len, &e);
        mem_free(copy);
    }
    buf_fini(&b);
}

static void refuse(const char *bytes, size_t len, err_code want, const char *text)
{
    pb r;
    pb_field f;
    err e = {0};
    pb_init(&r, bytes, len);
    while (pb_next(&r, &f)) { }
    CHECK(pb_check(&r, "M", &e) == want);
    CHECK_STR(e.text, text);
    CHECK(!pb_next(&r, &f));
}
#define REFUSE(bytes, want, text) refuse(bytes, sizeof bytes - 1, want, text)

static void malformed_input_is_named_with_byte_and_field(void)
{
    REFUSE("\x08", ERR_INVALID, "M: byte 1: field 1: truncated: the message ends inside a value");
    REFUSE("\x08\x80\x80", ERR_INVALID, "M: byte 1: field 1: truncated: the message ends inside a value");
    REFUSE("\x08\1\x80", ERR_INVALID, "M: byte 2: truncated: the message ends inside a value");
    REFUSE("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", ERR_INVALID,
           "M: byte 1: field 1: varint: expected at most 64 bits, got more");
    REFUSE("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\2", ERR_INVALID,
           "M: byte 1: field 1: varint: expected at most 64 bits, got more");
    REFUSE("\x12\5abcd", ERR_INVALID, "M: byte 1: field 2: length: expected at most the 4 bytes that follow, got 5");
    REFUSE("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", ERR_INVALID,
           "M: byte 1: field 2: length: expected at most the 0 bytes that follow, got 18446744073709551615");
    REFUSE("\0\1", ERR_INVALID, "M: byte 0: tag: expected a field number in 1..536870911, got 0");
    REFUSE("\x80\x80\x80\x80\x10\1", ERR_INVALID,
           "M: byte 0: tag: expected a field number in 1..536870911, got 536870912");
    REFUSE("\x0e", ERR_INVALID, "M: byte 0: field 1: tag: expected wire type 0..5, got 6");
    REFUSE("\x0f", ERR_INVALID, "M: byte 0: field 1: tag: expected wire type 0..5, got 7");
    REFUSE("\x15zzz", ERR_INVALID, "M: byte 1: field 2: truncated: the message ends inside a value");
    REFUSE("\x11zzzzzzz", ERR_INVALID, "M: byte 1: field 2: truncated: the message ends inside a value");
}

static void groups_are_stepped_over(void)
{
    /* 3: { 1: 5, 4: { 2: "x" } }, then 1: 9 */
    static const char ok[] = "\x1b\x08\5\x23\x12\1x\x24\x1c\x08\x09";
    pb r;
    pb_field f;
    err e;
    pb_init(&r, ok, sizeof ok - 1);
    CHECK(pb_next(&r, &f) && f.number == 1 && pb_u64(&r, &f) == 9 && !pb_next(&r, &f));
    CHECK(pb_check(&r, "M", &e) == ERR_OK);
    REFUSE("\x1c", ERR_INVALID, "M: byte 0: field 3: group end: expected none, got field 3");
    REFUSE("\x1b\x24", ERR_INVALID, "M: byte 1: field 4: group end: expected field 3, got field 4");
    REFUSE("\x1b\x08\1", ERR_INVALID, "M: byte 3: truncated: the message ends inside a value");
    char deep[40];
    memset(deep, 0x1b, sizeof deep);
    refuse(deep, sizeof deep, ERR_LIMIT, "M: byte 32: field 3: groups: expected at most 32 levels, got 33");
}

static void wrong_types_fail_the_reader(void)
{
    static const char m[] = "\x12\3\1\2\3\x08\5\x1a\2\xc3\x28";
    pb r, it;
    pb_field f;
    err e;
    pb_init(&r, m, sizeof m - 1);
    CHECK(pb_next(&r, &f) && pb_u64(&r, &f) == 0 && !pb_next(&r, &f));
    CHECK(pb_check(&r, "M", &e) == ERR_INVALID);
    CHECK_STR(e.text, "M: byte 2: field 2: expected a varint, got bytes");

    pb_init(&r, m, sizeof m - 1);
    CHECK(pb_next(&r, &f));
    it = pb_items(&r, &f, PB_FIXED32);
    CHECK_U64(pb_item_count(&it, PB_FIXED32), 0);
    CHECK(pb_check(&r, "M", &e) == ERR_INVALID);
    CHECK_STR(e.text, "M: byte 2: field 2: packed: expected a multiple of 4 bytes, got 3");

    pb_init(&r, m, sizeof m - 1);
    CHECK(pb_next(&r, &f) && pb_next(&r, &f));
    pb sub = pb_sub(&r, &f);
    CHECK(!pb_next(&sub, &f) && pb_check(&sub, "S", &e) == ERR_OK);
    CHECK(pb_check(&r, "M", &e) == ERR_INVALID);
    CHECK_STR(e.text, "M: byte 6: field 1: expected bytes, got a varint");

    pb_init(&r, m, sizeof m - 1);
    CHECK(pb_next(&r, &f) && pb_next(&r, &f) && pb_next(&r, &f) && pb_text(&r, &f).len == 0);
    CHECK(pb_check(&r, "M", &e) == ERR_INVALID);
    CHECK_STR(e.text, "M: byte 9: field 3: string: expected UTF-8, got other bytes");
}

static void one_unpacked_item_reads_as_a_list_of_one(void)
{
    static const char m[] = "\x08\x96\1\x15\1\2\3\4";
    pb r, it;
    pb_field f;
    uint64_t v = 0;
    pb_init(&r, m, sizeof m - 1);
    CHECK(pb_next(&r, &f));
    it = pb_items(&r, &f, PB_VARINT);
    CHECK(pb_item_count(&it, PB_VARINT) == 1 && pb_item(&it, PB_VARINT, &v) && v == 150);
    CHECK(!pb_item(&it, PB_VARINT, &v));
    CHECK(pb_next(&r, &f));
    it = pb_items(&r, &f, PB_FIXED32);
    CHECK(pb_item_count(&it, PB_FIXED32) == 1 && pb_item(&it, PB_FIXED32, &v) && v == 0x04030201);
}

static void nested_lengths_grow_when_needed(void)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 128, 16381, 16382, 16383, 16384, 70000};
    uint8_t *filler = mem_alloc0(70000, 1);
    for (size_t i = 0; i < COUNTOF(sizes); i++) {
        buf b;
        pb r;
        pb_field f;
        buf_init(&b, 1 << 20);
        pb_put_u64(&b, 1, 1);
        size_t outer = pb_open(&b, 2), inner = pb_open(&b, 3);
        pb_put_bytes(&b, 4, filler, sizes[i]);
        pb_close(&b, inner);
        pb_close(&b, outer);
        size_t leaf = pb_head_size(4, sizes[i]) + sizes[i], middle = pb_head_size(3, leaf) + leaf;
        CHECK_U64(b.len, 2 + pb_head_size(2, middle) + middle);
        pb_init(&r, b.p, b.len);
        CHECK(pb_next(&r, &f) && pb_next(&r, &f) && f.number == 2);
        pb sub = pb_sub(&r, &f);
        CHECK(pb_next(&sub, &f) && f.number == 3);
        sub = pb_sub(&sub, &f);
        CHECK(pb_next(&sub, &f) && f.number == 4 && pb_bytes(&sub, &f).len == sizes[i]);
        buf_fini(&b);
    }
    mem_free(filler);
}

static void a_full_buf_is_reported_once_at_the_end(void)
{
    err e;
    for (size_t limit = 1; limit < 160; limit++) {
        buf b;
        buf_init(&b, limit);
        sample(&b);
        CHECK(b.len <= limit);
        CHECK((buf_check(&b, "sample", &e) == ERR_OK) == !b.full);
        buf_fini(&b);
    }
    FAULT_SWEEP({
        buf b;
        buf_init(&b, 4096);
        sample(&b);
        buf_fini(&b);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_is_written_is_read), TEST(the_first_failure_is_the_one_that_is_told),
        TEST(every_cut_is_refused_or_a_whole_prefix),
        TEST(random_damage_never_leaves_the_span),
        TEST(malformed_input_is_named_with_byte_and_field),
        TEST(groups_are_stepped_over),
        TEST(wrong_types_fail_the_reader),
        TEST(one_unpacked_item_reads_as_a_list_of_one),
        TEST(nested_lengths_grow_when_needed),
        TEST(a_full_buf_is_reported_once_at_the_end),
    };
    return test_main(cases, COUNTOF(cases));
}
