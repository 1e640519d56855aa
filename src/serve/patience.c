#include "serve/patience.h"

#include "serve/parameter.h"
#include "wire/json_cut.h"

enum { MESSAGE_PARAMETERS = 4 };

uint64_t patience_of_json(const http_request *req)
{
    static const json_cut_path path = {{"parameters", "timeout"}};
    str length = http_header_get(req, HTTP_FIELD_INFERENCE_HEADER_CONTENT_LENGTH);
    uint64_t bytes = req->body.len, us = 0;
    json_cut cut;
    buf rest;
    err e;
    if ((length.len && !str_u64(length, &bytes)) || bytes > req->body.len || bytes > PATIENCE_JSON_MAX) return 0;
    buf_init(&rest, (size_t)2 * PATIENCE_JSON_MAX);
    bool found = json_cut_find(&cut, (str){req->body.p, (size_t)bytes}, &path, 1, &rest, &e) == ERR_OK && cut.count;
    buf_fini(&rest);
    return found && str_u64(cut.spans[0], &us) ? us : 0;
}

uint64_t patience_of_message(str message)
{
    static const parameter_fields fields = {.on = 1, .i64 = 2, .u64 = 5, .text = 3, .real = 4};
    uint64_t us = 0;
    pb m;
    pb_field f;
    pb_init(&m, message.p, message.len);
    while (pb_next(&m, &f)) {
        err e;
        str name;
        parameter p;
        if (f.number != MESSAGE_PARAMETERS) continue;
        if (parameter_of_pb(pb_sub(&m, &f), &fields, "parameters", &name, &p, &e)) return 0;
        if (str_is(name, "timeout") && p.kind == PARAMETER_NUMBER) us = p.number;
    }
    return us;
}
