#include "serve/conf_names.h"

#include "models/repository_names.h"

err_code conf_names(const conf *c, err *e)
{
    for (size_t i = 0; i < c->model_count; i++) {
        err_code rc = repository_name_check(c->models[i].name, e);
        if (rc) return rc;
        for (size_t j = 0; j < i; j++)
            if (str_eq(c->models[i].name, c->models[j].name))
                return err_set(e, ERR_INVALID, "models: duplicate name '" STR_FMT "' for " STR_FMT " and " STR_FMT,
                               STR_ARG(c->models[i].name), STR_ARG(c->models[j].path), STR_ARG(c->models[i].path));
    }
    return ERR_OK;
}
