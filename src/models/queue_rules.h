/* queue_rules.h - how a model's requests are queued and batched: what the server's options say, its config.pbtxt, and
 * what is proven of the model.
 *
 *   no config.pbtxt          the options: adaptive batches of up to 32 rows, where the rows are proven to be apart
 *   dynamic_batching         Triton's batcher (FIXED): its sizes, delay, priorities and policies, up to max_batch_size
 *   config.pbtxt without it  no batches, as Triton
 *
 * What a model may have of the workers and of time says queue_limits.h.
 * Lengths that differ are padded where padding.h finds that right, or `parameters: padding` says so.
 * A configuration says that a model may be batched, it does not make it right: what is not proven runs alone, and one
 * line of the log says why. */
#ifndef MODELS_QUEUE_RULES_H
#define MODELS_QUEUE_RULES_H
#include "models/model_config.h"
#include "models/model_limit.h"
#include "models/queue.h"

enum { QUEUE_MAX_BATCH = 32 };   /* rows: most models gain little beyond, and answers wait for all of them */

/* The server's options. */
typedef struct {
    batch_mode mode;
    uint32_t max_batch;       /* rows; 0 = QUEUE_MAX_BATCH */
    uint64_t max_delay_us;    /* 0 = as the mode chooses */
    uint64_t objective_us;    /* ADAPTIVE: 0 = none */
    uint32_t requests_max;    /* that wait, of one model */
    uint64_t bytes_max;       /* that they hold; 0 = no limit */
    uint32_t inline_us;
    const model_limit *limits;   /* of single models: queue_limits.h */
    size_t limit_count;
} queue_rules;

/* Fills batching, share, level, inline_us and strict; `ret` has its name, model and turns. c may be NULL.
 * ERR_UNSUPPORTED names what the configuration asks for beyond this server's bounds. */
err_code queue_rules_apply(queue_opts *ret, const queue_rules *r, const model_config *c, err *e) MUST_USE;

#endif
