/* v2.h - the Open Inference Protocol over REST (KServe V2), with the binary tensor extension.
 *
 * Request: {"id", "parameters", "inputs": [{name, shape, datatype, parameters, data}], "outputs": [{name,
 * parameters}]}, then, with the header Inference-Header-Content-Length, raw little-endian tensors in the order of
 * the inputs that say binary_data_size.  Where that header is 0 the body is the input itself (v2_body.h).  The answer
 * mirrors it.  Members that are not known are ignored, as the specification asks; parameters that ask for something
 * this server has not (classification, shared memory) are refused by name. */
#ifndef SERVE_V2_H
#define SERVE_V2_H
#include "serve/infer.h"

extern const infer_protocol v2_protocol;
/* The model metadata object; with all versions of a lineup, or with its own alone. */
void v2_metadata_print(buf *out, const served *m, const lineup *of, const aliases *labels);

#endif
