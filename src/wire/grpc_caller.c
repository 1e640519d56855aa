#include "wire/grpc_caller.h"

#include "base/mem.h"
#include "base/slab.h"
#include "wire/grpc.h"

#include <inttypes.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

enum { OWN_FIELDS = 8, WINDOW = 16 << 20, TIMEOUT_MS_MAX = 99999999 };

struct grpc_caller {
    nghttp2_session *session;
    slab memory;
    buf out, message;
    grpc_reader reader;
    size_t message_bytes_max;
    /* the call */
    int32_t id;                     /* 0 = none has begun */
    str rest[2];                    /* of the request: prefix, message */
    uint8_t prefix[GRPC_PREFIX_BYTES];
    size_t header_bytes, message_count;
    int http_status;
    uint64_t status;
    bool has_status, is_grpc, begun, over, gone, untouched;
    bool failed;                    /* something that was to be sent is lost for lack of memory */
    err why;                        /* code != ERR_OK: the answer breaks a rule of gRPC */
    char text[GRPC_CALLER_TEXT_MAX + 1];
};

/* ---- the answer ---- */

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    char low = (char)(c | 32);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* grpc-message: %XX for what is no printable ASCII.  A terminal's control characters become '?'. */
static void text_decode(char *to, str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len && n < GRPC_CALLER_TEXT_MAX; i++) {
        int high = s.p[i] == '%' && s.len - i > 2 ? hex(s.p[i + 1]) : -1, low = high < 0 ? -1 : hex(s.p[i + 2]);
        char c = s.p[i];
        if (low >= 0) {
            c = (char)(high * 16 + low);
            i += 2;
        }
        to[n++] = (uint8_t)c < ' ' || c == 127 ? '?' : c;
    }
    to[n] = 0;
}

/* NOLINTNEXTLINE(readability-function-size): nghttp2's type */
static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
    grpc_caller *c = ctx;
    str n = {(const char *)name, name_len}, v = {(const char *)value, value_len};
    uint64_t number = 0;
    (void)s;
    (void)flags;
    if (f->hd.stream_id != c->id) return 0;
    c->begun = true;
    c->header_bytes += name_len + value_len + 32;
    if (c->header_bytes > GRPC_CALLER_HEADER_BYTES_MAX) {
        err_set(&c->why, ERR_TOO_LARGE, "headers: expected at most %d bytes", GRPC_CALLER_HEADER_BYTES_MAX);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (str_is(n, ":status") && str_u64(v, &number) && number <= 999) c->http_status = (int)number;
    else if (str_is(n, "content-type")) c->is_grpc = str_starts(v, STR("application/grpc"));
    else if (str_is(n, "grpc-status") && str_u64(v, &c->status)) c->has_status = c->status <= INT32_MAX;
    else if (str_is(n, "grpc-message")) text_decode(c->text, v);
    return 0;
}

static bool in_grpc(const grpc_caller *c) { return c->http_status == 200 && c->is_grpc; }

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *ctx)
{
    grpc_caller *c = ctx;
    str in = {(const char *)data, len}, piece;
    (void)s;
    (void)flags;
    if (id != c->id || c->why.code || !in_grpc(c)) return 0;   /* an error page of a proxy, say */
    for (;;) {
        grpc_event got = grpc_reader_feed(&c->reader, &in, &piece, &c->why);
        if (got == GRPC_MORE || got == GRPC_REFUSED) return 0;
        buf_put_str(&c->message, piece);
        if (got == GRPC_PIECE) continue;
        if (c->message_count++ == 0) continue;
        err_set(&c->why, ERR_INTERNAL, "expected one message, got several");
        return 0;
    }
}

static int on_close(nghttp2_session *s, int32_t id, uint32_t code, void *ctx)
{
    grpc_caller *c = ctx;
    (void)s;
    if (id != c->id) return 0;
    c->over = true;
    c->untouched = c->gone && code == NGHTTP2_REFUSED_STREAM && c->header_bytes == 0;
    if (!c->has_status && !c->why.code && code != NGHTTP2_NO_ERROR)
        err_set(&c->why, ERR_UNAVAILABLE, "the call was reset with %s", nghttp2_http2_strerror(code));
    return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *ctx)
{
    grpc_caller *c = ctx;
    (void)s;
    if (f->hd.type == NGHTTP2_GOAWAY) {
        c->gone = true;
        c->begun = c->begun || f->goaway.last_stream_id >= c->id;
    }
    return 0;
}

/* ---- the session ---- */

static void *take(size_t bytes, void *ctx) { return slab_take(ctx, bytes); }
static void *grow(void *p, size_t bytes, void *ctx) { return slab_grow(ctx, p, bytes); }
static void give(void *p, void *ctx) { slab_give(ctx, p); }

static void *take_clear(size_t count, size_t size, void *ctx) { return slab_take0(ctx, count, size); }

static int session_new(grpc_caller *c)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GRPC_CALLER_HEADER_BYTES_MAX}};
    nghttp2_mem memory = {
        .mem_user_data = &c->memory, .malloc = take, .free = give, .calloc = take_clear, .realloc = grow};
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb)) return NGHTTP2_ERR_NOMEM;
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    int rc = nghttp2_session_client_new3(&c->session, cb, c, NULL, &memory);
    nghttp2_session_callbacks_del(cb);
    if (rc == 0) rc = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, COUNTOF(settings));
    if (rc == 0) rc = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, WINDOW);
    return rc;
}

grpc_caller *grpc_caller_new(size_t message_bytes_max)
{
    CLEANUP(grpc_caller) grpc_caller *c = mem_new0(grpc_caller, 1);
    if (!c) return NULL;
    slab_init(&c->memory);
    buf_init(&c->out, SIZE_MAX / 4);   /* bounded by grpc_caller_pump() */
    buf_init(&c->message, message_bytes_max + 1);
    c->message_bytes_max = message_bytes_max;
    if (session_new(c)) return NULL;
    grpc_caller_pump(c);
    return TAKE(c);
}

void grpc_caller_free(grpc_caller *c)
{
    if (!c) return;
    nghttp2_session_del(c->session);
    slab_fini(&c->memory);
    buf_fini(&c->out);
    buf_fini(&c->message);
    mem_free(c);
}

buf *grpc_caller_out(grpc_caller *c) { return &c->out; }

void grpc_caller_pump(grpc_caller *c)
{
    const uint8_t *p;
    ssize_t n = 1;
    while (n > 0 && c->out.len < GRPC_CALLER_OUT_MAX) {
        n = nghttp2_session_mem_send(c->session, &p);
        if (n > 0) buf_put(&c->out, p, (size_t)n);
    }
    if (n < 0 || c->out.full) c->failed = true;
}

/* ---- the call ---- */

static ssize_t on_read(nghttp2_session *s, int32_t id, uint8_t *into, size_t room, uint32_t *flags,
                       nghttp2_data_source *source, void *ctx)
{
    grpc_caller *c = ctx;
    size_t used = 0;
    (void)s;
    (void)id;
    (void)source;
    for (size_t i = 0; i < COUNTOF(c->rest); i++) {
        size_t n = c->rest[i].len < room - used ? c->rest[i].len : room - used;
        if (n) memcpy(into + used, c->rest[i].p, n);
        c->rest[i] = (str){c->rest[i].p + n, c->rest[i].len - n};
        used += n;
    }
    if (!c->rest[0].len && !c->rest[1].len) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)used;
}

static nghttp2_nv field(const char *name, str value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name, .namelen = strlen(name),
                        .value = (uint8_t *)(uintptr_t)value.p, .valuelen = value.len};
}

static void call_clear(grpc_caller *c, str message)
{
    buf_clear(&c->message);
    grpc_reader_init(&c->reader, c->message_bytes_max, false);
    grpc_prefix_print(c->prefix, false, (uint32_t)message.len);
    c->rest[0] = (str){(const char *)c->prefix, sizeof c->prefix};
    c->rest[1] = message;
    c->id = 0;
    c->header_bytes = c->message_count = 0;
    c->http_status = 0;
    c->status = GRPC_UNKNOWN;
    c->has_status = c->is_grpc = c->begun = c->over = c->untouched = false;
    c->why = (err){.code = ERR_OK};
    c->text[0] = 0;
}

err_code grpc_caller_begin(grpc_caller *c, const grpc_ask *ask, err *e)
{
    nghttp2_nv fields[OWN_FIELDS + GRPC_CALLER_HEADERS_MAX];
    size_t n = 0;
    char timeout[32];
    uint64_t ms = ask->wait_us / 1000 < TIMEOUT_MS_MAX ? ask->wait_us / 1000 : TIMEOUT_MS_MAX;
    INVARIANT(c->id == 0 || c->over);
    if (ask->message.len > UINT32_MAX || ask->metadata_count > GRPC_CALLER_HEADERS_MAX)
        return err_set(e, ERR_LIMIT, "call: expected at most %u bytes and %d headers, got %zu and %zu", UINT32_MAX,
                       GRPC_CALLER_HEADERS_MAX, ask->message.len, ask->metadata_count);
    call_clear(c, ask->message);
    fields[n++] = field(":method", STR("POST"));
    fields[n++] = field(":scheme", ask->secure ? STR("https") : STR("http"));
    fields[n++] = field(":path", ask->path);
    fields[n++] = field(":authority", ask->authority);
    fields[n++] = field("content-type", STR("application/grpc"));
    fields[n++] = field("te", STR("trailers"));
    int len = snprintf(timeout, sizeof timeout, "%" PRIu64 "m", ms ? ms : 1);
    if (ask->wait_us) fields[n++] = field("grpc-timeout", (str){timeout, (size_t)len});
    for (size_t i = 0; i < ask->metadata_count; i++) {
        str name = ask->metadata[i].name, value = ask->metadata[i].value;
        fields[n++] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p, .namelen = name.len,
                                   .value = (uint8_t *)(uintptr_t)value.p, .valuelen = value.len};
    }
    nghttp2_data_provider body = {.read_callback = on_read};
    c->id = nghttp2_submit_request(c->session, NULL, fields, n, &body, NULL);
    if (c->id < 0) {
        const char *text = nghttp2_strerror(c->id);
        c->id = 0;
        return err_set(e, ERR_UNAVAILABLE, "call: %s", text);
    }
    grpc_caller_pump(c);
    return c->failed ? err_set(e, ERR_NOMEM, "call: no memory") : ERR_OK;
}

err_code grpc_caller_feed(grpc_caller *c, const uint8_t *data, size_t len, err *e)
{
    ssize_t n = nghttp2_session_mem_recv(c->session, data, len);
    if (n == NGHTTP2_ERR_NOMEM) return err_set(e, ERR_NOMEM, "answer: no memory");
    if (n < 0) return err_set(e, ERR_INTERNAL, "expected an answer of HTTP/2: %s", nghttp2_strerror((int)n));
    grpc_caller_pump(c);
    if (c->failed) return err_set(e, ERR_NOMEM, "call: no memory");
    if (!c->over && !nghttp2_session_want_read(c->session))
        return err_set(e, ERR_INTERNAL, "expected an answer of HTTP/2: the server broke its rules");
    return ERR_OK;
}

bool grpc_caller_begun(const grpc_caller *c) { return c->begun; }
bool grpc_caller_over(const grpc_caller *c) { return c->over; }
bool grpc_caller_untouched(const grpc_caller *c) { return c->untouched; }
bool grpc_caller_failed(const grpc_caller *c) { return c->failed; }
bool grpc_caller_usable(const grpc_caller *c) { return !c->gone && !c->failed && (c->id == 0 || c->over); }

grpc_result grpc_caller_result(const grpc_caller *c)
{
    INVARIANT(c->over);
    grpc_result r = {.status = (int)c->status, .text = c->text, .message = buf_str(&c->message)};
    if (c->message.full) r = (grpc_result){.status = err_grpc_status(ERR_NOMEM), .text = "no memory for the answer"};
    else if (c->why.code) r = (grpc_result){.status = err_grpc_status(c->why.code), .text = c->why.text};
    else if (c->http_status != 200)
        r = (grpc_result){.status = grpc_status_of_http(c->http_status), .text = "not gRPC"};
    else if (!c->is_grpc) r = (grpc_result){.status = GRPC_UNKNOWN, .text = "expected the content type of gRPC"};
    else if (!c->has_status) r = (grpc_result){.status = GRPC_UNKNOWN, .text = "expected grpc-status, got none"};
    else if (r.status == 0 && c->message_count != 1)
        r = (grpc_result){.status = err_grpc_status(ERR_INTERNAL), .text = "expected one message, got none"};
    return r;
}
