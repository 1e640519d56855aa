#include "net/http.h"

#include "wire/json_text.h"

#include <stdio.h>

const http_limits http_limits_default = {
    .line_bytes_max = 8 << 10,
    .header_bytes_max = 32 << 10,
    .header_count_max = 100,
    .body_bytes_max = 64 << 20,
    .bodies_bytes_max = 1 << 30,
    .replies_bytes_max = 1 << 30,
    .connections_max = 16384,
    .pipelined_max = 32,
    .streams_max = 256,
    .header_wait_us = 10000000,
    .body_wait_us = 20000000,
    .idle_wait_us = 75000000,
    .write_wait_us = 30000000,
};

str http_header_get(const http_request *req, http_field f)
{
    return http_field_get(req->known, f, req->headers, req->header_count);
}

http_header_span http_headers_of(const http_request *req, http_field f)
{
    return http_field_span(req->known, f, req->headers, req->header_count);
}

void http_reply_error_with(http_call *call, int status, const char *text, const http_header *field)
{
    buf body;
    http_header fields[2];
    size_t count = 0;
    if (field) fields[count++] = *field;
    bool said = field && str_is(field->name, "Retry-After");
    if ((status == 429 || status == 503) && !said) fields[count++] = (http_header){STR("Retry-After"), STR("1")};
    buf_init(&body, 16 << 10);
    buf_put_z(&body, "{\"error\":");
    json_text_put(&body, str_of(text));
    buf_put_byte(&body, '}');
    str json = body.full ? STR("{\"error\":\"no memory for the text of the error\"}") : buf_str(&body);
    http_reply(call, &(http_response){.status = status,
                                      .content_type = STR("application/json"),
                                      .headers = fields,
                                      .header_count = count,
                                      .body = {json}});
    buf_fini(&body);
}

void http_reply_error(http_call *call, int status, const char *text)
{
    http_reply_error_with(call, status, text, NULL);
}

void http_reply_failed(http_call *call, const err *e)
{
    char seconds[16];
    int n = snprintf(seconds, sizeof seconds, "%u", e->retry_ms / 1000 + (e->retry_ms % 1000 > 0));
    const http_header field = {STR("Retry-After"), {seconds, (size_t)n}};
    http_reply_error_with(call, err_http_status(e->code), e->text, e->retry_ms ? &field : NULL);
}
