/* What the options say of shares is read whole or refused with one line that names the option and the entry. */
#include "serve/conf_share.h"
#include "conf_rig.h"

static conf c;

static void reads(const char *line)
{
    err e = {0};
    conf_rig_fresh(&c);
    CHECK(conf_rig_flags(&c, line, &e) == ERR_OK);
    CHECK(conf_check(&c, &e) == ERR_OK);
}

static void lists_become_limits_and_resources(void)
{
    reads("m=/m --model-weights m=3,n=1000 --model-rates m=5,b=7:9 --model-rates n=1000000");
    CHECK_U64(c.limit_count, 5);
    CHECK(str_is(c.limits[0].model, "m") && c.limits[0].weight == 3 && c.limits[0].rate_per_s == 0);
    CHECK(str_is(c.limits[1].model, "n") && c.limits[1].weight == 1000);
    CHECK(str_is(c.limits[2].model, "m") && c.limits[2].rate_per_s == 5 && c.limits[2].burst == 0);
    CHECK(str_is(c.limits[3].model, "b") && c.limits[3].rate_per_s == 7 && c.limits[3].burst == 9);
    CHECK_U64(c.limits[4].rate_per_s, 1000000);
    reads("m=/m --rate-limit execution_count --rate-limit-resource=R1:10 --rate-limit-resource=R2:5:0,R1:0");
    CHECK_U64(c.resource_count, 3);
    CHECK(str_is(c.resources[1].name, "R2") && c.resources[1].count == 5);
    reads("m=/m");
    CHECK(c.limit_count == 0 && c.resource_count == 0);
    CHECK(conf_check(&c, &(err){0}) == ERR_OK && c.limit_count == 0);
}

static void what_is_wrong_is_named(void)
{
    static const struct {
        const char *line, *want;
    } rows[] = {
        {"--model-weights m", "model-weights: expected NAME=WEIGHT, in 1..1000, got 'm'"},
        {"--model-weights =3", "model-weights: expected NAME=WEIGHT, in 1..1000, got '=3'"},
        {"--model-weights m=0", "model-weights: expected NAME=WEIGHT, in 1..1000, got 'm=0'"},
        {"--model-weights m=3:1", "model-weights: expected NAME=WEIGHT, in 1..1000, got 'm=3:1'"},
        {"--model-weights n=1,m=1001", "model-weights: expected NAME=WEIGHT, in 1..1000, got 'm=1001'"},
        {"--model-weights m=1,m=2", "model-weights: expected each model once, got 'm' again"},
        {"--model-rates m=x", "model-rates: expected NAME=N or NAME=N:BURST, each in 1..1000000, got 'm=x'"},
        {"--model-rates m=5:", "model-rates: expected NAME=N or NAME=N:BURST, each in 1..1000000, got 'm=5:'"},
        {"--model-rates m=5:0", "model-rates: expected NAME=N or NAME=N:BURST, each in 1..1000000, got 'm=5:0'"},
        {"--rate-limit x", "--rate-limit: expected off or execution_count: whether"},
        {"--rate-limit-resource R:1", "rate-limit-resource: expected rate-limit execution_count with it, got off"},
        {"--rate-limit execution_count --rate-limit-resource R",
         "rate-limit-resource: expected NAME:COUNT or NAME:COUNT:DEVICE, the name of 1..64 bytes, got 'R'"},
        {"--rate-limit execution_count --rate-limit-resource :1",
         "rate-limit-resource: expected NAME:COUNT or NAME:COUNT:DEVICE, the name of 1..64 bytes, got ':1'"},
        {"--rate-limit execution_count --rate-limit-resource R:1:1",
         "rate-limit-resource: expected device 0, which is the CPU, got 'R:1:1'"},
        {"--rate-limit execution_count --rate-limit-resource R:1:",
         "rate-limit-resource: expected device 0, which is the CPU, got 'R:1:'"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        char line[200];
        err e = {0};
        conf_rig_fresh(&c);
        snprintf(line, sizeof line, "m=/m %s", rows[i].line);
        err_code rc = conf_rig_flags(&c, line, &e);
        if (rc == ERR_OK) rc = conf_check(&c, &e);
        CHECK(rc == ERR_INVALID);
        CHECK(strncmp(e.text, rows[i].want, strlen(rows[i].want)) == 0);
    }
}

static void a_list_is_bounded(void)
{
    static char list[3 * CONF_SHARES_MAX + 2];
    err e;
    memset(list, ',', sizeof list - 1);
    reads("m=/m");
    c.model_weights = str_of(list);
    CHECK(conf_share(&c, c.memory, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "model-weights: expected at most 4096 entries, got 12290");
}

int main(void)
{
    static const test_case cases[] = {
        TEST(lists_become_limits_and_resources),
        TEST(what_is_wrong_is_named),
        TEST(a_list_is_bounded),
    };
    return test_main(cases, COUNTOF(cases));
}
