#include "serve/conf_listen.h"

#include <stdio.h>
#include <string.h>

enum { SPEC_BYTES_MAX = 4096 };

static err_code spec_wrong(str spec, err *e)
{
    return err_set(e, ERR_INVALID, "listen: expected IP:PORT, [IP]:PORT, unix:PATH or unix:@NAME, got '" STR_FMT "'",
                   STR_ARG(spec));
}

/* As gRPC's clients spell them: "unix:/run/a.sock", and with an empty host, "unix:///run/a.sock". */
static err_code unix_parse(str spec, sock_addr *ret, err *e)
{
    char path[SPEC_BYTES_MAX];
    str rest = {spec.p + 5, spec.len - 5};
    if (str_starts(rest, STR("//"))) rest = (str){rest.p + 2, rest.len - 2};
    if (rest.len >= sizeof path) return spec_wrong(spec, e);
    memcpy(path, rest.p, rest.len);
    path[rest.len] = '\0';
    err_code rc = sock_addr_unix(ret, path, e);
    return rc ? err_wrap(e, "listen") : ERR_OK;
}

static err_code tcp_parse(str spec, sock_addr *ret, err *e)
{
    char ip[64];
    uint64_t port = 0;
    size_t colon = spec.len;
    while (colon > 0 && spec.p[colon - 1] != ':') colon--;
    if (colon < 2 || colon > sizeof ip) return spec_wrong(spec, e);
    memcpy(ip, spec.p, colon - 1);
    ip[colon - 1] = '\0';
    bool digits = str_u64((str){spec.p + colon, spec.len - colon}, &port) && port <= UINT16_MAX;
    bool bare_v6 = ip[0] != '[' && strchr(ip, ':');
    if (!digits || bare_v6 || sock_addr_parse(ret, ip, (uint16_t)port, e)) return spec_wrong(spec, e);
    return ERR_OK;
}

/* A port of 0 is another one each time. */
static err_code add(conf_addresses *to, const sock_addr *a, err *e)
{
    bool again = false;
    for (size_t i = 0; i < to->count; i++) again |= sock_addr_eq(&to->at[i], a);
    if (again && (sock_addr_is_unix(a) || sock_addr_port(a))) return ERR_OK;
    if (to->count == LISTENERS_MAX)
        return err_set(e, ERR_LIMIT, "listen: expected at most %d addresses, got more", LISTENERS_MAX);
    to->at[to->count++] = *a;
    return ERR_OK;
}

static err_code add_port(conf_addresses *to, const conf *c, uint64_t port, err *e)
{
    sock_addr a;
    if (port == CONF_PORT_NONE) return ERR_OK;
    err_code rc = sock_addr_parse(&a, c->address.p, (uint16_t)port, e);
    return rc ? rc : add(to, &a, e);
}

err_code conf_listen(const conf *c, bool given, conf_addresses *ret, err *e)
{
    conf_addresses all = {.count = 0};
    bool by_default = !given && c->listen.len == 0;
    err_code rc = by_default || conf_port_given(c) ? add_port(&all, c, c->port, e) : ERR_OK;
    if (rc == ERR_OK) rc = add_port(&all, c, c->grpc_port, e);
    if (rc == ERR_OK) rc = add_port(&all, c, c->metrics_port, e);
    for (str rest = c->listen, one; rest.len && rc == ERR_OK;) {
        sock_addr a;
        one = str_trim(str_next(&rest, ','));
        rc = str_starts(one, STR("unix:")) ? unix_parse(one, &a, e) : tcp_parse(one, &a, e);
        if (rc == ERR_OK) rc = add(&all, &a, e);
    }
    if (rc == ERR_OK) *ret = all;
    return rc;
}

err_code conf_handover(const conf *c, sock_addr *ret, err *e)
{
    const char *path = str_starts(c->handover, STR("unix:")) ? c->handover.p + 5 : c->handover.p;
    err_code rc = sock_addr_unix(ret, path, e);
    return rc ? err_wrap(e, "handover") : ERR_OK;
}
