/* response_cache.h - answers that were given before, for requests that are the same.
 *
 * One for the whole server, for the models whose configuration asks for it.  A key is SipHash-128, with a key made at
 * random when the server starts, over the owner (one number per model that was loaded, never used again), of an
 * ensemble its members' numbers (cache_visit.h), and all of the inputs: types, shapes, bytes.  Inputs are not kept to
 * be compared: two requests meet by chance at 2^-128 a pair, and nobody outside can make them meet.
 * Kept are all outputs, copied, until the least recently used have to go: bytes_max bounds all that is kept or still
 * read.  Large caches are split by key, so an answer larger than one part (16 MiB at least, or all of it) is not kept.
 * Any thread; each part has a lock, held for some hundred nanoseconds. */
#ifndef MODELS_RESPONSE_CACHE_H
#define MODELS_RESPONSE_CACHE_H
#include "base/siphash.h"
#include "models/queue.h"

enum {
    RESPONSE_CACHE_PARTS_MAX = 16,
    RESPONSE_CACHE_PART_BYTES = 16 << 20   /* at least, where there are several */
};

typedef struct response_cache response_cache;

typedef struct {
    uint64_t entries, bytes, evictions;
} response_cache_stats;

err_code response_cache_new(response_cache **ret, uint64_t bytes_max, err *e) MUST_USE;
void response_cache_free(response_cache *c);   /* nobody reads an answer of it any more */
DEFINE_CLEANUP(response_cache)

uint64_t response_cache_owner(response_cache *c);   /* a new one */
/* A key: begun with who answers, to which more may be added that the answer depends on, and ended with the inputs. */
siphash response_cache_ask(const response_cache *c, uint64_t owner);
siphash_value response_cache_key(siphash *h, const tensor *inputs, uint32_t count);
/* True: the item's outputs are those of the answer, until queue_release(). */
bool response_cache_find(response_cache *c, const siphash_value *key, queue_item *item);
/* Keeps the item's outputs, `count` of them, where there is room; they stay the item's. */
void response_cache_put(response_cache *c, uint64_t owner, const siphash_value *key, const queue_item *item,
                        uint32_t count);
void response_cache_drop(response_cache *c, uint64_t owner);   /* its model is gone: so are its answers */
void response_cache_stats_read(response_cache *c, response_cache_stats *ret);

#endif
