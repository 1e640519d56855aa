#include "http_rig.h"

#include "models/model_control.h"
#include "net/listeners.h"
#include "os/clock.h"
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GOT_ROOM = 8 << 20, TIMEOUT_US = 20000000 };

static char got_bytes[GOT_ROOM + 1];

static endpoint_pools *pools_of(void *ctx, const loop *on)
{
    http_rig *r = ctx;
    INVARIANT(on == r->loop);
    return &r->pools;
}

static void on_timeout(loop_timer *t)
{
    http_rig *r = (http_rig *)(void *)((char *)t - offsetof(http_rig, timeout));
    r->timed_out = true;
    loop_stop(r->loop);
}

static void set(http_rig *r, const char *key, const char *to)
{
    err e;
    if (to) INVARIANT(conf_set(&r->conf, "rig", str_of(key), str_of(to), &e) == ERR_OK);
}

static err_code configure(http_rig *r, const http_rig_opts *o, const char *const *models, err *e)
{
    arena_init(&r->memory, NULL, 0, 1 << 20);
    err_code rc = conf_init(&r->conf, &r->memory, e);
    if (rc) return rc;
    set(r, "inline-us", o->inline_us);
    set(r, "queue-max", o->queue_max);
    set(r, "threads", o->threads);
    set(r, "memory-bytes-max", o->memory_bytes_max);
    set(r, "reply-bytes-max", o->reply_bytes_max);
    set(r, "body-bytes-max", o->body_bytes_max);
    set(r, "replies-bytes-max", o->replies_bytes_max);
    set(r, "compute-wait-ms", o->compute_wait_ms);
    set(r, "model-control", o->model_control);
    set(r, "model-repository", o->model_repository);
    set(r, "load-model", o->load_model);
    set(r, "alias", o->alias);
    set(r, "trace-file", o->trace_file);
    set(r, "models-memory-max", o->models_memory_max);
    set(r, "models-stay-ms", o->models_stay_ms);
    set(r, "models-wait-ms", o->models_wait_ms);
    set(r, "pin-models", o->pin_models);
    for (; *models && rc == ERR_OK; models += 2)
        rc = conf_model_add(&r->conf, "rig", str_of(models[0]), str_of(models[1]), e);
    return rc;
}

static err_code open_all(http_rig *r, err *e)
{
    err_code rc = compute_new(&r->pool, (uint32_t)r->conf.threads, e);
    if (rc == ERR_OK) rc = loop_new(&r->loop, 1, e);
    if (rc == ERR_OK) rc = shm_set_new(&r->endpoints.regions, e);
    r->endpoints.trace_file = r->conf.trace_file;
    const trace_log_opts traces = {.path = r->conf.trace_file.p, .server = &r->endpoints.trace};
    if (rc == ERR_OK && r->conf.trace_file.len) rc = trace_log_new(&r->endpoints.trace_log, &traces, e);
    endpoint_pools_opts po = {.endpoints = &r->endpoints,
                              .on = r->loop,
                              .infer = {.compute = r->pool,
                                        .memory_bytes_max = r->conf.memory_bytes_max,
                                        .reply_bytes_max = r->conf.reply_bytes_max,
                                        .regions = r->endpoints.regions,
                                        .trace_log = r->endpoints.trace_log},
                              .message_bytes_max = r->conf.body_bytes_max};
    if (rc == ERR_OK) rc = endpoint_pools_init(&r->pools, &po, e);
    sock_addr any;
    CLEANUP(listeners) listeners *at = NULL;
    if (rc == ERR_OK) rc = listeners_new(&at, e);
    if (rc == ERR_OK) rc = sock_addr_parse(&any, "127.0.0.1", 0, e);
    if (rc == ERR_OK) rc = listeners_open(at, &(listeners_opts){.addr = &any, .sockets = 1}, e);
    if (rc) return rc;
    server_opts so = {.at = TAKE(at),
                      .loops = &r->loop,
                      .loop_count = 1,
                      .handler = endpoints_handle,
                      .begin = endpoints_begin,
                      .limits = {.body_bytes_max = r->conf.body_bytes_max,
                                 .bodies_bytes_max = conf_bodies_bytes(&r->conf, 1),
                                 .replies_bytes_max = conf_replies_bytes(&r->conf, 1)},
                      .ctx = &r->endpoints,
                      .id_seed = 7};
    rc = server_new(&r->server, &so, e);
    const repository_opts ro = conf_models(&r->conf, r->pool, 1);
    if (rc == ERR_OK) rc = repository_open(&r->endpoints.models, &ro, e);
    model_control_opts mo = {.models = r->endpoints.models,
                             .loops = &r->loop,
                             .loop_count = 1,
                             .allowed = r->conf.model_control == CONF_CONTROL_EXPLICIT,
                             .budget = conf_budget(&r->conf),
                             .changed = endpoints_models_changed,
                             .ctx = &r->endpoints};
    if (rc == ERR_OK) rc = model_control_new(&r->endpoints.control, &mo, e);
    if (rc == ERR_OK) rc = model_control_bring_pinned(r->endpoints.control, e);
    if (rc == ERR_OK) r->endpoints.keeper = model_control_keeper(r->endpoints.control);
    if (rc == ERR_OK) rc = loop_timer_set(r->loop, &r->timeout, UINT64_MAX / 2, e);
    r->endpoints.pools_of = pools_of;
    r->endpoints.ctx = r;
    r->endpoints.server = r->server;
    if (rc) return rc;
    r->endpoints.coding = (coding){.compute = r->pool,
                                   .bodies = server_bodies(r->server),
                                   .body_bytes_max = r->conf.body_bytes_max,
                                   .pack_bytes_min = r->conf.compress_bytes_min};
    r->endpoints.pool = r->pool;
    r->endpoints.loops = &r->loop;
    r->endpoints.loop_count = 1;
    return rc;
}

bool http_rig_start(http_rig *r, const http_rig_opts *o, const char *const *models)
{
    err e;
    *r = (http_rig){.client = {.fd = -1}, .timeout = {.fire = on_timeout}, .got = got_bytes};
    if (configure(r, o, models, &e) == ERR_OK && open_all(r, &e) == ERR_OK) return true;
    http_rig_stop(r);
    return false;
}

/* As app_free() does it. */
void http_rig_stop(http_rig *r)
{
    http_rig_hang_up(r, false);
    if (r->loop) loop_timer_cancel(r->loop, &r->timeout);
    server_abort(r->server);
    model_control_stop(r->endpoints.control);
    repository_stop(r->endpoints.models);
    compute_free(r->pool);
    if (r->loop) loop_flush(r->loop);
    endpoint_pools_fini(&r->pools);
    server_free(r->server);
    trace_log_free(r->endpoints.trace_log);
    loop_free(r->loop);
    shm_set_free(r->endpoints.regions);
    model_control_free(r->endpoints.control);
    repository_free(r->endpoints.models);
    arena_fini(&r->memory);
}

/* ---- the client ---- */

static void parse(http_rig *r)
{
    r->got[r->got_len] = 0;
    char *end = strstr(r->got, "\r\n\r\n");
    if (!end) return;
    const char *length = strstr(r->got, "\r\nContent-Length: ");
    uint64_t n = 0;
    if (length && length < end) {
        str digits = str_of(length + 18);
        digits.len = strcspn(digits.p, "\r");
        INVARIANT(str_u64(digits, &n));
    }
    r->body_at = (size_t)(end + 4 - r->got);
    r->body_len = n;
    r->whole = r->got_len >= r->body_at + n;
}

static void on_client(loop_fd *f, uint32_t events)
{
    http_rig *r = (http_rig *)(void *)((char *)f - offsetof(http_rig, client));
    ssize_t n = 0;
    if (events & LOOP_WRITE) {
        n = send(f->fd, r->out + r->out_at, r->out_len - r->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) r->out_at += (size_t)n;
        if (r->out_at == r->out_len || (n < 0 && errno != EAGAIN)) loop_fd_want(f, LOOP_READ);
    }
    if (events & (LOOP_READ | LOOP_HANGUP)) {
        n = recv(f->fd, r->got + r->got_len, GOT_ROOM - r->got_len, MSG_DONTWAIT);
        if (n > 0) r->got_len += (size_t)n;
        r->closed = n == 0 || (n < 0 && errno != EAGAIN);
        parse(r);
    }
    if (r->closed) loop_fd_del(f);
    if (r->whole || r->closed) loop_stop(r->loop);
}

static void dial(http_rig *r)
{
    uint16_t port = sock_addr_port(listeners_at(server_listeners(r->server), 0));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    INVARIANT(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    INVARIANT(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) == 0);
    r->client = (loop_fd){.fd = fd, .ready = on_client};
    err e;
    INVARIANT(loop_fd_add(r->loop, &r->client, LOOP_READ, &e) == ERR_OK);
}

void http_rig_hang_up(http_rig *r, bool reset)
{
    if (r->client.fd < 0) return;
    struct linger now = {.l_onoff = 1};
    if (reset) INVARIANT(setsockopt(r->client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    if (r->client.on) loop_fd_del(&r->client);
    close(r->client.fd);
    r->client.fd = -1;
}

static void turn_until(http_rig *r, uint64_t us)
{
    err e;
    r->timed_out = false;
    INVARIANT(loop_timer_set(r->loop, &r->timeout, clock_now_us() + us, &e) == ERR_OK);
    CHECK(loop_run(r->loop, &e) == ERR_OK);
    INVARIANT(loop_timer_set(r->loop, &r->timeout, UINT64_MAX / 2, &e) == ERR_OK || r->timed_out);
}

void http_rig_turn(http_rig *r, uint64_t ms)
{
    uint64_t until_us = clock_now_us() + ms * 1000;
    for (uint64_t now = clock_now_us(); now < until_us; now = clock_now_us()) turn_until(r, until_us - now);
}

bool http_rig_has(const http_rig *r, const char *text)
{
    return memmem(r->got, r->got_len, text, strlen(text)) != NULL;
}

void http_rig_send(http_rig *r, const void *request, size_t len)
{
    if (r->client.fd >= 0 && r->closed) http_rig_hang_up(r, false);
    if (r->client.fd < 0) dial(r);
    r->out = request;
    r->out_len = len;
    r->out_at = r->got_len = 0;
    r->whole = r->closed = r->timed_out = false;
    loop_fd_want(&r->client, LOOP_READ | LOOP_WRITE);
}

/* Takes the line that begins with `name` out of the head; copies its value. */
static void head_line_take(http_rig *r, const char *name, char *to, size_t room)
{
    char *at = strstr(r->got, name);
    if (!at || at >= r->got + r->body_at) return;
    size_t skip = strlen(name), n = strcspn(at + skip, "\r");
    if (to) snprintf(to, room, "%.*s", (int)n, at + skip);
    size_t all = skip + n + 2;
    memmove(at, at + all, (size_t)(r->got + r->got_len - at) - all + 1);
    r->got_len -= all;
    r->body_at -= all;
}

const char *http_rig_ask(http_rig *r, const void *request, size_t len)
{
    http_rig_send(r, request, len);
    while (!r->whole && !r->closed && !r->timed_out) {
        turn_until(r, TIMEOUT_US);
    }
    if (!r->whole) return r->closed ? "closed" : "timeout";
    head_line_take(r, "Date: ", NULL, 0);
    head_line_take(r, "X-Request-Id: ", r->request_id, sizeof r->request_id);
    snprintf(r->text, sizeof r->text, "%s", r->got + strlen("HTTP/1.1 "));
    return r->text;
}

const char *http_rig_get(http_rig *r, const char *path)
{
    char request[600];
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
    return http_rig_ask(r, request, (size_t)n);
}

const char *http_rig_post(http_rig *r, const char *path, const char *headers, const void *body, size_t len)
{
    static char request[GOT_ROOM];
    int n = snprintf(request, sizeof request, "POST %s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %zu\r\n\r\n", path,
                     headers, len);
    INVARIANT((size_t)n + len <= sizeof request);
    if (len) memcpy(request + n, body, len);
    return http_rig_ask(r, request, (size_t)n + len);
}

served *http_rig_model(http_rig *r, const char *name)
{
    served *s = NULL;
    err e;
    CHECK(repository_find(r->endpoints.models, str_of(name), STR(""), &s, &e) == ERR_OK);
    return s;
}

uint64_t http_rig_count(const served *m, size_t offset)
{
    metrics_lane sum;
    metrics_model_sum(&m->metrics, &sum);
    return atomic_load((metric_counter *)(void *)((char *)&sum + offset));
}

static bool says(const char *from, const char *got, const char *want)
{
    if (strstr(got, want)) return true;
    printf("# %s: %s\n", from, got);
    return false;
}

bool http_rig_gets(http_rig *r, const char *path, const char *want) { return says(path, http_rig_get(r, path), want); }

bool http_rig_answers(http_rig *r, const char *path, const char *body, const char *want)
{
    return says(path, http_rig_post(r, path, "", body, strlen(body)), want);
}

bool http_rig_index_says(http_rig *r, const char *want)
{
    for (int i = 0; i < 2000; i++) {
        if (strstr(http_rig_post(r, "/v2/repository/index", "", "", 0), want)) return true;
        http_rig_turn(r, 5);
    }
    return says("the index", r->text, want);
}

const char *http_rig_ready(http_rig *r)
{
    static char names[80];
    size_t len = 0;
    const char *at = http_rig_post(r, "/v2/repository/index", "", "{\"ready\":true}", 14);
    for (names[0] = 0; (at = strstr(at, "{\"name\":\"")) != NULL && len + 3 <= sizeof names; len += 2) {
        at += 9;
        snprintf(names + len, sizeof names - len, "%c ", *at);
    }
    return names;
}
