/* Any bytes as an archive of arrays: views stay inside, checksums are computed, headers agree with their data; what was
 * read can be written and read again. */
#include "wire/npy.h"
#include "wire/zip.h"

#include <string.h>

static void write_again(const zip_file *files, size_t count)
{
    buf b;
    zip_writer w;
    arena a;
    err e;
    zip_file *again;
    size_t n;
    buf_init(&b, 1 << 24);
    arena_init(&a, NULL, 0, 1 << 24);
    zip_init(&w, &b);
    w.zip64 = count & 1;
    for (size_t i = 0; i < count; i++) {
        zip_open(&w, files[i].name);
        buf_put_str(&b, files[i].data);
        zip_close(&w);
    }
    zip_end(&w);
    zip_fini(&w);
    if (buf_check(&b, "again", &e) == ERR_OK) {
        INVARIANT(zip_parse(buf_str(&b), &a, &again, &n, &e) == ERR_OK && n == count);
        for (size_t i = 0; i < n; i++) {
            INVARIANT(str_eq(again[i].name, files[i].name) && str_eq(again[i].data, files[i].data));
            INVARIANT(zip_check(&again[i], &e) == ERR_OK);
        }
    }
    arena_fini(&a);
    buf_fini(&b);
}

/* Strings that were read can be written, and are the same when they are read again, but for NULs at their ends. */
static void text(const npy *a, str data)
{
    npy out = {.rank = a->rank, .count = a->count}, back;
    str *s, *again, rest;
    arena m;
    buf b;
    err e;
    memcpy(out.dims, a->dims, sizeof out.dims);
    arena_init(&m, NULL, 0, 1 << 26);
    buf_init(&b, 1 << 24);
    if (npy_text_read(&s, a, data, &m, &e) == ERR_OK) npy_put_text(&b, &out, s);
    if (b.len && buf_check(&b, "again", &e) == ERR_OK) {
        INVARIANT(npy_parse(buf_str(&b), &back, &rest, &e) == ERR_OK && memcmp(&back, &out, sizeof out) == 0);
        INVARIANT(npy_text_read(&again, &back, rest, &m, &e) == ERR_OK);
        for (uint64_t i = 0; i < a->count; i++) INVARIANT(str_eq(again[i], s[i]));
    }
    buf_fini(&b);
    arena_fini(&m);
}

static void array(str file)
{
    npy a, again;
    str data;
    err e;
    buf b;
    if (npy_parse(file, &a, &data, &e)) return;
    INVARIANT(data.p + data.len == file.p + file.len && data.len == a.count * a.item_bytes);
    if (a.kind == 'S' || a.kind == 'U') text(&a, data);
    if (a.fortran) return;
    buf_init(&b, 1 << 24);
    npy_put_header(&b, &a);
    buf_put_str(&b, data);
    if (buf_check(&b, "again", &e) == ERR_OK) {
        INVARIANT(npy_parse(buf_str(&b), &again, &data, &e) == ERR_OK && memcmp(&a, &again, sizeof a) == 0);
    }
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str archive = {(const char *)data, size};
    arena a;
    zip_file *files;
    size_t count;
    err e;
    array(archive);
    arena_init(&a, NULL, 0, 1 << 24);
    if (zip_parse(archive, &a, &files, &count, &e) == ERR_OK) {
        for (size_t i = 0; i < count; i++) {
            INVARIANT(files[i].data.p >= archive.p && files[i].data.p + files[i].data.len <= archive.p + archive.len);
            (void)(zip_check(&files[i], &e) == ERR_OK);
            array(files[i].data);
        }
        write_again(files, count);
    }
    arena_fini(&a);
    return 0;
}
