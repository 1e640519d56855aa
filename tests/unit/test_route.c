/* A path goes to the first row that it matches whole; captures take one segment, and a wrong method says which are
 * right. */
#include "serve/route.h"
#include "test.h"

static const route rows[] = {
    {"POST", "/v2/models/{model}/infer"},
    {"POST", "/v1/models/{model}:predict"},
    {"GET", "/v1/models/{model}"},
    {"GET", "/v2/models/{model}/versions/{version}"},
    {"GET", "/v2"},
    {"GET", "/"},
    {"POST", "/v2/models/{model}/versions/{version}/infer"},
    {"DELETE", "/v2"},
    {"POST", "/v1/models/{model}/labels/{label}:predict"},
    {"DELETE", "/v2/repository/aliases/{alias}"},
};

static int find(const char *method, const char *path, route_args *args, char allow[64])
{
    return route_find(rows, COUNTOF(rows), str_of(method), str_of(path), args, allow);
}

static void paths_find_their_row(void)
{
    static const struct {
        const char *method, *path;
        int want;
        const char *model, *version;
    } cases[] = {
        {"POST", "/v2/models/m/infer", 0, "m", ""},
        {"POST", "/v1/models/m:predict", 1, "m", ""},
        {"POST", "/v1/models/a:b:predict", 1, "a:b", ""},
        {"GET", "/v1/models/m", 2, "m", ""},
        {"GET", "/v1/models/m:predict", ROUTE_BAD_METHOD, "", ""},
        {"GET", "/v2/models/m/versions/12", 3, "m", "12"},
        {"GET", "/v2", 4, "", ""},
        {"GET", "/", 5, "", ""},
        {"POST", "/v2/models/m/versions/3/infer", 6, "m", "3"},
        {"DELETE", "/v2", 7, "", ""},
        {"GET", "/v2/models/m/versions", ROUTE_NONE, "", ""},
        {"GET", "/v2/", ROUTE_NONE, "", ""},
        {"GET", "/v1/models/", ROUTE_NONE, "", ""},
        {"POST", "/v1/models/:predict", ROUTE_NONE, "", ""},
        {"GET", "/v2/models/m/versions/12/x", ROUTE_NONE, "", ""},
        {"GET", "", ROUTE_NONE, "", ""},
        {"GET", "v2", ROUTE_NONE, "", ""},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        route_args args = {.model = {0}};
        char allow[64];
        int got = find(cases[i].method, cases[i].path, &args, allow);
        CHECK(got == cases[i].want);
        if (got < 0) continue;
        CHECK(str_is(args.model, cases[i].model));
        CHECK(str_is(args.version, cases[i].version));
    }
}

static void names_and_labels_are_captured(void)
{
    route_args args = {.model = {0}};
    char allow[64];
    CHECK(find("POST", "/v1/models/m/labels/stable:predict", &args, allow) == 8);
    CHECK(str_is(args.model, "m") && str_is(args.label, "stable") && args.version.len == 0);
    CHECK(find("DELETE", "/v2/repository/aliases/prod", &args, allow) == 9);
    CHECK(str_is(args.alias, "prod") && args.model.len == 0);
}

static void a_wrong_method_names_the_right_ones(void)
{
    route_args args = {.model = {0}};
    char allow[64];
    CHECK(find("PUT", "/v2", &args, allow) == ROUTE_BAD_METHOD);
    CHECK_STR(allow, "GET, DELETE");
    CHECK(find("get", "/v2", &args, allow) == ROUTE_BAD_METHOD);
    CHECK(find("GET", "/v2/models/m/infer", &args, allow) == ROUTE_BAD_METHOD);
    CHECK_STR(allow, "POST");
    CHECK(find("POST", "/nowhere", &args, allow) == ROUTE_NONE);
    CHECK_STR(allow, "");
}

int main(void)
{
    static const test_case cases[] = {TEST(paths_find_their_row), TEST(names_and_labels_are_captured),
                                      TEST(a_wrong_method_names_the_right_ones)};
    return test_main(cases, COUNTOF(cases));
}
