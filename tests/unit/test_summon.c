/* A request is answered by its model whether that was there, is brought for it, or came while it was looked for; what
 * it is told is why the last look failed, and only when there is none more. */
#include "serve/summon.h"

#include "grpc_rig.h"
#include "models/model_keeper.h"
#include "test.h"
#include "wire/pb.h"

static char path[64];

/* What each look, and each summons, says. */
typedef struct {
    err_code looks[SUMMON_LOOKS + 1];
    bool brings[SUMMON_LOOKS + 1];
    size_t looked, summoned;
} script;

static err_code look(void *ctx, err *e)
{
    script *s = ctx;
    err_code rc = s->looks[s->looked++];
    return rc ? err_set(e, rc, "look %zu", s->looked) : ERR_OK;
}

static bool summon(void *ctx)
{
    script *s = ctx;
    return s->brings[s->summoned++];
}

/* "failed look 4, 4 looked, 3 summoned"; without a failure the code that was there, which is not touched. */
static const char *find(script s, bool kept)
{
    static char text[100];
    static const char *const ends[] = {"found", "comes", "failed"};
    err e = {.code = ERR_CONFLICT, .text = "untouched"};
    summon_end end = summon_find(&(summon_way){look, kept ? summon : NULL, &s}, &e);
    CHECK(end != SUMMON_FAILED || e.code == s.looks[s.looked - 1]);
    CHECK(end == SUMMON_FAILED || e.code == ERR_CONFLICT);
    snprintf(text, sizeof text, "%s %s, %zu looked, %zu summoned", ends[end], e.text, s.looked, s.summoned);
    return text;
}

#define NONE ERR_NOT_FOUND

static void what_is_there_is_found_and_what_is_not_is_brought(void)
{
    CHECK_STR(find((script){.looks = {ERR_OK}}, true), "found untouched, 1 looked, 0 summoned");
    CHECK_STR(find((script){.looks = {NONE}, .brings = {true}}, true), "comes untouched, 1 looked, 1 summoned");
    CHECK_STR(find((script){.looks = {NONE}}, false), "failed look 1, 1 looked, 0 summoned");
}

/* Another request has brought it between the look and the summons, which therefore does nothing. */
static void of_a_model_that_came_between_two_looks_no_failure_is_told(void)
{
    CHECK_STR(find((script){.looks = {NONE, ERR_OK}}, true), "found untouched, 2 looked, 1 summoned");
    CHECK_STR(find((script){.looks = {NONE, NONE, NONE, ERR_OK}}, true), "found untouched, 4 looked, 3 summoned");
    CHECK_STR(find((script){.looks = {NONE, NONE}, .brings = {false, true}}, true),
              "comes untouched, 2 looked, 2 summoned");
}

static void a_model_that_comes_and_goes_is_looked_for_so_often(void)
{
    CHECK_STR(find((script){.looks = {NONE, NONE, NONE, NONE}, .brings = {false, false, false, true}}, true),
              "comes untouched, 4 looked, 4 summoned");
    CHECK_STR(find((script){.looks = {NONE, NONE, NONE, NONE}}, true), "failed look 4, 4 looked, 4 summoned");
}

static void what_nobody_can_bring_is_not_summoned(void)
{
    CHECK_STR(find((script){.looks = {ERR_FORBIDDEN}}, true), "failed look 1, 1 looked, 0 summoned");
    CHECK_STR(find((script){.looks = {NONE, ERR_FORBIDDEN}}, true), "failed look 2, 2 looked, 1 summoned");
}

#define METHOD(name) "/inference.GRPCInferenceService/" name

static str infer_message(buf *out, const char *name)
{
    static const float x[] = {1, 2};
    buf_clear(out);
    pb_put_str(out, 1, str_of(name));
    size_t in = pb_open(out, 5);
    pb_put_str(out, 1, STR("x"));
    pb_put_str(out, 2, STR("FP32"));
    pb_put_packed_i64(out, 3, (int64_t[]){1, 2}, 2);
    pb_close(out, in);
    pb_put_bytes(out, 7, x, sizeof x);
    return buf_str(out);
}

/* Each is the first to ask; statistics and readiness have their say without the model, and a region of shared memory
 * that is not there has but its name. */
static void each_message_that_needs_its_model_brings_it(void)
{
    static const struct {
        const char *method, *answer, *unknown;
        bool brings;
    } rows[] = {
        {METHOD("ModelInfer"), "FP32", "5 Model with name o does not exist.", true},
        {METHOD("ModelMetadata"), "FP32", "5 Model with name o does not exist.", true},
        {METHOD("ModelConfig"), "\x0a\1m", "5 Model with name o does not exist.", true},
        {METHOD("ModelStatistics"), "", "5 Model with name o does not exist.", false},
        {METHOD("ModelReady"), "\x08\1", "0 0800", false},
    };
    const http_rig_opts kept = {.threads = "1", .models_memory_max = "1Gi"};
    buf message;
    buf_init(&message, 1000);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        static grpc_rig g;
        model_keeper_stats stats;
        str got;
        bool started = grpc_rig_start(&g, &kept, (const char *const[]){"m", path, NULL}), infers = i == 0;
        INVARIANT(started);
        str unknown = infers ? infer_message(&message, "o") : STR("\x0a\1o");
        CHECK_STR(grpc_rig_unary(&g, rows[i].method, "", unknown, NULL), rows[i].unknown);
        str known = infers ? infer_message(&message, "m") : STR("\x0a\1m");
        CHECK_STR(grpc_rig_unary(&g, METHOD("SystemSharedMemoryStatus"), "", STR("\x0a\1m"), NULL),
                  "5 Unable to find shared memory region: 'm'");
        CHECK_STR(grpc_rig_unary(&g, rows[i].method, "", known, &got), "0 ");
        CHECK(!rows[i].answer[0] || memmem(got.p, got.len, rows[i].answer, strlen(rows[i].answer)));
        keeper_stats_read(g.rig.endpoints.keeper, &stats);
        CHECK_U64(stats.misses, rows[i].brings);
        grpc_rig_stop(&g);
    }
    buf_fini(&message);
}

int main(void)
{
    onnx_build b;
    serve_rig_twice(&b);
    serve_rig_save(&b, path);
    onnx_build_end(&b);
    static const test_case cases[] = {
        TEST(what_is_there_is_found_and_what_is_not_is_brought),
        TEST(of_a_model_that_came_between_two_looks_no_failure_is_told),
        TEST(a_model_that_comes_and_goes_is_looked_for_so_often),
        TEST(what_nobody_can_bring_is_not_summoned),
        TEST(each_message_that_needs_its_model_brings_it),
    };
    int status = test_main(cases, COUNTOF(cases));
    serve_rig_unsave(path);
    return status;
}
