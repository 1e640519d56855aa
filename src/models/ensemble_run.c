#include "models/ensemble_run.h"

#include "base/mem.h"
#include "models/ensemble_join.h"
#include "os/clock.h"

#include <string.h>

typedef struct step step;

struct step {
    queue_item item;
    ensemble_run *of;
    served *member;               /* held; NULL = it was not found */
    cache_visit cached;           /* of the member's own answers */
    step *next;                   /* among those that came back and were not looked at */
    uint32_t missing;             /* inputs that are not there yet */
    uint32_t readers;             /* that may still look at what it wrote */
    err_code code;                /* of one that came back */
    const char *limit;            /* the same */
    bool needed;                  /* somebody looks at what it writes; else it does not run */
    bool begun;
    bool leans;                   /* what it wrote may lie in its inputs, as a view does */
};

struct ensemble_run {
    const ensemble *of;
    queue_item *item;             /* the request */
    _Atomic(step *) back;         /* the last that came back; &nobody = and no thread is on it */
    _Atomic bool failed, cancelled;
    err failure;                  /* of the first step that failed */
    uint64_t waited_ns, end_ns;   /* of all steps, in their queues; the end of the last */
    uint32_t under_way;
    tensor *flows;                /* as clients of whoever wrote them see them */
    bool *batched;                /* of each flow: its first dimension is a batch */
    bool *looked;                 /* the same: somebody looks at it */
    bool *wanted;                 /* of each output, where the request is a step: as that item has it */
    tensor *inputs;               /* of all steps, as their models take them */
    pipeline joined;              /* of the members */
    bool has_joined;
    step steps[];
};

static step nobody;

/* ---- batches and no batches -------------------------------------------------------------------------------------- */

static bool fits(const shape *want, uint32_t from, const shape *s)
{
    if (want->rank - from != s->rank) return false;
    for (uint32_t d = 0; d < s->rank; d++)
        if (want->dim[d + from] >= 0 && want->dim[d + from] != s->dim[d]) return false;
    return true;
}

/* As Triton does where one side has a batch and the other has none: a batch of one is put around a tensor that would
 * fit without, or taken off one that does not fit with it. */
static shape batch_fit(const shape *s, bool has, const shape *want, bool wants)
{
    shape out = *s;
    if (has == wants) return out;
    if (wants && want->rank > 0 && s->rank < TENSOR_RANK_MAX && fits(want, 1, s)) {
        out.rank++;
        out.dim[0] = 1;
        memcpy(out.dim + 1, s->dim, s->rank * sizeof *s->dim);
    } else if (!wants && s->rank > 0 && s->dim[0] == 1 && !fits(want, 0, s)) {
        out = shape_make(s->rank - 1, s->dim + 1);
    }
    return out;
}

/* ---- begin and end ----------------------------------------------------------------------------------------------- */

static void step_done(queue_item *item, const err *e);

/* One block: the run, its steps, and the arrays behind them. */
static ensemble_run *run_new(const ensemble *m)
{
    size_t head = sizeof(ensemble_run) + m->stage_count * sizeof(step);
    size_t tensors = (size_t)m->flow_count + m->in_total, pictures = m->ios->input_count;
    size_t flags = 2 * (size_t)m->flow_count + m->ios->output_count;
    size_t arrays = tensors * sizeof(tensor) + pictures * sizeof(pipeline_input);
    ensemble_run *r = mem_alloc0(1, head + arrays + flags * sizeof(bool));
    if (!r) return NULL;
    r->of = m;
    r->flows = (tensor *)(void *)((char *)r + head);
    r->inputs = r->flows + m->flow_count;
    r->joined.inputs = (pipeline_input *)(void *)(r->inputs + m->in_total);
    r->batched = (bool *)(void *)(r->joined.inputs + pictures);
    r->looked = r->batched + m->flow_count;
    r->wanted = r->looked + m->flow_count;
    for (uint32_t i = 0; i < m->stage_count; i++) {
        r->steps[i].of = r;
        r->steps[i].item.done = step_done;
        r->steps[i].missing = m->stages[i].in_count;
    }
    return r;
}

/* Somebody looks at a flow, once more; *first are the steps whose own flows are not followed yet. */
static void look(ensemble_run *r, uint32_t flow, step **first)
{
    int64_t i = r->of->flows[flow].writer;
    r->looked[flow] = true;
    if (i < 0) return;
    step *s = &r->steps[i];
    s->readers++;
    if (s->needed) return;
    s->needed = true;
    s->next = *first;
    *first = s;
}

/* Backwards from the outputs that are wanted: which steps run, and how many look at what each writes. */
static void plan(ensemble_run *r, const bool *wanted)
{
    const ensemble *m = r->of;
    step *s, *first = NULL;
    for (uint32_t i = 0; i < m->ios->output_count; i++)
        if (!wanted || wanted[i]) look(r, m->outputs[i], &first);
    while ((s = first) != NULL) {
        const ensemble_stage *st = &m->stages[s - r->steps];
        first = s->next;
        for (uint32_t k = 0; k < st->in_count; k++) look(r, st->in[k].flow, &first);
    }
}

void ensemble_run_end(ensemble_run *r)
{
    if (!r) return;
    for (uint32_t i = 0; i < r->of->stage_count; i++) {
        step *s = &r->steps[i];
        if (!s->member) continue;
        queue_release(&s->item);   /* of one that came back in spite of a failure */
        served_end(&s->item);
        served_release(s->member);
    }
    mem_free(r);
}

/* The first failure counts; the ensemble's name comes first, as in Triton's words. */
static void fail(ensemble_run *r, uint32_t i, const err *e)
{
    const ensemble *m = r->of;
    if (atomic_exchange(&r->failed, true)) return;
    r->failure = *e;
    (void)err_wrap(&r->failure, "in ensemble '" STR_FMT "', step %u '" STR_FMT "'", STR_ARG(m->name), i,
                   STR_ARG(m->stages[i].model));
}

/* Whatever is loaded or unloaded on the way: the request goes through what is served now. */
static err_code member_find(ensemble_run *r, uint32_t i, ensemble_extent *x, err *e)
{
    const ensemble_stage *st = &r->of->stages[i];
    step *s = &r->steps[i];
    served *found = NULL;
    if (x->depth > ENSEMBLE_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "expected ensembles in ensembles at most %d deep, got more", ENSEMBLE_DEPTH_MAX);
    if (++x->steps > ENSEMBLE_STEPS_MAX)
        return err_set(e, ERR_LIMIT, "expected at most %d steps in all ensembles, got more", ENSEMBLE_STEPS_MAX);
    err_code rc = repository_find(r->of->models, st->model, st->version, &found, e);
    if (rc) return e->code = ERR_UNAVAILABLE;   /* the ensemble is there */
    if (served_input_count(found) != st->in_count)
        return err_set(e, ERR_UNAVAILABLE, "the model was exchanged: expected %u inputs, got %u", st->in_count,
                       served_input_count(found));
    s->member = found;
    served_hold(found);
    if (!found->ensemble) return ERR_OK;
    s->item.run = ensemble_run_begin(found->ensemble, x);
    return s->item.run ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for its steps");
}

ensemble_run *ensemble_run_begin(const ensemble *m, ensemble_extent *x)
{
    err e;
    ensemble_run *r = run_new(m);
    if (!r) return NULL;
    x->depth++;
    for (uint32_t i = 0; i < m->stage_count && !atomic_load(&r->failed); i++)
        if (member_find(r, i, x, &e)) fail(r, i, &e);
    x->depth--;
    return r;
}

bool ensemble_run_identify(const ensemble_run *r, siphash *h)
{
    if (atomic_load(&r->failed)) return false;
    for (uint32_t i = 0; i < r->of->stage_count; i++) {
        const step *s = &r->steps[i];
        if (s->member->sequencer) return false;
        siphash_add_u64(h, s->member->cache_owner);
        if (s->item.run && !ensemble_run_identify(s->item.run, h)) return false;
    }
    return true;
}

const pipeline *ensemble_run_pipeline(ensemble_run *r)
{
    if (r->has_joined) return &r->joined;
    for (uint32_t i = 0; i < r->of->stage_count; i++)
        if (r->steps[i].member) ensemble_join_step(&r->joined, r->of, i, r->steps[i].member);
    ensemble_join_end(&r->joined, r->of);
    r->has_joined = true;
    return &r->joined;
}

void ensemble_run_cancel(ensemble_run *r)
{
    atomic_store(&r->cancelled, true);
    for (uint32_t i = 0; i < r->of->stage_count; i++) served_cancel(&r->steps[i].item);
}

/* The n-th step that reached a queue, over all ensembles in it; else *n is less by as many as there are. */
static bool step_at(const ensemble_run *r, uint32_t depth, uint32_t *n, served_asked *ret)
{
    for (uint32_t i = 0; i < r->of->stage_count; i++) {
        const step *s = &r->steps[i];
        if (!s->begun) continue;
        if ((*n)-- == 0) {
            *ret = (served_asked){
                .member = s->member, .item = &s->item, .cached = &s->cached, .code = s->code, .limit = s->limit,
                .depth = depth};
            return true;
        }
        if (s->item.run && step_at(s->item.run, depth + 1, n, ret)) return true;
    }
    return false;
}

bool ensemble_run_next(const ensemble_run *r, uint32_t *at, served_asked *ret)
{
    uint32_t n = (*at)++;
    return step_at(r, 0, &n, ret);
}

/* ---- what the request asked for ---------------------------------------------------------------------------------- */

static tensor flow_as_output(const queue_item *item, uint32_t i)
{
    const ensemble_run *r = item->outputs.of;
    const ensemble *m = r->of;
    tensor t = r->flows[m->outputs[i]];
    t.shape = batch_fit(&t.shape, r->batched[m->outputs[i]], &m->ios->outputs[i].shape, m->batches);
    return t;
}

/* A reader of what step i wrote is gone.  As deep as steps lean on each other: CONFIG_STEPS_MAX. */
static void drop(ensemble_run *r, uint32_t i)
{
    const ensemble_stage *st = &r->of->stages[i];
    INVARIANT(r->steps[i].readers > 0);
    if (--r->steps[i].readers) return;
    queue_release(&r->steps[i].item);
    for (uint32_t k = 0; r->steps[i].leans && k < st->in_count; k++) {
        int64_t writer = r->of->flows[st->in[k].flow].writer;
        if (writer >= 0) drop(r, (uint32_t)writer);
    }
}

static void flows_release(queue_item *item)
{
    ensemble_run *r = item->outputs.of;
    for (uint32_t i = 0; i < r->of->ios->output_count; i++) {
        int64_t writer = r->of->flows[r->of->outputs[i]].writer;
        bool wanted = !item->wanted || item->wanted[i];
        if (wanted && writer >= 0) drop(r, (uint32_t)writer);
    }
}

static const queue_source flows = {flow_as_output, flows_release};

/* The run may be gone afterwards. */
static void finish(ensemble_run *r)
{
    queue_item *item = r->item;
    bool failed = atomic_load(&r->failed);
    atomic_fetch_sub_explicit(&r->of->metrics->running, 1, memory_order_relaxed);
    if (!failed) {
        uint64_t start_ns = item->since_ns + r->waited_ns;   /* of steps side by side this may be later than the end */
        item->end_ns = r->end_ns;
        item->start_ns = start_ns < r->end_ns ? start_ns : r->end_ns;
        item->source = &flows;
        item->outputs.of = r;
    }
    item->done(item, failed ? &r->failure : NULL);
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

static err_code input_fill(const ensemble_run *r, const step *s, const ensemble_link *l, tensor *all, err *e)
{
    const served *to = s->member;
    const tensor *t = &r->flows[l->flow];
    int64_t i = served_input_index(to, l->name);
    if (i < 0)
        return err_set(e, ERR_UNAVAILABLE, "the model was exchanged: expected input '" STR_FMT "', got none",
                       STR_ARG(l->name));
    const model_io *io = served_input(to, (uint32_t)i);
    if (io->type != DT_NONE && io->type != t->type)
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': datatype: expected %s, got '%s'", STR_ARG(l->name),
                       dtype_name(io->type), dtype_name(t->type));
    shape want = model_config_declared(to->config, &to->ios, true, (uint32_t)i), inner;
    shape given = batch_fit(&t->shape, r->batched[l->flow], &want, to->config->max_batch_size > 0);
    err_code rc = ERR_OK;
    if (model_config_limits(to->config)) rc = model_config_input_shape(to->config, (uint32_t)i, &given, &inner, e);
    else inner = given;
    if (rc == ERR_OK) all[i] = tensor_make(t->type, &inner, t->data);
    return rc;
}

/* Of an ensemble within, what nobody looks at is not computed either; but what is kept is whole. */
static const bool *wanted_of(const ensemble_run *r, uint32_t i)
{
    const ensemble_stage *st = &r->of->stages[i];
    const step *s = &r->steps[i];
    if (!s->item.run || cache_visit_missed(&s->cached)) return NULL;
    for (uint32_t k = 0; k < st->out_count; k++) {
        int64_t o = served_output_index(s->member, st->out[k].name);
        if (o >= 0 && r->looked[st->out[k].flow]) s->item.run->wanted[o] = true;
    }
    return s->item.run->wanted;
}

static err_code begin(ensemble_run *r, uint32_t i, uint64_t now_ns, err *e)
{
    const ensemble_stage *st = &r->of->stages[i];
    step *s = &r->steps[i];
    tensor *inputs = r->inputs + st->in_first;
    for (uint32_t k = 0; k < st->in_count; k++) {
        err_code rc = input_fill(r, s, &st->in[k], inputs, e);
        if (rc) return rc;
    }
    s->item.inputs = inputs;
    s->item.since_ns = now_ns;
    s->item.deadline_us = r->item->deadline_us;
    s->item.timeout_us = r->item->timeout_us;
    s->item.priority = r->item->priority;
    s->item.sequence = r->item->sequence;
    s->begun = true;
    r->under_way++;
    if (cache_visit_find(&s->cached, s->member, &s->item)) {
        step_done(&s->item, NULL);
        return ERR_OK;
    }
    s->item.wanted = wanted_of(r, i);
    err_code rc = served_push(s->member, &s->item, e);
    if (rc == ERR_OK) return rc;
    s->code = rc;
    s->limit = e->limit;
    r->under_way--;
    return rc;
}

static void begin_or_fail(ensemble_run *r, uint32_t i, uint64_t now_ns)
{
    err e;
    if (atomic_load(&r->cancelled)) (void)err_set(&e, ERR_CANCELLED, "cancelled before it ran");
    else if (begin(r, i, now_ns, &e) == ERR_OK) return;
    fail(r, i, &e);
}

static bool overlap(const tensor *a, const tensor *b)
{
    uintptr_t p = (uintptr_t)a->data, q = (uintptr_t)b->data;
    return a->type == DT_STRING || (p < q + tensor_bytes(b) && q < p + tensor_bytes(a));
}

/* May anything that it wrote lie in what it read?  Text always may. */
static bool leans(const ensemble_run *r, uint32_t i)
{
    const ensemble_stage *st = &r->of->stages[i];
    for (uint32_t k = 0; k < st->out_count; k++)
        for (uint32_t j = 0; r->looked[st->out[k].flow] && j < st->in_count; j++)
            if (overlap(&r->flows[st->out[k].flow], &r->inputs[st->in_first + j])) return true;
    return false;
}

static void flow_set(ensemble_run *r, uint32_t f, const tensor *t, bool batched)
{
    r->flows[f] = *t;
    r->batched[f] = batched;
}

/* What it wrote is there for others; what it read is not needed by it any more. */
static err_code outputs_take(ensemble_run *r, uint32_t i, err *e)
{
    const ensemble_stage *st = &r->of->stages[i];
    step *s = &r->steps[i];
    const model_config *c = s->member->config;
    for (uint32_t k = 0; k < st->out_count; k++) {
        int64_t o = served_output_index(s->member, st->out[k].name);
        if (!r->looked[st->out[k].flow]) continue;
        if (o < 0)
            return err_set(e, ERR_UNAVAILABLE, "the model was exchanged: expected output '" STR_FMT "', got none",
                           STR_ARG(st->out[k].name));
        tensor t = queue_output(&s->item, (uint32_t)o);
        if (model_config_reshapes(c)) t.shape = model_config_output_shape(c, (uint32_t)o, &t.shape);
        flow_set(r, st->out[k].flow, &t, c->max_batch_size > 0);
    }
    s->leans = leans(r, i);
    for (uint32_t k = 0; !s->leans && k < st->in_count; k++) {
        int64_t writer = r->of->flows[st->in[k].flow].writer;
        if (writer >= 0) drop(r, (uint32_t)writer);
    }
    return ERR_OK;
}

/* Its readers have one input more. */
static void flow_ready(ensemble_run *r, uint32_t f, uint64_t now_ns)
{
    const ensemble_flow *flow = &r->of->flows[f];
    for (uint32_t k = 0; k < flow->reader_count && !atomic_load(&r->failed); k++)
        if (r->steps[flow->readers[k]].needed && --r->steps[flow->readers[k]].missing == 0)
            begin_or_fail(r, flow->readers[k], now_ns);
}

static void came_back(ensemble_run *r, step *s)
{
    uint32_t i = (uint32_t)(s - r->steps);
    const ensemble_stage *st = &r->of->stages[i];
    err e;
    uint64_t end_ns = s->cached.found_ns ? s->cached.found_ns : s->item.end_ns;
    r->under_way--;
    if (s->item.end_ns) r->waited_ns += s->item.start_ns - s->item.since_ns;
    if (end_ns > r->end_ns) r->end_ns = end_ns;
    if (s->code == ERR_OK && !atomic_load(&r->failed)) {
        if (outputs_take(r, i, &e)) fail(r, i, &e);
        for (uint32_t k = 0; k < st->out_count; k++) flow_ready(r, st->out[k].flow, end_ns);
    }
}

/* This thread alone is on it until nothing has come back any more. */
static void go_on(ensemble_run *r)
{
    for (;;) {
        step *none = NULL, *next, *s = atomic_exchange(&r->back, NULL);
        for (; s; s = next) {
            next = s->next;
            came_back(r, s);
        }
        if (atomic_load(&r->failed) && !atomic_load(&r->cancelled)) ensemble_run_cancel(r);
        if (r->under_way == 0) {
            finish(r);
            return;
        }
        if (atomic_compare_exchange_strong(&r->back, &none, &nobody)) return;
    }
}

/* The run is not touched any more once another thread has it. */
static void step_done(queue_item *item, const err *e)
{
    step *s = (step *)(void *)((char *)item - offsetof(step, item));
    ensemble_run *r = s->of;
    s->code = e ? e->code : ERR_OK;
    s->limit = e ? e->limit : NULL;
    if (e) fail(r, (uint32_t)(s - r->steps), e);
    else if (cache_visit_missed(&s->cached)) cache_visit_keep(&s->cached, s->member, item);
    step *before = atomic_load(&r->back);
    do s->next = before == &nobody ? NULL : before;
    while (!atomic_compare_exchange_weak(&r->back, &before, s));
    if (before == &nobody) go_on(r);
}

err_code ensemble_run_push(ensemble_run *r, queue_item *item, err *e)
{
    const ensemble *m = r->of;
    item->start_ns = item->end_ns = 0;
    item->source = NULL;
    r->item = item;
    if (!item->since_ns) item->since_ns = clock_now_ns();
    if (atomic_load(&r->failed)) {
        *e = r->failure;
        return e->code;
    }
    atomic_fetch_add_explicit(&m->metrics->running, 1, memory_order_relaxed);
    r->end_ns = item->since_ns;
    plan(r, item->wanted);
    for (uint32_t i = 0; i < m->ios->input_count; i++) flow_set(r, i, &item->inputs[i], m->batches);
    for (uint32_t i = 0; i < m->ios->input_count; i++) flow_ready(r, i, item->since_ns);
    go_on(r);
    return ERR_OK;
}
