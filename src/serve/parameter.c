#include "serve/parameter.h"

enum { MAP_KEY = 1, MAP_VALUE = 2 };

parameter parameter_of_json(yyjson_val *v)
{
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_NULL: return (parameter){.kind = PARAMETER_NONE};
    case YYJSON_TYPE_BOOL: return (parameter){.kind = PARAMETER_BOOL, .on = yyjson_is_true(v)};
    case YYJSON_TYPE_STR:
        return (parameter){.kind = PARAMETER_TEXT, .text = {yyjson_get_str(v), yyjson_get_len(v)}};
    case YYJSON_TYPE_NUM:
        if (yyjson_is_uint(v)) return (parameter){.kind = PARAMETER_NUMBER, .number = yyjson_get_uint(v)};
        return (parameter){.kind = yyjson_is_sint(v) ? PARAMETER_NEGATIVE : PARAMETER_REAL};
    default: return (parameter){.kind = PARAMETER_OTHER};
    }
}

err_code parameter_of_pb(pb entry, const parameter_fields *fields, const char *what, str *ret_name, parameter *ret,
                         err *e)
{
    pb_fields v = {.has = {false}};
    pb_field f;
    str name = STR("");
    parameter p = {.kind = PARAMETER_NONE};
    while (pb_next(&entry, &f)) {
        if (f.number == MAP_KEY) name = pb_text(&entry, &f);
        if (f.number == MAP_VALUE) pb_fields_read(&v, pb_bytes(&entry, &f));
    }
    if (fields->on && pb_fields_has(&v, fields->on)) {
        p = (parameter){.kind = PARAMETER_BOOL, .on = pb_fields_bool(&v, fields->on)};
    } else if (fields->i64 && pb_fields_has(&v, fields->i64)) {
        p = (parameter){.kind = PARAMETER_NUMBER, .number = pb_fields_u64(&v, fields->i64)};
        if (p.number > INT64_MAX) p = (parameter){.kind = PARAMETER_NEGATIVE};
    } else if (fields->u64 && pb_fields_has(&v, fields->u64)) {
        p = (parameter){.kind = PARAMETER_NUMBER, .number = pb_fields_u64(&v, fields->u64)};
    } else if (fields->text && pb_fields_has(&v, fields->text)) {
        p = (parameter){.kind = PARAMETER_TEXT, .text = pb_fields_text(&v, fields->text)};
    } else if (fields->real && pb_fields_has(&v, fields->real)) {
        p.kind = PARAMETER_REAL;
    }
    err_code rc = pb_check(&entry, what, e);
    if (rc == ERR_OK) rc = pb_fields_check(&v, what, e);
    if (rc) return rc;
    *ret_name = name;
    *ret = p;
    return ERR_OK;
}
