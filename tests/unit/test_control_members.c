/* An ensemble is served while its members are, and fit it: it leaves with the first that does not, with the reason in
 * the index, and comes back with it, as it was, unless somebody unloaded it meanwhile. */
#include "ensemble_text.h"
#include "http_rig.h"
#include "model_folder.h"
#include "models/model_control.h"
#include "test.h"

static const char body[] = "{\"inputs\":[{\"name\":\"i\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]}]}";

#define MODEL(name) "/v2/repository/models/" name
#define WITH "{\"parameters\":{\"unload_dependents\":true}}"

static void twice_put(const char *name)
{
    onnx_build net;
    serve_rig_twice(&net);
    model_folder_put(name, &net, NULL);
}

static void other_put(const char *name)
{
    onnx_build net;
    serve_rig_same(&net, DT_I64, "N");
    model_folder_put(name, &net, NULL);
}

static void ensemble_put(const char *name, const char *config) { model_folder_put(name, NULL, config); }

/* e = a, b; g = e, b, which is an ensemble of an ensemble. */
static void folder_make(void)
{
    twice_put("a");
    twice_put("b");
    ensemble_put("e", OF("a", "b"));
    ensemble_put("g", ENSEMBLE(STEP("e", "i", "i", "o", "t"), STEP("b", "x", "t", "y", "o")));
}

static void folder_clear(void)
{
    static const char *const names[] = {"a", "b", "e", "g"};
    for (size_t i = 0; i < COUNTOF(names); i++) model_folder_remove(names[i]);
}

static void start(http_rig *r, http_rig_opts o)
{
    o.threads = "1";
    o.model_control = "explicit";
    o.model_repository = model_folder;
    bool started = http_rig_start(r, &o, (const char *const[]){NULL});
    INVARIANT(started);
}

static void begin(http_rig *r, http_rig_opts o)
{
    folder_make();
    start(r, o);
}

static void end(http_rig *r)
{
    http_rig_stop(r);
    folder_clear();
}

static bool does(http_rig *r, const char *path) { return http_rig_answers(r, path, "", "200 OK"); }

static uint64_t orphans(http_rig *r)
{
    model_control_stats s;
    model_control_stats_read(r->endpoints.control, &s);
    return s.orphans;
}

static void an_ensemble_leaves_with_its_member_and_comes_back_with_it(void)
{
    http_rig r;
    begin(&r, (http_rig_opts){.load_model = "g"});
    CHECK_STR(http_rig_ready(&r), "a b e g ");
    CHECK(does(&r, MODEL("a") "/unload"));
    CHECK_STR(http_rig_ready(&r), "b ");
    CHECK(http_rig_index_says(&r, "{\"name\":\"e\",\"version\":\"1\",\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded: "
                                  "ensemble e contains models that are not available: a\"}"));
    CHECK(http_rig_index_says(&r, "\"reason\":\"unloaded: ensemble g contains models that are not available: e\"}"));
    CHECK(http_rig_answers(&r, "/v2/models/g/infer", body,
                           "Request for unknown model: 'g' has no available versions"));
    CHECK(http_rig_get(&r, "/metrics") && strstr(r.got, "\nproa_ensembles_without_members 2\n"));
    CHECK(!strstr(r.got, "model=\"g\""));
    CHECK(does(&r, MODEL("a") "/load"));
    CHECK_STR(http_rig_ready(&r), "a b e g ");
    CHECK_U64(orphans(&r), 0);
    CHECK(http_rig_answers(&r, "/v2/models/g/infer", body, "\"data\":[8.0,16.0]"));
    CHECK(http_rig_index_says(&r, "{\"name\":\"e\",\"version\":\"1\",\"state\":\"READY\"}"));
    end(&r);
}

/* One that comes before those that it contains, in the order of names. */
static void whatever_their_order_all_leave_and_all_return(void)
{
    http_rig r;
    folder_make();
    ensemble_put("c", ENSEMBLE(STEP("e", "i", "i", "o", "t"), STEP("b", "x", "t", "y", "o")));
    start(&r, (http_rig_opts){.load_model = "b"});
    CHECK(does(&r, MODEL("c") "/load"));
    CHECK_STR(http_rig_ready(&r), "b a c e ");
    CHECK(does(&r, MODEL("a") "/unload"));
    CHECK_STR(http_rig_ready(&r), "b ");
    CHECK_U64(orphans(&r), 2);
    CHECK(does(&r, MODEL("a") "/load"));
    CHECK_STR(http_rig_ready(&r), "b a c e ");
    end(&r);
    model_folder_remove("c");
}

static void what_is_unloaded_itself_does_not_come_back(void)
{
    http_rig r;
    begin(&r, (http_rig_opts){.load_model = "g"});
    CHECK(does(&r, MODEL("b") "/unload"));
    CHECK_STR(http_rig_ready(&r), "a ");
    CHECK(does(&r, MODEL("e") "/unload"));
    CHECK_U64(orphans(&r), 1);
    CHECK(does(&r, MODEL("b") "/load"));
    CHECK_STR(http_rig_ready(&r), "a b ");
    CHECK(does(&r, MODEL("e") "/load"));   /* which g waited for */
    CHECK_STR(http_rig_ready(&r), "a b e g ");
    end(&r);
}

/* What it brought stays with it while it waits, and leaves with its own unload. */
static void an_ensemble_that_waits_still_needs_its_members(void)
{
    http_rig r;
    begin(&r, (http_rig_opts){.load_model = "g"});
    CHECK(does(&r, MODEL("a") "/unload"));
    CHECK(http_rig_answers(&r, MODEL("g") "/unload", WITH, "200 OK"));   /* and e, which it brought, with b */
    CHECK_STR(http_rig_ready(&r), "");
    CHECK(does(&r, MODEL("a") "/load"));
    CHECK_STR(http_rig_ready(&r), "a ");
    end(&r);
}

static void a_member_that_does_not_fit_any_more_is_none(void)
{
    http_rig r;
    begin(&r, (http_rig_opts){.load_model = "e,g"});
    other_put("a");
    CHECK(does(&r, MODEL("a") "/load"));
    CHECK_STR(http_rig_ready(&r), "a b ");
    CHECK(http_rig_index_says(&r, "unloaded: in ensemble e, ensemble tensor i"));
    CHECK(does(&r, MODEL("b") "/load"));   /* which does not help */
    CHECK_STR(http_rig_ready(&r), "a b ");
    twice_put("a");
    CHECK(does(&r, MODEL("a") "/load"));
    CHECK_STR(http_rig_ready(&r), "a b e g ");
    end(&r);
}

static void an_ensemble_that_came_before_its_member_is_there_with_it(void)
{
    http_rig r;
    begin(&r, (http_rig_opts){.load_model = "b"});
    model_folder_remove("a");
    CHECK(http_rig_answers(&r, MODEL("e") "/load", "", "contains models that are not available: a"));
    CHECK_STR(http_rig_ready(&r), "b ");
    CHECK_U64(orphans(&r), 1);
    twice_put("a");
    CHECK(does(&r, MODEL("a") "/load"));
    CHECK_STR(http_rig_ready(&r), "b a e ");
    end(&r);
}

static void it_comes_back_as_it_was(void)
{
    static const char own[] =
        "{\"parameters\":{\"config\":\"{\\\"platform\\\":\\\"ensemble\\\",\\\"input\\\":[{\\\"name\\\":\\\"i\\\","
        "\\\"data_type\\\":\\\"TYPE_FP32\\\",\\\"dims\\\":[-1,2]}],\\\"output\\\":[{\\\"name\\\":\\\"o\\\","
        "\\\"data_type\\\":\\\"TYPE_FP32\\\",\\\"dims\\\":[-1,2]}],\\\"ensemble_scheduling\\\":{\\\"step\\\":[{"
        "\\\"model_name\\\":\\\"a\\\",\\\"model_version\\\":-1,\\\"input_map\\\":{\\\"x\\\":\\\"i\\\"},"
        "\\\"output_map\\\":{\\\"y\\\":\\\"o\\\"}}]}}\"}}";
    http_rig r;
    begin(&r, (http_rig_opts){.load_model = "a"});
    CHECK(http_rig_answers(&r, MODEL("e") "/load", own, "200 OK"));   /* of a alone */
    CHECK(does(&r, MODEL("a") "/unload"));
    CHECK_STR(http_rig_ready(&r), "");
    CHECK(does(&r, MODEL("a") "/load"));
    CHECK_STR(http_rig_ready(&r), "a e ");
    CHECK(http_rig_answers(&r, "/v2/models/e/infer", body, "\"data\":[2.0,4.0]"));
    end(&r);
}

static void a_member_under_another_name_goes_with_that(void)
{
    http_rig r;
    folder_make();
    ensemble_put("e", OF("prod", "b"));
    start(&r, (http_rig_opts){.load_model = "a,b", .alias = "prod=a"});
    CHECK(does(&r, MODEL("e") "/load"));
    CHECK_STR(http_rig_ready(&r), "a b e p ");
    CHECK(does(&r, MODEL("a") "/unload"));
    CHECK_STR(http_rig_ready(&r), "b ");
    CHECK(does(&r, MODEL("b") "/aliases/prod"));
    CHECK_STR(http_rig_ready(&r), "b e p ");
    CHECK(http_rig_answers(&r, "/v2/models/e/infer", body, "\"data\":[4.0,8.0]"));
    end(&r);
}

/* Within a budget an ensemble that is not in memory leaves and comes, too: it is ready while its members are. */
static void what_comes_on_demand_comes_with_its_members(void)
{
    http_rig r;
    begin(&r, (http_rig_opts){.models_memory_max = "1Gi"});
    CHECK(http_rig_gets(&r, "/v2/models/g/ready", "200 OK"));
    CHECK(does(&r, MODEL("a") "/unload"));
    CHECK(http_rig_gets(&r, "/v2/models", "{\"models\":[\"b\"]}"));
    CHECK(http_rig_index_says(&r, "\"reason\":\"unloaded: ensemble e contains models that are not available: a\"}"));
    CHECK(http_rig_answers(&r, "/v2/models/g/infer", body, "404 Not Found"));
    CHECK(does(&r, MODEL("a") "/load"));
    CHECK(http_rig_gets(&r, "/v2/models", "{\"models\":[\"a\",\"b\",\"e\",\"g\"]}"));
    CHECK(http_rig_index_says(&r, "{\"name\":\"e\",\"version\":\"1\",\"state\":\"UNAVAILABLE\",\"reason\":\"not loaded "
                                  "yet: on demand\"}"));
    CHECK(http_rig_answers(&r, "/v2/models/g/infer", body, "\"data\":[8.0,16.0]"));
    CHECK(does(&r, MODEL("b") "/unload"));   /* from under both, which are in memory */
    CHECK(http_rig_gets(&r, "/v2/models", "{\"models\":[\"a\"]}"));
    CHECK(does(&r, MODEL("b") "/load"));
    CHECK(http_rig_answers(&r, "/v2/models/g/infer", body, "\"data\":[8.0,16.0]"));
    CHECK_U64(orphans(&r), 0);
    end(&r);
}

static void a_change(http_rig *r)
{
    static const model_wish a = {.name = {"a", 1}}, g = {.name = {"g", 1}};
    err e;
    err_code rc = model_control_load(r->endpoints.control, &g, &e);
    CHECK(rc == ERR_OK || rc == ERR_NOMEM || rc == ERR_LIMIT);
    rc = model_control_unload(r->endpoints.control, &a, &e);
    CHECK(rc == ERR_OK || rc == ERR_NOMEM);
    rc = model_control_load(r->endpoints.control, &a, &e);
    CHECK(rc == ERR_OK || rc == ERR_NOMEM || rc == ERR_LIMIT);
}

static void a_short_life(void)
{
    http_rig r;
    const http_rig_opts o = {.threads = "1", .model_control = "explicit", .model_repository = model_folder};
    if (!http_rig_start(&r, &o, (const char *const[]){NULL})) return;
    a_change(&r);
    http_rig_stop(&r);
}

static void without_memory_nothing_is_left(void)
{
    folder_make();
    FAULT_SWEEP(a_short_life())
    folder_clear();
}

int main(void)
{
    static const test_case cases[] = {
        TEST(an_ensemble_leaves_with_its_member_and_comes_back_with_it),
        TEST(whatever_their_order_all_leave_and_all_return),
        TEST(what_is_unloaded_itself_does_not_come_back),
        TEST(an_ensemble_that_waits_still_needs_its_members),
        TEST(a_member_that_does_not_fit_any_more_is_none),
        TEST(an_ensemble_that_came_before_its_member_is_there_with_it),
        TEST(it_comes_back_as_it_was),
        TEST(a_member_under_another_name_goes_with_that),
        TEST(what_comes_on_demand_comes_with_its_members),
        TEST(without_memory_nothing_is_left),
    };
    INVARIANT(model_folder_open());
    int status = test_main(cases, COUNTOF(cases));
    model_folder_close();
    return status;
}
