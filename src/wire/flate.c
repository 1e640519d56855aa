#include "wire/flate.h"

#include "base/mem.h"

#include <limits.h>
#include <zlib.h>

enum {
    WINDOW_BITS = 15,        /* deflate's largest; more packs no better */
    GZIP_BITS = 16,          /* zlib: + 16 = gzip's head and tail instead of zlib's */
    PIECE_BYTES = 32 << 10   /* zlib writes this much at a time, on the stack */
};

static const char *const names[] = {[FLATE_NONE] = "identity", [FLATE_GZIP] = "gzip", [FLATE_DEFLATE] = "deflate"};

flate_kind flate_named(str name)
{
    if (name.len == 0) return FLATE_NONE;
    for (unsigned i = 0; i < FLATE_KINDS; i++)
        if (str_is_nocase(name, names[i])) return (flate_kind)i;
    return FLATE_KINDS;
}

const char *flate_name(flate_kind kind)
{
    INVARIANT(kind < FLATE_KINDS);
    return names[kind];
}

/* "q=0", "q=0.000": the client refuses it. */
static bool refused(str weight)
{
    double q;
    str name, value;
    if (!str_cut(weight, '=', &name, &value) || !str_is_nocase(str_trim(name), "q")) return false;
    return str_f64(str_trim(value), &q) && q <= 0;
}

/* The first of the list that is `wanted`, or with FLATE_KINDS the first that packs. */
static flate_kind accepted(str list, flate_kind wanted)
{
    str item, rest = list;
    for (bool more = true; more;) {
        str weight = {0};
        more = str_cut(rest, ',', &item, &rest);
        if (!more) item = rest;
        (void)str_cut(item, ';', &item, &weight);
        flate_kind kind = flate_named(str_trim(item));
        bool fits = wanted == FLATE_KINDS ? kind != FLATE_NONE && kind != FLATE_KINDS : kind == wanted;
        if (fits && !refused(weight)) return kind;
    }
    return FLATE_NONE;
}

flate_kind flate_accepted(str list) { return accepted(list, FLATE_KINDS); }
bool flate_accepts(str list, flate_kind kind) { return accepted(list, kind) == kind; }

static void *take(void *ctx, unsigned count, unsigned size)
{
    (void)ctx;
    return mem_alloc0(count, size);
}

static void give(void *ctx, void *p)
{
    (void)ctx;
    mem_free(p);
}

static int bits(flate_kind kind) { return WINDOW_BITS + (kind == FLATE_GZIP ? GZIP_BITS : 0); }

/* zlib counts in unsigned. */
static unsigned part(size_t n) { return n < UINT_MAX ? (unsigned)n : UINT_MAX; }

/* What zlib has written. */
static void put(buf *out, const z_stream *z, const uint8_t *piece)
{
    buf_put(out, piece, PIECE_BYTES - z->avail_out);
}

static err_code check(const buf *out, err *e)
{
    err_code rc = buf_check(out, "unpacked", e);
    return rc == ERR_LIMIT ? (e->code = ERR_TOO_LARGE) : rc;   /* it will not be smaller at another time */
}

static err_code unpack(z_stream *z, buf *out, str packed, err *e)
{
    UNINIT uint8_t piece[PIECE_BYTES];
    size_t left = packed.len;
    int rc = Z_OK;
    z->next_in = (Bytef *)(uintptr_t)packed.p;
    while (rc != Z_STREAM_END) {
        unsigned in = part(left);
        z->avail_in = in;
        z->next_out = piece;
        z->avail_out = sizeof piece;
        rc = inflate(z, Z_NO_FLUSH);
        left -= in - z->avail_in;
        put(out, z, piece);
        if (rc == Z_MEM_ERROR) return err_set(e, ERR_NOMEM, "no memory for zlib");
        if (rc == Z_BUF_ERROR) return err_set(e, ERR_INVALID, "the packed data ends too early");
        if (rc != Z_OK && rc != Z_STREAM_END)
            return err_set(e, ERR_INVALID, "%s", z->msg ? z->msg : "not packed data of this format");
        if (out->full) return check(out, e);
    }
    return left ? err_set(e, ERR_INVALID, "expected no bytes behind the packed data, got %zu", left) : ERR_OK;
}

err_code flate_unpack(buf *out, flate_kind kind, str packed, err *e)
{
    z_stream z = {.zalloc = take, .zfree = give};
    INVARIANT(kind < FLATE_KINDS);
    if (kind == FLATE_NONE) {
        buf_put_str(out, packed);
        return check(out, e);
    }
    err_code rc = inflateInit2(&z, bits(kind)) == Z_OK ? unpack(&z, out, packed, e)
                                                         : err_set(e, ERR_NOMEM, "no memory for zlib");
    inflateEnd(&z);
    return rc ? err_wrap(e, "%s", names[kind]) : ERR_OK;
}

static void pack(z_stream *z, buf *out, str plain)
{
    UNINIT uint8_t piece[PIECE_BYTES];
    size_t left = plain.len;
    z->next_in = (Bytef *)(uintptr_t)plain.p;
    for (int rc = Z_OK; rc != Z_STREAM_END && !out->full;) {
        unsigned in = part(left);
        z->avail_in = in;
        z->next_out = piece;
        z->avail_out = sizeof piece;
        rc = deflate(z, left == in ? Z_FINISH : Z_NO_FLUSH);
        INVARIANT(rc == Z_OK || rc == Z_STREAM_END);
        left -= in - z->avail_in;
        put(out, z, piece);
    }
}

err_code flate_pack(buf *out, flate_kind kind, str plain, err *e)
{
    z_stream z = {.zalloc = take, .zfree = give};
    INVARIANT(kind < FLATE_KINDS);
    if (kind == FLATE_NONE) {
        buf_put_str(out, plain);
        return buf_check(out, "answer", e);
    }
    if (deflateInit2(&z, FLATE_LEVEL, Z_DEFLATED, bits(kind), 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return err_set(e, ERR_NOMEM, "%s: no memory for zlib", names[kind]);
    pack(&z, out, plain);
    deflateEnd(&z);
    return buf_check(out, "answer", e);
}
