/* A webhook is told the answer with the job's id, in the fields or as one document; an answer that is an event goes out
 * as it is. */
#include "jobs/job_event.h"
#include "test.h"

static const job_record answer = {.kind = JOB_RECORD_ANSWER, .id = {{1, 2, 3}}, .body = {"{\"y\":1}", 7}};
static const job_meta meta = {.model = {"m", 1}, .status = 200, .ended_us = 1700000000000001,
                              .headers = {{{"content-type", 12}, {"application/json", 16}}}, .header_count = 1};

static const char *value(const job_tell *t, const char *name)
{
    static char texts[8][80];
    static unsigned next;
    str s = http_header_find(t->headers, t->header_count, name);
    char *to = texts[next++ % 8];
    snprintf(to, sizeof texts[0], "%.*s", (int)s.len, s.p);
    return to;
}

static err_code make(job_tell *t, const job_meta *m, err *e)
{
    *t = (job_tell){.id = answer.id};
    buf_init(&t->text, 4096);
    return job_event_make(t, &answer, m, e);
}

static void by_default_it_is_in_the_fields(void)
{
    job_tell t;
    err e;
    CHECK(make(&t, &meta, &e) == ERR_OK);
    CHECK_STR(value(&t, "ce-specversion"), "1.0");
    CHECK_STR(value(&t, "ce-id"), "01020300000000000000000000000000");
    CHECK_STR(value(&t, "ce-subject"), "01020300000000000000000000000000");
    CHECK_STR(value(&t, "ce-source"), "io.kserve.inference.m");
    CHECK_STR(value(&t, "ce-type"), "io.kserve.inference.response");
    CHECK_STR(value(&t, "ce-time"), "2023-11-14T22:13:20.000001Z");
    CHECK_STR(value(&t, "ce-jobstatus"), "200");
    CHECK_STR(value(&t, "content-type"), "application/json");
    CHECK(str_is(t.body, "{\"y\":1}"));
    buf_fini(&t.text);
}

static void a_name_beyond_ascii_is_encoded_in_a_field(void)
{
    job_tell t;
    job_meta m = meta;
    err e;
    m.model = STR("caf\xC3\xA9");
    CHECK(make(&t, &m, &e) == ERR_OK);
    CHECK_STR(value(&t, "ce-source"), "io.kserve.inference.caf%C3%A9");
    CHECK_STR(value(&t, "ce-id"), "01020300000000000000000000000000");
    buf_fini(&t.text);
}

static void or_one_document(void)
{
    job_tell t;
    job_meta m = meta;
    err e;
    m.structured = true;
    CHECK(make(&t, &m, &e) == ERR_OK);
    CHECK_U64(t.header_count, 2);
    CHECK_STR(value(&t, "proa-job"), "01020300000000000000000000000000");
    CHECK_STR(value(&t, "content-type"), "application/cloudevents+json; charset=UTF-8");
    CHECK(str_starts(t.body, STR("{\"specversion\":\"1.0\",\"id\":\"0102")));
    CHECK(str_ends(t.body, STR(",\"data\":{\"y\":1}}")));
    buf_fini(&t.text);
}

static void an_event_goes_out_as_it_is(void)
{
    job_tell t;
    job_meta m = meta;
    err e;
    m.structured = true;
    m.headers[0].value = STR("application/cloudevents+json");
    CHECK(make(&t, &m, &e) == ERR_OK && t.header_count == 2 && str_is(t.body, "{\"y\":1}"));
    CHECK_STR(value(&t, "proa-job"), "01020300000000000000000000000000");
    buf_fini(&t.text);
    m.headers[0] = (http_header){STR("ce-specversion"), STR("1.0")};
    CHECK(make(&t, &m, &e) == ERR_OK && t.header_count == 2 && str_is(t.body, "{\"y\":1}"));
    buf_fini(&t.text);
}

static void no_failure_leaks(void)
{
    for (int structured = 0; structured < 2; structured++) {
        job_meta m = meta;
        m.structured = structured;
        FAULT_SWEEP({
            job_tell t;
            err e;
            (void)!make(&t, &m, &e);
            buf_fini(&t.text);
        });
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(by_default_it_is_in_the_fields),
                                      TEST(a_name_beyond_ascii_is_encoded_in_a_field),
                                      TEST(or_one_document),
                                      TEST(an_event_goes_out_as_it_is), TEST(no_failure_leaks)};
    return test_main(cases, COUNTOF(cases));
}
