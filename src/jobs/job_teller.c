#include "jobs/job_teller.h"

#include "base/mem.h"
#include "net/client.h"
#include "net/dial.h"
#include "os/bell.h"
#include "os/futex.h"
#include "os/thread.h"

#include <stdatomic.h>
#include <stdio.h>

enum { ADDRESS_ROOM = 300 };

typedef struct {
    job_teller *of;
    thread thread;
    bool started;
    job_tell *_Atomic given;
    _Atomic uint32_t events;
} slot;

struct job_teller {
    job_teller_opts opts;
    int bell;
    _Atomic bool stopping;
    slot slots[JOB_TELLERS];
};

/* ---- what may be told ---- */

typedef struct {
    str address, host, target;      /* "https://a.example:8443", "a.example:8443", "/path?query" or "" */
} place;

/* HOST or HOST:PORT that can be dialled; the letters of a URL's host. */
static bool may_be_met(str host)
{
    char address[ADDRESS_ROOM];
    dial_to to;
    err e;
    for (size_t i = 0; i < host.len; i++)
        if (host.p[i] <= ' ' || host.p[i] > '~' || memchr("/?#@\\*", host.p[i], 6)) return false;
    if (!host.len || host.len >= ADDRESS_ROOM - 10) return false;
    snprintf(address, sizeof address, "http://%.*s", (int)host.len, host.p);
    return dial_to_parse(&to, address, &e) == ERR_OK;
}

static bool place_of(str url, place *ret)
{
    str scheme = str_starts(url, STR("https://")) ? STR("https://") : STR("http://");
    if (!str_starts(url, scheme) || url.len > JOB_HOOK_BYTES_MAX) return false;
    size_t end = scheme.len;
    for (size_t i = 0; i < url.len; i++)
        if (url.p[i] <= ' ' || url.p[i] > '~' || url.p[i] == '#' || url.p[i] == '\\') return false;
    while (end < url.len && url.p[end] != '/' && url.p[end] != '?') end++;
    ret->address = (str){url.p, end};
    ret->host = (str){url.p + scheme.len, end - scheme.len};
    ret->target = (str){url.p + end, url.len - end};
    bool user = ret->host.len && memchr(ret->host.p, '@', ret->host.len);
    bool path = !ret->target.len || ret->target.p[0] == '/';
    return may_be_met(ret->host) && !user && path;
}

/* The host without its port; an IPv6 address keeps its brackets. */
static str bare(str host)
{
    size_t n = host.len;
    while (n > 0 && host.p[n - 1] >= '0' && host.p[n - 1] <= '9') n--;
    bool port = n > 1 && n < host.len && host.p[n - 1] == ':' && (host.p[0] != '[' || host.p[n - 2] == ']');
    return port ? (str){host.p, n - 1} : host;
}

static bool allowed(const place *p, const char *hosts)
{
    str rest = str_of(hosts), one;
    while (rest.len) {
        one = str_trim(str_next(&rest, ','));
        if (str_is(one, "*") || str_eq_nocase(one, p->host)) return true;
        if (one.len && str_eq_nocase(one, bare(p->host))) return true;
    }
    return false;
}

err_code job_hosts_check(const char *hosts, err *e)
{
    str rest = str_of(hosts), one;
    while (rest.len) {
        one = str_trim(str_next(&rest, ','));
        if (one.len && !str_is(one, "*") && !may_be_met(one))
            return err_set(e, ERR_INVALID, "expected HOST, HOST:PORT or *, got '" STR_FMT "'", STR_ARG(one));
    }
    return ERR_OK;
}

err_code job_hook_check(str url, const char *hosts, err *e)
{
    place p;
    if (!place_of(url, &p))
        return err_set(e, ERR_INVALID, "Proa-Webhook: expected http[s]://HOST[:PORT]/PATH of at most %d bytes, got '"
                       STR_FMT "'", JOB_HOOK_BYTES_MAX, STR_ARG(url));
    if (allowed(&p, hosts)) return ERR_OK;
    return err_set(e, ERR_FORBIDDEN, "Proa-Webhook: expected a host that webhook-hosts allows, got '" STR_FMT "'",
                   STR_ARG(p.host));
}

/* ---- telling ---- */

static void judge(job_tell *t)
{
    bool later = t->status == 408 || t->status == 425 || t->status == 429 || t->status >= 500 || t->status == 0;
    t->result = t->status >= 200 && t->status < 300 ? JOB_TELL_TOLD : later ? JOB_TELL_LATER : JOB_TELL_NEVER;
}

static err_code tell(const job_teller *of, job_tell *t, err *e)
{
    char address[ADDRESS_ROOM];
    place p;
    CLEANUP(client) client *c = NULL;
    client_reply got;
    if (!place_of(str_of(t->url), &p)) return err_set(e, ERR_INVALID, "webhook: %s: expected a URL", t->url);
    snprintf(address, sizeof address, "%.*s", (int)p.address.len, p.address.p);
    bool secure = str_starts(p.address, STR("https://"));
    const client_opts co = {.address = address,
                            .trust = secure ? of->opts.trust : NULL,
                            .stop_fd = of->bell,
                            .wait_us = of->opts.wait_us ? of->opts.wait_us : JOB_TELL_WAIT_US};
    const client_request q = {.method = STR("POST"),
                              .target = p.target.len ? p.target : STR("/"),
                              .headers = t->headers,
                              .header_count = t->header_count,
                              .body = {t->body},
                              .head_only = true};
    err_code rc = client_new(&co, &c, e);
    if (rc == ERR_OK) rc = client_call(c, &q, &got, e);
    if (rc == ERR_OK) t->status = got.status;
    return rc;
}

static void work(void *ctx)
{
    slot *s = ctx;
    while (!atomic_load(&s->of->stopping)) {
        uint32_t seen = atomic_load(&s->events);
        job_tell *t = atomic_load(&s->given);
        if (!t) {
            (void)futex_wait(&s->events, seen, FUTEX_FOREVER);
            continue;
        }
        t->status = 0;
        t->failure = (err){.code = ERR_OK};
        (void)!tell(s->of, t, &t->failure);
        judge(t);
        atomic_store(&s->given, NULL);
        t->done(t);
    }
    job_tell *left = atomic_exchange(&s->given, NULL);
    if (!left) return;
    left->status = 0;
    left->result = JOB_TELL_LATER;
    err_set(&left->failure, ERR_CANCELLED, "webhook: the server leaves");
    left->done(left);
}

bool job_teller_idle(const job_teller *t)
{
    for (size_t i = 0; i < JOB_TELLERS; i++)
        if (!atomic_load(&t->slots[i].given)) return true;
    return false;
}

bool job_teller_rests(const job_teller *t)
{
    for (size_t i = 0; i < JOB_TELLERS; i++)
        if (atomic_load(&t->slots[i].given)) return false;
    return true;
}

bool job_teller_put(job_teller *t, job_tell *one)
{
    for (size_t i = 0; i < JOB_TELLERS; i++) {
        slot *s = &t->slots[i];
        char name[32];
        err e;
        if (atomic_load(&s->given)) continue;
        snprintf(name, sizeof name, "webhook%zu", i);
        if (!s->started && thread_start(&s->thread, name, work, s, &e)) return false;
        s->started = true;
        atomic_store(&s->given, one);
        atomic_fetch_add(&s->events, 1);
        futex_wake(&s->events, 1);
        return true;
    }
    return false;
}

/* ---- life ---- */

err_code job_teller_check(const job_teller_opts *opts, err *e)
{
    const tls_trust *t = opts->trust;
    CLEANUP(client) client *c = NULL;
    bool named = t && ((t->cacert && *t->cacert) || (t->cert && *t->cert) || (t->key && *t->key) || t->insecure);
    if (!named) return ERR_OK;
    return client_new(&(client_opts){.address = "https://webhook", .trust = t}, &c, e);
}

err_code job_teller_new(job_teller **ret, const job_teller_opts *opts, err *e)
{
    CLEANUP(job_teller) job_teller *t = mem_new0(job_teller, 1);
    if (!t) return err_set(e, ERR_NOMEM, "webhooks: no memory");
    t->opts = *opts;
    t->bell = -1;
    for (size_t i = 0; i < JOB_TELLERS; i++) t->slots[i].of = t;
    err_code rc = bell_open(&t->bell, e);
    if (rc) return rc;
    *ret = TAKE(t);
    return ERR_OK;
}

void job_teller_free(job_teller *t)
{
    if (!t) return;
    atomic_store(&t->stopping, true);
    if (t->slots[0].started) bell_ring(t->bell);   /* the first one starts first */
    for (size_t i = 0; i < JOB_TELLERS; i++) {
        slot *s = &t->slots[i];
        if (!s->started) continue;
        atomic_fetch_add(&s->events, 1);
        futex_wake(&s->events, 1);
        thread_join(&s->thread);
    }
    bell_close(t->bell);
    mem_free(t);
}
