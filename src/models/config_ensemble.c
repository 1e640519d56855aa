#include "base/map.h"
#include "base/mem.h"
#include "models/config_check.h"

#define bad(e, ...) err_set(e, ERR_INVALID, __VA_ARGS__)

/* A name that steps read and write. */
typedef struct {
    str name;
    const pbtree *writer;         /* the step; NULL = none */
    bool ready, read;
} flow;

typedef struct {
    const pbtree *config;
    str name;
    map by_name;                  /* of flows */
    flow **all;                   /* in the order they came, so that errors are the same every time */
    size_t count, room;
    arena memory;
} ensemble;

static err_code flow_of(ensemble *m, str name, flow **ret, err *e)
{
    flow *f = map_get(&m->by_name, name);
    if (!f) {
        if (m->count == m->room) {
            size_t room = m->room ? 2 * m->room : 16;
            flow **bigger = mem_grow(m->all, m->count * sizeof(flow *), room, sizeof(flow *));
            if (!bigger) return err_set(e, ERR_NOMEM, "no memory for the tensors of an ensemble");
            m->all = bigger;
            m->room = room;
        }
        f = arena_new(&m->memory, flow, 1);
        if (!f || !map_put(&m->by_name, name, f))
            return err_set(e, ERR_NOMEM, "no memory for the tensors of an ensemble");
        f->name = name;
        m->all[m->count++] = f;
    }
    *ret = f;
    return ERR_OK;
}

static err_code step_link(ensemble *m, const pbtree *step, size_t i, err *e)
{
    static const char *const needed[] = {"model_name", "input_map", "output_map"};
    flow *f;
    err_code rc = ERR_OK;
    for (size_t k = 0; k < COUNTOF(needed); k++) {
        bool there = k == 0 ? pbtree_text(step, needed[k]).len > 0 : pbtree_has(step, needed[k]);
        if (!there)
            return bad(e, "must specify '%s' in step %zu of ensemble '" STR_FMT "'", needed[k], i, STR_ARG(m->name));
    }
    for (const pbtree *o = pbtree_get(step, "output_map"); o; o = o->next) {
        if ((rc = flow_of(m, pbtree_text(o, "value"), &f, e)) != ERR_OK) return rc;
        if (f->writer)
            return bad(e, "ensemble tensor '" STR_FMT "' can appear in an output map only once for ensemble '" STR_FMT
                       "' step %zu", STR_ARG(f->name), STR_ARG(m->name), i);
        f->writer = step;
    }
    for (const pbtree *in = pbtree_get(step, "input_map"); in; in = in->next) {
        if ((rc = flow_of(m, pbtree_text(in, "value"), &f, e)) != ERR_OK) return rc;
        f->read = true;
    }
    return ERR_OK;
}

/* The first input of a step that nothing has written; NULL = it can run. */
static flow *missing(const ensemble *m, const pbtree *step)
{
    for (const pbtree *in = pbtree_get(step, "input_map"); in; in = in->next) {
        flow *f = map_get(&m->by_name, pbtree_text(in, "value"));
        if (!f->ready) return f;
    }
    return NULL;
}

/* At most CONFIG_STEPS_MAX rounds: each but the last lets a step more run. */
static void run(ensemble *m)
{
    for (bool more = true; more;) {
        more = false;
        for (const pbtree *s = pbtree_get(pbtree_get(m->config, "ensemble_scheduling"), "step"); s; s = s->next) {
            if (missing(m, s)) continue;
            for (const pbtree *o = pbtree_get(s, "output_map"); o; o = o->next) {
                flow *f = map_get(&m->by_name, pbtree_text(o, "value"));
                more = more || !f->ready;
                f->ready = true;
            }
        }
    }
}

/* Goes back along what is missing to where it begins; a circle ends the walk after as many steps as there are. */
static err_code not_written(const ensemble *m, const flow *output, err *e)
{
    const flow *last = output;
    for (size_t i = 0; i < m->count && last->writer; i++) {
        const flow *before = missing(m, last->writer);
        if (!before || before == output) break;
        last = before;
    }
    if (last == output)
        return bad(e, "output '" STR_FMT "' for ensemble '" STR_FMT "' is not written", STR_ARG(output->name),
                   STR_ARG(m->name));
    return bad(e, "output '" STR_FMT "' for ensemble '" STR_FMT "' is not written: at least one of its depending "
                  "tensors, '" STR_FMT "', is not connected", STR_ARG(output->name), STR_ARG(m->name),
               STR_ARG(last->name));
}

static err_code flow_check(ensemble *m, err *e)
{
    for (const pbtree *in = pbtree_get(m->config, "input"); in; in = in->next) {
        flow *f = map_get(&m->by_name, pbtree_text(in, "name"));
        if (!f)
            return bad(e, "ensemble input '" STR_FMT "' for ensemble " STR_FMT "' is not used",
                       STR_ARG(pbtree_text(in, "name")), STR_ARG(m->name));
        if (f->writer)
            return bad(e, "ensemble input '" STR_FMT "' for ensemble '" STR_FMT "' is also the output of a step",
                       STR_ARG(f->name), STR_ARG(m->name));
        f->ready = true;
    }
    run(m);
    for (const pbtree *o = pbtree_get(m->config, "output"); o; o = o->next) {
        flow *f = map_get(&m->by_name, pbtree_text(o, "name"));
        if (!f)
            return bad(e, "ensemble output '" STR_FMT "' for ensemble " STR_FMT "' is not used",
                       STR_ARG(pbtree_text(o, "name")), STR_ARG(m->name));
        if (!f->ready) return not_written(m, f, e);
        f->read = true;
    }
    for (size_t i = 0; i < m->count; i++)
        if (!m->all[i]->ready || !m->all[i]->read)
            return bad(e, "ensemble tensor '" STR_FMT "' is unused in ensemble '" STR_FMT "'", STR_ARG(m->all[i]->name),
                       STR_ARG(m->name));
    return ERR_OK;
}

static err_code steps_check(ensemble *m, const pbtree *scheduling, err *e)
{
    size_t i = 0;
    if (!pbtree_has(scheduling, "step"))
        return bad(e, "must specify 'step' for ensemble '" STR_FMT "'", STR_ARG(m->name));
    if (pbtree_count(scheduling, "step") > CONFIG_STEPS_MAX)
        return err_set(e, ERR_LIMIT, "ensemble '" STR_FMT "': expected at most %d steps, got %zu", STR_ARG(m->name),
                       CONFIG_STEPS_MAX, pbtree_count(scheduling, "step"));
    for (const pbtree *s = pbtree_get(scheduling, "step"); s; s = s->next, i++) {
        err_code rc = step_link(m, s, i, e);
        if (rc) return rc;
    }
    return flow_check(m, e);
}

err_code config_check_ensemble(const pbtree *c, err *e)
{
    str name = pbtree_text(c, "name");
    if (!str_is(pbtree_text(c, "platform"), "ensemble"))
        return bad(e, "ensemble scheduling cannot be set for model '" STR_FMT "' whose platform is not ensemble",
                   STR_ARG(name));
    if (pbtree_has(c, "instance_group"))
        return bad(e, "instance group should not be specified for ensemble '" STR_FMT "'", STR_ARG(name));
    if (pbtree_has(c, "optimization"))
        return bad(e, "optimization should not be specified for ensemble '" STR_FMT "'", STR_ARG(name));
    if (pbtree_has(c, "model_warmup"))
        return bad(e, "model_warmup can not be specified for ensemble '" STR_FMT "'", STR_ARG(name));
    ensemble m = {.config = c, .name = name};
    map_init(&m.by_name);
    arena_init(&m.memory, NULL, 0, 64 << 20);
    err_code rc = steps_check(&m, pbtree_get(c, "ensemble_scheduling"), e);
    map_fini(&m.by_name);
    mem_free(m.all);
    arena_fini(&m.memory);
    return rc;
}
