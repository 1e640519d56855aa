#include "op_harness.h"

#include "engine/exec.h"

#include <math.h>

void op_case_init(op_case *t, const char *op, int64_t opset)
{
    *t = (op_case){0};
    arena_init(&t->memory, NULL, 0, OP_CASE_BYTES);
    t->graph = (graph){.opset = opset, .values = t->values, .nodes = &t->node, .node_count = 1, .memory = &t->memory};
    t->node = (node){.name = STR("case"), .op = str_of(op), .opset = opset, .in = t->in_ids, .out = t->out_ids,
                     .attrs = t->attrs};
    op_case_outputs(t, 1);
}

void op_case_fini(op_case *t)
{
    for (uint32_t i = 0; i < OP_CASE_MAX; i++) {
        mem_free(t->in[i].data);
        if (!(t->inplace && i == 0) && !(t->node.row && t->node.row->flags & OP_RUNTIME))
            mem_free(t->out[i].data);
    }
    arena_fini(&t->memory);
}

static tensor *add_input(op_case *t, dtype type, const shape *s)
{
    uint32_t i = t->node.in_count++;
    INVARIANT(i < OP_CASE_MAX);
    t->in[i] = tensor_make(type, s, NULL);
    size_t bytes = tensor_bytes(&t->in[i]);
    t->in[i].data = bytes ? mem_alloc_raw(bytes) : NULL;
    INVARIANT(!bytes || t->in[i].data);
    t->in_list[i] = &t->in[i];
    t->in_ids[i] = i;
    return &t->in[i];
}

void op_case_in(op_case *t, dtype type, shape s, const double *values, size_t count)
{
    tensor *in = add_input(t, type, &s);
    for (uint64_t i = 0; i < tensor_count(in); i++)
        tensor_put_f64(in, i, values[i % count]);
}

void op_case_strings(op_case *t, shape s, const char *const *values)
{
    tensor *in = add_input(t, DT_STRING, &s);
    for (uint64_t i = 0; i < tensor_count(in); i++)
        ((str *)in->data)[i] = str_of(values[i]);
}

void op_case_none(op_case *t)
{
    t->in_ids[t->node.in_count++] = VALUE_NONE;
}

void op_case_outputs(op_case *t, uint32_t count)
{
    t->node.out_count = count;
    for (uint32_t i = 0; i < count; i++) {
        t->out_list[i] = &t->out[i];
        t->out_ids[i] = OP_CASE_MAX + i;
    }
}

static attr *add_attr(op_case *t, const char *name, attr_kind kind)
{
    INVARIANT(t->node.attr_count < OP_CASE_ATTRS_MAX);
    attr *a = &t->attrs[t->node.attr_count++];
    *a = (attr){.name = str_of(name), .kind = kind};
    return a;
}

void op_case_int(op_case *t, const char *name, int64_t v)
{
    add_attr(t, name, ATTR_INT)->i = v;
}

void op_case_float(op_case *t, const char *name, float v)
{
    add_attr(t, name, ATTR_FLOAT)->f = v;
}

void op_case_str(op_case *t, const char *name, const char *v)
{
    add_attr(t, name, ATTR_STRING)->s = str_of(v);
}

void op_case_ints(op_case *t, const char *name, const int64_t *v, uint32_t count)
{
    attr *a = add_attr(t, name, ATTR_INTS);
    a->ints = v;
    a->count = count;
}

void op_case_floats(op_case *t, const char *name, const float *v, uint32_t count)
{
    attr *a = add_attr(t, name, ATTR_FLOATS);
    a->floats = v;
    a->count = count;
}

void op_case_texts(op_case *t, const char *name, const str *v, uint32_t count)
{
    attr *a = add_attr(t, name, ATTR_STRINGS);
    a->strings = v;
    a->count = count;
}

void op_case_tensor(op_case *t, const char *name, const tensor *v)
{
    add_attr(t, name, ATTR_TENSOR)->t = v;
}

/* Outputs before the run: NaN, so that an element not written shows. */
static void make_outputs(op_case *t)
{
    for (uint32_t i = 0; i < t->node.out_count; i++) {
        tensor *out = &t->out[i];
        size_t bytes = tensor_bytes(out);
        bool shares = i == 0 && t->inplace;
        INVARIANT(!shares || (out->type == t->in[0].type && shape_eq(&out->shape, &t->in[0].shape)));
        out->data = shares ? t->in[0].data : bytes ? mem_alloc_raw(bytes) : NULL;
        if (!shares && bytes)
            memset(out->data, 0xff, bytes);
    }
}

err_code op_case_run(op_case *t)
{
    int newest = 0;
    const op_row *row = op_find(t->node.domain, t->node.op, t->node.opset, &newest);
    if (!row)
        return err_set(&t->e, ERR_UNSUPPORTED, "no row");
    t->node.row = row;
    err_code rc = op_check(&t->graph, &t->node, &t->e);
    op_call c = {.node = &t->node, .graph = &t->graph, .in_count = t->node.in_count, .out_count = t->node.out_count,
                 .in = t->in_list,
                 .out = t->out_list, .pool = t->pool, .k = t->k ? t->k : &kernel_active()->set, .scratch = &t->memory,
                 .lasting = &t->memory, .within = t->within};
    if (!rc && row->prepare) {
        op_prep p = {.graph = &t->graph, .node = &t->node, .in = t->in_list, .memory = &t->memory, .k = c.k};
        rc = row->prepare(&p, &c.state, &t->e);
    }
    if (!rc)
        rc = row->infer(&c, &t->e);
    if (rc)
        return rc;
    INVARIANT(!c.later);
    if (!(row->flags & OP_RUNTIME))
        make_outputs(t);
    if (!(row->flags & OP_VIEW))
        return row->run(&c, &t->e);
    size_t bytes = tensor_bytes(&t->out[0]);   /* the executor would alias; a copy keeps blocks of just their size */
    if (bytes)
        memcpy(t->out[0].data, t->in[0].data, bytes);
    return ERR_OK;
}

err_code op_case_run_cancelled(op_case *t, const _Atomic bool *cancelled)
{
    exec_stop stop = {.cancelled = cancelled};
    exec around = {.stop = &stop};
    t->within = &around;
    err_code rc = op_case_run(t);
    t->within = NULL;
    return rc;
}

static bool near(double got, double want, double within)
{
    if (isnan(got) || isnan(want))
        return isnan(got) && isnan(want);
    return got == want || fabs(got - want) <= within * (1 + fabs(want));
}

void op_case_check(const op_case *t, uint32_t i, dtype type, shape s, double within, const double *values, size_t count,
                   int line)
{
    const tensor *out = &t->out[i];
    char got_text[SHAPE_TEXT_MAX], want_text[SHAPE_TEXT_MAX];
    if (t->e.code || out->type != type || !shape_eq(&out->shape, &s)) {
        printf("# line %d: %.*s: got %s %s %s, want %s %s\n", line, STR_ARG(t->node.op), t->e.code ? t->e.text : "",
               dtype_name(out->type),
               shape_text(&out->shape, got_text), dtype_name(type), shape_text(&s, want_text));
        test_failures++;
        return;
    }
    CHECK_U64(tensor_count(out), count);
    for (uint64_t k = 0; k < count; k++) {
        double got = tensor_f64(out, k);
        if (near(got, values[k], within))
            continue;
        printf("# line %d: %.*s: output %u[%llu]: got %.9g, want %.9g\n", line, STR_ARG(t->node.op), i,
               (unsigned long long)k, got, values[k]);
        test_failures++;
        return;
    }
}

void op_case_refused(op_case *t, const char *text, int line)
{
    err_code rc = op_case_run(t);
    if (rc && strcmp(t->e.text, text) == 0)
        return;
    printf("# line %d: %.*s: got %s\n#   want %s\n", line, STR_ARG(t->node.op), rc ? t->e.text : "no error", text);
    test_failures++;
}

void op_case_check_strings(const op_case *t, uint32_t i, shape s, const char *const *values, int line)
{
    const tensor *out = &t->out[i];
    bool same = !t->e.code && out->type == DT_STRING && shape_eq(&out->shape, &s);
    for (uint64_t k = 0; same && k < tensor_count(out); k++)
        same = str_is(((const str *)out->data)[k], values[k]);
    if (same)
        return;
    printf("# line %d: %.*s: output %u: other strings, or none (%s)\n", line, STR_ARG(t->node.op), i, t->e.text);
    test_failures++;
}
