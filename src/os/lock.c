#include "os/lock.h"

/* A default mutex fails only when it is misused: taken twice by one thread is not detected, the rest is here. */
void lock_init(lock *l)
{
    int rc = pthread_mutex_init(&l->mutex, NULL);
    INVARIANT(rc == 0);
}

void lock_fini(lock *l)
{
    int rc = pthread_mutex_destroy(&l->mutex);
    INVARIANT(rc == 0);
}

void lock_take(lock *l)
{
    int rc = pthread_mutex_lock(&l->mutex);
    INVARIANT(rc == 0);
}

void lock_give(lock *l)
{
    int rc = pthread_mutex_unlock(&l->mutex);
    INVARIANT(rc == 0);
}
