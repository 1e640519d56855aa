#include "wire/yaml_keys.h"

#include <stdio.h>

const yaml *yaml_member(const yaml *map, const char *key)
{
    const yaml *y = yaml_get(map, key);
    return y && !yaml_is_null(y) ? y : NULL;
}

err_code yaml_key_refuse(const yaml *y, const char *const *known, size_t count, err *e)
{
    const char *near = str_nearest(y->key, known, count);
    return err_set(e, ERR_UNSUPPORTED, "%s:%u:%u: key '" STR_FMT "' is not supported%s%s%s", y->file, y->key_line,
                   y->key_column, STR_ARG(y->key), near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
}

err_code yaml_keys_check(const yaml *map, const char *const *known, size_t count, err *e)
{
    err_code rc = yaml_map(map, e);
    for (const yaml *y = rc ? NULL : map->first; y; y = y->next) {
        bool is_known = false;
        for (size_t i = 0; i < count && !is_known; i++) is_known = str_is(y->key, known[i]);
        if (!is_known) return yaml_key_refuse(y, known, count, e);
    }
    return rc;
}

err_code yaml_member_bool(const yaml *map, const char *key, bool *value, err *e)
{
    const yaml *y = yaml_member(map, key);
    return y ? yaml_bool(y, value, e) : ERR_OK;
}

err_code yaml_member_f64(const yaml *map, const char *key, double least, double most, const char *expected,
                         double *value, err *e)
{
    const yaml *y = yaml_member(map, key);
    double v;
    if (!y) return ERR_OK;
    err_code rc = yaml_f64(y, &v, e);
    if (rc) return rc;
    if (!(v >= least && v <= most)) return yaml_wrong(y, expected, e);
    *value = v;
    return ERR_OK;
}

err_code yaml_member_word(const yaml *map, const char *key, const char *const *words, uint32_t count, uint32_t *value,
                          err *e)
{
    const yaml *y = yaml_member(map, key);
    if (!y) return ERR_OK;
    for (uint32_t i = 0; y->kind == YAML_TEXT && i < count; i++)
        if (str_is(y->text, words[i])) {
            *value = i;
            return ERR_OK;
        }
    char expected[100];
    size_t len = 0;
    for (uint32_t i = 0; i < count; i++)
        len += (size_t)snprintf(expected + len, sizeof expected - len, "%s%s",
                                i == 0 ? "" : i + 1 < count ? ", " : " or ", words[i]);
    return yaml_wrong(y, expected, e);
}
