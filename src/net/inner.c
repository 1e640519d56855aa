#include "net/inner.h"

#include "net/call.h"
#include "net/shard.h"

static bool fill(shard *s, http_message *m, const inner_request *q, http_refusal *why)
{
    const http_body_plan plan = {.announced = q->body.len,
                                 .most = s->limits->body_bytes_max,
                                 .bodies = s->reader_limits.bodies};
    size_t at = m->head_len;
    m->method = str_is(q->method, "POST") ? STR("POST") : STR("GET");
    if (!http_message_put(m, q->target.p, q->target.len, why)) return false;
    if (!http_message_set_target(m, at, q->target.len, why)) return false;
    for (size_t i = 0; i < q->header_count; i++) {
        const http_header *h = &q->headers[i];
        if (!http_message_put(m, h->name.p, h->name.len, why) || !http_message_put(m, h->value.p, h->value.len, why))
            return false;
        if (!http_message_add_field(m, h->name.len, h->value.len, why)) return false;
    }
    http_message_align(m, q->aligned);
    if (q->body.len && !http_message_has_room(m, &plan, why)) return false;
    if (q->body.len && !http_message_put_body(m, q->body, &plan, why)) return false;
    http_message_whole(m);
    return true;
}

err_code inner_ask(server *s, loop *on, const inner_request *q, http_call **ret_call, err *e)
{
    shard *at = server_shard(s, on);
    http_refusal why = {.status = 0};
    http_call *call = shard_call(at);
    *ret_call = NULL;
    if (!call) return err_set(e, ERR_NOMEM, "inner request: no memory");
    call->from = NULL;
    if (!fill(at, &call->message, q, &why)) {
        shard_call_give(at, call);
        err_code code = why.status == 413 ? ERR_TOO_LARGE : why.status == 503 ? ERR_UNAVAILABLE : ERR_INVALID;
        return err_set(e, code, "inner request: %s", why.text);
    }
    bool over = false;
    call->inner = q->answered;
    call->inner_ctx = q->ctx;
    call->inner_over = &over;
    call_begin(call);
    call_dispatch(call);
    if (over) return ERR_OK;
    call->inner_over = NULL;
    *ret_call = call;
    return ERR_OK;
}

bool inner_target(char *to, size_t room, str path, str query, size_t *ret_len)
{
    static const char digits[] = "0123456789ABCDEF", plain[] = "/:-._~!$&'()*+,;=@";
    size_t n = 0, behind = query.len + (query.len > 0);
    for (size_t i = 0; i < path.len; i++) {
        char at = path.p[i];
        bool same = (at >= '0' && at <= '9') || ((at | 32) >= 'a' && (at | 32) <= 'z') || (at && strchr(plain, at));
        if (n + 3 > room) return false;
        if (same) {
            to[n++] = at;
            continue;
        }
        to[n++] = '%';
        to[n++] = digits[(uint8_t)at >> 4];
        to[n++] = digits[(uint8_t)at & 15];
    }
    if (behind > room - n) return false;
    if (behind) to[n++] = '?';
    if (query.len) memcpy(to + n, query.p, query.len);
    *ret_len = n + query.len;
    return true;
}

void inner_cancel(http_call *call)
{
    void (*gone)(void *ctx) = call->gone;
    INVARIANT(call->inner && !call->answered);
    call->gone = NULL;
    if (gone) gone(call->gone_ctx);
}
