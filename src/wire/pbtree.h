/* pbtree.h - a protobuf message as a tree of values, whatever its type: what a text or JSON reader makes of a document.
 *
 * What it may contain says a pbdef; who asks for a field names it, and a name that the pbdef does not have is our bug.
 * The tree lives in an arena.  What is absent reads as protobuf's default: 0, "", false, no message.  Values know where
 * they stood in the text, so that a later check can say so. */
#ifndef WIRE_PBTREE_H
#define WIRE_PBTREE_H
#include "base/buf.h"
#include "wire/pbdef.h"

typedef struct pbtree pbtree;

typedef struct {
    pbtree *first, *last;
    size_t count;
} pbtree_list;

struct pbtree {
    const pbdef_field *field;     /* what it is a value of; NULL = the outermost message */
    pbtree *next;                 /* of the same field */
    uint32_t line, column;        /* 0 = it stood in no text */
    union {
        int64_t i64;              /* also of booleans and enums */
        uint64_t u64;
        double f64;
        str text;                 /* NUL-terminated, UTF-8 without NUL */
        struct {
            const pbdef *def;
            pbtree_list *fields;  /* one for each of def's */
        };
    };
};

const pbdef_field *pbtree_field(const pbdef *def, str name);            /* NULL = it has none of that name */
const char *pbtree_value_name(const pbdef_enum *values, int64_t number); /* NULL = no such number */

/* NULL = the arena is full, as everywhere below. */
pbtree *pbtree_new(arena *a, const pbdef *def) MUST_USE;
/* One more value, behind those that are there: zero, "" or a message without fields. */
pbtree *pbtree_add(arena *a, pbtree *m, const pbdef_field *f) MUST_USE;
pbtree_list *pbtree_values(const pbtree *m, const char *name);
/* Where a map's keys come twice the last one counts; every entry gets its key and its value.  false = no memory. */
bool pbtree_map_settle(arena *a, pbtree *m, const pbdef_field *f) MUST_USE;

/* Reading; m may be NULL. */
const pbtree *pbtree_get(const pbtree *m, const char *name);            /* the first value, or NULL */
size_t pbtree_count(const pbtree *m, const char *name);
bool pbtree_has(const pbtree *m, const char *name);
bool pbtree_bool(const pbtree *m, const char *name);
int64_t pbtree_i64(const pbtree *m, const char *name);
uint64_t pbtree_u64(const pbtree *m, const char *name);
double pbtree_f64(const pbtree *m, const char *name);
str pbtree_text(const pbtree *m, const char *name);

/* Changing: the first value, put there where there is none. */
pbtree *pbtree_open(arena *a, pbtree *m, const char *name) MUST_USE;    /* a message, or any other value */
bool pbtree_set_i64(arena *a, pbtree *m, const char *name, int64_t v) MUST_USE;
bool pbtree_set_text(arena *a, pbtree *m, const char *name, str v) MUST_USE;   /* borrows v */
pbtree *pbtree_append(arena *a, pbtree *m, const char *name) MUST_USE;  /* a further one */

/* JSON under the names of the .proto, defaults too; numbers of 64 bits are numbers. */
void pbtree_print(buf *out, const pbtree *m);
/* The fields of the protobuf message. */
void pbtree_put(buf *out, const pbtree *m);

#endif
