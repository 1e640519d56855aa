/* served.h - what is served under a name, whatever runs behind it: a model, or an ensemble of others.
 *
 *   begin (on a loop, which has just found it) --> push --> done() --> queue_release() --> end
 * An ensemble finds and holds its members in begin, so that nothing that is loaded or unloaded meanwhile matters to a
 * request that has begun.  Of a model begin and end do nothing. */
#ifndef MODELS_SERVED_H
#define MODELS_SERVED_H
#include "models/cache_visit.h"
#include "models/repository.h"

/* What clients bring and get. */
static inline uint32_t served_input_count(const served *s) { return s->ios.input_count; }
static inline uint32_t served_output_count(const served *s) { return s->ios.output_count; }
const model_io *served_input(const served *s, uint32_t i);
const model_io *served_output(const served *s, uint32_t i);
int32_t served_input_index(const served *s, str name); /* -1 = no such input */
int32_t served_output_index(const served *s, str name);

void served_begin(served *s, queue_item *item);
err_code served_push(served *s, queue_item *item, err *e) MUST_USE; /* as queue_push() */
void served_cancel(queue_item *item); /* begun, not ended: any thread; it ends soon, with ERR_CANCELLED */
void served_end(queue_item *item);

/* What is done before and after it, of a request that has begun; NULL = nothing. */
const struct pipeline *ensemble_run_pipeline(ensemble_run *r);   /* of ensemble_run.h */
static inline const struct pipeline *served_pipeline(const served *s, const queue_item *item)
{
    return s->pipeline ? s->pipeline : item->run ? ensemble_run_pipeline(item->run) : NULL;
}

/* What became of a step of an ensemble; after done(), before the end. */
typedef struct {
    served *member;
    const queue_item *item; /* its own: when it waited, ran and ended */
    const cache_visit *cached; /* its own; what was found there did not run */
    err_code code;
    const char *limit; /* err.limit */
    uint32_t depth; /* 0 = a step of what was asked, 1 = of an ensemble within, ... */
} served_asked;
/* The steps that reached a queue, or the cache before it, those of ensembles within behind theirs:
 * *at = 0; while (served_next_step(...)). */
bool served_next_step(const queue_item *item, uint32_t *at, served_asked *ret);

bool served_quiet(served *s); /* as queue_quiet(), and nobody but the repository holds it */
/* What its memory is, as the process pays for it: with the executions that rest, and what requests are counted by. */
size_t served_held_bytes(const served *s);
size_t served_resting_bytes(const served *s);   /* of that, what served_spare() would give back */
void served_spare(const served *s);
/* Requests have it, or sequences: it is not to go. */
bool served_busy(const served *s);
uint64_t served_used_us(const served *s);   /* on clock_now_us(): its last result; 0 = none yet */
size_t served_bytes(const served *s); /* what it takes, apart from executions */
const char *served_platform(const served *s);
bool served_names_itself(const served *s); /* in errors of served_push(), as Triton's words do */

#endif
