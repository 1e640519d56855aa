/* What is written is read back; cut anywhere, or with something behind it, it is damaged. */
#include "jobs/job_meta.h"
#include "test.h"

static const job_meta all = {
    .accepted_us = 1700000000000001, .started_us = 1700000000000002, .ended_us = UINT64_MAX, .status = 200,
    .structured = true, .model = {"m", 1}, .target = {"/v2/models/m/infer?a=b", 22},
    .hook = {"https://a.example/x", 19},
    .headers = {{{"content-type", 12}, {"application/json", 16}}, {{"ce-id", 5}, {"", 0}}}, .header_count = 2,
};

static bool same(const job_meta *a, const job_meta *b)
{
    bool eq = a->accepted_us == b->accepted_us && a->started_us == b->started_us && a->ended_us == b->ended_us;
    eq = eq && a->status == b->status && a->structured == b->structured;
    eq = eq && str_eq(a->model, b->model) && str_eq(a->target, b->target) && str_eq(a->hook, b->hook);
    eq = eq && a->header_count == b->header_count;
    for (size_t i = 0; eq && i < a->header_count; i++)
        eq = str_eq(a->headers[i].name, b->headers[i].name) && str_eq(a->headers[i].value, b->headers[i].value);
    return eq;
}

static void it_is_read_back(void)
{
    const job_meta some[] = {all, {.model = STR("x"), .target = STR("/")}, {.structured = true}};
    for (size_t i = 0; i < COUNTOF(some); i++) {
        buf b;
        job_meta back;
        buf_init(&b, JOB_META_BYTES_MAX);
        job_meta_put(&b, &some[i]);
        CHECK(job_meta_read(buf_str(&b), &back) && same(&some[i], &back));
        buf_fini(&b);
    }
}

static void cut_or_longer_it_is_damaged(void)
{
    buf b;
    job_meta back;
    buf_init(&b, JOB_META_BYTES_MAX);
    job_meta_put(&b, &all);
    for (size_t n = 0; n < b.len; n++) CHECK(!job_meta_read((str){(const char *)b.p, n}, &back));
    buf_put_byte(&b, 0);
    CHECK(!job_meta_read(buf_str(&b), &back));
    buf_fini(&b);
}

static void another_form_or_too_many_headers_is_damaged(void)
{
    buf b;
    job_meta back;
    buf_init(&b, JOB_META_BYTES_MAX);
    job_meta_put(&b, &(job_meta){.status = 1});
    b.p[b.len - 1] = JOB_HEADERS_MAX + 1;
    for (int i = 0; i < JOB_HEADERS_MAX + 1; i++) buf_put(&b, "\0\0\0\0\0\0\0\0", 8);
    CHECK(!job_meta_read(buf_str(&b), &back));
    buf_clear(&b);
    job_meta_put(&b, &(job_meta){.status = 1});
    b.p[0] = 2;
    CHECK(!job_meta_read(buf_str(&b), &back));
    buf_fini(&b);
}

int main(void)
{
    static const test_case cases[] = {TEST(it_is_read_back), TEST(cut_or_longer_it_is_damaged),
                                      TEST(another_form_or_too_many_headers_is_damaged)};
    return test_main(cases, COUNTOF(cases));
}
