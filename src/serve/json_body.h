/* json_body.h - a request's JSON: yyjson for the object, our own scanner for the big arrays in it.
 *
 * Values at the given paths are cut out before yyjson sees the text, so a tensor of a million numbers costs one
 * pass, into its own type.  In the tree such a value is a number, so only json_body_text() may look at it.  What
 * it gives lives in the arena or is a view into the request's text. */
#ifndef SERVE_JSON_BODY_H
#define SERVE_JSON_BODY_H
#include "wire/json.h"

typedef struct {
    yyjson_val *root; /* an object */
    /* private */
    arena *memory;
    json_cut cut; /* 4 kB: of use while the request is read, so it is not part of what requests keep */
} json_body;

typedef struct {
    arena *memory;
    buf *scratch; /* empty before and after */
    const json_cut_path *paths; /* path_count of them */
    size_t path_count;
    /* json_body_print() will be called: then numbers have no other reader.  Tensors may be among what it prints, so
     * words such as NaN are let in: json_body_words_check() is for all that is no tensor. */
    bool prints;
} json_body_opts;

/* ret is written to before it is known to be right. */
err_code json_body_read(json_body *ret, str text, const json_body_opts *opts, err *e) MUST_USE;
/* The JSON text of a value at one of the paths. */
err_code json_body_text(const json_body *b, yyjson_val *v, str *ret, err *e) MUST_USE;
/* Was it cut out: a scalar or an array without objects in it? */
bool json_body_is_cut(yyjson_val *v);
/* No value in v stands for NaN or an infinity. */
err_code json_body_words_check(yyjson_val *v, str what, err *e) MUST_USE;
/* The JSON text of a value anywhere else, appended to `out`; its numbers and words letter for letter. */
void json_body_print(buf *out, yyjson_val *v);

#endif
