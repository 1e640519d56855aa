/* A setting of a model that is not given is the server's, one of the server's Triton's default; a change is applied
 * whole or not at all, and what cannot be is refused in Triton's words. */
#include "models/trace_setting.h"
#include "test.h"

static trace_setting server, one;
static buf out;

static trace_settings of_server(const char *file)
{
    return (trace_settings){.own = &server, .file = str_of(file)};
}

static trace_settings of_model(const char *file)
{
    return (trace_settings){.own = &one, .server = &server, .file = str_of(file)};
}

static const char *say(trace_settings s, const char *body)
{
    static err e;
    buf_clear(&out);
    if (body && trace_setting_read(&s, str_of(body), &e)) return e.text;
    trace_setting_print(&out, &s);
    buf_put_byte(&out, 0);
    return (const char *)out.p;
}

#define SETTINGS(level, rate, count, frequency, file) \
    "{\"trace_level\":[\"" level "\"],\"trace_rate\":\"" rate "\",\"trace_count\":\"" count \
    "\",\"log_frequency\":\"" frequency "\",\"trace_file\":\"" file "\",\"trace_mode\":\"triton\"}"

static void a_model_has_what_it_was_given_and_else_the_servers(void)
{
    CHECK_STR(say(of_server(""), NULL), SETTINGS("OFF", "1000", "-1", "0", ""));
    CHECK_STR(say(of_model(""), "{\"trace_rate\":\"5\"}"), SETTINGS("OFF", "5", "-1", "0", ""));
    CHECK_STR(say(of_server(""), "{\"trace_rate\":\"7\",\"trace_count\":\"9\"}"), SETTINGS("OFF", "7", "9", "0", ""));
    CHECK_STR(say(of_model(""), NULL), SETTINGS("OFF", "5", "9", "0", ""));
    CHECK_STR(say(of_model(""), "{\"trace_rate\":null}"), SETTINGS("OFF", "7", "9", "0", ""));
    CHECK_STR(say(of_server(""), "{\"trace_rate\":null,\"trace_count\":null}"), SETTINGS("OFF", "1000", "-1", "0", ""));
    CHECK_STR(say(of_model(""), "{}"), SETTINGS("OFF", "1000", "-1", "0", ""));
}

static void tracing_needs_a_file_and_a_rate(void)
{
    static const char on[] = "{\"trace_level\":[\"TIMESTAMPS\"],\"log_frequency\":\"3\"}";
    CHECK_STR(say(of_server(""), on), "Attempting to set invalid trace setting :trace file name is not given");
    CHECK_STR(say(of_server("t"), "{\"trace_level\":[\"TIMESTAMPS\"],\"trace_rate\":\"0\"}"),
              "Attempting to set invalid trace setting :sample rate must be non-zero");
    CHECK_STR(say(of_server("t"), NULL), SETTINGS("OFF", "1000", "-1", "0", "t"));
    CHECK_STR(say(of_server("t"), on), SETTINGS("TIMESTAMPS", "1000", "-1", "3", "t"));
    CHECK_STR(say(of_model("t"), NULL), SETTINGS("TIMESTAMPS", "1000", "-1", "3", "t"));
    CHECK_STR(say(of_model("t"), "{\"trace_level\":[\"OFF\"],\"trace_rate\":\"0\"}"),
              SETTINGS("OFF", "0", "-1", "3", "t"));
    CHECK_STR(say(of_model("t"), "{\"trace_level\":null}"),
              "Attempting to set invalid trace setting :sample rate must be non-zero");
    CHECK_STR(say(of_model("t"), "{\"trace_level\":null,\"trace_rate\":null}"),
              SETTINGS("TIMESTAMPS", "1000", "-1", "3", "t"));
    CHECK_STR(say(of_server("t"), "{\"trace_level\":null,\"log_frequency\":null}"),
              SETTINGS("OFF", "1000", "-1", "0", "t"));
}

static void what_is_wrong_is_refused_by_name_and_changes_nothing(void)
{
    static const struct {
        const char *body, *want;
    } wrong[] = {
        {"{\"trace_rate\":\"x\"}", "Unable to parse 'trace_rate', got: x"},
        {"{\"trace_rate\":\"\"}", "Unable to parse 'trace_rate', got: "},
        {"{\"trace_rate\":\"-\"}", "Unable to parse 'trace_rate', got: -"},
        {"{\"trace_rate\":\"-1\"}",
         "Unable to parse 'trace_rate', value is out of range [ 0, 4294967295 ], got: -1"},
        {"{\"trace_count\":\"-2\"}",
         "Unable to parse 'trace_count', value is out of range [ -1, 2147483647 ], got: -2"},
        {"{\"log_frequency\":\"99999999999999999999\"}",
         "Unable to parse 'log_frequency', value is out of range [ 0, 4294967295 ], got: 99999999999999999999"},
        {"{\"trace_rate\":5}", "trace_rate: expected a string, got 5"},
        {"{\"trace_level\":\"OFF\"}", "trace_level: expected a list, got 'OFF'"},
        {"{\"trace_level\":[]}", "trace_level: expected 1..8 levels, got 0"},
        {"{\"trace_level\":[1]}", "trace_level: expected a string, got 1"},
        {"{\"trace_level\":[\"OFF\",\"TIMESTAMPS\"]}", "Expect only one trace level 'OFF' is specified"},
        {"{\"trace_level\":[\"MAX\"]}", "trace_level: expected OFF, TIMESTAMPS or TENSORS, got 'MAX'"},
        {"{\"trace_level\":[\"TENSORS\",\"OFF\"]}", "Expect only one trace level 'OFF' is specified"},
        {"{\"trace_file\":null}", "trace file location can not be updated through network protocol"},
        {"{\"trace_mode\":\"opentelemetry\"}", "trace mode can not be updated through network protocol"},
        {"{\"trace_count\":\"3\",\"x\":\"1\"}", "settings: unknown setting 'x'"},
        {"[]", "request: expected an object, got a list"},
    };
    for (size_t i = 0; i < COUNTOF(wrong); i++) CHECK_STR(say(of_server(""), wrong[i].body), wrong[i].want);
    CHECK_STR(say(of_server(""), NULL), SETTINGS("OFF", "1000", "-1", "0", ""));
    static const str two[] = {{"1", 1}, {"2", 1}};
    trace_change c = {.set = 0};
    err e;
    CHECK(trace_change_add(&c, STR("trace_rate"), two, 2, &e) == ERR_INVALID);
    CHECK_STR(e.text, "expect only 1 value for 'trace_rate'");
}

/* Settings of a server that was started with these, and of one of its models. */
static const int64_t started[TRACE_SETTINGS] = {TRACE_TIMESTAMPS, 3, 2, 7};
static trace_setting fresh_server, fresh_one;
static trace_settings of_fresh(bool model)
{
    return (trace_settings){.own = model ? &fresh_one : &fresh_server,
                            .server = model ? &fresh_server : NULL,
                            .defaults = started,
                            .file = STR("t")};
}

static void fresh(void)
{
    const trace_settings s = of_fresh(false);
    err e;
    fresh_server = fresh_one = (trace_setting){.given = 0};
    CHECK(trace_setting_apply(&s, &(trace_change){.set = 0}, &e) == ERR_OK);
}

/* Which of so many requests are traced: "..x" for the third alone. */
static const char *sampled(bool model, size_t count)
{
    static char text[64];
    const trace_settings s = of_fresh(model);
    trace_sample got;
    INVARIANT(count < sizeof text);
    for (size_t i = 0; i < count; i++) {
        text[i] = trace_setting_sample(&s, &got) ? 'x' : '.';
        if (text[i] == 'x') atomic_fetch_sub(&got.by->open, 1);
    }
    text[count] = 0;
    return text;
}

static void what_is_cleared_is_what_it_was_started_with(void)
{
    fresh();
    CHECK_STR(say(of_fresh(false), NULL), SETTINGS("TIMESTAMPS", "3", "2", "7", "t"));
    CHECK_STR(say(of_fresh(false), "{\"trace_rate\":\"1\",\"trace_count\":\"9\",\"trace_level\":[\"OFF\"]}"),
              SETTINGS("OFF", "1", "9", "7", "t"));
    CHECK_STR(say(of_fresh(true), NULL), SETTINGS("OFF", "1", "9", "7", "t"));
    CHECK_STR(say(of_fresh(false), "{\"trace_rate\":null,\"trace_count\":null,\"trace_level\":null}"),
              SETTINGS("TIMESTAMPS", "3", "2", "7", "t"));
    CHECK_STR(say(of_fresh(true), "{\"trace_level\":[\"TENSORS\",\"TIMESTAMPS\"]}"),
              SETTINGS("TIMESTAMPS\",\"TENSORS", "3", "2", "7", "t"));
}

static void one_of_so_many_is_sampled_until_the_count_is_spent(void)
{
    fresh();
    CHECK_STR(sampled(false, 11), "..x..x.....");
    CHECK_STR(say(of_fresh(false), NULL), SETTINGS("TIMESTAMPS", "3", "0", "7", "t"));
    CHECK(trace_setting_spent(&(trace_settings){.own = &fresh_server}));
    say(of_fresh(false), "{\"trace_count\":\"-1\",\"trace_rate\":\"2\"}");
    CHECK_STR(sampled(false, 6), ".x.x.x");
    say(of_fresh(false), "{\"trace_level\":[\"OFF\"]}");
    CHECK_STR(sampled(false, 6), "......");
}

/* A model without settings is counted with all others; with one of its own it counts alone, but for what it has not. */
static void a_model_with_settings_counts_for_itself(void)
{
    fresh();
    CHECK_STR(sampled(true, 2), "..");
    CHECK_STR(sampled(false, 1), "x");
    say(of_fresh(true), "{\"trace_rate\":\"2\"}");
    CHECK_STR(sampled(true, 2), ".x");
    CHECK_STR(sampled(false, 4), "....");   /* the second and last was the model's */
    say(of_fresh(true), "{\"trace_count\":\"1\"}");
    CHECK_STR(sampled(true, 5), ".x...");
    CHECK_STR(say(of_fresh(true), NULL), SETTINGS("TIMESTAMPS", "2", "0", "7", "t"));
    CHECK_STR(say(of_fresh(false), "{\"trace_count\":\"4\"}"), SETTINGS("TIMESTAMPS", "3", "4", "7", "t"));
    CHECK_STR(sampled(true, 5), ".....");
    CHECK_STR(sampled(false, 5), "..x..");
}

static void a_sample_says_how_it_was_taken(void)
{
    fresh();
    const trace_settings s = of_fresh(false), m = of_fresh(true);
    trace_sample a, b, c;
    say(s, "{\"trace_rate\":\"1\"}");
    uint32_t changes = trace_setting_changes(&s);
    CHECK(trace_setting_sample(&m, &a) && a.by == &fresh_server && a.level == TRACE_TIMESTAMPS && a.frequency == 7);
    CHECK(a.counted && atomic_load(&fresh_server.open) == 1);
    say(m, "{\"trace_level\":[\"TENSORS\"],\"log_frequency\":\"0\",\"trace_count\":\"-1\"}");
    CHECK(trace_setting_sample(&m, &b) && b.by == &fresh_one && b.level == TRACE_TENSORS && !b.frequency && !b.counted);
    CHECK(trace_setting_changes(&s) == changes && b.changes > a.changes);
    say(s, "{}");
    CHECK(trace_setting_sample(&m, &c) && c.changes > b.changes && trace_setting_changes(&s) > changes);
}

static void a_change_survives_failed_allocations(void)
{
    trace_settings s = of_server("");
    err e;
    FAULT_SWEEP({
        err_code rc = trace_setting_read(&s, STR("{\"trace_rate\":\"12\"}"), &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM || rc == ERR_LIMIT);
        CHECK(trace_setting_get(&s, TRACE_RATE) == (rc ? 1000 : 12));
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_model_has_what_it_was_given_and_else_the_servers),
        TEST(tracing_needs_a_file_and_a_rate),
        TEST(what_is_wrong_is_refused_by_name_and_changes_nothing),
        TEST(what_is_cleared_is_what_it_was_started_with),
        TEST(one_of_so_many_is_sampled_until_the_count_is_spent),
        TEST(a_model_with_settings_counts_for_itself),
        TEST(a_sample_says_how_it_was_taken),
        TEST(a_change_survives_failed_allocations),
    };
    buf_init(&out, 1 << 16);
    int status = test_main(cases, COUNTOF(cases));
    buf_fini(&out);
    return status;
}
