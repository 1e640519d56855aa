/* version_rows.h - what is known of the versions of a name, for the repository index.
 *
 * One writer (the thread of model_control.h), any reader: rows are added and never go, until all do.  At
 * VERSION_ROWS_MAX the oldest that is neither served nor on its way in or out makes room for another version. */
#ifndef MODELS_VERSION_ROWS_H
#define MODELS_VERSION_ROWS_H
#include "async/note.h"
#include "base/err.h"
#include "base/str.h"

#include <stdatomic.h>

enum { VERSION_ROWS_MAX = 64 };

typedef struct version_row version_row;

struct version_row {
    note version, reason;
    _Atomic bool ready;
    _Atomic bool comes;             /* it would be served, were its name loaded as it was last, or was planned to be */
    _Atomic int loading, leaving;   /* loads under way; models of this version that are still in use */
    /* private */
    _Atomic uint64_t number;
    version_row *_Atomic next;
};

/* All zero is empty. */
typedef struct {
    version_row *_Atomic first;
    size_t count;
} version_rows;

void version_rows_fini(version_rows *r);
/* The row of a version, made where there is none; "" = of a name that never had one, taken over by the first that
 * comes. */
err_code version_rows_get(version_rows *r, str version, version_row **ret, err *e) MUST_USE;
/* From the oldest version to the newest: after == NULL is the first; NULL = no more. */
version_row *version_rows_next(const version_rows *r, const version_row *after);
bool version_rows_come(const version_rows *r, str version);   /* that one would, or nothing is known of any */
/* Triton's: READY, LOADING, UNLOADING, UNAVAILABLE. */
const char *version_row_state(const version_row *v);

#endif
