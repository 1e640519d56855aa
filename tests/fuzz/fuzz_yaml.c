/* Any bytes as a configuration: the tree is whole and inside its limits, keys are unique, getters never misbehave. */
#include "wire/yaml.h"

#include <math.h>
#include <string.h>

static size_t walk(const yaml *y, size_t depth)
{
    size_t nodes = 1, children = 0;
    str s;
    bool b;
    uint64_t u;
    int64_t i;
    double d;
    err e;
    INVARIANT(depth <= YAML_DEPTH_MAX && y->line >= 1 && y->column >= 1);
    bool is_u64 = yaml_u64(y, &u, &e) == ERR_OK, is_i64 = yaml_i64(y, &i, &e) == ERR_OK;
    bool is_f64 = yaml_f64(y, &d, &e) == ERR_OK, is_bool = yaml_bool(y, &b, &e) == ERR_OK;
    bool is_str = yaml_str(y, &s, &e) == ERR_OK;
    INVARIANT(is_f64 || !(is_u64 || is_i64));
    INVARIANT(is_str || !(is_f64 || is_bool));
    INVARIANT(is_str + yaml_is_null(y) + (yaml_list(y, &e) == ERR_OK) + (yaml_map(y, &e) == ERR_OK) == 1);
    if (is_u64 && is_i64) INVARIANT(i >= 0 && (uint64_t)i == u);
    if (is_str) INVARIANT(str_utf8_ok(s) && s.p[s.len] == 0);
    for (const yaml *m = y->first; m; m = m->next, children++) {
        char key[64];
        INVARIANT((m->key.p != NULL) == (y->kind == YAML_MAP));
        if (m->key.p && m->key.len < sizeof key && !memchr(m->key.p, 0, m->key.len)) {
            memcpy(key, m->key.p, m->key.len + 1);
            INVARIANT(yaml_get(y, key) == m);
        }
        nodes += walk(m, depth + 1);
    }
    INVARIANT(children == y->count);
    return nodes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arena a;
    yaml *y;
    err e = {0};
    arena_init(&a, NULL, 0, 1 << 24);
    if (yaml_parse((str){(const char *)data, size}, "fuzz.yaml", &a, &y, &e)) {
        INVARIANT(strncmp(e.text, "fuzz.yaml:", 10) == 0);
    } else {
        INVARIANT(walk(y, 0) <= YAML_NODES_MAX + 1);
    }
    arena_fini(&a);
    return 0;
}
