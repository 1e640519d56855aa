/* folder.h - a folder of files that belongs to one process at a time.
 *
 * folder_take() makes it where it is missing and holds it until folder_close() or the end of the process, however that
 * ends: a second process gets ERR_CONFLICT.  A file that was made in it, or removed, is so behind a power loss once
 * folder_sync() has returned.  The path is borrowed. */
#ifndef OS_FOLDER_H
#define OS_FOLDER_H
#include "base/err.h"

typedef struct {
    const char *path;
    /* private */
    int fd;
} folder;

err_code folder_take(folder *f, const char *path, err *e) MUST_USE;   /* readable by its user alone where it is made */
void folder_close(folder *f);   /* once it was taken */
err_code folder_sync(const folder *f, err *e) MUST_USE;

#endif
