/* Any bytes, in any cut, to a port that has a certificate: the first byte alone decides between TLS and cleartext; TLS
 * is answered by TLS, cleartext by HTTP/1 or HTTP/2 and only where it is allowed, and every connection ends.
 *
 * The first byte says whether cleartext is allowed (bit 0) and how long the pieces are (the others; 0 = one). */
#include "base/mem.h"
#include "net/listeners.h"
#include "net/server.h"
#include "tls_rig.h"

#include <errno.h>
#include <sys/socket.h>

enum { SHOWN = 32, TURNS_MAX = 200 };

static struct {
    loop *loop;
    server *server;
    listener *door;
    sock_addr at;
    size_t handled;
} all[2];   /* by whether cleartext is allowed */

static void handle(void *ctx, http_call *call, const http_request *req)
{
    (void)req;
    (*(size_t *)ctx)++;
    http_reply(call, &(http_response){.status = 200, .body = {STR("ok")}});
}

static tls_context *context(void)
{
    err e;
    char cert[] = "/tmp/fuzz_sniff.XXXXXX", key[] = "/tmp/fuzz_sniff.XXXXXX";
    tls_context *x = NULL;
    int fds[] = {mkstemp(cert), mkstemp(key)};
    identity id = identity_new("localhost", NULL, 1);
    identity_save(&id, cert, key);
    err_code rc = tls_context_new(&x, &(tls_context_opts){.cert_path = cert, .key_path = key}, &e);
    INVARIANT(rc == ERR_OK);
    identity_free(&id);
    unlink(cert);
    unlink(key);
    for (size_t i = 0; i < COUNTOF(fds); i++) close(fds[i]);
    return x;
}

/* A Unix socket saves ports and time; it is told to be as strict as a TCP one. */
static void open_one(size_t i, tls_context *x)
{
    err e;
    char name[64];
    listeners *at = NULL;
    listeners_cursor cursor = {0};
    snprintf(name, sizeof name, "@proa-fuzz-sniff-%d-%zu", (int)getpid(), i);
    err_code rc = loop_new(&all[i].loop, i, &e);
    if (rc == ERR_OK) rc = sock_addr_unix(&all[i].at, name, &e);
    if (rc == ERR_OK) rc = listeners_new(&at, &e);
    if (rc == ERR_OK) rc = listeners_open(at, &(listeners_opts){.addr = &all[i].at, .sockets = 1, .mode = 0600}, &e);
    INVARIANT(rc == ERR_OK);
    const server_opts opts = {.at = at, .loops = &all[i].loop, .loop_count = 1, .handler = handle,
                              .ctx = &all[i].handled, .tls = x, .cleartext = i};
    rc = server_new(&all[i].server, &opts, &e);
    INVARIANT(rc == ERR_OK);
    all[i].door = listeners_next(at, &cursor, 0);
    all[i].door->local = false;
}

static void once(void)
{
    if (all[0].loop) return;
    tls_context *x = context();
    open_one(0, x);
    open_one(1, x);
    tls_context_free(x);
}

static void stop(loop *on, loop_msg *m)
{
    (void)m;
    loop_stop(on);
}

static void turn(size_t i)
{
    err e;
    loop_msg m = {.run = stop};
    loop_post(all[i].loop, &m);
    err_code rc = loop_run(all[i].loop, &e);
    INVARIANT(rc == ERR_OK);
}

/* What has come is read, and its beginning kept; true = that was the end. */
static bool hear(int fd, uint8_t shown[SHOWN], size_t *len)
{
    uint8_t part[4096];
    ssize_t n;
    while ((n = recv(fd, part, sizeof part, MSG_DONTWAIT)) > 0) {
        size_t more = (size_t)n < SHOWN - *len ? (size_t)n : SHOWN - *len;
        memcpy(shown + *len, part, more);
        *len += more;
    }
    return n == 0 || errno != EAGAIN;
}

static void check(const uint8_t *sent, size_t sent_len, size_t first, const uint8_t *got, size_t len, size_t i)
{
    static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    bool text = len >= 7 && memcmp(got, "HTTP/1.", 7) == 0, frames = len >= 9 && got[0] == 0 && got[3] == 4;
    bool whole_preface = sent_len >= 24 && memcmp(sent, preface, 24) == 0;
    if (sent_len == 0) {
        INVARIANT(len == 0);
    } else if (sent[0] == TLS_HELLO_BYTE) {
        INVARIANT(all[i].handled == 0);
        INVARIANT(len == 0 || ((got[0] == 0x15 || got[0] == 0x16) && len >= 5));
    } else if (i == 0) {
        INVARIANT(all[i].handled == 0);
        INVARIANT(first >= 3 && memcmp(sent, "PRI", 3) == 0 ? frames : text && memcmp(got + 8, " 400 ", 5) == 0);
    } else {
        INVARIANT(whole_preface ? frames : len == 0 || text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    once();
    size_t i = data[0] & 1, step = data[0] >> 1, len = 0, at = 1;
    uint8_t shown[SHOWN];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    INVARIANT(fd >= 0 && connect(fd, (const struct sockaddr *)&all[i].at.to, all[i].at.len) == 0);
    all[i].handled = 0;
    if (step == 0 || step > size) step = size;
    turn(i);
    size_t first = step < size - 1 ? step : size - 1;
    bool over = false;
    while (at < size && !over) {
        size_t n = step < size - at ? step : size - at;
        ssize_t sent = send(fd, data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        over = sent < 0 && errno != EAGAIN;
        if (sent > 0) at += (size_t)sent;
        turn(i);
        if (hear(fd, shown, &len)) over = true;
    }
    shutdown(fd, SHUT_WR);
    server_stats stats;
    int turns = 0;
    do {
        turn(i);
        (void)hear(fd, shown, &len);
        server_stats_read(all[i].server, &stats);
    } while (stats.open && ++turns < TURNS_MAX);
    INVARIANT(stats.open == 0);
    check(data + 1, size - 1, first, shown, len, i);
    close(fd);
    return 0;
}
