/* An ensemble comes after its members, and nothing else changes its place; who is not chosen, nor brought by who is,
 * comes last. */
#include "models/load_order.h"

#include "model_folder.h"

static char text[400];

#define OF(a, b)                                                                                                \
    "platform: \"ensemble\" input { name: \"i\" data_type: TYPE_FP32 dims: 1 } output { name: \"o\" data_type: " \
    "TYPE_FP32 dims: 1 } ensemble_scheduling { step { model_name: \"" a "\" input_map { key: \"x\" value: \"i\" } " \
    "output_map { key: \"y\" value: \"t\" } } step { model_name: \"" b "\" input_map { key: \"x\" value: \"t\" } "  \
    "output_map { key: \"y\" value: \"o\" } } }"

/* Of names of one letter: in which order they are loaded, then '|' and the rest; those that are brought in capitals. */
static const char *chosen(const char *names, const char *which)
{
    static char paths[10][100], got[20];
    named_model all[10];
    size_t n = strlen(names);
    err e;
    for (size_t i = 0; i < n; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%c", model_folder, names[i]);
        all[i] = (named_model){.name = {names + i, 1}, .path = str_of(paths[i])};
    }
    size_t loaded = 99, k = 0;
    err_code rc = load_order(all, n, str_of(which), &loaded, &e);
    if (rc) return rc == ERR_NOMEM ? "no memory" : strcpy(text, e.text);
    for (size_t i = 0; i <= n; i++) {
        if (i == loaded && loaded < n) got[k++] = '|';
        if (i < n) got[k++] = (char)(all[i].name.p[0] - (i < loaded && all[i].brought ? 'a' - 'A' : 0));
    }
    got[k] = 0;
    return got;
}

static const char *order(const char *names) { return chosen(names, ""); }

static void members_come_first_and_the_rest_as_named(void)
{
    CHECK_STR(order("xyz"), "xyz");
    CHECK_STR(order("bxay"), "yaxb");   /* b of a and x, a of b and y: a circle ends where it closes */
    CHECK_STR(order("zcx"), "zxc");
    CHECK_STR(order("cx"), "xc");
    CHECK_STR(order("dxc"), "xcd");
    CHECK_STR(order(""), "");
}

static void the_chosen_bring_their_members_and_the_rest_stays_out(void)
{
    CHECK_STR(chosen("zcx", "*"), "zxc");
    CHECK_STR(chosen("zcx", "z"), "z|cx");
    CHECK_STR(chosen("zcx", "c"), "Xc|z");
    CHECK_STR(chosen("zcx", "c,x"), "xc|z");
    CHECK_STR(chosen("dzxc", "z,d"), "XCdz");
    CHECK_STR(chosen("dzx", "x,c"), "load-model: expected a model that is named or in the model repository, got 'c'");
}

static void no_memory_at_any_point_leaves_nothing(void)
{
    FAULT_SWEEP({
        const char *got = order("dxc");
        CHECK(strcmp(got, "xcd") == 0 || strcmp(got, "no memory") == 0);
    })
}

int main(void)
{
    static const test_case cases[] = {TEST(members_come_first_and_the_rest_as_named),
                                      TEST(the_chosen_bring_their_members_and_the_rest_stays_out),
                                      TEST(no_memory_at_any_point_leaves_nothing)};
    if (!model_folder_open()) return 1;
    model_folder_put("a", NULL, OF("b", "y"));
    model_folder_put("b", NULL, OF("a", "x"));
    model_folder_put("c", NULL, OF("x", "nobody"));
    model_folder_put("d", NULL, OF("c", "c"));
    int rc = test_main(cases, COUNTOF(cases));
    model_folder_close();
    return rc;
}
