/* source.h - where a model's file is, from what a user names.
 *
 *   FILE                       that file, version "1"
 *   FOLDER/model.onnx          or the only .onnx file of the folder, version "1"
 *   FOLDER/VERSION/model.onnx  VERSION a number: the newest one that holds a model, as Triton's repositories are
 * A model's configuration may name another file, and decides which versions may be served.  An ensemble has no file:
 * its folders VERSION/ may be empty, and it need not have any.
 * Looks at names only, opens no model.  Hidden entries (Kubernetes mounts have "..data") are passed over. */
#ifndef MODELS_SOURCE_H
#define MODELS_SOURCE_H
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "models/model_config.h"

typedef struct {
    str file; /* NUL-terminated, in the arena */
    str version;
    str *versions; /* all that the configuration lets be served and that are there, the newest first */
    size_t version_count;
} source;

/* "PATH: expected an .onnx file, ..." names what was looked for. */
err_code source_find(source *ret, arena *a, const char *path, const model_config *c, err *e) MUST_USE;
/* The folders of a model repository, by name: each is a model. */
err_code source_models(str **ret_names, size_t *ret_count, arena *a, const char *folder, err *e) MUST_USE;

#endif
