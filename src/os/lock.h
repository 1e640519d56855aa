/* lock.h - a mutex.
 *
 * For os and async; above them an object belongs to its loop and needs none (src/async/loop.h), but for two in
 * engine, whose includes say why: `make tidy` refuses any other.  Never taken while another is held, so that there
 * is no order of locks to keep.  Held for less than a microsecond, except while something is made once for all (a
 * library opened, a thread started, an index filled), which the others need and wait for.  Embedded in what it
 * guards, or beside it; the comment at each names the fields. */
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
