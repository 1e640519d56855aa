/* buf.h - bytes that grow at the end, up to a limit.
 *
 * Owns heap memory that it keeps across buf_clear(), so that a steady load stops allocating.  A put that
 * fails (limit or heap) sets `full` and changes nothing; later puts are ignored too, so a printer may put
 * without checking and test `full` once at its end. */
#ifndef BASE_BUF_H
#define BASE_BUF_H
#include "base/err.h"
#include "base/str.h"

#include <string.h>

typedef struct {
    uint8_t *p;
    size_t len;
    bool full;
    /* private */
    size_t room, limit, wanted;   /* wanted: the size that could not be had */
} buf;

void buf_init(buf *b, size_t limit);                    /* allocates nothing; limit > 0 */
void buf_fini(buf *b);
void buf_clear(buf *b);                                 /* keeps the memory */
uint8_t *buf_grow(buf *b, size_t n);                    /* buf_room() where there is no room yet */
/* n writable bytes after len, or NULL and full; then add to len */
static inline uint8_t *buf_room(buf *b, size_t n)
{
    bool fits = !b->full && n < b->room - b->len;       /* one byte is left, so a buf without memory has no room */
    return __builtin_expect(fits, 1) ? b->p + b->len : buf_grow(b, n);
}
static inline void buf_put(buf *b, const void *bytes, size_t n)
{
    uint8_t *to = buf_room(b, n);
    if (!to || n == 0) return;
    memcpy(to, bytes, n);
    b->len += n;
}
static inline void buf_put_str(buf *b, str s) { buf_put(b, s.p, s.len); }
static inline void buf_put_z(buf *b, const char *z) { buf_put(b, z, strlen(z)); }
static inline void buf_put_byte(buf *b, uint8_t byte)
{
    uint8_t *to = buf_room(b, 1);
    if (!to) return;
    *to = byte;
    b->len++;
}
void buf_printf(buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_drop(buf *b, size_t n);                        /* removes the first n bytes */
/* How much more than `counted` its memory may be behind a put of n bytes; 0 = no more. */
size_t buf_growth(const buf *b, size_t counted, size_t n);
static inline str buf_str(const buf *b) { return b->p ? (str){(const char *)b->p, b->len} : (str){"", 0}; }
err_code buf_check(const buf *b, const char *what, err *e) MUST_USE;   /* ERR_OK, or ERR_LIMIT/ERR_NOMEM when full */

#endif
