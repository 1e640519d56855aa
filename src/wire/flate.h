/* flate.h - gzip and deflate as HTTP and gRPC use them: whole bodies in and out, with zlib.
 *
 * "deflate" is zlib's format (RFC 1950), as both protocols define it.  What unpacks to more than the buf's limit is
 * refused when it gets there, so a bomb costs that limit and no more; bytes behind the end of the packed data are
 * refused, too.  Memory for zlib itself comes from mem.h and lives only during the call. */
#ifndef WIRE_FLATE_H
#define WIRE_FLATE_H
#include "base/buf.h"

typedef enum { FLATE_NONE, FLATE_GZIP, FLATE_DEFLATE, FLATE_KINDS } flate_kind;

enum { FLATE_LEVEL = 1 };   /* answers are made once and read once: the fastest level */

/* "identity" (or ""), "gzip", "deflate"; FLATE_KINDS when it is another. */
flate_kind flate_named(str name);
const char *flate_name(flate_kind kind);
/* The first of a list ("identity, deflate, gzip;q=0.5") that we have, in its order, weights above 0; FLATE_NONE when
 * none is. */
flate_kind flate_accepted(str list);
bool flate_accepts(str list, flate_kind kind);   /* is it one of the list? */

/* Appends to `out`.  Errors: ERR_INVALID for other bytes, ERR_TOO_LARGE at out's limit. */
err_code flate_unpack(buf *out, flate_kind kind, str packed, err *e) MUST_USE;
err_code flate_pack(buf *out, flate_kind kind, str plain, err *e) MUST_USE;

#endif
