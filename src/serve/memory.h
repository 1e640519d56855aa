/* memory.h - Triton's system shared memory extension over REST: which regions there are, and a new one, as JSON.
 *
 * The set is shared by all loops and protocols.  A region name of "" means all of them, as in the paths without one.
 * Errors are those of os/shm.h and of JSON; nothing is kept of a request. */
#ifndef SERVE_MEMORY_H
#define SERVE_MEMORY_H
#include "base/buf.h"
#include "os/shm.h"

/* [{"name","key","offset","byte_size"}, ...]; ERR_NOT_FOUND when a named one is not there. */
err_code memory_print(buf *out, shm_set *set, str region, err *e) MUST_USE;
/* {"key","offset","byte_size"}; offset may be left out. */
err_code memory_register(shm_set *set, str region, str body, err *e) MUST_USE;

#endif
