#include "models/queue_rules.h"

#include "base/log.h"
#include "models/queue_kinds.h"
#include "models/queue_limits.h"

#include <math.h>

/* A packed element would share its byte with another row. */
static const char *unfit(const model *m)
{
    for (uint32_t i = 0; i < model_input_count(m); i++)
        if (dtype_bits(model_input(m, i)->type) < 8) return "an input's elements are smaller than a byte";
    return model_batch(m)->proven ? NULL : model_batch(m)->why;
}

static batch_level level_of(const queue_policy *p)
{
    return (batch_level){.delay = p->delays,
                         .keep_timeout = !p->may_override,
                         .default_timeout_us = p->timeout_us,
                         .max_queue_size = p->size_max};
}

static err_code levels_apply(queue_opts *ret, const dynamic_batching *d, err *e)
{
    batcher_opts *b = &ret->batching;
    if (d->levels > BATCH_LEVELS_MAX)
        return err_set(e, ERR_UNSUPPORTED,
                       "dynamic_batching.priority_levels of model " STR_FMT ": expected at most %d, got '%llu'",
                       STR_ARG(ret->name), BATCH_LEVELS_MAX, (unsigned long long)d->levels);
    b->level_count = d->levels ? (uint32_t)d->levels : 1;
    ret->level = d->level ? (uint32_t)d->level - 1 : 0;
    for (uint32_t i = 0; i < b->level_count; i++) b->levels[i] = level_of(&d->policy);
    for (size_t i = 0; i < d->policy_count; i++) {
        const level_policy *p = &d->policies[i];
        if (p->level >= 1 && p->level <= b->level_count) b->levels[p->level - 1] = level_of(&p->policy);
    }
    return ERR_OK;
}

/* In ascending order, each once. */
static err_code preferred_apply(queue_opts *ret, const i64_list *sizes, const char *of, err *e)
{
    batcher_opts *b = &ret->batching;
    int64_t last = 0;
    for (;;) {
        int64_t next = 0;
        for (size_t i = 0; i < sizes->count; i++)
            if (sizes->at[i] > last && (!next || sizes->at[i] < next)) next = sizes->at[i];
        if (!next || next > b->max_batch) return ERR_OK;
        if (b->preferred_count == BATCH_PREFERRED_MAX)
            return err_set(e, ERR_UNSUPPORTED,
                           "%s.preferred_batch_size of model " STR_FMT ": expected at most %d sizes, got more", of,
                           STR_ARG(ret->name), BATCH_PREFERRED_MAX);
        b->preferred[b->preferred_count++] = (uint32_t)next;
        last = next;
    }
}

static err_code delay_check(const queue_opts *o, const char *of, err *e)
{
    if (o->batching.max_delay_us <= UINT32_MAX) return ERR_OK;
    return err_set(e, ERR_INVALID,
                   "%s.max_queue_delay_microseconds of model " STR_FMT ": expected at most %u, got '%llu'", of,
                   STR_ARG(o->name), UINT32_MAX, (unsigned long long)o->batching.max_delay_us);
}

/* Triton's batcher: a delay and sizes have a meaning only where there are batches. */
static err_code dynamic_apply(queue_opts *ret, const model_config *c, const char *why, err *e)
{
    const dynamic_batching *d = &c->scheduling.dynamic;
    batcher_opts *b = &ret->batching;
    b->mode = BATCH_FIXED;
    b->objective_us = 0;
    b->max_delay_us = why ? 0 : d->delay_us;
    b->preserve_ordering = d->preserve_ordering;
    b->max_batch = why || c->max_batch_size < 1 ? 1 : (uint32_t)c->max_batch_size;
    if (why && c->max_batch_size > 1)
        log_write(LOG_WARN, NULL, "model '" STR_FMT "': dynamic_batching: each request runs alone: %s",
                  STR_ARG(ret->name), why);
    err_code rc = levels_apply(ret, d, e);
    if (rc == ERR_OK) rc = delay_check(ret, "dynamic_batching", e);
    return rc ? rc : preferred_apply(ret, &d->preferred, "dynamic_batching", e);
}

/* Requests of different sequences share runs.  Direct: at once, or once so many slots of an instance have a request, or
 * the delay is over; oldest: as the dynamic batcher does. */
static err_code sequence_apply(queue_opts *ret, const model_config *c, const char *why, err *e)
{
    const sequence_batching *s = &c->scheduling.sequence;
    batcher_opts *b = &ret->batching;
    b->mode = BATCH_FIXED;
    b->objective_us = 0;
    b->max_batch = why || c->max_batch_size < 1 ? 1 : (uint32_t)c->max_batch_size;
    b->max_delay_us = b->max_batch > 1 && (s->oldest || s->slots_min > 0) ? s->delay_us : 0;
    if (!s->oldest) b->enough = (uint32_t)ceil(s->slots_min * b->max_batch);
    b->preserve_ordering = s->preserve_ordering;
    if (why && c->max_batch_size > 1)
        log_write(LOG_WARN, NULL, "model '" STR_FMT "': sequence_batching: each request runs alone: %s",
                  STR_ARG(ret->name), why);
    err_code rc = delay_check(ret, s->oldest ? "sequence_batching.oldest" : "sequence_batching.direct", e);
    return rc ? rc : preferred_apply(ret, &s->preferred, "sequence_batching.oldest", e);
}

/* Only where there are batches, and no state that is carried from one to the next. */
static err_code padding_apply(queue_opts *ret, const model_config *c, err *e)
{
    const str wish = c ? model_config_parameter(c, "padding") : (str){.len = 0};
    ret->pad = (padding){.on = false};
    if (ret->batching.max_batch < 2 || (c && c->scheduling.sequence.on)) return ERR_OK;
    err_code rc = padding_find(&ret->pad, ret->model, wish, e);
    if (rc) return err_wrap(e, "model '" STR_FMT "'", STR_ARG(ret->name));
    if (ret->pad.on)
        log_write(LOG_INFO, NULL, "model '" STR_FMT "': requests of unequal length share runs, padded to the longest",
                  STR_ARG(ret->name));
    return ERR_OK;
}

/* Batches share a run's threads (compute_for) while they are few; what runs alone uses them better side by side. */
static void instances_apply(queue_opts *ret, const model_config *c)
{
    batcher_opts *b = &ret->batching;
    const uint32_t threads = compute_threads(turns_pool(ret->turns));
    ret->strict = c && c->instances_said;
    b->instances = b->max_batch > 1 ? (threads + 1) / 2 : threads;
    b->crowded = threads - b->instances;
    if (!ret->strict) return;
    b->instances = c->instance_count < UINT32_MAX ? (uint32_t)c->instance_count : UINT32_MAX;
    b->crowded = 0;
}

err_code queue_rules_apply(queue_opts *ret, const queue_rules *r, const model_config *c, err *e)
{
    const char *why = unfit(ret->model);
    const bool given = c && c->given, dynamic = given && c->scheduling.dynamic.on;
    batcher_opts *b = &ret->batching;
    *b = (batcher_opts){.mode = given ? BATCH_OFF : r->mode,
                        .max_batch = given || why || r->mode == BATCH_OFF ? 1 : r->max_batch,
                        .max_delay_us = r->max_delay_us,
                        .objective_us = r->objective_us,
                        .requests_max = r->requests_max,
                        .bytes_max = r->bytes_max,
                        .kinds_max = QUEUE_KINDS_MAX + 1};
    if (b->max_batch == 0) b->max_batch = QUEUE_MAX_BATCH;
    if (b->max_batch == 1 && b->mode == BATCH_FIXED) b->max_delay_us = 0;   /* nobody to wait for */
    ret->level = 0;
    err_code rc = dynamic ? dynamic_apply(ret, c, why, e) : ERR_OK;
    if (rc == ERR_OK && given && c->scheduling.sequence.on) rc = sequence_apply(ret, c, why, e);
    if (rc) return rc;
    if ((rc = padding_apply(ret, c, e)) != ERR_OK) return rc;
    instances_apply(ret, c);
    ret->inline_us = b->preserve_ordering ? 0 : r->inline_us;   /* it would overtake those that wait for their turn */
    return queue_limits_apply(ret, r->limits, r->limit_count, c, e);
}
