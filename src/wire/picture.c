#include "wire/picture.h"

#include "wire/crc32.h"
#include "wire/flate.h"

#include <stdlib.h>
#include <string.h>

static err_code size_check(const picture *p, err *e)
{
    if (p->width == 0 || p->height == 0 || p->width > PICTURE_SIDE_MAX || p->height > PICTURE_SIDE_MAX)
        return err_set(e, ERR_LIMIT, "picture: expected sides of 1 to %d, got %ux%u", PICTURE_SIDE_MAX, p->width,
                       p->height);
    size_t bytes = (size_t)p->width * p->height * p->channels;
    if (bytes > PICTURE_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "picture: expected at most %d bytes of pixels, got %zu", PICTURE_BYTES_MAX, bytes);
    return ERR_OK;
}

/* ---- PGM, PPM ---------------------------------------------------------------------------------------------------- */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* The next number of the header, behind blanks and comments. */
static bool pnm_number(str file, size_t *at, uint32_t *ret)
{
    uint32_t n = 0;
    size_t i = *at;
    while (i < file.len && (is_blank(file.p[i]) || file.p[i] == '#')) {
        if (file.p[i] == '#') while (i < file.len && file.p[i] != '\n') i++;
        else i++;
    }
    size_t start = i;
    for (; i < file.len && file.p[i] >= '0' && file.p[i] <= '9' && i - start < 6; i++)
        n = n * 10 + (uint32_t)(file.p[i] - '0');
    *at = i;
    *ret = n;
    return i > start;
}

static err_code pnm_parse(str file, picture *ret, err *e)
{
    picture p = {.channels = file.p[1] == '6' ? 3 : 1};
    uint32_t most = 0;
    size_t at = 2;
    if (!pnm_number(file, &at, &p.width) || !pnm_number(file, &at, &p.height) || !pnm_number(file, &at, &most) ||
        at == file.len || !is_blank(file.p[at]))
        return err_set(e, ERR_INVALID, "picture: PNM header: expected width, height and maximum");
    if (most != 255) return err_set(e, ERR_UNSUPPORTED, "picture: PNM: expected a maximum of 255, got %u", most);
    err_code rc = size_check(&p, e);
    if (rc) return rc;
    size_t bytes = (size_t)p.width * p.height * p.channels, have = file.len - at - 1;
    if (have < bytes) return err_set(e, ERR_INVALID, "picture: expected %zu bytes of pixels, got %zu", bytes, have);
    p.pixels = (const uint8_t *)file.p + at + 1;
    *ret = p;
    return ERR_OK;
}

/* ---- PNG (RFC 2083) ---------------------------------------------------------------------------------------------- */

static uint32_t be32(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static err_code png_header(str chunk, picture *p, err *e)
{
    static const char *const kinds[] = {NULL, "", NULL, "a palette", "grey with alpha", "", "RGB with alpha"};
    if (chunk.len != 13)
        return err_set(e, ERR_INVALID, "picture: PNG: expected a header of 13 bytes, got %zu", chunk.len);
    uint8_t depth = (uint8_t)chunk.p[8], kind = (uint8_t)chunk.p[9];
    p->width = be32(chunk.p);
    p->height = be32(chunk.p + 4);
    if (kind != 0 && kind != 2)
        return err_set(e, ERR_UNSUPPORTED, "picture: PNG: expected grey or RGB, got %s: convert it to PPM",
                       kind < COUNTOF(kinds) && *kinds[kind] ? kinds[kind] : "an unknown kind");
    if (depth != 8)
        return err_set(e, ERR_UNSUPPORTED, "picture: PNG: expected 8 bits, got %u: convert it to PPM", depth);
    if (chunk.p[10] || chunk.p[11] || chunk.p[12])
        return err_set(e, ERR_UNSUPPORTED, "picture: PNG: expected no interlacing: convert it to PPM");
    p->channels = kind == 2 ? 3 : 1;
    return size_check(p, e);
}

/* Gathers the header and the packed pixels. */
static err_code png_chunks(str file, picture *p, arena *a, str *ret_packed, err *e)
{
    char *packed = arena_push_raw(a, file.len, 1);
    size_t len = 0, at = 8;
    bool header = false;
    if (!packed) return err_set(e, ERR_NOMEM, "picture: no memory for %zu bytes", file.len);
    while (file.len - at >= 12) {
        size_t bytes = be32(file.p + at);
        const char *kind = file.p + at + 4;
        str data = {kind + 4, bytes};
        if (bytes > file.len - at - 12) break;
        if (crc32_of(0, (str){kind, bytes + 4}) != be32(data.p + bytes))
            return err_set(e, ERR_INVALID, "picture: PNG: a chunk's checksum does not match: the file is damaged");
        at += bytes + 12;
        if (!header && memcmp(kind, "IHDR", 4) != 0) break;
        if (!header) {
            err_code rc = png_header(data, p, e);
            if (rc) return rc;
            header = true;
        } else if (memcmp(kind, "IDAT", 4) == 0) {
            memcpy(packed + len, data.p, bytes);
            len += bytes;
        } else if (memcmp(kind, "IEND", 4) == 0) {
            *ret_packed = (str){packed, len};
            return ERR_OK;
        }
    }
    return err_set(e, ERR_INVALID, "picture: PNG: expected chunks from IHDR to IEND: the file is cut off");
}

static uint8_t paeth(uint8_t left, uint8_t up, uint8_t corner)
{
    int p = left + up - corner, a = abs(p - left), b = abs(p - up), c = abs(p - corner);
    return a <= b && a <= c ? left : b <= c ? up : corner;
}

/* One row: `to` gets it, `up` is the row above (zeros for the first). */
static bool unfilter(uint8_t filter, const uint8_t *from, const uint8_t *up, uint8_t *to, size_t bytes, size_t step)
{
    if (filter > 4) return false;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t left = i < step ? 0 : to[i - step], corner = i < step ? 0 : up[i - step];
        uint8_t guess[5] = {0, left, up[i], (uint8_t)((left + up[i]) / 2), paeth(left, up[i], corner)};
        to[i] = (uint8_t)(from[i] + guess[filter]);
    }
    return true;
}

static err_code png_rows(picture *p, const buf *rows, arena *a, err *e)
{
    size_t row = (size_t)p->width * p->channels, want = (row + 1) * p->height;
    if (rows->len != want)
        return err_set(e, ERR_INVALID, "picture: PNG: expected %zu bytes of rows, got %zu", want, rows->len);
    uint8_t *zeros = arena_push(a, row, 1, 1), *pixels = arena_push_raw(a, row * p->height, 64);
    if (!zeros || !pixels) return err_set(e, ERR_NOMEM, "picture: no memory for %zu bytes", row * p->height);
    for (uint32_t y = 0; y < p->height; y++) {
        const uint8_t *from = rows->p + y * (row + 1), *up = y ? pixels + (y - 1) * row : zeros;
        if (!unfilter(from[0], from + 1, up, pixels + y * row, row, p->channels))
            return err_set(e, ERR_INVALID, "picture: PNG: expected a filter of 0 to 4, got %u", from[0]);
    }
    p->pixels = pixels;
    return ERR_OK;
}

static err_code png_parse(str file, arena *a, picture *ret, err *e)
{
    picture p = {.channels = 0};
    str packed;
    err_code rc = png_chunks(file, &p, a, &packed, e);
    if (rc) return rc;
    buf rows;
    buf_init(&rows, ((size_t)p.width * p.channels + 1) * p.height);
    rc = flate_unpack(&rows, FLATE_DEFLATE, packed, e);
    if (rc) err_wrap(e, "picture: PNG");
    else rc = png_rows(&p, &rows, a, e);
    buf_fini(&rows);
    if (rc == ERR_OK) *ret = p;
    return rc;
}

err_code picture_parse(str file, arena *a, picture *ret, err *e)
{
    if (str_starts(file, STR("P5")) || str_starts(file, STR("P6"))) return pnm_parse(file, ret, e);
    if (str_starts(file, STR("\x89PNG\r\n\x1a\n"))) return png_parse(file, a, ret, e);
    if (str_starts(file, STR("\xff\xd8\xff")))
        return err_set(e, ERR_UNSUPPORTED, "picture: expected PGM, PPM or PNG, got JPEG: convert it to PPM");
    return err_set(e, ERR_INVALID, "picture: expected PGM (P5), PPM (P6) or PNG");
}
