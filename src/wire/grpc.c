#include "wire/grpc.h"

#include "wire/base64.h"
#include "wire/pb.h"

#include <string.h>

void grpc_reader_init(grpc_reader *r, size_t message_bytes_max, bool encoded)
{
    *r = (grpc_reader){.limit = message_bytes_max, .encoded = encoded};
}

static grpc_event refuse(grpc_reader *r)
{
    r->refused = true;
    return GRPC_REFUSED;
}

static grpc_event prefix_read(grpc_reader *r, err *e)
{
    const uint8_t *p = r->prefix;
    if (p[0] > 1) {
        err_set(e, ERR_INTERNAL, "message: compressed flag: expected 0 or 1, got %u", p[0]);
        return refuse(r);
    }
    r->compressed = p[0] == 1;
    r->len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    r->seen = 0;
    if (r->compressed && !r->encoded) {
        err_set(e, ERR_INTERNAL, "message: compressed flag: expected 0 without grpc-encoding, got 1");
        return refuse(r);
    }
    if (r->len > r->limit) {
        err_set(e, ERR_TOO_LARGE, "message: expected at most %zu bytes, got %zu", r->limit, r->len);
        return refuse(r);
    }
    return GRPC_PIECE;
}

grpc_event grpc_reader_feed(grpc_reader *r, str *in, str *ret_piece, err *e)
{
    INVARIANT(!r->refused);
    if (r->prefix_len < GRPC_PREFIX_BYTES) {
        size_t n = GRPC_PREFIX_BYTES - r->prefix_len;
        if (n > in->len) n = in->len;
        if (n) memcpy(r->prefix + r->prefix_len, in->p, n);
        r->prefix_len = (uint8_t)(r->prefix_len + n);
        *in = (str){in->p + n, in->len - n};
        if (r->prefix_len < GRPC_PREFIX_BYTES) return GRPC_MORE;
        if (prefix_read(r, e) == GRPC_REFUSED) return GRPC_REFUSED;
    }
    size_t n = r->len - r->seen;
    if (n > in->len) n = in->len;
    if (n == 0 && r->seen < r->len) return GRPC_MORE;
    *ret_piece = (str){in->p, n};
    *in = (str){in->p + n, in->len - n};
    r->seen += n;
    if (r->seen < r->len) return GRPC_PIECE;
    r->prefix_len = 0;
    return GRPC_MESSAGE;
}

size_t grpc_reader_rest(const grpc_reader *r)
{
    return r->prefix_len == GRPC_PREFIX_BYTES ? r->len - r->seen : 0;
}

err_code grpc_reader_end(const grpc_reader *r, err *e)
{
    if (r->prefix_len == 0) return ERR_OK;
    if (r->prefix_len < GRPC_PREFIX_BYTES)
        return err_set(e, ERR_INTERNAL, "message: expected %d bytes of prefix, the stream ended after %u",
                       GRPC_PREFIX_BYTES, r->prefix_len);
    return err_set(e, ERR_INTERNAL, "message: expected %zu bytes, the stream ended after %zu", r->len, r->seen);
}

void grpc_prefix_print(uint8_t ret[GRPC_PREFIX_BYTES], bool compressed, uint32_t len)
{
    ret[0] = compressed;
    for (unsigned i = 0; i < 4; i++) ret[1 + i] = (uint8_t)(len >> (24 - 8 * i));
}

err_code grpc_timeout_parse(str text, uint64_t *ret_us, err *e)
{
    static const struct {
        char unit;
        uint64_t ns;
    } units[] = {{'H', UINT64_C(3600000000000)}, {'M', UINT64_C(60000000000)}, {'S', 1000000000},
                 {'m', 1000000},                 {'u', 1000},                  {'n', 1}};
    uint64_t n;
    if (text.len >= 2 && text.len <= GRPC_TIMEOUT_DIGITS_MAX + 1 && str_u64((str){text.p, text.len - 1}, &n)) {
        for (size_t i = 0; i < COUNTOF(units); i++) {
            if (text.p[text.len - 1] != units[i].unit) continue;
            uint64_t ns = units[i].ns;   /* 8 digits of hours are 4e20 ns, too many for 64 bits */
            *ret_us = ns >= 1000 ? n * (ns / 1000) : (n + 999) / 1000;
            return ERR_OK;
        }
    }
    return err_set(e, ERR_INVALID, "grpc-timeout: expected 1 to %d digits and one of H M S m u n, got '" STR_FMT "'",
                   GRPC_TIMEOUT_DIGITS_MAX, STR_ARG(text));
}

/* The statuses that this server gives have their rows in ERR_TABLE, the others are those of proxies and of access
 * control. */
int grpc_status_of_http(int http_status)
{
    static const struct {
        int http, grpc;
    } rows[] = {
        {401, GRPC_UNAUTHENTICATED},
        {403, GRPC_PERMISSION_DENIED},
        {405, 12},
        {414, 8},
        {415, 3},
        {431, 8},
        {502, 14},
        {408, 4},
#define X(code, http, grpc, reason) {http, grpc},
        ERR_TABLE(X)
#undef X
    };
    for (size_t i = COUNTOF(rows); i-- > 0;)   /* from the end: of the two with 503 UNAVAILABLE is the last */
        if (rows[i].http == http_status) return rows[i].grpc;
    return GRPC_UNKNOWN;
}

const char *grpc_status_name(uint64_t status)
{
    static const char *const names[] = {
        "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
        "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
        "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"};
    return status < COUNTOF(names) ? names[status] : NULL;
}

void grpc_message_print(buf *out, str text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = (uint8_t)text.p[i];
        if (c >= ' ' && c <= '~' && c != '%')
            buf_put_byte(out, c);
        else
            buf_printf(out, "%%%02X", c);
    }
}

static void retry_put(buf *b, uint32_t retry_ms)
{
    size_t any = pb_open(b, 3);
    pb_put_str(b, 1, STR("type.googleapis.com/google.rpc.RetryInfo"));
    size_t info = pb_open(b, 2), delay = pb_open(b, 1);
    pb_put_i64(b, 1, retry_ms / 1000);
    pb_put_i64(b, 2, (int64_t)(retry_ms % 1000) * 1000000);
    pb_close(b, delay);
    pb_close(b, info);
    pb_close(b, any);
}

void grpc_details_print(buf *out, int status, str message, str reason, uint32_t retry_ms)
{
    buf b;
    buf_init(&b, 4096);
    pb_put_i64(&b, 1, status);
    pb_put_str(&b, 2, message);
    size_t any = pb_open(&b, 3);
    pb_put_str(&b, 1, STR("type.googleapis.com/google.rpc.ErrorInfo"));
    size_t info = pb_open(&b, 2);
    pb_put_str(&b, 1, reason);
    pb_put_str(&b, 2, STR("proa"));
    pb_close(&b, info);
    pb_close(&b, any);
    if (retry_ms) retry_put(&b, retry_ms);
    if (b.full)
        out->full = true;
    else
        base64_put(out, buf_str(&b), false);   /* as gRPC sends binary headers */
    buf_fini(&b);
}
