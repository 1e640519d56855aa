/* json_cut.h - cuts the big arrays out of a JSON document, so that a DOM parser sees only what is left.
 *
 * One pass over the body finds the values at the caller's paths - {"inputs", "[]", "data"} is `data` of every element
 * of the top-level `inputs` - records their spans and prints a skeleton in which the value is replaced by its number,
 * " 0 ", " 1 " and so on.  Every scalar and every array at a path is cut, whatever it holds, so an integer at a path of
 * the skeleton is always one of ours; objects, and arrays that hold objects, are left where they are.  Keys count as
 * they decode: "d\u0061ta" is "data".
 *
 * It checks only what it must: strings end, brackets of a cut array balance, nesting stays below the limit.
 * The rest is promised by the two parsers after it: yyjson refuses a broken skeleton exactly where the body was
 * broken, and the caller must parse every span (json_array_parse).  Spans borrow the body. */
#ifndef WIRE_JSON_CUT_H
#define WIRE_JSON_CUT_H
#include "base/buf.h"

enum {
    JSON_CUT_MAX = 256,         /* cuts in one document: tensors of one request */
    JSON_CUT_PATHS_MAX = 8,
    JSON_CUT_STEPS_MAX = 6,     /* of a path */
    JSON_CUT_DEPTH_MAX = 64,    /* nesting of the document and of cut arrays: bounds our stack and our readers' */
    JSON_CUT_KEY_MAX = 64       /* longest member name in a path; bounds the decoding of escaped keys */
};

typedef struct {
    const char *steps[JSON_CUT_STEPS_MAX + 1];   /* member names, or "[]" for any element; ends with NULL */
} json_cut_path;

typedef struct {
    str body;
    size_t count;
    str spans[JSON_CUT_MAX];
} json_cut;

/* Appends to skeleton, whose failures stay with it. */
err_code json_cut_find(json_cut *ret, str body, const json_cut_path *paths, size_t path_count, buf *skeleton,
                       err *e) MUST_USE;
size_t json_cut_origin(const json_cut *c, size_t at);   /* where in the body byte `at` of the skeleton comes from */

#endif
