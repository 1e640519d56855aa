/* file_out.h - a regular file that its writer fills from the beginning, over hours, at any place of it.
 *
 * Opening cuts what was there, follows no symbolic link and waits for nobody: a pipe, a device or a folder is refused.
 * One thread; the path is borrowed.  What was written is the kernel's: it survives this process, and a power loss only
 * once it was synced. */
#ifndef OS_FILE_OUT_H
#define OS_FILE_OUT_H
#include "base/err.h"

typedef struct {
    const char *path;
    /* private */
    int fd;
    uint64_t device, inode;
} file_out;

err_code file_out_open(file_out *f, const char *path, uint32_t mode, err *e) MUST_USE;   /* umask applies */
void file_out_close(file_out *f);   /* once it was opened; ends what is open */
bool file_out_gone(const file_out *f);   /* its path leads to another file, or to none */
/* All of them, or an error. */
err_code file_out_put(file_out *f, uint64_t at, const void *bytes, size_t len, err *e) MUST_USE;
err_code file_out_sync(const file_out *f, err *e) MUST_USE;   /* what was put survives a power loss, see os/folder.h */
err_code file_out_cut(file_out *f, uint64_t len, err *e) MUST_USE;
void file_out_remove(const file_out *f);   /* its path, if it is still there */
/* Renames an open file, over what is there.  f->path stays as it was. */
err_code file_out_move(const file_out *f, const char *to, err *e) MUST_USE;

#endif
