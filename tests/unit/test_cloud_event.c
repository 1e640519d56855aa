/* An event is found in fields or in a document, its data is a view of what came, and what is written is read back; what
 * lacks an attribute, or has one twice, is refused by name. */
#include "test.h"
#include "wire/cloud_event.h"

#define HEAD_BARE "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\""
#define HEAD HEAD_BARE ","
#define BINARY {{"ce-specversion", 14}, {"1.0", 3}}, {{"ce-id", 5}, {"7", 1}}, {{"ce-source", 9}, {"here", 4}}, \
               {{"ce-type", 7}, {"a.b", 3}}, {{"content-type", 12}, {"application/json", 16}}

static err_code read_document(const char *text, buf *decoded, cloud_event *ev, str *data, err *e)
{
    buf_init(decoded, 1000);
    return cloud_event_read(CLOUD_EVENT_STRUCTURED, (http_header_span){0}, str_of(text), decoded, ev, data, e);
}

static void it_is_found_in_fields(void)
{
    static const http_header fields[] = {BINARY};
    cloud_event ev;
    buf none;
    str data;
    err e;
    buf_init(&none, 10);
    CHECK(cloud_event_mode_of(fields, COUNTOF(fields)) == CLOUD_EVENT_BINARY);
    CHECK(cloud_event_mode_of(fields + 4, 1) == CLOUD_EVENT_NONE);
    const http_header_span all = {fields, COUNTOF(fields)};
    CHECK(cloud_event_read(CLOUD_EVENT_BINARY, all, STR("{}"), &none, &ev, &data, &e) == ERR_OK);
    CHECK(str_is(ev.id, "7") && str_is(ev.source, "here") && str_is(ev.type, "a.b") && str_is(data, "{}"));
    for (size_t i = 0; i < 4; i++) {
        http_header some[COUNTOF(fields)];
        memcpy(some, fields, sizeof some);
        some[i].name = STR("x");
        const http_header_span sent = {some, COUNTOF(some)};
        CHECK(cloud_event_read(CLOUD_EVENT_BINARY, sent, STR(""), &none, &ev, &data, &e) == ERR_INVALID);
        CHECK(strstr(e.text, str_of(fields[i].name.p + 3).p) != NULL);
    }
}

static void it_is_found_in_a_document(void)
{
    static const http_header type = {{"Content-Type", 12}, {"Application/CloudEvents+JSON ; charset=UTF-8", 43}};
    cloud_event ev;
    buf decoded;
    str data;
    err e;
    CHECK(cloud_event_mode_of(&type, 1) == CLOUD_EVENT_STRUCTURED);
    CHECK(read_document(" {\"specversion\" : \"1.0\",\"id\":\"7\",\"x\":[1,{\"data\":2}],\"n\":-1.5,\"source\":\"s\","
                        "\"type\":\"t\",\"data\": {\"a\":[1,\"}\\\"\"]} ,\"datacontenttype\":\"application/json\"} ",
                        &decoded, &ev, &data, &e) == ERR_OK);
    CHECK(str_is(data, "{\"a\":[1,\"}\\\"\"]}") && str_is(ev.id, "7") && str_is(ev.data_type, "application/json"));
    CHECK(read_document(HEAD "\"data_base64\":\"aGk_\"}",
                        &decoded, &ev, &data, &e) == ERR_INVALID);
    buf_fini(&decoded);
    CHECK(read_document(HEAD "\"data_base64\":\"aGVsbG8=\"}",
                        &decoded, &ev, &data, &e) == ERR_OK);
    CHECK(str_is(data, "hello"));
    buf_fini(&decoded);
}

/* What was decoded first stays where it is, however much comes behind it. */
static void what_is_decoded_stays_where_it_is(void)
{
    char body[5000], subject[4000];
    cloud_event ev;
    buf decoded;
    str data;
    err e;
    memset(subject, 'x', sizeof subject - 1);
    subject[sizeof subject - 1] = 0;
    snprintf(body, sizeof body, "{\"id\":\"a\\/b\",\"subject\":\"\\/%s\"," "\"specversion\":\"1.0\",\"source\":\"s\","
             "\"type\":\"t\",\"data\":1}", subject);
    buf_init(&decoded, 20000);
    CHECK(cloud_event_read(CLOUD_EVENT_STRUCTURED, (http_header_span){0}, str_of(body), &decoded, &ev, &data, &e) ==
          ERR_OK);
    str all = buf_str(&decoded);
    CHECK(ev.id.p == all.p && str_is(ev.id, "a/b"));
    CHECK(ev.subject.p == all.p + 3 && ev.subject.len == sizeof subject);
    buf_fini(&decoded);
}

static void attributes_are_strings_of_json(void)
{
    cloud_event ev;
    buf decoded;
    str data;
    err e;
    CHECK(read_document("{\"specversion\":\"1.0\",\"id\":\"\xC3\xA9\",\"x\":\"\\n\","
                        "\"source\":\"http:\\/\\/x?a\\u0026b\","
                        "\"type\":\"\\u00e9\",\"subj\\u0065ct\":\"a\\\"b\",\"datacontenttype\":\"text\\/plain\","
                        "\"data_base64\":\"\\/\\/8=\"}", &decoded, &ev, &data, &e) == ERR_OK);
    CHECK(str_is(ev.id, "\xC3\xA9") && str_is(ev.source, "http://x?a&b") && str_is(ev.type, "\xC3\xA9"));
    CHECK(str_is(ev.subject, "a\"b") && str_is(ev.data_type, "text/plain") && str_is(data, "\xFF\xFF"));
    buf_fini(&decoded);
}

static void a_field_is_ascii(void)
{
    buf b;
    buf_init(&b, 100);
    CHECK(str_is(cloud_event_field_text(&b, STR("a/b~!")), "a/b~!") && b.len == 0);
    CHECK(str_is(cloud_event_field_text(&b, STR("caf\xC3\xA9 \"5%\"")), "caf%C3%A9%20%225%25%22"));
    buf_fini(&b);
}

static void a_document_with_fields_beside_it_is_one(void)
{
    http_header fields[] = {BINARY};
    fields[4].value = STR(CLOUD_EVENT_TYPE);
    CHECK(cloud_event_mode_of(fields, COUNTOF(fields)) == CLOUD_EVENT_STRUCTURED);
}

static void what_is_no_event_is_refused(void)
{
    static const char *const wrong[] = {
        "", "[]", "{", "{}", "{\"specversion\":\"1.0\"",
        "{\"specversion\":\"0.3\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data\":1}",
        "{\"specversion\":\"1.0\",\"id\":\"\",\"source\":\"s\",\"type\":\"t\",\"data\":1}",
        "{\"specversion\":\"1.0\",\"id\":1,\"source\":\"s\",\"type\":\"t\",\"data\":1}",
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"id\":\"2\",\"source\":\"s\",\"type\":\"t\",\"data\":1}",
        HEAD_BARE ",\"data\":1,\"data\":2}",
        HEAD_BARE ",\"data\":1,\"data_base64\":\"aa\"}",
        HEAD_BARE "}",
        HEAD_BARE ",\"data\":1} x",
        "{\"specversion\":\"1.0\",\"id\":\"1\\u0001\",\"source\":\"s\",\"type\":\"t\",\"data\":1}",
        HEAD "\"datacontenttype\":\"a\\r\\nb: c\",\"data\":1}", HEAD "\"subject\":\"\\u0085\",\"data\":1}",
        HEAD "\"subject\":\"\\ud800\",\"data\":1}",
        HEAD_BARE ",\"data\":[1}",
        HEAD_BARE ",\"data\":}",
        HEAD_BARE ",\"data_base64\":\"a\"}",
    };
    for (size_t i = 0; i < COUNTOF(wrong); i++) {
        cloud_event ev;
        buf decoded;
        str data;
        err e;
        err_code rc = read_document(wrong[i], &decoded, &ev, &data, &e);
        if (rc != ERR_INVALID) printf("# %s\n", wrong[i]);
        CHECK(rc == ERR_INVALID && str_starts(str_of(e.text), STR("CloudEvent: ")));
        buf_fini(&decoded);
    }
}

/* Of those that may be missing, one that is no string is. */
static void an_attribute_that_is_no_string_is_shown(void)
{
    static const struct {
        const char *body, *want;
    } rows[] = {
        {"{\"specversion\":1.0,\"id\":\"1\"}", "CloudEvent: specversion: expected a string, got 1.0"},
        {"{\"specversion\":\"1.0\",\"id\": 5 ,\"source\":\"s\"}", "CloudEvent: id: expected a string, got 5"},
        {"{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":null}",
         "CloudEvent: source: expected a string, got null"},
        {"{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":{\"a\":[1]}}",
         "CloudEvent: type: expected a string, got {\"a\":[1]}"},
        {"{\"specversion\":\"1.0\",\"source\":\"s\"}", "CloudEvent: id: expected printable text, got ''"},
        {"{\"specversion\":\"1.0\",\"id\":4,\"id\":5}",
         "CloudEvent: expected a JSON object with each attribute once, got other bytes"},
        {HEAD "\"subject\":null,\"time\":3,\"data\":1}", ""},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        cloud_event ev;
        buf decoded;
        str data;
        err e = {.text = ""};
        err_code rc = read_document(rows[i].body, &decoded, &ev, &data, &e);
        CHECK(rc == (rows[i].want[0] ? ERR_INVALID : ERR_OK));
        CHECK_STR(e.text, rows[i].want);
        buf_fini(&decoded);
    }
}

static void what_is_written_is_read_back(void)
{
    static const char *const types[] = {"application/json", "application/cloudevents+json", "text/plain", ""};
    for (size_t i = 0; i < COUNTOF(types); i++) {
        const cloud_event want = {.id = STR("i"), .source = STR("s"), .type = STR("t"), .subject = STR("sub"),
                                  .time = STR("2026"), .data_type = str_of(types[i])};
        for (size_t len = 1; len < 12; len++) {
            cloud_event ev;
            buf out, decoded;
            str data, whole = STR("[1,2,3,4,55]"), part = {whole.p, i < 2 ? whole.len : len};
            err e;
            buf_init(&out, 1000);
            cloud_event_put(&out, &want, part);
            buf_init(&decoded, 1000);
            err_code rc = cloud_event_read(CLOUD_EVENT_STRUCTURED, (http_header_span){0}, buf_str(&out), &decoded, &ev,
                                           &data, &e);
            CHECK(rc == ERR_OK);
            CHECK(str_eq(data, part) && str_eq(ev.subject, want.subject) && str_eq(ev.data_type, want.data_type));
            CHECK((decoded.len == 0) == (i < 2));
            buf_fini(&out);
            buf_fini(&decoded);
        }
        http_header fields[CLOUD_EVENT_FIELDS];
        cloud_event ev;
        buf none;
        str data;
        err e;
        buf_init(&none, 10);
        size_t n = cloud_event_fields(&want, fields);
        const http_header_span sent = {fields, n};
        CHECK(cloud_event_read(CLOUD_EVENT_BINARY, sent, STR("x"), &none, &ev, &data, &e) == ERR_OK);
        CHECK(str_is(ev.subject, "sub") && str_is(ev.time, "2026"));
    }
}

static void answers_that_only_look_like_json_are_base64(void)
{
    static const struct {
        const char *data, *want;
    } rows[] = {{"[NaN]", "\"data_base64\":\"W05hTl0=\"}"},
                {"[1,-Infinity]", "\"data_base64\":\"WzEsLUluZmluaXR5XQ==\"}"},
                {"[\"a\\\"NaN\",1e5,\"Infinity\",null]", "\"data\":[\"a\\\"NaN\",1e5,\"Infinity\",null]}"},
                {"[\"", "\"data_base64\":\"WyI=\"}"}};
    const cloud_event ev = {.id = STR("i"), .source = STR("s"), .type = STR("t"), .data_type = STR("application/json")};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        buf out;
        buf_init(&out, 1000);
        cloud_event_put(&out, &ev, str_of(rows[i].data));
        CHECK(str_ends(buf_str(&out), str_of(rows[i].want)));
        buf_fini(&out);
    }
}

static void times_are_dates(void)
{
    static const struct {
        uint64_t seconds;
        const char *text;
    } known[] = {{0, "1970-01-01T00:00:00.000001Z"}, {951782399, "2000-02-28T23:59:59.000001Z"},
                 {951782400, "2000-02-29T00:00:00.000001Z"}, {951868800, "2000-03-01T00:00:00.000001Z"},
                 {1700000000, "2023-11-14T22:13:20.000001Z"}, {4107542400, "2100-03-01T00:00:00.000001Z"},
                 {1798761599, "2026-12-31T23:59:59.000001Z"}};
    for (size_t i = 0; i < COUNTOF(known); i++) {
        char text[CLOUD_EVENT_TIME_BYTES];
        cloud_event_time(text, known[i].seconds * 1000000 + 1);
        CHECK_STR(text, known[i].text);
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(it_is_found_in_fields), TEST(it_is_found_in_a_document),
                                      TEST(attributes_are_strings_of_json),
        TEST(what_is_decoded_stays_where_it_is), TEST(a_field_is_ascii),
                                      TEST(a_document_with_fields_beside_it_is_one),
                                      TEST(what_is_no_event_is_refused),
                                      TEST(an_attribute_that_is_no_string_is_shown),
                                      TEST(what_is_written_is_read_back),
                                      TEST(answers_that_only_look_like_json_are_base64),
                                      TEST(times_are_dates)};
    return test_main(cases, COUNTOF(cases));
}
