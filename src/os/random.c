#include "os/random.h"

#include "os/sys.h"

err_code random_bytes(void *ret, size_t n, err *e)
{
    uint8_t *p = ret;
    while (n > 0) {
        int64_t got = SYS_RETRY(sys_random(p, n));
        if (got < 0) return sys_err(e, got, "random", "cannot read random bytes");
        p += got;
        n -= (size_t)got;
    }
    return ERR_OK;
}

err_code random_u64(uint64_t *ret, err *e)
{
    uint64_t value;
    err_code rc = random_bytes(&value, sizeof value, e);
    if (rc) return rc;
    *ret = value;
    return ERR_OK;
}
