/* scheduling.h - what a model's configuration says of how its requests run: batches, sequences, ensembles, limits.
 *
 * Read from the configuration after it was checked (config_check.h): nothing here fails but for want of memory.  Texts
 * and arrays lie in the arena that is given, beside the tree that they come from. */
#ifndef MODELS_SCHEDULING_H
#define MODELS_SCHEDULING_H
#include "sched/resources.h"
#include "tensor/dtype.h"
#include "wire/pbtree.h"

typedef struct {
    int64_t *at;
    size_t count;
} i64_list;

typedef struct {
    bool delays;                  /* what waited too long goes behind the others; else it is refused */
    uint64_t timeout_us;          /* 0 = none */
    bool may_override;            /* a request may ask for less */
    uint32_t size_max;            /* 0 = no limit */
} queue_policy;

typedef struct {
    uint64_t level;
    queue_policy policy;
} level_policy;

typedef struct {
    bool on;
    i64_list preferred;            /* batch sizes */
    uint64_t delay_us;            /* how long a request may wait for others */
    bool preserve_ordering;       /* answers leave in the order that requests came in */
    uint64_t levels, level;       /* priorities 1..levels, and what a request has without one; 0 = no priorities */
    queue_policy policy;
    level_policy *policies;       /* of single levels */
    size_t policy_count;
} dynamic_batching;

typedef enum { CONTROL_START, CONTROL_READY, CONTROL_END, CONTROL_CORRID, CONTROL_COUNT } control_kind;

typedef struct {
    str input;                    /* len 0 = the model does not ask for it */
    dtype type;
    double off, on;               /* but for CONTROL_CORRID */
} sequence_control;

typedef struct {
    str name, file;               /* file: beside the versions, in initial_state/; len 0 = zeros */
    dtype type;
    i64_list dims;
} initial_state;

typedef struct {
    str input, output;
    dtype type;
    i64_list dims;
    initial_state *initial;
    size_t initial_count;
    bool same_buffer, growable;
} sequence_state;

typedef struct {
    bool on, oldest, iterative;   /* oldest: that strategy, else direct */
    uint64_t idle_us;             /* after which a sequence is forgotten */
    sequence_control control[CONTROL_COUNT];
    sequence_state *states;
    size_t state_count;
    uint64_t delay_us;
    double slots_min;             /* direct: the part of the slots that must have a request */
    int64_t candidates_max;       /* oldest: sequences at a time */
    i64_list preferred;
    bool preserve_ordering;
} sequence_batching;

typedef struct {
    str key, value;               /* the model's tensor, the ensemble's */
} name_pair;

typedef struct {
    str model;
    int64_t version;              /* -1 = the newest */
    name_pair *inputs, *outputs;
    size_t input_count, output_count;
} ensemble_step;

typedef struct {
    bool on;
    ensemble_step *steps;
    size_t step_count;
    uint32_t inflight_max;        /* 0 = no limit */
} ensemble_scheduling;

/* What the instances of a model take of resources while they run: Triton's rate limiter. */
typedef struct {
    bool said;                    /* by any group of instances */
    bool differ;                  /* another group says something else */
    uint32_t priority;            /* 0 = 1 */
    resource_need *needs;
    size_t need_count;
} rate_limiter;

typedef enum { WARMUP_UNSET, WARMUP_ZERO, WARMUP_RANDOM, WARMUP_FILE } warmup_data;

typedef struct {
    str name, file;               /* file: in warmup/ */
    dtype type;
    i64_list dims;
    warmup_data data;
} warmup_input;

typedef struct {
    str name;
    uint32_t batch_size, count;   /* of the request; how often it is run */
    warmup_input *inputs;
    size_t input_count;
} warmup;

typedef struct {
    dynamic_batching dynamic;
    sequence_batching sequence;
    ensemble_scheduling ensemble;
    rate_limiter rate;
    warmup *warmups;
    size_t warmup_count;
} scheduling;

/* What counts of the queue's policies while there is no queue: of a model that has to be loaded first. */
typedef struct {
    uint32_t size_max;            /* requests of all levels; 0 = no limit */
    bool own_timeout;             /* a request may say its own */
} queue_patience;
queue_patience scheduling_patience(const pbtree *c);

err_code scheduling_read(scheduling *ret, const pbtree *c, arena *a, err *e) MUST_USE;

#endif
