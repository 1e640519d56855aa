#include "sched/resources.h"

#include <string.h>

void resources_init(resources *r) { *r = (resources){.told = false}; }

static str name_of(const struct resource *at) { return (str){at->name, at->name_len}; }

/* Its place, which may be new; RESOURCES_MAX = there is none left. */
static uint32_t place_of(resources *r, str name)
{
    uint32_t free = RESOURCES_MAX;
    for (uint32_t i = 0; i < RESOURCES_MAX; i++) {
        if (r->all[i].name_len && str_eq(name_of(&r->all[i]), name)) return i;
        if (!r->all[i].name_len && free == RESOURCES_MAX) free = i;
    }
    if (free == RESOURCES_MAX) return free;
    r->all[free] = (struct resource){.name_len = (uint32_t)name.len};
    memcpy(r->all[free].name, name.p, name.len);
    return free;
}

static err_code place_find(resources *r, str name, uint32_t *ret, err *e)
{
    if (name.len < 1 || name.len > RESOURCE_NAME_MAX)
        return err_set(e, ERR_INVALID, "rate limit resource: expected a name of 1..%d bytes, got '" STR_FMT "'",
                       RESOURCE_NAME_MAX, STR_ARG(name));
    uint32_t at = place_of(r, name);
    if (at == RESOURCES_MAX)
        return err_set(e, ERR_LIMIT, "rate limit resources: expected at most %d names, got one more", RESOURCES_MAX);
    *ret = at;
    return ERR_OK;
}

err_code resources_say(resources *r, str name, uint32_t count, err *e)
{
    uint32_t at;
    INVARIANT(!r->claims);
    err_code rc = place_find(r, name, &at, e);
    if (rc) return rc;
    if (r->all[at].said < count) r->all[at].said = count;
    r->told = true;
    return ERR_OK;
}

/* How much there is follows from who joined; a name that nobody has any more makes room. */
static void count_all(resources *r)
{
    uint64_t used = 0;
    for (uint32_t i = 0; i < RESOURCES_MAX; i++) r->all[i].most = r->all[i].said;
    for (const resource_claim *c = r->claims; c; c = c->behind) {
        used |= c->set;
        for (uint32_t i = 0; i < RESOURCES_MAX; i++)
            if (r->all[i].most < c->needs[i]) r->all[i].most = c->needs[i];
    }
    for (uint32_t i = 0; i < RESOURCES_MAX; i++)
        if (!(used >> i & 1) && !r->all[i].said) r->all[i].name_len = 0;
}

static err_code claim_check(const resources *r, const resource_claim *c, err *e)
{
    for (uint32_t i = 0; i < RESOURCES_MAX; i++) {
        const uint64_t bit = UINT64_C(1) << i;
        if (!(c->set & bit)) continue;
        const str name = name_of(&r->all[i]);
        for (const resource_claim *o = r->claims; o; o = o->behind)
            if (o->set & bit && (o->global ^ c->global) & bit)
                return err_set(e, ERR_INVALID, "Resource \"" STR_FMT "\" is present as both global and device-specific "
                               "resource in the model configuration.", STR_ARG(name));
        if (r->told && r->all[i].said < c->needs[i])
            return err_set(e, ERR_INVALID, "Resource count for \"" STR_FMT "\" is limited to %u which will prevent "
                           "scheduling of one or more model instances, the minimum required count is %u",
                           STR_ARG(name), r->all[i].said, c->needs[i]);
    }
    return ERR_OK;
}

err_code resources_join(resources *r, resource_claim *c, const resource_need *needs, size_t count, err *e)
{
    err_code rc = ERR_OK;
    *c = (resource_claim){.set = 0};
    for (size_t i = 0; i < count && rc == ERR_OK; i++) {
        uint32_t at;
        if ((rc = place_find(r, needs[i].name, &at, e)) != ERR_OK) break;
        const uint64_t bit = UINT64_C(1) << at;
        c->set |= bit;
        c->global = needs[i].global ? c->global | bit : c->global & ~bit;
        c->needs[at] = needs[i].count;
    }
    if (rc == ERR_OK) rc = claim_check(r, c, e);
    if (rc) c->set = 0;
    if (c->set) {
        c->behind = r->claims;
        if (c->behind) c->behind->before = c;
        r->claims = c;
    }
    count_all(r);
    return rc;
}

void resources_leave(resources *r, resource_claim *c)
{
    if (!c->set) return;
    if (c->before) c->before->behind = c->behind;
    else r->claims = c->behind;
    if (c->behind) c->behind->before = c->before;
    c->set = 0;
    count_all(r);
}

bool resources_fit(const resources *r, const resource_claim *c, uint64_t *short_of)
{
    bool fits = (c->set & *short_of) == 0;
    for (uint32_t i = 0; i < RESOURCES_MAX && fits && c->set >> i; i++)
        fits = !(c->set >> i & 1) || r->all[i].used + c->needs[i] <= r->all[i].most;
    if (!fits) *short_of |= c->set;
    return fits;
}

void resources_take(resources *r, const resource_claim *c)
{
    for (uint32_t i = 0; i < RESOURCES_MAX && c->set >> i; i++) r->all[i].used += c->needs[i];
}

void resources_give(resources *r, const resource_claim *c)
{
    for (uint32_t i = 0; i < RESOURCES_MAX && c->set >> i; i++) {
        INVARIANT(r->all[i].used >= c->needs[i]);
        r->all[i].used -= c->needs[i];
    }
}
