#include "models/load_order.h"

#include "base/map.h"
#include "base/mem.h"
#include "models/ensemble.h"

typedef struct {
    const named_model *of;
    bool seen, chosen;
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
    s->sorted[s->count] = *of->of;
    s->sorted[s->count++].brought = !of->chosen;
    return true;
}

static err_code no_memory(size_t count, err *e)
{
    return err_set(e, ERR_NOMEM, "models: no memory for the order of %zu", count);
}

static err_code names_read(sorter *s, named_model *all, size_t count, err *e)
{
    for (size_t i = 0; i < count; i++) {
        s->all[i].of = &all[i];
        bool there = map_get(&s->by_name, all[i].name) != NULL;
        if (!there && !map_put(&s->by_name, all[i].name, &s->all[i])) return no_memory(count, e);
    }
    return ERR_OK;
}

static err_code chosen_read(sorter *s, size_t count, str chosen, err *e)
{
    bool everything = chosen.len == 0 || str_is(chosen, "*");
    for (size_t i = 0; everything && i < count; i++) s->all[i].chosen = true;
    for (str name, rest = everything ? STR("") : chosen; rest.len;) {
        name = str_next(&rest, ',');
        entry *of = map_get(&s->by_name, name);
        if (!of)
            return err_set(e, ERR_INVALID,
                           "load-model: expected a model that is named or in the model repository, got '" STR_FMT "'",
                           STR_ARG(name));
        of->chosen = true;
    }
    return ERR_OK;
}

static err_code sort(sorter *s, size_t count, size_t *ret_loaded, err *e)
{
    for (size_t i = 0; i < count; i++)
        if (s->all[i].chosen && !s->all[i].seen && !put(s, &s->all[i], 0)) return no_memory(count, e);
    *ret_loaded = s->count;
    for (size_t i = 0; i < count; i++)
        if (!s->all[i].seen) s->sorted[s->count++] = *s->all[i].of;
    return ERR_OK;
}

err_code load_order(named_model *all, size_t count, str chosen, size_t *ret_loaded, err *e)
{
    sorter s = {.all = mem_new0(entry, count + 1), .sorted = mem_new0(named_model, count + 1)};
    size_t loaded = 0;
    map_init(&s.by_name);
    err_code rc = s.all && s.sorted ? names_read(&s, all, count, e) : no_memory(count, e);
    if (rc == ERR_OK) rc = chosen_read(&s, count, chosen, e);
    if (rc == ERR_OK) rc = sort(&s, count, &loaded, e);
    if (rc == ERR_OK) {
        if (count) memcpy(all, s.sorted, count * sizeof *all);
        *ret_loaded = loaded;
    }
    map_fini(&s.by_name);
    mem_free(s.all);
    mem_free(s.sorted);
    return rc;
}
