#include "media/exif.h"

enum { TAG_ORIENTATION = 0x112, TYPE_BYTE = 1, TYPE_SHORT = 3, TYPE_LONG = 4, ENTRY_BYTES = 12 };

typedef struct {
    const uint8_t *p;
    size_t len;
    bool big;                    /* the most significant byte comes first */
} tiff_file;

static uint32_t number(const tiff_file *t, size_t at, size_t bytes)
{
    uint32_t v = 0;
    for (size_t i = 0; i < bytes; i++) v |= (uint32_t)t->p[at + i] << 8 * (t->big ? bytes - 1 - i : i);
    return v;
}

/* The value of an entry that holds one whole number; 0 otherwise. */
static uint32_t entry_value(const tiff_file *t, size_t at)
{
    uint32_t type = number(t, at + 2, 2), count = number(t, at + 4, 4);
    if (count != 1) return 0;
    switch (type) {
    case TYPE_BYTE: return number(t, at + 8, 1);
    case TYPE_SHORT: return number(t, at + 8, 2);
    case TYPE_LONG: return number(t, at + 8, 4);
    default: return 0;
    }
}

uint32_t exif_orientation(str tiff)
{
    tiff_file t = {.p = (const uint8_t *)tiff.p, .len = tiff.len};
    if (t.len < 8) return 1;
    if (t.p[0] == 'M' && t.p[1] == 'M') t.big = true;
    else if (t.p[0] != 'I' || t.p[1] != 'I') return 1;
    if (number(&t, 2, 2) != 42) return 1;
    size_t at = number(&t, 4, 4);
    if (at > t.len - 2) return 1;
    size_t count = number(&t, at, 2), room = (t.len - at - 2) / ENTRY_BYTES;
    for (size_t i = 0; i < count && i < room; i++) {
        size_t entry = at + 2 + i * ENTRY_BYTES;
        if (number(&t, entry, 2) != TAG_ORIENTATION) continue;
        uint32_t v = entry_value(&t, entry);
        return v >= 1 && v <= EXIF_TURNS ? v : 1;
    }
    return 1;
}
