/* shm.h - POSIX shared memory objects that clients have registered under names: copied from and to by offset.
 *
 * Never mapped: whoever owns an object may shrink it at any time, and reading a mapped page beyond its end would kill
 * this process; a copy is refused instead.  A region keeps the object that it was registered with, also when that is
 * unlinked or its name is taken by another.  What the kernel lets this process open may be registered, no more: rights
 * are the objects' modes.  Any thread; a region that is unregistered while it is copied lives until that is done. */
#ifndef OS_SHM_H
#define OS_SHM_H
#include "base/err.h"
#include "base/str.h"

enum { SHM_REGIONS_MAX = 1024, SHM_NAME_MAX = 255 };   /* each holds a descriptor; bytes of a name and of a key */

typedef struct shm_set shm_set;

typedef struct {
    str name, key;              /* key: as shm_open() takes it, "/name" or "name" */
    uint64_t offset, bytes;     /* the part of the object that is the region */
} shm_region;

err_code shm_set_new(shm_set **ret, err *e) MUST_USE;
void shm_set_free(shm_set *s);
DEFINE_CLEANUP(shm_set)

/* ERR_CONFLICT when the name is taken, ERR_INVALID when the object is too small. */
err_code shm_register(shm_set *s, const shm_region *r, err *e) MUST_USE;
void shm_unregister(shm_set *s, str name);   /* nothing when it is not there; "" = all */
/* The regions, or those with that name, in no order; all in the arena. */
err_code shm_list(shm_set *s, str name, arena *a, shm_region **ret, size_t *ret_count, err *e) MUST_USE;
/* ERR_NOT_FOUND for an unknown region, ERR_INVALID outside of it or of what is left of its object. */
err_code shm_read(shm_set *s, str name, uint64_t offset, void *to, size_t len, err *e) MUST_USE;
err_code shm_write(shm_set *s, str name, uint64_t offset, const void *from, size_t len, err *e) MUST_USE;

#endif
