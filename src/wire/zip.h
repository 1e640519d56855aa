/* zip.h - ZIP archives of stored files, as np.savez writes them, with ZIP64.
 *
 * zip_parse() reads the central directory and gives views into the archive; sizes and places are those of the
 * directory, checked against the archive and the local headers.  Compressed and encrypted files are refused by name.
 * Checksums are checked by zip_check(), per file, when the caller wants to pay for it.  Names are bytes: they serve as
 * keys, never as paths.
 *
 * Writing: zip_open(), the file's bytes put into `out`, zip_close(), and zip_end() once.  Failures stay in the bufs. */
#ifndef WIRE_ZIP_H
#define WIRE_ZIP_H
#include "base/buf.h"

enum { ZIP_FILES_MAX = 65536 };   /* in one archive; bounds the directory that we keep */

typedef struct {
    str name, data;               /* borrow the archive */
    uint32_t crc;                 /* as the archive says */
} zip_file;

err_code zip_parse(str archive, arena *a, zip_file **ret, size_t *ret_count, err *e) MUST_USE;
err_code zip_check(const zip_file *f, err *e) MUST_USE;

typedef struct {
    buf *out;                     /* borrowed; the archive */
    bool zip64;                   /* 64-bit sizes even where 32 bits would do */
    /* private */
    buf directory;
    str name;
    size_t start, file_start, data_start;
    uint64_t count;
} zip_writer;

void zip_init(zip_writer *w, buf *out);       /* archive begins at out->len */
void zip_fini(zip_writer *w);
void zip_open(zip_writer *w, str name);       /* borrows name until zip_close; at most 65535 bytes */
void zip_close(zip_writer *w);
void zip_end(zip_writer *w);                  /* puts the directory; then buf_check(out) tells all */

#endif
