/* image_png.h - PNG for image.h: libpng, opened when the first file comes.
 *
 * For image.c only, which has looked at the first bytes and filled in the options' channels.  Rows come as they are
 * asked for, unless the file is interlaced or says which way up it is behind its pixels.  libpng takes its memory from
 * the arena, too, so nothing is left on any way out.  Texts, colour profiles and what else means nothing for the
 * pixels is skipped unread. */
#ifndef MEDIA_IMAGE_PNG_H
#define MEDIA_IMAGE_PNG_H
#include "media/image.h"

typedef struct image_png image_png;

/* *ret_head as image_jpeg_open() gives it; its channels are those that were asked for. */
err_code image_png_open(str file, const image_options *o, arena *a, image_png **ret, image *ret_head,
                        err *e) MUST_USE;
bool image_png_streams(const image_png *r);
err_code image_png_rows(image_png *r, uint8_t *to, size_t row, uint32_t count, err *e) MUST_USE;
err_code image_png_whole(image_png *r, arena *a, image *ret, err *e) MUST_USE;

#endif
