/* ready_line.h - --ready-fd: each model that came, or did not, as a line at a descriptor that this process inherited.
 *
 *   ready NAME VERSION
 *   failed NAME: why
 * Told once the model answers requests, from any thread.  A reader that went away is logged and told no more; one that
 * stands still loses lines. */
#ifndef SERVE_READY_LINE_H
#define SERVE_READY_LINE_H
#include "base/err.h"
#include "base/str.h"

#include <stdatomic.h>

typedef struct {
    int fd;              /* -1 = nobody is told */
    _Atomic bool deaf;   /* its reader is gone */
} ready_line;

/* failed: why not; NULL = it is ready. */
void ready_line_tell(ready_line *r, str name, str version, const err *failed);

#endif
