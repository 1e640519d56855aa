#include "async/note.h"

#include <stdio.h>
#include <string.h>

void note_init(note *n)
{
    lock_init(&n->lock);
    n->text[0] = 0;
}

void note_fini(note *n) { lock_fini(&n->lock); }

void note_set(note *n, const char *text)
{
    lock_take(&n->lock);
    snprintf(n->text, sizeof n->text, "%s", text);
    lock_give(&n->lock);
}

void note_get(note *n, char ret[NOTE_MAX])
{
    lock_take(&n->lock);
    memcpy(ret, n->text, NOTE_MAX);
    lock_give(&n->lock);
}
