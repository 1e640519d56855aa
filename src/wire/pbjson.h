/* pbjson.h - protobuf's JSON mapping read into a pbtree: what pbtree_print() prints, and what protobuf's own does.
 *
 * Members are named as in the .proto or in lowerCamelCase; numbers may be strings, enums names in any case or numbers,
 * null is absent, the keys of a map are strings.  Refused as in pbtxt.h: what the table does not have, two fields of
 * one oneof, NUL in texts, numbers that do not fit.  Errors read "config: input[1].dims: expected ..., got ...". */
#ifndef WIRE_PBJSON_H
#define WIRE_PBJSON_H
#include "wire/json.h"
#include "wire/pbtree.h"

/* `what` begins the errors.  Texts of the tree are copies. */
err_code pbjson_read(yyjson_val *v, const char *what, const pbdef *def, arena *a, pbtree **ret, err *e) MUST_USE;

#endif
