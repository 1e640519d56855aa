/* config_check.h - contradictions in a model's configuration, found without its model and told in Triton's words.
 *
 * Pure: takes the tree that config.pbtxt was read into (config_def.h), after defaults were put in.  What holds of the
 * model's own inputs and outputs is config_fit.h's. */
#ifndef MODELS_CONFIG_CHECK_H
#define MODELS_CONFIG_CHECK_H
#include "wire/pbtree.h"

enum { CONFIG_STEPS_MAX = 1024 };   /* of an ensemble; bounds the search for what is never written */

/* Names, platform, batching, sequences, ensembles, metrics. */
err_code config_check(const pbtree *c, err *e) MUST_USE;
/* Inputs and outputs; once what was left out has been completed. */
err_code config_check_io(const pbtree *c, err *e) MUST_USE;
err_code config_check_instances(const pbtree *c, err *e) MUST_USE;
/* The data flow of an ensemble: part of config_check(). */
err_code config_check_ensemble(const pbtree *c, err *e) MUST_USE;

#endif
