#include "serve/v2_tensor.h"

#include "serve/pictures.h"
#include "serve/v2_class.h"
#include "wire/json_array.h"
#include "wire/json_text.h"

#include <string.h>

err_code v2_datatype(dtype *ret, str text, err *e)
{
    dtype type = dtype_of_v2(text);
    if (type == DT_NONE)
        return err_set(e, ERR_INVALID,
                       "datatype: expected BOOL, UINT8-64, INT8-64, FP16, BF16, FP32, FP64 or BYTES, got '" STR_FMT "'",
                       STR_ARG(text));
    *ret = type;
    return ERR_OK;
}

err_code v2_shape(shape *ret, const int64_t *dims, size_t count, err *e)
{
    shape s = {0};
    if (count > TENSOR_RANK_MAX)
        return err_set(e, ERR_INVALID, "shape: expected at most %d dimensions, got %zu", TENSOR_RANK_MAX, count);
    for (; s.rank < count; s.rank++) {
        s.dim[s.rank] = dims[s.rank];
        if (dims[s.rank] < 0)
            return err_set(e, ERR_INVALID, "shape[%u]: expected 0 or more, got %lld", s.rank, (long long)dims[s.rank]);
    }
    if (shape_count(&s) > INT64_MAX) return err_set(e, ERR_INVALID, "shape: expected fewer than 2^63 elements");
    *ret = s;
    return ERR_OK;
}

err_code v2_input_named(const infer *r, bool *given, size_t at, str name, uint32_t *ret, err *e)
{
    const served *m = r->model;
    int32_t i = infer_input_index(r, name);
    if (i < 0 && served_input_count(m) == 0)
        return err_set(e, ERR_INVALID, "inputs: expected none, got '" STR_FMT "'", STR_ARG(name));
    if (i < 0)
        return err_set(e, ERR_INVALID,
                       "inputs[%zu]: name: expected an input of the model ('" STR_FMT "'%s), got '" STR_FMT "'", at,
                       STR_ARG(served_input(m, 0)->name), served_input_count(m) > 1 ? ", ..." : "", STR_ARG(name));
    if (given[i]) return err_set(e, ERR_INVALID, "input '" STR_FMT "': given twice", STR_ARG(name));
    given[i] = true;
    *ret = (uint32_t)i;
    return ERR_OK;
}

err_code v2_inputs_complete(const infer *r, const bool *given, size_t count, err *e)
{
    uint32_t want = served_input_count(r->model);
    for (uint32_t k = 0; k < want; k++) {
        if (given[k]) continue;
        return err_set(e, ERR_INVALID, "inputs: expected %u, got %zu: '" STR_FMT "' is missing", want, count,
                       STR_ARG(served_input(r->model, k)->name));
    }
    return ERR_OK;
}

/* Elements of a BYTES tensor: each a 4-byte little-endian length and its bytes. */
static err_code strings_read(tensor *t, arena *memory, str name, str raw, const char *what, err *e)
{
    uint64_t count = tensor_count(t);
    if (count > raw.len / 4)
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': %s: expected %llu strings, got %zu bytes", STR_ARG(name),
                       what, (unsigned long long)count, raw.len);
    str *s = arena_new(memory, str, (size_t)count);
    if (!s)
        return err_set(e, ERR_NOMEM, "input '" STR_FMT "': no memory for %llu strings", STR_ARG(name),
                       (unsigned long long)count);
    size_t at = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t len = 0;
        if (raw.len - at >= 4) memcpy(&len, raw.p + at, 4);
        if (raw.len - at < 4 || len > raw.len - at - 4)
            return err_set(e, ERR_INVALID, "input '" STR_FMT "': %s: string %llu reaches past its %zu bytes",
                           STR_ARG(name), what, (unsigned long long)i, raw.len);
        s[i] = (str){raw.p + at + 4, len};
        at += 4 + len;
    }
    if (at != raw.len)
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': %s: expected %zu bytes for %llu strings, got %zu",
                       STR_ARG(name), what, at, (unsigned long long)count, raw.len);
    t->data = s;
    return ERR_OK;
}

err_code v2_raw_read(infer *r, tensor *t, str name, str raw, const v2_raw_words *words, err *e)
{
    if (t->type == DT_STRING) return strings_read(t, &r->memory, name, raw, words->data, e);
    size_t want = tensor_bytes(t);
    if (want != raw.len)
        return err_set(e, ERR_INVALID,
                       "input '" STR_FMT "': %s: expected %zu bytes for its shape and datatype, got %zu", STR_ARG(name),
                       words->size, want, raw.len);
    for (size_t i = 0; t->type == DT_BOOL && i < want; i++) {   /* kernels take 0 and 1 for granted */
        if ((uint8_t)raw.p[i] > 1)
            return err_set(e, ERR_INVALID, "input '" STR_FMT "': %s: expected 0 or 1 in a BOOL, got %u", STR_ARG(name),
                           words->data, (uint8_t)raw.p[i]);
    }
    uint32_t align = dtype_bits(t->type) / 8;
    if (align > 1 && (uintptr_t)raw.p % align != 0) {
        raw.p = arena_copy(&r->memory, raw.p, raw.len, 64);
        if (!raw.p)
            return err_set(e, ERR_NOMEM, "input '" STR_FMT "': no memory for %zu bytes", STR_ARG(name), raw.len);
    }
    t->data = (void *)(uintptr_t)raw.p;
    return ERR_OK;
}

err_code v2_parameter_add(v2_parameters *to, str name, const str *text, const uint64_t *number, bool output, err *e)
{
    const struct {
        const char *name;
        str *text;
        uint64_t *number;
    } rows[] = {{"shared_memory_region", &to->memory.region, NULL},
                {"shared_memory_byte_size", NULL, &to->memory.bytes},
                {"shared_memory_offset", NULL, &to->memory.offset},
                {"classification", NULL, &to->classes}};
    for (size_t i = 0; i < (output ? COUNTOF(rows) : COUNTOF(rows) - 1); i++) {
        if (!str_is(name, rows[i].name)) continue;
        if (rows[i].text) {
            if (!text) return err_set(e, ERR_INVALID, "parameters: %s: expected a string", rows[i].name);
            *rows[i].text = *text;
            continue;
        }
        INVARIANT(rows[i].number);
        if (!number) return err_set(e, ERR_INVALID, "parameters: %s: expected a number of 0 or more", rows[i].name);
        *rows[i].number = *number;
        to->sized = to->sized || rows[i].number == &to->memory.bytes;
    }
    return ERR_OK;
}

err_code v2_parameters_check(const v2_parameters *p, err *e)
{
    if (p->memory.region.p && !p->sized)
        return err_set(e, ERR_INVALID, "parameters: shared_memory_region: expected shared_memory_byte_size with it");
    if (p->memory.region.p && p->classes)
        return err_set(e, ERR_INVALID, "parameters: expected classification or shared_memory_region, got both");
    return ERR_OK;
}

static err_code memory_bytes(infer *r, tensor *t, str name, const infer_memory *m, str *ret, err *e)
{
    size_t want = tensor_bytes(t);
    if (!r->regions) return err_set(e, ERR_UNSUPPORTED, "shared memory is not supported");
    if (t->type != DT_STRING && m->bytes != want)   /* before a byte is copied */
        return err_set(e, ERR_INVALID,
                       "shared_memory_byte_size: expected %zu bytes for its shape and datatype, got %llu", want,
                       (unsigned long long)m->bytes);
    if (r->on_loop && m->bytes > INFER_READ_INLINE_BINARY) {
        r->again = true;
        return err_set(e, ERR_UNAVAILABLE, "name '" STR_FMT "'", STR_ARG(name));   /* nobody sees it */
    }
    infer_extend(r, m->bytes);
    void *p = arena_push_raw(&r->memory, (size_t)m->bytes, 64);
    if (!p) return err_set(e, ERR_NOMEM, "no memory for %llu bytes", (unsigned long long)m->bytes);
    *ret = (str){p, (size_t)m->bytes};
    return shm_read(r->regions, m->region, m->offset, p, (size_t)m->bytes, e);
}

err_code v2_memory_read(infer *r, tensor *t, str name, const infer_memory *m, err *e)
{
    static const v2_raw_words words = {.size = "shared_memory_byte_size", .data = "shared memory"};
    str raw;
    err_code rc = memory_bytes(r, t, name, m, &raw, e);
    return rc ? err_wrap(e, "input '" STR_FMT "'", STR_ARG(name)) : v2_raw_read(r, t, name, raw, &words, e);
}

err_code v2_wants_new(infer *r, err *e)
{
    uint32_t outputs = served_output_count(r->model) + pictures_output_count(r);
    r->wants = arena_new(&r->memory, infer_want, outputs);
    return r->wants ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for %u outputs", outputs);
}

err_code v2_want_named(infer *r, str name, bool binary, const v2_parameters *p, err *e)
{
    int32_t i = infer_output_index(r, name);
    if (i < 0)
        return err_set(e, ERR_INVALID, "unexpected inference output '" STR_FMT "' for model '" STR_FMT "'",
                       STR_ARG(name), STR_ARG(r->model->name));
    for (uint32_t k = 0; k < r->want_count; k++) {
        if (r->wants[k].output == (uint32_t)i)
            return err_set(e, ERR_INVALID, "output '" STR_FMT "': asked for twice", STR_ARG(name));
    }
    r->wants[r->want_count++] = (infer_want){.output = (uint32_t)i,
                                             .binary = binary && !p->memory.region.p,
                                             .classes = p->classes,
                                             .memory = p->memory};
    return ERR_OK;
}

void v2_wants_all(infer *r, bool binary)
{
    uint32_t own = served_output_count(r->model);
    bool made = pictures_answer(r);
    for (uint32_t k = made ? own : 0; k < (made ? own + pictures_output_count(r) : own); k++)
        r->wants[r->want_count++] = (infer_want){.output = k, .binary = binary};
}

/* Strings are put together first. */
static err_code memory_write(infer *r, infer_want *w, err *e)
{
    size_t bytes = v2_raw_bytes(w->t);
    if (!r->regions) return err_set(e, ERR_UNSUPPORTED, "shared memory is not supported");
    if (bytes > w->memory.bytes)
        return err_set(e, ERR_INVALID,
                       "shared_memory_byte_size: expected at least %zu bytes for its shape and datatype, got %llu",
                       bytes, (unsigned long long)w->memory.bytes);
    w->memory.bytes = bytes;
    if (w->t->type != DT_STRING) return shm_write(r->regions, w->memory.region, w->memory.offset, w->t->data, bytes, e);
    v2_raw_put(&r->scratch, w->t, NULL);
    err_code rc = buf_check(&r->scratch, "strings", e);
    if (rc == ERR_OK) rc = shm_write(r->regions, w->memory.region, w->memory.offset, r->scratch.p, r->scratch.len, e);
    buf_clear(&r->scratch);
    return rc;
}

err_code v2_outputs_make(infer *r, err *e)
{
    for (uint32_t i = 0; i < r->want_count; i++) {
        infer_want *w = &r->wants[i];
        const model_io *io = infer_output_io(r, w->output);
        err_code rc = ERR_OK;
        w->t = infer_output(r, w->output);
        bool own = w->output < served_output_count(r->model);
        const attr *labels = own ? model_config_labels(r->model->config, w->output) : NULL;
        if (w->classes) rc = v2_classes_make(r, labels ? labels : io->labels, w->classes, &w->t, e);
        if (rc == ERR_OK && w->memory.region.p) rc = memory_write(r, w, e);
        if (rc) return err_wrap(e, "output '" STR_FMT "'", STR_ARG(io->name));
    }
    return ERR_OK;
}

err_code v2_output_datatype(const char **ret, const model_io *io, const tensor *t, err *e)
{
    const char *type = dtype_v2_name(t->type);
    if (!type)
        return err_set(e, ERR_UNSUPPORTED, "output '" STR_FMT "': %s has no V2 datatype", STR_ARG(io->name),
                       dtype_name(t->type));
    *ret = type;
    return ERR_OK;
}

size_t v2_raw_bytes(const tensor *t)
{
    const str *s = t->data;
    size_t bytes = 0;
    if (t->type != DT_STRING) return tensor_bytes(t);
    for (uint64_t i = 0; i < tensor_count(t); i++) bytes += 4 + s[i].len;
    return bytes;
}

void v2_raw_put(buf *out, const tensor *t, str *tail)
{
    const str *s = t->data;
    if (t->type != DT_STRING) {
        if (tail)
            *tail = (str){t->data, tensor_bytes(t)};
        else
            buf_put(out, t->data, tensor_bytes(t));
        return;
    }
    for (uint64_t i = 0; i < tensor_count(t); i++) {
        uint32_t len = (uint32_t)s[i].len;
        buf_put(out, &len, sizeof len);
        buf_put_str(out, s[i]);
    }
}

void v2_labels_print(buf *out, const attr *labels)
{
    if (labels->kind != ATTR_STRINGS) {
        err e;   /* integers always have a JSON form */
        err_code rc = json_array_print(
            out, &(json_array){.elem = JSON_I64, .from = labels->ints, .count = labels->count}, &e);
        INVARIANT(rc == ERR_OK);
        return;
    }
    buf_put_byte(out, '[');
    for (size_t i = 0; i < labels->count; i++) {
        if (i) buf_put_byte(out, ',');
        json_text_put(out, labels->strings[i]);
    }
    buf_put_byte(out, ']');
}
