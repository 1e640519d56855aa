/* http2_client.h - a client of HTTP/2 for tests, without I/O: nghttp2's other side, with all that came back by stream.
 *
 * Requests are gathered in `out`; h2c_hear() takes what the server sent.  h2c_wait() moves both over a blocking socket
 * until a stream is closed.  Frames that no proper client sends are put into `out` by h2c_frame(). */
#ifndef TESTS_HTTP2_CLIENT_H
#define TESTS_HTTP2_CLIENT_H
#include "base/buf.h"
#include "test.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <sys/socket.h>

#ifndef H2C_STREAMS_MAX   /* an includer may need fewer */
#define H2C_STREAMS_MAX 4096
#endif

typedef struct {
    int status;             /* the last one: 100 comes before others */
    char headers[1000];     /* "name: value\n" each, without date and x-request-id */
    char trailers[500];
    buf body;
    size_t body_seen;       /* bytes, where the body is not kept */
    bool closed, ended, headed;
    uint32_t code;          /* it was closed with */
} h2c_stream;

typedef struct {
    nghttp2_session *session;
    buf out;
    h2c_stream *streams;    /* index = id / 2 */
    const char *upload;     /* what the bodies under way are taken from */
    size_t upload_len, upload_at;
    bool hold;              /* the body does not end by itself */
    bool gone, drop_bodies;
    uint32_t gone_code;
    int32_t gone_last;
    size_t pings, settings;
    size_t goaways;         /* frames; nghttp2 tells of the first only */
    uint8_t raw_head[9];
    size_t raw_have, raw_left;
} h2c;

static inline h2c_stream *h2c_of(h2c *c, int32_t id)
{
    CHECK(id > 0 && (size_t)id / 2 < H2C_STREAMS_MAX);
    return &c->streams[(size_t)id / 2 % H2C_STREAMS_MAX];
}

static inline int h2c_on_header(nghttp2_session *n, const nghttp2_frame *f, const uint8_t *name, size_t name_len,
                                const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
    h2c_stream *s = h2c_of(ctx, f->hd.stream_id);
    (void)n;
    (void)flags;
    if (strcmp((const char *)name, "date") == 0 || strcmp((const char *)name, "x-request-id") == 0) return 0;
    if (strcmp((const char *)name, ":status") == 0) {
        s->status = atoi((const char *)value);
        s->headers[0] = 0;
        return 0;
    }
    (void)f;
    char *to = s->headed ? s->trailers : s->headers;
    size_t room = to == s->headers ? sizeof s->headers : sizeof s->trailers, used = strlen(to);
    snprintf(to + used, room - used, "%.*s: %.*s\n", (int)name_len, (const char *)name, (int)value_len,
             (const char *)value);
    return 0;
}

static inline int h2c_on_data(nghttp2_session *n, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *ctx)
{
    h2c *c = ctx;
    h2c_stream *s = h2c_of(c, id);
    (void)n;
    (void)flags;
    s->body_seen += len;
    if (!c->drop_bodies) buf_put(&s->body, data, len);
    return 0;
}

static inline int h2c_on_frame(nghttp2_session *n, const nghttp2_frame *f, void *ctx)
{
    h2c *c = ctx;
    (void)n;
    c->pings += f->hd.type == NGHTTP2_PING && !(f->hd.flags & NGHTTP2_FLAG_ACK);
    c->settings += f->hd.type == NGHTTP2_SETTINGS;
    if (f->hd.type == NGHTTP2_GOAWAY) {
        c->gone = true;
        c->gone_code = f->goaway.error_code;
        c->gone_last = f->goaway.last_stream_id;
    }
    if (f->hd.type == NGHTTP2_HEADERS) h2c_of(c, f->hd.stream_id)->headed = h2c_of(c, f->hd.stream_id)->status >= 200;
    bool last = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (last && (f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS)) h2c_of(c, f->hd.stream_id)->ended = true;
    return 0;
}

static inline int h2c_on_close(nghttp2_session *n, int32_t id, uint32_t code, void *ctx)
{
    h2c_stream *s = h2c_of(ctx, id);
    (void)n;
    s->closed = true;
    s->code = code;
    return 0;
}

static inline ssize_t h2c_read(nghttp2_session *n, int32_t id, uint8_t *into, size_t room, uint32_t *flags,
                               nghttp2_data_source *source, void *ctx)
{
    h2c *c = ctx;
    size_t left = c->upload_len - c->upload_at, take = left < room ? left : room;
    (void)n;
    (void)id;
    (void)source;
    if (take == 0 && c->hold) return NGHTTP2_ERR_DEFERRED;
    memcpy(into, c->upload + c->upload_at, take);
    c->upload_at += take;
    if (take == left && !c->hold) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)take;
}

static inline void h2c_pump(h2c *c)
{
    const uint8_t *p;
    for (ssize_t n; (n = nghttp2_session_mem_send(c->session, &p)) > 0;) buf_put(&c->out, p, (size_t)n);
}

/* window: of each stream, 0 = the protocol's own. */
static inline void h2c_init(h2c *c, uint32_t window)
{
    nghttp2_session_callbacks *cb;
    *c = (h2c){.streams = calloc(H2C_STREAMS_MAX, sizeof *c->streams)};
    buf_init(&c->out, SIZE_MAX / 4);
    for (size_t i = 0; i < H2C_STREAMS_MAX; i++) buf_init(&c->streams[i].body, SIZE_MAX / 4);
    CHECK(nghttp2_session_callbacks_new(&cb) == 0);
    nghttp2_session_callbacks_set_on_header_callback(cb, h2c_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, h2c_on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, h2c_on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, h2c_on_close);
    CHECK(nghttp2_session_client_new(&c->session, cb, c) == 0);
    nghttp2_session_callbacks_del(cb);
    nghttp2_settings_entry s = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window ? window : 65535};
    CHECK(nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, &s, 1) == 0);
    if (window) CHECK(nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, 1 << 30) == 0);
    h2c_pump(c);
}

static inline void h2c_fini(h2c *c)
{
    nghttp2_session_del(c->session);
    for (size_t i = 0; i < H2C_STREAMS_MAX; i++) buf_fini(&c->streams[i].body);
    free(c->streams);
    buf_fini(&c->out);
}

static inline nghttp2_nv h2c_nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), 0};
}

/* A request with its body, or to be gone on with (hold); `extra` = pairs of names and values, NULL ends them. */
static inline int32_t h2c_ask(h2c *c, const char *method, const char *path, const char *const *extra, const char *body,
                              size_t len)
{
    nghttp2_nv nv[200] = {h2c_nv(":method", method), h2c_nv(":scheme", "http"), h2c_nv(":authority", "h"),
                          h2c_nv(":path", path)};
    size_t count = 4;
    for (; extra && *extra && count < COUNTOF(nv); extra += 2) nv[count++] = h2c_nv(extra[0], extra[1]);
    if (body) {
        c->upload = body;
        c->upload_len = len;
        c->upload_at = 0;
    }
    nghttp2_data_provider from = {.read_callback = h2c_read};
    int32_t id = nghttp2_submit_request(c->session, NULL, nv, count, body ? &from : NULL, NULL);
    CHECK(id > 0);
    h2c_pump(c);
    return id;
}

static inline int32_t h2c_get(h2c *c, const char *path) { return h2c_ask(c, "GET", path, NULL, NULL, 0); }

static inline int32_t h2c_post(h2c *c, const char *path, const char *body)
{
    return h2c_ask(c, "POST", path, NULL, body, strlen(body));
}

/* More of a held body. */
static inline void h2c_more(h2c *c, int32_t id, const char *bytes, size_t len, bool last)
{
    c->upload = bytes;
    c->upload_len = len;
    c->upload_at = 0;
    c->hold = !last;
    CHECK(nghttp2_session_resume_data(c->session, id) == 0);
    h2c_pump(c);
}

/* Any frame: nothing checks it. */
static inline void h2c_frame(h2c *c, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t len)
{
    const uint8_t head[9] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags,
                             (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    buf_put(&c->out, head, sizeof head);
    if (len) buf_put(&c->out, payload, len);
}

static inline void h2c_walk(h2c *c, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len;) {
        if (c->raw_left) {
            size_t n = c->raw_left < len - i ? c->raw_left : len - i;
            c->raw_left -= n;
            i += n;
            continue;
        }
        c->raw_head[c->raw_have++] = p[i++];
        if (c->raw_have < 9) continue;
        c->raw_have = 0;
        c->raw_left = (size_t)c->raw_head[0] << 16 | (size_t)c->raw_head[1] << 8 | c->raw_head[2];
        c->goaways += c->raw_head[3] == NGHTTP2_GOAWAY;
    }
}

static inline void h2c_hear(h2c *c, const void *bytes, size_t len)
{
    h2c_walk(c, bytes, len);
    ssize_t n = nghttp2_session_mem_recv(c->session, bytes, len);
    if (n < 0) printf("# client: %s\n", nghttp2_strerror((int)n));
    CHECK(n == (ssize_t)len);
    h2c_pump(c);
}

static inline bool h2c_say(h2c *c, int fd)
{
    size_t at = 0;
    while (at < c->out.len) {
        ssize_t n = send(fd, c->out.p + at, c->out.len - at, MSG_NOSIGNAL);
        if (n <= 0) break;
        at += (size_t)n;
    }
    bool all = at == c->out.len;
    buf_clear(&c->out);
    return all;
}

/* One read; false at the end of the stream. */
static inline bool h2c_turn(h2c *c, int fd)
{
    static char room[1 << 16];
    (void)h2c_say(c, fd);
    ssize_t n = recv(fd, room, sizeof room, 0);
    if (n <= 0) return false;
    h2c_hear(c, room, (size_t)n);
    (void)h2c_say(c, fd);
    return true;
}

/* Until that stream is closed, or the connection is. */
static inline h2c_stream *h2c_wait(h2c *c, int fd, int32_t id)
{
    h2c_stream *s = h2c_of(c, id);
    while (!s->closed && h2c_turn(c, fd)) {}
    return s;
}

/* Until the connection is closed. */
static inline void h2c_end(h2c *c, int fd)
{
    while (h2c_turn(c, fd)) {}
}

#endif
