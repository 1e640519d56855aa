#include "cli/tensor_text.h"

#include "wire/json_array.h"
#include "wire/json_text.h"

#include <inttypes.h>
#include <string.h>

static const char *type_of(const tensor *t)
{
    const char *name = dtype_v2_name(t->type);
    return name ? name : dtype_name(t->type);
}

/* Control characters would move the terminal's cursor; JSON's escapes say what they are. */
static void put_string(buf *b, str s)
{
    size_t len = s.len < TENSOR_TEXT_STRING_MAX ? s.len : TENSOR_TEXT_STRING_MAX;
    while (len < s.len && len > 0 && ((uint8_t)s.p[len] & 0xC0) == 0x80) len--;   /* not within a character */
    json_text_put(b, (str){s.p, len});
    if (len < s.len) buf_put_z(b, "...");
}

static void put_value(buf *b, const tensor *t, uint64_t i)
{
    switch (dtype_kind_of(t->type)) {
    case KIND_STRING: put_string(b, ((const str *)t->data)[i]); return;
    case KIND_BOOL: buf_put_z(b, tensor_int(t, i) ? "true" : "false"); return;
    case KIND_UINT:
        if (t->type == DT_U64) buf_printf(b, "%" PRIu64, ((const uint64_t *)t->data)[i]);
        else buf_printf(b, "%" PRId64, tensor_int(t, i));
        return;
    case KIND_INT: buf_printf(b, "%" PRId64, tensor_int(t, i)); return;
    default: buf_printf(b, t->type == DT_F64 ? "%.10g" : "%.6g", tensor_f64(t, i)); return;
    }
}

static void put_name(buf *b, str name)
{
    for (size_t i = 0; i < name.len; i++) buf_put_byte(b, (uint8_t)name.p[i] < ' ' ? '?' : (uint8_t)name.p[i]);
}

static void pad(buf *b, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) buf_put_byte(b, ' ');
}

void tensor_text_table(buf *b, const v2_value *values, size_t count)
{
    size_t name_width = 4, shape_width = 5;
    char text[SHAPE_TEXT_MAX];
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(shape_text(&values[i].t.shape, text));
        if (values[i].name.len > name_width) name_width = values[i].name.len;
        if (n > shape_width) shape_width = n;
    }
    buf_put_z(b, "name");
    pad(b, 4, name_width);
    buf_put_z(b, "  type    shape");
    pad(b, 5, shape_width);
    buf_put_z(b, "  values\n");
    for (size_t i = 0; i < count; i++) {
        const tensor *t = &values[i].t;
        uint64_t n = tensor_count(t), shown = n < TENSOR_TEXT_VALUES_MAX ? n : TENSOR_TEXT_VALUES_MAX;
        shape_text(&t->shape, text);
        put_name(b, values[i].name);
        pad(b, values[i].name.len, name_width);
        buf_printf(b, "  %-6s  %s", type_of(t), text);
        pad(b, strlen(text), shape_width + 1);
        for (uint64_t k = 0; k < shown; k++) {
            buf_put_byte(b, ' ');
            put_value(b, t, k);
        }
        if (shown < n) buf_printf(b, " ... (%" PRIu64 " more)", n - shown);
        buf_put_byte(b, '\n');
    }
}

static void put_data(buf *b, const tensor *t)
{
    json_array array = {.elem = JSON_ELEMS, .null_for_nan = true, .from = t->data, .count = (size_t)tensor_count(t)};
    for (json_elem i = 0; i < JSON_ELEMS; i++) {
        if (strcmp(json_elem_name(i), type_of(t)) == 0) array.elem = i;
    }
    INVARIANT(array.elem != JSON_ELEMS);   /* the readers refuse other datatypes */
    err e;
    size_t start = b->len;
    if (json_array_print(b, &array, &e) == ERR_OK) return;
    b->len = start;   /* strings that are no UTF-8 */
    buf_put_z(b, "null");
}

void tensor_text_json(buf *b, const v2_answer *answer)
{
    buf_put_z(b, "{\"model_name\":");
    json_text_put(b, answer->model);
    buf_put_z(b, ",\"model_version\":");
    json_text_put(b, answer->version);
    buf_put_z(b, ",\"outputs\":[");
    for (size_t i = 0; i < answer->output_count; i++) {
        const v2_value *v = &answer->outputs[i];
        if (i) buf_put_byte(b, ',');
        buf_put_z(b, "{\"name\":");
        json_text_put(b, v->name);
        buf_printf(b, ",\"datatype\":\"%s\",\"shape\":[", type_of(&v->t));
        for (uint32_t k = 0; k < v->t.shape.rank; k++) buf_printf(b, k ? ",%" PRId64 : "%" PRId64, v->t.shape.dim[k]);
        buf_put_z(b, "],\"data\":");
        put_data(b, &v->t);
        buf_put_byte(b, '}');
    }
    buf_put_z(b, "]}\n");
}
