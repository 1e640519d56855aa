/* Property: whatever a server sends, in any cut, a call comes to an end that has a text, keeps within its bounds and
 * leaks nothing.  Input: one byte that is the length of each piece, then the bytes.  (That every cut comes to the same
 * end holds for what keeps HTTP/2's rules, see tests/unit: what nghttp2 reads behind a breach depends on the cut.) */
#include "test.h"
#include "wire/grpc_caller.h"

static void run(const uint8_t *data, size_t len, size_t piece)
{
    static const grpc_ask ask = {.authority = {"h:1", 3}, .path = {"/p.S/M", 6}, .message = {"question", 8}};
    err e = {.text = ""};
    grpc_caller *c = grpc_caller_new(1000);
    INVARIANT(c && grpc_caller_begin(c, &ask, &e) == ERR_OK);
    err_code rc = ERR_OK;
    for (size_t at = 0; at < len && !rc && !grpc_caller_over(c); at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        rc = grpc_caller_feed(c, data + at, n, &e);
        INVARIANT(grpc_caller_out(c)->len <= 2 * GRPC_CALLER_OUT_MAX);
    }
    INVARIANT(!rc || e.text[0]);
    if (grpc_caller_over(c)) {
        grpc_result r = grpc_caller_result(c);
        INVARIANT(r.message.len <= 1000 + 1 && strlen(r.text) < sizeof e.text);
        INVARIANT(r.status >= 0 && (r.status == 0 || r.text));
    }
    grpc_caller_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 1 << 16) return 0;
    long live = mem_live();
    run(data + 1, size - 1, size);
    run(data + 1, size - 1, data[0] ? data[0] : 256);
    INVARIANT(mem_live() == live);
    return 0;
}
