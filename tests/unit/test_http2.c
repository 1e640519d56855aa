/* Property: however a connection's bytes are cut, the session tells the same requests and sends the same answers; what
 * is malformed or too much is refused as RFC 9113 wants; windows follow what was taken; no lack of memory breaks it. */
#define H2C_STREAMS_MAX 64
#include "http2_client.h"
#include "wire/http2.h"

enum { HOSTED = 64, ECHO_MAX = 1 << 16 };

static const http2_limits limits = {
    .streams_max = 100, .line_bytes_max = 300, .header_bytes_max = 900, .header_count_max = 12,
    .body_bytes_max = 200000};

/* ---- a host of one session: answers as the path says and writes down what it is told ---- */

typedef struct {
    http2_stream stream;
    http_message message;
    buf parts;
    bool taken, streamed, answered;
} hosted;

typedef struct {
    http2 *session;
    slab memory;
    hosted streams[HOSTED];
    buf log, out;
    size_t open, room;       /* room: bytes that `out` may hold, 0 = any */
    size_t awaits;           /* what a handler of parts waits for */
    bool no_memory;
    size_t largest_piece;
} host;

static hosted *hosted_of(http2_stream *s) { return (hosted *)(void *)((char *)s - offsetof(hosted, stream)); }

static http2_stream *on_open(void *ctx)
{
    host *h = ctx;
    size_t i = 0;
    while (i < HOSTED && h->streams[i].taken) i++;
    if (h->no_memory || i == HOSTED) return NULL;
    h->streams[i].taken = true;
    h->streams[i].streamed = h->streams[i].answered = false;
    h->open++;
    return &h->streams[i].stream;
}

static void answer(host *h, hosted *s, str body)
{
    const http_header trailers[] = {{STR("Grpc-Status"), STR("0")}, {STR("grpc-message"), STR("a\r\nb")}};
    const http_message *m = &s->message;
    char digits[24];
    size_t waiting = 0;
    snprintf(digits, sizeof digits, "%zu", body.len);
    const http_header headers[] = {{STR("Content-Type"), STR("text/plain")}, {STR("content-length"), str_of(digits)}};
    bool trailed = str_starts(m->path, STR("/trail"));
    s->answered = true;
    (void)http2_send(h->session, &s->stream,
                     &(http2_reply){.status = 200,
                                    .bodiless = str_is(m->method, "HEAD"),
                                    .headers = headers,
                                    .header_count = trailed ? 1 : 2,
                                    .body = {body},
                                    .trailers = trailers,
                                    .trailer_count = trailed ? 2 : 0,
                                    .ends = true}, &waiting);
}

static bool on_head(void *ctx, http2_stream *stream)
{
    host *h = ctx;
    hosted *s = hosted_of(stream);
    CHECK(s->message.path.len && s->message.body.len == 0);
    s->streamed = str_starts(s->message.path, STR("/parts"));
    if (str_starts(s->message.path, STR("/parts/early"))) answer(h, s, STR("early"));
    return s->streamed;
}

static void on_part(void *ctx, http2_stream *stream, str bytes)
{
    host *h = ctx;
    buf_put_str(&hosted_of(stream)->parts, bytes);
    if (h->awaits) stream->awaited = h->awaits;
    if (!str_is(hosted_of(stream)->message.path, "/parts/slow")) http2_took(h->session, stream, bytes.len);
}

static void on_whole(void *ctx, http2_stream *stream)
{
    host *h = ctx;
    hosted *s = hosted_of(stream);
    const http_message *m = &s->message;
    str body = s->streamed ? buf_str(&s->parts) : m->body;
    CHECK(s->streamed == (m->len == 0 && s->parts.len > 0) || !body.len);
    buf_printf(&h->log, "%d " STR_FMT " " STR_FMT " ?" STR_FMT, (int)stream->id, STR_ARG(m->method), STR_ARG(m->path),
               STR_ARG(m->query));
    for (size_t i = 0; i < m->header_count; i++)
        buf_printf(&h->log, " [" STR_FMT "|" STR_FMT "]", STR_ARG(m->headers[i].name), STR_ARG(m->headers[i].value));
    buf_printf(&h->log, " %zu:" STR_FMT "\n", body.len, (int)(body.len < 20 ? body.len : 20), body.p);
    CHECK(!m->body.len || (uintptr_t)m->body.p % MEM_ALIGN == 0);
    if (!str_is(m->path, "/never")) answer(h, s, body);
}

static void on_refused(void *ctx, http2_stream *stream, const http_refusal *why)
{
    host *h = ctx;
    size_t waiting = 0;
    buf_printf(&h->log, "%d ! %d %s\n", (int)stream->id, why->status, why->text);
    if (hosted_of(stream)->streamed)
        http2_reset(h->session, stream, HTTP2_CANCEL);
    else
        (void)http2_send(h->session, stream,
                         &(http2_reply){.status = why->status, .body = {str_of(why->text)}, .ends = true}, &waiting);
}

static void on_closed(void *ctx, http2_stream *stream)
{
    host *h = ctx;
    hosted *s = hosted_of(stream);
    CHECK(s->taken && stream->id == 0);
    h->open--;
    s->taken = false;
    http2_stream_clear(stream);
    http_message_clear(&s->message);
    buf_clear(&s->parts);
}

static bool room(void *ctx)
{
    const host *h = ctx;
    return !h->room || h->out.len < h->room;
}

static void put(void *ctx, str bytes, bool lasting)
{
    host *h = ctx;
    buf_put_str(&h->out, bytes);
    if (lasting && bytes.len > h->largest_piece) h->largest_piece = bytes.len;
}

static void push(void *ctx) { (void)ctx; }

static const http2_events events = {on_open, on_head, on_part, on_whole, on_refused, on_closed, room, put, push};

static bool host_init(host *h, bool upgraded)
{
    *h = (host){.open = 0};
    slab_init(&h->memory);
    buf_init(&h->log, 1 << 20);
    buf_init(&h->out, 1 << 26);
    for (size_t i = 0; i < HOSTED; i++) {
        http_message_init(&h->streams[i].message);
        http2_stream_init(&h->streams[i].stream, &h->streams[i].message);
        buf_init(&h->streams[i].parts, 1 << 24);
    }
    h->session = http2_new(&(http2_opts){.limits = &limits, .events = &events, .ctx = h, .memory = &h->memory,
                                         .upgraded = upgraded});
    if (h->session) http2_flush(h->session);
    return h->session != NULL;
}

static void host_fini(host *h)
{
    http2_free(h->session);
    for (size_t i = 0; i < HOSTED; i++) {
        http_message_fini(&h->streams[i].message);
        http2_stream_fini(&h->streams[i].stream);
        buf_fini(&h->streams[i].parts);
    }
    slab_fini(&h->memory);
    buf_fini(&h->log);
    buf_fini(&h->out);
}

static void host_feed(host *h, const void *bytes, size_t len)
{
    uint8_t *copy = mem_alloc_raw(len + 1);   /* so that a look beyond the end is seen, and so is one behind the call */
    if (!copy) return;
    if (len) memcpy(copy, bytes, len);
    http2_feed(h->session, copy, len, 1000000);
    memset(copy, 0xDD, len);
    mem_free(copy);
    http2_flush(h->session);
}

/* The client's bytes, without the preface, which is somebody else's to find. */
static str said(const h2c *c)
{
    CHECK(c->out.len >= HTTP2_PREFACE_BYTES);
    return (str){(const char *)c->out.p + HTTP2_PREFACE_BYTES, c->out.len - HTTP2_PREFACE_BYTES};
}

/* Both talk until nobody has anything to say. */
static void talk(h2c *c, host *h)
{
    for (int i = 0; i < 1000; i++) {
        size_t skip = c->out.len >= HTTP2_PREFACE_BYTES && c->out.p[0] == 'P' ? HTTP2_PREFACE_BYTES : 0;
        host_feed(h, c->out.p + skip, c->out.len - skip);
        buf_clear(&c->out);
        if (!h->out.len) break;
        h2c_hear(c, h->out.p, h->out.len);
        buf_clear(&h->out);
    }
}

/* A connection error takes back answers that had not gone out. */
static void note_answers(h2c *c, buf *out)
{
    if (c->gone) {
        buf_printf(out, "gone %u\n", c->gone_code);
        return;
    }
    for (int32_t id = 1; id < 2 * H2C_STREAMS_MAX; id += 2) {
        const h2c_stream *s = h2c_of(c, id);
        if (!s->status && !s->closed) continue;
        buf_printf(out, "%d: %d %s|%s|%zu%s%s %u\n", (int)id, s->status, s->headers, s->trailers, s->body.len,
                   s->ended ? " ended" : "", s->closed ? " closed" : "", s->code);
        buf_put_str(out, buf_str(&s->body));
    }
}

/* What a client says is fed in three pieces; all that it means goes into ret. */
static void transcript(void (*script)(h2c *c), size_t a, size_t b, size_t each, buf *ret)
{
    h2c c;
    host h;
    h2c_init(&c, 0);
    script(&c);
    CHECK(host_init(&h, false));
    str s = said(&c);
    a = a < s.len ? a : s.len;
    b = b < s.len ? b : s.len;
    if (each) {
        for (size_t at = 0; at < s.len; at += each) host_feed(&h, s.p + at, each < s.len - at ? each : s.len - at);
    } else {
        host_feed(&h, s.p, a);
        host_feed(&h, s.p + a, b - a);
        host_feed(&h, s.p + b, s.len - b);
    }
    buf_clear(ret);
    buf_put_str(ret, buf_str(&h.log));
    h2c_hear(&c, h.out.p, h.out.len);
    note_answers(&c, ret);
    buf_put_byte(ret, 0);
    host_fini(&h);
    h2c_fini(&c);
}

static uint32_t gone_code(void (*script)(h2c *c), size_t each)
{
    h2c c;
    host h;
    h2c_init(&c, 0);
    script(&c);
    CHECK(host_init(&h, false));
    str s = said(&c);
    for (size_t at = 0; at < s.len; at += each) host_feed(&h, s.p + at, each < s.len - at ? each : s.len - at);
    h2c_hear(&c, h.out.p, h.out.len);
    CHECK(c.gone && http2_over(h.session));
    uint32_t code = c.gone_code;
    host_fini(&h);
    h2c_fini(&c);
    return code;
}

static size_t check_every_cut(void (*script)(h2c *c), bool pairs)
{
    buf want, got;
    buf_init(&want, 1 << 22);
    buf_init(&got, 1 << 22);
    transcript(script, 0, 0, 0, &want);
    h2c c;
    h2c_init(&c, 0);
    script(&c);
    size_t len = said(&c).len;
    h2c_fini(&c);
    for (size_t a = 0; a <= len && !test_failures; a++) {
        for (size_t b = pairs ? a : len; b <= len && !test_failures; b++) {
            transcript(script, a, b, 0, &got);
            if (!str_eq(buf_str(&got), buf_str(&want))) {
                printf("# cut at %zu and %zu\n", a, b);
                CHECK_STR((const char *)got.p, (const char *)want.p);
            }
        }
    }
    transcript(script, 0, 0, 1, &got);
    CHECK_STR((const char *)got.p, (const char *)want.p);
    buf_fini(&want);
    buf_fini(&got);
    return len;
}

static void check_says(void (*script)(h2c *c), const char *want)
{
    buf got;
    buf_init(&got, 1 << 20);
    transcript(script, 0, 0, 0, &got);
    if (strncmp((const char *)got.p, want, strlen(want)) != 0) CHECK_STR((const char *)got.p, want);
    buf_fini(&got);
}

/* ---- tests ---- */

static void say_mix(h2c *c)
{
    (void)h2c_get(c, "/v2/health/ready");
    (void)h2c_ask(c, "POST", "/v2/models/m%20x/infer?a=%41&b", (const char *const[]){"x-empty", "", "x", "y", NULL},
                  "hello world", 11);
    (void)h2c_post(c, "/trail", "body and trailers");
    (void)h2c_get(c, "/trail");
    (void)h2c_post(c, "/parts", "told in parts");
    (void)h2c_ask(c, "HEAD", "/head", NULL, NULL, 0);
    (void)h2c_ask(c, "POST", "/", (const char *const[]){"expect", "100-continue", NULL}, "invited", 7);
}

static void all_requests_are_the_same_at_every_cut(void)
{
    check_says(say_mix,
        "1 GET /v2/health/ready ? [host|h] 0:\n"
        "3 POST /v2/models/m x/infer ?a=%41&b [host|h] [x-empty|] [x|y] 11:hello world\n"
        "5 POST /trail ? [host|h] 17:body and trailers\n"
        "7 GET /trail ? [host|h] 0:\n"
        "9 POST /parts ? [host|h] 13:told in parts\n"
        "11 HEAD /head ? [host|h] 0:\n"
        "13 POST / ? [host|h] [expect|100-continue] 7:invited\n"
        "1: 200 content-type: text/plain\ncontent-length: 0\n||0 ended closed 0\n"
        "3: 200 content-type: text/plain\ncontent-length: 11\n||11 ended closed 0\nhello world"
        "5: 200 content-type: text/plain\n|grpc-status: 0\ngrpc-message: a  b\n|17 ended closed 0\nbody and trailers"
        "7: 200 content-type: text/plain\ngrpc-status: 0\ngrpc-message: a  b\n||0 ended closed 0\n"
        "9: 200 content-type: text/plain\ncontent-length: 13\n||13 ended closed 0\ntold in parts"
        "11: 200 content-type: text/plain\ncontent-length: 0\n||0 ended closed 0\n"
        "13: 200 content-type: text/plain\ncontent-length: 7\n||7 ended closed 0\ninvited");
    (void)check_every_cut(say_mix, false);
}

static void say_short(h2c *c) { (void)h2c_post(c, "/a?b", "hi"); }

static void say_broken(h2c *c)
{
    (void)h2c_get(c, "/a");
    h2c_frame(c, NGHTTP2_DATA, 0, 0, "x", 1);
}

static void say_too_late(h2c *c)
{
    (void)h2c_get(c, "/a");
    h2c_frame(c, NGHTTP2_DATA, 1, 1, "x", 1);
}

/* GET http /, :authority h; one piece of it a frame */
static void say_continued(h2c *c)
{
    h2c_frame(c, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, "\x82\x86", 2);
    h2c_frame(c, NGHTTP2_CONTINUATION, 0, 1, "\x84\x41", 2);
    h2c_frame(c, NGHTTP2_CONTINUATION, 0, 1, NULL, 0);
    h2c_frame(c, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, "\1h", 2);
}

static void say_interrupted(h2c *c)
{
    h2c_frame(c, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, "\x82\x86", 2);
    h2c_frame(c, NGHTTP2_DATA, 0, 1, "0123456789", 10);
}

static void say_broken_and_much_more(h2c *c)
{
    say_broken(c);
    for (int i = 0; i < 2 * HTTP2_BUDGET_MAX; i++) h2c_frame(c, NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void heads_in_several_frames_are_the_same_at_every_pair_of_cuts(void)
{
    check_says(say_continued, "1 GET / ? [host|h] 0:\n");
    (void)check_every_cut(say_continued, true);
    (void)check_every_cut(say_interrupted, true);
}

static void the_first_refusal_is_the_one_that_counts_in_any_cut(void)
{
    static const size_t each[] = {1, 9, 100, 4096, SIZE_MAX / 2};
    for (size_t i = 0; i < COUNTOF(each); i++) {
        CHECK_U64(gone_code(say_broken_and_much_more, each[i]), NGHTTP2_PROTOCOL_ERROR);
        CHECK_U64(gone_code(say_interrupted, each[i]), NGHTTP2_PROTOCOL_ERROR);
    }
}

static void short_streams_are_the_same_at_every_pair_of_cuts(void)
{
    CHECK(check_every_cut(say_short, true) < 120);
    (void)check_every_cut(say_broken, true);
    (void)check_every_cut(say_too_late, true);
}

static void say_refused(h2c *c)
{
    static char path[400], large[1200], body[1];
    memset(path, '/', sizeof path - 1);
    memset(large, 'x', sizeof large - 1);
    static const char *const many[] = {"a", "", "b", "", "c", "", "d", "", "e", "", "f", "", "g", "", "h", "", "i", "",
                                       "j", "", "k", "", "l", "", "m", "", NULL};
    (void)h2c_get(c, path);
    (void)h2c_ask(c, "GET", "/", (const char *const[]){"a", large, NULL}, NULL, 0);
    (void)h2c_ask(c, "GET", "/", many, NULL, 0);
    c->hold = true;
    (void)h2c_ask(c, "POST", "/", (const char *const[]){"content-length", "200001", NULL}, body, 1);
    c->hold = false;
    (void)h2c_get(c, "/%00");
    (void)h2c_ask(c, "GET", "/", (const char *const[]){"expect", "more", NULL}, NULL, 0);
    (void)h2c_get(c, "/after");
}

static void what_is_too_much_is_refused_with_its_status_at_every_cut(void)
{
    check_says(say_refused, "1 ! 414 request line: expected at most 300 bytes\n"
                            "3 ! 431 headers: expected at most 900 bytes\n"
                            "5 ! 431 headers: expected at most 12 of them\n"
                            "7 ! 413 body: expected at most 200000 bytes, got 200001\n"
                            "9 ! 400 request target: expected two hexadecimal digits, not 00, behind '%'\n"
                            "11 ! 417 Expect: expected '100-continue'\n"
                            "13 GET /after ? [host|h] 0:\n");
    (void)check_every_cut(say_refused, false);
}

static void what_is_just_within_the_limits_is_served(void)
{
    static char path[301], body[200000];
    static const char *const announced[] = {"content-length", "200000", NULL};
    h2c c;
    host h;
    h2c_init(&c, 0);
    CHECK(host_init(&h, false));
    memset(path, '/', sizeof path - 1);
    int32_t id = h2c_get(&c, path);
    talk(&c, &h);
    CHECK_U64((uint64_t)h2c_of(&c, id)->status, 200);
    for (int i = 0; i < 2; i++) {
        id = h2c_ask(&c, "POST", "/", i ? announced : NULL, body, sizeof body);
        talk(&c, &h);
        CHECK_U64((uint64_t)h2c_of(&c, id)->status, 200);
        CHECK_U64(h2c_of(&c, id)->body.len, sizeof body);
    }
    host_fini(&h);
    h2c_fini(&c);
}

/* POST http /, :authority h, a body, and 13 fields behind it */
static void say_many_trailers(h2c *c)
{
    static const char all[] = "\0\1a\1b\0\1a\1b\0\1a\1b\0\1a\1b\0\1a\1b\0\1a\1b\0\1a\1b\0\1a\1b\0\1a\1b\0\1a\1b\0\1a\1b"
                              "\0\1a\1b\0\1a\1b";
    h2c_frame(c, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, "\x83\x86\x84\x41\1h", 6);
    h2c_frame(c, NGHTTP2_DATA, 0, 1, "x", 1);
    h2c_frame(c, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, all, sizeof all - 1);
}

static void trailers_count_like_headers(void)
{
    check_says(say_many_trailers, "1 ! 431 headers: expected at most 12 of them\n");
}

static void say_many_settings(h2c *c)
{
    for (int i = 0; i < HTTP2_BUDGET_MAX / HTTP2_SETTINGS_COST; i++) h2c_frame(c, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

static void settings_cost_more_than_other_frames(void)
{
    CHECK_U64(gone_code(say_many_settings, SIZE_MAX / 2), NGHTTP2_ENHANCE_YOUR_CALM);
}

static void feed_pings(h2c *c, host *h, int count, uint64_t now_us)
{
    buf_clear(&c->out);
    for (int i = 0; i < count; i++) h2c_frame(c, NGHTTP2_PING, 0, 0, "12345678", 8);
    http2_feed(h->session, c->out.p, c->out.len, now_us);
    http2_flush(h->session);
}

static void time_refills_the_budget_but_only_forward(void)
{
    enum { MOST = HTTP2_BUDGET_MAX - 100 };
    h2c c;
    host h;
    h2c_init(&c, 0);
    CHECK(host_init(&h, false));
    talk(&c, &h);
    feed_pings(&c, &h, MOST, 10000000);
    feed_pings(&c, &h, MOST, 20000000);
    CHECK(!http2_over(h.session));
    feed_pings(&c, &h, MOST, 15000000);
    CHECK(http2_over(h.session) && http2_calm(h.session));
    host_fini(&h);
    h2c_fini(&c);
}

static void an_answer_to_a_ping_that_nobody_sent_means_nothing(void)
{
    h2c c;
    host h;
    h2c_init(&c, 0);
    CHECK(host_init(&h, false));
    h2c_frame(&c, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "goodbye\0", 8);
    int32_t id = h2c_get(&c, "/a");
    talk(&c, &h);
    CHECK(c.goaways == 0 && !http2_leaving(h.session) && h2c_of(&c, id)->status == 200);
    host_fini(&h);
    h2c_fini(&c);
}

/* HEADERS of stream 1, uncompressed: pairs of names and values. */
static void say_fields(h2c *c, const char *const *fields)
{
    uint8_t block[500];
    size_t n = 0;
    for (; *fields; fields++) {
        size_t len = strlen(*fields);
        block[n++] = 0;
        block[n++] = (uint8_t)len;
        memcpy(block + n, *fields, len);
        n += len;
        fields++;
        len = strlen(*fields);
        block[n++] = (uint8_t)len;
        memcpy(block + n, *fields, len);
        n += len;
    }
    h2c_frame(c, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, block, n);
}

static void malformed_heads_never_become_requests(void)
{
#define PSEUDO ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "h"
    static const char *const rows[][20] = {
        {":scheme", "http", ":path", "/", ":authority", "h"},
        {":method", "GET", ":path", "/", ":authority", "h"},
        {":method", "GET", ":scheme", "http", ":authority", "h"},
        {":method", "GET", ":scheme", "http", ":path", "", ":authority", "h"},
        {":method", "GET", ":scheme", "http", ":path", "/"},
        {PSEUDO, ":path", "/b"},
        {PSEUDO, ":method", "GET"},
        {PSEUDO, ":other", "x"},
        {PSEUDO, ":status", "200"},
        {PSEUDO, "a", "b", ":path", "/"},
        {PSEUDO, "Upper", "case"},
        {PSEUDO, "connection", "close"},
        {PSEUDO, "keep-alive", "1"},
        {PSEUDO, "proxy-connection", "x"},
        {PSEUDO, "transfer-encoding", "chunked"},
        {PSEUDO, "upgrade", "h2c"},
        {PSEUDO, "te", "gzip"},
        {PSEUDO, "content-length", "x"},
        {PSEUDO, "content-length", "1"},
        {PSEUDO, "a b", "c"},
        {PSEUDO, "a", "b\nc"},
        {PSEUDO, "", "c"},
        {PSEUDO},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        h2c c;
        host h;
        h2c_init(&c, 0);
        CHECK(host_init(&h, false));
        say_fields(&c, rows[i]);
        host_feed(&h, said(&c).p, said(&c).len);
        if (i == COUNTOF(rows) - 1) {   /* all that the others have in common is fine */
            CHECK(h.log.len > 0);
            host_fini(&h);
            h2c_fini(&c);
            break;
        }
        if (h.log.len || h.open) printf("# row %zu: %.*s\n", i, (int)h.log.len, (const char *)h.log.p);
        CHECK(h.log.len == 0 && h.open == 0);
        host_fini(&h);
        h2c_fini(&c);
    }
    h2c c;
    host h;
    h2c_init(&c, 0);
    CHECK(host_init(&h, false));
    say_fields(&c, (const char *const[]){":method", "CONNECT", ":authority", "h:1", NULL});
    host_feed(&h, said(&c).p, said(&c).len);
    buf_put_byte(&h.log, 0);
    CHECK_STR((const char *)h.log.p, "1 ! 501 method: expected any but CONNECT\n");
    host_fini(&h);
    h2c_fini(&c);
}

static char large[3 << 20];

static void windows_open_as_bodies_are_taken(void)
{
    h2c c;
    host h;
    h2c_init(&c, 0);
    CHECK(host_init(&h, false));
    int32_t id = h2c_ask(&c, "POST", "/parts/slow", NULL, large, sizeof large);
    size_t before = 0;
    talk(&c, &h);
    hosted *s = &h.streams[0];
    CHECK_U64(s->parts.len, HTTP2_STREAM_WINDOW);   /* nothing was taken */
    while (s->taken && s->parts.len < sizeof large) {
        http2_took(h.session, &s->stream, s->parts.len - before);
        before = s->parts.len;
        h2c_hear(&c, h.out.p, h.out.len);
        buf_clear(&h.out);
        host_feed(&h, c.out.p, c.out.len);
        buf_clear(&c.out);
        if (s->parts.len == before) break;
    }
    CHECK_U64(s->parts.len, sizeof large);
    for (int i = 0; i < 1000 && !h2c_of(&c, id)->closed; i++) {   /* the answer waits for the client's windows */
        h2c_hear(&c, h.out.p, h.out.len);
        buf_clear(&h.out);
        host_feed(&h, c.out.p, c.out.len);
        buf_clear(&c.out);
    }
    CHECK(h2c_of(&c, id)->ended && h2c_of(&c, id)->body.len == sizeof large);
    CHECK_U64(http2_kept(h.session), 0);
    host_fini(&h);
    h2c_fini(&c);
}

/* All but the last bytes of a body have come. */
static size_t due_of(const char *path, const char *const *fields, size_t awaits, size_t *ret_behind)
{
    h2c c;
    host h;
    h2c_init(&c, 0);
    CHECK(host_init(&h, false));
    h.awaits = awaits;
    (void)h2c_ask(&c, "POST", path, fields, large, 50000);
    str s = said(&c);
    CHECK_U64(http2_due(h.session), 0);
    host_feed(&h, s.p, s.len - 500);
    size_t due = http2_due(h.session);
    host_feed(&h, s.p + s.len - 500, 500);
    *ret_behind = http2_due(h.session);
    host_fini(&h);
    h2c_fini(&c);
    return due;
}

static void what_a_body_still_lacks_is_known(void)
{
    static const char *const fields[] = {"content-length", "50000", NULL},
                      *const too_long[] = {"content-length", "70000000", NULL};
    size_t behind = 1;
    CHECK_U64(due_of("/", fields, 0, &behind), 500);
    CHECK_U64(behind, 0);
    CHECK_U64(due_of("/", NULL, 0, &behind), 0);
    CHECK_U64(due_of("/parts", fields, 0, &behind), 0);   /* its handler knows */
    CHECK_U64(due_of("/parts", NULL, 1234, &behind), 1234);
    CHECK_U64(behind, 0);
    CHECK_U64(due_of("/parts/early", fields, 1234, &behind), 0);   /* answered already, */
    CHECK_U64(due_of("/", too_long, 0, &behind), 0);               /* or refused */
}

static void a_body_that_is_cancelled_lacks_nothing(void)
{
    h2c c;
    host h;
    h2c_init(&c, 0);
    CHECK(host_init(&h, false));
    h.awaits = 777;
    c.hold = true;
    int32_t id = h2c_post(&c, "/parts", "some");
    talk(&c, &h);
    CHECK_U64(http2_due(h.session), 777);
    h.awaits = 0;
    c.upload = "more";
    c.upload_len = 4;
    c.upload_at = 0;
    CHECK(nghttp2_session_resume_data(c.session, id) == 0);
    h2c_pump(&c);
    talk(&c, &h);
    CHECK(str_eq(buf_str(&h.streams[0].parts), STR("somemore")));
    CHECK_U64(http2_due(h.session), 0);   /* what was said of one part holds until the next */
    CHECK(nghttp2_submit_rst_stream(c.session, 0, id, NGHTTP2_CANCEL) == 0);
    h2c_pump(&c);
    talk(&c, &h);
    CHECK_U64(http2_due(h.session), 0);
    c.hold = false;   /* the next one, in the same place, has said its length, and no more */
    (void)h2c_ask(&c, "POST", "/", (const char *const[]){"content-length", "50000", NULL}, large, 50000);
    const uint8_t *head = c.out.p;
    host_feed(&h, head, 9 + ((size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]));
    CHECK(h.streams[0].taken);
    CHECK_U64(http2_due(h.session), 0);
    host_fini(&h);
    h2c_fini(&c);
}

static void what_a_closed_stream_had_not_taken_opens_the_window_again(void)
{
    h2c c;
    host h;
    h2c_init(&c, 0);
    CHECK(host_init(&h, false));
    for (int i = 0; i < 2 * HTTP2_WINDOW / HTTP2_STREAM_WINDOW; i++) {   /* each fills its window, and goes */
        int32_t id = h2c_ask(&c, "POST", "/parts/slow", NULL, large, sizeof large);
        talk(&c, &h);
        CHECK_U64(h.streams[0].parts.len, HTTP2_STREAM_WINDOW);
        if (i % 2)
            http2_reset(h.session, &h.streams[0].stream, HTTP2_CANCEL);
        else
            CHECK(nghttp2_submit_rst_stream(c.session, 0, id, NGHTTP2_CANCEL) == 0);
        h2c_pump(&c);
    }
    host_fini(&h);
    h2c_fini(&c);
}

static void large_bodies_are_not_copied_on_their_way_out(void)
{
    h2c c;
    host h;
    h2c_init(&c, 1 << 20);
    CHECK(host_init(&h, false));
    (void)h2c_ask(&c, "POST", "/", NULL, large, 60000);
    host_feed(&h, said(&c).p, said(&c).len);
    CHECK(h.largest_piece >= 16000);
    host_fini(&h);
    h2c_fini(&c);
}

static void frames_wait_for_room(void)
{
    h2c c;
    host h;
    h2c_init(&c, 1 << 20);
    CHECK(host_init(&h, false));
    int32_t a = h2c_ask(&c, "POST", "/trail", NULL, large, 30000), b = h2c_ask(&c, "POST", "/b", NULL, large, 30000);
    h.room = 5000;
    host_feed(&h, said(&c).p, said(&c).len);
    size_t turns = 0;
    for (; h.out.len && turns < 100; turns++) {
        CHECK(h.out.len < 5000 + 17000);
        h2c_hear(&c, h.out.p, h.out.len);
        buf_clear(&h.out);
        http2_flush(h.session);
    }
    CHECK(turns > 3 && h2c_of(&c, a)->body.len == 30000 && h2c_of(&c, b)->body.len == 30000);
    CHECK_STR(h2c_of(&c, a)->trailers, "grpc-status: 0\ngrpc-message: a  b\n");
    CHECK_U64(http2_kept(h.session), 0);
    CHECK_U64(h.open, 0);
    host_fini(&h);
    h2c_fini(&c);
}

static void a_reply_in_parts_is_put_together(void)
{
    const http_header type = {STR("content-type"), STR("text/event-stream")}, sum = {STR("Sum"), STR("3")};
    h2c c;
    host h;
    h2c_init(&c, 0);
    CHECK(host_init(&h, false));
    int32_t id = h2c_get(&c, "/never");
    host_feed(&h, said(&c).p, said(&c).len);
    http2_stream *s = &h.streams[0].stream;
    size_t waiting = 1;
    CHECK(http2_send(h.session, s, &(http2_reply){.status = 200, .headers = &type, .header_count = 1}, &waiting));
    CHECK_U64(waiting, 0);
    CHECK(http2_send(h.session, s, &(http2_reply){.body = {STR("one "), STR("two ")}}, &waiting) && waiting == 0);
    CHECK(http2_send(h.session, s, &(http2_reply){.body = {STR("")}}, &waiting) && waiting == 0);
    CHECK(http2_send(h.session, s, &(http2_reply){.body = {{large, 100000}}}, &waiting) && waiting > 30000);
    CHECK_U64(http2_kept(h.session), waiting);
    const http2_reply last = {.body = {STR(" end")}, .trailers = &sum, .trailer_count = 1, .ends = true};
    CHECK(http2_send(h.session, s, &last, &waiting));
    h2c_hear(&c, h.out.p, h.out.len);
    const h2c_stream *got = h2c_of(&c, id);
    CHECK(got->status == 200 && !got->ended);
    buf_clear(&c.out);
    h2c_pump(&c);
    nghttp2_submit_window_update(c.session, 0, id, 1 << 20);
    nghttp2_submit_window_update(c.session, 0, 0, 1 << 20);
    h2c_pump(&c);
    buf_clear(&h.out);
    host_feed(&h, c.out.p, c.out.len);
    h2c_hear(&c, h.out.p, h.out.len);
    CHECK(got->ended && got->closed && got->body.len == 100012 && memcmp(got->body.p, "one two ", 8) == 0);
    CHECK(memcmp(got->body.p + 100008, " end", 4) == 0);
    CHECK_STR(got->trailers, "sum: 3\n");
    host_fini(&h);
    h2c_fini(&c);
}

static void a_reply_that_ends_without_more_closes_its_stream(void)
{
    const http_header sum = {STR("sum"), STR("3")};
    for (size_t trailers = 0; trailers < 2; trailers++) {
        h2c c;
        host h;
        h2c_init(&c, 0);
        CHECK(host_init(&h, false));
        int32_t id = h2c_get(&c, "/never");
        host_feed(&h, said(&c).p, said(&c).len);
        http2_stream *s = &h.streams[0].stream;
        size_t waiting = 1;
        CHECK(http2_send(h.session, s, &(http2_reply){.status = 200}, &waiting));
        const http2_reply last = {.trailers = &sum, .trailer_count = trailers, .ends = true};
        CHECK(!http2_send(h.session, s, &last, &waiting));
        h2c_hear(&c, h.out.p, h.out.len);
        CHECK(h2c_of(&c, id)->ended && h2c_of(&c, id)->closed && h2c_of(&c, id)->body.len == 0);
        CHECK_STR(h2c_of(&c, id)->trailers, trailers ? "sum: 3\n" : "");
        host_fini(&h);
        h2c_fini(&c);
    }
}

static void an_answer_before_the_body_ends_it(void)
{
    h2c c;
    host h;
    h2c_init(&c, 0);
    CHECK(host_init(&h, false));
    int32_t id = h2c_ask(&c, "POST", "/parts/early", NULL, large, 60000);
    host_feed(&h, said(&c).p, said(&c).len < 2000 ? said(&c).len : 2000);
    h2c_hear(&c, h.out.p, h.out.len);
    CHECK(h2c_of(&c, id)->status == 200 && h2c_of(&c, id)->body.len == 5 && h2c_of(&c, id)->closed);
    CHECK_U64(h2c_of(&c, id)->code, NGHTTP2_NO_ERROR);
    host_feed(&h, said(&c).p + 2000, said(&c).len - 2000);   /* the rest was on its way: nobody minds */
    CHECK(!http2_over(h.session) && h.open == 0);
    host_fini(&h);
    h2c_fini(&c);
}

static void who_was_answered_is_not_invited_to_go_on(void)
{
    h2c c;
    host h;
    h2c_init(&c, 0);
    CHECK(host_init(&h, false));
    c.hold = true;
    int32_t id = h2c_ask(&c, "POST", "/parts/early", (const char *const[]){"expect", "100-continue", NULL}, "x", 1);
    talk(&c, &h);
    const h2c_stream *got = h2c_of(&c, id);
    CHECK(got->status == 200 && got->closed && got->body.len == 5);
    CHECK_U64(got->code, NGHTTP2_NO_ERROR);
    host_fini(&h);
    h2c_fini(&c);
}

static void what_waits_for_a_client_that_cancels_is_forgotten(void)
{
    h2c c;
    host h;
    size_t waiting = 0;
    h2c_init(&c, 0);
    CHECK(host_init(&h, false));
    int32_t id = h2c_get(&c, "/never");
    talk(&c, &h);
    const http2_reply reply = {.status = 200, .body = {{large, 100000}}};
    CHECK(http2_send(h.session, &h.streams[0].stream, &reply, &waiting) && waiting > 30000);
    CHECK_U64(http2_kept(h.session), waiting);
    CHECK(nghttp2_submit_rst_stream(c.session, 0, id, NGHTTP2_CANCEL) == 0);
    h2c_pump(&c);
    host_feed(&h, c.out.p, c.out.len);
    CHECK_U64(h.open, 0);
    CHECK_U64(http2_kept(h.session), 0);
    host_fini(&h);
    h2c_fini(&c);
}

static void no_place_for_a_request_resets_it_alone(void)
{
    h2c c;
    host h;
    h2c_init(&c, 0);
    CHECK(host_init(&h, false));
    int32_t id = h2c_get(&c, "/a");
    h.no_memory = true;
    host_feed(&h, said(&c).p, said(&c).len);
    h2c_hear(&c, h.out.p, h.out.len);
    CHECK(h2c_of(&c, id)->closed && h2c_of(&c, id)->code == NGHTTP2_INTERNAL_ERROR && !http2_over(h.session));
    host_fini(&h);
    h2c_fini(&c);
}

static void settings_of_an_upgrade_are_base64url(void)
{
    static const struct { const char *text; bool fine; } rows[] = {
        {"", true}, {"AAMAAABkAAQAAP__", true}, {"AAMAAABk", true}, {"AAMAAABk==", true}, {"AAMAAABkA", false},
        {"AAMAAAB", false}, {"AAMA AABk", false}, {"AAQA//__", false},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        host h;
        CHECK(host_init(&h, true));
        hosted *s = &h.streams[0];
        s->taken = true;
        s->message.method = STR("GET");
        h.open++;
        if (http2_upgrade(h.session, &s->stream, str_of(rows[i].text)) != rows[i].fine) printf("# row %zu\n", i);
        CHECK((s->stream.id == 1) == rows[i].fine);
        host_fini(&h);
    }
}

static void no_lack_of_memory_breaks_a_session(void)
{
    static long live;
    h2c c;
    h2c_init(&c, 0);
    say_mix(&c);
    (void)h2c_ask(&c, "POST", "/trail", NULL, large, 60000);
    str s = said(&c);
    live = mem_live();
    for (long n = 0, more = 1; more; n++) {
        host h;
        mem_fault_after(n);
        bool made = host_init(&h, false);
        if (made) {
            http2_feed(h.session, (const uint8_t *)s.p, s.len, 0);
            http2_flush(h.session);
            http2_leave(h.session);
            http2_leave(h.session);
        }
        more = mem_fault_fired();
        mem_fault_after(-1);
        host_fini(&h);
        CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
    }
    h2c_fini(&c);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(all_requests_are_the_same_at_every_cut),
        TEST(short_streams_are_the_same_at_every_pair_of_cuts),
        TEST(heads_in_several_frames_are_the_same_at_every_pair_of_cuts),
        TEST(the_first_refusal_is_the_one_that_counts_in_any_cut),
        TEST(what_is_too_much_is_refused_with_its_status_at_every_cut),
        TEST(what_is_just_within_the_limits_is_served),
        TEST(trailers_count_like_headers),
        TEST(settings_cost_more_than_other_frames),
        TEST(time_refills_the_budget_but_only_forward),
        TEST(an_answer_to_a_ping_that_nobody_sent_means_nothing),
        TEST(malformed_heads_never_become_requests),
        TEST(windows_open_as_bodies_are_taken),
        TEST(what_a_body_still_lacks_is_known),
        TEST(a_body_that_is_cancelled_lacks_nothing),
        TEST(what_a_closed_stream_had_not_taken_opens_the_window_again),
        TEST(large_bodies_are_not_copied_on_their_way_out),
        TEST(frames_wait_for_room),
        TEST(a_reply_in_parts_is_put_together),
        TEST(a_reply_that_ends_without_more_closes_its_stream),
        TEST(an_answer_before_the_body_ends_it),
        TEST(who_was_answered_is_not_invited_to_go_on),
        TEST(what_waits_for_a_client_that_cancels_is_forgotten),
        TEST(no_place_for_a_request_resets_it_alone),
        TEST(settings_of_an_upgrade_are_base64url),
        TEST(no_lack_of_memory_breaks_a_session),
    };
    return test_main(cases, COUNTOF(cases));
}
