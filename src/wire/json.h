/* json.h - yyjson with limits, an arena and our errors.
 *
 * json_parse() is strict RFC 8259 and refuses more: nesting deeper than depth_max (those who walk a document recurse),
 * and a member named twice in one object, which two readers would read in two ways.  Values live in the arena; a full
 * arena is ERR_LIMIT.  The getters take a value that may be missing (NULL) and say
 * "what: expected a string, got 12"; the caller wraps where. */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "wire/json_cut.h"

#include <yyjson.h>

enum { JSON_DEPTH_MAX = 64 };

typedef struct {
    arena *memory;                  /* needs about 16 bytes per byte of text */
    size_t depth_max;               /* 0 = JSON_DEPTH_MAX */
    bool numbers_as_text;           /* numbers are checked, and kept as yyjson's "raw" values: exact, for printing */
    bool words;                     /* with numbers_as_text: nan, inf and infinity are such values, too, in any case */
    const json_cut *cut;            /* the text is its skeleton: errors count bytes in its body; may be NULL */
} json_opts;

err_code json_parse(str text, const json_opts *o, yyjson_val **ret, err *e) MUST_USE;

err_code json_str(yyjson_val *v, const char *what, str *ret, err *e) MUST_USE;
err_code json_bool(yyjson_val *v, const char *what, bool *ret, err *e) MUST_USE;
err_code json_u64(yyjson_val *v, const char *what, uint64_t *ret, err *e) MUST_USE;
err_code json_i64(yyjson_val *v, const char *what, int64_t *ret, err *e) MUST_USE;
err_code json_f64(yyjson_val *v, const char *what, double *ret, err *e) MUST_USE;   /* integers too */
err_code json_obj(yyjson_val *v, const char *what, err *e) MUST_USE;                /* is an object */
err_code json_list(yyjson_val *v, const char *what, err *e) MUST_USE;               /* is an array */
err_code json_wrong(yyjson_val *v, const char *what, const char *expected, err *e); /* the refusal the others give */

static inline bool json_is_word(yyjson_val *v)   /* of json_opts.words */
{
    if (!yyjson_is_raw(v)) return false;
    const char *s = yyjson_get_raw(v);
    return (uint8_t)(s[*s == '-'] - '0') > 9;
}

/* Of an object's member: the name's bytes, whatever they are. */
static inline str json_key(yyjson_val *key) { return (str){unsafe_yyjson_get_str(key), unsafe_yyjson_get_len(key)}; }

#endif
