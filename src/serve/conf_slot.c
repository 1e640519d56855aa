#include "serve/conf_slot.h"

#include "models/aliases.h"

/* Only a file keeps other users out. */
err_code conf_control(const conf *c, sock_addr *ret, err *e)
{
    str path = c->control;
    bool named = str_starts(path, STR("unix:"));
    if (named) path = (str){path.p + 5, path.len - 5};
    if (named && str_starts(path, STR("//"))) path = (str){path.p + 2, path.len - 2};
    if (!named || path.len == 0 || path.p[0] == '@')
        return err_set(e, ERR_INVALID, "control: expected unix:PATH, got '" STR_FMT "'", STR_ARG(c->control));
    err_code rc = sock_addr_unix(ret, path.p, e);
    return rc ? err_wrap(e, "control") : ERR_OK;
}

static err_code load_model(const conf *c, err *e)
{
    str all = c->load_model;
    if (!all.len) return ERR_OK;
    if (c->slot)
        return err_set(e, ERR_INVALID, "slot: expected no load-model with it, got '" STR_FMT "'", STR_ARG(all));
    if (c->model_control != CONF_CONTROL_EXPLICIT)
        return err_set(e, ERR_INVALID, "load-model: expected model-control explicit with it, got '%s'",
                       c->model_control == CONF_CONTROL_POLL ? "poll" : "none");
    for (str name, rest = all; rest.len && !str_is(all, "*");) {
        if (!str_cut(rest, ',', &name, &rest)) {
            name = rest;
            rest = STR("");
        }
        if (name.len == 0 || str_is(name, "*"))
            return err_set(e, ERR_INVALID, "load-model: expected names, or * alone, got '" STR_FMT "'", STR_ARG(all));
    }
    return ERR_OK;
}

static err_code alias_check(const conf *c, err *e)
{
    err_code rc = ERR_OK;
    for (str text, rest = c->alias; rc == ERR_OK && rest.len;) {
        alias ignored;
        if (!str_cut(rest, ',', &text, &rest)) {
            text = rest;
            rest = STR("");
        }
        rc = alias_read(text, &ignored, e);
    }
    return rc;
}

err_code conf_slot(const conf *c, err *e)
{
    sock_addr at;
    bool named = c->model_count > 0 || c->model_dir.len > 0;
    err_code rc = c->control.len ? conf_control(c, &at, e) : ERR_OK;
    if (rc) return rc;
    if (c->control.len && c->handover.len)
        return err_set(e, ERR_INVALID, "control: expected no handover with it, got '" STR_FMT "'",
                       STR_ARG(c->handover));
    if ((rc = load_model(c, e)) != ERR_OK || (rc = alias_check(c, e)) != ERR_OK) return rc;
    if (!c->slot && !named && c->model_repository.len == 0)
        return err_set(e, ERR_INVALID, "expected NAME=PATH, --model-dir or --model-repository, got no model");
    if (c->slot && named) {
        str got = c->model_count > 0 ? c->models[0].path : c->model_dir;
        return err_set(e, ERR_INVALID, "slot: expected no model with it, got '" STR_FMT "'", STR_ARG(got));
    }
    if (c->slot && !c->control.len && !c->model_repository.len)
        return err_set(e, ERR_INVALID, "slot: expected control or model-repository with it, got neither");
    return ERR_OK;
}
