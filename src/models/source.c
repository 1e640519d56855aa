#include "models/source.h"

#include "base/buf.h"
#include "os/file.h"

#include <stdlib.h>
#include <string.h>

/* What a walk lists gives lines hardly twice as long as what it takes of a walk's memory; a stamp is of two walks. */
enum { STAMP_BYTES_MAX = 4 * SOURCE_NAMES_BYTES_MAX };

/* p NULL = no memory. */
static str path_join(arena *a, const char *folder, const char *name)
{
    size_t len = strlen(folder);
    bool slash = len > 0 && folder[len - 1] == '/';
    const char *path = arena_printf(a, "%s%s%s", folder, slash ? "" : "/", name);
    return path ? str_of(path) : (str){0};
}

/* A folder, as it was read. */
typedef struct {
    const char *path;
    file_entry *all;
    size_t count;
} listing;

static err_code listing_read(listing *ret, arena *a, const char *path, err *e)
{
    ret->path = path;
    return file_list(a, path, &ret->all, &ret->count, e);
}

static bool is_named(const model_config *c, str entry)
{
    return c->file.len ? str_eq(entry, c->file) : str_is(entry, "model.onnx");
}

static bool is_model(const model_config *c, const file_entry *entry)
{
    str name = str_of(entry->name);
    if (entry->kind != FILE_REGULAR || name.p[0] == '.') return false;
    return is_named(c, name) || (!c->file.len && str_ends(name, STR(".onnx")));
}

/* The file that the configuration names; else model.onnx, or the only .onnx file; *ret untouched and ERR_OK when there
 * is none. */
static err_code file_choose(str *ret, arena *a, const listing *l, const model_config *c, err *e)
{
    size_t found = 0;
    const char *name = NULL;
    for (size_t i = 0; i < l->count; i++) {
        if (!is_model(c, &l->all[i])) continue;
        name = l->all[i].name;
        found++;
        if (is_named(c, str_of(name))) {
            found = 1;
            break;
        }
    }
    if (found > 1)
        return err_set(e, ERR_INVALID, "%s: expected one .onnx file or model.onnx, got %zu files", l->path, found);
    if (found == 0) return ERR_OK;
    str path = path_join(a, l->path, name);
    if (!path.p) return err_set(e, ERR_NOMEM, "%s: no memory for the path", l->path);
    *ret = path;
    return ERR_OK;
}

static int newer_first(const void *one, const void *two)
{
    const source_version *v = one, *w = two;
    return v->number < w->number ? 1 : v->number > w->number ? -1 : strcmp(v->name.p, w->name.p);
}

bool source_is_version(str name, uint64_t *ret) { return name.len && name.p[0] != '0' && str_u64(name, ret); }

/* Each folder VERSION/, the newest first, whatever is in it.  *ret_zeros: some only look like versions. */
static err_code versions_list(source *ret, arena *a, const listing *l, bool *ret_zeros, err *e)
{
    size_t n = 0;
    source_version *all = arena_new(a, source_version, l->count ? l->count : 1);
    if (!all) return err_set(e, ERR_NOMEM, "%s: no memory for %zu versions", l->path, l->count);
    for (size_t i = 0; i < l->count; i++) {
        source_version v = {.name = str_of(l->all[i].name)};
        if (l->all[i].kind != FILE_FOLDER) continue;
        if (v.name.p[0] == '0' && str_u64(v.name, &v.number)) *ret_zeros = true;
        if (source_is_version(v.name, &v.number)) all[n++] = v;
    }
    qsort(all, n, sizeof *all, newer_first);
    ret->all = all;
    ret->count = n;
    return ERR_OK;
}

/* What a version is served from; untouched where it holds no model. */
static err_code version_file(str *ret, arena *a, const char *folder, const model_config *c, const source_version *v,
                             err *e)
{
    listing l;
    str sub = path_join(a, folder, v->name.p);
    if (!sub.p) return err_set(e, ERR_NOMEM, "%s: no memory for the path", folder);
    if (c->ensemble) *ret = sub;
    if (c->ensemble) return ERR_OK;
    err_code rc = listing_read(&l, a, sub.p, e);
    return rc ? rc : file_choose(ret, a, &l, c, e);
}

/* What is looked for, and where; see source_find(). */
typedef struct {
    const char *folder;
    const model_config *c;
    str besides;
} quest;

/* Those that may be served and hold a model: no other is looked into.  None, and ERR_OK, where no version does. */
static err_code versions_choose(source *s, arena *a, const quest *q, err *e)
{
    const model_config *c = q->c;
    size_t n = 0, looked = 0;
    bool found = q->besides.len == 0;
    for (size_t i = 0; i < s->count; i++) {
        source_version v = s->all[i];
        bool wanted = q->besides.len > 0 && str_eq(v.name, q->besides);
        if (!wanted && !model_config_serves(c, v.number, n)) continue;
        err_code rc = version_file(&v.file, a, q->folder, c, &v, e);
        if (rc) return rc;
        looked++;
        if (!v.file.p) continue;
        s->all[n++] = v;
        found = found || wanted;
    }
    bool none = n == 0 && looked == s->count;
    s->count = n;
    if (none) return ERR_OK;
    if (!found)
        return err_set(e, ERR_NOT_FOUND, "%s: expected version " STR_FMT ", which was activated, got none", q->folder,
                       STR_ARG(q->besides));
    if (n == 0)   /* the words are Triton's */
        return err_set(e, ERR_NOT_FOUND,
                       "%s: at least one version must be available under the version policy of model '" STR_FMT "'",
                       q->folder, STR_ARG(c->name));
    return ERR_OK;
}

/* What has no versions is version 1. */
static err_code only_version(source *ret, arena *a, str file, str besides, err *e)
{
    source_version *v = arena_new(a, source_version, 1);
    if (!v) return err_set(e, ERR_NOMEM, "no memory for a version");
    *v = (source_version){.number = 1, .name = STR("1"), .file = file};
    *ret = (source){.all = v, .count = 1};
    if (besides.len == 0 || str_eq(besides, v->name)) return ERR_OK;
    return err_set(e, ERR_NOT_FOUND, STR_FMT ": expected version " STR_FMT ", which was activated, got none",
                   STR_ARG(file), STR_ARG(besides));
}

static void stamp_put(buf *text, const char *path)
{
    file_id id;
    err gone;
    if (file_identify(path, &id, &gone)) return;
    buf_printf(text, "%s\n%llu %llu %llu %llu\n", path, (unsigned long long)id.device, (unsigned long long)id.inode,
               (unsigned long long)id.bytes, (unsigned long long)id.changed_ns);
}

static err_code path_keep(str *ret, arena *a, const char *path, err *e)
{
    *ret = str_copy(a, str_of(path));
    return ret->p ? ERR_OK : err_set(e, ERR_NOMEM, "%s: no memory for the path", path);
}

/* A walk through a folder and those in it; links are followed, but no folder is entered twice. */
typedef struct {
    arena *a;
    arena names;                /* what the folders list: such a lot takes nothing from what a load needs */
    buf *beside;                /* of a stamp: what no load reads; NULL = there is none */
    const source_visit *visit;  /* or NULL */
    str *unseen;                /* the first that was passed over */
    file_id seen[SOURCE_FOLDERS_MAX];
    size_t count;
} walk;

static void walk_init(walk *w, arena *a, str *unseen)
{
    *w = (walk){.a = a, .unseen = unseen};
    arena_init(&w->names, NULL, 0, SOURCE_NAMES_BYTES_MAX);
}

static void walk_fini(walk *w) { arena_fini(&w->names); }

static bool walk_finds(const walk *w, const char *folder, file_id *ret)
{
    err gone;
    if (file_identify(folder, ret, &gone) || ret->kind != FILE_FOLDER) return false;
    for (size_t i = 0; i < w->count; i++)
        if (w->seen[i].device == ret->device && w->seen[i].inode == ret->inode) return false;
    return true;
}

/* What cannot be listed, or is beyond the bounds, is passed over: it may be a user's own.  Not so where the heap has no
 * more: another time it may. */
static err_code walk_pass(walk *w, const char *folder, err_code why, err *e)
{
    if (why == ERR_NOMEM && w->names.starved)
        return err_set(e, ERR_NOMEM, "%s: no memory for its list of files", folder);
    return w->unseen->p ? ERR_OK : path_keep(w->unseen, w->a, folder, e);
}

/* Beside versions a load looks into these folders, and into no other. */
static bool is_read(const char *name) { return strcmp(name, "initial_state") == 0 || strcmp(name, "warmup") == 0; }

static int rank(const file_entry *f) { return f->kind != FILE_FOLDER ? 0 : is_read(f->name) ? 1 : 2; }

/* What a load reads comes first: what lies in folders within takes no room from it, and no link its place. */
static int read_first(const void *one, const void *two)
{
    const file_entry *f = one, *g = two;
    int order = rank(f) - rank(g);
    return order ? order : strcmp(f->name, g->name);
}

/* `to`: of a stamp; NULL = there is none.  `versions`: it may hold some, which are no part of this.  `depth`: of
 * folders within. */
static err_code walk_through(walk *w, const char *folder, buf *to, bool versions, int depth, err *e)
{
    listing l;
    file_id id;
    uint64_t number;
    if (!walk_finds(w, folder, &id)) return ERR_OK;
    if (depth < 0 || w->count == SOURCE_FOLDERS_MAX) return walk_pass(w, folder, ERR_LIMIT, e);
    w->seen[w->count++] = id;
    if (w->visit) w->visit->enter(w->visit->ctx, folder);
    err_code rc = listing_read(&l, &w->names, folder, e);
    if (rc) return walk_pass(w, folder, rc, e);
    qsort(l.all, l.count, sizeof *l.all, read_first);
    for (size_t i = 0; rc == ERR_OK && i < l.count; i++) {
        const file_entry *f = &l.all[i];
        bool inner = f->kind == FILE_FOLDER;
        if (f->name[0] == '.' || (!inner && (f->kind == FILE_OTHER || !to))) continue;
        if (inner && versions && source_is_version(str_of(f->name), &number)) continue;
        str path = path_join(&w->names, folder, f->name);
        if (!path.p) return walk_pass(w, folder, ERR_NOMEM, e);
        buf *its = versions && !is_read(f->name) ? w->beside : to;
        if (inner) rc = walk_through(w, path.p, its, false, depth - 1, e);
        else stamp_put(to, path.p);
    }
    return rc;
}

static err_code walk_version(walk *w, const char *path, const char *name, buf *to, err *e)
{
    str sub = path_join(w->a, path, name);
    if (!sub.p) return err_set(e, ERR_NOMEM, "%s: no memory for the path", path);
    w->count = 0;
    arena_reset(&w->names);
    return walk_through(w, sub.p, to, false, SOURCE_DEPTH_MAX, e);
}

static err_code stamps(source *s, arena *a, const char *path, bool versions, err *e)
{
    file_id id;
    buf text, beside;
    walk w;
    buf_init(&text, STAMP_BYTES_MAX);
    buf_init(&beside, STAMP_BYTES_MAX);
    walk_init(&w, a, &s->unseen);
    w.beside = &beside;
    err_code rc = file_identify(path, &id, e);
    if (rc == ERR_OK && id.kind != FILE_FOLDER) stamp_put(&text, path);
    else if (rc == ERR_OK) rc = walk_through(&w, path, &text, versions, SOURCE_DEPTH_MAX, e);
    if (rc == ERR_OK) rc = buf_check(&beside, path, e);
    size_t common = text.len;
    for (size_t i = 0; i < s->count && rc == ERR_OK; i++) {
        text.len = common;
        if (versions) rc = walk_version(&w, path, s->all[i].name.p, &text, e);
        if (rc == ERR_OK) rc = buf_check(&text, path, e);
        sha256(buf_str(&text), s->all[i].stamp.read);
        sha256(buf_str(&beside), s->all[i].stamp.beside);
    }
    walk_fini(&w);
    buf_fini(&beside);
    buf_fini(&text);
    return rc;
}

err_code source_folders(arena *a, const char *path, const source_visit *v, err *e)
{
    listing l;
    str unseen = {0};
    uint64_t number;
    walk w;
    walk_init(&w, a, &unseen);
    w.visit = v;
    err_code rc = walk_through(&w, path, NULL, true, SOURCE_DEPTH_MAX, e);
    if (rc == ERR_OK) rc = listing_read(&l, a, path, e);
    for (size_t i = 0; rc == ERR_OK && i < l.count; i++)
        if (l.all[i].kind == FILE_FOLDER && source_is_version(str_of(l.all[i].name), &number))
            rc = walk_version(&w, path, l.all[i].name, NULL, e);
    walk_fini(&w);
    return rc;
}

/* A folder's versions, else the file in it.  *ret_hint: what is there, and does not count. */
static err_code folder_find(source *s, str *ret_file, arena *a, const quest *q, const char **ret_hint, err *e)
{
    const model_config *c = q->c;
    listing l;
    bool zeros = false;
    err_code rc = listing_read(&l, a, q->folder, e);
    if (rc == ERR_OK) rc = versions_list(s, a, &l, &zeros, e);
    if (rc) return rc;
    if (zeros) *ret_hint = " but versions whose names begin with 0, which do not count";
    if (s->count == 0) return c->ensemble ? path_keep(ret_file, a, q->folder, e) : file_choose(ret_file, a, &l, c, e);
    for (size_t i = 0; i < l.count && !c->ensemble && !s->loose.p; i++)
        if (is_model(c, &l.all[i])) s->loose = str_of(l.all[i].name);
    if (s->loose.p) *ret_hint = " but a file beside its versions, which does not count";
    return versions_choose(s, a, q, e);
}

err_code source_find(source *ret, arena *a, const char *path, const model_config *c, str besides, err *e)
{
    file_id id;
    source s = {0};
    str file = {0};
    const char *hint = "";
    err_code rc = file_identify(path, &id, e);
    if (rc == ERR_OK && id.kind == FILE_REGULAR) rc = path_keep(&file, a, path, e);
    if (rc == ERR_OK && id.kind == FILE_FOLDER) rc = folder_find(&s, &file, a, &(quest){path, c, besides}, &hint, e);
    if (rc) return rc;
    if (!file.p && s.count == 0 && c->file.len)
        return err_set(e, ERR_NOT_FOUND, "%s: expected VERSION/" STR_FMT ", as default_model_filename says, got none%s",
                       path, STR_ARG(c->file), hint);
    if (!file.p && s.count == 0)
        return err_set(e, ERR_NOT_FOUND,
                       "%s: expected an .onnx file, a folder with one, or VERSION/model.onnx, got none%s", path, hint);
    if (file.p) rc = only_version(&s, a, file, besides, e);
    if (rc == ERR_OK) rc = stamps(&s, a, path, !file.p, e);
    if (rc == ERR_OK) *ret = s;
    return rc;
}

bool source_eq(const source *a, const source *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = str_eq(a->all[i].name, b->all[i].name) && str_eq(a->all[i].file, b->all[i].file) &&
               memcmp(a->all[i].stamp.read, b->all[i].stamp.read, SHA256_BYTES) == 0;
    return same;
}

err_code source_models(str **ret_names, size_t *ret_count, arena *a, const char *folder, err *e)
{
    file_entry *entries;
    size_t count, n = 0;
    err_code rc = file_list(a, folder, &entries, &count, e);
    if (rc) return rc;
    str *names = arena_new(a, str, count ? count : 1);
    if (!names) return err_set(e, ERR_NOMEM, "%s: no memory for %zu names", folder, count);
    for (size_t i = 0; i < count; i++)
        if (entries[i].kind == FILE_FOLDER && entries[i].name[0] != '.') names[n++] = str_of(entries[i].name);
    if (n == 0) return err_set(e, ERR_NOT_FOUND, "%s: expected folders NAME/VERSION/model.onnx, got none", folder);
    *ret_names = names;
    *ret_count = n;
    return ERR_OK;
}
