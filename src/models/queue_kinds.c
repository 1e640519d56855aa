#include "models/queue_kinds.h"

#include "base/mem.h"

void queue_kinds_init(queue_kinds *k, uint32_t input_count, uint64_t padded)
{
    *k = (queue_kinds){.input_count = input_count, .padded = padded};
}

void queue_kinds_fini(queue_kinds *k)
{
    for (uint32_t i = 0; i < k->count; i++) {
        INVARIANT(k->all[i].users == 0);
        mem_free(k->all[i].inputs);
    }
    k->count = 0;
}

/* The first dimension of input i that must be equal. */
static uint32_t first_of(uint64_t padded, uint32_t i) { return i < 64 && padded >> i & 1 ? 2 : 1; }

/* Only sorts out what is unlike: equality decides. */
uint64_t queue_kinds_hash(const tensor *inputs, uint32_t count, uint64_t padded)
{
    uint64_t h = 0;
    for (uint32_t i = 0; i < count; i++) {
        const shape *s = &inputs[i].shape;
        h = (h ^ (uint64_t)inputs[i].type ^ (uint64_t)s->rank << 8) * UINT64_C(0x9E3779B97F4A7C15);
        for (uint32_t d = first_of(padded, i); d < s->rank; d++)
            h = ((h ^ h >> 29) + (uint64_t)s->dim[d]) * UINT64_C(0xBF58476D1CE4E5B9);
    }
    return h;
}

static bool alike(const tensor *a, const tensor *b, uint32_t count, uint64_t padded)
{
    for (uint32_t i = 0; i < count; i++) {
        const shape *s = &a[i].shape, *t = &b[i].shape;
        if (a[i].type != b[i].type || s->rank != t->rank) return false;
        for (uint32_t d = first_of(padded, i); d < s->rank; d++)
            if (s->dim[d] != t->dim[d]) return false;
    }
    return true;
}

/* A new place, or that of the one which nobody uses and which was used longest ago. */
static struct queue_kind *place_for_one_more(queue_kinds *k)
{
    struct queue_kind *stalest = NULL;
    if (k->count < QUEUE_KINDS_MAX) {
        struct queue_kind *fresh = &k->all[k->count];
        fresh->inputs = mem_new0(tensor, k->input_count ? k->input_count : 1);
        if (!fresh->inputs) return NULL;
        k->count++;
        return fresh;
    }
    for (struct queue_kind *c = k->all; c < k->all + k->count; c++)
        if (c->users == 0 && (!stalest || c->used_at < stalest->used_at)) stalest = c;
    return stalest;
}

uint32_t queue_kinds_take(queue_kinds *k, const tensor *inputs, uint64_t hash, uint64_t *ret_number)
{
    struct queue_kind *c = k->all;
    while (c < k->all + k->count && !(c->hash == hash && alike(c->inputs, inputs, k->input_count, k->padded))) c++;
    if (c == k->all + k->count) {
        c = place_for_one_more(k);
        if (!c) return QUEUE_KIND_NONE;
        c->hash = hash;
        c->number = ++k->numbers;
        for (uint32_t i = 0; i < k->input_count; i++)
            c->inputs[i] = tensor_make(inputs[i].type, &inputs[i].shape, NULL);
    }
    c->used_at = ++k->tick;
    c->users++;
    *ret_number = c->number;
    return (uint32_t)(c - k->all);
}

void queue_kinds_give(queue_kinds *k, uint32_t place)
{
    if (place == QUEUE_KIND_NONE) return;
    INVARIANT(place < k->count && k->all[place].users > 0);
    k->all[place].users--;
}
