#include "serve/health_rpc.h"

#include "serve/proto_table.h"
#include "wire/pb_fields.h"

enum { SERVING = 1, NOT_SERVING = 2, SERVICE_UNKNOWN = 3 };   /* HealthCheckResponse.ServingStatus */

static bool is_service(str name)
{
    for (size_t i = 0; i < proto_service_count; i++)
        if (str_is(name, proto_services[i])) return true;
    return false;
}

err_code health_rpc_check(endpoints *s, rpc_request request, buf *reply, err *e)
{
    pb_fields q;
    served *m;
    err ignored;
    pb_fields_read(&q, request.bytes);
    str name = pb_fields_text(&q, 1);
    err_code rc = pb_fields_check(&q, "HealthCheckRequest", e);
    if (rc) return rc;
    bool known = name.len == 0 || is_service(name) || repository_index(s->models, name) >= 0;
    bool serving = endpoints_ready(s) && (!known || name.len == 0 || is_service(name) ||
                                          repository_find(s->models, name, STR(""), &m, &ignored) == ERR_OK);
    pb_put_i64(reply, 1, !known ? SERVICE_UNKNOWN : serving ? SERVING : NOT_SERVING);
    return known ? ERR_OK : err_set(e, ERR_NOT_FOUND, "unknown service " STR_FMT, STR_ARG(name));
}
