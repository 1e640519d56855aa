#include "models/scheduling.h"

#include "models/config_type.h"

#include <string.h>

enum { PATIENCE_LEVELS_MAX = 64 };   /* more than a queue may have */

/* Arrays are at least one long, so that NULL only means that there is no memory. */
#define ARRAY(a, type, n) arena_new(a, type, (n) ? (n) : 1)

static bool numbers_read(i64_list *ret, const pbtree *m, const char *field, arena *a)
{
    size_t n = pbtree_count(m, field);
    int64_t *at = ARRAY(a, int64_t, n);
    if (!at) return false;
    *ret = (i64_list){at, n};
    for (const pbtree *v = pbtree_get(m, field); v; v = v->next) *at++ = v->i64;
    return true;
}

static queue_policy policy_read(const pbtree *p)
{
    return (queue_policy){.delays = pbtree_i64(p, "timeout_action") == 1,
                          .timeout_us = pbtree_u64(p, "default_timeout_microseconds"),
                          .may_override = pbtree_bool(p, "allow_timeout_override"),
                          .size_max = (uint32_t)pbtree_i64(p, "max_queue_size")};
}

static bool dynamic_read(dynamic_batching *d, const pbtree *b, arena *a)
{
    if (!b) return true;
    *d = (dynamic_batching){.on = true,
                            .delay_us = pbtree_u64(b, "max_queue_delay_microseconds"),
                            .preserve_ordering = pbtree_bool(b, "preserve_ordering"),
                            .levels = pbtree_u64(b, "priority_levels"),
                            .level = pbtree_u64(b, "default_priority_level"),
                            .policy = policy_read(pbtree_get(b, "default_queue_policy")),
                            .policy_count = pbtree_count(b, "priority_queue_policy")};
    level_policy *to = d->policies = ARRAY(a, level_policy, d->policy_count);
    if (!to) return false;
    for (const pbtree *p = pbtree_get(b, "priority_queue_policy"); p; p = p->next)
        *to++ = (level_policy){pbtree_u64(p, "key"), policy_read(pbtree_get(p, "value"))};
    return numbers_read(&d->preferred, b, "preferred_batch_size", a);
}

static queue_policy policy_of(const pbtree *b, uint64_t level)
{
    for (const pbtree *p = pbtree_get(b, "priority_queue_policy"); p; p = p->next)
        if (pbtree_u64(p, "key") == level) return policy_read(pbtree_get(p, "value"));
    return policy_read(pbtree_get(b, "default_queue_policy"));
}

queue_patience scheduling_patience(const pbtree *c)
{
    const pbtree *b = pbtree_get(c, "dynamic_batching");
    uint64_t levels = pbtree_u64(b, "priority_levels"), total = 0;
    if (!b) return (queue_patience){.own_timeout = true};
    queue_patience p = {.own_timeout = policy_of(b, pbtree_u64(b, "default_priority_level")).may_override};
    for (uint64_t i = levels ? 1 : 0; i <= levels && i <= PATIENCE_LEVELS_MAX; i++) {
        uint32_t most = policy_of(b, i).size_max;
        if (!most) return p;
        total += most;
    }
    p.size_max = levels > PATIENCE_LEVELS_MAX || total > UINT32_MAX ? 0 : (uint32_t)total;
    return p;
}

/* ---- sequences ---- */

static void control_read(sequence_batching *s, str input, const pbtree *c)
{
    static const struct {
        const char *field;
        dtype type;
    } pairs[] = {{"int32_false_true", DT_I32}, {"fp32_false_true", DT_F32}, {"bool_false_true", DT_BOOL}};
    sequence_control *to = &s->control[pbtree_i64(c, "kind")];
    *to = (sequence_control){.input = input, .type = config_type_dtype(pbtree_i64(c, "data_type"))};
    for (size_t i = 0; i < COUNTOF(pairs); i++) {
        const pbtree *off = pbtree_get(c, pairs[i].field);
        if (!off) continue;
        to->type = pairs[i].type;
        to->off = pairs[i].type == DT_F32 ? off->f64 : (double)off->i64;
        to->on = pairs[i].type == DT_F32 ? off->next->f64 : (double)off->next->i64;
    }
}

static bool state_read(sequence_state *to, const pbtree *s, arena *a)
{
    *to = (sequence_state){.input = pbtree_text(s, "input_name"),
                           .output = pbtree_text(s, "output_name"),
                           .type = config_type_dtype(pbtree_i64(s, "data_type")),
                           .initial_count = pbtree_count(s, "initial_state"),
                           .same_buffer = pbtree_bool(s, "use_same_buffer_for_input_output"),
                           .growable = pbtree_bool(s, "use_growable_memory")};
    initial_state *first = to->initial = ARRAY(a, initial_state, to->initial_count);
    if (!first || !numbers_read(&to->dims, s, "dims", a)) return false;
    for (const pbtree *i = pbtree_get(s, "initial_state"); i; i = i->next, first++) {
        *first = (initial_state){.name = pbtree_text(i, "name"),
                                 .file = pbtree_text(i, "data_file"),
                                 .type = config_type_dtype(pbtree_i64(i, "data_type"))};
        if (!numbers_read(&first->dims, i, "dims", a)) return false;
    }
    return true;
}

static bool sequence_read(sequence_batching *s, const pbtree *b, arena *a)
{
    const pbtree *direct = pbtree_get(b, "direct"), *oldest = pbtree_get(b, "oldest");
    if (!b) return true;
    *s = (sequence_batching){.on = true,
                             .oldest = oldest != NULL,
                             .iterative = pbtree_bool(b, "iterative_sequence"),
                             .idle_us = pbtree_u64(b, "max_sequence_idle_microseconds"),
                             .state_count = pbtree_count(b, "state"),
                             .delay_us = pbtree_u64(oldest ? oldest : direct, "max_queue_delay_microseconds"),
                             .slots_min = pbtree_f64(direct, "minimum_slot_utilization"),
                             .candidates_max = pbtree_i64(oldest, "max_candidate_sequences"),
                             .preserve_ordering = pbtree_bool(oldest, "preserve_ordering")};
    sequence_state *to = s->states = ARRAY(a, sequence_state, s->state_count);
    if (!to || !numbers_read(&s->preferred, oldest, "preferred_batch_size", a)) return false;
    for (const pbtree *in = pbtree_get(b, "control_input"); in; in = in->next)
        for (const pbtree *c = pbtree_get(in, "control"); c; c = c->next) control_read(s, pbtree_text(in, "name"), c);
    for (const pbtree *state = pbtree_get(b, "state"); state; state = state->next)
        if (!state_read(to++, state, a)) return false;
    return true;
}

/* ---- ensembles ---- */

static name_pair *pairs_read(const pbtree *step, const char *field, size_t *ret_count, arena *a)
{
    name_pair *pairs = ARRAY(a, name_pair, pbtree_count(step, field)), *to = pairs;
    *ret_count = pbtree_count(step, field);
    for (const pbtree *p = to ? pbtree_get(step, field) : NULL; p; p = p->next)
        *to++ = (name_pair){pbtree_text(p, "key"), pbtree_text(p, "value")};
    return pairs;
}

static bool ensemble_read(ensemble_scheduling *m, const pbtree *b, arena *a)
{
    if (!b) return true;
    *m = (ensemble_scheduling){.on = true,
                               .step_count = pbtree_count(b, "step"),
                               .inflight_max = (uint32_t)pbtree_i64(b, "max_inflight_requests")};
    ensemble_step *to = m->steps = ARRAY(a, ensemble_step, m->step_count);
    for (const pbtree *s = to ? pbtree_get(b, "step") : NULL; s; s = s->next, to++) {
        to->model = pbtree_text(s, "model_name");
        to->version = pbtree_i64(s, "model_version");
        to->inputs = pairs_read(s, "input_map", &to->input_count, a);
        to->outputs = pairs_read(s, "output_map", &to->output_count, a);
        if (!to->inputs || !to->outputs) return false;
    }
    return to != NULL;
}

/* ---- instances ---- */

static bool limiter_read(rate_limiter *to, const pbtree *r, arena *a)
{
    *to = (rate_limiter){.said = r != NULL,
                         .priority = (uint32_t)pbtree_u64(r, "priority"),
                         .need_count = pbtree_count(r, "resources")};
    resource_need *n = to->needs = ARRAY(a, resource_need, to->need_count);
    for (const pbtree *v = n ? pbtree_get(r, "resources") : NULL; v; v = v->next)
        *n++ = (resource_need){pbtree_text(v, "name"), (uint32_t)pbtree_u64(v, "count"), pbtree_bool(v, "global")};
    return n != NULL;
}

static bool limiters_eq(const rate_limiter *a, const rate_limiter *b)
{
    bool same = a->priority == b->priority && a->need_count == b->need_count;
    for (size_t i = 0; i < a->need_count && same; i++)
        same = str_eq(a->needs[i].name, b->needs[i].name) && a->needs[i].count == b->needs[i].count &&
               a->needs[i].global == b->needs[i].global;
    return same;
}

/* Instances of a model are alike here, so its groups should say the same. */
static bool limiters_read(rate_limiter *to, const pbtree *groups, arena *a)
{
    rate_limiter other;
    if (!limiter_read(to, pbtree_get(groups, "rate_limiter"), a)) return false;
    for (const pbtree *g = groups ? groups->next : NULL; g; g = g->next) {
        if (!limiter_read(&other, pbtree_get(g, "rate_limiter"), a)) return false;
        to->differ = to->differ || !limiters_eq(to, &other);
        to->said = to->said || other.said;
    }
    return true;
}

/* ---- warm-up ---- */

static bool warmup_read(warmup *to, const pbtree *w, arena *a)
{
    *to = (warmup){.name = pbtree_text(w, "name"),
                   .batch_size = (uint32_t)pbtree_i64(w, "batch_size"),
                   .count = (uint32_t)pbtree_i64(w, "count"),
                   .input_count = pbtree_count(w, "inputs")};
    if (to->count == 0) to->count = 1;
    warmup_input *in = to->inputs = ARRAY(a, warmup_input, to->input_count);
    for (const pbtree *i = in ? pbtree_get(w, "inputs") : NULL; i; i = i->next, in++) {
        const pbtree *v = pbtree_get(i, "value");
        *in = (warmup_input){.name = pbtree_text(i, "key"),
                             .file = pbtree_text(v, "input_data_file"),
                             .type = config_type_dtype(pbtree_i64(v, "data_type")),
                             .data = pbtree_has(v, "input_data_file") ? WARMUP_FILE
                                     : pbtree_has(v, "random_data")   ? WARMUP_RANDOM
                                     : pbtree_has(v, "zero_data")     ? WARMUP_ZERO
                                                                      : WARMUP_UNSET};
        if (!numbers_read(&in->dims, v, "dims", a)) return false;
    }
    return in != NULL;
}

err_code scheduling_read(scheduling *ret, const pbtree *c, arena *a, err *e)
{
    scheduling s = {.warmup_count = pbtree_count(c, "model_warmup")};
    warmup *w = s.warmups = ARRAY(a, warmup, s.warmup_count);
    bool ok = w && dynamic_read(&s.dynamic, pbtree_get(c, "dynamic_batching"), a) &&
              sequence_read(&s.sequence, pbtree_get(c, "sequence_batching"), a) &&
              ensemble_read(&s.ensemble, pbtree_get(c, "ensemble_scheduling"), a) &&
              limiters_read(&s.rate, pbtree_get(c, "instance_group"), a);
    for (const pbtree *v = ok ? pbtree_get(c, "model_warmup") : NULL; v && ok; v = v->next) ok = warmup_read(w++, v, a);
    if (!ok) return err_set(e, ERR_NOMEM, "no memory for a model's configuration");
    *ret = s;
    return ERR_OK;
}
