/* Jobs run in order, so many at a time; one that is refused for the moment rests, longer each time, and others go
 * first; what the log says last of a job is what it is; nothing is kept longer than it should be.  All on a clock of
 * ours. */
#include "jobs/job_book.h"
#include "test.h"

static const job_book_limits limits = {.bytes_max = 1000, .keep_us = 1000, .count_max = 4, .running_max = 2};

static job_id id_of(int i)
{
    job_id id = {.bytes = {(uint8_t)i}};
    return id;
}

static err_code take_id(job_book *b, job_record_kind kind, const job_id *id, const job_meta *m, uint64_t now_us)
{
    buf meta;
    err e;
    buf_init(&meta, 1000);
    if (m) job_meta_put(&meta, m);
    const job_record r = {.kind = kind, .id = *id, .meta = buf_str(&meta)};
    const job_place at = {.segment = 1, .at = 64, .bytes = 100};
    err_code rc = job_book_take(b, &r, &at, 5000000 + now_us, now_us, &e);
    buf_fini(&meta);
    return rc;
}

static err_code take(job_book *b, job_record_kind kind, int i, const job_meta *m, uint64_t now_us)
{
    const job_id id = id_of(i);
    return take_id(b, kind, &id, m, now_us);
}

static void ask(job_book *b, int i, const char *hook)
{
    const job_meta m = {.model = STR("m"), .hook = str_of(hook), .accepted_us = (uint64_t)i};
    CHECK(take(b, JOB_RECORD_ASK, i, &m, 0) == ERR_OK);
}

static void end(job_book *b, int i, uint32_t status, const char *hook, uint64_t now_us)
{
    const job_meta m = {.model = STR("m"), .hook = str_of(hook), .accepted_us = (uint64_t)i, .status = status,
                        .ended_us = 5000000 + now_us};
    CHECK(take(b, JOB_RECORD_ANSWER, i, &m, now_us) == ERR_OK);
}

static job *get(const job_book *b, int i)
{
    job_id id = id_of(i);
    return job_book_find(b, &id);
}

static void they_run_in_order_and_so_many_at_a_time(void)
{
    job_book b;
    job_book_init(&b, &limits, 1);
    for (int i = 1; i <= 4; i++) ask(&b, i, "");
    CHECK(job_book_due_us(&b, 0) == 0 && job_book_due_us(&b, UINT64_MAX) == UINT64_MAX);
    CHECK(job_book_next(&b, 9, 1) == get(&b, 1) && job_book_next(&b, 9, 1) == get(&b, 2));
    CHECK(!job_book_next(&b, 9, 1) && job_book_due_us(&b, 0) == UINT64_MAX);
    CHECK(get(&b, 1)->state == JOB_RUNNING && get(&b, 1)->started_us == 9);
    CHECK_U64(job_book_oldest_us(&b), 1);
    end(&b, 1, 200, "", 10);
    CHECK(get(&b, 1)->state == JOB_DONE && b.ended[0] == 1);
    CHECK_U64(job_book_oldest_us(&b), 2);
    CHECK(job_book_next(&b, 9, 10) == get(&b, 3) && !job_book_next(&b, 9, 10));
    end(&b, 2, 400, "", 10);
    CHECK(get(&b, 2)->state == JOB_FAILED && b.ended[1] == 1);
    CHECK_U64(b.bytes, 400);
    job_book_forget(&b, get(&b, 2));
    CHECK(!get(&b, 2) && b.bytes == 300 && b.count == 3);
    CHECK_U64(job_book_oldest_us(&b), 3);
    const job *at = NULL;
    for (int i = 1; i <= 4; i++)
        if (i != 2) CHECK((at = job_book_behind(&b, at)) == get(&b, i));
    CHECK(!job_book_behind(&b, at));
    job_book_forget(&b, get(&b, 3));   /* it runs */
    CHECK_U64(job_book_oldest_us(&b), 4);
    end(&b, 4, 200, "", 10);
    CHECK_U64(job_book_oldest_us(&b), 0);
    ask(&b, 5, "");
    CHECK_U64(job_book_oldest_us(&b), 5);
    job_book_fini(&b);
}

static void what_is_refused_for_the_moment_rests_longer_each_time(void)
{
    job_book b;
    uint64_t now = 0, most = JOB_REST_MIN_US;
    job_book_init(&b, &limits, 1);
    ask(&b, 1, "");
    ask(&b, 2, "");
    int early = 0;   /* half of a rest is by chance */
    for (int i = 0; i < 12; i++) {
        job *j = job_book_next(&b, 1, now);
        CHECK(j == get(&b, 1) && j->tries == (uint32_t)i + 1);
        job_book_again(&b, j, now);
        uint64_t rest = j->due_us - now;
        CHECK(rest >= most / 2 && rest <= most);
        early += rest < most;
        if (i == 0) CHECK(job_book_next(&b, 1, now) == get(&b, 2));   /* meanwhile the other one goes */
        if (i == 0) end(&b, 2, 200, "", now);
        CHECK(!job_book_next(&b, 1, j->due_us - 1));
        CHECK(job_book_due_us(&b, 0) == j->due_us || job_book_due_us(&b, 0) == limits.keep_us);
        now = j->due_us;
        most = most * 2 < JOB_REST_MAX_US ? most * 2 : JOB_REST_MAX_US;
    }
    CHECK(early > 6);
    job_book_fini(&b);
}

/* What the disk did not take was no refusal; who may begin no run before an instant is not due before it. */
static void what_the_disk_did_not_take_rests_longer_each_time_and_was_no_try(void)
{
    job_book b;
    uint64_t now = 0, most = JOB_REST_MIN_US;
    job_book_init(&b, &limits, 1);
    ask(&b, 1, "");
    CHECK(job_book_due_us(&b, 500) == 500);
    for (int i = 0; i < 12; i++) {
        job *j = job_book_next(&b, 1, now);
        job_book_lost(&b, j, now);
        uint64_t rest = j->due_us - now;
        CHECK(rest >= most / 2 && rest <= most && j->tries == 0);
        CHECK(job_book_due_us(&b, j->due_us - 1) == j->due_us && job_book_due_us(&b, j->due_us + 1) == j->due_us + 1);
        CHECK(job_book_due_us(&b, UINT64_MAX) == UINT64_MAX);
        now = j->due_us;
        most = most * 2 < JOB_REST_MAX_US ? most * 2 : JOB_REST_MAX_US;
    }
    job *j = job_book_next(&b, 1, now);
    job_book_again(&b, j, now);
    CHECK(j->tries == 1 && j->due_us - now <= JOB_REST_MIN_US);
    job_book_fini(&b);
}

static void what_is_kept_for_good_is_never_due(void)
{
    job_book b;
    job_book_limits ever = limits;
    ever.keep_us = UINT64_MAX;
    job_book_init(&b, &ever, 1);
    ask(&b, 1, "");
    end(&b, 1, 200, "", 10);
    CHECK_U64(job_book_due_us(&b, 0), UINT64_MAX);
    CHECK(!job_book_expired(&b, UINT64_MAX));
    job_book_fini(&b);
}

static void it_is_bounded_in_number_and_bytes(void)
{
    job_book b;
    int status = 0;
    err e;
    job_book_init(&b, &limits, 1);
    const job_book_coming none = {0}, some = {2, 150}, many = {3, 0};   /* four are its limit */
    ask(&b, 1, "");
    CHECK(job_book_admit(&b, &none, 900, &status, &e) == ERR_OK);
    CHECK(job_book_admit(&b, &none, 901, &status, &e) == ERR_LIMIT && status == 507);
    CHECK(strstr(e.text, "jobs-bytes-max"));
    CHECK(job_book_admit(&b, &none, UINT64_MAX, &status, &e) == ERR_LIMIT);
    CHECK(job_book_admit(&b, &some, 750, &status, &e) == ERR_OK);
    CHECK(job_book_admit(&b, &some, 751, &status, &e) == ERR_LIMIT && status == 507);
    CHECK(job_book_admit(&b, &many, 1, &status, &e) == ERR_LIMIT && status == 429 && strstr(e.text, "jobs-max"));
    for (int i = 2; i <= 4; i++) ask(&b, i, "");
    CHECK(job_book_admit(&b, &none, 1, &status, &e) == ERR_LIMIT && status == 429);
    job_book_fini(&b);
}

static void a_hook_is_told_until_it_takes_it_or_is_given_up(void)
{
    job_book b;
    uint64_t now = 10;
    job_book_init(&b, &limits, 1);
    ask(&b, 1, "http://a/");
    CHECK(!job_book_tell(&b, now));
    end(&b, 1, 200, "http://a/", now);
    CHECK(get(&b, 1)->hook == JOB_HOOK_WAITING && job_book_due_us(&b, 0) == now);
    job *j = get(&b, 1);
    for (int i = 1; i <= JOB_TELLS_MAX; i++) {
        CHECK(job_book_tell(&b, now) == j && !job_book_tell(&b, now));
        CHECK(!job_book_expired(&b, now + 10 * limits.keep_us));   /* it is kept meanwhile */
        bool again = job_book_untold(&b, j, now);
        CHECK(again == (i < JOB_TELLS_MAX));
        if (!again) break;
        CHECK(!job_book_tell(&b, j->due_us - 1));
        now = j->due_us;
    }
    CHECK(take(&b, JOB_RECORD_TOLD, 1, &(job_meta){.status = 1}, now) == ERR_OK);
    CHECK(j->hook == JOB_HOOK_GIVEN_UP && job_book_expired(&b, now) == j);
    ask(&b, 2, "http://a/");
    end(&b, 2, 200, "http://a/", now);
    CHECK(job_book_tell(&b, now) == get(&b, 2));
    CHECK(take(&b, JOB_RECORD_TOLD, 2, NULL, now) == ERR_OK);
    CHECK(get(&b, 2)->hook == JOB_HOOK_TOLD && !job_book_tell(&b, UINT64_MAX));
    job_book_fini(&b);
}

static void what_has_ended_is_kept_for_a_while_also_behind_a_start(void)
{
    job_book b;
    job_book_init(&b, &limits, 1);
    ask(&b, 1, "");
    end(&b, 1, 200, "", 100);
    CHECK_U64(job_book_due_us(&b, 0), 1100);
    CHECK(!job_book_expired(&b, 1099) && job_book_expired(&b, 1100) == get(&b, 1));
    /* read at a start: it ended 700 before */
    const job_meta old = {.model = STR("m"), .status = 200, .ended_us = 5000000 + 2000 - 700};
    CHECK(take(&b, JOB_RECORD_ANSWER, 2, &old, 2000) == ERR_OK);
    CHECK(!get(&b, 2)->hook && get(&b, 2)->state == JOB_DONE);
    job_book_forget(&b, get(&b, 1));
    CHECK(!job_book_expired(&b, 2299) && job_book_expired(&b, 2300) == get(&b, 2));
    job_book_fini(&b);
}

/* Between two starts the clock for people may go back or far ahead: what waits stays, and what has ended is kept no
 * longer than from the start on. */
static void a_clock_that_jumps_costs_no_job_that_waits(void)
{
    static const uint64_t walls[] = {0, 1, 5000000, UINT64_MAX};
    for (size_t i = 0; i < COUNTOF(walls); i++) {
        const job_meta asked = {.model = STR("m"), .accepted_us = 5000000};
        const job_meta answered = {.model = STR("m"), .status = 200, .accepted_us = 5000000, .ended_us = 5000100};
        const job_place at = {.segment = 1, .at = 64, .bytes = 100};
        job_book b;
        buf meta;
        err e;
        job_book_init(&b, &limits, 1);
        buf_init(&meta, 1000);
        for (int k = 1; k <= 2; k++) {
            buf_clear(&meta);
            job_meta_put(&meta, k == 1 ? &asked : &answered);
            const job_record r = {.kind = k == 1 ? JOB_RECORD_ASK : JOB_RECORD_ANSWER, .id = id_of(k),
                                  .meta = buf_str(&meta)};
            CHECK(job_book_take(&b, &r, &at, walls[i], 2000, &e) == ERR_OK);
        }
        buf_fini(&meta);
        CHECK((job_book_expired(&b, 2000) != NULL) == (walls[i] == UINT64_MAX));
        CHECK(job_book_expired(&b, 3000) == get(&b, 2));
        CHECK_U64(job_book_oldest_us(&b), 5000000);
        CHECK(job_book_next(&b, walls[i], 2000) == get(&b, 1) && get(&b, 1)->started_us == walls[i]);
        job_book_fini(&b);
    }
}

static void the_last_record_of_a_job_says_what_it_is(void)
{
    job_book b;
    job_book_init(&b, &limits, 1);
    ask(&b, 1, "");
    ask(&b, 1, "");   /* moved: the same job at another place */
    CHECK_U64(b.count, 1);
    CHECK_U64(b.bytes, 100);
    end(&b, 1, 200, "", 0);
    ask(&b, 1, "");   /* one that was left behind does not wake it */
    CHECK(get(&b, 1)->state == JOB_DONE && !job_book_next(&b, 1, 1));
    const job_record other = {.kind = JOB_RECORD_ASK, .id = id_of(9), .meta = STR("\2")};
    err e;
    CHECK(job_book_take(&b, &other, &(job_place){.segment = 1}, 0, 0, &e) == ERR_UNSUPPORTED && !get(&b, 9));
    CHECK(take(&b, JOB_RECORD_FORGET, 1, NULL, 0) == ERR_OK && !get(&b, 1) && b.bytes == 0);
    CHECK(take(&b, JOB_RECORD_FORGET, 1, NULL, 0) == ERR_OK);
    CHECK(take(&b, JOB_RECORD_TOLD, 1, NULL, 0) == ERR_OK && b.count == 0);
    job_book_fini(&b);
}

/* The log has them in the order of their last records.  Those of one instant go by id: of one that is gone a page's
 * place says no more. */
static void behind_a_start_they_are_in_the_order_of_their_acceptance(void)
{
    enum { COUNT = 1000 };
    static job *want[COUNT];
    job_book b;
    uint64_t seed = 7;
    job_book_init(&b, &(job_book_limits){.bytes_max = UINT64_MAX, .count_max = COUNT, .running_max = COUNT}, 1);
    for (uint32_t left = COUNT; left; left--) {   /* id n was accepted at 1 + n / 2 */
        uint32_t n;
        job_id id = {{0}};
        do {
            n = (uint32_t)(test_rand(&seed) >> 33) % COUNT;
        } while (want[n]);
        id.bytes[0] = (uint8_t)(n / 256);
        id.bytes[1] = (uint8_t)n;
        const job_meta m = {.model = STR("m"), .accepted_us = 1 + n / 2};
        CHECK(take_id(&b, n % 5 ? JOB_RECORD_ASK : JOB_RECORD_ANSWER, &id, &m, 0) == ERR_OK);
        want[n] = job_book_find(&b, &id);
    }
    job_book_sort(&b);
    const job *at = NULL;
    for (size_t n = 0; n < COUNT; n++) {
        CHECK((at = job_book_behind(&b, at)) == want[n] && at->all_prev == (n ? want[n - 1] : NULL));
        if (n % 5) CHECK(job_book_next(&b, 1, 1) == want[n]);
        CHECK(job_book_later(&b, 1 + n / 2, &want[n]->id) == (n + 1 < COUNT ? want[n + 1] : NULL));
    }
    CHECK(!job_book_behind(&b, at) && !job_book_next(&b, 1, 1));
    CHECK_U64(job_book_oldest_us(&b), 1);
    job_book_forget(&b, want[1]);   /* the one before has ended */
    CHECK_U64(job_book_oldest_us(&b), 2);
    job_book_fini(&b);
}

/* Answers that were put again lie behind newer ones, and some ended before others that were accepted before them. */
static void behind_a_start_they_go_in_the_order_of_their_ends(void)
{
    static const int ended[] = {0, 40, 10, 30, 20}, order[] = {2, 4, 3, 1};
    job_book b;
    job_book_init(&b, &limits, 1);
    b.starting = true;
    for (int i = 4; i >= 1; i--) {
        const job_meta m = {.model = STR("m"), .status = 200, .accepted_us = (uint64_t)i,
                            .ended_us = 5000000 + (uint64_t)ended[i]};
        CHECK(take(&b, JOB_RECORD_ANSWER, i, &m, 100) == ERR_OK);
    }
    end(&b, 3, 500, "http://h", 100);   /* moved: what it was stays */
    CHECK(get(&b, 3)->state == JOB_DONE && get(&b, 3)->hook == JOB_HOOK_NONE && b.ended[0] == 4 && b.ended[1] == 0);
    job_book_sort(&b);
    for (size_t i = 0; i < COUNTOF(order); i++) {
        job *j = get(&b, order[i]);
        uint64_t due = 1000 + (uint64_t)ended[order[i]];
        CHECK(job_book_due_us(&b, 0) == due && !job_book_expired(&b, due - 1) && job_book_expired(&b, due) == j);
        job_book_forget(&b, j);
    }
    for (int i = 1; i <= 2; i++) ask(&b, i, "");
    end(&b, 2, 200, "", 200);
    end(&b, 1, 200, "", 100);
    CHECK(job_book_expired(&b, 5000) == get(&b, 1));
    job_book_fini(&b);
}

static err_code one_job(err *e)
{
    static const char nothing[43] = {1};   /* a meta in which all is empty */
    const job_record r = {.kind = JOB_RECORD_ASK, .id = id_of(1), .meta = {nothing, sizeof nothing}};
    const job_place at = {.bytes = 1};
    job_book b;
    job_book_init(&b, &limits, 1);
    err_code rc = job_book_take(&b, &r, &at, 0, 0, e);
    CHECK(b.count == (rc == ERR_OK));
    job_book_fini(&b);
    return rc;
}

static void no_failure_leaks(void)
{
    err e;
    CHECK(one_job(&e) == ERR_OK);
    FAULT_SWEEP((void)!one_job(&e));
}

int main(void)
{
    static const test_case cases[] = {TEST(they_run_in_order_and_so_many_at_a_time),
                                      TEST(what_is_refused_for_the_moment_rests_longer_each_time),
                                      TEST(what_the_disk_did_not_take_rests_longer_each_time_and_was_no_try),
                                      TEST(what_is_kept_for_good_is_never_due),
                                      TEST(it_is_bounded_in_number_and_bytes),
                                      TEST(a_hook_is_told_until_it_takes_it_or_is_given_up),
                                      TEST(what_has_ended_is_kept_for_a_while_also_behind_a_start),
                                      TEST(a_clock_that_jumps_costs_no_job_that_waits),
                                      TEST(the_last_record_of_a_job_says_what_it_is),
                                      TEST(behind_a_start_they_are_in_the_order_of_their_acceptance),
                                      TEST(behind_a_start_they_go_in_the_order_of_their_ends),
                                      TEST(no_failure_leaks)};
    return test_main(cases, COUNTOF(cases));
}
