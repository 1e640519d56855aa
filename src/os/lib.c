#include "os/lib.h"

#include "os/sys.h"

#include <stdatomic.h>

static lock opening = LOCK_INIT;   /* guards the symbol tables while they are filled */

static err_code open_once(lib *l, err *e)
{
    void *handle = NULL;
    for (size_t i = 0; i < LIB_NAMES_MAX && l->names[i] && !handle; i++) (void)sys_lib_open(l->names[i], &handle);
    if (!handle)
        return err_set(e, ERR_UNSUPPORTED, "%s: library '%s' cannot be opened", l->title, l->names[0]);
    for (size_t i = 0; i < l->count; i++)
        if (sys_lib_find(handle, l->symbols[i].name, l->symbols[i].ret) < 0)
            return err_set(e, ERR_UNSUPPORTED, "%s: the library has no function '%s'", l->title, l->symbols[i].name);
    if (l->opened) l->opened();
    atomic_store_explicit(&l->open, true, memory_order_release);
    return ERR_OK;
}

err_code lib_need(lib *l, err *e)
{
    if (atomic_load_explicit(&l->open, memory_order_acquire)) return ERR_OK;
    lock_take(&opening);
    err_code rc = atomic_load_explicit(&l->open, memory_order_relaxed) ? ERR_OK : open_once(l, e);
    lock_give(&opening);
    return rc;
}
