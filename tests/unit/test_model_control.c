/* A model is exchanged under requests: each is answered by the one that it found, what failed to load changes nothing
 * but the reason in the index, and what is out of the repository is freed when nobody has it any more. */
#include "ensemble_text.h"
#include "fake/sys_fake.h"
#include "http_rig.h"
#include "models/model_control.h"
#include "os/clock.h"
#include "os/thread.h"
#include "serve/v2_rpc.h"
#include "test.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64];
static const char body[] = "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]}]}";

#define LOAD "/v2/repository/models/m/load"
#define UNLOAD "/v2/repository/models/m/unload"

static void start(http_rig *r, const http_rig_opts *o)
{
    bool started = http_rig_start(r, o, (const char *const[]){"m", path, "n", path, NULL});
    INVARIANT(started);
}

static void what_is_unloaded_is_found_nowhere_until_it_is_loaded_again(void)
{
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1", .model_control = "explicit"});
    CHECK(http_rig_answers(&r, "/v2/models/m/infer", body, "200 OK"));
    CHECK(http_rig_answers(&r, UNLOAD, "{\"parameters\":{\"unload_dependents\":true}}", "200 OK"));
    CHECK(http_rig_index_says(&r,
                              "[{\"name\":\"m\",\"version\":\"1\",\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded\"},"
                         "{\"name\":\"n\","));
    CHECK(http_rig_answers(&r, "/v2/repository/index", "{\"ready\":true}",
                  "\r\n\r\n[{\"name\":\"n\",\"version\":\"1\",\"state\":\"READY\"}]"));
    CHECK(http_rig_answers(&r, "/v2/models/m/infer", body,
                  "404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 68\r\n\r\n"
                  "{\"error\":\"Request for unknown model: 'm' has no available versions\"}"));
    CHECK(strstr(http_rig_get(&r, "/v2/models/m/ready"), "404 Not Found"));
    CHECK(strstr(http_rig_get(&r, "/v2/models"), "{\"models\":[\"n\"]}"));
    CHECK(strstr(http_rig_get(&r, "/v2/models/stats"), "{\"model_stats\":[{\"name\":\"n\","));
    CHECK(!strstr(http_rig_get(&r, "/metrics"), "model_name=\"m\""));
    CHECK(http_rig_answers(&r, UNLOAD, "", "200 OK"));
    CHECK(http_rig_answers(&r, LOAD, "{}", "200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"));
    CHECK(http_rig_index_says(&r, "[{\"name\":\"m\",\"version\":\"1\",\"state\":\"READY\"},{"));
    CHECK(http_rig_answers(&r, "/v2/models/m/infer", body, "\"data\":[2.0,4.0]"));
    http_rig_stop(&r);
}

static void requests_are_answered_by_the_model_that_they_found(void)
{
    static char all[2000];
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1", .inline_us = "0", .model_control = "explicit"});
    static const char *const paths[] = {"/v2/models/m/infer", LOAD, "/v2/models/m/infer", UNLOAD};
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
        const char *text = i % 2 ? "" : body;
        n += (size_t)snprintf(all + n, sizeof all - n, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s",
                              paths[i], strlen(text), text);
    }
    for (int round = 0; round < 20; round++) {
        CHECK(http_rig_answers(&r, LOAD, "", "200 OK"));
        http_rig_send(&r, all, n);   /* all under way at once */
        const char *at = r.got;
        int good = 0;
        for (int i = 0; i < 12000 && good < 4; i++) {
            http_rig_turn(&r, 5);
            for (at = r.got, good = 0; (at = strstr(at, "HTTP/1.1 200 OK")) != NULL; at++) good++;
        }
        CHECK_U64((uint64_t)good, 4);
    }
    http_rig_stop(&r);
}

static void what_does_not_load_changes_only_the_reason(void)
{
    char moved[80];
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1", .model_control = "explicit"});
    snprintf(moved, sizeof moved, "%s.away", path);
    INVARIANT(rename(path, moved) == 0);
    CHECK(http_rig_answers(&r, LOAD, "", "{\"error\":\"failed to load 'm': /tmp/"));
    CHECK(http_rig_index_says(&r, "[{\"name\":\"m\",\"version\":\"1\",\"state\":\"READY\",\"reason\":\"/tmp/"));
    CHECK(http_rig_answers(&r, "/v2/models/m/infer", body, "200 OK"));
    CHECK(http_rig_answers(&r, UNLOAD, "", "200 OK"));
    CHECK(http_rig_answers(&r, LOAD, "", "{\"error\":\"failed to load 'm': /tmp/"));
    CHECK(http_rig_index_says(&r, "[{\"name\":\"m\",\"version\":\"1\",\"state\":\"UNAVAILABLE\",\"reason\":\"/tmp/"));
    INVARIANT(rename(moved, path) == 0);
    CHECK(http_rig_answers(&r, LOAD, "", "200 OK"));
    CHECK(http_rig_index_says(&r, "[{\"name\":\"m\",\"version\":\"1\",\"state\":\"READY\"},{"));
    http_rig_stop(&r);
}

/* Executions of shapes that were asked for once; the one used last stays. */
static void at_rest_idle_executions_go_back(void)
{
    static const char *const data[] = {"1,2", "1,2,3,4", "1,2,3,4,5,6", "1,2,3,4,5,6,7,8", "1,2,3,4,5,6,7,8,9,0"};
    char text[200];
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1"});
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNTOF(data); i++) {
            snprintf(text, sizeof text,
                     "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[%zu,2],\"data\":[%s]}]}",
                     i + 1, data[i]);
            CHECK(http_rig_answers(&r, "/v2/models/m/infer", text, "200 OK"));
        }
        long busy = mem_live();
        model_control_rest(r.endpoints.control);
        HTTP_RIG_UNTIL(&r, mem_live() <= busy - 4);
        CHECK(mem_live() <= busy - 4);
        CHECK(http_rig_answers(&r, "/v2/models/m/infer", body, "200 OK"));
    }
    http_rig_stop(&r);
}

static void what_cannot_be_asked_is_refused_by_name(void)
{
    http_rig r;
    buf reply;
    err e;
    buf_init(&reply, 1000);
    start(&r, &(http_rig_opts){.threads = "1", .model_control = "explicit"});
    CHECK(http_rig_answers(&r, "/v2/repository/models/q/load", "",
                           "failed to load 'q', failed to poll from model repository"));
    CHECK(http_rig_answers(&r, "/v2/repository/models/q/unload", "", "Model with name q does not exist."));
    CHECK(http_rig_answers(&r, LOAD, "{\"parameters\":{\"config\":1}}",
                           "for repository load: expected a string of JSON"));
    CHECK(http_rig_answers(&r, LOAD, "{\"parameters\":{\"config\":\"{\"}}", "failed to load 'm': config: "));
    CHECK(http_rig_answers(&r, LOAD, "{\"parameters\":{\"config\":\"{\\\"maxBatch\\\":1}\"}}",
                           "unknown field 'maxBatch'"));
    CHECK(http_rig_answers(&r, LOAD, "{\"parameters\":{\"file:1/m\":\"\"}}", "parameter 'file:1/m' is not supported"));
    CHECK(http_rig_answers(&r, LOAD, "{\"parameters\":{\"x\":\"\"}}", "unrecognized load parameter 'x'"));
    CHECK(http_rig_answers(&r, LOAD, "{\"parameters\":[]}", "parameters: expected an object"));
    CHECK(http_rig_answers(&r, UNLOAD, "{\"parameters\":{\"unload_dependents\":1}}",
                           "Unable to parse 'unload_dependents'"));
    static const rpc_request of_repository = {.bytes = {"\x0a\1r\x12\1m", 6}}, plain = {.bytes = {"\x12\1m", 3}};
    static const rpc_request a_repository = {.bytes = {"\x0a\1r", 3}};
    static const rpc_request with_config = {.bytes = {"\x12\1m\x1a\x0d\x0a\6" "config\x12\3\x1a\1[", 18}};
    CHECK(v2_rpc_model_load(&r.endpoints, of_repository, &reply, &e) == ERR_UNSUPPORTED);
    CHECK_STR(e.text, "'repository_name' specification is not supported");
    CHECK(v2_rpc_repository_index(&r.endpoints, a_repository, &reply, &e) == ERR_UNSUPPORTED && reply.len == 0);
    CHECK_STR(e.text, "'repository_name' specification is not supported");
    CHECK(v2_rpc_model_load(&r.endpoints, with_config, &reply, &e) == ERR_INVALID);
    http_rig_stop(&r);
    start(&r, &(http_rig_opts){.threads = "1"});
    CHECK(http_rig_answers(&r, LOAD, "", "explicit model load / unload is not allowed if polling is enabled"));
    CHECK(http_rig_answers(&r, UNLOAD, "", "503 Service Unavailable"));
    CHECK(v2_rpc_model_unload(&r.endpoints, plain, &reply, &e) == ERR_UNAVAILABLE);
    http_rig_stop(&r);
    buf_fini(&reply);
}

/* Names come while loops look at them, and stay. */
static void further_models_come_from_the_model_repository(void)
{
    char folder[] = "/tmp/proa-models-XXXXXX", inner[80], file[96];
    http_rig r;
    INVARIANT(mkdtemp(folder));
    snprintf(inner, sizeof inner, "%s/q", folder);
    snprintf(file, sizeof file, "%s/model.onnx", inner);
    INVARIANT(mkdir(inner, 0700) == 0 && symlink(path, file) == 0);
    start(&r, &(http_rig_opts){.threads = "1", .model_control = "explicit", .model_repository = folder});
    CHECK(http_rig_answers(&r, "/v2/models/q/infer", body, "200 OK"));
    static const char *const more[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    for (size_t i = 0; i < COUNTOF(more); i++) {
        char to[80], url[80];
        snprintf(url, sizeof url, "/v2/repository/models/%s/load", more[i]);
        CHECK(http_rig_answers(&r, url, "", "failed to poll from model repository"));
        snprintf(to, sizeof to, "%s/%s", folder, more[i]);
        INVARIANT(symlink(inner, to) == 0);
        CHECK(http_rig_answers(&r, url, "", "200 OK"));
        snprintf(url, sizeof url, "/v2/models/%s/infer", more[i]);
        CHECK(http_rig_answers(&r, url, body, "200 OK") && http_rig_answers(&r, "/v2/models/m/infer", body, "200 OK"));
        INVARIANT(unlink(to) == 0);
    }
    CHECK(strstr(http_rig_get(&r, "/v2/models"), "{\"models\":[\"m\",\"n\",\"q\",\"a\",\"b\","));
    CHECK(http_rig_answers(&r, "/v2/repository/models/../load", "", "404 Not Found"));
    CHECK(http_rig_answers(&r, "/v2/repository/models/.q/load", "", "failed to poll from model repository"));
    http_rig_stop(&r);
    INVARIANT(unlink(file) == 0 && rmdir(inner) == 0 && rmdir(folder) == 0);
}

/* ---- members of ensembles ---- */

static void member_make(const char *folder, const char *name, const char *config)
{
    char file[200];
    snprintf(file, sizeof file, "%s/%s", folder, name);
    INVARIANT(mkdir(file, 0700) == 0);
    snprintf(file, sizeof file, "%s/%s/%s", folder, name, config ? "config.pbtxt" : "model.onnx");
    if (!config) INVARIANT(symlink(path, file) == 0);
    FILE *f = config ? fopen(file, "w") : NULL;
    if (config) INVARIANT(f && fputs(config, f) >= 0 && fclose(f) == 0);
}

#define MODEL(name) "/v2/repository/models/" name
#define WITH "{\"parameters\":{\"unload_dependents\":true}}"

/* e = a, b; f = b, c; g = e, b, which is an ensemble of an ensemble. */
static void an_unload_takes_along_what_an_ensemble_brought_and_nobody_else_needs(void)
{
    char folder[] = "/tmp/proa-models-XXXXXX", command[100];
    http_rig r;
    INVARIANT(mkdtemp(folder));
    member_make(folder, "a", NULL);
    member_make(folder, "b", NULL);
    member_make(folder, "c", NULL);
    member_make(folder, "e", OF("a", "b"));
    member_make(folder, "f", OF("b", "c"));
    member_make(folder, "g", ENSEMBLE(STEP("e", "i", "i", "o", "t"), STEP("b", "x", "t", "y", "o")));
    bool started = http_rig_start(&r,
                                  &(http_rig_opts){.threads = "1",
                                                   .model_control = "explicit",
                                                   .model_repository = folder,
                                                   .load_model = "g"},
                                  (const char *const[]){NULL});
    INVARIANT(started);
    CHECK_STR(http_rig_ready(&r), "a b e g ");
    CHECK(http_rig_answers(&r, MODEL("f") "/load", "", "200 OK"));
    CHECK_STR(http_rig_ready(&r), "a b e g c f ");
    CHECK(http_rig_answers(&r, MODEL("g") "/unload", WITH, "200 OK"));   /* e and a; f needs b */
    CHECK_STR(http_rig_ready(&r), "b c f ");
    CHECK(http_rig_answers(&r, MODEL("c") "/load", "", "200 OK"));       /* asked for by its name from now on */
    CHECK(http_rig_answers(&r, MODEL("f") "/unload", WITH, "200 OK"));
    CHECK_STR(http_rig_ready(&r), "c ");
    CHECK(http_rig_answers(&r, MODEL("e") "/load", "", "200 OK"));
    CHECK(http_rig_answers(&r, MODEL("e") "/unload", "{\"parameters\":{\"unload_dependents\":false}}", "200 OK"));
    CHECK_STR(http_rig_ready(&r), "a b c ");
    CHECK(http_rig_answers(&r, MODEL("e") "/load", "", "200 OK"));
    CHECK(http_rig_answers(&r, MODEL("a") "/unload", WITH, "200 OK"));   /* a member brings nothing */
    CHECK_STR(http_rig_ready(&r), "b c ");   /* and e, without it, is none */
    http_rig_stop(&r);
    snprintf(command, sizeof command, "rm -r %s", folder);
    INVARIANT(system(command) == 0);
}

/* ---- versions ---- */

static char root[64];

static const char *in_root(const char *name)
{
    static char text[4][160];
    static int at;
    at = (at + 1) % 4;
    snprintf(text[at], sizeof text[at], "%s/%s", root, name);
    return text[at];
}

static void version_make(const char *name)
{
    char file[60];
    snprintf(file, sizeof file, "q/%s", name);
    INVARIANT(mkdir(in_root(file), 0700) == 0);
    snprintf(file, sizeof file, "q/%s/model.onnx", name);
    INVARIANT(symlink(path, in_root(file)) == 0);
}

static void text_save(const char *name, const char *text)
{
    FILE *f = fopen(in_root(name), "w");
    INVARIANT(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* A model repository with q: 1, 2 and 3, of which the two newest are served. */
static void versions_start(http_rig *r)
{
    snprintf(root, sizeof root, "/tmp/proa-versions-XXXXXX");
    INVARIANT(mkdtemp(root) && mkdir(in_root("q"), 0700) == 0);
    version_make("1");
    version_make("2");
    version_make("3");
    text_save("q/config.pbtxt", "version_policy { latest { num_versions: 2 } }");
    start(r, &(http_rig_opts){.threads = "1", .model_control = "explicit", .model_repository = root});
}

static void versions_stop(http_rig *r)
{
    char command[100];
    http_rig_stop(r);
    snprintf(command, sizeof command, "rm -r %s", root);
    INVARIANT(system(command) == 0);
}

#define LOAD_Q "/v2/repository/models/q/load"
#define ACTIVATE "/v2/repository/models/q/versions/"

static void a_name_serves_the_versions_that_its_policy_allows(void)
{
    http_rig r;
    versions_start(&r);
    CHECK(strstr(http_rig_get(&r, "/v2/models/q"), "\"versions\":[\"2\",\"3\"]"));
    CHECK(strstr(http_rig_get(&r, "/v2/models/q/versions/2"), "\"versions\":[\"2\"]"));
    CHECK(http_rig_answers(&r, "/v2/models/q/infer", body, "\"model_version\":\"3\""));
    CHECK(http_rig_answers(&r, "/v2/models/q/versions/2/infer", body, "\"model_version\":\"2\""));
    CHECK(http_rig_answers(&r, "/v2/models/q/versions/1/infer", body,
                           "Model with name q and version 1 does not exist."));
    CHECK(strstr(http_rig_get(&r, "/v2/models/q/versions/2/ready"), "200 OK"));
    CHECK(strstr(http_rig_get(&r, "/v2/models/q/versions/1/ready"), "404 Not Found"));
    CHECK(http_rig_index_says(&r, "{\"name\":\"q\",\"version\":\"2\",\"state\":\"READY\"},"
                         "{\"name\":\"q\",\"version\":\"3\",\"state\":\"READY\"}]"));
    const char *stats = http_rig_get(&r, "/v2/models/q/stats");
    CHECK(strstr(stats, "[{\"name\":\"q\",\"version\":\"2\"") && strstr(stats, ",{\"name\":\"q\",\"version\":\"3\""));
    stats = http_rig_get(&r, "/v2/models/q/versions/3/stats");
    CHECK(!strstr(stats, "\"version\":\"2\"") && strstr(stats, "\"version\":\"3\",\"last_inference\""));
    (void)http_rig_get(&r, "/metrics");
    CHECK(strstr(r.got, "proa_inference_success_total{model_name=\"q\",model_version=\"2\"} 1"));
    CHECK(strstr(r.got, "proa_inference_success_total{model_name=\"q\",model_version=\"3\"} 1"));
    text_save("q/config.pbtxt", "version_policy { specific { versions: 1 } }");
    CHECK(http_rig_answers(&r, LOAD_Q, "", "200 OK"));
    CHECK(http_rig_index_says(&r, "{\"name\":\"q\",\"version\":\"1\",\"state\":\"READY\"},"
                         "{\"name\":\"q\",\"version\":\"2\",\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded\"},"
                         "{\"name\":\"q\",\"version\":\"3\",\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded\"}]"));
    versions_stop(&r);
}

static void one_call_goes_back_to_another_version(void)
{
    http_rig r;
    versions_start(&r);
    CHECK(http_rig_answers(&r, ACTIVATE "2/activate", "", "200 OK"));
    CHECK(http_rig_answers(&r, "/v2/models/q/infer", body, "\"model_version\":\"2\""));
    CHECK(http_rig_answers(&r, "/v2/models/q/versions/3/infer", body, "\"model_version\":\"3\""));
    version_make("4");   /* comes, but does not serve who names no version */
    CHECK(http_rig_answers(&r, LOAD_Q, "", "200 OK"));
    CHECK(strstr(http_rig_get(&r, "/v2/models/q"), "\"versions\":[\"2\",\"3\",\"4\"]"));
    CHECK(http_rig_answers(&r, "/v2/models/q/infer", body, "\"model_version\":\"2\""));
    CHECK(http_rig_answers(&r, ACTIVATE "1/activate", "", "200 OK"));   /* is not loaded yet */
    CHECK(http_rig_answers(&r, "/v2/models/q/infer", body, "\"model_version\":\"1\""));
    CHECK(http_rig_answers(&r, ACTIVATE "9/activate", "", "expected version 9, which was activated, got none"));
    CHECK(http_rig_answers(&r, "/v2/models/q/infer", body, "\"model_version\":\"1\""));
    CHECK(http_rig_answers(&r, ACTIVATE "latest/activate", "", "200 OK"));
    CHECK(http_rig_answers(&r, "/v2/models/q/infer", body, "\"model_version\":\"4\""));
    CHECK(strstr(http_rig_get(&r, "/v2/models/q"), "\"versions\":[\"3\",\"4\"]"));
    CHECK(http_rig_answers(&r, "/v2/repository/models/none/versions/1/activate", "",
                           "Model with name none does not exist."));
    CHECK(http_rig_answers(&r, ACTIVATE "11111111112222222222333333333344/activate", "",
                  "version: expected at most 31 bytes, got 32"));
    versions_stop(&r);
}

static void a_version_that_does_not_load_leaves_what_serves(void)
{
    http_rig r;
    versions_start(&r);
    INVARIANT(mkdir(in_root("q/4"), 0700) == 0);
    text_save("q/4/model.onnx", "not a model");
    CHECK(http_rig_answers(&r, LOAD_Q, "", "failed to load 'q': "));
    CHECK(http_rig_answers(&r, "/v2/models/q/infer", body, "\"model_version\":\"3\""));
    CHECK(strstr(http_rig_get(&r, "/v2/models/q"), "\"versions\":[\"2\",\"3\"]"));
    CHECK(http_rig_index_says(&r, "\"version\":\"3\",\"state\":\"READY\"},"
                         "{\"name\":\"q\",\"version\":\"4\",\"state\":\"UNAVAILABLE\",\"reason\":\"/tmp/"));
    CHECK(http_rig_get(&r, "/metrics") && strstr(r.got, "proa_model_loads_total{result=\"failed\"} 1"));
    INVARIANT(unlink(in_root("q/4/model.onnx")) == 0 && symlink(path, in_root("q/4/model.onnx")) == 0);
    CHECK(http_rig_answers(&r, LOAD_Q, "", "200 OK"));
    CHECK(http_rig_answers(&r, "/v2/models/q/infer", body, "\"model_version\":\"4\""));
    CHECK(http_rig_get(&r, "/metrics") && strstr(r.got, "proa_model_loads_total{result=\"ok\"} 1"));
    versions_stop(&r);
}

typedef struct {
    http_rig *rig;
    thread thread;
    err_code rc;
    err e;
    _Atomic bool done;
} loading;

static void load_main(void *ctx)
{
    loading *l = ctx;
    l->rc = model_control_load(l->rig->endpoints.control, &(model_wish){.name = STR("q")}, &l->e);
    atomic_store(&l->done, true);
}

static _Atomic bool disk_stands;

static void wait_for_disk(void)
{
    while (atomic_load(&disk_stands)) usleep(1000);
}

/* Two opens of a file hang, as on a network's disk that is away. */
static void a_load_that_does_not_end_holds_up_nothing_else(void)
{
    http_rig r;
    loading all[3] = {{.rig = &r}, {.rig = &r}, {.rig = &r}};
    size_t refused = 0, good = 0;
    err e;
    served *s;
    versions_start(&r);
    atomic_store(&disk_stands, true);
    sys_fake_script((sys_fault[]){{SYS_open, .times = 2, .result = -EINTR, .then = wait_for_disk}}, 1);
    for (size_t i = 0; i < 3; i++) CHECK(thread_start(&all[i].thread, "load", load_main, &all[i], &e) == ERR_OK);
    while (!atomic_load(&all[refused].done)) refused = (refused + 1) % 3;
    CHECK(all[refused].rc == ERR_UNAVAILABLE);
    CHECK_STR(all[refused].e.text, "failed to load 'q': expected at most 2 loads of a model at a time, got 3");
    CHECK(http_rig_answers(&r, "/v2/models/q/infer", body, "\"model_version\":\"3\""));
    CHECK(http_rig_answers(&r, LOAD, "", "200 OK"));
    CHECK(http_rig_answers(&r, "/v2/repository/models/q/unload", "", "200 OK"));
    atomic_store(&disk_stands, false);
    for (size_t i = 0; i < 3; i++) {
        thread_join(&all[i].thread);
        good += all[i].rc == ERR_OK;   /* as if they had come before the unload */
    }
    CHECK_U64(good, 2);
    sys_fake_script(NULL, 0);
    CHECK(repository_find(r.endpoints.models, STR("q"), STR(""), &s, &e) == ERR_NOT_FOUND);
    CHECK(http_rig_index_says(&r, "\"version\":\"3\",\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded\"}]"));
    versions_stop(&r);
}

/* ---- without a server ---- */

enum { LOOPS = 2, KEPT = 4 };

typedef struct {
    loop *loop;
    thread thread;
    loop_msg msg;
    repository *models;
    served *kept[KEPT];
    uint64_t turns, found;
    _Atomic bool stop;
} finder;

/* Finds and keeps, and gives back what it kept some turns ago. */
static void find(loop *on, loop_msg *m)
{
    finder *f = (finder *)(void *)((char *)m - offsetof(finder, msg));
    served *s = NULL;
    err e;
    served **place = &f->kept[f->turns++ % KEPT];
    if (*place) served_release(*place);
    *place = NULL;
    if (repository_find(f->models, STR("m"), STR(""), &s, &e) == ERR_OK) {
        served_hold(s);
        CHECK(str_is(s->name, "m") && str_is(s->version, "1") && model_input_count(s->model) == 1);
        *place = s;
        f->found++;
    }
    if (!atomic_load(&f->stop)) {
        loop_post(on, m);
        return;
    }
    for (size_t i = 0; i < KEPT; i++)
        if (f->kept[i]) served_release(f->kept[i]);
    loop_stop(on);
}

static void finder_main(void *ctx)
{
    err e;
    CHECK(loop_run(((finder *)ctx)->loop, &e) == ERR_OK);
}

static conf c;
static arena memory;

static void configure(void)
{
    err e;
    arena_init(&memory, NULL, 0, 1 << 20);
    CHECK(conf_init(&c, &memory, &e) == ERR_OK && conf_model_add(&c, "t", STR("m"), str_of(path), &e) == ERR_OK);
}

static void loops_find_a_whole_model_or_none_while_it_is_changed(void)
{
    static finder f[LOOPS];
    loop *loops[LOOPS];
    compute *pool;
    repository *models = NULL;
    model_control *control = NULL;
    err e;
    configure();
    CHECK(compute_new(&pool, 1, &e) == ERR_OK);
    const repository_opts ro = conf_models(&c, pool, 2);
    CHECK(repository_open(&models, &ro, &e) == ERR_OK);
    for (size_t i = 0; i < LOOPS; i++) {
        f[i] = (finder){.models = models, .msg = {.run = find}};
        CHECK(loop_new(&f[i].loop, i, &e) == ERR_OK);
        loops[i] = f[i].loop;
    }
    model_control_opts o = {.models = models, .loops = loops, .loop_count = LOOPS, .allowed = true};
    CHECK(model_control_new(&control, &o, &e) == ERR_OK);
    for (size_t i = 0; i < LOOPS; i++) {
        loop_post(f[i].loop, &f[i].msg);
        CHECK(thread_start(&f[i].thread, "finder", finder_main, &f[i], &e) == ERR_OK);
    }
    for (int i = 0; i < 60; i++) {
        CHECK(model_control_load(control, &(model_wish){.name = STR("m")}, &e) == ERR_OK);
        if (i % 3 == 0) CHECK(model_control_unload(control, &(model_wish){.name = STR("m")}, &e) == ERR_OK);
    }
    for (size_t i = 0; i < LOOPS; i++) atomic_store(&f[i].stop, true);
    for (size_t i = 0; i < LOOPS; i++) thread_join(&f[i].thread);
    model_control_stop(control);
    compute_free(pool);
    for (size_t i = 0; i < LOOPS; i++) {
        loop_flush(f[i].loop);
        CHECK(f[i].turns > 0);
    }
    repository_entry entry;
    const version_row *row = NULL;
    CHECK(repository_entry_next(models, 0, &row, &entry));
    CHECK_STR(entry.state, "READY");
    for (size_t i = 0; i < LOOPS; i++) loop_free(f[i].loop);
    model_control_free(control);
    repository_free(models);
    arena_fini(&memory);
}

static void a_change_survives_failed_allocations(void)
{
    loop *on;
    compute *pool;
    repository *models = NULL;
    err e;
    configure();
    CHECK(compute_new(&pool, 1, &e) == ERR_OK);
    const repository_opts ro = conf_models(&c, pool, 2);
    CHECK(repository_open(&models, &ro, &e) == ERR_OK);
    CHECK(loop_new(&on, 1, &e) == ERR_OK);
    model_control_opts o = {.models = models, .loops = &on, .loop_count = 1, .allowed = true};
    FAULT_SWEEP({
        model_control *control = NULL;
        if (model_control_new(&control, &o, &e) == ERR_OK) {
            err_code rc = model_control_load(control, &(model_wish){.name = STR("m")}, &e);
            CHECK(rc == ERR_OK || rc == ERR_NOMEM || rc == ERR_LIMIT);
            CHECK(repository_at(models, 0) != NULL);
            model_control_stop(control);
            loop_flush(on);
        }
        model_control_free(control);
    });
    loop_free(on);
    compute_free(pool);
    repository_free(models);
    arena_fini(&memory);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_is_unloaded_is_found_nowhere_until_it_is_loaded_again),
        TEST(requests_are_answered_by_the_model_that_they_found),
        TEST(what_does_not_load_changes_only_the_reason),
        TEST(at_rest_idle_executions_go_back),
        TEST(what_cannot_be_asked_is_refused_by_name),
        TEST(further_models_come_from_the_model_repository),
        TEST(an_unload_takes_along_what_an_ensemble_brought_and_nobody_else_needs),
        TEST(a_name_serves_the_versions_that_its_policy_allows),
        TEST(one_call_goes_back_to_another_version),
        TEST(a_version_that_does_not_load_leaves_what_serves),
        TEST(a_load_that_does_not_end_holds_up_nothing_else),
        TEST(loops_find_a_whole_model_or_none_while_it_is_changed),
        TEST(a_change_survives_failed_allocations),
    };
    return serve_rig_main(cases, COUNTOF(cases), path);
}
