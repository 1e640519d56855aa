#include "serve/json_body.h"

#include <stdlib.h>

err_code json_body_read(json_body *ret, arena *memory, buf *scratch, str text, const json_cut_path *paths,
                        size_t path_count, err *e)
{
    json_body b = {.memory = memory, .cut = arena_new(memory, json_cut, 1)};
    if (!b.cut) return err_set(e, ERR_NOMEM, "request: no memory");
    err_code rc = json_cut_find(b.cut, text, paths, path_count, scratch, e);
    if (rc == ERR_OK) rc = buf_check(scratch, "request", e);
    json_opts o = {.memory = memory, .cut = b.cut};
    if (rc == ERR_OK) rc = json_parse(buf_str(scratch), &o, &b.root, e);
    buf_clear(scratch); /* the tree has copies of its strings */
    if (rc == ERR_OK) rc = json_obj(b.root, "request", e);
    if (rc) return rc;
    *ret = b;
    return ERR_OK;
}

bool json_body_is_cut(yyjson_val *v) { return yyjson_is_uint(v); }

err_code json_body_text(const json_body *b, yyjson_val *v, str *ret, err *e)
{
    if (!json_body_is_cut(v)) return json_wrong(v, "data", "an array of values", e);
    uint64_t i = yyjson_get_uint(v);
    INVARIANT(i < b->cut->count);
    *ret = b->cut->spans[i];
    return ERR_OK;
}

err_code json_body_print(buf *out, yyjson_val *v, err *e)
{
    size_t len = 0;
    char *text = yyjson_val_write(v, 0, &len);
    if (!text) return err_set(e, ERR_NOMEM, "request: no memory for a value's text");
    buf_put(out, text, len);
    free(text); /* style: yyjson made it with malloc */
    return ERR_OK;
}
