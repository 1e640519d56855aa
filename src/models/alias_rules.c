#include "models/alias_rules.h"

#include "models/repository_names.h"

#define wrong(a, e, ...) wrong_(a, e, "expected " __VA_ARGS__)
#define wrong_(a, e, format, ...) \
    err_set(e, ERR_INVALID, "alias '" STR_FMT "': " format, STR_ARG((a)->name), __VA_ARGS__)

static err_code name_rule(const repository *r, const alias *a, err *e)
{
    str of = alias_model(a);
    err_code rc = repository_name_check(of.p ? alias_label(a) : a->name, e);
    if (rc) return err_wrap(e, "alias '" STR_FMT "'", STR_ARG(a->name));
    if (of.p && !repository_knows(r, of))
        return wrong(a, e, "a label of a model that is here, got '" STR_FMT "'", STR_ARG(of));
    if (!of.p && repository_knows(r, a->name))
        return wrong(a, e, "a name that no model has, got '" STR_FMT "'", STR_ARG(a->name));
    return ERR_OK;
}

static err_code target_rule(const repository *r, const aliases *t, const alias *a, err *e)
{
    alias led;
    str of = alias_model(a);
    err_code rc = aliases_lead(t, &(alias){.name = a->model, .version = a->version}, &led, e);
    if (rc) return err_wrap(e, "alias '" STR_FMT "'", STR_ARG(a->name));
    int64_t i = repository_index(r, led.model);
    if (i < 0) return wrong(a, e, "a model or an alias that is here, got '" STR_FMT "'", STR_ARG(led.model));
    if (of.p && (!led.version.len || !str_eq(of, led.model)))
        return wrong(a, e, "a version of '" STR_FMT "', got '" STR_FMT "'", STR_ARG(of), STR_ARG(led.model));
    const lineup *now = repository_lineup(r, (size_t)i);
    if (now && led.version.len && !lineup_find(now, led.version))
        return wrong(a, e, "a version of '" STR_FMT "' that is served, got '" STR_FMT "'", STR_ARG(led.model),
                     STR_ARG(led.version));
    return ERR_OK;
}

err_code alias_rules_with(const repository *r, const alias *a, aliases **ret, err *e)
{
    CLEANUP(aliases) aliases *t = NULL;
    err_code rc = name_rule(r, a, e);
    if (rc == ERR_OK) rc = aliases_with(&t, repository_aliases(r), a, e);
    if (rc == ERR_OK) rc = aliases_check(t, e);
    if (rc == ERR_OK) rc = target_rule(r, t, a, e);
    if (rc == ERR_OK) *ret = TAKE(t);
    return rc;
}

err_code alias_rules_without(const repository *r, str name, aliases **ret, err *e)
{
    const aliases *t = repository_aliases(r);
    const alias gone = {.name = name};
    if (!aliases_find(t, name)) return err_set(e, ERR_NOT_FOUND, "Alias " STR_FMT " does not exist.", STR_ARG(name));
    for (size_t i = 0; i < aliases_count(t); i++)
        if (str_eq(aliases_at(t, i)->model, name))
            return wrong(&gone, e, "no other alias that stands for it, got '" STR_FMT "'",
                         STR_ARG(aliases_at(t, i)->name));
    return aliases_with(ret, t, &gone, e);
}

static err_code list_read(str list, aliases **t, err *e)
{
    err_code rc = ERR_OK;
    for (str text, rest = list; rc == ERR_OK && rest.len;) {
        alias a;
        aliases *more = NULL;
        if (!str_cut(rest, ',', &text, &rest)) {
            text = rest;
            rest = STR("");
        }
        rc = alias_read(text, &a, e);
        if (rc == ERR_OK && aliases_find(*t, a.name))
            rc = err_set(e, ERR_INVALID, "alias: duplicate name '" STR_FMT "'", STR_ARG(a.name));
        if (rc == ERR_OK) rc = aliases_with(&more, *t, &a, e);
        if (rc == ERR_OK) aliases_free(*t);
        if (rc == ERR_OK) *t = more;
    }
    return rc;
}

err_code alias_rules_all(const repository *r, str list, aliases **ret, err *e)
{
    CLEANUP(aliases) aliases *t = NULL;
    err_code rc = list_read(list, &t, e);
    if (rc == ERR_OK) rc = aliases_check(t, e);
    for (size_t i = 0; rc == ERR_OK && i < aliases_count(t); i++) {
        rc = name_rule(r, aliases_at(t, i), e);
        if (rc == ERR_OK) rc = target_rule(r, t, aliases_at(t, i), e);
    }
    if (rc == ERR_OK) *ret = TAKE(t);
    return rc;
}
