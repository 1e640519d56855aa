/* What a configuration's samples ask for is run before the model is ready, with the shapes, rows and bytes they say; a
 * sample that cannot be is refused by its name and the input's.  Zeros run where shapes are fixed, and nowhere else. */
#include "models/warm_up.h"
#include "onnx_build.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/proa-warm-XXXXXX";
static onnx_build builds[5];
static str files[5];
/* table: i INT64 [N,2] looks up one of two rows; texts: s STRING [N,2] becomes integers; open: [N,M]; fixed: [2,3];
 * switches: b BOOL [N,2] looks up as table does */
static model *table, *texts, *open_model, *fixed, *switches;

static model *made(size_t i)
{
    static const model_opts none;
    model *m = NULL;
    err e;
    if (!files[i].p) files[i] = onnx_build_bytes(&builds[i]);
    if (model_open_bytes(&m, files[i], "m.onnx", NULL, &none, &e)) printf("# %s\n", e.text);
    INVARIANT(m);
    return m;
}

static void models_open(void)
{
    char path[64];
    INVARIANT(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/warmup", folder);
    INVARIANT(mkdir(path, 0700) == 0);
    for (size_t i = 0; i < COUNTOF(builds); i++) onnx_build_start(&builds[i], 17);
    onnx_build_input(&builds[0], "i", DT_I64, "N,2");
    onnx_build_floats(&builds[0], "w", "2", (const float[]){1, 2});
    onnx_build_node(&builds[0], "Gather", "w,i", "y", "");
    onnx_build_output(&builds[0], "y", DT_F32, "N,2");
    table = made(0);
    onnx_build_input(&builds[1], "s", DT_STRING, "N,2");
    onnx_build_node(&builds[1], "Cast", "s", "y", "to=7");
    onnx_build_output(&builds[1], "y", DT_I64, "N,2");
    texts = made(1);
    onnx_build_input(&builds[2], "a", DT_F32, "N,M");
    onnx_build_input(&builds[2], "b", DT_F32, "N,M");
    onnx_build_node(&builds[2], "Add", "a,b", "y", "");
    onnx_build_output(&builds[2], "y", DT_F32, "N,M");
    open_model = made(2);
    onnx_build_input(&builds[3], "x", DT_F32, "2,3");
    onnx_build_node(&builds[3], "Add", "x,x", "y", "");
    onnx_build_output(&builds[3], "y", DT_F32, "2,3");
    fixed = made(3);
    onnx_build_input(&builds[4], "b", DT_BOOL, "N,2");
    onnx_build_floats(&builds[4], "w", "2", (const float[]){1, 2});
    onnx_build_node(&builds[4], "Cast", "b", "i", "to=7");
    onnx_build_node(&builds[4], "Gather", "w,i", "y", "");
    onnx_build_output(&builds[4], "y", DT_F32, "N,2");
    switches = made(4);
}

static void file_write(const char *name, const void *bytes, size_t len)
{
    char path[100];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    INVARIANT(f && fwrite(bytes, 1, len, f) == len && fclose(f) == 0);
}

static model_config *configured(const char *text, const model *m)
{
    model_config *c = NULL;
    err e;
    file_write("config.pbtxt", text, strlen(text));
    err_code rc = model_config_read(&c, &(model_config_from){.name = STR("m"), .path = folder}, &e);
    if (rc == ERR_OK) rc = model_config_fit(c, m, &e);
    if (rc) printf("# %s\n", e.text);
    INVARIANT(rc == ERR_OK);
    return c;
}

/* NULL = its samples ran. */
static const char *warmed(const char *text, model *m, size_t memory_max)
{
    static err e;
    model_config *c = configured(text, m);
    err_code rc = warm_up_samples(&(warm_up_opts){.model = m, .config = c, .memory_max = memory_max}, &e);
    model_config_free(c);
    return rc ? e.text : NULL;
}

static bool refused(const char *text, model *m, const char *want)
{
    const char *got = warmed(text, m, 0);
    char whole[500];
    snprintf(whole, sizeof whole, "failed to run warmup sample 's': %s", want);
    if (got && strcmp(got, whole) == 0) return true;
    printf("# got  %s\n# want %s\n", got ? got : "nothing", whole);
    return false;
}

/* An execution of these shapes rests in the pool: there was a run. */
static bool has_run(model *m, shape s)
{
    const shape both[] = {s, s};
    exec *x = exec_take_cheap(m, both, UINT32_MAX);
    if (x) exec_give(x);
    return x != NULL;
}

#define SAMPLE(batch, inputs) "max_batch_size: 8 model_warmup { name: 's' batch_size: " #batch " " inputs " }"
#define INPUT(name, type, dims, data) \
    "inputs { key: '" name "' value { data_type: TYPE_" type " dims: [" dims "] " data " } } "

static void a_sample_runs_with_the_rows_it_says(void)
{
    model *m = made(2);
    const char *text =
        SAMPLE(3, INPUT("a", "FP32", "5", "zero_data: true") INPUT("b", "FP32", "5", "random_data: true"));
    CHECK(!has_run(m, shape_make(2, (int64_t[]){3, 5})));
    CHECK(warmed(text, m, 0) == NULL);
    CHECK(has_run(m, shape_make(2, (int64_t[]){3, 5})));
    CHECK(!has_run(m, shape_make(2, (int64_t[]){1, 5})));
    CHECK(warmed(SAMPLE(0, INPUT("a", "FP32", "7", "zero_data: true")), m, 0) == NULL);   /* skipped, as Triton does */
    model_free(m);
    m = made(3);   /* its dims are all of the shape */
    CHECK(warmed("model_warmup { name: 's' batch_size: 1 " INPUT("x", "FP32", "2,3", "zero_data: true") "}", m, 0) ==
          NULL);
    CHECK(has_run(m, shape_make(2, (int64_t[]){2, 3})));
    model_free(m);
}

/* Of two rows there are 0 and 1. */
static void bytes_come_from_where_it_says(void)
{
    static const int64_t good[] = {0, 1, 7}, bad[] = {0, 2};
    CHECK(warmed(SAMPLE(8, INPUT("i", "INT64", "2", "zero_data: true")), table, 0) == NULL);
    CHECK(warmed(SAMPLE(8, INPUT("i", "INT64", "2", "zero_data: false")), table, 0) == NULL);   /* it is named */
    CHECK(warmed(SAMPLE(8, INPUT("i", "INT64", "2", "random_data: true")), table, 0) == NULL);
    file_write("warmup/f", good, sizeof good);   /* more than a row is no harm, as in Triton */
    CHECK(warmed(SAMPLE(8, INPUT("i", "INT64", "2", "input_data_file: 'f'")), table, 0) == NULL);
    file_write("warmup/f", bad, sizeof bad);
    const char *why = warmed(SAMPLE(1, INPUT("i", "INT64", "2", "input_data_file: 'f'")), table, 0);
    CHECK(why && str_starts(str_of(why), STR("failed to run warmup sample 's': ")) && strstr(why, "Gather"));
}

static void any_byte_but_0_of_a_file_is_true(void)
{
    file_write("warmup/f", "\0\7", 2);
    CHECK(warmed(SAMPLE(2, INPUT("b", "BOOL", "2", "input_data_file: 'f'")), switches, 0) == NULL);
}

static void texts_stand_behind_their_lengths(void)
{
    static const char good[] = "\2\0\0\0" "12" "\1\0\0\0" "7", bad[] = "\1\0\0\0" "x" "\1\0\0\0" "7";
    const char *text = SAMPLE(4, INPUT("s", "STRING", "2", "input_data_file: 'f'"));
    file_write("warmup/f", good, sizeof good - 1);
    CHECK(warmed(text, texts, 0) == NULL);
    file_write("warmup/f", bad, sizeof bad - 1);
    CHECK(warmed(text, texts, 0) != NULL);   /* no number */
    for (size_t n = 0; n < sizeof good - 1; n++) {
        char want[100];
        file_write("warmup/f", good, n);
        snprintf(want, sizeof want, "input 's': f: expected 2 texts, each behind its length, got %d", n < 6 ? 0 : 1);
        CHECK(refused(text, texts, want));
    }
    file_write("warmup/f", "\377\377\377\377abcd", 8);
    CHECK(refused(text, texts, "input 's': f: expected 2 texts, each behind its length, got 0"));
}

static void what_no_run_can_be_made_of_is_refused_by_name(void)
{
    CHECK(refused(SAMPLE(1, INPUT("i", "INT64", "-1", "zero_data: true")), table,
                  "warmup setting expects all variable-size dimensions are specified for input 'i'"));
    CHECK(refused(SAMPLE(1, INPUT("i", "INT64", "2", "")), table,
                  "warmup setting expects input 'i' to have input_data_type set"));
    CHECK(refused(SAMPLE(1, INPUT("q", "INT64", "2", "zero_data: true")), table,
                  "unexpected inference input 'q' for model 'm'"));
    CHECK(refused(SAMPLE(1, INPUT("i", "FP32", "2", "zero_data: true")), table,
                  "inference input 'i' data-type is 'FP32', but model 'm' expects 'INT64'"));
    CHECK(refused(SAMPLE(1, INPUT("a", "FP32", "2", "zero_data: true")), open_model,
                  "input 'b': expected it in the sample, got none"));
    CHECK(refused(SAMPLE(1, INPUT("i", "INT64", "3", "zero_data: true")), table,
                  "input 'i': unexpected shape for input 'i' for model 'm'. Expected [-1,2], got [1,3]"));
    CHECK(refused(SAMPLE(9, INPUT("i", "INT64", "2", "zero_data: true")), table,
                  "input 'i': inference request batch-size must be <= 8 for 'm'"));
    CHECK(refused(SAMPLE(1, INPUT("i", "INT64", "2", "input_data_file: '../f'")), table,
                  "input 'i': input_data_file: expected the name of a file, got '../f'"));
    for (size_t n = 7; n < 16; n += 8) {
        char want[100];
        file_write("warmup/f", "123456789abcdef", n);
        snprintf(want, sizeof want,
                 "input 'i': warmup setting expects 16 bytes, but the data provided from f only has %zu bytes", n);
        CHECK(refused(SAMPLE(1, INPUT("i", "INT64", "2", "input_data_file: 'f'")), table, want));
    }
    const char *why = warmed(SAMPLE(1, INPUT("i", "INT64", "2", "input_data_file: 'g'")), table, 0);
    CHECK(why && strstr(why, "'s': input 'i': ") && strstr(why, "No such file or directory"));
}

static void a_load_ends(void)
{
    CHECK(refused(SAMPLE(1, "count: 65537 " INPUT("i", "INT64", "2", "zero_data: true")), table,
                  "count: expected at most 65536 runs of all samples, got 65537"));
    CHECK(refused("model_warmup { name: 's' batch_size: 3 count: 30000 " INPUT("x", "FP32", "2,3", "zero_data: true")
                  "}", fixed, "count: expected at most 65536 runs of all samples, got 90000"));
    CHECK(warmed("model_warmup { name: 's' batch_size: 3 count: 100 " INPUT("x", "FP32", "2,3", "zero_data: true") "}",
                 fixed, 0) == NULL);
    const char *why = warmed(SAMPLE(8, INPUT("a", "FP32", "1000000", "zero_data: true")), open_model, 1 << 20);
    CHECK(why && strstr(why, "input 'a' needs more than the 1048576 bytes a request may have"));
}

static void zeros_run_where_shapes_are_fixed(void)
{
    bool was = false;
    err e;
    model *m = made(3);
    CHECK(warm_up_zeros(&(warm_up_opts){.model = m}, 2, &was, &e) == ERR_OK && was);
    CHECK(has_run(m, shape_make(2, (int64_t[]){2, 3})));
    model_free(m);
    m = made(0);   /* rows apart: one of them */
    CHECK(model_batch(m)->proven);
    CHECK(warm_up_zeros(&(warm_up_opts){.model = m}, 1, &was, &e) == ERR_OK && was);
    CHECK(has_run(m, shape_make(2, (int64_t[]){1, 2})));
    model_free(m);
    CHECK(warm_up_zeros(&(warm_up_opts){.model = open_model}, 1, &was, &e) == ERR_OK && !was);
    CHECK(warm_up_zeros(&(warm_up_opts){.model = texts}, 1, &was, &e) != ERR_OK);   /* "" is no number */
}

static void no_memory_at_any_point_leaves_nothing(void)
{
    static const int64_t good[] = {0, 1};
    file_write("warmup/f", good, sizeof good);
    model_config *c = configured(SAMPLE(2, INPUT("i", "INT64", "2", "input_data_file: 'f'")), table);
    FAULT_SWEEP({
        static const model_opts none;
        err e;
        bool was;
        warm_up_opts o = {.config = c};
        err_code rc = model_open_bytes(&o.model, files[0], "m.onnx", NULL, &none, &e);
        if (rc == ERR_OK) rc = warm_up_samples(&o, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM || rc == ERR_TOO_LARGE);
        if (o.model) rc = warm_up_zeros(&o, 1, &was, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM || rc == ERR_TOO_LARGE);
        model_free(o.model);
    });
    model_config_free(c);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_sample_runs_with_the_rows_it_says),
        TEST(bytes_come_from_where_it_says),
        TEST(any_byte_but_0_of_a_file_is_true),
        TEST(texts_stand_behind_their_lengths),
        TEST(what_no_run_can_be_made_of_is_refused_by_name),
        TEST(a_load_ends),
        TEST(zeros_run_where_shapes_are_fixed),
        TEST(no_memory_at_any_point_leaves_nothing),
    };
    models_open();
    int status = test_main(cases, COUNTOF(cases));
    model_free(table);
    model_free(texts);
    model_free(open_model);
    model_free(fixed);
    model_free(switches);
    for (size_t i = 0; i < COUNTOF(builds); i++) onnx_build_end(&builds[i]);
    static const char *const left[] = {"warmup/f", "warmup", "config.pbtxt", ""};
    for (size_t i = 0; i < COUNTOF(left); i++) {
        char path[100];
        snprintf(path, sizeof path, "%s/%s", folder, left[i]);
        (void)!remove(path);
    }
    return status;
}
