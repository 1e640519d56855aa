/* queue_kinds.h - which requests may share a run: a number for each set of types and shapes.
 *
 * Numbers are given out, not hashed: two requests have the same one exactly if all their inputs have the same types
 * and the same dimensions but for the first, and for the second of those inputs that are padded.  The table is
 * bounded; what nobody uses makes room, the one used longest ago first, and a number is never given out again.  Not
 * thread-safe: the queue holds its lock. */
#ifndef MODELS_QUEUE_KINDS_H
#define MODELS_QUEUE_KINDS_H
#include "tensor/tensor.h"

enum { QUEUE_KINDS_MAX = 64 };   /* at once; what is of no known kind runs alone */
#define QUEUE_KIND_NONE UINT32_MAX

typedef struct {
    /* private */
    uint32_t input_count, count;
    uint64_t padded, numbers, tick;
    struct queue_kind {
        tensor *inputs;    /* types and shapes */
        uint64_t hash, number, used_at;
        uint32_t users;
    } all[QUEUE_KINDS_MAX];
} queue_kinds;

/* padded: bit i = of input i. */
void queue_kinds_init(queue_kinds *k, uint32_t input_count, uint64_t padded);
void queue_kinds_fini(queue_kinds *k);

uint64_t queue_kinds_hash(const tensor *inputs, uint32_t count, uint64_t padded);   /* any thread: looks at no table */
/* Its place, until queue_kinds_give(), and its number, from 1; QUEUE_KIND_NONE: all places are in use, or no memory. */
uint32_t queue_kinds_take(queue_kinds *k, const tensor *inputs, uint64_t hash, uint64_t *ret_number);
void queue_kinds_give(queue_kinds *k, uint32_t place);   /* QUEUE_KIND_NONE: no-op */

#endif
