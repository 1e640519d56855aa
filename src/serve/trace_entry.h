/* trace_entry.h - what is kept of a traced request, and the JSON that Triton's tools read of it.
 *
 *   infer:   new --> received --> ran --> answer (before it goes out) --> trace_log_end()
 *   thread:  print --> free
 *
 * It owns copies of all it says: the request, its body and its model go their ways.  Its memory is taken from a quota;
 * where that, or the heap, has no more the entry is `lost`, and still goes its way to be counted. */
#ifndef SERVE_TRACE_ENTRY_H
#define SERVE_TRACE_ENTRY_H
#include "async/mailbox.h"
#include "base/quota.h"
#include "serve/infer.h"
#include "serve/step_times.h"

/* In the order in which they happen.       of REST            of gRPC, where it has another name */
#define TRACE_EVENTS_LIST(X)                                                      \
    X(RECV_START,            "HTTP_RECV_START",          "GRPC_WAITREAD_START")   \
    X(RECV_END,              "HTTP_RECV_END",            "GRPC_WAITREAD_END")     \
    X(REQUEST_START,         "REQUEST_START",            NULL)                    \
    X(QUEUE_START,           "QUEUE_START",              NULL)                    \
    X(COMPUTE_START,         "COMPUTE_START",            NULL)                    \
    X(COMPUTE_INPUT_END,     "COMPUTE_INPUT_END",        NULL)                    \
    X(COMPUTE_OUTPUT_START,  "COMPUTE_OUTPUT_START",     NULL)                    \
    X(COMPUTE_END,           "COMPUTE_END",              NULL)                    \
    X(RESPONSE_COMPLETE,     "INFER_RESPONSE_COMPLETE",  NULL)                    \
    X(REQUEST_END,           "REQUEST_END",              NULL)                    \
    X(SEND_START,            "HTTP_SEND_START",          "GRPC_SEND_START")       \
    X(SEND_END,              "HTTP_SEND_END",            "GRPC_SEND_END")

typedef enum {
#define X(id, rest, grpc) TRACE_AT_##id,
    TRACE_EVENTS_LIST(X)
#undef X
    TRACE_EVENTS
} trace_event;

typedef struct {
    tensor t;
    str name;
    bool output;
} trace_tensor;

typedef struct trace_entry trace_entry;
struct trace_entry {
    mail link;                      /* first: trace_log.h's */
    trace_sample sample;
    trace_settings settings;        /* by which it was sampled */
    uint64_t id;
    bool grpc, lost;
    uint64_t at_ns[TRACE_EVENTS];   /* on clock_now_ns(); 0 = it has not happened */
    str model, version, request_id;
    trace_tensor *tensors;
    uint32_t tensor_count;
    step_times *steps;              /* of an ensemble: each is a trace of its own, */
    uint64_t steps_id;              /* with the numbers from this one on; set by whoever prints it */
    /* private */
    quota *memory;
    size_t taken;                   /* of it */
    void *texts, *data;
};

trace_entry *trace_entry_new(quota *memory) MUST_USE;   /* NULL = no memory; all else zero */
void trace_entry_free(trace_entry *t);
DEFINE_CLEANUP(trace_entry)

void trace_entry_ran(trace_entry *t, const infer *r);       /* or was dropped by the queue: tensors; once */
void trace_entry_answer(trace_entry *t, const infer *r);    /* all but when it was sent; once */

/* Text goes to out; from TRACE_SPILL_BYTES on spill() is called, to empty it. */
enum { TRACE_SPILL_BYTES = 64 << 10, TRACE_PIECE_BYTES = 4 << 10 };
typedef void trace_spill(void *ctx, buf *out);
/* {"id":..},{..},..: values of a list, not in brackets. */
void trace_entry_print(const trace_entry *t, buf *out, trace_spill *spill, void *ctx);

#endif
