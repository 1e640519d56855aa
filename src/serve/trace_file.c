#include "serve/trace_file.h"

err_code trace_file_open(trace_file *f, const char *path, err *e)
{
    *f = (trace_file){.at = 1, .whole = 2};
    err_code rc = file_out_open(&f->out, path, TRACE_FILE_MODE, e);
    if (rc) return rc;
    rc = file_out_put(&f->out, 0, "[]", 2, e);
    if (rc) {
        file_out_remove(&f->out);
        file_out_close(&f->out);
        return rc;
    }
    buf_init(&f->text, TRACE_FILE_TEXT_MAX);
    return ERR_OK;
}

void trace_file_close(trace_file *f)
{
    file_out_close(&f->out);
    buf_fini(&f->text);
}

bool trace_file_gone(const trace_file *f) { return file_out_gone(&f->out); }

/* Back to what it was when it was whole: cut first, so that a full disk has room for the bracket. */
static err_code mend(trace_file *f, err *e)
{
    if (!f->torn) return ERR_OK;
    err_code rc = file_out_cut(&f->out, f->whole, e);
    if (rc == ERR_OK) rc = file_out_put(&f->out, f->whole - 1, "]", 1, e);
    if (rc == ERR_OK) f->torn = false;
    return rc;
}

buf *trace_file_value(trace_file *f)
{
    if (f->count + f->fresh) buf_put_byte(&f->text, ',');
    f->fresh++;
    return &f->text;
}

static err_code text_write(trace_file *f, err *e)
{
    err_code rc = f->failure.code;
    if (rc) *e = f->failure;
    if (rc == ERR_OK) rc = buf_check(&f->text, "trace", e);
    if (rc == ERR_OK && f->at == f->whole - 1) rc = mend(f, e);
    if (rc == ERR_OK) {
        f->torn = true;
        rc = file_out_put(&f->out, f->at, f->text.p, f->text.len, e);
    }
    if (rc == ERR_OK) f->at += f->text.len;
    buf_clear(&f->text);
    return rc;
}

void trace_file_spill(trace_file *f)
{
    err e = {0};
    if (text_write(f, &e)) f->failure = e;
}

uint64_t trace_file_bytes(const trace_file *f) { return f->fresh ? f->at + f->text.len + 1 : f->whole; }

err_code trace_file_commit(trace_file *f, err *e)
{
    err ignored;
    if (!f->fresh) return ERR_OK;
    buf_put_byte(&f->text, ']');
    err_code rc = text_write(f, e);
    if (rc == ERR_OK) {
        f->torn = false;
        f->whole = f->at;
        f->count += f->fresh;
    } else if (mend(f, &ignored)) {
        f->torn = true;   /* the next commit begins with it */
    }
    f->fresh = 0;
    f->failure.code = ERR_OK;
    f->at = f->whole - 1;
    return rc;
}

void trace_file_remove(const trace_file *f) { file_out_remove(&f->out); }
err_code trace_file_move(const trace_file *f, const char *to, err *e) { return file_out_move(&f->out, to, e); }
