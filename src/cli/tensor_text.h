/* tensor_text.h - named tensors for people, as a table, and for programs, as V2's JSON.
 *
 * The table has a line for each tensor: name, type, shape, the first values.  JSON holds all values; what JSON has no
 * number for (NaN, infinities) is null.  Failures stay in the buf. */
#ifndef CLI_TENSOR_TEXT_H
#define CLI_TENSOR_TEXT_H
#include "base/buf.h"
#include "cli/v2_model.h"

enum { TENSOR_TEXT_VALUES_MAX = 10, TENSOR_TEXT_STRING_MAX = 60 };   /* of one line; of one string, bytes */

void tensor_text_table(buf *b, const v2_value *values, size_t count);
void tensor_text_json(buf *b, const v2_answer *answer);

#endif
