#include "net/grpc_client.h"

#include "base/mem.h"
#include "net/dial.h"
#include "os/poll.h"

#include <string.h>

enum { READ_BYTES = 64 << 10, IDLE_READS_MAX = 16 };

struct grpc_client {
    dial_to to;
    dial line;
    grpc_caller *caller;            /* NULL = no connection */
    uint64_t wait_us;
    size_t message_bytes_max;
    uint8_t *in;                    /* READ_BYTES */
};

err_code grpc_client_new(const grpc_client_opts *opts, grpc_client **ret, err *e)
{
    CLEANUP(grpc_client) grpc_client *c = mem_new0(grpc_client, 1);
    if (!c) return err_set(e, ERR_NOMEM, "client: no memory");
    c->line = (dial){.fd = -1, .poll = -1};
    c->wait_us = opts->wait_us ? opts->wait_us : GRPC_CLIENT_WAIT_US;
    c->message_bytes_max = opts->message_bytes_max ? opts->message_bytes_max : GRPC_CLIENT_MESSAGE_BYTES_MAX;
    c->in = mem_alloc_raw(READ_BYTES);
    if (!c->in) return err_set(e, ERR_NOMEM, "client: no memory");
    err_code rc = dial_to_parse(&c->to, opts->address, e);
    if (rc == ERR_OK && c->to.base[0])
        rc = err_set(e, ERR_INVALID, "address: expected no path for gRPC, got '%s'", c->to.base);
    if (rc == ERR_OK) rc = dial_init(&c->line, &(dial_opts){&c->to, opts->trust, true, opts->stop_fd}, e);
    if (rc) return rc;
    *ret = TAKE(c);
    return ERR_OK;
}

static void hang_up(grpc_client *c)
{
    dial_close(&c->line);
    grpc_caller_free(TAKE(c->caller));
}

void grpc_client_free(grpc_client *c)
{
    if (!c) return;
    hang_up(c);
    dial_fini(&c->line);
    mem_free(c->in);
    mem_free(c);
}

const char *grpc_client_address(const grpc_client *c) { return c->to.text; }

/* False = the server takes no more. */
static bool send_some(grpc_client *c)
{
    buf *out = grpc_caller_out(c->caller);
    while (out->len) {
        size_t n = 0;
        sock_io io = dial_write(&c->line, &(struct iovec){out->p, out->len}, 1, &n);
        if (io == SOCK_AGAIN) return true;
        if (io != SOCK_DONE) return false;
        buf_drop(out, n);
        if (out->len == 0) grpc_caller_pump(c->caller);
        if (grpc_caller_failed(c->caller)) return false;
    }
    return true;
}

static err_code receive_some(grpc_client *c, bool cut, err *e)
{
    size_t n = 0;
    sock_io io = dial_read(&c->line, c->in, READ_BYTES, &n);
    if (io == SOCK_AGAIN && !cut) return ERR_OK;
    if (io != SOCK_DONE) return dial_gone(&c->line, io, grpc_caller_begun(c->caller), e);
    err_code rc = grpc_caller_feed(c->caller, c->in, n, e);
    return rc ? err_wrap(e, "%s", c->to.text) : ERR_OK;
}

static err_code run(grpc_client *c, const grpc_ask *ask, err *e)
{
    grpc_ask full = *ask;
    full.authority = str_of(c->to.authority);
    full.secure = c->to.is_secure;
    full.wait_us = c->wait_us;
    err_code rc = grpc_caller_begin(c->caller, &full, e);
    if (rc) return err_wrap(e, "%s", c->to.text);
    bool open = send_some(c);
    while (!grpc_caller_over(c->caller)) {
        uint32_t events = POLL_READ, want = POLL_READ | (grpc_caller_out(c->caller)->len ? POLL_WRITE : 0);
        if (open && (rc = dial_wait(&c->line, want, &events, e))) return rc;
        if (events & POLL_READ) rc = receive_some(c, !open, e);
        if (rc) return rc;
        if (open) open = send_some(c);
    }
    return ERR_OK;
}

/* What came between two calls: acknowledgements and updates as a rule, or a goodbye.  A server that always has more to
 * say without being asked is not listened to for ever. */
static bool is_alive(grpc_client *c)
{
    err none;
    for (int i = 0; i < IDLE_READS_MAX && c->caller && grpc_caller_usable(c->caller); i++) {
        size_t n = 0;
        sock_io io = dial_read(&c->line, c->in, READ_BYTES, &n);
        if (io == SOCK_AGAIN) return true;
        if (io != SOCK_DONE || grpc_caller_feed(c->caller, c->in, n, &none)) return false;
    }
    return false;
}

static err_code connect_now(grpc_client *c, err *e)
{
    err_code rc = dial_open(&c->line, e);
    if (rc) return rc;
    c->caller = grpc_caller_new(c->message_bytes_max);
    if (c->caller) return ERR_OK;
    dial_close(&c->line);
    return err_set(e, ERR_NOMEM, "client: no memory");
}

err_code grpc_client_call(grpc_client *c, const grpc_ask *ask, grpc_result *ret, err *e)
{
    err_code rc;
    dial_begin(&c->line, c->wait_us);
    for (bool repeat = true; repeat;) {
        if (!is_alive(c)) hang_up(c);
        bool kept = c->caller != NULL;
        if (!kept && (rc = connect_now(c, e))) return rc;
        rc = run(c, ask, e);
        bool undone = rc ? rc == ERR_UNAVAILABLE && !grpc_caller_begun(c->caller) : grpc_caller_untouched(c->caller);
        repeat = undone && kept;
        if (rc || repeat) hang_up(c);
    }
    if (rc) return rc;
    *ret = grpc_caller_result(c->caller);
    return ERR_OK;
}
