#include "base/log.h"

#include "base/str.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { FIELDS_MAX = 1024 };   /* of a line: a long message is cut, its fields (request id, model) are kept */

static log_opts the_log;
static _Atomic uint32_t levels;   /* a bit for each that is on */
static _Atomic bool plain;       /* text, whatever was set up */
static const char *const names[LOG_LEVELS] = {"debug", "info", "warn", "error"};
static const char mark[] = "...";

/* A piece of a line: puts past `room` are dropped, and `cut` says so. */
typedef struct {
    char *p;
    size_t len, room;
    bool cut, json;
} piece;

void log_setup(const log_opts *opts)
{
    the_log = *opts;
    log_level_set(opts->level);
    log_plain_set(false);
}

static uint32_t levels_now(void) { return atomic_load_explicit(&levels, memory_order_relaxed); }

void log_level_set(log_level level)
{
    atomic_store_explicit(&levels, (1u << LOG_LEVELS) - (1u << level), memory_order_relaxed);
}

log_level log_level_now(void)
{
    uint32_t on = levels_now();
    return on ? (log_level)__builtin_ctz(on) : LOG_LEVELS;
}

void log_level_turn(log_level level, bool on)
{
    if (on) atomic_fetch_or_explicit(&levels, 1u << level, memory_order_relaxed);
    else atomic_fetch_and_explicit(&levels, ~(1u << level), memory_order_relaxed);
}

bool log_level_on(log_level level) { return levels_now() >> level & 1u; }
bool log_on(log_level level) { return the_log.sink && the_log.clock_us && log_level_on(level); }
void log_plain_set(bool on) { atomic_store_explicit(&plain, on, memory_order_relaxed); }
bool log_plain_now(void) { return atomic_load_explicit(&plain, memory_order_relaxed); }

const char *log_level_name(log_level level)
{
    INVARIANT((unsigned)level < LOG_LEVELS);
    return names[level];
}

static void put(piece *to, const char *p, size_t n)
{
    if (to->cut || n > to->room - to->len) {
        to->cut = true;
        return;
    }
    memcpy(to->p + to->len, p, n);
    to->len += n;
}

/* The escape of a character that must not stand as it is, or an empty string.  A line may be shown on a
 * terminal and be made of what a client sent: controls (C0, DEL, C1) and bytes that are no UTF-8 never pass. */
static void escape(char ret[12], uint32_t code, bool bad, bool json)
{
    int c = code < 0x80 ? (int)code : 0;
    ret[0] = 0;
    if (bad) {
        snprintf(ret, 12, json ? "\\ufffd" : "\\x%02x", code);
    } else if (c == '\n' || c == '\r' || c == '\t') {
        snprintf(ret, 12, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    } else if (code < 0x20 || (code >= 0x7F && code < 0xA0)) {
        snprintf(ret, 12, json ? "\\u%04x" : "\\x%02x", code);
    } else if (json && (c == '"' || c == '\\')) {
        snprintf(ret, 12, "\\%c", c);
    }
}

/* Whole characters only, so that a cut leaves well-formed UTF-8 and whole escapes. */
static void put_escaped(piece *to, str s)
{
    while (s.len && !to->cut) {
        uint32_t code = (uint8_t)s.p[0];
        size_t n = str_utf8_step(s, &code);
        bool bad = n == 0;
        char instead[12];
        if (bad) n = 1;
        escape(instead, code, bad, to->json);
        if (instead[0]) put(to, instead, strlen(instead));
        else put(to, s.p, n);
        s = (str){s.p + n, s.len - n};
    }
}

/* In JSON every value is a string: a field's type then never depends on what a client sent. */
static void put_fields(piece *to, str fields)
{
    while (fields.len) {
        str pair = fields, rest = {"", 0}, key, value;
        if (str_cut(fields, ' ', &pair, &rest) && pair.len == 0) {
            fields = rest;
            continue;
        }
        fields = rest;
        if (!str_cut(pair, '=', &key, &value)) {
            key = pair;
            value = (str){"", 0};
        }
        size_t before = to->len;
        put(to, to->json ? ",\"" : " ", to->json ? 2 : 1);
        put_escaped(to, key);
        put(to, to->json ? "\":\"" : "=", to->json ? 3 : 1);
        put_escaped(to, value);
        if (to->json) put(to, "\"", 1);
        if (to->cut) {
            to->len = before;   /* a field is there whole or not at all */
            return;
        }
    }
}

/* RFC 3339 in UTC.  Days to a date after Howard Hinnant's civil_from_days: years start in March. */
static void put_time(piece *to, uint64_t us)
{
    uint64_t s = us / 1000000, days = s / 86400 + 719468, era = days / 146097, day = days % 146097;
    uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    uint64_t yday = day - (365 * year + year / 4 - year / 100), month = (5 * yday + 2) / 153;
    uint64_t mday = yday - (153 * month + 2) / 5 + 1, civil = month < 10 ? month + 3 : month - 9;
    char text[40];
    int n = snprintf(text, sizeof text, "%04" PRIu64 "-%02" PRIu64 "-%02" PRIu64 "T",
                     year + era * 400 + (civil <= 2), civil, mday);
    put(to, text, (size_t)n);
    n = snprintf(text, sizeof text, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ".%06" PRIu64 "Z",
                 s / 3600 % 24, s / 60 % 60, s % 60, us % 1000000);
    put(to, text, (size_t)n);
}

void log_write(log_level level, const char *fields, const char *fmt, ...)
{
    if (!log_on(level)) return;
    bool json = the_log.json && !log_plain_now();   /* once: a line is of one kind */
    char text[LOG_LINE_MAX], tail_bytes[FIELDS_MAX], line_bytes[LOG_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    int whole = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t len = whole < 0 ? 0 : (size_t)whole < sizeof text ? (size_t)whole : sizeof text - 1;

    piece tail = {.p = tail_bytes, .room = sizeof tail_bytes - 2, .json = json};
    put_fields(&tail, str_of(fields));
    tail.room = sizeof tail_bytes;
    tail.cut = false;
    put(&tail, json ? "}\n" : "\n", json ? 2 : 1);

    piece line = {.p = line_bytes, .room = sizeof line_bytes - tail.len - sizeof mark - 1, .json = json};
    if (json) put(&line, "{\"time\":\"", 9);
    put_time(&line, the_log.clock_us());
    char head[40];
    int n = snprintf(head, sizeof head, json ? "\",\"level\":\"%s\",\"msg\":\"" : " %-5s ", names[level]);
    put(&line, head, (size_t)n);
    put_escaped(&line, (str){text, len});
    bool cut = line.cut || whole >= (int)sizeof text;
    line.room = sizeof line_bytes;
    line.cut = false;
    if (cut) put(&line, mark, sizeof mark - 1);
    if (json) put(&line, "\"", 1);
    put(&line, tail.p, tail.len);
    INVARIANT(!line.cut);
    the_log.sink(line.p, line.len);
}
