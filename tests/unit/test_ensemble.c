/* An ensemble is loaded only where it and its members say the same of every tensor between them; what it is made of is
 * then a graph of flows, each with one writer and its readers. */
#include "models/ensemble.h"

#include "conf_rig.h"
#include "model_folder.h"
#include "models/served.h"
#include "serve_rig.h"

static compute *pool;

#define IO(name) "{ name: \"" name "\" data_type: TYPE_FP32 dims: [ 2 ] }"
#define STEP(model, maps) "{ model_name: \"" model "\" model_version: -1 " maps " }"
#define IN(k, v) "input_map { key: \"" k "\" value: \"" v "\" } "
#define OUT(k, v) "output_map { key: \"" k "\" value: \"" v "\" } "
#define ENSEMBLE(batch, in, out, steps)                                                                \
    "platform: \"ensemble\" max_batch_size: " batch " input [ " in " ] output [ " out " ] "             \
    "ensemble_scheduling { step [ " steps " ] }"

/* m: y = 2x FP32 [N,2], batches of 4. */
static void member_put(const char *name)
{
    onnx_build b;
    serve_rig_twice(&b);
    model_folder_put(name, &b, "max_batch_size: 4");
}

static conf *config(void)
{
    static conf c;
    conf_rig_fresh(&c);
    c.model_repository = str_of(model_folder);
    return &c;
}

/* What loading says of an ensemble "e" beside "m"; "" = it is loaded. */
static const char *loads(const char *text)
{
    static err e;
    CLEANUP(repository) repository *r = NULL;
    model_folder_put("e", NULL, text);
    e.text[0] = 0;
    if (conf_rig_open(&r, config(), pool, 1, &e) == ERR_OK) return "";
    const char *at = strstr(e.text, "/e: ");
    return at ? at + 4 : e.text;
}

static void flows_have_a_writer_and_readers(void)
{
    CLEANUP(repository) repository *r = NULL;
    served *s = NULL;
    err e;
    model_folder_put("e", NULL, ENSEMBLE("4", IO("a"), IO("b") "," IO("c"),
                                         STEP("m", IN("x", "t") OUT("y", "b")) ","
                                         STEP("m", IN("x", "a") OUT("y", "t")) ","
                                         "{ model_name: \"m\" model_version: 1 " IN("x", "t") OUT("y", "c") "}"));
    CHECK(conf_rig_open(&r, config(), pool, 1, &e) == ERR_OK);
    CHECK(repository_find(r, STR("e"), STR(""), &s, &e) == ERR_OK);
    const ensemble *m = s->ensemble;
    CHECK(m && !s->model && !s->queue && m->batches && m->stage_count == 3 && m->flow_count == 4 && m->in_total == 3);
    CHECK(str_is(m->flows[0].name, "a") && m->flows[0].writer == -1 && m->flows[0].reader_count == 1);
    CHECK(str_is(m->flows[1].name, "t") && m->flows[1].writer == 1 && m->flows[1].output_count == 0);
    CHECK(m->flows[1].reader_count == 2 && m->flows[1].readers[0] == 0 && m->flows[1].readers[1] == 2);
    CHECK(m->flows[m->outputs[1]].writer == 2 && m->flows[m->outputs[1]].output_count == 1);
    CHECK(str_is(m->stages[0].version, "") && str_is(m->stages[2].version, "1"));
    CHECK(served_input_count(s) == 1 && served_input(s, 0)->shape.rank == 2 && served_input(s, 0)->shape.dim[0] == -1);
    CHECK(served_quiet(s) && served_bytes(s) == 0);
    CHECK_STR(served_platform(s), "ensemble");
    CHECK(served_input_index(s, STR("a")) == 0 && served_input_index(s, STR("b")) == -1);
    CHECK(served_output_index(s, STR("c")) == 1);
}

static void members_must_be_there_and_have_the_tensors(void)
{
    CHECK_STR(loads(ENSEMBLE("4", IO("a"), IO("b"), STEP("m", IN("x", "a") OUT("y", "b")))), "");
    CHECK_STR(loads(ENSEMBLE("4", IO("a"), IO("b"), STEP("n", IN("x", "a") OUT("y", "b")))),
              "ensemble e contains models that are not available: n");
    CHECK_STR(loads(ENSEMBLE("4", IO("a"), IO("b"),
                             "{ model_name: \"m\" model_version: 7 " IN("x", "a") OUT("y", "b") "}")),
              "ensemble e contains models that are not available: m version 7");
    CHECK_STR(loads(ENSEMBLE("4", IO("a"), IO("b"), STEP("m", IN("z", "a") OUT("y", "b")))),
              "in ensemble e, ensemble tensor a is mapping to non-existing input z in model m");
    CHECK_STR(loads(ENSEMBLE("4", IO("a"), IO("b"), STEP("m", IN("x", "a") OUT("z", "b")))),
              "in ensemble e, ensemble tensor b is mapped from non-existing output z in model m");
    CHECK_STR(loads(ENSEMBLE("5", IO("a"), IO("b"), STEP("m", IN("x", "a") OUT("y", "b")))),
              "ensemble e allows maximum batch size 5, but it contains model m which only allows maximum batch size to "
              "be 4");
}

static void types_and_shapes_must_agree(void)
{
    CHECK_STR(loads(ENSEMBLE("4", "{ name: \"a\" data_type: TYPE_INT32 dims: [ 2 ] }", IO("b"),
                             STEP("m", IN("x", "a") OUT("y", "b")))),
              "in ensemble e, ensemble tensor a: inconsistent data type: TYPE_INT32 is inferred from model e while "
              "TYPE_FP32 is inferred from model m");
    CHECK_STR(loads(ENSEMBLE("4", IO("a"), "{ name: \"b\" data_type: TYPE_FP32 dims: [ 3 ] }",
                             STEP("m", IN("x", "a") OUT("y", "b")))),
              "in ensemble e, ensemble tensor b: inconsistent shape: [-1,3] is inferred from model e while [-1,2] is "
              "inferred from model m");
    /* without a batch the same dimensions will do, or those with it */
    CHECK_STR(loads(ENSEMBLE("0", IO("a"), IO("b"), STEP("m", IN("x", "a") OUT("y", "b")))), "");
    CHECK_STR(loads(ENSEMBLE("0", "{ name: \"a\" data_type: TYPE_FP32 dims: [ -1, 2 ] }", IO("b"),
                             STEP("m", IN("x", "a") OUT("y", "b")))), "");
}

static void ensembles_in_ensembles_are_no_circle_and_not_too_deep(void)
{
    char name[8], text[600];
    CHECK_STR(loads(ENSEMBLE("4", IO("a"), IO("b"), STEP("e", IN("a", "a") OUT("b", "b")))),
              "circular dependency between ensembles: e -> e");
    for (int i = 1; i <= ENSEMBLE_DEPTH_MAX; i++) {
        snprintf(name, sizeof name, "n%d", i);
        snprintf(text, sizeof text, ENSEMBLE("4", IO("a"), IO("b"), STEP("%s%.0d", IN("%s", "a") OUT("%s", "b"))),
                 i > 1 ? "n" : "m", i - 1, i > 1 ? "a" : "x", i > 1 ? "b" : "y");
        model_folder_put(name, NULL, text);
    }
    char why[200];
    snprintf(why, sizeof why, "ensemble 'e': expected ensembles in ensembles at most %d deep, got more",
             ENSEMBLE_DEPTH_MAX);
    CHECK_STR(loads(ENSEMBLE("4", IO("a"), IO("b"), STEP("n7", IN("a", "a") OUT("b", "b")))), "");
    CHECK_STR(loads(ENSEMBLE("4", IO("a"), IO("b"), STEP("n8", IN("a", "a") OUT("b", "b")))), why);
    for (int i = 1; i <= ENSEMBLE_DEPTH_MAX; i++) {
        snprintf(name, sizeof name, "n%d", i);
        model_folder_remove(name);
    }
}

/* 1,023 steps in one, four of which are 4,096 steps. */
static void so_many_steps_are_in_all_its_ensembles(void)
{
    enum { STEPS = ENSEMBLE_STEPS_MAX / 4 - 1 };
    static char text[STEPS * 160 + 400];
    size_t n = 0;
    n += (size_t)snprintf(text, sizeof text, "platform: \"ensemble\" max_batch_size: 4 input [ " IO("a") " ] "
                          "output [ " IO("b") " ] ensemble_scheduling { step [ ");
    for (int i = 0; i < STEPS; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s" STEP("m", IN("x", "%s%.0d") OUT("y", "%s%.0d")),
                              i ? "," : "", i ? "t" : "a", i, i + 1 < STEPS ? "t" : "b", i + 1 < STEPS ? i + 1 : 0);
    snprintf(text + n, sizeof text - n, " ] }");
    model_folder_put("big", NULL, text);
#define FOUR(last) STEP("big", IN("a", "a") OUT("b", "t")) "," STEP("big", IN("a", "t") OUT("b", "u")) "," \
             STEP("big", IN("a", "u") OUT("b", "v")) "," STEP("big", IN("a", "v") OUT("b", last))
    CHECK_STR(loads(ENSEMBLE("4", IO("a"), IO("b"), FOUR("b"))), "");
    CHECK_STR(loads(ENSEMBLE("4", IO("a"), IO("b"), FOUR("w") "," STEP("m", IN("x", "w") OUT("y", "b")))),
              "ensemble 'e': expected at most 4096 steps in all its ensembles, got more");
    model_folder_remove("big");
}

static void what_a_step_writes_is_no_input(void)
{
    CHECK_STR(strstr(loads(ENSEMBLE("4", IO("a"), IO("b"), STEP("m", IN("x", "a") OUT("y", "b")) ","
                                    STEP("m", IN("x", "b") OUT("y", "a")))), "ensemble input"),
              "ensemble input 'a' for ensemble 'e' is also the output of a step");
}

static void no_memory_at_any_point_leaves_nothing(void)
{
    CLEANUP(repository) repository *r = NULL;
    metrics_model metrics = {0};
    served *s = NULL;
    err e;
    CHECK_STR(loads(ENSEMBLE("4", IO("a"), IO("b"), STEP("m", IN("x", "a") OUT("y", "t")) ","
                             STEP("m", IN("x", "t") OUT("y", "b")))), "");
    CHECK(conf_rig_open(&r, config(), pool, 1, &e) == ERR_OK);
    CHECK(repository_find(r, STR("e"), STR(""), &s, &e) == ERR_OK);
    FAULT_SWEEP({
        ensemble *m = NULL;
        err_code rc = ensemble_new(&m, s->config, r, &metrics, &e);
        CHECK(rc == ERR_OK ? m != NULL : rc == ERR_NOMEM && !m);
        ensemble_free(m);
    })
    conf_rig_end();
}

/* With so many steps some text of a version is what needs the next piece of memory. */
static void a_version_that_has_no_memory_is_not_the_one_that_serves(void)
{
    enum { STEPS = 600 };
    static char text[STEPS * 160 + 400];
    CLEANUP(repository) repository *r = NULL;
    metrics_model metrics = {0};
    served *s = NULL;
    err e;
    size_t n = (size_t)snprintf(text, sizeof text, "platform: \"ensemble\" max_batch_size: 4 input [ " IO("a") " ] "
                                "output [ " IO("b") " ] ensemble_scheduling { step [ ");
    for (int i = STEPS; i > 0; i--)   /* a, t599, t598, ... b */
        n += (size_t)snprintf(text + n, sizeof text - n, "%s{ model_name: \"m\" model_version: 1 " IN("x", "%s%.0d")
                              OUT("y", "%s%.0d") "}", i < STEPS ? "," : "", i < STEPS ? "t" : "a", i % STEPS,
                              i > 1 ? "t" : "b", i - 1);
    snprintf(text + n, sizeof text - n, " ] }");
    CHECK_STR(loads(text), "");
    CHECK(conf_rig_open(&r, config(), pool, 1, &e) == ERR_OK);
    CHECK(repository_find(r, STR("e"), STR(""), &s, &e) == ERR_OK);
    FAULT_SWEEP({
        ensemble *m = NULL;
        err_code rc = ensemble_new(&m, s->config, r, &metrics, &e);
        CHECK(rc == (mem_fault_fired() ? ERR_NOMEM : ERR_OK));
        ensemble_free(m);
    })
    conf_rig_end();
}

int main(void)
{
    static const test_case cases[] = {
        TEST(flows_have_a_writer_and_readers),
        TEST(members_must_be_there_and_have_the_tensors),
        TEST(types_and_shapes_must_agree),
        TEST(ensembles_in_ensembles_are_no_circle_and_not_too_deep),
        TEST(so_many_steps_are_in_all_its_ensembles),
        TEST(what_a_step_writes_is_no_input),
        TEST(no_memory_at_any_point_leaves_nothing),
        TEST(a_version_that_has_no_memory_is_not_the_one_that_serves),
    };
    err e;
    if (!model_folder_open() || compute_new(&pool, 1, &e)) return 1;
    member_put("m");
    int rc = test_main(cases, COUNTOF(cases));
    compute_free(pool);
    model_folder_close();
    return rc;
}
