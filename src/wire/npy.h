/* npy.h - NumPy's .npy: one array, a text header in front of its bytes (format versions 1 to 3).
 *
 * npy_parse() reads the header and checks that exactly the announced bytes follow; the data stays where it is.  It
 * reports Fortran order, which the caller refuses or transposes, and refuses by name what no tensor can hold: pickled
 * objects, structures, big-endian numbers.  bfloat16 arrives as kind 'V' of 2 bytes, as ml_dtypes saves it.
 *
 * Text has a fixed width: kind 'S' holds bytes, 'U' a code point in every 4 bytes, and NULs fill the rest of a cell, so
 * that NULs at the end of a string are lost, as in NumPy itself.  Strings of a model are UTF-8 by custom, but may be
 * any bytes: one that belongs to no UTF-8 character is the code point U+DC00 + byte, Python's "surrogateescape".  So
 * nothing is lost on the way there and back, and s.encode("utf-8", "surrogateescape") gives the very bytes. */
#ifndef WIRE_NPY_H
#define WIRE_NPY_H
#include "base/buf.h"

enum {
    NPY_RANK_MAX = 64,            /* NumPy's own limit */
    NPY_HEADER_MAX = 1 << 16,     /* bytes; longer ones belong to structures with many fields */
    NPY_EMPTY_MAX = 1 << 20       /* strings of width 0, whose number no data bears out */
};

typedef struct {
    char kind;                    /* b bool, i u f c numbers, S bytes, U UCS-4 text, V raw */
    bool fortran;                 /* first index fastest */
    size_t item_bytes;
    size_t rank;
    uint64_t dims[NPY_RANK_MAX];
    uint64_t count;               /* product of dims */
} npy;

err_code npy_parse(str file, npy *ret, str *ret_data, err *e) MUST_USE;   /* borrows file */
void npy_put_header(buf *b, const npy *a);    /* of C order; the caller puts count * item_bytes after it */

/* The strings of an array of kind 'S' or 'U': ret [count], all in arena m; refuses what is no character. */
err_code npy_text_read(str **ret, const npy *a, str data, arena *m, err *e) MUST_USE;
/* Header and data of kind 'U' for s [a->count]; a has rank, dims, count and gets the width of the longest string. */
void npy_put_text(buf *b, npy *a, const str *s);

#endif
