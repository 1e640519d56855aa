/* One event is one line, whatever it holds: nothing that a client sends can start a second line, leave the
 * JSON, or reach a terminal as a control sequence; a cut line is still well formed and keeps its fields. */
#include "base/log.h"
#include "base/str.h"
#include "test.h"

#include <stdlib.h>

static char line[LOG_LINE_MAX + 1];
static size_t line_count;

static void sink(const char *p, size_t len)
{
    CHECK(len > 0 && len <= LOG_LINE_MAX && p[len - 1] == '\n' && memchr(p, '\n', len) == p + len - 1);
    CHECK(str_utf8_ok((str){p, len}));
    memcpy(line, p, len);
    line[len] = 0;
    line_count++;
}

static uint64_t now_us;
static uint64_t clock_us(void) { return now_us; }

static void setup(log_level level, bool json)
{
    now_us = 1795274700123456u;
    log_setup(&(log_opts){.level = level, .json = json, .sink = sink, .clock_us = clock_us});
}

static void text_lines_read_well(void)
{
    setup(LOG_DEBUG, false);
    log_write(LOG_INFO, NULL, "loaded %d models", 3);
    CHECK_STR(line, "2026-11-21T15:25:00.123456Z info  loaded 3 models\n");
    log_write(LOG_ERROR, "request_id=ab model=m", "failed: %s", "a \"b\" \\c");
    CHECK_STR(line, "2026-11-21T15:25:00.123456Z error failed: a \"b\" \\c request_id=ab model=m\n");
}

static void json_lines_hold_strings_only(void)
{
    setup(LOG_DEBUG, true);
    log_write(LOG_WARN, "status=200  bare eq=a=b", "say \"hi\" \\ there");
    CHECK_STR(line, "{\"time\":\"2026-11-21T15:25:00.123456Z\",\"level\":\"warn\","
                    "\"msg\":\"say \\\"hi\\\" \\\\ there\",\"status\":\"200\",\"bare\":\"\",\"eq\":\"a=b\"}\n");
}

static void controls_and_bad_utf8_are_escaped(void)
{
    setup(LOG_DEBUG, true);
    log_write(LOG_INFO, "k=\x01\"", "a\nb\r\t\x1b[31m\x7f\xC2\x9B\xFF\xE2\x82\xAC\xE2\x82");
    CHECK_STR(strstr(line, "msg"), "msg\":\"a\\nb\\r\\t\\u001b[31m\\u007f\\u009b\\ufffd\xE2\x82\xAC\\ufffd\\ufffd\","
                                   "\"k\":\"\\u0001\\\"\"}\n");
    setup(LOG_DEBUG, false);
    log_write(LOG_INFO, NULL, "a\nb\x1b\x7f\xC2\x9B\xFF\xC3\xA4");
    CHECK_STR(strstr(line, "info"), "info  a\\nb\\x1b\\x7f\\x9b\\xff\xC3\xA4\n");
}

static void the_clock_is_shown_as_utc(void)
{
    const struct { uint64_t s; const char *want; } rows[] = {
        {0, "1970-01-01T00:00:00"}, {951782400, "2000-02-29T00:00:00"},
        {951868799, "2000-02-29T23:59:59"}, {951868800, "2000-03-01T00:00:00"}, {1709164800, "2024-02-29T00:00:00"},
        {1735689599, "2024-12-31T23:59:59"}, {4107542400, "2100-03-01T00:00:00"}, {4107542399, "2100-02-28T23:59:59"}};
    setup(LOG_DEBUG, false);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        now_us = rows[i].s * 1000000;
        log_write(LOG_INFO, NULL, "x");
        line[19] = 0;
        CHECK_STR(line, rows[i].want);
    }
}

static void lower_levels_and_a_missing_sink_are_silent(void)
{
    setup(LOG_WARN, false);
    line_count = 0;
    log_write(LOG_INFO, NULL, "no");
    CHECK(!log_on(LOG_INFO) && log_on(LOG_WARN) && line_count == 0);
    log_setup(&(log_opts){.clock_us = clock_us});
    log_write(LOG_ERROR, NULL, "no");
    CHECK(!log_on(LOG_ERROR) && line_count == 0);
    CHECK_STR(log_level_name(LOG_ERROR), "error");
}

/* Messages of every length around the limit, made of one, two and six output bytes per input byte. */
static void a_long_line_is_cut_with_a_mark_and_keeps_its_fields(void)
{
    const char *const unit[] = {"a", "\xC3\xA4", "\x01"};
    for (int json = 0; json < 2; json++) {
        for (size_t u = 0; u < COUNTOF(unit); u++) {
            setup(LOG_DEBUG, json);
            for (int n = 0; n < 2200; n += n < 1900 ? 37 : 1) {
                char text[4500] = "";
                for (int i = 0; i < n; i++) memcpy(text + (size_t)i * strlen(unit[u]), unit[u], strlen(unit[u]) + 1);
                log_write(LOG_INFO, "id=7", "%s", text);
                const char *end = json ? "\"id\":\"7\"}\n" : "id=7\n";
                CHECK(str_ends(str_of(line), str_of(end)));
                CHECK(n < 1900 || (u == 0 && n < 2010) || strstr(line, json ? "...\"," : "... id"));
            }
        }
    }
}

static void too_many_fields_lose_whole_fields_only(void)
{
    setup(LOG_DEBUG, true);
    for (unsigned first = 0; first < 20; first++) {   /* the cut falls on each byte of a field */
        char fields[3000];
        snprintf(fields, sizeof fields, "first=%.*s ", (int)first, "01234567890123456789");
        for (unsigned i = 0; i < 200; i++) snprintf(fields + strlen(fields), 16, "key%03u=ab ", i % 1000);
        log_write(LOG_INFO, fields, "m");
        CHECK(str_ends(str_of(line), STR("\":\"ab\"}\n")));
        CHECK(strstr(line, "\"key000\":\"ab\"") && !strstr(line, "key199"));
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(text_lines_read_well), TEST(json_lines_hold_strings_only), TEST(controls_and_bad_utf8_are_escaped),
        TEST(the_clock_is_shown_as_utc), TEST(lower_levels_and_a_missing_sink_are_silent),
        TEST(a_long_line_is_cut_with_a_mark_and_keeps_its_fields), TEST(too_many_fields_lose_whole_fields_only)};
    return test_main(cases, COUNTOF(cases));
}
