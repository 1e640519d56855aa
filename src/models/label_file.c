#include "models/label_file.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

err_code label_file_path(const char *folder, const char *key, str file, char ret[FILE_PATH_MAX], err *e)
{
    if (file.len == 0 || memchr(file.p, '/', file.len) || file.p[0] == '.')
        return err_set(e, ERR_INVALID, "%s: expected the name of a file, got '" STR_FMT "'", key, STR_ARG(file));
    int n = snprintf(ret, FILE_PATH_MAX, "%s/%.*s", folder, (int)file.len, file.p);
    if (n < 0 || n >= FILE_PATH_MAX)
        return err_set(e, ERR_INVALID, "%s: the path of '" STR_FMT "' is too long", key, STR_ARG(file));
    return ERR_OK;
}

err_code label_file_names(const char *folder, const char *key, str file, arena *a, labels *ret, err *e)
{
    char path[FILE_PATH_MAX], *text;
    size_t len;
    err_code rc = label_file_path(folder, key, file, path, e);
    if (rc) return rc;
    rc = file_read_regular(path, LABEL_FILE_BYTES_MAX, &text, &len, e);
    if (rc) return err_wrap(e, "%s", key);
    rc = labels_parse((str){text, len}, path, a, ret, e);
    mem_free(text);
    return rc;
}

err_code label_file_read(const char *folder, str file, arena *a, const attr **ret, err *e)
{
    labels names;
    err_code rc = label_file_names(folder, "label_filename", file, a, &names, e);
    if (rc) return rc;
    attr *made = arena_new(a, attr, 1);
    if (!made) return err_set(e, ERR_NOMEM, "label_filename: no memory for %zu labels", names.count);
    *made = (attr){.kind = ATTR_STRINGS, .count = (uint32_t)names.count, .strings = names.names};
    *ret = made;
    return ERR_OK;
}
