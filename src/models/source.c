#include "models/source.h"

#include "os/file.h"

#include <stdlib.h>
#include <string.h>

static str path_join(arena *a, const char *folder, const char *name)
{
    size_t len = strlen(folder);
    bool slash = len > 0 && folder[len - 1] == '/';
    return str_of(arena_printf(a, "%s%s%s", folder, slash ? "" : "/", name));
}

/* The file that the configuration names; else model.onnx, or the only .onnx file; *ret untouched and ERR_OK when there
 * is none. */
static err_code folder_file(str *ret, arena *a, const char *folder, const model_config *c, err *e)
{
    file_entry *entries;
    size_t count, found = 0;
    const char *name = NULL;
    err_code rc = file_list(a, folder, &entries, &count, e);
    if (rc) return rc;
    for (size_t i = 0; i < count; i++) {
        str entry = str_of(entries[i].name);
        bool named = c->file.len ? str_eq(entry, c->file) : str_is(entry, "model.onnx");
        if (entries[i].kind != FILE_REGULAR || entry.p[0] == '.') continue;
        if (!named && (c->file.len || !str_ends(entry, STR(".onnx")))) continue;
        name = entries[i].name;
        found++;
        if (named) {
            found = 1;
            break;
        }
    }
    if (found > 1)
        return err_set(e, ERR_INVALID, "%s: expected one .onnx file or model.onnx, got %zu files", folder, found);
    if (found == 0) return ERR_OK;
    str path = path_join(a, folder, name);
    if (!path.p) return err_set(e, ERR_NOMEM, "%s: no memory for the path", folder);
    *ret = path;
    return ERR_OK;
}

typedef struct {
    uint64_t number;
    str name, file;
} version;

static int newer_first(const void *one, const void *two)
{
    const version *v = one, *w = two;
    return v->number < w->number ? 1 : v->number > w->number ? -1 : strcmp(v->name.p, w->name.p);
}

/* Each VERSION/ with a model in it, the newest first. */
static err_code versions_list(version **ret, size_t *ret_count, arena *a, const char *folder, const model_config *c,
                              err *e)
{
    file_entry *entries;
    size_t count, n = 0;
    err_code rc = file_list(a, folder, &entries, &count, e);
    if (rc) return rc;
    version *all = arena_new(a, version, count ? count : 1);
    if (!all) return err_set(e, ERR_NOMEM, "%s: no memory for %zu versions", folder, count);
    for (size_t i = 0; i < count; i++) {
        version v = {.name = str_of(entries[i].name)};
        if (entries[i].kind != FILE_FOLDER || !str_u64(v.name, &v.number)) continue;
        str sub = path_join(a, folder, v.name.p);
        if (!sub.p) return err_set(e, ERR_NOMEM, "%s: no memory for the path", folder);
        if (c->ensemble) v.file = sub;
        else if ((rc = folder_file(&v.file, a, sub.p, c, e)) != ERR_OK) return rc;
        if (v.file.p) all[n++] = v;
    }
    qsort(all, n, sizeof *all, newer_first);
    *ret = all;
    *ret_count = n;
    return ERR_OK;
}

/* The newest that may be served. */
static err_code newest_version(source *ret, arena *a, const char *folder, const model_config *c, err *e)
{
    version *all;
    size_t count;
    err_code rc = versions_list(&all, &count, a, folder, c, e);
    if (rc || count == 0) return rc;
    source s = {.versions = arena_new(a, str, count)};
    if (!s.versions) return err_set(e, ERR_NOMEM, "%s: no memory for %zu versions", folder, count);
    for (size_t i = 0; i < count; i++) {
        if (!model_config_serves(c, all[i].number, i)) continue;
        if (s.version_count == 0) s.file = all[i].file;
        s.versions[s.version_count++] = all[i].name;
    }
    if (s.version_count == 0)   /* the words are Triton's */
        return err_set(e, ERR_NOT_FOUND,
                       "%s: at least one version must be available under the version policy of model '" STR_FMT "'",
                       folder, STR_ARG(c->name));
    s.version = s.versions[0];
    *ret = s;
    return ERR_OK;
}

/* What has no versions is version 1. */
static err_code only_version(source *s, arena *a, err *e)
{
    s->version = STR("1");
    s->versions = arena_new(a, str, 1);
    if (!s->versions) return err_set(e, ERR_NOMEM, "no memory for a version");
    s->versions[s->version_count++] = s->version;
    return ERR_OK;
}

err_code source_find(source *ret, arena *a, const char *path, const model_config *c, err *e)
{
    file_id id;
    source s = {0};
    err_code rc = file_identify(path, &id, e);
    if (rc) return rc;
    if (id.kind == FILE_REGULAR) {
        s.file = str_copy(a, str_of(path));
        if (!s.file.p) return err_set(e, ERR_NOMEM, "%s: no memory for the path", path);
    } else if (id.kind == FILE_FOLDER) {
        if (!c->ensemble && (rc = folder_file(&s.file, a, path, c, e)) != ERR_OK) return rc;
        if (!s.file.p && (rc = newest_version(&s, a, path, c, e)) != ERR_OK) return rc;
        if (!s.file.p && c->ensemble && !(s.file = str_copy(a, str_of(path))).p)
            return err_set(e, ERR_NOMEM, "%s: no memory for the path", path);
    }
    if (!s.file.p && c->file.len)
        return err_set(e, ERR_NOT_FOUND, "%s: expected VERSION/" STR_FMT ", as default_model_filename says, got none",
                       path, STR_ARG(c->file));
    if (!s.file.p)
        return err_set(e, ERR_NOT_FOUND,
                       "%s: expected an .onnx file, a folder with one, or VERSION/model.onnx, got none", path);
    if (!s.version.p && (rc = only_version(&s, a, e)) != ERR_OK) return rc;
    *ret = s;
    return ERR_OK;
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
