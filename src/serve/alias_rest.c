#include "serve/alias_rest.h"

#include "models/model_control.h"
#include "wire/json_text.h"

str alias_rest_asked(const route_args *args, char text[ALIASES_NAME_MAX])
{
    return args->label.len ? alias_name(args->model, args->label, text) : args->model;
}

err_code alias_rest_set(endpoints *s, const route_args *args, str body, buf *reply, err *e)
{
    (void)body, (void)reply;
    char text[ALIASES_NAME_MAX];
    alias a = {.name = args->label.len ? alias_rest_asked(args, text) : args->alias,
               .model = args->model,
               .version = args->version};
    uint64_t number;
    if (a.version.len && !str_u64(a.version, &number))
        return err_set(e, ERR_INVALID, "version: expected a number, got '" STR_FMT "'", STR_ARG(a.version));
    if (!a.name.p) return err_set(e, ERR_INVALID, "label: expected at most 128 bytes, got %zu", args->label.len);
    return model_control_alias(s->control, &a, args->owner, e);
}

err_code alias_rest_drop(endpoints *s, const route_args *args, str body, buf *reply, err *e)
{
    (void)body, (void)reply;
    char text[ALIASES_NAME_MAX];
    const alias a = {.name = args->label.len ? alias_rest_asked(args, text) : args->alias};
    if (!a.name.p) return err_set(e, ERR_INVALID, "label: expected at most 128 bytes, got %zu", args->label.len);
    return model_control_alias(s->control, &a, args->owner, e);
}

bool alias_rest_sees(const api_key *who, str name)
{
    str of = alias_model(&(alias){.name = name});
    return guard_sees(who, of.p ? of : name);
}

bool alias_rest_entry(endpoints *s, const api_key *who, alias_rest_cursor *at, repository_entry *ret)
{
    const repository *r = s->models;
    while (at->model < repository_count(r)) {
        if (repository_entry_next(r, at->model, &at->row, ret)) {
            if (guard_sees(who, ret->name)) return true;
            continue;
        }
        at->model++;
        at->row = NULL;
    }
    while (repository_alias_entry(r, at->alias, ret)) {
        at->alias++;
        if (alias_rest_sees(who, ret->name)) return true;
    }
    return false;
}

bool alias_rest_one_version(endpoints *s, str name, str version)
{
    alias led;
    err e;
    if (version.len) return true;
    return aliases_lead(repository_aliases(s->models), &(alias){.name = name}, &led, &e) == ERR_OK && led.version.len;
}

void alias_rest_status(str version, buf *out)
{
    buf_put_z(out, "{\"model_version_status\":[{\"version\":");
    json_text_put(out, version);
    buf_put_z(out, ",\"state\":\"AVAILABLE\",\"status\":{\"error_code\":\"OK\",\"error_message\":\"\"}}]}");
}
