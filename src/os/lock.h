/* lock.h - a mutex, for async/ and the layers below it only; held for tens of nanoseconds, never across a call
 * that can block. */
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
