/* named_model.h - a model as a user names it: NAME=PATH.
 *
 * Between the options, which read it, and the repository, which opens it: neither includes the other.
 * Both strings are borrowed; the path is NUL-terminated. */
#ifndef MODELS_NAMED_MODEL_H
#define MODELS_NAMED_MODEL_H
#include "base/str.h"

typedef struct {
    str name, path;
    bool brought; /* nobody asked for it: an ensemble needs it */
    bool listed;  /* a folder of the model repository: it may be no model's */
} named_model;

#endif
