/* Property: any bytes, in any cut, read to where bodies shall lie or to anywhere, choose the same protocol and tell the
 * same requests and the same end, the code of its GOAWAY too; each view lies inside the request's memory; with answers
 * given in between nothing breaks, what is kept is bounded, nothing leaks.
 * Only of a body in parts that is reset on its way, as one that outgrows its content-length is, the cut decides how
 * much had been told.
 * Input: one byte k, k bytes that are the lengths of the pieces (used in turn, 0 = 1), then the connection's bytes. */
#include "test.h"
#include "wire/http1.h"
#include "wire/http2.h"

enum { STREAMS = 8, PLACE = 8192 };

static const http1_limits first = {
    .line_bytes_max = 200, .header_bytes_max = 400, .header_count_max = 20, .body_bytes_max = 12000};
static const http2_limits limits = {
    .streams_max = STREAMS, .line_bytes_max = 200, .header_bytes_max = 400, .header_count_max = 20,
    .body_bytes_max = 12000};

typedef struct {
    http2_stream stream;
    http_message message;
    uint8_t *place;     /* PLACE bytes; where a body in parts may be read to; NULL = it has not begun */
    uint64_t sum;       /* of its parts */
    bool taken, streamed;
} hosted;

typedef struct {
    uint64_t sum;       /* over all that was told */
    size_t events;
    bool answers;       /* else nothing is sent, so that only the bytes decide what is told */
    bool lays;          /* reads go to where bodies shall lie */
    http2 *session;
    hosted streams[4 * STREAMS];   /* nghttp2 lets a client exceed its limit until it has heard of it */
    size_t out;
    int32_t gone_code;  /* of the first GOAWAY, the one that the client goes by; -1 = none */
} account;

static void add(account *a, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++) a->sum = (a->sum ^ p[i]) * 1099511628211u;
    a->sum = (a->sum ^ len) * 1099511628211u;
    a->events++;
}

static hosted *hosted_of(http2_stream *s) { return (hosted *)(void *)((char *)s - offsetof(hosted, stream)); }

static http2_stream *on_open(void *ctx)
{
    account *a = ctx;
    for (size_t i = 0; i < COUNTOF(a->streams); i++) {
        if (a->streams[i].taken) continue;
        a->streams[i].taken = true;
        a->streams[i].streamed = false;
        a->streams[i].sum = 0;
        return &a->streams[i].stream;
    }
    return NULL;
}

static void answer(account *a, http2_stream *s, int status, str body, bool ends)
{
    const http_header rows[] = {{STR("Content-Type"), STR("a\nb")}};
    size_t waiting = 0;
    if (!a->answers) return;
    (void)http2_send(a->session, s, &(http2_reply){.status = status, .headers = rows, .header_count = 1, .body = {body},
                                                   .trailers = rows, .trailer_count = s->id % 4 == 1, .ends = ends},
                     &waiting);
    INVARIANT(waiting <= body.len);
}

static bool on_head(void *ctx, http2_stream *s)
{
    const http_message *m = s->into;
    INVARIANT(m->path.len > 0 && m->path.p[0] == '/' && m->method.len > 0 && m->len == 0);
    add(ctx, m->path.p, m->path.len);
    hosted_of(s)->streamed = m->path.len % 2;
    if (m->path.len == 5) answer(ctx, s, 403, STR("early"), true);
    return hosted_of(s)->streamed;
}

static void on_part(void *ctx, http2_stream *s, str bytes)
{
    account *a = ctx;
    hosted *to = hosted_of(s);
    INVARIANT(to->streamed);
    for (size_t i = 0; i < bytes.len; i++) to->sum = (to->sum ^ (uint8_t)bytes.p[i]) * 1099511628211u;
    if (a->lays && !to->place) to->place = mem_alloc_raw(PLACE);
    if (a->lays) s->place = (mem_span){to->place, PLACE};   /* what lay there is not needed any more */
    if (a->answers) http2_took(a->session, s, bytes.len);
}

static void on_whole(void *ctx, http2_stream *s)
{
    const http_message *m = s->into;
    INVARIANT(m->header_count <= limits.header_count_max + 1 && m->body.len <= limits.body_bytes_max);
    INVARIANT(!m->body.len || (uintptr_t)m->body.p % MEM_ALIGN == 0);
    add(ctx, m->method.p, m->method.len);
    add(ctx, m->query.p, m->query.len);
    for (size_t i = 0; i < m->header_count; i++) {
        add(ctx, m->headers[i].name.p, m->headers[i].name.len);
        add(ctx, m->headers[i].value.p, m->headers[i].value.len);
    }
    add(ctx, m->body.p, m->body.len);
    add(ctx, &hosted_of(s)->sum, sizeof hosted_of(s)->sum);
    answer(ctx, s, 200, m->body, true);
}

static void on_refused(void *ctx, http2_stream *s, const http_refusal *why)
{
    account *a = ctx;
    INVARIANT(why->status >= 400 && why->text[0]);
    add(ctx, why->text, strlen(why->text));
    add(ctx, &hosted_of(s)->sum, sizeof hosted_of(s)->sum);
    if (!a->answers) return;
    if (hosted_of(s)->streamed)
        http2_reset(a->session, s, HTTP2_CANCEL);
    else
        answer(a, s, why->status, str_of(why->text), true);
}

static void on_closed(void *ctx, http2_stream *s)
{
    (void)ctx;
    INVARIANT(hosted_of(s)->taken && s->id == 0);
    hosted_of(s)->taken = false;
    hosted_of(s)->sum = 0;
    mem_free(hosted_of(s)->place);
    hosted_of(s)->place = NULL;
    http2_stream_clear(s);
    http_message_clear(s->into);
}

static bool room(void *ctx)
{
    (void)ctx;
    return true;
}

static void put(void *ctx, str bytes, bool lasting)
{
    account *a = ctx;
    (void)lasting;
    const uint8_t *p = (const uint8_t *)bytes.p;
    if (!a->answers && a->gone_code < 0 && bytes.len >= 17 && p[3] == 7) a->gone_code = p[16];   /* whole frames then */
    for (size_t i = 0; i < bytes.len; i++) a->out += (uint8_t)bytes.p[i] != 0;   /* all of it can be read */
}

static void push(void *ctx) { (void)ctx; }

/* The bytes at which HTTP/2 begins, or none: what the connection does first. */
static size_t sniff(account *a, const uint8_t *data, size_t len, size_t piece)
{
    http1 r;
    http_message q;
    http1_event got = HTTP1_MORE;
    size_t at = 0, used = 0;
    http1_init(&r, &first, false);
    http_message_init(&q);
    http1_next(&r, &q);
    for (; at < len && got == HTTP1_MORE; at += used) {
        http_refusal why = {.status = 0};
        got = http1_feed(&r, data + at, piece && piece < len - at ? piece : len - at, &used, &why);
    }
    http_message_fini(&q);
    add(a, &got, sizeof got);
    return got == HTTP1_PREFACE ? at : SIZE_MAX;
}

/* A read that brings up to n bytes; how many it was. */
static size_t read_laid(account *a, const uint8_t *data, size_t n)
{
    static uint8_t spare[4 * PLACE];
    http2_places p;
    size_t at = 0;
    if (!http2_lay(a->session, &p, sizeof spare)) return 0;
    for (size_t i = 0; i < p.count && at < n; i++) {
        size_t more = p.v[i].len < n - at ? p.v[i].len : n - at;
        memcpy(p.v[i].p, data + at, more);
        at += more;
    }
    http2_feed_laid(a->session, &p, at, spare, 1000);
    return at;
}

static void run(account *a, const uint8_t *data, size_t len, const uint8_t *cuts, size_t cut_count, bool answers,
                bool lays)
{
    static const http2_events events = {on_open, on_head, on_part, on_whole, on_refused, on_closed, room, put, push};
    slab memory;
    *a = (account){.sum = 14695981039346656037u, .answers = answers, .lays = lays, .gone_code = -1};
    size_t at = sniff(a, data, len, cut_count ? cuts[0] : 0);
    if (at == SIZE_MAX) return;
    slab_init(&memory);
    for (size_t i = 0; i < COUNTOF(a->streams); i++) {
        http_message_init(&a->streams[i].message);
        http2_stream_init(&a->streams[i].stream, &a->streams[i].message);
    }
    a->session = http2_new(&(http2_opts){.limits = &limits, .events = &events, .ctx = a, .memory = &memory});
    INVARIANT(a->session);
    for (size_t turn = 0; at < len; turn++) {
        size_t n = cut_count ? cuts[turn % cut_count] : len - at;
        if (n == 0) n = 1;
        if (n > len - at) n = len - at;
        size_t laid = lays ? read_laid(a, data + at, n) : 0;
        if (!laid) http2_feed(a->session, data + at, n, 1000);
        if (answers) http2_flush(a->session);
        at += laid ? laid : n;
    }
    bool over = http2_failed(a->session);
    add(a, &over, 1);
    http2_leave(a->session);
    http2_flush(a->session);
    add(a, &a->gone_code, sizeof a->gone_code);
    for (size_t i = 0; i < COUNTOF(a->streams) && a->gone_code == 0; i++)
        add(a, &a->streams[i].sum, sizeof a->streams[i].sum);
    INVARIANT(http2_kept(a->session) <= COUNTOF(a->streams) * limits.body_bytes_max);
    http2_free(a->session);
    for (size_t i = 0; i < COUNTOF(a->streams); i++) {
        mem_free(a->streams[i].place);
        http_message_fini(&a->streams[i].message);
        http2_stream_fini(&a->streams[i].stream);
    }
    slab_fini(&memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static account whole, cut, laid, lively;
    size_t cuts = size ? data[0] : 0;
    if (size < 1 + cuts) return 0;
    long live = mem_live();
    run(&whole, data + 1 + cuts, size - 1 - cuts, NULL, 0, false, false);
    run(&cut, data + 1 + cuts, size - 1 - cuts, data + 1, cuts, false, false);
    INVARIANT(whole.sum == cut.sum && whole.events == cut.events);
    run(&laid, data + 1 + cuts, size - 1 - cuts, data + 1, cuts, false, true);
    INVARIANT(whole.sum == laid.sum && whole.events == laid.events);
    run(&lively, data + 1 + cuts, size - 1 - cuts, data + 1, cuts, true, true);
    INVARIANT(mem_live() == live);
    return 0;
}
