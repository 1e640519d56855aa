#include "serve_rig.h"

#include "test.h"

#include <stdlib.h>
#include <unistd.h>

void serve_rig_four(onnx_build *b)
{
    static const struct {
        const char *name, *out;
        dtype type;
        const char *dims;
    } rows[] = {
        {"f", "fo", DT_F32, "N,2"}, {"i", "io", DT_I64, "N"}, {"s", "so", DT_STRING, "N"}, {"b", "bo", DT_BOOL, ""}};
    onnx_build_start(b, 17);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        onnx_build_input(b, rows[i].name, rows[i].type, rows[i].dims);
        onnx_build_node(b, "Identity", rows[i].name, rows[i].out, "");
        onnx_build_output(b, rows[i].out, rows[i].type, rows[i].dims);
    }
}

void serve_rig_twice(onnx_build *b)
{
    onnx_build_start(b, 17);
    onnx_build_input(b, "x", DT_F32, "N,2");
    onnx_build_node(b, "Add", "x,x", "y", "");
    onnx_build_output(b, "y", DT_F32, "N,2");
}

void serve_rig_turns(onnx_build *b)
{
    onnx_build body;
    onnx_build_start(&body, 17);
    onnx_build_input(&body, "i", DT_I64, "");
    onnx_build_input(&body, "go", DT_BOOL, "");
    onnx_build_input(&body, "v", DT_I64, "1");
    onnx_build_output(&body, "go", DT_BOOL, "");
    onnx_build_output(&body, "v", DT_I64, "1");
    onnx_build_start(b, 17);
    onnx_build_input(b, "n", DT_I64, "1");
    onnx_build_node_graph(b, "Loop", "n,,n", "y", "body", &body, NULL, NULL);
    onnx_build_output(b, "y", DT_I64, "1");
    onnx_build_end(&body);
}

void serve_rig_same(onnx_build *b, dtype type, const char *dims)
{
    onnx_build_start(b, 17);
    onnx_build_input(b, "x", type, dims);
    onnx_build_node(b, "Identity", "x", "y", "");
    onnx_build_output(b, "y", type, dims);
}

void serve_rig_start(serve_rig *r, onnx_build *made)
{
    static const model_opts none;
    err e = {0};
    *r = (serve_rig){.build = *made,
                     .opts = {.memory_bytes_max = 64 << 20, .reply_bytes_max = 1 << 20},
                     .served = {.name = STR("m"), .version = STR("1")}};
    if (model_open_bytes(&r->served.model, onnx_build_bytes(&r->build), "m.onnx", NULL, &none, &e))
        printf("# %s\n", e.text);
    INVARIANT(r->served.model);
    r->served.ios = model_ios_of(r->served.model);
    infer_init(&r->request, &r->opts);
    r->request.model = &r->served;
    buf_init(&r->tail_bytes, 1 << 20);
}

void serve_rig_forget(serve_rig *r)
{
    queue_release(&r->request.item);
    infer_fini(&r->request);
    infer_init(&r->request, &r->opts);
    r->request.model = &r->served;
    mem_free(r->body);
    r->body = NULL;
}

void serve_rig_stop(serve_rig *r)
{
    serve_rig_forget(r);
    buf_fini(&r->tail_bytes);
    model_free(r->served.model);
    onnx_build_end(&r->build);
}

err_code serve_rig_read(serve_rig *r, const infer_protocol *protocol, str json, str binary, err *e)
{
    serve_rig_forget(r);
    r->request.has_binary = binary.p != NULL;
    r->request.plain = r->plain;
    size_t len = json.len + binary.len;
    r->body = mem_alloc_raw(len ? len : 1);
    if (!r->body) return err_set(e, ERR_NOMEM, "no memory for the body");
    if (json.len) memcpy(r->body, json.p, json.len);
    if (binary.len) memcpy(r->body + json.len, binary.p, binary.len);
    infer_body(&r->request, &r->opts, (str){(const char *)r->body, len}, json.len);
    err_code rc = protocol->read(&r->request, e);
    buf_clear(&r->request.scratch);
    return rc;
}

static err_code run(serve_rig *r, const infer_protocol *protocol, err *e)
{
    shape shapes[16];
    exec *x = NULL;
    uint32_t n = model_input_count(r->served.model);
    INVARIANT(n <= COUNTOF(shapes));
    for (uint32_t i = 0; i < n; i++) shapes[i] = r->request.inputs[i].shape;
    err_code rc = exec_take(&x, r->served.model, shapes, e);
    if (rc) return rc;
    queue_item_hold(&r->request.item, x);
    for (uint32_t i = 0; i < n; i++) exec_input(x, i)->data = r->request.inputs[i].data;
    rc = exec_run(x, NULL, e);
    if (rc == ERR_OK) rc = infer_outputs(&r->request, e);
    if (rc == ERR_OK) rc = protocol->write(&r->request, e);
    return rc ? rc : buf_check(&r->request.reply, "answer", e);
}

/* NULL, or status and error. */
static const char *ask(serve_rig *r, const infer_protocol *protocol, str json, str binary)
{
    err e = {0};
    err_code rc = serve_rig_read(r, protocol, json, binary, &e);
    r->tail = (str){"", 0};
    if (rc == ERR_OK) rc = run(r, protocol, &e);
    if (rc == ERR_OK) return NULL;
    if (rc == ERR_LIMIT) rc = ERR_TOO_LARGE; /* as infer.c does */
    snprintf(r->text, sizeof r->text, "%d %s", err_http_status(rc), e.text);
    return r->text;
}

/* The answer from its byte `from` on, in one piece. */
static void tail_gather(serve_rig *r, size_t from)
{
    str all = buf_str(&r->request.reply);
    buf_clear(&r->tail_bytes);
    buf_put(&r->tail_bytes, all.p + from, all.len - from);
    buf_put_str(&r->tail_bytes, r->request.tail);
    r->tail = buf_str(&r->tail_bytes);
}

const char *serve_rig_ask(serve_rig *r, const infer_protocol *protocol, str json, str binary)
{
    if (ask(r, protocol, json, binary)) return r->text;
    str all = buf_str(&r->request.reply);
    size_t head = r->request.reply_json_bytes ? r->request.reply_json_bytes : all.len;
    INVARIANT(head <= all.len && (r->request.reply_json_bytes || r->request.tail.len == 0));
    snprintf(r->text, sizeof r->text, "200 %.*s", (int)head, all.p);
    tail_gather(r, head);
    return r->text;
}

const char *serve_rig_ask_message(serve_rig *r, const infer_protocol *protocol, str message)
{
    const char *failed = ask(r, protocol, message, (str){0});
    if (!failed) tail_gather(r, r->request.reply_head);
    return failed;
}

const char *serve_rig_save(onnx_build *made, char path[64])
{
    char folder[] = "/tmp/proa-test-XXXXXX";
    INVARIANT(mkdtemp(folder));
    snprintf(path, 64, "%s/model.onnx", folder);
    str bytes = onnx_build_bytes(made);
    FILE *f = fopen(path, "wb");
    INVARIANT(f && fwrite(bytes.p, 1, bytes.len, f) == bytes.len && fclose(f) == 0);
    return path;
}

void serve_rig_unsave(const char *path)
{
    char folder[64];
    unlink(path);
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    rmdir(folder);
}

int serve_rig_main(const test_case *cases, size_t count, char path[64])
{
    onnx_build b;
    serve_rig_twice(&b);
    serve_rig_save(&b, path);
    int status = test_main(cases, count);
    serve_rig_unsave(path);
    onnx_build_end(&b);
    return status;
}
