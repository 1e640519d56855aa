/* A request says itself how long it waits, in JSON or as a message; what is no such time is none. */
#include "serve/patience.h"
#include "test.h"
#include "wire/pb.h"

static uint64_t of_json(const char *text, const char *header_bytes)
{
    http_header length = {STR("Inference-Header-Content-Length"), str_of(header_bytes ? header_bytes : "")};
    const size_t count = header_bytes ? 1 : 0;
    return patience_of_json(&(http_request){.body = str_of(text), .headers = &length, .header_count = count});
}

static void json_says_it_among_its_parameters(void)
{
    static const struct {
        const char *text;
        uint64_t want;
    } rows[] = {
        {"{\"inputs\":[{\"name\":\"x\",\"data\":[1,2]}],\"parameters\":{\"priority\":2,\"timeout\":1500}}", 1500},
        {"{\"id\":\"1\",\"parameters\":{\"timeout\": 7 },\"inputs\":[]}", 7},
        {"{\"timeout\":7}", 0},
        {"{\"inputs\":[{\"parameters\":{\"timeout\":7}}]}", 0},
        {"{\"parameters\":{\"timeout\":\"7\"}}", 0},
        {"{\"parameters\":{\"timeout\":-7}}", 0},
        {"{\"parameters\":{\"timeout\":[7]}}", 0},
        {"{\"parameters\":{}}", 0},
        {"{\"parameters\":{\"timeout\":7", 7},   /* whoever reads it refuses it */
        {"{\"parameters\":{\"timeout\":\"", 0},
        {"", 0},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) CHECK_U64(of_json(rows[i].text, NULL), rows[i].want);
}

static void what_is_behind_the_json_is_not_looked_at(void)
{
    static char large[PATIENCE_JSON_MAX + 100];
    const char *text = "{\"parameters\":{\"timeout\":7}}\1\2\"{";
    CHECK_U64(of_json(text, "28"), 7);
    CHECK_U64(of_json(text, "25"), 0);
    CHECK_U64(of_json(text, "99"), 0);
    CHECK_U64(of_json(text, "x"), 0);
    int n = snprintf(large, sizeof large, "{\"parameters\":{\"timeout\":7}}");
    memset(large + n, ' ', PATIENCE_JSON_MAX - (size_t)n);
    CHECK_U64(of_json(large, NULL), 7);
    large[PATIENCE_JSON_MAX] = ' ';
    CHECK_U64(of_json(large, NULL), 0);   /* that is read later */
}

/* One entry of the map, with a value in field `kind`. */
static void parameter_put(buf *out, const char *name, uint32_t kind, uint64_t value)
{
    size_t entry = pb_open(out, 4);
    pb_put_str(out, 1, str_of(name));
    size_t at = pb_open(out, 2);
    if (kind == 3) pb_put_str(out, 3, STR("7"));
    else pb_put_u64(out, kind, value);
    pb_close(out, at);
    pb_close(out, entry);
}

static uint64_t of_message(const char *name, uint32_t kind, uint64_t value)
{
    buf b;
    buf_init(&b, 1000);
    pb_put_str(&b, 1, STR("m"));
    parameter_put(&b, "priority", 2, 1);
    parameter_put(&b, name, kind, value);
    pb_put_str(&b, 7, STR("raw"));
    uint64_t got = patience_of_message(buf_str(&b));
    buf_fini(&b);
    return got;
}

static void a_message_says_it_among_its_parameters(void)
{
    CHECK_U64(of_message("timeout", 2, 1500), 1500);   /* int64_param */
    CHECK_U64(of_message("timeout", 5, 1500), 1500);   /* uint64_param */
    CHECK_U64(of_message("timeout", 3, 0), 0);
    CHECK_U64(of_message("timeout", 2, UINT64_MAX), 0);
    CHECK_U64(of_message("times", 2, 1500), 0);
    CHECK_U64(patience_of_message(STR("")), 0);
    CHECK_U64(patience_of_message(STR("\x22\xff")), 0);   /* an entry that is cut off */
}

static void without_memory_it_is_none(void)
{
    FAULT_SWEEP({
        uint64_t us = of_json("{\"parameters\":{\"timeout\":7}}", NULL);
        CHECK(us == 7 || us == 0);
    })
}

int main(void)
{
    static const test_case cases[] = {
        TEST(json_says_it_among_its_parameters),
        TEST(what_is_behind_the_json_is_not_looked_at),
        TEST(a_message_says_it_among_its_parameters),
        TEST(without_memory_it_is_none),
    };
    return test_main(cases, COUNTOF(cases));
}
