/* infer_value.h - what a person gives as a model's input, into a tensor of the type and shape the model wants.
 *
 *   FILE.npy                  an array; its type must be the input's
 *   FILE.json, [1,2], 3, "s"  JSON, nested or flat
 *   FILE.pgm .ppm .png        pixels: as they are for whole numbers, 0..pixel_max for floats; channels first or last,
 *                             as the input has them.  An input of type BYTES gets the file itself, JPEG too
 *   raw:FILE                  the elements as they lie in memory, or one string
 *   anything else             for an input of type BYTES: that text
 * A leading dimension that is missing is put in front where the input has 1 or -1 there; flat data takes the input's
 * shape where that is known from the count. */
#ifndef CLI_INFER_VALUE_H
#define CLI_INFER_VALUE_H
#include "cli/v2_model.h"

typedef struct {
    arena *memory;                  /* the tensor's */
    uint64_t pixel_max;             /* > 0 */
} infer_value_opts;

/* Errors begin with "input 'NAME': ". */
err_code infer_value_read(const v2_io *io, const char *what, const infer_value_opts *o, tensor *ret, err *e) MUST_USE;

#endif
