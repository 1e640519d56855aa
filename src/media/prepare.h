/* prepare.h - from a file to a row of a model's input: decode, turn, resize, crop or pad, scale, normalise.
 *
 * What is to be done is declared beside the model, in YAML or in the very preprocessor_config.json that Hugging Face
 * ships; prepare_conf.c lists the keys.  The pixels are those of that pipeline (Pillow resizes, the
 * crop is transformers' center_crop), and the arithmetic is its float32 to the last bit, done once per pixel value: a
 * table of 256 elements for each channel, so the last pass is crop, table and layout in one.
 *
 * A prepare is immutable after prepare_parse() and shared by all threads.  One image goes in two steps, because a
 * model may take any size: prepare_read() says how large the row is, prepare_put() writes it. */
#ifndef MEDIA_PREPARE_H
#define MEDIA_PREPARE_H
#include "media/resize.h"
#include "tensor/tensor.h"
#include "wire/yaml.h"

enum { PREPARE_CHANNELS = 3, PREPARE_SIDE_MAX = 1 << 15 };

typedef enum {
    PREPARE_AS_IT_IS,
    PREPARE_EXACT,              /* to width x height, whatever the proportions */
    PREPARE_SHORTEST,           /* the shorter side to `shortest`; where `longest` is set, the longer to that at most */
    PREPARE_LONGEST,            /* the longer side to `longest`, rounded to the nearest */
    PREPARE_WITHIN              /* as large as fits width x height, rounded down */
} prepare_size;

typedef struct {
    bool turn;                  /* as EXIF asks */
    bool draft;                 /* JPEGs may be decoded at a fraction: faster, not the same pixels */
    prepare_size size;
    uint32_t width, height, shortest, longest;
    resize_filter filter;
    bool aliased;
    uint32_t crop_width, crop_height;     /* 0 = no crop; where the picture is smaller, black lies around it */
    uint32_t pad_width, pad_height;       /* 0 = no padding */
    bool pad_top_left;                    /* the picture lies there; else in the middle */
    uint8_t fill[PREPARE_CHANNELS];       /* of the padding */
    uint32_t channels;                    /* 1 or 3 */
    bool bgr, channels_last;
    bool rescale, normalize;
    double factor, mean[PREPARE_CHANNELS], std[PREPARE_CHANNELS];   /* in RGB's order */
    dtype type;                           /* DT_F32, DT_F16 or DT_U8 */
    uint64_t pixels_max;                  /* of the file; 0 = IMAGE_PIXELS_MAX */
    /* private */
    union {
        float f32[256];
        uint16_t f16[256];
        uint8_t u8[256];
    } table[PREPARE_CHANNELS];
} prepare;

/* The way back from a row's coordinates: its x was at left + x * right in the picture, after that was turned. */
typedef struct {
    uint32_t width, height;     /* of that picture */
    double left, right, top, down;
} prepare_place;

/* A resized picture and where it lies in its row. */
typedef struct {
    image im;
    prepare_place place;
    uint32_t width, height;     /* of the row */
    uint32_t left, top;         /* of the picture in it; what is around is filled */
} prepare_picture;

/* YAML or JSON; errors name file, line and key.  The arena is needed for the call only. */
err_code prepare_parse(str text, const char *file, arena *a, prepare *ret, err *e) MUST_USE;
/* The same keys in a part of a file; `base` is what holds where they say nothing: prepare_base(), or more. */
err_code prepare_of_yaml(const yaml *map, const prepare *base, prepare *ret, err *e) MUST_USE;
prepare prepare_base(void);
err_code prepare_finish(prepare *p, err *e) MUST_USE;      /* checks what was set by hand and fills the tables */

/* [channels, height, width] or [height, width, channels] of every row; -1 where the picture decides. */
shape prepare_shape(const prepare *p);
err_code prepare_read(const prepare *p, str file, arena *a, prepare_picture *ret, err *e) MUST_USE;
size_t prepare_bytes(const prepare *p, const prepare_picture *picture);
void prepare_put(const prepare *p, const prepare_picture *v, void *to);   /* prepare_bytes() of them */

#endif
