/* What must hold between a picture and a model's input: sizes, crops and padding are those of the declared pipeline,
 * the row has every value at its place in every layout and type, and what is declared wrongly is refused where it
 * stands.  (Bits against transformers' arithmetic: tests/e2e/test_media.py.) */
#include "media/prepare.h"
#include "test.h"
#include "wire/crc32.h"

#include <math.h>
#include <stdlib.h>

static bool parse(const char *text, prepare *p, err *e)
{
    arena a;
    arena_init(&a, NULL, 0, 1 << 20);
    *e = (err){.text = ""};
    err_code rc = prepare_parse(str_of(text), "p.yaml", &a, p, e);
    arena_fini(&a);
    return rc == ERR_OK;
}

static void refuse(const char *text, const char *want)
{
    prepare p;
    err e;
    CHECK(!parse(text, &p, &e));
    CHECK_STR(e.text, want);
}

/* A seed of 11 x 9 pixels or 35 x 27. */
static str seed(arena *a, const char *name)
{
    static char bytes[1 << 14];
    char path[200];
    snprintf(path, sizeof path, "tests/fuzz/corpus/image/%s", name);
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
    if (f) fclose(f);
    return (str){arena_copy(a, bytes, n, 1), n};
}

/* "row WxH, picture wxh at x,y" of a seed, or the error. */
static void check_sizes(const char *conf, const char *name, const char *want)
{
    arena a;
    prepare p;
    prepare_picture v;
    err e;
    char got[500];
    arena_init(&a, NULL, 0, 8 << 20);
    if (!parse(conf, &p, &e) || prepare_read(&p, seed(&a, name), &a, &v, &e))
        snprintf(got, sizeof got, "%s", e.text);
    else
        snprintf(got, sizeof got, "row %ux%u, picture %ux%u at %u,%u", v.width, v.height, v.im.width, v.im.height,
                 v.left, v.top);
    CHECK_STR(got, want);
    arena_fini(&a);
}

static void sizes_follow_the_declaration(void)
{
    check_sizes("{}", "jpeg-444", "row 35x27, picture 35x27 at 0,0");
    check_sizes("size: 20", "jpeg-444", "row 20x20, picture 20x20 at 0,0");
    check_sizes("size: {height: 5, width: 6}", "jpeg-444", "row 6x5, picture 6x5 at 0,0");
    check_sizes("size: {shortest_edge: 20}", "jpeg-444", "row 25x20, picture 25x20 at 0,0");
    check_sizes("size: {shortest_edge: 20, longest_edge: 22}", "jpeg-444", "row 22x17, picture 22x17 at 0,0");
    check_sizes("size: {longest_edge: 70}", "jpeg-444", "row 70x54, picture 70x54 at 0,0");
    check_sizes("size: {max_height: 10, max_width: 100}", "jpeg-444", "row 12x10, picture 12x10 at 0,0");
    check_sizes("do_resize: false\nsize: 20", "jpeg-444", "row 35x27, picture 35x27 at 0,0");
    check_sizes("size: {shortest_edge: 20}", "jpeg-exif6", "row 20x25, picture 20x25 at 0,0");
    check_sizes("do_exif_transpose: false\nsize: {shortest_edge: 20}", "jpeg-exif6", "row 25x20, picture 25x20 at 0,0");
    check_sizes("size: {max_height: 1, max_width: 1}", "jpeg-444", "row 1x1, picture 1x1 at 0,0");
}

/* What stands in a file about its orientation may stand behind its pixels. */
static void pictures_are_turned_however_they_are_read(void)
{
    check_sizes("size: {shortest_edge: 6}", "png-exif", "row 6x7, picture 6x7 at 0,0");
    check_sizes("size: {shortest_edge: 6}", "png-exif-late", "row 6x7, picture 6x7 at 0,0");
    check_sizes("size: {shortest_edge: 6}\nresample: nearest", "png-exif", "row 6x7, picture 6x7 at 0,0");
    check_sizes("size: {shortest_edge: 6}\nantialias: false", "png-exif-late", "row 6x7, picture 6x7 at 0,0");
    check_sizes("size: {shortest_edge: 6}\nchannels: 1", "png-exif", "row 6x7, picture 6x7 at 0,0");
    check_sizes("size: {shortest_edge: 6}\npad_size: {height: 7, width: 6}", "png-exif-late",
                "row 6x7, picture 6x7 at 0,0");
    check_sizes("size: {shortest_edge: 20}\nchannels: 1", "jpeg-exif6", "row 20x25, picture 20x25 at 0,0");
    check_sizes("size: {shortest_edge: 6}", "png-0-16", "row 7x6, picture 7x6 at 0,0");
    check_sizes("size: {shortest_edge: 6}\nchannels: 1", "png-2-8", "row 7x6, picture 7x6 at 0,0");
}

/* A row of bytes of a seed; files that say the same give the same, however they are read. */
static uint32_t row_sum(const char *conf, const char *name)
{
    arena a;
    prepare p;
    prepare_picture v;
    err e;
    uint32_t sum = 0;
    static uint8_t row[1 << 14];
    arena_init(&a, NULL, 0, 8 << 20);
    bool ok = parse(conf, &p, &e) && prepare_read(&p, seed(&a, name), &a, &v, &e) == ERR_OK;
    CHECK(ok);
    if (ok) {
        prepare_put(&p, &v, row);
        sum = crc32_of(0, (str){(const char *)row, prepare_bytes(&p, &v)});
    }
    arena_fini(&a);
    return sum;
}

/* Interlaced files are decoded whole, the others row by row. */
static void rows_give_what_the_whole_gives(void)
{
    static const char *const names[] = {"png-0-1", "png-0-16", "png-2-8", "png-2-16", "png-3-4", "png-4-8", "png-6-16"};
    static const char *const confs[] = {
        "size: 6\ndtype: uint8\ndo_rescale: false", "size: 7\ndtype: uint8\ndo_rescale: false\nchannels: 1",
        "size: {height: 4, width: 10}\ndtype: uint8\ndo_rescale: false"};
    for (size_t i = 0; i < COUNTOF(names); i++)
        for (size_t k = 0; k < COUNTOF(confs); k++) {
            char other[100];
            snprintf(other, sizeof other, "%s-adam7", names[i]);
            CHECK_U64(row_sum(confs[k], names[i]), row_sum(confs[k], other));
        }
    CHECK(row_sum(confs[0], "png-2-8") != row_sum(confs[0], "png-6-8"));
}

static void crops_and_padding_lie_in_the_middle(void)
{
    check_sizes("crop_size: 20", "jpeg-444", "row 20x20, picture 20x20 at 0,0");
    check_sizes("size: 20\ncrop_size: 10", "jpeg-444", "row 10x10, picture 10x10 at 0,0");
    check_sizes("crop_size: {height: 30, width: 40}", "jpeg-444", "row 40x30, picture 35x27 at 3,2");
    check_sizes("crop_size: {height: 30, width: 9}", "jpeg-444", "row 9x30, picture 9x27 at 0,2");
    check_sizes("pad_size: 40", "jpeg-444", "row 40x40, picture 35x27 at 2,6");
    check_sizes("pad_size: 40\npad_position: top_left", "jpeg-444", "row 40x40, picture 35x27 at 0,0");
    check_sizes("crop_size: 20\npad_size: 40", "jpeg-444", "row 40x40, picture 20x20 at 10,10");
    check_sizes("crop_size: {height: 30, width: 40}\npad_size: 50", "jpeg-444", "row 50x50, picture 35x27 at 8,12");
    check_sizes("pad_size: 35", "jpeg-444", "row 35x35, picture 35x27 at 0,4");
    check_sizes("pad_size: 34", "jpeg-444", "image: pad_size: expected at most 34 pixels of width, got 35");
    check_sizes("pad_size: 30", "jpeg-444", "image: pad_size: expected at most 30 pixels of width, got 35");
}

static void a_draft_is_smaller_and_has_the_same_shape(void)
{
    check_sizes("draft: true\nsize: 4", "jpeg-444", "row 4x4, picture 4x4 at 0,0");
    check_sizes("draft: true\nsize: {shortest_edge: 4}\ncrop_size: 4", "jpeg-exif6", "row 4x4, picture 4x4 at 0,0");
}

/* Though a file of colours is resized row by row. */
static void one_channel_is_the_grey_of_a_smaller_picture(void)
{
    arena a;
    prepare p;
    prepare_picture v;
    err e;
    uint8_t row[9 * 9];
    arena_init(&a, NULL, 0, 8 << 20);
    CHECK(parse("size: 9\nchannels: 1\ndtype: uint8\ndo_rescale: false", &p, &e));
    CHECK(prepare_read(&p, seed(&a, "jpeg-420"), &a, &v, &e) == ERR_OK && v.im.channels == 1);
    CHECK_U64(prepare_bytes(&p, &v), sizeof row);
    prepare_put(&p, &v, row);
    CHECK(memcmp(row, v.im.pixels, sizeof row) == 0);
    arena_fini(&a);
}

/* Rows of a picture of 2 x 2 in 3 x 2, written by hand. */
static void check_row(prepare *p, const char *want)
{
    static uint8_t pixels[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    prepare_picture v = {.im = {.width = 2, .height = 2, .channels = 3, .pixels = pixels}, .width = 3, .height = 2,
                         .left = 1};
    uint8_t row[100];
    char got[200] = "";
    size_t len = 0;
    err e;
    memset(row, 0xee, sizeof row);
    CHECK(prepare_finish(p, &e) == ERR_OK);
    size_t bytes = prepare_bytes(p, &v);
    prepare_put(p, &v, row);
    CHECK(row[bytes] == 0xee);
    for (size_t i = 0; i < 18; i++) {
        float f;
        memcpy(&f, row + 4 * i, sizeof f);
        double value = p->type == DT_U8 ? row[i] : p->type == DT_F32 ? (double)f :
                       (double)dtype_f16_to_f32((uint16_t)(row[2 * i] | row[2 * i + 1] << 8));
        len += (size_t)snprintf(got + len, sizeof got - len, "%s%g", i ? " " : "", value);
    }
    CHECK_STR(got, want);
}

static void rows_have_their_values_at_their_places(void)
{
    prepare p = {.channels = 3, .type = DT_U8, .fill = {0, 50, 99}};
    check_row(&p, "0 1 4 0 7 10 50 2 5 50 8 11 99 3 6 99 9 12");
    p.bgr = true;
    check_row(&p, "99 3 6 99 9 12 50 2 5 50 8 11 0 1 4 0 7 10");
    p.channels_last = true;
    check_row(&p, "99 50 0 3 2 1 6 5 4 99 50 0 9 8 7 12 11 10");
    p.bgr = false;
    p.type = DT_F32;
    check_row(&p, "0 50 99 1 2 3 4 5 6 0 50 99 7 8 9 10 11 12");
    p.rescale = p.normalize = true;
    p.factor = 0.5;
    for (size_t c = 0; c < 3; c++) p.mean[c] = 1, p.std[c] = (double)(1 << c);
    check_row(&p, "-1 12 12.125 -0.5 0 0.125 1 0.75 0.5 -1 12 12.125 2.5 1.5 0.875 4 2.25 1.25");
    p.type = DT_F16;
    check_row(&p, "-1 12 12.125 -0.5 0 0.125 1 0.75 0.5 -1 12 12.125 2.5 1.5 0.875 4 2.25 1.25");
}

/* The element of a row that is made of a picture's byte, or of what is filled around it. */
static double want_at(const prepare *p, const prepare_picture *v, size_t channel, size_t y, size_t x)
{
    bool inside = x >= v->left && x < v->left + v->im.width && y >= v->top && y < v->top + v->im.height;
    uint8_t byte = p->fill[channel];
    if (inside) byte = image_pixel(&v->im, (uint32_t)(x - v->left), (uint32_t)(y - v->top))[channel];
    return p->rescale ? byte * p->factor : byte;
}

/* Of any width, as some elements are written together: into a block of the row's own size, so that the sanitizer sees
 * what is written past it. */
static void rows_of_any_width_have_every_value(void)
{
    static const dtype types[] = {DT_F32, DT_F16, DT_U8};
    uint8_t pixels[3 * 3 * 13];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 37 + 5);
    for (uint32_t n = 0; n < 13 * 12; n++) {
        uint32_t width = 1 + n % 13, channels = n / 13 % 2 ? 1 : 3;
        bool last = n / 26 % 2;
        prepare p = {.channels = channels, .channels_last = last, .type = types[n / 52], .fill = {7, 8, 9}};
        if (p.type != DT_U8) p.rescale = true, p.factor = 0.25;
        err e;
        CHECK(prepare_finish(&p, &e) == ERR_OK);
        prepare_picture v = {.im = {.width = width, .height = 3, .channels = channels, .pixels = pixels},
                             .width = width + n % 3, .height = 4, .left = n % 2 ? n % 3 : 0, .top = 1};
        void *row = malloc(prepare_bytes(&p, &v));
        prepare_put(&p, &v, row);
        for (size_t i = 0, c, at, plane = v.width * v.height; i < plane * channels; i++) {
            c = last ? i % channels : i / plane, at = last ? i / channels : i % plane;
            double got = p.type == DT_F32   ? (double)((float *)row)[i]
                         : p.type == DT_F16 ? (double)dtype_f16_to_f32(((uint16_t *)row)[i])
                                            : ((uint8_t *)row)[i];
            CHECK(got == want_at(&p, &v, c, at / v.width, at % v.width));
        }
        free(row);
    }
}

static void check_shape(const char *conf, const char *want)
{
    prepare p;
    err e;
    char text[SHAPE_TEXT_MAX];
    CHECK(parse(conf, &p, &e));
    shape s = prepare_shape(&p);
    CHECK_STR(shape_text(&s, text), want);
}

static void the_shape_is_known_where_it_does_not_depend_on_the_picture(void)
{
    check_shape("{}", "[3,-1,-1]");
    check_shape("size: 7", "[3,7,7]");
    check_shape("size: {shortest_edge: 7}\nchannels: 1", "[1,-1,-1]");
    check_shape("size: {shortest_edge: 7}\ncrop_size: {height: 5, width: 6}\ndata_format: channels_last", "[5,6,3]");
    check_shape("size: {longest_edge: 7}\npad_size: 7", "[3,7,7]");
    check_shape("crop_size: 7\npad_size: 9", "[3,9,9]");
}

static void what_is_declared_wrongly_is_refused_where_it_stands(void)
{
    refuse("[1]", "p.yaml:1:1: expected a map, got a list");
    refuse("do_resize: true\nsizes: 3", "p.yaml:2:1: key 'sizes' is not supported, did you mean 'size'?");
    refuse("size_divisor: 32", "p.yaml:1:1: key 'size_divisor' is not supported");
    refuse("do_flip_channel_order: true",
           "p.yaml:1:1: key 'do_flip_channel_order' is not supported, did you mean 'channel_order'?");
    refuse("do_resize: true", "p.yaml:1:12: do_resize: expected 'size', too");
    refuse("do_normalize: true", "p.yaml:1:15: do_normalize: expected 'image_mean', too");
    refuse("image_mean: 0.5", "p.yaml:1:13: image_mean: expected 'image_std', too");
    refuse("image_mean: [1, 2]\nimage_std: 1",
           "p.yaml:1:13: image_mean: expected a number or a list of three, got a list");
    refuse("image_std: 0.5", "p.yaml:1:12: image_std: expected 'image_mean', too");
    refuse("image_mean: null\nimage_std: 0", "p.yaml:2:12: image_std: expected 'image_mean', too");
    refuse("image_mean: 0\nimage_std: 0", "p.yaml:2:12: image_std: expected finite numbers other than 0, got 0");
    refuse("image_mean: 0\nimage_std: [1, 2, -0.0]",
           "p.yaml:2:12: image_std: expected finite numbers other than 0, got -0");
    refuse("image_mean: 0\nimage_std: 1e-50",
           "p.yaml:2:12: image_std: expected finite numbers other than 0, got 1e-50");
    refuse("image_mean: 0\nimage_std: .nan", "p.yaml:2:12: image_std: expected finite numbers other than 0, got nan");
    refuse("image_mean: 0\nimage_std: -.inf", "p.yaml:2:12: image_std: expected finite numbers other than 0, got -inf");
    refuse("image_mean: [0, .inf, 0]\nimage_std: 1", "p.yaml:1:13: image_mean: expected finite numbers, got inf");
    refuse("size: 0", "p.yaml:1:7: size: expected a side of 1 to 32768 pixels, got '0'");
    refuse("size: 40000", "p.yaml:1:7: size: expected a side of 1 to 32768 pixels, got '40000'");
    refuse("size: {height: 5}",
           "p.yaml:1:7: size: expected a number, {height, width}, {shortest_edge}, {shortest_edge, longest_edge}, "
           "{longest_edge} or {max_height, max_width}, got a map");
    refuse("crop_size: {height: 5}", "p.yaml:1:12: crop_size: expected a number or {height, width}, got a map");
    refuse("resample: cubic", "p.yaml:1:11: resample: expected nearest, lanczos, bilinear, bicubic, box, hamming or "
                              "Pillow's number, got 'cubic'");
    refuse("antialias: false\nresample: box",
           "p.yaml:1:12: antialias: false: expected resample bilinear or bicubic, got box");
    refuse("dtype: int8", "p.yaml:1:8: dtype: expected float32, float16 or uint8, got 'int8'");
    refuse("dtype: uint8\nimage_mean: 1\nimage_std: 1",
           "p.yaml:1:8: dtype: uint8: expected do_rescale and do_normalize to be false");
    refuse("channels: 4", "p.yaml:1:11: channels: expected 1 or 3, got '4'");
    refuse("pad_value: 256\npad_size: 5", "p.yaml:1:12: pad_value: expected whole numbers of 0 to 255, got '256'");
    refuse("pad_value: 1.5\npad_size: 5", "p.yaml:1:12: pad_value: expected whole numbers of 0 to 255, got '1.5'");
    refuse("rescale_factor: .nan", "p.yaml:1:17: rescale_factor: expected a finite number, got nan");
    refuse("rescale_factor: 1e38", "p.yaml:1:17: rescale_factor: expected a finite number, got 1e+38");
    refuse("do_rescale: maybe", "p.yaml:1:13: do_rescale: expected true or false, got 'maybe'");
}

static void padding_that_no_picture_fits_is_refused(void)
{
    static const char *const sizes[] = {"size: 300", "size: {longest_edge: 17}", "size: {shortest_edge: 13}",
                                        "crop_size: {height: 13, width: 4}", "size: 4\ncrop_size: 17"};
    prepare p;
    err e;
    for (size_t i = 0; i < COUNTOF(sizes); i++) {
        char text[200];
        snprintf(text, sizeof text, "pad_size: {height: 12, width: 16}\n%s", sizes[i]);
        refuse(text, "p.yaml:1:11: pad_size: expected at least what size and crop_size make, got 16x12");
    }
    CHECK(parse("pad_size: 16\nsize: {longest_edge: 16}", &p, &e) && parse("pad_size: 16\nsize: 16", &p, &e));
    CHECK(parse("pad_size: 16\nsize: {shortest_edge: 18, longest_edge: 16}", &p, &e));
    CHECK(parse("pad_size: 16\nsize: 300\ncrop_size: 16", &p, &e));
}

#define NORMAL "\nimage_mean: 0\nimage_std: 1"

static void a_named_class_decides_what_its_keys_mean(void)
{
    prepare p;
    err e;
    CHECK(parse("image_processor_type: DeiTImageProcessor\nsize: 9\ncrop_size: 7" NORMAL, &p, &e));
    CHECK(p.size == PREPARE_EXACT && p.width == 9 && p.crop_width == 7 && p.filter == RESIZE_BICUBIC);
    CHECK(parse("feature_extractor_type: CLIPFeatureExtractor\nsize: 9\ndo_center_crop: false" NORMAL, &p, &e));
    CHECK(p.size == PREPARE_SHORTEST && p.shortest == 9 && !p.crop_width);
    CHECK(parse("image_processor_type: BitImageProcessorFast\nsize: {shortest_edge: 9}\ncrop_size: 7\nresample: 2"
                NORMAL, &p, &e));
    CHECK(p.size == PREPARE_SHORTEST && p.shortest == 9 && p.filter == RESIZE_BILINEAR);
    CHECK(parse("image_processor_type: ViTImageProcessor\nsize: {height: 8, width: 9}\ncrop_size: 7" NORMAL, &p, &e));
    CHECK(p.size == PREPARE_EXACT && p.height == 8 && !p.crop_width && p.filter == RESIZE_BILINEAR);
}

static void what_a_named_class_has_otherwise_is_refused(void)
{
    refuse("image_processor_type: LevitImageProcessor",
           "p.yaml:1:23: image_processor_type: expected Beit, Bit, Blip, CLIP, DeiT, MobileNetV1, MobileNetV2, Pvt, "
           "Segformer, Siglip or ViT and then ImageProcessor, got 'LevitImageProcessor'");
    refuse("image_processor_type: CLIPImageProcessor\nsize: {shortest_edge: 9, longest_edge: 12}\ncrop_size: 7" NORMAL,
           "p.yaml:2:7: size: expected a number, {height, width} or {shortest_edge}, as the class has it, got a map");
    refuse("image_processor_type: ViTImageProcessor\nsize: {shortest_edge: 9}" NORMAL,
           "p.yaml:2:7: size: expected a number or {height, width}, as the class has it, got a map");
    refuse("image_processor_type: ViTImageProcessor" NORMAL,
           "p.yaml:1:23: image_processor_type: expected 'size', too");
    refuse("feature_extractor_type: BeitFeatureExtractor\nsize: 9" NORMAL,
           "p.yaml:1:25: feature_extractor_type: expected 'crop_size', too");
    refuse("image_processor_type: ViTImageProcessor\nsize: 9",
           "p.yaml:1:23: image_processor_type: expected 'image_mean', too");
    refuse("image_processor_type: [ViT]", "p.yaml:1:23: image_processor_type: expected a string, got a list");
}

static void switches_that_are_off_and_nulls_ask_for_nothing(void)
{
    prepare p;
    err e;
    CHECK(parse("{\"do_flip_channel_order\": false, \"size_divisor\": null, \"processor_class\": \"X\", \"size\": 9,\n"
                "\"do_normalize\": false, \"image_mean\": [0.5, 0.5, 0.5],\n"
                "\"do_center_crop\": false, \"crop_size\": 4}",
                &p, &e));
    CHECK(p.size == PREPARE_EXACT && p.width == 9 && !p.normalize && !p.crop_width && p.rescale);
    CHECK(p.factor == 1.0 / 255 && p.turn && p.type == DT_F32 && p.channels == 3);
    CHECK(parse("do_normalize: false\nimage_std: 0", &p, &e) && !p.normalize);
    CHECK(parse("image_mean: null\nimage_std: null", &p, &e) && !p.normalize);
}

static void a_picture_that_resizes_beyond_all_bounds_is_refused(void)
{
    arena a;
    prepare p = {.channels = 3, .type = DT_U8, .size = PREPARE_SHORTEST, .shortest = 32768, .crop_width = 8,
                 .crop_height = 8};
    prepare_picture v;
    err e;
    arena_init(&a, NULL, 0, 8 << 20);
    CHECK(prepare_finish(&p, &e) == ERR_OK);
    str file = seed(&a, "jpeg-444");
    CHECK(prepare_read(&p, file, &a, &v, &e) == ERR_OK && v.width == 8);       /* 42477 x 32768, of which 8 x 8 */
    p.crop_width = p.crop_height = 0;
    CHECK_U64(prepare_read(&p, file, &a, &v, &e), ERR_TOO_LARGE);
    CHECK_STR(e.text, "image: expected at most 50000000 pixels and sides of at most 65500, got 42477x32768");
    arena_fini(&a);
}

static void read_once(const char *name)
{
    arena a, keep;
    prepare p;
    prepare_picture v;
    err e = {.text = ""};
    static char bytes[1 << 14];
    arena_init(&keep, bytes, sizeof bytes, sizeof bytes);
    str file = seed(&keep, name);
    arena_init(&a, NULL, 0, 1 << 20);
    err_code rc = prepare_parse(STR("size: 8\nimage_mean: 0.5\nimage_std: 0.5"), "p.yaml", &a, &p, &e);
    if (!rc) rc = prepare_read(&p, file, &a, &v, &e);
    CHECK(rc == ERR_OK || e.text[0]);
    arena_fini(&a);
}

static void without_memory_nothing_is_left(void)
{
    FAULT_SWEEP(read_once("jpeg-exif6"));
    FAULT_SWEEP(read_once("png-exif"));
    FAULT_SWEEP(read_once("png-0-16"));
}

/* A point of the row, as percentages of the picture's sides, a corner of the picture being 0 or 100. */
static void check_back(const char *conf, const char *name, double x, double y, double want_x, double want_y)
{
    arena a;
    prepare p;
    prepare_picture v;
    err e;
    arena_init(&a, NULL, 0, 8 << 20);
    bool ok = parse(conf, &p, &e) && prepare_read(&p, seed(&a, name), &a, &v, &e) == ERR_OK;
    CHECK(ok);
    if (ok) {
        CHECK(fabs((v.place.left + x * v.place.right) / v.place.width * 100 - want_x) < 0.01);
        CHECK(fabs((v.place.top + y * v.place.down) / v.place.height * 100 - want_y) < 0.01);
    }
    arena_fini(&a);
}

static void a_rows_points_lead_back_to_the_picture(void)
{
    check_back("{}", "jpeg-444", 35, 27, 100, 100);
    check_back("size: {height: 10, width: 20}", "jpeg-444", 10, 10, 50, 100);
    check_back("size: {height: 20, width: 40}\ncrop_size: {height: 10, width: 20}", "jpeg-444", 0, 10, 25, 75);
    check_back("size: {height: 10, width: 20}\npad_size: {height: 30, width: 40}", "jpeg-444", 20, 10, 50, 0);
    check_back("size: {height: 10, width: 20}\npad_size: 30\npad_position: top_left", "jpeg-444", 0, 10, 0, 100);
    check_back("size: {height: 10, width: 20}", "jpeg-exif6", 20, 0, 100, 0);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(sizes_follow_the_declaration), TEST(pictures_are_turned_however_they_are_read),
        TEST(rows_give_what_the_whole_gives), TEST(crops_and_padding_lie_in_the_middle),
        TEST(a_draft_is_smaller_and_has_the_same_shape), TEST(rows_have_their_values_at_their_places),
        TEST(rows_of_any_width_have_every_value),
        TEST(one_channel_is_the_grey_of_a_smaller_picture),
        TEST(the_shape_is_known_where_it_does_not_depend_on_the_picture),
        TEST(what_is_declared_wrongly_is_refused_where_it_stands),
        TEST(padding_that_no_picture_fits_is_refused),
        TEST(a_named_class_decides_what_its_keys_mean), TEST(what_a_named_class_has_otherwise_is_refused),
        TEST(switches_that_are_off_and_nulls_ask_for_nothing),
        TEST(a_picture_that_resizes_beyond_all_bounds_is_refused), TEST(without_memory_nothing_is_left),
        TEST(a_rows_points_lead_back_to_the_picture)};
    return test_main(cases, COUNTOF(cases));
}
