#include "serve/json_tensor.h"

#include "wire/json_array.h"

#include <string.h>

/* JSON_ELEMS = has no JSON form. */
static json_elem elem_of(dtype t)
{
    static const json_elem elems[DT_COUNT] = {
        [DT_F32] = JSON_F32 + 1, [DT_U8] = JSON_U8 + 1,   [DT_I8] = JSON_I8 + 1,   [DT_U16] = JSON_U16 + 1,
        [DT_I16] = JSON_I16 + 1, [DT_I32] = JSON_I32 + 1, [DT_I64] = JSON_I64 + 1, [DT_BOOL] = JSON_BOOL + 1,
        [DT_F64] = JSON_F64 + 1, [DT_U32] = JSON_U32 + 1, [DT_U64] = JSON_U64 + 1, [DT_STRING] = JSON_BYTES + 1,
    };
    return elems[t] ? elems[t] - 1 : JSON_ELEMS;
}

static const char *type_name(dtype t)
{
    const char *v2 = dtype_v2_name(t);
    return v2 ? v2 : dtype_name(t);
}

static shape nesting(const json_shape *js)
{
    int64_t dims[TENSOR_RANK_MAX] UNINIT;
    for (size_t i = 0; i < js->rank; i++) dims[i] = (int64_t)js->dims[i];
    return shape_make((uint32_t)js->rank, dims);
}

/* Flat data of the right count, or nesting that is the shape, or (for a scalar) one element. */
static err_code shape_check(const json_shape *got, const shape *want, str name, err *e)
{
    char want_text[SHAPE_TEXT_MAX] UNINIT, got_text[SHAPE_TEXT_MAX] UNINIT;
    uint64_t count = shape_count(want);
    if (got->count != count)
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': data: expected %llu elements for shape %s, got %zu",
                       STR_ARG(name), (unsigned long long)count, shape_text(want, want_text), got->count);
    if (got->rank == 1 || count == 0) return ERR_OK;
    shape nested = nesting(got);
    if (!shape_eq(&nested, want))
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': data: expected nesting %s, got %s", STR_ARG(name),
                       shape_text(want, want_text), shape_text(&nested, got_text));
    return ERR_OK;
}

err_code json_tensor_read(tensor *ret, arena *memory, str name, dtype type, const shape *want, str json, err *e)
{
    json_elem elem = elem_of(type);
    if (elem == JSON_ELEMS)
        return err_set(e, ERR_INVALID,
                       "input '" STR_FMT
                       "': data: %s cannot be sent as JSON, send it as binary data (Inference-Header-Content-Length)",
                       STR_ARG(name), type_name(type));
    size_t size = json_elem_size(elem);
    uint64_t count = want ? shape_count(want) : UINT64_MAX;
    if (count > json.len / size) { /* a tensor no longer than its text needs no count of commas */
        size_t bound = json_array_bound(json);
        if (count > bound) count = bound; /* the text has not that many: it is read to say how many it has */
    }
    void *data = arena_push_raw(memory, (size_t)count * size, 64);
    if (!data)
        return err_set(e, ERR_NOMEM, "input '" STR_FMT "': no memory for %llu elements", STR_ARG(name),
                       (unsigned long long)count);
    json_array_opts o = {.elem = elem, .to = data, .count_max = (size_t)count, .strings = memory,
                         .b64 = true};
    json_shape got UNINIT;
    err_code rc = json_array_parse(json, &o, &got, e);
    if (rc) return err_wrap(e, "input '" STR_FMT "': data", STR_ARG(name));
    if (got.rank > TENSOR_RANK_MAX)
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': data: expected nesting of at most %d, got %zu",
                       STR_ARG(name), TENSOR_RANK_MAX, got.rank);
    if (want && (rc = shape_check(&got, want, name, e)) != ERR_OK) return rc;
    shape s = want ? *want : nesting(&got);
    *ret = tensor_make(type, &s, data);
    return ERR_OK;
}

static err_code print(buf *out, str name, const json_array *a, dtype type, err *e)
{
    if (a->elem == JSON_ELEMS)
        return err_set(e, ERR_INVALID,
                       "output '" STR_FMT "': %s cannot be sent as JSON, ask for it with parameters.binary_data",
                       STR_ARG(name), type_name(type));
    err_code rc = json_array_print(out, a, e);
    return rc ? err_wrap(e, "output '" STR_FMT "'", STR_ARG(name)) : ERR_OK;
}

err_code json_tensor_print(buf *out, str name, const tensor *t, err *e)
{
    json_array a = {.elem = elem_of(t->type), .from = t->data, .count = (size_t)tensor_count(t)};
    return print(out, name, &a, t->type, e);
}

/* The array of one that begins at `start`, without its brackets. */
static void brackets_take(buf *out, size_t start)
{
    if (out->full) return;
    memmove(out->p + start, out->p + start + 1, out->len - start - 2);
    out->len -= 2;
}

err_code json_tensor_print_one(buf *out, str name, const tensor *t, err *e)
{
    size_t start = out->len;
    INVARIANT(tensor_count(t) == 1);
    err_code rc = json_tensor_print(out, name, t, e);
    if (rc == ERR_OK) brackets_take(out, start);
    return rc;
}

/* dims from..rank-1 of the elements from `offset` on. */
static err_code print_nested(buf *out, str name, const tensor *t, uint32_t from, uint64_t offset, err *e)
{
    uint64_t dims[TENSOR_RANK_MAX];
    json_elem elem = elem_of(t->type);
    size_t size = elem == JSON_ELEMS ? 0 : json_elem_size(elem);
    for (uint32_t i = from; i < t->shape.rank; i++) dims[i - from] = (uint64_t)t->shape.dim[i];
    json_array a = {.elem = elem,
                    .null_for_nan = true,
                    .from = t->data ? (const char *)t->data + offset * size : NULL,
                    .count = (size_t)shape_count_range(&t->shape, from, t->shape.rank),
                    .rank = t->shape.rank - from,
                    .dims = dims};
    size_t start = out->len;
    err_code rc = print(out, name, &a, t->type, e);
    if (rc == ERR_OK && a.rank == 0) brackets_take(out, start);
    return rc;
}

err_code json_tensor_print_nested(buf *out, str name, const tensor *t, err *e)
{
    return print_nested(out, name, t, 0, 0, e);
}

err_code json_tensor_print_row(buf *out, str name, const tensor *t, uint64_t row, err *e)
{
    INVARIANT(t->shape.rank > 0 && row < (uint64_t)t->shape.dim[0]);
    return print_nested(out, name, t, 1, row * shape_count_range(&t->shape, 1, t->shape.rank), e);
}
