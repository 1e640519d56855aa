#include "serve/json_body.h"

#include "wire/json_text.h"

err_code json_body_read(json_body *ret, str text, const json_body_opts *opts, err *e)
{
    ret->memory = opts->memory;
    err_code rc = json_cut_find(&ret->cut, text, opts->paths, opts->path_count, opts->scratch, e);
    if (rc == ERR_OK) rc = buf_check(opts->scratch, "request", e);
    json_opts o = {.memory = opts->memory, .numbers_as_text = opts->prints, .words = opts->prints,
                   .cut = &ret->cut};
    if (rc == ERR_OK) rc = json_parse(buf_str(opts->scratch), &o, &ret->root, e);
    buf_clear(opts->scratch); /* the tree has copies of its strings */
    if (rc == ERR_OK) rc = json_obj(ret->root, "request", e);
    return rc;
}

bool json_body_is_cut(yyjson_val *v) { return yyjson_is_uint(v) || yyjson_is_raw(v); }

err_code json_body_text(const json_body *b, yyjson_val *v, str *ret, err *e)
{
    uint64_t i = yyjson_get_uint(v);
    if (!json_body_is_cut(v)) return json_wrong(v, "data", "an array of values", e);
    if (yyjson_is_raw(v)) INVARIANT(str_u64((str){yyjson_get_raw(v), yyjson_get_len(v)}, &i));
    INVARIANT(i < b->cut.count);
    *ret = b->cut.spans[i];
    return ERR_OK;
}

err_code json_body_words_check(yyjson_val *v, str what, err *e)
{
    for (yyjson_val *past = unsafe_yyjson_get_next(v); v < past; v++) {
        if (json_is_word(v))
            return err_set(e, ERR_INVALID, "'" STR_FMT "': expected JSON, got %.*s, which only tensors may hold",
                           STR_ARG(what), (int)yyjson_get_len(v), yyjson_get_raw(v));
    }
    return ERR_OK;
}

static void scalar_print(buf *out, yyjson_val *v)
{
    str s = {unsafe_yyjson_get_str(v), unsafe_yyjson_get_len(v)};
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_RAW: buf_put_str(out, s); break;
    case YYJSON_TYPE_STR: json_text_put(out, s); break;
    case YYJSON_TYPE_BOOL: buf_put_z(out, yyjson_is_true(v) ? "true" : "false"); break;
    default: INVARIANT(yyjson_is_null(v)); buf_put_z(out, "null");
    }
}

/* A container and how many of its values are still to come. */
typedef struct {
    bool object;
    size_t left;
} level;

/* Values stand in one array in the order of the text, members as key and value: one walk, a stack of what is open. */
void json_body_print(buf *out, yyjson_val *v)
{
    level open[JSON_DEPTH_MAX];
    size_t depth = 0;
    for (;; v++) {
        bool key = depth && open[depth - 1].object && open[depth - 1].left % 2 == 0;
        if (yyjson_is_ctn(v)) {
            INVARIANT(depth < JSON_DEPTH_MAX);
            bool object = yyjson_is_obj(v);
            open[depth++] = (level){object, object ? 2 * yyjson_obj_size(v) : yyjson_arr_size(v)};
            buf_put_byte(out, object ? '{' : '[');
        } else {
            scalar_print(out, v);
            if (depth) open[depth - 1].left--;
        }
        for (; depth && open[depth - 1].left == 0; depth--) {
            buf_put_byte(out, open[depth - 1].object ? '}' : ']');
            if (depth > 1) open[depth - 2].left--;
        }
        if (depth == 0) return;
        if (!yyjson_is_ctn(v) || yyjson_get_len(v) == 0) buf_put_byte(out, key ? ':' : ',');
    }
}
