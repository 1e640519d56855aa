/* v2_pb_text.h - inference messages as text, for tests: a simple reader that shares nothing with src/serve but pb.h. */
#ifndef TESTS_V2_PB_TEXT_H
#define TESTS_V2_PB_TEXT_H
#include "wire/pb.h"

/* A ModelInferResponse: "m/1 id=a p=triton_final_response y:FP32[1,2] raw=0000803f00000040", with typed contents as
 * "y:FP32[1,2]{6:0000803f00000040}": field number and its bytes.  A field that no reader knows aborts. */
void v2_pb_text(buf *out, str message);
/* A ModelStreamInferResponse: "error=... {...}". */
void v2_pb_stream_text(buf *out, str message);

#endif
