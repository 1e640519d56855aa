/* An alias has a name of its own and stands for what is there; a refusal is one line, and nothing has changed. */
#include "models/alias_rules.h"

#include "conf_rig.h"
#include "model_folder.h"
#include "serve_rig.h"

static compute *pool;
static repository *models;

static const char *opens(const char *list)
{
    static conf c;
    static err e;
    repository *r = NULL;
    conf_rig_fresh(&c);
    c.model_repository = str_of(model_folder);
    c.alias = str_of(list);
    if (conf_rig_open(&r, &c, pool, 1, &e)) return e.text;
    repository_free(models);
    models = r;
    return "";
}

static const char *sets(const char *text)
{
    static err e;
    alias a = {.name = str_of(text)};
    aliases *now = NULL;
    err_code rc = strchr(text, '=') ? alias_read(str_of(text), &a, &e) : ERR_OK;
    if (rc == ERR_OK && a.model.p) rc = alias_rules_with(models, &a, &now, &e);
    else if (rc == ERR_OK) rc = alias_rules_without(models, a.name, &now, &e);
    if (rc) return e.text;
    aliases_free(repository_aliases_swap(models, now));
    return "";
}

static const char *found(const char *name, const char *version)
{
    static char text[400];
    served *s;
    err e;
    if (repository_find(models, str_of(name), str_of(version), &s, &e)) return strcpy(text, e.text);
    snprintf(text, sizeof text, STR_FMT " " STR_FMT, STR_ARG(s->name), STR_ARG(s->version));
    return text;
}

static void what_is_found_is_the_model(void)
{
    CHECK_STR(opens("best=prod,prod=m,m:old=m:1,last=m:old"), "");
    CHECK_STR(found("best", ""), "m 2");
    CHECK_STR(found("best", "1"), "m 1");
    CHECK_STR(found("m:old", ""), "m 1");
    CHECK_STR(found("last", ""), "m 1");
    CHECK_STR(found("last", "2"), "Model with name last and version 2 does not exist.");
    CHECK_STR(found("nobody", ""), "Model with name nobody does not exist.");
    CHECK_U64(repository_count(models), 2);
    CHECK(!repository_knows(models, STR("best")) && repository_index(models, STR("best")) < 0);
}

static void the_option_is_checked_as_a_whole(void)
{
    CHECK_STR(opens("a=m,a=n"), "alias: duplicate name 'a'");
    CHECK_STR(opens("a=b,b=a"), "alias 'a': expected a name that does not lead back to it, got 'b'");
    CHECK_STR(opens("m=n"), "alias 'm': expected a name that no model has, got 'm'");
    CHECK_STR(opens("a=x"), "alias 'a': expected a model or an alias that is here, got 'x'");
    CHECK_STR(opens("a=m:7"), "alias 'a': expected a version of 'm' that is served, got '7'");
    CHECK_STR(opens("m:stable=m"), "alias 'm:stable': expected a version of 'm', got 'm'");
    CHECK_STR(opens("m:stable=n:1"), "alias 'm:stable': expected a version of 'm', got 'n'");
    CHECK_STR(opens("x:stable=m:1"), "alias 'x:stable': expected a label of a model that is here, got 'x'");
    CHECK_STR(opens("a b=m"), "alias 'a b': model name: expected 1..128 characters without blanks and / : ? # % \" \\, "
                              "got 'a b'");
    CHECK_STR(opens("a=m:1,b=a:2"), "alias 'b': Model with name a and version 2 does not exist.");
}

static void a_change_is_checked_against_what_is_there(void)
{
    CHECK_STR(opens("prod=m:1"), "");
    CHECK_STR(sets("prod=m:2"), "");
    CHECK_STR(found("prod", ""), "m 2");
    CHECK_STR(sets("prod=m:3"), "alias 'prod': expected a version of 'm' that is served, got '3'");
    CHECK_STR(sets("a=prod"), "");
    CHECK_STR(sets("prod=a"), "alias 'a': expected a name that does not lead back to it, got 'prod'");
    CHECK_STR(sets("prod"), "alias 'prod': expected no other alias that stands for it, got 'a'");
    CHECK_STR(found("a", ""), "m 2");
    CHECK_STR(sets("a"), "");
    CHECK_STR(sets("prod"), "");
    CHECK_STR(sets("prod"), "Alias prod does not exist.");
    CHECK_STR(found("prod", ""), "Model with name prod does not exist.");
}

static void a_model_does_not_take_an_aliass_name(void)
{
    repository_names *old = NULL;
    err e;
    CHECK_STR(opens("a=m"), "");
    CHECK(repository_add(models, STR("a"), str_of(model_folder), &old, &e) == ERR_INVALID);
    CHECK_STR(e.text, "model name: expected one that no alias has, got 'a'");
}

static void the_index_says_where_each_leads(void)
{
    repository_entry row;
    CHECK_STR(opens("prod=m:1,m:new=m:2,z=prod"), "");
    CHECK(repository_alias_entry(models, 0, &row) && str_is(row.name, "m:new"));
    CHECK(strcmp(row.version, "2") == 0 && strcmp(row.state, "READY") == 0 && strcmp(row.reason, "label of m") == 0);
    CHECK(repository_alias_entry(models, 2, &row) && str_is(row.name, "z"));
    CHECK(strcmp(row.version, "1") == 0 && strcmp(row.reason, "alias of m") == 0);
    CHECK(!repository_alias_entry(models, 3, &row));
}

static void opening_survives_every_failed_allocation(void)
{
    static conf c;
    err e;
    conf_rig_fresh(&c);
    c.model_repository = str_of(model_folder);
    c.alias = STR("prod=m:1,a=prod");
    FAULT_SWEEP({
        repository *r = NULL;
        err_code rc = conf_rig_open(&r, &c, pool, 1, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM || rc == ERR_LIMIT);
        repository_free(r);
    })
}

static void version_put(const char *version)
{
    char path[200];
    onnx_build m;
    serve_rig_twice(&m);
    snprintf(path, sizeof path, "%s/m/%s", model_folder, version);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/m/%s/model.onnx", model_folder, version);
    str bytes = onnx_build_bytes(&m);
    model_folder_write(path, bytes.p, bytes.len);
    onnx_build_end(&m);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_is_found_is_the_model),
        TEST(the_option_is_checked_as_a_whole),
        TEST(a_change_is_checked_against_what_is_there),
        TEST(a_model_does_not_take_an_aliass_name),
        TEST(the_index_says_where_each_leads),
        TEST(opening_survives_every_failed_allocation),
    };
    onnx_build m;
    err e;
    if (!model_folder_open() || compute_new(&pool, 1, &e)) return 1;
    serve_rig_twice(&m);
    model_folder_put("n", &m, NULL);
    model_folder_put("m", NULL, "version_policy { all { } }");
    version_put("1");
    version_put("2");
    int rc = test_main(cases, COUNTOF(cases));
    repository_free(models);
    compute_free(pool);
    conf_rig_end();
    model_folder_close();
    return rc;
}
