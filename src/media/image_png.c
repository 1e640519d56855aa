#include "media/image_png.h"

#include "media/exif.h"
#include "media/luma.h"
#include "os/lib.h"

#include <setjmp.h>
#include <string.h>

#include <png.h>

#define PNG_CALLS(X)                                                                                            \
    X(png_create_info_struct) X(png_create_read_struct_2) X(png_get_IHDR)             \
    X(png_get_channels) X(png_get_eXIf_1) X(png_get_error_ptr) X(png_get_io_ptr) X(png_get_mem_ptr)              \
    X(png_get_rowbytes) X(png_read_end) X(png_read_info) X(png_read_row) X(png_read_update_info)                 \
    X(png_set_add_alpha) X(png_set_chunk_cache_max) X(png_set_chunk_malloc_max) X(png_set_expand)                \
    X(png_set_gray_to_rgb) X(png_set_interlace_handling) X(png_set_keep_unknown_chunks) X(png_set_read_fn)       \
    X(png_set_strip_16) X(png_set_strip_alpha) X(png_set_user_limits)

static struct {
#define X(f) __typeof__(&f) f;
    PNG_CALLS(X)
#undef X
} lp;

#define X(f) {#f, (void **)(uintptr_t)&lp.f},
static const lib_symbol symbols[] = {PNG_CALLS(X)};
#undef X

static lib png_lib = {.title = "PNG", .names = {"libpng16.so.16"}, .symbols = symbols, .count = COUNTOF(symbols)};

/* libpng reads one such chunk at a time; of what the pixels need the palette is the largest, and an eXIf of a camera
 * holds a thumbnail of some 10 KB. */
enum { CHUNK_BYTES_MAX = 1 << 20, CHUNKS_KEPT_MAX = 16 };

struct image_png {
    png_structp png;
    png_infop info;
    jmp_buf out;
    const image_options *with;   /* while it is opened */
    arena *memory;
    str left;                    /* of the file */
    image head;
    uint32_t done;               /* rows */
    uint32_t passes;             /* 1 = not interlaced */
    bool late;                   /* its orientation stands behind the pixels */
    bool full;                   /* the arena had no room for libpng */
    bool clip;                   /* 16-bit grey: rows are read whole and then held to 255 */
    image raw;                   /* libpng's row, where that is not ours: width in bytes */
    uint32_t channels;           /* of libpng's rows */
    err *e;
};
typedef image_png reader;

static _Noreturn void leave(reader *r)
{
    longjmp(r->out, 1);
}

static _Noreturn void on_error(png_structp png, png_const_charp text)
{
    reader *r = lp.png_get_error_ptr(png);
    if (r->full) (void)image_no_room("PNG", r->memory, r->e);
    else (void)err_set(r->e, ERR_INVALID, "image: PNG: %s", text);
    leave(r);
}

static void on_warning(png_structp png, png_const_charp text) { (void)png, (void)text; }

static void *take_memory(png_structp png, png_alloc_size_t bytes)
{
    reader *r = lp.png_get_mem_ptr(png);
    void *p = arena_push_raw(r->memory, bytes, 16);
    r->full = r->full || !p;
    return p;
}

static void give_memory(png_structp png, void *p) { (void)png, (void)p; }

static void read_bytes(png_structp png, png_bytep to, size_t count)
{
    reader *r = lp.png_get_io_ptr(png);
    if (count > r->left.len) {
        (void)err_set(r->e, ERR_INVALID, "image: PNG: the file is cut off");
        leave(r);
    }
    memcpy(to, r->left.p, count);
    r->left = (str){r->left.p + count, r->left.len - count};
}

static err_code set_up(reader *r)
{
    static const png_byte unread[] = "iCCP\0iTXt\0tEXt\0zTXt\0sPLT\0hIST\0pCAL";
    r->png = lp.png_create_read_struct_2(PNG_LIBPNG_VER_STRING, r, on_error, on_warning, r, take_memory, give_memory);
    r->info = r->png ? lp.png_create_info_struct(r->png) : NULL;
    if (!r->info && r->full) return image_no_room("PNG", r->memory, r->e);
    if (!r->info) return err_set(r->e, ERR_UNSUPPORTED, "image: PNG: expected the libpng of the header, got another");
    lp.png_set_read_fn(r->png, r, read_bytes);
    lp.png_set_user_limits(r->png, IMAGE_SIDE_MAX, IMAGE_SIDE_MAX);
    lp.png_set_chunk_malloc_max(r->png, CHUNK_BYTES_MAX);
    lp.png_set_chunk_cache_max(r->png, CHUNKS_KEPT_MAX);
    lp.png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, unread, (int)sizeof unread / 5);
    return ERR_OK;
}

/* Tells libpng what its rows shall be: 8 bits, and the channels that were asked for; two things are left to us, grey
 * made of colour and 16-bit grey. */
static err_code read_header(reader *r)
{
    png_uint_32 width, height;
    int depth, colour;
    lp.png_read_info(r->png, r->info);
    (void)lp.png_get_IHDR(r->png, r->info, &width, &height, &depth, &colour, NULL, NULL, NULL);
    err_code rc = image_check(width, height, r->with->pixels_max, r->e);
    if (rc) return rc;
    uint32_t want = r->with->channels;
    r->clip = depth == 16 && colour == PNG_COLOR_TYPE_GRAY;
    lp.png_set_expand(r->png);
    if (depth == 16 && !r->clip) lp.png_set_strip_16(r->png);
    if (want == 4) lp.png_set_add_alpha(r->png, 0xffff, PNG_FILLER_AFTER);   /* where there is none */
    else lp.png_set_strip_alpha(r->png);
    if (want > 1) lp.png_set_gray_to_rgb(r->png);
    r->head.width = width;
    r->head.height = height;
    r->head.channels = want;
    return ERR_OK;
}

/* Whether an eXIf stands behind the pixels: a header may come where it likes. */
static bool exif_is_late(str file)
{
    bool pixels = false;
    for (size_t at = 8; file.len >= 12 && at <= file.len - 12;) {
        const uint8_t *p = (const uint8_t *)file.p + at;
        size_t bytes = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        if (memcmp(p + 4, "IDAT", 4) == 0) pixels = true;
        if (pixels && memcmp(p + 4, "eXIf", 4) == 0) return true;
        if (bytes > file.len - at - 12) break;
        at += bytes + 12;
    }
    return false;
}

/* Pillow's grey of 16 bits becomes one of 8 so. */
static void clip_16(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) p[i] = p[2 * i] ? 255 : p[2 * i + 1];
}

/* The other orientation hint, a text of ImageMagick's, is not read. */
static uint32_t orientation(const reader *r)
{
    png_uint_32 len = 0;
    png_bytep bytes = NULL;
    if (!lp.png_get_eXIf_1(r->png, r->info, &len, &bytes)) return 1;
    return exif_orientation((str){(const char *)bytes, len});
}

/* From libpng's values to ours, in place. */
static void reduce(const reader *r, uint8_t *p, size_t n)
{
    if (r->clip) clip_16(p, n * r->channels);
    if (r->channels != r->head.channels) luma_from_rgb(p, n);
}

static err_code start(reader *r, str file)
{
    err_code rc = set_up(r);
    if (!rc) rc = read_header(r);
    if (rc) return rc;
    r->passes = (uint32_t)lp.png_set_interlace_handling(r->png);
    lp.png_read_update_info(r->png, r->info);
    r->channels = lp.png_get_channels(r->png, r->info);
    size_t row_bytes = lp.png_get_rowbytes(r->png, r->info);
    INVARIANT(row_bytes == (size_t)r->head.width * r->channels << r->clip);
    INVARIANT(r->channels == r->head.channels || (r->channels == 3 && r->head.channels == 1));
    r->head.orientation = orientation(r);
    r->late = exif_is_late(file);
    r->raw = (image){.width = (uint32_t)row_bytes, .height = 1, .channels = 1};
    bool ours = !r->clip && r->channels == r->head.channels;
    return r->passes > 1 || ours ? ERR_OK : image_alloc(&r->raw, r->memory, r->e);
}

static void read_rows(reader *r, uint8_t *to, size_t row, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, to += row) {
        lp.png_read_row(r->png, r->raw.pixels ? r->raw.pixels : to, NULL);
        if (!r->raw.pixels) continue;
        reduce(r, r->raw.pixels, r->head.width);
        memcpy(to, r->raw.pixels, (size_t)r->head.width * r->head.channels);
    }
    r->done += count;
    if (r->done == r->head.height) lp.png_read_end(r->png, r->info);
}

/* Each pass goes over all rows, in libpng's own values. */
static err_code read_passes(reader *r, image *im)
{
    size_t row = r->raw.width;
    image rows = r->head;
    rows.channels = r->channels;
    if (r->clip) rows.height *= 2;           /* rows of two bytes for each channel; the sides were checked */
    err_code rc = image_alloc(&rows, r->memory, r->e);
    if (rc) return rc;
    for (uint32_t pass = 0; pass < r->passes; pass++)
        for (size_t y = 0; y < r->head.height; y++) lp.png_read_row(r->png, rows.pixels + y * row, NULL);
    lp.png_read_end(r->png, r->info);
    reduce(r, rows.pixels, (size_t)r->head.width * r->head.height);
    im->pixels = rows.pixels;
    return ERR_OK;
}

static err_code read_whole(reader *r, image *ret)
{
    image im = r->head;
    err_code rc = r->passes > 1 ? read_passes(r, &im) : image_alloc(&im, r->memory, r->e);
    if (rc) return rc;
    if (r->passes == 1) read_rows(r, im.pixels, (size_t)im.width * im.channels, im.height);
    im.orientation = orientation(r);
    *ret = im;
    return ERR_OK;
}

/* The calls that libpng may leave, in frames of their own: nothing lives in them that longjmp() could leave stale. */
static err_code guarded_start(reader *r, str file)
{
    return setjmp(r->out) ? r->e->code : start(r, file);
}

static err_code guarded_whole(reader *r, image *ret)
{
    return setjmp(r->out) ? r->e->code : read_whole(r, ret);
}

static err_code guarded_rows(reader *r, uint8_t *to, size_t row, uint32_t count)
{
    if (setjmp(r->out)) return r->e->code;
    read_rows(r, to, row, count);
    return ERR_OK;
}

err_code image_png_open(str file, const image_options *o, arena *a, image_png **ret, image *ret_head, err *e)
{
    err_code rc = lib_need(&png_lib, e);
    if (rc) return err_wrap(e, "image");
    reader *r = arena_new(a, reader, 1);
    if (!r) return image_no_room("PNG", a, e);
    r->with = o;
    r->memory = a;
    r->left = file;
    r->e = e;
    rc = guarded_start(r, file);
    if (rc) return rc;
    *ret = r;
    *ret_head = r->head;
    return ERR_OK;
}

bool image_png_streams(const image_png *r)
{
    return r->passes == 1 && !r->late;
}

err_code image_png_rows(image_png *r, uint8_t *to, size_t row, uint32_t count, err *e)
{
    INVARIANT(r->passes == 1 && count <= r->head.height - r->done);
    r->e = e;
    return guarded_rows(r, to, row, count);
}

err_code image_png_whole(image_png *r, arena *a, image *ret, err *e)
{
    INVARIANT(r->memory == a && r->done == 0);
    r->e = e;
    return guarded_whole(r, ret);
}
