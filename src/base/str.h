/* str.h - a string view: bytes that somebody else owns, with their length, not NUL-terminated.
 *
 * Everything that comes from a file or a peer is a str; lifetimes are those of what it points into.
 * Numbers are parsed whole or not at all: no leading blanks, no trailing bytes, no overflow. */
#ifndef BASE_STR_H
#define BASE_STR_H
#include "base/arena.h"

#include <string.h>

typedef struct {
    const char *p;
    size_t len;
} str;

#define STR(literal) ((str){"" literal, sizeof(literal) - 1})
#define STR_FMT "%.*s"                              /* printf("... " STR_FMT, STR_ARG(s)): at most 200 bytes shown */
#define STR_ARG(s) ((int)((s).len < 200 ? (s).len : 200)), ((s).p ? (s).p : "")

/* Inline are those that end with a glance at the lengths nearly always: of a literal the compiler knows it. */
static inline str str_of(const char *z) { return z ? (str){z, strlen(z)} : (str){"", 0}; }   /* NULL: the empty str */
static inline bool str_eq(str a, str b) { return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0); }
static inline bool str_is(str a, const char *z) { return str_eq(a, str_of(z)); }
bool str_eq_nocase(str a, str b);                       /* ASCII */
static inline bool str_is_nocase(str a, const char *z)
{
    str b = str_of(z);
    return a.len == b.len && str_eq_nocase(a, b);
}
static inline bool str_starts(str a, str prefix)
{
    return a.len >= prefix.len && str_eq((str){a.p, prefix.len}, prefix);
}
bool str_ends(str a, str suffix);
str str_trim(str a);                                    /* blanks and tabs at both ends */
bool str_cut(str s, char at, str *ret_before, str *ret_after);   /* at the first `at`; false = not there */
str str_next(str *rest, char at);   /* what stands before the next `at`, or all: taken off rest, with it */
str str_copy(arena *a, str s);                          /* NUL-terminated copy; p == NULL when the arena is full */
bool str_u64(str s, uint64_t *ret);
bool str_i64(str s, int64_t *ret);
bool str_f64(str s, double *ret);                       /* decimal or exponent form; no inf, no nan */
bool str_printable(str s);                              /* ' ' to '~', or empty */
bool str_utf8_ok(str s);
/* The character that s opens with: its bytes, or 0 where s is empty or is no UTF-8 there; ret is its code point. */
size_t str_utf8_step(str s, uint32_t *ret);
size_t str_utf8_put(char to[4], uint32_t code);         /* bytes put; code <= 0x1FFFFF, surrogates as they come */
uint64_t str_hash(str s);
/* The candidate with the smallest edit distance to s, for "did you mean"; NULL if none is near. */
const char *str_nearest(str s, const char *const *candidates, size_t count);

#endif
