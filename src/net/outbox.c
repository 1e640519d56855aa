#include "net/outbox.h"

#include "base/mem.h"

outbox *outbox_new(outbox_kind kind)
{
    outbox *o = mem_new0(outbox, 1);
    if (!o) return NULL;
    o->kind = kind;
    buf_init(&o->bytes, SIZE_MAX / 4);
    return o;
}

void outbox_free(outbox *o)
{
    if (!o) return;
    quota_give_all(o->memory, &o->taken);
    buf_fini(&o->bytes);
    mem_free(o);
}

bool outbox_put(outbox *o, const void *bytes, size_t n)
{
    if (o->used > o->bytes.len / 2) {   /* of a stream something always waits: what is used goes now and then */
        buf_drop(&o->bytes, o->used);
        o->used = 0;
    }
    size_t room = o->bytes.room - o->bytes.len;
    if (o->bytes.full) return false;
    o->bytes.full = o->memory && n > room && !quota_has(o->memory, n - room);   /* before a large answer is copied */
    buf_put(&o->bytes, bytes, n);
    if (!o->bytes.full) o->bytes.full = !quota_follow(o->memory, &o->taken, o->bytes.room);
    return !o->bytes.full;
}

str outbox_waiting(const outbox *o)
{
    str all = buf_str(&o->bytes);
    return (str){all.p + o->used, all.len - o->used};
}

void outbox_use(outbox *o, size_t n)
{
    INVARIANT(n <= o->bytes.len - o->used);
    o->used += n;
}

void outbox_clear(outbox *o)
{
    buf_clear(&o->bytes);
    o->used = 0;
}

size_t outbox_room(const outbox *o) { return o->bytes.room; }

size_t outbox_growth(const outbox *o, size_t n) { return buf_growth(&o->bytes, o->taken, n); }

void outbox_disown(outbox *o)
{
    if (!o) return;
    quota_give_all(o->memory, &o->taken);
    o->memory = NULL;
}
