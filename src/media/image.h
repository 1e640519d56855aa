/* image.h - JPEG and PNG files as rows of 8-bit pixels: the same pixels that Pillow's convert() gives.
 *
 * image_decode() looks at the first bytes, reads the header, refuses what is too large before any pixel is decoded, and
 * then decodes into the caller's arena, whose limit bounds the rest: too many pixels, or scans of them, are
 * ERR_TOO_LARGE, too many bytes ERR_LIMIT.  libjpeg-turbo and libpng are opened when the first file of their kind comes
 * (os/lib.h); where one is missing the error names it.  A file that is cut off, lies or is damaged is refused in one
 * line; there is no half a picture.
 *
 * Kinds: JPEG grey, YCbCr, RGB, CMYK, YCCK, progressive or not; PNG of every depth, palettes, transparency, interlaced.
 * 16-bit grey above 255 becomes 255, and of 16-bit colour the high byte stays, which is what Pillow does.
 * Any thread; a call holds no state. */
#ifndef MEDIA_IMAGE_H
#define MEDIA_IMAGE_H
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum {
    IMAGE_SIDE_MAX = 65500,           /* JPEG's own limit */
    IMAGE_PIXELS_MAX = 50000000,      /* unless the options say otherwise: 150 MB of RGB */
    IMAGE_BYTES_MAX = 256 << 20,      /* what libjpeg may take for itself of the arena's limit: coefficients */
    IMAGE_SCANS_MAX = 100,            /* of a progressive JPEG: protects the time, each goes over all its pixels */
    IMAGE_SLACK = 32                  /* zeros behind the last pixel: kernels load whole registers */
};

typedef enum { IMAGE_UNKNOWN, IMAGE_JPEG, IMAGE_PNG } image_kind;

typedef struct {
    uint32_t width, height, channels;   /* channels: 1 grey, 3 RGB, 4 RGB and straight alpha */
    uint32_t orientation;               /* 1..8 as in exif.h; 1 once image_turn() was there */
    uint8_t *pixels;                    /* [height, width, channels] and IMAGE_SLACK bytes; lives in the arena */
} image;

typedef struct {
    uint32_t channels;                  /* 1, 3 or 4; 0 = 3 */
    uint64_t pixels_max;                /* 0 = IMAGE_PIXELS_MAX */
    /* With both set a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, as long as it stays at least this large:
     * several times faster, but not the pixels that a full decode and a resize give. */
    uint32_t width_enough, height_enough;
} image_options;

image_kind image_sniff(str file);
const char *image_kind_name(str file);   /* by the first bytes: "JPEG", "GIF", "PDF"; NULL = not known */
err_code image_decode(str file, const image_options *o, arena *a, image *ret, err *e) MUST_USE;

/* The same in steps, for who needs each row only once.  *ret_head has sizes, orientation and the channels that rows
 * will have, which for JPEG are 3 where 1 was asked of a picture in colour, and 4 of inks; no pixels.
 * image_rows_close() is due whenever open succeeded; after an error it is all that can be done.  The reader lives in
 * the arena. */
typedef struct {
    image_kind kind;
    void *reader;
    bool streams;                       /* else only image_rows_whole(), which may find another orientation */
} image_rows;
err_code image_rows_open(str file, const image_options *o, arena *a, image_rows *ret, image *ret_head,
                         err *e) MUST_USE;
/* The next `count` rows, `row` bytes apart; with the last one it is known that the file is whole. */
err_code image_rows_next(const image_rows *r, uint8_t *to, size_t row, uint32_t count, err *e) MUST_USE;
/* All rows at once, in the channels that were asked for. */
err_code image_rows_whole(const image_rows *r, uint32_t channels, arena *a, image *ret, err *e) MUST_USE;
void image_rows_close(image_rows *r);

/* As im->orientation asks: turned pixels are a new block in the arena.  Does nothing where it is 1. */
err_code image_turn(image *im, arena *a, err *e) MUST_USE;

/* For those who make images: sizes are checked against the options' limits, pixels are not set. */
err_code image_check(uint64_t width, uint64_t height, uint64_t pixels_max, err *e) MUST_USE;
err_code image_alloc(image *im, arena *a, err *e) MUST_USE;
/* For decoders, of an arena that gave NULL: there is no memory, or the file is beyond the arena's limit. */
err_code image_no_room(const char *kind, const arena *a, err *e);
uint8_t *image_pixel(const image *im, size_t x, size_t y);

#endif
