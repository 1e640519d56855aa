#include "serve/infer.h"

#include "base/log.h"
#include "base/mem.h"
#include "models/pipeline.h"
#include "os/clock.h"
#include "serve/pictures.h"
#include "serve/trace_log.h"

#include <stdio.h>

struct infer_pool {
    infer_opts opts;
    infer *idle;
    uint32_t idle_count;
    size_t idle_bytes;
};

/* The request that this thread pushes right now: its done() is then on its own loop and needs no message. */
static _Thread_local const infer *pushing;

static void item_done(queue_item *item, const err *e);
static void read_on_worker(compute_job *j);
static void done_on_loop(loop *on, loop_msg *m);

#define OF(member, p) ((infer *)(void *)((char *)(p)-offsetof(infer, member)))

void infer_init(infer *r, const infer_opts *opts)
{
    *r = (infer){.model = NULL};
    arena_init(&r->memory, NULL, 0, 0);
    buf_init(&r->scratch, opts->memory_bytes_max);
    buf_init(&r->reply, opts->reply_bytes_max);
    r->regions = opts->regions;
}

void infer_fini(infer *r)
{
    arena_fini(&r->memory);
    buf_fini(&r->scratch);
    buf_fini(&r->reply);
}

void infer_body(infer *r, const infer_opts *opts, str body, size_t json_bytes)
{
    size_t most = opts->memory_bytes_max;
    r->body = body;
    r->json_bytes = json_bytes;
    if (body.len < most / INFER_MEMORY_PER_BYTE) most = INFER_MEMORY_MIN + INFER_MEMORY_PER_BYTE * body.len;
    r->memory.limit = most < opts->memory_bytes_max ? most : opts->memory_bytes_max;
    r->memory_most = opts->memory_bytes_max;
}

void infer_extend(infer *r, uint64_t bytes)
{
    size_t more = r->memory_most - r->memory.limit;
    r->memory.limit += bytes < more ? (size_t)bytes : more;
}

static void infer_free(infer *r)
{
    infer_fini(r);
    mem_free(r);
}

static size_t room(const infer *r) { return r->memory.room + r->scratch.room + r->reply.room; }

err_code infer_pool_new(infer_pool **ret, const infer_opts *opts, err *e)
{
    infer_pool *p = mem_new0(infer_pool, 1);
    if (!p) return err_set(e, ERR_NOMEM, "requests: no memory for the pool");
    p->opts = *opts;
    *ret = p;
    return ERR_OK;
}

void infer_pool_trim(infer_pool *p)
{
    while (p->idle) {
        infer *r = p->idle;
        p->idle = r->next;
        infer_free(r);
    }
    p->idle_count = 0;
    p->idle_bytes = 0;
}

void infer_pool_free(infer_pool *p)
{
    if (!p) return;
    infer_pool_trim(p);
    mem_free(p);
}

static infer *take(infer_pool *p)
{
    infer *r = p->idle;
    if (r) {
        p->idle = r->next;
        p->idle_count--;
        p->idle_bytes -= room(r);
        return r;
    }
    r = mem_new0(infer, 1);
    if (r) infer_init(r, &p->opts);
    return r;
}

void infer_give(infer *r)
{
    infer_pool *p = r->pool;
    if (r->trace) trace_log_end(p->opts.trace_log, TAKE(r->trace));
    queue_release(&r->item);
    arena_reset(&r->memory);
    buf_clear(&r->reply);
    served_end(&r->item);
    served_release(r->model);
    r->model = NULL;
    size_t bytes = room(r);
    if (bytes > INFER_KEEP_BYTES || bytes > INFER_KEEP_BYTES_MAX - p->idle_bytes || p->idle_count == INFER_IDLE_MAX) {
        infer_free(r);
        return;
    }
    r->next = p->idle;
    p->idle = r;
    p->idle_count++;
    p->idle_bytes += bytes;
}

/* What a request, or a step of one, ended as.  A deadline that passes is its client's; a run that the server cuts off,
 * at a limit of its own, has failed. */
static metric_counter *ending(metrics_lane *lane, err_code code, const char *limit, bool expired)
{
    if (code == ERR_OK) return &lane->success;
    if (code == ERR_LIMIT) return &lane->rejected;
    if (code == ERR_CANCELLED) return &lane->cancelled;
    if ((code == ERR_TIMEOUT && !limit) || expired) return &lane->expired;
    return err_http_status(code) < 500 ? &lane->invalid : &lane->failure;
}

/* A request is counted once, at its end, on its loop: each lane of a model's metrics has one writer. */
static metrics_lane *count_code(const infer_pool *p, served *m, const infer_protocol *by, err_code code)
{
    metrics_lane *lane = &m->metrics.lanes[p->opts.lane];
    INVARIANT(p->opts.lane < m->metrics.lane_count);
    metric_request(&lane->requests, by->counted, code);
    return lane;
}

/* Rows are told apart where the model has them: of one that takes no batches, or is said to, a run is one row. */
static uint64_t rows_of(const served *m, const queue_item *i)
{
    bool batches = model_config_limits(m->config) ? m->config->max_batch_size > 0
                                                  : m->model && model_batch(m->model)->proven;
    if (!batches || m->ios.input_count == 0 || i->inputs[0].shape.rank == 0) return 1;
    return i->inputs[0].shape.dim[0] > 0 ? (uint64_t)i->inputs[0].shape.dim[0] : 1;
}

/* A run is counted by the first of those that share it: each is counted once, on a lane of whoever that is. */
static void count_run(const served *m, metrics_lane *lane, const queue_item *i, const infer_times *t)
{
    const bool shared = queue_shares(i);
    metric_run(&lane->runs, &(metric_run_of){.first = !shared || i->outputs.row == 0,
                                             .rows = shared ? i->outputs.size - i->outputs.padding : rows_of(m, i),
                                             .padding = shared ? i->outputs.padding : 0,
                                             .entries = shared ? i->outputs.entries : 0,
                                             .waste = shared ? i->outputs.waste : 0,
                                             .input_ns = t && t->read_until ? t->read_until - t->read_since : 0,
                                             .infer_ns = i->end_ns - i->start_ns,
                                             .output_ns = t && t->write_until ? t->write_until - t->write_since : 0});
}

/* As in Triton, what the cache answered waited until it was looked up. */
static void count_cache(metrics_lane *lane, const cache_visit *v, uint64_t since_ns)
{
    uint64_t asked_ns = v->found_ns > v->ns ? v->found_ns - v->ns : 0;
    if (v->ns) metric_time(v->found_ns ? &lane->cache_hit : &lane->cache_miss, v->ns);
    if (v->found_ns) metric_time(&lane->queue_wait, since_ns && asked_ns > since_ns ? asked_ns - since_ns : 0);
}

static void count_times(const infer *r, metrics_lane *lane, err_code code, uint64_t now_ns)
{
    const infer_times *t = &r->times;
    if (t->read_until) metric_time(&lane->preprocess, t->read_until - t->read_since);
    count_cache(lane, &r->cached, r->item.since_ns);
    if (r->item.end_ns) {
        metric_time(&lane->queue_wait, r->item.start_ns - r->item.since_ns);
        metric_time(&lane->predict, r->item.end_ns - r->item.start_ns);
        count_run(r->model, lane, &r->item, t);
    }
    if (r->item.at.drop != BATCH_RAN) metric_drop(&lane->dropped, r->item.at.drop);
    if (t->write_until) metric_time(&lane->postprocess, t->write_until - t->write_since);
    metric_time(code == ERR_OK ? &lane->total : &lane->failed, now_ns - t->since);
    if (code == ERR_OK) atomic_store_explicit(&lane->last_ns, now_ns, memory_order_relaxed);
}

static void count_step_end(metrics_lane *lane, const served_asked *a, uint64_t end_ns)
{
    metric_time(a->code == ERR_OK ? &lane->total : &lane->failed, end_ns - a->item->since_ns);
    if (a->code == ERR_OK) atomic_store_explicit(&lane->last_ns, end_ns, memory_order_relaxed);
}

/* Each step counts as a request of its model, as Triton counts composing models; one that was refused ends with all. */
static void count_steps(const infer *r, uint64_t now_ns)
{
    served_asked a;
    for (uint32_t at = 0; served_next_step(&r->item, &at, &a);) {
        metrics_lane *lane = &a.member->metrics.lanes[r->pool->opts.lane];
        uint64_t end_ns = a.cached->found_ns ? a.cached->found_ns : a.item->end_ns ? a.item->end_ns : now_ns;
        metric_add(ending(lane, a.code, a.limit, queue_timed_out(a.item)));
        count_cache(lane, a.cached, a.item->since_ns);
        if (a.item->at.drop != BATCH_RAN) metric_drop(&lane->dropped, a.item->at.drop);
        count_step_end(lane, &a, end_ns);
        if (!a.item->end_ns) continue;
        metric_time(&lane->queue_wait, a.item->start_ns - a.item->since_ns);
        metric_time(&lane->predict, a.item->end_ns - a.item->start_ns);
        count_run(a.member, lane, a.item, NULL);
    }
}

static void count(const infer *r, err_code code, uint64_t now_ns)
{
    const infer_opts *o = &r->pool->opts;
    const char *limit = code ? r->failure.limit : NULL;
    metrics_lane *lane = count_code(r->pool, r->model, r->protocol, code);
    metric_add(ending(lane, code, limit, r->expired));
    count_times(r, lane, code, now_ns);
    if (r->item.run) count_steps(r, now_ns);
    metric_limit_hit(o->counts, limit);
    if (code == ERR_TOO_LARGE && !limit)
        metric_add(&o->counts->limits[r->over_reply ? METRIC_LIMIT_reply : METRIC_LIMIT_memory]);
    if (r->picture_refused) metric_add(&o->counts->pictures[r->picture_refused - 1]);
    if (r->picture_refused == METRIC_PICTURES_PIXELS + 1) metric_add(&o->counts->limits[METRIC_LIMIT_pixels]);
}

static void log_failure(const infer *r)
{
    char fields[200];
    snprintf(fields, sizeof fields, "request=" STR_FMT "%s" STR_FMT, STR_ARG(r->request_id),
             r->trace_id.len ? " trace=" : "", STR_ARG(r->trace_id));
    log_write(LOG_ERROR, fields, "model '" STR_FMT "': %s", STR_ARG(r->model->name), r->failure.text);
}

/* The end of every request, on its loop.  now_ns 0 = the clock was not just read. */
static void finish(infer *r, uint64_t now_ns)
{
    err_code code = r->failure.code;
    count(r, code, now_ns ? now_ns : clock_now_ns());
    bool own_deadline = (code == ERR_TIMEOUT && r->deadline_us && !r->failure.limit) || r->expired;   /* its client's */
    if (code && err_http_status(code) >= 500 && !own_deadline) log_failure(r);
    if (r->trace) trace_entry_answer(r->trace, r);
    r->answered(r);
}

static void done_on_loop(loop *on, loop_msg *m)
{
    (void)on;
    finish(OF(done_msg, m), 0);
}

static void settle(infer *r)
{
    if (pushing == r) {
        pushing = NULL;
        finish(r, r->times.write_until);   /* written last, and just now */
    } else {
        loop_post(r->on, &r->done_msg);
    }
}

/* A request that is over a limit by itself will not be under it later: only a full queue, and a model that has as many
 * executions as it may, are worth another try. */
static err_code too_large(err *e, err_code rc) { return rc == ERR_LIMIT ? (e->code = ERR_TOO_LARGE) : rc; }

static void tail_copy(infer *r)
{
    buf_put(&r->reply, r->tail.p, r->tail.len);
    r->tail = (str){0};
}

static size_t answer_bytes(const infer *r) { return r->reply.len - r->reply_head + r->tail.len; }

static bool packs_well(infer *r, str plain)
{
    err e;
    if (plain.len <= INFER_PACK_SURE_BYTES) return true;
    str sample = {plain.p + plain.len / 2, INFER_PACK_SAMPLE_BYTES};
    bool well = flate_pack(&r->scratch, r->packing, sample, &e) == ERR_OK &&
                r->scratch.len < INFER_PACK_SAMPLE_BYTES - INFER_PACK_SAMPLE_BYTES / 4;
    buf_clear(&r->scratch);
    return well;
}

static bool packs(const infer *r)
{
    size_t bytes = answer_bytes(r);
    if (r->packing == FLATE_NONE || r->reply.full || bytes < r->pack_bytes_min) return false;
    return bytes + r->reply_head <= r->pool->opts.reply_bytes_max;   /* for a moment all of it lies there */
}

/* The answer from reply_head on becomes what it packs to, made in the scratch; where that is no smaller it stays. */
static void pack(infer *r)
{
    err e UNINIT;
    bool sampled = r->tail.len > INFER_PACK_SURE_BYTES;   /* then it lies in one piece, and need not be copied for it */
    if (!packs(r) || (sampled && !packs_well(r, r->tail))) return;
    tail_copy(r);
    str plain = {(const char *)r->reply.p + r->reply_head, r->reply.len - r->reply_head};
    if (r->reply.full || (!sampled && !packs_well(r, plain))) return;
    buf_put(&r->scratch, r->reply.p, r->reply_head);
    r->packed = flate_pack(&r->scratch, r->packing, plain, &e) == ERR_OK && r->scratch.len < r->reply.len;
    if (r->packed) {
        buf_clear(&r->reply);
        buf_put_str(&r->reply, buf_str(&r->scratch));
    }
    buf_clear(&r->scratch);
}

/* A model has MODEL_EXECS_MAX executions at once, and an answer may wait long for its turn on a busy loop or behind
 * pipelined ones: only a large tail holds on to its outputs. */
static void outputs_release(infer *r)
{
    if (r->tail.len > INFER_TAIL_COPY_BYTES) return;
    tail_copy(r);
    queue_release(&r->item);
}

/* The buffer bounds itself, but not what is sent behind it; and what packs well is bounded by what it unpacks to. */
static err_code reply_check(infer *r)
{
    size_t bytes = r->reply.len + r->tail.len, most = r->pool->opts.reply_bytes_max;
    if (bytes <= most) return ERR_OK;
    r->tail = (str){0};
    return err_set(&r->failure, ERR_LIMIT, "answer: expected at most %zu bytes, got %zu", most, bytes);
}

static void pack_and_settle(infer *r)
{
    err_code rc = r->failure.code;
    if (rc == ERR_OK) rc = reply_check(r);
    if (rc == ERR_OK) pack(r);
    outputs_release(r);
    if (rc == ERR_OK) rc = buf_check(&r->reply, "answer", &r->failure);
    r->over_reply = rc == ERR_LIMIT;
    r->failure.code = too_large(&r->failure, rc);
    r->times.write_until = clock_now_ns();
    settle(r);
}

static void pack_on_worker(compute_job *j) { pack_and_settle(OF(job, j)); }

err_code infer_outputs(infer *r, err *e)
{
    uint32_t n = served_output_count(r->model), more = pictures_output_count(r);
    bool reshapes = model_config_reshapes(r->model->config);   /* clients get some in shapes of their own */
    tensor *all = arena_new(&r->memory, tensor, n + more + 1);
    if (!all) return err_set(e, ERR_NOMEM, "no memory for %u outputs", n);
    for (uint32_t i = 0; i < n; i++) {
        if (r->item.run && r->item.wanted && !r->item.wanted[i]) continue;
        all[i] = queue_output(&r->item, i);
        if (reshapes) all[i].shape = model_config_output_shape(r->model->config, i, &all[i].shape);
    }
    r->outputs = all;
    return more ? pictures_outputs(r, all + n, e) : ERR_OK;
}

/* The outputs' bytes, on whichever thread this is. */
static void write_and_settle(infer *r, uint64_t now_ns)
{
    r->times.write_since = now_ns;
    r->failure.code = infer_outputs(r, &r->failure);
    if (r->failure.code == ERR_OK) r->failure.code = r->protocol->write(r, &r->failure);
    if (pushing == r && r->failure.code == ERR_OK && packs(r) && answer_bytes(r) > INFER_PACK_INLINE_BYTES) {
        r->job.run = pack_on_worker;
        pushing = NULL;
        if (compute_submit(r->pool->opts.compute, &r->job, &r->failure) == ERR_OK) return;
        pushing = r;
        r->packing = FLATE_NONE;
        r->failure.code = ERR_OK;
    }
    pack_and_settle(r);
}

static void write_on_worker(compute_job *j) { write_and_settle(OF(job, j), clock_now_ns()); }

static bool outputs_are_large(const infer *r)
{
    uint64_t elements = 0;
    for (uint32_t i = 0; i < served_output_count(r->model); i++) {
        tensor t = queue_output(&r->item, i);
        elements += tensor_count(&t);
    }
    return elements > INFER_WRITE_INLINE_ELEMENTS;
}

static void item_done(queue_item *item, const err *e)
{
    infer *r = OF(item, item);
    if (r->trace) trace_entry_ran(r->trace, r);
    if (e) {
        r->failure = *e;
        r->expired = queue_timed_out(item);
        settle(r);
        return;
    }
    if (cache_visit_missed(&r->cached)) cache_visit_keep(&r->cached, r->model, item);
    /* Not on the loop, nor one member of a batch behind the other. */
    if ((pushing == r || queue_shares(item)) && outputs_are_large(r)) {
        bool here = pushing == r;
        r->job.run = write_on_worker;
        if (here) pushing = NULL;
        if (compute_submit(r->pool->opts.compute, &r->job, &r->failure) == ERR_OK) return;
        if (here) pushing = r;
    }
    write_and_settle(r, item->end_ns ? item->end_ns : clock_now_ns());
}

/* Its own timeout began when it was asked, not when its model was there. */
static err_code timeout_shorten(infer *r)
{
    uint64_t now_us = r->item.since_ns / 1000, waited_us = now_us > r->asked_us ? now_us - r->asked_us : 0;
    if (!model_config_patience(r->model->config).own_timeout) return ERR_OK;
    r->expired = waited_us >= r->item.timeout_us;
    if (r->expired) return err_set(&r->failure, ERR_UNAVAILABLE, "Request timeout expired");
    r->item.timeout_us -= waited_us;
    return ERR_OK;
}

static err_code read_body(infer *r)
{
    if (atomic_load_explicit(&r->item.cancelled, memory_order_relaxed))
        return err_set(&r->failure, ERR_CANCELLED, "cancelled before it was read");
    uint64_t since_ns = r->on_loop ? r->times.since : clock_now_ns();   /* on a loop nothing has come between them */
    if (r->deadline_us && since_ns / 1000 >= r->deadline_us)
        return err_set(&r->failure, ERR_TIMEOUT, "the deadline passed before it was read");
    err_code rc = r->protocol->read(r, &r->failure);
    if (rc == ERR_OK && model_config_limits(r->model->config))
        rc = model_config_batch_check(r->model->config, r->inputs, &r->failure);
    r->times.read_since = since_ns;
    r->times.read_until = r->item.since_ns = r->again ? 0 : clock_now_ns();
    buf_clear(&r->scratch);
    r->item.inputs = r->inputs;
    if (rc == ERR_OK && r->asked_us && r->item.timeout_us) rc = timeout_shorten(r);
    return too_large(&r->failure, rc);
}

/* It was more than a loop has time for: from the beginning, on a worker. */
static void read_later(infer *r)
{
    r->again = r->on_loop = false;
    r->failure.code = ERR_OK;
    r->inputs = NULL;
    r->wants = NULL;
    r->want_count = 0;
    r->variant = 0;
    arena_reset(&r->memory);
    pushing = NULL;
    if (compute_submit(r->pool->opts.compute, &r->job, &r->failure)) finish(r, 0);
}

/* What was answered before is answered again, without the queue. */
static bool cache_answers(infer *r)
{
    r->item.start_ns = 0;
    r->item.wanted = NULL;
    bool hit = cache_visit_find(&r->cached, r->model, &r->item);
    if (hit) item_done(&r->item, NULL);
    return hit;
}

/* Of an ensemble only what leads to the outputs that are asked for is run; what is kept for later requests is whole. */
static void outputs_want(infer *r)
{
    uint32_t own = served_output_count(r->model);
    if (r->want_count == 0 || cache_visit_missed(&r->cached)) return;
    bool *wanted = arena_new(&r->memory, bool, own + 1);
    for (uint32_t i = 0; wanted && i < r->want_count; i++) {
        if (r->wants[i].output < own) wanted[r->wants[i].output] = true;
        else pictures_want(r, wanted);
    }
    r->item.wanted = wanted;   /* without memory for that: all of it */
}

/* Reads the body and hands the request to the model's queue, on whichever thread this is. */
static void read_and_push(infer *r)
{
    err_code rc = read_body(r);
    if (rc && r->again) {
        read_later(r);
        return;
    }
    r->item.deadline_us = r->deadline_us;
    if (rc == ERR_OK && cache_answers(r)) return;
    if (r->item.run && rc == ERR_OK) outputs_want(r);
    r->item.bytes = r->body.len + r->memory.total;
    if (rc == ERR_OK && (rc = served_push(r->model, &r->item, &r->failure)) != ERR_OK) {
        r->expired = queue_timed_out(&r->item);
        if (!r->expired && !served_names_itself(r->model))
            rc = err_wrap(&r->failure, "model '" STR_FMT "'", STR_ARG(r->model->name));
    }
    if (rc) settle(r);
}

static void read_on_worker(compute_job *j) { read_and_push(OF(job, j)); }

infer *infer_take(infer_pool *p, served *of, const infer_protocol *protocol)
{
    infer *r = take(p);
    if (!r) {
        metric_add(&count_code(p, of, protocol, ERR_NOMEM)->failure);
        return NULL;
    }
    r->on = NULL;
    r->request_id = r->trace_id = (str){0};
    r->traced = NULL;
    r->deadline_us = r->asked_us = 0;
    r->expired = false;
    r->item.timeout_us = r->item.priority = 0;
    r->item.at.drop = BATCH_RAN;
    r->item.outputs.rows = 0;
    atomic_store_explicit(&r->item.in, NULL, memory_order_relaxed);
    r->packing = FLATE_NONE;
    r->pack_bytes_min = 0;
    r->packed = false;
    r->has_binary = r->octets = r->timed = r->pictured = false;
    r->plain = r->picture_refused = 0;
    r->pictures = NULL;
    r->model = of;
    served_hold(of);
    served_begin(of, &r->item);
    r->inputs = NULL;
    r->wants = NULL;
    r->want_count = 0;
    r->id = (str){0};
    r->variant = 0;
    r->outputs = NULL;
    r->item.source = NULL;
    atomic_store_explicit(&r->item.turn, NULL, memory_order_relaxed);
    memset(&r->item.sequence, 0, sizeof r->item.sequence);
    r->on_loop = r->again = false;
    r->reply_head = 0;
    r->tail = (str){0};
    r->reply_json_bytes = 0;
    r->failure.code = ERR_OK;
    r->item.done = item_done;
    atomic_store_explicit(&r->item.cancelled, false, memory_order_relaxed);
    r->job = (compute_job){.run = read_on_worker};
    r->done_msg = (loop_msg){.run = done_on_loop};
    r->times = (infer_times){.since = clock_now_ns()};
    r->item.end_ns = 0;
    r->over_reply = false;
    r->cached.ns = r->cached.found_ns = 0;
    r->protocol = protocol;
    r->pool = p;
    r->trace = p->opts.trace_log ? trace_log_begin(p->opts.trace_log, of->trace) : NULL;
    return r;
}

static double ms(uint64_t since_ns, uint64_t until_ns) { return until_ns ? (double)(until_ns - since_ns) / 1e6 : 0; }

str infer_timing(const infer *r, char text[INFER_TIMING_BYTES])
{
    const infer_times *t = &r->times;
    int n = snprintf(text, INFER_TIMING_BYTES,
                     "read;dur=%.3f, queue;dur=%.3f, compute;dur=%.3f, write;dur=%.3f, total;dur=%.3f",
                     ms(t->read_since, t->read_until), r->item.end_ns ? ms(r->item.since_ns, r->item.start_ns) : 0,
                     r->item.end_ns ? ms(r->item.start_ns, r->item.end_ns) : 0, ms(t->write_since, t->write_until),
                     ms(t->since, clock_now_ns()));
    INVARIANT(n > 0 && n < INFER_TIMING_BYTES);   /* five numbers of at most 18 digits before the point */
    return (str){text, (size_t)n};
}

void infer_cancel(infer *r) { served_cancel(&r->item); }

void infer_refuse(infer *r)
{
    INVARIANT(r->failure.code != ERR_OK);
    finish(r, 0);
}

void infer_start(infer *r, str body, size_t json_bytes)
{
    bool large = json_bytes > INFER_READ_INLINE_BYTES || body.len > INFER_READ_INLINE_BINARY;
    infer_body(r, &r->pool->opts, body, json_bytes);
    r->on_loop = !large;
    if (large) {
        if (compute_submit(r->pool->opts.compute, &r->job, &r->failure)) finish(r, 0);
        return;
    }
    pushing = r;
    read_and_push(r);
    pushing = NULL;
}

err_code infer_inputs(infer *r, err *e)
{
    uint32_t n = served_input_count(r->model);
    r->inputs = arena_new(&r->memory, tensor, n ? n : 1);
    return r->inputs ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for %u inputs", n);
}

int32_t infer_input_index(const infer *r, str name)
{
    for (uint32_t i = 0; i < served_input_count(r->model); i++)
        if (str_eq(served_input(r->model, i)->name, name)) return (int32_t)i;
    return pipeline_image(infer_pipeline(r), name);
}

int32_t infer_output_index(const infer *r, str name)
{
    for (uint32_t i = 0; i < served_output_count(r->model); i++)
        if (str_eq(served_output(r->model, i)->name, name)) return (int32_t)i;
    for (uint32_t i = 0; i < pictures_output_count(r); i++)
        if (str_eq(pictures_output(r, i)->name, name)) return (int32_t)(served_output_count(r->model) + i);
    return -1;
}

const model_io *infer_output_io(const infer *r, uint32_t i)
{
    uint32_t own = served_output_count(r->model);
    return i < own ? served_output(r->model, i) : pictures_output(r, i - own);
}

static bool shape_fits(const model_io *io, const shape *s)
{
    if (!io->ranked) return true;
    if (io->shape.rank != s->rank) return false;
    for (uint32_t d = 0; d < s->rank; d++)
        if (io->shape.dim[d] >= 0 && io->shape.dim[d] != s->dim[d]) return false;
    return true;
}

err_code infer_input_set(infer *r, uint32_t i, dtype type, const shape *s, err *e)
{
    const model_io *io = served_input(r->model, i);
    char want[SHAPE_TEXT_MAX] UNINIT, got[SHAPE_TEXT_MAX] UNINIT;
    if (type == DT_STRING && pipeline_takes(infer_pipeline(r), i)) return pictures_set(r, i, s, e);
    if (io->type != DT_NONE && io->type != type) {
        const char *type_name = dtype_v2_name(type), *io_name = dtype_v2_name(io->type);
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': datatype: expected %s, got '%s'", STR_ARG(io->name),
                       io_name ? io_name : dtype_name(io->type), type_name ? type_name : dtype_name(type));
    }
    shape inner UNINIT;
    const shape *in = s;
    if (model_config_limits(r->model->config)) {
        err_code rc = model_config_input_shape(r->model->config, i, s, &inner, e);
        if (rc) return rc;
        in = &inner;
    }
    if (!shape_fits(io, in))
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': shape: expected %s, got '%s'", STR_ARG(io->name),
                       shape_text(&io->shape, want), shape_text(s, got));
    size_t bytes = dtype_bytes(type, shape_count(in));
    if (bytes == SIZE_MAX || bytes > SIZE_MAX / 4)
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': shape %s overflows", STR_ARG(io->name),
                       shape_text(s, got));
    r->inputs[i] = tensor_make(type, in, NULL);
    return ERR_OK;
}
