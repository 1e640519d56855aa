/* jobs_rig.h - jobs with a folder, a loop and runs of a test's own.
 *
 * For the tests of jobs/: included once by each.  begin() reads the folder, start() starts its thread, end() ends both;
 * order() and wait_all() ask.  The log is kept for said(). */
#ifndef TESTS_JOBS_RIG_H
#define TESTS_JOBS_RIG_H
#include "base/log.h"
#include "jobs/jobs_work.h"
#include "os/clock.h"
#include "power.h"

#include <pthread.h>

enum { ORDERS_MAX = 700, KEEP_US = 1000000000 };

static char lines[8192];
static pthread_mutex_t lines_lock = PTHREAD_MUTEX_INITIALIZER;   /* guards lines: two services log */

static inline void take_line(const char *line, size_t len)
{
    pthread_mutex_lock(&lines_lock);
    size_t at = strlen(lines);
    if (at + len < sizeof lines) snprintf(lines + at, sizeof lines - at, "%.*s", (int)len, line);
    pthread_mutex_unlock(&lines_lock);
}

/* Times that the log said it since the test began; *ret_last: where it did so last. */
static inline size_t said(const char *what, size_t *ret_last)
{
    size_t count = 0;
    pthread_mutex_lock(&lines_lock);
    for (const char *p = lines; (p = strstr(p, what)); p++, count++)
        if (ret_last) *ret_last = (size_t)(p - lines);
    pthread_mutex_unlock(&lines_lock);
    return count;
}

static loop *on;
static jobs *service;
static size_t waits, runs, refuse_runs;     /* orders not answered; runs begun; of them so many get */
static uint32_t refused_as = 503;
static const char *hook = "";                /* of each order */
static uint64_t keep_us = KEEP_US;           /* where the clock is the test's, who sleeps wakes when one is forgotten */
static bool hold_runs;                      /* they are never answered, */
static job_run *held;                       /* the last of them, unless the test does */
static job_order orders[ORDERS_MAX];
static job_meta metas[ORDERS_MAX];
static char bodies[ORDERS_MAX][24];
static char seen[80];                       /* the target of the last run */

static inline void order_done(job_order *o)
{
    (void)o;
    if (--waits == 0) loop_stop(on);
}

static inline void run(job_run *r)
{
    runs++;
    snprintf(seen, sizeof seen, "%.*s", (int)r->meta.target.len, r->meta.target.p);
    held = r;
    if (hold_runs) return;
    r->status = refuse_runs ? refused_as : 200;
    if (refuse_runs) refuse_runs--;
    buf_put_z(&r->reply, "answer to ");
    buf_put_str(&r->reply, r->body);
    r->headers[r->header_count++] = (http_header){STR("content-type"), STR("text/plain")};
    jobs_ran(r);
}

static inline err_code begin_as(bool heir, uint64_t bytes_max, err *e)
{
    const jobs_opts o = {.path = test_folder,
                         .heir = heir,
                         .limits = {.bytes_max = bytes_max, .keep_us = keep_us, .count_max = 500, .running_max = 2},
                         .reply_bytes_max = 4 << 20, .loops = &on, .loop_count = 1, .run = run,
                         .tell = {.hosts = ""}};
    return jobs_new(&service, &o, e);
}

static inline err_code begin(uint64_t bytes_max, err *e) { return begin_as(false, bytes_max, e); }

static inline void end(void)
{
    jobs_stop(service);
    loop_flush(on);
    jobs_free(service);
    service = NULL;
}

/* Orders i to n-1, of one kind; run() then waits until they are answered. */
/* From the call on it is the service's. */
static inline void order_bytes(size_t i, job_mail_kind kind, str body)
{
    job_order *o = &orders[i];
    job_id id = o->id;
    buf_fini(&o->bytes);
    *o = (job_order){.mail.kind = kind, .on = on, .done = order_done, .id = id, .meta = &metas[i], .list_max = 100};
    metas[i] = (job_meta){.model = STR("m"), .target = STR("/v2/models/m/infer"), .hook = str_of(hook)};
    o->body = body;
    waits++;
    jobs_order(service, o);
}

static inline void order(size_t i, job_mail_kind kind, const char *body)
{
    snprintf(bodies[i], sizeof bodies[i], "%s", body ? body : "");
    order_bytes(i, kind, str_of(bodies[i]));
}

static inline void wait_all(void)
{
    err e;
    if (waits) CHECK(loop_run(on, &e) == ERR_OK);
}

static inline void start(void)
{
    err e;
    CHECK(jobs_start(service, &e) == ERR_OK);
}

/* Until the job of order i has ended: asks again and again. */
static inline const job_view *ended(size_t i)
{
    do {
        order(i, JOB_ORDER_SHOW, NULL);
        wait_all();
    } while (!orders[i].mail.failure.code && orders[i].view.state < JOB_DONE);
    return &orders[i].view;
}

static inline void clear(void)
{
    DIR *d = opendir(test_folder);
    for (struct dirent *one; d && (one = readdir(d)) != NULL;)
        if (one->d_name[0] != '.') (void)unlink(power_path(one->d_name));
    if (d) closedir(d);
    for (size_t i = 0; i < ORDERS_MAX; i++) {
        buf_fini(&orders[i].bytes);
        orders[i].id = (job_id){{0}};
    }
    runs = 0;
    pthread_mutex_lock(&lines_lock);
    lines[0] = '\0';
    pthread_mutex_unlock(&lines_lock);
}

static inline int jobs_rig_main(const test_case *cases, size_t count)
{
    err e;
    log_setup(&(log_opts){.level = LOG_INFO, .sink = take_line, .clock_us = clock_wall_us});
    if (!test_folder_open() || loop_new(&on, 1, &e)) return 1;
    int rc = test_main(cases, count);
    loop_free(on);
    test_folder_close();
    return rc;
}

#endif
