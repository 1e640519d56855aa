/* json_array.h - tensors as JSON arrays: text into typed elements and back.
 *
 * json_array_parse() reads one array, flat or nested, straight into memory of the element's type and reports the
 * shape of the nesting.  It is as strict as JSON and as the type: ragged arrays, null, fractions in integer tensors,
 * values out of range and floats beyond the largest finite value are errors that name the element,
 * "[3][2]: expected ..., got '...'".  One thing is not JSON: floats may be NaN, Infinity, Inf and these with a minus,
 * as Triton takes them and Python's json writes them.  Integers are exact to 64 bits, floats rounded once from their
 * decimal digits.  Strings stay views into the text where they hold no escape, else they are decoded into the caller's
 * arena; bytes that are no text come as {"b64": "..."} where the caller allows it.
 * json_array_print() writes the reverse, floats with the fewest digits that read back.  NaN and infinities are the
 * words NaN, Infinity and -Infinity, or null where the caller wants what is JSON. */
#ifndef WIRE_JSON_ARRAY_H
#define WIRE_JSON_ARRAY_H
#include "base/buf.h"

enum { JSON_RANK_MAX = 16 };   /* nesting of an array; twice the rank of the largest tensor seen in a model */

typedef enum {
    JSON_BOOL, JSON_U8, JSON_U16, JSON_U32, JSON_U64, JSON_I8, JSON_I16, JSON_I32, JSON_I64,
    JSON_F16, JSON_BF16, JSON_F32, JSON_F64, JSON_BYTES,
    JSON_ELEMS
} json_elem;

typedef struct {
    json_elem elem;
    void *to;               /* room for count_max elements, any alignment; of JSON_BYTES an array of str */
    size_t count_max;
    arena *strings;         /* JSON_BYTES only: for strings with escapes, and for those in base64 */
    bool b64;               /* JSON_BYTES only: {"b64": "..."} is one, too, as in TensorFlow Serving */
} json_array_opts;

typedef struct {
    size_t count;           /* elements stored */
    size_t rank;            /* at least 1 */
    uint64_t dims[JSON_RANK_MAX];   /* rank of them */
} json_shape;

size_t json_elem_size(json_elem elem);                  /* in memory; sizeof(str) for JSON_BYTES */
const char *json_elem_name(json_elem elem);             /* as the V2 protocol spells it: "FP32" */
size_t json_array_bound(str json);                      /* no array in this text has more elements than this */
/* The text is the array and blanks around it.  What lies in `to` after an error is undefined. */
err_code json_array_parse(str json, const json_array_opts *o, json_shape *ret, err *e) MUST_USE;

typedef struct {
    json_elem elem;
    bool null_for_nan;      /* print NaN and infinities as null, not as words */
    const void *from;       /* count elements, any alignment; of JSON_BYTES an array of str */
    size_t count;
    size_t rank;            /* 0 = flat; else dims, whose product is count */
    const uint64_t *dims;
} json_array;

/* Failures of the buf stay in the buf; ERR_INVALID is a string that JSON cannot carry, and leaves half an array. */
err_code json_array_print(buf *b, const json_array *a, err *e) MUST_USE;

#endif
