/* model_config.h - how a model is to be served, as Triton's config.pbtxt says it.
 *
 *   read    FOLDER/config.pbtxt, or a client's JSON instead of it; neither: all is left to the model
 *           --> defaults --> checked for contradictions: before the model is looked for
 *   fit     completed from the model, checked against it; typed, for those who obey it
 *   print   the whole, merged, as Triton's model configuration extension gives it
 *
 * What the configuration asks for and this server has not is refused by name where answers would be others, and
 * otherwise named in one line of the log.  Immutable once fitted.  Errors of the text begin with its file and place. */
#ifndef MODELS_MODEL_CONFIG_H
#define MODELS_MODEL_CONFIG_H
#include "models/model_ios.h"
#include "models/scheduling.h"

typedef enum { VERSIONS_LATEST, VERSIONS_ALL, VERSIONS_SPECIFIC } versions_policy;

typedef struct {
    /* read */
    bool given;                   /* there is a config.pbtxt, or a client's */
    bool ensemble;                /* made of other models: it has no file */
    str name, file;               /* file: VERSION/file is the model; len 0 = any .onnx file */
    str folder;                   /* where config.pbtxt is, or would be */
    versions_policy versions;
    i64_list specific;
    uint32_t latest;
    str *outputs_wanted;          /* that the model is to have: those it lists, and its states'; NULL = all */
    size_t outputs_wanted_count;
    /* fit */
    int64_t max_batch_size;       /* 0 = the first dimension is no batch */
    uint64_t instance_count;
    bool instances_said;          /* by the configuration; else it is one, by default */
    bool response_cache, decoupled;
    scheduling scheduling;
    model_ios ios;                /* what clients bring and get */
    /* private */
    arena memory;
    pbtree *tree;
    struct config_io *inputs, *outputs;   /* of each of ios; NULL = not fitted */
    bool reshapes;                /* an output */
} model_config;

typedef struct {
    str name;                     /* that the model is served under */
    const char *path;             /* where it comes from; only a folder may have a config.pbtxt */
    str override;                 /* JSON, instead of a config.pbtxt; p NULL = none */
} model_config_from;

err_code model_config_read(model_config **ret, const model_config_from *from, err *e) MUST_USE;
err_code model_config_fit(model_config *c, const model *m, err *e) MUST_USE;
err_code model_config_fit_alone(model_config *c, err *e) MUST_USE;   /* an ensemble: what it says is all there is */
void model_config_free(model_config *c);
DEFINE_CLEANUP(model_config)

/* May a version be served, being the `rank`-th newest there, from 0? */
bool model_config_serves(const model_config *c, uint64_t version, size_t rank);
/* Whether it says anything of what clients bring; else the model alone decides.  c may be NULL. */
static inline bool model_config_limits(const model_config *c) { return c && c->given; }
/* How the model wants what a client brings for its input i.  ERR_INVALID, in Triton's words, where it may not. */
err_code model_config_input_shape(const model_config *c, uint32_t i, const shape *s, shape *ret, err *e) MUST_USE;
/* Whether they bring the same batch to each of ios, where there is one.  ERR_INVALID, in Triton's words. */
err_code model_config_batch_check(const model_config *c, const tensor *inputs, err *e) MUST_USE;
/* Whether it says what an input, or an output, looks like.  c may be NULL. */
bool model_config_said(const model_config *c, bool input, uint32_t i);
/* Whether clients get any output in another shape than the model's; c may be NULL. */
bool model_config_reshapes(const model_config *c);
/* How a client gets the model's output i. */
shape model_config_output_shape(const model_config *c, uint32_t i, const shape *s);
/* How a client sees them: declared shapes, from the configuration where it says them; c may be NULL. */
shape model_config_declared(const model_config *c, const model_ios *ios, bool input, uint32_t i);
/* The names of the output's classes, from its label_filename; NULL = it has none.  c may be NULL. */
const attr *model_config_labels(const model_config *c, uint32_t i);
/* The model of an ensemble's step; p NULL = it has no more.  Once read. */
str model_config_member(const model_config *c, size_t step);
queue_patience model_config_patience(const model_config *c);   /* once read; c may be NULL */
str model_config_parameter(const model_config *c, const char *key);   /* p NULL = not there */

void model_config_print(buf *out, const model_config *c);   /* JSON */
void model_config_put(buf *out, const model_config *c);     /* the fields of the protobuf message */

#endif
