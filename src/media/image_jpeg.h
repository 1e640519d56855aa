/* image_jpeg.h - JPEG for image.h and prepare.h: libjpeg-turbo, opened when the first file comes.
 *
 * image_jpeg_open() reads the header, refuses what is too large and starts the decoder; rows then come as they are
 * asked for, so that who needs each row only once keeps few of them: a picture of 6 MB never leaves the caches.  What
 * libjpeg holds counts: the coefficients of a file of several scans lower the arena's limit until they are given back
 * by image_jpeg_close(), which is due whenever open succeeded; the reader itself lives in the arena.  After an error it
 * can only be closed. */
#ifndef MEDIA_IMAGE_JPEG_H
#define MEDIA_IMAGE_JPEG_H
#include "media/image.h"

typedef struct image_jpeg image_jpeg;

/* *ret_head has sizes, orientation and the channels that rows will have, which are 3 where 1 was asked of a picture in
 * colour, and 4 of inks; no pixels. */
err_code image_jpeg_open(str file, const image_options *o, arena *a, image_jpeg **ret, image *ret_head,
                         err *e) MUST_USE;
/* The next `count` rows, `row` bytes apart; with the last one it is known that the file is whole.  A row that begins at
 * a multiple of 16 is written past the caches: who reads it soon takes another address. */
err_code image_jpeg_rows(image_jpeg *r, uint8_t *to, size_t row, uint32_t count, err *e) MUST_USE;
/* All rows at once, in the channels that were asked for. */
err_code image_jpeg_whole(image_jpeg *r, uint32_t channels, arena *a, image *ret, err *e) MUST_USE;
void image_jpeg_close(image_jpeg *r);

#endif
