/* padding.h - whether requests of unequal length may share a run of a model, padded to the longest.
 *
 * The length is dimension 1 of inputs that leave it open; a row that is shorter is filled up with zeros, and its
 * outputs are cut to its own length.  A model may be padded where it is told so (`parameters: padding`, "on"), or
 * where it has an input that masks what is no token and keeps what that promises: at load a few made-up rows are run
 * alone and padded, and must come out the same.  Everything else is grouped by length.
 * The rows themselves must be proven to be apart: engine/batch_axis.h. */
#ifndef MODELS_PADDING_H
#define MODELS_PADDING_H
#include "engine/model.h"

enum { PADDING_TENSORS_MAX = 64, PADDING_WHY_MAX = 240 };

typedef struct {
    bool on;
    uint64_t inputs;                               /* bit i: dimension 1 of input i is the length; 0 where it is off */
    uint8_t output_axis[PADDING_TENSORS_MAX];      /* the dimension of output i that is the length; 0 = none */
    char why[PADDING_WHY_MAX];                     /* where it is off: "no input is a mask" */
} padding;

/* `wish`: "on", "off", "auto" or empty, which is "auto".  ERR_INVALID for another; ERR_UNSUPPORTED for "on" where the
 * model cannot be padded; want of memory.  Runs the model where the wish leaves that open. */
err_code padding_find(padding *ret, model *m, str wish, err *e) MUST_USE;

static inline bool padding_has(const padding *p, uint32_t input) { return p->on && p->inputs >> input & 1; }

#endif
