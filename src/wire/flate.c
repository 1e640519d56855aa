#include "wire/flate.h"

#include "base/mem.h"

#include <limits.h>
#include <math.h>
#include <zlib.h>

enum {
    WINDOW_BITS = 15,        /* deflate's largest; more packs no better */
    WEIGHT_ONE = 1000,       /* weights have three digits at most */
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

/* "q=0.5" in thousandths; what is no weight weighs nothing less. */
static uint16_t weight_of(str parameter)
{
    double q;
    str name, value;
    if (!str_cut(parameter, '=', &name, &value) || !str_is_nocase(str_trim(name), "q")) return WEIGHT_ONE;
    if (!str_f64(str_trim(value), &q) || q >= 1) return WEIGHT_ONE;
    return q > 0 ? (uint16_t)lround(q * WEIGHT_ONE) : 0;
}

/* The next of "gzip;q=0.5, br"; false at the end. */
static bool item_next(str *list, str *ret_name, uint16_t *ret_weight)
{
    str item, weight = {0};
    if (!list->p) return false;
    if (!str_cut(*list, ',', &item, list)) {
        item = *list;
        *list = (str){0};
    }
    (void)str_cut(item, ';', &item, &weight);
    *ret_name = str_trim(item);
    *ret_weight = weight_of(weight);
    return true;
}

/* The first of the list that is `wanted`, or with FLATE_KINDS the first that packs. */
static flate_kind accepted(str list, flate_kind wanted)
{
    str name;
    uint16_t weight;
    while (item_next(&list, &name, &weight)) {
        flate_kind kind = flate_named(name);
        bool fits = wanted == FLATE_KINDS ? kind != FLATE_NONE && kind != FLATE_KINDS : kind == wanted;
        if (fits && weight) return kind;
    }
    return FLATE_NONE;
}

flate_kind flate_accepted(str list) { return accepted(list, FLATE_KINDS); }
bool flate_accepts(str list, flate_kind kind) { return accepted(list, kind) == kind; }

void flate_wish_read(flate_wish *w, str list)
{
    str name;
    uint16_t weight;
    while (item_next(&list, &name, &weight)) {
        flate_kind kind = str_is_nocase(name, "x-gzip") ? FLATE_GZIP : flate_named(name);
        if (name.len == 0) continue;
        if (str_is(name, "*")) {
            w->others = weight;
            w->others_named = true;
        } else if (kind != FLATE_KINDS) {
            w->weight[kind] = weight;
            w->named[kind] = true;
        }
    }
}

static uint16_t wish_weight(const flate_wish *w, flate_kind kind)
{
    return w->named[kind] ? w->weight[kind] : w->others_named ? w->others : 0;
}

/* Plain bytes are welcome unless they are refused, but where nobody names them anything that is named is better. */
flate_kind flate_wish_best(const flate_wish *w)
{
    flate_kind best = FLATE_NONE;
    uint16_t most = w->named[FLATE_NONE] ? w->weight[FLATE_NONE] : 0;
    for (flate_kind kind = FLATE_GZIP; kind < FLATE_KINDS; kind++) {
        uint16_t weight = wish_weight(w, kind);
        if (weight == 0 || weight < most || (best != FLATE_NONE && weight == most)) continue;
        best = kind;
        most = weight;
    }
    return best;
}

bool flate_wish_refuses_plain(const flate_wish *w)
{
    return w->named[FLATE_NONE] ? w->weight[FLATE_NONE] == 0 : w->others_named && w->others == 0;
}

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

static err_code check(const buf *out, err *e)
{
    err_code rc = buf_check(out, "unpacked", e);
    return rc == ERR_LIMIT ? (e->code = ERR_TOO_LARGE) : rc;   /* it will not be smaller at another time */
}

typedef struct {
    flate_put *put;
    void *ctx;
    bool members;     /* others may follow: of gzip */
} unpack_to;

static err_code unpack(z_stream *z, const unpack_to *to, str packed, err *e)
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
        if (rc == Z_MEM_ERROR) return err_set(e, ERR_NOMEM, "no memory for zlib");
        if (rc == Z_BUF_ERROR) return err_set(e, ERR_INVALID, "the packed data ends too early");
        if (rc != Z_OK && rc != Z_STREAM_END)
            return err_set(e, ERR_INVALID, "%s", z->msg ? z->msg : "not packed data of this format");
        if (!to->put(to->ctx, (str){(const char *)piece, sizeof piece - z->avail_out}))
            return err_set(e, ERR_LIMIT, "stopped");
        if (rc == Z_STREAM_END && left && to->members) rc = inflateReset(z);
    }
    return left ? err_set(e, ERR_INVALID, "expected no bytes behind the packed data, got %zu", left) : ERR_OK;
}

static err_code unpack_all(int window_bits, const unpack_to *to, str packed, err *e)
{
    z_stream z = {.zalloc = take, .zfree = give};
    err_code rc = inflateInit2(&z, window_bits) == Z_OK ? unpack(&z, to, packed, e)
                                                         : err_set(e, ERR_NOMEM, "no memory for zlib");
    inflateEnd(&z);
    return rc;
}

static bool put_buf(void *ctx, str piece)
{
    buf *out = ctx;
    buf_put_str(out, piece);
    return !out->full;
}

err_code flate_unpack(buf *out, flate_kind kind, str packed, err *e)
{
    INVARIANT(kind < FLATE_KINDS);
    if (kind == FLATE_NONE) {
        buf_put_str(out, packed);
        return check(out, e);
    }
    err_code rc = unpack_all(bits(kind), &(unpack_to){.put = put_buf, .ctx = out}, packed, e);
    if (out->full) rc = check(out, e);
    return rc ? err_wrap(e, "%s", names[kind]) : ERR_OK;
}

/* RFC 1950 2.2: method 8, and a multiple of 31.  Raw data begins so only with a stored block whose padding is not
 * zero, which nobody writes. */
static bool has_zlib_head(str packed)
{
    const uint8_t *p = (const uint8_t *)packed.p;
    return packed.len < 2 || ((p[0] & 15) == 8 && (p[0] * 256 + p[1]) % 31 == 0);
}

err_code flate_unpack_http(flate_kind kind, str packed, flate_put *put, void *ctx, err *e)
{
    INVARIANT(kind < FLATE_KINDS);
    if (kind == FLATE_NONE) return put(ctx, packed) ? ERR_OK : err_set(e, ERR_LIMIT, "stopped");
    int how = kind == FLATE_DEFLATE && !has_zlib_head(packed) ? -WINDOW_BITS : bits(kind);
    unpack_to to = {.put = put, .ctx = ctx, .members = kind == FLATE_GZIP};
    return unpack_all(how, &to, packed, e) ? err_wrap(e, "%s", names[kind]) : ERR_OK;
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
        buf_put(out, piece, sizeof piece - z->avail_out);
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
