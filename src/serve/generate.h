/* generate.h - Triton's generate extension: a model asked with one flat JSON object, which answers with another.
 *
 * Request: {"id", NAME: VALUE, ..., "parameters": {NAME: VALUE, ...}}.  A name, there or nested in "parameters", that
 * is an input of the model is that tensor: one value, or a list of values; any other is a parameter.  There is no
 * shape: a list's length is spread over it, what fixed dimensions leave goes to the last free one, others are 1.
 * Answer: {"id", "model_name", "model_version", OUTPUT: VALUE, ...}, an output of one element as it is, else a flat
 * list.  A stream is the same answer as one server-sent event: every model here has one answer to each request. */
#ifndef SERVE_GENERATE_H
#define SERVE_GENERATE_H
#include "serve/infer.h"

extern const infer_protocol generate_protocol, generate_stream_protocol;

#endif
