/* What a model may have comes from the server's options first, then from its own configuration; what is limited never
 * runs where nobody is asked; what is wrong is named. */
#include "models/queue_limits.h"

#include "model_folder.h"

static compute *pool;
static turns *by_time, *by_runs;

static model_config *config(const char *more)
{
    char json[1000];
    model_config *c = NULL;
    err e;
    snprintf(json, sizeof json, "{\"backend\":\"onnxruntime\",\"max_batch_size\":4%s%s}", *more ? "," : "", more);
    err_code rc = model_config_read(&c, &(model_config_from){.name = STR("m"), .path = model_folder,
                                                             .override = str_of(json)}, &e);
    if (rc) printf("# %s\n", e.text);
    INVARIANT(rc == ERR_OK);
    rc = scheduling_read(&c->scheduling, c->tree, &c->memory, &e);
    INVARIANT(rc == ERR_OK);
    return c;
}

static err_code applied(queue_opts *ret, turns *t, const model_limit *said, size_t count, const char *more, err *e)
{
    static model_config *last;
    model_config_free(last);
    last = config(more);
    *ret = (queue_opts){.name = STR("m"), .turns = t, .inline_us = 50};
    return queue_limits_apply(ret, said, count, last, e);
}

#define PARAMETER(name, value) "\"" name "\":{\"string_value\":\"" value "\"}"

static void options_come_before_the_models_own(void)
{
    const model_limit said[] = {{.model = STR("other"), .weight = 9, .rate_per_s = 9},
                                {.model = STR("m"), .weight = 5},
                                {.model = STR("m"), .rate_per_s = 6, .burst = 2}};
    const char *own = "\"parameters\":{" PARAMETER("fair_weight", "7") "," PARAMETER("requests_per_second", "8") ","
                      PARAMETER("requests_burst", "3") "}";
    queue_opts o;
    err e;
    CHECK(applied(&o, by_time, said, 3, own, &e) == ERR_OK);
    CHECK(o.share.weight == 5 && o.batching.rate_per_s == 6 && o.batching.rate_burst == 2 && o.inline_us == 0);
    CHECK(applied(&o, by_time, said, 1, own, &e) == ERR_OK);
    CHECK(o.share.weight == 7 && o.batching.rate_per_s == 8 && o.batching.rate_burst == 3 && o.inline_us == 0);
    CHECK(applied(&o, by_time, said, 2, "", &e) == ERR_OK);
    CHECK(o.share.weight == 5 && o.batching.rate_per_s == 0 && o.inline_us == 50);
    CHECK(applied(&o, by_time, NULL, 0, "\"parameters\":{" PARAMETER("requests_per_second", "8") "}", &e) == ERR_OK);
    CHECK_U64(o.batching.rate_burst, 8);   /* a second's */
    o = (queue_opts){.name = STR("m"), .turns = by_time, .inline_us = 50};
    CHECK(queue_limits_apply(&o, NULL, 0, NULL, &e) == ERR_OK && o.share.weight == 0 && o.inline_us == 50);
}

static void what_is_wrong_is_named(void)
{
    static const struct {
        const char *own, *want;
    } rows[] = {
        {PARAMETER("fair_weight", "0"), "parameter 'fair_weight': expected an integer in 1..1000, got '0'"},
        {PARAMETER("fair_weight", "1001"), "parameter 'fair_weight': expected an integer in 1..1000, got '1001'"},
        {PARAMETER("requests_per_second", "1.5"),
         "parameter 'requests_per_second': expected an integer in 1..1000000, got '1.5'"},
        {PARAMETER("requests_burst", "x") "," PARAMETER("requests_per_second", "1"),
         "parameter 'requests_burst': expected an integer in 1..1000000, got 'x'"},
        {PARAMETER("requests_burst", "1"),
         "parameter 'requests_burst': expected requests_per_second with it, got none"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        char own[300];
        queue_opts o;
        err e;
        snprintf(own, sizeof own, "\"parameters\":{%s}", rows[i].own);
        CHECK(applied(&o, by_time, NULL, 0, own, &e) == ERR_INVALID);
        CHECK_STR(e.text, rows[i].want);
    }
}

#define GROUP(limiter) "\"instance_group\":[{\"count\":2,\"kind\":\"KIND_CPU\"," limiter "}]"
#define LIMITER(resources, priority) "\"rate_limiter\":{\"resources\":[" resources "],\"priority\":" priority "}"

static void a_rate_limiter_counts_by_runs_alone(void)
{
    const char *own = GROUP(LIMITER("{\"name\":\"A\",\"count\":4},{\"name\":\"B\",\"global\":true,\"count\":2}", "3"));
    queue_opts o;
    err e;
    CHECK(applied(&o, by_runs, NULL, 0, own, &e) == ERR_OK);
    CHECK(o.share.priority == 3 && o.share.need_count == 2 && o.inline_us == 0);
    CHECK(str_is(o.share.needs[0].name, "A") && o.share.needs[0].count == 4 && !o.share.needs[0].global);
    CHECK(str_is(o.share.needs[1].name, "B") && o.share.needs[1].count == 2 && o.share.needs[1].global);
    CHECK(applied(&o, by_time, NULL, 0, own, &e) == ERR_OK);
    CHECK(o.share.priority == 0 && o.share.need_count == 0 && o.inline_us == 50);
    CHECK(applied(&o, by_runs, NULL, 0, GROUP(LIMITER("", "2")), &e) == ERR_OK);
    CHECK(o.share.priority == 2 && o.inline_us == 50);   /* it needs nothing: loops may run it */
    CHECK(applied(&o, by_runs, NULL, 0, GROUP(LIMITER("", "1001")), &e) == ERR_UNSUPPORTED);
    CHECK_STR(e.text, "instance_group.rate_limiter.priority of model m: expected at most 1000, got '1001'");
}

static void groups_say_the_same(void)
{
    static const struct {
        const char *first, *second;
        bool differ;
    } rows[] = {
        {LIMITER("{\"name\":\"A\",\"count\":4}", "3"), LIMITER("{\"name\":\"A\",\"count\":4}", "3"), false},
        {LIMITER("{\"name\":\"A\",\"count\":4}", "3"), LIMITER("{\"name\":\"A\",\"count\":5}", "3"), true},
        {LIMITER("{\"name\":\"A\",\"count\":4}", "3"), LIMITER("{\"name\":\"B\",\"count\":4}", "3"), true},
        {LIMITER("{\"name\":\"A\",\"count\":4}", "3"),
         LIMITER("{\"name\":\"A\",\"count\":4,\"global\":true}", "3"), true},
        {LIMITER("", "3"), LIMITER("", "4"), true},
        {"\"count\":1", LIMITER("", "4"), true},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        char own[400];
        queue_opts o;
        err e;
        snprintf(own, sizeof own, "\"instance_group\":[{%s},{%s}]", rows[i].first, rows[i].second);
        CHECK(applied(&o, by_runs, NULL, 0, own, &e) == (rows[i].differ ? ERR_UNSUPPORTED : ERR_OK));
        if (rows[i].differ)
            CHECK_STR(e.text, "instance_group.rate_limiter of model m: expected the same in each group, got several");
        CHECK(applied(&o, by_time, NULL, 0, own, &e) == ERR_OK);
    }
}

static void an_ensemble_has_none_of_it(void)
{
    const model_limit weight = {.model = STR("m"), .weight = 5}, rate = {.model = STR("m"), .rate_per_s = 5};
    const model_limit other = {.model = STR("n"), .weight = 5};
    CLEANUP(model_config) model_config *plain = config("");
    CLEANUP(model_config) model_config *own = config("\"parameters\":{" PARAMETER("fair_weight", "7") "}");
    err e;
    CHECK(queue_limits_none(&other, 1, plain, &e) == ERR_OK);
    CHECK(queue_limits_none(&weight, 1, plain, &e) == ERR_UNSUPPORTED);
    CHECK_STR(e.text, "model-weights: expected a model, which has a queue, got the ensemble 'm': its members have "
                      "their own");
    CHECK(queue_limits_none(&rate, 1, plain, &e) == ERR_UNSUPPORTED && strstr(e.text, "model-rates: "));
    CHECK(queue_limits_none(NULL, 0, own, &e) == ERR_UNSUPPORTED);
    CHECK_STR(e.text, "parameter 'fair_weight': expected a model, which has a queue, got an ensemble: its members "
                      "have their own");
}

int main(void)
{
    static const test_case cases[] = {
        TEST(options_come_before_the_models_own), TEST(what_is_wrong_is_named),
        TEST(a_rate_limiter_counts_by_runs_alone), TEST(groups_say_the_same),
        TEST(an_ensemble_has_none_of_it),
    };
    err e;
    if (compute_new(&pool, 1, &e) || turns_new(&by_time, pool, false, &e)) return 1;
    if (turns_new(&by_runs, pool, true, &e)) return 1;
    if (!model_folder_open()) return 1;
    int rc = test_main(cases, COUNTOF(cases));
    model_folder_close();
    turns_free(by_time);
    turns_free(by_runs);
    compute_free(pool);
    return rc;
}
