/* watch.h - hears that something in some folders has changed: inotify(7).
 *
 * Only that something has, not what: whoever hears it looks himself.  Folders are watched one by one, without those in
 * them; watching one again is no error and costs nothing more, and one that goes is watched no more.  The descriptor is
 * for a loop; adding is for any thread. */
#ifndef OS_WATCH_H
#define OS_WATCH_H
#include "base/err.h"

enum { WATCH_NONE = -1 };

err_code watch_open(int *ret_fd, err *e) MUST_USE;   /* never blocks; ERR_LIMIT or others: the system has no more */
void watch_close(int fd);
err_code watch_add(int fd, const char *folder, err *e) MUST_USE;   /* ERR_NOT_FOUND: it is gone */
bool watch_drain(int fd);                            /* true = something was heard, and is forgotten now */

#endif
