/* v2_pb.h - the Open Inference Protocol as protobuf (inference.GRPCInferenceService): ModelInfer's two messages.
 *
 * Tensors come as raw_input_contents, borrowed where they lie aligned, or as typed contents; never as both.  The answer
 * has raw_output_contents, as Triton's clients want also where they send typed contents to a model with a config.pbtxt.
 * Of another model it is typed where inputs came typed, as KServe's own server does it, if every output has a typed
 * form (FP16 and BF16 have none).  Field numbers are those that Triton's and KServe's documents share; fields that are
 * not known are ignored.
 *
 * An answer begins with V2_PB_ROOM bytes that are left for gRPC's prefix, so that a message is written once and sent
 * from where it was written: infer.reply_head says where it begins. */
#ifndef SERVE_V2_PB_H
#define SERVE_V2_PB_H
#include "serve/infer.h"

enum {
    V2_PB_FIELDS_MAX = 65536,        /* of one message's outermost level: it is walked on the loop, 10 ns each */
    V2_PB_ROOM = 16                  /* gRPC's prefix of 5 bytes, and the head of the field that a stream wraps it in */
};

/* What must be known before a request can be taken: read from all over the message, its tensors stepped over. */
typedef struct {
    str name, version, id;
    size_t read_bytes;               /* without raw contents: what costs time to read */
} v2_pb_target;

err_code v2_pb_target_read(str message, v2_pb_target *ret, err *e) MUST_USE;

extern const infer_protocol v2_pb_protocol;
/* ModelStreamInfer: the answer is wrapped, and whole in `reply`. */
extern const infer_protocol v2_pb_stream_protocol;
/* The stream's answer to what failed.  Appended to `out`. */
void v2_pb_stream_error_print(buf *out, str id, const char *text);

#endif
