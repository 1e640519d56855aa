/* yaml.h - one YAML document as a small tree that knows where everything stood.
 *
 * On libyaml, without what makes YAML unsafe or surprising in a configuration: aliases, tags, several documents,
 * members named twice and keys that are no scalars are refused; depth and the number of nodes are limited.  Scalars
 * stay text until somebody asks: the getters then read them by YAML 1.2's core schema (so `no` is a string, and "8080"
 * in quotes is one too).  The tree lives in the arena and borrows the file name.  Errors read
 * "file.yaml:3:5: port: expected ..., got '...'"; lines and columns count from 1. */
#ifndef WIRE_YAML_H
#define WIRE_YAML_H
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum {
    YAML_DEPTH_MAX = 64,          /* bounds those who walk the tree */
    YAML_NODES_MAX = 100000       /* protects the arena and the time of duplicate checks */
};

typedef enum { YAML_TEXT, YAML_LIST, YAML_MAP } yaml_kind;

typedef struct yaml yaml;
struct yaml {
    yaml_kind kind;
    bool plain;                   /* YAML_TEXT without quotes: may be a number, a boolean or null */
    uint32_t line, column;
    const char *file;
    str text;                     /* of YAML_TEXT; NUL-terminated, UTF-8 */
    str key;                      /* of a member of a map; elsewhere p is NULL */
    uint32_t key_line, key_column;
    size_t count;                 /* children */
    yaml *first, *next;           /* of a list or map, in the order of the file */
};

/* An empty document is an empty plain text, so yaml_is_null(). */
err_code yaml_parse(str text, const char *file, arena *a, yaml **ret, err *e) MUST_USE;

const yaml *yaml_get(const yaml *y, const char *key);      /* NULL when it is not there, or y is NULL or no map */
bool yaml_is_null(const yaml *y);                          /* ~, null or nothing */
err_code yaml_str(const yaml *y, str *ret, err *e) MUST_USE;      /* any scalar but null, as it was written */
err_code yaml_bool(const yaml *y, bool *ret, err *e) MUST_USE;
err_code yaml_u64(const yaml *y, uint64_t *ret, err *e) MUST_USE; /* decimal, 0x and 0o */
err_code yaml_i64(const yaml *y, int64_t *ret, err *e) MUST_USE;
err_code yaml_f64(const yaml *y, double *ret, err *e) MUST_USE;   /* integers too; .inf and .nan */
err_code yaml_list(const yaml *y, err *e) MUST_USE;               /* is a list */
err_code yaml_map(const yaml *y, err *e) MUST_USE;                /* is a map */
err_code yaml_wrong(const yaml *y, const char *expected, err *e); /* the refusal the others give */

#endif
