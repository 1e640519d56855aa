#include "serve/v2_class.h"

#include <stdio.h>

enum { CLASS_TEXT_MAX = 400, CLASS_MEMORY = 128 };   /* bytes: of one string; of arena for each, labels are borrowed */

static bool has_values(dtype t)
{
    dtype_kind k = dtype_kind_of(t);
    return dtype_bits(t) >= 8 && (k == KIND_FLOAT || k == KIND_INT || k == KIND_UINT || k == KIND_BOOL) &&
           dtype_v2_name(t) != NULL;
}

static double value_at(const tensor *t, uint64_t i)
{
    switch (t->type) {
    case DT_F32: return (double)((const float *)t->data)[i];
    case DT_F64: return ((const double *)t->data)[i];
    case DT_F16: return (double)dtype_f16_to_f32(((const uint16_t *)t->data)[i]);
    case DT_BF16: return (double)dtype_bf16_to_f32(((const uint16_t *)t->data)[i]);
    case DT_I8: return ((const int8_t *)t->data)[i];
    case DT_I16: return ((const int16_t *)t->data)[i];
    case DT_I32: return ((const int32_t *)t->data)[i];
    case DT_I64: return (double)((const int64_t *)t->data)[i];
    case DT_U8: return ((const uint8_t *)t->data)[i];
    case DT_U16: return ((const uint16_t *)t->data)[i];
    case DT_U32: return ((const uint32_t *)t->data)[i];
    case DT_U64: return (double)((const uint64_t *)t->data)[i];
    default: INVARIANT(t->type == DT_BOOL); return ((const bool *)t->data)[i];
    }
}

/* Does element a go behind element b? */
static bool behind(const tensor *t, uint64_t a, uint64_t b)
{
    double x = value_at(t, a), y = value_at(t, b);
    if (x != x || y != y) return x == x ? false : y == y || a > b;   /* NaN goes last */
    return x < y || (x == y && a > b);
}

/* A heap of the best so far, the worst of them on top. */
static void sift(const tensor *t, uint64_t *heap, size_t n, size_t at)
{
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && behind(t, heap[child + 1], heap[child])) child++;
        if (!behind(t, heap[child], heap[at])) return;
        uint64_t swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
    }
}

/* The best k of `count` elements from `first` on, the best one first. */
static void best(const tensor *t, uint64_t first, uint64_t count, uint64_t *ret, size_t k)
{
    for (size_t i = 0; i < k; i++) ret[i] = first + i;
    for (size_t i = k / 2; i-- > 0;) sift(t, ret, k, i);
    for (uint64_t i = first + k; i < first + count; i++) {
        if (!behind(t, ret[0], i)) continue;
        ret[0] = i;
        sift(t, ret, k, 0);
    }
    for (size_t n = k; n > 1; n--) {   /* the worst to the end, n times: sorted */
        uint64_t worst = ret[0];
        ret[0] = ret[n - 1];
        ret[n - 1] = worst;
        sift(t, ret, n - 1, 0);
    }
}

static str class_text(infer *r, const tensor *t, uint64_t i, uint64_t index, const attr *labels)
{
    char text[CLASS_TEXT_MAX], number[64];
    bool real = dtype_kind_of(t->type) == KIND_FLOAT;
    if (real) snprintf(number, sizeof number, "%f", value_at(t, i));
    else if (t->type == DT_U64)
        snprintf(number, sizeof number, "%llu", (unsigned long long)((const uint64_t *)t->data)[i]);
    else if (t->type == DT_I64) snprintf(number, sizeof number, "%lld", (long long)((const int64_t *)t->data)[i]);
    else snprintf(number, sizeof number, "%lld", (long long)value_at(t, i));
    bool labelled = labels && index < labels->count;
    int n;
    if (labelled && labels->kind == ATTR_STRINGS)
        n = snprintf(text, sizeof text, "%s:%llu:" STR_FMT, number, (unsigned long long)index,
                     STR_ARG(labels->strings[index]));
    else if (labelled)
        n = snprintf(text, sizeof text, "%s:%llu:%lld", number, (unsigned long long)index,
                     (long long)labels->ints[index]);
    else
        n = snprintf(text, sizeof text, "%s:%llu", number, (unsigned long long)index);
    size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    return str_copy(&r->memory, (str){text, len});
}

err_code v2_classes_make(infer *r, const attr *labels, uint64_t k, const tensor **t, err *e)
{
    const tensor *from = *t;
    if (!has_values(from->type))
        return err_set(e, ERR_INVALID, "classification: expected numbers, got %s", dtype_name(from->type));
    const model_config *c = r->model->config;
    bool batched = model_config_limits(c) ? c->max_batch_size > 0 && from->shape.rank > 0
                                          : from->shape.rank > 1 && from->shape.dim[0] > 1;
    uint64_t rows = batched ? (uint64_t)from->shape.dim[0] : 1;
    uint64_t each = shape_count_range(&from->shape, batched, from->shape.rank);
    if (k > each) k = each;
    infer_extend(r, rows * k * (sizeof(str) + sizeof(uint64_t) + CLASS_MEMORY));
    tensor *made = arena_new(&r->memory, tensor, 1);
    str *texts = arena_new(&r->memory, str, (size_t)(rows * k) + 1);   /* there may be no row */
    uint64_t *ranked = arena_new(&r->memory, uint64_t, (size_t)k);
    bool ok = made && texts && ranked;
    for (uint64_t row = 0; row < rows && k && ok; row++) {   /* [1099511627776,0] has rows without a class */
        best(from, row * each, each, ranked, (size_t)k);
        for (uint64_t i = 0; i < k && ok; i++) {
            str *text = &texts[row * k + i];
            *text = class_text(r, from, ranked[i], ranked[i] - row * each, labels);
            ok = text->p != NULL;
        }
    }
    if (!ok) return err_set(e, ERR_NOMEM, "classification: no memory for %llu classes", (unsigned long long)k);
    int64_t dims[] = {(int64_t)rows, (int64_t)k};
    shape s = batched ? shape_make(2, dims) : shape_make(1, dims + 1);
    *made = tensor_make(DT_STRING, &s, texts);
    *t = made;
    return ERR_OK;
}
