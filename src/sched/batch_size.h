/* batch_size.h - the sizes that runs of several requests have: few, so that few plans are made.
 *
 * Rows in two per doubling, 1 2 3 4 6 8 12 16 24 ..., lengths in four, 8 10 12 14 16 20 24 ...: an eighth and a
 * sixteenth are added on average.  Who chooses a batch counts its work by these sizes, and who runs it runs them: both
 * ask here.  Pure. */
#ifndef SCHED_BATCH_SIZE_H
#define SCHED_BATCH_SIZE_H
#include "base/base.h"

uint32_t batch_size_rows(uint32_t rows, uint32_t most);   /* of the sizes and `most` the least that holds the rows */
uint32_t batch_size_length(uint32_t longest);             /* from 8 on: of what is padded */

#endif
