#include "grpc_rig.h"

#include "wire/grpc.h"
#include "os/clock.h"
#include "test.h"

static grpc_call *call_of(grpc_rig *g, int32_t id)
{
    for (size_t i = 0; i < g->count; i++)
        if (g->calls[i].id == id) return &g->calls[i];
    return NULL;
}

static ssize_t body_read(nghttp2_session *s, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                         nghttp2_data_source *from, void *ctx)
{
    (void)s, (void)from;
    grpc_call *c = call_of(ctx, id);
    INVARIANT(c);
    size_t n = c->out.len - c->sent;
    if (n > room) n = room;
    if (n) memcpy(to, c->out.p + c->sent, n);
    c->sent += n;
    if (c->sent == c->out.len && c->out_ends) *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (n == 0) return NGHTTP2_ERR_DEFERRED;
    return (ssize_t)n;
}

static void keep(char *to, size_t room, const uint8_t *p, size_t len)
{
    snprintf(to, room, "%.*s", (int)len, (const char *)p);
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_len,
                     const uint8_t *p, size_t len, uint8_t flags, void *ctx)
{
    (void)s, (void)flags;
    grpc_call *c = call_of(ctx, f->hd.stream_id);
    str n = {(const char *)name, name_len};
    if (!c) return 0;
    if (str_is(n, ":status")) keep(c->http, sizeof c->http, p, len);
    if (str_is(n, "grpc-status")) keep(c->status, sizeof c->status, p, len);
    if (str_is(n, "grpc-message")) keep(c->message, sizeof c->message, p, len);
    if (str_is(n, "grpc-encoding")) keep(c->encoding, sizeof c->encoding, p, len);
    if (str_is(n, "grpc-accept-encoding")) keep(c->accepts, sizeof c->accepts, p, len);
    if (str_is(n, "grpc-status-details-bin")) keep(c->details, sizeof c->details, p, len);
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t len, void *ctx)
{
    (void)flags;
    grpc_rig *g = ctx;
    grpc_call *c = call_of(g, id);
    if (!c) return 0;
    buf_put(&c->in, p, len);
    INVARIANT(nghttp2_session_consume_connection(s, len) == 0);
    if (g->hold_windows) c->window += (int32_t)len;
    else INVARIANT(nghttp2_session_consume_stream(s, id, len) == 0);
    return 0;
}

static int on_close(nghttp2_session *s, int32_t id, uint32_t code, void *ctx)
{
    (void)s;
    grpc_call *c = call_of(ctx, id);
    if (!c) return 0;
    c->closed = true;
    c->place = ++((grpc_rig *)ctx)->closed;
    c->reset = code;
    return 0;
}

bool grpc_rig_start(grpc_rig *g, const http_rig_opts *o, const char *const *models)
{
    g->count = g->closed = 0;
    g->session = NULL;
    g->hold_windows = false;
    buf_init(&g->out, 64 << 20);
    if (!http_rig_start(&g->rig, o, models)) return false;
    nghttp2_session_callbacks *cb;
    nghttp2_option *option;
    INVARIANT(nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    INVARIANT(nghttp2_session_client_new2(&g->session, cb, g, option) == 0);
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(option);
    INVARIANT(nghttp2_submit_settings(g->session, NGHTTP2_FLAG_NONE, NULL, 0) == 0);
    return true;
}

void grpc_rig_forget(grpc_rig *g)
{
    for (size_t i = 0; i < g->count; i++) {
        buf_fini(&g->calls[i].out);
        buf_fini(&g->calls[i].in);
    }
    g->count = 0;
}

void grpc_rig_stop(grpc_rig *g)
{
    grpc_rig_forget(g);
    nghttp2_session_del(g->session);
    buf_fini(&g->out);
    http_rig_stop(&g->rig);
}

static void field(nghttp2_nv *nv, str name, str to)
{
    *nv = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
                       .namelen = name.len,
                       .value = (uint8_t *)(uintptr_t)to.p,
                       .valuelen = to.len};
}

grpc_call *grpc_rig_call(grpc_rig *g, const char *path, const char *headers)
{
    nghttp2_nv nv[20];
    size_t n = 0;
    bool typed = strstr(headers, "content-type: ") != NULL;
    field(&nv[n++], STR(":method"), STR("POST"));
    field(&nv[n++], STR(":scheme"), STR("http"));
    field(&nv[n++], STR(":path"), str_of(path));
    field(&nv[n++], STR(":authority"), STR("h"));
    field(&nv[n++], STR("te"), STR("trailers"));
    if (!typed) field(&nv[n++], STR("content-type"), STR("application/grpc"));
    for (str line, rest = str_of(headers); str_cut(rest, '\n', &line, &rest);) {
        const char *colon = strstr(line.p, ": ");
        size_t at = (size_t)(colon - line.p);
        INVARIANT(n < COUNTOF(nv));
        field(&nv[n++], (str){line.p, at}, (str){line.p + at + 2, line.len - at - 2});
    }
    INVARIANT(g->count < COUNTOF(g->calls));
    grpc_call *c = &g->calls[g->count++];
    *c = (grpc_call){.id = 0};
    buf_init(&c->out, 64 << 20);
    buf_init(&c->in, 64 << 20);
    nghttp2_data_provider body = {.read_callback = body_read};
    c->id = nghttp2_submit_request(g->session, NULL, nv, n, &body, NULL);
    INVARIANT(c->id > 0);
    return c;
}

/* Out with what the session has, in with what came. */
static void turn(grpc_rig *g, uint64_t ms)
{
    const uint8_t *p;
    ssize_t n;
    size_t unsent = g->rig.out_len - g->rig.out_at;   /* when answers came while the server took no more */
    if (unsent) memmove(g->out.p, g->out.p + g->rig.out_at, unsent);
    g->out.len = unsent;
    while ((n = nghttp2_session_mem_send(g->session, &p)) > 0) buf_put(&g->out, p, (size_t)n);
    INVARIANT(n == 0 && !g->out.full);
    http_rig_send(&g->rig, g->out.p, g->out.len);
    uint64_t until = clock_now_us() + 20000000;
    do {
        http_rig_turn(&g->rig, ms);
    } while (g->rig.out_at < g->rig.out_len && !g->rig.closed && g->rig.got_len == 0 && clock_now_us() < until);
    if (g->rig.got_len)
        INVARIANT(nghttp2_session_mem_recv(g->session, (const uint8_t *)g->rig.got, g->rig.got_len) ==
                  (ssize_t)g->rig.got_len);
    INVARIANT(g->rig.out_at == g->rig.out_len || g->rig.closed || g->rig.got_len);
}

void grpc_rig_turn(grpc_rig *g, uint64_t ms) { turn(g, ms); }

void grpc_rig_send(grpc_rig *g, grpc_call *c, str bytes, bool last)
{
    buf_put_str(&c->out, bytes);
    c->out_ends = last;
    (void)nghttp2_session_resume_data(g->session, c->id);   /* an error when it was not deferred yet */
}

void grpc_rig_message(grpc_rig *g, grpc_call *c, str message, bool compressed, bool last)
{
    uint8_t prefix[GRPC_PREFIX_BYTES];
    grpc_prefix_print(prefix, compressed, (uint32_t)message.len);
    buf_put(&c->out, prefix, sizeof prefix);
    grpc_rig_send(g, c, message, last);
}

void grpc_rig_reset(grpc_rig *g, grpc_call *c)
{
    INVARIANT(nghttp2_submit_rst_stream(g->session, NGHTTP2_FLAG_NONE, c->id, NGHTTP2_CANCEL) == 0);
    turn(g, 5);
}

void grpc_rig_take(grpc_rig *g, grpc_call *c)
{
    if (c->window) INVARIANT(nghttp2_session_consume_stream(g->session, c->id, (size_t)c->window) == 0);
    c->window = 0;
}

bool grpc_rig_until(grpc_rig *g, grpc_call *c, size_t bytes)
{
    uint64_t until = clock_now_us() + 20000000;
    while (!c->closed && !g->rig.closed && (!bytes || c->in.len < bytes) && clock_now_us() < until) turn(g, 1);
    return c->closed || (bytes && c->in.len >= bytes);
}

str grpc_rig_got(const grpc_call *c, size_t i, bool *ret_flag)
{
    size_t at = 0;
    while (c->in.len - at >= GRPC_PREFIX_BYTES) {
        const uint8_t *p = c->in.p + at;
        size_t len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
        if (len > c->in.len - at - GRPC_PREFIX_BYTES) break;
        if (i-- == 0) {
            if (ret_flag) *ret_flag = p[0] != 0;
            return (str){(const char *)p + GRPC_PREFIX_BYTES, len};
        }
        at += GRPC_PREFIX_BYTES + len;
    }
    return (str){NULL, 0};
}

const char *grpc_rig_unary(grpc_rig *g, const char *path, const char *headers, str message, str *ret)
{
    grpc_rig_forget(g);
    grpc_call *c = grpc_rig_call(g, path, headers);
    grpc_rig_message(g, c, message, false, true);
    if (!grpc_rig_until(g, c, 0)) return "timeout";
    str got = grpc_rig_got(c, 0, NULL);
    if (ret) *ret = got;
    if (!str_is(str_of(c->http), "200")) return c->http;
    int n = snprintf(g->text, sizeof g->text, "%s %s", c->status, c->message);
    for (size_t i = 0; !ret && i < got.len && (size_t)n < sizeof g->text - 3; i++)
        n += snprintf(g->text + n, sizeof g->text - (size_t)n, "%02x", (uint8_t)got.p[i]);
    return g->text;
}
