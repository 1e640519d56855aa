#include "models/aliases.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

struct aliases {
    arena memory;
    size_t count;
    alias *all;
};

enum { TABLE_BYTES_MAX = 4 << 20 };

void aliases_free(aliases *t)
{
    if (!t) return;
    arena_fini(&t->memory);
    mem_free(t);
}

size_t aliases_count(const aliases *t) { return t ? t->count : 0; }

const alias *aliases_at(const aliases *t, size_t i)
{
    INVARIANT(t && i < t->count);
    return &t->all[i];
}

static int compare(str a, str b)
{
    int order = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);
    return order ? order : a.len < b.len ? -1 : a.len > b.len;
}

/* Where it is, or would be. */
static size_t place_of(const aliases *t, str name)
{
    size_t from = 0, to = aliases_count(t);
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (compare(t->all[middle].name, name) < 0) from = middle + 1;
        else to = middle;
    }
    return from;
}

const alias *aliases_find(const aliases *t, str name)
{
    size_t i = place_of(t, name);
    return i < aliases_count(t) && str_eq(t->all[i].name, name) ? &t->all[i] : NULL;
}

static bool copy(aliases *t, const alias *a)
{
    alias *to = &t->all[t->count++];
    to->name = str_copy(&t->memory, a->name);
    to->model = str_copy(&t->memory, a->model);
    to->version = str_copy(&t->memory, a->version);
    return to->name.p && to->model.p && to->version.p;
}

err_code aliases_with(aliases **ret, const aliases *from, const alias *a, err *e)
{
    CLEANUP(aliases) aliases *t = mem_new0(aliases, 1);
    size_t n = aliases_count(from), at = place_of(from, a->name);
    size_t next = at + (aliases_find(from, a->name) != NULL);
    if (!t) return err_set(e, ERR_NOMEM, "aliases: no memory");
    if (a->model.p && next == at && n == ALIASES_MAX)
        return err_set(e, ERR_LIMIT, "aliases: expected at most %d, got %zu", ALIASES_MAX, n + 1);
    arena_init(&t->memory, NULL, 0, TABLE_BYTES_MAX);
    t->all = arena_new(&t->memory, alias, n + 1);
    bool ok = t->all != NULL;
    for (size_t i = 0; ok && i < at; i++) ok = copy(t, &from->all[i]);
    if (ok && a->model.p) ok = copy(t, a);
    for (size_t i = next; ok && i < n; i++) ok = copy(t, &from->all[i]);
    if (!ok) return err_set(e, ERR_NOMEM, "aliases: no memory for %zu", n + 1);
    *ret = TAKE(t);
    return ERR_OK;
}

err_code aliases_lead(const aliases *t, const alias *asked, alias *ret, err *e)
{
    const alias *a;
    str version = asked->version;
    *ret = *asked;
    ret->model = asked->name;
    for (int i = 0; i <= ALIASES_DEPTH_MAX && (a = aliases_find(t, ret->model)) != NULL; i++) {
        if (version.len && a->version.len && !str_eq(version, a->version))
            return err_set(e, ERR_NOT_FOUND, "Model with name " STR_FMT " and version " STR_FMT " does not exist.",
                           STR_ARG(asked->name), STR_ARG(version));
        if (a->version.len) version = a->version;
        ret->model = a->model;
    }
    ret->version = version;
    return ERR_OK;
}

static err_code circle_check(const aliases *t, const alias *first, err *e)
{
    const alias *a = aliases_find(t, first->model);
    for (size_t i = 0; a && i < t->count; i++) {
        if (a == first)
            return err_set(e, ERR_INVALID, "alias '" STR_FMT "': expected a name that does not lead back to it, got '"
                           STR_FMT "'", STR_ARG(first->name), STR_ARG(first->model));
        a = aliases_find(t, a->model);
    }
    return ERR_OK;
}

static err_code depth_check(const aliases *t, const alias *first, err *e)
{
    const alias *a = first;
    int depth = 0;
    while (a && depth <= ALIASES_DEPTH_MAX) {
        a = aliases_find(t, a->model);
        depth += a != NULL;
    }
    if (depth <= ALIASES_DEPTH_MAX) return ERR_OK;
    return err_set(e, ERR_LIMIT, "alias '" STR_FMT "': expected aliases of aliases at most %d deep, got more",
                   STR_ARG(first->name), ALIASES_DEPTH_MAX);
}

err_code aliases_check(const aliases *t, err *e)
{
    err_code rc = ERR_OK;
    for (size_t i = 0; rc == ERR_OK && i < aliases_count(t); i++) rc = circle_check(t, &t->all[i], e);
    for (size_t i = 0; rc == ERR_OK && i < aliases_count(t); i++) rc = depth_check(t, &t->all[i], e);
    return rc;
}

/* ---- text ---- */

static bool is_number(str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    return s.len > 0 && s.len <= ALIASES_VERSION_MAX;
}

err_code alias_read(str text, alias *ret, err *e)
{
    alias a = {.version = STR("")};
    str model, behind;
    bool ok = str_cut(text, '=', &a.name, &a.model) && a.name.len && a.model.len;
    if (ok && str_cut(a.model, ':', &model, &behind)) {
        ok = model.len && behind.len;
        if (is_number(behind)) {
            a.model = model;
            a.version = behind;
        }
    }
    if (!ok)
        return err_set(e, ERR_INVALID,
                       "alias: expected NAME=MODEL, NAME=MODEL:VERSION or MODEL:LABEL=MODEL:VERSION, got '" STR_FMT "'",
                       STR_ARG(text));
    *ret = a;
    return ERR_OK;
}

str alias_model(const alias *a)
{
    str model, label;
    return str_cut(a->name, ':', &model, &label) ? model : (str){0};
}

str alias_label(const alias *a)
{
    str model, label;
    return str_cut(a->name, ':', &model, &label) ? label : (str){0};
}

str alias_name(str model, str label, char text[ALIASES_NAME_MAX])
{
    int n = snprintf(text, ALIASES_NAME_MAX, STR_FMT ":" STR_FMT, STR_ARG(model), STR_ARG(label));
    return n > 0 && n < ALIASES_NAME_MAX ? (str){text, (size_t)n} : (str){0};
}
