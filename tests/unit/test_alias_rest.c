/* A name that stands for a model is a model to clients: found, shown, changed and taken away by one call each; a switch
 * is whole, and who asked before it is answered by what was found. */
#include "http_rig.h"
#include "serve/alias_rest.h"
#include "serve/v2_rpc.h"
#include "test.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64], root[64];
static const char body[] = "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]}]}";

#define SET(m, v) "/v2/repository/models/" m "/versions/" v
#define ALIAS(name) "/v2/repository/aliases/" name

static void make(const char *name)
{
    char folder[100], file[140];
    snprintf(folder, sizeof folder, "%s/%s", root, name);
    INVARIANT(mkdir(folder, 0700) == 0);
    snprintf(file, sizeof file, "%s/model.onnx", folder);
    INVARIANT(symlink(path, file) == 0);
}

/* m: versions 1 and 2; n: version 1; late: not loaded at first. */
static void start(http_rig *r, const char *control, const char *names)
{
    char file[100];
    snprintf(root, sizeof root, "/tmp/proa-aliases-XXXXXX");
    INVARIANT(mkdtemp(root));
    snprintf(file, sizeof file, "%s/m", root);
    INVARIANT(mkdir(file, 0700) == 0);
    make("m/1");
    make("m/2");
    make("n");
    make("late");
    snprintf(file, sizeof file, "%s/m/config.pbtxt", root);
    FILE *f = fopen(file, "w");
    INVARIANT(f && fputs("version_policy { all { } }", f) >= 0 && fclose(f) == 0);
    bool loads = strcmp(control, "explicit") == 0;
    const http_rig_opts o = {.threads = "1",
                             .model_control = control,
                             .model_repository = root,
                             .load_model = loads ? "m,n" : NULL,
                             .alias = names};
    bool started = http_rig_start(r, &o, (const char *const[]){NULL});
    INVARIANT(started);
}

static void stop(http_rig *r)
{
    char command[100];
    http_rig_stop(r);
    snprintf(command, sizeof command, "rm -r %s", root);
    INVARIANT(system(command) == 0);
}

static bool posts(http_rig *r, const char *to, const char *text, const char *want)
{
    const char *got = http_rig_post(r, to, "", text, strlen(text));
    if (strstr(got, want)) return true;
    printf("# %s: %s\n", to, got);
    return false;
}

static bool deletes(http_rig *r, const char *to, const char *want)
{
    char text[300];
    int n = snprintf(text, sizeof text, "DELETE %s HTTP/1.1\r\nHost: h\r\n\r\n", to);
    const char *got = http_rig_ask(r, text, (size_t)n);
    if (strstr(got, want)) return true;
    printf("# %s: %s\n", to, got);
    return false;
}

static void an_alias_is_a_model_to_its_clients(void)
{
    http_rig r;
    start(&r, "explicit", "prod=m,old=m:1,m:stable=m:1");
    CHECK(posts(&r, "/v2/models/prod/infer", body, "\"model_name\":\"m\",\"model_version\":\"2\""));
    CHECK(posts(&r, "/v2/models/prod/versions/1/infer", body, "\"model_version\":\"1\""));
    CHECK(posts(&r, "/v2/models/old/infer", body, "\"model_version\":\"1\""));
    CHECK(posts(&r, "/v2/models/old/versions/2/infer", body, "404 Not Found"));
    CHECK(posts(&r, "/v1/models/prod:predict", "{\"instances\":[[1,2]]}", "{\"predictions\":[[2.0,4.0]]}"));
    CHECK(http_rig_gets(&r, "/v2/models/prod/ready", "{\"name\":\"prod\",\"ready\":true}"));
    CHECK(http_rig_gets(&r, "/v2/models/prod", "{\"name\":\"m\",\"versions\":[\"1\",\"2\"]"));
    CHECK(http_rig_gets(&r, "/v2/models/old", "{\"name\":\"m\",\"versions\":[\"1\"]"));
    CHECK(http_rig_gets(&r, "/v2/models/prod", "}],\"version_labels\":{\"stable\":\"1\"}}"));
    CHECK(!strstr(http_rig_get(&r, "/v2/models/n"), "version_labels"));
    CHECK(http_rig_gets(&r, "/v2/models", "{\"models\":[\"m\",\"n\",\"old\",\"prod\"]}"));
    CHECK(posts(&r, "/v2/repository/index", "{\"ready\":true}",
                "{\"name\":\"m:stable\",\"version\":\"1\",\"state\":\"READY\",\"reason\":\"label of m\"},"
                "{\"name\":\"old\",\"version\":\"1\",\"state\":\"READY\",\"reason\":\"alias of m\"},"
                "{\"name\":\"prod\",\"version\":\"2\",\"state\":\"READY\",\"reason\":\"alias of m\"}]"));
    CHECK(http_rig_gets(&r, "/metrics", "request_preprocess_seconds_count{model_name=\"m\",model_version=\"2\"} 2"));
    CHECK(!strstr(http_rig_get(&r, "/metrics"), "\"prod\""));
    CHECK(!strstr(http_rig_get(&r, "/v2/models/old/stats"), "\"version\":\"2\""));
    stop(&r);
}

static void a_label_is_asked_for_as_tensorflow_serving_has_it(void)
{
    http_rig r;
    start(&r, "explicit", "m:stable=m:1");
    CHECK(posts(&r, "/v1/models/m/labels/stable:predict", "{\"instances\":[[1,2]]}", "{\"predictions\":[[2.0,4.0]]}"));
    CHECK(posts(&r, "/v1/models/m/versions/2:predict", "{\"instances\":[[1,2]]}", "{\"predictions\":[[2.0,4.0]]}"));
    CHECK(http_rig_gets(&r, "/v1/models/m/labels/stable",
               "{\"model_version_status\":[{\"version\":\"1\",\"state\":\"AVAILABLE\",\"status\":"
               "{\"error_code\":\"OK\",\"error_message\":\"\"}}]}"));
    CHECK(http_rig_gets(&r, "/v1/models/m/versions/2", "\"version\":\"2\""));
    CHECK(http_rig_gets(&r, "/v1/models/m/labels/canary", "Unrecognized servable version label: canary"));
    CHECK(posts(&r, SET("m", "2") "/labels/canary", "", "200 OK"));
    CHECK(posts(&r, SET("m", "2") "/labels/stable", "", "200 OK"));
    CHECK(http_rig_gets(&r, "/v1/models/m/labels/stable", "\"version\":\"2\""));
    CHECK(deletes(&r, "/v2/repository/models/m/labels/canary", "200 OK"));
    CHECK(http_rig_gets(&r, "/v1/models/m/labels/canary", "404 Not Found"));
    CHECK(posts(&r, SET("n", "x") "/labels/stable", "", "version: expected a number, got 'x'"));
    stop(&r);
}

static void one_call_changes_what_it_stands_for(void)
{
    http_rig r;
    start(&r, "explicit", "prod=m:1");
    CHECK(posts(&r, SET("m", "2") "/aliases/prod", "", "200 OK"));
    CHECK(posts(&r, "/v2/models/prod/infer", body, "\"model_version\":\"2\""));
    CHECK(posts(&r, SET("m", "3") "/aliases/prod", "", "expected a version of 'm' that is served, got '3'"));
    CHECK(posts(&r, "/v2/models/prod/infer", body, "\"model_version\":\"2\""));
    CHECK(posts(&r, "/v2/repository/models/n/aliases/prod", "", "200 OK"));
    CHECK(posts(&r, "/v2/models/prod/infer", body, "\"model_name\":\"n\""));
    CHECK(posts(&r, "/v2/repository/models/late/aliases/prod", "", "200 OK"));   /* which is loaded first */
    CHECK(posts(&r, "/v2/models/prod/infer", body, "\"model_name\":\"late\""));
    CHECK(posts(&r, "/v2/repository/models/nobody/aliases/prod", "", "failed to poll from model repository"));
    CHECK(posts(&r, "/v2/repository/models/n/aliases/m", "", "alias 'm': expected a name that no model has, got 'm'"));
    CHECK(posts(&r, "/v2/repository/models/prod/aliases/next", "", "200 OK"));
    CHECK(posts(&r, "/v2/repository/models/next/aliases/prod", "", "does not lead back to it"));
    CHECK(deletes(&r, ALIAS("prod"), "expected no other alias that stands for it, got 'next'"));
    CHECK(deletes(&r, ALIAS("next"), "200 OK") && deletes(&r, ALIAS("prod"), "200 OK"));
    CHECK(deletes(&r, ALIAS("prod"), "Alias prod does not exist."));
    CHECK(posts(&r, "/v2/models/prod/infer", body, "Model with name prod does not exist."));
    stop(&r);
}

static void a_model_that_is_unloaded_is_missed_under_all_its_names(void)
{
    http_rig r;
    start(&r, "explicit", "prod=n");
    CHECK(posts(&r, "/v2/repository/models/n/unload", "", "200 OK"));
    CHECK(posts(&r, "/v2/models/prod/infer", body, "Request for unknown model: 'n' has no available versions"));
    CHECK(posts(&r, "/v2/repository/index", "", "{\"name\":\"prod\",\"version\":\"\",\"state\":\"UNAVAILABLE\","));
    CHECK(posts(&r, "/v2/repository/models/n/load", "", "200 OK"));
    CHECK(posts(&r, "/v2/models/prod/infer", body, "200 OK"));
    CHECK(posts(&r, "/v2/repository/models/prod/unload", "", "Model with name prod does not exist."));
    stop(&r);
}

static void who_may_not_load_may_not_change_names(void)
{
    http_rig r;
    start(&r, "none", "prod=n");
    CHECK(posts(&r, "/v2/models/prod/infer", body, "200 OK"));
    CHECK(posts(&r, "/v2/repository/models/m/aliases/prod", "",
                "explicit model load / unload is not allowed if polling is enabled"));
    CHECK(deletes(&r, ALIAS("prod"), "503 Service Unavailable"));
    stop(&r);
}

static void grpc_shows_and_finds_them_too(void)
{
    http_rig r;
    buf reply;
    err e;
    start(&r, "explicit", "prod=m:1");
    buf_init(&reply, 1 << 16);
    CHECK(v2_rpc_repository_index(&r.endpoints, (rpc_request){.bytes = {"", 0}}, &reply, &e) == ERR_OK);
    CHECK(memmem(reply.p, reply.len, "\x0a\4prod\x12\1" "1\x1a\5READY\"\x0a" "alias of m", 28));
    buf_clear(&reply);
    CHECK(v2_rpc_model_metadata(&r.endpoints, (rpc_request){.bytes = {"\x0a\4prod", 6}}, &reply, &e) == ERR_OK);
    CHECK(reply.len > 6 && memcmp(reply.p, "\x0a\1m\x12\1" "1\x1a", 7) == 0);
    buf_fini(&reply);
    stop(&r);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(an_alias_is_a_model_to_its_clients),
        TEST(a_label_is_asked_for_as_tensorflow_serving_has_it),
        TEST(one_call_changes_what_it_stands_for),
        TEST(a_model_that_is_unloaded_is_missed_under_all_its_names),
        TEST(who_may_not_load_may_not_change_names),
        TEST(grpc_shows_and_finds_them_too),
    };
    return serve_rig_main(cases, COUNTOF(cases), path);
}
