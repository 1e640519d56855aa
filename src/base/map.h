/* map.h - from a string to a pointer; open addressing, grows by doubling, no removal order promised.
 *
 * Keys are borrowed: they must outlive their entry.  Values are the caller's.  Keys may come from peers: they are
 * hashed under a secret of this process.  Not thread-safe. */
#ifndef BASE_MAP_H
#define BASE_MAP_H
#include "base/str.h"

typedef struct {
    /* private */
    struct map_slot *slots;
    size_t count, taken, room;   /* entries; entries and graves; slots, a power of two */
} map;

void map_init(map *m);                                  /* allocates nothing */
void map_fini(map *m);                                  /* frees the slots, not the values */
void *map_get(const map *m, str key);                   /* NULL = not there */
bool map_put(map *m, str key, void *value) MUST_USE;    /* replaces; value not NULL; false = no memory, map unchanged */
void *map_del(map *m, str key);                         /* the value that was there, or NULL */
size_t map_count(const map *m);
/* Walks all entries: size_t at = 0; while ((v = map_next(m, &at, &key))) ... ; no put or del meanwhile. */
void *map_next(const map *m, size_t *at, str *ret_key);

#endif
