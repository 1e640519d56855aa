#include "cli/v2_bytes.h"

#include "base/mem.h"

#include <string.h>

static err_code strings_read(str raw, arena *a, tensor *t, err *e)
{
    uint64_t count = tensor_count(t), i = 0;
    if (count > raw.len / 4)
        return err_set(e, ERR_INVALID, "expected %llu strings, got %zu bytes", (unsigned long long)count, raw.len);
    str *s = arena_new(a, str, (size_t)count + 1);
    if (!s) return err_set(e, ERR_NOMEM, "no memory for %llu strings", (unsigned long long)count);
    for (; i < count && raw.len >= 4; i++) {
        uint32_t len;
        memcpy(&len, raw.p, sizeof len);   /* little-endian, as every machine this is built for */
        if (len > raw.len - 4) break;
        s[i] = (str){raw.p + 4, len};
        raw = (str){raw.p + 4 + len, raw.len - 4 - len};
    }
    if (i < count || raw.len)
        return err_set(e, ERR_INVALID, "expected %llu strings with their lengths, got %llu and %zu bytes more",
                       (unsigned long long)count, (unsigned long long)i, raw.len);
    t->data = s;
    return ERR_OK;
}

err_code v2_bytes_read(str raw, arena *a, tensor *t, err *e)
{
    if (t->type == DT_STRING) return strings_read(raw, a, t, e);
    size_t want = tensor_bytes(t);
    if (raw.len != want) return err_set(e, ERR_INVALID, "expected %zu bytes, got %zu", want, raw.len);
    bool aligned = (uintptr_t)raw.p % (dtype_bits(t->type) / 8) == 0;
    t->data = aligned ? (void *)(uintptr_t)raw.p : arena_copy(a, raw.p, raw.len, MEM_ALIGN);
    return t->data ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for %zu bytes", raw.len);
}
