/* pipeline_answer.h - a model's outputs as an application wants them: the best classes, or the boxes that remain.
 *
 *   classes:                    label, index, score of the best, for each picture
 *     output: logits            [N, classes, ...]; may be left out where the model has one output
 *     softmax: false            the scores become probabilities
 *     top: 5
 *     labels: labels.txt        a file beside the declaration, or a list; else what config.pbtxt or the model has
 *
 *   boxes:                      corners in pixels of the picture, best first, after non-maximum suppression
 *     boxes: boxes              [N, boxes, 4], and
 *     scores: scores            [N, boxes, classes] or [N, boxes]; or instead of both
 *     all: output0              [N, boxes, 4 coordinates, then with `objectness` how sure it is, then classes]
 *     transposed: false         [N, ..., boxes] instead
 *     form: corners             or center: x, y, width, height
 *     relative: false           coordinates are parts of the input's sides; else its pixels
 *     objectness: false
 *     background: 0             the class that is none; left out, there is none
 *     score_min: 0.25           overlap_max: 0.45           keep_max: 100
 *     across_classes: false     boxes of different classes may suppress each other
 *     labels: labels.txt
 *
 *   prefix: ""                  of the names under which V2 has these as outputs: label, index, score, box, count
 *
 * Of a box only its best class is looked at.  Outputs are FP32 (FP16 for classes, too). */
#ifndef MODELS_PIPELINE_ANSWER_H
#define MODELS_PIPELINE_ANSWER_H
#include "engine/model.h"
#include "media/boxes.h"
#include "media/labels.h"
#include "models/model_config.h"
#include "wire/yaml.h"

enum { ANSWER_TOP = 5, ANSWER_TOP_MAX = 10000, ANSWER_OUTPUTS = 5 };

typedef enum { ANSWER_NONE, ANSWER_CLASSES, ANSWER_BOXES } answer_kind;
typedef enum { ANSWER_LABEL, ANSWER_INDEX, ANSWER_SCORE, ANSWER_BOX, ANSWER_COUNT } answer_part;

typedef struct {
    answer_kind kind;
    uint32_t scores, boxes;     /* outputs of the model; the same = `all` */
    labels labels;
    bool softmax;
    size_t top;
    bool transposed, center, relative, objectness, across_classes;
    int64_t background;         /* -1 = none */
    boxes_options best;
    /* What clients see behind the model's own outputs. */
    model_io outputs[ANSWER_OUTPUTS];
    answer_part parts[ANSWER_OUTPUTS];
    uint32_t output_count;
} pipeline_answer;

/* For pipeline.c. */
typedef struct {
    const char *folder;         /* as in pipeline.h */
    const model_ios *ios;
    const model_config *config;
    arena *memory;
} answer_with;
err_code pipeline_answer_read(const yaml *map, const answer_with *with, pipeline_answer *ret, err *e) MUST_USE;

#endif
