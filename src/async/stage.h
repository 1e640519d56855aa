/* stage.h - a bounded queue in front of the compute pool: items of one kind meet here, and workers take them.
 *
 *   push (any thread) --> [ item item item ] --> at most workers_max pool workers at a time, each in serve()
 *
 * serve() runs on a pool worker and takes as many items as it wants with stage_take(), so a batch is formed
 * by the one who runs it, at the last moment.  While items remain, the stage queues up again at the end of the pool's
 * line: several stages share a pool fairly, one serve() call each in turn.  Items are intrusive: no
 * allocation per item. */
#ifndef ASYNC_STAGE_H
#define ASYNC_STAGE_H
#include "async/compute.h"

typedef struct stage stage;
typedef struct stage_item stage_item;
struct stage_item {
    stage_item *next; /* private */
};

typedef struct {
    compute *pool; /* borrowed */
    uint32_t depth_max; /* items waiting; protects memory and bounds the wait */
    uint32_t workers_max; /* 1 .. COMPUTE_THREADS_MAX */
    void (*serve)(void *ctx, stage *s);
    void *ctx;
} stage_opts;

err_code stage_new(stage **ret, const stage_opts *opts, err *e) MUST_USE;
void stage_free(stage *s); /* nothing may be waiting or running */
DEFINE_CLEANUP(stage)

/* Any thread.  ERR_LIMIT names the depth and its limit; the item is the caller's again. */
err_code stage_push(stage *s, stage_item *item, err *e) MUST_USE;
stage_item *stage_take(stage *s); /* the oldest, or NULL */
size_t stage_waiting(const stage *s);
bool stage_idle(const stage *s); /* nothing waits */
bool stage_quiet(stage *s); /* and no worker is inside: when nobody pushes any more it may be freed */

#endif
