#include "serve/reflection_rpc.h"

#include "serve/proto_table.h"
#include "wire/pb_fields.h"

#include <string.h>

/* Fields of ServerReflectionRequest and ServerReflectionResponse. */
enum {
    ASK_HOST = 1, ASK_FILE = 3, ASK_SYMBOL = 4, ASK_EXTENSION = 5, ASK_EXTENSIONS_OF = 6, ASK_SERVICES = 7,
    GIVE_HOST = 1, GIVE_REQUEST = 2, GIVE_FILE = 4, GIVE_SERVICES = 6, GIVE_ERROR = 7
};

static void error_put(buf *reply, const char *what, str name)
{
    size_t opened = pb_open(reply, GIVE_ERROR);
    pb_put_i64(reply, 1, err_grpc_status(ERR_NOT_FOUND));
    size_t text = pb_open(reply, 2);
    buf_printf(reply, "%s not found: " STR_FMT, what, STR_ARG(name));
    pb_close(reply, text);
    pb_close(reply, opened);
}

static void file_put(buf *reply, const proto_file *file)
{
    size_t opened = pb_open(reply, GIVE_FILE);
    pb_put_bytes(reply, 1, file->bytes, file->len);
    pb_close(reply, opened);
}

static void file_named(buf *reply, str name)
{
    for (size_t i = 0; i < proto_file_count; i++) {
        if (!str_is(name, proto_files[i].name)) continue;
        file_put(reply, &proto_files[i]);
        return;
    }
    error_put(reply, "file", name);
}

static const proto_symbol *symbol_find(str name)
{
    for (size_t i = 0; i < proto_symbol_count; i++)
        if (str_is(name, proto_symbols[i].name)) return &proto_symbols[i];
    return NULL;
}

/* Fields and enum values are not in the table: the name without its last part may be. */
static void file_of_symbol(buf *reply, str name)
{
    const char *dot = name.len ? memrchr(name.p, '.', name.len) : NULL;
    const proto_symbol *found = symbol_find(name);
    if (!found && dot) found = symbol_find((str){name.p, (size_t)(dot - name.p)});
    if (found) file_put(reply, &proto_files[found->file]);
    else error_put(reply, "symbol", name);
}

static void services_put(buf *reply)
{
    size_t opened = pb_open(reply, GIVE_SERVICES);
    for (size_t i = 0; i < proto_service_count; i++) {
        size_t service = pb_open(reply, 1);
        pb_put_str(reply, 1, str_of(proto_services[i]));
        pb_close(reply, service);
    }
    pb_close(reply, opened);
}

err_code reflection_rpc_info(endpoints *s, rpc_request request, buf *reply, err *e)
{
    (void)s;
    pb_fields q;
    pb_fields_read(&q, request.bytes);
    str host = pb_fields_text(&q, ASK_HOST), file = pb_fields_text(&q, ASK_FILE);
    str symbol = pb_fields_text(&q, ASK_SYMBOL), type = pb_fields_text(&q, ASK_EXTENSIONS_OF);
    (void)pb_fields_bytes(&q, ASK_EXTENSION);
    err_code rc = pb_fields_check(&q, "ServerReflectionRequest", e);
    if (rc) return rc;
    if (host.len) pb_put_str(reply, GIVE_HOST, host);
    pb_put_bytes(reply, GIVE_REQUEST, request.bytes.p, request.bytes.len);
    if (pb_fields_has(&q, ASK_FILE)) file_named(reply, file);
    else if (pb_fields_has(&q, ASK_SYMBOL)) file_of_symbol(reply, symbol);
    else if (pb_fields_has(&q, ASK_EXTENSIONS_OF)) error_put(reply, "extensions of type", type);
    else if (pb_fields_has(&q, ASK_EXTENSION)) error_put(reply, "extension", STR(""));
    else if (pb_fields_has(&q, ASK_SERVICES)) services_put(reply);
    else return err_set(e, ERR_INVALID, "ServerReflectionRequest: expected a message_request, got none");
    return ERR_OK;
}
