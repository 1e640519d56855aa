#include "serve/app.h"

#include "async/compute.h"
#include "base/log.h"
#include "base/mem.h"
#include "jobs/job_teller.h"
#include "models/model_control.h"
#include "models/model_table.h"
#include "models/poller.h"
#include "net/server.h"
#include "os/cgroup.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/random.h"
#include "os/thread.h"
#include "serve/access_log.h"
#include "serve/conf_call.h"
#include "serve/conf_listen.h"
#include "serve/conf_models.h"
#include "serve/job_rest.h"
#include "serve/conf_slot.h"
#include "serve/conf_trace.h"
#include "serve/doors.h"
#include "serve/endpoint.h"
#include "serve/giver.h"
#include "serve/infer.h"
#include "serve/owner_door.h"
#include "serve/ready_line.h"
#include "serve/watchdog.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    thread thread;
    loop *loop;
    endpoint_pools pools;
    loop_msg stop, leave, drain;
    bool started, stopped;
    err failure;
} lane; /* a loop, its thread, its requests */

struct app {
    const conf *conf;
    const service *by;
    watchdog *watchdog;
    endpoints endpoints;
    tls_trust webhook_trust;
    compute *pool;
    server *server;
    server *owner; /* at --control; NULL = there is none */
    ready_line ready;
    lane *lanes;
    loop **loops;
    size_t lane_count;
    loop_fd signals;
    loop_timer notice, handing;
    taker *old;    /* the server whose listeners these were, until this one is ready; NULL = none */
    int64_t traces[TRACE_SETTINGS];   /* what tracing was started with */
    poller *poller; /* follows the model repository; NULL = nobody does */
    giver *heir;   /* offers them to the next one; NULL = none is to come */
    bool leaving, given;
};

enum { SIGNALS_NONE = -1, GIVING_LOOK_US = 10000 };

static endpoint_pools *pools_of(void *ctx, const loop *on)
{
    app *a = ctx;
    for (size_t i = 0; i < a->lane_count; i++)
        if (a->lanes[i].loop == on) return &a->lanes[i].pools;
    INVARIANT(!"a call from a loop that is not ours");
    return NULL;
}

static void stop_here(loop *on, loop_msg *m)
{
    (void)m;
    loop_stop(on);
}

/* Loop 0: the last connection is gone, or nobody waits for it. */
static void drained(void *ctx)
{
    app *a = ctx;
    for (size_t i = 1; i < a->lane_count; i++) {
        if (a->lanes[i].stopped) continue;
        a->lanes[i].stopped = true;
        a->lanes[i].stop.run = stop_here;
        loop_post(a->loops[i], &a->lanes[i].stop);
    }
    loop_stop(a->loops[0]);
}

/* The same, once the folder of jobs is given: what is under way there needs the loops for a moment more. */
static void drained_and_given(void *ctx)
{
    app *a = ctx;
    err e;
    bool waits = a->given && !jobs_given(a->endpoints.jobs);
    if (!waits || loop_timer_set(a->loops[0], &a->handing, loop_now_us(a->loops[0]) + GIVING_LOOK_US, &e)) drained(a);
}

static void handing_on(loop_timer *t) { drained_and_given((char *)t - offsetof(app, handing)); }

static void drain_here(loop *on, loop_msg *m)
{
    (void)on;
    endpoint_pools_drain(&((lane *)(void *)((char *)m - offsetof(lane, drain)))->pools);
}

static void notice_over(loop_timer *t)
{
    app *a = (app *)(void *)((char *)t - offsetof(app, notice));
    for (size_t i = 0; i < a->lane_count; i++) {
        a->lanes[i].drain.run = drain_here;
        loop_post(a->loops[i], &a->lanes[i].drain);
    }
    server_drain(a->server, a->conf->drain_wait_ms * 1000, drained_and_given, a);
}

static void leave_here(loop *on, loop_msg *m)
{
    (void)on;
    endpoint_pools_leave(&((lane *)(void *)((char *)m - offsetof(lane, leave)))->pools);
}

static void lanes_leave(app *a)
{
    for (size_t i = 0; i < a->lane_count; i++) {
        a->lanes[i].leave.run = leave_here;
        loop_post(a->loops[i], &a->lanes[i].leave);
    }
}

/* Loop 0: another server accepts what comes from now on.  Whoever asks over an old connection whether this address is
 * ready gets the answer of the new server, which is yes. */
static void given(void *ctx)
{
    app *a = ctx;
    log_write(LOG_INFO, NULL, "hand-over: a new server has the listeners, answering what was accepted");
    a->given = true;
    lanes_leave(a);
    jobs_give(a->endpoints.jobs);
    server_drain_idle(a->server, a->conf->drain_wait_ms * 1000 / 2);
    notice_over(&a->notice);
}

static void leave(app *a, int number)
{
    err e;
    a->leaving = true;
    if (a->given) return;   /* it does so already */
    log_write(LOG_INFO, NULL, "signal %d: not ready from now on, answering what was accepted", number);
    giver_stop(a->heir);
    service_stopping(a->by, "answering what was accepted");
    endpoints_leave(&a->endpoints);
    jobs_leave(a->endpoints.jobs);
    lanes_leave(a);
    uint64_t wait_us = number == PROC_SIGNAL_TERM ? a->conf->drain_notice_ms * 1000 : 0;
    if (loop_timer_set(a->loops[0], &a->notice, loop_now_us(a->loops[0]) + wait_us, &e)) notice_over(&a->notice);
}

/* Some milliseconds of loop 0, which is rare enough. */
static void renew_keys(app *a)
{
    const char *path = a->conf->api_keys.p;
    err e;
    if (a->conf->api_keys.len == 0) return;
    if (guard_renew(&a->endpoints.guard, path, a->loops, a->lane_count, &e))
        log_write(LOG_ERROR, NULL, "SIGHUP: the old keys stay: %s", e.text);
    else
        log_write(LOG_INFO, NULL, "SIGHUP: read %s again", path);
}

static void renew_tls(app *a)
{
    CLEANUP(tls_context) tls_context *x = NULL;
    err e;
    if (a->conf->tls_cert.len == 0) return;
    if (app_tls_open(a->conf, &x, &e)) {
        log_write(LOG_ERROR, NULL, "SIGHUP: the old certificate stays: %s", e.text);
        return;
    }
    server_renew_tls(a->server, x);
    int days = tls_context_days_left(x);
    if (days < 0)   /* app_tls_open() has said so */
        log_write(LOG_WARN, NULL, "SIGHUP: read %s again", a->conf->tls_cert.p);
    else
        log_write(LOG_INFO, NULL, "SIGHUP: read %s again, valid for %d days", a->conf->tls_cert.p, days);
}

static void reload(app *a)
{
    if (a->leaving || a->given) return;   /* no connection will begin any more */
    service_reloading(a->by);
    if (a->conf->api_keys.len == 0 && a->conf->tls_cert.len == 0)
        log_write(LOG_INFO, NULL, "SIGHUP: nothing to read again: expected api-keys or tls-cert, got neither");
    renew_keys(a);
    renew_tls(a);
    service_ready(a->by, NULL);
}

static void on_signal(loop_fd *f, uint32_t events)
{
    (void)events;
    app *a = (app *)(void *)((char *)f - offsetof(app, signals));
    int number;
    while ((number = proc_signal_next(f->fd)) != 0) {
        if (number == PROC_SIGNAL_PIPE || number == PROC_SIGNAL_XFSZ) continue;
        if (number == PROC_SIGNAL_HUP) {
            reload(a);
            continue;
        }
        if (a->leaving) {
            log_write(LOG_WARN, NULL, "second signal %d: leaving without waiting for requests", number);
            drained(a);
            return;
        }
        leave(a, number);
    }
}

/* What is wrong with a file is told of the option that names it; other texts name theirs. */
static err_code trust_wrong(const tls_trust *t, const char *else_of, err *e)
{
    const struct {
        const char *name, *path;
    } files[] = {{"cacert", t->cacert}, {"cert", t->cert}, {"key", t->key}};
    const str text = str_of(e->text);
    for (size_t i = 0; i < COUNTOF(files); i++) {
        const str path = str_of(files[i].path);
        if (path.len && str_starts(text, path) && text.p[path.len] == ':')
            return err_wrap(e, "%s%s", t->prefix, files[i].name);
    }
    return else_of ? err_wrap(e, "%s", else_of) : e->code;
}

static err_code tracer_open(app *a, uint32_t lanes, err *e)
{
    const conf *c = a->conf;
    const tls_trust trust = conf_otlp_trust(c);
    tracer_opts o = {.endpoint = c->otlp_endpoint.p,
                     .trust = &trust,
                     .service = c->otlp_service_name,
                     .share = conf_trace_share(c),
                     .lanes = lanes};
    if (c->otlp_endpoint.len == 0) return ERR_OK;
    err_code rc = random_u64(&o.seed, e);
    if (rc == ERR_OK) rc = tracer_new(&a->endpoints.tracer, &o, e);
    if (rc) return trust_wrong(&trust, "otlp-endpoint", e);
    if (trust.insecure)
        log_write(LOG_WARN, NULL, "tracing: otlp-insecure: whoever answers for %s is trusted, and sees all spans",
                  o.endpoint);
    return ERR_OK;
}

/* It is opened with the first trace, which is late to learn that it cannot be. */
static err_code trace_file_check(const char *path, err *e)
{
    char folder[FILE_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) + 1 : 0;
    file_id id;
    if (len >= sizeof folder) return err_set(e, ERR_INVALID, "trace-file: expected a path of at most %d bytes, got %zu",
                                             FILE_PATH_MAX - 1, strlen(path));
    snprintf(folder, sizeof folder, "%.*s", len ? (int)len : 1, len ? path : ".");
    if (file_identify(folder, &id, e)) return err_wrap(e, "trace-file");
    if (!file_identify(path, &id, e) && id.kind != FILE_REGULAR)
        return err_set(e, ERR_INVALID, "trace-file: expected a regular file, got '%s'", path);
    return ERR_OK;
}

static err_code trace_log_open(app *a, err *e)
{
    endpoints *s = &a->endpoints;
    err_code rc = conf_trace(a->conf, a->traces, e);
    s->trace_defaults = a->traces;
    s->trace_file = a->conf->trace_file;
    const trace_settings settings = {.own = &s->trace, .defaults = a->traces, .file = s->trace_file};
    if (rc == ERR_OK) rc = trace_setting_apply(&settings, &(trace_change){.set = 0}, e);
    if (rc || !s->trace_file.len) return rc;
    if ((rc = trace_file_check(s->trace_file.p, e)) != ERR_OK) return rc;
    const trace_log_opts opts = {.path = s->trace_file.p,
                                 .server = &s->trace,
                                 .defaults = a->traces,
                                 .bytes_max = a->conf->trace_bytes_max};
    return trace_log_new(&s->trace_log, &opts, e);
}

static err_code jobs_open(app *a, err *e)
{
    const conf *c = a->conf;
    if (!c->jobs_dir.len) return ERR_OK;
    a->webhook_trust = conf_webhook_trust(c);
    const jobs_opts o = {.path = c->jobs_dir.p,
                         .heir = a->old != NULL,
                         .limits = {.bytes_max = c->jobs_bytes_max,
                                    .keep_us = c->jobs_keep_s * 1000000,
                                    .count_max = (uint32_t)c->jobs_max,
                                    .running_max = (uint32_t)c->jobs_running_max},
                         .reply_bytes_max = c->reply_bytes_max,
                         .loops = a->loops,
                         .loop_count = a->lane_count,
                         .run = job_begin,
                         .ctx = &a->endpoints,
                         .tell = {.trust = &a->webhook_trust, .hosts = c->webhook_hosts.p}};
    if (c->webhook_insecure)
        log_write(LOG_WARN, NULL, "jobs: webhook-insecure: whoever answers for a webhook's host gets its answers");
    if (job_teller_check(&o.tell, e)) return trust_wrong(&a->webhook_trust, NULL, e);
    err_code rc = jobs_new(&a->endpoints.jobs, &o, e);
    return rc ? err_wrap(e, "jobs-dir") : ERR_OK;
}

static err_code lanes_new(app *a, err *e)
{
    size_t n = a->conf->loops ? a->conf->loops : cgroup_cpus();
    endpoint_pools_opts po = {.endpoints = &a->endpoints,
                              .infer = {.compute = a->pool,
                                        .memory_bytes_max = a->conf->memory_bytes_max,
                                        .reply_bytes_max = a->conf->reply_bytes_max,
                                        .regions = a->endpoints.regions},
                              .message_bytes_max = a->conf->body_bytes_max};
    err_code rc = tracer_open(a, (uint32_t)n, e);
    if (rc == ERR_OK) rc = trace_log_open(a, e);
    po.infer.trace_log = a->endpoints.trace_log;
    if (rc) return rc;
    a->lanes = mem_new0(lane, n);
    a->loops = mem_new0(loop *, n);
    if (!a->lanes || !a->loops) return err_set(e, ERR_NOMEM, "loops: no memory for %zu", n);
    for (size_t i = 0; i < n; i++) {
        uint64_t seed;
        rc = random_u64(&seed, e);
        if (rc == ERR_OK) rc = loop_new(&a->lanes[i].loop, seed, e);
        po.on = a->lanes[i].loop;
        po.infer.lane = (uint32_t)i;
        po.traces = tracer_lane_at(a->endpoints.tracer, (uint32_t)i);
        if (rc == ERR_OK) rc = endpoint_pools_init(&a->lanes[i].pools, &po, e);
        a->loops[i] = a->lanes[i].loop;
        a->lane_count = i + 1;
        if (rc) return rc;
    }
    return ERR_OK;
}

static http_limits limits_of(const conf *c)
{
    http_limits limits = http_limits_default;
    cgroup_limits allowed;
    cgroup_limits_read("", &allowed);
    limits.line_bytes_max = c->header_bytes_max;
    limits.header_bytes_max = c->header_bytes_max;
    limits.body_bytes_max = c->body_bytes_max;
    limits.bodies_bytes_max = conf_bodies_bytes(c, allowed.memory_bytes);
    limits.replies_bytes_max = conf_replies_bytes(c, allowed.memory_bytes);
    limits.connections_max = c->connections_max;
    limits.header_wait_us = c->header_wait_ms * 1000;
    limits.body_wait_us = c->body_wait_ms * 1000;
    limits.idle_wait_us = c->idle_wait_ms * 1000;
    limits.write_wait_us = c->write_wait_ms * 1000;
    return limits;
}

static err_code owner_open(app *a, const http_limits *limits, uint64_t id_seed, err *e)
{
    sock_addr at;
    if (!a->conf->control.len) return ERR_OK;
    err_code rc = conf_control(a->conf, &at, e);
    const owner_door_opts opts = {
        .on = a->loops[0], .at = &at, .limits = limits, .endpoints = &a->endpoints, .id_seed = id_seed};
    return rc ? rc : owner_door_open(&a->owner, &opts, e);
}

static err_code server_open(app *a, tls_context *tls, err *e)
{
    const conf *c = a->conf;
    const http_limits limits = limits_of(c);
    server_opts so = {.loops = a->loops,
                      .loop_count = a->lane_count,
                      .limits = limits,
                      .tls = tls,
                      .cleartext = c->tls_cleartext,
                      .handler = endpoints_handle,
                      .begin = endpoints_begin,
                      .ctx = &a->endpoints,
                      .replied = c->log_requests ? access_log : NULL,
                      .rested = endpoints_rested};
    err_code rc = random_u64(&so.id_seed, e);
    doors d = {.all = NULL};
    if (rc == ERR_OK) rc = doors_open(&d, c, a->by, a->lane_count, e);
    if (rc) return rc;
    so.at = d.all;
    a->old = d.from;
    so.id_seed |= 1;   /* 0 would turn request ids off */
    rc = server_new(&a->server, &so, e);
    return rc ? rc : owner_open(a, &limits, ~so.id_seed, e);
}

static err_code heir_open(app *a, err *e)
{
    sock_addr at;
    if (!a->conf->handover.len) return ERR_OK;
    err_code rc = conf_handover(a->conf, &at, e);
    if (rc) return rc;
    const giver_opts opts = {.on = a->loops[0],
                             .at = &at,
                             .control = a->old ? taker_control(a->old) : -1,
                             .all = server_listeners(a->server),
                             .ready_wait_us = a->conf->handover_wait_ms * 1000,
                             .given = given,
                             .ctx = a};
    return giver_new(&a->heir, &opts, e);
}

err_code app_tls_open(const conf *c, tls_context **ret, err *e)
{
    *ret = NULL;
    if (c->tls_cert.len == 0) return ERR_OK;
    const tls_context_opts opts = {.cert_path = c->tls_cert.p,
                                   .key_path = c->tls_key.p,
                                   .client_ca_path = c->tls_client_ca.p,
                                   .only_13 = c->tls_min == CONF_TLS_13};
    err_code rc = tls_context_new(ret, &opts, e);
    if (rc) return err_wrap(e, "tls");
    int days = tls_context_days_left(*ret);
    if (days < 0) log_write(LOG_WARN, NULL, "tls: %s: the certificate has expired", opts.cert_path);
    file_id key;
    err ignored;
    if (file_identify(opts.key_path, &key, &ignored) == ERR_OK && (key.mode & 04))
        log_write(LOG_WARN, NULL, "tls: %s: everybody may read the private key: expected mode 600 or 640, got %03o",
                  opts.key_path, (unsigned)key.mode);
    return ERR_OK;
}

static void models_changed(void *ctx) { endpoints_models_changed(&((app *)ctx)->endpoints); }

static void model_loaded(void *ctx, str name, const served *s, const err *failed)
{
    app *a = ctx;
    ready_line_tell(&a->ready, name, s ? s->version : STR(""), failed);
}

static err_code poller_open(app *a, err *e)
{
    const conf *c = a->conf;
    if (c->model_control != CONF_CONTROL_POLL || !c->model_repository.len) return ERR_OK;
    const poller_opts opts = {.control = a->endpoints.control,
                              .on = a->loops[0],
                              .folder = c->model_repository,
                              .poll_us = c->poll_secs * 1000000};
    return poller_new(&a->poller, &opts, e);
}

/* A weight or a rate for a model that will never be there is a slip of the pen, as an alias of one is. */
static err_code limits_check(const app *a, err *e)
{
    const conf *c = a->conf;
    bool stays = c->model_control == CONF_CONTROL_NONE && !c->slot && !c->control.len;
    for (size_t i = 0; i < c->limit_count; i++) {
        const model_limit *l = &c->limits[i];
        const char *option = l->weight ? "model-weights" : "model-rates";
        if (repository_knows(a->endpoints.models, l->model)) continue;
        err_set(e, ERR_INVALID, "%s: expected a model that is here, got '" STR_FMT "'", option, STR_ARG(l->model));
        if (stays) return e->code;
        log_write(LOG_WARN, NULL, "%s", e->text);
    }
    return ERR_OK;
}

err_code app_new(app **ret, const conf *c, const service *by, tls_context *tls, err *e)
{
    /* PIPE: whoever read our log went away; XFSZ: a file may not grow any more, as on a full disk.  Neither is a reason
     * to die. */
    static const int numbers[] = {PROC_SIGNAL_TERM, PROC_SIGNAL_INT, PROC_SIGNAL_PIPE, PROC_SIGNAL_HUP,
                                  PROC_SIGNAL_XFSZ};
    uint64_t fds;
    CLEANUP(app) app *a = mem_new0(app, 1);
    if (!a) return err_set(e, ERR_NOMEM, "server: no memory");
    a->conf = c;
    a->by = by;
    a->signals.fd = SIGNALS_NONE;
    a->ready.fd = c->ready_fd == CONF_PORT_NONE ? -1 : (int)c->ready_fd;
    a->endpoints.slot = c->slot;
    err_code rc = proc_signals_open(numbers, COUNTOF(numbers), &a->signals.fd, e);
    if (rc == ERR_OK) rc = proc_fds_raise(&fds, e);
    if (rc == ERR_OK) rc = compute_new(&a->pool, (uint32_t)c->threads, e);
    if (rc == ERR_OK) rc = cors_init(&a->endpoints.cors, c->cors_origins, c->cors_credentials, e);
    a->endpoints.guard.metrics_open = c->metrics_open;
    if (rc == ERR_OK && c->api_keys.len) rc = guard_open(&a->endpoints.guard, c->api_keys.p, e);
    if (rc == ERR_OK) rc = shm_set_new(&a->endpoints.regions, e);
    if (rc == ERR_OK) rc = lanes_new(a, e);
    if (rc == ERR_OK) rc = watchdog_new(&a->watchdog, by, a->loops, a->lane_count, e);
    if (rc == ERR_OK) rc = server_open(a, tls, e);
    if (rc == ERR_OK) rc = heir_open(a, e);
    const repository_opts ro = conf_models(c, a->pool, (uint32_t)a->lane_count);
    if (rc == ERR_OK) rc = repository_open(&a->endpoints.models, &ro, e);
    if (rc == ERR_OK) rc = limits_check(a, e);
    model_control_opts mo = {.models = a->endpoints.models,
                             .loops = a->loops,
                             .loop_count = a->lane_count,
                             .allowed = c->model_control == CONF_CONTROL_EXPLICIT || c->slot,
                             .budget = conf_budget(c),
                             .changed = models_changed,
                             .loaded = model_loaded,
                             .ctx = a};
    if (rc == ERR_OK) rc = model_control_new(&a->endpoints.control, &mo, e);
    if (rc == ERR_OK) rc = model_control_bring_pinned(a->endpoints.control, e);
    if (rc == ERR_OK) a->endpoints.keeper = model_control_keeper(a->endpoints.control);
    if (rc == ERR_OK) rc = poller_open(a, e);
    if (rc == ERR_OK) rc = jobs_open(a, e);
    if (rc) return rc;
    a->endpoints.pools_of = pools_of;
    a->endpoints.ctx = a;
    a->endpoints.server = a->server;
    a->endpoints.coding = (coding){.compute = a->pool,
                                   .bodies = server_bodies(a->server),
                                   .body_bytes_max = c->body_bytes_max,
                                   .pack_bytes_min = c->compress_bytes_min};
    a->endpoints.pool = a->pool;
    a->endpoints.loops = a->loops;
    a->endpoints.loop_count = a->lane_count;
    a->endpoints.start_us = clock_wall_us();
    a->endpoints.metrics_names = (metrics_names)c->metrics_names;
    *ret = TAKE(a);
    return ERR_OK;
}

static void log_cut(const app *a)
{
    server_stats net;
    char fields[80];
    server_stats_read(a->server, &net);
    if (!net.cut_connections) return;
    snprintf(fields, sizeof fields, "connections=%llu requests=%llu", (unsigned long long)net.cut_connections,
             (unsigned long long)net.cut_calls);
    log_write(LOG_WARN, fields, "left without waiting any longer: cut off");
}

void app_free(app *a)
{
    if (!a) return;
    /* What is still under way has no client from here on, so it is cancelled; each run then ends with a message to
     * its loop, which gives back what the request holds. */
    watchdog_stop(a->watchdog);
    poller_stop(a->poller);
    giver_free(a->heir);
    taker_free(a->old);
    server_abort(a->server);
    server_abort(a->owner);
    if (a->server) log_cut(a);
    bool all_end = model_control_stop(a->endpoints.control);
    jobs_stop(a->endpoints.jobs);
    if (!all_end) return;   /* a thread uses all this for good: the process ends */
    repository_stop(a->endpoints.models);
    compute_free(a->pool);
    for (size_t i = 0; i < a->lane_count; i++)
        if (a->lanes[i].loop) loop_flush(a->lanes[i].loop);
    for (size_t i = 0; i < a->lane_count; i++) endpoint_pools_fini(&a->lanes[i].pools);
    poller_free(a->poller);
    server_free(a->server);
    server_free(a->owner);
    jobs_free(a->endpoints.jobs);
    tracer_free(a->endpoints.tracer);
    trace_log_free(a->endpoints.trace_log);
    for (size_t i = 0; i < a->lane_count; i++) loop_free(a->lanes[i].loop);
    watchdog_free(a->watchdog);
    guard_close(&a->endpoints.guard);
    shm_set_free(a->endpoints.regions);
    model_control_free(a->endpoints.control);
    repository_free(a->endpoints.models);
    if (a->signals.fd != SIGNALS_NONE) proc_signals_close(a->signals.fd);
    mem_free(a->lanes);
    mem_free(a->loops);
    mem_free(a);
}

listeners *app_listeners(const app *a) { return server_listeners(a->server); }
listeners *app_control(const app *a) { return a->owner ? server_listeners(a->owner) : NULL; }
void app_table(const app *a, buf *out) { model_table_print(out, a->endpoints.models); }

static void say_ready(app *a)
{
    char at[SOCK_ADDR_TEXT_MAX], status[SOCK_ADDR_TEXT_MAX + 64];
    size_t more = listeners_count(app_listeners(a)) - 1;
    sock_addr_print(listeners_at(app_listeners(a), 0), at);
    int n = snprintf(status, sizeof status, "serving at %s", at);
    if (more) snprintf(status + n, sizeof status - (size_t)n, " and %zu more", more);
    service_ready(a->by, status);
    for (size_t i = 0; a->ready.fd >= 0 && i < repository_count(a->endpoints.models); i++) {
        const served *s = repository_at(a->endpoints.models, i);
        if (s) ready_line_tell(&a->ready, s->name, s->version, NULL);
    }
}

/* All loops but this one run, and this one will: the old server may go. */
static err_code take_over(app *a, err *e)
{
    if (!a->old) return ERR_OK;
    err_code rc = taker_ready(a->old, e);
    if (rc) return rc;
    listeners_own(app_listeners(a));
    giver_own(a->heir);
    taker_free(TAKE(a->old));
    service_main(a->by, proc_id());
    log_write(LOG_INFO, NULL, "hand-over: took the listeners of the old server");
    return ERR_OK;
}

static void lane_main(void *ctx)
{
    lane *l = ctx;
    thread_prompt();
    if (loop_run(l->loop, &l->failure)) log_write(LOG_ERROR, NULL, "event loop: %s", l->failure.text);
}

err_code app_run(app *a, err *e)
{
    err_code rc = ERR_OK;
    a->signals.ready = on_signal;
    a->notice.fire = notice_over;
    a->handing.fire = handing_on;
    if (a->old) rc = taker_check(a->old, e);
    if (rc == ERR_OK) rc = loop_fd_add(a->loops[0], &a->signals, LOOP_READ, e);
    if (rc) return rc;
    for (size_t i = 1; i < a->lane_count && rc == ERR_OK; i++) {
        char name[32];
        snprintf(name, sizeof name, "loop%zu", i);
        rc = thread_start(&a->lanes[i].thread, name, lane_main, &a->lanes[i], e);
        a->lanes[i].started = rc == ERR_OK;
    }
    if (rc == ERR_OK) rc = take_over(a, e);
    if (rc == ERR_OK && a->endpoints.jobs) rc = jobs_start(a->endpoints.jobs, e);
    if (rc == ERR_OK) {
        say_ready(a);
        thread_prompt();
        rc = loop_run(a->loops[0], e);
    } else {
        drained(a);
    }
    for (size_t i = 1; i < a->lane_count; i++)
        if (a->lanes[i].started) thread_join(&a->lanes[i].thread);
    loop_timer_cancel(a->loops[0], &a->notice);
    loop_fd_del(&a->signals);
    return rc;
}
