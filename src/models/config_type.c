#include "models/config_type.h"

static const struct {
    int64_t number;
    const char *name;
} types[DT_COUNT] = {
    [DT_BOOL] = {1, "BOOL"}, [DT_U8] = {2, "UINT8"},  [DT_U16] = {3, "UINT16"},   [DT_U32] = {4, "UINT32"},
    [DT_U64] = {5, "UINT64"}, [DT_I8] = {6, "INT8"},  [DT_I16] = {7, "INT16"},    [DT_I32] = {8, "INT32"},
    [DT_I64] = {9, "INT64"}, [DT_F16] = {10, "FP16"}, [DT_F32] = {11, "FP32"},    [DT_F64] = {12, "FP64"},
    [DT_STRING] = {13, "STRING"}, [DT_BF16] = {14, "BF16"},
};

dtype config_type_dtype(int64_t number)
{
    for (dtype t = DT_NONE; t < DT_COUNT; t++)
        if (number != 0 && types[t].number == number) return t;
    return DT_NONE;
}

int64_t config_type_number(dtype t) { return types[t].number; }
const char *config_type_name(dtype t) { return types[t].name ? types[t].name : "INVALID"; }
