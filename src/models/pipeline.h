/* pipeline.h - what is done before and after a model, as who made it declares: pictures in, labels or boxes out.
 *
 * The first of these that is there:
 *   MODEL.proa.yaml      beside the file MODEL.onnx
 *   proa.yaml            in the version's folder, then in the model's, where the model is served from a folder
 *   metadata_props       of the ONNX file: the value of "proa"
 *
 *   inputs:
 *     NAME:              an input of the model, of 3 dimensions or of 4 with the batch first
 *       image:           keys of media/prepare_conf.c, or the name of a file with them; sizes that are not said are
 *                        the model's
 *       name: image      what requests may call it, besides NAME; "image" where it is the only one
 *   answer:              of requests that bring pictures, instead of the model's own outputs: see pipeline_answer.h
 *
 * Everything is checked when the model is loaded; errors open with "FILE:LINE:COL: key".  Immutable afterwards. */
#ifndef MODELS_PIPELINE_H
#define MODELS_PIPELINE_H
#include "media/prepare.h"
#include "models/pipeline_answer.h"

enum {
    PIPELINE_FILE_BYTES_MAX = 1 << 20,
    PIPELINE_MEMORY_MAX = 256 << 20     /* of one declaration with its labels */
};

typedef struct {
    const prepare *image;   /* NULL = comes as a tensor only */
    str name;               /* besides the model's; p NULL = none */
    bool batch;             /* the model's first dimension counts pictures */
} pipeline_input;

typedef struct pipeline {
    arena memory;
    pipeline_input *inputs; /* of each of the model's */
    uint32_t input_count;
    int32_t image;          /* the only input that takes pictures; -1 = there are several, or none */
    pipeline_answer answer;
} pipeline;

typedef struct {
    const char *path;       /* what is served, */
    const char *file;       /* and the model's file there, if it has one, else NULL */
    const model_ios *ios;   /* what clients bring and get */
    str metadata;           /* of the ONNX file; p NULL = none */
    const model_config *config;   /* whose labels are taken where the declaration names none; may be NULL */
    uint64_t pixels_max;    /* of one picture; a declaration may ask for less.  0 = IMAGE_PIXELS_MAX */
} pipeline_from;

err_code pipeline_open(pipeline **ret, const pipeline_from *from, err *e) MUST_USE;   /* NULL: nothing is declared */
/* From text that has been read; `folder` is where the files lie that it names, NULL = it may name none. */
err_code pipeline_parse(pipeline **ret, str text, const char *name, const char *folder, const pipeline_from *from,
                        err *e) MUST_USE;
void pipeline_free(pipeline *p);
DEFINE_CLEANUP(pipeline)

/* What takes pictures under that name: an input, or -1.  p may be NULL. */
int32_t pipeline_image(const pipeline *p, str name);
bool pipeline_takes(const pipeline *p, uint32_t i);   /* pictures, for input i */

#endif
