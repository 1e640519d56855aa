/* model_config.h - Triton's model configuration extension: a model described as its ModelConfig message, over REST and
 * gRPC.
 *
 * What Proa has no setting for stands there with Triton's default, since clients look members up without asking. */
#ifndef SERVE_MODEL_CONFIG_H
#define SERVE_MODEL_CONFIG_H
#include "serve/repository.h"

void model_config_print(buf *out, const served *m);   /* JSON */
void model_config_put(buf *out, const served *m);     /* the fields of the protobuf message */

#endif
