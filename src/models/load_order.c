#include "models/load_order.h"

#include "base/map.h"
#include "base/mem.h"
#include "models/ensemble.h"

typedef struct {
    const named_model *of;
    bool seen;
} entry;

typedef struct {
    map by_name;                  /* of entries; the first of a name */
    entry *all;
    named_model *sorted;
    size_t count;                 /* of those sorted */
} sorter;

/* Its members first; a circle ends where it closes, and what is too deep to be loaded is not looked at. */
static bool put(sorter *s, entry *of, uint32_t depth)
{
    err e;
    str member;
    CLEANUP(model_config) model_config *c = NULL;
    model_config_from from = {.name = of->of->name, .path = of->of->path.p};
    of->seen = true;
    err_code rc = depth > ENSEMBLE_DEPTH_MAX ? ERR_LIMIT : model_config_read(&c, &from, &e);
    if (rc == ERR_NOMEM) return false;
    for (size_t i = 0; rc == ERR_OK && (member = model_config_member(c, i)).p; i++) {
        entry *m = map_get(&s->by_name, member);
        if (m && !m->seen && !put(s, m, depth + 1)) return false;
    }
    s->sorted[s->count++] = *of->of;
    return true;
}

err_code load_order(named_model *all, size_t count, err *e)
{
    sorter s = {.all = mem_new0(entry, count + 1), .sorted = mem_new0(named_model, count + 1)};
    map_init(&s.by_name);
    bool ok = s.all && s.sorted;
    for (size_t i = 0; ok && i < count; i++) {
        s.all[i].of = &all[i];
        if (!map_get(&s.by_name, all[i].name)) ok = map_put(&s.by_name, all[i].name, &s.all[i]);
    }
    for (size_t i = 0; ok && i < count; i++)
        if (!s.all[i].seen) ok = put(&s, &s.all[i], 0);
    if (ok && count) memcpy(all, s.sorted, count * sizeof *all);
    map_fini(&s.by_name);
    mem_free(s.all);
    mem_free(s.sorted);
    return ok ? ERR_OK : err_set(e, ERR_NOMEM, "models: no memory for the order of %zu", count);
}
