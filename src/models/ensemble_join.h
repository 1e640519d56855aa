/* ensemble_join.h - what is done before and after an ensemble, where its members say it: pictures in, labels out.
 *
 * An input that goes to a member which takes pictures there takes them, too; and where the outputs of a member's answer
 * are the ensemble's, the answer is.  Joined for each request from the members that it holds (ensemble_run.h), so that
 * each may be exchanged.  A declaration beside the ensemble itself counts instead. */
#ifndef MODELS_ENSEMBLE_JOIN_H
#define MODELS_ENSEMBLE_JOIN_H
#include "models/ensemble.h"
#include "models/pipeline.h"

/* Each step in turn, then the end.  `to` is zero at first but for `inputs`, one for each of the ensemble's, zeroed; it
 * borrows from the members, and is never freed. */
void ensemble_join_step(pipeline *to, const ensemble *m, uint32_t step, const served *member);
void ensemble_join_end(pipeline *to, const ensemble *m);

/* Is that flow text, and the member takes it as pictures?  Then their types need not be the same. */
bool ensemble_join_text(const ensemble *m, uint32_t flow, const served *member, uint32_t input);

#endif
