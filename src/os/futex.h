/* futex.h - sleeps until a word changes.
 *
 * The one way in which a thread of this process waits for another; loops wait in os/poll instead.  Any thread;
 * the word stays where it is while somebody may sleep on it.  The kernel is asked only to sleep and to wake: whoever
 * can go on looks at the word itself first. */
#ifndef OS_FUTEX_H
#define OS_FUTEX_H
#include "base/base.h"

#define FUTEX_FOREVER UINT64_MAX

/* Returns at once when *word != expected, else when woken, when a signal came (both true), or when
 * clock_now_us() has reached deadline_us (false).  Callers look at the word again in any case. */
bool futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_us);
uint32_t futex_wake(_Atomic uint32_t *word, uint32_t count);   /* how many really slept and now wake */

#endif
