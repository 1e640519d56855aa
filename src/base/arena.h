/* arena.h - bump allocator with one lifetime: a request, a config load, a graph build.
 *
 * There is no arena_free(ptr).  What dies together is allocated together; the owner resets the arena
 * once, at the end, on success and on error alike.  An arena has a hard limit, so a hostile request
 * runs out of its own arena, not out of the machine's memory.  It starts in memory that it borrows
 * (possibly none) and, where `limit` is larger than that, goes on in heap chunks of its own, which
 * arena_reset() keeps (the largest one) and arena_fini() frees.  Not thread-safe: it has one user.
 *
 * Chunks double, for a steady load shall soon need no more of them.  A `snug` arena is filled once and kept, as a
 * model's is: each chunk is a quarter larger than the last, and a large block has one to itself. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H
#include "base/base.h"

typedef struct arena_chunk arena_chunk;
struct quota;

typedef struct {
    uint8_t *base;              /* the chunk being filled */
    size_t used, room;          /* of that chunk, bytes */
    size_t limit;               /* over all chunks, bytes */
    size_t total;               /* bytes handed out since the last reset, padding included */
    size_t total_max;           /* high-water mark since arena_init, exported as a metric */
    bool starved;               /* the last NULL was the heap's doing, not the limit's */
    struct quota *share;        /* set behind arena_init(): chunks are taken from it, too; NULL = from none */
    bool snug;                  /* the same: what is pushed stays, so chunks are hardly larger than it */
    bool shared_out;            /* the last NULL was its doing */
    /* private */
    size_t held;                /* what its chunks cost */
    arena_chunk *chunks;
    uint8_t *first;
    size_t first_room;
} arena;

void arena_init(arena *a, void *memory, size_t room, size_t limit);   /* borrows memory; limit >= room */
void arena_fini(arena *a);                                            /* frees the heap chunks */
size_t arena_held(const arena *a);                                     /* mem_cost() of its chunks, used or not */
void arena_reset(arena *a);                                           /* everything pushed is gone */
void *arena_push(arena *a, size_t count, size_t size, size_t align) MUST_USE;   /* zeroed; NULL = over limit */
void *arena_push_raw(arena *a, size_t bytes, size_t align) MUST_USE;            /* the same, not zeroed */
void *arena_copy(arena *a, const void *bytes, size_t len, size_t align) MUST_USE;
char *arena_printf(arena *a, const char *fmt, ...) PRINTF(2, 3) MUST_USE;
#define arena_new(a, type, n) ((type *)arena_push((a), (n), sizeof(type), _Alignof(type)))

#endif
