/* v2_model.h - what a client of the V2 protocol knows of a model and of an answer, whatever carried them.
 *
 * Plain data; everything lives in the arena of whoever read it.  A datatype that this program has no type for stays a
 * text with DT_NONE: such a tensor can be named, not sent. */
#ifndef CLI_V2_MODEL_H
#define CLI_V2_MODEL_H
#include "tensor/tensor.h"

typedef struct {
    str name, datatype;
    dtype type;                     /* DT_NONE = a datatype that is not known here */
    shape dims;                     /* -1 = any size */
} v2_io;

typedef struct {
    str name, version;              /* as asked for; version may be empty */
    v2_io *inputs, *outputs;
    size_t input_count, output_count;
} v2_model;

typedef struct {
    str name;
    tensor t;
} v2_value;

typedef struct {
    str model, version;             /* as the server names them; may be empty */
    v2_value *outputs;
    size_t output_count;
} v2_answer;

#endif
