/* route.h - from a method and a path to what answers it: one table.
 *
 * Patterns are literal except for the captures {model}, {version}, {region}, {job}, {alias} and {label}, which take one
 * path segment, not empty; a segment may end in a literal (":predict").  A path that matches with another method gives
 * 405 and says which methods it has. */
#ifndef SERVE_ROUTE_H
#define SERVE_ROUTE_H
#include "base/err.h"
#include "base/str.h"

typedef struct api_key api_key;

typedef struct {
    str model, version, region, job, alias, label; /* "" = not captured */
    /* Not of the path: */
    const api_key *who; /* whose key it is, for whoever answers; NULL = may do everything */
    bool owner; /* it came by owner_door.h */
    uint64_t asked_us; /* when its last byte came, of what had to wait for its model; 0 = it did not */
    int row; /* that matched */
} route_args;

typedef struct {
    const char *method, *pattern;
} route;

enum { ROUTE_NONE = -1, ROUTE_BAD_METHOD = -2 };

/* The index of the first row that matches, or ROUTE_NONE, or ROUTE_BAD_METHOD with the allowed methods ("GET,
 * HEAD"). */
int route_find(const route *rows, size_t count, str method, str path, route_args *ret, char ret_allow[64]);

#endif
