/* repository.h - the models that this server knows, each with its queue and its counters.
 *
 * What is served under a name may change while loops run, and further names may come from the model repository
 * (model_control.h); none goes.  So a `served` is counted:
 *   repository_find() and repository_at() give it to a loop for the callback that asks; served_hold() keeps it longer,
 *   served_release() gives it back.  Nothing else is needed: who takes one out of the repository waits for all loops.
 * Sources: NAME=PATH, --model-dir (KServe), --model-repository (NAME/VERSION/model.onnx, the newest version of each).
 * One model that does not load fails the whole opening: its error names the file. */
#ifndef MODELS_REPOSITORY_H
#define MODELS_REPOSITORY_H
#include "async/note.h"
#include "engine/model.h"
#include "models/metrics.h"
#include "models/model_config.h"
#include "models/named_model.h"
#include "models/queue_rules.h"
#include "models/response_cache.h"
#include "models/trace_setting.h"

typedef struct repository repository;
typedef struct served served;
typedef struct ensemble ensemble;
typedef struct sequencer sequencer;
typedef struct repository_names repository_names;

struct served {
    str name, version, path;
    str *versions; /* all that could be served by its configuration, the newest first */
    size_t version_count;
    model_config *config; /* NULL = the model alone decides what clients bring */
    model_ios ios; /* what clients bring and get */
    model *model; /* NULL = none of its own: it is an ensemble */
    struct pipeline *pipeline; /* what is done before and after the model; NULL = nothing */
    queue *queue; /* NULL as the model */
    ensemble *ensemble; /* or NULL */
    sequencer *sequencer; /* before the queue, where requests belong to sequences; or NULL */
    metrics_model metrics;
    trace_setting *trace; /* of its name: stays when the model is loaded again */
    uint64_t load_us; /* from its first byte to ready */
    response_cache *cache; /* of the server; NULL = its answers are not kept */
    uint64_t cache_owner; /* there */
    /* private */
    arena memory; /* of version and path */
    _Atomic uint32_t held;
    void (*unused)(served *s); /* nobody holds it any more; set once it is out of the repository */
    void *owner;
};

void served_hold(served *s);
void served_release(served *s);
void served_free(served *s); /* nobody holds it */
DEFINE_CLEANUP(served)

/* All borrowed until repository_free(). */
typedef struct {
    const named_model *models; /* in this order */
    size_t model_count;
    str model_dir, model_name; /* a folder with one model, and its name; empty = none, "model" */
    str folder; /* the model repository, where further models may come from; empty = none */
    compute *pool;
    size_t memory_bytes_max; /* of one execution */
    uint64_t image_pixels_max; /* of one picture that a request brings; 0 = IMAGE_PIXELS_MAX */
    queue_rules queueing;
    uint64_t run_us_max;
    uint32_t lanes; /* event loops that count, each in a lane of its own; see metrics.h */
    uint64_t model_bytes_max; /* of all executions of a model; 0 = no bound.  see served_share_max() */
    uint64_t cache_bytes_max; /* of answers that are kept; 0 = none are */
    uint32_t warm_up; /* runs with zeros of models without samples; see warm_up.h */
    bool bare; /* of the folder nothing is loaded: each model comes by its name */
} repository_opts;

err_code repository_open(repository **ret, const repository_opts *opts, err *e) MUST_USE;
void repository_free(repository *r);
DEFINE_CLEANUP(repository)

/* version "" = the newest.  ERR_NOT_FOUND in KServe's words, or in Triton's when it is there but not loaded. */
err_code repository_find(const repository *r, str name, str version, served **ret, err *e) MUST_USE;
size_t repository_count(const repository *r);
response_cache *repository_cache(const repository *r); /* NULL = there is none */
/* In the order of the configuration, then as they came; NULL = not loaded. */
served *repository_at(const repository *r, size_t i);
bool repository_serves(const repository *r); /* any model at all */
/* What its memory is now, for whoever prints its metrics. */
void served_measure(served *s);

/* What is known of a name, for the index. */
typedef struct {
    str name;
    const char *state; /* Triton's: READY, UNAVAILABLE, LOADING, UNLOADING */
    char version[NOTE_MAX]; /* of what is or was served last */
    char reason[NOTE_MAX]; /* why it is so, or why the last load failed; may be empty */
} repository_entry;

int64_t repository_index(const repository *r, str name); /* -1 = no such name */
void repository_entry_read(const repository *r, size_t i, repository_entry *ret);

/* ---- for model_control.h: one thread at a time ---- */

typedef struct {
    str path; /* a file or folder; p NULL = the one that is known, or NAME in the model repository's folder */
    str config; /* JSON, instead of its config.pbtxt; p NULL = none */
} repository_from;
/* What a load of the name would obey. */
err_code repository_config(const repository *r, str name, const repository_from *from, model_config **ret,
                           err *e) MUST_USE;
/* A name that is not there yet, with its model.  The names before are returned, to be freed when no loop looks at them
 * any more. */
err_code repository_add(repository *r, str name, const repository_from *from, repository_names **ret_old,
                        err *e) MUST_USE;
void repository_names_free(repository_names *n);
DEFINE_CLEANUP(repository_names)
/* Loads the model of a name anew from its source, or from another, which is its source once that was loaded; changes
 * nothing else. */
err_code repository_load(repository *r, size_t i, const repository_from *from, served **ret, err *e) MUST_USE;
/* From now on this is found (NULL = nothing); the one before is returned, to be freed when nobody has it any more. */
served *repository_swap(repository *r, size_t i, served *now);
void repository_reason(repository *r, size_t i, const char *why);
void repository_leaving(repository *r, size_t i, int change); /* one more, or one less, that is still in use */
void repository_loading(repository *r, size_t i, bool on);

#endif
