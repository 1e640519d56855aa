/* The loader takes what ONNX allows and refuses what it does not with one line; no bytes make it crash, hang or take
 * more memory than they deserve. */
#include "engine/onnx.h"

#include "engine/model.h"
#include "engine/onnx_tensor.h"
#include "onnx_build.h"
#include "os/file.h"
#include "test.h"

#include <stdlib.h>

static const model_opts tight = {.memory_max = 1 << 22};

/* Opens and, if that works, runs on inputs of ones; ERR_OK or the refusal. */
static err_code try_bytes(str bytes, err *e)
{
    CLEANUP(model) model *m = NULL;
    exec *x = NULL;
    shape shapes[8];
    err_code rc = model_open_bytes(&m, bytes, "t.onnx", NULL, &tight, e);
    if (rc || model_input_count(m) > COUNTOF(shapes)) return rc;
    for (uint32_t i = 0; i < model_input_count(m); i++) {
        shapes[i] = model_input(m, i)->shape;
        for (uint32_t d = 0; d < shapes[i].rank; d++) {
            if (shapes[i].dim[d] < 0) shapes[i].dim[d] = 1;
        }
    }
    rc = exec_take(&x, m, shapes, e);
    if (rc) return rc;
    for (uint32_t i = 0; i < model_input_count(m); i++) {
        tensor *t = exec_input(x, i);
        if (t->data && t->type != DT_STRING) memset(t->data, 0, tensor_bytes(t));
        if (t->data && t->type == DT_STRING) {
            for (uint64_t k = 0; k < tensor_count(t); k++) ((str *)t->data)[k] = STR("");
        }
    }
    rc = exec_run(x, NULL, e);
    exec_give(x);
    return rc;
}

static void refused(onnx_build *b, err_code code, const char *text)
{
    err e = {0};
    CHECK_U64(try_bytes(onnx_build_bytes(b), &e), code);
    CHECK_STR(e.text, text);
    onnx_build_end(b);
}

/* Weights, a Constant, attributes of several kinds: some of everything. */
static void rich_build(onnx_build *b)
{
    onnx_build_start(b, 13);
    onnx_build_input(b, "x", DT_F32, "N,4");
    onnx_build_floats(b, "w", "4,2", (const float[]){1, 2, 3, 4, 5, 6, 7, 8});
    onnx_build_floats(b, "c", "2", (const float[]){1, -1});
    onnx_build_ints(b, "shape", "2", (const int64_t[]){-1, 1});
    onnx_build_node(b, "Constant", "", "k", "value_floats=[1.0,2.0]");
    onnx_build_node(b, "Gemm", "x,w,c", "g", "alpha=0.5 transB=0");
    onnx_build_node(b, "Relu", "g", "r", "");
    onnx_build_node(b, "Add", "r,k", "s", "");
    onnx_build_node(b, "Reshape", "s,shape", "f", "");
    onnx_build_node(b, "Transpose", "f", "y", "perm=[1,0]");
    onnx_build_output(b, "y", DT_F32, "1,M");
}

static void the_whole_model_runs(void)
{
    onnx_build b;
    err e = {0};
    rich_build(&b);
    if (try_bytes(onnx_build_bytes(&b), &e)) printf("# %s\n", e.text);
    CHECK(e.code == ERR_OK);
    onnx_build_end(&b);
}

/* Copies are exactly as long as what is given, so that a sanitizer sees the first byte read beyond the end. */
static void truncated_at_every_byte_is_refused_or_harmless(void)
{
    onnx_build b;
    err e = {0};
    rich_build(&b);
    str bytes = onnx_build_bytes(&b);
    CHECK(try_bytes((str){"", 0}, &e) != ERR_OK);
    for (size_t n = 1; n < bytes.len; n++) {
        char *copy = mem_alloc_raw(n);
        memcpy(copy, bytes.p, n);
        err_code rc = try_bytes((str){copy, n}, &e);
        CHECK(rc == ERR_OK || (e.text[0] && !strchr(e.text, '\n')));
        mem_free(copy);
    }
    onnx_build_end(&b);
}

static void flipped_bits_are_refused_or_harmless(void)
{
    onnx_build b;
    err e = {0};
    rich_build(&b);
    str bytes = onnx_build_bytes(&b);
    char *copy = mem_alloc_raw(bytes.len);
    memcpy(copy, bytes.p, bytes.len);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
        (void)!try_bytes((str){copy, bytes.len}, &e);
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
    }
    mem_free(copy);
    onnx_build_end(&b);
}

static void initializer_put(onnx_build *b, const int64_t *dims, size_t rank, int64_t type, const char *name, str raw)
{
    size_t at = pb_open(&b->graph, 5);
    pb_put_packed_i64(&b->graph, 1, dims, rank);
    pb_put_i64(&b->graph, 2, type);
    pb_put_bytes(&b->graph, 8, name, strlen(name));
    pb_put_str(&b->graph, 9, raw);
    pb_close(&b->graph, at);
}

static void lies_about_sizes_cost_nothing(void)
{
    onnx_build b;
    onnx_build_start(&b, 13);
    initializer_put(&b, (const int64_t[]){2500000000}, 1, 1, "w", STR("abcd"));
    refused(&b, ERR_INVALID, "t.onnx: tensor 'w': data: expected 10000000000 bytes, got 4");
    onnx_build_start(&b, 13);
    initializer_put(&b, (const int64_t[]){1ll << 40, 1ll << 40}, 2, 1, "w", STR("abcd"));
    refused(&b, ERR_INVALID, "t.onnx: tensor 'w': shape [1099511627776,1099511627776]: too large");
    onnx_build_start(&b, 13);
    initializer_put(&b, (const int64_t[]){-1}, 1, 1, "w", STR("abcd"));
    refused(&b, ERR_INVALID, "t.onnx: tensor 'w': dimensions: expected 0 or more, got -1");
    onnx_build_start(&b, 13);
    initializer_put(&b, (const int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, 9, 1, "w", STR("abcd"));
    refused(&b, ERR_UNSUPPORTED, "t.onnx: tensor 'w': more than 8 dimensions: not implemented");
    onnx_build_start(&b, 13);
    initializer_put(&b, (const int64_t[]){1}, 1, 99, "w", STR("abcd"));
    refused(&b, ERR_UNSUPPORTED, "t.onnx: tensor 'w': data type 99: not implemented");
    onnx_build_start(&b, 13);
    initializer_put(&b, (const int64_t[]){1}, 1, 1, "w\xff", STR("abcd"));
    err e = {0};
    CHECK(try_bytes(onnx_build_bytes(&b), &e) == ERR_INVALID);
    onnx_build_end(&b);
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "-7");
    refused(&b, ERR_INVALID, "t.onnx: value 'x': dimension: expected 0 or more, got -7");
}

static void versions_are_checked(void)
{
    onnx_build b;
    onnx_build_start(&b, 13);
    b.ir = 99;
    refused(&b, ERR_UNSUPPORTED, "t.onnx: IR version: expected 1 to 13, got 99");
    onnx_build_start(&b, 13);
    b.ir = 0;
    refused(&b, ERR_UNSUPPORTED, "t.onnx: IR version: expected 1 to 13, got 0");
    onnx_build_start(&b, -1);
    refused(&b, ERR_INVALID, "t.onnx: opset of '': expected 1 or more, got -1");
    err e;
    CHECK(try_bytes(STR("\x08\x08"), &e) == ERR_INVALID);
    CHECK_STR(e.text, "t.onnx: not an ONNX model: no graph in it");
}

static void old_files_without_an_import_mean_opset_1(void)
{
    onnx_build b;
    err e = {0};
    onnx_build_start(&b, 0);
    b.ir = 1;
    onnx_build_input(&b, "x", DT_F32, "2");
    onnx_build_node(&b, "Relu", "x", "y", "");
    onnx_build_output(&b, "y", DT_F32, "2");
    CHECK(try_bytes(onnx_build_bytes(&b), &e) == ERR_OK);
    onnx_build_end(&b);
    onnx_build_start(&b, 0);
    onnx_build_input(&b, "x", DT_F32, "2");
    onnx_build_node(&b, "Relu", "x", "y", "");
    onnx_build_output(&b, "y", DT_F32, "2");
    refused(&b, ERR_INVALID,
            "t.onnx: node that makes 'y' (Relu, ai.onnx 0): the model imports no opset of this domain");
}

static void nesting_is_bounded(void)
{
    onnx_build deep[GRAPH_DEPTH_MAX + 2];
    err e = {0};
    for (int i = 0; i < (int)COUNTOF(deep); i++) {
        onnx_build_start(&deep[i], 13);
        if (i) onnx_build_node_graph(&deep[i], "Nest", "", "y", "body", &deep[i - 1], NULL, NULL);
    }
    CHECK(try_bytes(onnx_build_bytes(&deep[COUNTOF(deep) - 1]), &e) == ERR_LIMIT);
    CHECK(strstr(e.text, "subgraphs: nested deeper than 8") != NULL);
    for (int i = 0; i < (int)COUNTOF(deep); i++) onnx_build_end(&deep[i]);
}

/* A function of one input x and one output y with these nodes, as FunctionProto. */
static void function_put(onnx_build *b, const char *name, const onnx_build *nodes, const char *formal)
{
    size_t at = pb_open(&b->model, 25);
    pb_put_str(&b->model, 1, str_of(name));
    pb_put_str(&b->model, 4, STR("x"));
    pb_put_str(&b->model, 5, STR("y"));
    if (formal) pb_put_str(&b->model, 6, str_of(formal));
    pb r;
    pb_field f;
    pb_init(&r, nodes->graph.p, nodes->graph.len);
    while (pb_next(&r, &f)) {
        if (f.number == 1) pb_put_bytes(&b->model, 7, f.p, f.len);
    }
    pb_put_str(&b->model, 10, STR("local"));
    pb_close(&b->model, at);
}

static void functions_are_expanded_where_they_are_called(void)
{
    onnx_build b, body;
    err e = {0};
    onnx_build_start(&body, 13);
    onnx_build_node(&body, "Relu", "x", "t", "");
    onnx_build_node(&body, "Add", "t,t", "y", "");
    onnx_build_start(&b, 13);
    onnx_build_import(&b, "local", 1);
    function_put(&b, "Twice", &body, NULL);
    onnx_build_input(&b, "in", DT_F32, "2");
    onnx_build_node(&b, "local:Twice", "in", "a", "");
    onnx_build_node(&b, "local:Twice", "a", "out", "");
    onnx_build_output(&b, "out", DT_F32, "2");
    CLEANUP(model) model *m = NULL;
    CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &(model_opts){.no_passes = true}, &e) == ERR_OK);
    CHECK(m && model_graph(m)->node_count == 4);
    exec *x = NULL;
    shape s = shape_make(1, (const int64_t[]){2});
    CHECK(m && exec_take(&x, m, &s, &e) == ERR_OK);
    if (x) {
        ((float *)exec_input(x, 0)->data)[0] = 3;
        ((float *)exec_input(x, 0)->data)[1] = -3;
        CHECK(exec_run(x, NULL, &e) == ERR_OK);
        CHECK(((const float *)exec_output(x, 0)->data)[0] == 12 && ((const float *)exec_output(x, 0)->data)[1] == 0);
        exec_give(x);
    }
    onnx_build_end(&b);
    onnx_build_end(&body);
}

/* y = LeakyRelu(x) with alpha taken from the call's attribute `slope`. */
static void sloped_put(onnx_build *b, const char *by_default, bool graph_too)
{
    size_t at = pb_open(&b->model, 25), at_node, a;
    pb_put_str(&b->model, 1, STR("Sloped"));
    pb_put_str(&b->model, 4, STR("x"));
    pb_put_str(&b->model, 5, STR("y"));
    at_node = pb_open(&b->model, 7);
    pb_put_str(&b->model, 1, STR("x"));
    pb_put_str(&b->model, 2, STR("y"));
    pb_put_str(&b->model, 4, STR("LeakyRelu"));
    a = pb_open(&b->model, 5);
    pb_put_str(&b->model, 1, STR("alpha"));
    if (graph_too) pb_put_bytes(&b->model, 6, "", 0);
    pb_put_str(&b->model, 21, STR("slope"));
    pb_close(&b->model, a);
    pb_close(&b->model, at_node);
    pb_put_str(&b->model, 10, STR("local"));
    if (by_default) {
        a = pb_open(&b->model, 11);
        pb_put_str(&b->model, 1, STR("slope"));
        pb_put_f32(&b->model, 2, strtof(by_default, NULL));
        pb_close(&b->model, a);
    }
    pb_close(&b->model, at);
}

/* What the function makes of -1, or the error. */
static float sloped(const char *attrs, const char *by_default, bool graph_too, err *e)
{
    onnx_build b;
    CLEANUP(model) model *m = NULL;
    exec *x = NULL;
    float y = 0;
    *e = (err){0};
    onnx_build_start(&b, 16);
    onnx_build_import(&b, "local", 1);
    sloped_put(&b, by_default, graph_too);
    onnx_build_input(&b, "in", DT_F32, "1");
    onnx_build_node(&b, "local:Sloped", "in", "out", attrs);
    onnx_build_output(&b, "out", DT_F32, NULL);
    shape s = shape_make(1, (const int64_t[]){1});
    if (model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &tight, e) == ERR_OK) {
        CHECK(exec_take(&x, m, &s, e) == ERR_OK);
        *(float *)exec_input(x, 0)->data = -1;
        CHECK(exec_run(x, NULL, e) == ERR_OK);
        y = *(const float *)exec_output(x, 0)->data;
        exec_give(x);
    }
    onnx_build_end(&b);
    return y;
}

static void functions_take_attributes_from_their_call_or_their_default(void)
{
    err e;
    CHECK(sloped("slope=0.5", NULL, false, &e) == -0.5f);
    CHECK(sloped("slope=0.5", "0.25", false, &e) == -0.5f);
    CHECK(sloped("other=1", "0.25", false, &e) == -0.25f);
    CHECK(sloped("", "0.25", false, &e) == -0.25f);
    CHECK(sloped("", NULL, false, &e) == -0.01f);   /* the operator's own */
    CHECK(sloped("slope='text'", NULL, false, &e) == 0 && e.code == ERR_INVALID);
    CHECK(sloped("slope='text'", NULL, true, &e) == 0);
    CHECK_STR(e.text, "t.onnx: node that makes 'out' (Sloped, local 1): node that makes 'out' (LeakyRelu, ai.onnx 16): "
              "attribute 'alpha': refers to 'slope' and holds a graph");
}

static void an_attribute_refers_to_another_in_functions_only(void)
{
    onnx_build b;
    onnx_build_start(&b, 16);
    onnx_build_input(&b, "x", DT_F32, "1");
    size_t at_node = pb_open(&b.graph, 1);
    pb_put_str(&b.graph, 1, STR("x"));
    pb_put_str(&b.graph, 2, STR("y"));
    pb_put_str(&b.graph, 4, STR("LeakyRelu"));
    size_t a = pb_open(&b.graph, 5);
    pb_put_str(&b.graph, 1, STR("alpha"));
    pb_put_str(&b.graph, 21, STR("slope"));
    pb_close(&b.graph, a);
    pb_close(&b.graph, at_node);
    onnx_build_output(&b, "y", DT_F32, "1");
    refused(&b, ERR_INVALID,
            "t.onnx: node that makes 'y' (LeakyRelu, ai.onnx 16): attribute 'alpha': refers to 'slope' outside of a "
            "function");
    onnx_build_start(&b, 16);
    onnx_build_input(&b, "x", DT_F32, "1");
    onnx_build_node(&b, "LeakyRelu", "x", "y", "alpha=0.5 alpha=0.5");
    onnx_build_output(&b, "y", DT_F32, "1");
    refused(&b, ERR_INVALID,
            "t.onnx: node that makes 'y' (LeakyRelu, ai.onnx 16): attribute 'alpha': given twice");
}

/* A function may give back what it was given, and is called with no more than it takes. */
static void a_function_may_pass_its_input_through(void)
{
    for (int wrong = 0; wrong < 2; wrong++) {
        onnx_build b;
        err e = {0};
        onnx_build_start(&b, 16);
        onnx_build_import(&b, "local", 1);
        size_t at = pb_open(&b.model, 25);
        pb_put_str(&b.model, 1, STR("Same"));
        pb_put_str(&b.model, 4, STR("x"));
        pb_put_str(&b.model, 5, STR("x"));
        pb_put_str(&b.model, 10, STR("local"));
        pb_close(&b.model, at);
        onnx_build_input(&b, "in", DT_F32, "1");
        onnx_build_node(&b, "local:Same", wrong ? "in,in" : "in", "out", "");
        onnx_build_output(&b, "out", DT_F32, NULL);
        if (wrong) {
            refused(&b, ERR_INVALID, "t.onnx: node that makes 'out' (Same, local 1): expected at most 1 inputs and 1 "
                    "outputs, got 2 and 1");
            continue;
        }
        CLEANUP(model) model *m = NULL;
        exec *x = NULL;
        shape s = shape_make(1, (const int64_t[]){1});
        CHECK(model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", NULL, &tight, &e) == ERR_OK);
        if (m && exec_take(&x, m, &s, &e) == ERR_OK) {
            *(float *)exec_input(x, 0)->data = 5;
            CHECK(exec_run(x, NULL, &e) == ERR_OK && *(const float *)exec_output(x, 0)->data == 5);
            exec_give(x);
        }
        CHECK(x != NULL);
        onnx_build_end(&b);
    }
}

static void functions_that_call_themselves_are_refused(void)
{
    onnx_build b, body;
    err e = {0};
    onnx_build_start(&body, 13);
    onnx_build_node(&body, "local:Again", "x", "t", "");
    onnx_build_node(&body, "local:Again", "t", "y", "");
    onnx_build_start(&b, 13);
    onnx_build_import(&b, "local", 1);
    function_put(&b, "Again", &body, NULL);
    onnx_build_input(&b, "in", DT_F32, "2");
    onnx_build_node(&b, "local:Again", "in", "out", "");
    onnx_build_output(&b, "out", DT_F32, "2");
    CHECK(try_bytes(onnx_build_bytes(&b), &e) == ERR_LIMIT);
    CHECK(strstr(e.text, "functions call each other deeper than 16") != NULL);
    onnx_build_end(&b);
    onnx_build_end(&body);
}

static void external_put(onnx_build *b, str location, const char *offset)
{
    size_t at = pb_open(&b->graph, 5);
    pb_put_i64(&b->graph, 1, 2);
    pb_put_i64(&b->graph, 2, 1);
    pb_put_str(&b->graph, 8, STR("w"));
    for (int i = 0; i < 2; i++) {
        size_t entry = pb_open(&b->graph, 13);
        pb_put_str(&b->graph, 1, str_of(i ? "offset" : "location"));
        pb_put_str(&b->graph, 2, i ? str_of(offset) : location);
        pb_close(&b->graph, entry);
    }
    pb_put_i64(&b->graph, 14, 1);
    pb_close(&b->graph, at);
    onnx_build_node(b, "Relu", "w", "y", "");
    onnx_build_output(b, "y", DT_F32, "2");
}

static void external_data_stays_in_the_models_folder(void)
{
    static const float w[4] = {1, 2, 3, 4};
    char folder[] = "/tmp/proa-onnx-XXXXXX", path[64];
    err e = {0};
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/w.bin", folder);
    CHECK(file_write(path, w, sizeof w, &e) == ERR_OK);
    const struct { str location; const char *offset; bool fine; } rows[] = {
        {STR("w.bin"), "8", true}, {STR("w.bin"), "9", false}, {STR("w.bin"), "18446744073709551615", false},
        {STR("none.bin"), "0", false}, {STR("../etc/passwd"), "0", false}, {STR("/etc/passwd"), "0", false},
        {STR(""), "0", false}, {STR("."), "0", false}, {STR("w.bin\0x"), "0", false},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        onnx_build b;
        model *m = NULL;
        onnx_build_start(&b, 13);
        external_put(&b, rows[i].location, rows[i].offset);
        err_code rc = model_open_bytes(&m, onnx_build_bytes(&b), "t.onnx", folder, &tight, &e);
        CHECK((rc == ERR_OK) == rows[i].fine);
        model_free(m);
        CHECK(model_open_bytes(&m, buf_str(&b.model), "t.onnx", NULL, &tight, &e) ==
              ERR_INVALID); /* no folder: nowhere */
        onnx_build_end(&b);
    }
    remove(path);
    remove(folder);
}

static void tensor_put(buf *g, uint32_t field, const int64_t *dims, size_t rank, dtype type, const void *data)
{
    shape s = shape_make((uint32_t)rank, dims);
    tensor t = tensor_make(type, &s, (void *)(uintptr_t)data);
    size_t at = pb_open(g, field);
    onnx_tensor_write(g, &t, STR("w"));
    pb_close(g, at);
}

/* x [1] + w, where w is the sum of a sparse tensor of these dimensions: {7, 9} at the places, which are coordinates
 * where their rank is 2. */
static err_code sparse(const int64_t dims[2], const int64_t *places, const int64_t *places_dims, size_t rank, err *e)
{
    onnx_build b;
    onnx_build_start(&b, 13);
    size_t at = pb_open(&b.graph, 15);
    tensor_put(&b.graph, 1, (const int64_t[]){2}, 1, DT_F32, (const float[]){7, 9});
    tensor_put(&b.graph, 2, places_dims, rank, DT_I64, places);
    pb_put_packed_i64(&b.graph, 3, dims, 2);
    pb_close(&b.graph, at);
    onnx_build_node(&b, "Relu", "w", "y", "");
    onnx_build_output(&b, "y", DT_F32, NULL);
    e->text[0] = 0;
    err_code rc = try_bytes(onnx_build_bytes(&b), e);
    onnx_build_end(&b);
    return rc;
}

static void sparse_tensors_are_filled_in_only_where_they_are(void)
{
    static const int64_t small[] = {3, 4}, large[] = {1 << 25, 4}, endless[] = {1ll << 62, 4};
    static const int64_t line[] = {2}, pairs[] = {2, 2};
    err e = {0};
    CHECK(sparse(small, (const int64_t[]){0, 11}, line, 1, &e) == ERR_OK);
    CHECK(sparse(small, (const int64_t[]){0, 3, 2, 3}, pairs, 2, &e) == ERR_OK);
    CHECK(sparse(small, (const int64_t[]){0, 12}, line, 1, &e) == ERR_INVALID);
    CHECK_STR(e.text, "t.onnx: sparse tensor 'w': indices: expected less than 12, got 12");
    CHECK(sparse(small, (const int64_t[]){0, -1}, line, 1, &e) == ERR_INVALID);
    CHECK(sparse(small, (const int64_t[]){0, 3, 2, 4}, pairs, 2, &e) == ERR_INVALID);
    CHECK_STR(e.text, "t.onnx: sparse tensor 'w': indices: expected 0..3, got 4");
    CHECK(sparse(small, (const int64_t[]){0, 3, 2, -1}, pairs, 2, &e) == ERR_INVALID);
    CHECK_STR(e.text, "t.onnx: sparse tensor 'w': indices: expected 0..3, got -1");
    CHECK(sparse(large, (const int64_t[]){0, 11}, line, 1, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "t.onnx: sparse tensor 'w': shape [33554432,4]: more than 268435456 bytes");
    CHECK(sparse(endless, (const int64_t[]){0, 11}, line, 1, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "t.onnx: sparse tensor 'w': shape [4611686018427387904,4]: more than 268435456 bytes");
}

/* Strings have no raw form: their number is counted before they are copied. */
static void typed_data_has_as_many_items_as_the_shape(void)
{
    for (int strings = 0; strings < 2; strings++) {
        for (int count = 0; count < 5; count++) {
            onnx_build b;
            err e = {0};
            char want[100];
            onnx_build_start(&b, 13);
            size_t at = pb_open(&b.graph, 5);
            pb_put_i64(&b.graph, 1, 2);
            pb_put_i64(&b.graph, 2, strings ? DT_STRING : DT_I64);
            for (int i = 0; i < count; i++) {
                if (strings) pb_put_str(&b.graph, 6, STR("s"));
                else pb_put_i64(&b.graph, 7, i);
            }
            pb_put_str(&b.graph, 8, STR("w"));
            pb_close(&b.graph, at);
            onnx_build_node(&b, "Identity", "w", "y", "");
            onnx_build_output(&b, "y", strings ? DT_STRING : DT_I64, NULL);
            CHECK((try_bytes(onnx_build_bytes(&b), &e) == ERR_OK) == (count == 2));
            snprintf(want, sizeof want, "t.onnx: tensor 'w': data: expected 2 items, got %d", count);
            CHECK_STR(e.text, count == 2 ? "" : want);
            onnx_build_end(&b);
        }
    }
}

static void values_that_are_no_tensors_are_refused(void)
{
    onnx_build b;
    onnx_build_start(&b, 13);
    size_t info = pb_open(&b.graph, 11);
    pb_put_str(&b.graph, 1, STR("s"));
    size_t type = pb_open(&b.graph, 2);
    pb_put_bytes(&b.graph, 4, "", 0);
    pb_close(&b.graph, type);
    pb_close(&b.graph, info);
    refused(&b, ERR_UNSUPPORTED, "t.onnx: input 's': expected a tensor, got a sequence: not implemented");
}

static void open_rich(str bytes)
{
    err e = {0};
    err_code rc = try_bytes(bytes, &e);
    CHECK(rc == ERR_OK || rc == ERR_NOMEM || rc == ERR_LIMIT);
}

static void every_failed_allocation_is_survived(void)
{
    onnx_build b, body;
    onnx_build_start(&body, 13);
    onnx_build_node(&body, "Relu", "x", "y", "");
    rich_build(&b);
    onnx_build_import(&b, "local", 1);
    function_put(&b, "Once", &body, NULL);
    onnx_build_node(&b, "local:Once", "y", "z", "");
    onnx_build_output(&b, "z", DT_F32, NULL);
    str bytes = onnx_build_bytes(&b);
    open_rich(bytes);
    FAULT_SWEEP(open_rich(bytes));
    onnx_build_end(&b);
    onnx_build_end(&body);
}

static void a_first_output_may_be_left_out(void)
{
    static const struct { const char *op, *ins, *outs, *attrs; dtype type; } cases[] = {
        {"MaxPool", "x", ",y", "kernel_shape=[1]", DT_I64},
        {"LayerNormalization", "x,w", ",y", "", DT_F32},
        {"BatchNormalization", "x,w,w,w,w", ",y", "training_mode=1", DT_F32},
        {"LSTM", "x,r,r", ",y", "hidden_size=1", DT_F32},
        {"TopK", "x,one", ",y", "", DT_I64},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        onnx_build b;
        err e = {0};
        onnx_build_start(&b, 18);
        onnx_build_input(&b, "x", DT_F32, "2,1,1");
        onnx_build_floats(&b, "w", "1", (const float[]){1});
        onnx_build_floats(&b, "r", "1,4,1", (const float[]){1, 1, 1, 1});
        onnx_build_ints(&b, "one", "1", (const int64_t[]){1});
        onnx_build_node(&b, cases[i].op, cases[i].ins, cases[i].outs, cases[i].attrs);
        onnx_build_output(&b, "y", cases[i].type, NULL);
        CHECK(try_bytes(onnx_build_bytes(&b), &e) == ERR_OK);
        CHECK_STR(e.text, "");
        onnx_build_end(&b);
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(the_whole_model_runs), TEST(truncated_at_every_byte_is_refused_or_harmless),
        TEST(flipped_bits_are_refused_or_harmless), TEST(lies_about_sizes_cost_nothing), TEST(versions_are_checked),
        TEST(old_files_without_an_import_mean_opset_1), TEST(nesting_is_bounded),
        TEST(functions_are_expanded_where_they_are_called),
        TEST(functions_take_attributes_from_their_call_or_their_default),
        TEST(an_attribute_refers_to_another_in_functions_only),
        TEST(a_function_may_pass_its_input_through),
        TEST(functions_that_call_themselves_are_refused),
        TEST(external_data_stays_in_the_models_folder), TEST(values_that_are_no_tensors_are_refused),
        TEST(sparse_tensors_are_filled_in_only_where_they_are), TEST(typed_data_has_as_many_items_as_the_shape),
        TEST(every_failed_allocation_is_survived),
        TEST(a_first_output_may_be_left_out),
    };
    return test_main(cases, COUNTOF(cases));
}
