/* Property: any bytes give an image within its limits, all of whose pixels can be read and turned, or an error with a
 * text.  The checksums of PNG would stop the fuzzer at the first chunk, so they are mended in the input before it is
 * read. */
#include "base/buf.h"
#include "media/image.h"
#include "png_mend.h"
#include "test.h"

enum { PIXELS = 1 << 14 };

static void decode(str file, const image_options *o)
{
    arena a;
    err e = {.text = ""};
    image im;
    arena_init(&a, NULL, 0, 8 << 20);
    err_code rc = image_decode(file, o, &a, &im, &e);
    if (!rc) {
        INVARIANT((uint64_t)im.width * im.height <= PIXELS && im.channels == o->channels);
        rc = image_turn(&im, &a, &e);
    }
    if (!rc) {
        uint64_t sum = 0;
        INVARIANT(im.orientation == 1);
        for (size_t i = 0; i < (size_t)im.width * im.height * im.channels; i++) sum += im.pixels[i];
        INVARIANT(sum != UINT64_MAX);
    } else {
        INVARIANT(e.text[0] && e.code == rc);
    }
    arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    buf b;
    if (size > 1 << 16) return 0;
    buf_init(&b, 1 << 20);
    buf_put(&b, data, size);
    if (b.p && image_sniff(buf_str(&b)) == IMAGE_PNG) png_mend(b.p, b.len);
    decode(buf_str(&b), &(image_options){.channels = 3, .pixels_max = PIXELS});
    decode(buf_str(&b), &(image_options){.channels = 1, .pixels_max = PIXELS, .width_enough = 5, .height_enough = 5});
    decode(buf_str(&b), &(image_options){.channels = 4, .pixels_max = PIXELS});
    buf_fini(&b);
    return 0;
}
