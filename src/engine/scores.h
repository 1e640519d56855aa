/* scores.h - what classifiers and regressors of ai.onnx.ml do with their scores at the end: a transform over the
 * scores of a row, and the labels of the classes.
 *
 * Where a binary classifier computes one score, scores_pair() makes the two that its output has.  PROBIT is the
 * approximation that ONNX's reference and ONNX Runtime share (a = 0.147); outside 0..1 it is NaN. */
#ifndef ENGINE_SCORES_H
#define ENGINE_SCORES_H
#include "engine/op.h"

/* The numbers are those of TreeEnsemble's integer attribute. */
typedef enum { SCORES_NONE, SCORES_SOFTMAX, SCORES_LOGISTIC, SCORES_SOFTMAX_ZERO, SCORES_PROBIT, SCORES_COUNT } scores;

/* The attribute post_transform, NONE where it is left out. */
err_code scores_of(scores *ret, const graph *g, const node *n, err *e) MUST_USE;
double scores_logistic(double v);
/* In place.  A single score is only changed by PROBIT: it has no others to be compared with. */
void scores_apply(scores how, double *row, size_t n);
/* A score that is the probability of the second class, or else one that is positive for it. */
void scores_pair(scores how, bool probability, double score, double ret[2]);
/* The first largest; 0 where all are NaN. */
size_t scores_best(const double *row, size_t n);

/* The classes of a classifier: strings, else ints; both NULL where the node has no labels. */
typedef struct {
    uint32_t count;
    const str *strings;
    const int64_t *ints;
} classes;

classes classes_of(const node *n, const char *strings_name, const char *ints_name);
dtype classes_type(const classes *c);
/* Element i of an output of labels; `none` is the label where there are none. */
void classes_put(const classes *c, tensor *t, uint64_t i, size_t class_index, int64_t none);

#endif
