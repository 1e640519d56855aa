/* random.h - unpredictable bytes from the kernel, for seeds and secrets.
 *
 * Any thread.  They come whole or not at all.  Everyday randomness comes from a loop (loop_random()) or an rng that
 * was seeded here once, so that a test can own it. */
#ifndef OS_RANDOM_H
#define OS_RANDOM_H
#include "base/err.h"

err_code random_bytes(void *ret, size_t n, err *e) MUST_USE;
err_code random_u64(uint64_t *ret, err *e) MUST_USE;

#endif
