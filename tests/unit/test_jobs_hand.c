/* The folder goes from one process to the next, and all jobs with it: each runs once; who asks the next one waits so
 * long for it, and is told why it is not there. */
#include "jobs_rig.h"

/* The service that was begun, and from now on a second one that waits for its folder. */
static jobs *old_and_heir(void)
{
    err e;
    CHECK(begin(1 << 20, &e) == ERR_OK);
    start();
    jobs *old = service;
    CHECK(begin_as(true, 1 << 20, &e) == ERR_OK && service != old);
    return old;
}

/* One of the two is over; the other goes on. */
static void end_one(jobs *one)
{
    jobs *other = service;
    service = one;
    end();
    service = other;
}

static void ask_old(jobs *old, size_t i, job_mail_kind kind)
{
    jobs *heir = service;
    service = old;
    order(i, kind, "x");
    service = heir;
}

static void a_folder_changes_hands_and_each_job_runs_once(void)
{
    for (int given_first = 0; given_first < 2; given_first++) {
        jobs *old = old_and_heir();
        for (size_t i = 0; i < 20; i++) ask_old(old, i, JOB_ORDER_SUBMIT);
        wait_all();
        if (given_first) jobs_give(old);
        start();
        for (size_t i = 0; i < 20; i++) order(i, JOB_ORDER_SHOW, NULL);   /* they wait for the folder */
        for (size_t i = 20; i < 25; i++) order(i, JOB_ORDER_SUBMIT, "y");
        if (!given_first) jobs_give(old);
        wait_all();
        for (size_t i = 0; i < 25; i++) CHECK(!orders[i].mail.failure.code && ended(i)->state == JOB_DONE);
        CHECK_U64(runs, 25);
        CHECK(jobs_given(old) && !jobs_given(service) && jobs_given(NULL));
        ask_old(old, 30, JOB_ORDER_SUBMIT);
        wait_all();
        CHECK(orders[30].status == 503);
        CHECK_STR(orders[30].mail.failure.text, "jobs: another server has them now: ask once more");
        end_one(old);
        CHECK(ended(3)->state == JOB_DONE);
        end();
        clear();
    }
}

static void a_run_that_takes_longer_than_its_server_begins_anew(void)
{
    keep_us = UINT64_MAX;
    sys_fake_clock_set(1000000000);
    hold_runs = true;
    jobs *old = old_and_heir();
    ask_old(old, 0, JOB_ORDER_SUBMIT);
    do {
        wait_all();
        ask_old(old, 1, JOB_ORDER_SHOW);
    } while (runs == 0);
    wait_all();
    jobs_give(old);
    do {
        ask_old(old, 1, JOB_ORDER_SHOW);
        wait_all();
    } while (orders[1].status != 503);
    CHECK(clock_now_us() >= 1000000 + JOBS_GIVE_US);
    hold_runs = false;
    start();
    CHECK(ended(0)->state == JOB_DONE && orders[0].view.status == 200);
    CHECK_U64(runs, 2);
    end_one(old);
    end();
    sys_fake_clock_set(0);
    keep_us = KEEP_US;
    clear();
}

/* Until the folder's service no longer waits for it. */
static void submit_to_heir(void)
{
    do {
        order(0, JOB_ORDER_SUBMIT, "x");
        wait_all();
    } while (orders[0].status == 503);
}

static void a_folder_that_is_not_given_is_waited_for_so_long(void)
{
    keep_us = UINT64_MAX;
    sys_fake_clock_set(1000000000);
    jobs *old = old_and_heir();
    start();
    order(0, JOB_ORDER_SUBMIT, "x");
    wait_all();
    CHECK(orders[0].status == 503 && clock_now_us() >= 1000000 + JOBS_TAKE_US);
    CHECK_STR(orders[0].mail.failure.text, "jobs: the server before this one has their folder still");
    jobs_give(old);
    submit_to_heir();
    CHECK(ended(0)->state == JOB_DONE);
    end_one(old);
    end();
    sys_fake_clock_set(0);
    keep_us = KEEP_US;
    clear();
}

/* What the disk says to the first orders counts, and not that the folder could be had before. */
static void a_disk_that_fails_when_the_folder_comes_is_told(void)
{
    static const sys_fault fails = {.call = SYS_sync_data, .times = SYS_FAKE_EVER, .result = -EIO};
    size_t good = 0, bad = 0;
    jobs *old = old_and_heir();
    service->held_until_us = 1;   /* who asks has waited long enough */
    for (int given = 0; given < 2; given++) {
        if (given) end_one(old);
        if (given) sys_fake_script(&fails, 1);
        order(0, JOB_ORDER_SUBMIT, "x");
        (void)jobs_hand_turn(service, mailbox_take(&service->in), false);
        wait_all();
        CHECK(orders[0].status == (given ? 507 : 503));
    }
    CHECK_U64(said("takes them again", &good), 1);
    CHECK(said("Input/output error", &bad) == 1 && bad > good && service->failing);
    sys_fake_script(NULL, 0);
    end();
    clear();
}

static void a_folder_that_cannot_be_read_is_refused_as_that(void)
{
    jobs *old = old_and_heir();
    ask_old(old, 0, JOB_ORDER_SUBMIT);
    wait_all();
    end_one(old);
    FILE *f = fopen(power_path("0000000001.jobs"), "r+b");
    for (long at = 7; f && at < 64; at += 32) CHECK(fseek(f, at, SEEK_SET) == 0 && fputc('2', f) > 0);
    if (f) fclose(f);
    start();
    order(1, JOB_ORDER_SUBMIT, "x");
    wait_all();
    CHECK(orders[1].status == 503 && strstr(orders[1].mail.failure.text, "0000000001.jobs: expected a log of jobs of"));
    end();
    clear();
}

static void who_ends_before_it_has_the_folder_refuses_what_waits(void)
{
    jobs *old = old_and_heir();
    order(0, JOB_ORDER_SUBMIT, "x");
    start();
    jobs_stop(service);
    wait_all();
    CHECK(orders[0].status == 503);
    CHECK_STR(orders[0].mail.failure.text, "jobs: the server leaves");
    end();
    service = old;
    end();
    clear();
}

static void only_an_heir_waits(void)
{
    err e;
    CHECK(begin(1 << 20, &e) == ERR_OK);
    jobs *first = service;
    CHECK(begin(1 << 20, &e) == ERR_CONFLICT && service == first);
    FAULT_SWEEP({
        if (begin_as(true, 1 << 20, &e) == ERR_OK) end();
        service = first;
    });
    end();
    clear();
}

int main(void)
{
    static const test_case cases[] = {TEST(a_folder_changes_hands_and_each_job_runs_once),
                                      TEST(a_run_that_takes_longer_than_its_server_begins_anew),
                                      TEST(a_folder_that_is_not_given_is_waited_for_so_long),
                                      TEST(a_disk_that_fails_when_the_folder_comes_is_told),
                                      TEST(a_folder_that_cannot_be_read_is_refused_as_that),
                                      TEST(who_ends_before_it_has_the_folder_refuses_what_waits),
                                      TEST(only_an_heir_waits)};
    return jobs_rig_main(cases, COUNTOF(cases));
}
