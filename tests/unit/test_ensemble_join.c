/* An ensemble takes pictures where the member that reads them does, and answers as the member does whose outputs are
 * its own; what the members do not say, or cannot mean together, is not made up. */
#include "models/ensemble_join.h"

#include "conf_rig.h"
#include "model_folder.h"
#include "models/served.h"
#include "serve_rig.h"

static compute *pool;

#define IO(name, type, dims) "{ name: \"" name "\" data_type: TYPE_" type " dims: [ " dims " ] }"
#define STEP(model, in, i, out, o)                                                                              \
    "step { model_name: \"" model "\" model_version: -1 input_map { key: \"" in "\" value: \"" i "\" } "        \
    "output_map { key: \"" out "\" value: \"" o "\" } }"
#define ENSEMBLE(batch, in, out, steps)                                                                  \
    "platform: \"ensemble\" max_batch_size: " batch " input [ " in " ] output [ " out " ] ensemble_scheduling { " \
    steps " }"

/* x FP32 [N,3,2,2] -> y [N,3]. */
static void picture_put(const char *name, const char *declared)
{
    char path[200];
    onnx_build b;
    onnx_build_start(&b, 13);
    onnx_build_input(&b, "x", DT_F32, "N,3,2,2");
    onnx_build_ints(&b, "axes", "2", (const int64_t[]){2, 3});
    onnx_build_node(&b, "ReduceSum", "x,axes", "y", "keepdims=0");
    onnx_build_output(&b, "y", DT_F32, "N,3");
    model_folder_put(name, &b, "max_batch_size: 4");
    snprintf(path, sizeof path, "%s/%s/proa.yaml", model_folder, name);
    model_folder_write(path, declared, strlen(declared));
}

typedef struct {
    repository *models;
    served *of;
    queue_item item;
    const pipeline *p;
    err e;
} bench;

/* Of an ensemble "e": what its members say together, or why it is not loaded. */
static bool joins(bench *b, const char *config)
{
    static conf c;
    *b = (bench){.p = NULL};
    conf_rig_fresh(&c);
    c.model_repository = str_of(model_folder);
    model_folder_put("e", NULL, config);
    if (conf_rig_open(&b->models, &c, pool, 1, &b->e)) return false;
    INVARIANT(repository_find(b->models, STR("e"), STR(""), &b->of, &b->e) == ERR_OK);
    served_begin(b->of, &b->item);
    b->p = served_pipeline(b->of, &b->item);
    return b->p != NULL;
}

static void part(bench *b)
{
    served_end(&b->item);
    repository_free(b->models);
}

#define Y IO("y", "FP32", "3")
#define Z IO("z", "FP32", "3")

static void an_input_takes_pictures_where_its_reader_does(void)
{
    bench b;
    CHECK(joins(&b, ENSEMBLE("4", IO("f", "STRING", "1"), Y, STEP("pic", "x", "f", "y", "y"))));
    CHECK(b.p->image == 0 && pipeline_takes(b.p, 0) && b.p->inputs[0].batch);
    CHECK(pipeline_image(b.p, STR("photo")) == 0 && pipeline_image(b.p, STR("image")) < 0);
    CHECK(served_pipeline(b.of, &b.item) == b.p && b.p->input_count == 1);
    part(&b);
    CHECK(joins(&b, ENSEMBLE("0", IO("f", "STRING", "1"), Y, STEP("pic", "x", "f", "y", "y"))));
    CHECK(!b.p->inputs[0].batch);   /* one picture */
    part(&b);
    CHECK(joins(&b, ENSEMBLE("0", IO("f", "FP32", "3, 2, 2"), Y, STEP("pic", "x", "f", "y", "y"))));
    CHECK(!b.p->inputs[0].batch);
    part(&b);
    CHECK(joins(&b, ENSEMBLE("0", IO("f", "STRING", "-1"), IO("y", "FP32", "-1, 3"), STEP("pic", "x", "f", "y", "y"))));
    CHECK(b.p->inputs[0].batch);
    part(&b);
}

static void of_two_neither_is_the_picture(void)
{
    bench b;
    CHECK(joins(&b, ENSEMBLE("4", IO("f", "STRING", "1") "," IO("image", "FP32", "3, 2, 2"), Y "," Z,
                             STEP("pic", "x", "f", "y", "y") STEP("bare", "x", "image", "y", "z"))));
    CHECK(b.p->image == -1 && pipeline_takes(b.p, 0) && pipeline_takes(b.p, 1));
    CHECK(pipeline_image(b.p, STR("photo")) == 0 && pipeline_image(b.p, STR("image")) == -1);
    part(&b);
}

static void the_answer_is_that_of_who_writes_the_outputs(void)
{
    bench b;
    CHECK(joins(&b, ENSEMBLE("4", IO("f", "STRING", "1"), Z "," Y,
                             STEP("pic", "x", "f", "y", "y") STEP("neg", "x", "y", "y", "z"))));
    CHECK(b.p->answer.kind == ANSWER_CLASSES && b.p->answer.scores == 1 && b.p->answer.output_count == 3);
    part(&b);
    CHECK(joins(&b, ENSEMBLE("4", IO("f", "STRING", "1"), Z,
                             STEP("pic", "x", "f", "y", "t") STEP("neg", "x", "t", "y", "z"))));
    CHECK(b.p->answer.kind == ANSWER_NONE && b.p->answer.output_count == 0);   /* the scores are not its output */
    part(&b);
    CHECK(joins(&b, ENSEMBLE("4", IO("f", "STRING", "1"), IO("score", "FP32", "3"),
                             STEP("pic", "x", "f", "y", "score"))));
    CHECK(b.p->answer.kind == ANSWER_NONE);   /* an output of that name would be hidden */
    part(&b);
    CHECK(joins(&b, ENSEMBLE("4", IO("a", "FP32", "3"), Y, STEP("neg", "x", "a", "y", "y"))));
    CHECK(b.p->image == -1 && !pipeline_takes(b.p, 0) && b.p->answer.kind == ANSWER_NONE);
    part(&b);
}

static void text_is_a_picture_to_one_reader_alone(void)
{
    bench b;
    CHECK(!joins(&b, ENSEMBLE("4", IO("f", "STRING", "1"), Y "," Z,
                              STEP("pic", "x", "f", "y", "y") STEP("bare", "x", "f", "y", "z"))));
    CHECK(strstr(b.e.text, "in ensemble e, ensemble tensor f: expected model pic alone to read its pictures, got 2 "
                           "readers"));
    CHECK(!joins(&b, ENSEMBLE("4", IO("f", "STRING", "1"), Y, STEP("neg", "x", "f", "y", "y"))));
    CHECK(strstr(b.e.text, "inconsistent data type: TYPE_STRING is inferred from model e while TYPE_FP32"));
}

int main(void)
{
    static const test_case cases[] = {
        TEST(an_input_takes_pictures_where_its_reader_does),
        TEST(of_two_neither_is_the_picture),
        TEST(the_answer_is_that_of_who_writes_the_outputs),
        TEST(text_is_a_picture_to_one_reader_alone),
    };
    onnx_build m;
    err e;
    if (!model_folder_open() || compute_new(&pool, 1, &e)) return 1;
    picture_put("pic", "inputs: {x: {name: photo, image: {}}}\nanswer: {classes: {top: 1, labels: [r, g, b]}}");
    picture_put("bare", "inputs: {x: {image: {}}}");
    serve_rig_same(&m, DT_F32, "N,3");
    model_folder_put("neg", &m, "max_batch_size: 4");
    int rc = test_main(cases, COUNTOF(cases));
    compute_free(pool);
    conf_rig_end();
    model_folder_close();
    return rc;
}
