#include "base/buf.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Rooms are one byte short of a power of two: the block's last byte takes the NUL that vsnprintf() writes. */
enum { ROOM_MIN = 63 };

void buf_init(buf *b, size_t limit)
{
    INVARIANT(limit > 0 && limit < SIZE_MAX);
    *b = (buf){.limit = limit};
}

void buf_fini(buf *b)
{
    mem_free(b->p);
    *b = (buf){.limit = b->limit};
}

void buf_clear(buf *b)
{
    b->len = 0;
    b->full = false;
    b->wanted = 0;
}

/* Where `need` bytes find no room. */
static size_t next_room(const buf *b, size_t need)
{
    size_t room = b->room >= b->limit / 2 ? b->limit : b->room * 2 + 1;
    if (room < ROOM_MIN) room = b->limit < ROOM_MIN ? b->limit : ROOM_MIN;
    return room < need ? need : room;
}

size_t buf_growth(const buf *b, size_t counted, size_t n)
{
    size_t need;
    if (__builtin_add_overflow(b->len, n, &need) || need > b->limit) need = b->limit;
    size_t room = need > b->room ? next_room(b, need) : b->room;
    return room > counted ? room - counted : 0;
}

uint8_t *buf_grow(buf *b, size_t n)
{
    if (b->full) return NULL;
    size_t need;
    if (__builtin_add_overflow(b->len, n, &need)) need = SIZE_MAX;
    if (need <= b->limit && (!b->p || need > b->room)) {
        size_t room = next_room(b, need);
        uint8_t *p = mem_grow(b->p, b->len, room + 1, 1);
        if (p) {
            b->p = p;
            b->room = room;
        }
    }
    if (!b->p || need > b->room) {
        b->full = true;
        b->wanted = need;
        return NULL;
    }
    return b->p + b->len;
}

void buf_printf(buf *b, const char *fmt, ...)
{
    char small[128];   /* most lines fit: one formatting pass, and no NUL byte needed in the buffer */
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    INVARIANT(n >= 0);
    size_t len = (size_t)n;
    if (len < sizeof small) {
        buf_put(b, small, len);
    } else {
        uint8_t *to = buf_room(b, len);
        if (to) {
            vsnprintf((char *)to, len + 1, fmt, again);
            b->len += len;
        }
    }
    va_end(again);
}

void buf_drop(buf *b, size_t n)
{
    INVARIANT(n <= b->len);
    b->len -= n;
    if (n && b->len) memmove(b->p, b->p + n, b->len);
}

err_code buf_check(const buf *b, const char *what, err *e)
{
    if (!b->full) return ERR_OK;
    if (b->wanted > b->limit) {
        return err_set(e, ERR_LIMIT, "%s: expected at most %zu bytes, got %zu", what, b->limit, b->wanted);
    }
    return err_set(e, ERR_NOMEM, "%s: no memory for %zu bytes", what, b->wanted);
}
