/* A run gets all that it claims or nothing; there is never more in use than there is, which is what was said or the
 * most that anybody claims; who waits for much is not starved by those who need little. */
#include "sched/resources.h"
#include "test.h"

#include <stdio.h>

static err_code join(resources *r, resource_claim *c, const char *name, uint32_t count, bool global, err *e)
{
    return resources_join(r, c, &(resource_need){str_of(name), count, global}, 1, e);
}

static bool fits(const resources *r, const resource_claim *c)
{
    uint64_t short_of = 0;
    return resources_fit(r, c, &short_of);
}

static void what_nobody_says_is_the_most_that_is_claimed(void)
{
    resources r;
    resource_claim small, large;
    err e;
    resources_init(&r);
    CHECK(join(&r, &small, "R", 1, false, &e) == ERR_OK);
    resources_take(&r, &small);
    CHECK(!fits(&r, &small));
    CHECK(join(&r, &large, "R", 3, false, &e) == ERR_OK);
    CHECK(fits(&r, &small) && !fits(&r, &large));
    resources_take(&r, &small);
    resources_take(&r, &small);
    CHECK(!fits(&r, &small));
    for (int i = 0; i < 3; i++) resources_give(&r, &small);
    CHECK(fits(&r, &large));
    resources_leave(&r, &large);
    resources_take(&r, &small);
    CHECK(!fits(&r, &small));
    resources_give(&r, &small);
    resources_leave(&r, &small);
}

static void what_is_said_is_what_there_is(void)
{
    resources r;
    resource_claim c, other;
    err e;
    resources_init(&r);
    CHECK(resources_say(&r, STR("R"), 2, &e) == ERR_OK && resources_say(&r, STR("R"), 4, &e) == ERR_OK);
    CHECK(resources_say(&r, STR("R"), 3, &e) == ERR_OK);
    CHECK(join(&r, &c, "R", 5, false, &e) == ERR_INVALID);
    CHECK_STR(e.text, "Resource count for \"R\" is limited to 4 which will prevent scheduling of one or more model "
                      "instances, the minimum required count is 5");
    CHECK(join(&r, &c, "S", 1, false, &e) == ERR_INVALID);   /* nobody said that there is any */
    CHECK_STR(e.text, "Resource count for \"S\" is limited to 0 which will prevent scheduling of one or more model "
                      "instances, the minimum required count is 1");
    CHECK(join(&r, &c, "R", 2, true, &e) == ERR_OK);
    resources_take(&r, &c);
    resources_take(&r, &c);
    CHECK(!fits(&r, &c));
    CHECK(join(&r, &other, "R", 1, false, &e) == ERR_INVALID);
    CHECK_STR(e.text, "Resource \"R\" is present as both global and device-specific resource in the model "
                      "configuration.");
    resources_leave(&r, &other);   /* never joined */
    resources_give(&r, &c);
    CHECK(fits(&r, &c));
    resources_give(&r, &c);
    resources_leave(&r, &c);
}

static void all_of_a_claim_or_nothing(void)
{
    resources r;
    resource_claim both, one;
    err e;
    /* the last counts */
    const resource_need needs[] = {{STR("A"), 9, false}, {STR("B"), 1, true}, {STR("A"), 2, false}};
    resources_init(&r);
    CHECK(resources_join(&r, &both, needs, COUNTOF(needs), &e) == ERR_OK);
    CHECK(join(&r, &one, "A", 1, false, &e) == ERR_OK);
    resources_take(&r, &one);
    CHECK(!fits(&r, &both) && fits(&r, &one));
    resources_give(&r, &one);
    CHECK(fits(&r, &both));
    resources_take(&r, &both);
    CHECK(!fits(&r, &one));
    resources_give(&r, &both);
    resources_leave(&r, &one);
    resources_leave(&r, &both);
}

static void who_is_behind_may_not_take_what_others_wait_for(void)
{
    resources r;
    resource_claim large, small, else_where, none;
    err e;
    resources_init(&r);
    CHECK(join(&r, &large, "A", 2, false, &e) == ERR_OK && join(&r, &small, "A", 1, false, &e) == ERR_OK);
    CHECK(join(&r, &else_where, "B", 1, false, &e) == ERR_OK && resources_join(&r, &none, NULL, 0, &e) == ERR_OK);
    resources_take(&r, &small);
    uint64_t short_of = 0;
    CHECK(resources_fit(&r, &small, &short_of) && short_of == 0);
    CHECK(!resources_fit(&r, &large, &short_of) && short_of != 0);
    CHECK(!resources_fit(&r, &small, &short_of));
    CHECK(resources_fit(&r, &else_where, &short_of) && resources_fit(&r, &none, &short_of));
    resources_give(&r, &small);
    resources_leave(&r, &small);
    resources_leave(&r, &large);
    resources_leave(&r, &else_where);
}

/* What anybody claims ends with it, in whichever order they leave. */
static void who_has_left_claims_nothing(void)
{
    static const size_t orders[][2] = {{0, 1}, {1, 0}, {1, 2}, {2, 1}};
    for (size_t i = 0; i < COUNTOF(orders); i++) {
        resources r;
        resource_claim all[4];
        err e;
        resources_init(&r);
        for (size_t k = 0; k < COUNTOF(all); k++) {
            bool leaves = k == orders[i][0] || k == orders[i][1];
            CHECK(join(&r, &all[k], "R", leaves ? 3 : 1, false, &e) == ERR_OK);
        }
        for (size_t k = 0; k < 2; k++) resources_leave(&r, &all[orders[i][k]]);
        resources_take(&r, &all[3]);
        CHECK(!fits(&r, &all[3]));
        resources_give(&r, &all[3]);
    }
}

static void names_are_bounded_and_come_back(void)
{
    resources r;
    static resource_claim all[RESOURCES_MAX + 1];
    char name[RESOURCE_NAME_MAX + 2];
    err e;
    resources_init(&r);
    memset(name, 'n', sizeof name);
    name[RESOURCE_NAME_MAX + 1] = 0;
    CHECK(join(&r, &all[0], name, 1, false, &e) == ERR_INVALID && join(&r, &all[0], "", 1, false, &e) == ERR_INVALID);
    CHECK_STR(e.text, "rate limit resource: expected a name of 1..64 bytes, got ''");
    for (uint32_t i = 0; i <= RESOURCES_MAX; i++) {
        snprintf(name, sizeof name, "R%u", i);
        CHECK(join(&r, &all[i], name, 1, false, &e) == (i < RESOURCES_MAX ? ERR_OK : ERR_LIMIT));
    }
    CHECK_STR(e.text, "rate limit resources: expected at most 64 names, got one more");
    resources_leave(&r, &all[7]);
    CHECK(join(&r, &all[7], "again", 1, true, &e) == ERR_OK);
    resources_take(&r, &all[63]);
    CHECK(!fits(&r, &all[63]) && fits(&r, &all[7]));
    resources_give(&r, &all[63]);
    for (uint32_t i = 0; i < RESOURCES_MAX; i++) resources_leave(&r, &all[i]);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_nobody_says_is_the_most_that_is_claimed),
        TEST(what_is_said_is_what_there_is),
        TEST(all_of_a_claim_or_nothing),
        TEST(who_is_behind_may_not_take_what_others_wait_for),
        TEST(who_has_left_claims_nothing),
        TEST(names_are_bounded_and_come_back),
    };
    return test_main(cases, COUNTOF(cases));
}
