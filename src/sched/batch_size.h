/* batch_size.h - the sizes that runs of several requests have: few, so that few plans are made.
 *
 * Four per doubling from 8 on, 8 10 12 14 16 20 24 ..., of which a sixteenth is added on average; fewer rows in 1 2
 * 3 4 6, lengths in no less than 8.  Who chooses a batch counts its work by these sizes, and who runs it runs them:
 * both ask here. Pure. */
#ifndef SCHED_BATCH_SIZE_H
#define SCHED_BATCH_SIZE_H
#include "base/base.h"

uint32_t batch_size_rows(uint32_t rows, uint32_t most);   /* of the sizes and `most` the least that holds the rows */
uint32_t batch_size_length(uint32_t longest);             /* from 8 on: of what is padded */

#endif
