/* Property: however a stream is cut, the reader finds the same answer or the same refusal; what two parsers could
 * read in two ways is refused; all that it stores is bounded; requests are exactly as printed. */
#include "test.h"
#include "wire/http1_answer.h"

static const http1_answer_limits limits = {.header_bytes_max = 300, .header_count_max = 6, .body_bytes_max = 40};

typedef struct {
    http1_answer reader;
    http_message message;
    http1_answer_event last;
    http_refusal why;
    size_t used;
} stream;

static void stream_init(stream *s, bool to_head)
{
    *s = (stream){.last = HTTP1_ANSWER_MORE};
    http_message_init(&s->message);
    http1_answer_init(&s->reader, &limits, &s->message, to_head);
}

static void stream_feed(stream *s, const char *p, size_t len)
{
    size_t used = 0;
    if (s->last != HTTP1_ANSWER_MORE || len == 0) return;
    s->last = http1_answer_feed(&s->reader, (const uint8_t *)p, len, &used, &s->why);
    if (s->last == HTTP1_ANSWER_MORE) CHECK_U64(used, len);
    CHECK(used <= len);
    s->used += used;
}

/* What the stream meant, with its end. */
static void stream_tell(stream *s, char *out, size_t room)
{
    size_t n = 0;
    if (s->last == HTTP1_ANSWER_MORE) s->last = http1_answer_end(&s->reader, &s->why);
    if (s->last == HTTP1_ANSWER_REFUSED) {
        snprintf(out, room, "! %d %s", s->why.status, s->why.text);
    } else {
        const http_message *m = &s->message;
        n += (size_t)snprintf(out + n, room - n, "%d %s", http1_answer_status(&s->reader),
                              m->keep_alive ? "keep" : "close");
        for (size_t i = 0; i < m->header_count; i++)
            n += (size_t)snprintf(out + n, room - n, " [" STR_FMT "|" STR_FMT "]", STR_ARG(m->headers[i].name),
                                  STR_ARG(m->headers[i].value));
        snprintf(out + n, room - n, " %zu:" STR_FMT " @%zu", m->body.len, STR_ARG(m->body), s->used);
    }
    http_message_fini(&s->message);
}

static void check_answer_to(bool to_head, const char *z, const char *want)
{
    char got[2000];
    size_t len = strlen(z);
    for (size_t a = 0; a <= len; a++) {
        for (size_t b = a; b <= len; b++) {
            stream s;
            stream_init(&s, to_head);
            stream_feed(&s, z, a);
            stream_feed(&s, z + a, b - a);
            stream_feed(&s, z + b, len - b);
            stream_tell(&s, got, sizeof got);
            if (strcmp(got, want) != 0) {
                printf("# cut at %zu and %zu of: %s\n", a, b, z);
                CHECK_STR(got, want);
                return;
            }
        }
    }
    stream s;
    stream_init(&s, to_head);
    for (size_t i = 0; i < len; i++) stream_feed(&s, z + i, 1);
    stream_tell(&s, got, sizeof got);
    CHECK_STR(got, want);
}

static void check_answer(const char *z, const char *want) { check_answer_to(false, z, want); }

#define OK "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"

static void an_answer_is_the_same_at_every_pair_of_cuts(void)
{
    check_answer(OK "Content-Length: 5\r\nX: \t y \r\n\r\nhello", "200 keep [Content-Length|5] [X|y] 5:hello @52");
    check_answer(CHUNKED "5;a=b\r\nhello\r\n2\r\n, \r\n0\r\nT: x\r\n\r\n",
                 "200 keep [Transfer-Encoding|chunked] 7:hello,  @79");
    check_answer(OK "\r\nto the end", "200 close 10:to the end @29");
    check_answer("HTTP/1.1 204 No Content\r\n\r\n", "204 keep 0: @27");
    check_answer("HTTP/1.1 304\r\nContent-Length: 9\r\n\r\n", "304 keep [Content-Length|9] 0: @35");
    check_answer("HTTP/1.1 500 Oh no\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                 "500 close [Connection|close] [Content-Length|0] 0: @60");
    check_answer("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "200 close [Content-Length|1] 1:x @39");
    check_answer("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
                 "200 keep [Connection|keep-alive] [Content-Length|1] 1:x @63");
}

static void bytes_behind_the_answer_are_left_alone(void)
{
    check_answer(OK "Content-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n", "200 keep [Content-Length|1] 1:x @39");
}

static void an_answer_to_head_has_no_body_whatever_its_fields_say(void)
{
    check_answer_to(true, OK "Content-Length: 5000\r\n\r\n", "200 keep [Content-Length|5000] 0: @41");
    check_answer_to(true, CHUNKED, "200 keep [Transfer-Encoding|chunked] 0: @47");
}

static void interim_answers_are_passed_over_and_bounded(void)
{
    check_answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\n" OK "Content-Length: 1\r\n\r\nx",
                 "200 keep [Content-Length|1] 1:x @95");
    char many[600] = "";
    for (size_t n = 0; n < 500; n += 25) memcpy(many + n, "HTTP/1.1 100 Continue\r\n\r\n", 26);
    check_answer(many, "! 502 headers: expected at most 300 bytes");
    check_answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
                 "! 502 status: expected an answer, got 101");
}

static void what_is_no_answer_is_refused(void)
{
    static const struct { const char *stream, *want; } rows[] = {
        {"", "! 502 connection closed before the answer"},
        {OK, "! 502 connection closed within the answer"},
        {OK "Content-Length: 5\r\n\r\nhell", "! 502 connection closed within the answer"},
        {CHUNKED "5\r\nhello\r\n", "! 502 connection closed within the answer"},
        {"SSH-2.0-OpenSSH_9.2\r\n", "! 502 expected an HTTP/1.1 answer: Expected HTTP/"},
        {"RTSP/1.0 200 OK\r\n\r\n", "! 502 expected an HTTP/1.1 answer: Expected HTTP/"},
        {"HTTP/2.0 200 OK\r\n\r\n", "! 502 HTTP version: expected 1.0 or 1.1"},
        {"HTTP/1.1 099 OK\r\n\r\n", "! 502 status: expected at least 100, got 99"},
        {OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
         "! 502 expected an HTTP/1.1 answer: Duplicate Content-Length"},
        {OK "Content-Length: -1\r\n\r\nx", "! 502 expected an HTTP/1.1 answer: Invalid character in Content-Length"},
        {OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "! 502 expected an HTTP/1.1 answer: Transfer-Encoding can't be present with Content-Length"},
        {OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "! 502 Transfer-Encoding: expected 'chunked'"},
        {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "! 502 Transfer-Encoding: expected none with HTTP/1.0"},
        {CHUNKED "x\r\n", "! 502 expected an HTTP/1.1 answer: Invalid character in chunk size"},
        {OK "A b: c\r\n\r\n", "! 502 expected an HTTP/1.1 answer: Invalid header token"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) check_answer(rows[i].stream, rows[i].want);
}

static void every_limit_is_kept(void)
{
    check_answer(OK "A: 1\r\nA: 2\r\nA: 3\r\nA: 4\r\nA: 5\r\nA: 6\r\nA: 7\r\n\r\n",
                 "! 502 headers: expected at most 6 of them");
    check_answer(OK "Content-Length: 41\r\n\r\n", "! 413 body: expected at most 40 bytes, got more");
    check_answer(OK "Content-Length: 18446744073709551615\r\n\r\n", "! 413 body: expected at most 40 bytes, got more");
    check_answer(CHUNKED "28\r\n0123456789012345678901234567890123456789\r\n1\r\nx\r\n",
                 "! 413 body: expected at most 40 bytes, got more");
    check_answer(OK "\r\n01234567890123456789012345678901234567890", "! 413 body: expected at most 40 bytes, got more");
    char line[700] = OK "A: ";
    memset(line + 20, 'x', 400);
    check_answer(line, "! 502 headers: expected at most 300 bytes");
    char chunk[1000] = CHUNKED "1;";
    memset(chunk + 49, 'x', 900);
    check_answer(chunk, "! 502 chunks: expected at most 128 bytes of framing in each");
}

static void a_request_is_printed_so_that_no_text_splits_it(void)
{
    buf out;
    buf_init(&out, 4096);
    http_header fields[] = {{STR("X-A"), STR("b\r\nEvil: yes")}};
    http1_answer_print_ask(&out, &(http1_ask){.method = STR("GET"), .target = STR("/a b\r\n?c=\303\244"),
                                              .host = STR("h:1"), .headers = fields, .header_count = 1});
    http1_answer_print_ask(&out, &(http1_ask){.method = STR("POST"), .target = STR("/"), .host = STR("h")});
    buf_put_byte(&out, 0);
    CHECK_STR((const char *)out.p, "GET /a%20b%0D%0A?c=%C3%A4 HTTP/1.1\r\nHost: h:1\r\nX-A: b  Evil: yes\r\n\r\n"
                                   "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    buf_fini(&out);
}

static void lack_of_memory_is_a_refusal(void)
{
    FAULT_SWEEP({
        char got[200];
        stream s;
        stream_init(&s, false);
        stream_feed(&s, OK "Content-Length: 5\r\n\r\nhello", 43);
        stream_tell(&s, got, sizeof got);
        CHECK(strstr(got, "200 keep") || strstr(got, "! 503 "));
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(an_answer_is_the_same_at_every_pair_of_cuts),
        TEST(bytes_behind_the_answer_are_left_alone),
        TEST(an_answer_to_head_has_no_body_whatever_its_fields_say),
        TEST(interim_answers_are_passed_over_and_bounded),
        TEST(what_is_no_answer_is_refused),
        TEST(every_limit_is_kept),
        TEST(a_request_is_printed_so_that_no_text_splits_it),
        TEST(lack_of_memory_is_a_refusal),
    };
    return test_main(cases, COUNTOF(cases));
}
