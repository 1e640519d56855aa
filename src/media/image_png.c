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

typedef struct {
    png_structp png;
    png_infop info;
    jmp_buf out;
    const image_options *with;
    arena *memory;
    str left;                    /* of the file */
    image im;
    bool full;                   /* the arena had no room for libpng */
    bool clip;                   /* 16-bit grey: rows are read whole and then held to 255 */
    err *e;
} reader;

static _Noreturn void leave(reader *r)
{
    longjmp(r->out, 1);
}

static _Noreturn void on_error(png_structp png, png_const_charp text)
{
    reader *r = lp.png_get_error_ptr(png);
    if (r->memory->starved)
        (void)err_set(r->e, ERR_NOMEM, "image: PNG: no memory");
    else if (r->full)
        (void)err_set(r->e, ERR_LIMIT, "image: PNG: expected a file that decodes in %zu bytes of memory",
                      r->memory->limit);
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
    if (!r->info) return err_set(r->e, ERR_NOMEM, "image: PNG: no memory, or another libpng than it was compiled for");
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
    r->im.width = width;
    r->im.height = height;
    return ERR_OK;
}

static void read_rows(reader *r, uint8_t *rows, size_t row_bytes, int passes)
{
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < r->im.height; y++) lp.png_read_row(r->png, rows + y * row_bytes, NULL);
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

static err_code read_all(reader *r)
{
    err_code rc = set_up(r);
    if (!rc) rc = read_header(r);
    if (rc) return rc;
    int passes = lp.png_set_interlace_handling(r->png);
    lp.png_read_update_info(r->png, r->info);
    size_t channels = lp.png_get_channels(r->png, r->info), row_bytes = lp.png_get_rowbytes(r->png, r->info);
    size_t n = (size_t)r->im.width * r->im.height;
    INVARIANT(row_bytes == r->im.width * channels << r->clip);
    INVARIANT(channels == r->with->channels || (channels == 3 && r->with->channels == 1));
    image rows = r->im;
    rows.channels = (uint32_t)channels;
    if (r->clip) rows.height *= 2;           /* rows of two bytes for each channel; the sides were checked */
    rc = image_alloc(&rows, r->memory, r->e);
    if (rc) return rc;
    read_rows(r, rows.pixels, row_bytes, passes);
    lp.png_read_end(r->png, r->info);
    if (r->clip) clip_16(rows.pixels, n * channels);
    if (channels == 3 && r->with->channels == 1) luma_from_rgb(rows.pixels, n);
    r->im.pixels = rows.pixels;
    r->im.channels = r->with->channels;
    r->im.orientation = orientation(r);
    return ERR_OK;
}

/* In a frame of its own: nothing lives in it that longjmp() could leave stale. */
static err_code guarded(reader *r)
{
    return setjmp(r->out) ? r->e->code : read_all(r);
}

err_code image_png_decode(str file, const image_options *o, arena *a, image *ret, err *e)
{
    reader r;
    err_code rc = lib_need(&png_lib, e);
    if (rc) return err_wrap(e, "image");
    memset(&r, 0, sizeof r);
    r.with = o;
    r.memory = a;
    r.left = file;
    r.e = e;
    rc = guarded(&r);
    /* What libpng holds lives in the arena; its inflater's state, too. */
    if (!rc) *ret = r.im;
    return rc;
}
