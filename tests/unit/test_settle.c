/* A look comes a while after the last change, soon after the first however long changes go on, never without one. */
#include "models/settle.h"
#include "test.h"

static void nothing_heard_is_no_reason_to_look(void)
{
    settle s = {.quiet_us = 200, .most_us = 2000};
    CHECK_U64(settle_due(&s), UINT64_MAX);
    settle_hear(&s, 1000);
    settle_look(&s);
    CHECK_U64(settle_due(&s), UINT64_MAX);
}

static void each_change_puts_the_look_off(void)
{
    settle s = {.quiet_us = 200, .most_us = 2000};
    settle_hear(&s, 1000);
    CHECK_U64(settle_due(&s), 1200);
    settle_hear(&s, 1150);
    CHECK_U64(settle_due(&s), 1350);
}

static void but_not_for_ever(void)
{
    settle s = {.quiet_us = 200, .most_us = 2000};
    for (uint64_t now = 1000; now < 9000; now += 100) {
        settle_hear(&s, now);
        CHECK(settle_due(&s) <= 3000);
    }
    settle_look(&s);
    settle_hear(&s, 9000);
    CHECK_U64(settle_due(&s), 9200);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(nothing_heard_is_no_reason_to_look),
        TEST(each_change_puts_the_look_off),
        TEST(but_not_for_ever),
    };
    return test_main(cases, COUNTOF(cases));
}
