/* A buffer holds exactly what was put, up to its limit to the byte; the put that does not fit changes nothing
 * and is remembered until the owner looks. */
#include "base/buf.h"
#include "test.h"

static void keeps_what_was_put(void)
{
    buf b;
    buf_init(&b, 1 << 20);
    CHECK_U64(buf_str(&b).len, 0);
    buf_put_z(&b, "ab");
    buf_put_str(&b, STR("cd"));
    buf_put_byte(&b, 'e');
    buf_put(&b, NULL, 0);
    buf_printf(&b, "-%d-%s", 42, "x");
    CHECK(str_is(buf_str(&b), "abcde-42-x"));
    buf_drop(&b, 3);
    CHECK(str_is(buf_str(&b), "de-42-x"));
    buf_drop(&b, b.len);
    CHECK_U64(b.len, 0);
    buf_fini(&b);
    CHECK_U64((uint64_t)mem_live(), 0);
}

static void long_text_is_formatted_whole_at_every_length(void)
{
    char want[400];
    memset(want, 'y', sizeof want);
    for (int n = 0; n < (int)sizeof want; n++) {
        buf b;
        buf_init(&b, (size_t)n + 1);   /* exactly full at the end */
        buf_printf(&b, "x%.*s", n, want);
        CHECK(!b.full && b.len == (size_t)n + 1 && b.p[0] == 'x' && memcmp(b.p + 1, want, (size_t)n) == 0);
        buf_fini(&b);
    }
}

static void a_put_over_the_limit_changes_nothing_and_sticks(void)
{
    for (size_t limit = 1; limit < 300; limit++) {
        buf b;
        err e = {0};
        buf_init(&b, limit);
        for (size_t i = 0; i < limit; i++) buf_put_byte(&b, (uint8_t)i);
        CHECK(buf_check(&b, "x", &e) == ERR_OK && b.len == limit);
        buf_put_z(&b, "yz");
        CHECK(b.full && b.len == limit && b.p[limit - 1] == (uint8_t)(limit - 1));
        buf_drop(&b, 1);
        buf_put_byte(&b, 'q');   /* ignored: the text already has a hole */
        CHECK_U64(b.len, limit - 1);
        CHECK(buf_room(&b, 0) == NULL);
        CHECK_U64(buf_check(&b, "x", &e), ERR_LIMIT);
        buf_clear(&b);
        CHECK(!b.full && b.len == 0 && buf_check(&b, "x", &e) == ERR_OK);
        buf_fini(&b);
    }
}

static void says_what_was_wanted(void)
{
    buf b;
    err e = {0};
    buf_init(&b, 4);
    buf_put_z(&b, "abcdef");
    CHECK_U64(buf_check(&b, "answer", &e), ERR_LIMIT);
    CHECK_STR(e.text, "answer: expected at most 4 bytes, got 6");
    buf_clear(&b);
    CHECK(buf_room(&b, SIZE_MAX) == NULL && buf_check(&b, "answer", &e) == ERR_LIMIT);
    buf_fini(&b);
}

static void without_memory_it_is_full_but_not_over_its_limit(void)
{
    buf b;
    err e = {0};
    buf_init(&b, 1000);
    buf_put_z(&b, "abc");
    mem_fault_after(0);
    CHECK(buf_room(&b, 500) == NULL);
    CHECK_U64(buf_check(&b, "answer", &e), ERR_NOMEM);
    CHECK_STR(e.text, "answer: no memory for 503 bytes");
    CHECK(str_is(buf_str(&b), "abc"));
    buf_fini(&b);
}

static void survives_every_failing_allocation(void)
{
    FAULT_SWEEP({
        buf b;
        buf_init(&b, 10000);
        for (int i = 0; i < 100; i++) buf_printf(&b, "%0*d", i, i);
        CHECK(b.full == mem_fault_fired());
        buf_fini(&b);
    })
}

static void a_steady_load_stops_allocating(void)
{
    buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 500; i++) buf_put_z(&b, "0123456789");
    long before = mem_allocs();
    for (int round = 0; round < 10; round++) {
        buf_clear(&b);
        for (int i = 0; i < 500; i++) buf_put_z(&b, "0123456789");
    }
    CHECK_U64((uint64_t)mem_allocs(), (uint64_t)before);
    CHECK_U64(b.len, 5000);
    buf_fini(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(keeps_what_was_put), TEST(long_text_is_formatted_whole_at_every_length),
        TEST(a_put_over_the_limit_changes_nothing_and_sticks), TEST(says_what_was_wanted),
        TEST(without_memory_it_is_full_but_not_over_its_limit), TEST(survives_every_failing_allocation),
        TEST(a_steady_load_stops_allocating)};
    return test_main(cases, COUNTOF(cases));
}
