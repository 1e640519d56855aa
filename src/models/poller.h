/* poller.h - takes up what changes in the model repository: --model-control poll.
 *
 *   inotify --> loop: settle.h --> a reader's thread: watch all folders, then look: new and changed models are
 *                                                     loaded, those that are gone unloaded
 * Heard are the folder, its models, their versions and the folders within (watch.h, source.h), and the links and
 * folders on the path to it (path_watch.h): when `current` is switched from one revision to another the folder is
 * another one, whose models are taken up as changed ones are.  Where the path leads nowhere for a while, or to a folder
 * that cannot be read, nothing changes, which one line of the log says, and it is looked every poll_us.  An idle folder
 * costs nothing but a stat() every poll_us, whether the path still leads to it, for not all that may happen to a path
 * is heard.  Where a folder cannot be watched, which one line of the log says with why, it is looked every poll_us
 * instead.  What looks the same as before is not read again (repository.h), and what fails as before is not said again.
 * Belongs to its loop's thread, but for the look, of which there is one at a time. */
#ifndef MODELS_POLLER_H
#define MODELS_POLLER_H
#include "models/model_control.h"

enum { POLLER_QUIET_US = 200000, POLLER_MOST_US = 2000000 };

typedef struct poller poller;

typedef struct {
    model_control *control;   /* all borrowed */
    loop *on;
    str folder;               /* NUL-terminated */
    uint64_t poll_us;
} poller_opts;

err_code poller_new(poller **ret, const poller_opts *opts, err *e) MUST_USE;   /* looks once, at the start */
void poller_stop(poller *p);   /* the loop has ended; no look begins any more */
void poller_free(poller *p);   /* behind model_control_stop(), which waits for the look */
DEFINE_CLEANUP(poller)

#endif
