/* naive.h - a slow and simple reader of tensors in JSON, for comparing: one yyjson tree with numbers as text, the C
 * library's conversions, no cutting, no arenas. */
#ifndef TESTS_NAIVE_H
#define TESTS_NAIVE_H
#include "tensor/tensor.h"

#include <yyjson.h>

/* The elements of v, which is a value or nested arrays of values, are those of t from `at` on; returns the index after
 * them.  Aborts when they are not. */
uint64_t naive_compare(yyjson_val *v, const tensor *t, uint64_t at);
/* The same for V2's raw bytes. */
void naive_compare_raw(str raw, const tensor *t);
/* Numbers as text, and words such as NaN among them; NULL = not JSON. */
yyjson_doc *naive_parse(str json);
bool naive_is_json(str json);      /* without such words */
str naive_str(yyjson_val *v); /* of a string or a number */

#endif
