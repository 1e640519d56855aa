#include "serve/health_rpc.h"

#include "serve/proto_table.h"
#include "wire/pb_fields.h"

static bool is_service(str name)
{
    for (size_t i = 0; i < proto_service_count; i++)
        if (str_is(name, proto_services[i])) return true;
    return false;
}

str health_rpc_service(str request)
{
    pb_fields q;
    pb_fields_read(&q, request);
    return pb_fields_text(&q, 1);
}

uint8_t health_rpc_status(const endpoints *s, str service)
{
    served *m;
    err ignored;
    alias led;
    bool all = service.len == 0 || is_service(service);
    if (!all && repository_leads(s->models, service) < 0) return HEALTH_UNKNOWN;
    bool serving = all || repository_comes(s->models, service, STR(""), &led) ||
                   repository_find(s->models, service, STR(""), &m, &ignored) == ERR_OK;
    return serving && endpoints_ready(s) ? HEALTH_SERVING : HEALTH_NOT_SERVING;
}

err_code health_rpc_check(endpoints *s, rpc_request request, buf *reply, err *e)
{
    pb_fields q;
    pb_fields_read(&q, request.bytes);
    str name = pb_fields_text(&q, 1);
    err_code rc = pb_fields_check(&q, "HealthCheckRequest", e);
    if (rc) return rc;
    uint8_t status = health_rpc_status(s, name);
    pb_put_i64(reply, 1, status);
    return status == HEALTH_UNKNOWN ? err_set(e, ERR_NOT_FOUND, "unknown service " STR_FMT, STR_ARG(name)) : ERR_OK;
}
