/* Property: over real sockets under TLS each request gets its own whole answer, whatever is cut, slow or refused; a
 * port may be shared with cleartext or refuses it in words; a new certificate is for new connections and ends no old
 * one. */
#include "net/conn_tls.h"
#include "net/server.h"
#include "server_rig.h"
#include "tls_rig.h"

#include <signal.h>

static const http_limits plain;
static char folder[] = "/tmp/test_conn_tls.XXXXXX";
static identity ca, first_id, second_id, client_id;
static tls_context *first, *second, *guarded;

static tls_context *context(const char *cert, const char *key, const char *clients)
{
    err e;
    tls_context *x = NULL;
    CHECK(tls_context_new(&x, &(tls_context_opts){.cert_path = cert, .key_path = key, .client_ca_path = clients}, &e) ==
          ERR_OK);
    return x;
}

static void start(rig *r, const http_limits *limits, tls_context *x, bool cleartext)
{
    rig_tls = x;
    rig_cleartext = cleartext;
    rig_start(r, limits, 1);
}

/* ---- a client on a blocking socket ---- */

typedef struct {
    int fd;
    SSL_CTX *context;
    SSL *ssl;
} peer;

static bool greet(peer *p, int fd, const client_opts *o)
{
    p->fd = fd;
    p->context = SSL_CTX_new(TLS_client_method());
    INVARIANT(p->context);
    SSL_CTX_set_max_proto_version(p->context, o->version);
    if (o->alpn) SSL_CTX_set_alpn_protos(p->context, (const unsigned char *)o->alpn, (unsigned)strlen(o->alpn));
    if (o->shows) INVARIANT(SSL_CTX_use_certificate(p->context, o->shows->cert) == 1);
    if (o->shows) INVARIANT(SSL_CTX_use_PrivateKey(p->context, o->shows->key) == 1);
    p->ssl = SSL_new(p->context);
    INVARIANT(p->ssl && SSL_set_fd(p->ssl, p->fd) == 1);
    return SSL_connect(p->ssl) == 1;
}

static void leave(peer *p)
{
    SSL_free(p->ssl);
    SSL_CTX_free(p->context);
    close(p->fd);
    ERR_clear_error();
}

static void tell_bytes(peer *p, const void *bytes, size_t len)
{
    CHECK(SSL_write(p->ssl, bytes, (int)len) == (int)len);
}

static void tell(peer *p, const char *z) { tell_bytes(p, z, strlen(z)); }

/* One answer; its body begins at ret + *ret_head.  False = the end came first. */
static bool listen_to(peer *p, char *ret, size_t room, size_t *ret_head, size_t *ret_body)
{
    size_t len = 0;
    char *end = NULL;
    while (!end && len + 1 < room) {
        int n = SSL_read(p->ssl, ret + len, 1);
        if (n <= 0) return false;
        len += (size_t)n;
        ret[len] = 0;
        end = len >= 4 && memcmp(ret + len - 4, "\r\n\r\n", 4) == 0 ? ret + len : NULL;
    }
    const char *length = strstr(ret, "Content-Length: ");
    size_t want = length ? strtoul(length + 16, NULL, 10) : 0, got = 0;
    CHECK(want < room - len);
    for (int n; got < want; got += (size_t)n) {
        n = SSL_read(p->ssl, ret + len + got, (int)(want - got));
        if (n <= 0) return false;
    }
    ret[len + got] = 0;
    *ret_head = len;
    *ret_body = got;
    return true;
}

static char answer[BIG + 2000];

/* The body of one answer, or "end". */
static const char *hear_tls(peer *p)
{
    size_t head = 0, body = 0;
    return listen_to(p, answer, sizeof answer, &head, &body) ? answer + head : "end";
}

/* True when it said so before it closed. */
static bool said_goodbye(peer *p)
{
    int n = SSL_read(p->ssl, answer, 1);
    return n == 0 && SSL_get_error(p->ssl, n) == SSL_ERROR_ZERO_RETURN;
}

static void check_serves(peer *p)
{
    tell(p, "GET /query?a=1 HTTP/1.1\r\n" HOST "\r\n");
    CHECK_STR(hear_tls(p), "a=1");
    tell(p, ECHO "Content-Length: 5\r\n\r\nhello");
    CHECK_STR(hear_tls(p), "hello");
}

/* ---- requests ---- */

static void requests_are_answered_in_both_versions(void)
{
    rig r;
    peer p;
    server_stats stats;
    start(&r, &plain, first, false);
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < COUNTOF(versions); i++) {
        CHECK(greet(&p, dial(&r), &(client_opts){.version = versions[i], .alpn = "\10http/1.1"}));
        for (int k = 0; k < 5; k++) check_serves(&p);
        tell(&p, "GET /query?b HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
        CHECK_STR(hear_tls(&p), "b");
        CHECK(said_goodbye(&p));
        leave(&p);
    }
    wait_open(&r, 0);
    server_stats_read(r.server, &stats);
    CHECK(stats.tls12 == 1 && stats.tls13 == 1 && stats.requests == 22);
    for (size_t i = 0; i < TLS_FAILURE_COUNT; i++) CHECK_U64(stats.tls_failed[i], 0);
    rig_stop(&r);
}

static void large_bodies_go_both_ways(void)
{
    rig r;
    peer p;
    size_t head = 0, body = 0;
    start(&r, &plain, first, false);
    CHECK(greet(&p, dial(&r), &(client_opts){.version = 0}));
    for (int i = 0; i < 3; i++) {
        char request[128];
        snprintf(request, sizeof request, ECHO "Content-Length: %d\r\n\r\n", BIG);
        tell(&p, request);
        tell_bytes(&p, big, BIG);
        CHECK(listen_to(&p, answer, sizeof answer, &head, &body));
        CHECK(body == BIG && memcmp(answer + head, big, BIG) == 0);
    }
    leave(&p);
    rig_stop(&r);
}

static void pipelined_requests_wait_sealed(void)
{
    rig r;
    peer p;
    char want[32];
    start(&r, &(http_limits){.pipelined_max = 2}, first, false);
    CHECK(greet(&p, dial(&r), &(client_opts){.version = 0}));
    for (int i = 0; i < 6; i++) tell(&p, HOLD);   /* each in a record of its own */
    for (size_t i = 0; i < 6; i++) {
        wait_holding(&r, i + 2 < 6 ? i + 2 : 6);
        on_loop(&r, release, i);
        snprintf(want, sizeof want, "held %zu", i);
        CHECK_STR(hear_tls(&p), want);
    }
    tell(&p, HOLD HOLD HOLD "GET /query?q HTTP/1.1\r\n" HOST "\r\n");   /* all in one */
    for (size_t i = 6; i < 9; i++) {
        wait_holding(&r, i + 2 < 9 ? i + 2 : 9);
        on_loop(&r, release, i);
        snprintf(want, sizeof want, "held %zu", i);
        CHECK_STR(hear_tls(&p), want);
    }
    CHECK_STR(hear_tls(&p), "q");
    leave(&p);
    rig_stop(&r);
}

static void short_and_interrupted_calls_change_nothing(void)
{
    static const sys_fault scripts[][2] = {
        {{SYS_send, .times = SYS_FAKE_EVER, .result = 1}},
        {{SYS_recv, .times = SYS_FAKE_EVER, .result = 1}},
        {{SYS_send, .times = 100, .result = 700}, {SYS_recv, .times = SYS_FAKE_EVER, .result = 300}},
        {{SYS_send, .times = 2, .result = -EINTR}, {SYS_recv, .times = 2, .result = -EINTR}},
        {{SYS_send, .times = 3, .result = -EAGAIN}, {SYS_recv, .times = 3, .result = -EAGAIN}},
    };
    rig r;
    start(&r, &plain, first, false);
    for (size_t i = 0; i < 2 * COUNTOF(scripts); i++) {
        peer p;
        sys_fake_script(scripts[i / 2], 2);
        CHECK(greet(&p, dial(&r), &(client_opts){.version = i % 2 ? TLS1_2_VERSION : 0}));
        for (int k = 0; k < 3; k++) check_serves(&p);
        leave(&p);
    }
    sys_fake_script(NULL, 0);
    rig_stop(&r);
}

static void http2_begins_with_alpn_or_its_preface(void)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    rig r;
    peer p;
    start(&r, &plain, first, false);
    for (int i = 0; i < 2; i++) {
        CHECK(greet(&p, dial(&r), &(client_opts){.alpn = i ? NULL : "\2h2\10http/1.1"}));
        uint8_t frame[9];
        if (i == 0) CHECK(SSL_read(p.ssl, frame, 9) == 9 && frame[3] == 4);   /* our SETTINGS wait for nobody */
        tell_bytes(&p, preface, sizeof preface - 1);
        if (i == 1) CHECK(SSL_read(p.ssl, frame, 9) == 9 && frame[3] == 4);
        leave(&p);
    }
    /* Under ALPN nothing but the preface will do; without it both may come. */
    CHECK(greet(&p, dial(&r), &(client_opts){.alpn = "\2h2"}));
    tell(&p, "GET / HTTP/1.1\r\n" HOST "\r\n");
    while (SSL_read(p.ssl, answer, 100) > 0) {}
    CHECK(!strstr(answer, "HTTP/1.1"));
    leave(&p);
    CHECK(greet(&p, dial(&r), &(client_opts){.version = 0}));
    tell(&p, "GET /query?x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
             "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n");
    CHECK_STR(hear_tls(&p), "x");
    leave(&p);
    rig_stop(&r);
}

/* ---- who may speak ---- */

static void cleartext_is_refused_in_words_or_served(void)
{
    rig r;
    reply got;
    peer p;
    server_stats stats;
    start(&r, &plain, first, false);
    int fd = dial(&r);
    say(fd, "GET / HTTP/1.1\r\n" HOST "\r\n");
    CHECK_STR(hear(fd, &got), "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 58\r\n"
                              "Connection: close\r\n\r\n"
                              "{\"error\":\"client sent an HTTP request to an HTTPS server\"}");
    check_ends(fd);
    fd = dial(&r);
    say(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    size_t n = (size_t)recv(fd, answer, sizeof answer, MSG_WAITALL);
    CHECK(n > 46 && memcmp(answer + n - 46, "client sent an HTTP request to an HTTPS server", 46) == 0);
    close(fd);
    wait_open(&r, 0);
    server_stats_read(r.server, &stats);
    CHECK_U64(stats.tls_failed[TLS_FAILURE_CLEARTEXT], 2);
    CHECK_U64(stats.requests, 0);
    rig_stop(&r);
    start(&r, &plain, first, true);
    fd = dial(&r);
    for (int i = 0; i < 2; i++) {
        say(fd, "GET /query?c HTTP/1.1\r\n" HOST "\r\n");
        CHECK_STR(hear(fd, &got), HEAD_OK("1") "c");
    }
    CHECK(greet(&p, dial(&r), &(client_opts){.version = 0}));
    check_serves(&p);
    leave(&p);
    close(fd);
    rig_stop(&r);
}

static void clients_without_certificate_get_no_word_in(void)
{
    rig r;
    peer p;
    server_stats stats;
    start(&r, &plain, guarded, false);
    CHECK(greet(&p, dial(&r), &(client_opts){.shows = &client_id}));
    check_serves(&p);
    leave(&p);
    (void)greet(&p, dial(&r), &(client_opts){.version = 0});   /* in TLS 1.3 it learns of it only afterwards */
    (void)SSL_write(p.ssl, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 27);
    CHECK(SSL_read(p.ssl, answer, 10) <= 0);
    leave(&p);
    wait_open(&r, 0);
    server_stats_read(r.server, &stats);
    CHECK(stats.tls_failed[TLS_FAILURE_CLIENT] == 1 && stats.tls13 == 1 && stats.requests == 2);
    rig_stop(&r);
}

static void one_connection_too_many_is_told_so(void)
{
    rig r;
    peer p, more;
    size_t head, body;
    start(&r, &(http_limits){.connections_max = 1}, first, false);
    CHECK(greet(&p, dial(&r), &(client_opts){.version = 0}));
    check_serves(&p);
    CHECK(greet(&more, dial(&r), &(client_opts){.version = 0}));
    tell(&more, "GET / HTTP/1.1\r\n" HOST "\r\n");
    CHECK(listen_to(&more, answer, sizeof answer, &head, &body));
    CHECK(strncmp(answer, "HTTP/1.1 503 ", 13) == 0);
    leave(&more);
    check_serves(&p);
    leave(&p);
    rig_stop(&r);
}

/* ---- the slow, the noisy and the gone ---- */

/* The clock stands but for pass_time(). */
static void a_handshake_has_the_time_of_a_head(void)
{
    static const http_limits limits = {.header_wait_us = 150000, .idle_wait_us = 60000000};
    rig r;
    server_stats stats;
    sys_fake_clock_hold(CLOCK_START_NS);
    start(&r, &limits, first, false);
    int begun = dial(&r), trickling = dial(&r);
    say_bytes(begun, "\x16\3\1", 3);
    say_bytes(trickling, "\x16\3\1\2\0\1\0\1\xfc\3\3", 11);
    wait_open(&r, 2);
    for (int i = 0; i < 4; i++) {
        pass_time(&r, 30000);
        say_bytes(trickling, "x", 1);
    }
    pass_time(&r, 1000);
    wait_open(&r, 2);
    pass_time(&r, 40000);
    wait_open(&r, 0);
    close(begun);
    close(trickling);
    server_stats_read(r.server, &stats);
    CHECK_U64(stats.tls_failed[TLS_FAILURE_TIMEOUT], 2);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void who_reads_nothing_is_dropped(void)
{
    static const http_limits limits = {.write_wait_us = 200000};
    rig r;
    peer p;
    sys_fake_clock_hold(CLOCK_START_NS);
    start(&r, &limits, first, false);
    CHECK(greet(&p, dial(&r), &(client_opts){.version = 0}));
    for (int i = 0; i < 10; i++) tell(&p, "GET /big HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 50; i++) on_loop(&r, nothing, 0);
    for (int i = 0; i < 4; i++) pass_time(&r, 150000);
    wait_open(&r, 0);
    leave(&p);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void a_client_that_reads_late_gets_everything(void)
{
    rig r;
    peer p;
    size_t head, body;
    start(&r, &plain, first, false);
    CHECK(greet(&p, dial(&r), &(client_opts){.version = 0}));
    for (int i = 0; i < 4; i++) tell(&p, "GET /big HTTP/1.1\r\n" HOST "\r\n");
    usleep(20000);
    for (int i = 0; i < 4; i++) {
        CHECK(listen_to(&p, answer, sizeof answer, &head, &body));
        CHECK(body == BIG && memcmp(answer + head, big, BIG) == 0);
    }
    leave(&p);
    rig_stop(&r);
}

static void noise_ends_only_its_own_connection(void)
{
    rig r;
    peer p, noisy;
    server_stats stats;
    start(&r, &plain, first, false);
    CHECK(greet(&p, dial(&r), &(client_opts){.version = 0}));
    int fd = dial(&r);
    say_bytes(fd, "\x16\3\1\0\5hello", 10);
    CHECK(recv(fd, answer, 7, MSG_WAITALL) == 7 && answer[0] == 21);   /* an alert */
    CHECK(recv(fd, answer, 1, 0) == 0);
    close(fd);
    CHECK(greet(&noisy, dial(&r), &(client_opts){.version = 0}));
    for (int i = 0; i < 1000 && SSL_key_update(noisy.ssl, SSL_KEY_UPDATE_REQUESTED) == 1; i++)
        if (SSL_do_handshake(noisy.ssl) != 1) break;
    while (SSL_read(noisy.ssl, answer, 100) > 0) {}
    leave(&noisy);
    CHECK(greet(&noisy, dial(&r), &(client_opts){.version = 0}));
    tell(&noisy, HOLD "GET /");
    wait_holding(&r, 1);
    say_bytes(noisy.fd, "\x17\3\3\0\x20 this was sealed by nobody at all", 37);
    wait_open(&r, 1);
    on_loop(&r, release, 0);
    leave(&noisy);
    fd = dial(&r);
    say_bytes(fd, "\x16", 1);
    wait_open(&r, 2);
    close(fd);
    wait_open(&r, 1);
    check_serves(&p);
    leave(&p);
    wait_open(&r, 0);
    server_stats_read(r.server, &stats);
    CHECK(stats.tls_failed[TLS_FAILURE_PROTOCOL] == 1 && stats.tls_failed[TLS_FAILURE_CLOSED] == 1);
    rig_stop(&r);
}

/* What was on its way behind a bad handshake must not take back the alert: the connection waits for its client. */
static void an_alert_is_given_the_time_to_arrive(void)
{
    rig r;
    server_stats stats;
    sys_fake_clock_hold(CLOCK_START_NS);
    start(&r, &plain, first, false);
    int fd = dial(&r);
    say_bytes(fd, "\x16\3\1\0\5hello", 10);
    CHECK(recv(fd, answer, 7, MSG_WAITALL) == 7 && answer[0] == 21);
    CHECK(recv(fd, answer, 1, 0) == 0);
    say_bytes(fd, "more", 4);
    catch_up(&r);
    server_stats_read(r.server, &stats);
    CHECK_U64(stats.open, 1);
    close(fd);
    wait_open(&r, 0);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void a_client_that_ended_its_side_still_gets_its_answers(void)
{
    rig r;
    peer p;
    start(&r, &plain, first, false);
    for (int i = 0; i < 2; i++) {
        CHECK(greet(&p, dial(&r), &(client_opts){.version = 0}));
        tell(&p, HOLD);
        wait_holding(&r, (size_t)i + 1);
        if (i == 0) CHECK(SSL_shutdown(p.ssl) == 0);   /* or without that word: no body of ours ends that way */
        CHECK(shutdown(p.fd, SHUT_WR) == 0);
        usleep(2000);
        on_loop(&r, release, (size_t)i);
        CHECK_STR(hear_tls(&p), i ? "held 1" : "held 0");
        CHECK(said_goodbye(&p));
        leave(&p);
    }
    rig_stop(&r);
}

/* ---- a new certificate ---- */

static bool shows(const peer *p, const identity *id)
{
    X509 *got = SSL_get1_peer_certificate(p->ssl);
    bool same = got && X509_cmp(got, id->cert) == 0;
    X509_free(got);
    return same;
}

static void renew(rig *r, size_t arg)
{
    for (size_t i = 0; i < 3; i++) server_renew_tls(r->server, arg ? second : first);
}

static void a_new_certificate_is_for_new_connections(void)
{
    rig r;
    peer old, new;
    rig_tls = first;
    rig_cleartext = false;
    rig_start(&r, &plain, 2);
    CHECK(greet(&old, dial(&r), &(client_opts){.version = 0}));
    for (int i = 0; i < 20; i++) {
        on_loop(&r, renew, 1);
        on_loop(&r, renew, 0);
    }
    on_loop(&r, renew, 1);
    for (size_t i = 0; i < 4; i++) on_loop_of(&r, i % 2, nothing, 0);   /* each loop has taken it */
    CHECK(greet(&new, dial(&r), &(client_opts){.version = 0}));
    CHECK(shows(&old, &first_id) && shows(&new, &second_id));
    check_serves(&old);
    check_serves(&new);
    leave(&old);
    leave(&new);
    rig_stop(&r);
}

static void make_files(void)
{
    CHECK(mkdtemp(folder) && chdir(folder) == 0);
    ca = identity_new("authority", NULL, 30);
    first_id = identity_new("first", &ca, 30);
    second_id = identity_new("second", &ca, 30);
    client_id = identity_new("client", &ca, 30);
    identity_save(&ca, "ca", NULL);
    identity_save(&first_id, "cert1", "key1");
    identity_save(&second_id, "cert2", "key2");
    first = context("cert1", "key1", NULL);
    second = context("cert2", "key2", NULL);
    guarded = context("cert1", "key1", "ca");
}

static void remove_files(void)
{
    static const char *const names[] = {"ca", "cert1", "key1", "cert2", "key2"};
    identity *const all[] = {&ca, &first_id, &second_id, &client_id};
    for (size_t i = 0; i < COUNTOF(names); i++) CHECK(unlink(names[i]) == 0);
    for (size_t i = 0; i < COUNTOF(all); i++) identity_free(all[i]);
    CHECK(chdir("/") == 0 && rmdir(folder) == 0);
    tls_context_free(first);
    tls_context_free(second);
    tls_context_free(guarded);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(requests_are_answered_in_both_versions),
        TEST(large_bodies_go_both_ways),
        TEST(pipelined_requests_wait_sealed),
        TEST(short_and_interrupted_calls_change_nothing),
        TEST(http2_begins_with_alpn_or_its_preface),
        TEST(cleartext_is_refused_in_words_or_served),
        TEST(clients_without_certificate_get_no_word_in),
        TEST(one_connection_too_many_is_told_so),
        TEST(a_handshake_has_the_time_of_a_head),
        TEST(who_reads_nothing_is_dropped),
        TEST(a_client_that_reads_late_gets_everything),
        TEST(noise_ends_only_its_own_connection),
        TEST(an_alert_is_given_the_time_to_arrive),
        TEST(a_client_that_ended_its_side_still_gets_its_answers),
        TEST(a_new_certificate_is_for_new_connections),
    };
    signal(SIGPIPE, SIG_IGN);   /* the client's own sockets */
    make_files();
    int failed = test_main(cases, COUNTOF(cases));
    remove_files();
    return failed || test_failures;
}
