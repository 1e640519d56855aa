/* What comes, changes and goes in the model repository is served, served anew and unloaded, with inotify or without;
 * what stays is not read again, and a folder that does not load is said once.  So it is when the path to the repository
 * leads to another folder, whichever link or folder on it is exchanged; while it leads nowhere what serves goes on. */
#include "http_rig.h"
#include "models/poller.h"

#include "base/log.h"
#include "fake/sys_fake.h"
#include "serve/conf_models.h"
#include "test_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BY_CLOCK_US = 20000, BY_EVENT_US = 60000000 };

static char path[64], polled[100];
static const char body[] = "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]}]}";

static void model_make(const char *name, const char *version)
{
    char text[100];
    INVARIANT(mkdir(test_folder_path(name), 0700) == 0 || access(test_folder_path(name), F_OK) == 0);
    snprintf(text, sizeof text, "%s/%s", name, version);
    INVARIANT(mkdir(test_folder_path(text), 0700) == 0);
    snprintf(text, sizeof text, "%s/%s/model.onnx", name, version);
    INVARIANT(symlink(path, test_folder_path(text)) == 0);
}

static void remove_all(const char *name)
{
    char command[200];
    /* at once: a look in the middle would find a model without its file */
    if (name[0]) INVARIANT(rename(test_folder_path(name), test_folder_path(".gone")) == 0);
    snprintf(command, sizeof command, "rm -r %s", test_folder_path(name[0] ? ".gone" : ""));
    INVARIANT(system(command) == 0);
}

/* Of the test folder's `name`. */
static poller *start_at(http_rig *r, const char *name, uint64_t poll_us)
{
    err e;
    poller *p = NULL;
    snprintf(polled, sizeof polled, "%s%s", test_folder, name);
    const http_rig_opts rig = {.threads = "1", .model_control = "poll", .model_repository = polled};
    bool started = http_rig_start(r, &rig, (const char *const[]){NULL});
    INVARIANT(started);
    const poller_opts opts = {
        .control = r->endpoints.control, .on = r->loop, .folder = str_of(polled), .poll_us = poll_us};
    CHECK(poller_new(&p, &opts, &e) == ERR_OK);
    return p;
}

static poller *start(http_rig *r, uint64_t poll_us)
{
    INVARIANT(test_folder_open());
    model_make("a", "1");
    return start_at(r, "", poll_us);
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
    INVARIANT(mkdir(test_folder_path("c"), 0700) == 0);
    CHECK(http_rig_index_says(r, "{\"name\":\"c\",\"version\":\"\",\"state\":\"UNAVAILABLE\",\"reason\":\"/tmp/"));
    remove_all("b");
    CHECK(http_rig_index_says(r,
                              "{\"name\":\"b\",\"version\":\"7\",\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded\"}"));
    CHECK_U64(counted(r, "\nproa_model_loads_total{result=\"failed\"} "), 1);   /* of c, looked at more than once */
    CHECK(strstr(http_rig_post(r, "/v2/repository/models/a/load", "", "", 0), "is not allowed if polling is enabled"));
}

static _Atomic uint32_t lost_lines, odd_lines, opened_lines, added_lines, denied_lines;

static uint64_t clock_us(void) { return 0; }

static void count_line(const char *line, size_t len)
{
    static const struct {
        const char *text;
        _Atomic uint32_t *count;
    } rows[] = {{"New folder: passed over: model name: expected 1..128", &odd_lines},
                {"what serves goes on", &lost_lines},
                {"inotify: cannot watch folders: Too many open files: it is looked every", &opened_lines},
                {": cannot watch the folder: No space left on device: it is looked every", &added_lines},
                {"/a/1: cannot watch the folder: Permission denied: it is looked every", &denied_lines}};
    for (size_t i = 0; i < COUNTOF(rows); i++)
        if (memmem(line, len, rows[i].text, strlen(rows[i].text))) atomic_fetch_add(rows[i].count, 1);
}

static void changes_are_followed(void)
{
    http_rig r;
    poller *p = start(&r, BY_EVENT_US);
    follow(&r);
    stop(&r, p);
}

static void without_inotify_it_is_looked_now_and_then(void)
{
    http_rig r;
    sys_fake_script((sys_fault[]){{SYS_watch_open, .times = SYS_FAKE_EVER, .result = -EMFILE}}, 1);
    poller *p = start(&r, BY_CLOCK_US);
    follow(&r);
    stop(&r, p);
    CHECK_U64(atomic_load(&opened_lines), 1);
    sys_fake_script((sys_fault[]){{SYS_watch_add, .times = SYS_FAKE_EVER, .result = -ENOSPC}}, 1);
    p = start(&r, BY_CLOCK_US);
    follow(&r);
    uint64_t looks = sys_fake_calls(SYS_watch_open);   /* one for each */
    http_rig_turn(&r, 400);
    CHECK(sys_fake_calls(SYS_watch_open) > looks && sys_fake_calls(SYS_watch_open) <= looks + 20);
    stop(&r, p);
    CHECK_U64(atomic_load(&added_lines), 1);
    sys_fake_script(NULL, 0);
}

/* The reason is said: a folder of another user's is no lack of inotify. */
static void a_folder_that_cannot_be_watched_is_named(void)
{
    http_rig r;
    INVARIANT(test_folder_open());
    model_make("a", "1");
    model_make("b", "1");
    /* Behind /, /tmp, the folder and a: the first of several is named. */
    sys_fake_script((sys_fault[]){{SYS_watch_add, .skip = 4, .times = SYS_FAKE_EVER, .result = -EACCES}}, 1);
    poller *p = start_at(&r, "", BY_CLOCK_US);
    HTTP_RIG_UNTIL(&r, atomic_load(&denied_lines));
    http_rig_turn(&r, 300);
    CHECK_U64(atomic_load(&denied_lines), 1);
    stop(&r, p);
    sys_fake_script(NULL, 0);
}

/* As Kubernetes exchanges a mounted volume: names are links through ..data, which another is renamed over. */
static void a_mounted_volume_is_exchanged_as_a_whole(void)
{
    http_rig r;
    poller *p = start(&r, BY_EVENT_US);
    INVARIANT(mkdir(test_folder_path("..1"), 0700) == 0 && mkdir(test_folder_path("..2"), 0700) == 0);
    model_make("..1/m", "1");
    model_make("..2/m", "2");
    INVARIANT(symlink("..1", test_folder_path("..data")) == 0 && symlink("..data/m", test_folder_path("m")) == 0);
    CHECK(http_rig_index_says(&r, "{\"name\":\"m\",\"version\":\"1\",\"state\":\"READY\"}"));
    INVARIANT(symlink("..2", test_folder_path("..tmp")) == 0);
    INVARIANT(rename(test_folder_path("..tmp"), test_folder_path("..data")) == 0);
    CHECK(http_rig_index_says(&r, "{\"name\":\"m\",\"version\":\"2\",\"state\":\"READY\"}"));
    stop(&r, p);
}

/* Under the same name and version: nothing is kept of what was read before. */
static void a_file_that_is_exchanged_in_place_is_read_anew(void)
{
    char other[64];
    onnx_build made;
    http_rig r;
    poller *p = start(&r, BY_EVENT_US);
    CHECK(http_rig_answers(&r, "/v2/models/a/infer", body, "\"data\":[2.0,4.0]"));
    serve_rig_same(&made, DT_F32, "N,2");
    serve_rig_save(&made, other);
    INVARIANT(symlink(other, test_folder_path("a/1/.new")) == 0);
    INVARIANT(rename(test_folder_path("a/1/.new"), test_folder_path("a/1/model.onnx")) == 0);
    HTTP_RIG_UNTIL(&r, strstr(http_rig_post(&r, "/v2/models/a/infer", "", body, strlen(body)), "\"data\":[1.0,2.0]"));
    CHECK(strstr(r.text, "\"data\":[1.0,2.0]"));
    stop(&r, p);
    serve_rig_unsave(other);
    onnx_build_end(&made);
}

/* The reason is of what could not be loaded, and goes with it. */
static void a_change_that_is_taken_back_leaves_nothing_to_say(void)
{
    http_rig r;
    poller *p = start(&r, BY_EVENT_US);
    for (int i = 0; i < 2; i++) {
        FILE *f = fopen(test_folder_path("a/config.pbtxt"), "w");
        INVARIANT(f && fputs("max_bach_size: 4", f) > 0 && fclose(f) == 0);
        CHECK(http_rig_index_says(&r, "\"version\":\"1\",\"state\":\"READY\",\"reason\":\""));
        CHECK(strstr(r.got, "unknown field 'max_bach_size'"));
        INVARIANT(unlink(test_folder_path("a/config.pbtxt")) == 0);
        CHECK(http_rig_index_says(&r, "[{\"name\":\"a\",\"version\":\"1\",\"state\":\"READY\"}]"));
    }
    CHECK_U64(counted(&r, "\nproa_model_loads_total{result=\"ok\"} "), 0);   /* it was not read again */
    stop(&r, p);
}

/* Weights beside the model, samples, states, and what no load reads: in folders of a version, and of the model. */
static void what_lies_in_folders_within_is_heard(void)
{
    static const char *const folders[] = {"a/1/sub", "a/initial_state", "a/other"};
    static const char loads[] = "\nproa_model_loads_total{result=\"ok\"} ";
    http_rig r;
    poller *p = start(&r, BY_EVENT_US);
    CHECK(http_rig_index_says(&r, "[{\"name\":\"a\",\"version\":\"1\",\"state\":\"READY\"}]"));
    for (size_t i = 0; i < COUNTOF(folders); i++) {
        char file[100];
        snprintf(file, sizeof file, "%s/w", folders[i]);
        INVARIANT(mkdir(test_folder_path(folders[i]), 0700) == 0);
        http_rig_turn(&r, 600);
        uint64_t before = counted(&r, loads);
        for (uint64_t n = 1; n < 3; n++) {   /* it comes, and is exchanged */
            INVARIANT(symlink(path, test_folder_path(".new")) == 0);
            INVARIANT(rename(test_folder_path(".new"), test_folder_path(file)) == 0);
            HTTP_RIG_UNTIL(&r, counted(&r, loads) == before + n);
            CHECK_U64(counted(&r, loads), before + n);
            INVARIANT(utimensat(AT_FDCWD, path, NULL, 0) == 0);   /* another file by its stamp */
        }
    }
    stop(&r, p);
}

/* ---- the path to the repository ---- */

static char same[64];
static onnx_build same_made;

/* Two revisions as git-sync lays them out: m is another model in each, and each has one of its own. */
static void revisions_make(void)
{
    static const char *const folders[] = {"rev2", "rev2/models", "rev3", "rev3/models", "rev3/models/m",
                                          "rev3/models/m/1"};
    INVARIANT(test_folder_open());
    for (size_t i = 0; i < COUNTOF(folders); i++) INVARIANT(mkdir(test_folder_path(folders[i]), 0700) == 0);
    model_make("rev2/models/m", "1");
    model_make("rev2/models/two", "1");
    model_make("rev3/models/three", "1");
    serve_rig_same(&same_made, DT_F32, "N,2");
    serve_rig_save(&same_made, same);
    INVARIANT(symlink(same, test_folder_path("rev3/models/m/1/model.onnx")) == 0);
}

static void revisions_end(void)
{
    serve_rig_unsave(same);
    onnx_build_end(&same_made);
}

static void switched(const char *name, const char *to)
{
    INVARIANT(symlink(to, test_folder_path(".new")) == 0);
    INVARIANT(rename(test_folder_path(".new"), test_folder_path(name)) == 0);
}

/* Until m of that revision answers; it may be either until then, but nothing else. */
static bool answers(http_rig *r, int revision)
{
    const char *want[] = {"\"data\":[2.0,4.0]", "\"data\":[1.0,2.0]"};
    for (int i = 0; i < 4000; i++) {
        const char *got = http_rig_post(r, "/v2/models/m/infer", "", body, strlen(body));
        if (strstr(got, want[revision - 2])) return true;
        if (!strstr(got, want[3 - revision])) return false;
        http_rig_turn(r, 5);
    }
    return false;
}

static size_t watches(void)
{
    size_t n = 0;
    char line[400];
    DIR *all = opendir("/proc/self/fdinfo");
    INVARIANT(all);
    for (const struct dirent *d; (d = readdir(all)) != NULL;) {
        snprintf(line, sizeof line, "/proc/self/fdinfo/%s", d->d_name);
        FILE *f = fopen(line, "r");
        while (f && fgets(line, sizeof line, f)) n += strncmp(line, "inotify ", 8) == 0;
        if (f) fclose(f);
    }
    closedir(all);
    return n;
}

static void switch_to_and_fro(http_rig *r, const char *link, const char *two, const char *three)
{
    char absolute[100];
    snprintf(absolute, sizeof absolute, "%s/%s", test_folder, two);
    CHECK(answers(r, 2));
    http_rig_turn(r, 600);   /* the first look, and what may still be looked at */
    size_t before = watches();
    for (int i = 0; i < 3; i++) {
        switched(link, three);
        CHECK(answers(r, 3));
        CHECK(http_rig_index_says(r, "{\"name\":\"three\",\"version\":\"1\",\"state\":\"READY\"}"));
        CHECK(http_rig_index_says(r, "\"two\",\"version\":\"1\",\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded\"}"));
        switched(link, absolute);
        CHECK(answers(r, 2));
        CHECK(http_rig_index_says(r, "{\"name\":\"two\",\"version\":\"1\",\"state\":\"READY\"}"));
        CHECK(http_rig_index_says(r, "\"three\",\"version\":\"1\",\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded\"}"));
    }
    http_rig_turn(r, 600);
    CHECK(before > 0);
    CHECK_U64(watches(), before);
}

static void a_link_on_the_path_may_be_switched(void)
{
    http_rig r;
    revisions_make();
    INVARIANT(symlink("rev2", test_folder_path("cur")) == 0);
    poller *p = start_at(&r, "/cur/models", BY_EVENT_US);
    switch_to_and_fro(&r, "cur", "rev2", "./rev3");
    stop(&r, p);
    revisions_end();
    revisions_make();
    INVARIANT(symlink("to", test_folder_path("models")) == 0 && symlink("rev2/models", test_folder_path("to")) == 0);
    p = start_at(&r, "/models", BY_EVENT_US);   /* itself, and by a chain */
    switch_to_and_fro(&r, "to", "rev2/models", "rev3/models");
    stop(&r, p);
    revisions_end();
}

/* The whole of it, by one stat() now and then, where the links are not watched. */
static void what_is_not_heard_is_found_by_the_clock(void)
{
    http_rig r;
    revisions_make();
    INVARIANT(symlink("rev2", test_folder_path("cur")) == 0);
    sys_fake_script((sys_fault[]){{SYS_watch_open, .times = 1, .result = -EMFILE}}, 1);
    poller *p = start_at(&r, "/cur/models", BY_CLOCK_US);
    CHECK(answers(&r, 2));
    HTTP_RIG_UNTIL(&r, sys_fake_hits() == 1);
    http_rig_turn(&r, 300);
    uint64_t lists = sys_fake_calls(SYS_list);
    http_rig_turn(&r, 300);
    CHECK_U64(sys_fake_calls(SYS_list), lists);   /* no folder is listed meanwhile */
    switched("cur", "rev3");
    CHECK(answers(&r, 3));
    sys_fake_script(NULL, 0);
    stop(&r, p);
    revisions_end();
}

static void while_the_path_leads_nowhere_what_serves_goes_on(void)
{
    http_rig r;
    revisions_make();
    INVARIANT(symlink("rev2", test_folder_path("cur")) == 0);
    poller *p = start_at(&r, "/cur/models", BY_CLOCK_US);
    CHECK(answers(&r, 2));
    atomic_store(&lost_lines, 0);
    switched("cur", "nowhere");
    HTTP_RIG_UNTIL(&r, atomic_load(&lost_lines));
    switched("cur", "nowhere/else");
    http_rig_turn(&r, 500);
    CHECK(answers(&r, 2));
    CHECK(strcmp(http_rig_ready(&r), "m t ") == 0);
    CHECK(rename(test_folder_path("rev3"), test_folder_path("nowhere")) == 0);
    switched("cur", "nowhere");
    CHECK(answers(&r, 3));
    CHECK_U64(atomic_load(&lost_lines), 1);
    CHECK(unlink(test_folder_path("cur")) == 0);
    HTTP_RIG_UNTIL(&r, atomic_load(&lost_lines) == 2);   /* another time is another line */
    CHECK_U64(atomic_load(&lost_lines), 2);
    CHECK(answers(&r, 3));
    stop(&r, p);
    revisions_end();
}

/* It is there, but not to be listed: as a folder of mkdtemp() is to another user. */
static void a_folder_that_cannot_be_read_is_looked_at_now_and_then(void)
{
    http_rig r;
    revisions_make();
    INVARIANT(symlink("rev2", test_folder_path("cur")) == 0);
    poller *p = start_at(&r, "/cur/models", BY_CLOCK_US);
    CHECK(answers(&r, 2));
    http_rig_turn(&r, 400);
    atomic_store(&lost_lines, 0);
    sys_fake_script((sys_fault[]){{SYS_list, .times = SYS_FAKE_EVER, .result = -EACCES}}, 1);
    switched("cur", "rev3");
    HTTP_RIG_UNTIL(&r, atomic_load(&lost_lines));
    http_rig_turn(&r, 300);
    uint64_t lists = sys_fake_calls(SYS_list);
    http_rig_turn(&r, 400);
    CHECK(sys_fake_calls(SYS_list) > lists && sys_fake_calls(SYS_list) <= lists + 20);
    CHECK_U64(atomic_load(&lost_lines), 1);
    CHECK(answers(&r, 2));
    sys_fake_script(NULL, 0);
    CHECK(answers(&r, 3));
    stop(&r, p);
    revisions_end();
}

static void a_name_that_no_model_can_have_is_said_once(void)
{
    http_rig r;
    poller *p = start(&r, BY_EVENT_US);
    INVARIANT(mkdir(test_folder_path("New folder"), 0700) == 0);
    HTTP_RIG_UNTIL(&r, atomic_load(&odd_lines));
    model_make("b", "1");
    CHECK(http_rig_index_says(&r, "{\"name\":\"b\",\"version\":\"1\",\"state\":\"READY\"}"));
    CHECK_U64(atomic_load(&odd_lines), 1);
    stop(&r, p);
}

static void another_folder_may_take_its_place(void)
{
    http_rig r;
    revisions_make();
    poller *p = start_at(&r, "/rev2/models", BY_EVENT_US);
    CHECK(answers(&r, 2));
    INVARIANT(rename(test_folder_path("rev2/models"), test_folder_path("old")) == 0);
    http_rig_turn(&r, 400);
    CHECK(answers(&r, 2));
    INVARIANT(rename(test_folder_path("rev3/models"), test_folder_path("rev2/models")) == 0);
    CHECK(answers(&r, 3));
    INVARIANT(rename(test_folder_path("rev2"), test_folder_path("rev4")) == 0);   /* one above it */
    http_rig_turn(&r, 400);
    INVARIANT(mkdir(test_folder_path("rev2"), 0700) == 0);
    INVARIANT(rename(test_folder_path("old"), test_folder_path("rev2/models")) == 0);
    CHECK(answers(&r, 2));
    stop(&r, p);
    revisions_end();
}

static void making_one_survives_failed_allocations(void)
{
    http_rig r;
    poller *p = start(&r, BY_EVENT_US);
    err e;
    const poller_opts opts = {
        .control = r.endpoints.control, .on = r.loop, .folder = str_of(test_folder), .poll_us = BY_CLOCK_US};
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
        TEST(a_folder_that_cannot_be_watched_is_named),
        TEST(a_mounted_volume_is_exchanged_as_a_whole),
        TEST(a_file_that_is_exchanged_in_place_is_read_anew),
        TEST(a_change_that_is_taken_back_leaves_nothing_to_say),
        TEST(what_lies_in_folders_within_is_heard),
        TEST(a_link_on_the_path_may_be_switched),
        TEST(what_is_not_heard_is_found_by_the_clock),
        TEST(while_the_path_leads_nowhere_what_serves_goes_on),
        TEST(a_folder_that_cannot_be_read_is_looked_at_now_and_then),
        TEST(a_name_that_no_model_can_have_is_said_once),
        TEST(another_folder_may_take_its_place),
        TEST(making_one_survives_failed_allocations),
    };
    /* Before there are threads that read it. */
    log_setup(&(log_opts){.level = LOG_INFO, .sink = count_line, .clock_us = clock_us});
    return serve_rig_main(cases, COUNTOF(cases), path);
}
