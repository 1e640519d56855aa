/* Any bytes as a config.pbtxt: the tree keeps to its table, prints as JSON that reads as the same tree and as protobuf
 * that is well formed; what the checks accept can be typed. */
#include "models/config_check.h"
#include "models/config_def.h"
#include "models/scheduling.h"
#include "wire/pb.h"
#include "wire/pbjson.h"
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

static void prints(const pbtree *m, arena *a)
{
    buf out, again;
    yyjson_val *v;
    pbtree *read;
    pb r;
    pb_field f;
    err e = {0};
    buf_init(&out, 1 << 22);
    buf_init(&again, 1 << 22);
    pbtree_print(&out, m);
    if (!out.full && json_parse(buf_str(&out), &(json_opts){.memory = a}, &v, &e) == ERR_OK &&
        pbjson_read(v, "fuzz", &config_def, a, &read, &e) == ERR_OK) {
        pbtree_print(&again, read);
        INVARIANT(str_eq(buf_str(&out), buf_str(&again)));
    } else {
        INVARIANT(out.full || e.code == ERR_LIMIT);
    }
    buf_clear(&out);
    pbtree_put(&out, m);
    pb_init(&r, out.p, out.len);
    while (pb_next(&r, &f)) continue;
    INVARIANT(pb_check(&r, "fuzz", &e) == ERR_OK);
    buf_fini(&out);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arena a;
    pbtree *m;
    scheduling s;
    err e = {0};
    arena_init(&a, NULL, 0, 1 << 24);
    if (pbtxt_parse((str){(const char *)data, size}, "fuzz.pbtxt", &config_def, &a, &m, &e)) {
        INVARIANT(strncmp(e.text, "fuzz.pbtxt:", 11) == 0);
    } else {
        walk(m, &config_def);
        prints(m, &a);
        (void)(config_check_io(m, &e) == ERR_OK && config_check_instances(m, &e) == ERR_OK);
        if (config_check(m, &e) == ERR_OK && scheduling_read(&s, m, &a, &e) == ERR_OK)
            INVARIANT(!(s.dynamic.on && s.sequence.on) && s.ensemble.step_count <= CONFIG_STEPS_MAX);
    }
    arena_fini(&a);
    return 0;
}
