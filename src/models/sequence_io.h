/* sequence_io.h - what the server brings to a model in sequences beside what its clients do: controls and states.
 *
 *   client's inputs, START/END/READY/CORRID, states of before --> the model --> client's outputs, states for the next
 * A state is kept in one block for all states of a sequence, made anew by each run and shared by whoever still looks at
 * it: the request that ran on it, whose outputs may lie in it, and the sequence.  What begins a sequence is made once:
 * zeros, or the files that config.pbtxt names in initial_state/.  Immutable; any thread. */
#ifndef MODELS_SEQUENCE_IO_H
#define MODELS_SEQUENCE_IO_H
#include "models/model_config.h"
#include "models/queue.h"

enum { SEQUENCE_STATES_MAX = 256 };   /* of a model */
/* Of all states of a sequence, which each of its requests copies: what a configuration may ask of the memory. */
#define SEQUENCE_BYTES_MAX ((size_t)1 << 30)

typedef struct sequence_io sequence_io;
typedef struct sequence_block sequence_block;

/* Room for the values of the controls of one request, as wide as the widest. */
typedef struct {
    union {
        str text;
        uint64_t u64;
        uint8_t bytes[16];
    } of[CONTROL_COUNT];
    char number[24];              /* of a CORRID that the model takes as text */
} sequence_values;

/* Of a configuration that was fitted to the model, as it was read there; both outlive it. */
err_code sequence_io_new(sequence_io **ret, const model_config *c, const model *m, err *e) MUST_USE;
void sequence_io_free(sequence_io *io);
DEFINE_CLEANUP(sequence_io)
uint32_t sequence_io_inputs(const sequence_io *io);   /* of the model */
/* A row of each for an empty slot: READY, START and END false, no id; data NULL = whatever.  As long as io lives. */
const tensor *sequence_io_empty(const sequence_io *io);

sequence_block *sequence_io_first(const sequence_io *io);   /* that begins a sequence; held for the caller */
void sequence_block_hold(sequence_block *b);
void sequence_block_release(sequence_block *b);             /* NULL will do */

/* The model's inputs: tensors of `to`, values in `values`, states in `states`, which all live until the run is over. */
err_code sequence_io_fill(const sequence_io *io, const queue_item *client, const sequence_block *states,
                          sequence_values *values, tensor *to, err *e) MUST_USE;
/* What the run wrote for the next one; ERR_UNSUPPORTED where a state is of another type than the model takes. */
err_code sequence_io_keep(const sequence_io *io, const queue_item *ran, sequence_block **ret, err *e) MUST_USE;
uint32_t sequence_io_output(const sequence_io *io, uint32_t i);   /* of the model: what clients know as output i */

#endif
