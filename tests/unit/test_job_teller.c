/* A hook is told what its event holds; 2xx is taken, what may change comes again, what will not is given up; one that
 * hangs holds its own place and no other; the end of the server ends all of them; who is trusted is known
 * beforehand. */
#include "base/mem.h"
#include "fake/sys_fake.h"
#include "jobs/job_teller.h"
#include "loopback.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* A hook that answers each of its connections with one status; 0 = it takes what comes and is silent. */
typedef struct {
    int listener, fds[16];
    uint16_t port;
    int status;
    const char *length;                     /* that it says its answer has; it never comes */
    pthread_t runner;
    _Atomic int count;
    char got[4096];
} hook;

static void *hook_run(void *ctx)
{
    hook *h = ctx;
    for (;;) {
        int fd = accept(h->listener, NULL, NULL);
        if (fd < 0) return NULL;
        size_t have = 0;
        while (have < sizeof h->got - 1 && !strstr(h->got, "the body")) {
            ssize_t n = read(fd, h->got + have, sizeof h->got - 1 - have);
            if (n <= 0) break;
            have += (size_t)n;
            h->got[have] = 0;
        }
        if (h->status) dprintf(fd, "HTTP/1.1 %d X\r\nContent-Length: %s\r\n\r\n", h->status, h->length);
        if (!h->status) memset(h->got, 0, sizeof h->got);
        h->fds[atomic_fetch_add(&h->count, 1)] = fd;
    }
}

static void hook_start(hook *h, int status)
{
    memset(h, 0, sizeof *h);
    h->status = status;
    h->length = "0";
    h->listener = loopback_listen(&h->port);
    CHECK(pthread_create(&h->runner, NULL, hook_run, h) == 0);
}

static void hook_stop(hook *h)
{
    shutdown(h->listener, SHUT_RDWR);
    pthread_join(h->runner, NULL);
    close(h->listener);
    for (int i = 0; i < h->count; i++) close(h->fds[i]);
}

static _Atomic int over;

static void done(job_tell *t)
{
    CHECK(t->of == &over);
    atomic_fetch_add(&over, 1);
}

static job_tell event(const hook *h)
{
    job_tell t = {.done = done, .of = &over, .body = STR("the body")};
    snprintf(t.url, sizeof t.url, "http://127.0.0.1:%u/a/b?c=d", h->port);
    t.headers[t.header_count++] = (http_header){STR("ce-id"), STR("7")};
    return t;
}

static void until_over(int count)
{
    for (int i = 0; i < 20000 && atomic_load(&over) < count; i++) usleep(1000);
    CHECK_U64((uint64_t)atomic_load(&over), (uint64_t)count);
}

static job_teller *teller(void)
{
    job_teller *t = NULL;
    err e;
    CHECK(job_teller_new(&t, &(job_teller_opts){.hosts = "*"}, &e) == ERR_OK);
    atomic_store(&over, 0);
    return t;
}

static void its_answer_says_whether_it_took_it(void)
{
    static const struct {
        int status;
        job_tell_result want;
    } rows[] = {{200, JOB_TELL_TOLD}, {202, JOB_TELL_TOLD}, {299, JOB_TELL_TOLD}, {301, JOB_TELL_NEVER},
                {400, JOB_TELL_NEVER}, {410, JOB_TELL_NEVER}, {408, JOB_TELL_LATER}, {425, JOB_TELL_LATER},
                {429, JOB_TELL_LATER}, {500, JOB_TELL_LATER}, {503, JOB_TELL_LATER}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        hook h;
        hook_start(&h, rows[i].status);
        job_teller *t = teller();
        job_tell one = event(&h);
        CHECK(job_teller_put(t, &one));
        until_over(1);
        CHECK(one.result == rows[i].want && one.status == rows[i].status);
        job_teller_free(t);
        hook_stop(&h);
        CHECK(str_starts(str_of(h.got), STR("POST /a/b?c=d HTTP/1.1\r\n")));
        CHECK(strstr(h.got, "\r\nce-id: 7\r\n") && strstr(h.got, "\r\n\r\nthe body"));
    }
}

static void of_its_answer_the_head_is_enough(void)
{
    static const char *const lengths[] = {"100", "99999999999"};
    for (size_t i = 0; i < COUNTOF(lengths); i++) {
        hook h;
        hook_start(&h, 200);
        h.length = lengths[i];
        job_teller *t = teller();
        job_tell one = event(&h);
        CHECK(job_teller_put(t, &one));
        until_over(1);
        CHECK(one.result == JOB_TELL_TOLD && one.status == 200);
        job_teller_free(t);
        hook_stop(&h);
    }
}

static void one_that_is_not_there_is_told_later(void)
{
    hook h;
    hook_start(&h, 200);
    job_tell one = event(&h);
    hook_stop(&h);
    job_teller *t = teller();
    CHECK(job_teller_put(t, &one));
    until_over(1);
    CHECK(one.result == JOB_TELL_LATER && one.status == 0 && one.failure.code == ERR_UNAVAILABLE);
    job_teller_free(t);
}

static void those_that_hang_hold_their_own_place_until_the_end(void)
{
    hook slow, fast;
    job_tell hung[JOB_TELLERS], one;
    hook_start(&slow, 0);
    hook_start(&fast, 200);
    job_teller *t = teller();
    for (size_t i = 0; i < JOB_TELLERS - 1; i++) {
        hung[i] = event(&slow);
        CHECK(job_teller_idle(t) && job_teller_put(t, &hung[i]));
    }
    one = event(&fast);
    CHECK(job_teller_put(t, &one));
    until_over(1);
    CHECK(one.result == JOB_TELL_TOLD);
    for (int i = 0; i < 20000 && !job_teller_idle(t); i++) usleep(1000);
    hung[JOB_TELLERS - 1] = event(&slow);
    CHECK(job_teller_put(t, &hung[JOB_TELLERS - 1]));
    one = event(&fast);
    CHECK(!job_teller_idle(t) && !job_teller_rests(t) && !job_teller_put(t, &one));
    job_teller_free(t);
    CHECK_U64((uint64_t)atomic_load(&over), JOB_TELLERS + 1);
    for (size_t i = 0; i < JOB_TELLERS; i++) CHECK(hung[i].result == JOB_TELL_LATER && hung[i].status == 0);
    hook_stop(&slow);
    hook_stop(&fast);
}

/* Who is trusted behind https is nothing to a hook without it; what cannot be used is told before the first event. */
static void trust_is_for_https_alone_and_checked_beforehand(void)
{
    static const struct {
        tls_trust trust;
        const char *want;
    } rows[] = {{{.prefix = "webhook-"}, NULL},
                {{.insecure = true, .prefix = "webhook-"}, NULL},
                {{.cacert = "/nowhere.pem", .prefix = "webhook-"},
                 "/nowhere.pem: cannot open: No such file or directory"},
                {{.cert = "/a.pem", .prefix = "webhook-"}, "webhook-cert: expected webhook-key with it, got none"},
                {{.key = "/a.pem", .prefix = "webhook-"}, "webhook-key: expected webhook-cert with it, got none"},
                {{.cacert = "/a.pem", .insecure = true, .prefix = "webhook-"},
                 "webhook-insecure: expected one of it and webhook-cacert, got both"}};
    CHECK(job_teller_check(&(job_teller_opts){.hosts = "*"}, NULL) == ERR_OK);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        const job_teller_opts o = {.hosts = "*", .trust = &rows[i].trust};
        hook h;
        err e;
        job_teller *t = NULL;
        err_code rc = job_teller_check(&o, &e);
        CHECK((rc == ERR_OK) == !rows[i].want);
        if (rc) CHECK_STR(e.text, rows[i].want);
        hook_start(&h, 200);
        CHECK(job_teller_new(&t, &o, &e) == ERR_OK);
        atomic_store(&over, 0);
        job_tell one = event(&h);
        CHECK(job_teller_rests(t) && job_teller_put(t, &one));
        until_over(1);
        CHECK(one.result == JOB_TELL_TOLD && job_teller_rests(t));
        job_teller_free(t);
        hook_stop(&h);
    }
}

static void a_host_that_no_url_has_is_refused(void)
{
    static const char *const good[] = {"", "a.example", "a.example:80, b", "*", "[::1]:80,[::1]", "a,,b,"};
    static const char *const bad[] = {"http://127.0.0.1:1", "a/x", "::1", "*.example", "a b", "me@a", "a#b", "a?b",
                                      "a\\b", "a:99999", "a:0", "a:b", ":80", "[::1", "[]"};
    err e;
    for (size_t i = 0; i < COUNTOF(good); i++) CHECK(job_hosts_check(good[i], &e) == ERR_OK);
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        char list[80], want[120];
        snprintf(list, sizeof list, "a.example, %s,b", bad[i]);
        snprintf(want, sizeof want, "expected HOST, HOST:PORT or *, got '%s'", bad[i]);
        CHECK(job_hosts_check(list, &e) == ERR_INVALID);
        CHECK_STR(e.text, want);
    }
}

static void only_hosts_that_are_allowed_may_be_named(void)
{
    static const struct {
        const char *url, *hosts;
        err_code want;
    } rows[] = {
        {"https://a.example/x", "a.example", ERR_OK}, {"http://A.Example:80/x?y", "b.example, a.example", ERR_OK},
        {"https://a.example:8443", "a.example:8443", ERR_OK},
        {"https://a.example:8444/", "a.example:8443", ERR_FORBIDDEN},
        {"https://a.example:/", "a.example", ERR_FORBIDDEN},
        {"https://[::1]:80/", "[::1]", ERR_OK}, {"https://any.example/", "*", ERR_OK},
        {"https://a.example/", "", ERR_FORBIDDEN}, {"https://b.a.example/", "a.example", ERR_FORBIDDEN},
        {"https://a.example.evil/", "a.example", ERR_FORBIDDEN}, {"https://a.exampl/", "a.example", ERR_FORBIDDEN},
        {"https://a.example@evil/", "*", ERR_INVALID}, {"https:///x", "*", ERR_INVALID},
        {"ftp://a.example/", "*", ERR_INVALID}, {"unix:/run/x", "*", ERR_INVALID},
        {"https://a.example/#x", "*", ERR_INVALID}, {"https://a.example/ x", "*", ERR_INVALID},
        {"http://a:99999/", "*", ERR_INVALID}, {"http://a:b/", "*", ERR_INVALID}, {"http://a:0/", "*", ERR_INVALID},
        {"http://:80/", "*", ERR_INVALID}, {"http://::1/x", "*", ERR_INVALID}, {"http://[::1", "*", ERR_INVALID},
        {"http://[::1]x/", "*", ERR_INVALID}, {"http://a:65535/", "*", ERR_OK}, {"http://[::1]/", "*", ERR_OK},
        {"https://a.example\\@b/", "*", ERR_INVALID}, {"https://a.example?x", "*", ERR_INVALID}, {"", "*", ERR_INVALID},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e;
        err_code rc = job_hook_check(str_of(rows[i].url), rows[i].hosts, &e);
        if (rc != rows[i].want) printf("# %s\n", rows[i].url);
        CHECK(rc == rows[i].want);
    }
}

static void no_failure_leaks(void)
{
    FAULT_SWEEP({
        job_teller *t = NULL;
        err e;
        (void)!job_teller_new(&t, &(job_teller_opts){.hosts = "*"}, &e);
        job_teller_free(t);
    });
    SYS_SWEEP(-EMFILE, {
        job_teller *t = NULL;
        err e;
        (void)!job_teller_new(&t, &(job_teller_opts){.hosts = "*"}, &e);
        job_teller_free(t);
    });
}

int main(void)
{
    static const test_case cases[] = {TEST(its_answer_says_whether_it_took_it),
                                      TEST(of_its_answer_the_head_is_enough),
                                      TEST(one_that_is_not_there_is_told_later),
                                      TEST(those_that_hang_hold_their_own_place_until_the_end),
                                      TEST(trust_is_for_https_alone_and_checked_beforehand),
                                      TEST(a_host_that_no_url_has_is_refused),
        TEST(only_hosts_that_are_allowed_may_be_named), TEST(no_failure_leaks)};
    return test_main(cases, COUNTOF(cases));
}
