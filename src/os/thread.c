#include "os/thread.h"

#include "os/sys.h"

#include <stdio.h>
#include <stdlib.h>

/* Less than the 0.7 ms and more that others have; shorter ones are taken away more often, which costs a busy loop. */
enum { PROMPT_NS = 500000 };

static _Thread_local bool prompt;

static void *start(void *arg)
{
    thread *t = arg;
    if (t->prompt) (void)sys_thread_slice(0);
    (void)pthread_setname_np(pthread_self(), t->name);
    /* glibc makes a thread's heap as large as the thread's first block and keeps it so: let that be a small one. */
    void *volatile first = malloc(1);   /* style: mem_ counts what a run asks for, and a thread may start during one */
    free(first);                        /* style: the same */
    t->run(t->ctx);
    return NULL;
}

err_code thread_start(thread *t, const char *name, void (*run)(void *ctx), void *ctx, err *e)
{
    t->run = run;
    t->ctx = ctx;
    t->prompt = prompt;
    snprintf(t->name, sizeof t->name, "%s", name);
    int64_t rc = sys_thread_start(&t->id, start, t);
    return rc < 0 ? sys_err(e, rc, name, "cannot start a thread") : ERR_OK;
}

void thread_yield(void) { (void)sys_thread_yield(); }

void thread_prompt(void)
{
    (void)sys_thread_slice(PROMPT_NS);
    prompt = true;
}

void thread_leave(const thread *t)
{
    int64_t rc = sys_thread_leave(t->id);
    INVARIANT(rc == 0);
}

void thread_join(thread *t)
{
    int64_t rc = sys_thread_join(t->id);
    INVARIANT(rc == 0);
}
