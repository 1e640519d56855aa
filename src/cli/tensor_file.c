#include "cli/tensor_file.h"

#include "base/mem.h"
#include "os/file.h"
#include "wire/npy.h"
#include "wire/zip.h"

#include <stdio.h>

static dtype npy_type(const npy *n)
{
    if (n->kind == 'V' && n->item_bytes == 2) return DT_BF16;   /* as ml_dtypes saves it */
    if (n->kind == 'S' || n->kind == 'U') return DT_STRING;
    char text[32];
    snprintf(text, sizeof text, "%c%c%zu", n->item_bytes == 1 ? '|' : '<', n->kind, n->item_bytes);
    return dtype_of_npy(str_of(text));
}

err_code tensor_file_parse(str npy_file, arena *a, tensor *ret, err *e)
{
    npy n;
    str data;
    err_code rc = npy_parse(npy_file, &n, &data, e);
    if (rc) return rc;
    dtype type = npy_type(&n);
    shape s = {0};
    for (size_t i = 0; i < n.rank && !rc; i++)
        rc = shape_push(&s, n.dims[i] > INT64_MAX ? INT64_MAX : (int64_t)n.dims[i], e);
    if (rc) return rc;
    if (!type)
        return err_set(e, ERR_UNSUPPORTED, "an array of kind '%c' and %zu bytes: not implemented", n.kind,
                       n.item_bytes);
    if (n.fortran && n.rank > 1)
        return err_set(e, ERR_UNSUPPORTED, "Fortran order: not implemented, save it in C order");
    *ret = tensor_make(type, &s, NULL);
    if (!n.count) return ERR_OK;
    if (type == DT_STRING) {
        str *text = NULL;
        rc = npy_text_read(&text, &n, data, a, e);
        ret->data = text;
        return rc;
    }
    ret->data = arena_copy(a, data.p, data.len, MEM_ALIGN);
    if (!ret->data) return err_set(e, ERR_NOMEM, "no memory for %zu bytes", data.len);
    tensor_settle_bools(ret);
    return ERR_OK;
}

err_code tensor_file_print(buf *b, const tensor *t, err *e)
{
    const char *descr = t->type == DT_BF16 ? "|V2" : dtype_npy_name(t->type);
    npy n = {.rank = t->shape.rank, .count = tensor_count(t)};
    for (size_t i = 0; i < n.rank; i++) n.dims[i] = (uint64_t)t->shape.dim[i];
    if (t->type == DT_STRING) {
        npy_put_text(b, &n, t->data);
        return ERR_OK;
    }
    if (!descr || dtype_bits(t->type) < 8)
        return err_set(e, ERR_UNSUPPORTED, "%s as .npy: not implemented", dtype_name(t->type));
    n.kind = descr[1];
    n.item_bytes = dtype_bits(t->type) / 8;
    npy_put_header(b, &n);
    if (n.count) buf_put(b, t->data, tensor_bytes(t));
    return ERR_OK;
}

static err_code put_all(buf *b, const char *path, const str *names, const tensor *const *tensors, size_t count, err *e)
{
    zip_writer w;
    buf name;
    err_code rc = ERR_OK;
    zip_init(&w, b);
    buf_init(&name, UINT16_MAX);   /* a ZIP file's longest */
    for (size_t i = 0; i < count && !rc; i++) {
        buf_clear(&name);
        buf_put_str(&name, names[i]);
        buf_put_z(&name, ".npy");
        rc = buf_check(&name, "an output's name", e);
        if (rc) break;
        zip_open(&w, buf_str(&name));
        rc = tensor_file_print(b, tensors[i], e);
        zip_close(&w);
    }
    zip_end(&w);
    zip_fini(&w);
    buf_fini(&name);
    return rc ? rc : buf_check(b, path, e);
}

err_code tensor_file_save_npz(const char *path, const str *names, const tensor *const *tensors, size_t count, err *e)
{
    if (count > ZIP_FILES_MAX)
        return err_set(e, ERR_LIMIT, "%s: expected at most %d outputs, got %zu", path, ZIP_FILES_MAX, count);
    buf b;
    buf_init(&b, (size_t)TENSOR_FILE_BYTES_MAX * 2);
    err_code rc = put_all(&b, path, names, tensors, count, e);
    if (!rc) rc = file_write(path, b.p, b.len, e);
    buf_fini(&b);
    return rc;
}
