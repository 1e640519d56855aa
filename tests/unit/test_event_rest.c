/* A question in an event is answered by an event of the same mode, whose data is the plain answer; an error is answered
 * as it is; who is gone is not answered, and nothing is left of it. */
#include "http_rig.h"
#include "serve/event_rest.h"
#include "test.h"

#define FIELDS "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: here\r\nce-type: t\r\n"
#define JSON_EVENT "Content-Type: application/cloudevents+json\r\n"
#define DOCUMENT "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data\":" QUESTION "}"
#define QUESTION "{\"instances\":[[1,2]]}"

static char path[64];
static http_rig r;

static const char *ask(const char *headers, const char *body)
{
    return http_rig_post(&r, "/v1/models/m:predict", headers, body, strlen(body));
}

static void fields_are_answered_by_fields(void)
{
    const char *got = ask(FIELDS "Content-Type: application/json\r\n", QUESTION);
    CHECK(str_starts(str_of(got), STR("200 OK\r\n")) && strstr(got, "Content-Type: application/json\r\n"));
    CHECK(strstr(got, "ce-specversion: 1.0\r\n") && strstr(got, "ce-source: io.kserve.inference.m\r\n"));
    CHECK(strstr(got, "ce-type: io.kserve.inference.response\r\n") && strstr(got, "ce-time: 20"));
    const char *id = strstr(got, "ce-id: ");
    CHECK(id && strcspn(id + 7, "\r") == 36 && id[7 + 14] == '4');
    CHECK(strstr(got, "\r\n\r\n{\"predictions\":[[2.0,4.0]]}"));
}

static void a_document_is_answered_by_a_document(void)
{
    const char *got = ask(JSON_EVENT, DOCUMENT);
    CHECK(strstr(got, "Content-Type: application/cloudevents+json\r\n") && !strstr(got, "ce-id"));
    CHECK(strstr(got, "\r\n\r\n{\"specversion\":\"1.0\",\"id\":\""));
    CHECK(strstr(got, "\"source\":\"io.kserve.inference.m\",\"type\":\"io.kserve.inference.response\""));
    CHECK(strstr(got, "\"datacontenttype\":\"application/json\",\"data\":{\"predictions\":[[2.0,4.0]]}}"));
}

static void errors_are_answered_as_they_are(void)
{
    const char *got = ask(FIELDS, "[]");
    CHECK(str_starts(str_of(got), STR("400 ")) && !strstr(got, "ce-") && strstr(got, "{\"error\":"));
    CHECK(strstr(ask("ce-specversion: 1.0\r\n", QUESTION), "CloudEvent: id: expected printable text, got ''"));
    CHECK(strstr(ask("ce-specversion: 0.3\r\n", QUESTION), "CloudEvent: specversion: expected 1.0, got '0.3'"));
    CHECK(str_starts(str_of(ask(JSON_EVENT, "{")), STR("400 ")));
    CHECK(str_starts(str_of(ask("", QUESTION)), STR("200 ")));
}

static void who_is_gone_is_not_answered(void)
{
    static const char head[] = "POST /v2/models/t/infer HTTP/1.1\r\nHost: h\r\n" FIELDS "Content-Length: 76\r\n\r\n"
        "{\"inputs\":[{\"name\":\"n\",\"datatype\":\"INT64\",\"shape\":[1],\"data\":[2000000000]}]}";
    http_rig_send(&r, head, (size_t)(strstr(head, "\r\n\r\n") - head) + 4 + 76);
    const served *m = http_rig_model(&r, "t");
    HTTP_RIG_UNTIL(&r, atomic_load(&m->metrics.running) == 1);
    http_rig_hang_up(&r, true);
    HTTP_RIG_UNTIL(&r, COUNT(m, cancelled) == 1);
    CHECK_U64(COUNT(m, cancelled), 1);
}

static const char *only[3];

static void no_failure_leaks(void)
{
    for (int kind = 0; kind < 2; kind++) {
        FAULT_SWEEP({
            http_rig one;
            if (http_rig_start(&one, &(http_rig_opts){.threads = "1"}, only)) {
                const char *body = kind ? DOCUMENT : QUESTION;
                (void)http_rig_post(&one, "/v1/models/m:predict", kind ? JSON_EVENT : FIELDS, body, strlen(body));
                http_rig_stop(&one);
            }
        });
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(fields_are_answered_by_fields), TEST(a_document_is_answered_by_a_document),
                                      TEST(errors_are_answered_as_they_are), TEST(who_is_gone_is_not_answered),
                                      TEST(no_failure_leaks)};
    char spins[64];
    onnx_build a, b;
    serve_rig_twice(&a);
    serve_rig_turns(&b);
    const char *models[] = {"m", serve_rig_save(&a, path), "t", serve_rig_save(&b, spins), NULL};
    only[0] = "m";
    only[1] = path;
    if (!http_rig_start(&r, &(http_rig_opts){.inline_us = NULL}, models)) return 1;
    int rc = test_main(cases, COUNTOF(cases));
    http_rig_stop(&r);
    serve_rig_unsave(path);
    serve_rig_unsave(spins);
    onnx_build_end(&a);
    onnx_build_end(&b);
    return rc;
}
