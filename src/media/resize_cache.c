#include "media/resize_cache.h"

#include <stdatomic.h>

/* Of a slot's users:
 *
 *     0 --take--> MAKING --> 1      where its table is not the one that is wanted
 *     n --take--> n + 1             where it is
 *     n --give--> n - 1 */
enum { MAKING = -1 };

struct resize_slot {
    atomic_int users;
    bool fits;                 /* else the key tells that its table does not */
    resize_key key;            /* filter: RESIZE_NEAREST, which has no weights, while nothing was made */
    tap_table table;
    _Alignas(64) uint8_t memory[RESIZE_SLOT_BYTES];
};

static resize_slot slots[RESIZE_SLOTS];
static atomic_uint turn;       /* whose memory is used next */

static bool same(const resize_key *a, const resize_key *b)
{
    const resize_axis *x = &a->x, *y = &b->x;
    return a->filter == b->filter && a->kind == b->kind && x->source == y->source && x->begin == y->begin &&
           x->end == y->end && x->result == y->result && x->first == y->first && x->count == y->count &&
           x->mirrored == y->mirrored && x->fours == y->fours;
}

/* Nobody makes anything there until it is given back. */
static bool join(resize_slot *s)
{
    int users = atomic_load(&s->users);
    while (users != MAKING)
        if (atomic_compare_exchange_weak(&s->users, &users, users + 1)) return true;
    return false;
}

void resize_cache_give(resize_slot *s)
{
    if (s) atomic_fetch_sub(&s->users, 1);
}

static resize_slot *find(const resize_key *k)
{
    for (size_t i = 0; i < RESIZE_SLOTS; i++) {
        resize_slot *s = &slots[i];
        if (!join(s)) continue;
        if (same(&s->key, k)) return s;
        resize_cache_give(s);
    }
    return NULL;
}

static err_code make(const resize_key *k, arena *a, tap_table *ret, err *e)
{
    tap_table t;
    err_code rc = resize_taps(&k->x, k->filter, a, &t, e);
    if (!rc && k->kind == RESIZE_DIGITS) rc = resize_taps_digits(&t, a, e);
    if (!rc && k->kind == RESIZE_TOPS) rc = resize_taps_tops(&t, a, e);
    if (!rc) *ret = t;
    return rc;
}

/* The next one that nobody has, or NULL. */
static resize_slot *unused(void)
{
    for (size_t i = 0; i < RESIZE_SLOTS; i++) {
        resize_slot *s = &slots[atomic_fetch_add(&turn, 1) % RESIZE_SLOTS];
        int users = 0;
        if (atomic_compare_exchange_strong(&s->users, &users, MAKING)) return s;
    }
    return NULL;
}

static resize_slot *made(const resize_key *k)
{
    resize_slot *s = unused();
    arena a;
    err e;
    if (!s) return NULL;
    arena_init(&a, s->memory, sizeof s->memory, sizeof s->memory);
    s->key = *k;
    s->fits = make(k, &a, &s->table, &e) == ERR_OK;
    atomic_store(&s->users, 1);
    return s;
}

err_code resize_cache_take(const resize_key *k, arena *a, tap_table *ret, resize_slot **ret_slot, err *e)
{
    resize_slot *s = find(k);
    if (!s) s = made(k);
    if (s && s->fits) {
        *ret = s->table;
        *ret_slot = s;
        return ERR_OK;
    }
    resize_cache_give(s);
    *ret_slot = NULL;
    return make(k, a, ret, e);
}
