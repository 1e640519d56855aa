/* cache_visit.h - one request at the response cache: before its model, and again behind it where nothing was found.
 *
 *   find --hit--> the item's outputs are the answer, as after done()
 *     '--miss--> push --> done() --> keep
 * The same for what clients ask for and for the steps of an ensemble, which so find each other's answers.
 * An ensemble's answer is found by whoever holds the same ensemble and the same members, down to the last: what was
 * answered with a member that has gone since is never found again, and leaves as what was used least.  What goes
 * through a member that keeps sequences is no answer to its inputs alone: it is neither looked for nor kept. */
#ifndef MODELS_CACHE_VISIT_H
#define MODELS_CACHE_VISIT_H
#include "models/repository.h"

typedef struct {
    siphash_value key;
    uint64_t ns;         /* of looking it up, and of keeping it; 0 = it is not for the cache */
    uint64_t found_ns;   /* on clock_now_ns(): when it was; 0 = it was not there */
} cache_visit;

/* The item has its inputs, as the model takes them, and of an ensemble its run, which is not pushed yet.  True: it is
 * answered, and not to be pushed; done() was not called. */
bool cache_visit_find(cache_visit *v, const served *s, queue_item *item);
/* Of a miss the outputs are whole: nobody says what is `wanted` of an ensemble. */
static inline bool cache_visit_missed(const cache_visit *v) { return v->ns && !v->found_ns; }
void cache_visit_keep(cache_visit *v, const served *s, const queue_item *item);   /* in done(), of a miss */

#endif
