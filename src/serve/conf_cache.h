/* conf_cache.h - how much memory the response cache has: --cache-bytes-max, or Triton's --cache-config.
 *
 * Reads the options alone.  The only cache here is Triton's `local`; another one, another key, or two sizes that differ
 * are refused. */
#ifndef SERVE_CONF_CACHE_H
#define SERVE_CONF_CACHE_H
#include "serve/conf.h"

/* ret_bytes NULL = only checked; 0 = nothing is kept. */
err_code conf_cache(const conf *c, uint64_t *ret_bytes, err *e) MUST_USE;

#endif
