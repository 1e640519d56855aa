/* farewell.h - what was taken out of the repository in one change, until nobody has it any more.
 *
 *   out of the repository --> every loop has ended the callback it was in --> every request that held it is answered
 *                         --> no worker is on its way to or out of its queue
 *                         --> it is freed, and what it took goes back to the kernel
 * Begun on the thread of model_control.h; each version is freed there, or, once `stopped`, on whichever thread gives it
 * back last.  Frees itself. */
#ifndef MODELS_FAREWELL_H
#define MODELS_FAREWELL_H
#include "models/repository.h"

typedef struct farewell farewell;

enum { FAREWELL_NO_TAG = -1 };

/* Whose they are; outlives them. */
typedef struct {
    loop **loops;            /* all that may look models up; borrowed */
    size_t loop_count;
    compute *thread;
    _Atomic bool stopped;    /* there is no thread any more, nor any loop that runs */
    _Atomic uint64_t left;   /* versions that were freed */
    uint64_t trim_bytes;     /* memory goes back to the kernel when so much has left; 0 = each time */
    uint64_t untrimmed;      /* private */
    void (*gone)(void *ctx, size_t tag);   /* on the thread: all versions of a farewell with a tag have left */
    void *ctx;
} farewells;

/* With room for so many versions.  Sent once, or dropped. */
err_code farewell_new(farewell **ret, farewells *of, size_t versions, err *e) MUST_USE;
void farewell_drop(farewell *f);
void farewell_tag(farewell *f, size_t tag);   /* before it is sent */
/* To what `old` lists and `now` does not, and to `old` itself; either may be NULL. */
void farewell_send(farewell *f, lineup *old, const lineup *now);
void farewell_send_names(farewell *f, repository_names *old);   /* to a table of names */
void farewell_send_aliases(farewell *f, aliases *old);          /* to one of aliases; may be NULL */

#endif
