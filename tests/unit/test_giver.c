/* Until a new server says that it is ready, whatever it does leaves the old one with its sockets, their files and its
 * path; from then on they are the other's. Each step has its time. */
#include "fake/sys_fake.h"
#include "net/server.h"
#include "os/clock.h"
#include "os/thread.h"
#include "serve/giver.h"
#include "serve/handover.h"
#include "test_folder.h"
#include "test_own.h"

#include <stdatomic.h>

/* The old server's loop in a thread, under a clock that this test moves. */
typedef struct {
    loop *loop;
    thread thread;
    giver *giver;
    listeners *all;
    sock_addr at;
    _Atomic unsigned given;
} rig;

static void run_loop(void *ctx)
{
    err e;
    CHECK(loop_run(ctx, &e) == ERR_OK);
}

static void on_given(void *ctx) { atomic_fetch_add(&((rig *)ctx)->given, 1); }

static void stop_here(loop *on, loop_msg *m)
{
    (void)m;
    loop_stop(on);
}

static void add(listeners *l, const char *unix_path, size_t sockets)
{
    err e;
    sock_addr a;
    CHECK((unix_path ? sock_addr_unix(&a, unix_path, &e) : sock_addr_parse(&a, "127.0.0.1", 0, &e)) == ERR_OK);
    CHECK(listeners_open(l, &(listeners_opts){.addr = &a, .sockets = sockets, .mode = 0600}, &e) == ERR_OK);
}

/* As a service manager's, which keeps it when this server goes. */
static void adopt(listeners *l)
{
    err e;
    sock_addr a;
    int fd = -1;
    CHECK(sock_addr_parse(&a, "127.0.0.1", 0, &e) == ERR_OK);
    CHECK(sock_listen(&(sock_listen_opts){.addr = &a}, &fd, &e) == ERR_OK);
    CHECK(listeners_adopt(l, fd, false, &e) == ERR_OK);
}

static void rig_start(rig *r)
{
    err e;
    *r = (rig){.loop = NULL};
    sys_fake_clock_hold(3600000000000);
    CHECK(loop_new(&r->loop, 1, &e) == ERR_OK && listeners_new(&r->all, &e) == ERR_OK);
    add(r->all, NULL, 70);   /* more than one message holds */
    add(r->all, test_folder_path("s"), 1);
    add(r->all, test_own("@test_giver"), 1);
    adopt(r->all);
    CHECK(sock_addr_unix(&r->at, test_folder_path("h"), &e) == ERR_OK);
    const giver_opts opts = {.on = r->loop, .at = &r->at, .control = -1, .all = r->all, .ready_wait_us = 60000000,
                             .given = on_given, .ctx = r};
    CHECK(giver_new(&r->giver, &opts, &e) == ERR_OK);
    CHECK(test_folder_mode("h") == 0600);
    CHECK(thread_start(&r->thread, "old", run_loop, r->loop, &e) == ERR_OK);
}

static void rig_stop(rig *r)
{
    loop_msg stop = {.run = stop_here};
    loop_post(r->loop, &stop);
    thread_join(&r->thread);
    giver_free(r->giver);
    loop_free(r->loop);
    listeners_free(r->all);
    sys_fake_clock_set(0);
}

typedef struct {
    loop_msg msg;
    giver *giver;
    void (*run)(giver *g);
    uint64_t us;
    _Atomic bool done;
} errand;

static void run_errand(loop *on, loop_msg *m)
{
    errand *a = (errand *)(void *)m;
    (void)on;
    if (a->run) a->run(a->giver);
    if (a->us) sys_fake_clock_set((clock_now_us() + a->us) * 1000u);
    atomic_store(&a->done, true);
}

static void on_loop(rig *r, void (*run)(giver *g), uint64_t us)
{
    for (int i = 0; i < 3; i++) {   /* around it, what the sockets brought */
        errand a = {.msg.run = run_errand, .giver = r->giver, .run = i == 1 ? run : NULL, .us = i == 1 ? us : 0};
        loop_post(r->loop, &a.msg);
        while (!atomic_load(&a.done)) usleep(100);
    }
}

static int dial(const rig *r)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 10};
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    CHECK(connect(fd, (const struct sockaddr *)&r->at.to, r->at.len) == 0);
    return fd;
}

static void say(int fd, const char *text) { CHECK(send(fd, text, strlen(text), MSG_NOSIGNAL) > 0); }

/* The next message, or "end"; its descriptors are counted and closed. */
static const char *hear(int fd, size_t *fds)
{
    static char text[SOCK_PASS_BYTES_MAX];
    int got[SOCK_PASS_FDS_MAX];
    size_t count = SOCK_PASS_FDS_MAX;
    int64_t n = sys_real_recv_fds(fd, text, sizeof text - 1, got, &count);
    if (n <= 0) return n ? "reset" : "end";
    text[n] = 0;
    for (size_t i = 0; i < count; i++) close(got[i]);
    if (fds) *fds += count;
    return text;
}

static void take(int fd)
{
    size_t fds = 0;
    say(fd, "proa 1 take 0");
    CHECK_STR(hear(fd, &fds), "proa 1 own 64");
    CHECK_STR(hear(fd, &fds), "proa 1 own 6");
    CHECK_STR(hear(fd, &fds), "proa 1 own 1");
    CHECK_STR(hear(fd, &fds), "proa 1 own 1");
    CHECK_STR(hear(fd, &fds), "proa 1 sockets 1");
    CHECK_STR(hear(fd, &fds), "proa 1 control 1");
    CHECK_STR(hear(fd, &fds), "proa 1 end 73");
    CHECK_U64(fds, 74);
}

static void check_keeps(const rig *r)
{
    CHECK_U64(atomic_load(&r->given), 0);
    CHECK(test_folder_mode("h") == 0600 && test_folder_mode("s") == 0600 && listeners_made(r->all, 1));
}

static void whoever_is_ready_gets_all(void)
{
    rig r;
    rig_start(&r);
    int fd = dial(&r);
    take(fd);
    on_loop(&r, NULL, 59999999);
    check_keeps(&r);
    say(fd, "proa 1 ready 0");
    CHECK_STR(hear(fd, NULL), "end");
    on_loop(&r, NULL, 0);
    CHECK_U64(atomic_load(&r.given), 1);
    CHECK(!listeners_made(r.all, 1));
    on_loop(&r, giver_stop, 0);   /* as it drains */
    int late = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    CHECK(connect(late, (struct sockaddr *)&r.at.to, r.at.len) == -1);
    close(late);
    close(fd);
    rig_stop(&r);
    CHECK(test_folder_mode("h") == 0600 && test_folder_mode("s") == 0600);   /* they are the other's */
    unlink(test_folder_path("h"));
    unlink(test_folder_path("s"));
}

static void whoever_breaks_off_changes_nothing(void)
{
    static const char *const wrong[] = {"", "nonsense", "proa 1 ready 0", "proa 1 end 0"};
    rig r;
    rig_start(&r);
    for (size_t i = 0; i < COUNTOF(wrong); i++) {
        int fd = dial(&r);
        if (wrong[i][0]) {
            say(fd, wrong[i]);
            CHECK_STR(hear(fd, NULL), "end");
        }
        close(fd);
        fd = dial(&r);
        take(fd);
        if (strstr(wrong[i], "ready") == NULL && wrong[i][0]) {
            say(fd, wrong[i]);
            CHECK_STR(hear(fd, NULL), "end");
        }
        close(fd);
        on_loop(&r, NULL, 0);
        check_keeps(&r);
    }
    rig_stop(&r);
    CHECK(test_folder_mode("h") < 0 && test_folder_mode("s") < 0);
}

static void each_step_has_its_time(void)
{
    rig r;
    rig_start(&r);
    int fd = dial(&r), other;
    on_loop(&r, NULL, HANDOVER_STEP_MS * 1000u - 1);
    other = dial(&r);
    CHECK_STR(hear(other, NULL), "proa 1 busy 0");
    close(other);
    on_loop(&r, NULL, 2);
    CHECK_STR(hear(fd, NULL), "proa 1 late 0");
    CHECK_STR(hear(fd, NULL), "end");
    close(fd);
    fd = dial(&r);
    take(fd);
    on_loop(&r, NULL, 60000001);
    CHECK_STR(hear(fd, NULL), "proa 1 late 0");
    CHECK(send(fd, "proa 1 ready 0", 14, MSG_NOSIGNAL) == -1);
    close(fd);
    check_keeps(&r);
    rig_stop(&r);
}

static int ready_by;

static void say_ready(giver *g)
{
    (void)g;
    say(ready_by, "proa 1 ready 0");
}

static void who_is_ready_in_time_counts_though_it_is_read_late(void)
{
    rig r;
    rig_start(&r);
    ready_by = dial(&r);
    take(ready_by);
    on_loop(&r, say_ready, 60000001);   /* message and end of its time are there at once */
    CHECK_STR(hear(ready_by, NULL), "end");
    CHECK_U64(atomic_load(&r.given), 1);
    close(ready_by);
    rig_stop(&r);
    unlink(test_folder_path("h"));
    unlink(test_folder_path("s"));
}

static void who_takes_all_does_not_block_the_loop(void)
{
    rig r;
    rig_start(&r);
    int fd = dial(&r);
    sys_fake_script((sys_fault[]){{SYS_send_fds, .skip = 2, .times = 2, .result = -EAGAIN}}, 1);
    take(fd);
    sys_fake_script((sys_fault[]){{SYS_send_fds, .skip = 1, .times = 1, .result = -ETOOMANYREFS}}, 1);
    say(fd, "proa 1 ready 0");
    CHECK_STR(hear(fd, NULL), "end");
    close(fd);
    on_loop(&r, NULL, 0);
    CHECK_U64(atomic_load(&r.given), 1);
    sys_fake_script(NULL, 0);
    rig_stop(&r);
    unlink(test_folder_path("h"));
    unlink(test_folder_path("s"));
    rig_start(&r);   /* and one to whom it cannot be sent */
    fd = dial(&r);
    sys_fake_script((sys_fault[]){{SYS_send_fds, .skip = 1, .times = 1, .result = -ETOOMANYREFS}}, 1);
    say(fd, "proa 1 take 0");
    CHECK_STR(hear(fd, NULL), "proa 1 own 64");
    CHECK_STR(hear(fd, NULL), "end");
    close(fd);
    sys_fake_script(NULL, 0);
    on_loop(&r, NULL, 0);
    check_keeps(&r);
    rig_stop(&r);
}

static void a_server_that_leaves_lets_the_new_one_go_on(void)
{
    rig r;
    rig_start(&r);
    int fd = dial(&r);
    take(fd);
    on_loop(&r, giver_stop, 0);
    CHECK_STR(hear(fd, NULL), "end");
    close(fd);
    rig_stop(&r);
    CHECK_U64(atomic_load(&r.given), 0);
    CHECK(test_folder_mode("h") == 0600 && test_folder_mode("s") == 0600);
    unlink(test_folder_path("h"));
    unlink(test_folder_path("s"));
    rig_start(&r);
    fd = dial(&r);   /* and one that has nothing yet gets nothing */
    on_loop(&r, giver_stop, 0);
    CHECK_STR(hear(fd, NULL), "end");
    close(fd);
    rig_stop(&r);
    CHECK(test_folder_mode("h") < 0 && test_folder_mode("s") < 0);
}

static void another_user_gets_nothing(void)
{
    rig r;
    rig_start(&r);
    sys_fake_script((sys_fault[]){{SYS_user, .times = 1, .result = 12345}}, 1);
    int fd = dial(&r);
    CHECK_STR(hear(fd, NULL), "proa 1 busy 0");
    CHECK_STR(hear(fd, NULL), "end");
    close(fd);
    sys_fake_script(NULL, 0);
    check_keeps(&r);
    rig_stop(&r);
}

/* Whoever waits in the queue would wake the loop for as long as there are none. */
static void without_descriptors_the_loop_is_at_rest(void)
{
    rig r;
    rig_start(&r);
    sys_fake_script((sys_fault[]){{SYS_accept, .times = SYS_FAKE_EVER, .result = -EMFILE}}, 1);
    int fd = dial(&r);
    for (uint64_t tries = 1; tries < 4; tries++) {
        on_loop(&r, NULL, 0);
        CHECK_U64(sys_fake_hits(), tries);
        on_loop(&r, NULL, SERVER_PAUSE_US);
    }
    sys_fake_script(NULL, 0);
    on_loop(&r, NULL, SERVER_PAUSE_US);
    take(fd);
    close(fd);
    on_loop(&r, NULL, 0);
    sys_fake_script((sys_fault[]){{SYS_accept, .times = SYS_FAKE_EVER, .result = -EMFILE}}, 1);
    fd = dial(&r);
    on_loop(&r, NULL, 0);
    sys_fake_script(NULL, 0);
    on_loop(&r, giver_stop, SERVER_PAUSE_US);   /* which nothing is left of */
    close(fd);
    rig_stop(&r);
}

static void construct(loop *l, listeners *all, int control)
{
    err e;
    sock_addr at;
    giver *g = NULL;
    CHECK(sock_addr_unix(&at, test_folder_path("h"), &e) == ERR_OK);
    const giver_opts opts = {.on = l, .at = &at, .control = control, .all = all, .given = on_given};
    (void)!giver_new(&g, &opts, &e);
    giver_free(g);
}

static void construction_survives_every_fault(void)
{
    err e;
    loop *l = NULL;
    listeners *all = NULL;
    CHECK(loop_new(&l, 1, &e) == ERR_OK && listeners_new(&all, &e) == ERR_OK);
    FAULT_SWEEP(construct(l, all, -1));
    SYS_SWEEP(-ENOBUFS, construct(l, all, -1));
    long fds = sys_fake_fds();
    for (long n = 0; n < 2; n++) {
        mem_fault_after(n ? -1 : 0);
        construct(l, all, socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        mem_fault_after(-1);
    }
    CHECK_U64((uint64_t)sys_fake_fds(), (uint64_t)fds);
    listeners_free(all);
    loop_free(l);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(whoever_is_ready_gets_all),
        TEST(whoever_breaks_off_changes_nothing),
        TEST(each_step_has_its_time),
        TEST(who_is_ready_in_time_counts_though_it_is_read_late),
        TEST(who_takes_all_does_not_block_the_loop),
        TEST(a_server_that_leaves_lets_the_new_one_go_on),
        TEST(another_user_gets_nothing),
        TEST(without_descriptors_the_loop_is_at_rest),
        TEST(construction_survives_every_fault),
    };
    if (!test_folder_open()) return 1;
    int failed = test_main(cases, COUNTOF(cases));
    test_folder_close();
    return failed;
}
