/* What a client sets is what the log then writes: each level by itself, the format of its lines; wrong values change
 * nothing and are refused in Triton's words. */
#include "base/log.h"
#include "serve/log_setting.h"
#include "test.h"

static char lines[1024];
static buf out;

static void sink(const char *line, size_t len)
{
    size_t at = strlen(lines);
    INVARIANT(at + len < sizeof lines);
    memcpy(lines + at, line, len);
    lines[at + len] = 0;
}

static uint64_t clock_us(void) { return 0; }

static void start(bool json)
{
    log_setup(&(log_opts){.level = LOG_INFO, .json = json, .sink = sink, .clock_us = clock_us});
}

static const char *say(const char *body)
{
    static err e;
    buf_clear(&out);
    if (body && log_setting_read(str_of(body), &e)) return e.text;
    log_setting_print(&out);
    buf_put_byte(&out, 0);
    return (const char *)out.p;
}

static const char *written(void)
{
    lines[0] = 0;
    log_write(LOG_DEBUG, NULL, "d");
    log_write(LOG_INFO, NULL, "i");
    log_write(LOG_WARN, NULL, "w");
    log_write(LOG_ERROR, NULL, "e");
    return lines;
}

#define AT "1970-01-01T00:00:00.000000Z "
#define SETTINGS(info, warning, error, verbose, format) \
    "{\"log_file\":\"\",\"log_info\":" info ",\"log_warning\":" warning ",\"log_error\":" error \
    ",\"log_verbose_level\":" verbose ",\"log_format\":\"" format "\"}"

static void each_level_is_turned_by_itself(void)
{
    start(false);
    CHECK_STR(say(NULL), SETTINGS("true", "true", "true", "0", "default"));
    CHECK_STR(say("{\"log_warning\":false}"), SETTINGS("true", "false", "true", "0", "default"));
    CHECK_STR(written(), AT "info  i\n" AT "error e\n");
    CHECK_STR(say("{\"log_verbose_level\":2,\"log_info\":false,\"log_error\":null}"),
              SETTINGS("false", "false", "true", "2", "default"));
    CHECK_STR(written(), AT "debug d\n" AT "error e\n");
    CHECK(log_level_now() == LOG_DEBUG);
    CHECK_STR(say("{\"log_verbose_level\":0,\"log_error\":false}"),
              SETTINGS("false", "false", "false", "0", "default"));
    CHECK_STR(written(), "");
    CHECK(log_level_now() == LOG_LEVELS);
    log_level_set(LOG_WARN);
    CHECK_STR(say("{}"), SETTINGS("false", "true", "true", "0", "default"));
}

static void the_format_is_the_one_at_start_or_text(void)
{
    start(true);
    log_level_set(LOG_ERROR);
    CHECK_STR(written(), "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"level\":\"error\",\"msg\":\"e\"}\n");
    CHECK_STR(say("{\"log_format\":\"ISO8601\"}"), SETTINGS("false", "false", "true", "0", "ISO8601"));
    CHECK_STR(written(), AT "error e\n");
    CHECK_STR(say("{\"log_format\":\"default\"}"), SETTINGS("false", "false", "true", "0", "default"));
    CHECK(strncmp(written(), "{\"time\"", 7) == 0);
}

static void what_is_wrong_is_refused_and_changes_nothing(void)
{
    static const struct {
        const char *body, *want;
    } wrong[] = {
        {"{\"log_info\":false,\"log_file\":\"/x\"}",
         "log file location can not be updated through network protocol"},
        {"{\"log_info\":1}", "expect boolean for 'log_info'"},
        {"{\"log_verbose_level\":-1}", "expect unsigned int32 for 'log_verbose_level'"},
        {"{\"log_verbose_level\":4294967296}", "expect unsigned int32 for 'log_verbose_level'"},
        {"{\"log_format\":true}", "expect string for 'log_format'"},
        {"{\"log_format\":\"x\"}", "invalid argument for --log_format, got: x"},
        {"{\"log_info\":false,\"log_x\":true}", "settings: unknown setting 'log_x'"},
        {"[]", "request: expected an object, got a list"},
    };
    start(false);
    for (size_t i = 0; i < COUNTOF(wrong); i++) CHECK_STR(say(wrong[i].body), wrong[i].want);
    CHECK_STR(say("{\"log_file\":null,\"log_format\":null,\"log_verbose_level\":null}"),
              SETTINGS("true", "true", "true", "0", "default"));
}

static void a_change_survives_failed_allocations(void)
{
    err e;
    FAULT_SWEEP({
        start(false);
        err_code rc = log_setting_read(STR("{\"log_info\":false}"), &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM || rc == ERR_LIMIT);
        CHECK(log_level_on(LOG_INFO) == (rc != ERR_OK));
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(each_level_is_turned_by_itself),
        TEST(the_format_is_the_one_at_start_or_text),
        TEST(what_is_wrong_is_refused_and_changes_nothing),
        TEST(a_change_survives_failed_allocations),
    };
    buf_init(&out, 1 << 16);
    int status = test_main(cases, COUNTOF(cases));
    buf_fini(&out);
    return status;
}
