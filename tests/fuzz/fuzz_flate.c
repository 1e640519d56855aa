/* Any bytes as packed data: within the limit or refused; and any bytes packed come back.  Any list of weights chooses
 * something that we have.
 *
 * The first byte chooses the format. */
#include "wire/flate.h"

static bool put(void *ctx, str piece)
{
    buf_put_str(ctx, piece);
    return !((buf *)ctx)->full;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static buf packed, out;
    err e;
    if (size == 0 || size > 65536) return 0;
    if (!out.p) {
        buf_init(&packed, 1 << 20);
        buf_init(&out, 1 << 17);
    }
    str bytes = {(const char *)data + 1, size - 1};
    flate_kind kind = (flate_kind)(data[0] % FLATE_KINDS);
    buf_clear(&out);
    err_code rc = flate_unpack(&out, kind, bytes, &e);
    INVARIANT(rc == ERR_OK || rc == ERR_INVALID || rc == ERR_TOO_LARGE);
    buf_clear(&packed);
    buf_clear(&out);
    INVARIANT(flate_pack(&packed, kind, bytes, &e) == ERR_OK);
    INVARIANT(flate_unpack(&out, kind, buf_str(&packed), &e) == ERR_OK && str_eq(buf_str(&out), bytes));
    (void)flate_accepted(bytes);
    flate_wish wish = {.others = 0};
    flate_wish_read(&wish, bytes);
    INVARIANT(flate_wish_best(&wish) < FLATE_KINDS);
    buf_clear(&out);
    rc = flate_unpack_http(kind, bytes, put, &out, &e);
    INVARIANT(rc == ERR_OK || rc == ERR_INVALID || (rc == ERR_LIMIT && out.full));
    return 0;
}
