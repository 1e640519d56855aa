/* serve_rig.h - one model behind one protocol, without sockets and queues: for the tests and fuzzers of src/serve.
 *
 * serve_rig_ask() does what infer.c does with a request: read, run, write.  The answer is one text: "200 " and the JSON
 * (the binary part follows in `tail`), or the status and the error. */
#ifndef TESTS_SERVE_RIG_H
#define TESTS_SERVE_RIG_H
#include "onnx_build.h"
#include "serve/infer.h"
#include "test.h"

typedef struct {
    served served;
    onnx_build build; /* the model borrows its bytes */
    infer request; /* of the last ask */
    infer_opts opts;
    uint8_t *body;
    uint8_t plain; /* of every request: its plain_kind */
    char text[8192];
    str tail; /* valid until the next ask */
    buf tail_bytes;
} serve_rig;

/* Takes the build. */
void serve_rig_start(serve_rig *r, onnx_build *made);
void serve_rig_stop(serve_rig *r);
/* binary.p == NULL: no Inference-Header-Content-Length. */
const char *serve_rig_ask(serve_rig *r, const infer_protocol *protocol, str json, str binary);
/* The same with a protobuf message: NULL, and the answer's message in `tail`; or status and error. */
const char *serve_rig_ask_message(serve_rig *r, const infer_protocol *protocol, str message);
/* Frees what the last ask holds, as the next one does too. */
void serve_rig_forget(serve_rig *r);
/* Only reads: the tensors are in r->request until the next call. */
err_code serve_rig_read(serve_rig *r, const infer_protocol *protocol, str json, str binary, err *e);
/* The bytes of a model, in a file of its own in a new folder under /tmp; returns its path. */
const char *serve_rig_save(onnx_build *made, char path[64]);
void serve_rig_unsave(const char *path);
/* The cases, while a model that doubles what it gets lies at `path`. */
int serve_rig_main(const test_case *cases, size_t count, char path[64]);

/* f FP32 [N,2], i INT64 [N], s BYTES [N], b BOOL []: each comes back as fo, io, so, bo. */
void serve_rig_four(onnx_build *b);
/* n INT64 [1] -> y INT64 [1], the same, after so many iterations of a loop that does nothing. */
void serve_rig_turns(onnx_build *b);
/* x FP32 [N,2] -> y = 2x. */
void serve_rig_twice(onnx_build *b);
/* x of any type, [N] -> y, the same. */
void serve_rig_same(onnx_build *b, dtype type, const char *dims);

#endif
