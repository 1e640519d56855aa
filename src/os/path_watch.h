/* path_watch.h - hears that a path may lead elsewhere now: a link on it is switched, a folder renamed, or it comes.
 *
 *   /srv/cur/models, cur -> rev2:   heard of are "srv" in /, "cur" and "rev2" in /srv, "models" in /srv/rev2
 * Of each name that the path leads through, links followed, it is heard when it comes or goes in the folder that holds
 * it; of other names there nothing is said, for the folder may be /tmp.  A path that ends nowhere is heard of up to the
 * first name that is missing.  It says what the path was when this was made: who has heard something makes another one.
 * Folders that may not be watched are left out, and so are mounts: whoever needs certainty looks now and then.  Made on
 * any thread, then of one. */
#ifndef OS_PATH_WATCH_H
#define OS_PATH_WATCH_H
#include "base/err.h"

enum { PATH_WATCH_NAMES_MAX = 256, PATH_WATCH_LINKS_MAX = 40 };   /* on the path; so many links as Linux follows */

typedef struct path_watch path_watch;

err_code path_watch_new(path_watch **ret, const char *path, err *e) MUST_USE;   /* relative: from where we are */
void path_watch_free(path_watch *w);   /* may take milliseconds */
DEFINE_CLEANUP(path_watch)

int path_watch_fd(const path_watch *w);    /* for a loop; readable = ask: */
bool path_watch_heard(path_watch *w);      /* since the last call */
size_t path_watch_count(const path_watch *w);   /* names */

#endif
