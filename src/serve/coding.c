#include "serve/coding.h"

#include "base/mem.h"

#define OF(type, member, p) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* ---- bodies that come packed ---- */

/* All that Content-Encoding says, in however many lines: the last coding that is one, and how many there are. */
typedef struct {
    flate_kind kind;
    size_t count;
    str name;
} encoding;

static encoding encoding_read(const http_request *req)
{
    encoding got = {.kind = FLATE_NONE};
    http_header_span all = http_headers_of(req, HTTP_FIELD_CONTENT_ENCODING);
    for (size_t i = 0; i < all.count; i++) {
        if (!str_is_nocase(all.at[i].name, "Content-Encoding")) continue;
        for (str one, rest = all.at[i].value; rest.len;) {
            one = str_trim(str_next(&rest, ','));
            if (one.len == 0 || str_is_nocase(one, "identity")) continue;
            got.kind = str_is_nocase(one, "x-gzip") ? FLATE_GZIP : flate_named(one);
            got.name = one;
            got.count++;
        }
    }
    return got;
}

bool coding_is_packed(const http_request *req) { return req->body.len && encoding_read(req).count; }

typedef struct {
    compute_job job;
    const coding *of;
    http_call *call;
    const http_request *req;
    http_handler *next;
    void *ctx;
    flate_kind kind;
    http_message body;
    http_refusal refusal;
    err failure;
} unpacking;

static bool put(void *ctx, str piece)
{
    unpacking *u = ctx;
    http_body_plan plan = {.most = u->of->body_bytes_max, .bodies = u->of->bodies};
    return http_message_put_body(&u->body, piece, &plan, &u->refusal);
}

static void unpack_on_worker(compute_job *j)
{
    unpacking *u = OF(unpacking, job, j);
    u->failure.code = ERR_OK;
    (void)!flate_unpack_http(u->kind, u->req->body, put, u, &u->failure);
}

static void unpacked_on_loop(loop *on, loop_msg *m)
{
    (void)on;
    unpacking *u = OF(unpacking, job.done, m);
    http_handler *next = NULL;
    http_call *call = u->call;
    const http_request *req = u->req;
    void *ctx = u->ctx;
    if (http_call_gone(call)) {
        http_reply_error(call, err_http_status(ERR_CANCELLED), "the client is gone");
    } else if (u->refusal.status) {
        http_reply_error(call, u->refusal.status, u->refusal.text);
    } else if (u->failure.code) {
        err_wrap(&u->failure, "Content-Encoding");
        http_reply_error(call, err_http_status(u->failure.code), u->failure.text);
    } else {
        http_call_take_body(call, &u->body);
        next = u->next;
    }
    http_message_fini(&u->body);
    mem_free(u);
    if (next) next(ctx, call, req);
}

static void refuse(http_call *call, const encoding *got)
{
    static const http_header accepts = {{"Accept-Encoding", 15}, {"gzip, deflate", 13}};
    err e;
    if (got->count > 1)
        err_set(&e, ERR_INVALID, "Content-Encoding: expected one of gzip, deflate and identity, got %zu", got->count);
    else
        err_set(&e, ERR_INVALID, "Content-Encoding: expected gzip, deflate or identity, got '" STR_FMT "'",
                STR_ARG(got->name));
    http_reply_error_with(call, 415, e.text, &accepts);
}

void coding_unpack(const coding *c, http_call *call, const http_request *req, http_handler *next, void *ctx)
{
    err e;
    encoding got = encoding_read(req);
    if (got.count != 1 || got.kind == FLATE_KINDS) {
        refuse(call, &got);
        return;
    }
    unpacking *u = mem_new0(unpacking, 1);
    if (!u) {
        http_reply_error(call, err_http_status(ERR_NOMEM), "no memory to unpack the body");
        return;
    }
    u->job = (compute_job){.run = unpack_on_worker, .reply_to = http_call_loop(call), .done.run = unpacked_on_loop};
    u->of = c;
    u->call = call;
    u->req = req;
    u->next = next;
    u->ctx = ctx;
    u->kind = got.kind;
    http_message_init(&u->body);
    if (compute_submit(c->compute, &u->job, &e) == ERR_OK) return;
    http_reply_error(call, err_http_status(e.code), e.text);
    mem_free(u);
}

/* ---- answers that go packed ---- */

coding_wish coding_wanted(const coding *c, const http_request *req)
{
    flate_wish w = {.others = 0};
    coding_wish wish = {.kind = FLATE_NONE, .bytes_min = c->pack_bytes_min};
    if (!c->pack_bytes_min) return wish;
    http_header_span all = http_headers_of(req, HTTP_FIELD_ACCEPT_ENCODING);
    for (size_t i = 0; i < all.count; i++)
        if (str_is_nocase(all.at[i].name, "Accept-Encoding")) flate_wish_read(&w, all.at[i].value);
    wish.kind = flate_wish_best(&w);
    if (flate_wish_refuses_plain(&w)) wish.bytes_min = 1;
    return wish;
}

size_t coding_headers(const coding_wish *w, bool packed, size_t bytes, http_header ret[CODING_HEADERS_MAX])
{
    size_t count = 0;
    if (packed) ret[count++] = (http_header){STR("Content-Encoding"), str_of(flate_name(w->kind))};
    if (packed || (w->bytes_min && bytes >= w->bytes_min))
        ret[count++] = (http_header){STR("Vary"), STR("Accept-Encoding")};
    return count;
}

typedef struct {
    compute_job job;
    http_call *call;
    str type;
    coding_wish wish;
    buf plain, packed;
    bool done;
} packing;

static void send(http_call *call, str type, const coding_wish *wish, bool packed, const buf *body)
{
    http_header fields[CODING_HEADERS_MAX];
    http_reply(call, &(http_response){.status = 200,
                                      .content_type = type,
                                      .headers = fields,
                                      .header_count = coding_headers(wish, packed, body->len, fields),
                                      .body = {buf_str(body)}});
}

static void pack_on_worker(compute_job *j)
{
    packing *p = OF(packing, job, j);
    err e;
    p->done = flate_pack(&p->packed, p->wish.kind, buf_str(&p->plain), &e) == ERR_OK;
}

static void packed_on_loop(loop *on, loop_msg *m)
{
    (void)on;
    packing *p = OF(packing, job.done, m);
    send(p->call, p->type, &p->wish, p->done, p->done ? &p->packed : &p->plain);
    buf_fini(&p->plain);
    buf_fini(&p->packed);
    mem_free(p);
}

/* On a worker, or false. */
static bool pack_later(const coding *c, http_call *call, str type, const coding_wish *wish, buf *body)
{
    err e;
    packing *p = mem_new0(packing, 1);
    if (!p) return false;
    *p = (packing){.call = call, .type = type, .wish = *wish, .plain = *body};
    p->job = (compute_job){.run = pack_on_worker, .reply_to = http_call_loop(call), .done.run = packed_on_loop};
    buf_init(&p->packed, body->len);   /* more would gain nothing */
    if (compute_submit(c->compute, &p->job, &e) == ERR_OK) return true;
    mem_free(p);
    return false;
}

void coding_reply(const coding *c, http_call *call, const http_request *req, str type, buf *body)
{
    err e;
    buf packed;
    coding_wish wish = coding_wanted(c, req);
    bool packs = wish.kind != FLATE_NONE && wish.bytes_min && body->len >= wish.bytes_min;
    bool here = body->len <= CODING_INLINE_BYTES;
    if (packs && !here && pack_later(c, call, type, &wish, body)) return;
    buf_init(&packed, body->len ? body->len : 1);
    packs = packs && here && flate_pack(&packed, wish.kind, buf_str(body), &e) == ERR_OK;
    send(call, type, &wish, packs, packs ? &packed : body);
    buf_fini(&packed);
    buf_fini(body);
}
