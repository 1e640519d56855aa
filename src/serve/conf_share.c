#include "serve/conf_share.h"

#include "sched/fair.h"

#include <inttypes.h>
#include <string.h>

static size_t entries(str list)
{
    size_t n = list.len > 0;
    for (size_t i = 0; i < list.len; i++) n += list.p[i] == ',';
    return n;
}

/* What stands before the next `at`, which goes with it; all, where there is none. */
static str cut(str *rest, char at)
{
    const char *p = rest->len ? memchr(rest->p, at, rest->len) : NULL;
    const str head = {rest->p, p ? (size_t)(p - rest->p) : rest->len};
    const size_t gone = head.len + (p != NULL);
    *rest = (str){rest->p + gone, rest->len - gone};
    return head;
}

static bool number(str text, uint64_t least, uint64_t most, uint32_t *ret)
{
    uint64_t n;
    if (!str_u64(text, &n) || n < least || n > most) return false;
    *ret = (uint32_t)n;
    return true;
}

/* NAME=N or, of rates, NAME=N:BURST. */
static bool limit_read(model_limit *to, bool rates, str entry)
{
    str value = entry;
    const str name = cut(&value, '=');
    bool burst = memchr(value.len ? value.p : "", ':', value.len) != NULL;
    const str first = cut(&value, ':');
    if (!name.len || (burst && !rates)) return false;
    to->model = name;
    if (!rates) return number(first, 1, FAIR_WEIGHT_MAX, &to->weight);
    if (burst && !number(value, 1, MODEL_RATE_MAX, &to->burst)) return false;
    return number(first, 1, MODEL_RATE_MAX, &to->rate_per_s);
}

static err_code limits_read(conf *c, bool rates, err *e)
{
    const char *option = rates ? "model-rates" : "model-weights";
    str rest = rates ? c->model_rates : c->model_weights;
    const size_t before = c->limit_count;
    while (rest.len) {
        const str entry = cut(&rest, ',');
        model_limit *to = &c->limits[c->limit_count];
        *to = (model_limit){.weight = 0};
        if (!limit_read(to, rates, entry))
            return err_set(e, ERR_INVALID, "%s: expected %s in 1..%d, got '" STR_FMT "'", option,
                           rates ? "NAME=N or NAME=N:BURST, each" : "NAME=WEIGHT,",
                           rates ? MODEL_RATE_MAX : FAIR_WEIGHT_MAX, STR_ARG(entry));
        for (size_t i = before; i < c->limit_count; i++)
            if (str_eq(c->limits[i].model, to->model))
                return err_set(e, ERR_INVALID, "%s: expected each model once, got '" STR_FMT "' again", option,
                               STR_ARG(to->model));
        c->limit_count++;
    }
    return ERR_OK;
}

/* NAME:COUNT or NAME:COUNT:DEVICE. */
static err_code resource_read(resource_need *to, str entry, err *e)
{
    str rest = entry;
    const str name = cut(&rest, ':'), count = cut(&rest, ':');
    const bool device = name.len + 1 + count.len < entry.len;
    *to = (resource_need){.name = name};
    if (name.len < 1 || name.len > RESOURCE_NAME_MAX || !number(count, 0, UINT32_MAX, &to->count))
        return err_set(e, ERR_INVALID, "rate-limit-resource: expected NAME:COUNT or NAME:COUNT:DEVICE, the name of 1.."
                       "%d bytes, got '" STR_FMT "'", RESOURCE_NAME_MAX, STR_ARG(entry));
    if (device && !str_is(rest, "0"))
        return err_set(e, ERR_INVALID, "rate-limit-resource: expected device 0, which is the CPU, got '" STR_FMT "'",
                       STR_ARG(entry));
    return ERR_OK;
}

static err_code resources_read(conf *c, err *e)
{
    str rest = c->rate_limit_resource;
    if (rest.len && !c->rate_limit)
        return err_set(e, ERR_INVALID, "rate-limit-resource: expected rate-limit execution_count with it, got off");
    while (rest.len) {
        err_code rc = resource_read(&c->resources[c->resource_count], cut(&rest, ','), e);
        if (rc) return rc;
        c->resource_count++;
    }
    return ERR_OK;
}

err_code conf_share(conf *c, arena *memory, err *e)
{
    const struct {
        const char *name;
        str list;
    } lists[] = {{"model-weights", c->model_weights},
                 {"model-rates", c->model_rates},
                 {"rate-limit-resource", c->rate_limit_resource}};
    size_t count[COUNTOF(lists)] = {0};
    for (size_t i = 0; i < COUNTOF(lists); i++) {
        count[i] = entries(lists[i].list);
        if (count[i] > CONF_SHARES_MAX)
            return err_set(e, ERR_LIMIT, "%s: expected at most %d entries, got %zu", lists[i].name, CONF_SHARES_MAX,
                           count[i]);
    }
    c->limits = arena_new(memory, model_limit, count[0] + count[1] + 1);
    c->resources = arena_new(memory, resource_need, count[2] + 1);
    c->limit_count = c->resource_count = 0;
    if (!c->limits || !c->resources) return err_set(e, ERR_NOMEM, "model-weights: no memory for the list");
    err_code rc = limits_read(c, false, e);
    if (rc == ERR_OK) rc = limits_read(c, true, e);
    return rc ? rc : resources_read(c, e);
}
