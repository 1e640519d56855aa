/* A job is accepted where it is asked for, and its answer is the one that would have been given at once; what cannot be
 * a job, or is no job, says so in one line; nothing that says who asked is kept. */
#include "http_rig.h"
#include "os/file.h"
#include "serve/job_rest.h"
#include "test.h"
#include "test_folder.h"

#define ASYNC "Prefer: wait=1, Respond-Async\r\n"
#define QUESTION "{\"instances\":[[1,2]]}"

static char path[64];
static uint64_t reply_bytes_max = 1 << 20;
static http_rig r;

static const char *submit(const char *to, const char *headers, const char *body)
{
    return http_rig_post(&r, to, headers, body, strlen(body));
}

static err_code begin(err *e)
{
    const jobs_opts o = {.path = test_folder,
                         .limits = {.bytes_max = 1 << 20, .keep_us = 1000000000, .count_max = 3, .running_max = 2},
                         .reply_bytes_max = reply_bytes_max, .loops = &r.loop, .loop_count = 1, .run = job_begin,
                         .ctx = &r.endpoints, .tell = {.hosts = "good.example"}};
    err_code rc = jobs_new(&r.endpoints.jobs, &o, e);
    return rc ? rc : jobs_start(r.endpoints.jobs, e);
}

static void end(void)
{
    jobs_stop(r.endpoints.jobs);
    loop_flush(r.loop);
    jobs_free(TAKE(r.endpoints.jobs));
}

/* The Location of the last answer. */
static void location(const char *got, char ret[64])
{
    const char *at = strstr(got, "Location: ");
    snprintf(ret, 64, "%.*s", at ? (int)strcspn(at + 10, "\r") : 0, at ? at + 10 : "");
}

static const char *ask(const char *method, const char *to, const char *headers)
{
    static char text[300];
    int n = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n", method, to, headers);
    return http_rig_ask(&r, text, (size_t)n);
}

static bool says(const char *got, const char *status) { return str_starts(str_of(got), str_of(status)); }

static void wait_ended(const char *where, const char *headers)
{
    for (int k = 0; k < 2000 && !strstr(ask("GET", where, headers), "\"ended_at\""); k++) http_rig_turn(&r, 1);
}

static const char *result_of(const char *where, const char *headers)
{
    char result[80];
    snprintf(result, sizeof result, "%s/result", where);
    return ask("GET", result, headers);
}

#define SPLIT_LATE "Inference-Header-Content-Length: 1000000\r\n"

static void its_answer_is_the_one_that_was_due(void)
{
    char where[64], wants[400];
    static const struct {
        const char *to, *headers, *body, *status;
    } rows[] = {{"/v1/models/m:predict", "", QUESTION, "\"status\":\"done\""},
                {"/v1/models/m:predict", "", "[]", "\"status\":\"failed\""},
                {"/v2/models/m/infer", SPLIT_LATE, "{}", "\"status\":\"failed\""}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        char headers[200];
        snprintf(wants, sizeof wants, "%s", submit(rows[i].to, rows[i].headers, rows[i].body));
        snprintf(headers, sizeof headers, "%s" ASYNC "Authorization: Bearer sesame\r\n", rows[i].headers);
        const char *got = submit(rows[i].to, headers, rows[i].body);
        CHECK(says(got, "202 Accepted\r\n") && strstr(got, "Preference-Applied: respond-async\r\n"));
        location(got, where);
        CHECK(strlen(where) == 38);
        wait_ended(where, "");
        CHECK(strstr(http_rig_get(&r, where), rows[i].status));
        CHECK_STR(result_of(where, ""), wants);
        CHECK(says(ask("DELETE", where, ""), "204 No Content") && says(http_rig_get(&r, where), "404 "));
    }
    DIR *d = opendir(test_folder);
    for (struct dirent *one; d && (one = readdir(d)) != NULL;) {
        static char text[100000];
        FILE *f = one->d_name[0] == '.' ? NULL : fopen(test_folder_path("0000000001.jobs"), "rb");
        size_t n = f ? fread(text, 1, sizeof text, f) : 0;
        if (f) fclose(f);
        CHECK(!n || (memmem(text, n, "instances", 9) && !memmem(text, n, "sesame", 6)));
    }
    if (d) closedir(d);
}

static void an_answer_that_is_too_large_is_a_413(void)
{
    char where[64];
    err e;
    end();
    reply_bytes_max = 100;
    CHECK(begin(&e) == ERR_OK);
    location(submit("/v1/models/m:predict", ASYNC, QUESTION), where);
    wait_ended(where, "");
    CHECK(strstr(http_rig_get(&r, where), "\"status\":\"failed\""));
    const char *got = result_of(where, "");
    CHECK(says(got, "413 ") && strstr(got, "job: its answer is larger than reply-bytes-max or jobs-bytes"));
    CHECK(says(ask("DELETE", where, ""), "204 No Content"));
    end();
    reply_bytes_max = 1 << 20;
    CHECK(begin(&e) == ERR_OK);
}

/* Its fields and the answer's are kept, whatever room they take beside a short body. */
static void an_event_is_answered_by_one(void)
{
    char where[64];
    location(submit("/v1/models/m:predict",
                    ASYNC "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: here\r\nce-type: t\r\n", QUESTION), where);
    wait_ended(where, "");
    const char *got = result_of(where, "");
    CHECK(strstr(got, "ce-specversion: 1.0\r\n") && strstr(got, "ce-source: io.kserve.inference.m\r\n"));
    CHECK(strstr(got, "ce-type: io.kserve.inference.response\r\n"));
    CHECK(strstr(got, "Content-Type: application/json\r\n"));
    CHECK(strstr(got, "\r\n\r\n{\"predictions\":[[2.0,4.0]]}"));
    CHECK(says(ask("DELETE", where, ""), "204 "));
}

static void as_many_headers_belong_to_it_as_a_record_holds(void)
{
    char headers[1000], where[64];
    for (size_t most = JOB_HEADERS_MAX; most <= JOB_HEADERS_MAX + 1; most++) {
        size_t n = 0;
        for (size_t i = 0; i < most; i++)
            n += (size_t)snprintf(headers + n, sizeof headers - n, "ce-%zu: v\r\n", i);
        const char *got = submit("/v2/models/m/jobs", headers, "{}");
        CHECK(says(got, most == JOB_HEADERS_MAX ? "202 " : "400 "));
        location(got, where);
        if (where[0]) CHECK(says(ask("DELETE", where, ""), "204 "));
        else CHECK(strstr(got, "job: headers: expected at most 32 that belong to it, got more"));
    }
}

static void keys_write(const char *to)
{
    static const char *const of[] = {"m", "other"};
    buf text;
    err e;
    buf_init(&text, 4096);
    for (size_t i = 0; i < COUNTOF(of); i++) {
        str name = str_of(of[i]);
        api_key_line(&text, name, i ? STR("other-secret") : STR("own-secret"), &name, 1);
        buf_put_byte(&text, '\n');
    }
    CHECK(file_write(to, text.p, text.len, &e) == ERR_OK);
    buf_fini(&text);
}

#define OWN "X-API-Key: own-secret\r\n"
#define OTHER "X-API-Key: other-secret\r\n"

static void a_key_for_other_models_neither_reads_nor_forgets_it(void)
{
    char where[64], second[64], want[100], after[80];
    err e;
    const char *keys = test_folder_path("keys");
    keys_write(keys);
    CHECK(guard_open(&r.endpoints.guard, keys, &e) == ERR_OK);
    location(submit("/v2/models/m/jobs", OWN, "{}"), where);
    wait_ended(where, OWN);
    CHECK(says(ask("GET", where, ""), "401 ") && says(ask("DELETE", where, ""), "401 "));
    snprintf(want, sizeof want, "Job with id %s does not exist.", where + 6);
    snprintf(after, sizeof after, "/jobs?after=%s", where + 6);
    CHECK(says(ask("GET", where, OTHER), "404 ") && says(result_of(where, OTHER), "404 "));
    CHECK(strstr(ask("GET", where, OTHER), want) && strstr(ask("GET", after, OTHER), want));
    CHECK(says(ask("DELETE", where, OTHER), "404 "));
    location(submit("/v2/models/m/jobs", OWN, "{}"), second);
    CHECK(strstr(ask("GET", "/jobs?limit=1", OTHER), "{\"jobs\":[]}"));
    CHECK(strstr(ask("GET", "/jobs", OWN), "{\"jobs\":[{\"id\":"));
    CHECK(strstr(ask("GET", after, OWN), second + 6));
    CHECK(strstr(ask("GET", "/jobs?limit=1", OWN), ",\"next\":"));
    CHECK(says(ask("DELETE", second, OWN), "204 "));
    CHECK(says(ask("GET", where, OWN), "200 ") && says(ask("DELETE", where, OWN), "204 "));
    guard_close(&r.endpoints.guard);
}

static void what_is_no_job_says_so(void)
{
    static const struct {
        const char *path, *want;
    } gets[] = {{"/jobs/00", "Job with id 00 does not exist."},
                {"/jobs/00000000000000000000000000000000",
                 "Job with id 00000000000000000000000000000000 does not exist."},
                {"/jobs?limit=x", "limit: expected an integer in 1..1000, got 'x'"},
                {"/jobs?limit=1000", "{\"jobs\":[]}"},
                {"/jobs?limit=1001", "limit: expected an integer in 1..1000, got '1001'"},
                {"/jobs?limit", "limit: expected an integer in 1..1000, got ''"},
                {"/jobs?limit=1&what", "jobs: expected limit=N and after=ID, got 'what'"},
                {"/jobs?after=1", "jobs: expected limit=N and after=ID, got 'after=1'"},
                {"/jobs?after=00000000000000000000000000000001", "does not exist"}};
    for (size_t i = 0; i < COUNTOF(gets); i++) CHECK(strstr(http_rig_get(&r, gets[i].path), gets[i].want));
    CHECK(strstr(http_rig_get(&r, "/jobs"), "{\"jobs\":[]}"));
    CHECK(strstr(submit("/v1/models/none:predict", ASYNC, QUESTION), "Model with name none does not exist."));
    CHECK(strstr(submit("/v2/models/m/jobs", "Proa-Webhook: https://bad.example/\r\n", "{}"),
                 "Proa-Webhook: expected a host that webhook-hosts allows, got 'bad.example'"));
    CHECK(strstr(submit("/v2/models/m/jobs", "Proa-Webhook: x\r\n", "{}"), "Proa-Webhook: expected http[s]://"));
    CHECK(strstr(submit("/v2/models/m/jobs", "Proa-Webhook-Mode: x\r\n", "{}"),
                 "expected binary or structured, got 'x'"));
    static const char *const not[] = {"Prefer: respond-asynchronously\r\n", "Prefer: respond-async=no\r\n",
                                      "Prefer: a;respond-async\r\n", "Prefer: a=\"b, respond-async\"\r\n"};
    for (size_t i = 0; i < COUNTOF(not); i++)
        CHECK(says(submit("/v1/models/m:predict", not[i], QUESTION), "200 "));
}

/* A preference is not met, but whoever is to be told would never be. */
static void a_stream_is_no_job(void)
{
    static const char stream[] = "/v2/models/m/generate_stream", body[] = "{\"x\":[1,2]}";
    static const char *const hooks[] = {"Proa-Webhook: https://good.example/\r\n",
                                        ASYNC "Proa-Webhook: https://good.example/\r\n"};
    char where[64];
    for (size_t i = 0; i < COUNTOF(hooks); i++) {
        const char *no = submit(stream, hooks[i], body);
        CHECK(says(no, "501 "));
        CHECK(strstr(no, "jobs: expected Proa-Webhook with an answer that is no stream, got it with generate_stream"));
    }
    CHECK(says(submit(stream, ASYNC, body), "200 "));
    const char *got = submit("/v2/models/m/generate", hooks[0], body);
    CHECK(says(got, "202 "));
    location(got, where);
    CHECK(says(ask("DELETE", where, ""), "204 "));
}

static void what_is_asked_for_later_is_a_job(void)
{
    static const char *const later[] = {"Prefer: respond-async; foo=bar\r\n", "Prefer: a=1;b , respond-async=\"\"\r\n",
                                        "Proa-Webhook: https://good.example/\r\n"};
    for (size_t i = 0; i < COUNTOF(later); i++) {
        char where[64];
        const char *got = submit("/v1/models/m:predict", later[i], QUESTION);
        CHECK(says(got, "202 ") && !strstr(got, "Preference-Applied") == (i == 2));
        location(got, where);
        CHECK(says(ask("DELETE", where, ""), "204 "));
    }
}

static void they_are_bounded_and_listed_by_pages(void)
{
    for (int i = 0; i < 3; i++) CHECK(str_starts(str_of(submit("/v2/models/m/jobs", "", "{}")), STR("202 ")));
    const char *got = submit("/v2/models/m/jobs", "", "{}");
    CHECK(str_starts(str_of(got), STR("429 ")) && strstr(got, "Retry-After: 1\r\n") && strstr(got, "(jobs-max)"));
    char next[128];
    got = http_rig_get(&r, "/jobs?limit=2");
    const char *at = strstr(got, "\"next\":\"");
    CHECK(at != NULL);
    snprintf(next, sizeof next, "%.*s", at ? (int)strcspn(at + 8, "\"") : 0, at ? at + 8 : "");
    for (int gone = 0; gone < 2; gone++) {
        got = http_rig_get(&r, next);
        CHECK(strstr(got, "\"id\":") && !strstr(got, "\"next\""));
        char last[80];   /* of the page before: the next one stays where it is */
        snprintf(last, sizeof last, "/jobs/%.32s", next + 12);
        if (!gone) CHECK(says(ask("DELETE", last, ""), "204 "));
        else CHECK(says(http_rig_get(&r, last), "404 "));
    }
}

static void without_a_folder_there_are_none(void)
{
    jobs *was = TAKE(r.endpoints.jobs);
    CHECK(strstr(http_rig_get(&r, "/jobs"), "jobs: expected a server with --jobs-dir, got one without"));
    CHECK(str_starts(str_of(http_rig_get(&r, "/jobs/00")), STR("501 ")));
    CHECK(str_starts(str_of(submit("/v1/models/m:predict", ASYNC, QUESTION)), STR("200 ")));
    CHECK(str_starts(str_of(submit("/v1/models/m:predict", ASYNC "Proa-Webhook: https://good.example/\r\n", QUESTION)),
                     STR("501 ")));
    r.endpoints.jobs = was;
}

int main(void)
{
    static const test_case cases[] = {TEST(its_answer_is_the_one_that_was_due),
                                      TEST(an_answer_that_is_too_large_is_a_413),
                                      TEST(an_event_is_answered_by_one),
                                      TEST(as_many_headers_belong_to_it_as_a_record_holds),
                                      TEST(a_key_for_other_models_neither_reads_nor_forgets_it),
                                      TEST(what_is_no_job_says_so), TEST(a_stream_is_no_job),
                                      TEST(what_is_asked_for_later_is_a_job),
                                      TEST(they_are_bounded_and_listed_by_pages),
                                      TEST(without_a_folder_there_are_none)};
    onnx_build b;
    err e;
    serve_rig_twice(&b);
    const char *models[] = {"m", serve_rig_save(&b, path), NULL};
    if (!test_folder_open() || !http_rig_start(&r, &(http_rig_opts){.threads = "1"}, models)) return 1;
    if (begin(&e)) return 1;
    int rc = test_main(cases, COUNTOF(cases));
    end();
    http_rig_stop(&r);
    serve_rig_unsave(path);
    onnx_build_end(&b);
    test_folder_close();
    return rc;
}
