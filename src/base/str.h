/* str.h - a string view: bytes that somebody else owns, with their length, not NUL-terminated.
 *
 * Everything that comes from a file or a peer is a str; lifetimes are those of what it points into.
 * Numbers are parsed whole or not at all: no leading blanks, no trailing bytes, no overflow. */
#ifndef BASE_STR_H
#define BASE_STR_H
#include "base/arena.h"

typedef struct {
    const char *p;
    size_t len;
} str;

#define STR(literal) ((str){"" literal, sizeof(literal) - 1})
#define STR_FMT "%.*s"                              /* printf("... " STR_FMT, STR_ARG(s)): at most 200 bytes shown */
#define STR_ARG(s) ((int)((s).len < 200 ? (s).len : 200)), ((s).p ? (s).p : "")

str str_of(const char *z);                              /* NULL gives the empty str */
bool str_eq(str a, str b);
bool str_is(str a, const char *z);
bool str_is_nocase(str a, const char *z);               /* ASCII */
bool str_starts(str a, str prefix);
bool str_ends(str a, str suffix);
str str_trim(str a);                                    /* blanks and tabs at both ends */
bool str_cut(str s, char at, str *ret_before, str *ret_after);   /* at the first `at`; false = not there */
str str_copy(arena *a, str s);                          /* NUL-terminated copy; p == NULL when the arena is full */
bool str_u64(str s, uint64_t *ret);
bool str_i64(str s, int64_t *ret);
bool str_f64(str s, double *ret);                       /* decimal or exponent form; no inf, no nan */
bool str_utf8_ok(str s);
/* The character that s opens with: its bytes, or 0 where s is empty or is no UTF-8 there; ret is its code point. */
size_t str_utf8_step(str s, uint32_t *ret);
size_t str_utf8_put(char to[4], uint32_t code);         /* bytes put; code <= 0x1FFFFF, surrogates as they come */
uint64_t str_hash(str s);
/* The candidate with the smallest edit distance to s, for "did you mean"; NULL if none is near. */
const char *str_nearest(str s, const char *const *candidates, size_t count);

#endif
