/* The last value of a field counts, an absent one is zero or empty, and what is wrong is said once, behind
 * the getters. */
#include "wire/pb_fields.h"
#include "test.h"

static void the_last_value_counts_and_absent_is_zero(void)
{
    buf b;
    pb_fields q;
    err e;
    buf_init(&b, 1000);
    pb_put_str(&b, 1, STR("old"));
    pb_put_u64(&b, 3, 7);
    pb_put_bool(&b, 4, true);
    pb_put_u64(&b, PB_FIELDS_MAX, 8);
    pb_put_u64(&b, PB_FIELDS_MAX + 1, 7);
    pb_put_str(&b, 1, STR("new"));
    pb_put_bytes(&b, 5, "\xff", 1);
    pb_fields_read(&q, buf_str(&b));
    CHECK(str_is(pb_fields_text(&q, 1), "new") && pb_fields_text(&q, 2).len == 0 && pb_fields_bytes(&q, 2).len == 0);
    CHECK_U64(pb_fields_u64(&q, PB_FIELDS_MAX), 8);
    CHECK(pb_fields_u64(&q, 3) == 7 && pb_fields_bool(&q, 4) && !pb_fields_bool(&q, 6) && pb_fields_u64(&q, 6) == 0);
    CHECK(pb_fields_has(&q, 5) && !pb_fields_has(&q, 2) && str_is(pb_fields_bytes(&q, 5), "\xff"));
    CHECK(pb_fields_check(&q, "Q", &e) == ERR_OK);
    buf_fini(&b);
}

static void what_is_wrong_is_said_behind_the_getters(void)
{
    pb_fields q;
    err e;
    pb_fields_read(&q, (str){"\x0a\x01\xff", 3});
    CHECK(pb_fields_text(&q, 1).len == 0);
    CHECK(pb_fields_check(&q, "Q", &e) == ERR_INVALID);
    CHECK_STR(e.text, "Q: byte 2: field 1: string: expected UTF-8, got other bytes");
    pb_fields_read(&q, (str){"\x0a\x01z", 3});
    CHECK(pb_fields_u64(&q, 1) == 0 && pb_fields_check(&q, "Q", &e) == ERR_INVALID);
    pb_fields_read(&q, (str){"\x0a\x05z", 3});
    CHECK(!pb_fields_has(&q, 1) && pb_fields_check(&q, "Q", &e) == ERR_INVALID);
}

int main(void)
{
    static const test_case cases[] = {TEST(the_last_value_counts_and_absent_is_zero),
                                      TEST(what_is_wrong_is_said_behind_the_getters)};
    return test_main(cases, COUNTOF(cases));
}
