/* lineup.h - the versions that are served under one name at a time.
 *
 * Immutable once loops may look at it: a change is another one in its place (repository.h), so whoever reads one sees
 * versions that were meant to be served together.  Borrows what it lists. */
#ifndef MODELS_LINEUP_H
#define MODELS_LINEUP_H
#include "base/err.h"
#include "base/str.h"

typedef struct served served;

typedef struct {
    size_t count;
    size_t first;    /* serves who names no version */
    served *all[];   /* the newest first */
} lineup;

err_code lineup_new(lineup **ret, size_t room, err *e) MUST_USE;   /* empty, to be filled up to `room` */
void lineup_free(lineup *l);                                       /* not what it lists */
DEFINE_CLEANUP(lineup)
/* Nothing of it is served: what it lists goes with it, but what `but` lists, too; either may be NULL. */
void lineup_close(lineup *l, const lineup *but);
served *lineup_find(const lineup *l, str version);                 /* NULL = not served */
bool lineup_has(const lineup *l, const served *s);                 /* l may be NULL */

#endif
