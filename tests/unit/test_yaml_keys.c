/* Members are read by their names, and those that are not known or say something else are refused where they stand. */
#include "test.h"
#include "wire/yaml_keys.h"

/* "on f w" of members a, b, c; or the error. */
static const char *reads(const char *text)
{
    static const char *const known[] = {"alpha", "beta", "gamma"}, *const words[] = {"one", "two", "three"};
    static char got[500];
    arena a;
    err e;
    yaml *y;
    bool on = false;
    double f = 0.5;
    uint32_t w = 0;
    arena_init(&a, NULL, 0, 1 << 20);
    err_code rc = yaml_parse(str_of(text), "f.yaml", &a, &y, &e);
    if (!rc) rc = yaml_keys_check(y, known, COUNTOF(known), &e);
    if (!rc) rc = yaml_member_bool(y, "alpha", &on, &e);
    if (!rc) rc = yaml_member_f64(y, "beta", 0, 1, "0 to 1", &f, &e);
    if (!rc) rc = yaml_member_word(y, "gamma", words, COUNTOF(words), &w, &e);
    if (rc) snprintf(got, sizeof got, "%s", e.text);
    else snprintf(got, sizeof got, "%d %g %u", on, f, w);
    arena_fini(&a);
    return got;
}

static void what_is_not_there_or_null_changes_nothing(void)
{
    CHECK_STR(reads("{}"), "0 0.5 0");
    CHECK_STR(reads("alpha:\nbeta: ~\ngamma: null"), "0 0.5 0");
    CHECK_STR(reads("alpha: true\nbeta: 1\ngamma: three"), "1 1 2");
    CHECK_STR(reads("beta: 0"), "0 0 0");
}

static void what_is_wrong_is_refused_at_its_place(void)
{
    CHECK_STR(reads("[]"), "f.yaml:1:1: expected a map, got a list");
    CHECK_STR(reads("alpha: true\nbta: 1"), "f.yaml:2:1: key 'bta' is not supported, did you mean 'beta'?");
    CHECK_STR(reads("alpha: 7"), "f.yaml:1:8: alpha: expected true or false, got '7'");
    CHECK_STR(reads("beta: 1.5"), "f.yaml:1:7: beta: expected 0 to 1, got '1.5'");
    CHECK_STR(reads("beta: .nan"), "f.yaml:1:7: beta: expected 0 to 1, got '.nan'");
    CHECK_STR(reads("gamma: four"), "f.yaml:1:8: gamma: expected one, two or three, got 'four'");
    CHECK_STR(reads("gamma: [one]"), "f.yaml:1:8: gamma: expected one, two or three, got a list");
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_is_not_there_or_null_changes_nothing),
        TEST(what_is_wrong_is_refused_at_its_place),
    };
    return test_main(cases, COUNTOF(cases));
}
