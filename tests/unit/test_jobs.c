/* What was accepted is answered: once each, behind a loss of power too; all that wait share one sync; what the disk
 * does not take is refused and leaves nothing; a run that is refused for the moment comes again; files stay bounded. */
#include "jobs_rig.h"

static void a_job_is_accepted_run_and_kept_until_it_is_forgotten(void)
{
    err e;
    CHECK(begin(1 << 20, &e) == ERR_OK);
    start();
    order(0, JOB_ORDER_SUBMIT, "one");
    wait_all();
    CHECK(!orders[0].mail.failure.code && orders[0].view.accepted_us > 0);
    CHECK(ended(0)->state == JOB_DONE && orders[0].view.status == 200 && str_is(str_of(orders[0].view.model), "m"));
    CHECK(orders[0].view.accepted_us <= orders[0].view.started_us);
    for (int life = 0; life < 2; life++) {
        job_meta m;
        order(0, JOB_ORDER_RESULT, NULL);
        wait_all();
        CHECK(str_is(orders[0].answer.body, "answer to one") && job_meta_read(orders[0].answer.meta, &m));
        CHECK(m.header_count == 1 && str_is(m.headers[0].value, "text/plain") && m.status == 200);
        end();
        CHECK(begin(1 << 20, &e) == ERR_OK);
        start();
    }
    CHECK_U64(runs, 1);
    order(1, JOB_ORDER_LIST, NULL);
    wait_all();
    CHECK(orders[1].list_count == 1 && !orders[1].list_more);
    order(0, JOB_ORDER_FORGET, NULL);
    wait_all();
    CHECK(!orders[0].mail.failure.code);
    order(0, JOB_ORDER_FORGET, NULL);
    wait_all();
    CHECK(orders[0].mail.failure.code == ERR_NOT_FOUND && orders[0].status == 404);
    end();
    CHECK(begin(1 << 20, &e) == ERR_OK);
    jobs_stats s;
    jobs_stats_read(service, &s);
    CHECK(s.kept == 0 && s.queued == 0);
    end();
    clear();
}

static void all_that_wait_share_one_sync(void)
{
    err e;
    CHECK(begin(1 << 20, &e) == ERR_OK);
    uint64_t before = sys_fake_calls(SYS_sync_data);
    hold_runs = true;
    for (size_t i = 0; i < 100; i++) order(i, JOB_ORDER_SUBMIT, "x");
    start();
    wait_all();
    CHECK_U64(sys_fake_calls(SYS_sync_data) - before, 1);
    end();
    hold_runs = false;
    clear();
}

static void what_the_disk_does_not_take_is_refused_and_leaves_nothing(void)
{
    static const sys_fault faults[] = {{.call = SYS_write_at, .times = SYS_FAKE_EVER, .result = -ENOSPC},
                                       {.call = SYS_sync_data, .times = SYS_FAKE_EVER, .result = -EIO},
                                       {.call = SYS_sync, .times = SYS_FAKE_EVER, .result = -EIO}};
    for (size_t f = 0; f < COUNTOF(faults); f++) {
        err e;
        CHECK(begin(1 << 20, &e) == ERR_OK);
        sys_fake_script(&faults[f], 1);
        order(0, JOB_ORDER_SUBMIT, "x");
        order(1, JOB_ORDER_SUBMIT, "y");
        start();
        wait_all();
        for (size_t i = 0; i < 2; i++) CHECK(orders[i].mail.failure.code && orders[i].status == 507);
        sys_fake_script(NULL, 0);
        order(2, JOB_ORDER_SUBMIT, "z");
        wait_all();
        CHECK(!orders[2].mail.failure.code && ended(2)->state == JOB_DONE);
        CHECK_U64(runs, 1);
        end();
        clear();
    }
}

/* The clock is the test's: who waits is at the end of it at once. */
static void a_run_refused_for_the_moment_comes_again_and_its_last_refusal_counts(void)
{
    static const uint32_t statuses[] = {429, 503, 404};
    err e;
    keep_us = UINT64_MAX;
    for (size_t i = 0; i < 2 * COUNTOF(statuses); i++) {
        size_t times = i % 2 ? JOB_RUNS_MAX : 1;
        refused_as = statuses[i / 2];
        sys_fake_clock_set(1000000000);
        CHECK(begin(1 << 20, &e) == ERR_OK);
        refuse_runs = times;
        start();
        order(0, JOB_ORDER_SUBMIT, "x");
        wait_all();
        CHECK(ended(0)->status == (times == JOB_RUNS_MAX ? refused_as : 200u));
        CHECK_U64(runs, times == JOB_RUNS_MAX ? JOB_RUNS_MAX : times + 1);
        end();
        sys_fake_clock_set(0);
        clear();
    }
    refuse_runs = 0;
    keep_us = KEEP_US;
}

/* What came to the thread, which the test is itself. */
static void read_mail(void)
{
    mail *next;
    for (mail *m = mailbox_take(&service->in); m; m = next) {
        next = m->next;
        jobs_mail(service, (job_mail *)(void *)m);
    }
}

/* What the thread does, by the test; the runs of its loop, too. */
static void turns(size_t count)
{
    for (; count; count--) {
        jobs_start_runs(service);
        loop_flush(on);
        read_mail();
        (void)jobs_sync(service);
        jobs_make_room(service);
    }
}

/* Such a one would be run again and again, as there is never room for it. */
static void an_answer_may_not_be_larger_than_all_files_together(void)
{
    err e;
    CHECK(begin(1 << 20, &e) == ERR_OK);
    hold_runs = true;
    order(0, JOB_ORDER_SUBMIT, "x");
    turns(2);
    CHECK(held && buf_room(&held->reply, 1 << 19) && !buf_room(&held->reply, (1 << 20) + 1));
    wait_all();
    end();
    hold_runs = false;
    clear();
}

static void those_that_come_at_once_are_counted_together(void)
{
    err e;
    CHECK(begin(8 << 20, &e) == ERR_OK);
    hold_runs = true;
    for (size_t i = 0; i < 510; i++) order(i, JOB_ORDER_SUBMIT, "x");   /* 500 are its limit */
    start();
    wait_all();
    for (size_t i = 0; i < 510; i++) CHECK_U64((uint64_t)orders[i].status, i < 500 ? 200 : 429);
    end();
    hold_runs = false;
    clear();
}

static void what_had_not_ended_is_run_again_behind_a_start(void)
{
    err e;
    CHECK(begin(1 << 20, &e) == ERR_OK);
    hold_runs = true;
    start();
    for (size_t i = 0; i < 5; i++) order(i, JOB_ORDER_SUBMIT, "x");
    wait_all();
    end();
    hold_runs = false;
    runs = 0;
    CHECK(begin(1 << 20, &e) == ERR_OK);
    start();
    for (size_t i = 0; i < 5; i++) CHECK(ended(i)->state == JOB_DONE);
    CHECK_U64(runs, 5);
    CHECK_STR(seen, "/v2/models/m/infer");
    end();
    clear();
}

/* Their records are put again, last job first, and the file that had them goes. */
static void turn_the_log(size_t count)
{
    buf bytes;
    job_record r;
    err e;
    buf_init(&bytes, 10000);
    for (size_t i = count; i-- > 0;) {
        const job *of = job_book_find(&service->book, &orders[i].id);
        job_place at;
        CHECK(of && job_store_read(service->store, &of->at, &bytes, &r, &e) == ERR_OK);
        CHECK(job_store_put(service->store, &r, &at, &e) == ERR_OK);
    }
    CHECK(job_store_sync(service->store, &e) == ERR_OK && job_store_drop_oldest(service->store, &e) == ERR_OK);
    buf_fini(&bytes);
}

/* The clock stands: who comes behind a start comes later all the same. */
static void behind_a_start_jobs_are_in_the_order_of_their_acceptance(void)
{
    err e;
    keep_us = UINT64_MAX;
    sys_fake_clock_set(1000000000);
    for (size_t life = 0; life < 3; life++) {
        CHECK(begin(1 << 20, &e) == ERR_OK);
        jobs_leave(service);
        if (life == 1) turn_the_log(3);
        if (life != 1) start();
        for (size_t i = 0; i < 3 && life != 1; i++) order(3 * (life / 2) + i, JOB_ORDER_SUBMIT, "x");
        wait_all();
        if (life < 2) end();
    }
    order(9, JOB_ORDER_LIST, NULL);
    wait_all();
    const job_view *views = (const job_view *)(const void *)orders[9].bytes.p;
    CHECK_U64(orders[9].list_count, 6);
    for (size_t i = 0; i < orders[9].list_count; i++) CHECK_U64(views[i].accepted_us, 1000000 + i);
    end();
    sys_fake_clock_set(0);
    keep_us = KEEP_US;
    clear();
}

static void who_leaves_begins_no_run_and_still_accepts(void)
{
    err e;
    CHECK(begin(1 << 20, &e) == ERR_OK);
    start();
    jobs_leave(service);
    order(0, JOB_ORDER_SUBMIT, "x");
    wait_all();
    order(0, JOB_ORDER_SHOW, NULL);
    wait_all();
    CHECK(orders[0].view.state == JOB_QUEUED && runs == 0);
    jobs_stop(service);
    order(1, JOB_ORDER_SUBMIT, "x");   /* nobody is there any more: refused at once */
    wait_all();
    CHECK(orders[1].mail.failure.code == ERR_UNAVAILABLE && orders[1].status == 503);
    end();
    clear();
}

static char large[40000];

/* A large job comes and goes.  Where the disk cannot be read while it goes nothing is moved. */
static void large_passes(bool reads)
{
    static const sys_fault fault = {SYS_read_at, .times = SYS_FAKE_EVER, .result = -EIO};
    order_bytes(9, JOB_ORDER_SUBMIT, (str){large, sizeof large});
    wait_all();
    CHECK(!orders[9].mail.failure.code);
    ended(9);
    if (!reads) sys_fake_script(&fault, 1);
    order(9, JOB_ORDER_FORGET, NULL);
    wait_all();
    order(9, JOB_ORDER_SHOW, NULL);
    wait_all();
    if (!reads) sys_fake_script(NULL, 0);
}

/* Ten times what the files may hold goes through them, and a few that are old stay as they are. */
static void files_stay_bounded_and_what_is_kept_is_moved(void)
{
    err e;
    jobs_stats s;
    uint64_t most = 0;
    memset(large, 'x', sizeof large);
    sys_fake_script((sys_fault[]){{SYS_sync, .times = SYS_FAKE_EVER}, {SYS_sync_data, .times = SYS_FAKE_EVER}}, 2);
    CHECK(begin(1 << 20, &e) == ERR_OK);
    start();
    hook = "http://nowhere.example/";   /* which is not allowed: given up at once */
    for (size_t i = 0; i < 3; i++) order(i, JOB_ORDER_SUBMIT, "kept");
    wait_all();
    hook = "";
    for (size_t i = 0; i < 250; i++) {
        large_passes(true);
        jobs_stats_read(service, &s);
        if (s.file_bytes > most) most = s.file_bytes;
    }
    CHECK(most > 200000 && most < 1 << 20);
    CHECK_U64(s.untold, 3);
    end();
    CHECK(begin(1 << 20, &e) == ERR_OK);
    start();
    for (size_t i = 0; i < 20; i++) large_passes(false);
    jobs_stats_read(service, &s);
    CHECK_U64(s.untold, 0);   /* nobody was told of them once more */
    end();
    CHECK(begin(1 << 20, &e) == ERR_OK);
    start();
    for (size_t i = 0; i < 3; i++) {
        order(i, JOB_ORDER_RESULT, NULL);
        wait_all();
        CHECK(str_is(orders[i].answer.body, "answer to kept") && orders[i].view.hook == JOB_HOOK_GIVEN_UP);
    }
    CHECK_U64(runs, 273);
    end();
    sys_fake_script(NULL, 0);
    clear();
}

static void a_damaged_answer_is_an_error_also_when_its_file_has_gone(void)
{
    err e;
    jobs_stats s;
    struct stat st;
    memset(large, 'x', sizeof large);
    CHECK(begin(1 << 20, &e) == ERR_OK);
    start();
    order(0, JOB_ORDER_SUBMIT, "kept");
    wait_all();
    ended(0);
    const char *path = power_path("0000000001.jobs");
    FILE *f = fopen(path, "r+b");
    CHECK(f && fseek(f, -1, SEEK_END) == 0 && fputc('X', f) == 'X');
    if (f) fclose(f);
    for (size_t i = 0; i < 40; i++) large_passes(true);
    CHECK(stat(power_path("0000000001.jobs"), &st) != 0);
    order(0, JOB_ORDER_RESULT, NULL);
    wait_all();
    CHECK(orders[0].mail.failure.code == ERR_INVALID && orders[0].status == 500);
    jobs_stats_read(service, &s);
    CHECK_U64(s.lost, 1);
    end();
    clear();
}

/* A full disk keeps its oldest file, and the damage in it, until there is room; then it is told, once. */
static void a_damaged_answer_is_counted_once_however_often_its_file_cannot_go(void)
{
    static const sys_fault stays[] = {{.call = SYS_unlink, .times = SYS_FAKE_EVER, .result = -EIO}};
    err e;
    jobs_stats s;
    CHECK(begin(1 << 20, &e) == ERR_OK);
    start();
    order(0, JOB_ORDER_SUBMIT, "kept");
    wait_all();
    ended(0);
    jobs_stop(service);
    loop_flush(on);
    const char *path = power_path("0000000001.jobs");
    FILE *f = fopen(path, "r+b");
    CHECK(f && fseek(f, -1, SEEK_END) == 0 && fputc('X', f) == 'X');
    if (f) fclose(f);
    const job_record large_one = {.kind = JOB_RECORD_FORGET, .body = {large, sizeof large}};
    for (size_t i = 0; i < 8; i++) {   /* further files, so that the oldest one is to go */
        job_place at;
        CHECK(job_store_put(service->store, &large_one, &at, &e) == ERR_OK);
        CHECK(job_store_sync(service->store, &e) == ERR_OK);
    }
    for (int left = 3; left >= 0; left--) {
        sys_fake_script(left ? stays : NULL, left ? 1 : 0);
        service->look_us = 0;
        jobs_make_room(service);
        jobs_stats_read(service, &s);
        CHECK_U64(s.lost, left ? 0 : 1);
        CHECK_U64(said("damaged", NULL), left ? 0 : 1);
    }
    end();
    clear();
}

/* ---- a disk that is full ---- */

static const sys_fault no_room = {.call = SYS_write_at, .times = SYS_FAKE_EVER, .result = -ENOSPC};

static size_t file_count(void)
{
    size_t count = 0;
    DIR *d = opendir(test_folder);
    for (struct dirent *one; d && (one = readdir(d)) != NULL;) count += one->d_name[0] != '.';
    if (d) closedir(d);
    return count;
}

/* Small records find room between large ones that do not. */
static void a_disk_that_is_nearly_full_is_told_once(void)
{
    err e;
    keep_us = UINT64_MAX;
    sys_fake_clock_set(10000000000);
    CHECK(begin(1 << 20, &e) == ERR_OK);
    for (uint64_t i = 0; i < 20; i++) {
        sys_fake_clock_set(10000000000 + i * JOBS_LOOK_US / 2 * 1000);
        order(0, JOB_ORDER_SUBMIT, "small");
        read_mail();
        sys_fake_script(&no_room, 1);
        order(1, JOB_ORDER_SUBMIT, "large");
        read_mail();
        sys_fake_script(NULL, 0);
        wait_all();
        CHECK(orders[0].status == 200 && orders[1].status == 507);
        CHECK(service->failing && service->look_us > clock_now_us());   /* it looked for room, or did just now */
    }
    CHECK_U64(said("No space left on device; jobs may be refused until that works again", NULL), 1);
    CHECK_U64(said("takes them again", NULL), 0);
    for (int asked = 0; asked < 2; asked++) {   /* it has worked since, and somebody asks then or nobody */
        order(2, JOB_ORDER_SUBMIT, "small");
        read_mail();
        CHECK(jobs_sync(service) == ERR_OK && service->failing);
        wait_all();
        sys_fake_clock_set(clock_now_us() * 1000 + (uint64_t)JOBS_LOOK_US * 1000);
        if (asked) order(2, JOB_ORDER_SUBMIT, "small");
        read_mail();
        CHECK(jobs_sync(service) == ERR_OK);
        if (!asked) jobs_make_room(service);
        wait_all();
        CHECK(!service->failing && said("takes them again", NULL) == (asked ? 2 : 1));
        jobs_failing(service, &(err){.text = "broken"});
    }
    sys_fake_clock_set(clock_now_us() * 1000 + (uint64_t)JOBS_LOOK_US * 1000);
    jobs_make_room(service);
    CHECK(service->failing);   /* nothing has worked since */
    end();
    sys_fake_clock_set(0);
    keep_us = KEEP_US;
    clear();
}

/* What runs then is for nothing, and takes time from live requests. */
static void while_the_disk_takes_no_answer_one_run_in_a_while_tries_it(void)
{
    static const sys_fault faults[] = {{.call = SYS_write_at, .times = SYS_FAKE_EVER, .result = -ENOSPC},
                                       {.call = SYS_sync_data, .times = SYS_FAKE_EVER, .result = -EIO}};
    enum { COUNT = 30, STEPS = 20 };
    keep_us = UINT64_MAX;
    for (size_t f = 0; f < COUNTOF(faults); f++) {
        err e;
        uint64_t now = 1000000000;
        sys_fake_clock_set(now);
        CHECK(begin(1 << 20, &e) == ERR_OK);
        for (size_t i = 0; i < COUNT; i++) order(i, JOB_ORDER_SUBMIT, "x");
        read_mail();
        CHECK(jobs_sync(service) == ERR_OK);
        wait_all();
        sys_fake_script(&faults[f], 1);
        for (size_t i = 0; i < STEPS; i++, now += (uint64_t)JOBS_LOOK_US * 1000 / 4) {
            sys_fake_clock_set(now);
            turns(10);
        }
        CHECK_U64(runs, 2 + STEPS / 4 - 1);   /* two at a time, before that was known */
        CHECK_U64(service->book.of[JOB_QUEUED], COUNT);
        for (const job *at = NULL; (at = job_book_behind(&service->book, at));) CHECK_U64(at->tries, 0);
        sys_fake_script(NULL, 0);
        for (size_t i = 0; i < 12; i++, now += (uint64_t)JOBS_LOOK_US * 1000 / 4) {
            sys_fake_clock_set(now);
            turns(COUNT);
        }
        CHECK_U64(service->book.of[JOB_DONE], COUNT);
        CHECK_U64(said("takes them again", NULL), 1);
        end();
        clear();
    }
    sys_fake_clock_set(0);
    keep_us = KEEP_US;
}

/* The clock is the test's, and moves when the thread sleeps: one that always has something to do stops it. */
static void who_waits_for_the_disk_sleeps_and_goes_on_by_itself(void)
{
    jobs_stats s = {.done = 0};
    err e;
    keep_us = UINT64_MAX;
    sys_fake_clock_set(1000000000);
    CHECK(begin(1 << 20, &e) == ERR_OK);
    for (size_t i = 0; i < 10; i++) order(i, JOB_ORDER_SUBMIT, "x");
    read_mail();
    CHECK(jobs_sync(service) == ERR_OK);
    wait_all();
    sys_fake_script(&no_room, 1);
    start();
    for (int k = 0; k < 20000 && s.done < 10; k++) {
        loop_flush(on);
        usleep(200);
        if (runs >= 8) sys_fake_script(NULL, 0);
        jobs_stats_read(service, &s);
    }
    CHECK_U64(s.done, 10);
    end();
    sys_fake_clock_set(0);
    keep_us = KEEP_US;
    clear();
}

/* The clock is the test's: a thread that sleeps with a deadline is at the end of it at once. */
static void files_whose_jobs_are_over_go_whatever_the_disk_says(void)
{
    for (int asked = 0; asked < 2; asked++) {
        err e;
        sys_fake_clock_set(1000000000);
        CHECK(begin(1 << 20, &e) == ERR_OK);
        start();
        for (size_t i = 0; i < 3; i++) order(i, JOB_ORDER_SUBMIT, "x");
        wait_all();
        for (size_t i = 0; i < 3; i++) ended(i);
        CHECK_U64(file_count(), 1);
        sys_fake_script(&no_room, 1);
        order(3, JOB_ORDER_SUBMIT, "y");
        wait_all();
        CHECK_U64((uint64_t)orders[3].status, 507);
        for (int k = 0; k < 20000 && file_count(); k++) {
            if (asked) order(3, JOB_ORDER_SUBMIT, "y");
            wait_all();
            usleep(200);
        }
        CHECK_U64(file_count(), 0);
        sys_fake_script(NULL, 0);
        order(3, JOB_ORDER_SUBMIT, "y");
        wait_all();
        CHECK(!orders[3].mail.failure.code);
        CHECK(ended(3)->state == JOB_DONE || orders[3].status == 404);   /* ... or forgotten meanwhile */
        CHECK_U64(runs, 4);
        end();
        sys_fake_clock_set(0);
        clear();
    }
}

/* Without room for a record a job is forgotten with its file, or not at all. */
static void a_job_is_forgotten_on_a_full_disk_where_its_file_can_go(void)
{
    err e;
    CHECK(begin(1 << 20, &e) == ERR_OK);
    start();
    for (size_t i = 0; i < 2; i++) order(i, JOB_ORDER_SUBMIT, "x");
    wait_all();
    for (size_t i = 0; i < 2; i++) ended(i);
    sys_fake_script(&no_room, 1);
    order(0, JOB_ORDER_FORGET, NULL);
    wait_all();
    CHECK(orders[0].status == 507 && orders[0].mail.failure.code && ended(0)->state == JOB_DONE);
    sys_fake_script(NULL, 0);
    order(0, JOB_ORDER_FORGET, NULL);
    wait_all();
    CHECK(!orders[0].mail.failure.code);
    sys_fake_script(&no_room, 1);
    order(1, JOB_ORDER_FORGET, NULL);
    wait_all();
    CHECK(!orders[1].mail.failure.code && orders[1].status == 200);
    CHECK_U64(file_count(), 0);
    sys_fake_script(NULL, 0);
    end();
    CHECK(begin(1 << 20, &e) == ERR_OK);
    CHECK_U64(service->book.count, 0);
    end();
    clear();
}

/* A job is accepted where room could be made for it. */
static void what_finds_no_room_is_put_again_when_some_was_made(void)
{
    const sys_fault once = {.call = SYS_write_at, .times = 1, .result = -ENOSPC};
    err e;
    CHECK(begin(1 << 20, &e) == ERR_OK);
    start();
    for (size_t i = 0; i < 2; i++) {
        if (i) sys_fake_script(&once, 1);
        order(i, JOB_ORDER_SUBMIT, "x");
        wait_all();
        CHECK(!orders[i].mail.failure.code && orders[i].status == 200);
    }
    sys_fake_script(NULL, 0);
    end();
    clear();
}

/* ---- forgotten while it runs ---- */

static void who_can_begin_no_run_sleeps(void)
{
    err e;
    CHECK(begin(1 << 20, &e) == ERR_OK);
    hold_runs = true;
    start();
    for (size_t i = 0; i < 3; i++) order(i, JOB_ORDER_SUBMIT, "x");   /* two run at a time */
    wait_all();
    order(0, JOB_ORDER_FORGET, NULL);
    wait_all();
    CHECK(!orders[0].mail.failure.code && sys_fake_await_asleep(1, 1000000000));
    end();
    hold_runs = false;
    clear();
}

static void who_could_not_be_forgotten_while_its_run_ended_is_run_again(void)
{
    static const sys_fault fault = {.call = SYS_sync_data, .times = SYS_FAKE_EVER, .result = -EIO};
    for (int ends = 0; ends < 2; ends++) {
        err e;
        CHECK(begin(1 << 20, &e) == ERR_OK);
        hold_runs = true;
        held = NULL;
        order(0, JOB_ORDER_SUBMIT, "x");
        read_mail();
        CHECK(jobs_sync(service) == ERR_OK);
        jobs_start_runs(service);
        wait_all();
        loop_flush(on);
        CHECK(held && service->run_count == 1);
        job_id id = orders[0].id;
        order(0, JOB_ORDER_FORGET, NULL);
        if (ends && held) jobs_ran(held);
        read_mail();
        sys_fake_script(&fault, 1);
        CHECK(jobs_sync(service) != ERR_OK);
        sys_fake_script(NULL, 0);
        wait_all();
        const job *of = job_book_find(&service->book, &id);
        CHECK(orders[0].status == 507 && of && !of->going);
        CHECK(of && of->state == (ends ? JOB_QUEUED : JOB_RUNNING) && service->run_count == (ends ? 0u : 1u));
        end();
        hold_runs = false;
        clear();
    }
}

/* One life of a machine that ends without power: which orders were accepted stays true. */
static void live(uint64_t *seed, size_t from, size_t to, bool accepted[ORDERS_MAX])
{
    err e;
    CHECK(begin(1 << 20, &e) == ERR_OK);
    for (size_t i = 0; i < from; i++) {
        order(i, JOB_ORDER_SHOW, NULL);
        waits = 0;   /* it is asked below, once the thread runs */
    }
    power_cut_in((long)(test_rand(seed) >> 33) % 10);
    start();
    waits = from;
    wait_all();
    for (size_t i = 0; i < from; i++) CHECK(!accepted[i] || !orders[i].mail.failure.code);
    for (size_t i = from; i < to; i += 3) {
        for (size_t k = i; k < to && k < i + 3; k++) order(k, JOB_ORDER_SUBMIT, "x");
        wait_all();
        for (size_t k = i; k < to && k < i + 3; k++) accepted[k] = !orders[k].mail.failure.code;
    }
    end();
}

static void no_loss_of_power_loses_an_accepted_job(void)
{
    for (uint64_t round = 1; round <= 100; round++) {
        uint64_t seed = round * 0x9E3779B97F4A7C15;
        bool accepted[ORDERS_MAX] = {false};
        size_t count = 0;
        int before = test_failures;
        err e;
        for (size_t life = 0; life < 3; life++) {
            power_on();
            live(&seed, life * 12, life * 12 + 12, accepted);
            power_loss(&seed);
        }
        sys_fake_script((sys_fault[]){{SYS_sync, .times = SYS_FAKE_EVER}, {SYS_sync_data, .times = SYS_FAKE_EVER}}, 2);
        CHECK(begin(1 << 20, &e) == ERR_OK);
        start();
        for (size_t i = 0; i < 36; i++) {
            if (!accepted[i]) continue;
            count++;
            CHECK(ended(i)->state == JOB_DONE);
        }
        end();
        sys_fake_script(NULL, 0);
        clear();
        if (test_failures == before) continue;
        printf("# seed: round %d, %d accepted\n", (int)round, (int)count);
        return;
    }
}

static void no_failure_leaks(void)
{
    err e;
    FAULT_SWEEP({
        if (begin(1 << 20, &e) == ERR_OK) end();
    });
    SYS_SWEEP(-EIO, {
        if (begin(1 << 20, &e) == ERR_OK) end();
    });
}

int main(void)
{
    static const test_case cases[] = {TEST(a_job_is_accepted_run_and_kept_until_it_is_forgotten),
                                      TEST(all_that_wait_share_one_sync),
                                      TEST(what_the_disk_does_not_take_is_refused_and_leaves_nothing),
                                      TEST(a_run_refused_for_the_moment_comes_again_and_its_last_refusal_counts),
                                      TEST(an_answer_may_not_be_larger_than_all_files_together),
                                      TEST(those_that_come_at_once_are_counted_together),
                                      TEST(what_had_not_ended_is_run_again_behind_a_start),
                                      TEST(behind_a_start_jobs_are_in_the_order_of_their_acceptance),
                                      TEST(who_leaves_begins_no_run_and_still_accepts),
                                      TEST(files_stay_bounded_and_what_is_kept_is_moved),
                                      TEST(a_damaged_answer_is_an_error_also_when_its_file_has_gone),
                                      TEST(a_damaged_answer_is_counted_once_however_often_its_file_cannot_go),
                                      TEST(a_disk_that_is_nearly_full_is_told_once),
                                      TEST(while_the_disk_takes_no_answer_one_run_in_a_while_tries_it),
                                      TEST(who_waits_for_the_disk_sleeps_and_goes_on_by_itself),
                                      TEST(files_whose_jobs_are_over_go_whatever_the_disk_says),
                                      TEST(a_job_is_forgotten_on_a_full_disk_where_its_file_can_go),
                                      TEST(what_finds_no_room_is_put_again_when_some_was_made),
                                      TEST(who_can_begin_no_run_sleeps),
                                      TEST(who_could_not_be_forgotten_while_its_run_ended_is_run_again),
                                      TEST(no_loss_of_power_loses_an_accepted_job),
                                      TEST(no_failure_leaks)};
    return jobs_rig_main(cases, COUNTOF(cases));
}
