/* A lineup gives the version that is asked for, and nothing else. */
#include "models/lineup.h"
#include "models/repository.h"
#include "test.h"

static void versions_are_found_by_their_text(void)
{
    static served two = {.version = {"2", 1}}, one = {.version = {"1", 1}}, other;
    CLEANUP(lineup) lineup *l = NULL;
    err e;
    CHECK(lineup_new(&l, 2, &e) == ERR_OK);
    CHECK(!lineup_find(l, STR("1")) && !lineup_has(l, &one));
    l->all[l->count++] = &two;
    l->all[l->count++] = &one;
    CHECK(lineup_find(l, STR("2")) == &two && lineup_find(l, STR("1")) == &one);
    CHECK(!lineup_find(l, STR("01")) && !lineup_find(l, STR("")));
    CHECK(lineup_has(l, &one) && !lineup_has(l, &other) && !lineup_has(NULL, &one));
}

static void making_one_survives_failed_allocations(void)
{
    FAULT_SWEEP({
        lineup *l = NULL;
        err e;
        if (lineup_new(&l, 3, &e)) CHECK(e.code == ERR_NOMEM && !l);
        lineup_free(l);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(versions_are_found_by_their_text),
        TEST(making_one_survives_failed_allocations),
    };
    return test_main(cases, COUNTOF(cases));
}
