/* Property: the reader gives the samples that a text holds, or names the line that holds none; labels come back as
 * they were before they were escaped. */
#include "test.h"
#include "wire/prom.h"

#include <math.h>

static void check_text(const char *text, const char *want)
{
    prom p;
    prom_sample s;
    bool found = true;
    err e;
    char got[1000];
    size_t n = 0;
    got[0] = 0;
    prom_init(&p, str_of(text));
    while (found) {
        if (prom_next(&p, &s, &found, &e)) {
            n += (size_t)snprintf(got + n, sizeof got - n, "! %s\n", e.text);
            break;
        }
        if (found)
            n += (size_t)snprintf(got + n, sizeof got - n, STR_FMT "{" STR_FMT "} %g\n", STR_ARG(s.name),
                                  STR_ARG(s.labels), s.value);
    }
    CHECK_STR(got, want);
}

static void samples_come_in_order_and_comments_are_passed_over(void)
{
    check_text("# HELP a b\n# TYPE a counter\na 1\n\n  b{x=\"1\"}\t2.5e3 1700000000\r\nc:d{} -Inf\nlast{x=\"y\",} NaN",
               "a{} 1\nb{x=\"1\"} 2500\nc:d{} -inf\nlast{x=\"y\",} nan\n");
    check_text("", "");
    check_text("# EOF", "");
    check_text("a{x=\"}\\\"{\",y=\"z\"} +Inf\n", "a{x=\"}\\\"{\",y=\"z\"} inf\n");
}

static void what_is_no_sample_is_named(void)
{
    static const char *const wrong[] = {"a", "a{", "a{x} 1", "a{x=1} 1", "a{x=\"1} 1", "a{x=\"1\" y=\"2\"} 1",
                                        "a{=\"1\"} 1", "1a 1", "a b", "a 1x", "{x=\"1\"} 2", "<html>", "a{x=\"\\",
                                        "a{x=\"1\"}", "a{,} 1"};
    for (size_t i = 0; i < COUNTOF(wrong); i++) {
        char text[100], want[200];
        snprintf(text, sizeof text, "ok 1\n\n%s\nnot 2\n", wrong[i]);
        snprintf(want, sizeof want, "ok{} 1\n! metrics: line 3: expected a sample, got '%s'\n", wrong[i]);
        check_text(text, want);
    }
}

static void labels_are_found_and_unescaped(void)
{
    char v[8];
    str labels = STR("model=\"a\\\\b\\\"c\\nd\", le=\"+Inf\" ,empty=\"\",long=\"0123456789\"");
    CHECK(prom_label(labels, "model", v, sizeof v));
    CHECK_STR(v, "a\\b\"c\nd");
    CHECK(prom_label(labels, "le", v, sizeof v));
    CHECK_STR(v, "+Inf");
    CHECK(prom_label(labels, "empty", v, sizeof v));
    CHECK_STR(v, "");
    CHECK(prom_label(labels, "long", v, sizeof v));
    CHECK_STR(v, "0123456");
    CHECK(!prom_label(labels, "mode", v, sizeof v) && !prom_label(STR(""), "model", v, sizeof v));
}

int main(void)
{
    static const test_case cases[] = {
        TEST(samples_come_in_order_and_comments_are_passed_over),
        TEST(what_is_no_sample_is_named),
        TEST(labels_are_found_and_unescaped),
    };
    return test_main(cases, COUNTOF(cases));
}
