/* form_data.h - the one file in a body of multipart/form-data (RFC 7578), as browsers and `curl -F` send it.
 *
 * The boundary is the body's own first line, so the header is not needed.  Exactly one part may be a file (has a
 * filename), or there is exactly one part; other fields are passed over.  Pure; what is returned is a view. */
#ifndef WIRE_FORM_DATA_H
#define WIRE_FORM_DATA_H
#include "base/err.h"
#include "base/str.h"

enum { FORM_DATA_PARTS_MAX = 64, FORM_DATA_BOUNDARY_MAX = 70 };   /* the second is RFC 2046's */

err_code form_data_file(str body, str *ret, err *e) MUST_USE;

#endif
