#include "serve/deadline.h"

#include "wire/grpc.h"

static uint64_t sooner(uint64_t one, uint64_t other) { return other == 0 || one < other ? one : other; }

static uint64_t later(uint64_t since_us, uint64_t us)
{
    return us > UINT64_MAX - since_us ? UINT64_MAX : since_us + us;
}

err_code deadline_of(const http_request *req, uint64_t since_us, uint64_t *ret_us, err *e)
{
    str timeout = http_header_get(req, HTTP_FIELD_GRPC_TIMEOUT);
    str envoy = http_header_get(req, HTTP_FIELD_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS);
    uint64_t us, ms, end = 0;
    if (timeout.len) {
        err_code rc = grpc_timeout_parse(timeout, &us, e);
        if (rc) return rc;
        end = later(since_us, us);
    }
    if (envoy.len) {
        if (!str_u64(envoy, &ms))
            return err_set(e, ERR_INVALID, "x-envoy-expected-rq-timeout-ms: expected milliseconds, got '" STR_FMT "'",
                           STR_ARG(envoy));
        if (ms) end = sooner(later(since_us, ms > UINT64_MAX / 1000 ? UINT64_MAX : ms * 1000), end);
    }
    *ret_us = end;
    return ERR_OK;
}
