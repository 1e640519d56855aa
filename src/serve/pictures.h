/* pictures.h - pictures in requests become a model's input, and its outputs the answer that pipeline.h declares.
 *
 * Every protocol brings pictures as a tensor of strings, for an input that takes them: each a JPEG or PNG file, or that
 * in base64.  pictures_take() is the end of reading: it decodes and prepares them, on a worker, never on a loop, and
 * puts the model's own input in their place.  A request that brings that input itself is left as it is.
 * Bounded: pixels of each and of all of them, and memory by the request's.  Pictures that are none, cut off, or of
 * too many pixels are the client's fault, 400: "image 0: expected JPEG or PNG, got GIF"; what needs more memory than a
 * request has is 413. */
#ifndef SERVE_PICTURES_H
#define SERVE_PICTURES_H
#include "serve/infer.h"

enum { PICTURES_TIMES = 4 };   /* all pictures of a request have so many times the pixels that one may have */

/* Input i takes pictures, and comes as a list of them: their data are still to be set. */
err_code pictures_set(infer *r, uint32_t i, const shape *s, err *e) MUST_USE;
bool pictures_came(const infer *r);   /* among the inputs, read but not taken */
err_code pictures_take(infer *r, err *e) MUST_USE;

/* The declared answer: its parts are outputs behind the model's own, and what is asked for in their place. */
bool pictures_answer(const infer *r);                          /* goes where nobody says which outputs */
uint32_t pictures_output_count(const infer *r);
const model_io *pictures_output(const infer *r, uint32_t i);   /* from 0 */
void pictures_want(const infer *r, bool *outputs);             /* marks those of the model that they are made of */
/* Makes them where the request asks for any; `ret` has room for pictures_output_count(). */
err_code pictures_outputs(infer *r, tensor *ret, err *e) MUST_USE;
/* V1's list of them. */
void pictures_print(infer *r);

#endif
