#include "engine/holes.h"

#include "base/mem.h"

#include <string.h>

bool holes_init(holes *h, arena *a, uint32_t room)
{
    INVARIANT(room > 0);
    *h = (holes){.items = arena_new(a, hole, (size_t)room + 1),
                 .room = room}; /* one more: the item before it is dropped */
    return h->items != NULL;
}

static void remove_at(holes *h, uint32_t i)
{
    memmove(&h->items[i], &h->items[i + 1], (h->count - i - 1) * sizeof *h->items);
    h->count--;
}

size_t holes_take(holes *h, size_t bytes)
{
    INVARIANT(bytes > 0 && bytes % MEM_ALIGN == 0);
    uint32_t best = h->count;
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->items[i].bytes >= bytes && (best == h->count || h->items[i].bytes < h->items[best].bytes)) best = i;
    }
    if (best < h->count) {
        size_t offset = h->items[best].offset;
        h->items[best].offset += bytes;
        h->items[best].bytes -= bytes;
        if (!h->items[best].bytes) remove_at(h, best);
        return offset;
    }
    /* A hole at the end grows the block by only what it lacks. */
    size_t offset = h->end;
    if (h->count && h->items[h->count - 1].offset + h->items[h->count - 1].bytes == h->end)
        offset = h->items[--h->count].offset;
    if (bytes > SIZE_MAX / 2 - offset) return SIZE_MAX;
    h->end = offset + bytes;
    return offset;
}

void holes_give(holes *h, size_t offset, size_t bytes)
{
    uint32_t i = 0;
    while (i < h->count && h->items[i].offset < offset) i++;
    INVARIANT(i == h->count || offset + bytes <= h->items[i].offset);
    INVARIANT(i == 0 || h->items[i - 1].offset + h->items[i - 1].bytes <= offset);
    memmove(&h->items[i + 1], &h->items[i], (h->count - i) * sizeof *h->items);
    h->items[i] = (hole){offset, bytes};
    h->count++;
    if (i + 1 < h->count && offset + bytes == h->items[i + 1].offset) {
        h->items[i].bytes += h->items[i + 1].bytes;
        remove_at(h, i + 1);
    }
    if (i > 0 && h->items[i - 1].offset + h->items[i - 1].bytes == offset) {
        h->items[i - 1].bytes += h->items[i].bytes;
        remove_at(h, i);
    }
    if (h->count <= h->room) return;
    uint32_t least = 0;
    for (i = 1; i < h->count; i++) {
        if (h->items[i].bytes < h->items[least].bytes) least = i;
    }
    remove_at(h, least);
}
