/* Within a budget of memory a model that is not there is brought when it is asked for, once for all who ask, and who
 * was used longest ago makes room: nobody is refused because a model was not loaded, unless it never fits, cannot be
 * loaded, or does not come in time. */
#include "fake/sys_fake.h"
#include "grpc_rig.h"
#include "model_folder.h"
#include "models/model_control.h"
#include "models/model_keeper.h"
#include "os/clock.h"
#include "os/thread.h"
#include "test.h"

static char path[64];
static const char body[] = "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]}]}";

#define M "/v2/models/m/infer"
#define N "/v2/models/n/infer"

static void start(http_rig *r, const http_rig_opts *o)
{
    bool started = http_rig_start(r, o, (const char *const[]){"m", path, "n", path, NULL});
    INVARIANT(started);
}

static model_keeper_stats stats(http_rig *r)
{
    model_keeper_stats s;
    keeper_stats_read(r->endpoints.keeper, &s);
    return s;
}

static uint64_t waited(http_rig *r)
{
    uint64_t count, ns;
    metric_sum(stats(r).wait, &count, &ns);
    return count;
}

/* What one of the models takes, and half as much: room for one. */
static const char *room_for_one(void)
{
    static char text[24];
    http_rig r;
    if (text[0]) return text;
    start(&r, &(http_rig_opts){.threads = "1", .models_memory_max = "1Gi"});
    CHECK(http_rig_answers(&r, M, body, "200 OK"));
    HTTP_RIG_UNTIL(&r, stats(&r).in == 1);
    snprintf(text, sizeof text, "%" PRIu64, stats(&r).bytes * 3 / 2);
    http_rig_stop(&r);
    return text;
}

static void a_model_is_loaded_when_it_is_asked_for(void)
{
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1", .models_memory_max = "1Gi"});
    CHECK(http_rig_index_says(&r, "[{\"name\":\"m\",\"version\":\"1\",\"state\":\"UNAVAILABLE\","
                         "\"reason\":\"not loaded yet: on demand\"},{"));
    CHECK(http_rig_gets(&r, "/v2/models", "{\"models\":[\"m\",\"n\"]}"));
    CHECK(http_rig_gets(&r, "/v2/models/m/ready", "200 OK") && http_rig_gets(&r, "/v1/models/m", "\"ready\":true"));
    CHECK(http_rig_gets(&r, "/v2/models/m/stats", "{\"model_stats\":[]}"));
    CHECK(http_rig_gets(&r, "/v2/models/m/trace/setting", "200 OK"));
    CHECK_U64(stats(&r).misses, 0);
    CHECK(http_rig_answers(&r, M, body, "\"data\":[2.0,4.0]"));
    CHECK(http_rig_index_says(&r, "[{\"name\":\"m\",\"version\":\"1\",\"state\":\"READY\"},{"));
    CHECK(http_rig_gets(&r, "/v2/models/n", "\"inputs\":[{\"name\":\"x\""));   /* metadata needs it, too */
    CHECK(http_rig_answers(&r, M, body, "200 OK"));
    CHECK_U64(stats(&r).misses, 2);
    CHECK_U64(waited(&r), 2);
    CHECK(http_rig_gets(&r, "/v2/models/o/ready", "404") && http_rig_answers(&r, "/v2/models/o/infer", body, "404"));
    CHECK(http_rig_gets(&r, "/v2/models/m/versions/2", "404"));
    http_rig_stop(&r);
}

/* Who asks whether it is ready, or for its statistics, does not load it; nor who asks for what there is not. */
static void what_waits_is_ready_under_all_its_names(void)
{
    http_rig r;
    static const char names[] = "prod=m,old=m:1,none=m:2,m:stable=m:1";
    start(&r, &(http_rig_opts){.threads = "1", .models_memory_max = "1Gi", .alias = names});
    static const char *const ready[] = {"/v2/models/m/versions/1/ready", "/v2/models/prod/ready", "/v1/models/prod",
                                        "/v2/models/old/ready", "/v2/models/old/stats",
                                        "/v2/models/m/versions/1/stats"};
    static const char *const missing[] = {"/v2/models/m/versions/2/ready", "/v2/models/none/ready", "/v1/models/none",
                                          "/v2/models/m/versions/2/stats", "/v2/models/m/versions/2",
                                          "/v1/models/m/versions/2", "/v1/models/m/labels/nobody"};
    for (size_t i = 0; i < COUNTOF(ready); i++) CHECK(http_rig_gets(&r, ready[i], "200 OK"));
    for (size_t i = 0; i < COUNTOF(missing); i++) CHECK(http_rig_gets(&r, missing[i], "404 Not Found"));
    CHECK(http_rig_gets(&r, "/v1/models/m/versions/1", "[{\"version\":\"1\",\"state\":\"AVAILABLE\""));
    CHECK(http_rig_gets(&r, "/v1/models/m/labels/stable", "[{\"version\":\"1\",\"state\":\"AVAILABLE\""));
    CHECK(http_rig_answers(&r, "/v2/models/m/versions/2/infer", body,
                           "Model with name m and version 2 does not exist."));
    CHECK(http_rig_answers(&r, "/v2/models/none/infer", body, "Model with name m and version 2 does not exist."));
    CHECK(http_rig_index_says(&r, "{\"name\":\"m:stable\",\"version\":\"1\",\"state\":\"READY\",\"reason\":\"label "
                                  "of m\"}"));
    CHECK(http_rig_index_says(&r, "{\"name\":\"none\",\"version\":\"2\",\"state\":\"UNAVAILABLE\",\"reason\":\"Model "
                                  "with name m and version 2 does not exist.\"}"));
    CHECK(http_rig_gets(&r, "/v2/models", "{\"models\":[\"m\",\"n\",\"old\",\"prod\"]}"));
    CHECK_U64(stats(&r).misses, 0);
    CHECK(http_rig_answers(&r, "/v2/models/old/infer", body, "\"data\":[2.0,4.0]"));
    CHECK_U64(stats(&r).misses, 1);
    http_rig_stop(&r);
}

static void who_was_used_longest_ago_makes_room(void)
{
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1", .models_memory_max = room_for_one(), .models_stay_ms = "0"});
    for (int i = 0; i < 20; i++) {
        CHECK(http_rig_answers(&r, M, body, "\"data\":[2.0,4.0]"));
        CHECK(http_rig_answers(&r, N, body, "\"data\":[2.0,4.0]"));
    }
    CHECK(http_rig_index_says(&r, "[{\"name\":\"m\",\"version\":\"1\",\"state\":\"UNAVAILABLE\","
                         "\"reason\":\"unloaded: evicted, memory\"},"
                         "{\"name\":\"n\",\"version\":\"1\",\"state\":\"READY\""));
    HTTP_RIG_UNTIL(&r, stats(&r).in == 1);
    CHECK_U64(stats(&r).evictions, 39);
    CHECK_U64(waited(&r), 40);
    CHECK(stats(&r).bytes <= stats(&r).bytes_max);
    CHECK(http_rig_get(&r, "/metrics") && strstr(r.got, "\nproa_model_evictions_total 39\n") &&
          strstr(r.got, "\nproa_model_miss_seconds_count 40\n") && strstr(r.got, "\nproa_models_in_memory 1\n"));
    http_rig_stop(&r);
}

static void one_load_is_for_all_who_ask(void)
{
    static char all[4000];
    size_t n = 0;
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1", .models_memory_max = "1Gi"});
    for (int i = 0; i < 10; i++)
        n += (size_t)snprintf(all + n, sizeof all - n,
                              "POST " M " HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    http_rig_send(&r, all, n);
    int good = 0;
    for (int i = 0; i < 12000 && good < 10; i++) {
        const char *at = r.got;
        http_rig_turn(&r, 5);
        for (at = r.got, good = 0; (at = strstr(at, "HTTP/1.1 200 OK")) != NULL; at++) good++;
    }
    CHECK_U64((uint64_t)good, 10);
    model_control_stats loads;
    model_control_stats_read(r.endpoints.control, &loads);
    CHECK_U64(loads.loaded, 1);
    http_rig_stop(&r);
}

static void what_never_fits_is_refused_in_one_line(void)
{
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1", .models_memory_max = "20000"});
    for (int i = 0; i < 3; i++)
        CHECK(http_rig_answers(&r, M, body, "503 Service Unavailable") &&
              strstr(r.text, "models-memory-max: expected at most 20000 bytes with what it needs and what is pinned"));
    CHECK(stats(&r).refused >= 1 && stats(&r).in == 0);   /* once it was read its size is known */
    CHECK(http_rig_gets(&r, "/v2/models/m/ready", "200 OK"));
    http_rig_stop(&r);
}

static void what_cannot_be_loaded_is_not_tried_for_each_request(void)
{
    char moved[80];
    model_control_stats loads;
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1", .models_memory_max = "1Gi"});
    snprintf(moved, sizeof moved, "%s.away", path);
    INVARIANT(rename(path, moved) == 0);
    for (int i = 0; i < 5; i++)
        CHECK(http_rig_answers(&r, M, body, "503 Service Unavailable") &&
              strstr(r.text, "{\"error\":\"failed to load 'm': /tmp/"));
    model_control_stats_read(r.endpoints.control, &loads);
    CHECK(loads.failed >= 1 && loads.failed < 5);   /* about one in KEEPER_FAILED_US */
    INVARIANT(rename(moved, path) == 0);
    for (int i = 0; i < 12000 && strstr(http_rig_post(&r, M, "", body, strlen(body)), "503"); i++) http_rig_turn(&r, 5);
    CHECK(strstr(r.text, "200 OK"));
    http_rig_stop(&r);
}

/* Sooner or later: a machine under load may need longer than a request waits. */
static bool comes(http_rig *r, const char *to)
{
    HTTP_RIG_UNTIL(r, strstr(http_rig_post(r, to, "", body, strlen(body)), "200 OK"));
    return strstr(r->text, "200 OK") != NULL;
}

static void who_waits_too_long_is_told_so(void)
{
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1", .models_memory_max = room_for_one(), .models_stay_ms = "0",
                               .models_wait_ms = "50"});
    CHECK(comes(&r, M));
    const uint64_t before = stats(&r).timeouts;
    served *held = http_rig_model(&r, "m");
    served_hold(held);   /* as a request does that takes long */
    CHECK(http_rig_answers(&r, N, body, "503 Service Unavailable") &&
          strstr(r.text, "{\"error\":\"model 'n': models-wait-ms: expected it in memory within 50 ms"));
    CHECK_U64(stats(&r).timeouts - before, 1);
    CHECK(http_rig_answers(&r, M, body, "200 OK"));   /* it goes on as if nothing were */
    served_release(held);
    CHECK(comes(&r, N));
    http_rig_stop(&r);
}

static int told;

static void on_told(loop *on, loop_msg *m)
{
    (void)on, (void)m;
    told++;
}

static void summon_all(http_rig *r, model_summons *all, size_t count)
{
    told = 0;
    for (size_t i = 0; i < count; i++) {
        all[i] = (model_summons){.name = STR("n"), .since_us = clock_now_us(), .on = r->loop, .msg = {.run = on_told}};
        keeper_summon(r->endpoints.keeper, &all[i]);
    }
}

static void as_many_wait_for_a_model_as_may_wait_in_its_queue(void)
{
    http_rig r;
    model_summons all[3];
    start(&r, &(http_rig_opts){.threads = "1", .models_memory_max = room_for_one(), .models_stay_ms = "0",
                               .queue_max = "2"});
    CHECK(http_rig_answers(&r, M, body, "200 OK"));
    served *held = http_rig_model(&r, "m");
    served_hold(held);
    summon_all(&r, all, COUNTOF(all));
    HTTP_RIG_UNTIL(&r, told == 1);
    CHECK(all[2].failure.code == ERR_LIMIT);
    CHECK_STR(all[2].failure.text,
              "model 'n': queue-max: expected at most 2 requests that wait for it to be loaded, got one more");
    CHECK(all[2].failure.limit && strcmp(all[2].failure.limit, "queue-max") == 0);
    CHECK(http_rig_answers(&r, N, body, "429 ") && http_rig_gets(&r, "/v2/models/n", "429 "));
    CHECK(http_rig_get(&r, "/metrics") && strstr(r.got, "\nproa_limit_hits_total{limit=\"queue-max\"} 2\n"));
    CHECK_U64(stats(&r).waiting, 2);
    CHECK_U64(stats(&r).joined, 1);
    served_release(held);
    HTTP_RIG_UNTIL(&r, told == 3);
    CHECK(all[0].failure.code == ERR_OK && all[1].failure.code == ERR_OK);
    CHECK_U64(stats(&r).waiting, 0);
    http_rig_stop(&r);
}

/* One whose own deadline passes, and one that has time. */
static void a_deadline_is_its_own_requests(void)
{
    http_rig r;
    model_summons all[3];
    start(&r, &(http_rig_opts){.threads = "1", .models_memory_max = room_for_one(), .models_stay_ms = "0"});
    CHECK(http_rig_answers(&r, M, body, "200 OK"));
    served *held = http_rig_model(&r, "m");
    served_hold(held);
    told = 0;
    for (size_t i = 0; i < 2; i++) {
        uint64_t now_us = clock_now_us();
        all[i] = (model_summons){.name = STR("n"), .since_us = now_us, .on = r.loop, .msg = {.run = on_told}};
        if (i) all[i].deadline_us = now_us + 1000;
        keeper_summon(r.endpoints.keeper, &all[i]);
    }
    HTTP_RIG_UNTIL(&r, told == 1);
    CHECK(all[1].failure.code == ERR_TIMEOUT);
    CHECK_STR(all[1].failure.text, "model 'n': the deadline passed before it was in memory");
    all[2] = (model_summons){.name = STR("n"), .since_us = clock_now_us(), .on = r.loop, .msg = {.run = on_told}};
    keeper_summon(r.endpoints.keeper, &all[2]);   /* behind the first, now that the last of them has gone */
    HTTP_RIG_UNTIL(&r, stats(&r).waiting == 2);
    served_release(held);
    HTTP_RIG_UNTIL(&r, told == 3);
    CHECK(told == 3 && all[0].failure.code == ERR_OK && all[2].failure.code == ERR_OK);
    http_rig_stop(&r);
}

/* n with a configuration of its own; m is held, so that n cannot come. */
static served *start_with(http_rig *r, const char *config)
{
    onnx_build net;
    char own[100];
    serve_rig_twice(&net);
    model_folder_remove("n");
    model_folder_put("n", &net, config);
    snprintf(own, sizeof own, "%s/n", model_folder);
    const http_rig_opts o = {.threads = "1", .models_memory_max = room_for_one(), .models_stay_ms = "0"};
    bool started = http_rig_start(r, &o, (const char *const[]){"m", path, "n", own, NULL});
    INVARIANT(started);
    CHECK(http_rig_answers(r, M, body, "200 OK"));
    served *held = http_rig_model(r, "m");
    served_hold(held);
    return held;
}

static void over_grpc_it_is_the_same_limit(void)
{
    static grpc_rig g;
    model_summons all[2];
    const http_rig_opts o = {.threads = "1", .models_memory_max = room_for_one(), .models_stay_ms = "0",
                             .queue_max = "2"};
    bool started = grpc_rig_start(&g, &o, (const char *const[]){"m", path, "n", path, NULL});
    INVARIANT(started);
    static const char metadata[] = "/inference.GRPCInferenceService/ModelMetadata";
    CHECK(str_starts(str_of(grpc_rig_unary(&g, metadata, "", STR("\n\1m"), NULL)), STR("0 ")));
    served *held = http_rig_model(&g.rig, "m");
    served_hold(held);
    summon_all(&g.rig, all, COUNTOF(all));
    CHECK_STR(grpc_rig_unary(&g, metadata, "", STR("\n\1n"), NULL),
              "8 model 'n': queue-max: expected at most 2 requests that wait for it to be loaded, got one more");
    CHECK_U64(g.rig.pools.counts.limits[METRIC_LIMIT_queue], 1);
    served_release(held);
    HTTP_RIG_UNTIL(&g.rig, told == 2);
    CHECK_U64(g.rig.pools.counts.limits[METRIC_LIMIT_queue], 1);
    grpc_rig_stop(&g);
}

static void as_many_wait_for_a_model_as_its_own_queue_takes(void)
{
    http_rig r;
    model_summons all[3];
    served *held = start_with(&r, "max_batch_size: 4 dynamic_batching { default_queue_policy { max_queue_size: 2 } }");
    summon_all(&r, all, COUNTOF(all));
    HTTP_RIG_UNTIL(&r, told == 1);
    CHECK(all[2].failure.code == ERR_LIMIT);
    CHECK_STR(all[2].failure.text,
              "model 'n': max_queue_size: expected at most 2 requests that wait for it to be loaded, got one more");
    CHECK(all[2].failure.limit && strcmp(all[2].failure.limit, "max_queue_size") == 0);
    served_release(held);
    HTTP_RIG_UNTIL(&r, told == 3);
    CHECK(all[0].failure.code == ERR_OK && all[1].failure.code == ERR_OK);
    http_rig_stop(&r);
}

#define PATIENT "{\"parameters\":{\"timeout\":1},\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2]," \
                "\"data\":[1,2]}]}"

/* Triton's parameter, of a request that has to wait for its model: it ends the wait. */
static void a_timeout_is_the_requests_own_before_its_model_is_there(void)
{
    http_rig r;
    served *held = start_with(&r, NULL);
    CHECK(http_rig_answers(&r, N, PATIENT, "503 Service Unavailable") &&
          strstr(r.text, "{\"error\":\"Request timeout expired\"}"));
    CHECK_U64(stats(&r).timeouts, 1);
    served_release(held);
    CHECK(http_rig_answers(&r, N, body, "200 OK"));
    http_rig_stop(&r);
}

/* It is longer than what is looked at for that. */
static void a_timeout_counts_the_wait_for_the_model(void)
{
    static char large[40 << 10], whole[50 << 10];
    http_rig r;
    served *held = start_with(&r, NULL);
    static const char patient[] = "{\"parameters\":{\"timeout\":20000},\"inputs\":[{\"name\":\"x\",\"datatype\":"
                                  "\"FP32\",\"shape\":[1,2],\"data\":[1,2]}]}";
    memset(large, ' ', sizeof large);
    memcpy(large, patient, sizeof patient - 1);
    int len = snprintf(whole, sizeof whole, "POST " N " HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%.*s",
                       sizeof large, (int)sizeof large, large);
    http_rig_send(&r, whole, (size_t)len);
    HTTP_RIG_UNTIL(&r, stats(&r).waiting == 1);
    http_rig_turn(&r, 30);   /* longer than it waits; its model then runs at once */
    served_release(held);
    HTTP_RIG_UNTIL(&r, http_rig_has(&r, "HTTP/1.1 "));
    CHECK(http_rig_has(&r, "503 Service Unavailable") && http_rig_has(&r, "{\"error\":\"Request timeout expired\"}"));
    CHECK_U64(stats(&r).timeouts, 0);
    http_rig_stop(&r);
}

static void a_timeout_that_the_model_does_not_take_does_not_count(void)
{
    http_rig r;
    served *held = start_with(&r, "max_batch_size: 4 dynamic_batching { }");
    static const char all[] = "POST " N " HTTP/1.1\r\nHost: h\r\nContent-Length: 97\r\n\r\n" PATIENT;
    http_rig_send(&r, all, sizeof all - 1);
    HTTP_RIG_UNTIL(&r, stats(&r).waiting == 1);
    served_release(held);
    HTTP_RIG_UNTIL(&r, http_rig_has(&r, "\"data\":[2.0,4.0]"));
    CHECK(http_rig_has(&r, "200 OK"));
    http_rig_stop(&r);
}

/* Who waits when the server leaves is told so. */
static void who_waits_at_the_end_is_told(void)
{
    http_rig r;
    model_summons s;
    start(&r, &(http_rig_opts){.threads = "1", .models_memory_max = room_for_one(), .models_stay_ms = "0"});
    CHECK(http_rig_answers(&r, M, body, "200 OK"));
    served *held = http_rig_model(&r, "m");
    served_hold(held);
    told = 0;
    s = (model_summons){.name = STR("n"), .since_us = clock_now_us(), .on = r.loop, .msg = {.run = on_told}};
    keeper_summon(r.endpoints.keeper, &s);
    HTTP_RIG_UNTIL(&r, stats(&r).waiting == 1);
    served_release(held);
    http_rig_stop(&r);
    CHECK(told == 1);
}

static void what_is_unloaded_by_its_user_does_not_come_on_demand(void)
{
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1", .models_memory_max = "1Gi", .model_control = "explicit"});
    CHECK(http_rig_answers(&r, M, body, "200 OK"));
    CHECK(http_rig_answers(&r, "/v2/repository/models/m/unload", "", "200 OK"));
    CHECK(http_rig_answers(&r, M, body, "404 Not Found"));
    HTTP_RIG_UNTIL(&r, stats(&r).in == 0 && stats(&r).bytes == 0);
    CHECK(stats(&r).in == 0 && stats(&r).bytes == 0);
    CHECK(http_rig_answers(&r, "/v2/repository/models/n/unload", "", "200 OK"));   /* which was never loaded */
    CHECK(http_rig_answers(&r, N, body, "404 Not Found"));
    CHECK(http_rig_answers(&r, "/v2/repository/models/m/load", "", "200 OK"));
    CHECK(http_rig_answers(&r, M, body, "200 OK"));
    HTTP_RIG_UNTIL(&r, stats(&r).in == 1);
    CHECK_U64(stats(&r).in, 1);
    http_rig_stop(&r);
}

static void what_is_pinned_is_there_from_the_start_and_stays(void)
{
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1", .models_memory_max = room_for_one(), .models_stay_ms = "0",
                               .pin_models = "n"});
    CHECK(http_rig_index_says(&r, "{\"name\":\"n\",\"version\":\"1\",\"state\":\"READY\""));
    CHECK(http_rig_answers(&r, M, body, "503 Service Unavailable") && strstr(r.text, "and what is pinned"));
    CHECK(http_rig_answers(&r, N, body, "200 OK"));
    CHECK_U64(stats(&r).misses, 1);
    http_rig_stop(&r);
}

/* Rows enough that an execution of them, at rest, takes far more than its plan. */
static void ask_m_for_rows(http_rig *r, size_t rows)
{
    static char text[64 << 10];
    size_t n = (size_t)snprintf(text, sizeof text, "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":"
                                "[%zu,2],\"data\":[1", rows);
    for (size_t i = 1; i < 2 * rows; i++) n += (size_t)snprintf(text + n, sizeof text - n, ",1");
    snprintf(text + n, sizeof text - n, "]}]}");
    CHECK(http_rig_answers(r, M, text, "200 OK"));
}

/* `beside` = what n takes; the budget has room for it once `spared` of the bytes of m's executions at rest are given
 * back. */
typedef struct {
    size_t held, resting, beside;
} grown;

static void grow_m(http_rig *r, grown *ret)
{
    for (size_t rows = 4000; rows < 7000; rows += 1000) ask_m_for_rows(r, rows);
    ret->held = served_held_bytes(http_rig_model(r, "m"));
    ret->resting = served_resting_bytes(http_rig_model(r, "m"));
}

static bool n_comes_beside_m(const grown *want, size_t spared)
{
    char budget[24];
    http_rig r;
    grown now;
    snprintf(budget, sizeof budget, "%zu", want->held - spared + want->beside);
    start(&r, &(http_rig_opts){.threads = "1", .models_memory_max = budget, .models_stay_ms = "0", .pin_models = "m"});
    grow_m(&r, &now);
    CHECK_U64(now.held, want->held);
    HTTP_RIG_UNTIL(&r, stats(&r).bytes == now.held);   /* it is looked at once a second */
    bool came = strncmp(http_rig_post(&r, N, "", body, strlen(body)), "200 OK", 6) == 0;
    CHECK_U64(served_resting_bytes(http_rig_model(&r, "m")), came && spared ? 0 : now.resting);
    HTTP_RIG_UNTIL(&r, stats(&r).refused == !came);
    CHECK_U64(stats(&r).refused, !came);
    CHECK(http_rig_answers(&r, M, body, "200 OK"));
    http_rig_stop(&r);
    return came;
}

static void executions_at_rest_make_room_before_anybody_is_refused(void)
{
    http_rig r;
    grown g;
    start(&r, &(http_rig_opts){.threads = "1", .models_memory_max = "1Gi", .pin_models = "m"});
    grow_m(&r, &g);
    CHECK(http_rig_answers(&r, N, body, "200 OK"));
    g.beside = served_held_bytes(http_rig_model(&r, "n"));
    http_rig_stop(&r);
    CHECK(g.resting > 3 * 4000 * 2 * sizeof(float) && g.resting < g.held);
    CHECK(n_comes_beside_m(&g, 0));
    CHECK(n_comes_beside_m(&g, g.beside / 2));    /* which is known when it is read, */
    CHECK(n_comes_beside_m(&g, g.resting / 2));   /* and before */
    CHECK(!n_comes_beside_m(&g, g.resting + g.beside));
}

typedef struct {
    http_rig *rig;
    thread thread;
    _Atomic bool done;
} given_load;

#define GIVEN \
    "{\"max_batch_size\":3,\"input\":[{\"name\":\"x\",\"data_type\":\"TYPE_FP32\",\"dims\":[2]}]," \
    "\"output\":[{\"name\":\"y\",\"data_type\":\"TYPE_FP32\",\"dims\":[2]}]}"

static void given_load_main(void *ctx)
{
    given_load *l = ctx;
    err e;
    CHECK(model_control_load(l->rig->endpoints.control, &(model_wish){.name = STR("n"), .config = STR(GIVEN)}, &e) ==
          ERR_OK);
    atomic_store(&l->done, true);
}

static const char *in_n(const char *name)
{
    static char text[100];
    snprintf(text, sizeof text, "%s/n/%s", model_folder, name);
    return text;
}

static uint64_t loaded(http_rig *r)
{
    model_control_stats s;
    model_control_stats_read(r->endpoints.control, &s);
    return s.loaded;
}

/* The first file that a load opens is on a disk that is away: so it is of two loads, each until it is let go. */
static _Atomic uint32_t standing, let_go;

static void stand(void)
{
    uint32_t own = atomic_fetch_add(&standing, 1);
    while (atomic_load(&let_go) <= own) usleep(1000);
}

/* A load on demand that began before a client's ended, and ends behind it. */
static void a_configuration_that_comes_meanwhile_counts(void)
{
    onnx_build net;
    char own[100];
    http_rig r;
    err e;
    given_load client = {.rig = &r};
    serve_rig_twice(&net);
    model_folder_remove("n");
    model_folder_put("n", &net, NULL);
    snprintf(own, sizeof own, "%s", in_n(""));
    own[strlen(own) - 1] = '\0';
    const http_rig_opts o = {.threads = "1", .models_memory_max = "1Gi", .model_control = "explicit"};
    INVARIANT(http_rig_start(&r, &o, (const char *const[]){"n", own, NULL}));
    atomic_store(&standing, 0);
    atomic_store(&let_go, 0);
    sys_fake_script((sys_fault[]){{SYS_open, .times = 2, .result = -EINTR, .then = stand}}, 1);
    CHECK(thread_start(&client.thread, "load", given_load_main, &client, &e) == ERR_OK);
    while (atomic_load(&standing) < 1) thread_pause();
    model_summons one = {.name = STR("n"), .since_us = clock_now_us(), .on = r.loop, .msg = {.run = on_told}};
    told = 0;
    keeper_summon(r.endpoints.keeper, &one);
    HTTP_RIG_UNTIL(&r, atomic_load(&standing) == 2);
    atomic_store(&let_go, 1);
    HTTP_RIG_UNTIL(&r, atomic_load(&client.done));
    atomic_store(&let_go, 2);
    HTTP_RIG_UNTIL(&r, loaded(&r) == 2 && told == 1);
    CHECK(http_rig_gets(&r, "/v2/models/n/config", "\"max_batch_size\":3"));
    thread_join(&client.thread);
    sys_fake_script(NULL, 0);
    http_rig_stop(&r);
}

static void a_short_life(void)
{
    http_rig r;
    const http_rig_opts o = {.threads = "1", .models_memory_max = "1Gi", .pin_models = "m"};
    if (http_rig_start(&r, &o, (const char *const[]){"m", path, NULL})) http_rig_stop(&r);
}

static void without_memory_nothing_is_left(void) { FAULT_SWEEP(a_short_life()) }

int main(void)
{
    static const test_case cases[] = {
        TEST(a_model_is_loaded_when_it_is_asked_for),
        TEST(what_waits_is_ready_under_all_its_names),
        TEST(who_was_used_longest_ago_makes_room),
        TEST(one_load_is_for_all_who_ask),
        TEST(what_never_fits_is_refused_in_one_line),
        TEST(what_cannot_be_loaded_is_not_tried_for_each_request),
        TEST(who_waits_too_long_is_told_so),
        TEST(as_many_wait_for_a_model_as_may_wait_in_its_queue),
        TEST(over_grpc_it_is_the_same_limit),
        TEST(a_deadline_is_its_own_requests),
        TEST(as_many_wait_for_a_model_as_its_own_queue_takes),
        TEST(a_timeout_is_the_requests_own_before_its_model_is_there),
        TEST(a_timeout_counts_the_wait_for_the_model),
        TEST(a_timeout_that_the_model_does_not_take_does_not_count),
        TEST(who_waits_at_the_end_is_told),
        TEST(what_is_unloaded_by_its_user_does_not_come_on_demand),
        TEST(what_is_pinned_is_there_from_the_start_and_stays),
        TEST(a_configuration_that_comes_meanwhile_counts),
        TEST(executions_at_rest_make_room_before_anybody_is_refused),
        TEST(without_memory_nothing_is_left),
    };
    INVARIANT(model_folder_open());
    int status = serve_rig_main(cases, COUNTOF(cases), path);
    model_folder_close();
    return status;
}
