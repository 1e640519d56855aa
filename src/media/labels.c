#include "media/labels.h"

#include "wire/yaml.h"

static err_code full(const char *file, arena *a, err *e)
{
    return err_set(e, a->starved ? ERR_NOMEM : ERR_LIMIT, "%s: labels: no room in %zu bytes of memory", file, a->limit);
}

static err_code too_many(const char *file, uint64_t count, err *e)
{
    return err_set(e, ERR_LIMIT, "%s: labels: expected at most %d, got %llu", file, LABELS_MAX,
                   (unsigned long long)count);
}

/* The next line, without its end. */
static bool next_line(str *text, str *line)
{
    if (text->len == 0) return false;
    str rest = {0};
    if (!str_cut(*text, '\n', line, &rest)) *line = *text;
    if (line->len && line->p[line->len - 1] == '\r') line->len--;
    *text = rest;
    return true;
}

static err_code from_lines(str text, const char *file, arena *a, labels *ret, err *e)
{
    size_t count = 0;
    str line, rest = text;
    while (next_line(&rest, &line)) count++;
    if (count > LABELS_MAX) return too_many(file, count, e);
    str *names = arena_new(a, str, count + 1);
    if (!names) return full(file, a, e);
    rest = text;
    for (size_t i = 0; i < count && next_line(&rest, &line); i++) {
        if (!str_utf8_ok(line)) return err_set(e, ERR_INVALID, "%s:%zu: labels: expected UTF-8", file, i + 1);
        names[i] = str_copy(a, line);
        if (!names[i].p) return full(file, a, e);
    }
    *ret = (labels){names, count};
    return ERR_OK;
}

/* A member of id2label ("3": "cat") or of label2id ("cat": 3). */
static err_code one_pair(const yaml *y, bool by_id, uint64_t *ret_id, str *ret_name, err *e)
{
    if (!by_id) {
        *ret_name = y->key;
        return yaml_u64(y, ret_id, e);
    }
    if (!str_u64(y->key, ret_id))
        return err_set(e, ERR_INVALID, "%s:%u:%u: id2label: expected numbers as keys, got '" STR_FMT "'", y->file,
                       y->key_line, y->key_column, STR_ARG(y->key));
    return yaml_str(y, ret_name, e);
}

static err_code from_pairs(const yaml *map, bool by_id, arena *a, labels *ret, err *e)
{
    uint64_t id, count = 0;
    str name;
    err_code rc = yaml_map(map, e);
    for (const yaml *y = rc ? NULL : map->first; y; y = y->next) {
        rc = one_pair(y, by_id, &id, &name, e);
        if (rc) return rc;
        if (id >= LABELS_MAX) return too_many(y->file, id, e);
        if (id >= count) count = id + 1;
    }
    if (rc) return rc;
    str *names = arena_new(a, str, count + 1);
    if (!names) return full(map->file, a, e);
    for (const yaml *y = map->first; y; y = y->next) {
        rc = one_pair(y, by_id, &id, &name, e);
        if (rc) return rc;
        names[id] = name;
    }
    *ret = (labels){names, count};
    return ERR_OK;
}

/* ["cat", "dog"]; a text file may open with a name like [UNK], which has no quotes. */
static bool is_list(str text)
{
    size_t at = 1;
    while (at < text.len && strchr(" \t\r\n", text.p[at])) at++;
    return text.p[0] == '[' && at < text.len && text.p[at] == '"';
}

static err_code from_list(const yaml *list, arena *a, labels *ret, err *e)
{
    size_t count = 0;
    err_code rc = yaml_list(list, e);
    if (rc) return rc;
    str *names = arena_new(a, str, list->count + 1);
    if (!names) return full(list->file, a, e);
    for (const yaml *y = list->first; y && !rc; y = y->next) rc = yaml_str(y, &names[count++], e);
    if (!rc) *ret = (labels){names, count};
    return rc;
}

static str without_mark(str text)
{
    const str mark = STR("\xef\xbb\xbf");
    return str_starts(text, mark) ? (str){text.p + mark.len, text.len - mark.len} : text;
}

err_code labels_parse(str text, const char *file, arena *a, labels *ret, err *e)
{
    yaml *top;
    size_t blank = 0;
    text = without_mark(text);
    while (blank < text.len && (text.p[blank] == ' ' || text.p[blank] == '\n' || text.p[blank] == '\r')) blank++;
    if (blank == text.len) return from_lines((str){0}, file, a, ret, e);
    bool list = is_list((str){text.p + blank, text.len - blank});
    if (text.p[blank] != '{' && !list) return from_lines(text, file, a, ret, e);
    err_code rc = yaml_parse(text, file, a, &top, e);
    if (rc) return rc;
    if (list) return from_list(top, a, ret, e);
    const yaml *by_id = yaml_get(top, "id2label"), *by_name = yaml_get(top, "label2id");
    if (!by_id && !by_name) return yaml_wrong(top, "a member 'id2label'", e);
    return from_pairs(by_id ? by_id : by_name, by_id != NULL, a, ret, e);
}

str labels_name(const labels *l, size_t index)
{
    return index < l->count && l->names[index].p ? l->names[index] : STR("");
}
