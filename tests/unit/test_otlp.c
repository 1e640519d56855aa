/* The bytes are those of opentelemetry.proto, field by field; a text that is no UTF-8 spoils no batch; an answer's
 * refusals are found, and a lie about them is an error.  A collector's own decoder reads them in tests/e2e. */
#include "wire/otlp.h"
#include "test.h"
#include "wire/pb.h"

/* The first field of that number inside; empty = there is none. */
static str field(str message, uint32_t number)
{
    pb m;
    pb_field f;
    pb_init(&m, message.p, message.len);
    while (pb_next(&m, &f))
        if (f.number == number && f.type == PB_BYTES) return pb_bytes(&m, &f);
    return (str){0};
}

static uint64_t number(str message, uint32_t of)
{
    pb m;
    pb_field f;
    pb_init(&m, message.p, message.len);
    while (pb_next(&m, &f))
        if (f.number == of && f.type != PB_BYTES) return f.value;
    return 0;
}

static void a_batch_is_what_the_proto_says(void)
{
    static const uint8_t trace[TRACE_ID_BYTES] = {1}, id[SPAN_ID_BYTES] = {2}, parent[SPAN_ID_BYTES] = {3};
    const otlp_attribute who = {.key = STR("service.name"), .text = STR("proa")};
    const otlp_attribute what[] = {{.key = STR("a"), .text = STR("b\377c")}, {.key = STR("n"), .number = -1}};
    otlp_batch b;
    buf out;
    buf_init(&out, 1 << 16);
    otlp_open(&b, &out, &who, 1, STR("scope"), STR("1.0"));
    otlp_span_put(&out, &(otlp_span){.trace_id = trace,
                                     .span_id = id,
                                     .parent_id = parent,
                                     .parent_remote = true,
                                     .flags = 1,
                                     .state = STR("k=v"),
                                     .name = STR("POST /x"),
                                     .kind = OTLP_SERVER,
                                     .start_ns = 5,
                                     .end_ns = 7,
                                     .attributes = what,
                                     .attribute_count = 2,
                                     .failed = true,
                                     .message = STR("why")});
    otlp_close(&b, &out);
    str spans = field(buf_str(&out), 1), scope = field(spans, 2), span = field(scope, 2);
    str of = field(field(spans, 1), 1);
    CHECK(str_is(field(of, 1), "service.name") && str_is(field(field(of, 2), 1), "proa"));
    CHECK(str_is(field(field(scope, 1), 1), "scope") && str_is(field(field(scope, 1), 2), "1.0"));
    CHECK(field(span, 1).len == 16 && memcmp(field(span, 1).p, trace, 16) == 0);
    CHECK(field(span, 2).len == 8 && memcmp(field(span, 2).p, id, 8) == 0);
    CHECK(str_is(field(span, 3), "k=v") && memcmp(field(span, 4).p, parent, 8) == 0);
    CHECK(str_is(field(span, 5), "POST /x"));
    CHECK_U64(number(span, 6), 2);
    CHECK_U64(number(span, 7), 5);
    CHECK_U64(number(span, 8), 7);
    CHECK(str_is(field(field(span, 9), 1), "a") && str_is(field(field(field(span, 9), 2), 1), "b?c"));
    CHECK(str_is(field(field(span, 15), 2), "why") && number(field(span, 15), 3) == 2);
    CHECK_U64(number(span, 16), 0x301);
    buf_fini(&out);
}

static void a_root_has_no_parent_and_success_no_status(void)
{
    static const uint8_t trace[TRACE_ID_BYTES] = {1}, id[SPAN_ID_BYTES] = {2};
    buf out;
    buf_init(&out, 1 << 16);
    otlp_span_put(&out, &(otlp_span){.trace_id = trace, .span_id = id, .name = STR("n"), .kind = OTLP_INTERNAL});
    str span = field(buf_str(&out), 2);
    CHECK(!field(span, 4).p && !field(span, 3).p && !field(span, 15).p && !field(span, 9).p);
    CHECK_U64(number(span, 16), 0);
    buf_fini(&out);
}

static void an_answer_says_how_many_were_refused(void)
{
    uint64_t refused = 99;
    err e;
    CHECK(otlp_reply_read(STR(""), &refused, &e) == ERR_OK && refused == 0);
    CHECK(otlp_reply_read((str){0}, &refused, &e) == ERR_OK && refused == 0);
    CHECK(otlp_reply_read(STR("\012\006\010\005\022\002no"), &refused, &e) == ERR_OK && refused == 5);
    CHECK(otlp_reply_read(STR("\012\377"), &refused, &e) == ERR_INVALID);
    CHECK(otlp_reply_read(STR("\012\002\010"), &refused, &e) == ERR_INVALID);
    CHECK(otlp_reply_read(STR("<html>"), &refused, &e) == ERR_INVALID);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_batch_is_what_the_proto_says),
        TEST(a_root_has_no_parent_and_success_no_status),
        TEST(an_answer_says_how_many_were_refused),
    };
    return test_main(cases, COUNTOF(cases));
}
