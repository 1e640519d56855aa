#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>   /* style: memory that the kernel filled before main(); not a system call */

enum {
    F64_BYTES_MAX = 1200,      /* the smallest double written out in full has 1,077 characters */
    NEAREST_BYTES_MAX = 64     /* longer words are not typing errors; bounds the distance table */
};

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

/* The same for eight characters at once: a byte's top bit is set in `upper` where it is a letter A to Z.  Sums of
 * seven bits stay within their byte; bytes beyond ASCII are left as they are. */
static uint64_t lower8(uint64_t w)
{
    const uint64_t each = 0x0101010101010101;
    uint64_t low = w & 0x7F * each, upper = (low + (0x80 - 'A') * each) & ~(low + (0x7F - 'Z') * each) & ~w;
    return w | (upper & 0x80 * each) >> 2;
}

static uint64_t lower8_at(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return lower8(w);
}

bool str_eq_nocase(str a, str b)
{
    if (a.len != b.len) return false;
    size_t i = 0;
    for (; a.len - i >= 8; i += 8)
        if (lower8_at(a.p + i) != lower8_at(b.p + i)) return false;
    if (i && i < a.len) return lower8_at(a.p + a.len - 8) == lower8_at(b.p + a.len - 8);   /* some of them again */
    for (; i < a.len; i++)
        if (lower(a.p[i]) != lower(b.p[i])) return false;
    return true;
}

bool str_ends(str a, str suffix)
{
    return a.len >= suffix.len && (suffix.len == 0 || memcmp(a.p + a.len - suffix.len, suffix.p, suffix.len) == 0);
}

static bool blank(char c) { return c == ' ' || c == '\t'; }

str str_trim(str a)
{
    while (a.len && blank(a.p[0])) {
        a.p++;
        a.len--;
    }
    while (a.len && blank(a.p[a.len - 1])) a.len--;
    return a;
}

bool str_cut(str s, char at, str *ret_before, str *ret_after)
{
    const char *hit = s.len ? memchr(s.p, at, s.len) : NULL;
    if (!hit) return false;
    size_t n = (size_t)(hit - s.p);
    *ret_before = (str){s.p, n};
    *ret_after = (str){hit + 1, s.len - n - 1};
    return true;
}

str str_next(str *rest, char at)
{
    str one;
    if (str_cut(*rest, at, &one, rest)) return one;
    one = *rest;
    rest->len = 0;
    return one;
}

str str_copy(arena *a, str s)
{
    INVARIANT(s.len < SIZE_MAX);
    char *p = arena_push_raw(a, s.len + 1, 1);
    if (!p) return (str){NULL, 0};
    if (s.len) memcpy(p, s.p, s.len);
    p[s.len] = 0;
    return (str){p, s.len};
}

static bool digit(char c) { return c >= '0' && c <= '9'; }

bool str_u64(str s, uint64_t *ret)
{
    uint64_t v = 0;
    if (s.len == 0) return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!digit(s.p[i])) return false;
        if (__builtin_mul_overflow(v, (uint64_t)10, &v)) return false;
        if (__builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v)) return false;
    }
    *ret = v;
    return true;
}

bool str_i64(str s, int64_t *ret)
{
    bool minus = s.len && s.p[0] == '-';
    uint64_t v, most = (uint64_t)INT64_MAX + minus;
    if (minus) s = (str){s.p + 1, s.len - 1};
    if (!str_u64(s, &v) || v > most) return false;
    *ret = (int64_t)(minus ? 0 - v : v);
    return true;
}

static size_t digits(str s, size_t at)
{
    size_t n = 0;
    while (at + n < s.len && digit(s.p[at + n])) n++;
    return n;
}

/* [-] digits [. digits] [e [+-] digits], with a digit on at least one side of the dot: strtod() alone also
 * takes blanks, hexadecimal, inf and nan. */
static bool decimal_form(str s)
{
    size_t at = s.len && s.p[0] == '-';
    size_t whole = digits(s, at), fraction = 0;
    at += whole;
    if (at < s.len && s.p[at] == '.') {
        fraction = digits(s, at + 1);
        at += 1 + fraction;
    }
    if (whole + fraction == 0) return false;
    if (at < s.len && lower(s.p[at]) == 'e') {
        at++;
        if (at < s.len && (s.p[at] == '+' || s.p[at] == '-')) at++;
        size_t n = digits(s, at);
        if (n == 0) return false;
        at += n;
    }
    return at == s.len;
}

bool str_f64(str s, double *ret)
{
    char z[F64_BYTES_MAX + 1];
    if (s.len > F64_BYTES_MAX || !decimal_form(s)) return false;
    memcpy(z, s.p, s.len);
    z[s.len] = 0;
    /* Correctly rounded; the decimal point is a dot because nothing in the program calls setlocale(). */
    double v = strtod(z, NULL);
    if (isinf(v)) return false;
    *ret = v;
    return true;
}

/* Top bits of bytes that are not printable; of printable ones none is set, so no sum reaches into its neighbour. */
static uint64_t unprintable8(const char *p)
{
    const uint64_t each = 0x0101010101010101;
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return (w | (w - ' ' * each) | ((w ^ 127 * each) - each)) & 0x80 * each;
}

bool str_printable(str s)
{
    uint64_t bad = 0;
    size_t i = 0;
    for (; s.len - i >= 8; i += 8) bad |= unprintable8(s.p + i);
    if (i && i < s.len) return !(bad | unprintable8(s.p + s.len - 8));   /* some of them again */
    for (; i < s.len; i++) bad |= s.p[i] < ' ' || s.p[i] > '~';
    return !bad;
}

/* Bytes of the well-formed sequence at p (Unicode table 3-7: no overlong form, no surrogate, at most
 * U+10FFFF), or 0. */
static size_t utf8_step(const uint8_t *p, size_t n)
{
    if (p[0] < 0x80) return 1;
    size_t len = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || n < len) return 0;
    uint8_t least = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
    uint8_t most = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < least || p[1] > most) return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0;
    }
    return len;
}

bool str_utf8_ok(str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    for (size_t i = 0; i < s.len;) {
        uint64_t eight;
        if (s.len - i >= 8 && (memcpy(&eight, p + i, 8), (eight & 0x8080808080808080u) == 0)) {
            i += 8;
            continue;
        }
        size_t n = utf8_step(p + i, s.len - i);
        if (n == 0) return false;
        i += n;
    }
    return true;
}

size_t str_utf8_step(str s, uint32_t *ret)
{
    const uint8_t *p = (const uint8_t *)s.p;
    size_t n = s.len ? utf8_step(p, s.len) : 0;
    if (n == 0) return 0;
    uint32_t code = n == 1 ? p[0] : p[0] & (0x7Fu >> n);   /* 2, 3, 4 bytes: 5, 4, 3 bits in the first */
    for (size_t i = 1; i < n; i++) code = code << 6 | (p[i] & 0x3Fu);
    *ret = code;
    return n;
}

size_t str_utf8_put(char to[4], uint32_t code)
{
    INVARIANT(code <= 0x1FFFFF);
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6) to[i] = (char)(0x80 | (code & 0x3F));
    to[0] = (char)((0xF00 >> n & 0xF0) | code);   /* 2, 3, 4 bytes: 110x, 1110, 11110 in front */
    return n;
}

/* SipHash-1-3 under a key that the kernel drew for this process: a peer that picks model names or header
 * names cannot make them collide. */
static uint64_t hash_key[2];

/* Before main(), hence before any thread that could read it. */
__attribute__((constructor)) static void hash_key_draw(void)
{
    const void *seed = (const void *)(uintptr_t)getauxval(AT_RANDOM);   /* 16 bytes; read from memory, no system call */
    if (seed) memcpy(hash_key, seed, sizeof hash_key);
}

static uint64_t rotl(uint64_t v, int bits) { return v << bits | v >> (64 - bits); }

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1]; v[1] = rotl(v[1], 13) ^ v[0]; v[0] = rotl(v[0], 32);
    v[2] += v[3]; v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3]; v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1]; v[1] = rotl(v[1], 17) ^ v[2]; v[2] = rotl(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

uint64_t str_hash(str s)
{
    uint64_t word;
    const uint64_t *key = hash_key;
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    size_t i = 0;
    for (; s.len - i >= 8; i += 8) {
        memcpy(&word, s.p + i, 8);
        sip_word(v, word);
    }
    word = 0;
    if (s.len - i) memcpy(&word, s.p + i, s.len - i);
    sip_word(v, word | (uint64_t)s.len << 56);
    v[2] ^= 0xff;
    for (int k = 0; k < 3; k++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Insertions, deletions, replacements and swaps of neighbours, one each; both at most NEAREST_BYTES_MAX. */
static size_t distance(str a, str b)
{
    size_t rows[3][NEAREST_BYTES_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b.len; j++) last[j] = before[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same = lower(a.p[i - 1]) == lower(b.p[j - 1]);
            now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + !same);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1]) {
                now[j] = least(now[j], before[j - 2] + 1);
            }
        }
        size_t *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[b.len];
}

const char *str_nearest(str s, const char *const *candidates, size_t count)
{
    const char *best = NULL;
    size_t best_distance = s.len / 3 + 2;   /* one more than what counts as near: a third of the word, at least 1 */
    if (s.len == 0 || s.len > NEAREST_BYTES_MAX) return NULL;
    for (size_t i = 0; i < count; i++) {
        str c = str_of(candidates[i]);
        if (c.len > NEAREST_BYTES_MAX) continue;
        size_t d = distance(s, c);
        if (d < best_distance && d < s.len) {
            best = candidates[i];
            best_distance = d;
        }
    }
    return best;
}
