/* A table of aliases is whole or not there; what is asked for is followed to the model that it means, and neither a
 * circle nor a long chain is followed for ever. */
#include "models/aliases.h"

#include "test.h"

#include <stdio.h>

static aliases *table;

static void begin(void)
{
    aliases_free(table);
    table = NULL;
}

/* "a=b", "a=b:2", or "a" to take it away. */
static err_code put(const char *text, err *e)
{
    alias a = {.name = str_of(text)};
    aliases *more = NULL;
    err_code rc = strchr(text, '=') ? alias_read(str_of(text), &a, e) : ERR_OK;
    if (rc == ERR_OK) rc = aliases_with(&more, table, &a, e);
    if (rc) return rc;
    aliases_free(table);
    table = more;
    return ERR_OK;
}

static void puts_all(const char *const *all)
{
    err e;
    begin();
    for (; *all; all++) CHECK(put(*all, &e) == ERR_OK);
}

#define TABLE(...) puts_all((const char *const[]){__VA_ARGS__, NULL})

/* "m" or "m:2" that a name, and a version, lead to. */
static const char *leads(const char *name, const char *version)
{
    static char text[400];
    alias led;
    err e;
    if (aliases_lead(table, &(alias){.name = str_of(name), .version = str_of(version)}, &led, &e))
        return strcpy(text, e.text);
    snprintf(text, sizeof text, STR_FMT "%s" STR_FMT, STR_ARG(led.model), led.version.len ? ":" : "",
             STR_ARG(led.version));
    return text;
}

static const char *checked(void)
{
    static err e;
    return aliases_check(table, &e) ? e.text : "";
}

static void a_name_leads_to_its_model_and_version(void)
{
    TABLE("prod=m", "old=m:1", "best=prod", "m:stable=m:2", "now=m:stable");
    CHECK_STR(leads("m", ""), "m");
    CHECK_STR(leads("m", "3"), "m:3");
    CHECK_STR(leads("prod", ""), "m");
    CHECK_STR(leads("best", "4"), "m:4");
    CHECK_STR(leads("old", ""), "m:1");
    CHECK_STR(leads("old", "1"), "m:1");
    CHECK_STR(leads("old", "2"), "Model with name old and version 2 does not exist.");
    CHECK_STR(leads("now", ""), "m:2");
    CHECK_STR(leads("m:stable", ""), "m:2");
    CHECK_STR(checked(), "");
    begin();
    CHECK_STR(leads("m", "1"), "m:1");
}

static void one_takes_the_place_of_another_and_goes(void)
{
    TABLE("b=m", "a=m", "c=m", "b=n:2");
    CHECK_U64(aliases_count(table), 3);
    CHECK(str_is(aliases_at(table, 0)->name, "a") && str_is(aliases_at(table, 2)->name, "c"));
    CHECK_STR(leads("b", ""), "n:2");
    err e;
    CHECK(put("b", &e) == ERR_OK && put("x", &e) == ERR_OK);
    CHECK_U64(aliases_count(table), 2);
    CHECK(!aliases_find(table, STR("b")) && aliases_find(table, STR("c")) && !aliases_find(NULL, STR("c")));
    CHECK_STR(leads("b", ""), "b");
}

static void circles_and_long_chains_are_refused(void)
{
    TABLE("a=b", "b=c", "c=a");
    CHECK_STR(checked(), "alias 'a': expected a name that does not lead back to it, got 'b'");
    TABLE("a=a");
    CHECK_STR(checked(), "alias 'a': expected a name that does not lead back to it, got 'a'");
    TABLE("x=b", "b=c", "c=b");
    CHECK_STR(checked(), "alias 'b': expected a name that does not lead back to it, got 'c'");
    TABLE("a=b", "b=c", "c=d", "d=e", "e=f", "f=g", "g=h", "h=i", "i=m");
    CHECK_STR(checked(), "");
    CHECK_STR(leads("a", ""), "m");
    TABLE("a=b", "b=c", "c=d", "d=e", "e=f", "f=g", "g=h", "h=i", "i=j", "j=m");
    CHECK_STR(checked(), "alias 'a': expected aliases of aliases at most 8 deep, got more");
}

static void there_are_so_many_and_no_more(void)
{
    char text[20];
    err e;
    begin();
    for (int i = 0; i < ALIASES_MAX; i++) {
        snprintf(text, sizeof text, "a%d=m", i);
        CHECK(put(text, &e) == ERR_OK);
    }
    CHECK(put("b=m", &e) == ERR_LIMIT);
    CHECK_STR(e.text, "aliases: expected at most 1024, got 1025");
    CHECK(put("a7=n", &e) == ERR_OK);
    CHECK_U64(aliases_count(table), ALIASES_MAX);
    CHECK_STR(leads("a7", ""), "n");
}

static void what_is_no_alias_is_refused(void)
{
    static const char *const bad[] = {"", "a", "=m", "a=", "a=m:", "a=:1"};
    char want[200];
    alias a;
    err e;
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        CHECK(alias_read(str_of(bad[i]), &a, &e) == ERR_INVALID);
        snprintf(want, sizeof want,
                 "alias: expected NAME=MODEL, NAME=MODEL:VERSION or MODEL:LABEL=MODEL:VERSION, got '%s'", bad[i]);
        CHECK_STR(e.text, want);
    }
    CHECK(alias_read(STR("m:stable=m:12"), &a, &e) == ERR_OK && str_is(a.model, "m") && str_is(a.version, "12"));
    CHECK(str_is(alias_model(&a), "m") && str_is(alias_label(&a), "stable"));
    CHECK(alias_read(STR("a=m:v2"), &a, &e) == ERR_OK && str_is(a.model, "m:v2") && a.version.len == 0);
    CHECK(!alias_model(&a).p && !alias_label(&a).p);
}

static void a_labels_name_has_so_much_room(void)
{
    char text[ALIASES_NAME_MAX], longest[300];
    memset(longest, 'a', sizeof longest);
    CHECK(str_is(alias_name(STR("m"), STR("stable"), text), "m:stable"));
    CHECK_U64(alias_name((str){longest, 128}, (str){longest, 128}, text).len, 257);
    CHECK(!alias_name((str){longest, 200}, (str){longest, 57}, text).p);
}

static void no_memory_leaves_the_table_that_was(void)
{
    TABLE("a=m", "b=n");
    alias a;
    err e;
    CHECK(alias_read(STR("c=m"), &a, &e) == ERR_OK);
    FAULT_SWEEP({
        aliases *more = NULL;
        err_code rc = aliases_with(&more, table, &a, &e);
        CHECK(rc == ERR_OK ? aliases_count(more) == 3 : rc == ERR_NOMEM && !more);
        aliases_free(more);
    })
    CHECK_U64(aliases_count(table), 2);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_name_leads_to_its_model_and_version),
        TEST(one_takes_the_place_of_another_and_goes),
        TEST(circles_and_long_chains_are_refused),
        TEST(there_are_so_many_and_no_more),
        TEST(what_is_no_alias_is_refused),
        TEST(a_labels_name_has_so_much_room),
        TEST(no_memory_leaves_the_table_that_was),
    };
    int rc = test_main(cases, COUNTOF(cases));
    begin();
    return rc;
}
