/* What must hold for TLS under an outgoing connection: bytes pass both ways through short and interrupted calls; the
 * handshake has the deadline of the call; a server that is no TLS, wants another protocol, closes, resets or gives up
 * is told in one line; what has no goodbye was cut off; no failing step leaks. */
#include "fake/sys_fake.h"
#include "loopback.h"
#include "net/dial.h"
#include "os/poll.h"
#include "tls_rig.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

static char folder[] = "/tmp/test_dial_tls.XXXXXX";
static identity ca, server_id;

/* ---- a server by the C library and OpenSSL, so that faults hit the client alone ---- */

typedef enum {
    ECHO,           /* what it reads, until the goodbye */
    FAREWELL,       /* a goodbye behind the handshake */
    CUT,            /* the handshake, "half", and the socket closes without one */
    PLAIN,          /* HTTP without TLS */
    FRAMES,         /* HTTP/2 without TLS */
    CLOSE, RESET,   /* the socket, behind the hello */
    GIVE            /* much, at once */
} deed;

enum { MUCH_BYTES = 3 << 20 };

typedef struct {
    deed does;
    int newest;                 /* version; 0 = all */
    bool no_alpn, clients;      /* clients: it wants their certificates */
    int listener;
    uint16_t port;
    pthread_t runner;
} peer;

static int choose(SSL *ssl, const unsigned char **ret, unsigned char *ret_len, const unsigned char *offered,
                  unsigned len, void *ctx)
{
    (void)ssl, (void)ctx, (void)len;
    *ret = offered + 1;
    *ret_len = offered[0];
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *peer_context(const peer *p)
{
    SSL_CTX *x = SSL_CTX_new(TLS_server_method());
    INVARIANT(x);
    if (p->newest) SSL_CTX_set_security_level(x, 0);
    SSL_CTX_set_min_proto_version(x, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(x, p->newest);
    INVARIANT(SSL_CTX_use_certificate(x, server_id.cert) == 1 && SSL_CTX_use_PrivateKey(x, server_id.key) == 1);
    if (!p->no_alpn) SSL_CTX_set_alpn_select_cb(x, choose, NULL);
    if (p->clients) SSL_CTX_set_verify(x, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return x;
}

static void raw_say(int fd, const char *bytes, size_t n) { (void)!send(fd, bytes, n, MSG_NOSIGNAL); }

static void peer_speak(const peer *p, SSL *ssl)
{
    static char much[MUCH_BYTES];
    char bytes[4096];
    int n;
    if (SSL_accept(ssl) != 1) return;
    if (p->does == CUT) SSL_write(ssl, "half", 4);
    if (p->does == GIVE) SSL_write(ssl, much, sizeof much);
    while (p->does == ECHO && (n = SSL_read(ssl, bytes, sizeof bytes)) > 0) SSL_write(ssl, bytes, n);
    if (p->does != CUT) SSL_shutdown(ssl);
}

static void *peer_run(void *ctx)
{
    const peer *p = ctx;
    char hello[4096];
    int fd = accept(p->listener, NULL, NULL);
    if (fd < 0) return NULL;
    if (p->does == PLAIN || p->does == FRAMES || p->does == CLOSE || p->does == RESET) {
        struct linger none = {.l_onoff = 1};
        if (read(fd, hello, sizeof hello) < 0) hello[0] = 0;
        if (p->does == PLAIN) raw_say(fd, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 47);
        if (p->does == FRAMES) raw_say(fd, "\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0", 18);
        if (p->does == RESET) setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    } else {
        SSL_CTX *x = peer_context(p);
        SSL *ssl = SSL_new(x);
        INVARIANT(ssl && SSL_set_fd(ssl, fd) == 1);
        peer_speak(p, ssl);
        SSL_free(ssl);
        SSL_CTX_free(x);
        ERR_clear_error();
    }
    if (p->does != RESET) shutdown(fd, SHUT_WR);
    while (p->does != RESET && read(fd, hello, sizeof hello) > 0) {}
    close(fd);
    return NULL;
}

static void peer_start(peer *p)
{
    p->listener = loopback_listen(&p->port);
    CHECK(pthread_create(&p->runner, NULL, peer_run, p) == 0);
}

static void peer_join(peer *p)
{
    shutdown(p->listener, SHUT_RDWR);   /* an accept that still waits ends */
    pthread_join(p->runner, NULL);
    close(p->listener);
}

/* ---- the client ---- */

static const tls_trust trust = {.cacert = "ca.pem"};

typedef struct {
    dial_to to;
    dial line;
} caller;

static err_code open_to(caller *c, const peer *p, bool http2, err *e)
{
    char address[60];
    snprintf(address, sizeof address, "https://127.0.0.1:%u", p->port);
    err_code rc = dial_to_parse(&c->to, address, e);
    c->line = (dial){.fd = -1, .poll = -1};
    if (rc == ERR_OK) rc = dial_init(&c->line, &(dial_opts){&c->to, &trust, http2, 0}, e);
    if (rc) return rc;
    dial_begin(&c->line, 10000000);
    return dial_open(&c->line, e);
}

/* Sends all and reads until so many bytes are back. */
static err_code pass(dial *d, const char *bytes, size_t len, size_t wanted, size_t *ret_got, err *e)
{
    static char in[65536];
    size_t sent = 0, got = 0;
    err_code rc = ERR_OK;
    while (rc == ERR_OK && got < wanted) {
        uint32_t events = 0;
        size_t n = 0;
        rc = dial_wait(d, POLL_READ | (sent < len ? (uint32_t)POLL_WRITE : 0), &events, e);
        if (rc == ERR_OK && (events & POLL_WRITE)) {
            struct iovec v[2] = {{(void *)(uintptr_t)(bytes + sent), (len - sent) / 2},
                                 {(void *)(uintptr_t)(bytes + sent + (len - sent) / 2), len - sent - (len - sent) / 2}};
            if (dial_write(d, v, 2, &n) == SOCK_DONE) sent += n;
        }
        if (rc || !(events & POLL_READ)) continue;
        sock_io io = dial_read(d, in, sizeof in, &n);
        if (io == SOCK_DONE) got += n;
        else if (io != SOCK_AGAIN) rc = dial_gone(d, io, got > 0, e);
    }
    *ret_got = got;
    return rc;
}

static void bytes_pass_both_ways_through_short_and_interrupted_calls(void)
{
    static char much[600000];
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2 * COUNTOF(versions); i++) {
        err e = {.text = ""};
        peer p = {.does = ECHO, .newest = versions[i / 2]};
        caller c;
        size_t got = 0;
        peer_start(&p);
        if (i % 2)
            sys_fake_script((sys_fault[]){{SYS_send, .skip = 3, .times = 2, .result = -EINTR},
                                          {SYS_send, .times = 400, .result = 1000},
                                          {SYS_send, .times = 5, .result = -EAGAIN},
                                          {SYS_recv, .skip = 2, .times = 2, .result = -EINTR},
                                          {SYS_recv, .times = 5000, .result = 1},
                                          {SYS_poll_wait_ns, .times = 3, .result = -EINTR}}, 6);
        CHECK(open_to(&c, &p, true, &e) == ERR_OK);
        CHECK(pass(&c.line, much, sizeof much, sizeof much, &got, &e) == ERR_OK);
        CHECK_U64(got, sizeof much);
        CHECK(dial_is_quiet(&c.line));   /* tickets are no answer */
        CHECK_STR(e.text, "");
        sys_fake_script(NULL, 0);
        dial_fini(&c.line);
        peer_join(&p);
    }
}

static void what_lies_inside_needs_no_wait_for_the_socket(void)
{
    err e = {.text = ""};
    peer p = {.does = GIVE};
    caller c;
    size_t got = 0;
    peer_start(&p);
    CHECK(open_to(&c, &p, false, &e) == ERR_OK);
    CHECK(pass(&c.line, "", 0, MUCH_BYTES, &got, &e) == ERR_OK);
    CHECK_U64(got, MUCH_BYTES);
    size_t n;
    uint32_t events;
    sock_io io;
    do {
        CHECK(dial_wait(&c.line, POLL_READ, &events, &e) == ERR_OK);
        io = dial_read(&c.line, &(char[1]){0}, 1, &n);
    } while (io == SOCK_AGAIN && !test_failures);
    CHECK(io == SOCK_EOF && !dial_is_quiet(&c.line));   /* it said goodbye */
    CHECK(dial_gone(&c.line, io, true, &e) == ERR_UNAVAILABLE);
    CHECK(strstr(e.text, ": connection closed within the answer"));
    dial_fini(&c.line);
    peer_join(&p);
}

static void a_handshake_that_fails_is_told_in_one_line(void)
{
    static const struct {
        peer p;
        bool http2;
        err_code code;
        const char *want;
    } rows[] = {
        {{.does = PLAIN}, false, ERR_INTERNAL, "TLS: expected a handshake, got plain HTTP: no https there"},
        {{.does = FRAMES}, true, ERR_INTERNAL, "TLS: expected a handshake, got what is no TLS"},
        {{.does = CLOSE}, false, ERR_UNAVAILABLE, "TLS: expected a handshake, got the connection closed"},
        {{.does = RESET}, false, ERR_UNAVAILABLE, "TLS: expected a handshake, got the connection reset"},
        {{.does = ECHO, .newest = TLS1_1_VERSION}, false, ERR_UNSUPPORTED,
         "TLS: expected version 1.2 or 1.3, got a server without"},
        {{.does = ECHO, .no_alpn = true}, true, ERR_INTERNAL, "TLS: ALPN: expected h2, got none: it speaks no gRPC"},
        {{.does = ECHO, .no_alpn = true}, false, ERR_OK, ""},
        {{.does = ECHO, .newest = TLS1_2_VERSION, .clients = true}, false, ERR_UNSUPPORTED,
         "TLS: expected the server to go on, got its alert 'handshake failure'"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e = {.text = ""};
        peer p = rows[i].p;
        caller c;
        char want[200] = "";
        peer_start(&p);
        CHECK_U64(open_to(&c, &p, rows[i].http2, &e), rows[i].code);
        if (rows[i].code) snprintf(want, sizeof want, "127.0.0.1:%u: %s", p.port, rows[i].want);
        CHECK_STR(e.text, want);
        CHECK(dial_is_open(&c.line) == !rows[i].code);
        dial_fini(&c.line);
        peer_join(&p);
    }
}

/* What TLS 1.3 tells behind the handshake, and an end that anybody may have made. */
static void what_fails_later_is_told_as_well(void)
{
    static const struct {
        peer p;
        err_code code;
        const char *want;
    } rows[] = {
        {{.does = ECHO, .clients = true}, ERR_UNAUTHENTICATED,
         "TLS: expected the server to take our certificate, got its alert 'certificate required'"},
        {{.does = CUT}, ERR_UNAVAILABLE, "connection closed within the answer"},
        {{.does = FAREWELL}, ERR_UNAVAILABLE, "connection closed before the answer"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e = {.text = ""};
        peer p = rows[i].p;
        caller c;
        size_t got;
        char want[200];
        peer_start(&p);
        CHECK(open_to(&c, &p, false, &e) == ERR_OK);
        CHECK_U64(pass(&c.line, "x", 1, 100, &got, &e), rows[i].code);
        snprintf(want, sizeof want, "127.0.0.1:%u: %s", p.port, rows[i].want);
        CHECK_STR(e.text, want);
        CHECK(dial_read(&c.line, &(char[1]){0}, 1, &got) == (p.does == FAREWELL ? SOCK_EOF : SOCK_GONE));
        dial_fini(&c.line);
        peer_join(&p);
    }
}

static void the_handshake_has_the_time_of_the_call(void)
{
    err e;
    caller c;
    char address[60], want[120];
    uint16_t port;
    int deaf = loopback_listen(&port);   /* connections wait in its backlog for ever */
    snprintf(address, sizeof address, "https://127.0.0.1:%u", port);
    CHECK(dial_to_parse(&c.to, address, &e) == ERR_OK);
    CHECK(dial_init(&c.line, &(dial_opts){&c.to, &trust, false, 0}, &e) == ERR_OK);
    sys_fake_clock_set(UINT64_C(5000000000));
    dial_begin(&c.line, 250000);
    CHECK(dial_open(&c.line, &e) == ERR_TIMEOUT && !dial_is_open(&c.line));
    sys_fake_clock_set(0);
    snprintf(want, sizeof want, "127.0.0.1:%u: TLS handshake: expected it within 250 ms", port);
    CHECK_STR(e.text, want);
    dial_fini(&c.line);
    close(deaf);
}

static void calls_once(void)
{
    err e;
    peer p = {.does = ECHO};
    caller c;
    size_t got;
    peer_start(&p);
    if (open_to(&c, &p, false, &e) == ERR_OK) (void)!pass(&c.line, "ping", 4, 4, &got, &e);
    dial_fini(&c.line);
    peer_join(&p);
}

static void nothing_leaks_wherever_it_fails(void)
{
    calls_once();   /* OpenSSL is open for good */
    FAULT_SWEEP(calls_once());
    SYS_SWEEP(-ENOMEM, calls_once());
    SYS_SWEEP(-ECONNRESET, calls_once());
}

int main(void)
{
    static const test_case cases[] = {
        TEST(bytes_pass_both_ways_through_short_and_interrupted_calls),
        TEST(what_lies_inside_needs_no_wait_for_the_socket),
        TEST(a_handshake_that_fails_is_told_in_one_line),
        TEST(what_fails_later_is_told_as_well),
        TEST(the_handshake_has_the_time_of_the_call),
        TEST(nothing_leaks_wherever_it_fails),
    };
    INVARIANT(mkdtemp(folder) && chdir(folder) == 0);
    signal(SIGPIPE, SIG_IGN);
    ca = identity_new("test authority", NULL, 30);
    server_id = identity_new_for("server", &ca, 0, 30, "IP:127.0.0.1");
    identity_save(&ca, "ca.pem", NULL);
    int failed = test_main(cases, COUNTOF(cases));
    identity_free(&ca);
    identity_free(&server_id);
    CHECK(unlink("ca.pem") == 0 && chdir("/") == 0 && rmdir(folder) == 0);
    return failed || test_failures;
}
