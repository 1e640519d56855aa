/* ensemble.h - a served name without a model of its own: its configuration joins members into one.
 *
 *   inputs --> flow --> step (a member's queue) --> flow --> ... --> outputs
 * A flow is a tensor of the ensemble: an input, or written by one step; any number of steps read it.  Checked against
 * the members, which must be served, when it is loaded, in Triton's words; that there is no circle and every flow is
 * written and read was seen when the configuration was read (config_check.h).
 * Immutable; members are looked up by name when a request begins (ensemble_run.h), so each may be exchanged. */
#ifndef MODELS_ENSEMBLE_H
#define MODELS_ENSEMBLE_H
#include "models/repository.h"

enum {
    ENSEMBLE_DEPTH_MAX = 8,       /* ensembles in ensembles; bounds the recursion of whoever walks them */
    ENSEMBLE_STEPS_MAX = 4096     /* of one request, in all ensembles that it runs through; bounds its memory */
};

/* Between a flow and a member's tensor. */
typedef struct {
    str name;                     /* the member's */
    uint32_t flow;
} ensemble_link;

typedef struct {
    str model, version;           /* version: "" = the newest */
    const ensemble_link *in, *out;
    uint32_t in_count, out_count;
    uint32_t in_first, out_first; /* among those of all steps */
} ensemble_stage;

typedef struct {
    str name;
    int64_t writer;               /* the step; -1: the ensemble's input of the same index */
    const uint32_t *readers;      /* steps, one entry for each link */
    uint32_t reader_count;
    uint32_t output_count;        /* of the ensemble's outputs that are this flow: 0 or 1 */
} ensemble_flow;

struct ensemble {
    const repository *models;     /* borrowed */
    metrics_model *metrics;       /* the same */
    str name;
    bool batches;                 /* the first dimension of its tensors is a batch */
    const ensemble_stage *stages;
    uint32_t stage_count, in_total, out_total;
    const ensemble_flow *flows;   /* the inputs first */
    uint32_t flow_count;
    const uint32_t *outputs;      /* [ios->output_count] flows */
    const model_ios *ios;         /* what clients bring and get */
    /* private */
    arena memory;
};

/* Of a configuration that was fitted, which must outlive it, as must `metrics`.  On the thread that changes models, or
 * before loops run. */
err_code ensemble_new(ensemble **ret, const model_config *c, const repository *models, metrics_model *metrics,
                      err *e) MUST_USE;
/* Whether it still fits what is served under its members' names; on the same thread, with the same configuration. */
err_code ensemble_check(const ensemble *m, const model_config *c, err *e) MUST_USE;
/* Does one of its members, or of an ensemble within?  They are there, as when it was checked; on the same thread. */
bool ensemble_keeps_sequences(const ensemble *m);
void ensemble_free(ensemble *m);
DEFINE_CLEANUP(ensemble)

#endif
