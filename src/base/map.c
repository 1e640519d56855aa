#include "base/map.h"

#include "base/mem.h"

/* Linear probing.  A slot is free (hash 0, value NULL), a grave (hash 1, value NULL) or live (value set). */
struct map_slot {
    uint64_t hash;
    str key;
    void *value;
};

enum { ROOM_MIN = 8, GRAVE = 1 };

void map_init(map *m) { *m = (map){0}; }

void map_fini(map *m)
{
    mem_free(m->slots);
    *m = (map){0};
}

size_t map_count(const map *m) { return m->count; }

static struct map_slot *find(const map *m, str key, uint64_t hash)
{
    if (m->room == 0) return NULL;
    size_t mask = m->room - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {   /* ends: a quarter of the slots is free */
        struct map_slot *s = &m->slots[i];
        if (s->value && s->hash == hash && str_eq(s->key, key)) return s;
        if (!s->value && s->hash != GRAVE) return NULL;
    }
}

void *map_get(const map *m, str key)
{
    const struct map_slot *s = find(m, key, str_hash(key));
    return s ? s->value : NULL;
}

/* Into the first slot that is not live; the key is known to be absent. */
static void insert(map *m, str key, uint64_t hash, void *value)
{
    size_t mask = m->room - 1, i = (size_t)hash & mask;
    while (m->slots[i].value) i = (i + 1) & mask;
    if (m->slots[i].hash != GRAVE) m->taken++;
    m->count++;
    m->slots[i] = (struct map_slot){hash, key, value};
}

/* Makes room for one more and drops the graves; many graves and few entries keep the size as it is. */
static bool rebuild(map *m)
{
    size_t room = m->room ? m->room : ROOM_MIN;
    while (m->count >= room / 2) {
        if (__builtin_mul_overflow(room, (size_t)2, &room)) return false;
    }
    map bigger = {.slots = mem_new0(struct map_slot, room), .room = room};
    if (!bigger.slots) return false;
    for (size_t i = 0; i < m->room; i++) {
        const struct map_slot *s = &m->slots[i];
        if (s->value) insert(&bigger, s->key, s->hash, s->value);
    }
    INVARIANT(bigger.count == m->count);
    mem_free(m->slots);
    *m = bigger;
    return true;
}

bool map_put(map *m, str key, void *value)
{
    INVARIANT(value != NULL);
    uint64_t hash = str_hash(key);
    struct map_slot *s = find(m, key, hash);
    if (s) {
        s->key = key;
        s->value = value;
        return true;
    }
    if (m->taken >= m->room - m->room / 4 && !rebuild(m)) return false;
    insert(m, key, hash, value);
    return true;
}

void *map_del(map *m, str key)
{
    struct map_slot *s = find(m, key, str_hash(key));
    if (!s) return NULL;
    void *value = s->value;
    *s = (struct map_slot){.hash = GRAVE};
    m->count--;
    return value;
}

void *map_next(const map *m, size_t *at, str *ret_key)
{
    while (*at < m->room) {
        const struct map_slot *s = &m->slots[(*at)++];
        if (s->value) {
            *ret_key = s->key;
            return s->value;
        }
    }
    return NULL;
}
