/* Each sampled request is written once, where its settings say: all in one file, so many in each numbered one, or as
 * many as were wanted; numbered files are there when they are whole; a disk that fails, is full or hangs costs traces,
 * which are counted, and nobody waits for it. */
#include "fake/sys_fake.h"
#include "base/log.h"
#include "http_rig.h"
#include "os/clock.h"
#include "os/file.h"
#include "serve/trace_log.h"

#include <dirent.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static char folder[64], path[100], model_path[64];   /* of this run */
static trace_setting all, one;
static char lines[8192];
static pthread_mutex_t lines_lock = PTHREAD_MUTEX_INITIALIZER;   /* guards lines: two threads log */

static void take_line(const char *line, size_t len)
{
    pthread_mutex_lock(&lines_lock);
    size_t at = strlen(lines);
    if (at + len < sizeof lines) snprintf(lines + at, sizeof lines - at, "%.*s", (int)len, line);
    pthread_mutex_unlock(&lines_lock);
}

/* Times that the log said it. */
static size_t said(const char *what)
{
    size_t count = 0;
    pthread_mutex_lock(&lines_lock);
    for (const char *p = lines; (p = strstr(p, what)); p++) count++;
    pthread_mutex_unlock(&lines_lock);
    return count;
}

static const char *name_of(const char *suffix)
{
    static char name[200];
    snprintf(name, sizeof name, "%s%s", path, suffix);
    return name;
}

static const char *holds(const char *suffix)
{
    static char text[1 << 16];
    FILE *f = fopen(name_of(suffix), "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) fclose(f);
    text[n] = 0;
    return f ? text : "none";
}

/* The ids in a file: "1,2,3". */
static const char *ids(const char *suffix)
{
    static char text[4096];
    const char *p = holds(suffix);
    size_t at = 0, len = strlen(p);
    if (strcmp(p, "none") == 0) return p;
    CHECK(len >= 2 && p[0] == '[' && p[len - 1] == ']');
    text[0] = 0;
    while ((p = strstr(p, "{\"id\":")) && at + 24 < sizeof text) {
        unsigned long id = strtoul(p += 6, NULL, 10);
        if (strncmp(strchr(p, ','), ",\"model_name\"", 13) != 0) continue;
        at += (size_t)snprintf(text + at, sizeof text - at, at ? ",%lu" : "%lu", id);
    }
    return text;
}

static void clean(void)
{
    DIR *d = opendir(folder);
    for (const struct dirent *f; (f = readdir(d));)
        if (f->d_name[0] == 't') (void)unlink(name_of(f->d_name + strlen("traces")));
    closedir(d);
    all = one = (trace_setting){.given = 0};
    pthread_mutex_lock(&lines_lock);
    lines[0] = 0;
    pthread_mutex_unlock(&lines_lock);
}

static void set(bool of_one, const char *json)
{
    const trace_settings s = {.own = of_one ? &one : &all, .server = of_one ? &all : NULL, .file = STR("t")};
    err e;
    CHECK(trace_setting_read(&s, str_of(json), &e) == ERR_OK);
}

static trace_log *start(uint64_t bytes_max)
{
    trace_log *l = NULL;
    err e;
    CHECK(trace_log_new(&l, &(trace_log_opts){.path = path, .server = &all, .bytes_max = bytes_max}, &e) == ERR_OK);
    return l;
}

static trace_entry *begin(trace_log *l)
{
    trace_entry *t = trace_log_begin(l, &one);
    if (t) {
        t->model = STR("m");
        t->at_ns[TRACE_AT_REQUEST_START] = 5;
    }
    return t;
}

static void ask(trace_log *l, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        trace_entry *t = begin(l);
        if (t) trace_log_end(l, t);
    }
}

static uint64_t total(const trace_log *l)
{
    trace_log_stats s;
    trace_log_stats_read(l, &s);
    return s.written + s.dropped + s.failed;
}

/* Until so many have met their end. */
static void await(const trace_log *l, uint64_t count)
{
    for (int i = 0; i < 60000 && total(l) < count; i++) (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    CHECK_U64(total(l), count);
}

static void await_file(const char *suffix)
{
    for (int i = 0; i < 60000 && access(name_of(suffix), F_OK) != 0; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

#define ON "\"trace_level\":[\"TIMESTAMPS\"],\"trace_rate\":\"1\""

static void all_go_into_one_file_which_is_json_all_the_time(void)
{
    clean();
    trace_log *l = start(0);
    ask(l, 5);
    CHECK_STR(holds(""), "none");   /* tracing is off */
    set(false, "{" ON "}");
    ask(l, 2);
    await(l, 2);
    CHECK_STR(ids(""), "1,2");
    ask(l, 1);
    trace_log_free(l);
    CHECK_STR(ids(""), "1,2,3");
    static const char first[] =
        "[{\"id\":1,\"model_name\":\"m\",\"model_version\":-1},{\"id\":1,\"timestamps\":[{\"name\":\"REQUEST_START\","
        "\"ns\":5}]},{\"id\":1,\"timestamps\":[{\"name\":\"HTTP_SEND_END\",\"ns\":";
    CHECK(strncmp(holds(""), first, strlen(first)) == 0);
}

static void numbered_files_appear_when_they_are_whole(void)
{
    clean();
    trace_log *l = start(0);
    set(false, "{" ON ",\"log_frequency\":\"2\"}");
    ask(l, 5);
    await(l, 5);
    CHECK_STR(ids(".0"), "1,2");
    CHECK_STR(ids(".1"), "3,4");
    CHECK_STR(ids(".2"), "none");
    set(false, "{\"log_frequency\":\"3\"}");   /* what was gathered by the old settings is for itself */
    trace_log_changed(l);
    await_file(".2");
    CHECK_STR(ids(".2"), "5");
    ask(l, 4);
    trace_log_free(l);
    CHECK_STR(ids(".3"), "6,7,8");
    CHECK_STR(ids(".4"), "9");
    CHECK_STR(ids(""), "none");
    CHECK_STR(holds(".part0"), "none");
}

static void a_count_ends_with_a_file_once_the_last_is_there(void)
{
    clean();
    trace_log *l = start(0);
    set(false, "{" ON ",\"trace_count\":\"3\"}");
    trace_entry *late = begin(l);
    ask(l, 4);
    await(l, 2);
    CHECK_STR(ids(".0"), "none");
    trace_log_end(l, late);
    await_file(".0");
    CHECK_STR(ids(".0"), "2,3,1");
    ask(l, 3);
    trace_log_free(l);
    CHECK_STR(ids(".1"), "none");
}

/* Each of them has its own, at the same time. */
static void models_with_settings_fill_their_own_files(void)
{
    clean();
    trace_log *l = start(0);
    set(false, "{" ON "}");
    ask(l, 1);
    set(true, "{\"log_frequency\":\"2\"}");
    ask(l, 3);
    set(true, "{\"log_frequency\":null}");
    trace_log_changed(l);
    await_file(".1");
    ask(l, 1);
    trace_log_free(l);
    CHECK_STR(ids(""), "1,5");
    CHECK_STR(ids(".0"), "2,3");
    CHECK_STR(ids(".1"), "4");
}

/* One that began before a change and ends behind it is written all the same, by itself. */
static void who_ends_behind_a_change_is_written(void)
{
    clean();
    trace_log *l = start(0);
    set(false, "{" ON ",\"log_frequency\":\"9\"}");
    trace_entry *late = begin(l), *later = begin(l);
    ask(l, 1);
    await(l, 1);
    set(false, "{\"trace_level\":[\"OFF\"]}");
    trace_log_changed(l);
    trace_log_end(l, late);
    await(l, 2);
    CHECK_STR(ids(".0"), "none");
    trace_log_end(l, later);
    await_file(".0");
    CHECK_STR(ids(".0"), "3,1,2");
    set(false, "{" ON "}");
    late = begin(l);
    set(false, "{\"log_frequency\":\"1\"}");
    ask(l, 1);
    trace_log_end(l, late);
    trace_log_free(l);
    CHECK_STR(ids(".1"), "5");
    CHECK_STR(ids(".2"), "4");
}

static void more_files_than_there_may_be_end_the_oldest(void)
{
    static trace_setting many[TRACE_LOG_PARTS_MAX + 2];
    clean();
    trace_log *l = start(0);
    for (size_t i = 0; i < COUNTOF(many); i++) {
        const trace_settings s = {.own = &many[i], .server = &all, .file = STR("t")};
        trace_entry *t;
        err e;
        CHECK(trace_setting_read(&s, STR("{" ON ",\"log_frequency\":\"5\"}"), &e) == ERR_OK);
        t = trace_log_begin(l, &many[i]);
        INVARIANT(t);
        t->model = STR("m");
        trace_log_end(l, t);
    }
    await(l, COUNTOF(many));
    CHECK_STR(ids(".0"), "1");
    CHECK_STR(ids(".1"), "2");
    CHECK_STR(ids(".2"), "none");
    trace_log_free(l);
    CHECK_STR(ids(".65"), "64");
}

static void a_full_disk_costs_traces_and_says_so_once(void)
{
    clean();
    trace_log *l = start(0);
    trace_log_stats s;
    set(false, "{" ON "}");
    ask(l, 1);
    await(l, 1);
    sys_fake_script((sys_fault[]){{SYS_write_at, .times = SYS_FAKE_EVER, .result = -ENOSPC}}, 1);
    for (size_t i = 0; i < 3; i++) {
        ask(l, 1);
        await(l, 2 + i);
    }
    sys_fake_script(NULL, 0);
    ask(l, 1);
    await(l, 5);
    trace_log_stats_read(l, &s);
    CHECK(s.written == 2 && s.failed == 3 && s.dropped == 0);
    trace_log_free(l);
    CHECK_STR(ids(""), "1,5");
    CHECK(said("No space left on device; traces are lost") == 1 && said("No space") == 1);
    CHECK_U64(said("takes them again"), 1);
}

static void bytes_are_bounded_over_all_files(void)
{
    clean();
    trace_log *l = start(100);
    trace_log_stats s;
    set(false, "{" ON ",\"log_frequency\":\"1\"}");
    ask(l, 6);
    await(l, 6);
    trace_log_stats_read(l, &s);
    CHECK(s.written >= 1 && s.written < 3 && s.dropped == 6 - s.written);
    CHECK_U64(said("trace-bytes-max: "), 1);
    trace_log_free(l);
}

static void what_no_memory_is_for_is_dropped_and_counted(void)
{
    clean();
    trace_log *l = start(0);
    trace_log_stats s;
    set(false, "{" ON ",\"trace_count\":\"2\"}");
    mem_fault_after(0);
    ask(l, 1);
    mem_fault_after(-1);
    trace_entry *t = begin(l);
    INVARIANT(t);
    t->lost = true;
    trace_log_end(l, t);
    await(l, 2);
    trace_log_stats_read(l, &s);
    CHECK(s.dropped == 2 && s.written == 0);
    trace_log_free(l);
    CHECK_STR(holds(".part0"), "none");
}

static _Atomic bool hangs, hung;

static void hang(void)
{
    atomic_store(&hung, true);
    while (atomic_load(&hangs)) (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Nobody waits for it: neither who asks nor the end of the server, which leaves the thread behind. */
static void a_disk_that_hangs_holds_nobody_up(void)
{
    static trace_log *l;   /* stays, as it does in a server that ends */
    clean();
    l = start(0);
    set(false, "{" ON "}");
    atomic_store(&hangs, true);
    sys_fake_script((sys_fault[]){{SYS_write_at, .times = 1, .result = -EIO, .then = hang}}, 1);
    ask(l, 1);
    while (!atomic_load(&hung)) (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ask(l, 100);
    CHECK_U64(total(l), 0);
    sys_fake_clock_set(clock_now_ns());
    trace_log_free(l);
    sys_fake_clock_set(0);
    CHECK_U64(said("left behind with what waits"), 1);
    const uint32_t open = atomic_load(&all.open);
    atomic_store(&hangs, false);
    await(l, 1);
    sys_fake_script(NULL, 0);
    (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    CHECK_U64(atomic_load(&all.open), open);   /* a setting is not touched any more */
}

static void of_none_there_is_nothing(void)
{
    trace_log_stats s = {.written = 1};
    trace_log_changed(NULL);
    trace_log_stats_read(NULL, &s);
    CHECK(!s.written && !s.dropped && !s.failed);
    trace_log_free(NULL);
}

static void starting_survives_failures(void)
{
    err e;
    static char long_path[FILE_PATH_MAX + 10];
    trace_log *l = NULL;
    memset(long_path, 'x', sizeof long_path - 1);
    CHECK(trace_log_new(&l, &(trace_log_opts){.path = long_path}, &e) == ERR_INVALID);
    FAULT_SWEEP({
        l = NULL;
        CHECK((trace_log_new(&l, &(trace_log_opts){.path = path, .server = &all}, &e) == ERR_OK) == (l != NULL));
        trace_log_free(l);
    });
    sys_fake_script((sys_fault[]){{SYS_thread_start, .times = 1, .result = -EAGAIN}}, 1);
    CHECK(trace_log_new(&l, &(trace_log_opts){.path = path}, &e) != ERR_OK);
    sys_fake_script(NULL, 0);
}

#define X(id, values) \
    "{\"id\":\"" id "\",\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":" values "}]}"

/* What the server itself puts into an entry, for each protocol of REST, and for what fails. */
static void a_request_says_all_of_itself(void)
{
    static const char *const models[] = {"m", model_path, NULL};
    static http_rig r;
    clean();
    bool started = http_rig_start(&r, &(http_rig_opts){.threads = "1", .trace_file = path}, models);
    INVARIANT(started);
    static const char on[] = "{\"trace_level\":[\"TIMESTAMPS\",\"TENSORS\"],\"trace_rate\":\"1\"}";
    CHECK(strncmp(http_rig_post(&r, "/v2/trace/setting", "", on, strlen(on)), "200 ", 4) == 0);
    static const char good[] = X("a\\\"b", "[1,2]"), bad[] = X("c", "[1]"), rows[] = "{\"instances\":[[3,4]]}";
    CHECK(strncmp(http_rig_post(&r, "/v2/models/m/infer", "", good, strlen(good)), "200 ", 4) == 0);
    CHECK(strncmp(http_rig_post(&r, "/v2/models/m/infer", "", bad, strlen(bad)), "400 ", 4) == 0);
    CHECK(strncmp(http_rig_post(&r, "/v1/models/m:predict", "", rows, strlen(rows)), "200 ", 4) == 0);
    CHECK(strstr(http_rig_get(&r, "/metrics"), "200 "));
    http_rig_stop(&r);
    CHECK_STR(ids(""), "1,2,3");
    const char *text = holds(""), *second = strstr(text, "{\"id\":2,"), *third = strstr(text, "{\"id\":3,");
    INVARIANT(second && third);
    CHECK(strstr(text, "{\"id\":1,\"model_name\":\"m\",\"model_version\":1,\"request_id\":\"a\\\"b\"}"));
    CHECK(strstr(text, "{\"name\":\"x\",\"data\":\"1.0,2.0\",\"shape\":\"1,2\",\"dtype\":\"FP32\"}") < second);
    CHECK(strstr(text, "{\"name\":\"y\",\"data\":\"2.0,4.0\",\"shape\":\"1,2\",\"dtype\":\"FP32\"}") < second);
    CHECK(strstr(second, "QUEUE_START") > third && strstr(second, "activity") > third);
    CHECK(strstr(third, "\"data\":\"6.0,8.0\"") && strstr(third, "HTTP_SEND_END") && !strstr(third, "request_id"));
}

int main(void)
{
    static const test_case cases[] = {
        TEST(all_go_into_one_file_which_is_json_all_the_time),
        TEST(numbered_files_appear_when_they_are_whole),
        TEST(a_count_ends_with_a_file_once_the_last_is_there),
        TEST(models_with_settings_fill_their_own_files),
        TEST(who_ends_behind_a_change_is_written),
        TEST(more_files_than_there_may_be_end_the_oldest),
        TEST(a_full_disk_costs_traces_and_says_so_once),
        TEST(bytes_are_bounded_over_all_files),
        TEST(what_no_memory_is_for_is_dropped_and_counted),
        TEST(of_none_there_is_nothing),
        TEST(starting_survives_failures),
        TEST(a_request_says_all_of_itself),
        TEST(a_disk_that_hangs_holds_nobody_up),   /* the last: its thread lives on */
    };
    snprintf(folder, sizeof folder, "/tmp/proa-traces-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/traces", folder);
    log_setup(&(log_opts){.level = LOG_INFO, .sink = take_line, .clock_us = clock_wall_us});
    onnx_build twice;
    serve_rig_twice(&twice);
    serve_rig_save(&twice, model_path);
    int status = test_main(cases, COUNTOF(cases));
    clean();
    serve_rig_unsave(model_path);
    onnx_build_end(&twice);
    (void)rmdir(folder);
    return status;
}
