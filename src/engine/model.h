/* model.h - a loaded model, and running it.
 *
 * model_open() maps the file, checks it, resolves operators, runs the passes and prepares weights; the file stays
 * mapped, and weights that need no packing are views into it.  A model is immutable afterwards and may
 * be used by any number of threads at once.  Each run takes an exec: the plan for its input shapes (made on first use,
 * cached, at most MODEL_PLANS_MAX, least recently used out) and an arena of its own.  Execs are pooled:
 * after a shape has been seen at the given concurrency, a run makes no heap allocation. */
#ifndef ENGINE_MODEL_H
#define ENGINE_MODEL_H
#include "async/compute.h"
#include "engine/batch_axis.h"
#include "engine/graph.h"

#include <stdatomic.h>

enum { MODEL_PLANS_MAX = 32, MODEL_EXECS_MAX = 512 };   /* execs: one per compute thread and per loop */

typedef struct model model;
typedef struct exec exec;

typedef struct {
    compute *pool;               /* borrowed; may be NULL: one thread */
    size_t memory_max;           /* bytes of one execution's arena; 0 = 4 GiB.  over it: ERR_TOO_LARGE */
    size_t share_max;            /* bytes of all its executions together; 0 = no bound.  over it: ERR_LIMIT, or
                                  * ERR_TOO_LARGE where no other has any */
    bool no_passes;              /* runs the graph as it was written, for comparing */
    /* The outputs that are wanted, borrowed while it opens: it has no others, and computes nothing for them alone.
     * NULL = all; and all where one is named that it has not, so that whoever asked can say which there are. */
    const str *outputs;
    size_t output_count;
} model_opts;

/* path: an .onnx file.  Errors: "PATH: ..." naming node, operator, domain, version where it applies;
 * ERR_UNSUPPORTED when the file is valid and this engine has not the operator, type or version. */
err_code model_open(model **ret, const char *path, const model_opts *opts, err *e) MUST_USE;
/* The same from memory (borrowed until model_close); `folder` is where external data may lie, NULL = nowhere. */
err_code model_open_bytes(model **ret, str bytes, const char *name, const char *folder, const model_opts *opts,
                          err *e) MUST_USE;
void model_free(model *m);       /* every exec was given back */
/* Any thread: frees execs that nobody uses; keep = but one for the shapes that were used last. */
void model_trim(model *m, bool keep);
DEFINE_CLEANUP(model)

typedef struct {
    str name;
    dtype type;
    shape shape;                 /* -1 = any */
    bool ranked;                 /* false: the model does not say */
    str dim_name[TENSOR_RANK_MAX];
    const attr *labels;          /* class labels that belong to this output (was a ZipMap), or NULL */
} model_io;

uint32_t model_input_count(const model *m);
uint32_t model_output_count(const model *m);
const model_io *model_input(const model *m, uint32_t i);
const model_io *model_output(const model *m, uint32_t i);
const graph *model_graph(const model *m);
const batch_axis *model_batch(const model *m);   /* whether requests may share a run */
/* Its files, which are mapped, and what was made of them: weights and plans apart from executions. */
size_t model_bytes(const model *m);
/* The same as the process pays for it, with what its arenas have not used yet, and with the executions at rest. */
size_t model_held_bytes(model *m);
size_t model_resting_bytes(model *m);   /* of that, the executions at rest: what model_trim() would free */

/* What its executions have taken, in use or at rest, and how many were refused for it; 0 without share_max. */
typedef struct {
    size_t bytes, bytes_max;
    uint64_t refused;
} model_share;
model_share model_share_read(const model *m);

/* Checks the shapes against the declared ones and takes an exec for them.  ERR_INVALID names the input;
 * ERR_LIMIT when MODEL_EXECS_MAX are in use, ERR_TOO_LARGE when the plan needs more than memory_max. */
err_code exec_take(exec **ret, model *m, const shape *inputs, err *e) MUST_USE;
/* The same only where it needs neither planning nor memory and ran in at most cost_us_max so far; else NULL.  Never
 * where values of the inputs decide on shapes, how often a loop runs or how far a region reaches: their cost is no
 * other run's. */
exec *exec_take_cheap(model *m, const shape *inputs, uint32_t cost_us_max) MUST_USE;
/* Input i: write into ->data before exec_run(), or point ->data at your own buffer, which lives until exec_give() and
 * holds as many elements of the same type: nobody can look. */
tensor *exec_input(exec *x, uint32_t i);
/* When a run shall end before its last node: looked at between nodes, before each iteration of a loop, and inside nodes
 * whose work is a product of counts (op_watch.h). */
typedef struct {
    const _Atomic bool *cancelled;   /* ERR_CANCELLED; NULL = nobody will */
    uint64_t since_ns;               /* on clock_now_ns(): it begins, and the clock was just read; 0 = it was not */
    uint64_t until_us;               /* on clock_now_us(): ERR_TIMEOUT; 0 = no limit */
} exec_stop;
err_code exec_run(exec *x, const exec_stop *stop, err *e) MUST_USE;   /* stop may be NULL */
uint64_t exec_until_ns(const exec *x);   /* on clock_now_ns(): the end of the last exec_run() */
const tensor *exec_output(const exec *x,
                          uint32_t i); /* valid until exec_give(); output shape is only known after the run */
void exec_give(exec *x);
/* From now on `count` users look at its outputs: each calls exec_give(), on any thread, and the last one gives it. */
void exec_share(exec *x, uint32_t count);

/* Measured cost of one run in this plan, microseconds, exponentially averaged; 0 = not yet run.  What holds a run up
 * now and then, as a thread that takes the CPU away does, counts for little. */
uint32_t exec_cost_us(const exec *x);

#endif
