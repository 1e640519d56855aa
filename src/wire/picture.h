/* picture.h - small pictures without a library: PGM and PPM (P5, P6), and the plain kinds of PNG.
 *
 * What comes out is rows of 8-bit pixels, grey or red-green-blue.  Of PNG: 8 bits, grey or RGB, not interlaced, which
 * is what scanners, Pillow and matplotlib write by default for such pictures; palettes, alpha, 16 bits and interlacing
 * are refused by name.  Checksums of chunks are checked.  Memory comes from the caller's arena. */
#ifndef WIRE_PICTURE_H
#define WIRE_PICTURE_H
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum { PICTURE_SIDE_MAX = 16384, PICTURE_BYTES_MAX = 256 << 20 };

typedef struct {
    uint32_t width, height, channels;   /* channels: 1 or 3 */
    const uint8_t *pixels;              /* [height, width, channels] */
} picture;

err_code picture_parse(str file, arena *a, picture *ret, err *e) MUST_USE;

#endif
