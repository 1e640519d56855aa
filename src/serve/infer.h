/* infer.h - one inference request from its bytes to its answer, whatever the protocol.
 *
 *   loop          read (small body) --> queue --inline--> run --> write (small) --> reply
 *   loop          submit .                                  '--submit.              ^ loop_post
 *   pool worker          '--> read (large body) --> queue --> run --> write
 *
 * A protocol is two functions: read turns the body into the model's input tensors and what the client wants back,
 * write turns outputs into bytes.  Both run on a loop or on a pool worker and touch only their infer.
 * Who asks is not known here: rest.h and ask.h take a request, start it and are told of its answer.  Requests come
 * from a pool per loop and keep their memory, so a steady load does not allocate. */
#ifndef SERVE_INFER_H
#define SERVE_INFER_H
#include "async/loop.h"
#include "models/served.h"
#include "os/shm.h"
#include "wire/flate.h"

enum {
    /* What is read and written on the loop: about 0.1 ms each.  More is a worker's. */
    INFER_READ_INLINE_BYTES = 32 << 10, /* of JSON, at 300 MB/s */
    INFER_READ_INLINE_BINARY = 1 << 20, /* of body: it may have to be copied to be aligned */
    INFER_WRITE_INLINE_ELEMENTS = 2048, /* of outputs, at 50 ns each */
    INFER_IDLE_MAX = 64, /* requests kept per loop, */
    INFER_KEEP_BYTES = 4 << 20, /* memory kept by each of them, */
    INFER_KEEP_BYTES_MAX = 32 << 20, /* and by all of them */
    /* A request's memory is bounded by what its client sent, not by what it claims.  The worst that is right are V1
     * rows of small objects: 6 bytes of text are 3 values of 16 bytes in a tree that was copied while it grew. */
    INFER_MEMORY_PER_BYTE = 32,
    INFER_MEMORY_MIN = 1 << 20,
    INFER_PACK_INLINE_BYTES = 8 << 10, /* packed on the loop: 0.1 ms at 80 MB/s */
    /* Of a larger answer a sample from its middle is packed first: noise, as tensors of floats are, costs 20 ms a MB.
     * At 100 Mbit/s a quarter less saves as much. */
    INFER_PACK_SURE_BYTES = 128 << 10,
    INFER_PACK_SAMPLE_BYTES = 8 << 10,
    INFER_TIMING_BYTES = 200,
    INFER_TAIL_COPY_BYTES = 64 << 10, /* a tail up to here is copied, so that the outputs are free at once */
};

#define INFER_TIMING_HEADER "X-Proa-Timing"   /* a request's, with "1": see infer_timing() */

typedef struct infer infer;
typedef struct traced traced; /* tracer.h */
typedef struct infer_pool infer_pool;
typedef struct pictures pictures; /* pictures.c */
typedef struct trace_log trace_log;
typedef struct trace_entry trace_entry;

typedef struct {
    err_code (*read)(infer *r, err *e); /* fills inputs, wants, id from body; the body lives until the reply */
    err_code (*write)(infer *r, err *e); /* fills reply and tail from the outputs */
    const char *content_type; /* REST: of the answer; NULL = JSON */
    metric_protocol counted; /* as what */
} infer_protocol;

/* A place in shared memory that a client has registered; region.p NULL = none. */
typedef struct {
    str region;
    uint64_t offset, bytes;
} infer_memory;

typedef struct {
    uint32_t output; /* index among the model's outputs */
    bool binary; /* V2's binary extension */
    uint64_t classes; /* V2's classification: so many of the best; 0 = the tensor itself */
    infer_memory memory; /* where the bytes go, instead of the answer */
    const tensor *t; /* in write: what goes */
} infer_want;

typedef struct {
    compute *compute; /* borrowed */
    size_t memory_bytes_max; /* of one request, whatever its size */
    size_t reply_bytes_max;
    shm_set *regions; /* borrowed; NULL = no shared memory */
    metrics_loop *counts; /* of the loop that calls; borrowed */
    uint32_t lane; /* that loop's place in each model's metrics */
    trace_log *trace_log; /* borrowed; NULL = there is none */
} infer_opts;

/* On clock_now_ns(); 0 = it has not happened.  The queue's own instants are between the two pairs. */
typedef struct {
    uint64_t since, read_since, read_until, write_since, write_until;
} infer_times;

struct infer {
    /* set by whoever asks, before infer_start() */
    loop *on; /* where that is called, and answered() */
    str request_id; /* for logs; valid until answered() */
    str trace_id; /* the same; empty = the caller has none */
    traced *traced; /* the asker's, who ends it; NULL = it is not traced */
    /* On the loop's clock: what has not run by then is dropped, ERR_TIMEOUT; 0 = none.  Reading may make it earlier. */
    uint64_t deadline_us;
    uint64_t asked_us; /* on clock_now_us(): its model had to be loaded since; 0 = it was there */
    flate_kind packing; /* of the answer, where that makes it smaller, */
    size_t pack_bytes_min; /* and where it is so large */
    bool has_binary; /* REST: the header Inference-Header-Content-Length was there */
    bool octets; /* REST: Content-Type: application/octet-stream */
    uint8_t plain; /* REST: what it says of a body that is no JSON: plain_kind of plain.h */
    bool timed; /* the client wants to know where the time went: infer_timing() */
    /* Once, with `failure`, or with `reply` and `tail`.  Takes the request back: infer_give(). */
    void (*answered)(infer *r);
    void *asker; /* the asker's own */

    trace_entry *trace; /* of trace_log.h; the asker may say when the request came; NULL = it is not traced */

    served *model;
    const infer_protocol *protocol;
    str body;
    size_t json_bytes; /* of the body: what costs time to read; REST's JSON ends there */
    arena memory; /* lives as long as the request */
    shm_set *regions; /* or NULL */
    bool on_loop; /* read runs on a loop: what takes long there sets `again` and fails, to be called on a worker */
    bool again;
    buf scratch; /* for read; empty before and after */
    tensor *inputs; /* one per model input */
    infer_want *wants;
    uint32_t want_count;
    bool pictured; /* it brought pictures, which are tensors now */
    uint8_t picture_refused; /* one that it brought: why, as metric_pictures has it, plus 1 */
    pictures *pictures; /* where each lies in the input, if there is one such input */
    str id; /* V2's "id", echoed */
    uint32_t variant; /* the protocol's own note from read for write */
    tensor *outputs; /* in write: the model's, as the client gets them */
    buf reply;
    size_t reply_head; /* where the answer begins in it: gRPC leaves room for its prefix */
    str tail; /* sent after reply; lives in the outputs' data */
    bool packed; /* the answer, from reply_head on, is packed as `packing` says */
    size_t reply_json_bytes; /* REST: != 0: an Inference-Header-Content-Length answer */
    err failure; /* code ERR_OK = none */
    infer_times times; /* in answered() */
    queue_item item; /* the same, of the run */
    /* private */
    compute_job job; /* what a worker does for it */
    loop_msg done_msg;
    bool expired; /* its own timeout passed in the queue */
    cache_visit cached;
    bool over_reply; /* the answer is larger than it may be */
    size_t memory_most;
    infer_pool *pool;
    infer *next;
};

err_code infer_pool_new(infer_pool **ret, const infer_opts *opts, err *e) MUST_USE; /* one per loop */
void infer_pool_free(infer_pool *p);
void infer_pool_trim(infer_pool *p); /* what it keeps for later goes back */
DEFINE_CLEANUP(infer_pool)

/* Memory for requests of any size that `body` has; allocates nothing.  The pool calls these. */
void infer_init(infer *r, const infer_opts *opts);
void infer_body(infer *r, const infer_opts *opts, str body, size_t json_bytes);
void infer_fini(infer *r);

infer *infer_take(infer_pool *p, served *of, const infer_protocol *protocol) MUST_USE; /* NULL = no memory */
void infer_give(infer *r);
/* answered() is called, possibly before this returns.  json_bytes as in struct infer. */
void infer_start(infer *r, str body, size_t json_bytes);
/* The answer to what could not be started, with `failure` set: counted, logged, answered() before this returns. */
void infer_refuse(infer *r);
void infer_cancel(infer *r); /* started, not yet answered: it ends soon, with ERR_CANCELLED unless it was done */

/* "Server-Timing" (W3C) of a request that is answered: milliseconds of each part, as far as it came. */
str infer_timing(const infer *r, char text[INFER_TIMING_BYTES]);

/* The request brings so many bytes besides its body: it may use as much more memory, within the most there is. */
void infer_extend(infer *r, uint64_t bytes);

/* What is done before and after its model; NULL = nothing. */
static inline const struct pipeline *infer_pipeline(const infer *r) { return served_pipeline(r->model, &r->item); }

/* Room for the input tensors; protocols call it first.  Data pointers are NULL until set. */
err_code infer_inputs(infer *r, err *e) MUST_USE;
int32_t infer_input_index(const infer *r, str name); /* -1 = no such input */
int32_t infer_output_index(const infer *r, str name);
/* Checks type and shape against what the model declares and gives input i its memory in the request's arena. */
err_code infer_input_set(infer *r, uint32_t i, dtype type, const shape *s, err *e) MUST_USE;
/* Once the model ran: fills r->outputs, from which write takes them. */
err_code infer_outputs(infer *r, err *e) MUST_USE;
/* In write: the model's output i, in the client's shape. */
/* What it is called and of what type. */
const model_io *infer_output_io(const infer *r, uint32_t i);
static inline const tensor *infer_output(const infer *r, uint32_t i) { return &r->outputs[i]; }

#endif
