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
    bool prompt;   /* what starts it is */
} thread;

err_code thread_start(thread *t, const char *name, void (*run)(void *ctx), void *ctx, err *e) MUST_USE;
void thread_join(thread *t);
void thread_leave(const thread *t);   /* instead: nobody will wait for its end */
void thread_yield(void);   /* lets another thread that waits for this CPU go first */
/* From now on the calling thread, which runs briefly and often, goes before those that compute, where the kernel knows
 * slices of a thread's own (Linux 6.12); its share of the CPUs stays the same.  Threads that it starts do not. */
void thread_prompt(void);

/* Tells the CPU that this is a spin loop.  On aarch64 `yield` is a no-op on most cores; isb takes as long as pause. */
#if defined(__x86_64__)
static inline void thread_pause(void) { __builtin_ia32_pause(); }
#elif defined(__aarch64__)
static inline void thread_pause(void) { __asm__ volatile("isb" ::: "memory"); }
#else
static inline void thread_pause(void) {}
#endif

#endif
