/* A request that the server asks itself meets the same handler and gets the same answer, once; what cannot be asked
 * says so and answers nothing; who does not wait any more is forgotten. */
#include "http_rig.h"
#include "net/inner.h"
#include "test.h"

static char path[64];
static http_rig r;
static int answers, status;
static char body[400], type[80];

static void answered(void *ctx, const http_response *res)
{
    CHECK(ctx == &r);
    answers++;
    status = res ? res->status : -1;
    if (!res) return;
    snprintf(type, sizeof type, "%.*s", (int)res->content_type.len, res->content_type.p);
    snprintf(body, sizeof body, "%.*s%.*s", (int)res->body[0].len, res->body[0].p, (int)res->body[1].len,
             res->body[1].p);
}

static err_code ask(const char *target, const char *text, http_call **ret, err *e)
{
    static const http_header json = {{"Content-Type", 12}, {"application/json", 16}};
    const inner_request q = {.method = STR("POST"), .target = str_of(target), .headers = &json, .header_count = 1,
                             .body = str_of(text), .answered = answered, .ctx = &r};
    answers = 0;
    return inner_ask(r.server, r.loop, &q, ret, e);
}

static void it_is_answered_as_any_other(void)
{
    static const char question[] =
        "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]}]}";
    http_call *call;
    err e;
    CHECK(ask("/v2/models/m/infer", question, &call, &e) == ERR_OK);
    HTTP_RIG_UNTIL(&r, answers == 1);
    CHECK(answers == 1 && status == 200);
    CHECK_STR(type, "application/json");
    const char *outside = http_rig_post(&r, "/v2/models/m/infer", "", question, sizeof question - 1);
    CHECK_STR(body, strstr(outside, "\r\n\r\n") + 4);
    CHECK(ask("/v2/models/none/infer?a=b", "{}", &call, &e) == ERR_OK && answers == 1 && status == 404 && !call);
    CHECK(ask("/v2/models/%6D/infer", "{}", &call, &e) == ERR_OK);
    HTTP_RIG_UNTIL(&r, answers == 1);
    CHECK(status == 400);
}

static void what_cannot_be_asked_says_so(void)
{
    http_call *call;
    err e;
    static char large[70000];
    memset(large, ' ', sizeof large - 1);
    CHECK(ask("no path", "{}", &call, &e) == ERR_INVALID && !call && answers == 0);
    CHECK(ask("/v2/models/m/infer", large, &call, &e) == ERR_TOO_LARGE && !call && answers == 0);
    CHECK(strstr(e.text, "inner request: body"));
}

static void targets_are_encoded_as_far_as_they_must_be(void)
{
    char to[64];
    size_t len = 0;
    CHECK(inner_target(to, sizeof to, STR("/a b/\xC3\xA4?%~:x"), STR("q=1%20"), &len));
    CHECK(str_is((str){to, len}, "/a%20b/%C3%A4%3F%25~:x?q=1%20"));
    CHECK(!inner_target(to, 5, STR("/abcdef"), STR(""), &len));
    CHECK(!inner_target(to, 12, STR("/abc"), STR("0123456789"), &len));
}

static void a_server_that_ends_says_that_there_is_no_answer(void)
{
    onnx_build b;
    http_rig other;
    http_call *call;
    err e;
    char name[64];
    serve_rig_turns(&b);
    const char *models[] = {"t", serve_rig_save(&b, name), NULL};
    CHECK(http_rig_start(&other, &(http_rig_opts){.inline_us = "0"}, models));
    const inner_request q = {.method = STR("POST"), .target = STR("/v2/models/t/infer"), .answered = answered,
                             .ctx = &r, .body = STR("{\"inputs\":[{\"name\":\"n\",\"datatype\":\"INT64\",\"shape\":[1],"
                                                    "\"data\":[2000000]}]}")};
    answers = 0;
    CHECK(inner_ask(other.server, other.loop, &q, &call, &e) == ERR_OK && call && answers == 0);
    inner_cancel(call);
    http_rig_stop(&other);
    CHECK(answers == 1);
    serve_rig_unsave(name);
    onnx_build_end(&b);
}

static void no_failure_leaks(void)
{
    FAULT_SWEEP({
        http_call *call;
        err e;
        if (ask("/v2/models/none/infer", "{}", &call, &e) == ERR_OK) CHECK(answers == 1);
    });
}

int main(void)
{
    static const test_case cases[] = {TEST(it_is_answered_as_any_other), TEST(what_cannot_be_asked_says_so),
                                      TEST(targets_are_encoded_as_far_as_they_must_be),
                                      TEST(a_server_that_ends_says_that_there_is_no_answer), TEST(no_failure_leaks)};
    onnx_build b;
    serve_rig_twice(&b);
    const char *models[] = {"m", serve_rig_save(&b, path), NULL};
    if (!http_rig_start(&r, &(http_rig_opts){.body_bytes_max = "64Ki"}, models)) return 1;
    int rc = test_main(cases, COUNTOF(cases));
    http_rig_stop(&r);
    serve_rig_unsave(path);
    onnx_build_end(&b);
    return rc;
}
