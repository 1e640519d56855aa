/* quota.h - how much of something all threads together may have out at once: a count with a maximum.
 *
 * It only counts: whoever takes n gives n back.  Taking is all or nothing, so the count never passes `max`.  Any
 * thread, lock-free; the counters are one cache line that all takers write, so its owner aligns it and takes for what
 * costs more than that: memory, not requests. */
#ifndef BASE_QUOTA_H
#define BASE_QUOTA_H
#include "base/base.h"

#include <stdatomic.h>

typedef struct quota {
    size_t max;
    /* private */
    _Atomic size_t used;
    _Atomic uint64_t refused;
} quota;

void quota_init(quota *q, size_t max);
bool quota_take(quota *q, size_t n) MUST_USE;   /* false = it would pass max; counted */
bool quota_has(quota *q, size_t n) MUST_USE;    /* the same without taking: to refuse early what would be refused */
void quota_give(quota *q, size_t n);
/* For what grows and shrinks: takes, or gives back, so that what it has out (*taken) becomes n.  false = there is not
 * so much, and *taken is as it was.  A NULL quota counts nothing and has enough. */
bool quota_follow(quota *q, size_t *taken, size_t n) MUST_USE;
void quota_give_all(quota *q, size_t *taken);
size_t quota_used(const quota *q);
void quota_refuse(quota *q);                    /* counts one for whom there was not enough, however that was found */
uint64_t quota_refused(const quota *q);         /* how often there was not enough */

#endif
