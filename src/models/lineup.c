#include "models/lineup.h"

#include "base/mem.h"
#include "models/repository.h"

err_code lineup_new(lineup **ret, size_t room, err *e)
{
    lineup *l = mem_alloc0(1, sizeof *l + room * sizeof(served *));
    if (!l) return err_set(e, ERR_NOMEM, "models: no memory for %zu versions", room);
    *ret = l;
    return ERR_OK;
}

void lineup_free(lineup *l) { mem_free(l); }

void lineup_close(lineup *l, const lineup *but)
{
    for (size_t i = 0; l && i < l->count; i++)
        if (!lineup_has(but, l->all[i])) served_free(l->all[i]);
    lineup_free(l);
}

served *lineup_find(const lineup *l, str version)
{
    for (size_t i = 0; i < l->count; i++)
        if (str_eq(l->all[i]->version, version)) return l->all[i];
    return NULL;
}

bool lineup_has(const lineup *l, const served *s)
{
    for (size_t i = 0; l && i < l->count; i++)
        if (l->all[i] == s) return true;
    return false;
}
