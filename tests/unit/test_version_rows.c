/* A version keeps its row; rows come out from the oldest version to the newest, and only what is idle makes room. */
#include "models/version_rows.h"
#include "test.h"

#include <stdio.h>

static version_row *row(version_rows *r, const char *version)
{
    version_row *v = NULL;
    err e;
    CHECK(version_rows_get(r, str_of(version), &v, &e) == ERR_OK);
    return v;
}

static const char *listed(const version_rows *r)
{
    static char text[2000];
    char one[NOTE_MAX];
    size_t n = 0;
    text[0] = '\0';
    for (version_row *v = version_rows_next(r, NULL); v; v = version_rows_next(r, v)) {
        note_get(&v->version, one);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s ", one);
    }
    return text;
}

static void rows_come_out_by_number(void)
{
    version_rows r = {.first = NULL};
    version_row *ten = row(&r, "10");
    (void)row(&r, "9");
    (void)row(&r, "1");
    (void)row(&r, "01");
    CHECK(row(&r, "10") == ten);
    CHECK_STR(listed(&r), "1 01 9 10 ");
    version_rows_fini(&r);
}

static void a_name_without_a_version_gives_its_row_to_the_first(void)
{
    version_rows r = {.first = NULL};
    version_row *none = row(&r, "");
    CHECK_STR(version_row_state(none), "UNAVAILABLE");
    note_set(&none->reason, "it did not load");
    CHECK(row(&r, "3") == none && row(&r, "4") != none);
    char why[NOTE_MAX];
    note_get(&none->reason, why);
    CHECK_STR(why, "");
    version_rows_fini(&r);
}

static void a_version_comes_where_it_is_known_to_or_nothing_is(void)
{
    version_rows r = {.first = NULL};
    CHECK(version_rows_come(&r, STR("1")));
    version_row *none = row(&r, "");
    CHECK(version_rows_come(&r, STR("1")));
    (void)row(&r, "1");
    atomic_store(&row(&r, "2")->comes, true);
    CHECK(version_rows_come(&r, STR("2")) && !version_rows_come(&r, STR("1")) && !version_rows_come(&r, STR("3")));
    atomic_store(&none->comes, true);   /* which is version 1's by now */
    CHECK(version_rows_come(&r, STR("1")));
    version_rows_fini(&r);
    r = (version_rows){.first = NULL};
    atomic_store(&row(&r, "")->comes, true);
    (void)row(&r, "7");                 /* takes its place, and nothing else */
    CHECK(version_rows_come(&r, STR("1")));
    version_rows_fini(&r);
}

static void the_state_is_the_best_that_is_true(void)
{
    version_rows r = {.first = NULL};
    version_row *v = row(&r, "1");
    atomic_store(&v->leaving, 1);
    CHECK_STR(version_row_state(v), "UNLOADING");
    atomic_store(&v->loading, 1);
    CHECK_STR(version_row_state(v), "LOADING");
    atomic_store(&v->ready, true);
    CHECK_STR(version_row_state(v), "READY");
    version_rows_fini(&r);
}

static void what_is_in_use_keeps_its_row_at_the_limit(void)
{
    version_rows r = {.first = NULL};
    version_row *v = NULL;
    char name[20];
    err e;
    for (int i = 1; i <= VERSION_ROWS_MAX; i++) {
        snprintf(name, sizeof name, "%d", i);
        atomic_store(&row(&r, name)->ready, i != 7 && i != 9);
    }
    (void)row(&r, "100");   /* in the place of 7 */
    (void)row(&r, "101");
    atomic_store(&row(&r, "100")->loading, 1);
    atomic_store(&row(&r, "101")->leaving, 1);
    CHECK(!strstr(listed(&r), " 7 ") && !strstr(listed(&r), " 9 ") && strstr(listed(&r), " 64 100 101 "));
    CHECK(version_rows_get(&r, STR("102"), &v, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "versions in use at once: expected at most 64, got 65");
    version_rows_fini(&r);
}

static void no_memory_leaves_the_rows_as_they_were(void)
{
    FAULT_SWEEP({
        version_rows r = {.first = NULL};
        version_row *v;
        err e;
        if (version_rows_get(&r, STR("1"), &v, &e)) CHECK(e.code == ERR_NOMEM && !version_rows_next(&r, NULL));
        version_rows_fini(&r);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(rows_come_out_by_number),
        TEST(a_name_without_a_version_gives_its_row_to_the_first),
        TEST(a_version_comes_where_it_is_known_to_or_nothing_is),
        TEST(the_state_is_the_best_that_is_true),
        TEST(what_is_in_use_keeps_its_row_at_the_limit),
        TEST(no_memory_leaves_the_rows_as_they_were),
    };
    return test_main(cases, COUNTOF(cases));
}
