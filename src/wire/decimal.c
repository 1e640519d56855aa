#include "wire/decimal.h"

#include "wire/digits.h"
#include "wire/tenpow.h"

#include <string.h>

__extension__ typedef unsigned __int128 u128;

const decimal_format decimal_f16 = {.fraction = 10, .exponent = 5};
const decimal_format decimal_bf16 = {.fraction = 7, .exponent = 8};
const decimal_format decimal_f32 = {.fraction = 23, .exponent = 8};
const decimal_format decimal_f64 = {.fraction = 52, .exponent = 11};

enum {
    W_DIGITS = 19,               /* decimal digits that always fit 64 bits */
    /* Half-way points of float64 have at most 767 significant digits, so later ones only say "a bit more". */
    EXACT_DIGITS_MAX = 800,
    /* 800 digits are 2,658 bits, 5^1124 (800 digits and 10^-324) is 2,610 and a significand 54 more. */
    BIG_LIMBS = 64
};

/* -- Scanning -------------------------------------------------------------------------------------------------- */

static const uint64_t ten_to[W_DIGITS + 1] = {
    1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u, 1000000000u, 10000000000u, 100000000000u,
    1000000000000u, 10000000000000u, 100000000000000u, 1000000000000000u, 10000000000000000u, 100000000000000000u,
    1000000000000000000u, 10000000000000000000u,
};

static inline bool digit(char c) { return (uint8_t)(c - '0') < 10; }

/* Adds the run of digits at p to w (modulo 2^64: a run too long is noticed by its length) and steps past it. */
static inline const char *digits_add(const char *p, const char *end, uint64_t *w)
{
    while (end - p >= DIGITS_BYTES) {
        uint64_t v = digits_load(p);
        size_t n = digits_count(v);
        if (!n) return p;
        *w = *w * ten_to[n] + digits_value(digits_last(v, n));
        p += n;
        if (n < 8) return p;
    }
    for (; digit(*p); p++) *w = *w * 10 + (uint64_t)(*p - '0');
    return p;
}

/* More than 19 digits: keeps the first 19 that count, in w, and says whether the others matter. */
static void digits_many(decimal *d, const char *point, int64_t exp)
{
    const char *p = d->digits;
    size_t n = 0;
    while (p < d->digits_end && (*p == '0' || *p == '.')) p++;
    for (d->w = 0; p < d->digits_end && n < W_DIGITS; p++) {
        if (*p == '.') continue;
        d->w = d->w * 10 + (uint64_t)(*p - '0');
        n++;
    }
    /* p is past the last digit taken: those before the point still to come scale up, those after it scale down. */
    d->exp10 = exp + (point - p) + (p > point);
    for (; p < d->digits_end && !d->more; p++) d->more = *p != '0' && *p != '.';
}

static const char *exponent(const char *p, int64_t *ret)
{
    bool minus = *p == '-';
    int64_t v = 0;
    if (*p == '-' || *p == '+') p++;
    if (!digit(*p)) return NULL;
    for (; digit(*p); p++) {
        if (v < INT64_MAX / 100) v = v * 10 + (*p - '0');   /* more is out of range whatever w is */
    }
    *ret = minus ? -v : v;
    return p;
}

const char *decimal_scan(const char *p, const char *end, decimal *ret)
{
    decimal d = {.minus = *p == '-'};
    p += d.minus;
    d.digits = p;
    if (*p == '0') {
        p++;
    } else {
        for (; digit(*p); p++) d.w = d.w * 10 + (uint64_t)(*p - '0');
        if (p == d.digits) return NULL;
    }
    const char *point = p;
    int64_t exp = 0;
    size_t count = (size_t)(p - d.digits);
    if (*p == '.') {
        const char *first = p + 1;
        p = digits_add(first, end, &d.w);
        if (p == first) return NULL;
        d.exp10 = first - p;
        count += (size_t)(p - first);
    }
    d.digits_end = p;
    if ((*p | 0x20) == 'e') {
        p = exponent(p + 1, &exp);
        if (!p) return NULL;
        d.exp10 += exp;
    }
    if (count > W_DIGITS) digits_many(&d, point, exp);
    *ret = d;
    return p;
}

static const char *word_end(const char *p, const char *word)
{
    for (; *word; p++, word++) {
        if (*p != *word) return NULL;
    }
    return p;
}

/* -- Rounding -------------------------------------------------------------------------------------------------- */

static inline int bias(const decimal_format *f) { return (1 << (f->exponent - 1)) - 1; }
static inline uint64_t infinity(const decimal_format *f) { return (((uint64_t)1 << f->exponent) - 1) << f->fraction; }

/* A number in [x, x + slack] * 2^exp, where x has its top bit set, rounded to the nearest value of the format; infinity
 * where that is nearest.  False = a half-way point lies in that interval, and *ret is the value below it.
 * Adding the significand to the exponent field lets a carry find its way, from subnormals too. */
static inline bool nearest(u128 x, u128 slack, int exp, const decimal_format *f, uint64_t *ret)
{
    int top = exp + 127 + bias(f);   /* the biased exponent; below 1 the value is subnormal and keeps fewer bits */
    int drop = 127 - f->fraction + (top < 1 ? 1 - top : 0);
    if (drop > 128) {
        *ret = 0;
        return drop > 129 || x + slack >= x;
    }
    if (top > 2 * bias(f)) {
        *ret = infinity(f);
        return true;
    }
    uint64_t kept = drop == 128 ? 0 : (uint64_t)(x >> drop);
    u128 half = (u128)1 << (drop - 1), rest = x & (half | (half - 1));
    bool sure = !slack || rest > half || half - rest > slack;
    kept += sure && (rest > half || (rest == half && (kept & 1)));
    *ret = (top < 1 ? 0 : (uint64_t)(top - 1) << f->fraction) + kept;
    return sure;
}

typedef struct {
    size_t count;
    uint64_t limb[BIG_LIMBS];   /* the lowest first */
} big;

static void big_mul_add(big *b, uint64_t by, uint64_t add)
{
    for (size_t i = 0; i < b->count; i++) {
        u128 v = (u128)b->limb[i] * by + add;
        b->limb[i] = (uint64_t)v;
        add = (uint64_t)(v >> 64);
    }
    if (!add) return;
    INVARIANT(b->count < BIG_LIMBS);
    b->limb[b->count++] = add;
}

static void big_mul_five_to(big *b, int64_t n)
{
    for (; n >= 27; n -= 27) big_mul_add(b, 7450580596923828125u, 0);   /* 5^27, the largest power in 64 bits */
    for (; n > 0; n--) big_mul_add(b, 5, 0);
}

static void big_shift(big *b, int64_t bits)
{
    size_t limbs = (size_t)bits / 64;
    if (!b->count) return;
    INVARIANT(limbs + b->count <= BIG_LIMBS);
    memmove(b->limb + limbs, b->limb, b->count * sizeof b->limb[0]);
    memset(b->limb, 0, limbs * sizeof b->limb[0]);
    b->count += limbs;
    big_mul_add(b, (uint64_t)1 << (bits % 64), 0);
}

static int big_compare(const big *a, const big *b)
{
    if (a->count != b->count) return a->count < b->count ? -1 : 1;
    for (size_t i = a->count; i-- > 0;) {
        if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i] ? -1 : 1;
    }
    return 0;
}

/* All digits of the text, as far as they can matter; lowers exp10 by those it has beyond the 19 of w. */
static bool big_digits(big *b, const decimal *d, int64_t *exp10)
{
    const char *p = d->digits;
    size_t taken = 0;
    bool more = false;
    while (*p == '0' || *p == '.') p++;
    for (; p < d->digits_end; p++) {
        if (*p == '.') continue;
        if (taken == EXACT_DIGITS_MAX) {
            more |= *p != '0';
            continue;
        }
        big_mul_add(b, 10, (uint64_t)(*p - '0'));
        *exp10 -= ++taken > W_DIGITS;
    }
    return more;
}

/* The number against the half-way point between the value `bits` and the next one up: -1, 0 or 1. */
static int compare_half(const decimal *d, const decimal_format *f, uint64_t bits)
{
    big left = {0}, right = {0};
    int64_t exp10 = d->exp10;
    bool more = false;
    if (d->more) more = big_digits(&left, d, &exp10);
    else big_mul_add(&left, 1, d->w);

    uint64_t fraction = bits & (((uint64_t)1 << f->fraction) - 1);
    int64_t top = (int64_t)(bits >> f->fraction);
    if (top) fraction |= (uint64_t)1 << f->fraction;
    big_mul_add(&right, 1, fraction * 2 + 1);
    int64_t exp2 = (top ? top : 1) - bias(f) - f->fraction - 1;

    /* left * 5^exp10 * 2^exp10 against right * 2^exp2, with every power on the side where it is not a fraction */
    big_mul_five_to(exp10 >= 0 ? &left : &right, exp10 >= 0 ? exp10 : -exp10);
    big_shift(exp10 >= exp2 ? &left : &right, exp10 >= exp2 ? exp10 - exp2 : exp2 - exp10);
    int order = big_compare(&left, &right);
    return order ? order : more;
}

static inline bool bits_of(const decimal *d, const decimal_format *f, uint64_t *ret)
{
    uint64_t sign = (uint64_t)d->minus << (f->fraction + f->exponent), bits = 0;
    if (d->w == 0 || d->exp10 < TENPOW_MIN) {
        *ret = sign;
        return true;
    }
    if (d->exp10 > 308) return false;
    int q = (int)d->exp10, shift = __builtin_clzll(d->w);
    tenpow ten = tenpow_table[q - TENPOW_MIN];
    u128 low = (u128)(d->w << shift) * ten.lo, x = (u128)(d->w << shift) * ten.hi + (uint64_t)(low >> 64);
    /* The true product lies in [x, x + slack]: 1 for the bits dropped below x, 1 for those that the table dropped. */
    u128 slack = q >= 0 && q <= TENPOW_EXACT_MAX && (uint64_t)low == 0 ? 0 : 2;
    int exp = tenpow_log2(q) - 63 - shift;
    if (d->more) slack += (u128)1 << (64 + shift);
    if (!(x >> 127)) {
        x <<= 1;
        slack <<= 1;
        exp--;
    }
    if (!nearest(x, slack, exp, f, &bits)) {
        int order = compare_half(d, f, bits);
        bits += order > 0 || (order == 0 && (bits & 1));
    }
    if (bits >= infinity(f)) return false;
    *ret = sign | bits;
    return true;
}

bool decimal_bits(const decimal *d, const decimal_format *f, uint64_t *ret) { return bits_of(d, f, ret); }

const double decimal_ten[DECIMAL_TEN_MAX + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                                 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* Clinger: both factors are exact float64 values, so one operation rounds once.  Needs w != 0. */
static inline bool product(const decimal *d, double *ret)
{
    if (d->w > DECIMAL_EXACT_MAX || d->more || d->exp10 < -DECIMAL_TEN_MAX || d->exp10 > DECIMAL_TEN_MAX) return false;
    double w = (double)d->w;
    *ret = d->exp10 < 0 ? w / decimal_ten[-d->exp10] : w * decimal_ten[d->exp10];
    return true;
}

bool decimal_f64_bits(const decimal *d, uint64_t *ret)
{
    double v;
    if (!product(d, &v)) return bits_of(d, &(const decimal_format){.fraction = 52, .exponent = 11}, ret);
    memcpy(ret, &v, sizeof v);
    *ret |= (uint64_t)d->minus << 63;
    return true;
}

bool decimal_f32_bits(const decimal *d, uint32_t *ret)
{
    enum { HALF = 0x10000000, BELOW = 0x1fffffff };   /* of the 29 bits that float32 has not */
    double v;
    uint64_t bits;
    if (product(d, &v)) {
        memcpy(&bits, &v, sizeof bits);
        /* Rounding twice goes wrong only where the first rounding made a half-way point, or near the ends. */
        if ((bits & BELOW) != HALF && v >= 0x1p-126 && v < 0x1p127) {
            float narrow = (float)v;
            memcpy(ret, &narrow, sizeof narrow);
            *ret |= (uint32_t)d->minus << 31;
            return true;
        }
    }
    if (!bits_of(d, &(const decimal_format){.fraction = 23, .exponent = 8}, &bits)) return false;
    *ret = (uint32_t)bits;
    return true;
}

const char *decimal_word_scan(const char *p, const decimal_format *f, uint64_t *ret)
{
    uint64_t minus = *p == '-';
    p += minus;
    const char *past = word_end(p, "NaN");
    if (past) {
        *ret = infinity(f) | (uint64_t)1 << (f->fraction - 1);   /* a quiet one */
        return past;
    }
    past = word_end(p, "Inf");
    if (past && *past == 'i') past = word_end(past, "inity");
    if (past) *ret = infinity(f) | minus << (f->fraction + f->exponent);
    return past;
}

/* -- Writing --------------------------------------------------------------------------------------------------- */

bool decimal_finite(uint64_t bits, const decimal_format *f) { return (bits & infinity(f)) != infinity(f); }

size_t decimal_word_print(char *to, uint64_t bits, const decimal_format *f)
{
    bool nan = bits & (((uint64_t)1 << f->fraction) - 1), minus = bits >> (f->fraction + f->exponent) & 1;
    INVARIANT(!decimal_finite(bits, f));
    const char *word = nan ? "NaN" : minus ? "-Infinity" : "Infinity";
    size_t n = strlen(word);
    memcpy(to, word, n);
    return n;
}

/* The top 64 bits of g * c / 2^64 with all that is below them folded into the lowest bit. */
static inline uint64_t round_to_odd(tenpow g, uint64_t c)
{
    u128 v = (u128)g.hi * c + (uint64_t)(((u128)g.lo * c) >> 64);
    return (uint64_t)(v >> 64) | ((uint64_t)v > 1);
}

/* Schubfach: scales the value and the ends of the interval that reads back as it by a power of ten that leaves
 * one digit too many at most, and picks.  All are held times 4, so that ends and middles are integers. */
static void shortest(uint64_t c, int q, bool lower_is_closer, decimal *ret)
{
    /* floor(log10(2^q)), or of 3/4 of it below a power of two, where the neighbour is half as far away */
    int k = (q * 1262611 - (lower_is_closer ? 524031 : 0)) >> 22;
    int h = q + tenpow_log2(-k) + 1;
    tenpow g = tenpow_table[-k - TENPOW_MIN];
    if (-k < 0 || -k > TENPOW_EXACT_MAX) g.hi += ++g.lo == 0;   /* the proof wants it rounded up */
    uint64_t vb = round_to_odd(g, (4 * c) << h);
    uint64_t odd = c & 1;   /* an even significand owns the ends of its interval */
    uint64_t lower = round_to_odd(g, (4 * c - 2 + lower_is_closer) << h) + odd;
    uint64_t upper = round_to_odd(g, (4 * c + 2) << h) - odd;
    uint64_t s = vb / 4;
    if (s >= 10) {
        uint64_t tens = s / 10;
        bool down = lower <= 40 * tens, up = 40 * tens + 40 <= upper;
        if (down != up) {
            ret->w = tens + up;
            ret->exp10 = k + 1;
            return;
        }
    }
    bool down = lower <= 4 * s, up = 4 * s + 4 <= upper;
    uint64_t middle = 4 * s + 2;
    ret->w = s + (down != up ? up : vb > middle || (vb == middle && (s & 1)));
    ret->exp10 = k;
}

void decimal_shortest(uint64_t bits, const decimal_format *f, decimal *ret)
{
    uint64_t hidden = (uint64_t)1 << f->fraction, c = bits & (hidden - 1);
    int top = (int)(bits >> f->fraction) & ((1 << f->exponent) - 1);
    bool closer = c == 0 && top > 1;
    int q = (top ? top : 1) - bias(f) - f->fraction;
    INVARIANT(decimal_finite(bits, f));
    *ret = (decimal){.minus = bits >> (f->fraction + f->exponent) & 1};
    if (top) c |= hidden;
    if (c == 0) return;
    if (q <= 0 && -q <= f->fraction && (c & (((uint64_t)1 << -q) - 1)) == 0) ret->w = c >> -q;   /* an integer */
    else shortest(c, q, closer, ret);
}

static const char two_digits[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
    "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

/* Writes the digits of v so that they end before `end`; where they start. */
static inline char *digits_before(char *end, uint64_t v)
{
    for (; v >= 100; v /= 100) {   /* byte by byte: a memcpy() that fortification checks is a call */
        const char *two = two_digits + v % 100 * 2;
        *--end = two[1];
        *--end = two[0];
    }
    *--end = two_digits[v * 2 + 1];
    if (v >= 10) *--end = two_digits[v * 2];
    return end;
}

/* Digits are copied as so many bytes, whatever their number: no call, and no guess.  Behind them there is as much again
 * that may be read. */
enum { COPIED = 24 };

size_t decimal_print_u64(char *to, uint64_t v)
{
    char digits[2 * COPIED] = {0}, *end = digits + COPIED, *first = digits_before(end, v);
    memcpy(to, first, COPIED);
    return (size_t)(end - first);
}

size_t decimal_print_i64(char *to, int64_t v)
{
    if (v >= 0) return decimal_print_u64(to, (uint64_t)v);
    *to = '-';
    return 1 + decimal_print_u64(to + 1, 0 - (uint64_t)v);
}

size_t decimal_print(char *to, const decimal *d)
{
    enum { PLAIN_MIN = -5, PLAIN_MAX = 16 };   /* exponents written out with zeros, about as Python does */
    uint64_t w = d->w;
    int exp = (int)d->exp10;
    char *p = to, digits[2 * COPIED] = {0}, *end = digits + COPIED;
    if (w) {
        for (; w % 100 == 0; w /= 100) exp += 2;
        if (w % 10 == 0) {
            w /= 10;
            exp++;
        }
    }
    const char *first = digits_before(end, w);
    int n = (int)(end - first), top = n + exp - 1;   /* the exponent of the first digit */
    if (d->minus) *p++ = '-';
    if (top < PLAIN_MIN || top >= PLAIN_MAX) {
        *p++ = *first;
        if (n > 1) *p++ = '.';
        memcpy(p, first + 1, (size_t)(n - 1));
        p += n - 1;
        *p++ = 'e';
        return (size_t)(p - to) + decimal_print_i64(p, top);
    }
    if (top < 0) {
        memcpy(p, "0.0000000", 8);
        p += 1 - top;
        memcpy(p, first, COPIED);
        return (size_t)(p + n - to);
    }
    memcpy(p, first, COPIED);
    if (n > top + 1) {
        p += top + 1;
        *p++ = '.';
        memcpy(p, first + top + 1, COPIED);
        return (size_t)(p - to) + (size_t)(n - top - 1);
    }
    p += n;
    for (int i = n; i <= top; i++) *p++ = '0';
    memcpy(p, ".0", 2);
    return (size_t)(p - to) + 2;
}
