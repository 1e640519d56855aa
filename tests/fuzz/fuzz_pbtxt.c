/* Any bytes as a config.pbtxt: the tree keeps to its table, and what is accepted prints as JSON and as protobuf. */
#include "serve/config_def.h"
#include "wire/json.h"
#include "wire/pb.h"
#include "wire/pbtxt.h"

#include <string.h>

static void walk(const pbtree *m, const pbdef *def)
{
    INVARIANT(m->def == def);
    for (size_t i = 0; i < def->count; i++) {
        const pbdef_field *f = &def->fields[i];
        const pbtree_list *l = &m->fields[i];
        size_t n = 0;
        INVARIANT(f->repeated || l->count <= 1);
        for (const pbtree *v = l->first; v; v = v->next, n++) {
            INVARIANT(v->field == f && (v->next || v == l->last));
            if (f->kind == PBDEF_MESSAGE) walk(v, f->message);
            if (f->kind == PBDEF_TEXT) INVARIANT(str_utf8_ok(v->text) && v->text.p[v->text.len] == 0);
            if (f->kind == PBDEF_ENUM) INVARIANT(pbtree_value_name(f->values, v->i64));
            if (f->kind == PBDEF_BOOL) INVARIANT(v->i64 == 0 || v->i64 == 1);
        }
        INVARIANT(n == l->count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arena a;
    pbtree *m;
    buf out;
    err e = {0};
    arena_init(&a, NULL, 0, 1 << 24);
    buf_init(&out, 1 << 22);
    if (pbtxt_parse((str){(const char *)data, size}, "fuzz.pbtxt", &config_def, &a, &m, &e)) {
        INVARIANT(strncmp(e.text, "fuzz.pbtxt:", 11) == 0);
    } else {
        yyjson_val *v;
        pb r;
        pb_field f;
        walk(m, &config_def);
        pbtree_print(&out, m);
        INVARIANT(out.full || json_parse(buf_str(&out), &(json_opts){.memory = &a}, &v, &e) == ERR_OK ||
                  e.code == ERR_LIMIT);
        buf_clear(&out);
        pbtree_put(&out, m);
        pb_init(&r, out.p, out.len);
        while (pb_next(&r, &f)) continue;
        INVARIANT(pb_check(&r, "fuzz", &e) == ERR_OK);
    }
    buf_fini(&out);
    arena_fini(&a);
    return 0;
}
