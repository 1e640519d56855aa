/* repository.h - the models that this server knows, each with its queue and its counters.
 *
 * A name serves several versions at once (lineup.h), as its configuration's version policy says: the newest, where it
 * says nothing.  What is served under a name may change while loops run, and further names may come from the model
 * repository (model_control.h); none goes.  So a `served` is counted:
 *   what finds one gives it to a loop for the callback that asks; served_hold() keeps it longer, served_release() gives
 *   it back.  Nothing else is needed: who takes one out of the repository waits for all loops.  A lineup lives as long.
 * Sources: NAME=PATH, --model-dir (KServe), --model-repository (NAME/VERSION/model.onnx).
 * One version that does not load fails the whole opening: its error names the file. */
#ifndef MODELS_REPOSITORY_H
#define MODELS_REPOSITORY_H
#include "async/note.h"
#include "async/waker.h"
#include "engine/model.h"
#include "models/aliases.h"
#include "models/lineup.h"
#include "models/metrics.h"
#include "models/model_config.h"
#include "models/named_model.h"
#include "models/queue_rules.h"
#include "models/response_cache.h"
#include "models/source.h"
#include "models/trace_setting.h"
#include "models/version_rows.h"

typedef struct repository repository;
typedef struct ensemble ensemble;
typedef struct sequencer sequencer;
typedef struct repository_names repository_names;

struct served {
    str name, version, path;
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
    uint64_t cache_owner; /* there; of all models, where the server has one, for they may be members */
    /* private */
    arena memory; /* of version and path */
    _Atomic uint32_t held;
    void (*unused)(served *s); /* nobody holds it any more; set once it is out of the repository */
    void *owner;
    version_row *row; /* set once it is in the repository */
    source_stamp stamp; /* of its files, when they were read */
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
    bool by_runs; /* its workers are shared by runs, as config.pbtxt's rate_limiter says; else by time.  see turns.h */
    const resource_need *resources; /* how much there is for by_runs; none = what models ask for at most */
    size_t resource_count;
    size_t memory_bytes_max; /* of one execution */
    uint64_t image_pixels_max; /* of one picture that a request brings; 0 = IMAGE_PIXELS_MAX */
    queue_rules queueing;
    uint64_t run_us_max;
    uint32_t lanes; /* event loops that count, each in a lane of its own; see metrics.h */
    uint64_t model_bytes_max; /* of all executions of a model; 0 = no bound.  see served_share_max() */
    uint64_t cache_bytes_max; /* of answers that are kept; 0 = none are */
    uint32_t warm_up; /* runs with zeros of models without samples; see warm_up.h */
    bool polls; /* the folder may be empty: models come later */
    bool bare; /* of the folder nothing is loaded: each model comes by its name */
    str chosen; /* names, by commas, that are loaded at once: the others when they are asked for; empty = all */
    bool on_demand; /* nothing is loaded before somebody asks for it: model_keeper.h */
    bool lenient; /* what cannot be loaded at the start stands in the index, with the reason; else nothing is served */
    str pinned; /* names, by commas: these stay in memory, as those whose configuration says so */
    str aliases; /* NAME=MODEL[:VERSION], by commas; empty = none */
} repository_opts;

err_code repository_open(repository **ret, const repository_opts *opts, err *e) MUST_USE;
/* From now on no time passes in its queues: whoever frees what their answers go to calls this before. */
void repository_stop(repository *r);
void repository_free(repository *r);
DEFINE_CLEANUP(repository)

/* version "" = the one that serves who names none: the newest, unless another was activated.  ERR_NOT_FOUND in KServe's
 * words, or in Triton's when it is there but not loaded. */
err_code repository_find(const repository *r, str name, str version, served **ret, err *e) MUST_USE;
bool repository_serves(const repository *r); /* any model at all */
bool repository_on_demand(const repository *r, str name);   /* not loaded, but it is when somebody asks for it */
/* The same of a version, as far as it is known which there are; "" = whichever serves who names none.  What it leads to
 * is borrowed, as a served that was found. */
bool repository_comes(const repository *r, str name, str version, alias *ret_led);
queue_patience repository_patience(const repository *r, str name);   /* of those who wait for it to be loaded */
trace_setting *repository_trace(const repository *r, str name);   /* loaded or not; NULL = no such name */
bool repository_knows(const repository *r, str name);   /* loaded or not; no alias */
const aliases *repository_aliases(const repository *r); /* NULL = none; lasts as a served that was found */
/* In the order of the configuration, then as they came. */
size_t repository_count(const repository *r);
const lineup *repository_lineup(const repository *r, size_t i);   /* NULL = not loaded, here and in the next */
served *repository_at(const repository *r, size_t i);             /* what serves who names no version */
const lineup *repository_lineup_of(const repository *r, const served *s);   /* that it was found in; may be NULL */
waker *repository_waker(const repository *r);
response_cache *repository_cache(const repository *r); /* NULL = there is none */
/* What its memory is now, for whoever prints its metrics. */
void served_measure(served *s);

/* A row of the index: of a version that is, was or failed to be served. */
typedef struct {
    str name;
    const char *state; /* Triton's: READY, UNAVAILABLE, LOADING, UNLOADING */
    char version[NOTE_MAX];
    char reason[NOTE_MAX]; /* why it is so, or why the last load failed; may be empty */
} repository_entry;

/* Of name i, the oldest version first: *at == NULL to begin with; false = no more. */
bool repository_entry_next(const repository *r, size_t i, const version_row **at, repository_entry *ret);

/* Of alias i, in their order: false = no more.  Where it leads now, and why it is not READY. */
bool repository_alias_entry(const repository *r, size_t i, repository_entry *ret);

/* ---- for model_control.h: on its thread, but where it says "any thread" ---- */

int64_t repository_index(const repository *r, str name); /* -1 = no such name */
int64_t repository_leads(const repository *r, str name); /* the same, of an alias that of its model */
/* A name that is not there yet, with nothing loaded: the last.  Its files are at `from`, or, where p is NULL, in its
 * folder of the model repository.  The names before are returned, to be freed when no loop looks at them any more. */
err_code repository_add(repository *r, str name, str from, repository_names **ret_old, err *e) MUST_USE;
str repository_name_at(const repository *r, size_t i);
void repository_demand(repository *r, size_t i, bool on);   /* whether it is loaded when somebody asks for it */
bool repository_pinned(const repository *r, size_t i);
uint64_t repository_file_bytes(const repository *r, size_t i);   /* of its models, as far as they were looked at */
str repository_path(const repository *r, size_t i);                                     /* of its files */
/* Nobody asked for what is loaded: an ensemble brought it. */
bool repository_brought(const repository *r, size_t i);
void repository_brought_set(repository *r, size_t i, bool brought);
err_code repository_move(repository *r, size_t i, str path, err *e) MUST_USE;          /* they are elsewhere now */
/* The table before, to be freed when no loop looks at it any more. */
aliases *repository_aliases_swap(repository *r, aliases *now);
void repository_names_free(repository_names *n);
DEFINE_CLEANUP(repository_names)

/* A load of a name: new, plan and open on any thread, for they read files and may take long, or for ever. */
typedef struct {
    size_t index; /* of the name: repository_load_of() */
    str path;     /* of its files; NUL-terminated */
    str config;   /* JSON, instead of its config.pbtxt; p NULL = none */
    str pin;      /* the version that serves who names none, whatever the configuration says; "" = the newest */
    lineup *kept; /* what need not be read again where its files have not changed, held; NULL = none */
    /* private */
    struct repository_name *of;
    arena memory;
    source from;
    model_config *is;
    lineup *got;
    str failed;   /* the version that could not be read; "" = none in particular */
    version_row **loading;
    size_t loading_count;
} repository_load;

/* Borrows path, config and pin; takes kept. */
void repository_load_init(repository_load *l);
/* On the thread of model_control.h: only there, and on loops, does a table of names stay while it is looked at. */
void repository_load_of(repository *r, size_t i, repository_load *l);
void repository_load_fini(repository_load *l);
err_code repository_load_plan(repository_load *l, err *e) MUST_USE;   /* which versions there are */
/* Once it is planned: the ensemble's member i; p NULL = it has no more, or is no ensemble. */
str repository_load_member(const repository_load *l, size_t i);
/* The same of name i, as it was loaded last, or planned; and: from now on as the load has them. */
str repository_member(const repository *r, size_t i, size_t member);
err_code repository_members_note(const repository_load *l, err *e) MUST_USE;
/* Of an ensemble on the thread of model_control.h, for it looks at its members. */
err_code repository_load_open(repository *r, repository_load *l, err *e) MUST_USE;
err_code repository_loading(repository *r, repository_load *l, err *e) MUST_USE;   /* its versions are shown to be */
void repository_loading_end(repository_load *l);
extern const char repository_waits[];   /* why a version is not served that comes when somebody asks for it */
void repository_versions_forget(repository *r, size_t i);   /* of what is not loaded: its files may be others now */
void repository_settled(repository *r, size_t i);   /* what serves is what there is: nothing is to be said of it */
/* Shown beside all versions that are not served. */
void repository_say(repository *r, size_t i, const char *why);
/* Shown beside the version that failed. */
void repository_failed(repository *r, const repository_load *l, const char *why);

/* Rows for what a lineup lists, so that repository_swap() cannot fail. */
err_code repository_rows(repository *r, size_t i, const lineup *l, err *e) MUST_USE;
/* From now on this is found (NULL = nothing); the one before is returned: what it alone lists is leaving, until
 * nobody has it any more.  The index says `why`. */
lineup *repository_swap(repository *r, size_t i, lineup *now, const char *why);
void repository_left(served *s);   /* any thread: nobody has it any more */

#endif
