/* lock.h - a mutex.
 *
 * For os, async and store only; the layers above have none (src/async/loop.h says why).  Held for tens of
 * nanoseconds, never across a call that can block and never while another is taken, so that there is no order of
 * locks to keep.  Embedded in what it guards; the comment beside it names the fields. */
#ifndef OS_LOCK_H
#define OS_LOCK_H
#include "base/base.h"

#include <pthread.h>

typedef struct {
    /* private */
    pthread_mutex_t mutex;
} lock;

#define LOCK_INIT {PTHREAD_MUTEX_INITIALIZER}

void lock_init(lock *l);
void lock_fini(lock *l);
void lock_take(lock *l);
void lock_give(lock *l);

#endif
