/* ask.h - one message of a gRPC call and the answer to it.
 *
 *   gathered from pieces --> unpacked on a worker, if it was compressed --> answered: by a function at once,
 *                                                                           or by a model (infer.h) in its time
 * A message is laid so that its end is aligned to 64 bytes: protobuf writers put raw tensors last, and the last one is
 * then aligned for its type and need not be copied.  Belongs to one loop; asks come from a pool and keep their
 * memory, so a steady load does not allocate. */
#ifndef SERVE_ASK_H
#define SERVE_ASK_H
#include "serve/endpoint.h"
#include "wire/flate.h"

enum {
    ASK_IDLE_MAX = 256,                 /* asks kept per loop, */
    ASK_KEEP_BYTES = 4 << 20,           /* memory kept by each of them, */
    ASK_KEEP_BYTES_MAX = 32 << 20,      /* and by all of them, */
    ASK_KEEP_SHARE = 8,                 /* which is one part in so many of the memory for bodies, over all loops */
    ASK_WAIT_SPARE = 4,                 /* answers that wait leave one part in so many of the memory for replies */
    ASK_TRUST_MAX = 1 << 20             /* a longer message gets its memory as it comes */
};

typedef struct ask ask;
typedef struct ask_pool ask_pool;

typedef struct {
    str bytes;
    const api_key *who;                     /* asks; NULL = may do everything */
} rpc_request;

/* Answers a message on the loop: appends to reply. */
typedef err_code rpc_answer(endpoints *s, rpc_request request, buf *reply, err *e);

typedef struct {
    endpoints *endpoints;               /* all borrowed */
    infer_pool *requests;
    compute *compute;
    loop *on;
    metrics_loop *counts;               /* of that loop, */
    tracer_lane *traces;                /* and these; NULL = nothing is traced */
    size_t message_bytes_max, reply_bytes_max;
} ask_opts;

/* What is asked.  `answer`, or where that is NULL a model: with `protocol`. */
typedef struct {
    rpc_answer *answer;
    bool slow;                          /* that takes longer than a loop has: it runs on model control's thread */
    const infer_protocol *protocol;
    bool not_found_too;                 /* what `answer` appended counts even when it says ERR_NOT_FOUND */
    flate_kind packed;                  /* how the message is compressed */
    flate_kind packing;                 /* how the answer may be */
    uint64_t since_us;                  /* it began to come */
    uint64_t deadline_us;               /* 0 = none */
    bool timed;                         /* infer_timing() is wanted of the answer: ask_timing() */
    str request_id, trace_id;
    guard_pass pass;                    /* whoever asks, checked with each message */
} ask_what;

struct ask {
    void *of;                           /* set by whoever asks */
    void (*done)(ask *a);               /* the same: `failure`, or ask_frame(); then ask_give() */
    ask *next;                          /* the same */
    bool answered;                      /* done() was called */
    err failure;                        /* code ERR_OK = none */
    str id;                             /* the request's own, where it was read */
    size_t len;                         /* of the message */
    bool compressed;                    /* set by whoever asks */
    /* private */
    ask_pool *pool;
    ask_what what;
    uint8_t *bytes;                     /* the message lies at `start` */
    size_t room, start, have;
    buf unpacked, reply;
    size_t unpacked_bytes;              /* of it, taken from the quota of bodies */
    infer *request;
    size_t waiting;                     /* of its answer, taken from the quota of replies */
    str message;                        /* what is answered off the loop */
    uint64_t asked_us;                  /* when, of one that had to wait for its model; 0 = it did not */
    bool dropped;
    compute_job job;
    loop_msg msg;
};

err_code ask_pool_new(ask_pool **ret, const ask_opts *opts, err *e) MUST_USE;
void ask_pool_free(ask_pool *p);        /* all were given back */
void ask_pool_trim(ask_pool *p);        /* what it keeps for later goes back */
DEFINE_CLEANUP(ask_pool)

ask *ask_take(ask_pool *p) MUST_USE;    /* NULL = no memory */
void ask_give(ask *a);                  /* not started, or answered */
void ask_drop(ask *a);                  /* nobody waits any more: cancelled; gives itself back when it is over */
/* A message of len bytes comes; then its pieces.  ERR_UNAVAILABLE when all requests together have as much memory for
 * their bodies as they may. */
err_code ask_expect(ask *a, size_t len, err *e) MUST_USE;
err_code ask_put(ask *a, str piece, err *e) MUST_USE;
mem_span ask_place(const ask *a);   /* where the next piece may lie already; empty = there is no memory for it yet */
/* The message is whole.  done() is called, possibly before this returns. */
void ask_start(ask *a, const ask_what *what);
/* Its answer has to wait for others, or for the client: it counts among what waits, or becomes ERR_UNAVAILABLE when
 * that has all the memory it may. */
void ask_wait(ask *a);
/* gRPC's prefix and the answer's message, in two pieces that live until ask_give(). */
void ask_frame(ask *a, str ret[2]);
str ask_message(const ask *a);          /* of an answered one: what was asked */
/* What is known of an answered one, by then. */
void ask_traced(const ask *a, traced *t);
/* Where the time of an answered one went; empty = no model ran, or it was not wanted. */
str ask_timing(const ask *a, char text[INFER_TIMING_BYTES]);

#endif
