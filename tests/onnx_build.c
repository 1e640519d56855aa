#include "onnx_build.h"

#include "engine/onnx_tensor.h"

#include <stdlib.h>
#include <string.h>

void onnx_build_start(onnx_build *b, int64_t opset)
{
    *b = (onnx_build){.opset = opset, .ir = 8};
    buf_init(&b->graph, 1 << 24);
    buf_init(&b->model, 1 << 24);
}

void onnx_build_end(onnx_build *b)
{
    buf_fini(&b->graph);
    buf_fini(&b->model);
}

/* The next comma-separated item; false at the end.  *list is NULL after the last one. */
static bool item(const char **list, str *ret)
{
    if (!*list) return false;
    size_t n = strcspn(*list, ",");
    *ret = (str){*list, n};
    *list = (*list)[n] ? *list + n + 1 : NULL;
    return true;
}

static void value_put(onnx_build *b, uint32_t field, const char *name, dtype type, const char *dims)
{
    size_t value = pb_open(&b->graph, field);
    pb_put_str(&b->graph, 1, str_of(name));
    size_t proto = pb_open(&b->graph, 2), t = pb_open(&b->graph, 1);
    pb_put_i64(&b->graph, 1, type);
    if (dims) {
        size_t s = pb_open(&b->graph, 2);
        str d;
        while (*dims && item(&dims, &d)) {
            int64_t number;
            size_t dim = pb_open(&b->graph, 1);
            if (str_i64(d, &number)) pb_put_i64(&b->graph, 1, number);
            else pb_put_str(&b->graph, 2, d);
            pb_close(&b->graph, dim);
            if (!dims) break;
        }
        pb_close(&b->graph, s);
    }
    pb_close(&b->graph, t);
    pb_close(&b->graph, proto);
    pb_close(&b->graph, value);
}

void onnx_build_input(onnx_build *b, const char *name, dtype type, const char *dims)
{
    value_put(b, 11, name, type, dims);
}
void onnx_build_output(onnx_build *b, const char *name, dtype type, const char *dims)
{
    value_put(b, 12, name, type, dims);
}

void onnx_build_tensor(onnx_build *b, const char *name, const tensor *t)
{
    size_t at = pb_open(&b->graph, 5);
    onnx_tensor_write(&b->graph, t, str_of(name));
    pb_close(&b->graph, at);
}

static void numbers_put(onnx_build *b, const char *name, dtype type, const char *dims, const void *values)
{
    tensor t = {.type = type, .data = (void *)(uintptr_t)values};
    str d;
    while (dims && *dims && item(&dims, &d)) {
        int64_t n = 0;
        INVARIANT(str_i64(d, &n));
        t.shape.dim[t.shape.rank++] = n;
    }
    onnx_build_tensor(b, name, &t);
}

void onnx_build_floats(onnx_build *b, const char *name, const char *dims, const float *values)
{
    numbers_put(b, name, DT_F32, dims, values);
}
void onnx_build_ints(onnx_build *b, const char *name, const char *dims, const int64_t *values)
{
    numbers_put(b, name, DT_I64, dims, values);
}

static void list_put(buf *g, str text)
{
    char copy[512];
    INVARIANT(text.len < sizeof copy);
    memcpy(copy, text.p, text.len);
    copy[text.len] = 0;
    bool strings = *copy == '\'', floats = !strings && strchr(copy, '.') != NULL;
    const char *rest = *copy ? copy : NULL;
    str one;
    while (item(&rest, &one)) {
        if (strings) pb_put_str(g, 9, (str){one.p + 1, one.len - 2});
        else if (floats) pb_put_f32(g, 7, strtof(one.p, NULL));
        else pb_put_i64(g, 8, strtoll(one.p, NULL, 10));
    }
    pb_put_i64(g, 20, strings ? 8 : floats ? 6 : 7);
}

static void attr_put(buf *g, str name, str text)
{
    size_t at = pb_open(g, 5);
    pb_put_str(g, 1, name);
    if (text.len && text.p[0] == '[') {
        list_put(g, (str){text.p + 1, text.len - 2});
    } else if (text.len && text.p[0] == '\'') {
        pb_put_str(g, 4, (str){text.p + 1, text.len - 2});
        pb_put_i64(g, 20, 3);
    } else if (memchr(text.p, '.', text.len)) {
        pb_put_f32(g, 2, strtof(text.p, NULL));
        pb_put_i64(g, 20, 1);
    } else {
        pb_put_i64(g, 3, strtoll(text.p, NULL, 10));
        pb_put_i64(g, 20, 2);
    }
    pb_close(g, at);
}

static void attrs_put(buf *g, const char *attrs)
{
    while (*attrs) {
        size_t n = strcspn(attrs, " ");
        str name, text;
        if (str_cut((str){attrs, n}, '=', &name, &text)) attr_put(g, name, text);
        attrs += n + (attrs[n] == ' ');
    }
}

static size_t node_open(buf *g, const char *op, const char *ins, const char *outs)
{
    size_t at = pb_open(g, 1);
    str one, domain, name;
    const char *rest = *ins ? ins : NULL;
    while (item(&rest, &one)) pb_put_bytes(g, 1, one.p, one.len);
    rest = *outs ? outs : NULL;
    while (item(&rest, &one)) pb_put_bytes(g, 2, one.p, one.len);
    if (str_cut(str_of(op), ':', &domain, &name)) {
        pb_put_str(g, 4, name);
        pb_put_str(g, 7, domain);
    } else {
        pb_put_str(g, 4, str_of(op));
    }
    return at;
}

void onnx_build_node(onnx_build *b, const char *op, const char *ins, const char *outs, const char *attrs)
{
    size_t at = node_open(&b->graph, op, ins, outs);
    attrs_put(&b->graph, attrs);
    pb_close(&b->graph, at);
}

static void graph_attr_put(buf *g, const char *name, const onnx_build *sub)
{
    if (!name) return;
    size_t at = pb_open(g, 5);
    pb_put_str(g, 1, str_of(name));
    pb_put_bytes(g, 6, sub->graph.p, sub->graph.len);
    pb_put_i64(g, 20, 5);
    pb_close(g, at);
}

void onnx_build_node_graph(onnx_build *b, const char *op, const char *ins, const char *outs, const char *attr,
                           const onnx_build *sub, const char *attr2, const onnx_build *sub2)
{
    size_t at = node_open(&b->graph, op, ins, outs);
    graph_attr_put(&b->graph, attr, sub);
    graph_attr_put(&b->graph, attr2, sub2);
    pb_close(&b->graph, at);
}

void onnx_build_node_body(onnx_build *b, const char *op, const char *ins, const char *outs, const char *attrs,
                          const onnx_build *body)
{
    size_t at = node_open(&b->graph, op, ins, outs);
    attrs_put(&b->graph, attrs);
    graph_attr_put(&b->graph, "body", body);
    pb_close(&b->graph, at);
}

void onnx_build_import(onnx_build *b, const char *domain, int64_t version)
{
    size_t at = pb_open(&b->model, 8);
    pb_put_str(&b->model, 1, str_of(domain));
    pb_put_i64(&b->model, 2, version);
    pb_close(&b->model, at);
}

str onnx_build_bytes(onnx_build *b)
{
    if (b->ir) pb_put_i64(&b->model, 1, b->ir);
    if (b->opset) onnx_build_import(b, "", b->opset);
    pb_put_bytes(&b->model, 7, b->graph.p, b->graph.len);
    INVARIANT(!b->graph.full && !b->model.full);
    return buf_str(&b->model);
}
