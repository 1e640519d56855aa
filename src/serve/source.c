#include "serve/source.h"

#include "os/file.h"

#include <string.h>

static str path_join(arena *a, const char *folder, const char *name)
{
    size_t len = strlen(folder);
    bool slash = len > 0 && folder[len - 1] == '/';
    return str_of(arena_printf(a, "%s%s%s", folder, slash ? "" : "/", name));
}

/* model.onnx, or the only .onnx file; *ret untouched and ERR_OK when there is none. */
static err_code folder_file(str *ret, arena *a, const char *folder, err *e)
{
    file_entry *entries;
    size_t count, found = 0;
    const char *name = NULL;
    err_code rc = file_list(a, folder, &entries, &count, e);
    if (rc) return rc;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].kind != FILE_REGULAR || entries[i].name[0] == '.' ||
            !str_ends(str_of(entries[i].name), STR(".onnx")))
            continue;
        name = entries[i].name;
        found++;
        if (strcmp(name, "model.onnx") == 0) {
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

/* The newest VERSION/ with a model in it. */
static err_code newest_version(source *ret, arena *a, const char *folder, err *e)
{
    file_entry *entries;
    size_t count;
    uint64_t best = 0;
    bool found = false;
    err_code rc = file_list(a, folder, &entries, &count, e);
    if (rc) return rc;
    for (size_t i = 0; i < count; i++) {
        uint64_t version;
        if (entries[i].kind != FILE_FOLDER || !str_u64(str_of(entries[i].name), &version) || (found && version <= best))
            continue;
        str sub = path_join(a, folder, entries[i].name), file = {0};
        if (!sub.p) return err_set(e, ERR_NOMEM, "%s: no memory for the path", folder);
        if ((rc = folder_file(&file, a, sub.p, e)) != ERR_OK) return rc;
        if (!file.p) continue;
        *ret = (source){file, str_of(entries[i].name)};
        best = version;
        found = true;
    }
    return ERR_OK;
}

err_code source_find(source *ret, arena *a, const char *path, err *e)
{
    file_id id;
    source s = {.version = STR("1")};
    err_code rc = file_identify(path, &id, e);
    if (rc) return rc;
    if (id.kind == FILE_REGULAR) {
        s.file = str_copy(a, str_of(path));
        if (!s.file.p) return err_set(e, ERR_NOMEM, "%s: no memory for the path", path);
    } else if (id.kind == FILE_FOLDER) {
        if ((rc = folder_file(&s.file, a, path, e)) != ERR_OK) return rc;
        if (!s.file.p && (rc = newest_version(&s, a, path, e)) != ERR_OK) return rc;
    }
    if (!s.file.p)
        return err_set(e, ERR_NOT_FOUND,
                       "%s: expected an .onnx file, a folder with one, or VERSION/model.onnx, got none", path);
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
