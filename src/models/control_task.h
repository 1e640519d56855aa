/* control_task.h - what the rooms of model_control.h share: its state, and tasks on the thread that changes it.
 *
 * For model_control.c (life and loads), control_task.c, control_change.c (unloads, other versions), control_members.c
 * (ensembles whose members come and go), control_alias.c and control_budget.c (model_keeper.h) alone.  A task lives on
 * the stack of whoever waits for it; what it runs may look at and change all of the state, since one thread runs them
 * all.
 * Refused once the control has stopped. */
#ifndef MODELS_CONTROL_TASK_H
#define MODELS_CONTROL_TASK_H
#include "async/crew.h"
#include "models/farewell.h"
#include "models/model_control.h"
#include "models/model_keeper.h"

/* What is remembered of a name, beside what is served; the control's thread alone. */
typedef struct {
    char *config;                /* that a client gave; NULL = none */
    char pin[MODEL_CONTROL_VERSION_MAX];   /* the version that was activated; "" = none */
    uint64_t begun, done;        /* changes of it: numbers of the last that began, and of the last that took effect */
    uint32_t under_way;          /* loads */
    char *failed;                /* why the last load failed; NULL = it did not */
    bool lost;                   /* an ensemble that is not served because its members are not: it comes when they do */
    uint64_t tried;              /* model_control.changes, when that was last looked at */
} memory;

struct model_control {
    model_control_opts opts;
    farewells leavers;           /* what was taken out; its thread changes everything */
    crew *readers;
    model_keeper *keeper;        /* of the budget; NULL = there is none */
    _Atomic bool leaving;        /* what waits is refused */
    bool left;                   /* for good: a reader has not ended */
    compute_job rest;
    _Atomic bool resting;        /* that waits for the thread */
    memory *names;               /* as the repository counts them */
    size_t name_count;
    uint64_t changes;            /* of what there is for ensembles */
    _Atomic uint64_t orphans;    /* names that are `lost` */
    _Atomic uint64_t loaded, failed;
};

typedef struct task task;
struct task {
    compute_job job;
    model_control *of;
    err_code (*run)(model_control *c, task *t, err *e);
    const model_wish *wish;
    repository_load load;
    uint32_t depth;              /* of an ensemble's member, and its members */
    uint64_t number;             /* of the load, among the changes of its name */
    bool activates;              /* the wish's version is to serve who names none, as the last step of the load */
    bool keeps;                  /* what has not changed is not read again */
    bool quiet;                  /* nor is said what was said before, */
    bool same;                   /* as this was */
    bool again;                  /* what it builds on has changed meanwhile */
    bool known;                  /* the name, at index */
    bool on_demand;              /* model_keeper.h began it, */
    bool parked;                 /* and will once more */
    bool told;                   /* how it ended, to whoever asked to know */
    bool returns;                /* nobody asked: an ensemble has its members again; it brings none */
    size_t index;
    err result;                  /* of what was read */
    err failure;
    _Atomic uint32_t done;
};

/* Runs it on the control's thread, and returns when it has. */
err_code control_do(model_control *c, task *t, err_code (*run)(model_control *c, task *t, err *e), err *e) MUST_USE;
err_code control_allowed(const model_control *c, const model_wish *w, err *e) MUST_USE;
/* Loads, whoever wants it; on a reader's thread. */
err_code control_load(model_control *c, task *t, err *e) MUST_USE;
/* Ensembles that have their members again come back, until none does; on the same. */
void control_orphans_return(model_control *c);

/* ---- on the control's thread ---- */

extern const char control_unloaded[], control_evicted[];   /* why something is not there */
/* `now` is what is found from here on; NULL = nothing.  It is the caller's on an error. */
err_code control_change(model_control *c, size_t i, lineup *now, const char *why, err *e) MUST_USE;
err_code control_names_fill(model_control *c, err *e) MUST_USE;   /* room for what is remembered of all names */
bool control_there(const model_control *c, size_t i);   /* served, or it comes when it is asked for */
bool control_wanted(const model_control *c, size_t i);  /* or when its members do */
/* Something came, changed or stands under another name: ensembles that it does not fit leave. */
err_code control_members_changed(model_control *c, err *e) MUST_USE;
err_code control_orphans_leave(model_control *c, err *e) MUST_USE;   /* something left: those that need it do, too */
void control_orphan(model_control *c, size_t i);      /* it comes when its members do */
void control_no_orphan(model_control *c, size_t i);   /* it is there, or is not wanted any more */
err_code control_known(model_control *c, task *t, err *e) MUST_USE;
err_code control_known_or_added(model_control *c, task *t, err *e) MUST_USE;

err_code control_budget_open(model_control *c, err *e) MUST_USE;
void control_gone(void *ctx, size_t i);   /* what was taken out of the budget has left; ctx = the control */

#endif
