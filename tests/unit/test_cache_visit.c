/* What was kept is found by clients and by steps alike, as long as everything that made it is the same; an ensemble's
 * answer is kept whole, and what depends on more than its inputs is not. */
#include "models/cache_visit.h"

#include "conf_rig.h"
#include "model_folder.h"
#include "models/served.h"
#include "os/clock.h"
#include "os/futex.h"
#include "serve_rig.h"

static compute *pool;

#define IO(name) "{ name: \"" name "\" data_type: TYPE_FP32 dims: [ 2 ] }"
#define STEP(model, maps) "{ model_name: \"" model "\" model_version: -1 " maps " }"
#define IN(k, v) "input_map { key: \"" k "\" value: \"" v "\" } "
#define OUT(k, v) "output_map { key: \"" k "\" value: \"" v "\" } "
#define ENSEMBLE(in, out, steps)                                                                      \
    "platform: \"ensemble\" max_batch_size: 4 input [ " in " ] output [ " out " ] "                    \
    "ensemble_scheduling { step [ " steps " ] } "
#define KEPT "response_cache { enable: true } "

static repository *bench_open(const char *bytes_max)
{
    static conf c;
    repository *r = NULL;
    char line[100];
    err e;
    conf_rig_fresh(&c);
    c.model_repository = str_of(model_folder);
    snprintf(line, sizeof line, "--inline-us 0 --cache-bytes-max %s", bytes_max);
    CHECK(conf_rig_flags(&c, line, &e) == ERR_OK);
    if (conf_rig_open(&r, &c, pool, 1, &e)) printf("# %s\n", e.text);
    INVARIANT(r);
    return r;
}

static served *named(const repository *r, const char *name)
{
    served *s = NULL;
    err e;
    INVARIANT(repository_find(r, str_of(name), STR(""), &s, &e) == ERR_OK);
    return s;
}

static response_cache_stats kept_in(const repository *r)
{
    response_cache_stats s;
    response_cache_stats_read(repository_cache(r), &s);
    return s;
}

static void bench_close(repository *r)
{
    for (size_t i = 0; i < repository_count(r); i++) {
        served *s = repository_at(r, i);
        while (!served_quiet(s)) clock_now_us();
        CHECK_U64((uint64_t)atomic_load(&s->held), 1);
    }
    repository_free(r);
}

typedef struct {
    queue_item item;
    served *of;
    cache_visit visit;
    tensor in;
    float x[2];
    _Atomic uint32_t answered;
    err_code code;
} ask;

static void done(queue_item *item, const err *e)
{
    ask *a = (ask *)(void *)item;
    a->code = e ? e->code : ERR_OK;
    if (!e && cache_visit_missed(&a->visit)) cache_visit_keep(&a->visit, a->of, item);
    atomic_fetch_add(&a->answered, 1);
    futex_wake(&a->answered, 1);
}

static void ask_begin(ask *a, served *of, float x)
{
    *a = (ask){.item = {.done = done}, .of = of, .x = {x, x + 1}};
    a->in = tensor_make(DT_F32, &(shape){.rank = 2, .dim = {1, 2}}, a->x);
    a->item.inputs = &a->in;
    served_begin(of, &a->item);
}

/* As a client's request goes; true = it was found. */
static bool ask_go(ask *a)
{
    err e;
    if (cache_visit_find(&a->visit, a->of, &a->item)) return true;
    CHECK(served_push(a->of, &a->item, &e) == ERR_OK);
    while (!atomic_load(&a->answered)) (void)futex_wait(&a->answered, 0, clock_now_us() + 100000);
    CHECK(a->code == ERR_OK);
    return false;
}

/* "pipe kept(found) ": its steps, and which were found.  A request that was found had none. */
static const char *steps_of(const ask *a)
{
    static char text[120];
    served_asked s;
    size_t len = 0;
    text[0] = 0;
    for (uint32_t at = 0; served_next_step(&a->item, &at, &s);) {
        CHECK(s.code == ERR_OK && (s.cached->found_ns ? !s.item->end_ns : s.item->end_ns > 0));
        CHECK(!s.cached->found_ns || s.cached->found_ns >= s.item->since_ns);
        len += (size_t)snprintf(text + len, sizeof text - len, STR_FMT "%s ", STR_ARG(s.member->name),
                                s.cached->found_ns ? "(found)" : "");
    }
    return text;
}

static float first(const ask *a, uint32_t output)
{
    tensor t = queue_output(&a->item, output);
    return *(const float *)t.data;
}

static void ask_end(ask *a)
{
    queue_release(&a->item);
    served_end(&a->item);
}

/* Whether it was found; `steps` as steps_of(), `want` the first of its first output. */
static bool found(served *of, float x, const char *steps, float want)
{
    ask a;
    ask_begin(&a, of, x);
    bool hit = ask_go(&a);
    CHECK_STR(steps_of(&a), steps);
    CHECK(first(&a, 0) == want && (a.visit.found_ns != 0) == hit);
    ask_end(&a);
    return hit;
}

static void a_step_and_a_client_find_each_others_answers(void)
{
    repository *r = bench_open("1Mi");
    CHECK(!found(named(r, "kept"), 1, "", 2));
    CHECK(!found(named(r, "bare"), 1, "kept(found) plain ", 4));
    CHECK(!found(named(r, "bare"), 5, "kept plain ", 20));
    CHECK(found(named(r, "kept"), 5, "", 10));
    CHECK(!found(named(r, "bare"), 5, "kept(found) plain ", 20));
    CHECK_U64(kept_in(r).entries, 2);
    bench_close(r);
}

static void an_ensemble_is_found_without_its_steps(void)
{
    repository *r = bench_open("1Mi");
    for (int i = 0; i < 3; i++) CHECK(found(named(r, "pipe"), 1, i ? "" : "kept plain ", 4) == (i > 0));
    CHECK(!found(named(r, "pipe"), 2, "kept plain ", 8));
    CHECK(!found(named(r, "nest"), 1, "pipe(found) plain ", 8));
    CHECK(!found(named(r, "nest"), 3, "pipe kept plain plain ", 24));
    CHECK(found(named(r, "pipe"), 3, "", 12));
    bench_close(r);
}

/* half looks at one of pipe's outputs. */
static void an_ensemble_within_is_kept_whole(void)
{
    repository *r = bench_open("1Mi");
    ask a;
    CHECK(!found(named(r, "half"), 1, "pipe kept plain ", 2));
    ask_begin(&a, named(r, "pipe"), 1);
    CHECK(ask_go(&a) && first(&a, 0) == 4 && first(&a, 1) == 2);
    ask_end(&a);
    bench_close(r);
}

/* What was loaded again has another number, and no more is known of it. */
static void what_a_member_made_that_is_gone_is_not_found(void)
{
    repository *r = bench_open("1Mi");
    static const char *const members[] = {"plain", "kept"};
    for (size_t i = 0; i < repository_count(r); i++)
        for (size_t k = 0; k < i; k++) CHECK(repository_at(r, i)->cache_owner != repository_at(r, k)->cache_owner);
    for (size_t i = 0; i < COUNTOF(members); i++) {
        if (i == 0) CHECK(!found(named(r, "outer"), 1, "pipe kept plain plain ", 8));
        CHECK(found(named(r, "outer"), 1, "", 8));
        named(r, members[i])->cache_owner = response_cache_owner(repository_cache(r));
        CHECK(!found(named(r, "outer"), 1, i ? "pipe kept plain plain " : "pipe kept(found) plain plain ", 8));
        CHECK(found(named(r, "pipe"), 1, "", 4));
    }
    bench_close(r);
}

static void what_keeps_a_sequence_is_not_kept(void)
{
    static const char *const names[] = {"keeps", "deep"};
    repository *r = bench_open("1Mi");
    for (size_t k = 0; k < COUNTOF(names); k++) {
        for (int i = 0; i < 3; i++) {
            ask a;
            ask_begin(&a, named(r, names[k]), 1);
            a.item.sequence.number = 7;
            a.item.sequence.start = i == 0;
            a.item.sequence.end = i == 2;
            CHECK(!ask_go(&a) && a.visit.ns == 0 && first(&a, 0) == (float)(i + 1));
            ask_end(&a);
        }
    }
    CHECK_U64(kept_in(r).entries, 0);
    bench_close(r);
}

static void what_is_not_for_the_cache_does_not_go_there(void)
{
    repository *r = bench_open("1Mi");
    for (int i = 0; i < 2; i++) CHECK(!found(named(r, "plain"), 1, "", 2));
    CHECK_U64(kept_in(r).entries, 0);
    bench_close(r);
    r = bench_open("0");
    for (int i = 0; i < 2; i++) CHECK(!found(named(r, "pipe"), 1, "kept plain ", 4));
    bench_close(r);
}

static void who_is_cancelled_is_not_kept(void)
{
    repository *r = bench_open("1Mi");
    ask a;
    err e;
    CHECK(!found(named(r, "kept"), 1, "", 2));
    ask_begin(&a, named(r, "pipe"), 1);
    CHECK(!cache_visit_find(&a.visit, a.of, &a.item));
    served_cancel(&a.item);
    CHECK(served_push(a.of, &a.item, &e) == ERR_OK);
    while (!atomic_load(&a.answered)) (void)futex_wait(&a.answered, 0, clock_now_us() + 100000);
    CHECK(a.code == ERR_CANCELLED);
    ask_end(&a);
    CHECK_U64(kept_in(r).entries, 1);
    bench_close(r);
}

static void without_memory_for_its_steps_nothing_is_looked_for(void)
{
    repository *r = bench_open("1Mi");
    CHECK(!found(named(r, "pipe"), 1, "kept plain ", 4));
    FAULT_SWEEP({
        ask a;
        ask_begin(&a, named(r, "pipe"), 1);
        bool fired = mem_fault_fired();
        bool hit = cache_visit_find(&a.visit, a.of, &a.item);
        CHECK(hit == !fired && (a.visit.ns == 0) == fired);
        ask_end(&a);
    })
    bench_close(r);
}

static void sequences_put(void)
{
    onnx_build m;
    onnx_build_start(&m, 17);
    onnx_build_input(&m, "x", DT_F32, "N,2");
    onnx_build_input(&m, "in", DT_F32, "N,2");
    onnx_build_node(&m, "Add", "x,in", "y", "");
    onnx_build_node(&m, "Identity", "y", "out", "");
    onnx_build_output(&m, "y", DT_F32, "N,2");
    onnx_build_output(&m, "out", DT_F32, "N,2");
    model_folder_put("sum", &m, "max_batch_size: 4 input " IO("x") " output " IO("y")
                     " sequence_batching { oldest { max_candidate_sequences: 4 } "
                     "state { input_name: \"in\" output_name: \"out\" data_type: TYPE_FP32 dims: 2 } }");
    model_folder_put("keeps", NULL, ENSEMBLE(IO("a"), IO("b"), STEP("sum", IN("x", "a") OUT("y", "b"))) KEPT);
    model_folder_put("deep", NULL, ENSEMBLE(IO("a"), IO("b"), STEP("keeps", IN("a", "a") OUT("b", "b"))) KEPT);
}

#define TWO(b, c) STEP("kept", IN("x", "a") OUT("y", c)) "," STEP("plain", IN("x", c) OUT("y", b))

static void folder_fill(void)
{
    onnx_build m;
    serve_rig_twice(&m);
    model_folder_put("plain", &m, "max_batch_size: 4");
    serve_rig_twice(&m);
    model_folder_put("kept", &m, "max_batch_size: 4 " KEPT);
    model_folder_put("bare", NULL, ENSEMBLE(IO("a"), IO("b"), TWO("b", "c")));
    model_folder_put("pipe", NULL, ENSEMBLE(IO("a"), IO("b") "," IO("c"), TWO("b", "c")) KEPT);
    model_folder_put("half", NULL, ENSEMBLE(IO("a"), IO("c"), STEP("pipe", IN("a", "a") OUT("c", "c"))));
    model_folder_put("nest", NULL, ENSEMBLE(IO("a"), IO("d"), STEP("pipe", IN("a", "a") OUT("b", "t")) ","
                                                              STEP("plain", IN("x", "t") OUT("y", "d"))));
    model_folder_put("outer", NULL, ENSEMBLE(IO("a"), IO("d"), STEP("pipe", IN("a", "a") OUT("b", "t")) ","
                                                               STEP("plain", IN("x", "t") OUT("y", "d"))) KEPT);
    sequences_put();
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_step_and_a_client_find_each_others_answers),
        TEST(an_ensemble_is_found_without_its_steps),
        TEST(an_ensemble_within_is_kept_whole),
        TEST(what_a_member_made_that_is_gone_is_not_found),
        TEST(what_keeps_a_sequence_is_not_kept),
        TEST(what_is_not_for_the_cache_does_not_go_there),
        TEST(who_is_cancelled_is_not_kept),
        TEST(without_memory_for_its_steps_nothing_is_looked_for),
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
