/* flate.h - gzip and deflate as HTTP and gRPC use them: whole bodies in and out, with zlib.
 *
 * "deflate" is zlib's format (RFC 1950), as both protocols define it.  What unpacks to more than the buf's limit is
 * refused when it gets there, so a bomb costs that limit and no more; bytes behind the end of the packed data are
 * refused, too.  HTTP's senders differ: as browsers do, its reader takes raw deflate data (RFC 1951) under the same
 * name, and gzip in several members (RFC 1952 2.2).
 * Memory for zlib itself comes from mem.h and lives only during the call. */
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

/* How HTTP weighs codings (RFC 9110 12.5.3): a zero wish, each line of Accept-Encoding, then the best. */
typedef struct {
    uint16_t weight[FLATE_KINDS], others;        /* in thousandths; others: "*" */
    bool named[FLATE_KINDS], others_named;
} flate_wish;

void flate_wish_read(flate_wish *w, str list);
/* Of equal ones what packs, gzip first.  FLATE_NONE, too, where nothing that we have is wanted. */
flate_kind flate_wish_best(const flate_wish *w);
bool flate_wish_refuses_plain(const flate_wish *w);   /* "identity;q=0", or "*;q=0" without it */

/* Appends to `out`.  Errors: ERR_INVALID for other bytes, ERR_TOO_LARGE at out's limit. */
err_code flate_unpack(buf *out, flate_kind kind, str packed, err *e) MUST_USE;
/* The same for HTTP, to `put` piece by piece; false from it stops with ERR_LIMIT. */
typedef bool flate_put(void *ctx, str piece);
err_code flate_unpack_http(flate_kind kind, str packed, flate_put *put, void *ctx, err *e) MUST_USE;
err_code flate_pack(buf *out, flate_kind kind, str plain, err *e) MUST_USE;

#endif
