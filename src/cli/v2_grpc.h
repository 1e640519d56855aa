/* v2_grpc.h - the V2 protocol over gRPC, from the client's side: a model's metadata, and one inference.
 *
 * The same as cli/v2_rest.h, over inference.GRPCInferenceService.  Inputs go as raw contents; outputs are read from
 * raw and from typed contents.  A status that is not OK is an error with its name and the server's own text. */
#ifndef CLI_V2_GRPC_H
#define CLI_V2_GRPC_H
#include "cli/v2_rest.h"

typedef struct v2_grpc v2_grpc;

err_code v2_grpc_new(const v2_rest_opts *opts, v2_grpc **ret, err *e) MUST_USE;
void v2_grpc_free(v2_grpc *r);
DEFINE_CLEANUP(v2_grpc)
bool v2_grpc_reached(const v2_grpc *r);
err_code v2_grpc_model(v2_grpc *r, str name, str version, arena *a, v2_model *ret, err *e) MUST_USE;
err_code v2_grpc_infer(v2_grpc *r, const v2_model *m, const v2_value *inputs, size_t count, arena *a, v2_answer *ret,
                       err *e) MUST_USE;

#endif
