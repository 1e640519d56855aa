#include "serve/conf_call.h"

#include "jobs/job_teller.h"
#include "net/dial.h"

tls_trust conf_otlp_trust(const conf *c)
{
    return (tls_trust){.cacert = c->otlp_cacert.p,
                       .cert = c->otlp_cert.p,
                       .key = c->otlp_key.p,
                       .insecure = c->otlp_insecure,
                       .prefix = "otlp-"};
}

tls_trust conf_webhook_trust(const conf *c)
{
    return (tls_trust){.cacert = c->webhook_cacert.p,
                       .cert = c->webhook_cert.p,
                       .key = c->webhook_key.p,
                       .insecure = c->webhook_insecure,
                       .prefix = "webhook-"};
}

static err_code endpoint_check(const conf *c, err *e)
{
    const tls_trust trust = conf_otlp_trust(c);
    dial_to to;
    if (!c->otlp_endpoint.len) return ERR_OK;
    if (dial_to_parse(&to, c->otlp_endpoint.p, e) || to.is_grpc)
        return err_set(e, ERR_INVALID, "otlp-endpoint: expected http[s]://HOST[:PORT], HOST:PORT or unix:/PATH, got '"
                       STR_FMT "'", STR_ARG(c->otlp_endpoint));
    return tls_trust_check(&trust, to.is_secure, to.text, e) ? err_wrap(e, "otlp-endpoint") : ERR_OK;
}

err_code conf_calls(const conf *c, err *e)
{
    const tls_trust trust = conf_webhook_trust(c);
    err_code rc = endpoint_check(c, e);
    if (rc == ERR_OK) rc = tls_trust_check(&trust, true, "", e);   /* a hook's own URL says whether it is https */
    if (rc) return rc;
    return job_hosts_check(c->webhook_hosts.p, e) ? err_wrap(e, "webhook-hosts") : ERR_OK;
}
