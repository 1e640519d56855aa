/* source.h - where a model's files are, from what a user names.
 *
 *   FILE                       that file, version "1"
 *   FOLDER/model.onnx          or the only .onnx file of the folder, version "1"; only where there is no VERSION/
 *   FOLDER/VERSION/model.onnx  VERSION a number: those that hold a model, as Triton's repositories are; a name that
 *                              begins with 0 is none
 * A model's configuration may name another file, and decides which versions may be served.  An ensemble has no file:
 * its folders VERSION/ may be empty, and it need not have any.  What is not to be served is not looked into.
 * Looks at names only, opens no model.  Hidden entries (Kubernetes mounts have "..data") are passed over.  A stamp
 * tells whether what a version is made of has changed: the files of its folder and of folders within, and the same of
 * what the model's folder has beside its versions.  Of that a load needs the files, initial_state/ and warmup/ to stay
 * as they are; other folders may change while it reads: a log, or what a training goes on writing. */
#ifndef MODELS_SOURCE_H
#define MODELS_SOURCE_H
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "models/model_config.h"
#include "wire/sha256.h"

enum {
    SOURCE_DEPTH_MAX = 4,       /* folders one in the other, in a model's or a version's, that are looked into */
    SOURCE_FOLDERS_MAX = 256,   /* so many of each: a link may lead to the root of all */
    SOURCE_NAMES_BYTES_MAX = 16 << 20   /* and such names and paths of their files: 150,000 of 60 bytes */
};

typedef struct {
    uint8_t read[SHA256_BYTES];     /* of what is to stay as it is while a load reads */
    uint8_t beside[SHA256_BYTES];   /* of what else lies beside the versions */
} source_stamp;

typedef struct {
    uint64_t number;
    str name, file; /* NUL-terminated, in the arena */
    source_stamp stamp;
} source_version;

typedef struct {
    source_version *all; /* that the configuration lets be served and that are there, the newest first */
    size_t count;        /* > 0 */
    str loose;           /* a model's file beside the versions, which does not count; p NULL = there is none */
    str unseen;          /* a folder whose files no stamp covers, or not all; p NULL = there is none */
} source;

/* `besides`: a version that is served whatever the configuration says; "" = none.  "PATH: expected an .onnx file, ..."
 * names what was looked for. */
err_code source_find(source *ret, arena *a, const char *path, const model_config *c, str besides, err *e) MUST_USE;
bool source_is_version(str name, uint64_t *ret);   /* of a folder: 1, 2, 10; not 0, 03, 1a */
bool source_eq(const source *a, const source *b);   /* the same versions, of the same files but for what lies beside */

/* Who watches folders hears of each before it is looked at, so that nothing falls between the two. */
typedef struct {
    void (*enter)(void *ctx, const char *path);   /* before the folder is listed */
    void *ctx;
} source_visit;

/* A model's folder, those of all its versions, and those within that stamps cover. */
err_code source_folders(arena *a, const char *path, const source_visit *v, err *e) MUST_USE;
/* The folders of a model repository, by name: each is a model. */
err_code source_models(str **ret_names, size_t *ret_count, arena *a, const char *folder, err *e) MUST_USE;

#endif
