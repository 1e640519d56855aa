/* A model in sequences gets its controls in the type and with the values that the configuration says, the states of
 * the request before, or what begins a sequence; what it writes for the next is kept. */
#include "models/sequence_io.h"

#include "model_folder.h"

static model *net;
static onnx_build build;

#define CONFIG(corrid, more)                                                                                     \
    "{\"max_batch_size\":4,\"input\":[{\"name\":\"x\",\"data_type\":\"TYPE_FP32\",\"dims\":[2]}],"              \
    "\"output\":[{\"name\":\"y\",\"data_type\":\"TYPE_FP32\",\"dims\":[2]}],\"sequence_batching\":{"             \
    "\"control_input\":[{\"name\":\"start\",\"control\":[{\"kind\":\"CONTROL_SEQUENCE_START\","                   \
    "\"fp32_false_true\":[-1,3]}]},{\"name\":\"id\",\"control\":[{\"kind\":\"CONTROL_SEQUENCE_CORRID\","           \
    "\"data_type\":\"TYPE_" corrid "\"}]}],\"state\":[{\"input_name\":\"in\",\"output_name\":\"out\","             \
    "\"data_type\":\"TYPE_FP32\",\"dims\":[2]" more "}]}}"

static void net_open(dtype id)
{
    err e;
    onnx_build_start(&build, 17);
    onnx_build_input(&build, "in", DT_F32, "N,2");
    onnx_build_input(&build, "start", DT_F32, "N,1");
    onnx_build_input(&build, "x", DT_F32, "N,2");
    onnx_build_input(&build, "id", id, "N,1");
    onnx_build_node(&build, "Add", "in,x", "s", "");
    onnx_build_node(&build, "Identity", "s", "out", "");
    onnx_build_node(&build, "Add", "s,start", "y", "");
    onnx_build_node(&build, "Identity", "id", "w", "");
    onnx_build_output(&build, "out", DT_F32, "N,2");
    onnx_build_output(&build, "y", DT_F32, "N,2");
    onnx_build_output(&build, "w", id, "N,1");
    err_code rc = model_open_bytes(&net, onnx_build_bytes(&build), "m.onnx", NULL, &(model_opts){.pool = NULL}, &e);
    INVARIANT(rc == ERR_OK);
}

static void net_close(void)
{
    model_free(net);
    onnx_build_end(&build);
}

static model_config *config(const char *json, err *e)
{
    model_config *c = NULL;
    err_code rc = model_config_read(&c, &(model_config_from){.name = STR("m"), .path = model_folder,
                                                             .override = str_of(json)}, e);
    if (rc == ERR_OK) rc = model_config_fit(c, net, e);
    if (rc == ERR_OK) return c;
    model_config_free(c);
    return NULL;
}

static const char *opens(const char *json)
{
    static err e;
    CLEANUP(sequence_io) sequence_io *io = NULL;
    CLEANUP(model_config) model_config *c = config(json, &e);
    CHECK(c != NULL);
    return c && sequence_io_new(&io, c, net, &e) == ERR_OK ? "" : e.text;
}

static void clients_bring_the_rest(void)
{
    err e;
    net_open(DT_U64);
    CLEANUP(model_config) model_config *c = config(CONFIG("UINT64", ""), &e);
    CHECK(c && c->ios.input_count == 1 && str_is(c->ios.inputs[0].name, "x"));
    CHECK(c && c->ios.output_count == 2 && str_is(c->ios.outputs[0].name, "y") && str_is(c->ios.outputs[1].name, "w"));
    CLEANUP(sequence_io) sequence_io *io = NULL;
    CHECK(sequence_io_new(&io, c, net, &e) == ERR_OK);
    CHECK(sequence_io_inputs(io) == 4 && sequence_io_output(io, 0) == 1 && sequence_io_output(io, 1) == 2);
    float x[2] = {5, 6};
    tensor in = tensor_make(DT_F32, &(shape){.rank = 2, .dim = {1, 2}}, x), to[4];
    queue_item item = {.inputs = &in, .sequence = {.number = 77, .start = true}};
    sequence_values values;
    sequence_block *b = sequence_io_first(io);
    CHECK(sequence_io_fill(io, &item, b, &values, to, &e) == ERR_OK);
    CHECK(to[0].shape.rank == 2 && to[0].shape.dim[0] == 1 && ((float *)to[0].data)[1] == 0);   /* zeros at first */
    CHECK(((float *)to[1].data)[0] == 3 && to[1].shape.rank == 2 && to[2].data == x && *(uint64_t *)to[3].data == 77);
    item.sequence.start = false;
    CHECK(sequence_io_fill(io, &item, b, &values, to, &e) == ERR_OK && ((float *)to[1].data)[0] == -1);
    sequence_block_release(b);
    net_close();
}

static void an_empty_slot_has_its_controls_off(void)
{
    err e;
    net_open(DT_U64);
    CLEANUP(model_config) model_config *c = config(CONFIG("UINT64", ""), &e);
    CLEANUP(sequence_io) sequence_io *io = NULL;
    CHECK(sequence_io_new(&io, c, net, &e) == ERR_OK);
    const tensor *t = sequence_io_empty(io);
    CHECK(!t[0].data && !t[2].data);   /* states and clients' inputs: whatever */
    CHECK(t[1].type == DT_F32 && t[1].shape.rank == 2 && ((const float *)t[1].data)[0] == -1);
    CHECK(t[3].type == DT_U64 && *(const uint64_t *)t[3].data == 0);
    net_close();
}

static float outputs[2];
static dtype output_type = DT_F32;
static tensor out(const queue_item *item, uint32_t i)
{
    (void)item;
    INVARIANT(i == 0);
    return tensor_make(output_type, &(shape){.rank = 2, .dim = {1, 2}}, outputs);
}

static void what_was_written_is_kept_apart(void)
{
    static const queue_source source = {out, NULL};
    err e;
    net_open(DT_U64);
    CLEANUP(model_config) model_config *c = config(CONFIG("UINT64", ""), &e);
    CLEANUP(sequence_io) sequence_io *io = NULL;
    CHECK(sequence_io_new(&io, c, net, &e) == ERR_OK);
    queue_item ran = {.source = &source};
    sequence_block *one = NULL, *two = NULL;
    sequence_values values;
    tensor to[4], in = tensor_make(DT_F32, &(shape){.rank = 2, .dim = {1, 2}}, outputs);
    queue_item item = {.inputs = &in, .sequence = {.number = 1}};
    memcpy(outputs, (float[]){1, 2}, sizeof outputs);
    CHECK(sequence_io_keep(io, &ran, &one, &e) == ERR_OK);
    memcpy(outputs, (float[]){3, 4}, sizeof outputs);
    CHECK(sequence_io_keep(io, &ran, &two, &e) == ERR_OK);
    CHECK(sequence_io_fill(io, &item, one, &values, to, &e) == ERR_OK && ((float *)to[0].data)[1] == 2);
    CHECK(sequence_io_fill(io, &item, two, &values, to, &e) == ERR_OK && ((float *)to[0].data)[1] == 4);
    CHECK((uintptr_t)to[0].data % 64 == 0);
    sequence_block_hold(one);
    sequence_block_release(one);
    sequence_block_release(one);
    sequence_block_release(two);
    output_type = DT_STRING;
    CHECK(sequence_io_keep(io, &ran, &one, &e) == ERR_UNSUPPORTED);
    CHECK_STR(e.text, "state 'out' of model m: expected float32, got 'string'");
    output_type = DT_F32;
    net_close();
}

static void a_state_has_the_models_type(void)
{
    static const char *const wrong[][2] = {{"FP16", "FP32"}, {"UINT8", "FP32"}, {"STRING", "FP32"}};
    char json[1000], want[200];
    err e;
    net_open(DT_U64);
    for (size_t i = 0; i < COUNTOF(wrong); i++) {
        char *at;
        snprintf(json, sizeof json, "%s", CONFIG("UINT64", ""));
        at = strstr(json, "\"output_name\"");
        at = strstr(at, "TYPE_FP32");
        snprintf(at, sizeof json - (size_t)(at - json), "TYPE_%s\",\"dims\":[2]}]}}", wrong[i][0]);
        CHECK(!config(json, &e));
        snprintf(want, sizeof want, "unable to load model 'm', configuration expects datatype TYPE_%s for input state "
                                    "'in', model provides TYPE_%s", wrong[i][0], wrong[i][1]);
        CHECK_STR(e.text, want);
    }
    net_close();
}

static void a_state_comes_out_as_it_goes_in(void)
{
    err e;
    onnx_build_start(&build, 17);
    onnx_build_input(&build, "in", DT_F32, "2");
    onnx_build_node(&build, "Cast", "in", "out", "to=2");
    onnx_build_output(&build, "out", DT_U8, "2");
    CHECK(model_open_bytes(&net, onnx_build_bytes(&build), "m.onnx", NULL, &(model_opts){.pool = NULL}, &e) == ERR_OK);
    CHECK(!config("{\"sequence_batching\":{\"state\":[{\"input_name\":\"in\",\"output_name\":\"out\","
                  "\"data_type\":\"TYPE_FP32\",\"dims\":[2]}]}}", &e));
    CHECK_STR(e.text, "unable to load model 'm', configuration expects datatype TYPE_FP32 for output state 'out', "
                      "model provides TYPE_UINT8");
    net_close();
}

enum { MANY = 9 };   /* more than a call keeps on its stack */

static float many_outputs[MANY];
static tensor one_of_many(const queue_item *item, uint32_t i)
{
    (void)item;
    return tensor_make(DT_F32, &(shape){.rank = 1, .dim = {1}}, &many_outputs[i]);
}

static void any_number_of_states_is_kept(void)
{
    static const queue_source source = {one_of_many, NULL};
    char name[2][8], json[2000];
    err e;
    size_t n = (size_t)snprintf(json, sizeof json, "{\"sequence_batching\":{\"state\":[");
    onnx_build_start(&build, 17);
    for (int i = 0; i < MANY; i++) {
        snprintf(name[0], sizeof name[0], "in%d", i);
        snprintf(name[1], sizeof name[1], "out%d", i);
        onnx_build_input(&build, name[0], DT_F32, "1");
        onnx_build_node(&build, "Identity", name[0], name[1], "");
        onnx_build_output(&build, name[1], DT_F32, "1");
        n += (size_t)snprintf(json + n, sizeof json - n, "%s{\"input_name\":\"in%d\",\"output_name\":\"out%d\","
                              "\"data_type\":\"TYPE_FP32\",\"dims\":[1]}", i ? "," : "", i, i);
        many_outputs[i] = (float)i;
    }
    snprintf(json + n, sizeof json - n, "]}}");
    CHECK(model_open_bytes(&net, onnx_build_bytes(&build), "m.onnx", NULL, &(model_opts){.pool = NULL}, &e) == ERR_OK);
    CLEANUP(model_config) model_config *c = config(json, &e);
    CLEANUP(sequence_io) sequence_io *io = NULL;
    CHECK(c && sequence_io_new(&io, c, net, &e) == ERR_OK);
    queue_item ran = {.source = &source}, item = {.sequence = {.number = 1}};
    sequence_values values;
    tensor to[MANY];
    FAULT_SWEEP({
        sequence_block *b = NULL;
        err_code rc = sequence_io_keep(io, &ran, &b, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
        if (rc == ERR_OK) CHECK(sequence_io_fill(io, &item, b, &values, to, &e) == ERR_OK);
        for (int i = 0; rc == ERR_OK && i < MANY; i++) CHECK(*(float *)to[i].data == (float)i);
        sequence_block_release(b);
    })
    net_close();
}

/* The CORRID as the model takes it, or the error. */
static const char *id(dtype t, const char *type, uint64_t number, const char *text)
{
    static char got[400];
    char json[1000];
    err e;
    net_open(t);
    snprintf(json, sizeof json, CONFIG("%s", ""), type);
    CLEANUP(model_config) model_config *c = config(json, &e);
    CLEANUP(sequence_io) sequence_io *io = NULL;
    CHECK(c && sequence_io_new(&io, c, net, &e) == ERR_OK);
    tensor in = tensor_make(DT_F32, &(shape){.rank = 2, .dim = {1, 2}}, outputs), to[4];
    queue_item item = {.inputs = &in, .sequence = {.number = number, .text = str_of(text)}};
    sequence_values values;
    sequence_block *b = sequence_io_first(io);
    if (sequence_io_fill(io, &item, b, &values, to, &e)) snprintf(got, sizeof got, "%s", e.text);
    else if (t == DT_STRING) snprintf(got, sizeof got, STR_FMT, STR_ARG(*(str *)to[3].data));
    else snprintf(got, sizeof got, "%lld", (long long)tensor_int(&to[3], 0));
    sequence_block_release(b);
    net_close();
    return got;
}

static void an_id_comes_in_the_models_type_or_is_refused(void)
{
    CHECK_STR(id(DT_I32, "INT32", 2147483647, NULL), "2147483647");
    CHECK_STR(id(DT_I32, "INT32", 2147483648, NULL), "sequence_id: expected at most 2147483647, as model 'm' takes it, "
                                                     "got 2147483648");
    CHECK_STR(id(DT_U32, "UINT32", 4294967295, NULL), "4294967295");
    CHECK_STR(id(DT_I64, "INT64", 1ull << 62, NULL), "4611686018427387904");
    CHECK_STR(id(DT_I64, "INT64", 1ull << 63, NULL), "sequence_id: expected at most 9223372036854775807, as model 'm' "
                                                     "takes it, got 9223372036854775808");
    CHECK_STR(id(DT_STRING, "STRING", 0, "abc"), "abc");
    CHECK_STR(id(DT_STRING, "STRING", 12, NULL), "12");
    CHECK_STR(id(DT_U64, "UINT64", 0, "abc"), "sequence_id: expected a number, as model 'm' takes it, got 'abc'");
}

#define INITIAL(file) \
    ",\"initial_state\":[{\"name\":\"i\",\"data_type\":\"TYPE_FP32\",\"dims\":[2],\"data_file\":\"" file "\"}]"

static void a_file_begins_a_sequence_or_says_why_not(void)
{
    char path[200];
    err e;
    net_open(DT_U64);
    snprintf(path, sizeof path, "%s/initial_state", model_folder);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/initial_state/f", model_folder);
    model_folder_write(path, (float[]){8, 9}, 8);
    CLEANUP(model_config) model_config *c = config(CONFIG("UINT64", INITIAL("f")), &e);
    CLEANUP(sequence_io) sequence_io *io = NULL;
    CHECK(sequence_io_new(&io, c, net, &e) == ERR_OK);
    tensor in = tensor_make(DT_F32, &(shape){.rank = 2, .dim = {1, 2}}, outputs), to[4];
    queue_item item = {.inputs = &in, .sequence = {.number = 1}};
    sequence_values values;
    sequence_block *b = sequence_io_first(io);
    CHECK(sequence_io_fill(io, &item, b, &values, to, &e) == ERR_OK && ((float *)to[0].data)[1] == 9);
    sequence_block_release(b);
    model_folder_write(path, (float[]){8, 9}, 7);
    CHECK_STR(opens(CONFIG("UINT64", INITIAL("f"))),
              "initial_state setting expects 8 bytes, but the data provided from f only has 7 bytes.");
    model_folder_write(path, (float[]){8, 9, 10}, 12);
    CHECK_STR(opens(CONFIG("UINT64", INITIAL("f"))), "");
    CHECK(strstr(opens(CONFIG("UINT64", INITIAL("none"))), "/initial_state/none"));
    CHECK_STR(opens(CONFIG("UINT64", INITIAL("../f"))),
              "initial_state of model m: data_file: expected the name of a file, got '../f'");
    CHECK_STR(opens(CONFIG("UINT64", INITIAL(".f"))),
              "initial_state of model m: data_file: expected the name of a file, got '.f'");
    net_close();
}

static void a_state_of_bools_begins_with_0_and_1(void)
{
    char path[200];
    err e;
    onnx_build_start(&build, 17);
    onnx_build_input(&build, "in", DT_BOOL, "N,3");
    onnx_build_input(&build, "x", DT_BOOL, "N,3");
    onnx_build_node(&build, "Xor", "in,x", "out", "");
    onnx_build_node(&build, "Identity", "out", "y", "");
    onnx_build_output(&build, "out", DT_BOOL, "N,3");
    onnx_build_output(&build, "y", DT_BOOL, "N,3");
    CHECK(model_open_bytes(&net, onnx_build_bytes(&build), "m.onnx", NULL, &(model_opts){.pool = NULL}, &e) == ERR_OK);
    snprintf(path, sizeof path, "%s/initial_state", model_folder);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/initial_state/b", model_folder);
    model_folder_write(path, "\0\1\7", 3);
    CLEANUP(model_config) model_config *c = config(
        "{\"max_batch_size\":4,\"input\":[{\"name\":\"x\",\"data_type\":\"TYPE_BOOL\",\"dims\":[3]}],"
        "\"output\":[{\"name\":\"y\",\"data_type\":\"TYPE_BOOL\",\"dims\":[3]}],\"sequence_batching\":{"
        "\"state\":[{\"input_name\":\"in\",\"output_name\":\"out\",\"data_type\":\"TYPE_BOOL\",\"dims\":[3],"
        "\"initial_state\":[{\"name\":\"i\",\"data_type\":\"TYPE_BOOL\",\"dims\":[3],\"data_file\":\"b\"}]}]}}",
        &e);
    CLEANUP(sequence_io) sequence_io *io = NULL;
    CHECK(c && sequence_io_new(&io, c, net, &e) == ERR_OK);
    bool x[3] = {false};
    tensor in = tensor_make(DT_BOOL, &(shape){.rank = 2, .dim = {1, 3}}, x), to[2];
    queue_item item = {.inputs = &in, .sequence = {.number = 1}};
    sequence_values values;
    sequence_block *b = sequence_io_first(io);
    CHECK(sequence_io_fill(io, &item, b, &values, to, &e) == ERR_OK && memcmp(to[0].data, "\0\1\1", 3) == 0);
    sequence_block_release(b);
    net_close();
}

static const char *fits(const char *dims, const char *more)
{
    static err e;
    char json[1000];
    CLEANUP(model_config) model_config *c = NULL;
    snprintf(json, sizeof json, "%s", CONFIG("UINT64", ""));
    char *at = strstr(strstr(json, "\"output_name\""), "\"dims\"");
    snprintf(at, sizeof json - (size_t)(at - json), "\"dims\":[%s]%s}]}}", dims, more);
    c = config(json, &e);
    return c ? "" : e.text;
}

#define ZEROS(dims) ",\"initial_state\":[{\"name\":\"i\",\"data_type\":\"TYPE_FP32\",\"dims\":[" dims \
                    "],\"zero_data\":true}]"
#define BATCHED "an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making " \
                "complete shape "

static void what_begins_a_sequence_has_a_shape_that_the_model_takes(void)
{
    net_open(DT_U64);
    CHECK_STR(fits("2", ""), "");
    CHECK_STR(fits("-1", ZEROS("2")), "");
    CHECK_STR(fits("3", ""), "model 'm', tensor 'in': the model expects 2 dimensions (shape [-1,2]) but the model "
                             "configuration specifies 2 dimensions (" BATCHED "[-1,3])");
    CHECK_STR(fits("-1", ""), "model 'm', tensor 'in': the model expects 2 dimensions (shape [-1,2]) but the model "
                              "configuration specifies 2 dimensions (" BATCHED "[-1,1])");
    CHECK_STR(fits("1,2", ""), "model 'm', tensor 'in': the model expects 2 dimensions (shape [-1,2]) but the model "
                               "configuration specifies 3 dimensions (" BATCHED "[-1,1,2])");
    CHECK_STR(fits("1,1,1,1,1,1,1,1", ""), "tensor 'in': expected at most 8 dimensions, got more");
    CHECK_STR(fits("-7", ""), "config: state input 'in' dimension must be integer >= 0, or -1 to indicate a "
                              "variable-size dimension");
    net_close();
}

/* What a configuration asks for is its own fault, not the machine's. */
static void states_have_a_bound(void)
{
    static const char *const dims[][2] = {{"0,4611686018427387904,4", "0,4611686018427387904,4"},
                                          {"4611686018427387904,4", "4611686018427387904,4"},
                                          {"268435456", "0"}, {"134217728", "134217728"}};
    char json[1000];
    onnx_build_start(&build, 17);
    for (int i = 0; i < 2; i++) {
        onnx_build_input(&build, i ? "in1" : "in0", DT_F32, NULL);
        onnx_build_node(&build, "Identity", i ? "in1" : "in0", i ? "out1" : "out0", "");
        onnx_build_output(&build, i ? "out1" : "out0", DT_F32, NULL);
    }
    err e;
    CHECK(model_open_bytes(&net, onnx_build_bytes(&build), "m.onnx", NULL, &(model_opts){.pool = NULL}, &e) == ERR_OK);
    for (size_t i = 0; i < COUNTOF(dims); i++) {
        CLEANUP(sequence_io) sequence_io *io = NULL;
        snprintf(json, sizeof json, "{\"sequence_batching\":{\"state\":["
                 "{\"input_name\":\"in0\",\"output_name\":\"out0\",\"data_type\":\"TYPE_FP32\",\"dims\":[%s]},"
                 "{\"input_name\":\"in1\",\"output_name\":\"out1\",\"data_type\":\"TYPE_FP32\",\"dims\":[%s]}]}}",
                 dims[i][0], dims[i][1]);
        CLEANUP(model_config) model_config *c = config(json, &e);
        CHECK(c && sequence_io_new(&io, c, net, &e) == ERR_TOO_LARGE);
        CHECK_STR(e.text, i < 3 ? "state 'out0' of model m: expected at most 1073741824 bytes in all states of a "
                                  "sequence, got more"
                                : "state 'out1' of model m: expected at most 1073741824 bytes in all states of a "
                                  "sequence, got more");
    }
    net_close();
}

static void no_memory_at_any_point_leaves_nothing(void)
{
    err e;
    net_open(DT_U64);
    CLEANUP(model_config) model_config *c = config(CONFIG("UINT64", ""), &e);
    FAULT_SWEEP({
        sequence_io *io = NULL;
        err_code rc = sequence_io_new(&io, c, net, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
        sequence_io_free(io);
    })
    net_close();
}

int main(void)
{
    static const test_case cases[] = {
        TEST(clients_bring_the_rest),
        TEST(an_empty_slot_has_its_controls_off),
        TEST(what_was_written_is_kept_apart),
        TEST(a_state_has_the_models_type),
        TEST(a_state_comes_out_as_it_goes_in),
        TEST(any_number_of_states_is_kept),
        TEST(an_id_comes_in_the_models_type_or_is_refused),
        TEST(a_file_begins_a_sequence_or_says_why_not),
        TEST(a_state_of_bools_begins_with_0_and_1),
        TEST(what_begins_a_sequence_has_a_shape_that_the_model_takes),
        TEST(states_have_a_bound),
        TEST(no_memory_at_any_point_leaves_nothing),
    };
    if (!model_folder_open()) return 1;
    int rc = test_main(cases, COUNTOF(cases));
    model_folder_close();
    return rc;
}
