/* note.h - a short text that any thread may set and any thread may read, whole.
 *
 * For what people read and nothing waits for: why something is as it is.  A longer text is cut at NOTE_MAX bytes.
 * The lock guards the text and is held while it is copied; nothing else is called meanwhile. */
#ifndef ASYNC_NOTE_H
#define ASYNC_NOTE_H
#include "os/lock.h"

enum { NOTE_MAX = 400 };    /* bytes, NUL included: as long as an err's text */

/* Embedded in its owner. */
typedef struct {
    /* private */
    lock lock;              /* guards text; held while it is copied */
    char text[NOTE_MAX];
} note;

void note_init(note *n);    /* "" */
void note_fini(note *n);
void note_set(note *n, const char *text);
void note_get(note *n, char ret[NOTE_MAX]);

#endif
