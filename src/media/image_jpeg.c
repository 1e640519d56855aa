#include "media/image_jpeg.h"

#include "media/exif.h"
#include "media/luma.h"
#include "os/lib.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#define JPEG_CALLS(X)                                                                                          \
    X(jpeg_CreateDecompress) X(jpeg_destroy_decompress) X(jpeg_finish_decompress) X(jpeg_has_multiple_scans)   \
    X(jpeg_read_header)                                                                                        \
    X(jpeg_read_scanlines) X(jpeg_resync_to_restart) X(jpeg_save_markers) X(jpeg_start_decompress) X(jpeg_std_error)

static struct {
#define X(f) __typeof__(&f) f;
    JPEG_CALLS(X)
#undef X
} lj;

#define X(f) {#f, (void **)(uintptr_t)&lj.f},
static const lib_symbol symbols[] = {JPEG_CALLS(X)};
#undef X

/* The header that this was compiled with decides which of the two ABIs fits. */
static lib jpeg_lib = {.title = "JPEG", .names = {JPEG_LIB_VERSION >= 80 ? "libjpeg.so.8" : "libjpeg.so.62"},
                       .symbols = symbols, .count = COUNTOF(symbols)};

enum { ROWS_AT_ONCE = 8, APP1 = JPEG_APP0 + 1, EXIF_HEAD = 6 };

struct image_jpeg {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf out;
    const image_options *with;       /* while it is opened */
    image head;
    arena *memory;                   /* whose limit is lower by `held` while libjpeg has that for itself */
    size_t held;
    err *e;                          /* of the call that goes on */
};

/* What libjpeg may take for itself. */
static size_t room_of(const image_jpeg *r)
{
    size_t left = r->memory->limit - r->memory->total;
    return left < IMAGE_BYTES_MAX ? left : IMAGE_BYTES_MAX;
}

static image_jpeg *reader_of(j_common_ptr c)
{
    return c->client_data;
}

/* libjpeg cannot be told that something failed: it must be left. */
static _Noreturn void leave(j_common_ptr c)
{
    longjmp(reader_of(c)->out, 1);
}

static err_code no_room(const image_jpeg *r, err *e)
{
    return err_set(e, ERR_LIMIT, "image: JPEG: expected a file that decodes in %zu bytes of memory",
                   room_of(r) + r->held);
}

static _Noreturn void on_error(j_common_ptr c)
{
    char text[JMSG_LENGTH_MAX];
    int code = c->err->msg_code;
    err *e = reader_of(c)->e;
    c->err->format_message(c, text);
    if (code == JERR_OUT_OF_MEMORY)
        (void)err_set(e, ERR_NOMEM, "image: JPEG: no memory");
    else if (code == JERR_NO_BACKING_STORE)
        (void)no_room(reader_of(c), e);
    else
        (void)err_set(e, ERR_INVALID, "image: JPEG: %s", text);
    leave(c);
}

/* Warnings: libjpeg goes on with its best guess, as Pillow lets it. */
static void on_message(j_common_ptr c, int level) { (void)c, (void)level; }
static void no_output(j_common_ptr c) { (void)c; }

static void on_progress(j_common_ptr c)
{
    if (((j_decompress_ptr)c)->input_scan_number <= IMAGE_SCANS_MAX) return;
    (void)err_set(reader_of(c)->e, ERR_TOO_LARGE, "image: JPEG: expected at most %d scans, got more", IMAGE_SCANS_MAX);
    leave(c);
}

/* ---- the file in memory ------------------------------------------------------------------------------------------ */

static void source_nothing(j_decompress_ptr jpeg) { (void)jpeg; }

static boolean source_ended(j_decompress_ptr jpeg)
{
    (void)err_set(reader_of((j_common_ptr)jpeg)->e, ERR_INVALID, "image: JPEG: the file is cut off");
    leave((j_common_ptr)jpeg);
}

static void source_skip(j_decompress_ptr jpeg, long count)
{
    if (count <= 0) return;
    if ((size_t)count > jpeg->src->bytes_in_buffer) (void)source_ended(jpeg);
    jpeg->src->next_input_byte += count;
    jpeg->src->bytes_in_buffer -= (size_t)count;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static void set_up(image_jpeg *r, str file)
{
    r->jpeg.err = lj.jpeg_std_error(&r->errors);
    r->jpeg.client_data = r;
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    r->errors.output_message = no_output;
    lj.jpeg_CreateDecompress(&r->jpeg, JPEG_LIB_VERSION, sizeof r->jpeg);
    r->jpeg.client_data = r;                 /* older ones clear it */
    r->jpeg.mem->max_memory_to_use = (long)room_of(r) + 1;   /* 0 would be no bound */
    r->source = (struct jpeg_source_mgr){
        .next_input_byte = (const JOCTET *)file.p, .bytes_in_buffer = file.len, .init_source = source_nothing,
        .fill_input_buffer = source_ended, .skip_input_data = source_skip,
        .resync_to_restart = lj.jpeg_resync_to_restart, .term_source = source_nothing};
    r->jpeg.src = &r->source;
    r->progress.progress_monitor = on_progress;
    r->jpeg.progress = &r->progress;
    lj.jpeg_save_markers(&r->jpeg, APP1, 0xffff);
}

static uint32_t orientation(const image_jpeg *r)
{
    for (jpeg_saved_marker_ptr m = r->jpeg.marker_list; m; m = m->next)
        if (m->marker == APP1 && m->data_length > EXIF_HEAD && memcmp(m->data, "Exif\0\0", EXIF_HEAD) == 0)
            return exif_orientation((str){(const char *)m->data + EXIF_HEAD, m->data_length - EXIF_HEAD});
    return 1;
}

static uint32_t reduced(uint32_t side, uint32_t by)
{
    return (side + by - 1) / by;             /* libjpeg rounds up, too */
}

/* The largest reduction that leaves both sides as long as was asked; of a turned picture those that it will have. */
static uint32_t reduction(const image_jpeg *r)
{
    uint32_t width = r->with->width_enough, height = r->with->height_enough, by = 8;
    if (!width || !height) return 1;
    if (r->head.orientation >= 5) width = r->with->height_enough, height = r->with->width_enough;
    while (by > 1 && (reduced(r->jpeg.image_width, by) < width || reduced(r->jpeg.image_height, by) < height)) by /= 2;
    return by;
}

static err_code read_header(image_jpeg *r)
{
    struct jpeg_decompress_struct *d = &r->jpeg;
    (void)lj.jpeg_read_header(d, TRUE);
    err_code rc = image_check(d->image_width, d->image_height, r->with->pixels_max, r->e);
    if (rc) return rc;
    if (d->num_components != 1 && d->num_components != 3 && d->num_components != 4)
        return err_set(r->e, ERR_UNSUPPORTED, "image: JPEG: expected 1, 3 or 4 components, got %d", d->num_components);
    r->head.orientation = orientation(r);
    d->scale_num = 1;
    d->scale_denom = reduction(r);
    if (d->num_components == 4) d->out_color_space = JCS_CMYK;
    else if (r->with->channels == 4) d->out_color_space = JCS_EXT_RGBA;
    else if (d->num_components == 1 && r->with->channels == 1) d->out_color_space = JCS_GRAYSCALE;
    else d->out_color_space = JCS_RGB;
    return ERR_OK;
}

static void read_rows(image_jpeg *r, uint8_t *to, size_t row, uint32_t count)
{
    struct jpeg_decompress_struct *d = &r->jpeg;
    while (count) {
        JSAMPROW rows[ROWS_AT_ONCE];
        for (uint32_t i = 0; i < ROWS_AT_ONCE && i < count; i++) rows[i] = to + i * row;
        uint32_t got = lj.jpeg_read_scanlines(d, rows, count < ROWS_AT_ONCE ? count : ROWS_AT_ONCE);
        INVARIANT(got > 0);                  /* the source never suspends */
        to += got * row;
        count -= got;
    }
    if (d->output_scanline == d->output_height)
        (void)lj.jpeg_finish_decompress(d);  /* a file without its end is cut off */
}

/* From what libjpeg can give to what was asked for. */
static void reduce(image *im, uint32_t channels)
{
    size_t n = (size_t)im->width * im->height;
    if (im->channels == 4 && channels != 4) luma_rgb_from_cmyk(im->pixels, n);
    if (im->channels != 1 && channels == 1) luma_from_rgb(im->pixels, n);
    im->channels = channels;
}

/* A file of several scans is gone over whole, as coefficients of two bytes: libjpeg takes them from the heap, so the
 * arena has that much less to give. */
static err_code hold_coefficients(image_jpeg *r)
{
    struct jpeg_decompress_struct *d = &r->jpeg;
    uint64_t blocks = 0;
    if (!lj.jpeg_has_multiple_scans(d)) return ERR_OK;
    for (int i = 0; i < d->num_components; i++) {
        const jpeg_component_info *c = &d->comp_info[i];
        blocks += ((uint64_t)c->width_in_blocks + (uint64_t)c->h_samp_factor) *
                  ((uint64_t)c->height_in_blocks + (uint64_t)c->v_samp_factor);
    }
    if (blocks * sizeof(JBLOCK) > room_of(r)) return no_room(r, r->e);
    r->held = blocks * sizeof(JBLOCK);
    r->memory->limit -= r->held;
    return ERR_OK;
}

static err_code start(image_jpeg *r, str file)
{
    set_up(r, file);
    err_code rc = read_header(r);
    if (rc) return rc;
    if (r->jpeg.num_components == 4 && r->with->channels == 4)
        return err_set(r->e, ERR_UNSUPPORTED, "image: JPEG: expected grey or colour, got CMYK, which has no alpha");
    rc = hold_coefficients(r);
    if (rc) return rc;
    (void)lj.jpeg_start_decompress(&r->jpeg);
    r->head.width = r->jpeg.output_width;
    r->head.height = r->jpeg.output_height;
    r->head.channels = (uint32_t)r->jpeg.output_components;
    return ERR_OK;
}

/* The two calls that libjpeg may leave, in frames of their own: nothing lives in them that longjmp() makes stale. */
static err_code guarded_start(image_jpeg *r, str file)
{
    return setjmp(r->out) ? r->e->code : start(r, file);
}

static err_code guarded_rows(image_jpeg *r, uint8_t *to, size_t row, uint32_t count)
{
    if (setjmp(r->out)) return r->e->code;
    read_rows(r, to, row, count);
    return ERR_OK;
}

err_code image_jpeg_open(str file, const image_options *o, arena *a, image_jpeg **ret, image *ret_head, err *e)
{
    err_code rc = lib_need(&jpeg_lib, e);
    if (rc) return err_wrap(e, "image");
    image_jpeg *r = arena_new(a, image_jpeg, 1);
    if (!r) return image_no_room("JPEG", a, e);
    r->with = o;
    r->memory = a;
    r->e = e;
    rc = guarded_start(r, file);
    if (rc) {
        image_jpeg_close(r);
        return rc;
    }
    *ret = r;
    *ret_head = r->head;
    return ERR_OK;
}

err_code image_jpeg_rows(image_jpeg *r, uint8_t *to, size_t row, uint32_t count, err *e)
{
    INVARIANT(count <= r->jpeg.output_height - r->jpeg.output_scanline);
    r->e = e;
    return guarded_rows(r, to, row, count);
}

void image_jpeg_close(image_jpeg *r)
{
    lj.jpeg_destroy_decompress(&r->jpeg);
    r->memory->limit += r->held;
    r->held = 0;
}

err_code image_jpeg_whole(image_jpeg *r, uint32_t channels, arena *a, image *ret, err *e)
{
    image im = r->head;
    err_code rc = image_alloc(&im, a, e);
    if (!rc) rc = image_jpeg_rows(r, im.pixels, (size_t)im.width * im.channels, im.height, e);
    if (rc) return rc;
    reduce(&im, channels);
    *ret = im;
    return ERR_OK;
}
