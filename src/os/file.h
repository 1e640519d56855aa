/* file.h - files and folders: read whole, mapped, listed, written whole.
 *
 * Paths are the caller's and NUL-terminated; texts of errors begin with the path.  Nothing here changes a
 * file in place: file_save() writes beside the target, syncs and renames, so that readers see the old bytes
 * or the new ones, also after a power loss.  A mapping stays valid when the file is replaced or unlinked;
 * a file that is truncated while it is mapped kills the process that reads beyond its end (SIGBUS), so
 * whoever updates a model writes a new file, as file_save() does.
 * `folder` in the *_beneath functions is a wall: neither "..", nor an absolute path, nor a symbolic link leads out. */
#ifndef OS_FILE_H
#define OS_FILE_H
#include "base/arena.h"
#include "base/err.h"

enum { FILE_PATH_MAX = 4096, FILE_LIST_MAX = 65536 };   /* bytes of a path, NUL included; entries of a folder */

typedef enum { FILE_REGULAR, FILE_FOLDER, FILE_OTHER } file_kind;

/* Who a file is, without reading it: changes whenever the file is replaced or written. */
typedef struct {
    uint64_t device, inode, bytes;
    uint64_t changed_ns;            /* mtime */
    uint32_t mode;                  /* who may read and write it: 0644 */
    file_kind kind;
} file_id;

typedef struct {
    const char *name;               /* NUL-terminated */
    file_kind kind;                 /* of what a symbolic link points to; FILE_OTHER when that is missing */
} file_entry;

typedef struct {
    const uint8_t *p;               /* page-aligned; never NULL once open, even when len is 0 */
    size_t len;
} file_map;

err_code file_identify(const char *path, file_id *ret, err *e) MUST_USE;
bool file_id_eq(const file_id *a, const file_id *b);

/* The bytes, with a NUL after them; mem_free() them.  Reads pipes and /proc too.  Over bytes_max: ERR_TOO_LARGE. */
err_code file_read(const char *path, size_t bytes_max, char **ret, size_t *ret_len, err *e) MUST_USE;

/* `len` bytes from `at` on; ERR_INVALID where the file ends before. */
err_code file_read_part(const char *path, uint64_t at, void *ret, size_t len, err *e) MUST_USE;
err_code file_delete(const char *path, err *e) MUST_USE;
err_code file_rename(const char *from, const char *to, err *e) MUST_USE;   /* over what is there */

/* The same of a regular file alone: a pipe or a device where a model's file should be is not read as an empty one. */
err_code file_read_regular(const char *path, size_t bytes_max, char **ret, size_t *ret_len, err *e) MUST_USE;

/* Only regular files are mapped. */
err_code file_map_open(const char *path, file_map *ret, err *e) MUST_USE;
err_code file_map_open_beneath(const char *folder, const char *path, file_map *ret, err *e) MUST_USE;
void file_map_close(file_map *m);   /* {0} = none */

/* Names without "." and "..", sorted by bytes; everything lives in arena a. */
err_code file_list(arena *a, const char *folder, file_entry **ret, size_t *ret_count, err *e) MUST_USE;

err_code file_save(const char *path, const void *bytes, size_t len, err *e) MUST_USE;    /* all or nothing, durable */
err_code file_write(const char *path, const void *bytes, size_t len, err *e) MUST_USE;   /* in place: pipes, devices */

#endif
