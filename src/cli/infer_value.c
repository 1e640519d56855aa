#include "cli/infer_value.h"

#include "base/mem.h"
#include "cli/tensor_file.h"
#include "os/file.h"
#include "wire/json_array.h"
#include "wire/picture.h"

#include <stdio.h>
#include <string.h>

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

static bool dims_fit(const shape *want, uint32_t from, const shape *got)
{
    if (want->rank - from != got->rank) return false;
    for (uint32_t i = 0; i < got->rank; i++) {
        if (want->dim[from + i] >= 0 && want->dim[from + i] != got->dim[i]) return false;
    }
    return true;
}

/* Flat data of `count` elements in the shape of the model, which may leave one size open. */
static bool take_shape(const shape *want, uint64_t count, shape *ret)
{
    uint64_t known = 1;
    uint32_t open = 0, at = 0;
    for (uint32_t i = 0; i < want->rank; i++) {
        if (want->dim[i] < 0) {
            open++;
            at = i;
        } else if (__builtin_mul_overflow(known, (uint64_t)want->dim[i], &known)) {
            return false;
        }
    }
    if (open > 1 || (open == 0 && known != count) || (open == 1 && (known == 0 || count % known))) return false;
    *ret = *want;
    if (open) ret->dim[at] = (int64_t)(count / known);
    return true;
}

static err_code fit(const v2_io *io, tensor *t, err *e)
{
    const shape *want = &io->dims;
    char want_text[SHAPE_TEXT_MAX], got_text[SHAPE_TEXT_MAX];
    if (dims_fit(want, 0, &t->shape)) return ERR_OK;
    bool batch = want->rank == t->shape.rank + 1 && (want->dim[0] == 1 || want->dim[0] == -1);
    if (batch && dims_fit(want, 1, &t->shape)) {
        memmove(t->shape.dim + 1, t->shape.dim, t->shape.rank * sizeof *t->shape.dim);
        t->shape.dim[0] = 1;
        t->shape.rank++;
        return ERR_OK;
    }
    if (t->shape.rank <= 1 && take_shape(want, tensor_count(t), &t->shape)) return ERR_OK;
    return err_set(e, ERR_INVALID, "shape: expected %s, got %s", shape_text(want, want_text),
                   shape_text(&t->shape, got_text));
}

static shape flat(uint64_t count) { return shape_make(1, (const int64_t[]){(int64_t)count}); }

/* ---- text -------------------------------------------------------------------------------------------------------- */

static err_code elem_of(dtype type, json_elem *ret, err *e)
{
    const char *name = dtype_v2_name(type);
    for (json_elem i = 0; i < JSON_ELEMS && name; i++) {
        if (strcmp(json_elem_name(i), name) != 0) continue;
        *ret = i;
        return ERR_OK;
    }
    return err_set(e, ERR_UNSUPPORTED, "%s from JSON: not implemented", dtype_name(type));
}

static err_code json_read(const v2_io *io, str text, arena *a, tensor *ret, err *e)
{
    json_elem elem;
    json_shape got;
    err_code rc = elem_of(io->type, &elem, e);
    if (rc) return rc;
    size_t count = json_array_bound(text);
    void *data = arena_push_raw(a, count * json_elem_size(elem), MEM_ALIGN);
    if (!data) return err_set(e, ERR_NOMEM, "no memory for %zu elements", count);
    json_array_opts o = {.elem = elem, .to = data, .count_max = count, .strings = a};
    rc = json_array_parse(text, &o, &got, e);
    if (rc) return rc;
    if (got.rank > TENSOR_RANK_MAX)
        return err_set(e, ERR_INVALID, "nesting: expected at most %d, got %zu", TENSOR_RANK_MAX, got.rank);
    shape s = {.rank = (uint32_t)got.rank};
    for (size_t i = 0; i < got.rank; i++) s.dim[i] = (int64_t)got.dims[i];
    *ret = tensor_make(io->type, &s, data);
    return ERR_OK;
}

static err_code one_string(str s, arena *a, tensor *ret, err *e)
{
    shape one = flat(1);
    str *data = arena_new(a, str, 1);
    if (!data) return err_set(e, ERR_NOMEM, "no memory for a string");
    *data = s;
    *ret = tensor_make(DT_STRING, &one, data);
    return ERR_OK;
}

static err_code text_read(const v2_io *io, str text, arena *a, tensor *ret, err *e)
{
    str s = text;
    while (s.len && strchr(" \t\r\n", s.p[0])) s = (str){s.p + 1, s.len - 1};
    while (s.len && strchr(" \t\r\n", s.p[s.len - 1])) s.len--;
    if (s.len && s.p[0] == '[') return json_read(io, s, a, ret, e);
    if (io->type == DT_STRING && !(s.len && s.p[0] == '"')) return one_string(text, a, ret, e);
    bool word = str_is(s, "true") || str_is(s, "false") || str_is(s, "NaN") || str_is(s, "Inf") ||
                str_is(s, "Infinity");
    if (s.len == 0 || (!strchr("-\"0123456789", s.p[0]) && !word))
        return err_set(e, ERR_INVALID,
                       "expected JSON, a file (.npy .json .pgm .ppm .png) or raw:FILE, got '" STR_FMT "'",
                       STR_ARG(text));
    char *list = arena_printf(a, "[%.*s]", (int)(s.len < 1 << 20 ? s.len : 1 << 20), s.p);
    if (!list) return err_set(e, ERR_NOMEM, "no memory for a value");
    return json_read(io, str_of(list), a, ret, e);
}

/* ---- pictures ---------------------------------------------------------------------------------------------------- */

static err_code pixels_read(const v2_io *io, const picture *p, const infer_value_opts *o, tensor *ret, err *e)
{
    const shape *want = &io->dims;
    dtype_kind kind = dtype_kind_of(io->type);
    int64_t h = p->height, w = p->width, c = p->channels;
    uint32_t from = want->rank > 3 ? want->rank - 3 : 0;
    if (kind != KIND_FLOAT && kind != KIND_INT && kind != KIND_UINT)
        return err_set(e, ERR_INVALID, "expected %s, got a picture", io->datatype.p);
    if (want->rank < 2) return err_set(e, ERR_INVALID, "expected %u dimensions, got a picture", want->rank);
    bool first = want->rank >= 3 && (want->dim[from] == c || (want->dim[from] < 0 && want->dim[from + 2] != c));
    bool plain = c == 1 && (want->rank == 2 || (want->rank == 3 && want->dim[0] != c && want->dim[2] != c));
    shape s = plain ? shape_make(2, (const int64_t[]){h, w})
              : first ? shape_make(3, (const int64_t[]){c, h, w}) : shape_make(3, (const int64_t[]){h, w, c});
    size_t count = (size_t)(h * w * c);
    void *data = arena_push_raw(o->memory, dtype_bytes(io->type, count), MEM_ALIGN);
    if (!data) return err_set(e, ERR_NOMEM, "no memory for %zu elements", count);
    *ret = tensor_make(io->type, &s, data);
    double scale = kind == KIND_FLOAT ? (double)o->pixel_max / 255 : 1;
    size_t area = (size_t)(h * w);
    for (size_t i = 0; i < count; i++) {
        size_t at = first && !plain ? i % (size_t)c * area + i / (size_t)c : i;
        tensor_put_f64(ret, at, p->pixels[i] * scale);
    }
    return ERR_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

typedef enum { TEXT, NPY, JSON_FILE, PICTURE, JPEG, RAW } source;

static source source_of(const char *what)
{
    static const struct { const char *end; source is; } rows[] = {
        {".npy", NPY}, {".json", JSON_FILE}, {".pgm", PICTURE}, {".ppm", PICTURE}, {".pnm", PICTURE},
        {".png", PICTURE}, {".jpg", JPEG}, {".jpeg", JPEG}};
    str s = str_of(what);
    if (str_starts(s, STR("raw:"))) return RAW;
    if (s.len && strchr("[\"", s.p[0])) return TEXT;
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        size_t n = strlen(rows[i].end);
        if (s.len >= n && str_is_nocase((str){s.p + s.len - n, n}, rows[i].end)) return rows[i].is;
    }
    return TEXT;
}

static err_code npy_read(const v2_io *io, str file, arena *a, tensor *ret, err *e)
{
    err_code rc = tensor_file_parse(file, a, ret, e);
    if (rc == ERR_OK && ret->type != io->type)
        rc = err_set(e, ERR_INVALID, "expected %s, got %s", dtype_name(io->type), dtype_name(ret->type));
    return rc;
}

static err_code raw_read(const v2_io *io, str file, arena *a, tensor *ret, err *e)
{
    if (io->type == DT_STRING) return one_string(file, a, ret, e);
    size_t bytes = dtype_bits(io->type) / 8;
    if (bytes == 0 || file.len % bytes)
        return err_set(e, ERR_INVALID, "expected a multiple of %zu bytes for %s, got %zu", bytes, dtype_name(io->type),
                       file.len);
    shape s = flat(file.len / bytes);
    *ret = tensor_make(io->type, &s, (void *)(uintptr_t)file.p);
    return ERR_OK;
}

static err_code from_file(const v2_io *io, source from, str file, const infer_value_opts *o, tensor *ret, err *e)
{
    picture p;
    if (from == NPY) return npy_read(io, file, o->memory, ret, e);
    if (from == JSON_FILE) return text_read(io, file, o->memory, ret, e);
    if (from == RAW || io->type == DT_STRING) return raw_read(io, file, o->memory, ret, e);
    err_code rc = picture_parse(file, o->memory, &p, e);
    return rc ? rc : pixels_read(io, &p, o, ret, e);
}

static err_code file_into(const v2_io *io, source from, const char *path, const infer_value_opts *o, tensor *ret,
                          err *e)
{
    char *bytes = NULL;
    size_t len = 0;
    err_code rc = file_read(path, TENSOR_FILE_BYTES_MAX, &bytes, &len, e);
    if (rc) return rc;
    const void *kept = arena_copy(o->memory, bytes, len, MEM_ALIGN);
    mem_free(bytes);
    if (!kept) return err_set(e, ERR_NOMEM, "%s: no memory for %zu bytes", path, len);
    rc = from_file(io, from, (str){kept, len}, o, ret, e);
    return rc ? err_wrap(e, "%s", path) : ERR_OK;
}

err_code infer_value_read(const v2_io *io, const char *what, const infer_value_opts *o, tensor *ret, err *e)
{
    source from = source_of(what);
    tensor t;
    err_code rc;
    if (io->type == DT_NONE)
        rc = err_set(e, ERR_UNSUPPORTED, "datatype '" STR_FMT "': not implemented", STR_ARG(io->datatype));
    else if (from == TEXT)
        rc = text_read(io, str_of(what), o->memory, &t, e);
    else
        rc = file_into(io, from, from == RAW ? what + 4 : what, o, &t, e);
    if (rc == ERR_OK) rc = fit(io, &t, e);
    if (rc) return err_wrap(e, "input '" STR_FMT "'", STR_ARG(io->name));
    *ret = t;
    return ERR_OK;
}
