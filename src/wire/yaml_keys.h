/* yaml_keys.h - the members of a YAML map that a reader knows, read by their names.
 *
 * A member that says nothing (null) is as good as none.  Errors are those of yaml.h; nothing is written where there
 * is no member. */
#ifndef WIRE_YAML_KEYS_H
#define WIRE_YAML_KEYS_H
#include "wire/yaml.h"

const yaml *yaml_member(const yaml *map, const char *key);        /* NULL = there is none, or map is NULL */
/* A map with no members but these; the error says which known one is near. */
err_code yaml_keys_check(const yaml *map, const char *const *known, size_t count, err *e) MUST_USE;
err_code yaml_key_refuse(const yaml *y, const char *const *known, size_t count, err *e);
err_code yaml_member_bool(const yaml *map, const char *key, bool *value, err *e) MUST_USE;
/* A number of least to most; `expected` is for the error: "1 to 300". */
err_code yaml_member_f64(const yaml *map, const char *key, double least, double most, const char *expected,
                         double *value, err *e) MUST_USE;
/* One of `count` words; *value is its index. */
err_code yaml_member_word(const yaml *map, const char *key, const char *const *words, uint32_t count, uint32_t *value,
                          err *e) MUST_USE;

#endif
