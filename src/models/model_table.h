/* model_table.h - the models of a server as a table for people, printed when it starts.
 *
 *   MODEL   VERSION  INPUTS                 OUTPUTS                                   INSTANCES  MEMORY  LOADED
 *   digits  1        image FP32 [-1,1,8,8]  probabilities FP32 [-1,10], label INT...          1  0.6 MB  0.5 ms
 *
 * Bounded: rows, and the width of each cell; what does not fit is cut with "...".  Names come from model files, so
 * what a terminal would obey is shown as '?'. */
#ifndef MODELS_MODEL_TABLE_H
#define MODELS_MODEL_TABLE_H
#include "models/repository.h"

enum { MODEL_TABLE_ROWS_MAX = 20, MODEL_TABLE_CELL_MAX = 40 /* characters */ };

void model_table_print(buf *out, const repository *models);

#endif
