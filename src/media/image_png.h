/* image_png.h - PNG for image.h: libpng, opened when the first file comes.
 *
 * For image.c only, which has looked at the first bytes and filled in the options' channels.  libpng takes its memory
 * from the arena, too, so nothing is left on any way out.  Texts, colour profiles and what else means nothing for the
 * pixels is skipped unread. */
#ifndef MEDIA_IMAGE_PNG_H
#define MEDIA_IMAGE_PNG_H
#include "media/image.h"

err_code image_png_decode(str file, const image_options *o, arena *a, image *ret, err *e) MUST_USE;

#endif
