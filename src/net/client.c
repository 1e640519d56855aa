#include "net/client.h"

#include "base/mem.h"
#include "base/version.h"
#include "net/dial.h"
#include "os/poll.h"
#include "wire/http1_answer.h"

#include <string.h>

enum {
    READ_BYTES = 64 << 10,          /* at a time */
    HEAD_BYTES_MAX = 64 << 10,      /* of a request, made from flags and constants */
    FIELDS_MAX = 64
};

struct client {
    dial_to to;
    dial line;
    http1_answer_limits limits;
    http_message message;           /* the answer */
    http1_answer answer;
    buf head;                       /* the request's */
    uint64_t wait_us;
    uint8_t *in;                    /* READ_BYTES */
};

err_code client_new(const client_opts *opts, client **ret, err *e)
{
    CLEANUP(client) client *c = mem_new0(client, 1);
    if (!c) return err_set(e, ERR_NOMEM, "client: no memory");
    c->line = (dial){.fd = -1, .poll = -1};
    http_message_init(&c->message);
    buf_init(&c->head, HEAD_BYTES_MAX);
    c->in = mem_alloc_raw(READ_BYTES);
    if (!c->in) return err_set(e, ERR_NOMEM, "client: no memory");
    c->wait_us = opts->wait_us ? opts->wait_us : CLIENT_WAIT_US;
    c->limits = (http1_answer_limits){
        .header_bytes_max = opts->header_bytes_max ? opts->header_bytes_max : CLIENT_HEADER_BYTES_MAX,
        .header_count_max = opts->header_count_max ? opts->header_count_max : CLIENT_HEADER_COUNT_MAX,
        .body_bytes_max = opts->body_bytes_max ? opts->body_bytes_max : CLIENT_BODY_BYTES_MAX};
    err_code rc = dial_to_parse(&c->to, opts->address, e);
    if (rc == ERR_OK && c->to.is_grpc)
        rc = err_set(e, ERR_INVALID, "address: expected http or https, got '%.200s'", opts->address);
    if (rc == ERR_OK) rc = dial_init(&c->line, &(dial_opts){&c->to, opts->trust, false, opts->stop_fd}, e);
    if (rc) return rc;
    *ret = TAKE(c);
    return ERR_OK;
}

void client_free(client *c)
{
    if (!c) return;
    dial_fini(&c->line);
    http_message_fini(&c->message);
    buf_fini(&c->head);
    mem_free(c->in);
    mem_free(c);
}

void client_wait_set(client *c, uint64_t wait_us) { c->wait_us = wait_us; }
const char *client_address(const client *c) { return c->to.text; }

/* ---- the request ---- */

static bool has_body(const client_request *q) { return q->body[0].len || q->body[1].len; }

static str method_of(const client_request *q)
{
    if (q->method.len) return q->method;
    return has_body(q) ? STR("POST") : STR("GET");
}

static err_code print_head(client *c, const client_request *q, err *e)
{
    http_header fields[FIELDS_MAX + 1];
    char target[2048];
    str path = {target, strlen(c->to.base)};
    if (q->header_count > FIELDS_MAX)
        return err_set(e, ERR_LIMIT, "headers: expected at most %d, got %zu", FIELDS_MAX, q->header_count);
    if (q->target.len > sizeof target - path.len)
        return err_set(e, ERR_LIMIT, "path: expected at most %zu bytes, got %zu", sizeof target - path.len,
                       q->target.len);
    memcpy(target, c->to.base, path.len);
    memcpy(target + path.len, q->target.p, q->target.len);
    path.len += q->target.len;
    fields[0] = (http_header){STR("User-Agent"), STR("proa/" PROA_VERSION)};
    for (size_t i = 0; i < q->header_count; i++) fields[i + 1] = q->headers[i];
    buf_clear(&c->head);
    http1_answer_print_ask(&c->head, &(http1_ask){.method = method_of(q),
                                                  .target = path,
                                                  .host = str_of(c->to.authority),
                                                  .headers = fields,
                                                  .header_count = q->header_count + 1,
                                                  .body_bytes = (uint64_t)q->body[0].len + q->body[1].len});
    return buf_check(&c->head, "request", e);
}

/* ---- one exchange ---- */

typedef struct {
    str parts[3];                   /* what is still to be sent */
    bool sent, cut;                 /* all of it; no more of it can be */
    bool over;                      /* the answer is whole */
} exchange;

static void send_some(client *c, exchange *x)
{
    struct iovec v[COUNTOF(x->parts)];
    size_t count = 0, n = 0;
    for (size_t i = 0; i < COUNTOF(x->parts); i++) {
        if (x->parts[i].len) v[count++] = (struct iovec){(void *)(uintptr_t)x->parts[i].p, x->parts[i].len};
    }
    sock_io io = count ? dial_write(&c->line, v, count, &n) : SOCK_DONE;
    if (io == SOCK_GONE) x->cut = true;
    if (io != SOCK_DONE) return;
    for (size_t i = 0; i < COUNTOF(x->parts); i++) {
        size_t took = n < x->parts[i].len ? n : x->parts[i].len;
        x->parts[i] = (str){x->parts[i].p + took, x->parts[i].len - took};
        n -= took;
    }
    INVARIANT(n == 0);
    x->sent = !x->parts[0].len && !x->parts[1].len && !x->parts[2].len;
}

static err_code say(const client *c, const http_refusal *why, err *e)
{
    err_code code = why->status == 413 ? ERR_TOO_LARGE : why->status == 503 ? ERR_NOMEM : ERR_INTERNAL;
    return err_set(e, code, "%s: answer: %s", c->to.text, why->text);
}

/* Where the server takes no more of the request it may have answered before it closed: that is read, not waited for. */
static err_code receive_some(client *c, exchange *x, err *e)
{
    size_t n = 0, used = 0;
    http_refusal why = {.status = 0};
    sock_io io = dial_read(&c->line, c->in, READ_BYTES, &n);
    if (io == SOCK_AGAIN && !x->cut) return ERR_OK;
    if (io == SOCK_DONE) {
        http1_answer_event got = http1_answer_feed(&c->answer, c->in, n, &used, &why);
        if (got == HTTP1_ANSWER_REFUSED) return say(c, &why, e);
        x->over = got == HTTP1_ANSWER_WHOLE;
        if (used < n) c->message.keep_alive = false;   /* whatever that is, it answers nothing we asked */
        return ERR_OK;
    }
    /* A reset is no end: only FIN may end a body without a length. */
    if (io == SOCK_EOF && http1_answer_end(&c->answer, &why) == HTTP1_ANSWER_WHOLE) {
        c->message.keep_alive = false;
        x->over = true;
        return ERR_OK;
    }
    return dial_gone(&c->line, io, http1_answer_begun(&c->answer), e);
}

static err_code run(client *c, const client_request *q, err *e)
{
    exchange x = {.parts = {buf_str(&c->head), q->body[0], q->body[1]}};
    http_message_clear(&c->message);
    http1_answer_init(&c->answer, &c->limits, &c->message, q->head_only || str_is(method_of(q), "HEAD"));
    send_some(c, &x);   /* a connection that is open takes a small request at once */
    while (!x.over) {
        uint32_t events = POLL_READ;
        err_code rc = x.cut ? ERR_OK : dial_wait(&c->line, POLL_READ | (x.sent ? 0 : POLL_WRITE), &events, e);
        if (rc) return rc;
        if (!x.sent && (events & POLL_WRITE)) send_some(c, &x);
        if (events & POLL_READ) rc = receive_some(c, &x, e);
        if (rc) return rc;
    }
    if (!x.sent || q->head_only) c->message.keep_alive = false;
    return ERR_OK;
}

err_code client_call(client *c, const client_request *req, client_reply *ret, err *e)
{
    INVARIANT(req->target.len > 0 && req->target.p[0] == '/');
    str method = method_of(req);
    bool again = req->again || str_is(method, "GET") || str_is(method, "HEAD");
    err_code rc = print_head(c, req, e);
    if (rc) return rc;
    dial_begin(&c->line, c->wait_us);
    for (bool repeat = true; repeat;) {
        if (!dial_is_quiet(&c->line)) dial_close(&c->line);
        bool kept = dial_is_open(&c->line);
        if (!kept && (rc = dial_open(&c->line, e))) return rc;
        rc = run(c, req, e);
        repeat = rc == ERR_UNAVAILABLE && kept && again && !http1_answer_begun(&c->answer);
        if (rc || !c->message.keep_alive) dial_close(&c->line);
    }
    if (rc) return rc;
    *ret = (client_reply){.status = http1_answer_status(&c->answer), .headers = c->message.headers,
                          .header_count = c->message.header_count, .body = c->message.body};
    return ERR_OK;
}
