#include "engine/label_map.h"

#include <math.h>
#include <string.h>

enum { KEYS_MAX = 1 << 28 }; /* twice as many slots stay an index of 32 bits */

tensor label_list(const attr *a)
{
    if (!a) return (tensor){0};
    if (a->kind == ATTR_TENSOR) return *a->t;
    shape s = shape_make(1, (const int64_t[]){a->count});
    switch (a->kind) {
    /* An attribute is only read: the tensors are inputs of lookups. */
    case ATTR_FLOATS: return tensor_make(DT_F32, &s, (void *)a->floats);
    case ATTR_INTS: return tensor_make(DT_I64, &s, (void *)a->ints);
    case ATTR_STRINGS: return tensor_make(DT_STRING, &s, (void *)a->strings);
    default: return (tensor){0};
    }
}

/* What two equal keys have the same of; not for strings. */
static uint64_t number_of(const tensor *t, uint64_t i)
{
    if (dtype_kind_of(t->type) != KIND_FLOAT) return (uint64_t)tensor_int(t, i);
    double v = tensor_f64(t, i);
    uint64_t bits;
    if (v == 0) v = 0; /* -0 */
    if (isnan(v)) v = (double)NAN;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static uint64_t hash_of(const tensor *t, uint64_t i)
{
    if (t->type == DT_STRING) return str_hash(((const str *)t->data)[i]);
    uint64_t h = number_of(t, i) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

static bool equal(const label_map *m, uint64_t key, const tensor *t, uint64_t i)
{
    if (t->type == DT_STRING) return str_eq(((const str *)m->keys.data)[key], ((const str *)t->data)[i]);
    if (number_of(&m->keys, key) != number_of(t, i)) return false;
    return m->nan_equal || dtype_kind_of(t->type) != KIND_FLOAT || !isnan(tensor_f64(t, i));
}

/* The slot that holds the key, or the free one where it belongs. */
static uint32_t *slot_of(const label_map *m, const tensor *t, uint64_t i)
{
    uint32_t at = (uint32_t)hash_of(t, i) & m->mask;
    while (m->slots[at] && !equal(m, m->slots[at] - 1, t, i)) at = (at + 1) & m->mask;
    return &m->slots[at];
}

err_code label_map_build(label_map *m, arena *a, const char *what, err *e)
{
    uint64_t n = tensor_count(&m->keys), room = 4;
    if (n > KEYS_MAX)
        return err_set(e, ERR_LIMIT, "%s: expected at most %d, got %llu", what, KEYS_MAX, (unsigned long long)n);
    while (room < 2 * n) room *= 2;
    m->slots = arena_new(a, uint32_t, room);
    m->mask = (uint32_t)room - 1;
    if (!m->slots) return err_set(e, ERR_NOMEM, "%s: no memory for %llu", what, (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++) {
        uint32_t *slot = slot_of(m, &m->keys, i);
        if (!*slot || m->last_wins) *slot = (uint32_t)i + 1;
    }
    return ERR_OK;
}

uint32_t label_map_find(const label_map *m, const tensor *t, uint64_t i)
{
    INVARIANT(t->type == m->keys.type);
    return *slot_of(m, t, i) - 1;
}
