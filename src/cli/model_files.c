#include "cli/model_files.h"

#include "base/mem.h"
#include "cli/tensor_file.h"
#include "engine/onnx_tensor.h"
#include "os/file.h"
#include "wire/zip.h"

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
    file_id more;
    err none;
    const char *path = arena_printf(a, "%s/input_%u.pb", folder, model_input_count(m));
    if (path && file_identify(path, &more, &none) == ERR_OK)
        return err_set(e, ERR_INVALID, "%s: expected %u inputs, got more", path, model_input_count(m));
    return ERR_OK;
}

static err_code folder_write(const model *m, const exec *x, const char *folder, buf *b, err *e)
{
    for (uint32_t i = 0; i < model_output_count(m); i++) {
        char path[FILE_PATH_MAX];
        int n = snprintf(path, sizeof path, "%s/output_%u.pb", folder, i);
        if (n < 0 || (size_t)n >= sizeof path)
            return err_set(e, ERR_INVALID, "outputs: path: expected at most %d bytes, got %d", FILE_PATH_MAX - 1, n);
        buf_clear(b);
        onnx_tensor_write(b, exec_output(x, i), model_output(m, i)->name);
        err_code rc = buf_check(b, path, e);
        if (!rc) rc = file_write(path, b->p, b->len, e);
        if (rc) return rc;
    }
    return ERR_OK;
}

/* ---- .npz ------------------------------------------------------------------------------------------------------ */

static err_code npz_read(const model *m, str archive, arena *a, tensor *t, err *e)
{
    zip_file *files = NULL;
    size_t count = 0;
    err_code rc = zip_parse(archive, a, &files, &count, e);
    for (uint32_t i = 0; i < model_input_count(m) && !rc; i++) {
        const model_io *io = model_input(m, i);
        const zip_file *f = NULL;
        for (size_t k = 0; k < count && !f; k++) {
            str name = files[k].name;
            if (str_ends(name, STR(".npy"))) name.len -= 4;
            if (str_eq(name, io->name)) f = &files[k];
        }
        if (!f) return err_set(e, ERR_NOT_FOUND, "input '" STR_FMT "': expected an array, got none", STR_ARG(io->name));
        rc = zip_check(f, e);
        if (!rc) rc = tensor_file_parse(f->data, a, &t[i], e);
        if (rc) return err_wrap(e, "'" STR_FMT "'", STR_ARG(io->name));
        rc = type_check(io, &t[i], e);
    }
    return rc;
}

static err_code npz_read_file(const model *m, const char *path, arena *a, tensor *t, err *e)
{
    file_map map = {0};
    err_code rc = file_map_open(path, &map, e);
    if (rc) return rc;
    rc = npz_read(m, (str){(const char *)map.p, map.len}, a, t, e);
    file_map_close(&map);
    return rc ? err_wrap(e, "%s", path) : ERR_OK;
}

static err_code npz_write(const model *m, const exec *x, const char *path, err *e)
{
    uint32_t count = model_output_count(m);
    err_code rc = ERR_NOMEM;
    arena a;
    arena_init(&a, NULL, 0, SIZE_MAX / 2);
    str *names = arena_new(&a, str, count);
    const tensor **t = arena_new(&a, const tensor *, count);
    for (uint32_t i = 0; i < count && names && t; i++) {
        names[i] = model_output(m, i)->name;
        t[i] = exec_output(x, i);
    }
    if (names && t) rc = tensor_file_save_npz(path, names, t, count, e);
    else err_set(e, rc, "%s: no memory for %u outputs", path, count);
    arena_fini(&a);
    return rc;
}

/* ---- either ---------------------------------------------------------------------------------------------------- */

static bool is_npz(const char *path) { return str_ends(str_of(path), STR(".npz")); }

err_code model_files_read(const model *m, const char *path, arena *a, tensor **ret, err *e)
{
    tensor *t = arena_new(a, tensor, model_input_count(m));
    if (!t) return err_set(e, ERR_NOMEM, "%s: no memory for inputs", path);
    err_code rc = is_npz(path) ? npz_read_file(m, path, a, t, e) : folder_read(m, path, a, t, e);
    if (!rc) *ret = t;
    return rc;
}

err_code model_files_write(const model *m, const exec *x, const char *path, err *e)
{
    if (is_npz(path)) return npz_write(m, x, path, e);
    buf b;
    buf_init(&b, (size_t)MODEL_FILES_BYTES_MAX * 2);
    err_code rc = folder_write(m, x, path, &b, e);
    buf_fini(&b);
    return rc;
}

err_code model_files_take(exec **ret, model *m, const tensor *in, arena *a, err *e)
{
    exec *x = NULL;
    shape *shapes = arena_new(a, shape, model_input_count(m));
    if (!shapes) return err_set(e, ERR_NOMEM, "no memory for inputs");
    for (uint32_t i = 0; i < model_input_count(m); i++) shapes[i] = in[i].shape;
    err_code rc = exec_take(&x, m, shapes, e);
    if (rc) return rc;
    for (uint32_t i = 0; i < model_input_count(m); i++) exec_input(x, i)->data = in[i].data;
    *ret = x;
    return ERR_OK;
}
