#include "models/queue_limits.h"

#include "base/log.h"

static const char *const parameters[] = {"fair_weight", "requests_per_second", "requests_burst"};
enum { WEIGHT, RATE, BURST };

static model_limit of_options(str name, const model_limit *said, size_t count)
{
    model_limit out = {.model = name};
    for (size_t i = 0; i < count; i++) {
        if (!str_eq(said[i].model, name)) continue;
        if (said[i].weight) out.weight = said[i].weight;
        if (said[i].rate_per_s) {
            out.rate_per_s = said[i].rate_per_s;
            out.burst = said[i].burst;
        }
    }
    return out;
}

/* *ret stays where nothing is said. */
static err_code number_of(const model_config *c, size_t parameter, uint32_t most, uint32_t *ret, err *e)
{
    const str text = c ? model_config_parameter(c, parameters[parameter]) : (str){.len = 0};
    uint64_t n = 0;
    if (!text.p) return ERR_OK;
    if (!str_u64(text, &n) || n < 1 || n > most)
        return err_set(e, ERR_INVALID, "parameter '%s': expected an integer in 1..%u, got '" STR_FMT "'",
                       parameters[parameter], most, STR_ARG(text));
    *ret = (uint32_t)n;
    return ERR_OK;
}

static err_code of_model(model_limit *ret, const model_config *c, err *e)
{
    model_limit own = {.weight = 0};
    err_code rc = number_of(c, WEIGHT, FAIR_WEIGHT_MAX, &own.weight, e);
    if (rc == ERR_OK) rc = number_of(c, RATE, MODEL_RATE_MAX, &own.rate_per_s, e);
    if (rc == ERR_OK) rc = number_of(c, BURST, MODEL_RATE_MAX, &own.burst, e);
    if (rc) return rc;
    if (own.burst && !own.rate_per_s)
        return err_set(e, ERR_INVALID, "parameter 'requests_burst': expected requests_per_second with it, got none");
    if (!ret->weight) ret->weight = own.weight;
    if (!ret->rate_per_s) {
        ret->rate_per_s = own.rate_per_s;
        ret->burst = own.burst;
    }
    return ERR_OK;
}

static err_code resources_apply(queue_opts *ret, const model_config *c, err *e)
{
    const rate_limiter *r = c ? &c->scheduling.rate : NULL;
    if (!r || !r->said) return ERR_OK;
    if (!turns_by_runs(ret->turns)) {
        log_write(LOG_INFO, NULL, "model '" STR_FMT "': instance_group.rate_limiter: not in effect without "
                  "--rate-limit execution_count", STR_ARG(ret->name));
        return ERR_OK;
    }
    if (r->differ)
        return err_set(e, ERR_UNSUPPORTED, "instance_group.rate_limiter of model " STR_FMT ": expected the same in "
                       "each group, got several", STR_ARG(ret->name));
    if (r->priority > FAIR_PRIORITY_MAX)
        return err_set(e, ERR_UNSUPPORTED, "instance_group.rate_limiter.priority of model " STR_FMT ": expected at "
                       "most %d, got '%u'", STR_ARG(ret->name), FAIR_PRIORITY_MAX, r->priority);
    ret->share.priority = r->priority;
    ret->share.needs = r->needs;
    ret->share.need_count = r->need_count;
    if (r->need_count) ret->inline_us = 0;
    return ERR_OK;
}

err_code queue_limits_apply(queue_opts *ret, const model_limit *said, size_t count, const model_config *c, err *e)
{
    model_limit l = of_options(ret->name, said, count);
    err_code rc = of_model(&l, c, e);
    if (rc) return rc;
    ret->share = (turn_opts){.weight = l.weight};
    ret->batching.rate_per_s = l.rate_per_s;
    ret->batching.rate_burst = l.burst ? l.burst : l.rate_per_s;
    if (l.rate_per_s) ret->inline_us = 0;
    return resources_apply(ret, c, e);
}

err_code queue_limits_none(const model_limit *said, size_t count, const model_config *c, err *e)
{
    for (size_t i = 0; i < COUNTOF(parameters); i++)
        if (model_config_parameter(c, parameters[i]).p)
            return err_set(e, ERR_UNSUPPORTED, "parameter '%s': expected a model, which has a queue, got an ensemble: "
                           "its members have their own", parameters[i]);
    for (size_t i = 0; i < count; i++)
        if (str_eq(said[i].model, c->name))
            return err_set(e, ERR_UNSUPPORTED, "model-%s: expected a model, which has a queue, got the ensemble '"
                           STR_FMT "': its members have their own", said[i].weight ? "weights" : "rates",
                           STR_ARG(c->name));
    return ERR_OK;
}
