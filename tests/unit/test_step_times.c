/* What is kept of an ensemble's steps outlives the request, says when each waited and ran, and is bounded. */
#include "serve/step_times.h"

#include "conf_rig.h"
#include "model_folder.h"
#include "os/clock.h"
#include "os/futex.h"
#include "serve_rig.h"

static compute *pool;
static repository *models;

#define IO(name) "{ name: \"" name "\" data_type: TYPE_FP32 dims: 2 }"
#define STEP(model, in, i, out, o)                                                                              \
    "step { model_name: \"" model "\" model_version: -1 input_map { key: \"" in "\" value: \"" i "\" } "        \
    "output_map { key: \"" out "\" value: \"" o "\" } }"
#define ENSEMBLE(steps)                                                                                 \
    "platform: \"ensemble\" max_batch_size: 4 input " IO("i") " output " IO("o") " ensemble_scheduling { " steps " }"

static _Atomic uint32_t answered;

static void done(queue_item *item, const err *e)
{
    (void)item;
    CHECK(!e);
    atomic_fetch_add(&answered, 1);
    futex_wake(&answered, 1);
}

typedef struct {
    queue_item item;
    tensor in;
    float x[2];
} ask;

static void ask_run(ask *a, const char *name)
{
    shape s = {.rank = 2, .dim = {1, 2}};
    served *of = NULL;
    err e;
    *a = (ask){.item = {.done = done}, .x = {1, 2}};
    a->in = tensor_make(DT_F32, &s, a->x);
    a->item.inputs = &a->in;
    atomic_store(&answered, 0);
    INVARIANT(repository_find(models, str_of(name), STR(""), &of, &e) == ERR_OK);
    served_begin(of, &a->item);
    CHECK(served_push(of, &a->item, &e) == ERR_OK);
    while (!atomic_load(&answered)) (void)futex_wait(&answered, 0, clock_now_us() + 100000);
}

static void ask_end(ask *a)
{
    queue_release(&a->item);
    served_end(&a->item);
}

static void each_step_is_kept_behind_the_request(void)
{
    ask a;
    ask_run(&a, "nest");
    step_times *t = step_times_new(&a.item);
    ask_end(&a);
    INVARIANT(t);
    CHECK(t->count == 4 && !t->more);
    static const char *const names[] = {"pair", "twice", "twice", "twice"};
    for (uint32_t i = 0; i < 4; i++) {
        const step_time *s = &t->all[i];
        CHECK(str_is(s->model, names[i]) && str_is(s->version, "1") && !s->failed);
        CHECK_U64(s->depth, i == 1 || i == 2);
        CHECK(s->since_ns && s->start_ns >= s->since_ns && s->end_ns >= s->start_ns && step_time_end(s) == s->end_ns);
    }
    CHECK(t->all[1].since_ns >= t->all[0].since_ns && t->all[2].since_ns >= t->all[1].end_ns);
    CHECK_U64(step_times_bytes(t), sizeof *t + 4 * sizeof(step_time) + 4 + 3 * 5 + 4);
    step_times_free(t);
}

static void a_model_alone_has_none(void)
{
    ask a;
    ask_run(&a, "twice");
    CHECK(!step_times_new(&a.item));
    CHECK_U64(step_times_bytes(NULL), 0);
    ask_end(&a);
}

static void of_many_the_first_are_kept(void)
{
    ask a;
    ask_run(&a, "long");
    step_times *t = step_times_new(&a.item);
    INVARIANT(t);
    CHECK(t->count == STEP_TIMES_MAX && t->more);
    step_times_free(t);
    ask_end(&a);
}

static void what_did_not_run_ends_where_it_is_last_known(void)
{
    CHECK_U64(step_time_end(&(step_time){.since_ns = 5}), 5);
    CHECK_U64(step_time_end(&(step_time){.since_ns = 5, .start_ns = 7}), 7);
    CHECK_U64(step_time_end(&(step_time){.since_ns = 5, .start_ns = 7, .end_ns = 9}), 9);
    CHECK_U64(step_time_end(&(step_time){.since_ns = 5, .found_ns = 6}), 6);
}

static void no_memory_is_no_steps(void)
{
    ask a;
    ask_run(&a, "nest");
    FAULT_SWEEP({
        step_times *t = step_times_new(&a.item);
        CHECK(t || mem_fault_fired());
        step_times_free(t);
    })
    ask_end(&a);
}

/* 70 steps, one behind the other. */
static const char *long_chain(void)
{
    static char text[20000], steps[18000];
    size_t len = 0;
    for (int i = 0; i < 70; i++) {
        char from[8], to[8];
        snprintf(from, sizeof from, i ? "t%d" : "i", i);
        snprintf(to, sizeof to, i == 69 ? "o" : "t%d", i + 1);
        len += (size_t)snprintf(steps + len, sizeof steps - len, STEP("twice", "x", "%s", "y", "%s"), from, to);
    }
    snprintf(text, sizeof text, ENSEMBLE("%s"), steps);
    return text;
}

int main(void)
{
    static const test_case cases[] = {
        TEST(each_step_is_kept_behind_the_request),
        TEST(a_model_alone_has_none),
        TEST(of_many_the_first_are_kept),
        TEST(what_did_not_run_ends_where_it_is_last_known),
        TEST(no_memory_is_no_steps),
    };
    static conf c;
    onnx_build m;
    err e = {.text = ""};
    if (!model_folder_open() || compute_new(&pool, 2, &e)) return 1;
    serve_rig_twice(&m);
    model_folder_put("twice", &m, "max_batch_size: 4");
    model_folder_put("pair", NULL, ENSEMBLE(STEP("twice", "x", "i", "y", "t") STEP("twice", "x", "t", "y", "o")));
    model_folder_put("nest", NULL, ENSEMBLE(STEP("pair", "i", "i", "o", "t") STEP("twice", "x", "t", "y", "o")));
    model_folder_put("long", NULL, long_chain());
    conf_rig_fresh(&c);
    c.model_repository = str_of(model_folder);
    int rc = 1;
    if (conf_rig_open(&models, &c, pool, 1, &e) == ERR_OK) rc = test_main(cases, COUNTOF(cases));
    else printf("# %s\n", e.text);
    compute_free(pool);
    repository_free(models);
    conf_rig_end();
    model_folder_close();
    return rc;
}
