#include "jobs/job_store.h"

#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/file_out.h"
#include "os/folder.h"
#include "os/random.h"

#include <stdio.h>

enum { PATH_ROOM = FILE_PATH_MAX + 32, NUMBER_DIGITS = 10, HEAD_ROOM = JOB_RECORD_HEAD_BYTES + (1 << 20) };

typedef struct {
    uint32_t number;
    uint64_t bytes, salt;
} segment;

struct job_store {
    folder folder;
    bool taken;
    uint64_t segment_bytes, bytes, damaged, unread;
    segment *segments;              /* oldest first; the last one is written where `open` */
    size_t count, room;
    uint32_t next;                  /* number of the next one */
    bool open;                      /* out is */
    bool fresh;                     /* its name is not durable yet */
    bool unsynced_drop;             /* one was removed, and that may not be durable */
    uint64_t synced;                /* of it */
    file_out out;
    char out_path[PATH_ROOM];
    buf head;
};

static void path_of(const job_store *s, uint32_t number, char ret[PATH_ROOM])
{
    snprintf(ret, PATH_ROOM, "%s/%0*u.jobs", s->folder.path, NUMBER_DIGITS, number);
}

static segment *last(job_store *s) { return &s->segments[s->count - 1]; }

static err_code segment_add(job_store *s, const segment *one, err *e)
{
    if (s->count == s->room) {
        size_t room = s->room ? s->room * 2 : 16;
        segment *grown = mem_grow(s->segments, s->count * sizeof *grown, room, sizeof *grown);
        if (!grown) return err_set(e, ERR_NOMEM, "%s: no memory for %zu files", s->folder.path, room);
        s->segments = grown;
        s->room = room;
    }
    s->segments[s->count++] = *one;
    s->bytes += one->bytes;
    if (one->number >= s->next) s->next = one->number + 1;
    return ERR_OK;
}

/* ---- opening ---- */

static bool number_of(const char *name, uint32_t *ret)
{
    str before, after;
    uint64_t n;
    if (!str_cut(str_of(name), '.', &before, &after) || !str_is(after, "jobs")) return false;
    if (before.len != NUMBER_DIGITS || !str_u64(before, &n) || n >= UINT32_MAX) return false;
    *ret = (uint32_t)n;
    return true;
}

/* A head that never reached the disk before the power was gone is nothing but zeros, or cut off. */
static bool has_bytes(str bytes)
{
    size_t i = 0;
    if (bytes.len <= JOB_LOG_HEAD_BYTES) return false;
    while (i < JOB_LOG_HEAD_BYTES && !bytes.p[i]) i++;
    return i < JOB_LOG_HEAD_BYTES;
}

/* Nothing in it can be read, but it may be what somebody wants to look into. */
static err_code keep_beside(job_store *s, uint32_t number, err *e)
{
    char path[PATH_ROOM], beside[PATH_ROOM + 16];
    path_of(s, number, path);
    snprintf(beside, sizeof beside, "%s.damaged", path);
    if (number >= s->next) s->next = number + 1;
    s->unread++;
    return file_rename(path, beside, e);
}

static err_code replay(job_store *s, const job_store_opts *o, uint32_t number, str bytes, err *e)
{
    job_log_reader r;
    job_record got;
    job_place at = {.segment = number};
    err_code rc = ERR_OK;
    bool whole = job_log_begin(&r, bytes);
    if (!whole && job_log_is_other(bytes))
        return err_set(e, ERR_UNSUPPORTED, "expected a log of jobs of form %d, got another form", JOB_LOG_FORM);
    if (whole && r.head.number != number) whole = false;
    if (!whole && has_bytes(bytes)) return keep_beside(s, number, e);
    segment one = {.number = number, .bytes = bytes.len, .salt = r.head.salt};
    rc = segment_add(s, &one, e);
    if (!whole && bytes.len > JOB_LOG_HEAD_BYTES) s->damaged++;
    while (rc == ERR_OK && whole && job_log_next(&r, &got, &at.at)) {
        at.bytes = job_record_bytes(&got);
        rc = o->found(o->ctx, &got, &at, e);
    }
    if (whole) s->damaged += r.damaged;
    return rc;
}

static err_code replay_all(job_store *s, const job_store_opts *o, err *e)
{
    arena a;
    file_entry *entries;
    size_t count;
    char path[PATH_ROOM];
    arena_init(&a, NULL, 0, 64 << 20);
    err_code rc = file_list(&a, o->path, &entries, &count, e);
    for (size_t i = 0; rc == ERR_OK && i < count; i++) {
        uint32_t number;
        file_map map;
        if (entries[i].kind != FILE_REGULAR || !number_of(entries[i].name, &number)) continue;
        path_of(s, number, path);
        rc = file_map_open(path, &map, e);
        if (rc) break;
        rc = replay(s, o, number, (str){(const char *)map.p, map.len}, e);
        if (rc == ERR_UNSUPPORTED) rc = err_wrap(e, "%s", path);
        file_map_close(&map);
    }
    arena_fini(&a);
    return rc;
}

err_code job_store_open(job_store **ret, const job_store_opts *opts, err *e)
{
    CLEANUP(job_store) job_store *s = mem_new0(job_store, 1);
    if (!s) return err_set(e, ERR_NOMEM, "%s: no memory", opts->path);
    buf_init(&s->head, HEAD_ROOM);
    s->segment_bytes = opts->segment_bytes;
    s->next = 1;
    if (str_of(opts->path).len >= FILE_PATH_MAX - NUMBER_DIGITS)
        return err_set(e, ERR_INVALID, "expected a path of at most %d bytes, got %zu",
                       FILE_PATH_MAX - NUMBER_DIGITS - 1, str_of(opts->path).len);
    err_code rc = folder_take(&s->folder, opts->path, e);
    if (rc) return rc;
    s->taken = true;
    rc = replay_all(s, opts, e);
    if (rc) return rc;
    *ret = TAKE(s);
    return ERR_OK;
}

static void out_close(job_store *s)
{
    if (s->open) file_out_close(&s->out);
    s->open = false;
}

void job_store_free(job_store *s)
{
    if (!s) return;
    out_close(s);
    if (s->taken) folder_close(&s->folder);
    buf_fini(&s->head);
    mem_free(s->segments);
    mem_free(s);
}

/* ---- appending ---- */

static err_code begin(job_store *s, err *e)
{
    segment one = {.number = s->next};
    buf head;
    err_code rc = random_u64(&one.salt, e);
    if (rc == ERR_OK && one.number == UINT32_MAX)
        rc = err_set(e, ERR_LIMIT, "%s: files: no more numbers for them", s->folder.path);
    if (rc) return rc;
    path_of(s, one.number, s->out_path);
    buf_init(&head, (size_t)2 * JOB_LOG_HEAD_BYTES);
    job_log_head_put(&head, &(job_log_head){.salt = one.salt, .number = one.number});
    rc = buf_check(&head, "log of jobs", e);
    if (rc == ERR_OK) rc = file_out_open(&s->out, s->out_path, 0600, e);
    if (rc == ERR_OK) {
        one.bytes = head.len;
        rc = file_out_put(&s->out, 0, head.p, head.len, e);
        if (rc == ERR_OK) rc = segment_add(s, &one, e);
        if (rc) file_out_remove(&s->out);
        if (rc) file_out_close(&s->out);
    }
    buf_fini(&head);
    if (rc) return rc;
    s->open = s->fresh = true;
    s->synced = 0;
    return ERR_OK;
}

/* Files change only between syncs: one call then makes all durable that was put. */
static err_code ready(job_store *s, err *e)
{
    bool rest = s->open && s->synced == last(s)->bytes;
    if (rest && s->synced >= s->segment_bytes) out_close(s);
    return s->open ? ERR_OK : begin(s, e);
}

err_code job_store_put(job_store *s, const job_record *r, job_place *ret, err *e)
{
    err_code rc = ready(s, e);
    if (rc) return rc;
    segment *to = last(s);
    job_place at = {.segment = to->number, .at = to->bytes, .bytes = job_record_bytes(r)};
    buf_clear(&s->head);
    job_record_put(&s->head, to->salt, r);
    rc = buf_check(&s->head, "record of a job", e);
    if (rc) return rc;
    rc = file_out_put(&s->out, at.at, s->head.p, s->head.len, e);
    if (rc == ERR_OK) rc = file_out_put(&s->out, at.at + s->head.len, r->body.p, r->body.len, e);
    if (rc) {
        err ignored;   /* what stays is no record, and the next one is put over it */
        (void)!file_out_cut(&s->out, at.at, &ignored);
        return rc;
    }
    to->bytes += at.bytes;
    s->bytes += at.bytes;
    *ret = at;
    return ERR_OK;
}

static err_code cut_back(job_store *s)
{
    segment *to = last(s);
    err ignored;
    err_code rc = file_out_cut(&s->out, s->synced, &ignored);
    s->bytes -= to->bytes - s->synced;
    to->bytes = s->synced;
    return rc;
}

/* What the kernel could not write it may have thrown away, and says so once: the file is not written any more. */
static void take_back(job_store *s)
{
    (void)!cut_back(s);
    out_close(s);
}

/* What could not be cut off must stay behind no later record. */
void job_store_undo(job_store *s)
{
    if (s->open && s->synced != last(s)->bytes && cut_back(s)) out_close(s);
}

err_code job_store_sync(job_store *s, err *e)
{
    if (!s->open || s->synced == last(s)->bytes) return ERR_OK;
    err_code rc = file_out_sync(&s->out, e);
    if (rc == ERR_OK && s->fresh) rc = folder_sync(&s->folder, e);
    if (rc) {
        take_back(s);
        return rc;
    }
    s->fresh = false;
    s->synced = last(s)->bytes;
    return ERR_OK;
}

/* ---- reading, dropping ---- */

err_code job_store_read(job_store *s, const job_place *at, buf *into, job_record *ret, err *e)
{
    char path[PATH_ROOM];
    const segment *from = NULL;
    for (size_t i = 0; i < s->count && !from; i++)
        if (s->segments[i].number == at->segment) from = &s->segments[i];
    path_of(s, at->segment, path);
    if (!from) return err_set(e, ERR_INVALID, "%s: expected a job, got no file any more", path);
    INVARIANT(at->at + at->bytes <= from->bytes);
    buf_clear(into);
    uint8_t *to = buf_room(into, (size_t)at->bytes);
    err_code rc = to ? ERR_OK : buf_check(into, "job", e);
    if (rc) return rc;
    rc = file_read_part(path, at->at, to, (size_t)at->bytes, e);
    if (rc) return rc;
    into->len = (size_t)at->bytes;
    if (job_record_read(buf_str(into), from->salt, ret)) return ERR_OK;
    return err_set(e, ERR_INVALID, "%s: byte %llu: expected a job, got damaged bytes", path,
                   (unsigned long long)at->at);
}

uint64_t job_store_bytes(const job_store *s) { return s->bytes; }
uint64_t job_store_damaged(const job_store *s) { return s->damaged; }

uint64_t job_store_unread(const job_store *s) { return s->unread; }

bool job_store_oldest(const job_store *s, uint32_t *ret)
{
    if (s->count < 1 + (size_t)s->open) return false;
    *ret = s->segments[0].number;
    return true;
}

bool job_store_first(const job_store *s, uint32_t *ret)
{
    if (s->count) *ret = s->segments[0].number;
    return s->count > 0;
}

err_code job_store_drop_sync(job_store *s, err *e)
{
    err_code rc = s->unsynced_drop ? folder_sync(&s->folder, e) : ERR_OK;
    s->unsynced_drop = rc != ERR_OK;
    return rc;
}

err_code job_store_drop_oldest(job_store *s, err *e)
{
    char path[PATH_ROOM];
    err_code rc;
    INVARIANT(s->count >= 1 && (!s->open || s->synced == last(s)->bytes));
    if (s->count == 1) out_close(s);
    /* One by one: a file must not come back behind a power loss when a later one does not. */
    rc = job_store_drop_sync(s, e);
    if (rc) return rc;
    path_of(s, s->segments[0].number, path);
    rc = file_delete(path, e);
    if (rc && rc != ERR_NOT_FOUND) return rc;
    s->bytes -= s->segments[0].bytes;
    memmove(s->segments, s->segments + 1, --s->count * sizeof *s->segments);
    s->unsynced_drop = true;
    (void)!job_store_drop_sync(s, e);
    return ERR_OK;
}
