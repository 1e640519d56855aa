/* Property: any bytes give a picture within its limits or an error with a text; all of its pixels can be read.  The
 * checksums of PNG would stop the fuzzer at the first chunk, so they are mended in the input before it is read. */
#include "base/buf.h"
#include "test.h"
#include "wire/crc32.h"
#include "wire/picture.h"

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void mend(uint8_t *p, size_t len)
{
    for (size_t at = 8; len >= 20 && len - at >= 12;) {
        size_t bytes = be32(p + at);
        if (bytes > len - at - 12) return;
        uint32_t sum = crc32_of(0, (str){(const char *)p + at + 4, bytes + 4});
        for (size_t i = 0; i < 4; i++) p[at + 8 + bytes + i] = (uint8_t)(sum >> (24 - 8 * i));
        at += bytes + 12;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arena a;
    err e = {.text = ""};
    picture p;
    buf b;
    buf_init(&b, 1 << 20);
    if (size > 1 << 16) return 0;
    buf_put(&b, data, size);
    if (b.p) mend(b.p, b.len);
    arena_init(&a, NULL, 0, 16 << 20);
    if (picture_parse(buf_str(&b), &a, &p, &e) == ERR_OK) {
        uint64_t sum = 0;
        INVARIANT(p.width && p.height && p.width <= PICTURE_SIDE_MAX && (p.channels == 1 || p.channels == 3));
        for (size_t i = 0; i < (size_t)p.width * p.height * p.channels; i++) sum += p.pixels[i];
        INVARIANT(sum != UINT64_MAX);
    } else {
        INVARIANT(e.text[0]);
    }
    arena_fini(&a);
    buf_fini(&b);
    return 0;
}
