/* What was synced is there behind a loss of power at any moment; a full or failing disk costs the record that it
 * refused and nothing else; files go away one by one, oldest first. */
#include "base/mem.h"
#include "jobs/job_store.h"
#include "power.h"

enum { RECORDS_MAX = 400, SEGMENT = 4096 };

/* What a reader found: how often each record (by its number in the id) is there. */
typedef struct {
    int seen[RECORDS_MAX];
    job_place at[RECORDS_MAX];
    int wrong;
} found_all;

static size_t body_of(int i, char body[4000])
{
    size_t len = (size_t)(i * 131 % 2500);
    for (size_t k = 0; k < len; k++) body[k] = (char)(i + (int)k);
    return len;
}

static job_record record(int i, char body[4000])
{
    job_record r = {.kind = JOB_RECORD_ASK, .meta = STR("meta"), .body = {body, body_of(i, body)}};
    memset(r.id.bytes, 0, sizeof r.id.bytes);
    r.id.bytes[0] = (uint8_t)i;
    r.id.bytes[1] = (uint8_t)(i >> 8);
    return r;
}

static bool is(const job_record *r, int i)
{
    char body[4000];
    job_record want = record(i, body);
    return r->kind == want.kind && str_eq(r->meta, want.meta) && str_eq(r->body, want.body);
}

static err_code found(void *ctx, const job_record *r, const job_place *at, err *e)
{
    found_all *f = ctx;
    (void)e;
    int i = r->id.bytes[0] | r->id.bytes[1] << 8;
    if (i >= RECORDS_MAX || !is(r, i)) {
        f->wrong++;
        return ERR_OK;
    }
    f->seen[i]++;
    f->at[i] = *at;
    return ERR_OK;
}

static err_code open_store(job_store **s, found_all *f, err *e)
{
    *f = (found_all){.wrong = 0};
    return job_store_open(s, &(job_store_opts){test_folder, SEGMENT, found, f}, e);
}

static err_code put(job_store *s, int i, job_place *ret, err *e)
{
    char body[4000];
    job_record r = record(i, body);
    return job_store_put(s, &r, ret, e);
}

static void clear_folder(void)
{
    job_store *s;
    found_all f;
    err e;
    uint32_t oldest;
    CHECK(open_store(&s, &f, &e) == ERR_OK);
    while (job_store_oldest(s, &oldest)) CHECK(job_store_drop_oldest(s, &e) == ERR_OK);
    CHECK_U64(job_store_bytes(s), 0);
    job_store_free(s);
}

static void what_was_put_is_read_by_place_and_when_it_is_opened_again(void)
{
    job_store *s, *second;
    found_all f, g;
    job_place at[20];
    job_record r;
    buf b;
    err e;
    buf_init(&b, 1 << 20);
    CHECK(open_store(&s, &f, &e) == ERR_OK);
    CHECK(open_store(&second, &g, &e) == ERR_CONFLICT && strstr(e.text, "got one in use"));
    for (int i = 0; i < 20; i++) {
        CHECK(put(s, i, &at[i], &e) == ERR_OK);
        if (i % 3 == 0) CHECK(job_store_sync(s, &e) == ERR_OK);
    }
    for (int i = 0; i < 20; i++) CHECK(job_store_read(s, &at[i], &b, &r, &e) == ERR_OK && is(&r, i));
    CHECK(at[19].segment > 2);
    CHECK(job_store_sync(s, &e) == ERR_OK);
    uint64_t bytes = job_store_bytes(s);
    job_store_free(s);
    CHECK(open_store(&s, &f, &e) == ERR_OK);
    for (int i = 0; i < RECORDS_MAX; i++) CHECK_U64((uint64_t)f.seen[i], i < 20);
    CHECK_U64(job_store_bytes(s), bytes);
    CHECK_U64(job_store_damaged(s), 0);
    CHECK(job_store_read(s, &f.at[7], &b, &r, &e) == ERR_OK && is(&r, 7));
    job_store_free(s);
    buf_fini(&b);
    clear_folder();
}

static void a_full_disk_costs_the_record_that_it_refused(void)
{
    job_store *s;
    found_all f;
    job_place at;
    err e;
    CHECK(open_store(&s, &f, &e) == ERR_OK);
    for (int i = 0; i < 12; i++) {
        bool full = i % 3 == 1;
        uint64_t bytes = job_store_bytes(s);
        /* its head is written, of its body 100 bytes: then the disk is full */
        const sys_fault rows[] = {{SYS_write_at, .skip = 1, .times = 1, .result = 100, .then = NULL},
                                  {SYS_write_at, .skip = 1, .times = SYS_FAKE_EVER, .result = -ENOSPC, .then = NULL}};
        if (full) sys_fake_script(rows, 2);
        err_code rc = put(s, i, &at, &e);
        sys_fake_script(NULL, 0);
        CHECK((rc != ERR_OK) == full);
        if (full) CHECK(strstr(e.text, "No space left") && job_store_bytes(s) == bytes);
        if (i % 4 == 0) CHECK(job_store_sync(s, &e) == ERR_OK);
    }
    CHECK(job_store_sync(s, &e) == ERR_OK);
    job_store_free(s);
    CHECK(open_store(&s, &f, &e) == ERR_OK);
    for (int i = 0; i < 12; i++) CHECK_U64((uint64_t)f.seen[i], i % 3 != 1);
    CHECK_U64(job_store_damaged(s), 0);
    job_store_free(s);
    clear_folder();
}

static void what_cannot_be_synced_is_taken_back_and_the_next_goes_to_a_new_file(void)
{
    static const sys_call which[] = {SYS_sync_data, SYS_sync};
    for (size_t k = 0; k < COUNTOF(which); k++) {
        job_store *s;
        found_all f;
        job_place at, later;
        err e;
        CHECK(open_store(&s, &f, &e) == ERR_OK);
        CHECK(put(s, 1, &at, &e) == ERR_OK && put(s, 2, &at, &e) == ERR_OK);
        sys_fake_script((sys_fault[]){{which[k], .times = 1, .result = -EIO}}, 1);
        CHECK(job_store_sync(s, &e) != ERR_OK && strstr(e.text, "cannot sync"));
        sys_fake_script(NULL, 0);
        CHECK_U64(job_store_bytes(s), 0);
        CHECK(put(s, 3, &later, &e) == ERR_OK && later.segment == at.segment + 1);
        CHECK(job_store_sync(s, &e) == ERR_OK);
        job_store_free(s);
        CHECK(open_store(&s, &f, &e) == ERR_OK);
        CHECK(!f.seen[1] && !f.seen[2] && f.seen[3] == 1);
        job_store_free(s);
        clear_folder();
    }
}

static void files_go_oldest_first_and_one_by_one(void)
{
    job_store *s;
    found_all f;
    job_place at;
    uint32_t oldest, before = 0;
    err e;
    CHECK(open_store(&s, &f, &e) == ERR_OK);
    CHECK(!job_store_oldest(s, &oldest));
    for (int i = 0; i < 30; i++) CHECK(put(s, i, &at, &e) == ERR_OK && job_store_sync(s, &e) == ERR_OK);
    uint64_t syncs = sys_fake_calls(SYS_sync), removed = sys_fake_calls(SYS_unlink);
    while (job_store_oldest(s, &oldest)) {
        CHECK(oldest > before && oldest != at.segment);
        before = oldest;
        CHECK(job_store_drop_oldest(s, &e) == ERR_OK);
    }
    CHECK(before > 3);
    CHECK_U64(sys_fake_calls(SYS_sync) - syncs, sys_fake_calls(SYS_unlink) - removed);
    /* a removal that may not be durable: no other before it is */
    for (int i = 0; i < 30; i++) CHECK(put(s, i, &at, &e) == ERR_OK && job_store_sync(s, &e) == ERR_OK);
    sys_fake_script((sys_fault[]){{SYS_sync, .times = SYS_FAKE_EVER, .result = -EIO}}, 1);
    CHECK(job_store_drop_oldest(s, &e) == ERR_OK);
    CHECK(job_store_drop_oldest(s, &e) != ERR_OK);
    sys_fake_script(NULL, 0);
    CHECK(job_store_drop_oldest(s, &e) == ERR_OK);
    job_store_free(s);
    clear_folder();
}

/* A file that is as long as the one before was when it was synced last. */
static void each_file_is_synced_for_itself(void)
{
    job_store *s;
    found_all f;
    job_place at, before = {.segment = 0};
    err e;
    char body[SEGMENT] = {0};
    const job_record r = {.kind = JOB_RECORD_ASK, .body = {body, sizeof body}};
    CHECK(open_store(&s, &f, &e) == ERR_OK);
    for (int i = 0; i < 3; i++) {
        CHECK(job_store_put(s, &r, &at, &e) == ERR_OK && at.segment == before.segment + 1);
        uint64_t syncs = sys_fake_calls(SYS_sync_data);
        CHECK(job_store_sync(s, &e) == ERR_OK);
        CHECK_U64(sys_fake_calls(SYS_sync_data) - syncs, 1);
        before = at;
    }
    job_store_free(s);
    clear_folder();
}

static void a_file_that_is_gone_already_is_dropped(void)
{
    job_store *s;
    found_all f;
    job_place at;
    err e;
    char path[200];
    CHECK(open_store(&s, &f, &e) == ERR_OK);
    for (int i = 0; i < 30; i++) CHECK(put(s, i, &at, &e) == ERR_OK && job_store_sync(s, &e) == ERR_OK);
    uint32_t oldest = 0, next = 0;
    CHECK(job_store_oldest(s, &oldest));
    snprintf(path, sizeof path, "%s/%010u.jobs", test_folder, oldest);
    CHECK(unlink(path) == 0);
    CHECK(job_store_drop_oldest(s, &e) == ERR_OK && job_store_oldest(s, &next) && next > oldest);
    job_store_free(s);
    clear_folder();
}

static void damaged_bytes_are_told_and_the_rest_is_read(void)
{
    job_store *s;
    found_all f;
    job_place at[3];
    job_record r;
    buf b;
    err e;
    char path[200];
    CHECK(open_store(&s, &f, &e) == ERR_OK);
    for (int i = 0; i < 3; i++) CHECK(put(s, i + 1, &at[i], &e) == ERR_OK);
    CHECK(job_store_sync(s, &e) == ERR_OK);
    snprintf(path, sizeof path, "%s/%010u.jobs", test_folder, at[1].segment);
    FILE *file = fopen(path, "r+b");
    CHECK(file && fseek(file, (long)at[1].at + 100, SEEK_SET) == 0 && fputc('?', file) == '?');
    fclose(file);
    buf_init(&b, 1 << 20);
    CHECK(job_store_read(s, &at[1], &b, &r, &e) == ERR_INVALID && strstr(e.text, "damaged"));
    CHECK(job_store_read(s, &at[2], &b, &r, &e) == ERR_OK);
    buf_fini(&b);
    job_store_free(s);
    CHECK(open_store(&s, &f, &e) == ERR_OK);
    CHECK(f.seen[1] && !f.seen[2] && f.seen[3] && !f.wrong);
    CHECK_U64(job_store_damaged(s), 1);
    job_store_free(s);
    char other[200];
    snprintf(other, sizeof other, "%s/%010u.jobs", test_folder, at[1].segment + 7);
    CHECK(rename(path, other) == 0);   /* a file of another number is none of ours */
    CHECK(open_store(&s, &f, &e) == ERR_OK);
    CHECK(!f.seen[1] && !f.seen[3] && !f.wrong);
    CHECK_U64(job_store_unread(s), 1);
    job_store_free(s);
    clear_folder();
}

/* What of a file's head is changed, and what becomes of the file. */
static void a_file_that_cannot_be_read_is_not_removed(void)
{
    static const struct {
        long at[2];
        const char *want;
    } rows[] = {{{7, 39}, "expected a log of jobs of form 1, got another form"}, {{3, 35}, NULL}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        job_store *s = NULL;
        found_all f;
        job_place at;
        err e;
        char path[200], beside[220], want[400];
        CHECK(open_store(&s, &f, &e) == ERR_OK && put(s, 1, &at, &e) == ERR_OK && job_store_sync(s, &e) == ERR_OK);
        job_store_free(TAKE(s));
        snprintf(path, sizeof path, "%s/%010u.jobs", test_folder, at.segment);
        snprintf(beside, sizeof beside, "%s.damaged", path);
        snprintf(want, sizeof want, "%s: %s", path, rows[i].want ? rows[i].want : "");
        FILE *file = fopen(path, "r+b");
        for (size_t k = 0; file && k < 2; k++) CHECK(fseek(file, rows[i].at[k], SEEK_SET) == 0 && fputc('2', file) > 0);
        if (file) fclose(file);
        err_code rc = open_store(&s, &f, &e);
        CHECK(rc == (rows[i].want ? ERR_UNSUPPORTED : ERR_OK) && !f.seen[1]);
        if (rc) CHECK_STR(e.text, want);
        CHECK(access(rows[i].want ? path : beside, F_OK) == 0);
        if (rc == ERR_OK) CHECK(job_store_unread(s) == 1 && put(s, 2, &at, &e) == ERR_OK && at.segment > 1);
        if (rc == ERR_OK) job_store_free(s);
        (void)unlink(rows[i].want ? path : beside);
        clear_folder();
    }
}

/* One life of a machine: puts and syncs until the power is gone.  at_least: what must be there behind it. */
static void live(uint64_t *seed, int first, bool at_least[RECORDS_MAX])
{
    job_store *s;
    found_all f;
    err e;
    bool put_ok[RECORDS_MAX] = {false};
    CHECK(open_store(&s, &f, &e) == ERR_OK);
    CHECK_U64((uint64_t)f.wrong, 0);
    for (int i = 0; i < first; i++) CHECK(!at_least[i] || f.seen[i]);
    power_cut_in((long)(test_rand(seed) >> 33) % 12);
    uint64_t stop = test_rand(seed) >> 33;
    for (int i = first; i < first + 40 && !power_dead; i++) {
        job_place at;
        put_ok[i] = put(s, i, &at, &e) == ERR_OK;
        if ((test_rand(seed) >> 33) % 3) continue;
        bool synced = job_store_sync(s, &e) == ERR_OK;
        for (int k = first; k <= i; k++) {
            at_least[k] = at_least[k] || (synced && put_ok[k]);
            put_ok[k] = false;
        }
        if (stop % 7 == 0 && i == first + 20) break;
    }
    job_store_free(s);
}

static void no_loss_of_power_loses_what_was_synced(void)
{
    for (uint64_t round = 1; round <= 60; round++) {
        uint64_t seed = round * 0x9E3779B97F4A7C15;
        bool at_least[RECORDS_MAX] = {false};
        int before = test_failures;
        for (int life = 0; life < 5; life++) {
            power_on();
            live(&seed, life * 40, at_least);
            power_loss(&seed);
        }
        job_store *s;
        found_all f;
        err e;
        CHECK(open_store(&s, &f, &e) == ERR_OK && !f.wrong);
        for (int i = 0; i < RECORDS_MAX; i++) CHECK(!at_least[i] || f.seen[i]);
        job_store_free(s);
        clear_folder();
        if (test_failures == before) continue;
        printf("# seed: round %d\n", (int)round);
        return;
    }
}

/* Past all that is faked: what one turn of a sweep leaves must not make the next one longer. */
static void wipe(void)
{
    DIR *d = opendir(test_folder);
    for (struct dirent *one; d && (one = readdir(d)) != NULL;)
        if (one->d_name[0] != '.') (void)unlink(power_path(one->d_name));
    if (d) closedir(d);
}

static void no_failure_leaks(void)
{
    found_all f;
    job_place at;
    err e;
    FAULT_SWEEP({
        job_store *s = NULL;
        wipe();
        if (open_store(&s, &f, &e) == ERR_OK && put(s, 1, &at, &e) == ERR_OK) (void)!job_store_sync(s, &e);
        job_store_free(s);
    });
    SYS_SWEEP(-EIO, {
        job_store *s = NULL;
        wipe();
        if (open_store(&s, &f, &e) == ERR_OK && put(s, 1, &at, &e) == ERR_OK) (void)!job_store_sync(s, &e);
        job_store_free(s);
    });
    clear_folder();
}

int main(void)
{
    static const test_case cases[] = {TEST(what_was_put_is_read_by_place_and_when_it_is_opened_again),
                                      TEST(a_full_disk_costs_the_record_that_it_refused),
                                      TEST(what_cannot_be_synced_is_taken_back_and_the_next_goes_to_a_new_file),
                                      TEST(files_go_oldest_first_and_one_by_one),
                                      TEST(each_file_is_synced_for_itself),
                                      TEST(a_file_that_is_gone_already_is_dropped),
                                      TEST(damaged_bytes_are_told_and_the_rest_is_read),
                                      TEST(a_file_that_cannot_be_read_is_not_removed),
                                      TEST(no_loss_of_power_loses_what_was_synced),
                                      TEST(no_failure_leaks)};
    if (!test_folder_open()) return 1;
    int rc = test_main(cases, COUNTOF(cases));
    test_folder_close();
    return rc;
}
