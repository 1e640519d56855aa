/* console.h - standard output and standard error, for the command line and the log's writer.  Both may block.
 *
 * A line goes out in one write where the kernel takes it whole, so lines of several threads do not mix.
 * There is nobody to tell when standard error is gone; console_out() says so, for `proa ... > /full/disk`. */
#ifndef OS_CONSOLE_H
#define OS_CONSOLE_H
#include "base/err.h"

err_code console_out(const char *bytes, size_t len, err *e) MUST_USE;
void console_err(const char *bytes, size_t len);

#endif
