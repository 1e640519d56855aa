/* Lets a test in Python call src/media: commands with their bytes come on standard input, answers go to standard
 * output, until the input ends.  A command is a line of words, the last of which says how many bytes follow:
 *
 *     decode CHANNELS WIDTH_ENOUGH HEIGHT_ENOUGH BYTES                                  a file; turned by its EXIF
 *     resize W H CHANNELS FILTER ALIASED TO_W TO_H BOX*4 WINDOW*4 BYTES                 pixels
 *     prepare CONF_BYTES BYTES                                                          keys, then a file
 *
 * PROA_CPU is obeyed; MEDIA_BYTES bounds what a command may take beside its bytes.
 *
 * An answer is "ok WIDTH HEIGHT CHANNELS\n" and the pixels (of prepare: the row), or "error TEXT\n". */
#include "media/image.h"
#include "media/prepare.h"
#include "media/resize.h"
#include "tensor/kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 500, ARENA_BYTES = 1 << 30 };

static size_t work_bytes = ARENA_BYTES;

/* Behind them the arena has room for the work. */
static str take_bytes(size_t n, arena *a)
{
    a->limit = ARENA_BYTES;
    char *p = arena_push_raw(a, n + IMAGE_SLACK, 64);
    if (!p || fread(p, 1, n, stdin) != n) exit(2);
    if (work_bytes < ARENA_BYTES - a->total) a->limit = a->total + work_bytes;
    return (str){p, n};
}

static void answer(err_code rc, const image *im, const err *e)
{
    if (rc) {
        printf("error %s\n", e->text);
    } else {
        printf("ok %u %u %u\n", im->width, im->height, im->channels);
        fwrite(im->pixels, 1, (size_t)im->width * im->height * im->channels, stdout);
    }
    fflush(stdout);
}

static void decode(const char *words, arena *a)
{
    image_options o = {0};
    image im;
    err e;
    size_t bytes;
    if (sscanf(words, "%u %u %u %zu", &o.channels, &o.width_enough, &o.height_enough, &bytes) != 4) exit(2);
    err_code rc = image_decode(take_bytes(bytes, a), &o, a, &im, &e);
    if (!rc) rc = image_turn(&im, a, &e);
    answer(rc, &im, &e);
}

static void resize(const char *words, arena *a)
{
    resize_options o = {0};
    image im = {.orientation = 1};
    err e;
    size_t bytes;
    unsigned filter, aliased;
    float *b = o.box;
    resize_window *w = &o.window;
    if (sscanf(words, "%u %u %u %u %u %u %u %f %f %f %f %u %u %u %u %zu", &im.width, &im.height, &im.channels,
               &filter, &aliased, &o.width, &o.height, b, b + 1, b + 2, b + 3, &w->x, &w->y, &w->width, &w->height,
               &bytes) != 16)
        exit(2);
    o.filter = (resize_filter)filter;
    o.aliased = aliased;
    im.pixels = (uint8_t *)(uintptr_t)take_bytes(bytes, a).p;
    err_code rc = resize_image(&im, &o, a, &im, &e);
    answer(rc, &im, &e);
}

static void prepare_one(const char *words, arena *a)
{
    prepare p;
    prepare_picture v;
    err e;
    size_t conf_bytes, bytes;
    if (sscanf(words, "%zu %zu", &conf_bytes, &bytes) != 2 || conf_bytes > bytes) exit(2);
    str all = take_bytes(bytes, a);
    err_code rc = prepare_parse((str){all.p, conf_bytes}, "conf", a, &p, &e);
    if (!rc) rc = prepare_read(&p, (str){all.p + conf_bytes, bytes - conf_bytes}, a, &v, &e);
    if (rc) {
        answer(rc, NULL, &e);
        return;
    }
    size_t row_bytes = prepare_bytes(&p, &v);
    a->limit = ARENA_BYTES;
    void *row = arena_push_raw(a, row_bytes, 64);
    if (!row) exit(2);
    prepare_put(&p, &v, row);
    printf("ok %u %u %u\n", v.width, v.height, p.channels);
    fwrite(row, 1, row_bytes, stdout);
    fflush(stdout);
}

int main(void)
{
    char line[LINE_MAX_BYTES];
    const char *bytes = getenv("MEDIA_BYTES");
    arena a;
    err e;
    if (kernel_init(getenv("PROA_CPU"), &e)) exit(2);
    if (bytes) work_bytes = strtoull(bytes, NULL, 10);
    arena_init(&a, NULL, 0, ARENA_BYTES);
    while (fgets(line, sizeof line, stdin)) {
        if (strncmp(line, "decode ", 7) == 0) decode(line + 7, &a);
        else if (strncmp(line, "resize ", 7) == 0) resize(line + 7, &a);
        else if (strncmp(line, "prepare ", 8) == 0) prepare_one(line + 8, &a);
        else exit(2);
        arena_reset(&a);
    }
    arena_fini(&a);
    return 0;
}
