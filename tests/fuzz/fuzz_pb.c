/* Reads any bytes as nested messages; fields stay inside their span, and what is accepted can be written again. */
#include "wire/pb.h"

enum { DEPTH_MAX = 8 };

static void walk(pb r, const uint8_t *p, size_t len, unsigned depth)
{
    pb_field f;
    err e;
    while (pb_next(&r, &f)) {
        INVARIANT(f.p >= p && f.p <= p + len && f.len <= (size_t)(p + len - f.p));
        INVARIANT(f.number >= 1 && f.number <= PB_NUMBER_MAX);
        if (f.type != PB_BYTES) continue;
        (void)str_utf8_ok(pb_bytes(&r, &f));
        for (pb_type item = PB_VARINT; item <= PB_FIXED32; item = (pb_type)(item + 1)) {
            if (item == PB_BYTES || item == PB_GROUP_START || item == PB_GROUP_END) continue;
            pb at = r, it = pb_items(&at, &f, item);
            size_t count = pb_item_count(&it, item), seen = 0;
            for (uint64_t v; pb_item(&it, item, &v);) seen++;
            INVARIANT(seen == count || pb_check(&it, "items", &e));
        }
        if (depth < DEPTH_MAX) walk(pb_sub(&r, &f), f.p, f.len, depth + 1);
    }
    (void)(pb_check(&r, "fuzz", &e) == ERR_OK);
}

/* Groups are dropped and tags may be longer than needed, so the copy is never longer than the source. */
static void copy(const uint8_t *data, size_t size)
{
    buf b;
    pb r;
    pb_field f;
    err e;
    buf_init(&b, size ? size : 1);
    pb_init(&r, data, size);
    while (pb_next(&r, &f)) {
        switch (f.type) {
        case PB_VARINT: pb_put_u64(&b, f.number, f.value); break;
        case PB_FIXED32: pb_put_fixed32(&b, f.number, (uint32_t)f.value); break;
        case PB_FIXED64: pb_put_fixed64(&b, f.number, f.value); break;
        case PB_BYTES: pb_put_bytes(&b, f.number, f.p, f.len); break;
        case PB_GROUP_START:
        case PB_GROUP_END: INVARIANT(f.type == PB_BYTES);   /* groups are stepped over */
        }
    }
    INVARIANT(buf_check(&b, "copy", &e) == ERR_OK);
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pb r;
    pb_init(&r, data, size);
    walk(r, data, size, 0);
    copy(data, size);
    return 0;
}
