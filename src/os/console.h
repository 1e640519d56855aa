/* console.h - standard output and standard error, for the command line and the log's writer.  Both may block.
 *
 * A line goes out in one write where the kernel takes it whole, so lines of several threads do not mix.
 * There is nobody to tell when standard error is gone; console_out() says so, for `proa ... > /full/disk`, and
 * console_err_all() for what must not get lost. */
#ifndef OS_CONSOLE_H
#define OS_CONSOLE_H
#include "base/err.h"

/* Before anything is opened: what is closed of descriptors 0..2 gets a place holder, so that no file, socket or log of
 * ours can be what somebody takes for standard output.  Reading 0 ends at once; writing to 1 and 2 fails, as before. */
err_code console_hold(err *e) MUST_USE;
err_code console_out(const char *bytes, size_t len, err *e) MUST_USE;
void console_err(const char *bytes, size_t len);
err_code console_err_all(const char *bytes, size_t len, err *e) MUST_USE;

#endif
