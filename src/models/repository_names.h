/* repository_names.h - the names that a repository knows, and what is remembered of each.
 *
 * A table of names does not change once loops may look at it: another, with one name more, takes its place and shares
 * the names.  Names do not go before the repository does. */
#ifndef MODELS_REPOSITORY_NAMES_H
#define MODELS_REPOSITORY_NAMES_H
#include "base/map.h"
#include "models/repository.h"

/* A name, and what is served under it. */
typedef struct repository_name {
    char *text; /* of the name */
    char *path; /* the thread of model_control.h alone, once loops may look at it */
    bool brought; /* the same */
    str name;
    size_t index;            /* in all tables */
    _Atomic(lineup *) now;   /* NULL = nothing */
    version_rows rows;
    trace_setting trace;
    _Atomic bool on_demand;  /* where nothing is loaded, it is when somebody asks for it */
    _Atomic bool pinned;     /* as its configuration, or the options, had it last */
    uint64_t file_bytes;     /* of its versions, when they were looked for; model_control.h's thread, as path */
    _Atomic uint32_t waiting_max;   /* requests that may wait for it to be loaded, as its configuration had it last; */
    _Atomic bool keeps_timeout;     /* and whether theirs do not count */
    str *members;            /* of the ensemble that it is, as its configuration had them last; the same thread */
    size_t member_count;
} repository_name;

struct repository_names {
    map by_name;
    repository_name **all;
    size_t count, room;
};

/* It can stand in a URL's path segment. */
err_code repository_name_check(str name, err *e) MUST_USE;
err_code repository_name_new(repository_name **ret, str name, const char *path, err *e) MUST_USE;   /* nothing loaded */
err_code repository_name_members(repository_name *l, const model_config *c, err *e) MUST_USE;   /* as c has them */
void repository_name_free(repository_name *l);   /* with what is served under it */
DEFINE_CLEANUP(repository_name)

err_code repository_names_new(repository_names **ret, err *e) MUST_USE;
err_code repository_names_copy(repository_names **ret, const repository_names *from, err *e) MUST_USE;
err_code repository_names_put(repository_names *n, repository_name *l, err *e) MUST_USE;   /* the last from now on */

#endif
