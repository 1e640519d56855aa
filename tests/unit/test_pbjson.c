/* JSON becomes the same tree as the text format, by protobuf's mapping; what is not in the table is refused by its path
 * in the document. */
#include "models/config_def.h"
#include "test.h"
#include "wire/pbjson.h"
#include "wire/pbtxt.h"

static char shown[8192];

static const char *print(const pbtree *m)
{
    buf out;
    buf_init(&out, sizeof shown - 1);
    pbtree_print(&out, m);
    snprintf(shown, sizeof shown, "%.*s", (int)out.len, (const char *)out.p);
    buf_fini(&out);
    return shown;
}

static err_code parse(const char *json, arena *a, pbtree **ret, err *e)
{
    yyjson_val *v;
    err_code rc = json_parse(str_of(json), &(json_opts){.memory = a}, &v, e);
    return rc ? rc : pbjson_read(v, "config", &config_def, a, ret, e);
}

/* The error. */
static const char *refuses(const char *json)
{
    static err e;
    arena a;
    pbtree *m = NULL;
    arena_init(&a, NULL, 0, 1 << 20);
    e = (err){0};
    CHECK(parse(json, &a, &m, &e) != ERR_OK && !m);
    arena_fini(&a);
    return e.text;
}

static void same(const char *json, const char *text)
{
    arena a;
    pbtree *m = NULL;
    err e = {0};
    char want[sizeof shown];
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(pbtxt_parse(str_of(text), "t", &config_def, &a, &m, &e) == ERR_OK);
    snprintf(want, sizeof want, "%s", m ? print(m) : e.text);
    m = NULL;
    CHECK(parse(json, &a, &m, &e) == ERR_OK);
    CHECK_STR(m ? print(m) : e.text, want);
    arena_fini(&a);
}

static void json_reads_as_the_text_format_does(void)
{
    same("{}", "");
    same("{\"max_batch_size\":8,\"name\":\"m\"}", "name: 'm' max_batch_size: 8");
    same("{\"maxBatchSize\":\"8\",\"name\":null,\"input\":[{\"dataType\":\"type_fp32\",\"dims\":[\"-1\",3.0]}]}",
         "max_batch_size: 8 input { data_type: TYPE_FP32 dims: [-1, 3] }");
    same("{\"input\":[{\"data_type\":11,\"optional\":true},{}],"
         "\"parameters\":{\"a\":{\"string_value\":\"b\"},\"c\":{}}}",
         "input [{data_type: 11 optional: true}, {}] parameters { key: 'a' value { string_value: 'b' } } "
         "parameters { key: 'c' }");
    same("{\"dynamic_batching\":{\"priority_levels\":18446744073709551615,\"priority_queue_policy\":{\"2\":"
         "{\"timeout_action\":\"DELAY\"}}}}",
         "dynamic_batching { priority_levels: 18446744073709551615 priority_queue_policy { key: 2 value { "
         "timeout_action: DELAY } } }");
    same("{\"sequence_batching\":{\"direct\":{\"minimum_slot_utilization\":0.5}}}",
         "sequence_batching { direct { minimum_slot_utilization: .5 } }");
}

static void what_is_printed_is_read_again(void)
{
    const char *text = "name: 'm' version_policy { specific { versions: [1, 2] } } instance_group [{ count: 2 kind: "
                       "KIND_CPU }] "
                       "ensemble_scheduling { step [{ model_name: 'a' input_map { key: 'x' value: 'y' } }] }";
    arena a;
    pbtree *m = NULL;
    err e = {0};
    char json[sizeof shown];
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(pbtxt_parse(str_of(text), "t", &config_def, &a, &m, &e) == ERR_OK);
    snprintf(json, sizeof json, "%s", print(m));
    arena_fini(&a);
    same(json, text);
}

static void what_does_not_fit_is_refused_by_its_path(void)
{
    CHECK_STR(refuses("[]"), "config: expected an object, got a list");
    CHECK_STR(refuses("{\"max_bach_size\":8}"), "config: unknown field 'max_bach_size', did you mean "
                                                "'max_batch_size'?");
    CHECK_STR(refuses("{\"input\":[{},{\"dims\":[1,\"x\"]}]}"),
              "config: input[1].dims[1]: expected a whole number of 64 bits, got 'x'");
    CHECK_STR(refuses("{\"input\":{}}"), "config: input: expected a list, got an object");
    CHECK_STR(refuses("{\"max_batch_size\":2147483648}"),
              "config: max_batch_size: expected a whole number of 32 bits, got 2147483648");
    CHECK_STR(refuses("{\"max_batch_size\":1.5}"), "config: max_batch_size: expected a whole number of 32 bits, got "
                                                   "1.5");
    CHECK_STR(refuses("{\"name\":5}"), "config: name: expected a string without NUL, got 5");
    CHECK_STR(refuses("{\"name\":\"a\\u0000\"}"), "config: name: expected a string without NUL, got 'a'");
    CHECK_STR(refuses("{\"input\":[{\"data_type\":\"FP32\"}]}"),
              "config: input[0].data_type: expected a name of its enum, got 'FP32'");
    CHECK_STR(refuses("{\"max_batch_size\":1,\"maxBatchSize\":1}"),
              "config: expected 'max_batch_size' once, got it under two names");
    CHECK_STR(refuses("{\"dynamic_batching\":{},\"sequence_batching\":{}}"),
              "config: expected one of 'dynamic_batching' and 'sequence_batching', got both");
    CHECK_STR(refuses("{\"dynamic_batching\":{\"priority_queue_policy\":{\"x\":{}}}}"),
              "config: dynamic_batching.priority_queue_policy.x: expected a whole number from 0 to "
              "18446744073709551615, "
              "got 'x'");
}

static void no_memory_at_any_point_leaves_nothing(void)
{
    FAULT_SWEEP({
        arena a;
        err e = {0};
        pbtree *m = NULL;
        arena_init(&a, NULL, 0, 1 << 20);
        err_code rc = parse("{\"name\":\"m\",\"input\":[{\"dims\":[1]}],\"parameters\":{\"a\":{}}}", &a, &m, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM || rc == ERR_LIMIT);
        arena_fini(&a);
    })
}

int main(void)
{
    static const test_case cases[] = {
        TEST(json_reads_as_the_text_format_does),
        TEST(what_is_printed_is_read_again),
        TEST(what_does_not_fit_is_refused_by_its_path),
        TEST(no_memory_at_any_point_leaves_nothing),
    };
    return test_main(cases, COUNTOF(cases));
}
