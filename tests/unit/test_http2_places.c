/* Property: however frames come and however reads are cut, a session whose reads go to where bodies shall lie tells the
 * same as one that is fed from anywhere, and touches no memory that its handler has given back; a sender that fills its
 * frames has most of its body read to its place. */
#define H2C_STREAMS_MAX 64
#include "base/rng.h"
#include "http2_client.h"
#include "wire/http2.h"

enum { HOSTED = 8, MOST = 64 << 10, EARLY = 60000, BODY_MAX = 700000 };

/* ---- the layout ---- */

static uint8_t memory[1 << 20];

static size_t lay(http2_places *p, size_t room, size_t rest, bool last, size_t most)
{
    size_t bytes = 0;
    http2_places_lay(p, 7, (mem_span){.p = memory, .len = room}, rest, last, most);
    CHECK(p->count <= HTTP2_PLACES_MAX);
    for (size_t i = 0; i < p->count; i++) {
        CHECK(p->v[i].len > 0);
        bytes += p->v[i].len;
    }
    CHECK(bytes <= most);
    return bytes;
}

static void a_body_and_the_heads_of_its_frames_go_by_turns(void)
{
    http2_places p;
    CHECK_U64(lay(&p, 100000, 1000, false, MOST), 65536);
    CHECK_U64(p.count, 9);
    CHECK(p.v[0].p == memory && p.v[0].len == 1000);
    CHECK(p.v[1].len == 9 && p.v[2].p == memory + 1000 && p.v[2].len == 16384);
    CHECK(p.v[3].len == 9 && p.v[4].p == memory + 17384 && p.v[8].len == 65536 - 1000 - 4 * 9 - 3 * 16384);
    CHECK_U64(lay(&p, 100000, 0, false, MOST), 65536);
    CHECK(p.count == 8 && p.v[0].len == 9 && p.v[1].p == memory && p.v[7].len == 65536 - 3 * 16393 - 9);
    CHECK_U64(lay(&p, sizeof memory, 1, false, sizeof memory), 1 + 16 * (9 + 16384));   /* no more pieces */
    CHECK_U64(lay(&p, sizeof memory, 0, false, sizeof memory), 16 * (9 + 16384));
    CHECK_U64(lay(&p, 5000, 6000, false, MOST), 5000);        /* the frame goes on behind the place */
    CHECK_U64(p.count, 1);
    CHECK_U64(lay(&p, 5000, 5000, false, MOST), 5000);
    CHECK_U64(lay(&p, 5001, 5000, false, MOST), 5000 + 9 + 1);
    CHECK_U64(lay(&p, 100000, 5000, true, MOST), 5000);       /* nothing of the body comes behind it */
    CHECK_U64(lay(&p, 100000, 16384, false, 16384 + 9), 16384);
    CHECK_U64(lay(&p, 100000, 16384, false, 16384 + 10), 16384 + 10);
    CHECK_U64(lay(&p, 100000, 16384, false, 100), 100);
}

static void head(void *at, size_t len, uint8_t type, uint8_t flags, uint8_t stream)
{
    memcpy(at, (const uint8_t[]){(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags, 0, 0, 0, stream},
           HTTP2_HEAD_BYTES);
}

static void what_is_not_as_guessed_is_taken_out(void)
{
    static uint8_t out[MOST];
    http2_places p;
    CHECK_U64(lay(&p, 40000, 100, false, MOST), 40000 + 3 * 9);
    size_t second = 100 + 9 + 16384, third = second + 9 + 16384;
    for (size_t i = 0; i < 40000; i++) memory[i] = (uint8_t)(i % 251);
    static const struct {
        size_t len;
        uint8_t type, flags, stream;
        bool right;
    } heads[] = {{16384, 0, 0, 7, true}, {16383, 0, 0, 7, false}, {16385, 0, 0, 7, false}, {16384, 1, 0, 7, false},
                 {16384, 0, 1, 7, false}, {16384, 0, 8, 7, false}, {16384, 0, 0, 9, false}};
    for (size_t i = 0; i < COUNTOF(heads); i++) {
        head(p.v[1].p, 16384, 0, 0, 7);
        head(p.v[3].p, heads[i].len, heads[i].type, heads[i].flags, heads[i].stream);
        head(p.v[5].p, 40000 - 100 - 2 * 16384 + i, 0, 1, 7);   /* the last may be longer, and the last */
        CHECK_U64(http2_places_right(&p, 40027), heads[i].right ? 40027 : second);
        CHECK_U64(http2_places_right(&p, second + 8), second + 8);     /* not known yet */
        CHECK_U64(http2_places_take_out(&p, second, 40027, out), 40027 - second);
        CHECK(memcmp(out, p.v[3].p, 9) == 0 && memcmp(out + 9, memory + 100 + 16384, 16384) == 0);
        CHECK(memcmp(out + 9 + 16384, p.v[5].p, 9) == 0 && out[40026 - second] == 39999 % 251);
        CHECK_U64(http2_places_take_out(&p, second, second + 9 + 5, out), 14);
        CHECK(out[13] == (100 + 16384 + 4) % 251);
        CHECK_U64(http2_places_take_out(&p, 40027, 40027, out), 0);
    }
    head(p.v[3].p, 16384, 0, 0, 7);
    head(p.v[5].p, 40000 - 100 - 2 * 16384 - 1, 0, 0, 7);
    CHECK_U64(http2_places_right(&p, 40027), third);
    head(p.v[1].p, 5, 0, 0, 7);
    CHECK_U64(http2_places_right(&p, 40027), 100);
    CHECK_U64(lay(&p, 20000, 0, false, MOST), 20018);   /* a head comes first */
    head(p.v[0].p, 16384, 0, 0, 7);
    head(p.v[2].p, 20000 - 16384, 0, 1, 7);
    CHECK_U64(http2_places_right(&p, 20018), 20018);
    head(p.v[0].p, 16384, 0, 0, 5);
    CHECK_U64(http2_places_right(&p, 20018), 0);
}

/* ---- sessions: what a host is told, read one way or the other ---- */

static const http2_limits limits = {
    .streams_max = HOSTED, .line_bytes_max = 300, .header_bytes_max = 900, .header_count_max = 12,
    .body_bytes_max = BODY_MAX};

typedef struct {
    http2_stream stream;
    http_message message;
    uint8_t *chunk;          /* of host.chunk bytes: as a handler has them for its messages */
    size_t len, bytes;
    bool taken, streamed, early;
} hosted;

typedef struct {
    http2 *session;
    slab memory;
    hosted streams[HOSTED];
    buf log;
    size_t chunk;            /* bytes of a handler's message */
    size_t in_place, laid;
    bool keeps;              /* the memory of messages, for the next ones, as a pool does */
} host;

static hosted *hosted_of(http2_stream *s) { return (hosted *)(void *)((char *)s - offsetof(hosted, stream)); }

static uint64_t hash(const uint8_t *p, size_t len)
{
    uint64_t sum = 14695981039346656037u;
    for (size_t i = 0; i < len; i++) sum = (sum ^ p[i]) * 1099511628211u;
    return sum;
}

static http2_stream *on_open(void *ctx)
{
    host *h = ctx;
    for (size_t i = 0; i < HOSTED; i++) {
        hosted *s = &h->streams[i];
        if (s->taken) continue;
        s->taken = true;
        s->streamed = s->early = false;
        s->len = s->bytes = 0;
        return &s->stream;
    }
    return NULL;
}

static void answer(host *h, http2_stream *s, int status)
{
    size_t waiting = 0;
    if (!s->id || s->reset) return;
    (void)http2_send(h->session, s, &(http2_reply){.status = status, .body = {STR("x")}, .ends = true}, &waiting);
}

static bool on_head(void *ctx, http2_stream *stream)
{
    host *h = ctx;
    hosted *s = hosted_of(stream);
    buf_printf(&h->log, "%d " STR_FMT "\n", (int)stream->id, STR_ARG(s->message.path));
    s->streamed = str_starts(s->message.path, STR("/parts"));
    s->early = str_is(s->message.path, "/parts/early");
    return s->streamed;
}

static void chunk_end(host *h, hosted *s)
{
    buf_printf(&h->log, "%d chunk %zu %" PRIx64 "\n", (int)s->stream.id, s->len, hash(s->chunk, s->len));
    mem_free(s->chunk);      /* as if its message went its way */
    s->chunk = NULL;
    s->len = 0;
}

static void on_part(void *ctx, http2_stream *stream, str bytes)
{
    host *h = ctx;
    hosted *s = hosted_of(stream);
    CHECK(stream->place.len == 0);
    size_t given = bytes.len;
    s->bytes += given;
    while (bytes.len) {
        if (!s->chunk) s->chunk = mem_alloc_raw(h->chunk);
        size_t n = bytes.len < h->chunk - s->len ? bytes.len : h->chunk - s->len;
        if ((const uint8_t *)bytes.p == s->chunk + s->len) h->in_place += n;
        else memcpy(s->chunk + s->len, bytes.p, n);
        s->len += n;
        bytes = (str){bytes.p + n, bytes.len - n};
        if (s->len == h->chunk) chunk_end(h, s);
    }
    http2_took(h->session, stream, given);
    if (s->early && s->bytes >= EARLY) {
        mem_free(s->chunk);
        s->chunk = NULL;
        answer(h, stream, 403);
    } else if (s->chunk) {
        stream->place = (mem_span){.p = s->chunk + s->len, .len = h->chunk - s->len};
    }
}

static void on_whole(void *ctx, http2_stream *stream)
{
    host *h = ctx;
    hosted *s = hosted_of(stream);
    str body = s->message.body;
    if (s->chunk) chunk_end(h, s);
    buf_printf(&h->log, "%d whole %zu %zu %" PRIx64 "\n", (int)stream->id, s->bytes, body.len,
               hash((const uint8_t *)body.p, body.len));
    answer(h, stream, 200);
}

static void on_refused(void *ctx, http2_stream *stream, const http_refusal *why)
{
    host *h = ctx;
    buf_printf(&h->log, "%d refused %d\n", (int)stream->id, why->status);
    if (hosted_of(stream)->streamed) http2_reset(h->session, stream, HTTP2_CANCEL);
    else answer(h, stream, why->status);
}

static void on_closed(void *ctx, http2_stream *stream)
{
    const host *h = ctx;
    hosted *s = hosted_of(stream);
    mem_free(s->chunk);
    s->chunk = NULL;
    s->taken = false;
    http2_stream_clear(stream);
    if (h->keeps) http_message_clear(&s->message);
    else http_message_fini(&s->message);   /* so that its memory is not there any more */
}

static bool room(void *ctx)
{
    (void)ctx;
    return true;
}

static void put(void *ctx, str bytes, bool lasting)
{
    (void)ctx;
    (void)bytes;
    (void)lasting;
}

static void push(void *ctx) { (void)ctx; }

static void host_init(host *h, size_t chunk)
{
    static const http2_events events = {on_open, on_head, on_part, on_whole, on_refused, on_closed, room, put, push};
    *h = (host){.chunk = chunk};
    slab_init(&h->memory);
    buf_init(&h->log, 1 << 20);
    for (size_t i = 0; i < HOSTED; i++) {
        http_message_init(&h->streams[i].message);
        http2_stream_init(&h->streams[i].stream, &h->streams[i].message);
    }
    h->session = http2_new(&(http2_opts){.limits = &limits, .events = &events, .ctx = h, .memory = &h->memory});
    http2_flush(h->session);
}

static void host_fini(host *h)
{
    http2_free(h->session);
    for (size_t i = 0; i < HOSTED; i++) {
        mem_free(h->streams[i].chunk);
        http_message_fini(&h->streams[i].message);
        http2_stream_fini(&h->streams[i].stream);
    }
    slab_fini(&h->memory);
    buf_fini(&h->log);
}

/* A read that brings up to n bytes, to where the session wants them; how many it was. */
static size_t read_laid(host *h, const uint8_t *bytes, size_t n, size_t most)
{
    uint8_t *spare = mem_alloc_raw(most);   /* ASan sees its end */
    http2_places p;
    size_t at = 0;
    if (http2_lay(h->session, &p, most)) {
        for (size_t i = 0; i < p.count && at < n; i++) {
            size_t len = p.v[i].len < n - at ? p.v[i].len : n - at;
            memcpy(p.v[i].p, bytes + at, len);
            at += len;
        }
        h->laid += at;
        http2_feed_laid(h->session, &p, at, spare, 1000);
    } else {
        at = n < most ? n : most;
        memcpy(spare, bytes, at);
        http2_feed(h->session, spare, at, 1000);
    }
    memset(spare, 0xDD, most);
    mem_free(spare);
    http2_flush(h->session);
    return at;
}

/* `seed` cuts the reads; 0 = each is as long as it may be.  most = 0: all is fed from anywhere, at once. */
static void run(host *h, str said, size_t chunk, size_t most, uint64_t seed)
{
    rng r;
    rng_init(&r, seed);
    host_init(h, chunk);
    if (!most) {
        http2_feed(h->session, (const uint8_t *)said.p, said.len, 1000);
        http2_flush(h->session);
    }
    for (size_t at = 0; most && at < said.len;) {
        size_t n = seed ? 1 + rng_below(&r, rng_below(&r, 4) ? 3 * most / 2 : 40) : most;
        at += read_laid(h, (const uint8_t *)said.p + at, n < said.len - at ? n : said.len - at, most);
    }
    buf_printf(&h->log, "failed %d", http2_failed(h->session));
    buf_put_byte(&h->log, 0);
}

static void fill(char *body, size_t len, rng *r)
{
    for (size_t i = 0; i < len; i++) body[i] = (char)rng_u64(r);
}

/* A client's connection: bodies of several requests at once in frames of all sizes, with others between them. */
static void say_any(h2c *c, uint64_t seed)
{
    static char body[BODY_MAX];
    static const char *const paths[] = {"/", "/parts", "/parts/early", "/x", "/parts"};
    rng r;
    rng_init(&r, seed);
    fill(body, sizeof body, &r);
    struct {
        int32_t id;
        size_t left;
    } open[3];
    size_t count = 1 + rng_below(&r, 3);
    h2c_frame(c, 4, 1, 0, NULL, 0);   /* our windows are known */
    c->hold = true;
    bool early = false;   /* then what comes too late depends on when the answer goes out */
    for (size_t i = 0; i < count; i++) {
        char length[24];
        open[i].left = rng_below(&r, 5) ? rng_below(&r, 200000) : 0;
        snprintf(length, sizeof length, "%zu", open[i].left);
        const char *const extra[] = {rng_below(&r, 4) ? "content-length" : "x-none", length, NULL};
        size_t which = rng_below(&r, COUNTOF(paths));
        early |= which == 2;
        open[i].id = h2c_ask(c, "POST", paths[which], extra, "", 0);
    }
    size_t full = rng_below(&r, 3);   /* most frames are, in some connections */
    for (size_t frames = 0; frames < 200; frames++) {
        size_t i = full && rng_below(&r, 10) ? 0 : rng_below(&r, count), n = open[i].left;
        size_t most = full && rng_below(&r, 20) ? HTTP2_FRAME_MAX : 1 + rng_below(&r, HTTP2_FRAME_MAX);
        unsigned odd = (unsigned)rng_below(&r, 40);
        if (odd == 0) h2c_frame(c, 6, 0, 0, "12345678", 8);
        if (odd == 1 && rng_below(&r, 8) == 0 && !early) h2c_frame(c, 3, 0, (uint32_t)open[i].id, "\0\0\0\10", 4);
        if (odd == 2 && rng_below(&r, 8) == 0 && !early) h2c_frame(c, 0, 0, (uint32_t)open[i].id, body, 16385);
        if (odd == 3 && rng_below(&r, 8) == 0 && !early) h2c_frame(c, 1, 5, (uint32_t)open[i].id, "\x82", 1);
        if (!open[i].id) continue;
        bool padded = odd == 4 && n > 300;
        if (n > most) n = most;
        size_t pad = padded && n < 16000 ? 1 + rng_below(&r, 200) : 0;
        open[i].left -= pad ? n - 1 - pad < n ? n - 1 - pad : 0 : n;
        if (pad && n <= pad + 1) continue;
        if (pad) body[0] = (char)pad;
        bool ends = open[i].left == 0 && rng_below(&r, 4) > 0;
        h2c_frame(c, 0, (uint8_t)((ends ? 1 : 0) | (pad ? 8 : 0)), (uint32_t)open[i].id, body, n);
        if (ends) open[i].id = 0;
    }
}

static void reading_to_places_tells_the_same(void)
{
    size_t laid = 0, in_place = 0;
    for (uint64_t seed = 1; seed <= 400 && !test_failures; seed++) {
        h2c c;
        host whole, got;
        h2c_init(&c, 0);
        say_any(&c, seed);
        str said = {(const char *)c.out.p + HTTP2_PREFACE_BYTES, c.out.len - HTTP2_PREFACE_BYTES};
        run(&whole, said, 50000, 0, 0);
        static const size_t mosts[] = {4 * MOST, MOST, 20000, 16500, 5000};
        for (size_t i = 0; i < COUNTOF(mosts) + 2 && !test_failures; i++) {
            run(&got, said, 50000, mosts[i % COUNTOF(mosts)], i < 2 ? 0 : seed + i);
            if (strcmp((char *)got.log.p, (char *)whole.log.p) != 0) printf("# seed %" PRIu64 ", run %zu\n", seed, i);
            CHECK_STR((const char *)got.log.p, (const char *)whole.log.p);
            laid += got.laid;
            in_place += got.in_place;
            host_fini(&got);
        }
        host_fini(&whole);
        h2c_fini(&c);
    }
    CHECK(laid > 1000000 && in_place > 1000000);
}

/* What a client sends that has much to say: 600,000 bytes in frames that are full. */
static void upload(host *h, const char *path, bool announced, size_t most)
{
    static char body[600000];
    rng r;
    h2c c;
    rng_init(&r, 1);
    fill(body, sizeof body, &r);
    h2c_init(&c, 0);
    h2c_frame(&c, 4, 1, 0, NULL, 0);
    c.hold = true;
    const char *const extra[] = {announced ? "content-length" : "x-none", "600000", NULL};
    uint32_t id = (uint32_t)h2c_ask(&c, "POST", path, extra, "", 0);
    for (size_t at = 0, n; at < sizeof body; at += n) {
        n = sizeof body - at < HTTP2_FRAME_MAX ? sizeof body - at : HTTP2_FRAME_MAX;
        h2c_frame(&c, 0, at + n == sizeof body, id, body + at, n);
    }
    run(h, (str){(const char *)c.out.p + HTTP2_PREFACE_BYTES, c.out.len - HTTP2_PREFACE_BYTES}, 1 << 20, most, 0);
    h2c_fini(&c);
}

static void who_fills_frames_is_read_to_places(void)
{
    host h, plain;
    upload(&plain, "/parts", true, 0);
    upload(&h, "/parts", true, MOST);
    CHECK_STR((const char *)h.log.p, (const char *)plain.log.p);
    CHECK(h.in_place > 400000 && h.laid > h.in_place && plain.in_place == 0);
    host_fini(&h);
    host_fini(&plain);
    upload(&plain, "/", true, 0);
    upload(&h, "/", true, MOST);
    CHECK_STR((const char *)h.log.p, (const char *)plain.log.p);
    CHECK(h.laid > 460000);
    host_fini(&h);
    host_fini(&plain);
    upload(&h, "/", false, MOST);   /* nobody knows how far it goes */
    CHECK(h.laid == 0);
    host_fini(&h);
}

/* How many bytes the session would have a read take to where they stay; 0 = it would not. */
static size_t would_lay(const host *h)
{
    http2_places p;
    size_t bytes = 0;
    if (http2_lay(h->session, &p, MOST))
        for (size_t i = 0; i < p.count; i++) bytes += p.v[i].len;
    return bytes;
}

/* n bytes more of what the client has said, or all. */
static void hear(host *h, const h2c *c, size_t *at, size_t n)
{
    if (n > c->out.len - *at) n = c->out.len - *at;
    http2_feed(h->session, (const uint8_t *)c->out.p + *at, n, 1000);
    http2_flush(h->session);
    *at += n;
}

static void reads_are_laid_inside_a_body_and_no_farther_than_it_goes(void)
{
    static const char body[HTTP2_FRAME_MAX];
    host h;
    h2c c;
    size_t at = HTTP2_PREFACE_BYTES;
    host_init(&h, 50000);
    h.keeps = true;
    h2c_init(&c, 0);
    h2c_frame(&c, 4, 1, 0, NULL, 0);
    c.hold = true;
    uint32_t id = (uint32_t)h2c_ask(&c, "POST", "/", (const char *const[]){"content-length", "163840", NULL}, "", 0);
    for (int i = 0; i < 10; i++) h2c_frame(&c, 0, i == 9, id, body, sizeof body);
    hear(&h, &c, &at, SIZE_MAX);
    h2c_frame(&c, 4, 0, 0, "\0\4\0\0\0", 6);   /* no window: an answer's body would have to wait */
    id = (uint32_t)h2c_ask(&c, "POST", "/", (const char *const[]){"content-length", "50000", NULL}, "", 0);
    h2c_frame(&c, 0, 0, id, body, sizeof body);
    hear(&h, &c, &at, SIZE_MAX);
    const size_t left = 50000 - sizeof body;   /* there is room for more: the memory is that of the first one */
    CHECK_U64(would_lay(&h), left + 3 * HTTP2_HEAD_BYTES);
    h2c_frame(&c, 0, 0, id, body, sizeof body);
    hear(&h, &c, &at, 3);
    CHECK_U64(would_lay(&h), 0);               /* in the middle of a head */
    hear(&h, &c, &at, HTTP2_HEAD_BYTES - 3);
    CHECK_U64(would_lay(&h), left + 2 * HTTP2_HEAD_BYTES);
    for (size_t i = 0; i < HOSTED; i++)
        if (h.streams[i].stream.id == (int32_t)id) answer(&h, &h.streams[i].stream, 403);
    CHECK_U64(would_lay(&h), 0);               /* who is answered already need not be read */
    hear(&h, &c, &at, SIZE_MAX);
    host_fini(&h);
    h2c_fini(&c);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_body_and_the_heads_of_its_frames_go_by_turns),
        TEST(what_is_not_as_guessed_is_taken_out),
        TEST(reading_to_places_tells_the_same),
        TEST(who_fills_frames_is_read_to_places),
        TEST(reads_are_laid_inside_a_body_and_no_farther_than_it_goes),
    };
    return test_main(cases, COUNTOF(cases));
}
