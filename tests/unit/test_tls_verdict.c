/* What must hold for a client's session: however its bytes are cut it meets the server that was asked for, and no
 * other; each kind of wrong certificate is told by what is wrong with it, whatever a stranger wrote into it; garbage
 * and lack of memory end it and nothing else. */
#include "net/tls.h"
#include "tls_rig.h"

static char folder[] = "/tmp/test_tls_verdict.XXXXXX";
static identity ca, other_ca, old_ca, client_id;
static uint8_t stage[TLS_RECORD_BYTES_MAX];

/* ---- a server and a client, both of ours ---- */

static tls_context *server_of(const identity *id, bool clients)
{
    err e = {.text = ""};
    tls_context *x = NULL;
    identity_save(id, "server.pem", "server.key");
    const tls_context_opts opts = {.cert_path = "server.pem", .key_path = "server.key",
                                   .client_ca_path = clients ? "ca.pem" : NULL};
    CHECK(tls_context_new(&x, &opts, &e) == ERR_OK);
    CHECK_STR(e.text, "");
    return x;
}

static tls_context *client_of(const tls_trust *trust, bool http2)
{
    err e = {.text = ""};
    tls_context *x = NULL;
    CHECK(tls_context_new_client(&x, trust, http2, &e) == ERR_OK);
    CHECK_STR(e.text, "");
    return x;
}

static const tls_trust trust_ca = {.cacert = "ca.pem"};

typedef struct {
    tls_end_of client, server;
    tls_verdict verdict;
} pair;

static bool pair_open(pair *p, tls_context *client, tls_context *server, const char *host)
{
    tls_verdict_init(&p->verdict, host, tls_context_authorities(client));
    bool served = server_open(&p->server, server);
    p->client = (tls_end_of){.t = tls_new_client(client, &p->verdict), .out = outbox_new(OUTBOX_STREAM)};
    buf_init(&p->client.got, GOT_MAX);
    return served && p->client.t && p->client.out;
}

static void pair_close(pair *p)
{
    server_close(&p->client);
    server_close(&p->server);
}

/* What one side has to say goes to the other, so many bytes at a time; 0 = as it comes. */
static bool carry(tls_end_of *from, tls_end_of *to, size_t cut)
{
    uint8_t all[20000];
    str bytes = outbox_waiting(from->out);
    INVARIANT(bytes.len <= sizeof all);
    if (bytes.len) memcpy(all, bytes.p, bytes.len);
    outbox_clear(from->out);
    for (size_t at = 0, step = cut ? cut : bytes.len; at < bytes.len; at += step)
        server_take(to, all + at, step < bytes.len - at ? step : bytes.len - at);
    return bytes.len > 0;
}

static bool pair_meet(pair *p, size_t cut)
{
    server_take(&p->client, NULL, 0);   /* it begins */
    for (bool moved = true; moved;) {
        moved = carry(&p->client, &p->server, cut);
        moved |= carry(&p->server, &p->client, cut);
    }
    return p->client.ready && p->server.ready && p->client.last == TLS_MORE && p->server.last == TLS_MORE;
}

static void say(tls_end_of *from, const char *z)
{
    CHECK(tls_write(from->t, &(struct iovec){(void *)(uintptr_t)z, strlen(z)}, 1, stage, from->out));
}

static void pair_talk(pair *p, size_t cut)
{
    say(&p->client, "ping");
    carry(&p->client, &p->server, cut);
    say(&p->server, "pong");
    carry(&p->server, &p->client, cut);
    CHECK(p->server.got.len == 4 && memcmp(p->server.got.p, "ping", 4) == 0);
    CHECK(p->client.got.len == 4 && memcmp(p->client.got.p, "pong", 4) == 0);
}

/* ---- tests ---- */

static void every_cut_gives_the_same(void)
{
    identity id = identity_new_for("server", &ca, 0, 30, "DNS:localhost");
    tls_context *server = server_of(&id, false), *client = client_of(&trust_ca, true);
    static const size_t cuts[] = {0, 1, 2, 3, 5, 7, 64, 199, 1000};
    pair p;
    for (size_t i = 0; i < COUNTOF(cuts); i++) {
        CHECK(pair_open(&p, client, server, "localhost") && pair_meet(&p, cuts[i]));
        CHECK(str_is(tls_protocol(p.client.t), "h2") && tls_chose_http2(p.server.t));
        pair_talk(&p, cuts[i]);
        tls_end(p.server.t, p.server.out);
        carry(&p.server, &p.client, cuts[i]);
        CHECK(p.client.last == TLS_END);
        pair_close(&p);
    }
    /* The server's first flight in two parts, at each of its bytes. */
    size_t flight = 1;
    for (size_t cut = 1; cut < flight && !test_failures; cut += cut > 20 && cut + 20 < flight ? 7 : 1) {
        uint8_t bytes[20000];
        CHECK(pair_open(&p, client, server, "localhost"));
        server_take(&p.client, NULL, 0);
        carry(&p.client, &p.server, 0);
        flight = outbox_waiting(p.server.out).len;
        CHECK(flight > 300 && flight < sizeof bytes);
        memcpy(bytes, outbox_waiting(p.server.out).p, flight);
        outbox_clear(p.server.out);
        server_take(&p.client, bytes, cut);
        CHECK(p.client.last == TLS_MORE && !p.client.ready);
        server_take(&p.client, bytes + cut, flight - cut);
        CHECK(p.client.ready && pair_meet(&p, 0));
        pair_close(&p);
    }
    tls_context_free(server);
    tls_context_free(client);
    identity_free(&id);
}

static void the_right_server_is_met(void)
{
    static const struct {
        const char *names, *host;
    } rows[] = {
        {"DNS:localhost", "localhost"}, {"DNS:localhost", "LOCALHOST"}, {"DNS:a.example", "a.example."},
        {"DNS:*.example.org", "x.example.org"}, {"IP:127.0.0.1", "127.0.0.1"}, {"IP:::1", "::1"},
        {"IP:fe80::1", "fe80::1%eth0"}, {"DNS:b.example,DNS:a.example", "a.example"},
    };
    tls_context *client = client_of(&trust_ca, false);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        identity id = identity_new_for("server", &ca, 0, 30, rows[i].names);
        tls_context *server = server_of(&id, false);
        pair p;
        CHECK(pair_open(&p, client, server, rows[i].host) && pair_meet(&p, 0));
        CHECK_STR(p.verdict.text, "");
        CHECK(str_is(tls_protocol(p.client.t), "http/1.1"));
        pair_close(&p);
        tls_context_free(server);
        identity_free(&id);
    }
    tls_context_free(client);
}

/* What the client says of a server with such a certificate; "" = it is content. */
static void check_verdict(const identity *id, const tls_trust *trust, const char *host, const char *want)
{
    tls_context *server = server_of(id, false), *client = client_of(trust, false);
    err e = {.text = ""};
    pair p;
    CHECK(pair_open(&p, client, server, host));
    bool met = pair_meet(&p, 0);
    CHECK(met == (*want == 0));
    if (!met) {
        CHECK(p.client.last == TLS_FAILED && !p.client.ready && !p.server.ready);
        CHECK(tls_verdict_say(&p.verdict, tls_error(p.client.t), "h:1", &e) == ERR_UNAUTHENTICATED);
        CHECK_U64(tls_why(p.server.t), TLS_FAILURE_ALERT);   /* the server was told */
    }
    CHECK_STR(e.text, want);
    pair_close(&p);
    tls_context_free(server);
    tls_context_free(client);
}

static void each_wrong_certificate_is_told_by_what_is_wrong(void)
{
    const struct {
        const char *cn;
        const identity *by;
        int since, days;
        const char *names, *host, *want;
    } rows[] = {
        {"s", &ca, 0, -3, "DNS:localhost", "localhost",
         "h:1: certificate: expected one that is in force, got one that expired 3 days ago"},
        {"s", &ca, 0, -1, "DNS:localhost", "localhost",
         "h:1: certificate: expected one that is in force, got one that expired 1 day ago"},
        {"s", &ca, 0, 0, "DNS:localhost", "localhost",
         "h:1: certificate: expected one that is in force, got one that expired within the last day"},
        {"s", &ca, 5, 30, "DNS:localhost", "localhost",
         "h:1: certificate: expected one that is in force, got one that begins in 5 days"},
        {"s", &old_ca, 0, 30, "DNS:localhost", "localhost",
         "h:1: certificate: expected one that is in force, got one whose authority expired 2 days ago"},
        {"s", &ca, 0, 30, "DNS:a.example", "localhost",
         "h:1: certificate: expected one for 'localhost', got one for 'a.example'"},
        {"s", &ca, 0, 30, "DNS:a.example,DNS:b.example,IP:10.0.0.1,DNS:c.example,DNS:d.example", "localhost",
         "h:1: certificate: expected one for 'localhost', got one for 'a.example', 'b.example', '10.0.0.1' and 2 more"},
        {"localhost", &ca, 0, 30, NULL, "localhost",
         "h:1: certificate: expected one for 'localhost', got one that names no host"},
        {"s", &ca, 0, 30, "DNS:*.example", "a.b.example",
         "h:1: certificate: expected one for 'a.b.example', got one for '*.example'"},
        {"s", &ca, 0, 30, "DNS:w*.example", "www.example",
         "h:1: certificate: expected one for 'www.example', got one for 'w*.example'"},
        {"s", &ca, 0, 30, "DNS:127.0.0.1", "127.0.0.1",
         "h:1: certificate: expected one for '127.0.0.1', got one for '127.0.0.1'"},
        {"s", &ca, 0, 30, "IP:127.0.0.2", "127.0.0.1",
         "h:1: certificate: expected one for '127.0.0.1', got one for '127.0.0.2'"},
        {"s", &ca, 0, 30, "IP:fe80::1", "::1",
         "h:1: certificate: expected one for '::1', got one for 'fe80:0:0:0:0:0:0:1'"},
        {"s", &ca, 0, 30, "email:a@b", "h", "h:1: certificate: expected one for 'h', got one that names no host"},
        {"s", &other_ca, 0, 30, "DNS:localhost", "localhost",
         "h:1: certificate: expected one of an authority in ca.pem, got one signed by '/CN=other authority'"},
        {"s", NULL, 0, 30, "DNS:localhost", "localhost",
         "h:1: certificate: expected one of an authority in ca.pem, got one that signed itself"},
        {"s", &ca, 0, 30, "DNS:localhost", "localhost", ""},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        identity id = identity_new_for(rows[i].cn, rows[i].by, rows[i].since, rows[i].days, rows[i].names);
        check_verdict(&id, &trust_ca, rows[i].host, rows[i].want);
        identity_free(&id);
    }
}

static void what_a_stranger_wrote_stays_one_harmless_line(void)
{
    identity odd_ca = identity_new("e\x1b[31mvil'\n", NULL, 30), id = identity_new_for("s", &odd_ca, 0, 30, "DNS:h");
    check_verdict(&id, &trust_ca, "h",
                  "h:1: certificate: expected one of an authority in ca.pem, got one signed by "
                  "'/CN=e\\x1B[31mvil?\\x0A'");
    identity_free(&id);
    id = identity_new_for("s", &ca, 0, 30, "DNS:a\x1b]b'c");
    check_verdict(&id, &trust_ca, "h", "h:1: certificate: expected one for 'h', got one for 'a?]b?c'");
    identity_free(&id);
    identity_free(&odd_ca);
}

static void trust_is_what_the_flags_say(void)
{
    identity alone = identity_new_for("s", NULL, 0, 30, "DNS:h");
    identity_save(&alone, "alone.pem", NULL);
    check_verdict(&alone, &(tls_trust){.cacert = "alone.pem"}, "h", "");   /* the server's own, by name */
    check_verdict(&alone, &(tls_trust){.cacert = "alone.pem"}, "x",
                  "h:1: certificate: expected one for 'x', got one for 'h'");
    check_verdict(&alone, &(tls_trust){.insecure = true}, "x", "");
    check_verdict(&alone, &(tls_trust){.cacert = NULL}, "h",
                  "h:1: certificate: expected one of an authority in the system's trust store, got one that signed "
                  "itself");
    CHECK(setenv("SSL_CERT_FILE", "alone.pem", 1) == 0);
    check_verdict(&alone, &(tls_trust){.cacert = ""}, "h", "");
    CHECK(unsetenv("SSL_CERT_FILE") == 0 && unlink("alone.pem") == 0);
    identity_free(&alone);
}

static void a_server_may_demand_a_certificate(void)
{
    identity id = identity_new_for("server", &ca, 0, 30, "DNS:h"), stranger = identity_new("stranger", &other_ca, 30);
    tls_context *server = server_of(&id, true);
    static const char *const wants[] = {
        "", "h:1: TLS: expected the server to take our certificate, got its alert 'certificate required'",
        "h:1: TLS: expected the server to take our certificate, got its alert 'unknown CA'"};
    for (size_t i = 0; i < COUNTOF(wants); i++) {
        err e = {.text = ""};
        pair p;
        identity_save(i == 2 ? &stranger : &client_id, "client.pem", "client.key");
        tls_trust trust = {.cacert = "ca.pem"};
        if (i != 1) trust.cert = "client.pem";
        if (i != 1) trust.key = "client.key";
        tls_context *client = client_of(&trust, false);
        CHECK(pair_open(&p, client, server, "h"));
        CHECK(pair_meet(&p, 0) == (i == 0));
        if (i) CHECK(p.client.last == TLS_FAILED && p.client.ready);   /* TLS 1.3 tells it afterwards */
        if (i) CHECK(tls_verdict_say(&p.verdict, tls_error(p.client.t), "h:1", &e) == ERR_UNAUTHENTICATED);
        CHECK_STR(e.text, wants[i]);
        pair_close(&p);
        tls_context_free(client);
    }
    tls_context_free(server);
    identity_free(&id);
    identity_free(&stranger);
    CHECK(unlink("client.pem") == 0 && unlink("client.key") == 0);
}

static void wrong_files_are_named(void)
{
    static const struct {
        tls_trust trust;
        const char *want;
    } rows[] = {
        {{.cacert = "none.pem"}, "none.pem: cannot open: No such file or directory"},
        {{.cacert = "ca.key"}, "ca.key: authorities: expected X.509 as PEM, got none"},
        {{.cert = "ca.key", .key = "ca.key"}, "ca.key: certificate: expected X.509 as PEM, got none"},
        {{.cert = "ca.pem", .key = "ca.pem"}, "ca.pem: private key: expected one as PEM, got none"},
    };
    identity_save(&ca, NULL, "ca.key");
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e = {.text = ""};
        tls_context *x = NULL;
        CHECK(tls_context_new_client(&x, &rows[i].trust, false, &e) != ERR_OK && !x);
        CHECK_STR(e.text, rows[i].want);
    }
    CHECK(unlink("ca.key") == 0);
}

/* 42 to 46, 48 and 116 are: RFC 8446, 6.2. */
static void alerts_about_our_certificate_are_told_apart(void)
{
    tls_verdict v;
    err e;
    tls_verdict_init(&v, "localhost", "ca.pem");
    for (int alert = 40; alert <= 116; alert++) {
        if (alert == SSL_AD_PROTOCOL_VERSION) continue;
        bool ours = (alert >= 42 && alert <= 46) || alert == 48 || alert == 116;
        err_code rc = tls_verdict_say(&v, ERR_PACK(ERR_LIB_SSL, 0, SSL_AD_REASON_OFFSET + alert), "here", &e);
        CHECK(rc == (ours ? ERR_UNAUTHENTICATED : ERR_UNSUPPORTED));
        CHECK(strstr(e.text, ours ? "here: TLS: expected the server to take our certificate" :
                                    "here: TLS: expected the server to go on"));
    }
}

static void garbage_ends_the_handshake(void)
{
    identity id = identity_new_for("server", &ca, 0, 30, "DNS:h");
    tls_context *server = server_of(&id, false), *client = client_of(&trust_ca, false);
    size_t flight = 1;
    for (size_t i = 0; i < flight; i += i < 100 ? 1 : 11) {   /* one bit is wrong, or the rest never comes */
        pair p;
        uint8_t bytes[20000];
        CHECK(pair_open(&p, client, server, "h"));
        server_take(&p.client, NULL, 0);
        carry(&p.client, &p.server, 0);
        flight = outbox_waiting(p.server.out).len;
        memcpy(bytes, outbox_waiting(p.server.out).p, flight);
        bytes[i] ^= 1;
        server_take(&p.client, bytes, flight);
        /* A record's version is nobody's business in TLS 1.3. */
        CHECK(!p.client.ready || (bytes[i] ^ 1) == 3);
        pair_close(&p);
    }
    tls_context_free(server);
    tls_context_free(client);
    identity_free(&id);
}

/* ---- without memory ---- */

static _Thread_local long refuse_in = -1;

static bool refused(void) { return refuse_in >= 0 && refuse_in-- == 0; }
static void *ssl_alloc(size_t n, const char *file, int line)
{
    return (void)file, (void)line, refused() ? NULL : malloc(n);
}

static void ssl_free(void *p, const char *file, int line) { (void)file, (void)line, free(p); }
static void *ssl_grow(void *p, size_t n, const char *file, int line)
{
    return (void)file, (void)line, refused() ? NULL : realloc(p, n);
}

static void our_own_memory_may_fail_anywhere(void)
{
    identity id = identity_new_for("server", &ca, 0, 30, "DNS:h");
    identity_save(&client_id, "client.pem", "client.key");
    tls_context *server = server_of(&id, true);
    const tls_trust trust = {.cacert = "ca.pem", .cert = "client.pem", .key = "client.key"};
    FAULT_SWEEP({
        err e;
        pair p;
        tls_context *client = NULL;
        if (tls_context_new_client(&client, &trust, false, &e) == ERR_OK) {
            if (pair_open(&p, client, server, "h")) (void)pair_meet(&p, 0);
            pair_close(&p);
        } else {
            CHECK(e.code == ERR_NOMEM);
        }
        tls_context_free(client);
    });
    tls_context_free(server);
    identity_free(&id);
    CHECK(unlink("client.pem") == 0 && unlink("client.key") == 0);
}

static void openssl_may_lack_memory_anywhere(void)
{
    identity id = identity_new_for("server", &other_ca, 0, 30, "DNS:h");   /* so that there is much to object to */
    tls_context *server = server_of(&id, false), *client = client_of(&trust_ca, false);
    for (long fault = 0, more = 1; more && fault < 3000; fault += fault < 100 ? 1 : 17) {
        err e;
        pair p;
        uint8_t bytes[20000];
        CHECK(pair_open(&p, client, server, "h"));
        server_take(&p.client, NULL, 0);
        carry(&p.client, &p.server, 0);
        size_t flight = outbox_waiting(p.server.out).len;
        memcpy(bytes, outbox_waiting(p.server.out).p, flight);
        refuse_in = fault;
        server_take(&p.client, bytes, flight);
        more = refuse_in < 0;
        refuse_in = -1;
        CHECK(!p.client.ready && p.client.last == TLS_FAILED);
        CHECK(tls_verdict_say(&p.verdict, tls_error(p.client.t), "h:1", &e) != ERR_OK);
        pair_close(&p);
        refuse_in = fault;
        tls_context *lacks = NULL;
        err_code rc = tls_context_new_client(&lacks, &trust_ca, false, &e);
        refuse_in = -1;
        CHECK((rc == ERR_OK) == (lacks != NULL));
        tls_context_free(lacks);
    }
    tls_context_free(server);
    tls_context_free(client);
    identity_free(&id);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(every_cut_gives_the_same),
        TEST(the_right_server_is_met),
        TEST(each_wrong_certificate_is_told_by_what_is_wrong),
        TEST(what_a_stranger_wrote_stays_one_harmless_line),
        TEST(trust_is_what_the_flags_say),
        TEST(a_server_may_demand_a_certificate),
        TEST(wrong_files_are_named),
        TEST(alerts_about_our_certificate_are_told_apart),
        TEST(garbage_ends_the_handshake),
        TEST(our_own_memory_may_fail_anywhere),
        TEST(openssl_may_lack_memory_anywhere),
    };
    INVARIANT(CRYPTO_set_mem_functions(ssl_alloc, ssl_grow, ssl_free) == 1);
    INVARIANT(mkdtemp(folder) && chdir(folder) == 0);
    unsetenv("SSL_CERT_FILE");
    ca = identity_new("test authority", NULL, 30);
    other_ca = identity_new("other authority", NULL, 30);
    old_ca = identity_new("old authority", NULL, -2);
    client_id = identity_new("client", &ca, 30);
    FILE *f = fopen("ca.pem", "w");
    INVARIANT(f && PEM_write_X509(f, ca.cert) == 1 && PEM_write_X509(f, old_ca.cert) == 1 && fclose(f) == 0);
    int failed = test_main(cases, COUNTOF(cases));
    identity *const all[] = {&ca, &other_ca, &old_ca, &client_id};
    for (size_t i = 0; i < COUNTOF(all); i++) identity_free(all[i]);
    CHECK(unlink("ca.pem") == 0 && unlink("server.pem") == 0 && unlink("server.key") == 0);
    CHECK(chdir("/") == 0 && rmdir(folder) == 0);
    return failed || test_failures;
}
