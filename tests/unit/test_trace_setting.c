/* A setting of a model that is not given is the server's, one of the server's Triton's default; a change is applied
 * whole or not at all, and what cannot be is refused in Triton's words. */
#include "serve/trace_setting.h"
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
        {"{\"trace_level\":[\"TENSORS\"]}", "trace_level: TENSORS is not supported: tensors are not traced"},
        {"{\"trace_level\":[\"MAX\"]}", "trace_level: expected OFF or TIMESTAMPS, got 'MAX'"},
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
        TEST(a_change_survives_failed_allocations),
    };
    buf_init(&out, 1 << 16);
    int status = test_main(cases, COUNTOF(cases));
    buf_fini(&out);
    return status;
}
