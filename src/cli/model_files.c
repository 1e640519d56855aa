#include "cli/model_files.h"

#include "base/mem.h"
#include "engine/onnx_tensor.h"
#include "os/file.h"

#include <stdio.h>
#include <string.h>

static err_code type_check(const model_io *io, const tensor *t, err *e)
{
    if (t->type == io->type) return ERR_OK;
    return err_set(e, ERR_INVALID, "input '" STR_FMT "': expected %s, got %s", STR_ARG(io->name), dtype_name(io->type),
                   dtype_name(t->type));
}

static err_code pb_read(const char *path, arena *a, tensor *ret, err *e)
{
    char *bytes = NULL;
    size_t len = 0;
    err_code rc = file_read(path, MODEL_FILES_BYTES_MAX, &bytes, &len, e);
    if (rc) return rc;
    void *kept = arena_copy(a, bytes, len, MEM_ALIGN);
    mem_free(bytes);
    if (!kept) return err_set(e, ERR_NOMEM, "%s: no memory for %zu bytes", path, len);
    pb message;
    str name;
    onnx_tensor_opts o = {.memory = a};
    pb_init(&message, kept, len);
    rc = onnx_tensor_read(ret, &name, message, &o, e);
    return rc ? err_wrap(e, "%s", path) : ERR_OK;
}

static err_code folder_read(const model *m, const char *folder, arena *a, tensor *t, err *e)
{
    for (uint32_t i = 0; i < model_input_count(m); i++) {
        const char *path = arena_printf(a, "%s/input_%u.pb", folder, i);
        if (!path) return err_set(e, ERR_NOMEM, "%s: no memory for a path", folder);
        err_code rc = pb_read(path, a, &t[i], e);
        if (!rc) rc = type_check(model_input(m, i), &t[i], e);
        if (rc) return rc;
    }
    return ERR_OK;
}

static err_code folder_write(const model *m, const exec *x, const char *folder, buf *b, err *e)
{
    for (uint32_t i = 0; i < model_output_count(m); i++) {
        char path[FILE_PATH_MAX];
        int n = snprintf(path, sizeof path, "%s/output_%u.pb", folder, i);
        if (n < 0 || (size_t)n >= sizeof path) return err_set(e, ERR_INVALID, "%s: the path is too long", folder);
        buf_clear(b);
        onnx_tensor_write(b, exec_output(x, i), model_output(m, i)->name);
        err_code rc = buf_check(b, path, e);
        if (!rc) rc = file_write(path, b->p, b->len, e);
        if (rc) return rc;
    }
    return ERR_OK;
}

err_code model_files_read(const model *m, const char *path, arena *a, tensor **ret, err *e)
{
    tensor *t = arena_new(a, tensor, model_input_count(m));
    if (!t) return err_set(e, ERR_NOMEM, "%s: no memory for inputs", path);
    err_code rc = folder_read(m, path, a, t, e);
    if (!rc) *ret = t;
    return rc;
}

err_code model_files_write(const model *m, const exec *x, const char *path, err *e)
{
    buf b;
    buf_init(&b, (size_t)MODEL_FILES_BYTES_MAX * 2);
    err_code rc = folder_write(m, x, path, &b, e);
    buf_fini(&b);
    return rc;
}
