/* thread.h - threads.
 *
 * The struct is embedded in its owner and stays where it is until thread_join(): the new thread reads its
 * start values from it.  A thread inherits the signal mask, so proc_signals_open() comes before the first one. */
#ifndef OS_THREAD_H
#define OS_THREAD_H
#include "base/err.h"

#include <pthread.h>

enum { THREAD_NAME_MAX = 15 };   /* the kernel's limit; a longer name is cut */

typedef struct {
    /* private */
    pthread_t id;
    void (*run)(void *ctx);
    void *ctx;
    char name[THREAD_NAME_MAX + 1];
} thread;

err_code thread_start(thread *t, const char *name, void (*run)(void *ctx), void *ctx, err *e) MUST_USE;
void thread_join(thread *t);

/* Tells the CPU that this is a spin loop. */
static inline void thread_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");   /* yield is a no-op on most cores; isb waits about as long as pause */
#endif
}

#endif
