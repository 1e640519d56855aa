/* Of a log that was cut or damaged anywhere, what is whole is read and nothing else: cut at each byte, each record that
 * lies before the cut is there; with any one byte changed, at most one record is missing; bytes that a client sent are
 * never taken for a record. */
#include "jobs/job_log.h"
#include "test.h"

enum { RECORDS = 5 };

static const job_log_head head = {.salt = 0x0123456789ABCDEF, .number = 7};
static const char *const metas[RECORDS] = {"meta", "", "m", "", "the last one"};
static const char *const bodies[RECORDS] = {"a body", "another, which is longer", "", "", "\xF1JOB\xF1JOB"};

static job_record record(int i)
{
    job_record r = {.kind = (job_record_kind)(JOB_RECORD_ASK + i % 4), .meta = str_of(metas[i]),
                    .body = str_of(bodies[i])};
    memset(r.id.bytes, i + 1, sizeof r.id.bytes);
    return r;
}

/* Returns where each begins, and in ends[RECORDS] the length. */
static void write_all(buf *b, uint64_t ends[RECORDS + 1])
{
    buf_init(b, 1 << 20);
    job_log_head_put(b, &head);
    for (int i = 0; i < RECORDS; i++) {
        job_record r = record(i);
        ends[i] = b->len;
        job_record_put(b, head.salt, &r);
        buf_put_str(b, r.body);
        CHECK_U64(b->len - ends[i], job_record_bytes(&r));
    }
    ends[RECORDS] = b->len;
}

static bool is(const job_record *r, int i)
{
    job_record want = record(i);
    return r->kind == want.kind && memcmp(&r->id, &want.id, sizeof r->id) == 0 && str_eq(r->meta, want.meta) &&
           str_eq(r->body, want.body);
}

/* Which of the records are there, a bit each; each only once and at its place. */
static unsigned found(str bytes, const uint64_t ends[RECORDS + 1], uint64_t *ret_damaged)
{
    job_log_reader r;
    job_record got;
    uint64_t at;
    unsigned seen = 0;
    *ret_damaged = 0;
    if (!job_log_begin(&r, bytes)) return 0;
    CHECK_U64(r.head.salt, head.salt);
    CHECK_U64(r.head.number, head.number);
    while (job_log_next(&r, &got, &at)) {
        int i = 0;
        while (i < RECORDS && ends[i] != at) i++;
        CHECK(i < RECORDS && is(&got, i) && !(seen >> i & 1));
        seen |= 1u << i;
        CHECK_U64(r.whole, ends[i + 1]);
    }
    *ret_damaged = r.damaged + r.torn;
    CHECK(r.torn == 0 || r.whole < bytes.len);
    return seen;
}

static void what_is_written_is_read(void)
{
    buf b;
    uint64_t ends[RECORDS + 1], damaged;
    write_all(&b, ends);
    CHECK_U64(found(buf_str(&b), ends, &damaged), (1u << RECORDS) - 1);
    CHECK_U64(damaged, 0);
    for (int i = 0; i < RECORDS; i++) {
        job_record one;
        str bytes = {(const char *)b.p + ends[i], (size_t)(ends[i + 1] - ends[i])};
        CHECK(job_record_read(bytes, head.salt, &one) && is(&one, i));
        CHECK(!job_record_read(bytes, head.salt + 1, &one));
        CHECK(!job_record_read((str){bytes.p, bytes.len - 1}, head.salt, &one));
    }
    buf_fini(&b);
}

static void cut_anywhere_all_before_it_is_there(void)
{
    buf b;
    uint64_t ends[RECORDS + 1], damaged;
    write_all(&b, ends);
    for (size_t n = 0; n <= b.len; n++) {
        unsigned want = 0;
        for (int i = 0; i < RECORDS; i++) want |= (unsigned)(ends[i + 1] <= n) << i;
        CHECK_U64(found((str){(const char *)b.p, n}, ends, &damaged), want);
        bool torn = n > JOB_LOG_HEAD_BYTES;
        for (int i = 0; i <= RECORDS; i++) torn = torn && ends[i] != n;
        CHECK_U64(damaged, torn);
    }
    buf_fini(&b);
}

static void one_bad_byte_costs_at_most_one_record(void)
{
    buf b;
    uint64_t ends[RECORDS + 1], damaged;
    write_all(&b, ends);
    for (size_t at = 0; at < b.len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            unsigned want = (1u << RECORDS) - 1;
            for (int i = 0; i < RECORDS; i++) want &= ~((unsigned)(ends[i] <= at && at < ends[i + 1]) << i);
            b.p[at] ^= (uint8_t)(1 << bit);
            CHECK_U64(found(buf_str(&b), ends, &damaged), want);
            CHECK_U64(damaged, want != (1u << RECORDS) - 1);
            b.p[at] ^= (uint8_t)(1 << bit);
        }
    }
    buf_fini(&b);
}

/* Each stretch that is no record counts once, with whole records between them. */
static void each_damaged_place_is_counted(void)
{
    buf b;
    uint64_t ends[RECORDS + 1], damaged;
    write_all(&b, ends);
    b.p[ends[0]] ^= 1;
    b.p[ends[2]] ^= 1;
    CHECK_U64(found(buf_str(&b), ends, &damaged), (1u << RECORDS) - 1 - 1 - 4);
    CHECK_U64(damaged, 2);
    buf_fini(&b);
}

/* A torn record whose body is a copy of records, made without the segment's own number. */
static void what_a_client_sends_is_no_record(void)
{
    buf inner, b;
    job_log_reader r;
    job_record got, one = record(0);
    uint64_t at;
    buf_init(&inner, 1 << 20);
    job_record_put(&inner, 0, &one);
    buf_put_str(&inner, one.body);
    buf_init(&b, 1 << 20);
    job_log_head_put(&b, &head);
    job_record outer = {.kind = JOB_RECORD_ASK, .body = buf_str(&inner)};
    job_record_put(&b, head.salt, &outer);
    buf_put_str(&b, outer.body);
    CHECK(job_log_begin(&r, (str){(const char *)b.p, b.len - 1}));
    CHECK(!job_log_next(&r, &got, &at));
    CHECK_U64(r.whole, JOB_LOG_HEAD_BYTES);
    CHECK_U64(r.torn, 1);
    CHECK_U64(r.damaged, 0);
    buf_fini(&inner);
    buf_fini(&b);
}

static void a_kind_that_nobody_knows_is_gone_over(void)
{
    buf b;
    job_log_reader r;
    job_record got, later = record(1);
    uint64_t at;
    buf_init(&b, 1 << 20);
    job_log_head_put(&b, &head);
    job_record_put(&b, head.salt, &(job_record){.kind = JOB_RECORD_KINDS});
    job_record_put(&b, head.salt, &(job_record){.kind = (job_record_kind)0});
    job_record_put(&b, head.salt, &later);
    buf_put_str(&b, later.body);
    CHECK(job_log_begin(&r, buf_str(&b)));
    CHECK(job_log_next(&r, &got, &at) && is(&got, 1));
    CHECK(!job_log_next(&r, &got, &at));
    CHECK_U64(r.damaged, 2);
    buf_fini(&b);
}

int main(void)
{
    static const test_case cases[] = {TEST(what_is_written_is_read), TEST(cut_anywhere_all_before_it_is_there),
                                      TEST(one_bad_byte_costs_at_most_one_record),
                                      TEST(each_damaged_place_is_counted),
                                      TEST(what_a_client_sends_is_no_record),
                                      TEST(a_kind_that_nobody_knows_is_gone_over)};
    return test_main(cases, COUNTOF(cases));
}
