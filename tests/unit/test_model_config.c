/* A model's configuration is read, completed from the model and checked as Triton does it, in Triton's words; what is
 * not obeyed is refused by name. */
#include "models/config_check.h"
#include "models/config_def.h"
#include "models/model_config.h"
#include "onnx_build.h"
#include "test.h"
#include "wire/pbtxt.h"

#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/proa-config-XXXXXX";
static model *plain, *batching, *scalar, *sequence;

static void config_write(const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "%s/config.pbtxt", folder);
    FILE *f = fopen(path, "w");
    INVARIANT(f && fwrite(text, 1, strlen(text), f) == strlen(text) && fclose(f) == 0);
}

static model *made(onnx_build *b)
{
    static const model_opts none;
    model *m = NULL;
    err e;
    if (model_open_bytes(&m, onnx_build_bytes(b), "m.onnx", NULL, &none, &e)) printf("# %s\n", e.text);
    INVARIANT(m);
    return m;
}

static onnx_build builds[4];

static void models_open(void)
{
    INVARIANT(mkdtemp(folder));
    for (size_t i = 0; i < COUNTOF(builds); i++) onnx_build_start(&builds[i], 17);
    onnx_build_input(&builds[0], "x", DT_F32, "2,3");
    onnx_build_node(&builds[0], "Add", "x,x", "y", "");
    onnx_build_output(&builds[0], "y", DT_F32, "2,3");
    plain = made(&builds[0]);
    onnx_build_input(&builds[1], "x", DT_F32, "N,4");
    onnx_build_input(&builds[1], "w", DT_I32, "N,M");
    onnx_build_node(&builds[1], "Add", "x,x", "y", "");
    onnx_build_node(&builds[1], "Add", "w,w", "z", "");
    onnx_build_output(&builds[1], "y", DT_F32, "N,4");
    onnx_build_output(&builds[1], "z", DT_I32, "N,M");
    batching = made(&builds[1]);
    onnx_build_input(&builds[2], "x", DT_F32, "");
    onnx_build_node(&builds[2], "Add", "x,x", "y", "");
    onnx_build_output(&builds[2], "y", DT_F32, "");
    scalar = made(&builds[2]);
    onnx_build_input(&builds[3], "x", DT_F32, "N,4");
    onnx_build_input(&builds[3], "start", DT_I32, "N,1");
    onnx_build_node(&builds[3], "Add", "x,x", "y", "");
    onnx_build_node(&builds[3], "Add", "start,start", "s", "");
    onnx_build_output(&builds[3], "y", DT_F32, "N,4");
    onnx_build_output(&builds[3], "s", DT_I32, "N,1");
    sequence = made(&builds[3]);
}

static void models_close(void)
{
    char path[64];
    snprintf(path, sizeof path, "%s/config.pbtxt", folder);
    (void)unlink(path);
    (void)rmdir(folder);
    model_free(plain);
    model_free(batching);
    model_free(scalar);
    model_free(sequence);
    for (size_t i = 0; i < COUNTOF(builds); i++) onnx_build_end(&builds[i]);
}

static char text[16384];

/* NULL, or the error in `text` without the folder. */
static model_config *opened(const char *config, const model *m)
{
    model_config *c = NULL;
    err e = {0};
    config_write(config);
    err_code rc = model_config_read(&c, &(model_config_from){.name = STR("m"), .path = folder}, &e);
    if (rc == ERR_OK && m) rc = model_config_fit(c, m, &e);
    const char *at = strncmp(e.text, folder, strlen(folder)) ? e.text : e.text + strlen(folder) + 1;
    snprintf(text, sizeof text, "%s", at);
    if (!rc) return c;
    model_config_free(c);
    return NULL;
}

static void refuses(const model *m, const char *config, const char *want)
{
    model_config *c = opened(config, m);
    CHECK(!c);
    model_config_free(c);
    size_t prefix = strlen("config.pbtxt: ");
    CHECK_STR(strncmp(text, "config.pbtxt: ", prefix) ? text : text + prefix, want);
}

/* `want` stands in the printed configuration. */
static void prints(const model *m, const char *config, const char *want)
{
    CLEANUP(model_config) model_config *c = opened(config, m);
    buf out;
    if (!c) printf("# %s: %s\n", config, text);
    CHECK(c);
    if (!c) return;
    buf_init(&out, sizeof text - 1);
    model_config_print(&out, c);
    snprintf(text, sizeof text, "%.*s", (int)out.len, (const char *)out.p);
    buf_fini(&out);
    if (!strstr(text, want)) printf("# %s\n# lacks %s\n# got   %s\n", config, want, text);
    CHECK(strstr(text, want));
}

#define X4 "{ name: 'x' data_type: TYPE_FP32 dims: 4 }"
#define WM "{ name: 'w' data_type: TYPE_INT32 dims: -1 }"
#define Y4 "{ name: 'y' data_type: TYPE_FP32 dims: 4 }"
#define BOTH "max_batch_size: 8 input [" X4 ", " WM "] output " Y4 " "
#define CUBE "max_batch_size: 0 input { name: 'x' data_type: TYPE_FP32 dims: [2, 3] } output " \
             "{ name: 'y' data_type: TYPE_FP32 dims: [2, 3] } "

static void what_is_absent_is_completed_from_the_model(void)
{
    prints(batching, "", "\"platform\":\"onnxruntime_onnx\",\"backend\":\"onnxruntime\"");
    prints(batching, "", "\"max_batch_size\":4,\"input\":[{\"name\":\"x\",\"data_type\":\"TYPE_FP32\","
                         "\"format\":\"FORMAT_NONE\",\"dims\":[4],");
    prints(batching, "", "{\"name\":\"w\",\"data_type\":\"TYPE_INT32\",\"format\":\"FORMAT_NONE\",\"dims\":[-1],");
    prints(batching, "", "\"dynamic_batching\":{\"preferred_batch_size\":[4],");
    prints(batching, "", "\"version_policy\":{\"latest\":{\"num_versions\":1}}");
    prints(batching, "", "\"instance_group\":[{\"name\":\"m\",\"kind\":\"KIND_CPU\",\"count\":1,");
    prints(batching, "max_batch_size: 1", "\"max_batch_size\":1,");
    CHECK(!strstr(text, "dynamic_batching"));
    prints(batching, "max_batch_size: 16 dynamic_batching { preferred_batch_size: 8 }", "\"preferred_batch_size\":[8]");
    prints(plain, "", "\"max_batch_size\":0,\"input\":[{\"name\":\"x\",\"data_type\":\"TYPE_FP32\","
                      "\"format\":\"FORMAT_NONE\",\"dims\":[2,3],");
    prints(scalar, "", "\"dims\":[1],");
    prints(plain, CUBE "instance_group [{ count: 3 }, { kind: KIND_MODEL }]",
           "{\"name\":\"m_0\",\"kind\":\"KIND_CPU\",\"count\":3,");
    prints(plain, CUBE "backend: 'onnxruntime'", "\"default_model_filename\":\"model.onnx\"");
    refuses(plain, "max_batch_size: 2", "autofill failed for model 'm': model does not support batching while non-zero "
                                        "max_batch_size is specified");
}

static void without_a_file_the_model_alone_decides(void)
{
    char path[64];
    CLEANUP(model_config) model_config *c = NULL;
    err e;
    shape s = shape_make(2, (const int64_t[]){100, 4}), got;
    snprintf(path, sizeof path, "%s/config.pbtxt", folder);
    (void)unlink(path);
    CHECK(model_config_read(&c, &(model_config_from){.name = STR("m"), .path = folder}, &e) == ERR_OK);
    CHECK(model_config_fit(c, batching, &e) == ERR_OK && !c->given && c->max_batch_size == 0);
    CHECK(model_config_input_shape(c, 0, &s, &got, &e) == ERR_OK && got.dim[0] == 100);
    CHECK(!model_config_limits(c) && !model_config_limits(NULL));
    buf out;
    buf_init(&out, sizeof text - 1);
    model_config_print(&out, c);
    buf_put_byte(&out, 0);
    CHECK(strstr((const char *)out.p, "\"max_batch_size\":0,\"input\":[{\"name\":\"x\",\"data_type\":\"TYPE_FP32\","
                                      "\"format\":\"FORMAT_NONE\",\"dims\":[-1,4],"));
    buf_fini(&out);
}

static void a_clients_json_counts_instead_of_the_file(void)
{
    err e;
    model_config *c = NULL;
    config_write("nonsense");
    model_config_from from = {.name = STR("m"), .path = folder, .override = STR("{\"max_batch_size\":2}")};
    CHECK(model_config_read(&c, &from, &e) == ERR_OK && model_config_fit(c, batching, &e) == ERR_OK);
    CHECK(c->max_batch_size == 2);
    model_config_free(c);
    from.override = STR("{\"max_batch_size\":-2}");
    CHECK(model_config_read(&c, &from, &e) == ERR_INVALID);
    CHECK_STR(e.text, "config: 'max_batch_size' must be non-negative value for m");
}

static void names_and_platforms_are_checked(void)
{
    refuses(NULL, "name: 'n'", "unexpected directory name 'm' for model 'n', directory name must equal model name");
    refuses(NULL, "max_bach_size: 1", "config.pbtxt:1:1: unknown field 'max_bach_size', did you mean "
                                      "'max_batch_size'?");
    refuses(NULL, "platform: 'tensorrt_plan'", "unexpected platform type 'tensorrt_plan' for m");
    refuses(NULL, "backend: 'python'", "backend 'python' of model m is not supported: expected onnxruntime, or "
                                       "platform "
                                       "ensemble");
    refuses(NULL, "backend: 'onnxruntime' platform: 'pytorch_libtorch'",
            "unexpected 'platform' and 'backend' pair, got:pytorch_libtorch, onnxruntime");
    refuses(NULL, "platform: 'ensemble' backend: 'onnxruntime'",
            "Ensemble model 'm' must have platform type 'ensemble' and empty backend type");
    refuses(NULL, "default_model_filename: '../x.onnx'",
            "default_model_filename: expected the name of a file, got '../x.onnx'");
    refuses(NULL, "default_model_filename: 'a/x.onnx'",
            "default_model_filename: expected the name of a file, got 'a/x.onnx'");
    refuses(NULL, "default_model_filename: 'model.plan'", "unexpected platform type '' for m");
    refuses(NULL, "max_batch_size: -1", "'max_batch_size' must be non-negative value for m");
}

static void inputs_and_outputs_are_checked(void)
{
    refuses(plain, "input { dims: 1 } output { name: 'y' }", "model input must specify 'name' for m");
    refuses(plain, "input { name: 'x' } output { name: 'y' }", "model input 'x' must specify 'data_type' for m");
    refuses(plain, CUBE "output { name: 'y' data_type: TYPE_FP32 }", "model output 'y' must specify 'dims' for m");
    refuses(plain, "input { name: 'x' data_type: TYPE_FP32 dims: 0 } output { name: 'y' }",
            "model input 'x' dimension must be integer >= 1, or -1 to indicate a variable-size dimension for m");
#define RESHAPE(d, s)                                                                                    \
    "input { name: 'x' data_type: TYPE_FP32 dims: " d " reshape { shape: " s " } } output { name: 'y' }"
    refuses(plain, RESHAPE("6", "[]"), "model input 'x' cannot have empty reshape for non-batching model as scalar "
                                       "tensors are not supported for m");
    refuses(plain, RESHAPE("6", "0"), "model input 'x' reshape dimensions must be integer >= 1, or -1 to indicate a "
                                      "variable-size dimension for m");
    refuses(plain, RESHAPE("6", "[2, 2]"), "model input 'x' has different size for dims and reshape for m");
    refuses(plain, RESHAPE("[2, -1]", "[2, 2]"),
            "model input 'x' has different number of variable-size dimensions for dims and reshape for m");
    refuses(plain, RESHAPE("[2, -1, 6]", "[-1, 2, 6]"), "model input 'x' has different size for dims and reshape "
                                                        "for m");
    refuses(plain, RESHAPE("[4294967296, 4294967296]", "[1]"), "model input 'x' has more elements than fit 64 bits "
        "for m");
    refuses(plain, "input { name: 'x' data_type: TYPE_FP32 dims: 1 format: FORMAT_NHWC } output { name: 'y' }",
            "model input NHWC/NCHW require 3 dims for m");
    refuses(plain, "input { name: 'x' data_type: TYPE_FP32 dims: 1 is_shape_tensor: true } output { name: 'y' }",
            "shape tensors are only supported for TensorRT platform for m");
    refuses(plain, CUBE "output { name: 'y' data_type: TYPE_FP32 dims: 1 is_non_linear_format_io: true }",
            "Non-linear IO format is only supported for the TensorRT platform for m");
}

static void inputs_and_outputs_must_be_the_models(void)
{
    refuses(batching, "max_batch_size: 8 input [" X4 "] output " Y4,
            "unable to load model 'm', configuration expects 1 inputs, model provides 2");
    refuses(batching, "max_batch_size: 8 input [" X4 ", { name: 'v' data_type: TYPE_FP32 dims: 4 }] output " Y4,
            "unexpected inference input 'v', allowed inputs are: w, x");
    refuses(batching, BOTH "output { name: 'q' data_type: TYPE_FP32 dims: 4 }",
            "unexpected inference output 'q', allowed outputs are: y, z");
    refuses(batching, "max_batch_size: 8 input [" X4 ", { name: 'w' data_type: TYPE_FP32 dims: -1 }] output " Y4,
            "unable to load model 'm', configuration expects datatype TYPE_FP32 for input 'w', model provides "
            "TYPE_INT32");
    refuses(batching, BOTH "output { name: 'z' data_type: TYPE_INT8 dims: -1 }",
            "unable to load model 'm', configuration expects datatype TYPE_INT8 for output 'z', model provides "
            "TYPE_INT32");
    refuses(batching, "max_batch_size: 8 input [{ name: 'x' data_type: TYPE_FP32 dims: 5 }, " WM "] output " Y4,
            "model 'm', tensor 'x': the model expects 2 dimensions (shape [-1,4]) but the model configuration "
            "specifies 2 "
            "dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, "
            "making complete shape [-1,5])");
    refuses(plain, "input { name: 'x' data_type: TYPE_FP32 dims: 2 } output { name: 'y' data_type: TYPE_FP32 dims: 2 }",
            "model 'm', tensor 'x': the model expects 2 dimensions (shape [2,3]) but the model configuration "
            "specifies 1 "
            "dimensions (shape [2])");
    refuses(plain, "max_batch_size: 2 " CUBE, "config.pbtxt:1:19: expected 'max_batch_size' once, got it again after "
                                              "line 1");
    refuses(plain, "max_batch_size: 2 input { name: 'x' data_type: TYPE_FP32 dims: 3 } output { name: 'y' data_type: "
                   "TYPE_FP32 dims: 3 }",
            "model 'm', tensor 'x': for the model to support batching the shape should have at least 1 dimension "
            "and the "
            "first dimension must be -1; but shape expected by the model is [2,3]");
    refuses(scalar, "input { name: 'x' data_type: TYPE_FP32 dims: 2 } output { name: 'y' data_type: TYPE_FP32 dims: "
                    "1 }",
            "unable to load model 'm', scalar tensor 'x', should only provide 1 in the model configuration when the "
            "model "
            "doesn't support batching. Model configuration provided: [2].");
    /* An output's dimensions are the model's own; an input may be narrower. */
    refuses(batching, BOTH "output { name: 'z' data_type: TYPE_INT32 dims: 7 }",
            "model 'm', tensor 'z': the model expects 2 dimensions (shape [-1,-1]) but the model configuration "
            "specifies 2 "
            "dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, "
            "making complete shape [-1,7])");
    prints(batching, "max_batch_size: 8 input [" X4 ", { name: 'w' data_type: TYPE_INT32 dims: 7 }] output " Y4,
           "\"dims\":[7]");
    prints(batching, BOTH, "\"dims\":[-1]");
}

static void batching_is_checked(void)
{
#define DYNAMIC(s) BOTH "dynamic_batching { " s " }"
    refuses(NULL, DYNAMIC("preferred_batch_size: 0"), "dynamic batching preferred size must be positive for m");
    refuses(NULL, DYNAMIC("preferred_batch_size: [4, 9]"),
            "dynamic batching preferred size must be <= max batch size for m");
    refuses(NULL, DYNAMIC("priority_levels: 5"), "default priority level must be in range [1, 5] for m");
    refuses(NULL, DYNAMIC("priority_levels: 5 default_priority_level: 6"),
            "default priority level must be in range [1, 5] for m");
    refuses(NULL, DYNAMIC("priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 3 }"),
            "priority queue policy must have priority level in range [1, 2] for m");
    refuses(NULL, DYNAMIC("priority_levels: 2 default_priority_level: 1 preserve_ordering: true"),
            "Only one priority level is allowed when 'preserve_ordering' is true for m");
#define DELAY "timeout_action: DELAY default_timeout_microseconds: 1"
    refuses(NULL, DYNAMIC("preserve_ordering: true default_queue_policy { " DELAY " }"),
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for m");
    refuses(NULL, DYNAMIC("preserve_ordering: true priority_queue_policy { key: 1 value { " DELAY " } }"),
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for m");
    CLEANUP(model_config) model_config *c = opened(
        DYNAMIC("max_queue_delay_microseconds: 100 priority_levels: 2 default_priority_level: 1 "
                "preferred_batch_size: [2, 4] "
                "default_queue_policy { max_queue_size: 7 } priority_queue_policy { key: 2 value { " DELAY " } }"),
        batching);
    CHECK(c && c->max_batch_size == 8 && c->given);
    if (!c) return;
    const dynamic_batching *d = &c->scheduling.dynamic;
    CHECK(d->on && d->delay_us == 100 && d->levels == 2 && d->level == 1 && !d->preserve_ordering);
    CHECK(d->preferred.count == 2 && d->preferred.at[1] == 4 && d->policy.size_max == 7 && !d->policy.delays);
    CHECK(d->policy_count == 1 && d->policies[0].level == 2 && d->policies[0].policy.delays);
    CHECK_U64(d->policies[0].policy.timeout_us, 1);
}

static void sequences_are_checked_and_read(void)
{
#define CONTROL(k, s) "control_input { name: '" k "' control { " s " } } "
#define START "kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1]"
#define SEQUENCE(s) "max_batch_size: 8 sequence_batching { " s " }"
    refuses(NULL, SEQUENCE("control_input { }"), "sequence batching control tensor must have a name for m");
    refuses(NULL, SEQUENCE(CONTROL("a", START) "control_input { name: 'a' }"),
            "sequence batching control tensor 'a' is specified for multiple control kinds for m");
    refuses(NULL, SEQUENCE(CONTROL("a", START) CONTROL("b", START)),
            "sequence batching specifies multiple CONTROL_SEQUENCE_START tensors for m");
    refuses(NULL, SEQUENCE(CONTROL("a", "kind: CONTROL_SEQUENCE_END")),
            "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for "
            "CONTROL_SEQUENCE_END for m");
    refuses(NULL, SEQUENCE(CONTROL("a", START " fp32_false_true: [0, 1]")),
            "sequence batching specifies more than one from 'int32_false_true', 'fp32_false_true' and "
            "'bool_false_true' for "
            "CONTROL_SEQUENCE_START for m");
    refuses(NULL, SEQUENCE(CONTROL("a", "int32_false_true: [0]")),
            "sequence batching control 'int32_false_true' must have exactly 2 entries for CONTROL_SEQUENCE_START "
            "for m");
    refuses(NULL, SEQUENCE(CONTROL("a", "kind: CONTROL_SEQUENCE_CORRID int32_false_true: [0, 1]")),
            "sequence batching must not specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for "
            "CONTROL_SEQUENCE_CORRID for m");
    refuses(NULL, SEQUENCE(CONTROL("a", "kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32")),
            "unexpected data type for control CONTROL_SEQUENCE_CORRID for m. Allowed data types are TYPE_UINT64, "
            "TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING");
    refuses(NULL, SEQUENCE("oldest { preferred_batch_size: 0 }"),
            "sequence batching preferred batch size must be positive for m");
    refuses(NULL, SEQUENCE("oldest { preferred_batch_size: 9 }"),
            "sequence batching preferred batch size must be <= max batch size for m");
    refuses(NULL, SEQUENCE("direct { minimum_slot_utilization: 1.5 }"),
            "sequence batching minimum slot utilization must be in range (0.0, 1.0] for m");
    refuses(NULL, SEQUENCE("direct { minimum_slot_utilization: nan }"),
            "sequence batching minimum slot utilization must be in range (0.0, 1.0] for m");
    refuses(NULL, SEQUENCE("direct { }") " response_cache { enable: true }",
            "Response Cache does not currently support model m with sequence batching scheduler. Please disable the "
            "response cache.");
}

static void a_name_is_given_once(void)
{
    refuses(batching, "max_batch_size: 8 input [" X4 ", " WM ", " X4 "] output " Y4,
            "model input 'x' can only be specified once for m");
    refuses(plain, CUBE "output { name: 'y' data_type: TYPE_FP32 dims: [2, 3] }",
            "model output 'y' can only be specified once for m");
}

static void what_begins_a_state_is_checked(void)
{
#define STATE(s) SEQUENCE("state { input_name: 'i' output_name: 'o' data_type: TYPE_FP32 dims: [3, -1] " s " }")
#define INITIAL(s) "initial_state { " s " } "
#define GOOD "name: 'n' data_type: TYPE_FP32 dims: [3, 2] "
    refuses(NULL, STATE(INITIAL(GOOD "zero_data: true") INITIAL(GOOD "zero_data: true")),
            "initial_state field for state input 'i' must contain exactly one or zero element. Found '2' elements.");
    refuses(NULL, STATE(INITIAL("name: 'n' data_type: TYPE_INT32 dims: [3, 2] zero_data: true")),
            "The data type used for 'initial_state' field of state 'i' does not match the state data type.");
    refuses(NULL, STATE(INITIAL("data_type: TYPE_FP32 dims: [3, 2] zero_data: true")),
            "Field 'name' must be set when using initial_state for state input 'i'.");
    refuses(NULL, STATE(INITIAL("name: 'n' data_type: TYPE_FP32 dims: 3 zero_data: true")),
            "Number of dimensions in 'initial_state' doesn't match the size of 'state' dimensions for state input "
            "'i'. 1 != 2");
    refuses(NULL, STATE(INITIAL("name: 'n' data_type: TYPE_FP32 dims: [3, -1] zero_data: true")),
            "'initial_state' field for state input name 'i' contains variable dimensions.");
    refuses(NULL, STATE(INITIAL("name: 'n' data_type: TYPE_FP32 dims: [2, 2] zero_data: true")),
            "'initial_state' dim for input name 'i' doesn't match 'state' dim description. 2 != 3");
    refuses(NULL, STATE(INITIAL(GOOD)), "initial_state setting expects state 'i' to have state_data set");
}

static pbtree *tree_of(const char *config, arena *a)
{
    pbtree *t = NULL;
    err e = {0};
    if (pbtxt_parse(str_of(config), "t", &config_def, a, &t, &e)) printf("# %s\n", e.text);
    INVARIANT(t);
    return t;
}

static void scheduling_is_typed(void)
{
    arena a;
    scheduling s;
    err e;
    arena_init(&a, NULL, 0, 1 << 20);
    pbtree *t = tree_of("sequence_batching { oldest { max_candidate_sequences: 3 max_queue_delay_microseconds: 9 } "
                        "max_sequence_idle_microseconds: 5 iterative_sequence: true "
                        CONTROL("a", START) CONTROL("c", "kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_STRING")
                        "state { input_name: 'i' output_name: 'o' data_type: TYPE_FP32 dims: [1, -1] initial_state { "
                        "data_type: TYPE_FP32 dims: 1 data_file: 'f' name: 'n' } } } model_warmup { name: 'w' "
                        "batch_size: 2 "
                        "inputs { key: 'x' value { data_type: TYPE_FP32 dims: 3 random_data: true } } }", &a);
    CHECK(scheduling_read(&s, t, &a, &e) == ERR_OK);
    CHECK(s.sequence.on && s.sequence.oldest && s.sequence.iterative && s.sequence.idle_us == 5);
    CHECK(s.sequence.candidates_max == 3 && s.sequence.delay_us == 9 && !s.dynamic.on && !s.ensemble.on);
    CHECK(str_is(s.sequence.control[CONTROL_START].input, "a") && s.sequence.control[CONTROL_START].on == 1);
    CHECK(s.sequence.control[CONTROL_START].type == DT_I32 && s.sequence.control[CONTROL_END].input.len == 0);
    CHECK(s.sequence.control[CONTROL_CORRID].type == DT_STRING);
    CHECK(s.sequence.state_count == 1 && s.sequence.states[0].dims.at[1] == -1);
    CHECK(str_is(s.sequence.states[0].initial[0].file, "f") && s.sequence.states[0].initial_count == 1);
    CHECK(s.warmup_count == 1 && s.warmups[0].batch_size == 2 && s.warmups[0].count == 1);
    CHECK(s.warmups[0].inputs[0].data == WARMUP_RANDOM && s.warmups[0].inputs[0].dims.at[0] == 3);
    t = tree_of("ensemble_scheduling { step { model_name: 'a' model_version: -1 input_map { key: 'x' value: 'X' } "
                "output_map { key: 'y' value: 'Y' } } max_inflight_requests: 4 }", &a);
    CHECK(scheduling_read(&s, t, &a, &e) == ERR_OK && s.ensemble.on && s.ensemble.step_count == 1);
    CHECK(s.ensemble.steps[0].version == -1 && str_is(s.ensemble.steps[0].inputs[0].value, "X"));
    CHECK(s.ensemble.inflight_max == 4 && str_is(s.ensemble.steps[0].outputs[0].key, "y"));
    arena_fini(&a);
}

#define IN(n) "input { name: '" n "' data_type: TYPE_FP32 dims: 1 } "
#define OUT(n) "output { name: '" n "' data_type: TYPE_FP32 dims: 1 } "
#define STEP(m, i, o)                                                                                    \
    "step { model_name: '" m "' input_map { key: 'i' value: '" i "' } output_map { key: 'o' value: '" o "' } } "
#define ENSEMBLE(io, s) "platform: 'ensemble' " io "ensemble_scheduling { " s "}"

static void ensembles_are_checked(void)
{
    refuses(NULL, "platform: 'ensemble'", "ensemble scheduling must be set for ensemble m whose platform is ensemble");
    refuses(NULL, "backend: 'onnxruntime' ensemble_scheduling { }",
            "ensemble scheduling cannot be set for model 'm' whose platform is not ensemble");
    refuses(NULL, ENSEMBLE("instance_group { } ", ""), "instance group should not be specified for ensemble 'm'");
    refuses(NULL, ENSEMBLE("optimization { } ", ""), "optimization should not be specified for ensemble 'm'");
    refuses(NULL, ENSEMBLE("model_warmup { } ", ""), "model_warmup can not be specified for ensemble 'm'");
    refuses(NULL, ENSEMBLE("", ""), "must specify 'step' for ensemble 'm'");
    refuses(NULL, ENSEMBLE("", "step { }"), "must specify 'model_name' in step 0 of ensemble 'm'");
    refuses(NULL, ENSEMBLE("", STEP("a", "A", "B") "step { model_name: 'b' }"),
            "must specify 'input_map' in step 1 of ensemble 'm'");
    refuses(NULL, ENSEMBLE("", "step { model_name: 'b' input_map { } }"),
            "must specify 'output_map' in step 0 of ensemble 'm'");
    refuses(NULL, ENSEMBLE("", STEP("a", "A", "B") STEP("b", "A", "B")),
            "ensemble tensor 'B' can appear in an output map only once for ensemble 'm' step 1");
    refuses(NULL, ENSEMBLE(IN("Z"), STEP("a", "A", "B")), "ensemble input 'Z' for ensemble m' is not used");
    refuses(NULL, ENSEMBLE(IN("A") OUT("Z"), STEP("a", "A", "B")), "ensemble output 'Z' for ensemble m' is not used");
    refuses(NULL, ENSEMBLE(IN("A") OUT("B"), STEP("a", "A", "C") STEP("b", "D", "B")),
            "output 'B' for ensemble 'm' is not written: at least one of its depending tensors, 'D', is not connected");
    /* A circle: C needs D, D needs C. */
    refuses(NULL, ENSEMBLE(IN("A") OUT("C"), STEP("a", "A", "B") STEP("b", "D", "C") STEP("c", "C", "D")),
            "output 'C' for ensemble 'm' is not written: at least one of its depending tensors, 'D', is not connected");
    refuses(NULL, ENSEMBLE(OUT("C"), STEP("a", "C", "C")), "output 'C' for ensemble 'm' is not written");
    refuses(NULL, ENSEMBLE(IN("A") OUT("B"), STEP("a", "A", "B") STEP("b", "A", "C")),
            "ensemble tensor 'C' is unused in ensemble 'm'");
    refuses(NULL, ENSEMBLE(IN("A") OUT("B"), STEP("a", "A", "B") STEP("b", "B", "A")),
            "ensemble input 'A' for ensemble 'm' is also the output of a step");
    CLEANUP(model_config) model_config *c =
        opened(ENSEMBLE(IN("A") OUT("C"), STEP("a", "A", "B") STEP("b", "B", "C")), NULL);
    err e;
    CHECK(c && c->ensemble && str_is(model_config_member(c, 1), "b") && !model_config_member(c, 2).p);
    CHECK(c && model_config_fit_alone(c, &e) == ERR_OK && c->ios.input_count == 1 && c->scheduling.ensemble.on);
    CHECK(c && str_is(c->ios.outputs[0].name, "C") && model_config_said(c, true, 0));
    CHECK(!model_config_said(NULL, true, 0));
}

static void instances_metrics_and_batch_io_are_checked(void)
{
    refuses(plain, CUBE "instance_group { kind: KIND_GPU }",
            "instance group m_0 of model m has kind KIND_GPU but server does not support GPUs");
    refuses(plain, CUBE "instance_group { gpus: 0 name: 'g' }",
            "instance group g of model m has kind KIND_CPU but specifies one or more GPUs");
    refuses(plain, CUBE "instance_group { kind: KIND_MODEL gpus: 0 }",
            "instance group m_0 of model m has kind KIND_MODEL but specifies one or more GPUs");
    refuses(plain, CUBE "instance_group { profile: '0' }", "instance group m_0 of model m and platform "
                                                           "onnxruntime_onnx "
                                                           "specifies profile field which is only supported for "
                                                           "TensorRT "
                                                           "models");
    refuses(NULL, "model_metrics { metric_control { } }", "metric control must specify 'metric_identifier'");
    refuses(NULL, "model_metrics { metric_control { metric_identifier { } } }",
            "metric identifier must specify non-empty 'family'");
    refuses(NULL, "model_metrics { metric_control { metric_identifier { family: 'f' } } }",
            "metric control must specify 'histogram_options'");
    refuses(NULL, "model_metrics { metric_control { metric_identifier { family: 'f' } histogram_options { } } }",
            "histogram options must specify non-empty 'buckets'");
    refuses(NULL, "model_transaction_policy { decoupled: true } response_cache { enable: true }",
            "Response Cache does not currently support model m with 'decoupled' transaction policy. Please disable the "
            "response cache.");
    arena a;
    err e;
    arena_init(&a, NULL, 0, 1 << 20);
#define SAYS(config, want)                                                                          \
    do {                                                                                            \
        CHECK(config_check_io(tree_of("name: 'm' " CUBE config, &a), &e) == ERR_INVALID);           \
        CHECK_STR(e.text, want " for m");                                                           \
    } while (0)
    SAYS("batch_input { }", "batch input kind 'BATCH_ELEMENT_COUNT' expects 1 source input, got 0");
    SAYS("batch_input { source_input: 'x' }", "batch input data type must be TYPE_INT32 or TYPE_FP32");
    SAYS("batch_input { source_input: 'q' data_type: TYPE_FP32 }", "unknown source input name 'q'");
    SAYS("batch_output { }", "batch output kind 'BATCH_SCATTER_WITH_INPUT_SHAPE' expects 1 source input, got 0");
    SAYS("batch_output { source_input: 'q' }", "unknown source input name 'q'");
    SAYS("batch_output { source_input: 'x' target_name: 'q' }", "unknown target output name 'q'");
    SAYS("batch_output { source_input: 'x' target_name: ['y', 'y'] }", "target output name 'y' can only be "
        "specified once");
    arena_fini(&a);
}

static void what_is_not_obeyed_is_refused_by_name(void)
{
    refuses(NULL, SEQUENCE("iterative_sequence: true"),
            "sequence_batching.iterative_sequence of model m is not supported");
    refuses(NULL, "batch_input { }", "batch_input of model m is not supported");
    refuses(NULL, "model_operations { op_library_filename: 'x.so' }",
            "model_operations.op_library_filename of model m is not supported");
    refuses(NULL, "model_repository_agents { agents { name: 'checksum' } }",
            "model_repository_agents.agents of model m is not supported");
    refuses(NULL, "input { name: 'x' optional: true }", "optional of input 'x' of model m is not supported");
    refuses(NULL, "input { name: 'x' allow_ragged_batch: true }",
            "allow_ragged_batch of input 'x' of model m is not supported");
    refuses(NULL, "instance_group { passive: true }", "instance_group.passive of model m is not supported");
    refuses(NULL, "model_transaction_policy { decoupled: true }",
            "model_transaction_policy.decoupled of model m is not supported");
    refuses(NULL, "optimization { execution_accelerators { cpu_execution_accelerator { name: 'openvino' } } }",
            "unknown Execution Accelerator 'openvino' is requested");
    prints(plain, CUBE "optimization { cuda { graphs: true } priority: PRIORITY_MAX }", "\"cuda\":{\"graphs\":true");
}

static void clients_shapes_are_the_configurations(void)
{
    char say[200];
    err e;
    shape got;
    CLEANUP(model_config) model_config *c = opened(
        "max_batch_size: 8 input [{ name: 'x' data_type: TYPE_FP32 dims: [2, 2] reshape { shape: 4 } }, "
        "{ name: 'w' data_type: TYPE_INT32 dims: [1, -1] reshape { shape: -1 } }] "
        "output { name: 'y' data_type: TYPE_FP32 dims: [2, 2] reshape { shape: 4 } }", batching);
    CHECK(c);
    if (!c) return;
    shape s = shape_make(3, (const int64_t[]){8, 2, 2});
    CHECK(model_config_input_shape(c, 0, &s, &got,
        &e) == ERR_OK && got.rank == 2 && got.dim[0] == 8 && got.dim[1] == 4);
    s.dim[0] = 9;
    CHECK(model_config_input_shape(c, 0, &s, &got, &e) == ERR_INVALID);
    CHECK_STR(e.text, "inference request batch-size must be <= 8 for 'm'");
    s = shape_make(2, (const int64_t[]){8, 4});
    CHECK(model_config_input_shape(c, 0, &s, &got, &e) == ERR_INVALID);
    snprintf(say, sizeof say, "%s", "unexpected shape for input 'x' for model 'm'. Expected [-1,2,2], got [8,4]");
    CHECK_STR(e.text, say);
    s = shape_make(3, (const int64_t[]){3, 1, 17});
    CHECK(model_config_input_shape(c, 1, &s, &got,
        &e) == ERR_OK && got.rank == 2 && got.dim[0] == 3 && got.dim[1] == 17);
    s = shape_make(2, (const int64_t[]){5, 4});
    CHECK(model_config_reshapes(c) && !model_config_reshapes(NULL));
    got = model_config_output_shape(c, 0, &s);
    CHECK(got.rank == 3 && got.dim[0] == 5 && got.dim[1] == 2 && got.dim[2] == 2);
    got = model_config_declared(c, &c->ios, true, 0);
    CHECK(got.rank == 3 && got.dim[0] == -1);
    got = model_config_declared(c, &c->ios, false, 1);   /* not said */
    CHECK(got.rank == 2 && got.dim[1] == -1);
}

static void all_inputs_bring_the_same_batch(void)
{
    static const char *const io = "input [{ name: 'x' data_type: TYPE_FP32 dims: 4 }, "
                                  "{ name: 'w' data_type: TYPE_INT32 dims: -1 }]";
    char said[200];
    err e;
    const shape two = shape_make(2, (const int64_t[]){2, 4}), one = shape_make(2, (const int64_t[]){1, 4});
    const tensor inputs[][2] = {{tensor_make(DT_F32, &two, NULL), tensor_make(DT_I32, &two, NULL)},
                                {tensor_make(DT_F32, &two, NULL), tensor_make(DT_I32, &one, NULL)}};
    snprintf(said, sizeof said, "max_batch_size: 8 %s", io);
    CLEANUP(model_config) model_config *c = opened(said, batching);
    CHECK(c && model_config_batch_check(c, inputs[0], &e) == ERR_OK);
    CHECK(c && model_config_batch_check(c, inputs[1], &e) == ERR_INVALID);
    CHECK_STR(e.text, "input 'w' batch size does not match other inputs for 'm'");
    CLEANUP(model_config) model_config *none = opened("input [{ name: 'x' data_type: TYPE_FP32 dims: [-1, 4] }, "
                                                      "{ name: 'w' data_type: TYPE_INT32 dims: [-1, -1] }] "
                                                      "output { name: 'y' data_type: TYPE_FP32 dims: [-1, 4] }",
                                                      batching);
    CHECK(none && model_config_batch_check(none, inputs[1], &e) == ERR_OK);   /* the model may know what to do */
}

static void versions_and_parameters_are_as_they_were_said(void)
{
    model_config *c = opened("version_policy { latest { num_versions: 2 } } parameters { key: 'k' value { "
                             "string_value: 'v' } }",
                             plain);
    CHECK(c && model_config_serves(c, 7, 0) && model_config_serves(c, 7, 1) && !model_config_serves(c, 7, 2));
    CHECK(c && str_is(model_config_parameter(c, "k"), "v") && !model_config_parameter(c, "q").p);
    model_config_free(c);
    c = opened("version_policy { specific { versions: [3, 5] } }", plain);
    CHECK(c && model_config_serves(c, 5, 9) && !model_config_serves(c, 4, 0));
    model_config_free(c);
    c = opened("version_policy { all { } }", plain);
    CHECK(c && model_config_serves(c, 5, 900));
    model_config_free(c);
}

static void no_memory_at_any_point_leaves_nothing(void)
{
    config_write(BOTH "parameters { key: 'a' value { string_value: 'b' } } dynamic_batching { } model_warmup { "
                      "inputs { key: 'x' } }");
    FAULT_SWEEP({
        err e;
        model_config *c = NULL;
        err_code rc = model_config_read(&c, &(model_config_from){.name = STR("m"), .path = folder}, &e);
        if (rc == ERR_OK) rc = model_config_fit(c, batching, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
        model_config_free(c);
    })
    config_write(ENSEMBLE(IN("A") OUT("C"), STEP("a", "A", "B") STEP("b", "B", "C")));
    FAULT_SWEEP({
        err e;
        model_config *c = NULL;
        err_code rc = model_config_read(&c, &(model_config_from){.name = STR("m"), .path = folder}, &e);
        if (rc == ERR_OK) rc = model_config_fit_alone(c, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
        model_config_free(c);
    })
}

/* Before the model is there to have a queue. */
static void what_its_queue_will_allow_is_known_once_it_is_read(void)
{
    static const struct {
        const char *text;
        queue_patience want;
    } rows[] = {
        {"", {0, true}},
        {"dynamic_batching { }", {0, false}},
        {"dynamic_batching { default_queue_policy { max_queue_size: 3 allow_timeout_override: true } }", {3, true}},
        {"dynamic_batching { priority_levels: 3 default_priority_level: 2 default_queue_policy { max_queue_size: 3 } "
         "priority_queue_policy { key: 2 value { max_queue_size: 5 allow_timeout_override: true } } }", {11, true}},
        {"dynamic_batching { priority_levels: 2 default_priority_level: 1 default_queue_policy { max_queue_size: 3 } "
         "priority_queue_policy { key: 2 value { allow_timeout_override: true } } }", {0, false}},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e;
        CLEANUP(model_config) model_config *c = NULL;
        char whole[1000];
        snprintf(whole, sizeof whole, "%s %s", BOTH, rows[i].text);
        config_write(whole);
        CHECK(model_config_read(&c, &(model_config_from){.name = STR("m"), .path = folder}, &e) == ERR_OK);
        queue_patience got = model_config_patience(c);
        CHECK_U64(got.size_max, rows[i].want.size_max);
        CHECK(got.own_timeout == rows[i].want.own_timeout);
    }
    CHECK(model_config_patience(NULL).own_timeout && model_config_patience(NULL).size_max == 0);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_its_queue_will_allow_is_known_once_it_is_read),
        TEST(what_is_absent_is_completed_from_the_model),
        TEST(without_a_file_the_model_alone_decides),
        TEST(a_clients_json_counts_instead_of_the_file),
        TEST(names_and_platforms_are_checked),
        TEST(inputs_and_outputs_are_checked),
        TEST(inputs_and_outputs_must_be_the_models),
        TEST(batching_is_checked),
        TEST(sequences_are_checked_and_read),
        TEST(what_begins_a_state_is_checked),
        TEST(a_name_is_given_once),
        TEST(scheduling_is_typed),
        TEST(ensembles_are_checked),
        TEST(instances_metrics_and_batch_io_are_checked),
        TEST(what_is_not_obeyed_is_refused_by_name),
        TEST(clients_shapes_are_the_configurations), TEST(all_inputs_bring_the_same_batch),
        TEST(versions_and_parameters_are_as_they_were_said),
        TEST(no_memory_at_any_point_leaves_nothing),
    };
    models_open();
    int status = test_main(cases, COUNTOF(cases));
    models_close();
    return status;
}
