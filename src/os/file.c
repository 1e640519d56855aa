#include "os/file.h"

#include "base/mem.h"
#include "os/sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A descriptor that closes when it leaves scope. */
static void fd_close(const int *fd)
{
    if (*fd >= 0) (void)sys_close(*fd);
}
#define CLEANUP_FD __attribute__((cleanup(fd_close)))

static file_kind kind_of(mode_t mode)
{
    return S_ISREG(mode) ? FILE_REGULAR : S_ISDIR(mode) ? FILE_FOLDER : FILE_OTHER;
}

err_code file_identify(const char *path, file_id *ret, err *e)
{
    struct stat s;
    int64_t rc = SYS_RETRY(sys_stat_at(AT_FDCWD, path, &s));
    if (rc < 0) return sys_err(e, rc, path, "cannot look up");
    *ret = (file_id){
        .device = (uint64_t)s.st_dev,
        .inode = (uint64_t)s.st_ino,
        .bytes = (uint64_t)s.st_size,
        .changed_ns = (uint64_t)s.st_mtim.tv_sec * 1000000000u + (uint64_t)s.st_mtim.tv_nsec,
        .mode = (uint32_t)s.st_mode & 07777,
        .kind = kind_of(s.st_mode),
    };
    return ERR_OK;
}

bool file_id_eq(const file_id *a, const file_id *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes && a->changed_ns == b->changed_ns;
}

/* O_NONBLOCK: opening a pipe that nobody writes to must not hang; it means nothing to a regular file. */
enum { OPEN_READ = O_RDONLY | O_NONBLOCK | O_NOCTTY };

static err_code open_read(const char *path, int *ret_fd, err *e)
{
    int64_t fd = SYS_RETRY(sys_open(AT_FDCWD, path, OPEN_READ, 0));
    if (fd < 0) return sys_err(e, fd, path, "cannot open");
    *ret_fd = (int)fd;
    return ERR_OK;
}

/* The path of what fd refers to, as the kernel sees it now; false where /proc is missing. */
static bool path_of(int fd, char text[FILE_PATH_MAX])
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int64_t n = sys_read_link(link, text, FILE_PATH_MAX - 1);
    if (n <= 0 || n >= FILE_PATH_MAX - 1) return false;
    text[n] = '\0';
    return true;
}

static bool is_beneath(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    if (n == 1) return path[0] == '/' && folder[0] == '/';
    return strncmp(path, folder, n) == 0 && path[n] == '/';
}

/* Without openat2 (before Linux 5.6, or behind an old seccomp filter): take hold of the file without opening it
 * for reading, ask the kernel where that is, and open that very file only if it lies beneath the folder. */
static int64_t open_beneath_by_name(int folder_fd, const char *path)
{
    char folder_name[FILE_PATH_MAX], file_name[FILE_PATH_MAX], link[40];
    if (path[0] == '/') return -EXDEV;
    int64_t held = SYS_RETRY(sys_open(folder_fd, path, O_PATH, 0));
    if (held < 0) return held;
    CLEANUP_FD int fd = (int)held;
    if (!path_of(folder_fd, folder_name) || !path_of(fd, file_name)) return -ENOSYS;
    if (!is_beneath(file_name, folder_name)) return -EXDEV;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return SYS_RETRY(sys_open(AT_FDCWD, link, OPEN_READ, 0));
}

static err_code open_beneath(const char *folder, const char *path, int *ret_fd, err *e)
{
    int64_t held = SYS_RETRY(sys_open(AT_FDCWD, folder[0] ? folder : ".", O_PATH | O_DIRECTORY, 0));
    if (held < 0) return sys_err(e, held, folder, "cannot open the folder");
    CLEANUP_FD int folder_fd = (int)held;
    int64_t fd = -EAGAIN;
    for (int tries = 0; tries < 8 && fd == -EAGAIN; tries++)   /* EAGAIN: a rename ran meanwhile, nothing is known */
        fd = SYS_RETRY(sys_open_beneath(folder_fd, path, OPEN_READ));
    if (fd == -ENOSYS || fd == -EPERM) fd = open_beneath_by_name(folder_fd, path);
    if (fd == -EXDEV) return err_set(e, ERR_INVALID, "%s: leads out of folder '%s', which is refused", path, folder);
    if (fd < 0) return sys_err(e, fd, path, "cannot open");
    *ret_fd = (int)fd;
    return ERR_OK;
}

typedef struct {
    char *p;
    size_t len, room;
} text;

static void text_fini(text *t) { mem_free(t->p); }

/* The room grows beyond the size that stat gave only for pipes and /proc. */
static err_code read_all(int fd, const char *path, size_t bytes_max, text *t, err *e)
{
    for (;;) {
        if (t->len + 1 >= t->room) {
            size_t room = t->room > bytes_max / 2 ? bytes_max + 2 : t->room * 2;
            char *p = mem_grow(t->p, t->len, room, 1);
            if (!p) return err_set(e, ERR_NOMEM, "%s: no memory for %zu bytes", path, room);
            t->p = p;
            t->room = room;
        }
        int64_t n = SYS_RETRY(sys_read(fd, t->p + t->len, t->room - 1 - t->len));
        if (n < 0) return sys_err(e, n, path, "cannot read");
        t->len += (size_t)n;
        if (t->len > bytes_max)
            return err_set(e, ERR_TOO_LARGE, "%s: too large: expected at most %zu bytes", path, bytes_max);
        if (n == 0) return ERR_OK;
    }
}

static err_code kind_wrong(const char *path, file_kind kind, err *e)
{
    return err_set(e, ERR_INVALID, "%s: expected a file, got %s", path,
                   kind == FILE_FOLDER ? "a folder" : "a device or pipe");
}

static err_code read_whole(const char *path, bool others, size_t bytes_max, char **ret, size_t *ret_len, err *e)
{
    INVARIANT(bytes_max < SIZE_MAX / 4);
    CLEANUP_FD int fd = -1;
    err_code rc = open_read(path, &fd, e);
    if (rc) return rc;
    struct stat s;
    int64_t got = sys_stat_fd(fd, &s);
    if (got < 0) return sys_err(e, got, path, "cannot look up");
    file_kind kind = kind_of(s.st_mode);
    if (kind == FILE_FOLDER || (kind == FILE_OTHER && !others)) return kind_wrong(path, kind, e);
    if (kind == FILE_OTHER && (got = sys_block(fd)) < 0) return sys_err(e, got, path, "cannot read");
    uint64_t size = kind == FILE_REGULAR ? (uint64_t)s.st_size : 0;
    if (size > bytes_max)
        return err_set(e, ERR_TOO_LARGE, "%s: too large: expected at most %zu bytes, got %llu", path, bytes_max,
                       (unsigned long long)size);

    /* Two more than the size: a byte that proves the end, and the NUL. */
    __attribute__((cleanup(text_fini))) text t = {.room = size + 2 > 4096 ? (size_t)size + 2 : 4096};
    t.p = mem_alloc_raw(t.room);
    if (!t.p) return err_set(e, ERR_NOMEM, "%s: no memory for %zu bytes", path, t.room);
    rc = read_all(fd, path, bytes_max, &t, e);
    if (rc) return rc;
    t.p[t.len] = '\0';
    *ret_len = t.len;
    *ret = TAKE(t.p);
    return ERR_OK;
}

err_code file_read(const char *path, size_t bytes_max, char **ret, size_t *ret_len, err *e)
{
    return read_whole(path, true, bytes_max, ret, ret_len, e);
}

err_code file_read_regular(const char *path, size_t bytes_max, char **ret, size_t *ret_len, err *e)
{
    return read_whole(path, false, bytes_max, ret, ret_len, e);
}

err_code file_read_part(const char *path, uint64_t at, void *ret, size_t len, err *e)
{
    CLEANUP_FD int fd = -1;
    uint8_t *p = ret;
    err_code rc = open_read(path, &fd, e);
    while (rc == ERR_OK && len > 0) {
        int64_t n = SYS_RETRY(sys_read_at(fd, p, len, at));
        if (n < 0) return sys_err(e, n, path, "cannot read");
        if (n == 0) return err_set(e, ERR_INVALID, "%s: expected %zu more bytes, got the end", path, len);
        p += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return rc;
}

err_code file_delete(const char *path, err *e)
{
    int64_t rc = SYS_RETRY(sys_unlink(path));
    return rc < 0 ? sys_err(e, rc, path, "cannot remove") : ERR_OK;
}

err_code file_rename(const char *from, const char *to, err *e)
{
    int64_t rc = SYS_RETRY(sys_rename(from, to));
    return rc < 0 ? sys_err(e, rc, from, "cannot rename") : ERR_OK;
}

static err_code map_fd(int fd, const char *path, file_map *ret, err *e)
{
    struct stat s;
    int64_t rc = sys_stat_fd(fd, &s);
    if (rc < 0) return sys_err(e, rc, path, "cannot look up");
    file_kind kind = kind_of(s.st_mode);
    if (kind != FILE_REGULAR) return kind_wrong(path, kind, e);
    if (s.st_size == 0) {   /* the kernel maps no empty files */
        *ret = (file_map){.p = (const uint8_t *)"", .len = 0};
        return ERR_OK;
    }
    void *p = NULL;
    rc = sys_map(fd, (size_t)s.st_size, &p);
    if (rc < 0) return sys_err(e, rc, path, "cannot map");
    *ret = (file_map){.p = p, .len = (size_t)s.st_size};
    return ERR_OK;
}

err_code file_map_open(const char *path, file_map *ret, err *e)
{
    CLEANUP_FD int fd = -1;
    err_code rc = open_read(path, &fd, e);
    return rc ? rc : map_fd(fd, path, ret, e);
}

err_code file_map_open_beneath(const char *folder, const char *path, file_map *ret, err *e)
{
    CLEANUP_FD int fd = -1;
    err_code rc = open_beneath(folder, path, &fd, e);
    return rc ? rc : map_fd(fd, path, ret, e);
}

void file_map_close(file_map *m)
{
    if (m->len) {
        int64_t rc = sys_unmap((void *)(uintptr_t)m->p, m->len);
        INVARIANT(rc == 0);
    }
    *m = (file_map){0};
}

typedef struct name_link {
    struct name_link *next;
    char *name;
} name_link;

/* The kernel's record of getdents64(2). */
typedef struct {
    uint64_t inode;
    int64_t next;
    uint16_t bytes;
    uint8_t type;
    char name[];
} dirent_record;

static err_code read_names(arena *a, int fd, const char *folder, name_link **ret, size_t *ret_count, err *e)
{
    _Alignas(dirent_record) char batch[16384];
    for (;;) {
        int64_t n = SYS_RETRY(sys_list(fd, batch, sizeof batch));
        if (n < 0) return sys_err(e, n, folder, "cannot list");
        if (n == 0) return ERR_OK;
        for (int64_t at = 0; at < n;) {
            const dirent_record *d = (const dirent_record *)(const void *)(batch + at);
            at += d->bytes;
            if (strcmp(d->name, ".") == 0 || strcmp(d->name, "..") == 0) continue;
            if (*ret_count == FILE_LIST_MAX)
                return err_set(e, ERR_LIMIT, "%s: too many entries: expected at most %d", folder, FILE_LIST_MAX);
            name_link *link = arena_new(a, name_link, 1);
            char *name = link ? arena_copy(a, d->name, strlen(d->name) + 1, 1) : NULL;
            if (!name) return err_set(e, ERR_NOMEM, "%s: no memory for its list of files", folder);
            *link = (name_link){.next = *ret, .name = name};
            *ret = link;
            ++*ret_count;
        }
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const file_entry *)a)->name, ((const file_entry *)b)->name);
}

err_code file_list(arena *a, const char *folder, file_entry **ret, size_t *ret_count, err *e)
{
    int64_t held = SYS_RETRY(sys_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0));
    if (held < 0) return sys_err(e, held, folder, "cannot open the folder");
    CLEANUP_FD int fd = (int)held;
    name_link *names = NULL;
    size_t count = 0;
    err_code rc = read_names(a, fd, folder, &names, &count, e);
    if (rc) return rc;
    file_entry *entries = arena_new(a, file_entry, count);
    if (!entries) return err_set(e, ERR_NOMEM, "%s: no memory for its list of files", folder);
    size_t i = 0;
    for (const name_link *link = names; link; link = link->next, i++) {
        struct stat s;
        bool known = SYS_RETRY(sys_stat_at(fd, link->name, &s)) == 0;
        entries[i] = (file_entry){.name = link->name, .kind = known ? kind_of(s.st_mode) : FILE_OTHER};
    }
    qsort(entries, count, sizeof *entries, by_name);
    *ret = entries;
    *ret_count = count;
    return ERR_OK;
}

static int64_t write_all(int fd, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    while (len > 0) {
        int64_t n = SYS_RETRY(sys_write(fd, p, len));
        if (n < 0) return n;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

err_code file_write(const char *path, const void *bytes, size_t len, err *e)
{
    int64_t opened = SYS_RETRY(sys_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY, 0644));
    if (opened < 0) return sys_err(e, opened, path, "cannot open for writing");
    CLEANUP_FD int fd = (int)opened;
    int64_t rc = write_all(fd, bytes, len);
    return rc < 0 ? sys_err(e, rc, path, "cannot write") : ERR_OK;
}

/* A rename is durable once the folder that holds the name is. */
static int64_t sync_folder_of(const char *path)
{
    char folder[FILE_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + (slash == path) : 0;
    memcpy(folder, path, n);
    folder[n] = '\0';
    int64_t opened = SYS_RETRY(sys_open(AT_FDCWD, n ? folder : ".", O_RDONLY | O_DIRECTORY, 0));
    if (opened < 0) return opened;
    CLEANUP_FD int fd = (int)opened;
    return SYS_RETRY(sys_sync(fd));
}

static int64_t write_new(const char *path, const void *bytes, size_t len)
{
    int64_t opened = SYS_RETRY(sys_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0644));
    if (opened < 0) return opened;
    int fd = (int)opened;
    int64_t rc = write_all(fd, bytes, len);
    if (rc == 0) rc = SYS_RETRY(sys_sync(fd));
    int64_t closed = sys_close(fd);   /* NFS reports a full disk here; EINTR means closed all the same */
    return rc < 0 ? rc : closed == -EINTR ? 0 : closed;
}

err_code file_save(const char *path, const void *bytes, size_t len, err *e)
{
    char beside[FILE_PATH_MAX];
    uint64_t unique = 0;   /* two writers of one path must not share the name beside it */
    int64_t rc = SYS_RETRY(sys_random(&unique, sizeof unique));
    if (rc < 0) return sys_err(e, rc, path, "cannot make a temporary name");
    int n = snprintf(beside, sizeof beside, "%s.%016llx.tmp", path, (unsigned long long)unique);
    if (n < 0 || (size_t)n >= sizeof beside) return sys_err(e, -ENAMETOOLONG, path, "cannot write");
    rc = write_new(beside, bytes, len);
    if (rc == 0) rc = SYS_RETRY(sys_rename(beside, path));
    if (rc < 0) {
        if (rc != -EEXIST) (void)sys_unlink(beside);
        return sys_err(e, rc, path, "cannot write");
    }
    rc = sync_folder_of(path);
    return rc < 0 ? sys_err(e, rc, path, "written, but cannot sync its folder") : ERR_OK;
}
