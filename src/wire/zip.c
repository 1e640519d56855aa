#include "wire/zip.h"

#include "wire/crc32.h"

#include <string.h>

/* APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.16 and 4.5.3.  All numbers are little-endian. */
enum {
    LOCAL = 0x04034b50, CENTRAL = 0x02014b50, END = 0x06054b50, END64 = 0x06064b50, LOCATOR64 = 0x07064b50,
    LOCAL_BYTES = 30, CENTRAL_BYTES = 46, END_BYTES = 22, END64_BYTES = 56, LOCATOR64_BYTES = 20,
    COMMENT_MAX = 65535, EXTRA64 = 1, VERSION = 45,   /* 4.5: ZIP64 */
    NAME_UTF8 = 1 << 11, ENCRYPTED = 1 << 0
};
#define NONE32 0xffffffffu   /* the true value is in the ZIP64 field */

static uint64_t get(const char *p, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++) v |= (uint64_t)(uint8_t)p[i] << (8 * i);
    return v;
}

static void put(buf *b, size_t bytes, uint64_t v)
{
    for (; bytes; bytes--, v >>= 8) buf_put_byte(b, (uint8_t)v);
}

/* -- Reading --------------------------------------------------------------------------------------------------- */

typedef struct { uint64_t at, bytes, count; } directory;

/* The end record is followed by nothing but its comment, so look for it from the back. */
static const char *end_find(str z)
{
    if (z.len < END_BYTES) return NULL;
    size_t most = z.len - END_BYTES < COMMENT_MAX ? z.len - END_BYTES : COMMENT_MAX;
    for (size_t comment = 0; comment <= most; comment++) {
        const char *p = z.p + z.len - END_BYTES - comment;
        if (get(p, 4) == END && get(p + 20, 2) == comment) return p;
    }
    return NULL;
}

static err_code directory_find(str z, directory *ret, err *e)
{
    const char *end = end_find(z);
    if (!end) return err_set(e, ERR_INVALID, "zip: expected a ZIP archive, got no end record");
    directory d = {.count = get(end + 10, 2), .bytes = get(end + 12, 4), .at = get(end + 16, 4)};
    uint64_t before = (uint64_t)(end - z.p);
    if (before >= LOCATOR64_BYTES && get(end - LOCATOR64_BYTES, 4) == LOCATOR64) {
        uint64_t at = get(end - LOCATOR64_BYTES + 8, 8);
        if (at > before - LOCATOR64_BYTES || before - LOCATOR64_BYTES - at < END64_BYTES || get(z.p + at, 4) != END64)
            return err_set(e, ERR_INVALID, "zip: end record: expected its 64-bit form at byte %llu",
                           (unsigned long long)at);
        d = (directory){.count = get(z.p + at + 32, 8), .bytes = get(z.p + at + 40, 8), .at = get(z.p + at + 48, 8)};
        before = at;
    }
    if (d.at > before || d.bytes > before - d.at)
        return err_set(e, ERR_INVALID, "zip: directory: expected %llu bytes at %llu within the archive's %zu",
                       (unsigned long long)d.bytes, (unsigned long long)d.at, z.len);
    if (d.count > ZIP_FILES_MAX || d.count > d.bytes / CENTRAL_BYTES)
        return err_set(e, ERR_INVALID, "zip: directory: expected at most %d files in %llu bytes, got %llu",
                       ZIP_FILES_MAX, (unsigned long long)d.bytes, (unsigned long long)d.count);
    *ret = d;
    return ERR_OK;
}

typedef struct { uint64_t packed, bytes, at; } place;

/* 4.5.3: the 64-bit values stand in this order, each only where its 32-bit field says NONE32. */
static bool extra64(str extra, place *p)
{
    uint64_t *fields[] = {&p->bytes, &p->packed, &p->at};
    while (extra.len >= 4) {
        uint64_t id = get(extra.p, 2), n = get(extra.p + 2, 2);
        extra = (str){extra.p + 4, extra.len - 4};
        if (n > extra.len) return false;
        for (size_t i = 0; id == EXTRA64 && i < COUNTOF(fields); i++) {
            if (*fields[i] != NONE32) continue;
            if (n < 8) return false;
            *fields[i] = get(extra.p, 8);
            extra = (str){extra.p + 8, extra.len - 8};
            n -= 8;
        }
        if (id == EXTRA64) return true;
        extra = (str){extra.p + n, extra.len - (size_t)n};
    }
    return p->bytes != NONE32 && p->packed != NONE32 && p->at != NONE32;
}

/* The data begins behind the local header, whose extra field may differ from the directory's. */
static err_code locate(str z, uint64_t limit, const place *at, zip_file *f, err *e)
{
    const char *p = at->at <= limit ? z.p + at->at : z.p;
    if (at->at > limit || limit - at->at < LOCAL_BYTES || get(p, 4) != LOCAL)
        return err_set(e, ERR_INVALID, "zip: '" STR_FMT "': expected its header at byte %llu", STR_ARG(f->name),
                       (unsigned long long)at->at);
    uint64_t skip = LOCAL_BYTES + get(p + 26, 2) + get(p + 28, 2), room = limit - at->at;
    if (skip > room || at->bytes > room - skip || get(p + 26, 2) != f->name.len ||
        memcmp(p + LOCAL_BYTES, f->name.p, f->name.len) != 0)
        return err_set(e, ERR_INVALID, "zip: '" STR_FMT "': expected its name and %llu bytes at byte %llu",
                       STR_ARG(f->name), (unsigned long long)at->bytes, (unsigned long long)at->at);
    f->data = (str){p + skip, (size_t)at->bytes};
    return ERR_OK;
}

static err_code entry(str z, uint64_t limit, str *rest, zip_file *f, err *e)
{
    const char *p = rest->p;
    if (rest->len < CENTRAL_BYTES || get(p, 4) != CENTRAL)
        return err_set(e, ERR_INVALID, "zip: directory: expected an entry at byte %zu", (size_t)(p - z.p));
    size_t name = (size_t)get(p + 28, 2), extra = (size_t)get(p + 30, 2), comment = (size_t)get(p + 32, 2);
    if (name + extra + comment > rest->len - CENTRAL_BYTES)
        return err_set(e, ERR_INVALID, "zip: directory: entry at byte %zu is longer than it", (size_t)(p - z.p));
    place at = {.packed = get(p + 20, 4), .bytes = get(p + 24, 4), .at = get(p + 42, 4)};
    *f = (zip_file){.name = {p + CENTRAL_BYTES, name}, .crc = (uint32_t)get(p + 16, 4)};
    *rest = (str){p + CENTRAL_BYTES + name + extra + comment, rest->len - CENTRAL_BYTES - name - extra - comment};
    if (!extra64((str){p + CENTRAL_BYTES + name, extra}, &at))
        return err_set(e, ERR_INVALID, "zip: '" STR_FMT "': broken extra field", STR_ARG(f->name));
    unsigned flags = (unsigned)get(p + 8, 2), method = (unsigned)get(p + 10, 2);
    if (flags & ENCRYPTED) return err_set(e, ERR_UNSUPPORTED, "zip: '" STR_FMT "': encrypted", STR_ARG(f->name));
    if (method != 0)
        return err_set(e, ERR_UNSUPPORTED, "zip: '" STR_FMT "': expected a stored file, got compression method %u "
                       "(save with np.savez, not np.savez_compressed)", STR_ARG(f->name), method);
    if (at.packed != at.bytes)
        return err_set(e, ERR_INVALID, "zip: '" STR_FMT "': expected equal sizes, got %llu and %llu", STR_ARG(f->name),
                       (unsigned long long)at.packed, (unsigned long long)at.bytes);
    return locate(z, limit, &at, f, e);
}

err_code zip_parse(str archive, arena *a, zip_file **ret, size_t *ret_count, err *e)
{
    directory d;
    err_code rc = directory_find(archive, &d, e);
    if (rc) return rc;
    zip_file *files = arena_new(a, zip_file, d.count ? (size_t)d.count : 1);
    if (!files) return err_set(e, ERR_LIMIT, "zip: the memory for %llu files is used up", (unsigned long long)d.count);
    str rest = {archive.p + d.at, (size_t)d.bytes};
    for (size_t i = 0; i < d.count; i++) {
        rc = entry(archive, d.at, &rest, &files[i], e);
        if (rc) return rc;
    }
    *ret = files;
    *ret_count = (size_t)d.count;
    return ERR_OK;
}

err_code zip_check(const zip_file *f, err *e)
{
    uint32_t got = crc32_of(0, f->data);
    if (got == f->crc) return ERR_OK;
    return err_set(e, ERR_INVALID, "zip: '" STR_FMT "': expected checksum %08x, got %08x", STR_ARG(f->name), f->crc,
                   got);
}

/* -- Writing --------------------------------------------------------------------------------------------------- */

void zip_init(zip_writer *w, buf *out)
{
    *w = (zip_writer){.out = out, .start = out->len};
    buf_init(&w->directory, (size_t)ZIP_FILES_MAX * (CENTRAL_BYTES + COMMENT_MAX));
}

void zip_fini(zip_writer *w) { buf_fini(&w->directory); }

/* The fields that local header and directory share: version .. extra length.  DOS date 1980-01-01: no clock here. */
static void shared(buf *b, uint32_t crc, uint64_t bytes, size_t name, size_t extra)
{
    put(b, 2, VERSION);
    put(b, 2, NAME_UTF8);
    put(b, 2, 0);
    put(b, 2, 0);
    put(b, 2, 1 << 5 | 1);
    put(b, 4, crc);
    put(b, 4, bytes);
    put(b, 4, bytes);
    put(b, 2, name);
    put(b, 2, extra);
}

void zip_open(zip_writer *w, str name)
{
    buf *b = w->out;
    INVARIANT(!w->name.p && name.len <= UINT16_MAX && w->count < ZIP_FILES_MAX);
    w->name = name.p ? name : STR("");
    w->file_start = b->len;
    put(b, 4, LOCAL);
    shared(b, 0, NONE32, name.len, 20);   /* sizes are 64-bit here: nobody knows yet how much will be put */
    buf_put_str(b, name);
    put(b, 2, EXTRA64);
    put(b, 2, 16);
    put(b, 8, 0);
    put(b, 8, 0);
    w->data_start = b->len;
}

static void patch(buf *b, size_t at, size_t bytes, uint64_t v)
{
    for (; bytes; bytes--, v >>= 8) b->p[at++] = (uint8_t)v;
}

void zip_close(zip_writer *w)
{
    buf *b = w->out, *d = &w->directory;
    INVARIANT(w->name.p);
    if (!b->full) {
        str data = {(const char *)b->p + w->data_start, b->len - w->data_start};
        uint64_t at = w->file_start - w->start;
        uint32_t crc = crc32_of(0, data);
        bool wide = w->zip64 || data.len >= NONE32 || at >= NONE32;
        patch(b, w->file_start + 14, 4, crc);
        patch(b, w->data_start - 16, 8, data.len);
        patch(b, w->data_start - 8, 8, data.len);
        put(d, 4, CENTRAL);
        put(d, 2, VERSION);
        shared(d, crc, wide ? NONE32 : data.len, w->name.len, wide ? 28 : 0);
        put(d, 2, 0);
        put(d, 2, 0);
        put(d, 2, 0);
        put(d, 4, 0);
        put(d, 4, wide ? NONE32 : at);
        buf_put_str(d, w->name);
        if (wide) {
            put(d, 2, EXTRA64);
            put(d, 2, 24);
            put(d, 8, data.len);
            put(d, 8, data.len);
            put(d, 8, at);
        }
        w->count++;
    }
    w->name = (str){NULL, 0};
}

void zip_end(zip_writer *w)
{
    buf *b = w->out;
    uint64_t at = b->len - w->start, bytes = w->directory.len;
    INVARIANT(!w->name.p);
    if (w->directory.full) b->full = true;
    buf_put_str(b, buf_str(&w->directory));
    bool wide = w->zip64 || at >= NONE32 || bytes >= NONE32 || w->count >= UINT16_MAX;
    if (wide) {
        put(b, 4, END64);
        put(b, 8, END64_BYTES - 12);
        put(b, 2, VERSION);
        put(b, 2, VERSION);
        put(b, 4, 0);
        put(b, 4, 0);
        put(b, 8, w->count);
        put(b, 8, w->count);
        put(b, 8, bytes);
        put(b, 8, at);
        put(b, 4, LOCATOR64);
        put(b, 4, 0);
        put(b, 8, at + bytes);
        put(b, 4, 1);
    }
    put(b, 4, END);
    put(b, 4, 0);
    put(b, 2, wide ? UINT16_MAX : w->count);
    put(b, 2, wide ? UINT16_MAX : w->count);
    put(b, 4, wide ? NONE32 : bytes);
    put(b, 4, wide ? NONE32 : at);
    put(b, 2, 0);
}
