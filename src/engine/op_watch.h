/* op_watch.h - lets a run end inside a node: for operators whose work is a product of counts that a client or a model
 * chooses, as boxes x boxes, and so may take hours where memory for its tensors is small.
 *
 * Between nodes the executor looks itself (exec_stop of model.h).  Each thread of a node has a watch of its own and
 * adds what it did; a look, some 30 ns, comes once in OP_WATCH_WORK of that, a tenth of a millisecond or two.  Where a
 * node runs outside a run, at plan time, no look finds anything. */
#ifndef ENGINE_OP_WATCH_H
#define ENGINE_OP_WATCH_H
#include "engine/op.h"

enum { OP_WATCH_WORK = 1 << 16 };

typedef struct {
    const op_call *call;
    uint64_t work;                   /* since the last look */
} op_watch;

/* ERR_CANCELLED or ERR_TIMEOUT, with the node's name, where the run shall end. */
err_code op_watch_look(op_watch *w, err *e) MUST_USE;

/* `work`: steps of some nanoseconds that were done; looks where it is time to. */
static inline err_code op_watch_add(op_watch *w, uint64_t work, err *e)
{
    w->work += work;
    return w->work < OP_WATCH_WORK ? ERR_OK : op_watch_look(w, e);
}

#endif
