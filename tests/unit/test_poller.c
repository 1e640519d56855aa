/* What comes, changes and goes in the model repository is served, served anew and unloaded, with inotify or without;
 * what stays is not read again, and a folder that does not load is said once. */
#include "http_rig.h"
#include "models/poller.h"

#include "fake/sys_fake.h"
#include "serve/conf_models.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64], root[64];
static const char body[] = "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]}]}";

static const char *in_root(const char *name)
{
    static char text[4][200];
    static int at;
    at = (at + 1) % 4;
    snprintf(text[at], sizeof text[at], "%s/%s", root, name);
    return text[at];
}

static void model_make(const char *name, const char *version)
{
    char text[100];
    INVARIANT(mkdir(in_root(name), 0700) == 0 || access(in_root(name), F_OK) == 0);
    snprintf(text, sizeof text, "%s/%s", name, version);
    INVARIANT(mkdir(in_root(text), 0700) == 0);
    snprintf(text, sizeof text, "%s/%s/model.onnx", name, version);
    INVARIANT(symlink(path, in_root(text)) == 0);
}

static void remove_all(const char *name)
{
    char command[200];
    snprintf(command, sizeof command, "rm -r %s", in_root(name));
    INVARIANT(system(command) == 0);
}

static poller *start(http_rig *r)
{
    err e;
    poller *p = NULL;
    snprintf(root, sizeof root, "/tmp/proa-poller-XXXXXX");
    INVARIANT(mkdtemp(root));
    model_make("a", "1");
    const http_rig_opts rig = {.threads = "1", .model_control = "poll", .model_repository = root};
    bool started = http_rig_start(r, &rig, (const char *const[]){NULL});
    INVARIANT(started);
    const poller_opts opts = {
        .control = r->endpoints.control, .on = r->loop, .folder = str_of(root), .poll_us = 20000};
    CHECK(poller_new(&p, &opts, &e) == ERR_OK);
    return p;
}

static void stop(http_rig *r, poller *p)
{
    poller_stop(p);
    model_control_stop(r->endpoints.control);
    loop_flush(r->loop);
    poller_free(p);
    http_rig_stop(r);
    remove_all("");
}

static uint64_t counted(http_rig *r, const char *what)
{
    const char *at;
    (void)http_rig_get(r, "/metrics");
    at = strstr(r->got, what);
    return at ? (uint64_t)atoll(at + strlen(what)) : 99;
}

static void follow(http_rig *r)
{
    CHECK(http_rig_index_says(r, "[{\"name\":\"a\",\"version\":\"1\",\"state\":\"READY\"}]"));
    model_make("b", "7");
    CHECK(http_rig_index_says(r,
                              "{\"name\":\"b\",\"version\":\"7\",\"state\":\"READY\"}"));
    model_make("a", "2");
    CHECK(http_rig_index_says(r, "\"version\":\"1\",\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded\"},"
                        "{\"name\":\"a\",\"version\":\"2\",\"state\":\"READY\"}"));
    CHECK(strstr(http_rig_post(r, "/v2/models/a/infer", "", body, strlen(body)), "\"model_version\":\"2\""));
    uint64_t loads = counted(r, "\nproa_model_loads_total{result=\"ok\"} ");
    CHECK(loads == 2 || loads == 3);   /* 3: it was seen before it had its file */
    remove_all("a/2");
    CHECK(http_rig_index_says(r, "{\"name\":\"a\",\"version\":\"1\",\"state\":\"READY\"}"));
    INVARIANT(mkdir(in_root("c"), 0700) == 0);
    CHECK(http_rig_index_says(r, "{\"name\":\"c\",\"version\":\"\",\"state\":\"UNAVAILABLE\",\"reason\":\"/tmp/"));
    remove_all("b");
    CHECK(http_rig_index_says(r,
                              "{\"name\":\"b\",\"version\":\"7\",\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded\"}"));
    CHECK_U64(counted(r, "\nproa_model_loads_total{result=\"failed\"} "), 1);   /* of c, looked at more than once */
    CHECK(strstr(http_rig_post(r, "/v2/repository/models/a/load", "", "", 0), "is not allowed if polling is enabled"));
}

static void changes_are_followed(void)
{
    http_rig r;
    poller *p = start(&r);
    follow(&r);
    stop(&r, p);
}

static void without_inotify_it_is_looked_now_and_then(void)
{
    http_rig r;
    sys_fake_script((sys_fault[]){{SYS_watch_open, .times = SYS_FAKE_EVER, .result = -EMFILE}}, 1);
    poller *p = start(&r);
    follow(&r);
    stop(&r, p);
    sys_fake_script((sys_fault[]){{SYS_watch_add, .times = SYS_FAKE_EVER, .result = -ENOSPC}}, 1);
    p = start(&r);
    follow(&r);
    stop(&r, p);
    sys_fake_script(NULL, 0);
}

/* As Kubernetes exchanges a mounted volume: names are links through ..data, which another is renamed over. */
static void a_mounted_volume_is_exchanged_as_a_whole(void)
{
    http_rig r;
    poller *p = start(&r);
    INVARIANT(mkdir(in_root("..1"), 0700) == 0 && mkdir(in_root("..2"), 0700) == 0);
    model_make("..1/m", "1");
    model_make("..2/m", "2");
    INVARIANT(symlink("..1", in_root("..data")) == 0 && symlink("..data/m", in_root("m")) == 0);
    CHECK(http_rig_index_says(&r, "{\"name\":\"m\",\"version\":\"1\",\"state\":\"READY\"}"));
    INVARIANT(symlink("..2", in_root("..tmp")) == 0 && rename(in_root("..tmp"), in_root("..data")) == 0);
    CHECK(http_rig_index_says(&r, "{\"name\":\"m\",\"version\":\"2\",\"state\":\"READY\"}"));
    stop(&r, p);
}

/* Under the same name and version: nothing is kept of what was read before. */
static void a_file_that_is_exchanged_in_place_is_read_anew(void)
{
    char other[64];
    onnx_build made;
    http_rig r;
    poller *p = start(&r);
    CHECK(http_rig_answers(&r, "/v2/models/a/infer", body, "\"data\":[2.0,4.0]"));
    serve_rig_same(&made, DT_F32, "N,2");
    serve_rig_save(&made, other);
    INVARIANT(symlink(other, in_root("a/1/.new")) == 0);
    INVARIANT(rename(in_root("a/1/.new"), in_root("a/1/model.onnx")) == 0);
    HTTP_RIG_UNTIL(&r, strstr(http_rig_post(&r, "/v2/models/a/infer", "", body, strlen(body)), "\"data\":[1.0,2.0]"));
    CHECK(strstr(r.text, "\"data\":[1.0,2.0]"));
    stop(&r, p);
    serve_rig_unsave(other);
    onnx_build_end(&made);
}

static void making_one_survives_failed_allocations(void)
{
    http_rig r;
    poller *p = start(&r);
    err e;
    const poller_opts opts = {
        .control = r.endpoints.control, .on = r.loop, .folder = str_of(root), .poll_us = 20000};
    FAULT_SWEEP({
        poller *other = NULL;
        if (poller_new(&other, &opts, &e)) CHECK(e.code == ERR_NOMEM && !other);
        poller_free(other);
    });
    stop(&r, p);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(changes_are_followed),
        TEST(without_inotify_it_is_looked_now_and_then),
        TEST(a_mounted_volume_is_exchanged_as_a_whole),
        TEST(a_file_that_is_exchanged_in_place_is_read_anew),
        TEST(making_one_survives_failed_allocations),
    };
    return serve_rig_main(cases, COUNTOF(cases), path);
}
