/* Whatever the body: when every span and the skeleton are JSON, so is the body, with the same values in every place;
 * and a body that is JSON has a skeleton and spans that are. */
#include "wire/json.h"
#include "wire/json_cut.h"

#include <string.h>

static const json_cut_path paths[] = {{{"inputs", "[]", "data"}}, {{"instances"}}, {{"a", "b", "[]", "[]"}}};

/* The two documents are alike, but where the skeleton has the number of a span. */
static bool alike(yyjson_val *body, yyjson_val *skeleton, yyjson_doc **spans, size_t count)
{
    size_t i, max;
    yyjson_val *key, *val;
    if (yyjson_equals(body, skeleton)) return true;
    if (yyjson_is_uint(skeleton) && yyjson_get_uint(skeleton) < count &&
        yyjson_equals(body, yyjson_doc_get_root(spans[yyjson_get_uint(skeleton)]))) return true;
    if (yyjson_is_obj(body) && yyjson_is_obj(skeleton) && yyjson_obj_size(body) == yyjson_obj_size(skeleton)) {
        yyjson_obj_foreach(body, i, max, key, val) {
            yyjson_val *other = yyjson_obj_getn(skeleton, yyjson_get_str(key), yyjson_get_len(key));
            if (!other || !alike(val, other, spans, count)) return false;
        }
        return true;
    }
    if (yyjson_is_arr(body) && yyjson_is_arr(skeleton) && yyjson_arr_size(body) == yyjson_arr_size(skeleton)) {
        yyjson_arr_foreach(body, i, max, val) {
            if (!alike(val, yyjson_arr_get(skeleton, i), spans, count)) return false;
        }
        return true;
    }
    return false;
}

/* The values at the paths are cut, so that no number of the client's stands where ours are expected. */
static void check_inputs(yyjson_val *body, yyjson_val *skeleton, yyjson_doc **spans, const json_cut *c)
{
    yyjson_val *ours = yyjson_obj_get(skeleton, "instances"), *theirs = yyjson_obj_get(body, "instances");
    if (yyjson_is_num(ours)) {
        INVARIANT(yyjson_is_uint(ours) && yyjson_get_uint(ours) < c->count);
        INVARIANT(yyjson_equals(theirs, yyjson_doc_get_root(spans[yyjson_get_uint(ours)])));
    }
    yyjson_val *list = yyjson_obj_get(skeleton, "inputs"), *list2 = yyjson_obj_get(body, "inputs");
    for (size_t i = 0; yyjson_is_arr(list) && i < yyjson_arr_size(list); i++) {
        ours = yyjson_obj_get(yyjson_arr_get(list, i), "data");
        theirs = yyjson_obj_get(yyjson_arr_get(list2, i), "data");
        if (!yyjson_is_num(ours)) continue;
        INVARIANT(yyjson_is_uint(ours) && yyjson_get_uint(ours) < c->count);
        INVARIANT(yyjson_equals(theirs, yyjson_doc_get_root(spans[yyjson_get_uint(ours)])));
    }
}

static yyjson_val *parse(str text, arena *a, const json_cut *cut)
{
    err e;
    yyjson_val *v = NULL;
    return json_parse(text, &(json_opts){.memory = a, .cut = cut}, &v, &e) ? NULL : v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static json_cut c;
    static yyjson_doc *spans[JSON_CUT_MAX];
    str body = {(const char *)data, size};
    arena a;
    buf b;
    err e;
    bool whole = true;
    arena_init(&a, NULL, 0, 1 << 26);
    buf_init(&b, 1 << 20);
    yyjson_val *theirs = parse(body, &a, NULL);
    err_code rc = json_cut_find(&c, body, paths, COUNTOF(paths), &b, &e);
    INVARIANT(!rc || !theirs || rc == ERR_LIMIT);
    if (rc == ERR_OK) {
        for (size_t i = 0; i < c.count; i++) {
            spans[i] = yyjson_read(c.spans[i].p, c.spans[i].len, YYJSON_READ_NOFLAG);
            whole &= spans[i] != NULL;
            INVARIANT(c.spans[i].p >= body.p && c.spans[i].p + c.spans[i].len <= body.p + body.len);
        }
        yyjson_val *ours = parse(buf_str(&b), &a, &c);
        INVARIANT((theirs != NULL) == (ours && whole));
        if (theirs) {
            INVARIANT(alike(theirs, ours, spans, c.count));
            check_inputs(theirs, ours, spans, &c);
        }
        for (size_t i = 0; i < c.count; i++) yyjson_doc_free(spans[i]);
        for (size_t i = 0; i < b.len; i += 1 + b.len / 64) INVARIANT(json_cut_origin(&c, i) <= body.len);
    }
    arena_fini(&a);
    buf_fini(&b);
    return 0;
}
