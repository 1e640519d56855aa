/* A request goes through the steps of an ensemble in the order of its flows, side by side where it can, and is answered
 * once, whatever happens to a step; nothing of it stays behind. */
#include "models/ensemble_run.h"

#include "conf_rig.h"
#include "model_folder.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/thread.h"
#include "serve_rig.h"

static compute *pool;

#define IO(name, dims) "{ name: \"" name "\" data_type: TYPE_FP32 dims: [ " dims " ] }"
#define STEP(model, maps) "{ model_name: \"" model "\" model_version: -1 " maps " }"
#define IN(k, v) "input_map { key: \"" k "\" value: \"" v "\" } "
#define OUT(k, v) "output_map { key: \"" k "\" value: \"" v "\" } "
#define ENSEMBLE(batch, in, out, steps)                                                                \
    "platform: \"ensemble\" max_batch_size: " batch " input [ " in " ] output [ " out " ] "             \
    "ensemble_scheduling { step [ " steps " ] }"

typedef struct {
    repository *models;
    served *of;
} bench;

static bench bench_open(const char *name, const char *queue_max, const char *inline_us)
{
    static conf c;
    bench b = {.models = NULL};
    char line[100];
    err e;
    conf_rig_fresh(&c);
    c.model_repository = str_of(model_folder);
    snprintf(line, sizeof line, "--queue-max %s --inline-us %s", queue_max, inline_us);
    CHECK(conf_rig_flags(&c, line, &e) == ERR_OK);
    if (conf_rig_open(&b.models, &c, pool, 1, &e)) printf("# %s\n", e.text);
    INVARIANT(b.models && repository_find(b.models, str_of(name), STR(""), &b.of, &e) == ERR_OK);
    return b;
}

typedef struct {
    queue_item item;
    tensor in;
    float x[4];
    _Atomic uint32_t answered;
    err_code code;
    const char *limit;
    uint32_t retry_ms;
    char why[400];
} ask;

static void done(queue_item *item, const err *e)
{
    ask *a = (ask *)(void *)item;
    a->code = e ? e->code : ERR_OK;
    if (e) snprintf(a->why, sizeof a->why, "%s", e->text);
    a->limit = e ? e->limit : NULL;
    a->retry_ms = e ? e->retry_ms : 0;
    atomic_fetch_add(&a->answered, 1);
    futex_wake(&a->answered, 1);
}

static void ask_some(ask *a, served *of, float x, const bool *wanted)
{
    shape s = {.rank = 2, .dim = {2, 2}};
    err e;
    *a = (ask){.item = {.done = done}, .x = {x, x + 1, x + 2, x + 3}};
    a->in = tensor_make(DT_F32, &s, a->x);
    a->item.inputs = &a->in;
    a->item.wanted = wanted;
    served_begin(of, &a->item);
    err_code rc = served_push(of, &a->item, &e);
    if (rc) done(&a->item, &e);
}

static void ask_start(ask *a, served *of, float x) { ask_some(a, of, x, NULL); }

/* A row of one, beside what is set already. */
static void ask_push(ask *a, served *of)
{
    err e;
    a->item.done = done;
    a->in = tensor_make(DT_F32, &(shape){.rank = 2, .dim = {1, 1}}, a->x);
    a->item.inputs = &a->in;
    served_begin(of, &a->item);
    CHECK(served_push(of, &a->item, &e) == ERR_OK);
}

static void ask_wait(ask *a)
{
    while (!atomic_load(&a->answered)) (void)futex_wait(&a->answered, 0, clock_now_us() + 100000);
    CHECK_U64(atomic_load(&a->answered), 1);
}

static float got(const ask *a, uint32_t output, int i)
{
    return ((const float *)queue_output(&a->item, output).data)[i];
}

static void ask_end(ask *a)
{
    queue_release(&a->item);
    served_end(&a->item);
    CHECK(!a->item.run);
}

static void bench_close(bench *b)
{
    for (size_t i = 0; i < repository_count(b->models); i++) {
        served *s = repository_at(b->models, i);
        while (!served_quiet(s)) clock_now_us();
        CHECK_U64((uint64_t)atomic_load(&s->held), 1);
        CHECK(atomic_load(&s->metrics.running) == 0 && atomic_load(&s->metrics.waiting) == 0);
    }
    repository_free(b->models);
}

/* p: t = 2a; b = 2t; c = t itself, as a view; d = 2t. */
#define PIPE ENSEMBLE("4", IO("a", "2"), IO("b", "2") "," IO("c", "2") "," IO("d", "2"),                       \
    STEP("twice", IN("x", "t") OUT("y", "b")) "," STEP("same", IN("x", "t") OUT("y", "c")) ","                  \
    STEP("twice", IN("x", "t") OUT("y", "d")) "," STEP("twice", IN("x", "a") OUT("y", "t")))

static void each_step_gets_what_others_wrote(void)
{
    static const char *const inline_us[] = {"0", "500"};   /* on workers, and on the thread that asks */
    for (size_t k = 0; k < COUNTOF(inline_us); k++) {
        bench b = bench_open("nest", "100", inline_us[k]);
        ask all[20];
        for (int round = 0; round < 5; round++) {
            for (int i = 0; i < 20; i++) ask_start(&all[i], b.of, (float)(10 * i));
            for (int i = 0; i < 20; i++) {
                ask_wait(&all[i]);
                CHECK(all[i].code == ERR_OK && got(&all[i], 0, 3) == (float)(8 * (10 * i + 3)));
                CHECK(all[i].item.start_ns >= all[i].item.since_ns && all[i].item.end_ns >= all[i].item.start_ns);
                ask_end(&all[i]);
            }
        }
        bench_close(&b);
    }
}

static void what_is_still_looked_at_stays(void)
{
    bench b = bench_open("pipe", "100", "0");
    ask one, two;
    ask_start(&one, b.of, 1);
    ask_wait(&one);
    for (int i = 0; i < 20; i++) {   /* executions are taken again as soon as they are given back */
        ask_start(&two, b.of, 50);
        ask_wait(&two);
        CHECK(got(&two, 0, 0) == 200 && got(&two, 1, 1) == 102 && got(&two, 2, 2) == 208);
        ask_end(&two);
    }
    CHECK(got(&one, 0, 0) == 4 && got(&one, 1, 1) == 4 && got(&one, 2, 3) == 16);
    ask_end(&one);
    bench_close(&b);
}

/* "pipe 1twice twice ": which steps reached a queue, those of an ensemble within with their depth. */
static const char *steps_of(const ask *a)
{
    static char names[80];
    served_asked s;
    size_t len = 0;
    names[0] = 0;
    for (uint32_t at = 0; served_next_step(&a->item, &at, &s);) {
        if (s.depth) len += (size_t)snprintf(names + len, sizeof names - len, "%u", s.depth);
        len += (size_t)snprintf(names + len, sizeof names - len, STR_FMT " ", STR_ARG(s.member->name));
        CHECK(s.code == ERR_OK && s.item->end_ns >= s.item->start_ns && s.item->since_ns >= a->item.since_ns);
    }
    return names;
}

static void the_steps_are_counted_with_those_within(void)
{
    bench b = bench_open("nest", "100", "0");
    ask a;
    ask_start(&a, b.of, 1);
    ask_wait(&a);
    CHECK_STR(steps_of(&a), "pipe 1twice 1same 1twice 1twice twice ");
    ask_end(&a);
    bench_close(&b);
}

static void what_nobody_looks_at_is_not_run(void)
{
    static const struct {
        bool wanted[3];
        const char *steps;
    } rows[] = {{{true, false, false}, "pipe 1twice 1twice twice "},
                {{false, true, false}, "pipe 1same 1twice "},
                {{false, false, true}, "pipe 1twice 1twice "},
                {{true, true, false}, "pipe 1twice 1same 1twice twice "},
                {{true, true, true}, "pipe 1twice 1same 1twice 1twice twice "}};
    static const float times[] = {8, 2, 4};
    for (size_t k = 0; k < 2; k++) {
        bench b = bench_open("nest", "100", k ? "500" : "0");
        for (size_t i = 0; i < COUNTOF(rows); i++) {
            ask a, other;
            ask_some(&a, b.of, 3, rows[i].wanted);
            ask_wait(&a);
            ask_start(&other, b.of, 70);   /* what is given back too early would be its */
            ask_wait(&other);
            CHECK_STR(steps_of(&a), rows[i].steps);
            for (uint32_t o = 0; o < 3; o++) CHECK(!rows[i].wanted[o] || got(&a, o, 1) == 4 * times[o]);
            ask_end(&a);
            ask_end(&other);
        }
        bench_close(&b);
    }
}

static void the_first_failure_is_the_answer_and_names_its_step(void)
{
    bench b = bench_open("wrong", "100", "0");
    ask a;
    ask_start(&a, b.of, 1);
    ask_wait(&a);
    CHECK(a.code == ERR_INVALID && a.item.end_ns == 0 && !a.item.source);
    CHECK_STR(a.why, "in ensemble 'wrong', step 1 'three': unexpected shape for input 'x' for model 'three'. Expected "
                     "[-1,3], got [2,2]");
    ask_end(&a);
    bench_close(&b);
}

/* It would turn for minutes. */
static void a_failure_ends_the_steps_beside_it(void)
{
    bench b = bench_open("torn", "100", "0");
    int64_t count = 2000000000;
    ask a = {.item = {.done = done}, .x = {1, 2}};
    tensor in[2] = {tensor_make(DT_F32, &(shape){.rank = 1, .dim = {2}}, a.x),
                    tensor_make(DT_I64, &(shape){.rank = 1, .dim = {1}}, &count)};
    served_asked one;
    uint32_t at = 0, cancelled = 0;
    err e;
    a.item.inputs = in;
    served_begin(b.of, &a.item);
    CHECK(served_push(b.of, &a.item, &e) == ERR_OK);
    ask_wait(&a);
    CHECK(a.code == ERR_INVALID && strstr(a.why, "step 1 'three': "));
    while (served_next_step(&a.item, &at, &one)) cancelled += one.code == ERR_CANCELLED;
    CHECK_U64(cancelled, 1);
    ask_end(&a);
    bench_close(&b);
}

static void a_full_queue_is_refused_as_that(void)
{
    bench b = bench_open("pipe", "1", "0");
    ask all[30];
    int refused = 0, good = 0;
    for (int i = 0; i < 30; i++) ask_start(&all[i], b.of, 1);
    for (int i = 0; i < 30; i++) {
        ask_wait(&all[i]);
        refused += all[i].code == ERR_LIMIT;
        good += all[i].code == ERR_OK;
        if (all[i].code == ERR_LIMIT) CHECK(strncmp(all[i].why, "in ensemble 'pipe', step ", 25) == 0);
        ask_end(&all[i]);
    }
    CHECK(refused + good == 30);
    bench_close(&b);
    b = bench_open("waits", "1", "0");
    for (int i = 0; i < 2; i++) {
        all[i] = (ask){.x = {1}};
        ask_push(&all[i], b.of);
    }
    ask_wait(&all[1]);
    CHECK(all[1].code == ERR_LIMIT && strncmp(all[1].why, "in ensemble 'waits', step 0 'patient': ", 39) == 0);
    CHECK(all[1].retry_ms > 0 && all[1].limit && strcmp(all[1].limit, "queue-max") == 0);
    served_cancel(&all[0].item);
    ask_wait(&all[0]);
    for (int i = 0; i < 2; i++) ask_end(&all[i]);
    bench_close(&b);
}

/* More of them than may lie in each other. */
static void ensembles_behind_each_other_are_not_deep(void)
{
    bench b = bench_open("row", "100", "0");
    ask a;
    ask_start(&a, b.of, 1);
    ask_wait(&a);
    CHECK_STR(a.why, "");
    CHECK(a.code == ERR_OK && got(&a, 0, 0) == 1 << (ENSEMBLE_DEPTH_MAX + 1));
    ask_end(&a);
    bench_close(&b);
}

static void ask_one(ask *a, served *of)
{
    ask_push(a, of);
    ask_wait(a);
}

static void a_step_may_keep_a_sequence(void)
{
    bench b = bench_open("keeps", "100", "0");
    float sum = 0;
    for (int i = 0; i < 3; i++) {
        ask a = {.item.sequence = {.number = 7, .start = i == 0, .end = i == 2}, .x = {(float)(i + 1)}};
        ask_one(&a, b.of);
        sum += (float)(i + 1);
        CHECK_STR(a.why, "");
        CHECK(a.code == ERR_OK && got(&a, 0, 0) == sum);
        ask_end(&a);
    }
    bench_close(&b);
}

static void a_step_waits_no_longer_than_was_said(void)
{
    bench b = bench_open("waits", "100", "0");
    ask a = {.item.timeout_us = 2000};
    ask_one(&a, b.of);
    CHECK(a.code == ERR_UNAVAILABLE);
    CHECK_STR(a.why, "in ensemble 'waits', step 0 'patient': Request timeout expired");
    ask_end(&a);
    bench_close(&b);
}

static void who_is_cancelled_or_late_ends_soon(void)
{
    bench b = bench_open("waits", "100", "0");
    ask a = {.x = {1}};
    err e;
    ask_push(&a, b.of);
    served_cancel(&a.item);
    ask_wait(&a);
    CHECK(a.code == ERR_CANCELLED);
    ask_end(&a);
    bench_close(&b);
    b = bench_open("slow", "100", "0");
    shape s = {.rank = 2, .dim = {2, 2}};
    a = (ask){.item = {.done = done, .deadline_us = 1}, .in = tensor_make(DT_F32, &s, a.x)};
    a.item.inputs = &a.in;
    served_begin(b.of, &a.item);
    CHECK(served_push(b.of, &a.item, &e) == ERR_OK);
    ask_wait(&a);
    CHECK(a.code == ERR_TIMEOUT && a.item.end_ns == 0);
    ask_end(&a);
    bench_close(&b);
}

static void who_is_begun_and_not_pushed_leaves_nothing(void)
{
    bench b = bench_open("nest", "100", "0");
    ask a = {.item = {.done = done}};
    served_begin(b.of, &a.item);
    served_cancel(&a.item);
    served_end(&a.item);
    bench_close(&b);
}

static void a_batch_of_one_is_put_around_and_taken_off(void)
{
    bench b = bench_open("rows", "100", "0");
    ask a = {.item = {.done = done}, .x = {1, 2, 3, 4}};
    shape s = {.rank = 1, .dim = {2}};
    err e;
    a.in = tensor_make(DT_F32, &s, a.x);
    a.item.inputs = &a.in;
    served_begin(b.of, &a.item);
    CHECK(served_push(b.of, &a.item, &e) == ERR_OK);
    ask_wait(&a);
    tensor t = queue_output(&a.item, 0);
    CHECK(a.code == ERR_OK && t.shape.rank == 1 && t.shape.dim[0] == 2 && got(&a, 0, 1) == 4);
    ask_end(&a);
    bench_close(&b);
}

static void no_memory_is_said_by_the_push(void)
{
    bench b = bench_open("nest", "100", "0");
    FAULT_SWEEP({
        err e;
        ask a = {.item = {.done = done}};
        served_begin(b.of, &a.item);
        if (mem_fault_fired()) CHECK(served_push(b.of, &a.item, &e) == ERR_NOMEM);
        served_end(&a.item);
    })
    bench_close(&b);
}

/* Ensembles of one step, one behind the other. */
static void row_put(void)
{
    char text[3000];
    size_t n = (size_t)snprintf(text, sizeof text, "platform: \"ensemble\" max_batch_size: 4 input [ " IO("a0", "2")
                                " ] output [ " IO("a9", "2") " ] ensemble_scheduling { step [ ");
    for (int i = 0; i < ENSEMBLE_DEPTH_MAX + 1; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s" STEP("one", IN("a", "a%d") OUT("b", "a%d")), i ? "," : "",
                              i, i + 1);
    snprintf(text + n, sizeof text - n, " ] }");
    model_folder_put("one", NULL, ENSEMBLE("4", IO("a", "2"), IO("b", "2"), STEP("twice", IN("x", "a") OUT("y", "b"))));
    model_folder_put("row", NULL, text);
}

#define ONE_IN_ONE_OUT "max_batch_size: 4 input { name: \"x\" data_type: TYPE_FP32 dims: 1 } "                    \
                       "output { name: \"y\" data_type: TYPE_FP32 dims: 1 } "

/* A sum over a sequence, and one that waits a minute for others; ensembles of each. */
static void waiting_put(void)
{
    onnx_build m;
    onnx_build_start(&m, 17);
    onnx_build_input(&m, "x", DT_F32, "N,1");
    onnx_build_input(&m, "in", DT_F32, "N,1");
    onnx_build_node(&m, "Add", "x,in", "y", "");
    onnx_build_node(&m, "Identity", "y", "out", "");
    onnx_build_output(&m, "y", DT_F32, "N,1");
    onnx_build_output(&m, "out", DT_F32, "N,1");
    model_folder_put("sum", &m, ONE_IN_ONE_OUT "sequence_batching { oldest { max_candidate_sequences: 4 } "
                     "state { input_name: \"in\" output_name: \"out\" data_type: TYPE_FP32 dims: 1 } }");
    serve_rig_same(&m, DT_F32, "N,1");
    model_folder_put("patient", &m, ONE_IN_ONE_OUT "dynamic_batching { preferred_batch_size: 4 "
                     "max_queue_delay_microseconds: 60000000 default_queue_policy { allow_timeout_override: true } }");
    model_folder_put("keeps", NULL, ENSEMBLE("4", IO("a", "1"), IO("b", "1"),
                                             STEP("sum", IN("x", "a") OUT("y", "b"))));
    model_folder_put("waits", NULL, ENSEMBLE("4", IO("a", "1"), IO("b", "1"),
                                             STEP("patient", IN("x", "a") OUT("y", "b"))));
}

static void folder_fill(void)
{
    onnx_build m;
    row_put();
    waiting_put();
    serve_rig_twice(&m);
    model_folder_put("twice", &m, "max_batch_size: 4");
    serve_rig_same(&m, DT_F32, "N,2");
    model_folder_put("same", &m, "max_batch_size: 4");
    serve_rig_same(&m, DT_F32, "N,N");
    model_folder_put("three", &m, "max_batch_size: 4 input { name: \"x\" data_type: TYPE_FP32 dims: 3 } "
                                  "output { name: \"y\" data_type: TYPE_FP32 dims: -1 }");
    serve_rig_same(&m, DT_F32, "N,N");
    model_folder_put("any", &m, "max_batch_size: 4 input { name: \"x\" data_type: TYPE_FP32 dims: -1 } "
                                "output { name: \"y\" data_type: TYPE_FP32 dims: -1 }");
    serve_rig_turns(&m);
    model_folder_put("turns", &m, "");
    model_folder_put("torn", NULL,
                     ENSEMBLE("0", IO("a", "2") ", { name: \"n\" data_type: TYPE_INT64 dims: [ 1 ] }",
                              IO("b", "-1") ", { name: \"y\" data_type: TYPE_INT64 dims: [ 1 ] }",
                              STEP("any", IN("x", "a") OUT("y", "t")) "," STEP("three", IN("x", "t") OUT("y", "b")) ","
                              STEP("turns", IN("n", "n") OUT("y", "y"))));
    model_folder_put("pipe", NULL, PIPE);
    model_folder_put("nest", NULL, ENSEMBLE("4", IO("p", "2"), IO("q", "2") "," IO("r", "2") "," IO("s", "2"),
                                            STEP("pipe", IN("a", "p") OUT("b", "t") OUT("c", "r") OUT("d", "s")) ","
                                            STEP("twice", IN("x", "t") OUT("y", "q"))));
    model_folder_put("wrong", NULL, ENSEMBLE("4", IO("a", "2"), IO("b", "-1"),
                                             STEP("any", IN("x", "a") OUT("y", "t")) ","
                                             STEP("three", IN("x", "t") OUT("y", "b"))));
    model_folder_put("slow", NULL, ENSEMBLE("4", IO("a", "2"), IO("b", "2"),
                                            STEP("twice", IN("x", "a") OUT("y", "t")) ","
                                            STEP("twice", IN("x", "t") OUT("y", "u")) ","
                                            STEP("same", IN("x", "u") OUT("y", "b"))));
    model_folder_put("rows", NULL,
                     ENSEMBLE("0", IO("a", "2"), IO("b", "2"), STEP("twice", IN("x", "a") OUT("y", "b"))));
}

int main(void)
{
    static const test_case cases[] = {
        TEST(each_step_gets_what_others_wrote),
        TEST(what_is_still_looked_at_stays),
        TEST(the_steps_are_counted_with_those_within),
        TEST(what_nobody_looks_at_is_not_run),
        TEST(the_first_failure_is_the_answer_and_names_its_step),
        TEST(a_failure_ends_the_steps_beside_it),
        TEST(a_full_queue_is_refused_as_that),
        TEST(ensembles_behind_each_other_are_not_deep),
        TEST(a_step_may_keep_a_sequence),
        TEST(a_step_waits_no_longer_than_was_said),
        TEST(who_is_cancelled_or_late_ends_soon),
        TEST(who_is_begun_and_not_pushed_leaves_nothing),
        TEST(a_batch_of_one_is_put_around_and_taken_off),
        TEST(no_memory_is_said_by_the_push),
    };
    err e;
    if (!model_folder_open() || compute_new(&pool, 4, &e)) return 1;
    folder_fill();
    int rc = test_main(cases, COUNTOF(cases));
    compute_free(pool);
    conf_rig_end();
    model_folder_close();
    return rc;
}
