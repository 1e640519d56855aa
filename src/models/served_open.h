/* served_open.h - one version made ready to be served: read, checked, planned, declared, warmed.
 *
 * On any thread, for it reads files and may take long; an ensemble on the thread of model_control.h, since it looks at
 * its members.  What is made belongs to the caller, who puts it into a lineup or frees it. */
#ifndef MODELS_SERVED_OPEN_H
#define MODELS_SERVED_OPEN_H
#include "async/waker.h"
#include "models/repository.h"
#include "models/turns.h"

/* All borrowed; name, trace, cache, waker and turns outlive what is made. */
typedef struct {
    const repository *models;         /* where an ensemble finds its members */
    const repository_opts *opts;
    response_cache *cache;            /* NULL = there is none */
    waker *waker;                     /* of all queues */
    turns *turns;                     /* of all queues, at the workers */
    str name;
    trace_setting *trace;             /* of the name */
    const char *path;                 /* of the model's files */
    str config;                       /* JSON, instead of its config.pbtxt; p NULL = none */
    const source_version *version;
} served_from;

err_code served_open(served **ret, const served_from *from, err *e) MUST_USE;

#endif
