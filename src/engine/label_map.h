/* label_map.h - a table from keys to values of any two element types, as LabelEncoder and its kin have it.
 *
 * Keys and values are views of a node's attributes and live as long as the model; the hash table lives in the arena it
 * was built in.  Floats are compared as numbers: 0 equals -0; a NaN equals a NaN where `nan_equal` says so.  Of equal
 * keys the first counts, or the last where `last_wins` says so. */
#ifndef ENGINE_LABEL_MAP_H
#define ENGINE_LABEL_MAP_H
#include "engine/op.h"

#define T_LABEL (T_INT | T_UINT | T1(DT_F32) | T1(DT_F64) | T1(DT_STRING) | T1(DT_BOOL))

typedef struct {
    tensor keys, values;         /* as many of one as of the other */
    bool nan_equal, last_wins;
    /* private */
    uint32_t *slots;             /* index of the key + 1; 0 = free */
    uint32_t mask;
} label_map;

/* A list attribute (floats, ints, strings or tensor) as a tensor of rank 1 that views it; NULL gives no elements. */
tensor label_list(const attr *a);
/* Hashes m->keys, which the caller set.  `what` names the keys in messages. */
err_code label_map_build(label_map *m, arena *a, const char *what, err *e) MUST_USE;
/* The index of the key equal to element i of t, which has the keys' type; UINT32_MAX = none. */
uint32_t label_map_find(const label_map *m, const tensor *t, uint64_t i);

#endif
