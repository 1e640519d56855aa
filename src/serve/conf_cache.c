#include "serve/conf_cache.h"

err_code conf_cache(const conf *c, uint64_t *ret_bytes, err *e)
{
    const str opening = STR("local,size=");
    str text = c->cache_config, digits = {0};
    uint64_t bytes = c->cache_bytes_max;
    if (text.len && str_starts(text, opening)) digits = (str){text.p + opening.len, text.len - opening.len};
    if (text.len && !str_u64(digits, &bytes))
        return err_set(e, ERR_INVALID, "cache-config: expected local,size=BYTES, got '" STR_FMT "'", STR_ARG(text));
    if (text.len && c->cache_bytes_max && c->cache_bytes_max != bytes)
        return err_set(e, ERR_INVALID, "cache-config: expected the size of cache-bytes-max, %llu, got '" STR_FMT "'",
                       (unsigned long long)c->cache_bytes_max, STR_ARG(digits));
    if (ret_bytes) *ret_bytes = bytes;
    return ERR_OK;
}
