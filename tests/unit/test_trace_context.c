/* A traceparent is taken whole or not at all, as W3C's Recommendation says; a tracestate that is wrong costs no
 * traceparent; whatever is passed on is what came. */
#include "wire/trace_context.h"
#include "test.h"

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define GOOD "00-" ID "-" SPAN "-01"

static void a_traceparent_is_read_strictly(void)
{
    static const struct {
        const char *text;
        bool valid, sampled;
    } rows[] = {
        {GOOD, true, true},
        {"00-" ID "-" SPAN "-00", true, false},
        {"00-" ID "-" SPAN "-ff", true, true},
        {"00-" ID "-" SPAN "-02", true, false},
        {"01-" ID "-" SPAN "-01", true, true},
        {"cc-" ID "-" SPAN "-01-what-the-future-holds", true, true},
        {"cc-" ID "-" SPAN "-01.what", false, false},
        {"cc-" ID "-" SPAN "-01x", false, false},
        {"00-" ID "-" SPAN "-01-", false, false},
        {"00-" ID "-" SPAN "-0", false, false},
        {"00-" ID "-" SPAN "-0g", false, false},
        {"00-" ID "-" SPAN, false, false},
        {"ff-" ID "-" SPAN "-01", false, false},
        {"0x-" ID "-" SPAN "-01", false, false},
        {"00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01", false, false},
        {"00-00000000000000000000000000000000-" SPAN "-01", false, false},
        {"00-" ID "-0000000000000000-01", false, false},
        {"00_" ID "-" SPAN "-01", false, false},
        {"", false, false},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        http_header h[] = {{STR("Host"), STR("h")}, {STR("TraceParent"), str_of(rows[i].text)}};
        trace_context c;
        trace_context_read(h, COUNTOF(h), &c);
        CHECK(c.valid == rows[i].valid && c.sampled == rows[i].sampled);
        CHECK(c.valid ? str_is(c.id, ID) : c.id.len == 0);
        if (!c.valid) continue;
        CHECK(c.trace_id[0] == 0x4b && c.trace_id[15] == 0x36 && c.span_id[0] == 0 && c.span_id[7] == 0xb7);
    }
}

static void two_traceparents_are_none(void)
{
    http_header h[] = {{STR("traceparent"), STR(GOOD)}, {STR("traceparent"), STR(GOOD)}};
    trace_context c;
    trace_context_read(h, 2, &c);
    CHECK(!c.valid);
    trace_context_read(h, 1, &c);
    CHECK(c.valid);
    trace_context_read(NULL, 0, &c);
    CHECK(!c.valid);
}

static const char *state(const char *first, const char *second)
{
    static char text[TRACE_STATE_BYTES_MAX + 1];
    http_header h[] = {{STR("tracestate"), str_of(first)}, {STR("Tracestate"), str_of(second)}};
    size_t n = trace_context_state(h, second ? 2 : 1, text);
    text[n] = 0;
    return text;
}

static void a_tracestate_is_joined_and_checked(void)
{
    static const char *const rows[][3] = {
        {"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", NULL, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"},
        {"rojo=1", "congo=2", "rojo=1,congo=2"},
        {" rojo=1 ,\t congo=2 ", NULL, "rojo=1,congo=2"},
        {"rojo=1,,", ",", "rojo=1"},
        {"fw529a3039@dt=FfAAAA", NULL, "fw529a3039@dt=FfAAAA"},
        {"1a@dt=v w", NULL, "1a@dt=v w"},
        {"a_-*/0=!", NULL, "a_-*/0=!"},
        {"", NULL, ""},
        {"rojo", NULL, ""},
        {"rojo=", NULL, ""},
        {"=1", NULL, ""},
        {"Rojo=1", NULL, ""},
        {"1rojo=1", NULL, ""},
        {"a@b@c=1", NULL, ""},
        {"a@=1", NULL, ""},
        {"a@abcdefghijklmno=1", NULL, ""},
        {"rojo=1=2", NULL, ""},
        {"rojo=1,rojo=2", NULL, ""},
        {"rojo=1", "rojo=2", ""},
        {"rojo=\001", NULL, ""},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) CHECK_STR(state(rows[i][0], rows[i][1]), rows[i][2]);
}

static void a_tracestate_is_bounded(void)
{
    char many[2048] = "", value[TRACE_STATE_BYTES_MAX];
    size_t n = 0;
    for (int i = 0; i < TRACE_STATE_ENTRIES_MAX; i++) n += (size_t)snprintf(many + n, sizeof many - n, "k%d=v,", i);
    CHECK(strlen(state(many, NULL)) == n - 1);
    CHECK_STR(state(many, "one=more"), "");
    memset(value, 'v', sizeof value);
    snprintf(many, sizeof many, "a=%.256s,b=%.250s,c=1", value, value);   /* 258 + 1 + 252 */
    CHECK_U64(strlen(state(many, NULL)), 511);   /* the last one does not fit any more */
    snprintf(many, sizeof many, "a=%.257s", value);
    CHECK_STR(state(many, NULL), "");
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_traceparent_is_read_strictly),
        TEST(two_traceparents_are_none),
        TEST(a_tracestate_is_joined_and_checked),
        TEST(a_tracestate_is_bounded),
    };
    return test_main(cases, COUNTOF(cases));
}
