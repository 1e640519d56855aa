/* label_file.h - the names of an output's classes, from a file with one on each line.
 *
 * The file lies beside config.pbtxt, which names it: a name, no path.  Empty lines count, a last line need not end.
 * Texts lie in the arena. */
#ifndef MODELS_LABEL_FILE_H
#define MODELS_LABEL_FILE_H
#include "engine/graph.h"

enum { LABEL_FILE_BYTES_MAX = 16 << 20 };   /* protects the arena; a million names of 16 bytes */

/* As an attribute of strings, which is what models bring labels in. */
err_code label_file_read(const char *folder, str file, arena *a, const attr **ret, err *e) MUST_USE;

#endif
