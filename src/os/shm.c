#include "os/shm.h"

#include "base/map.h"
#include "base/mem.h"
#include "os/lock.h"
#include "os/sys.h"

#include <fcntl.h>
#include <string.h>

typedef struct {
    shm_region is;      /* its strings lie behind it */
    int fd;
    uint32_t refs;      /* the set's, and one of each copy under way */
} region;

struct shm_set {
    lock lock;          /* guards the map and all refs */
    map by_name;
};

err_code shm_set_new(shm_set **ret, err *e)
{
    shm_set *s = mem_new0(shm_set, 1);
    if (!s) return err_set(e, ERR_NOMEM, "shared memory: no memory");
    lock_init(&s->lock);
    map_init(&s->by_name);
    *ret = s;
    return ERR_OK;
}

static void region_free(region *r)
{
    sys_close(r->fd);
    mem_free(r);
}

/* Under the lock: true = it was the last one, to be freed behind it. */
static bool unref(region *r) { return --r->refs == 0; }

void shm_unregister(shm_set *s, str name)
{
    for (;;) {
        size_t at = 0;
        str key = name;
        lock_take(&s->lock);
        region *r = name.len ? map_get(&s->by_name, name) : map_next(&s->by_name, &at, &key);
        if (r) map_del(&s->by_name, key);
        bool last = r && unref(r);
        lock_give(&s->lock);
        if (last) region_free(r);
        if (!r || name.len) return;
    }
}

void shm_set_free(shm_set *s)
{
    if (!s) return;
    shm_unregister(s, STR(""));
    map_fini(&s->by_name);
    lock_fini(&s->lock);
    mem_free(s);
}

/* The object's file, as shm_open() finds it. */
static err_code path_make(char ret[SHM_NAME_MAX + 16], str key, err *e)
{
    str file = key.len && key.p[0] == '/' ? (str){key.p + 1, key.len - 1} : key;
    bool bad = file.len == 0 || file.len > SHM_NAME_MAX || str_is(file, ".") || str_is(file, "..");
    for (size_t i = 0; i < file.len && !bad; i++) bad = file.p[i] == '/' || file.p[i] == '\0';
    if (bad)
        return err_set(e, ERR_INVALID, "key: expected '/' and 1..%d bytes without '/', got '" STR_FMT "'", SHM_NAME_MAX,
                       STR_ARG(key));
    memcpy(ret, "/dev/shm/", 9);
    memcpy(ret + 9, file.p, file.len);
    ret[9 + file.len] = '\0';
    return ERR_OK;
}

/* These words are Triton's. */
static err_code cannot_open(err *e, str key)
{
    return err_wrap(e, "Unable to open shared memory region: '" STR_FMT "'", STR_ARG(key));
}

static err_code object_open(int *ret, const shm_region *r, err *e)
{
    char path[SHM_NAME_MAX + 16];
    struct stat st;
    err_code rc = path_make(path, r->key, e);
    if (rc) return cannot_open(e, r->key);
    int64_t fd = SYS_RETRY(sys_open(AT_FDCWD, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0));
    if (fd < 0) {
        (void)sys_err(e, fd, path, "open");
        return cannot_open(e, r->key);
    }
    int64_t failed = sys_stat_fd((int)fd, &st);
    uint64_t end, size = failed ? 0 : (uint64_t)st.st_size;
    if (failed) rc = sys_err(e, failed, path, "stat");
    else if (!S_ISREG(st.st_mode)) rc = err_set(e, ERR_INVALID, "expected a shared memory object");
    else if (__builtin_add_overflow(r->offset, r->bytes, &end) || end > size)
        rc = err_set(e, ERR_INVALID, "expected at least %llu bytes behind offset %llu, the object has %llu",
                     (unsigned long long)r->bytes, (unsigned long long)r->offset, (unsigned long long)size);
    if (rc) {
        sys_close((int)fd);
        return cannot_open(e, r->key);
    }
    *ret = (int)fd;
    return ERR_OK;
}

static region *region_new(const shm_region *r, int fd)
{
    region *n = mem_alloc0(1, sizeof *n + r->name.len + r->key.len);
    if (!n) return NULL;
    char *name = (char *)(n + 1), *key = name + r->name.len;
    memcpy(name, r->name.p, r->name.len);
    memcpy(key, r->key.p, r->key.len);
    n->is = (shm_region){{name, r->name.len}, {key, r->key.len}, r->offset, r->bytes};
    n->fd = fd;
    n->refs = 1;
    return n;
}

err_code shm_register(shm_set *s, const shm_region *r, err *e)
{
    int fd;
    if (r->name.len == 0 || r->name.len > SHM_NAME_MAX)
        return err_set(e, ERR_INVALID, "shared memory: name: expected 1..%d bytes, got %zu", SHM_NAME_MAX, r->name.len);
    err_code rc = object_open(&fd, r, e);
    if (rc) return rc;
    region *n = region_new(r, fd);
    if (!n) {
        sys_close(fd);
        return err_set(e, ERR_NOMEM, "shared memory: no memory");
    }
    lock_take(&s->lock);
    if (map_get(&s->by_name, r->name))
        rc = err_set(e, ERR_CONFLICT, "shared memory region '" STR_FMT "' already in manager", STR_ARG(r->name));
    else if (map_count(&s->by_name) == SHM_REGIONS_MAX)
        rc = err_set(e, ERR_LIMIT, "shared memory: expected at most %d regions, got more", SHM_REGIONS_MAX);
    else if (!map_put(&s->by_name, n->is.name, n))
        rc = err_set(e, ERR_NOMEM, "shared memory: no memory");
    lock_give(&s->lock);
    if (rc) region_free(n);
    return rc;
}

static bool region_copy(shm_region *to, arena *a, const shm_region *r)
{
    *to = (shm_region){str_copy(a, r->name), str_copy(a, r->key), r->offset, r->bytes};
    return to->name.p && to->key.p;
}

err_code shm_list(shm_set *s, str name, arena *a, shm_region **ret, size_t *ret_count, err *e)
{
    size_t at = 0, count = 0;
    str key;
    lock_take(&s->lock);
    size_t room = name.len ? 1 : map_count(&s->by_name);
    shm_region *list = arena_new(a, shm_region, room);
    bool ok = list != NULL;
    const region *r = name.len ? map_get(&s->by_name, name) : map_next(&s->by_name, &at, &key);
    for (; r && ok; r = name.len ? NULL : map_next(&s->by_name, &at, &key)) ok = region_copy(&list[count++], a, &r->is);
    lock_give(&s->lock);
    if (!ok) return err_set(e, ERR_NOMEM, "shared memory: no memory for a list");
    *ret = list;
    *ret_count = count;
    return ERR_OK;
}

static region *take(shm_set *s, str name)
{
    lock_take(&s->lock);
    region *r = map_get(&s->by_name, name);
    if (r) r->refs++;
    lock_give(&s->lock);
    return r;
}

static void give(shm_set *s, region *r)
{
    lock_take(&s->lock);
    bool last = unref(r);
    lock_give(&s->lock);
    if (last) region_free(r);
}

typedef struct {
    void *to;           /* NULL = from is written */
    const void *from;
} copy;

static err_code moved(const region *r, uint64_t offset, size_t len, const copy *c, err *e)
{
    if (offset > r->is.bytes || len > r->is.bytes - offset)
        return err_set(e, ERR_INVALID, "expected at most %llu bytes, got %zu at offset %llu",
                       (unsigned long long)r->is.bytes, len, (unsigned long long)offset);
    struct stat st;   /* writing behind the end would make the object longer */
    int64_t n = sys_stat_fd(r->fd, &st);
    if (n < 0) return sys_err(e, n, "object", "stat");
    if ((uint64_t)st.st_size < r->is.offset + offset + len)
        return err_set(e, ERR_INVALID, "the object has been cut to %llu bytes", (unsigned long long)st.st_size);
    for (size_t at = 0; at < len; at += (size_t)n) {
        uint64_t where = r->is.offset + offset + at;
        n = c->to ? SYS_RETRY(sys_read_at(r->fd, (char *)c->to + at, len - at, where))
                  : SYS_RETRY(sys_write_at(r->fd, (const char *)c->from + at, len - at, where));
        if (n < 0) return sys_err(e, n, "object", c->to ? "read" : "write");
        if (n == 0) return err_set(e, ERR_INVALID, "the object has been cut");
    }
    return ERR_OK;
}

static err_code move(shm_set *s, str name, uint64_t offset, size_t len, const copy *c, err *e)
{
    region *r = take(s, name);
    if (!r) return err_set(e, ERR_NOT_FOUND, "Unable to find shared memory region: '" STR_FMT "'", STR_ARG(name));
    err_code rc = moved(r, offset, len, c, e);
    give(s, r);
    return rc ? err_wrap(e, "shared memory region '" STR_FMT "'", STR_ARG(name)) : ERR_OK;
}

err_code shm_read(shm_set *s, str name, uint64_t offset, void *to, size_t len, err *e)
{
    return move(s, name, offset, len, &(copy){.to = to}, e);
}

err_code shm_write(shm_set *s, str name, uint64_t offset, const void *from, size_t len, err *e)
{
    return move(s, name, offset, len, &(copy){.from = from}, e);
}
