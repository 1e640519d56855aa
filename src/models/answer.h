/* answer.h - answers that applications want, made of a model's outputs as pipeline_answer.h declares it.
 *
 * Any thread, no state.  What is made lives in the arena; labels are borrowed from the declaration.  Outputs that have
 * not the declared form are refused: ERR_INTERNAL, since it is the declaration that does not fit the model. */
#ifndef MODELS_ANSWER_H
#define MODELS_ANSWER_H
#include "base/buf.h"
#include "media/prepare.h"
#include "models/pipeline_answer.h"

/* places: of each picture; NULL = the request brought a tensor, then boxes are in pixels of the model's input. */
typedef struct {
    const tensor *scores, *boxes;
    const prepare_place *places;
    size_t place_count;
    uint32_t width, height;     /* of the model's input */
} answer_from;

/* ret: a tensor for each of p->outputs.  Pictures with fewer boxes than the most are filled up with zeros. */
err_code answer_make(const pipeline_answer *p, const answer_from *from, arena *a, tensor ret[ANSWER_OUTPUTS],
                     err *e) MUST_USE;
size_t answer_rows(const pipeline_answer *p, const tensor made[ANSWER_OUTPUTS]);
/* Row `row` of what was made, as JSON: a list of objects, best first. */
void answer_print(buf *out, const pipeline_answer *p, const tensor made[ANSWER_OUTPUTS], uint64_t row);

#endif
