/* conf_models.h - what the options say of models: which there are, and how each is run.
 *
 * The repository knows no options of the command line; this is where they become its own.
 * Nothing is checked here: conf_check() has. */
#ifndef SERVE_CONF_MODELS_H
#define SERVE_CONF_MODELS_H
#include "models/model_control.h"
#include "serve/conf.h"

/* Borrows the configuration's strings. */
repository_opts conf_models(const conf *c, compute *pool, uint32_t lanes);

model_budget conf_budget(const conf *c);

#endif
