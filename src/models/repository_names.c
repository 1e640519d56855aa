#include "models/repository_names.h"

#include "base/mem.h"

#include <string.h>

/* A name stands in a URL path segment and before ":predict"; clients resolve the segments "." and "..". */
err_code repository_name_check(str name, err *e)
{
    bool bad = name.len == 0 || name.len > 128 || !str_utf8_ok(name) || str_is(name, ".") || str_is(name, "..");
    for (size_t i = 0; i < name.len && !bad; i++)
        bad = (uint8_t)name.p[i] <= ' ' || strchr("/:?#%\"\\\177", name.p[i]) != NULL;
    if (bad)
        return err_set(e, ERR_INVALID,
                       "model name: expected 1..128 characters without blanks and / : ? # %% \" \\, got '" STR_FMT "'",
                       STR_ARG(name));
    return ERR_OK;
}

err_code repository_name_new(repository_name **ret, str name, const char *path, err *e)
{
    CLEANUP(repository_name) repository_name *l = mem_new0(repository_name, 1);
    if (!l) return err_set(e, ERR_NOMEM, "model '" STR_FMT "': no memory", STR_ARG(name));
    l->text = mem_alloc0(name.len + 1, 1);
    l->path = mem_alloc0(strlen(path) + 1, 1);
    if (!l->text || !l->path) return err_set(e, ERR_NOMEM, "model '" STR_FMT "': no memory", STR_ARG(name));
    memcpy(l->text, name.p, name.len);
    memcpy(l->path, path, strlen(path));
    l->name = (str){l->text, name.len};
    *ret = TAKE(l);
    return ERR_OK;
}

/* One block: the texts, and behind them their characters. */
err_code repository_name_members(repository_name *l, const model_config *c, err *e)
{
    str member, *all = NULL;
    size_t count = 0, bytes = 0;
    while ((member = model_config_member(c, count)).p) count++, bytes += member.len;
    if (count && !(all = mem_alloc0(1, count * sizeof *all + bytes)))
        return err_set(e, ERR_NOMEM, "model '" STR_FMT "': no memory for its members", STR_ARG(l->name));
    char *text = (char *)(all + count);
    for (size_t i = 0; i < count; i++) {
        member = model_config_member(c, i);
        memcpy(text, member.p, member.len);
        all[i] = (str){text, member.len};
        text += member.len;
    }
    mem_free(l->members);
    l->members = all;
    l->member_count = count;
    return ERR_OK;
}

void repository_name_free(repository_name *l)
{
    if (!l) return;
    mem_free(l->members);
    lineup_close(atomic_load(&l->now), NULL);
    version_rows_fini(&l->rows);
    mem_free(l->text);
    mem_free(l->path);
    mem_free(l);
}

void repository_names_free(repository_names *n)
{
    if (!n) return;
    map_fini(&n->by_name);
    mem_free(n->all);
    mem_free(n);
}

err_code repository_names_new(repository_names **ret, err *e)
{
    repository_names *n = mem_new0(repository_names, 1);
    if (!n) return err_set(e, ERR_NOMEM, "models: no memory");
    map_init(&n->by_name);
    *ret = n;
    return ERR_OK;
}

err_code repository_names_put(repository_names *n, repository_name *l, err *e)
{
    if (n->count == n->room) {
        const size_t room = n->room ? 2 * n->room : 8, one = sizeof(repository_name *);
        repository_name **bigger = mem_grow(n->all, n->count * one, room, one);
        if (!bigger) return err_set(e, ERR_NOMEM, "models: no memory for %zu", n->count + 1);
        n->all = bigger;
        n->room = room;
    }
    if (!map_put(&n->by_name, l->name, l))
        return err_set(e, ERR_NOMEM, "model '" STR_FMT "': no memory for its name", STR_ARG(l->name));
    l->index = n->count;
    n->all[n->count++] = l;
    return ERR_OK;
}

err_code repository_names_copy(repository_names **ret, const repository_names *from, err *e)
{
    CLEANUP(repository_names) repository_names *n = NULL;
    err_code rc = repository_names_new(&n, e);
    for (size_t i = 0; rc == ERR_OK && i < from->count; i++) rc = repository_names_put(n, from->all[i], e);
    if (rc == ERR_OK) *ret = TAKE(n);
    return rc;
}
