/* The YAML source of conf.h: the options' names as keys, and `models:` as a map NAME: PATH. */
#include "serve/conf.h"
#include "wire/yaml.h"

#include <stdio.h>

enum { YAML_MEMORY_MAX = 64 << 20, WHERE_MAX = 300 };

static err_code models_read(conf *c, const yaml *map, err *e)
{
    char where[WHERE_MAX];
    str path;
    err_code rc = yaml_map(map, e);
    for (const yaml *y = map->first; y && rc == ERR_OK; y = y->next) {
        snprintf(where, sizeof where, "%s:%u:%u: models", y->file, y->key_line, y->key_column);
        rc = yaml_str(y, &path, e);
        if (rc == ERR_OK) rc = conf_model_add(c, where, y->key, path, e);
    }
    return rc;
}

static err_code member_read(conf *c, const yaml *y, err *e)
{
    char where[WHERE_MAX], expected[CONF_EXPECTED_MAX];
    if (str_is(y->key, "models")) return models_read(c, y, e);
    snprintf(where, sizeof where, "%s:%u:%u", y->file, y->key_line, y->key_column);
    bool known = conf_expects(y->key, expected); /* the others: it says what is near */
    bool several = y->kind == YAML_LIST && conf_is_list(y->key);
    err_code rc = ERR_OK;
    for (const yaml *one = several ? y->first : y; one && rc == ERR_OK; one = several ? one->next : NULL) {
        if (known && (one->kind != YAML_TEXT || yaml_is_null(one))) return yaml_wrong(one, expected, e);
        rc = conf_set(c, where, y->key, known ? one->text : (str){0}, e);
    }
    return rc;
}

err_code conf_yaml(conf *c, const char *file, str text, err *e)
{
    arena memory;
    yaml *root = NULL;
    arena_init(&memory, NULL, 0, YAML_MEMORY_MAX);
    err_code rc = yaml_parse(text, file, &memory, &root, e);
    if (rc == ERR_OK && !yaml_is_null(root)) {
        rc = yaml_map(root, e);
        for (const yaml *y = rc == ERR_OK ? root->first : NULL; y && rc == ERR_OK; y = y->next)
            rc = member_read(c, y, e);
    }
    arena_fini(&memory);
    return rc;
}
