/* Differential: what our scanner takes, yyjson takes with the same nesting and the C library with the same values - NaN
 * and infinities among those of floats alone; flat arrays of numbers that yyjson takes, we take; what we took prints
 * and parses again.  The first byte picks the type. */
#include "wire/json_array.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

typedef struct {
    json_elem elem;
    const uint8_t *from;
    size_t count, at;
} values;

static void check_number(values *v, yyjson_val *raw)
{
    const char *text = yyjson_get_raw(raw);
    const uint8_t *p = v->from + v->at++ * json_elem_size(v->elem);
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
        int8_t i8;
        int16_t i16;
        int32_t i32;
        float f32;
        double f64;
    } x;
    INVARIANT(text);
    char first = text[*text == '-'];
    INVARIANT((first >= '0' && first <= '9') || first == 'N' || first == 'I');
    memcpy(&x, p, json_elem_size(v->elem));
    switch (v->elem) {
    case JSON_BOOL: INVARIANT(x.u8 == strtoull(text, NULL, 10)); break;
    case JSON_U8: INVARIANT(x.u8 == strtoull(text, NULL, 10)); break;
    case JSON_U16: INVARIANT(x.u16 == strtoull(text, NULL, 10)); break;
    case JSON_U32: INVARIANT(x.u32 == strtoull(text, NULL, 10)); break;
    case JSON_U64: INVARIANT(x.u64 == strtoull(text, NULL, 10)); break;
    case JSON_I8: INVARIANT(x.i8 == strtoll(text, NULL, 10)); break;
    case JSON_I16: INVARIANT(x.i16 == strtoll(text, NULL, 10)); break;
    case JSON_I32: INVARIANT(x.i32 == strtoll(text, NULL, 10)); break;
    case JSON_I64: INVARIANT((int64_t)x.u64 == strtoll(text, NULL, 10)); break;
    case JSON_F32: {
        float want = strtof(text, NULL);
        INVARIANT((isnan(want) && isnan(x.f32)) || memcmp(&want, &x.f32, sizeof want) == 0);
        break;
    }
    case JSON_F64: {
        double want = strtod(text, NULL);
        INVARIANT((isnan(want) && isnan(x.f64)) || memcmp(&want, &x.f64, sizeof want) == 0);
        break;
    }
    default: INVARIANT(v->elem == JSON_F16 || v->elem == JSON_BF16);
    }
}

static void check(values *v, yyjson_val *list, const json_shape *shape, size_t depth)
{
    size_t i, max;
    yyjson_val *item;
    INVARIANT(yyjson_is_arr(list) && depth < shape->rank && yyjson_arr_size(list) == shape->dims[depth]);
    yyjson_arr_foreach(list, i, max, item) {
        if (yyjson_is_arr(item)) {
            check(v, item, shape, depth + 1);
            continue;
        }
        INVARIANT(depth + 1 == shape->rank && v->at < v->count);
        if (v->elem == JSON_BYTES) {
            const str *s = (const str *)(const void *)v->from + v->at++;
            INVARIANT(yyjson_is_str(item) && str_eq(*s, (str){yyjson_get_str(item), yyjson_get_len(item)}));
        } else if (yyjson_is_bool(item)) {
            INVARIANT(v->elem == JSON_BOOL && v->from[v->at++] == yyjson_get_bool(item));
        } else {
            check_number(v, item);
        }
    }
}

static void check_again(const values *v, const json_shape *shape)
{
    buf b;
    err e;
    arena strings;
    json_shape again;
    uint8_t *to = mem_alloc0(v->count + 1, sizeof(str));
    json_array a = {.elem = v->elem, .from = v->from, .count = v->count, .rank = shape->rank, .dims = shape->dims};
    if (!to) return;
    buf_init(&b, 1 << 24);
    arena_init(&strings, NULL, 0, 1 << 24);
    json_array_opts o = {.elem = v->elem, .to = to, .count_max = v->count, .strings = &strings};
    INVARIANT(json_array_print(&b, &a, &e) == ERR_OK && buf_check(&b, "print", &e) == ERR_OK);
    INVARIANT(json_array_parse(buf_str(&b), &o, &again, &e) == ERR_OK && again.count == shape->count);
    if (v->elem != JSON_BYTES) INVARIANT(memcmp(to, v->from, v->count * json_elem_size(v->elem)) == 0);
    mem_free(to);
    arena_fini(&strings);
    buf_fini(&b);
}

/* Other documents may be refused for their types or shape; this kind never. */
static bool flat_numbers(str json)
{
    yyjson_doc *doc = yyjson_read(json.p, json.len, YYJSON_READ_NOFLAG);
    yyjson_val *root = yyjson_doc_get_root(doc), *item;
    bool flat = yyjson_is_arr(root);
    size_t i, max;
    yyjson_arr_foreach(root, i, max, item) flat &= yyjson_is_num(item);
    yyjson_doc_free(doc);
    return flat;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arena strings;
    json_shape shape;
    err e;
    if (size == 0) return 0;
    str json = {(const char *)data + 1, size - 1};
    size_t count = json_array_bound(json);
    values v = {.elem = (json_elem)(data[0] % JSON_ELEMS)};
    uint8_t *to = mem_alloc0(count, sizeof(str));
    if (!to) return 0;
    arena_init(&strings, NULL, 0, 1 << 24);
    json_array_opts o = {.elem = v.elem, .to = to, .count_max = count, .strings = &strings};
    if (json_array_parse(json, &o, &shape, &e) == ERR_OK) {
        bool floats = v.elem >= JSON_F16 && v.elem <= JSON_F64;
        yyjson_doc *doc = yyjson_read(json.p, json.len, YYJSON_READ_NUMBER_AS_RAW |
                                      (floats ? YYJSON_READ_ALLOW_INF_AND_NAN : YYJSON_READ_NOFLAG));
        INVARIANT(doc);
        v.from = to;
        v.count = shape.count;
        check(&v, yyjson_doc_get_root(doc), &shape, 0);
        INVARIANT(v.at == v.count);
        yyjson_doc_free(doc);
        check_again(&v, &shape);
    } else if (v.elem == JSON_F64) {
        INVARIANT(!flat_numbers(json));
    }
    arena_fini(&strings);
    mem_free(to);
    return 0;
}
