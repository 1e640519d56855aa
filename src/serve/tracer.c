#include "serve/tracer.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/version.h"
#include "net/client.h"
#include "os/bell.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/thread.h"
#include "serve/step_times.h"
#include "wire/otlp.h"

#include <stdio.h>
#include <string.h>

enum {
    PATH_ROOM = 200, MODEL_ROOM = 132, VERSION_ROOM = 32, MESSAGE_ROOM = 200, HOST_ROOM = 128, ID_ROOM = 130,
    METHOD_ROOM = 16,
    BATCH_BYTES_MAX = 8 << 20,   /* of some 2 kB a request, of an ensemble up to 100 kB: */
    BATCH_BYTES_FULL = BATCH_BYTES_MAX / 2,
    ATTRIBUTES_MAX = 16,
    PARTS = 4
};

/* A piece of text that outlives its request, cut to its room. */
#define TEXT(name, room) \
    struct { \
        size_t len; \
        char p[room]; \
    } name

typedef struct {
    const char *name;
    uint64_t since_ns, until_ns;   /* until 0 = it has not happened */
} part;

struct traced {
    tracer_lane *of;
    uint16_t place;
    bool grpc, has_parent, secure, cached;
    uint8_t flags, trace_id[TRACE_ID_BYTES], span_id[SPAN_ID_BYTES], parent_id[SPAN_ID_BYTES];
    uint64_t since_ns, until_ns, received;
    part parts[PARTS];
    step_times *steps;   /* of an ensemble; or NULL */
    metric_protocol protocol;
    int status;
    TEXT(state, TRACE_STATE_BYTES_MAX);
    TEXT(method, METHOD_ROOM);
    TEXT(path, PATH_ROOM);
    TEXT(host, HOST_ROOM);
    TEXT(id, ID_ROOM);
    TEXT(model, MODEL_ROOM);
    TEXT(version, VERSION_ROOM);
    TEXT(message, MESSAGE_ROOM);
};

#define TEXT_SET(to, s) text_set((to).p, sizeof (to).p, &(to).len, s)
#define TEXT_OF(t) ((str){(t).p, (t).len})

static void text_set(char *p, size_t room, size_t *len, str s)
{
    *len = s.len < room ? s.len : room;
    if (*len) memcpy(p, s.p, *len);
}

/* Places on their way from one thread to another; never more than there are. */
typedef struct {
    _Alignas(64) _Atomic uint32_t put;     /* the writer's */
    _Alignas(64) _Atomic uint32_t taken;   /* the reader's */
    uint16_t places[TRACER_PLACES];
} ring;

struct tracer_lane {
    ring idle, full;   /* to the loop, to the thread */
    tracer *of;
    traced *all;
    rng ids;
    _Atomic uint64_t dropped;
};

/* What the thread sleeps for. */
enum { WAITS_NOT, WAITS_ANY, WAITS_MANY };

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): what every loop reads has a cache line of its own */
struct tracer {
    double share;
    str service;
    tracer_lane *lanes;
    uint32_t lane_count;
    client *client;
    int bell;
    rng ids;
    buf out;
    thread thread;
    bool started, failing;
    _Alignas(64) _Atomic uint32_t waits;
    _Atomic uint32_t events, ended;
    _Atomic bool stopping;
    _Atomic uint64_t sent, failed;
};

static uint32_t ring_count(const ring *r)
{
    return atomic_load(&r->put) - atomic_load_explicit(&r->taken, memory_order_acquire);
}

static void ring_put(ring *r, uint16_t place)
{
    uint32_t at = atomic_load_explicit(&r->put, memory_order_relaxed);
    INVARIANT(ring_count(r) < TRACER_PLACES);
    r->places[at % TRACER_PLACES] = place;
    atomic_store(&r->put, at + 1);   /* in one order with `waits`: see wake() */
}

static bool ring_take(ring *r, uint16_t *ret)
{
    uint32_t at = atomic_load_explicit(&r->taken, memory_order_relaxed);
    if (at == atomic_load(&r->put)) return false;
    *ret = r->places[at % TRACER_PLACES];
    atomic_store_explicit(&r->taken, at + 1, memory_order_release);
    return true;
}

/* ---- on a loop ---- */

static void id_make(rng *ids, uint8_t *to, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
        uint64_t v = rng_u64(ids) | 1;   /* never zero, which is no id */
        memcpy(to + i, &v, sizeof v);
    }
}

traced *traced_begin(tracer_lane *l, const http_call *call, const http_request *req, const trace_context *from,
                     bool root)
{
    uint16_t place;
    if (!l) return NULL;
    if (from->valid ? !from->sampled : !root || rng_unit(&l->ids) >= l->of->share) return NULL;
    if (!ring_take(&l->idle, &place)) {
        atomic_fetch_add_explicit(&l->dropped, 1, memory_order_relaxed);
        return NULL;
    }
    traced *t = &l->all[place];
    *t = (traced){.of = l, .place = place, .flags = 1, .since_ns = http_call_since_us(call) * 1000};
    t->secure = http_call_secure(call);
    t->received = req->body.len;
    TEXT_SET(t->method, req->method);
    TEXT_SET(t->path, req->path);
    TEXT_SET(t->host, http_header_get(req, HTTP_FIELD_HOST));
    TEXT_SET(t->id, http_call_request_id(call));
    id_make(&l->ids, t->span_id, SPAN_ID_BYTES);
    if (!from->valid) {
        id_make(&l->ids, t->trace_id, TRACE_ID_BYTES);
        return t;
    }
    t->has_parent = true;
    t->flags = from->flags;
    memcpy(t->trace_id, from->trace_id, TRACE_ID_BYTES);
    memcpy(t->parent_id, from->span_id, SPAN_ID_BYTES);
    t->state.len = trace_context_state(req->headers, req->header_count, t->state.p);
    return t;
}

void traced_infer(traced *t, const infer *r)
{
    if (!t) return;
    const infer_times *at = &r->times;
    bool ran = r->item.end_ns != 0;
    TEXT_SET(t->model, r->model->name);
    TEXT_SET(t->version, r->model->version);
    t->protocol = r->protocol->counted;
    t->received = r->body.len;
    t->cached = r->cached.found_ns != 0;
    step_times_free(t->steps);   /* of the message before, in a stream */
    t->steps = r->item.run ? step_times_new(&r->item) : NULL;
    t->parts[0] = (part){"read", at->read_since, at->read_until};
    t->parts[1] = (part){"queue", r->item.since_ns, ran ? r->item.start_ns : 0};
    t->parts[2] = (part){"compute", r->item.start_ns, r->item.end_ns};
    t->parts[3] = (part){"write", at->write_since, at->write_until};
}

/* The thread looks at the rings behind setting `waits`, we at `waits` behind filling a ring: one sees the other. */
static void wake(tracer *t, const ring *full)
{
    uint32_t waits = atomic_load(&t->waits);
    if (waits == WAITS_NOT || (waits == WAITS_MANY && ring_count(full) < TRACER_PLACES / 2)) return;
    if (atomic_exchange(&t->waits, WAITS_NOT) == WAITS_NOT) return;
    atomic_fetch_add(&t->events, 1);
    futex_wake(&t->events, 1);
}

void traced_end(traced *t, bool grpc, int status, const char *text)
{
    if (!t) return;
    tracer_lane *l = t->of;
    t->grpc = grpc;
    t->status = status;
    TEXT_SET(t->message, str_of(text));
    t->until_ns = clock_now_ns();
    ring_put(&l->full, t->place);
    wake(l->of, &l->full);
}

/* ---- spans into bytes ---- */

/* gRPC's statuses that are a server's failure, as the semantic conventions list them. */
static bool is_failure(const traced *t)
{
    static const int failures[] = {2, 4, 12, 13, 14, 15};
    if (!t->grpc) return t->status >= 500;
    for (size_t i = 0; i < COUNTOF(failures); i++)
        if (t->status == failures[i]) return true;
    return false;
}

typedef struct {
    otlp_attribute list[ATTRIBUTES_MAX];
    size_t count;
} attributes;

static void text_add(attributes *a, const char *key, str text)
{
    INVARIANT(a->count < ATTRIBUTES_MAX);
    if (text.len) a->list[a->count++] = (otlp_attribute){.key = str_of(key), .text = text};
}

static void number_add(attributes *a, const char *key, int64_t number)
{
    INVARIANT(a->count < ATTRIBUTES_MAX);
    a->list[a->count++] = (otlp_attribute){.key = str_of(key), .number = number};
}

static void cache_add(attributes *a, bool found)
{
    if (found) text_add(a, "proa.response_cache", STR("hit"));
}

static void server_add(attributes *a, str host)
{
    str name = host, port = {0};
    uint64_t number;
    for (size_t i = host.len; i-- > 0 && !port.p;)
        if (host.p[i] == ']') break;
        else if (host.p[i] == ':') {
            name.len = i;
            port = (str){host.p + i + 1, host.len - i - 1};
        }
    text_add(a, "server.address", name);
    if (port.p && str_u64(port, &number) && number <= UINT16_MAX) number_add(a, "server.port", (int64_t)number);
}

static str route_of(const traced *t)
{
    static const char *const routes[METRIC_PROTOCOLS] = {
        [METRIC_V2] = "/v2/models/{model}/infer",
        [METRIC_V1] = "/v1/models/{model}:predict",
        [METRIC_GENERATE] = "/v2/models/{model}/generate",
    };
    return t->model.len ? str_of(routes[t->protocol]) : (str){0};
}

static void http_add(attributes *a, const traced *t, char digits[8])
{
    text_add(a, "http.request.method", TEXT_OF(t->method));
    text_add(a, "url.scheme", t->secure ? STR("https") : STR("http"));
    text_add(a, "url.path", TEXT_OF(t->path));
    text_add(a, "http.route", route_of(t));
    number_add(a, "http.request.body.size", (int64_t)t->received);
    number_add(a, "http.response.status_code", t->status);
    int n = snprintf(digits, 8, "%d", t->status);
    if (is_failure(t)) text_add(a, "error.type", (str){digits, (size_t)n});
}

static void rpc_add(attributes *a, const traced *t)
{
    str path = TEXT_OF(t->path), service = path, method = {0};
    if (path.len) path = (str){path.p + 1, path.len - 1};
    if (str_cut(path, '/', &service, &method)) text_add(a, "rpc.method", method);
    text_add(a, "rpc.system", STR("grpc"));
    text_add(a, "rpc.service", service);
    number_add(a, "rpc.grpc.status_code", t->status);
}

static void part_put(tracer *t, const traced *of, const uint8_t *parent_id, const part *p, uint64_t epoch_ns)
{
    uint8_t id[SPAN_ID_BYTES];
    if (!p->until_ns) return;
    id_make(&t->ids, id, sizeof id);
    otlp_span_put(&t->out, &(otlp_span){.trace_id = of->trace_id,
                                        .span_id = id,
                                        .parent_id = parent_id,
                                        .flags = of->flags,
                                        .state = TEXT_OF(of->state),
                                        .name = str_of(p->name),
                                        .kind = OTLP_INTERNAL,
                                        .start_ns = epoch_ns + p->since_ns,
                                        .end_ns = epoch_ns + p->until_ns});
}

static void step_put(tracer *t, const traced *of, const step_time *s, const uint8_t *id, const uint8_t *parent_id,
                     uint64_t epoch_ns)
{
    const part waited = {"queue", s->since_ns, s->start_ns}, ran = {"compute", s->start_ns, s->end_ns};
    char name[MODEL_ROOM + 5];
    attributes a = {.count = 0};
    int n = snprintf(name, sizeof name, "step " STR_FMT, STR_ARG(s->model));
    text_add(&a, "proa.model.name", s->model);
    text_add(&a, "proa.model.version", s->version);
    cache_add(&a, s->found_ns != 0);
    otlp_span_put(&t->out, &(otlp_span){.trace_id = of->trace_id,
                                        .span_id = id,
                                        .parent_id = parent_id,
                                        .flags = of->flags,
                                        .state = TEXT_OF(of->state),
                                        .name = {name, (size_t)n < sizeof name ? (size_t)n : sizeof name - 1},
                                        .kind = OTLP_INTERNAL,
                                        .start_ns = epoch_ns + s->since_ns,
                                        .end_ns = epoch_ns + step_time_end(s),
                                        .attributes = a.list,
                                        .attribute_count = a.count,
                                        .failed = s->failed});
    part_put(t, of, id, &waited, epoch_ns);
    part_put(t, of, id, &ran, epoch_ns);
}

/* Children of the request, and those of an ensemble within of the step that asked for them. */
static void steps_put(tracer *t, const traced *of, uint64_t epoch_ns)
{
    uint8_t ids[STEP_TIMES_DEPTH_MAX][SPAN_ID_BYTES];
    for (uint32_t i = 0; of->steps && i < of->steps->count; i++) {
        const step_time *s = &of->steps->all[i];
        id_make(&t->ids, ids[s->depth], SPAN_ID_BYTES);
        step_put(t, of, s, ids[s->depth], s->depth ? ids[s->depth - 1] : of->span_id, epoch_ns);
    }
}

/* "POST /v2/models/{model}/infer", "inference.GRPCInferenceService/ModelInfer": of few values, as names have to be. */
static str name_of(const traced *t, char room[PATH_ROOM + METHOD_ROOM])
{
    str path = TEXT_OF(t->path), route = route_of(t);
    if (t->grpc) return path.len ? (str){path.p + 1, path.len - 1} : path;
    int n = snprintf(room, PATH_ROOM + METHOD_ROOM, STR_FMT "%s" STR_FMT, STR_ARG(TEXT_OF(t->method)),
                     route.len ? " " : "", STR_ARG(route));
    return (str){room, (size_t)n};
}

static void request_put(tracer *t, const traced *of, uint64_t epoch_ns)
{
    char digits[8], name[PATH_ROOM + METHOD_ROOM];
    attributes a = {.count = 0};
    if (of->grpc) rpc_add(&a, of);
    else http_add(&a, of, digits);
    server_add(&a, TEXT_OF(of->host));
    text_add(&a, "proa.model.name", TEXT_OF(of->model));
    text_add(&a, "proa.model.version", TEXT_OF(of->version));
    text_add(&a, "proa.request.id", TEXT_OF(of->id));
    cache_add(&a, of->cached);
    if (of->steps && of->steps->more) number_add(&a, "proa.steps.shown", of->steps->count);
    otlp_span_put(&t->out, &(otlp_span){.trace_id = of->trace_id,
                                        .span_id = of->span_id,
                                        .parent_id = of->has_parent ? of->parent_id : NULL,
                                        .parent_remote = of->has_parent,
                                        .flags = of->flags,
                                        .state = TEXT_OF(of->state),
                                        .name = name_of(of, name),
                                        .kind = OTLP_SERVER,
                                        .start_ns = epoch_ns + of->since_ns,
                                        .end_ns = epoch_ns + of->until_ns,
                                        .attributes = a.list,
                                        .attribute_count = a.count,
                                        .failed = is_failure(of),
                                        .message = TEXT_OF(of->message)});
    for (size_t i = 0; i < PARTS; i++) part_put(t, of, of->span_id, &of->parts[i], epoch_ns);
    steps_put(t, of, epoch_ns);
}

/* What waits, up to a batch: how many requests. */
static uint32_t batch_make(tracer *t)
{
    const otlp_attribute who[] = {{.key = STR("service.name"), .text = t->service},
                                  {.key = STR("service.version"), .text = STR(PROA_VERSION)},
                                  {.key = STR("telemetry.sdk.name"), .text = STR("proa")},
                                  {.key = STR("telemetry.sdk.language"), .text = STR("c")}};
    uint64_t epoch_ns = clock_wall_us() * 1000 - clock_now_ns();
    uint32_t count = 0;
    otlp_batch b;
    buf_clear(&t->out);
    otlp_open(&b, &t->out, who, COUNTOF(who), STR("proa"), STR(PROA_VERSION));
    for (uint32_t i = 0; i < t->lane_count; i++) {
        tracer_lane *l = &t->lanes[i];
        uint16_t place;
        while (count < TRACER_BATCH_MAX && t->out.len < BATCH_BYTES_FULL && ring_take(&l->full, &place)) {
            request_put(t, &l->all[place], epoch_ns);
            step_times_free(TAKE(l->all[place].steps));
            ring_put(&l->idle, place);
            count++;
        }
    }
    otlp_close(&b, &t->out);
    return count;
}

/* ---- to the collector ---- */

static bool is_stopping(const tracer *t) { return atomic_load(&t->stopping); }

/* One line when it begins to fail, one when it works again. */
static void tell(tracer *t, const char *text)
{
    if (text && !t->failing)
        log_write(LOG_WARN, NULL, "tracing: %s: %s; spans are lost", client_address(t->client), text);
    if (!text && t->failing) log_write(LOG_INFO, NULL, "tracing: %s takes spans again", client_address(t->client));
    t->failing = text != NULL;
}

/* True = it is over, one way or the other; else it is worth another try behind ret_after_us. */
static bool post(tracer *t, uint32_t count, uint64_t *ret_after_us)
{
    static const http_header type = {{"Content-Type", 12}, {"application/x-protobuf", 22}};
    client_reply reply;
    err e;
    uint64_t rejected = 0, after_s = 0;
    char text[64];
    err_code rc = client_call(t->client,
                              &(client_request){.target = STR("/v1/traces"),
                                                .headers = &type,
                                                .header_count = 1,
                                                .body = {buf_str(&t->out)},
                                                .again = true},
                              &reply, &e);
    *ret_after_us = 0;
    if (rc) {
        tell(t, e.text);
        return rc == ERR_CANCELLED || rc == ERR_TOO_LARGE;
    }
    if (reply.status / 100 == 2) {
        if (otlp_reply_read(reply.body, &rejected, &e)) rejected = 0;   /* what it says is its own business */
        if (rejected > count) rejected = count;
        atomic_fetch_add(&t->sent, count - rejected);
        atomic_fetch_add(&t->failed, rejected);
        tell(t, NULL);
        return true;
    }
    snprintf(text, sizeof text, "expected status 200, got '%d'", reply.status);
    tell(t, text);
    if (str_u64(http_header_find(reply.headers, reply.header_count, "Retry-After"), &after_s))
        *ret_after_us = 1000000 * (after_s < TRACER_RETRY_AFTER_S_MAX ? after_s : TRACER_RETRY_AFTER_S_MAX);
    return reply.status != 429 && reply.status != 502 && reply.status != 503 && reply.status != 504;
}

static void back_off(tracer *t, uint64_t wait_us)
{
    uint64_t until_us = clock_now_us() + wait_us;
    while (!is_stopping(t) && clock_now_us() < until_us) {
        uint32_t seen = atomic_load(&t->events);
        if (!is_stopping(t)) (void)futex_wait(&t->events, seen, until_us);
    }
}

static void send_batch(tracer *t, uint32_t count)
{
    uint64_t wait_us = TRACER_BACKOFF_US, sent = atomic_load(&t->sent), failed = atomic_load(&t->failed);
    bool over = t->out.full;
    for (int i = 0; i < TRACER_TRIES_MAX && !over; i++) {
        uint64_t after_us;
        if (is_stopping(t)) client_wait_set(t->client, TRACER_STOP_US / 2);
        over = post(t, count, &after_us);
        if (over || is_stopping(t) || i + 1 == TRACER_TRIES_MAX) break;
        back_off(t, after_us > wait_us ? after_us : wait_us / 2 + rng_below(&t->ids, wait_us));
        wait_us = 2 * wait_us < TRACER_BACKOFF_US_MAX ? 2 * wait_us : TRACER_BACKOFF_US_MAX;
    }
    if (atomic_load(&t->sent) + atomic_load(&t->failed) == sent + failed) atomic_fetch_add(&t->failed, count);
}

static bool has_spans(const tracer *t, uint32_t least)
{
    for (uint32_t i = 0; i < t->lane_count; i++)
        if (ring_count(&t->lanes[i].full) >= least) return true;
    return false;
}

/* Sleeps until a lane has so many spans, or the time is over. */
static void wait_for(tracer *t, uint32_t waits, uint32_t least, uint64_t until_us)
{
    for (bool more = true; more && !is_stopping(t);) {
        uint32_t seen = atomic_load(&t->events);
        atomic_store(&t->waits, waits);
        if (has_spans(t, least) || is_stopping(t)) break;
        more = futex_wait(&t->events, seen, until_us);
    }
    atomic_store(&t->waits, WAITS_NOT);
}

static void work(void *ctx)
{
    tracer *t = ctx;
    for (;;) {
        wait_for(t, WAITS_ANY, 1, FUTEX_FOREVER);
        wait_for(t, WAITS_MANY, TRACER_PLACES / 2, clock_now_us() + TRACER_GATHER_US);
        uint32_t count = batch_make(t);
        if (count) send_batch(t, count);
        else if (is_stopping(t)) break;
    }
    atomic_store(&t->ended, 1);
    futex_wake(&t->ended, 1);
}

/* ---- life ---- */

static err_code lanes_new(tracer *t, const tracer_opts *opts, err *e)
{
    t->lanes = mem_alloc_raw(opts->lanes * sizeof *t->lanes);   /* aligned: see ring */
    if (!t->lanes) return err_set(e, ERR_NOMEM, "tracing: no memory for %u lanes", opts->lanes);
    memset(t->lanes, 0, opts->lanes * sizeof *t->lanes);
    for (; t->lane_count < opts->lanes; t->lane_count++) {
        tracer_lane *l = &t->lanes[t->lane_count];
        l->of = t;
        rng_init(&l->ids, opts->seed + t->lane_count);
        l->all = mem_new0(traced, TRACER_PLACES);
        if (!l->all) return err_set(e, ERR_NOMEM, "tracing: no memory for %d spans", TRACER_PLACES);
        for (uint32_t i = 0; i < TRACER_PLACES; i++) ring_put(&l->idle, (uint16_t)i);
    }
    return ERR_OK;
}

err_code tracer_new(tracer **ret, const tracer_opts *opts, err *e)
{
    CLEANUP(tracer) tracer *t = mem_alloc_raw(sizeof *t);   /* aligned: see waits */
    if (!t) return err_set(e, ERR_NOMEM, "tracing: no memory");
    *t = (tracer){.share = opts->share, .service = opts->service, .bell = -1};
    rng_init(&t->ids, ~opts->seed);
    buf_init(&t->out, BATCH_BYTES_MAX);
    err_code rc = lanes_new(t, opts, e);
    if (rc == ERR_OK) rc = bell_open(&t->bell, e);
    client_opts co = {.address = opts->endpoint,
                      .trust = opts->trust,
                      .stop_fd = t->bell,
                      .wait_us = TRACER_CALL_US,
                      .body_bytes_max = TRACER_REPLY_BYTES_MAX};
    if (rc == ERR_OK) rc = client_new(&co, &t->client, e);
    if (rc == ERR_OK) rc = thread_start(&t->thread, "tracer", work, t, e);
    if (rc) return rc;
    t->started = true;
    *ret = TAKE(t);
    return ERR_OK;
}

static bool ends_within(tracer *t, uint64_t us)
{
    uint64_t until_us = clock_now_us() + us;
    while (!atomic_load(&t->ended) && futex_wait(&t->ended, 0, until_us)) {}
    return atomic_load(&t->ended);
}

static void stop(tracer *t)
{
    if (!t->started) return;
    atomic_store(&t->stopping, true);
    atomic_fetch_add(&t->events, 1);
    futex_wake(&t->events, 1);
    if (!ends_within(t, TRACER_STOP_US)) bell_ring(t->bell);   /* that ends every call */
    thread_join(&t->thread);
}

/* Half-built, too. */
static void lane_free(tracer_lane *l)
{
    for (uint32_t i = 0; l->all && i < TRACER_PLACES; i++) step_times_free(l->all[i].steps);
    mem_free(l->all);
}

void tracer_free(tracer *t)
{
    if (!t) return;
    stop(t);
    client_free(t->client);
    bell_close(t->bell);
    for (uint32_t i = 0; i < t->lane_count; i++) lane_free(&t->lanes[i]);
    mem_free(t->lanes);
    buf_fini(&t->out);
    mem_free(t);
}

tracer_lane *tracer_lane_at(tracer *t, uint32_t i)
{
    if (!t) return NULL;
    INVARIANT(i < t->lane_count);
    return &t->lanes[i];
}

void tracer_stats_read(const tracer *t, tracer_stats *ret)
{
    *ret = (tracer_stats){.sent = 0};
    if (!t) return;
    ret->sent = atomic_load(&t->sent);
    ret->failed = atomic_load(&t->failed);
    for (uint32_t i = 0; i < t->lane_count; i++) ret->dropped += atomic_load(&t->lanes[i].dropped);
}
