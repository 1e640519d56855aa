#include "models/response_cache.h"

#include "base/mem.h"
#include "os/lock.h"   /* style: loops and workers find, keep and give back answers at the same time */
#include "os/random.h"

#include <stdatomic.h>
#include <string.h>

enum { BYTES_PER_BUCKET = 4096, BUCKETS_MIN = 64, BUCKETS_MAX = 1 << 16, DATA_ALIGN = 64 };

typedef struct part part;
typedef struct entry entry;

/* An answer, in one piece: entry, tensors, then data of each. */
struct entry {
    siphash_value key;
    uint64_t owner;
    part *of;
    size_t bytes;
    uint32_t readers;
    bool kept;                /* in the table and the list */
    entry *next;              /* of the bucket */
    entry *newer, *older;     /* of the list */
    uint32_t count;
    tensor outputs[];
};

struct part {
    lock guard;               /* of all below, and of readers, kept and the links of its entries */
    entry **buckets;
    size_t bucket_count;      /* a power of two */
    entry *newest, *oldest;
    uint64_t bytes_max, bytes, entries, evictions;
};

struct response_cache {
    siphash_key key;
    _Atomic uint64_t owners;
    size_t part_count;        /* a power of two */
    part parts[RESPONSE_CACHE_PARTS_MAX];
};

static size_t power_below(uint64_t n, size_t least, size_t most)
{
    size_t p = least;
    while (p < most && 2 * p <= n) p *= 2;
    return p;
}

err_code response_cache_new(response_cache **ret, uint64_t bytes_max, err *e)
{
    CLEANUP(response_cache) response_cache *c = mem_new0(response_cache, 1);
    if (!c) return err_set(e, ERR_NOMEM, "response cache: no memory");
    err_code rc = random_bytes(&c->key, sizeof c->key, e);
    if (rc) return rc;
    c->part_count = power_below(bytes_max / RESPONSE_CACHE_PART_BYTES, 1, RESPONSE_CACHE_PARTS_MAX);
    for (size_t i = 0; i < c->part_count; i++) {
        part *p = &c->parts[i];
        lock_init(&p->guard);
        p->bytes_max = bytes_max / c->part_count;
        p->bucket_count = power_below(p->bytes_max / BYTES_PER_BUCKET, BUCKETS_MIN, BUCKETS_MAX);
        p->buckets = mem_new0(entry *, p->bucket_count);
        if (!p->buckets) return err_set(e, ERR_NOMEM, "response cache: no memory for %zu places", p->bucket_count);
    }
    *ret = TAKE(c);
    return ERR_OK;
}

/* ---- under the lock of a part ---- */

static entry **place_of(const part *p, const siphash_value *key)
{
    entry **at = &p->buckets[key->half[1] & (p->bucket_count - 1)];
    while (*at && !((*at)->key.half[0] == key->half[0] && (*at)->key.half[1] == key->half[1])) at = &(*at)->next;
    return at;
}

static void list_take(part *p, entry *x)
{
    *(x->newer ? &x->newer->older : &p->newest) = x->older;
    *(x->older ? &x->older->newer : &p->oldest) = x->newer;
}

static void list_put(part *p, entry *x)
{
    x->newer = NULL;
    x->older = p->newest;
    *(p->newest ? &p->newest->newer : &p->oldest) = x;
    p->newest = x;
}

/* NULL, or what is now the caller's to free; an answer that is being read goes with its last reader. */
static entry *forget(part *p, entry *x)
{
    entry **at = place_of(p, &x->key);
    INVARIANT(*at == x && x->kept);
    *at = x->next;
    list_take(p, x);
    x->kept = false;
    p->entries--;
    if (x->readers) return NULL;
    p->bytes -= x->bytes;
    return x;
}

/* ---- freed behind it ---- */

static void gone_put(entry **gone, entry *x)
{
    x->next = *gone;
    *gone = x;
}

static void gone_free(entry *gone)
{
    while (gone) {
        entry *x = gone;
        gone = x->next;
        mem_free(x);
    }
}

static void part_fini(part *p)
{
    while (p->oldest) mem_free(forget(p, p->oldest));
    INVARIANT(p->bytes == 0);
    mem_free(p->buckets);
    lock_fini(&p->guard);
}

void response_cache_free(response_cache *c)
{
    for (size_t i = 0; c && i < c->part_count; i++)
        if (c->parts[i].bytes_max) part_fini(&c->parts[i]);
    mem_free(c);
}

uint64_t response_cache_owner(response_cache *c) { return atomic_fetch_add(&c->owners, 1); }

siphash response_cache_ask(const response_cache *c, uint64_t owner)
{
    siphash h;
    siphash_init(&h, &c->key);
    siphash_add_u64(&h, owner);
    return h;
}

siphash_value response_cache_key(siphash *h, const tensor *inputs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const tensor *t = &inputs[i];
        siphash_add_u64(h, (uint64_t)t->type << 32 | t->shape.rank);
        siphash_add(h, t->shape.dim, t->shape.rank * sizeof t->shape.dim[0]);
        if (t->type != DT_STRING) {
            siphash_add(h, t->data, tensor_bytes(t));
            continue;
        }
        const str *texts = t->data;
        for (uint64_t k = 0; k < tensor_count(t); k++) {
            siphash_add_u64(h, texts[k].len);
            siphash_add(h, texts[k].p, texts[k].len);
        }
    }
    return siphash_end(h);
}

static part *part_of(response_cache *c, const siphash_value *key)
{
    return &c->parts[key->half[0] & (c->part_count - 1)];
}

static tensor entry_output(const queue_item *item, uint32_t i)
{
    const entry *x = item->outputs.of;
    INVARIANT(i < x->count);
    return x->outputs[i];
}

static void entry_release(queue_item *item)
{
    entry *x = item->outputs.of;
    part *p = x->of;
    lock_take(&p->guard);
    INVARIANT(x->readers > 0);
    bool last = --x->readers == 0 && !x->kept;
    if (last) p->bytes -= x->bytes;
    lock_give(&p->guard);
    if (last) mem_free(x);
}

static const queue_source kept_answer = {entry_output, entry_release};

bool response_cache_find(response_cache *c, const siphash_value *key, queue_item *item)
{
    part *p = part_of(c, key);
    lock_take(&p->guard);
    entry *x = *place_of(p, key);
    if (x) {
        x->readers++;
        list_take(p, x);
        list_put(p, x);
    }
    lock_give(&p->guard);
    if (!x) return false;
    item->source = &kept_answer;
    item->outputs.of = x;
    return true;
}

/* What an output takes; SIZE_MAX = more than there is. */
static size_t output_bytes(const tensor *t)
{
    size_t bytes = tensor_bytes(t);
    const str *texts = t->data;
    for (uint64_t k = 0; t->type == DT_STRING && bytes != SIZE_MAX && k < tensor_count(t); k++)
        if (__builtin_add_overflow(bytes, texts[k].len, &bytes)) return SIZE_MAX;
    return bytes > SIZE_MAX / 2 ? SIZE_MAX : round_up(bytes, DATA_ALIGN);
}

static void output_copy(tensor *to, const tensor *from, uint8_t *at)
{
    const str *texts = from->data;
    size_t bytes = tensor_bytes(from);
    *to = *from;
    to->data = at;
    if (from->type != DT_STRING) {
        if (bytes) memcpy(at, from->data, bytes);
        return;
    }
    str *copies = (str *)(void *)at;
    char *text = (char *)at + bytes;
    for (uint64_t k = 0; k < tensor_count(from); k++) {
        if (texts[k].len) memcpy(text, texts[k].p, texts[k].len);
        copies[k] = (str){text, texts[k].len};
        text += texts[k].len;
    }
}

/* Outside the lock; NULL = it is too large, or there is no memory: it is not kept. */
static entry *entry_new(const part *p, const queue_item *item, uint32_t count)
{
    size_t head = round_up(sizeof(entry) + count * sizeof(tensor), DATA_ALIGN), bytes = head;
    for (uint32_t i = 0; i < count; i++) {
        const tensor t = queue_output(item, i);
        if (__builtin_add_overflow(bytes, output_bytes(&t), &bytes) || bytes > p->bytes_max) return NULL;
    }
    entry *x = mem_alloc_raw(bytes);
    if (!x) return NULL;
    *x = (entry){.bytes = bytes, .count = count};
    uint8_t *at = (uint8_t *)x + head;
    for (uint32_t i = 0; i < count; i++) {
        const tensor t = queue_output(item, i);
        output_copy(&x->outputs[i], &t, at);
        at += output_bytes(&t);
    }
    return x;
}

void response_cache_put(response_cache *c, uint64_t owner, const siphash_value *key, const queue_item *item,
                        uint32_t count)
{
    part *p = part_of(c, key);
    entry *x = entry_new(p, item, count), *gone = NULL;
    if (!x) return;
    x->key = *key;
    x->owner = owner;
    x->of = p;
    lock_take(&p->guard);
    bool known = *place_of(p, key) != NULL;
    while (!known && p->bytes + x->bytes > p->bytes_max && p->oldest) {
        entry *old = forget(p, p->oldest);
        p->evictions++;
        if (old) gone_put(&gone, old);
    }
    entry **at = place_of(p, key);
    bool kept = !known && p->bytes + x->bytes <= p->bytes_max;
    if (kept) {
        x->kept = true;
        *at = x;
        list_put(p, x);
        p->bytes += x->bytes;
        p->entries++;
    }
    lock_give(&p->guard);
    if (!kept) mem_free(x);   /* another was faster, or what is being read takes all the room */
    gone_free(gone);
}

void response_cache_drop(response_cache *c, uint64_t owner)
{
    for (size_t i = 0; i < c->part_count; i++) {
        part *p = &c->parts[i];
        entry *gone = NULL;
        lock_take(&p->guard);
        for (entry *x = p->oldest, *newer; x; x = newer) {
            newer = x->newer;
            entry *old = x->owner == owner ? forget(p, x) : NULL;
            if (old) gone_put(&gone, old);
        }
        lock_give(&p->guard);
        gone_free(gone);
    }
}

void response_cache_stats_read(response_cache *c, response_cache_stats *ret)
{
    *ret = (response_cache_stats){.entries = 0};
    for (size_t i = 0; c && i < c->part_count; i++) {
        part *p = &c->parts[i];
        lock_take(&p->guard);
        ret->entries += p->entries;
        ret->bytes += p->bytes;
        ret->evictions += p->evictions;
        lock_give(&p->guard);
    }
}
