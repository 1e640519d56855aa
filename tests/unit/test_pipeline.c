/* What a folder declares of pictures and answers fits the model or is refused where it stands; what it leaves open is
 * the model's. */
#include "models/pipeline.h"
#include "onnx_build.h"
#include "os/file.h"
#include "test_folder.h"

static model *net;
static model_ios ios;

/* x FP32 [N,3,4,6], u UINT8 [5,7,1], v FP32 [N,2], w FP32 [N,3,5,1], g FP32 [N,4,6], h FP32 [1,3,4,6] ->
 * y FP32 [N,5], b FP32 [N,9,4], s FP32 [N,9,2], i INT64 [N,3], o FP32 [N,9,5], r FP32 [N], q FP32 [3],
 * t FP32 [2,3]. */
static void model_make(onnx_build *b)
{
    static const model_opts none;
    err e = {.text = ""};
    onnx_build_start(b, 13);
    onnx_build_input(b, "x", DT_F32, "N,3,4,6");
    onnx_build_input(b, "u", DT_U8, "5,7,1");
    onnx_build_input(b, "v", DT_F32, "N,2");
    onnx_build_input(b, "y0", DT_F32, "N,5");
    onnx_build_input(b, "b0", DT_F32, "N,9,4");
    onnx_build_input(b, "s0", DT_F32, "N,9,2");
    onnx_build_input(b, "i0", DT_I64, "N,3");
    onnx_build_input(b, "o0", DT_F32, "N,9,5");
    onnx_build_input(b, "w", DT_F32, "N,3,5,1");
    onnx_build_input(b, "g", DT_F32, "N,4,6");
    onnx_build_input(b, "r0", DT_F32, "N");
    onnx_build_input(b, "h", DT_F32, "1,3,4,6");
    onnx_build_input(b, "q0", DT_F32, "3");
    onnx_build_input(b, "t0", DT_F32, "2,3");
    static const char *const outs[] = {"y", "b", "s", "i", "o", "r", "q", "t"};
    static const char *const ins[] = {"y0", "b0", "s0", "i0", "o0", "r0", "q0", "t0"};
    static const char *const dims[] = {"N,5", "N,9,4", "N,9,2", "N,3", "N,9,5", "N", "3", "2,3"};
    for (size_t i = 0; i < COUNTOF(outs); i++) {
        onnx_build_node(b, "Identity", ins[i], outs[i], "");
        onnx_build_output(b, outs[i], i == 3 ? DT_I64 : DT_F32, dims[i]);
    }
    if (model_open_bytes(&net, onnx_build_bytes(b), "m.onnx", NULL, &none, &e)) printf("# %s\n", e.text);
    INVARIANT(net);
    ios = model_ios_of(net);
}

static pipeline *parse(const char *text, err *e)
{
    pipeline *p = NULL;
    pipeline_from from = {.path = "m", .file = "m", .ios = &ios, .pixels_max = 1000};
    *e = (err){.text = ""};
    err_code rc = pipeline_parse(&p, str_of(text), "p.yaml", test_folder, &from, e);
    CHECK((rc == ERR_OK) == (p != NULL));
    return p;
}

static void refuse(const char *text, const char *want)
{
    err e;
    pipeline *p = parse(text, &e);
    CHECK(!p);
    CHECK_STR(e.text, want);
    pipeline_free(p);
}

static void what_is_not_said_is_the_models(void)
{
    err e;
    pipeline *p = parse("inputs: {x: {image: }, u: {image: {}, name: grey}}", &e);
    CHECK_STR(e.text, "");
    if (!p) return;
    const prepare *x = p->inputs[0].image, *u = p->inputs[1].image;
    CHECK(x->size == PREPARE_EXACT && x->width == 6 && x->height == 4 && x->type == DT_F32 && x->channels == 3);
    CHECK(!x->channels_last && p->inputs[0].batch && x->pixels_max == 1000 && x->rescale && !x->normalize);
    CHECK(u->width == 7 && u->height == 5 && u->type == DT_U8 && u->channels == 1 && u->channels_last && !u->rescale);
    CHECK(!p->inputs[1].batch && pipeline_takes(p, 0) && pipeline_takes(p, 1) && !pipeline_takes(p, 2));
    CHECK(pipeline_image(p, STR("grey")) == 1 && pipeline_image(p, STR("image")) == -1 && p->image == -1);
    CHECK(!pipeline_takes(NULL, 0) && pipeline_image(NULL, STR("image")) == -1 && p->answer.kind == ANSWER_NONE);
    pipeline_free(p);
}

/* Three rows, or three channels and one column: channels come first where both could be. */
static void channels_come_first_where_they_may(void)
{
    err e;
    pipeline *p = parse("inputs: {w: {image: {}, name: w}}", &e);   /* its own name will do */
    CHECK_STR(e.text, "");
    const prepare *w = p ? p->inputs[8].image : NULL;
    CHECK(w && !w->channels_last && w->channels == 3 && w->height == 5 && w->width == 1);
    CHECK(pipeline_image(p, STR("w")) == 8);
    pipeline_free(p);
    p = parse("inputs: {x: {image: {pad_size: {height: 4, width: 6}}}}", &e);
    CHECK(p && p->inputs[0].image->size == PREPARE_AS_IT_IS);   /* a padded picture is not stretched */
    pipeline_free(p);
}

static void the_only_one_is_called_image(void)
{
    err e;
    pipeline *p = parse("inputs: {x: {image: {pixels_max: 10}}}", &e);
    CHECK(p && pipeline_image(p, STR("image")) == 0 && p->image == 0 && p->inputs[0].image->pixels_max == 10);
    pipeline_free(p);
    p = parse("inputs: {x: {image: {pixels_max: 100000}}}", &e);
    CHECK(p && p->inputs[0].image->pixels_max == 1000);
    pipeline_free(p);
}

static void an_input_that_does_not_fit_is_refused(void)
{
    refuse("", "p.yaml:1:1: expected a map, got nothing");
    refuse("{}", "p.yaml:1:1: expected a member 'inputs', got a map");
    refuse("input: {}", "p.yaml:1:1: key 'input' is not supported, did you mean 'inputs'?");
    refuse("inputs: {z: {image: {}}}", "p.yaml:1:10: inputs: expected an input of the model, got 'z'");
    refuse("inputs: {x: {name: a}}", "p.yaml:1:13: x: expected a member 'image', got a map");
    refuse("inputs:\n  x:\n    image: {size: 5}",
           "p.yaml:3:12: image: expected sizes that make [3,4,6], as input 'x' has, got '[3,5,5]'");
    refuse("inputs: {x: {image: {size: {shortest_edge: 9}}}}",
           "p.yaml:1:21: image: expected sizes that make [3,4,6], as input 'x' has, got '[3,-1,-1]'");
    refuse("inputs: {x: {image: {channels: 1}}}",
           "p.yaml:1:21: image: expected sizes that make [3,4,6], as input 'x' has, got '[1,4,6]'");
    refuse("inputs: {x: {image: {dtype: float16}}}",
           "p.yaml:1:21: image: expected dtype float32, as input 'x' has, got 'float16'");
    refuse("inputs: {v: {image: {}}}", "p.yaml:1:21: image: expected an input of 3 or 4 dimensions, got 'v' of [-1,2]");
    refuse("inputs: {x: {image: {resample: soft}}}",
           "p.yaml:1:32: resample: expected nearest, lanczos, bilinear, bicubic, box, hamming or Pillow's number, got "
           "'soft'");
    refuse("inputs: {x: {image: {}, name: u}}", "p.yaml:1:31: name: expected a name that no other input has, got 'u'");
    refuse("inputs: {x: {image: {}, name: a}, u: {image: {}, name: a}}",
           "p.yaml:1:56: name: expected a name that no other input has, got 'a'");
}

/* [N,4,6] is a batch of grey pictures, or one of N channels. */
static void channels_that_the_model_leaves_open_have_to_be_said(void)
{
    err e;
    refuse("inputs: {g: {image: {}}}",
           "p.yaml:1:21: image: expected 'channels', which input 'g' leaves open, got '[-1,4,6]'");
    refuse("inputs: {g: {image: }}",
           "p.yaml:1:21: image: expected 'channels', which input 'g' leaves open, got '[-1,4,6]'");
    pipeline *p = parse("inputs: {g: {image: {channels: 1}}}\nanswer: {classes: {output: r}}", &e);
    CHECK_STR(e.text, "");
    CHECK(p && p->inputs[9].image->channels == 1 && !p->inputs[9].batch);
    pipeline_free(p);
}

static void keys_may_lie_in_a_file_beside_it(void)
{
    err e;
    CHECK(file_write(test_folder_path("pre.json"), "{\"size\": {\"height\": 4, \"width\": 6}}", 35, &e) == ERR_OK);
    CHECK(file_write(test_folder_path("names.txt"), "a\nb\nc\nd\ne\n", 10, &e) == ERR_OK);
    pipeline *p = parse("inputs: {x: {image: pre.json}}\nanswer: {classes: {output: y, labels: names.txt}}", &e);
    CHECK_STR(e.text, "");
    CHECK(p && p->inputs[0].image->width == 6 && p->answer.labels.count == 5);
    pipeline_free(p);
    refuse("inputs: {x: {image: ../pre.json}}", "p.yaml:1:21: image: expected the name of a file, got '../pre.json'");
    p = parse("inputs: {x: {image: {}}}\nanswer: {classes: {output: y, labels: gone.txt}}", &e);
    CHECK(!p && strncmp(e.text, "p.yaml:2:39: labels: /tmp/", 26) == 0);
}

#define IN "inputs: {x: {image: {}}}\nanswer: "

static void an_answer_is_read(void)
{
    err e;
    pipeline *p = parse(IN "{classes: {output: y, softmax: true, top: 3}}", &e);
    CHECK(p && p->answer.kind == ANSWER_CLASSES && p->answer.softmax && p->answer.top == 3 && p->answer.scores == 0);
    CHECK(p && p->answer.output_count == 2 && str_is(p->answer.outputs[0].name, "index"));
    pipeline_free(p);
    p = parse(IN "{boxes: {boxes: b, scores: s, form: center, background: 1, labels: [n, face]}, prefix: my_}", &e);
    CHECK_STR(e.text, "");
    CHECK(p && p->answer.kind == ANSWER_BOXES && p->answer.boxes == 1 && p->answer.scores == 2 && p->answer.center);
    CHECK(p && p->answer.background == 1 && p->answer.best.keep_max == 100 && p->answer.output_count == 5);
    CHECK(p && str_is(p->answer.outputs[1].name, "my_box") && p->answer.outputs[1].shape.rank == 3);
    pipeline_free(p);
    p = parse(IN "{boxes: {all: o}}", &e);
    CHECK(p && p->answer.kind == ANSWER_BOXES && p->answer.boxes == 4 && p->answer.background == -1);
    pipeline_free(p);
}

/* x takes any number of pictures; h, whose batch is 1, and u take one, u and g one each. */
static void as_many_rows_of_scores_as_pictures(void)
{
    static const struct {
        const char *inputs, *output, *want;
    } rows[] = {
        {"x: {image: {}}", "y", ""},
        {"x: {image: {}}", "q", "p.yaml:2:19: classes: expected an output of [N, classes], got '[3]'"},
        {"h: {image: {}}", "q", ""},
        {"h: {image: {}}", "y", ""},
        {"h: {image: {}}", "t", "p.yaml:2:19: classes: expected an output of [classes] or [1, classes], got '[2,3]'"},
        {"u: {image: {}}", "q", ""},
        {"u: {image: {}}", "t", "p.yaml:2:19: classes: expected an output of [classes] or [1, classes], got '[2,3]'"},
        {"u: {image: {}}, g: {image: {channels: 1}}", "t", ""},
        {"u: {image: {}}, x: {image: {}}", "q",
         "p.yaml:2:19: classes: expected an output of [N, classes], got '[3]'"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        char text[200];
        err e;
        snprintf(text, sizeof text, "inputs: {%s}\nanswer: {classes: {output: %s}}", rows[i].inputs, rows[i].output);
        pipeline_free(parse(text, &e));
        CHECK_STR(e.text, rows[i].want);
    }
}

static void an_answer_that_does_not_fit_is_refused(void)
{
    refuse(IN "{}", "p.yaml:2:9: answer: expected a member 'classes' or 'boxes', got a map");
    refuse(IN "{classes: {}}", "p.yaml:2:19: classes: expected a member 'output', got a map");
    refuse(IN "{classes: {output: z}}", "p.yaml:2:28: output: expected an output of the model, got 'z'");
    refuse(IN "{classes: {output: i}}", "p.yaml:2:28: output 'i': expected FP32 or FP16, got int64");
    refuse(IN "{prefix: a, classes: {output: r}}",
           "p.yaml:2:30: classes: expected an output of [N, classes], got '[-1]'");
    refuse(IN "{classes: {output: y, top: 0}}", "p.yaml:2:36: top: expected 1 to 10000, got '0'");
    refuse(IN "{classes: {output: y, tpo: 0}}", "p.yaml:2:31: key 'tpo' is not supported, did you mean 'top'?");
    refuse(IN "{boxes: {boxes: b}}", "p.yaml:2:17: boxes: expected members 'boxes' and 'scores', or 'all', got a map");
    refuse(IN "{boxes: {all: o, objectness: true}}",
           "p.yaml:2:17: boxes: expected an output of [N, boxes, values], got '[-1,9,5]'");
    refuse(IN "{boxes: {boxes: b, scores: s, background: 1048577}}",
           "p.yaml:2:51: background: expected the index of a class, got '1048577'");
    refuse(IN "{boxes: {all: s}}", "p.yaml:2:17: boxes: expected an output of [N, boxes, values], got '[-1,9,2]'");
    refuse(IN "{boxes: {boxes: s, scores: b}}", "p.yaml:2:17: boxes: expected an output of [N, boxes, 4], got "
        "'[-1,9,2]'");
    refuse(IN "{boxes: {boxes: b, scores: b}}", "p.yaml:2:36: scores: expected another output than 'boxes', got 'b'");
    refuse(IN "{boxes: {boxes: b, scores: s, objectness: true}}",
           "p.yaml:2:17: boxes: expected 'objectness' only with 'all', got a map");
    refuse(IN "{boxes: {boxes: b, scores: s, overlap_max: 2}}", "p.yaml:2:52: overlap_max: expected 0 to 1, got '2'");
    refuse("inputs: {x: {image: {draft: true}}}\nanswer: {boxes: {boxes: b, scores: s}}",
           "p.yaml:2:17: boxes: expected 'draft' to be false: it loses the picture's size");
    refuse("inputs: {x: {image: {}}, u: {image: {}}}\nanswer: {boxes: {boxes: b, scores: s}}",
           "p.yaml:2:17: boxes: expected boxes only with one input that takes pictures, got a map");
}

/* Which of the places has the declaration: its name of the picture, or the error. */
static const char *opens(const char *path, const char *file, const char *metadata)
{
    static char got[300];
    char from_path[200], from_file[200];
    pipeline *p = NULL;
    err e;
    snprintf(from_path, sizeof from_path, "%s%s", test_folder, path);
    snprintf(from_file, sizeof from_file, "%s%s", test_folder, file);
    pipeline_from from = {.path = from_path, .file = from_file, .ios = &ios,
                          .metadata = metadata ? str_of(metadata) : (str){0}};
    if (pipeline_open(&p, &from, &e)) snprintf(got, sizeof got, "%s", e.text + strlen(test_folder));
    else snprintf(got, sizeof got, STR_FMT, STR_ARG(p ? p->inputs[0].name : STR("none")));
    pipeline_free(p);
    return got;
}

static void save(const char *name, const char *picture)
{
    char text[100];
    err e;
    int n = snprintf(text, sizeof text, "inputs: {x: {image: {}, name: %s}}", picture);
    CHECK(file_write(test_folder_path(name), text, (size_t)n, &e) == ERR_OK);
}

static void the_nearest_declaration_counts(void)
{
    CHECK_STR(opens("", "/model.onnx", NULL), "none");
    CHECK_STR(opens("", "/model.onnx", "inputs: {x: {image: {}, name: meta}}"), "meta");
    CHECK_STR(opens("", "/model.onnx", "inputs: 7"), "/model.onnx#proa:1:9: inputs: expected a map, got '7'");
    save("proa.yaml", "folder");
    CHECK_STR(opens("", "/model.onnx", "inputs: {x: {image: {}, name: meta}}"), "folder");
    CHECK_STR(opens("", "/1/model.onnx", NULL), "folder");
    CHECK_STR(opens("/model.onnx", "/model.onnx", NULL), "none");
    save("model.proa.yaml", "beside");
    CHECK_STR(opens("", "/model.onnx", NULL), "beside");
    CHECK_STR(opens("/model.onnx", "/model.onnx", NULL), "beside");
    CHECK_STR(opens("/other.onnx", "/other.onnx", NULL), "none");
}

static void no_memory_at_any_point_leaves_nothing(void)
{
    const str text = STR(IN "{boxes: {boxes: b, scores: s, labels: [a, b]}}");
    const pipeline_from from = {.path = "m", .file = "m", .ios = &ios};
    FAULT_SWEEP({
        pipeline *p = NULL;
        err e;
        err_code rc = pipeline_parse(&p, text, "p.yaml", NULL, &from, &e);
        CHECK(rc == ERR_OK ? p != NULL : rc == ERR_NOMEM && !p);
        pipeline_free(p);
    })
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_is_not_said_is_the_models),
        TEST(channels_come_first_where_they_may),
        TEST(the_only_one_is_called_image),
        TEST(an_input_that_does_not_fit_is_refused),
        TEST(channels_that_the_model_leaves_open_have_to_be_said),
        TEST(keys_may_lie_in_a_file_beside_it),
        TEST(an_answer_is_read),
        TEST(as_many_rows_of_scores_as_pictures),
        TEST(an_answer_that_does_not_fit_is_refused),
        TEST(the_nearest_declaration_counts),
        TEST(no_memory_at_any_point_leaves_nothing),
    };
    onnx_build b;
    INVARIANT(test_folder_open());
    model_make(&b);
    int status = test_main(cases, COUNTOF(cases));
    model_free(net);
    onnx_build_end(&b);
    test_folder_close();
    return status;
}
