/* image_jpeg.h - JPEG for image.h: libjpeg-turbo, opened when the first file comes.
 *
 * For image.c only, which has looked at the first bytes and filled in the options' channels.  All that libjpeg holds
 * is given back on every way out; the pixels and nothing else live in the arena. */
#ifndef MEDIA_IMAGE_JPEG_H
#define MEDIA_IMAGE_JPEG_H
#include "media/image.h"

err_code image_jpeg_decode(str file, const image_options *o, arena *a, image *ret, err *e) MUST_USE;

#endif
