/* pbtxt.h - protobuf's text format, which config.pbtxt is written in, read into a pbtree.
 *
 * The whole grammar of the format's specification: messages in {} and <>, lists in [], numbers in all notations,
 * strings joined and with all escapes, comments, names of enums or their numbers.  Refused: fields that are not in the
 * table (the error names the nearest that is), extensions and Any, a field given twice that is not repeated, two fields
 * of one oneof, NUL in texts, numbers that do not fit.  Errors read "config.pbtxt:3:7: expected ..., got ...". */
#ifndef WIRE_PBTXT_H
#define WIRE_PBTXT_H
#include "wire/pbtree.h"

enum {
    PBTXT_DEPTH_MAX = 32,         /* bounds the recursion of the reader; ModelConfig is 7 deep */
    PBTXT_BYTES_MAX = 4 << 20     /* protects the time of a load */
};

err_code pbtxt_parse(str text, const char *file, const pbdef *def, arena *a, pbtree **ret, err *e) MUST_USE;

#endif
