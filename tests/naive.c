#include "naive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

yyjson_doc *naive_parse(str json)
{
    yyjson_read_flag flags = YYJSON_READ_NUMBER_AS_RAW | YYJSON_READ_ALLOW_INF_AND_NAN;
    return yyjson_read_opts((char *)(uintptr_t)json.p, json.len, flags, NULL, NULL);
}

bool naive_is_json(str json)
{
    yyjson_doc *doc = yyjson_read(json.p, json.len, YYJSON_READ_NUMBER_AS_RAW);
    yyjson_doc_free(doc);
    return doc;
}

/* NaN, Inf or Infinity, and not in other letters. */
static bool is_word(const char *text)
{
    text += *text == '-';
    return strcmp(text, "NaN") == 0 || strcmp(text, "Inf") == 0 || strcmp(text, "Infinity") == 0;
}

str naive_str(yyjson_val *v)
{
    return yyjson_is_raw(v) ? (str){yyjson_get_raw(v), yyjson_get_len(v)} : (str){yyjson_get_str(v), yyjson_get_len(v)};
}

static void compare_one(yyjson_val *v, const tensor *t, uint64_t at)
{
    char text[400];
    str s = naive_str(v);
    snprintf(text, sizeof text, "%.*s", s.p ? (int)(s.len < sizeof text ? s.len : 0) : 0, s.p ? s.p : "");
    switch (t->type) {
    case DT_F32: {
        float want = strtof(text, NULL), got = ((const float *)t->data)[at];
        INVARIANT(yyjson_is_raw(v) && (s.len >= sizeof text || isfinite(want) || is_word(text)));
        INVARIANT(s.len >= sizeof text || (isnan(want) && isnan(got)) || memcmp(&want, &got, sizeof got) == 0);
        break;
    }
    case DT_I64:
        INVARIANT(yyjson_is_raw(v) && !is_word(text) &&
                  (s.len >= sizeof text || strtoll(text, NULL, 10) == ((const int64_t *)t->data)[at]));
        break;
    case DT_STRING: INVARIANT(yyjson_is_str(v) && str_eq(s, ((const str *)t->data)[at])); break;
    default: INVARIANT(yyjson_is_bool(v) || yyjson_is_raw(v)); INVARIANT(((const uint8_t *)t->data)[at] <= 1);
    }
}

uint64_t naive_compare(yyjson_val *v, const tensor *t, uint64_t at)
{
    size_t i, n;
    yyjson_val *item;
    if (!yyjson_is_arr(v)) {
        INVARIANT(at < tensor_count(t));
        compare_one(v, t, at);
        return at + 1;
    }
    yyjson_arr_foreach(v, i, n, item) { at = naive_compare(item, t, at); }
    return at;
}

void naive_compare_raw(str raw, const tensor *t)
{
    if (t->type != DT_STRING) {
        INVARIANT(raw.len == tensor_bytes(t) && (raw.len == 0 || memcmp(raw.p, t->data, raw.len) == 0));
        return;
    }
    for (uint64_t i = 0; i < tensor_count(t); i++) {
        uint32_t n;
        INVARIANT(raw.len >= 4);
        memcpy(&n, raw.p, 4);
        INVARIANT(raw.len - 4 >= n && str_eq((str){raw.p + 4, n}, ((const str *)t->data)[i]));
        raw = (str){raw.p + 4 + n, raw.len - 4 - n};
    }
    INVARIANT(raw.len == 0);
}
