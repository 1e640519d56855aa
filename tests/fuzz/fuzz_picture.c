/* Property: any bytes give a picture within its limits or an error with a text; all of its pixels can be read.  The
 * checksums of PNG would stop the fuzzer at the first chunk, so they are mended in the input before it is read. */
#include "base/buf.h"
#include "png_mend.h"
#include "test.h"
#include "wire/picture.h"

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
    if (b.p) png_mend(b.p, b.len);
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
