#include "base/log.h"
#include "models/alias_rules.h"
#include "models/control_task.h"

#include <string.h>

typedef struct {
    task task;
    const alias *to;
    model_wish missing;          /* a model that has to be loaded before it can stand for it; name "" = none */
    char name[ALIASES_NAME_MAX];
} naming;

static err_code alias_change(model_control *c, naming *n, err *e)
{
    farewell *f;
    repository *r = c->opts.models;
    aliases *now = NULL;
    err_code rc = farewell_new(&f, &c->leavers, 0, e);
    if (rc) return rc;
    rc = n->to->model.p ? alias_rules_with(r, n->to, &now, e) : alias_rules_without(r, n->to->name, &now, e);
    if (rc) {
        farewell_drop(f);
        return rc;
    }
    farewell_send_aliases(f, repository_aliases_swap(r, now));
    if (c->opts.changed) c->opts.changed(c->opts.ctx);
    return control_members_changed(c, e);
}

/* The model that it will stand for, where nothing is served under that name. */
static bool is_missing(const model_control *c, naming *n)
{
    alias led;
    err e;
    const repository *r = c->opts.models;
    const alias asked = {.name = n->to->model, .version = n->to->version};
    if (!n->to->model.p || aliases_lead(repository_aliases(r), &asked, &led, &e)) return false;
    int64_t i = repository_index(r, led.model);
    bool there = i >= 0 && repository_lineup(r, (size_t)i);
    if (there || repository_on_demand(r, led.model) || led.model.len >= sizeof n->name) return false;
    memcpy(n->name, led.model.p, led.model.len);
    n->missing.name = (str){n->name, led.model.len};
    return true;
}

static err_code alias_now(model_control *c, task *t, err *e)
{
    naming *n = (naming *)(void *)t;
    if (!n->missing.name.len && is_missing(c, n)) return ERR_OK;
    return alias_change(c, n, e);
}

err_code model_control_alias(model_control *c, const alias *a, bool granted, err *e)
{
    naming n = {.to = a, .missing = {.granted = granted}};
    err_code rc = control_allowed(c, &n.missing, e);
    if (rc == ERR_OK) rc = control_do(c, &n.task, alias_now, e);
    if (rc == ERR_OK && n.missing.name.len) {
        rc = model_control_load(c, &n.missing, e);
        if (rc == ERR_OK) rc = control_do(c, &n.task, alias_now, e);
    }
    if (rc) return rc;
    control_orphans_return(c);
    if (a->model.p)
        log_write(LOG_INFO, NULL, "alias '" STR_FMT "' stands for model '" STR_FMT "'%s" STR_FMT, STR_ARG(a->name),
                  STR_ARG(a->model), a->version.len ? " version " : "", STR_ARG(a->version));
    else log_write(LOG_INFO, NULL, "alias '" STR_FMT "' stands for nothing any more", STR_ARG(a->name));
    return ERR_OK;
}
