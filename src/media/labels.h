/* labels.h - the names of a model's classes.
 *
 * From a text of one name a line, as Triton's label_filename and ImageNet's lists are, from a JSON list of names, or
 * from the id2label (or label2id) of a Hugging Face config.json.  A byte order mark is passed over.  Names live in the
 * arena; a class without a name has an empty one. */
#ifndef MEDIA_LABELS_H
#define MEDIA_LABELS_H
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum { LABELS_MAX = 1 << 20 };

typedef struct {
    const str *names;
    size_t count;
} labels;

/* `file` is for messages.  Nothing but blanks gives no labels. */
err_code labels_parse(str text, const char *file, arena *a, labels *ret, err *e) MUST_USE;
str labels_name(const labels *l, size_t index);

#endif
