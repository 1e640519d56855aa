/* config_type.h - Triton's enum DataType and the engine's types.
 *
 * The enum has no name for types under a byte, complex numbers and FP8: they read and print as TYPE_INVALID, which no
 * configuration may say. */
#ifndef MODELS_CONFIG_TYPE_H
#define MODELS_CONFIG_TYPE_H
#include "tensor/dtype.h"

dtype config_type_dtype(int64_t number);          /* DT_NONE = TYPE_INVALID, or no such number */
int64_t config_type_number(dtype t);              /* 0 = TYPE_INVALID */
const char *config_type_name(dtype t);            /* "FP32", "STRING"; "INVALID" where the enum has none */

#endif
