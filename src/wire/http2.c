#include "wire/http2.h"

#include "base/mem.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

enum {
    FIELD_OVERHEAD = 32,        /* of each field in SETTINGS_MAX_HEADER_LIST_SIZE: RFC 9113 6.5.2 */
    HEADERS_SENT_MAX = 32,      /* of an answer, trailers that go with it among them */
    NAMES_ROOM = 1024,          /* their names */
    SETTINGS_BYTES_MAX = 6 * 32,   /* in an upgrade */
    SETTINGS_TEXT_MAX = SETTINGS_BYTES_MAX / 3 * 4,
    RESETS_KNOWN = 256,         /* a client cannot have more streams on their way than it may open at once */
    KEPT_MEMORY_MAX = 256 << 10 /* of a stream that is cleared */
};

struct http2 {
    nghttp2_session *session;
    const http2_limits *limits;
    const http2_events *events;
    void *ctx;
    slab *memory;
    http2_stream *reading;      /* whose header block is being read */
    http2_stream *filling;      /* whose body came last, and is not whole */
    http2_stream *sending;      /* whose reply http2_send() is about; NULL = it was closed */
    size_t kept;
    uint64_t now_us, refilled_us, body_bytes;
    int64_t budget;
    bool feeding, flushing, failed, calm, crowded, noticed, gone;
    http2_head frame;           /* that is being read, or was read last */
    size_t frame_left, head_len;   /* of it; bytes of the next one's head */
    uint8_t head[HTTP2_HEAD_BYTES];
    int32_t last_id;            /* the newest stream */
    size_t reset_next;
    int32_t reset[RESETS_KNOWN];   /* those that we reset: frames for them may still be on their way */
};

/* ---- streams ---- */

void http2_stream_init(http2_stream *s, http_message *into)
{
    *s = (http2_stream){.into = into};
    buf_init(&s->kept, SIZE_MAX / 4);
    buf_init(&s->trailer_text, 1 << 20);
}

void http2_stream_fini(http2_stream *s)
{
    quota_give_all(s->replies, &s->taken);
    buf_fini(&s->kept);
    buf_fini(&s->trailer_text);
}

void http2_stream_clear(http2_stream *s)
{
    buf kept = s->kept, text = s->trailer_text;
    if (kept.len > KEPT_MEMORY_MAX) {
        buf_fini(&kept);
        quota_give_all(s->replies, &s->taken);
    }
    buf_clear(&kept);
    buf_clear(&text);
    *s = (http2_stream){.into = s->into, .kept = kept, .replies = s->replies, .taken = s->taken,
                       .trailer_text = text};
}

size_t http2_stream_room(const http2_stream *s) { return s->kept.room + s->trailer_text.room; }
size_t http2_stream_waiting(const http2_stream *s)
{
    return s->kept.len - s->used + s->views[0].len + s->views[1].len;
}

static http2_stream *stream_of(http2 *h, int32_t id) { return nghttp2_session_get_stream_user_data(h->session, id); }

/* ---- the budget for frames that bring nothing forward ---- */

static void earn(http2 *h, int64_t frames)
{
    h->budget = h->budget + frames < HTTP2_BUDGET_MAX ? h->budget + frames : HTTP2_BUDGET_MAX;
}

static void earn_bytes(http2 *h, size_t bytes)
{
    h->body_bytes += bytes;
    if (h->body_bytes < HTTP2_BUDGET_BYTES) return;
    earn(h, (int64_t)(h->body_bytes / HTTP2_BUDGET_BYTES));
    h->body_bytes %= HTTP2_BUDGET_BYTES;
}

static void refill(http2 *h, uint64_t now_us)
{
    uint64_t passed_us = now_us - h->refilled_us, per_us = 1000000 / HTTP2_BUDGET_PER_S;
    if (now_us < h->refilled_us || passed_us < per_us) return;
    uint64_t frames = passed_us / per_us;
    h->refilled_us += frames * per_us;
    earn(h, frames < HTTP2_BUDGET_MAX ? (int64_t)frames : HTTP2_BUDGET_MAX);
}

/* How many others of its kind a frame counts for. */
static int64_t cost_of(const http2_head *f)
{
    switch (f->type) {
    case NGHTTP2_DATA:   /* without content, or hardly any in much padding */
        return f->len <= (f->flags & NGHTTP2_FLAG_PADDED ? 256 : 0) && !(f->flags & NGHTTP2_FLAG_END_STREAM);
    case NGHTTP2_SETTINGS: return f->flags & NGHTTP2_FLAG_ACK ? 1 : HTTP2_SETTINGS_COST;
    default: return 1;
    }
}

/* nghttp2 forgets closed streams and would pass over a frame for one of them (RFC 9113 5.1). */
static bool comes_too_late(http2 *h, const http2_head *f)
{
    if (f->type != NGHTTP2_HEADERS && f->type != NGHTTP2_DATA) return false;
    if (f->stream % 2 == 0 || f->stream > h->last_id || stream_of(h, f->stream)) return false;
    for (size_t i = 0; i < RESETS_KNOWN; i++) {
        if (h->reset[i] == f->stream) return false;
    }
    return true;
}

/* What nghttp2 has refused already keeps its code: how much of the rest came before that was sent is the network's
 * doing.  It does not say that it has, but then it queues no second GOAWAY. */
static void overdraw(http2 *h)
{
    size_t queued = nghttp2_session_get_outbound_queue_size(h->session);
    int rc = nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
    if (rc || nghttp2_session_get_outbound_queue_size(h->session) > queued) h->calm = h->failed = true;
}

static void charge(http2 *h, const http2_head *f)
{
    h->budget -= cost_of(f);
    if (h->budget < 0) overdraw(h);
    if (comes_too_late(h, f) && nghttp2_session_terminate_session(h->session, NGHTTP2_STREAM_CLOSED)) h->failed = true;
}

static void pass_on(http2 *h, const uint8_t *data, size_t len)
{
    if (h->failed || len == 0) return;
    ssize_t n = nghttp2_session_mem_recv(h->session, data, len);
    h->calm |= n == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS || n == NGHTTP2_ERR_FLOODED ||
               n == NGHTTP2_ERR_TOO_MANY_SETTINGS;
    h->failed |= n < 0;
}

/* Looks at each frame before nghttp2 does, which tells nothing of those that it passes over, and passes its head on in
 * one piece: nghttp2 counts each call that brings some of a CONTINUATION's head as one more of them, and takes 8.  How
 * many bytes belong to the frame that `data` begins with or goes on with. */
static size_t walk(http2 *h, const uint8_t *data, size_t len)
{
    size_t n = 0, passed = 0;
    if (h->frame_left == 0) {
        n = HTTP2_HEAD_BYTES - h->head_len < len ? HTTP2_HEAD_BYTES - h->head_len : len;
        memcpy(h->head + h->head_len, data, n);
        h->head_len += n;
        if (h->head_len < HTTP2_HEAD_BYTES) return n;
        h->frame = http2_head_of(h->head);
        h->head_len = 0;
        h->frame_left = h->frame.len;
        charge(h, &h->frame);
        if (n < HTTP2_HEAD_BYTES) {
            pass_on(h, h->head, HTTP2_HEAD_BYTES);
            passed = n;
        }
    }
    size_t more = h->frame_left < len - n ? h->frame_left : len - n;
    h->frame_left -= more;
    pass_on(h, data + passed, n + more - passed);
    return n + more;
}

/* ---- requests ---- */

static void refuse(http2 *h, http2_stream *s)
{
    if (s->refused) return;
    s->refused = true;
    h->events->refused(h->ctx, s, &s->why);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *f, void *ctx)
{
    http2 *h = ctx;
    int32_t id = f->hd.stream_id;
    if (f->headers.cat != NGHTTP2_HCAT_REQUEST) {
        h->reading = stream_of(h, id);
        if (h->reading) h->reading->in_trailers = true;
        return 0;
    }
    if (id > h->last_id) h->last_id = id;
    h->reading = h->events->open(h->ctx);
    if (!h->reading) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    INVARIANT(h->reading->id == 0 && h->reading->into->head_len == 0);
    h->reading->id = id;
    nghttp2_session_set_stream_user_data(session, id, h->reading);
    return 0;
}

/* :method, :path and :authority; the latter is shown as the Host field, as HTTP/1 has it. */
static void take_pseudo(http2 *h, http2_stream *s, str name, str value)
{
    http_message *m = s->into;
    if (str_is(name, ":method")) {
        s->method_at = m->head_len;
        s->method_len = value.len;
    } else if (str_is(name, ":path")) {
        s->path_at = m->head_len;
        s->path_len = value.len;
        if (value.len > h->limits->line_bytes_max) {
            http_refuse(&s->why, 414, "request line: expected at most %zu bytes", h->limits->line_bytes_max);
            return;
        }
    } else if (!str_is(name, ":authority") || !http_message_put(m, "host", 4, &s->why)) {
        return;
    }
    bool put = http_message_put(m, value.p, value.len, &s->why);
    if (put && name.len == 10) put = http_message_add_field(m, 4, value.len, &s->why);
    INVARIANT(put || s->why.status);
}

static void take_field(http2_stream *s, str name, str value)
{
    http_message *m = s->into;
    uint64_t announced = 0;
    if (str_is(name, "content-length") && str_u64(value, &announced)) {
        s->announced = announced < SIZE_MAX ? (size_t)announced : SIZE_MAX;
    } else if (str_is(name, "expect")) {
        s->expects = true;
        if (!str_is_nocase(value, "100-continue")) http_refuse(&s->why, 417, "Expect: expected '100-continue'");
    }
    bool put = http_message_put(m, name.p, name.len, &s->why) && http_message_put(m, value.p, value.len, &s->why) &&
               http_message_add_field(m, name.len, value.len, &s->why);
    INVARIANT(put || s->why.status);
}

static str view_of(nghttp2_rcbuf *bytes)
{
    nghttp2_vec v = nghttp2_rcbuf_get_buf(bytes);
    return (str){(const char *)v.base, v.len};
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, nghttp2_rcbuf *name, nghttp2_rcbuf *value,
                     uint8_t flags, void *ctx)
{
    http2 *h = ctx;
    http2_stream *s = h->reading;
    str n = view_of(name), v = view_of(value);
    (void)session;
    (void)f;
    (void)flags;
    if (!s) return 0;
    s->header_bytes += n.len + v.len + FIELD_OVERHEAD;
    s->header_count++;
    size_t most = h->limits->header_bytes_max;
    if (s->header_bytes > most && s->header_bytes / HTTP2_HEADERS_FACTOR_MAX > most) {
        h->calm = true;   /* a few bytes of compressed headers may be megabytes */
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (s->header_bytes > most) http_refuse(&s->why, 431, "headers: expected at most %zu bytes", most);
    if (s->header_count > h->limits->header_count_max + 4)   /* the pseudo headers are not counted */
        http_refuse(&s->why, 431, "headers: expected at most %zu of them", h->limits->header_count_max);
    if (s->in_trailers || s->why.status) return 0;
    if (n.len && n.p[0] == ':')
        take_pseudo(h, s, n, v);
    else
        take_field(s, n, v);
    return 0;
}

/* A malformed field makes the request malformed: RFC 9113 8.1.1. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *f, nghttp2_rcbuf *name,
                             nghttp2_rcbuf *value, uint8_t flags, void *ctx)
{
    (void)session;
    (void)f;
    (void)name;
    (void)value;
    (void)flags;
    (void)ctx;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void invite(http2 *h, http2_stream *s)
{
    const nghttp2_nv nv = {(uint8_t *)(uintptr_t)":status", (uint8_t *)(uintptr_t)"100", 7, 3, NGHTTP2_NV_FLAG_NONE};
    if (nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, s->id, NULL, &nv, 1, NULL)) h->failed = true;
}

static http_body_plan plan_of(const http2 *h, const http2_stream *s)
{
    return (http_body_plan){.announced = s->announced, .most = h->limits->body_bytes_max, .bodies = h->limits->bodies};
}

static void head_complete(http2 *h, http2_stream *s, bool last)
{
    http_message *m = s->into;
    m->method = (str){(const char *)m->head + s->method_at, s->method_len};
    m->keep_alive = true;
    if (!s->why.status && (str_is(m->method, "CONNECT") || !s->path_len))
        http_refuse(&s->why, 501, "method: expected any but CONNECT");
    if (!s->why.status && !http_message_set_target(m, s->path_at, s->path_len, &s->why)) INVARIANT(s->why.status);
    http_body_plan plan = plan_of(h, s);
    if (!s->why.status && plan.announced > plan.most)
        http_refuse(&s->why, 413, "body: expected at most %zu bytes, got %zu", plan.most, plan.announced);
    if (!s->why.status && !http_message_has_room(m, &plan, &s->why)) INVARIANT(s->why.status);
    if (s->why.status) {
        refuse(h, s);
        return;
    }
    http_message_whole(m);
    if (last) return;
    s->streamed = h->events->head(h->ctx, s);
    if (s->expects && s->id && !s->begun) invite(h, s);
}

static void request_complete(http2 *h, http2_stream *s)
{
    s->whole = true;
    if (h->filling == s) h->filling = NULL;
    if (s->why.status || s->ending || s->reset) return;
    if (!s->streamed) http_message_whole(s->into);
    h->events->whole(h->ctx, s);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *ctx)
{
    http2 *h = ctx;
    http2_stream *s = stream_of(h, id);
    (void)flags;
    earn_bytes(h, len);
    h->filling = s;
    if (s && s->streamed && !s->ending && !s->reset) {
        s->untaken += len;
        s->awaited = 0;
        s->place = (mem_span){.len = 0};
        h->events->part(h->ctx, s, (str){(const char *)data, len});
        return 0;
    }
    if (s && !s->streamed && !s->why.status && !s->ending && !s->reset) {
        http_message *m = s->into;
        http_body_plan plan = plan_of(h, s);
        if (len > plan.most - m->len) {
            http_refuse(&s->why, 413, "body: expected at most %zu bytes, got more", plan.most);
        } else if (m->room - m->len >= len && data == m->bytes + m->len) {
            m->len += len;   /* read to its place */
        } else if (http_message_reserve(m, m->len + len, &plan, &s->why)) {
            memcpy(m->bytes + m->len, data, len);
            m->len += len;
        }
        if (s->why.status) refuse(h, s);
    }
    int rc = nghttp2_session_consume(session, id, len);
    return rc == 0 || !nghttp2_is_fatal(rc) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *ctx)
{
    http2 *h = ctx;
    bool last = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
    (void)session;
    if (f->hd.type == NGHTTP2_PING && (f->hd.flags & NGHTTP2_FLAG_ACK) && h->noticed) http2_leave(h);
    if (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA) return 0;
    http2_stream *s = stream_of(h, f->hd.stream_id);
    if (f->hd.type == NGHTTP2_HEADERS) h->reading = NULL;
    if (!s) return 0;
    if (f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST) head_complete(h, s, last);
    if (s->in_trailers && s->why.status) refuse(h, s);
    if (last && s->id) request_complete(h, s);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
    http2 *h = ctx;
    http2_stream *s = stream_of(h, id);
    (void)code;
    if (!s) return 0;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    if (h->sending == s) h->sending = NULL;
    if (h->reading == s) h->reading = NULL;
    if (h->filling == s) h->filling = NULL;
    h->kept -= s->kept.len - s->used;
    size_t untaken = s->untaken;
    s->id = 0;
    h->events->closed(h->ctx, s);
    /* What its handler had not taken stands in nobody's way any more. */
    return nghttp2_session_consume_connection(session, untaken) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static void feed(http2 *h, const uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len && !h->failed;) at += walk(h, data + at, len - at);
}

static bool feed_begin(http2 *h, uint64_t now_us)
{
    INVARIANT(!h->feeding && !h->flushing);
    if (http2_over(h)) return false;
    refill(h, now_us);
    return h->feeding = true;
}

void http2_feed(http2 *h, const uint8_t *data, size_t len, uint64_t now_us)
{
    if (!feed_begin(h, now_us)) return;
    feed(h, data, len);
    h->feeding = false;
}

/* Where more of its body shall lie. */
static mem_span place_of(const http2_stream *s)
{
    const http_message *m = s->into;
    if (s->streamed || m->len >= s->announced || m->len == m->room) return s->place;
    size_t room = m->room - m->len, due = s->announced - m->len;
    return (mem_span){.p = m->bytes + m->len, .len = due < room ? due : room};
}

bool http2_lay(const http2 *h, http2_places *ret, size_t most)
{
    const http2_stream *s = h->filling;
    const http2_head *f = &h->frame;
    if (!s || s->ending || s->reset || s->why.status || h->head_len || http2_over(h)) return false;
    if (f->type != NGHTTP2_DATA || f->stream != s->id || (f->flags & NGHTTP2_FLAG_PADDED)) return false;
    mem_span place = place_of(s);
    if (place.len < HTTP2_IN_PLACE_MIN) return false;
    http2_places_lay(ret, s->id, place, h->frame_left, f->flags & NGHTTP2_FLAG_END_STREAM, most);
    return ret->count > 0;
}

void http2_feed_laid(http2 *h, const http2_places *p, size_t len, uint8_t *spare, uint64_t now_us)
{
    size_t right = http2_places_right(p, len), rest = http2_places_take_out(p, right, len, spare);
    if (!feed_begin(h, now_us)) return;
    for (size_t i = 0; right > 0; i++) {
        size_t n = p->v[i].len < right ? p->v[i].len : right;
        feed(h, p->v[i].p, n);
        right -= n;
    }
    feed(h, spare, rest);
    h->feeding = false;
}

size_t http2_due(const http2 *h)
{
    const http2_stream *s = h->filling;
    if (!s) return 0;
    if (s->streamed) return s->awaited;
    return s->announced > s->into->len ? s->announced - s->into->len : 0;
}

/* ---- replies ---- */

static const char *lower(char *room, size_t *at, str name)
{
    char *to = room + *at;
    INVARIANT(name.len <= NAMES_ROOM - *at);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        to[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    *at += name.len;
    return to;
}

/* Nothing in a value may look like the end of a field to those behind us that speak HTTP/1. */
static bool is_clean(str value)
{
    bool clean = true;
    for (size_t i = 0; i < value.len; i++) clean &= (uint8_t)value.p[i] >= ' ' && value.p[i] != 127;
    return clean;
}

typedef struct {
    nghttp2_nv rows[HEADERS_SENT_MAX];
    size_t count, names_len;
    char names[NAMES_ROOM], status[3];
    buf cleaned;
} field_list;

static void add_row(field_list *l, str name, str value)
{
    INVARIANT(l->count < HEADERS_SENT_MAX);
    /* An id is another one in each answer: it would only push out of the table what comes again. */
    bool unique = name.len == 12 && str_is_nocase(name, "x-request-id");
    l->rows[l->count++] = (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)lower(l->names, &l->names_len, name),
        .value = (uint8_t *)(uintptr_t)value.p,
        .namelen = name.len,
        .valuelen = value.len,
        .flags = unique ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE,
    };
}

/* `most` = the bytes of all values: they may not move while rows point at them. */
static str cleaned(field_list *l, str value, size_t most)
{
    if (!l->cleaned.len && !buf_room(&l->cleaned, most)) return STR("");
    char *to = (char *)l->cleaned.p + l->cleaned.len;
    for (size_t i = 0; i < value.len; i++) to[i] = (uint8_t)value.p[i] < ' ' || value.p[i] == 127 ? ' ' : value.p[i];
    l->cleaned.len += value.len;
    return str_trim((str){to, value.len});
}

static void add_fields(field_list *l, const http_header *fields, size_t count)
{
    size_t most = 0;
    for (size_t i = 0; i < count; i++) most += fields[i].value.len;
    for (size_t i = 0; i < count; i++) {
        str value = fields[i].value;
        add_row(l, fields[i].name, is_clean(value) ? value : cleaned(l, value, most));
    }
}

static void list_init(field_list *l)
{
    l->count = l->names_len = 0;
    buf_init(&l->cleaned, SIZE_MAX / 4);
}

static int submit_trailers(http2 *h, http2_stream *s)
{
    field_list l UNINIT;
    list_init(&l);
    add_fields(&l, s->trailers, s->trailer_count);
    int rc = l.cleaned.full ? NGHTTP2_ERR_NOMEM : nghttp2_submit_trailer(h->session, s->id, l.rows, l.count);
    buf_fini(&l.cleaned);
    return rc;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): nghttp2's type; what is sent is not copied there */
static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *into, size_t room, uint32_t *flags,
                       nghttp2_data_source *source, void *ctx)
{
    http2_stream *s = source->ptr;
    size_t waiting = http2_stream_waiting(s), n = waiting < room ? waiting : room;
    (void)session;
    (void)into;
    INVARIANT(s->id == id);
    if (n == 0 && !s->ending) return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == waiting && s->ending) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->trailer_count) *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (s->trailer_count && submit_trailers(ctx, s)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return (ssize_t)n;
}

/* A frame of a body: what is kept goes first, then what the handler has just given. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *f, const uint8_t *head, size_t len,
                        nghttp2_data_source *source, void *ctx)
{
    http2 *h = ctx;
    http2_stream *s = stream_of(h, f->hd.stream_id);
    (void)session;
    (void)source;
    if (!s) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;   /* it was closed while its frame waited for room */
    if (!h->events->room(h->ctx)) return NGHTTP2_ERR_WOULDBLOCK;
    INVARIANT(f->data.padlen == 0 && len <= http2_stream_waiting(s));
    h->events->put(h->ctx, (str){(const char *)head, HTTP2_HEAD_BYTES}, false);
    size_t size = len;
    size_t from_kept = s->kept.len - s->used < len ? s->kept.len - s->used : len;
    if (from_kept) h->events->put(h->ctx, (str){(const char *)s->kept.p + s->used, from_kept}, true);
    s->used += from_kept;
    h->kept -= from_kept;
    len -= from_kept;
    for (size_t i = 0; i < COUNTOF(s->views) && len; i++) {
        str *v = &s->views[i];
        size_t n = v->len < len ? v->len : len;
        if (n) h->events->put(h->ctx, (str){v->p, n}, true);
        *v = (str){v->p + n, v->len - n};
        len -= n;
    }
    earn_bytes(h, size);
    if (http2_stream_waiting(s) == 0) earn(h, HTTP2_BUDGET_PER_PART);   /* not cut small by the client's window */
    return 0;
}

/* When an answer has ended before its request the client need not go on (RFC 9113 8.1). */
static int on_sent(nghttp2_session *session, const nghttp2_frame *f, void *ctx)
{
    http2 *h = ctx;
    bool body = f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA;
    if (f->hd.type == NGHTTP2_RST_STREAM) h->reset[h->reset_next++ % RESETS_KNOWN] = f->hd.stream_id;
    if (f->hd.type == NGHTTP2_GOAWAY && h->noticed && !h->gone) {
        /* Whoever answers this has read the goodbye, and what it sent before has come. */
        int rc = nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, (const uint8_t *)"goodbye");
        if (rc) return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (!body || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    earn(h, HTTP2_BUDGET_PER_REPLY);
    if (nghttp2_session_get_stream_remote_close(session, f->hd.stream_id) != 0) return 0;
    int rc = nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, f->hd.stream_id, NGHTTP2_NO_ERROR);
    return rc ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

void http2_flush(http2 *h)
{
    if (h->feeding || h->flushing) return;
    h->flushing = true;
    while (!h->failed && h->events->room(h->ctx)) {
        const uint8_t *bytes = NULL;
        ssize_t n = nghttp2_session_mem_send(h->session, &bytes);
        if (n < 0) h->failed = true;
        if (n <= 0) break;
        h->events->put(h->ctx, (str){(const char *)bytes, (size_t)n}, false);
    }
    if (h->failed && !h->gone) {
        char bye[HTTP2_HEAD_BYTES + 8];
        uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(h->session);
        h->gone = true;
        memcpy(bye, "\0\0\10\7\0\0\0\0\0", HTTP2_HEAD_BYTES);
        for (size_t i = 0; i < 4; i++) bye[HTTP2_HEAD_BYTES + i] = (char)(last >> (24 - 8 * i));
        memcpy(bye + HTTP2_HEAD_BYTES + 4, "\0\0\0", 4);
        bye[sizeof bye - 1] = h->calm || h->crowded ? HTTP2_ENHANCE_YOUR_CALM : HTTP2_INTERNAL_ERROR;
        h->events->put(h->ctx, (str){bye, sizeof bye}, false);
    }
    h->events->push(h->ctx);
    h->flushing = false;
}

/* Behind a push nothing points into it any more. */
static bool keep(http2 *h, http2_stream *s)
{
    if (s->used > s->kept.len / 2) {
        buf_drop(&s->kept, s->used);
        s->used = 0;
    }
    size_t room = s->kept.room - s->kept.len, need = s->views[0].len + s->views[1].len;
    s->replies = h->limits->replies;
    bool fits = need <= room || !s->replies || quota_has(s->replies, need - room);   /* before much is copied */
    for (size_t i = 0; i < COUNTOF(s->views); i++) {
        if (fits) buf_put_str(&s->kept, s->views[i]);
        h->kept += fits && !s->kept.full ? s->views[i].len : 0;
        s->views[i] = (str){"", 0};
    }
    fits = fits && quota_follow(s->replies, &s->taken, s->kept.room);
    h->crowded |= !fits;
    return fits && !s->kept.full;
}

static bool keep_trailers(http2_stream *s)
{
    buf *text = &s->trailer_text;
    size_t need = 1;
    for (size_t i = 0; i < s->trailer_count; i++) need += s->trailers[i].name.len + s->trailers[i].value.len;
    buf_clear(text);
    if (!buf_room(text, need)) return false;
    for (size_t i = 0; i < s->trailer_count; i++) {
        str *parts[] = {&s->trailers[i].name, &s->trailers[i].value};
        for (size_t k = 0; k < COUNTOF(parts); k++) {
            const char *at = (const char *)text->p + text->len;
            buf_put_str(text, *parts[k]);
            parts[k]->p = at;
        }
    }
    return true;
}

static int submit_head(http2 *h, http2_stream *s, const http2_reply *reply, bool body)
{
    field_list l UNINIT;
    http_header all[HEADERS_SENT_MAX] UNINIT;
    size_t count = 0;
    bool whole = !body && reply->ends;   /* all in one frame */
    INVARIANT(reply->header_count + s->trailer_count < COUNTOF(all));
    for (size_t i = 0; i < reply->header_count; i++) all[count++] = reply->headers[i];
    for (size_t i = 0; i < s->trailer_count && whole; i++) all[count++] = s->trailers[i];
    list_init(&l);
    for (int i = 3, n = reply->status; i-- > 0; n /= 10) l.status[i] = (char)('0' + n % 10);
    add_row(&l, STR(":status"), (str){l.status, 3});
    add_fields(&l, all, count);
    nghttp2_data_provider from = {.source.ptr = s, .read_callback = on_read};
    int rc = l.cleaned.full ? NGHTTP2_ERR_NOMEM
                            : nghttp2_submit_response(h->session, s->id, l.rows, l.count, whole ? NULL : &from);
    buf_fini(&l.cleaned);
    return rc;
}

bool http2_send(http2 *h, http2_stream *s, const http2_reply *reply, size_t *ret_waiting)
{
    INVARIANT(s->id && !s->ending && !s->reset && !h->flushing && reply->trailer_count <= HTTP_TRAILERS_MAX);
    INVARIANT(reply->status == 0 || (reply->status >= 200 && reply->status <= 999));
    bool body = !reply->bodiless && (reply->body[0].len || reply->body[1].len);
    for (size_t i = 0; i < COUNTOF(s->views) && body; i++) s->views[i] = reply->body[i];
    for (size_t i = 0; i < reply->trailer_count; i++) s->trailers[i] = reply->trailers[i];
    s->trailer_count = reply->bodiless ? 0 : reply->trailer_count;
    s->ending = reply->ends;
    s->begun = true;
    int rc = 0;
    if (reply->status)
        rc = submit_head(h, s, reply, body);
    else if (body || reply->ends)
        rc = nghttp2_session_resume_data(h->session, s->id);
    if (rc == NGHTTP2_ERR_INVALID_ARGUMENT) rc = 0;   /* it is not waiting for us, but for the client */
    if (rc) h->failed = true;
    h->sending = s;
    http2_flush(h);
    if (h->sending != s) return false;
    h->sending = NULL;
    if (!keep(h, s) || (s->ending && !keep_trailers(s))) h->failed = true;
    *ret_waiting = http2_stream_waiting(s);
    return true;
}

void http2_took(http2 *h, http2_stream *s, size_t bytes)
{
    if (!s->id || h->failed) return;
    INVARIANT(bytes <= s->untaken);
    s->untaken -= bytes;
    if (nghttp2_is_fatal(nghttp2_session_consume(h->session, s->id, bytes))) h->failed = true;
    http2_flush(h);
}

void http2_reset(http2 *h, http2_stream *s, http2_code code)
{
    if (!s->id || s->reset || h->failed) return;
    s->reset = true;
    if (nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, (uint32_t)code)) h->failed = true;
    http2_flush(h);
}

/* ---- life ---- */

bool http2_over(const http2 *h)
{
    return h->failed || (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session));
}

bool http2_failed(const http2 *h) { return h->failed; }
bool http2_calm(const http2 *h) { return h->calm; }
size_t http2_kept(const http2 *h) { return h->kept; }
size_t http2_stream_growth(const http2_stream *s, size_t n) { return buf_growth(&s->kept, s->taken, n); }
void http2_stream_disown(http2_stream *s) { quota_give_all(s->replies, &s->taken); }
bool http2_asked(const http2 *h) { return h->last_id > 0; }
bool http2_leaving(const http2 *h) { return h->noticed; }

void http2_leave(http2 *h)
{
    if (http2_over(h) || h->gone) return;
    int rc;
    if (!h->noticed) {
        rc = nghttp2_submit_shutdown_notice(h->session);
        h->noticed = true;
    } else {
        rc = nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->session),
                                   NGHTTP2_NO_ERROR, NULL, 0);
        h->gone = true;
    }
    if (rc) h->failed = true;
    http2_flush(h);
}

static void *take(size_t bytes, void *ctx) { return slab_take(ctx, bytes); }
static void *grow(void *p, size_t bytes, void *ctx) { return slab_grow(ctx, p, bytes); }
static void give(void *p, void *ctx) { slab_give(ctx, p); }

static void *take_clear(size_t count, size_t size, void *ctx) { return slab_take0(ctx, count, size); }

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *c;
    if (nghttp2_session_callbacks_new(&c)) return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(c, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(c, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
    nghttp2_session_callbacks_set_send_data_callback(c, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_sent);
    return c;
}

static nghttp2_option *option_new(bool preface)
{
    nghttp2_option *o;
    if (nghttp2_option_new(&o)) return NULL;
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_recv_client_magic(o, !preface);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_stream_reset_rate_limit(o, UINT32_MAX, UINT32_MAX);   /* our budget knows who works */
    return o;
}

static int session_start(http2 *h)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)h->limits->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)h->limits->header_bytes_max},
    };
    int rc = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, COUNTOF(settings));
    return rc ? rc : nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, HTTP2_WINDOW);
}

http2 *http2_new(const http2_opts *opts)
{
    bool preface = opts->preface || opts->upgraded;
    http2 *h = mem_new0(http2, 1);
    if (!h) return NULL;
    *h = (http2){.limits = opts->limits, .events = opts->events, .ctx = opts->ctx, .memory = opts->memory,
                 .budget = HTTP2_BUDGET_MAX, .frame_left = preface ? HTTP2_PREFACE_BYTES : 0};
    nghttp2_mem memory = {
        .mem_user_data = h->memory, .malloc = take, .free = give, .calloc = take_clear, .realloc = grow};
    nghttp2_session_callbacks *callbacks = callbacks_new();
    nghttp2_option *option = option_new(preface);
    int rc = NGHTTP2_ERR_NOMEM;
    if (callbacks && option) rc = nghttp2_session_server_new3(&h->session, callbacks, h, option, &memory);
    if (rc == 0 && !opts->upgraded) rc = session_start(h);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    if (rc == 0) return h;
    http2_free(h);
    return NULL;
}

void http2_free(http2 *h)
{
    if (!h) return;
    nghttp2_session_del(h->session);
    mem_free(h);
}

/* base64url without padding; false = it is none, or longer than any SETTINGS that we take. */
static bool decode(str text, uint8_t ret[SETTINGS_BYTES_MAX], size_t *ret_len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    size_t n = 0, have = 0;
    while (text.len && text.p[text.len - 1] == '=') text.len--;
    if (text.len > SETTINGS_TEXT_MAX || text.len % 4 == 1) return false;
    for (size_t i = 0; i < text.len; i++) {
        const char *digit = text.p[i] ? strchr(digits, text.p[i]) : NULL;
        if (!digit) return false;
        bits = bits << 6 | (uint32_t)(digit - digits);
        have += 6;
        if (have < 8) continue;
        have -= 8;
        ret[n++] = (uint8_t)(bits >> have);
    }
    *ret_len = n;
    return true;
}

bool http2_upgrade(http2 *h, http2_stream *s, str settings)
{
    uint8_t payload[SETTINGS_BYTES_MAX];
    size_t len = 0;
    if (!decode(settings, payload, &len)) return false;
    bool head = str_is(s->into->method, "HEAD");
    if (nghttp2_session_upgrade2(h->session, payload, len, head, NULL)) return false;
    if (session_start(h)) return false;
    s->id = h->last_id = 1;
    s->whole = true;
    nghttp2_session_set_stream_user_data(h->session, 1, s);
    return true;
}

void http2_print_refusal(buf *out, const char *text)
{
    static const char settings[] = "\0\0\0\4\0\0\0\0", goaway[] = "\7\0\0\0\0\0\0\0\0\0\0\0\0";
    size_t len = strlen(text);
    INVARIANT(len < 200);
    buf_put(out, settings, sizeof settings);
    buf_put(out, "\0\0", 2);
    buf_put_byte(out, (uint8_t)(8 + len));
    buf_put(out, goaway, sizeof goaway);
    buf_put_z(out, text);
}
