#include "serve/plain.h"

#include "models/pipeline.h"
#include "wire/form_data.h"

plain_kind plain_kind_of(str content_type)
{
    str type = content_type, rest;
    (void)str_cut(content_type, ';', &type, &rest);
    type = str_trim(type);
    if (type.len > 6 && str_is_nocase((str){type.p, 6}, "image/")) return PLAIN_IMAGE;
    if (str_is_nocase(type, "text/plain")) return PLAIN_TEXT;
    if (str_is_nocase(type, "multipart/form-data")) return PLAIN_FORM;
    return PLAIN_NONE;
}

static bool takes_text(const infer *r)
{
    return served_input_count(r->model) == 1 && served_input(r->model, 0)->type == DT_STRING;
}

bool plain_is(const infer *r)
{
    if (r->has_binary) return false;
    switch ((plain_kind)r->plain) {
    case PLAIN_IMAGE:
    case PLAIN_FORM: return true;
    case PLAIN_TEXT:
        if (takes_text(r)) return true;
        break;
    case PLAIN_NONE: break;
    }
    bool object = r->body.len && r->body.p[0] == '{';
    return !object && image_kind_name(r->body) != NULL;   /* of other kinds, too: they are refused by their name */
}

/* Of one string: every dimension is 1. */
static err_code text_put(infer *r, str text, err *e)
{
    const model_io *io = served_input(r->model, 0);
    shape s = io->shape;
    if (!io->ranked) s = shape_make(1, (int64_t[]){1});
    for (uint32_t d = 0; d < s.rank; d++) s.dim[d] = 1;
    str *one = arena_new(&r->memory, str, 1);
    if (!one) return err_set(e, ERR_NOMEM, "request: no memory for a text");
    if (!str_utf8_ok(text)) return err_set(e, ERR_INVALID, "request: expected text in UTF-8");
    err_code rc = infer_input_set(r, 0, DT_STRING, &s, e);
    if (rc) return rc;
    *one = text;
    r->inputs[0].data = one;
    return ERR_OK;
}

static err_code picture_put(infer *r, str file, err *e)
{
    shape s = shape_make(1, (int64_t[]){1});
    if (!pipeline_takes(infer_pipeline(r), 0) || served_input_count(r->model) != 1)
        return err_set(e, ERR_INVALID, "request: expected JSON, got a picture: model '" STR_FMT "' declares %s",
                       STR_ARG(r->model->name),
                       pipeline_takes(infer_pipeline(r), 0) ? "other inputs, too" : "no input that takes one");
    str *one = arena_new(&r->memory, str, 1);
    if (!one) return err_set(e, ERR_NOMEM, "request: no memory for a picture");
    err_code rc = infer_input_set(r, 0, DT_STRING, &s, e);
    if (rc) return rc;
    *one = file;
    r->inputs[0].data = one;
    return ERR_OK;
}

err_code plain_read(infer *r, err *e)
{
    str file = r->body;
    err_code rc = r->plain == PLAIN_FORM ? form_data_file(r->body, &file, e) : ERR_OK;
    if (rc) return rc;
    bool text = takes_text(r) && (r->plain == PLAIN_TEXT || r->plain == PLAIN_FORM);
    return text ? text_put(r, file, e) : picture_put(r, file, e);
}
