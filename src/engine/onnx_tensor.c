#include "engine/onnx_tensor.h"

#include "base/mem.h"

#include <string.h>

/* Field numbers of TensorProto (onnx.proto). */
enum {
    T_DIMS = 1,
    T_TYPE = 2,
    T_SEGMENT = 3,
    T_FLOATS = 4,
    T_INT32S = 5,
    T_STRINGS = 6,
    T_INT64S = 7,
    T_NAME = 8,
    T_RAW = 9,
    T_DOUBLES = 10,
    T_UINT64S = 11,
    T_EXTERNAL = 13,
    T_LOCATION = 14
};
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2 };

/* A TensorProto taken apart; the typed lists stay where they are and are walked again when the size is known. */
typedef struct {
    str name, raw;
    shape shape;
    int64_t type;
    bool has_raw, external;
    uint32_t typed;               /* the one field of typed data that was met; 0 = none */
    uint64_t typed_count;
    str location;
    uint64_t offset, length;
} parts;

static err_code dims_read(pb *r, const pb_field *f, parts *p, err *e)
{
    uint64_t v;
    pb it = pb_items(r, f, PB_VARINT);
    while (pb_item(&it, PB_VARINT, &v)) {
        if ((int64_t)v < 0) return err_set(e, ERR_INVALID, "dimensions: expected 0 or more, got %lld", (long long)v);
        err_code rc = shape_push(&p->shape, (int64_t)v, e);
        if (rc) return err_set(e, ERR_UNSUPPORTED, "more than %d dimensions: not implemented", TENSOR_RANK_MAX);
    }
    return pb_check(&it, "dims", e);
}

static err_code external_read(pb entry, parts *p, err *e)
{
    str key = {0}, v = {0};
    pb_field f;
    while (pb_next(&entry, &f)) {
        if (f.number == ENTRY_KEY) key = pb_text(&entry, &f);
        if (f.number == ENTRY_VALUE) v = pb_text(&entry, &f);
    }
    err_code rc = pb_check(&entry, "external_data", e);
    if (rc) return rc;
    if (str_is(key, "location")) p->location = v;
    if (str_is(key, "offset") && !str_u64(v, &p->offset))
        return err_set(e, ERR_INVALID, "external_data: offset: expected a number, got '" STR_FMT "'", STR_ARG(v));
    if (str_is(key, "length") && !str_u64(v, &p->length))
        return err_set(e, ERR_INVALID, "external_data: length: expected a number, got '" STR_FMT "'", STR_ARG(v));
    return ERR_OK;
}

static pb_type item_type(uint32_t field)
{
    return field == T_FLOATS ? PB_FIXED32 : field == T_DOUBLES ? PB_FIXED64 : PB_VARINT;
}

static err_code typed_count(pb *r, const pb_field *f, parts *p, err *e)
{
    if (p->typed && p->typed != f->number)
        return err_set(e, ERR_INVALID, "data: given in two fields (%u and %u)", p->typed, f->number);
    p->typed = f->number;
    if (f->number == T_STRINGS) {
        p->typed_count++;
        return ERR_OK;
    }
    pb it = pb_items(r, f, item_type(f->number));
    p->typed_count += pb_item_count(&it, item_type(f->number));
    return ERR_OK;
}

static err_code parts_read(parts *p, pb r, err *e)
{
    err_code rc = ERR_OK;
    pb_field f;
    *p = (parts){.length = UINT64_MAX};
    while (!rc && pb_next(&r, &f)) {
        switch (f.number) {
        case T_DIMS: rc = dims_read(&r, &f, p, e); break;
        case T_TYPE: p->type = pb_i64(&r, &f); break;
        case T_NAME: p->name = pb_text(&r, &f); break;
        case T_SEGMENT: rc = err_set(e, ERR_UNSUPPORTED, "data in segments: not implemented"); break;
        case T_RAW:
            p->raw = pb_bytes(&r, &f);
            p->has_raw = true;
            break;
        case T_FLOATS: case T_INT32S: case T_STRINGS: case T_INT64S: case T_DOUBLES: case T_UINT64S:
            rc = typed_count(&r, &f, p, e);
            break;
        case T_EXTERNAL: rc = external_read(pb_sub(&r, &f), p, e); break;
        case T_LOCATION: p->external = pb_i64(&r, &f) == 1; break;
        default: break;
        }
    }
    return rc ? rc : pb_check(&r, "TensorProto", e);
}

/* The field that holds typed data of a type, and the bytes that one item of it fills. */
static uint32_t typed_field(dtype t, uint32_t *ret_item_bytes)
{
    uint32_t bits = dtype_bits(t);
    *ret_item_bytes = bits < 8 ? 1 : bits / 8;
    switch (t) {
    case DT_F32: return T_FLOATS;
    case DT_C64: *ret_item_bytes = 4; return T_FLOATS;
    case DT_F64: return T_DOUBLES;
    case DT_C128: *ret_item_bytes = 8; return T_DOUBLES;
    case DT_I64: return T_INT64S;
    case DT_U32: case DT_U64: return T_UINT64S;
    case DT_STRING: return T_STRINGS;
    default: return T_INT32S;
    }
}

static err_code typed_copy(uint8_t *to, size_t bytes, uint32_t item_bytes, uint32_t field, pb r, err *e)
{
    uint8_t *end = to + bytes;
    pb_field f;
    uint64_t v;
    while (pb_next(&r, &f)) {
        if (f.number != field) continue;
        pb it = pb_items(&r, &f, item_type(field));
        for (; pb_item(&it, item_type(field), &v); to += item_bytes) {
            INVARIANT(to < end);        /* the items were counted */
            memcpy(to, &v, item_bytes); /* little-endian */
        }
        err_code rc = pb_check(&it, "data", e);
        if (rc) return rc;
    }
    return to == end ? ERR_OK : err_set(e, ERR_INVALID, "data: %zu bytes are missing", (size_t)(end - to));
}

/* Any byte but 0 is true in the file; C and the kernels know 0 and 1 only. */
static err_code bools_read(tensor *t, str raw, const onnx_tensor_opts *o, err *e)
{
    size_t n = 0;
    t->data = (void *)(uintptr_t)raw.p;
    while (n < raw.len && (uint8_t)raw.p[n] <= 1) n++;
    if (n == raw.len) return ERR_OK;
    uint8_t *to = arena_push_raw(o->memory, raw.len, MEM_ALIGN);
    if (!to) return err_set(e, ERR_NOMEM, "no memory for %zu bytes", raw.len);
    for (n = 0; n < raw.len; n++) to[n] = raw.p[n] != 0;
    t->data = to;
    return ERR_OK;
}

static err_code typed_read(tensor *t, const parts *p, uint64_t count, pb r, const onnx_tensor_opts *o, err *e)
{
    uint32_t item_bytes, field = typed_field(t->type, &item_bytes);
    if (p->typed && p->typed != field)
        return err_set(e, ERR_INVALID, "data: expected field %u for %s, got field %u", field, dtype_name(t->type),
                       p->typed);
    size_t bytes = dtype_bytes(t->type, count);
    uint64_t items = bytes / item_bytes;
    if (p->typed_count != items)
        return err_set(e, ERR_INVALID, "data: expected %llu items, got %llu", (unsigned long long)items,
                       (unsigned long long)p->typed_count);
    if (count == 0) return ERR_OK;
    t->data = arena_push_raw(o->memory, bytes, MEM_ALIGN);
    if (!t->data) return err_set(e, ERR_NOMEM, "no memory for %zu bytes", bytes);
    if (t->type != DT_STRING) {
        err_code rc = typed_copy(t->data, bytes, item_bytes, field, r, e);
        return rc || t->type != DT_BOOL ? rc : bools_read(t, (str){t->data, bytes}, o, e);
    }
    str *s = t->data;
    pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number == T_STRINGS) *s++ = pb_bytes(&r, &f);
    }
    return ERR_OK;
}

static err_code raw_read(tensor *t, str raw, uint64_t count, const onnx_tensor_opts *o, err *e)
{
    size_t bytes = dtype_bytes(t->type, count), align = dtype_bits(t->type) / 8;
    if (t->type == DT_STRING) return err_set(e, ERR_INVALID, "raw data: expected string_data for strings");
    if (raw.len != bytes) return err_set(e, ERR_INVALID, "data: expected %zu bytes, got %zu", bytes, raw.len);
    if (count == 0) return ERR_OK;
    if (t->type == DT_BOOL) return bools_read(t, raw, o, e);
    if (align > 8) align = 8;
    if (align <= 1 || (uintptr_t)raw.p % align == 0) {
        t->data = (void *)(uintptr_t)raw.p;   /* never written to: constants are const tensors */
        return ERR_OK;
    }
    t->data = arena_copy(o->memory, raw.p, bytes, MEM_ALIGN);
    return t->data ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for %zu bytes", bytes);
}

static err_code external_map(tensor *t, const parts *p, uint64_t count, const onnx_tensor_opts *o, err *e)
{
    size_t bytes = dtype_bytes(t->type, count);
    str bytes_there;
    if (!o->external) return err_set(e, ERR_INVALID, "external data: not allowed here");
    if (p->length != UINT64_MAX && p->length != bytes)
        return err_set(e, ERR_INVALID, "external data: length: expected %zu, got %llu", bytes,
                       (unsigned long long)p->length);
    if (bytes == 0) return ERR_OK;
    err_code rc = o->external->map(o->external, p->location, p->offset, bytes, &bytes_there, e);
    return rc ? rc : raw_read(t, bytes_there, count, o, e);
}

static err_code read(tensor *ret, parts *p, pb message, const onnx_tensor_opts *o, err *e)
{
    err_code rc = parts_read(p, message, e);
    if (rc) return rc;
    if (p->type == DT_NONE) return err_set(e, ERR_INVALID, "data type: expected one, got none");
    if (!dtype_ok(p->type)) return err_set(e, ERR_UNSUPPORTED, "data type %lld: not implemented", (long long)p->type);
    tensor t = tensor_make((dtype)p->type, &p->shape, NULL);
    uint64_t count = shape_count(&p->shape);
    char text[SHAPE_TEXT_MAX];
    if (!shape_bounded(&p->shape) || count == UINT64_MAX || dtype_bytes(t.type, count) == SIZE_MAX)
        return err_set(e, ERR_INVALID, "shape %s: too large", shape_text(&p->shape, text));
    if (p->external) rc = external_map(&t, p, count, o, e);
    else if (p->has_raw && !p->typed_count) rc = raw_read(&t, p->raw, count, o, e);
    else if (p->has_raw) rc = err_set(e, ERR_INVALID, "data: given both raw and typed");
    else rc = typed_read(&t, p, count, message, o, e);
    if (!rc) *ret = t;
    return rc;
}

/* For messages: the name may come after what is wrong. */
static str name_of(pb r)
{
    str name = {0};
    pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number == T_NAME && f.type == PB_BYTES) name = pb_text(&r, &f);
    }
    return name;
}

err_code onnx_tensor_read(tensor *ret, str *ret_name, pb message, const onnx_tensor_opts *o, err *e)
{
    parts p;
    tensor t;
    err_code rc = read(&t, &p, message, o, e);
    if (rc) return err_wrap(e, "tensor '" STR_FMT "'", STR_ARG(name_of(message)));
    *ret = t;
    *ret_name = p.name;
    return ERR_OK;
}

/* ---- sparse --------------------------------------------------------------------------------------------------- */

enum { SPARSE_VALUES = 1, SPARSE_INDICES = 2, SPARSE_DIMS = 3 };

/* Index k of the non-zero elements as a place in the dense tensor: linear, or one coordinate per dimension. */
static err_code place(uint64_t *ret, const tensor *indices, uint64_t k, const shape *s, uint64_t count, err *e)
{
    uint64_t at = 0;
    if (indices->shape.rank == 1) {
        int64_t i = tensor_int(indices, k);
        if (i < 0 || (uint64_t)i >= count)
            return err_set(e, ERR_INVALID, "indices: expected less than %llu, got %lld", (unsigned long long)count,
                           (long long)i);
        at = (uint64_t)i;
    } else {
        for (uint32_t d = 0; d < s->rank; d++) {
            int64_t i = tensor_int(indices, k * s->rank + d);
            if (i < 0 || i >= s->dim[d])
                return err_set(e, ERR_INVALID, "indices: expected 0..%lld, got %lld", (long long)s->dim[d] - 1,
                               (long long)i);
            at = at * (uint64_t)s->dim[d] + (uint64_t)i;
        }
        INVARIANT(at < count);   /* which was checked against the bytes that it takes */
    }
    *ret = at;
    return ERR_OK;
}

static err_code densify(tensor *ret, const tensor *values, const tensor *indices, const shape *s,
                        const onnx_tensor_opts *o, err *e)
{
    uint64_t count = shape_count(s), n = tensor_count(values);
    size_t bits = dtype_bits(values->type), bytes = dtype_bytes(values->type, count);
    char text[SHAPE_TEXT_MAX];
    bool linear = indices->shape.rank == 1 && (uint64_t)indices->shape.dim[0] == n;
    bool coordinates =
        indices->shape.rank == 2 && (uint64_t)indices->shape.dim[0] == n && indices->shape.dim[1] == s->rank;
    if (values->type == DT_STRING || bits < 8)
        return err_set(e, ERR_UNSUPPORTED, "sparse %s: not implemented", dtype_name(values->type));
    if (!shape_bounded(s) || count == UINT64_MAX || bytes > o->dense_max)
        return err_set(e, ERR_LIMIT, "shape %s: more than %llu bytes", shape_text(s, text),
                       (unsigned long long)o->dense_max);
    if (indices->type != DT_I64 || values->shape.rank != 1 || (!linear && !coordinates))
        return err_set(e, ERR_INVALID, "indices: expected int64 for %llu values, got %s %s", (unsigned long long)n,
                       dtype_name(indices->type), shape_text(&indices->shape, text));
    tensor t = tensor_make(values->type, s, count ? arena_push(o->memory, count, bits / 8, MEM_ALIGN) : NULL);
    if (count && !t.data) return err_set(e, ERR_NOMEM, "no memory for %zu bytes", bytes);
    for (uint64_t k = 0; k < n; k++) {
        uint64_t at;
        err_code rc = place(&at, indices, k, s, count, e);
        if (rc) return rc;
        memcpy((uint8_t *)t.data + at * (bits / 8), (const uint8_t *)values->data + k * (bits / 8), bits / 8);
    }
    *ret = t;
    return ERR_OK;
}

err_code onnx_sparse_read(tensor *ret, str *ret_name, pb message, const onnx_tensor_opts *o, err *e)
{
    tensor values = {0}, indices = {0};
    str name = {0}, none;
    parts p = {0};
    pb_field f;
    err_code rc = ERR_OK;
    while (!rc && pb_next(&message, &f)) {
        if (f.number == SPARSE_VALUES) rc = onnx_tensor_read(&values, &name, pb_sub(&message, &f), o, e);
        if (f.number == SPARSE_INDICES) rc = onnx_tensor_read(&indices, &none, pb_sub(&message, &f), o, e);
        if (f.number == SPARSE_DIMS) rc = dims_read(&message, &f, &p, e);
    }
    if (!rc) rc = pb_check(&message, "SparseTensorProto", e);
    if (!rc && !values.type) rc = err_set(e, ERR_INVALID, "values: expected a tensor, got none");
    if (!rc) rc = densify(ret, &values, &indices, &p.shape, o, e);
    if (rc) return err_wrap(e, "sparse tensor '" STR_FMT "'", STR_ARG(name));
    *ret_name = name;
    return ERR_OK;
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

void onnx_tensor_write(buf *b, const tensor *t, str name)
{
    for (uint32_t i = 0; i < t->shape.rank; i++) pb_put_i64(b, T_DIMS, t->shape.dim[i]);
    pb_put_i64(b, T_TYPE, t->type);
    if (name.len) pb_put_str(b, T_NAME, name);
    uint64_t count = tensor_count(t);
    if (t->type != DT_STRING) {
        pb_put_bytes(b, T_RAW, count ? t->data : "", count ? tensor_bytes(t) : 0);
        return;
    }
    const str *s = t->data;
    for (uint64_t i = 0; i < count; i++) pb_put_bytes(b, T_STRINGS, s[i].p, s[i].len);
}
