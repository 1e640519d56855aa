/* resize.h - pictures made smaller and larger, to the last bit as Pillow's Image.resize() does it.
 *
 * The filter's support grows with the reduction, in double; weights become 22-bit fixed-point numbers; what lies
 * between the two passes is rounded to 8 bits.  Which pass comes first is Pillow 13's choice (12 always begins with
 * rows, and differs by 1 here and there).  RGBA is multiplied by its alpha before and divided by it after.  With
 * `aliased` bilinear and bicubic (a = -0.75) take 2 and 4 neighbours at half-pixel centres however much is left out, in
 * float, as torchvision's antialias=False and OpenCV do.
 *
 * A window makes only a part of the result, with the bytes that the whole would have there: a centre crop pays for no
 * more than it keeps, and a result may be larger than memory.  Results and weights live in the arena.  Any thread. */
#ifndef MEDIA_RESIZE_H
#define MEDIA_RESIZE_H
#include "media/image.h"

typedef enum {
    RESIZE_NEAREST, RESIZE_LANCZOS, RESIZE_BILINEAR, RESIZE_BICUBIC, RESIZE_BOX, RESIZE_HAMMING,  /* Pillow's numbers */
    RESIZE_MKS2013, RESIZE_MKS2021,       /* "magic kernel sharp" */
    RESIZE_FILTERS
} resize_filter;

enum { RESIZE_SIDE_MAX = 1 << 24 };       /* of the whole result; a window's sides and pixels are bounded by image.h */

typedef struct {
    uint32_t x, y, width, height;
} resize_window;

typedef struct {
    uint32_t width, height;               /* of the whole result */
    resize_filter filter;
    bool aliased;                         /* bilinear and bicubic only */
    float box[4];                         /* of the source: left, top, right, bottom; all 0 = the whole */
    resize_window window;                 /* of the result; all 0 = the whole */
    uint64_t pixels_max;                  /* of the window; 0 = IMAGE_PIXELS_MAX */
    /* All of the above speaks of the picture as its orientation turns it, and the result is still to be turned: as if
     * it had been first, at the cost of few pixels.  For what can be streamed. */
    bool turned;
} resize_options;

const char *resize_filter_name(resize_filter f);                    /* "bilinear" */
bool resize_filter_find(str name, resize_filter *ret);              /* names in any case, or Pillow's numbers */

/* ERR_INVALID and ERR_TOO_LARGE name the sizes; `from` keeps its pixels and may be what *ret points to. */
err_code resize_image(const image *from, const resize_options *o, arena *a, image *ret, err *e) MUST_USE;

/* The same from rows that come one after the other, of which few are held at a time: `head` has sizes and no pixels,
 * and `pull` gives the next rows, `row` bytes apart and to the last one, and is called no more after an error.  Not
 * every resize can be made so: nearest, aliased and RGBA cannot, nor what leaves a picture as it is. */
typedef struct {
    err_code (*pull)(void *ctx, uint8_t *to, size_t row, uint32_t rows, err *e);
    void *ctx;
} resize_source;
bool resize_can_stream(const image *head, const resize_options *o);
err_code resize_stream(const image *head, const resize_source *from, const resize_options *o, arena *a, image *ret,
                       err *e) MUST_USE;

#endif
