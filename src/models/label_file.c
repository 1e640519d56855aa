#include "models/label_file.h"

#include "base/mem.h"
#include "os/file.h"

#include <stdio.h>
#include <string.h>

static str line_of(str *rest)
{
    str line, after;
    if (!str_cut(*rest, '\n', &line, &after)) {
        line = *rest;
        after = (str){rest->p + rest->len, 0};
    }
    *rest = after;
    if (line.len && line.p[line.len - 1] == '\r') line.len--;
    return line;
}

static err_code split(str text, const char *path, arena *a, const attr **ret, err *e)
{
    uint32_t count = 0;
    for (str rest = text; rest.len; count++) (void)line_of(&rest);
    attr *labels = arena_new(a, attr, 1);
    str *lines = arena_new(a, str, (size_t)count + 1);
    if (!labels || !lines) return err_set(e, ERR_NOMEM, "%s: no memory for %u labels", path, count);
    str rest = text;
    for (uint32_t i = 0; i < count; i++) {
        lines[i] = line_of(&rest);
        if (!str_utf8_ok(lines[i])) return err_set(e, ERR_INVALID, "%s:%u: expected UTF-8", path, i + 1);
    }
    *labels = (attr){.kind = ATTR_STRINGS, .count = count, .strings = lines};
    *ret = labels;
    return ERR_OK;
}

err_code label_file_read(const char *folder, str file, arena *a, const attr **ret, err *e)
{
    char path[FILE_PATH_MAX], *text;
    size_t len;
    if (file.len == 0 || memchr(file.p, '/', file.len) || file.p[0] == '.')
        return err_set(e, ERR_INVALID, "label_filename: expected the name of a file, got '" STR_FMT "'", STR_ARG(file));
    int n = snprintf(path, sizeof path, "%s/%.*s", folder, (int)file.len, file.p);
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(e, ERR_INVALID, "label_filename: the path of '" STR_FMT "' is too long", STR_ARG(file));
    err_code rc = file_read(path, LABEL_FILE_BYTES_MAX, &text, &len, e);
    if (rc) return err_wrap(e, "label_filename");
    str copy = str_copy(a, (str){text, len});
    mem_free(text);
    if (!copy.p) return err_set(e, ERR_NOMEM, "%s: no memory for %zu bytes", path, len);
    return split(copy, path, a, ret, e);
}
