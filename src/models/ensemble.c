#include "models/ensemble.h"

#include "base/map.h"
#include "base/mem.h"
#include "models/config_type.h"
#include "models/ensemble_join.h"
#include "models/served.h"

#define bad(e, ...) err_set(e, ERR_INVALID, __VA_ARGS__)

enum { FLOWS_BYTES_MAX = 64 << 20 };

void ensemble_free(ensemble *m)
{
    if (!m) return;
    arena_fini(&m->memory);
    mem_free(m);
}

static err_code no_memory(err *e) { return err_set(e, ERR_NOMEM, "no memory for an ensemble"); }

/* ---- the members ---- */

/* What is known of a flow: as the first who named it has it. */
typedef struct {
    str model;                    /* who said it; len 0 = nobody yet */
    dtype type;
    bool ranked;
    shape dims, full;             /* without and with the batch */
} knowledge;

static knowledge known(str by, const model_io *io, const shape *full, bool said, bool batches)
{
    knowledge k = {.model = by, .type = io->type, .ranked = io->ranked || said, .full = *full, .dims = *full};
    if (batches && full->rank > 0) k.dims = shape_make(full->rank - 1, full->dim + 1);
    return k;
}

/* As clients of the member see its tensor. */
static knowledge known_of(const served *s, bool input, uint32_t i)
{
    const model_io *io = input ? served_input(s, i) : served_output(s, i);
    shape full = model_config_declared(s->config, &s->ios, input, i);
    return known(s->name, io, &full, model_config_said(s->config, input, i), s->config->max_batch_size > 0);
}

static bool meet(const shape *a, const shape *b)
{
    if (a->rank != b->rank) return false;
    for (uint32_t d = 0; d < a->rank; d++)
        if (a->dim[d] >= 0 && b->dim[d] >= 0 && a->dim[d] != b->dim[d]) return false;
    return true;
}

/* Both say the same of one flow, or whichever came first is believed. */
static err_code agree(const ensemble *m, str flow, knowledge *have, const knowledge *k, err *e)
{
    char one[SHAPE_TEXT_MAX], two[SHAPE_TEXT_MAX];
    if (!have->model.len) {
        *have = *k;
        return ERR_OK;
    }
    if (have->type != DT_NONE && k->type != DT_NONE && have->type != k->type)
        return bad(e, "in ensemble " STR_FMT ", ensemble tensor " STR_FMT ": inconsistent data type: TYPE_%s is "
                      "inferred from model " STR_FMT " while TYPE_%s is inferred from model " STR_FMT, STR_ARG(m->name),
                   STR_ARG(flow), config_type_name(have->type), STR_ARG(have->model), config_type_name(k->type),
                   STR_ARG(k->model));
    if (!have->ranked || !k->ranked || meet(&have->dims, &k->dims) || meet(&have->full, &k->full)) return ERR_OK;
    return bad(e, "in ensemble " STR_FMT ", ensemble tensor " STR_FMT ": inconsistent shape: %s is inferred from model "
                  STR_FMT " while %s is inferred from model " STR_FMT, STR_ARG(m->name), STR_ARG(flow),
               shape_text(&have->full, one), STR_ARG(have->model), shape_text(&k->full, two), STR_ARG(k->model));
}

/* Text that one member takes as pictures is numbers by then: no other may read it. */
static err_code text_check(const ensemble *m, uint32_t flow, const served *s, uint32_t input, err *e)
{
    if (!ensemble_join_text(m, flow, s, input) || m->flows[flow].reader_count == 1) return ERR_OK;
    return bad(e, "in ensemble " STR_FMT ", ensemble tensor " STR_FMT ": expected model " STR_FMT " alone to read its "
                  "pictures, got %u readers", STR_ARG(m->name), STR_ARG(m->flows[flow].name), STR_ARG(s->name),
               m->flows[flow].reader_count);
}

static err_code inputs_check(const ensemble *m, const ensemble_stage *st, const served *s, knowledge *all, err *e)
{
    for (uint32_t k = 0; k < st->in_count; k++) {
        const ensemble_link *l = &st->in[k];
        int64_t i = served_input_index(s, l->name);
        str flow = m->flows[l->flow].name;
        if (i < 0)
            return bad(e, "in ensemble " STR_FMT ", ensemble tensor " STR_FMT " is mapping to non-existing input "
                          STR_FMT " in model " STR_FMT, STR_ARG(m->name), STR_ARG(flow), STR_ARG(l->name),
                       STR_ARG(st->model));
        for (uint32_t j = 0; j < k; j++)
            if (str_eq(st->in[j].name, l->name))
                return bad(e, "in ensemble " STR_FMT ", input " STR_FMT " in model " STR_FMT " is mapped to multiple "
                              "ensemble tensors", STR_ARG(m->name), STR_ARG(l->name), STR_ARG(st->model));
        knowledge mine = known_of(s, true, (uint32_t)i);
        err_code rc = text_check(m, l->flow, s, (uint32_t)i, e);
        if (rc == ERR_OK && !ensemble_join_text(m, l->flow, s, (uint32_t)i))
            rc = agree(m, flow, &all[l->flow], &mine, e);
        if (rc) return rc;
    }
    for (uint32_t i = 0; i < served_input_count(s); i++) {
        bool mapped = false;
        for (uint32_t k = 0; k < st->in_count; k++) mapped = mapped || str_eq(st->in[k].name, served_input(s, i)->name);
        if (!mapped)
            return bad(e, "in ensemble " STR_FMT ", input " STR_FMT " in model " STR_FMT " is not mapped to any "
                          "ensemble tensors", STR_ARG(m->name), STR_ARG(served_input(s, i)->name), STR_ARG(st->model));
    }
    return ERR_OK;
}

static err_code outputs_check(const ensemble *m, const ensemble_stage *st, const served *s, knowledge *all, err *e)
{
    for (uint32_t k = 0; k < st->out_count; k++) {
        const ensemble_link *l = &st->out[k];
        int64_t i = served_output_index(s, l->name);
        if (i < 0)
            return bad(e, "in ensemble " STR_FMT ", ensemble tensor " STR_FMT " is mapped from non-existing output "
                          STR_FMT " in model " STR_FMT, STR_ARG(m->name), STR_ARG(m->flows[l->flow].name),
                       STR_ARG(l->name), STR_ARG(st->model));
        knowledge mine = known_of(s, false, (uint32_t)i);
        err_code rc = agree(m, m->flows[l->flow].name, &all[l->flow], &mine, e);
        if (rc) return rc;
    }
    return ERR_OK;
}

/* How deep ensembles lie in it, and how many steps a request takes in all of them; a circle ends at the depth. */
static err_code extent_check(const ensemble *top, const ensemble *m, uint32_t depth, uint32_t *steps, err *e)
{
    if (depth > ENSEMBLE_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "ensemble '" STR_FMT "': expected ensembles in ensembles at most %d deep, got "
                                     "more", STR_ARG(top->name), ENSEMBLE_DEPTH_MAX);
    for (uint32_t i = 0; i < m->stage_count; i++) {
        served *s = NULL;
        if (++*steps > ENSEMBLE_STEPS_MAX)
            return err_set(e, ERR_LIMIT, "ensemble '" STR_FMT "': expected at most %d steps in all its ensembles, got "
                                         "more", STR_ARG(top->name), ENSEMBLE_STEPS_MAX);
        if (depth > 1 && str_eq(m->stages[i].model, top->name))
            return bad(e, "circular dependency between ensembles: " STR_FMT " -> ... -> " STR_FMT " -> " STR_FMT,
                       STR_ARG(top->name), STR_ARG(m->name), STR_ARG(top->name));
        err_code rc = repository_find(m->models, m->stages[i].model, m->stages[i].version, &s, e);
        if (rc == ERR_OK && s->ensemble) rc = extent_check(top, s->ensemble, depth + 1, steps, e);
        if (rc) return rc;
    }
    return ERR_OK;
}

static err_code member_check(const ensemble *m, const ensemble_stage *st, int64_t batch_max, knowledge *all, err *e)
{
    served *s = NULL;
    if (str_eq(st->model, m->name))
        return bad(e, "circular dependency between ensembles: " STR_FMT " -> " STR_FMT, STR_ARG(m->name),
                   STR_ARG(m->name));
    if (repository_find(m->models, st->model, st->version, &s, e))
        return bad(e, "ensemble " STR_FMT " contains models that are not available: " STR_FMT "%s" STR_FMT,
                   STR_ARG(m->name), STR_ARG(st->model), st->version.len ? " version " : "", STR_ARG(st->version));
    int64_t most = s->config->max_batch_size;
    if (most != 0 && most < batch_max)
        return bad(e, "ensemble " STR_FMT " allows maximum batch size %lld, but it contains model " STR_FMT
                      " which only allows maximum batch size to be %lld", STR_ARG(m->name), (long long)batch_max,
                   STR_ARG(st->model), (long long)most);
    err_code rc = inputs_check(m, st, s, all, e);
    return rc ? rc : outputs_check(m, st, s, all, e);
}

err_code ensemble_check(const ensemble *m, const model_config *c, err *e)
{
    uint32_t steps = 0;
    knowledge *all = mem_new0(knowledge, m->flow_count + 1);
    if (!all) return no_memory(e);
    for (uint32_t i = 0; i < c->ios.input_count; i++)
        all[i] = known(m->name, &c->ios.inputs[i], &c->ios.inputs[i].shape, true, m->batches);
    for (uint32_t i = 0; i < m->ios->output_count; i++)
        all[m->outputs[i]] = known(m->name, &c->ios.outputs[i], &c->ios.outputs[i].shape, true, m->batches);
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < m->stage_count && rc == ERR_OK; i++)
        rc = member_check(m, &m->stages[i], c->max_batch_size, all, e);
    if (rc == ERR_OK) rc = extent_check(m, m, 1, &steps, e);
    mem_free(all);
    return rc;
}

bool ensemble_keeps_sequences(const ensemble *m)
{
    err ignored;
    for (uint32_t i = 0; i < m->stage_count; i++) {
        served *s = NULL;
        if (repository_find(m->models, m->stages[i].model, m->stages[i].version, &s, &ignored)) continue;
        if (s->sequencer || (s->ensemble && ensemble_keeps_sequences(s->ensemble))) return true;
    }
    return false;
}

/* ---- the flows ---- */

/* Fills `flows`, one entry for each that is new. */
static bool flow_of(ensemble *m, map *by_name, ensemble_flow *flows, str name, uint32_t *ret)
{
    ensemble_flow *f = map_get(by_name, name);
    if (!f) {
        f = &flows[m->flow_count++];
        *f = (ensemble_flow){.name = name, .writer = -1};
        if (!map_put(by_name, name, f)) return false;
    }
    *ret = (uint32_t)(f - flows);
    return true;
}

static const ensemble_link *links_make(ensemble *m, map *by_name, ensemble_flow *flows, const name_pair *pairs,
                                       size_t count)
{
    ensemble_link *links = arena_new(&m->memory, ensemble_link, count ? count : 1);
    for (size_t i = 0; links && i < count; i++) {
        links[i].name = pairs[i].key;
        if (!flow_of(m, by_name, flows, pairs[i].value, &links[i].flow)) return NULL;
    }
    return links;
}

static bool version_text(ensemble *m, int64_t version, str *ret)
{
    if (version < 0) return true;
    const char *text = arena_printf(&m->memory, "%lld", (long long)version);
    *ret = str_of(text);
    return text != NULL;
}

static bool stages_make(ensemble *m, map *by_name, ensemble_flow *flows, const ensemble_scheduling *from)
{
    ensemble_stage *stages = arena_new(&m->memory, ensemble_stage, from->step_count ? from->step_count : 1);
    if (!stages) return false;
    for (size_t i = 0; i < from->step_count; i++) {
        const ensemble_step *s = &from->steps[i];
        ensemble_stage *to = &stages[i];
        *to = (ensemble_stage){.model = s->model,
                               .in = links_make(m, by_name, flows, s->inputs, s->input_count),
                               .out = links_make(m, by_name, flows, s->outputs, s->output_count),
                               .in_count = (uint32_t)s->input_count,
                               .out_count = (uint32_t)s->output_count,
                               .in_first = m->in_total,
                               .out_first = m->out_total};
        if (!to->in || !to->out || !version_text(m, s->version, &to->version)) return false;
        m->in_total += to->in_count;
        m->out_total += to->out_count;
        for (uint32_t k = 0; k < to->out_count; k++) flows[to->out[k].flow].writer = (int64_t)i;
    }
    m->stages = stages;
    m->stage_count = (uint32_t)from->step_count;
    return true;
}

/* Who reads each flow. */
static bool readers_make(ensemble *m, ensemble_flow *flows)
{
    uint32_t *all = arena_new(&m->memory, uint32_t, m->in_total ? m->in_total : 1), at = 0;
    if (!all) return false;
    for (uint32_t i = 0; i < m->stage_count; i++)
        for (uint32_t k = 0; k < m->stages[i].in_count; k++) flows[m->stages[i].in[k].flow].reader_count++;
    for (uint32_t f = 0; f < m->flow_count; f++) {
        flows[f].readers = all + at;
        at += flows[f].reader_count;
        flows[f].reader_count = 0;
    }
    for (uint32_t i = 0; i < m->stage_count; i++) {
        for (uint32_t k = 0; k < m->stages[i].in_count; k++) {
            ensemble_flow *f = &flows[m->stages[i].in[k].flow];
            all[(f->readers - all) + f->reader_count++] = i;
        }
    }
    return true;
}

static bool outputs_make(ensemble *m, map *by_name, ensemble_flow *flows)
{
    const model_ios *ios = m->ios;
    uint32_t *outputs = arena_new(&m->memory, uint32_t, ios->output_count ? ios->output_count : 1);
    if (!outputs) return false;
    for (uint32_t i = 0; i < ios->output_count; i++) {
        if (!flow_of(m, by_name, flows, ios->outputs[i].name, &outputs[i])) return false;
        flows[outputs[i]].output_count++;
    }
    m->outputs = outputs;
    return true;
}

static bool flows_make(ensemble *m, const model_config *c, map *by_name)
{
    const ensemble_scheduling *from = &c->scheduling.ensemble;
    size_t room = c->ios.input_count + c->ios.output_count + 1;
    for (size_t i = 0; i < from->step_count; i++) room += from->steps[i].input_count + from->steps[i].output_count;
    ensemble_flow *flows = arena_new(&m->memory, ensemble_flow, room);
    uint32_t at;
    bool ok = flows != NULL;
    for (uint32_t i = 0; ok && i < c->ios.input_count; i++)
        ok = flow_of(m, by_name, flows, c->ios.inputs[i].name, &at);
    ok = ok && stages_make(m, by_name, flows, from) && outputs_make(m, by_name, flows) &&
         readers_make(m, flows);
    m->flows = flows;
    return ok;
}

err_code ensemble_new(ensemble **ret, const model_config *c, const repository *models, metrics_model *metrics, err *e)
{
    map by_name;
    CLEANUP(ensemble) ensemble *m = mem_new0(ensemble, 1);
    if (!m) return no_memory(e);
    arena_init(&m->memory, NULL, 0, FLOWS_BYTES_MAX);
    m->memory.snug = true;
    m->models = models;
    m->metrics = metrics;
    m->name = c->name;
    m->batches = c->max_batch_size > 0;
    m->ios = &c->ios;
    map_init(&by_name);
    bool ok = flows_make(m, c, &by_name);
    map_fini(&by_name);
    if (!ok) return no_memory(e);
    err_code rc = ensemble_check(m, c, e);
    if (rc == ERR_OK) *ret = TAKE(m);
    return rc;
}
