/* aliases.h - names that stand for a model, or for one version of it, which is served under a name of its own.
 *
 *   NAME          stands for MODEL, or for one version of it, or for another alias
 *   MODEL:LABEL   stands for a version of MODEL, as TensorFlow Serving's version_labels do
 * A table is immutable: a change is another one in its place, so whoever looks into one sees all of a change or nothing
 * of it.  A request holds the model that it was led to; what an alias means afterwards is no matter to it. */
#ifndef MODELS_ALIASES_H
#define MODELS_ALIASES_H
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum {
    ALIASES_MAX = 1024,
    ALIASES_DEPTH_MAX = 8,       /* of aliases of aliases */
    ALIASES_NAME_MAX = 258,      /* bytes of MODEL:LABEL, NUL included */
    ALIASES_VERSION_MAX = 20     /* digits */
};

typedef struct {
    str name, model, version;    /* version "" = whatever serves who names none */
} alias;

typedef struct aliases aliases;

/* Another table, with this alias in the place of the one of that name, or without it where model.p is NULL.  Copies
 * what it lists; from == NULL is empty. */
err_code aliases_with(aliases **ret, const aliases *from, const alias *a, err *e) MUST_USE;
void aliases_free(aliases *t);
DEFINE_CLEANUP(aliases)

/* t may be NULL in all of these. */
size_t aliases_count(const aliases *t);
const alias *aliases_at(const aliases *t, size_t i);         /* in the order of their names */
const alias *aliases_find(const aliases *t, str name);       /* NULL = there is none */
/* From what is asked for to the model that it means, and the version.  ERR_NOT_FOUND where an alias stands for another
 * version than is asked for. */
err_code aliases_lead(const aliases *t, const alias *asked, alias *ret, err *e) MUST_USE;
/* That no alias leads to itself, nor over more than ALIASES_DEPTH_MAX others. */
err_code aliases_check(const aliases *t, err *e) MUST_USE;

/* "NAME=MODEL", "NAME=MODEL:VERSION", "NAME=MODEL:LABEL"; borrows it. */
err_code alias_read(str text, alias *ret, err *e) MUST_USE;
str alias_model(const alias *a);                             /* of a label: whose it is; else p NULL */
str alias_label(const alias *a);                             /* the label alone; else p NULL */
/* MODEL:LABEL; p NULL = it is too long. */
str alias_name(str model, str label, char text[ALIASES_NAME_MAX]);

#endif
