/* label_file.h - the names of an output's classes, from a file that a model's declaration names.
 *
 * The file lies beside the declaration: a name, no path.  What may stand in it is media/labels.h's.  Texts lie in the
 * arena. */
#ifndef MODELS_LABEL_FILE_H
#define MODELS_LABEL_FILE_H
#include "engine/graph.h"
#include "media/labels.h"
#include "os/file.h"

enum { LABEL_FILE_BYTES_MAX = 16 << 20 };   /* protects the arena; a million names of 16 bytes */

/* The path of a file in `folder`; `key` is who names it, and opens the errors. */
err_code label_file_path(const char *folder, const char *key, str file, char ret[FILE_PATH_MAX], err *e) MUST_USE;
err_code label_file_names(const char *folder, const char *key, str file, arena *a, labels *ret, err *e) MUST_USE;
/* That of config.pbtxt's label_filename, as an attribute of strings, which is what models bring labels in. */
err_code label_file_read(const char *folder, str file, arena *a, const attr **ret, err *e) MUST_USE;

#endif
