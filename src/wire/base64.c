#include "wire/base64.h"

enum { BAD = 0x40, BLANK = 0x41, PAD = 0x42 };   /* what is no digit of 6 bits */

#define D(c, v) [c] = (v) + 1
/* Digits plus 1, so that 0 is what is not in the table. */
static const uint8_t table[256] = {
    D('A', 0),  D('B', 1),  D('C', 2),  D('D', 3),  D('E', 4),  D('F', 5),  D('G', 6),  D('H', 7),  D('I', 8),
    D('J', 9),  D('K', 10), D('L', 11), D('M', 12), D('N', 13), D('O', 14), D('P', 15), D('Q', 16), D('R', 17),
    D('S', 18), D('T', 19), D('U', 20), D('V', 21), D('W', 22), D('X', 23), D('Y', 24), D('Z', 25), D('a', 26),
    D('b', 27), D('c', 28), D('d', 29), D('e', 30), D('f', 31), D('g', 32), D('h', 33), D('i', 34), D('j', 35),
    D('k', 36), D('l', 37), D('m', 38), D('n', 39), D('o', 40), D('p', 41), D('q', 42), D('r', 43), D('s', 44),
    D('t', 45), D('u', 46), D('v', 47), D('w', 48), D('x', 49), D('y', 50), D('z', 51), D('0', 52), D('1', 53),
    D('2', 54), D('3', 55), D('4', 56), D('5', 57), D('6', 58), D('7', 59), D('8', 60), D('9', 61), D('+', 62),
    D('-', 62), D('/', 63), D('_', 63), D(' ', BLANK), D('\n', BLANK), D('\r', BLANK), D('\t', BLANK), D('=', PAD)};
#undef D

static uint32_t digit(char c)
{
    return table[(uint8_t)c] ? table[(uint8_t)c] - 1u : BAD;
}

/* Only blanks and padding may follow: as much of that as brings the digits to a multiple of four, or none. */
static bool ends_well(str text, size_t at, uint32_t digits, size_t *reterr_at)
{
    uint32_t pads = 0;
    for (; at < text.len; at++) {
        uint32_t d = digit(text.p[at]);
        if (d == BLANK) continue;
        *reterr_at = at;
        if (d != PAD || digits < 2 || ++pads + digits > 4) return false;
    }
    *reterr_at = text.len;
    return digits != 1 && (pads == 0 || pads + digits == 4);
}

bool base64_read(str text, uint8_t *to, size_t *ret_len, size_t *reterr_at)
{
    const char *p = text.p;
    size_t at = 0, len = 0;
    uint32_t bits = 0, digits = 0;
    for (;;) {
        while (digits == 0 && text.len - at >= 4) {
            uint32_t a = digit(p[at]), b = digit(p[at + 1]), c = digit(p[at + 2]), d = digit(p[at + 3]);
            if ((a | b | c | d) >= BAD) break;
            to[len++] = (uint8_t)(a << 2 | b >> 4);
            to[len++] = (uint8_t)(b << 4 | c >> 2);
            to[len++] = (uint8_t)(c << 6 | d);
            at += 4;
        }
        if (at == text.len) break;
        uint32_t d = digit(p[at]);
        if (d == PAD) break;
        if (d == BAD) {
            *reterr_at = at;
            return false;
        }
        at++;
        if (d == BLANK) continue;
        bits = bits << 6 | d;
        if (++digits < 4) continue;
        to[len++] = (uint8_t)(bits >> 16);
        to[len++] = (uint8_t)(bits >> 8);
        to[len++] = (uint8_t)bits;
        bits = digits = 0;
    }
    if (!ends_well(text, at, digits, reterr_at)) return false;
    if (digits >= 2) to[len++] = (uint8_t)(bits >> (digits * 6 - 8));
    if (digits == 3) to[len++] = (uint8_t)(bits >> 2);
    *ret_len = len;
    return true;
}

void base64_put(buf *out, str bytes, bool padded)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = (const uint8_t *)bytes.p;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t v = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0u);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], n > 1 ? digits[v >> 6 & 63] : '=',
                        n > 2 ? digits[v & 63] : '='};
        buf_put(out, four, padded ? 4 : n + 1);
    }
}
