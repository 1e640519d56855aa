/* What must hold for look-ups of names: numbers need none; a name is found, or told to be none; one that hangs can be
 * given up at once and takes nothing with it in the end; so many may hang and no more. */
#include "fake/sys_fake.h"
#include "os/poll.h"
#include "os/resolve.h"

#include <pthread.h>
#include <unistd.h>

/* ---- a resolver that hangs until the test lets it go ---- */

static pthread_mutex_t lock_ = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool hangs;
static int hanging;

static void hang(void)
{
    pthread_mutex_lock(&lock_);
    hanging++;
    pthread_cond_broadcast(&changed);
    while (hangs) pthread_cond_wait(&changed, &lock_);
    hanging--;
    pthread_mutex_unlock(&lock_);
}

static void resolver_hangs(bool does)
{
    pthread_mutex_lock(&lock_);
    hangs = does;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock_);
    if (does) sys_fake_script((sys_fault[]){{SYS_resolve, .times = SYS_FAKE_EVER, .result = -ENOENT, .then = hang}}, 1);
}

static void await_hanging(int count)
{
    pthread_mutex_lock(&lock_);
    while (hanging != count) pthread_cond_wait(&changed, &lock_);
    pthread_mutex_unlock(&lock_);
}

static void await_no_more_than(long live, long fds)
{
    for (int i = 0; i < 60000 && (mem_live() != live || sys_fake_fds() != fds); i++) usleep(1000);
    CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
    CHECK_U64((uint64_t)sys_fake_fds(), (uint64_t)fds);
}

static err_code wait_for(const resolve *r, err *e)
{
    int poll;
    size_t count = 0;
    poll_event events[POLL_BATCH_MAX];
    err_code rc = poll_open(&poll, e);
    if (rc) return rc;
    rc = poll_add(poll, resolve_fd(r), POLL_READ, NULL, e);
    while (rc == ERR_OK && count == 0) rc = poll_wait(poll, events, POLL_FOREVER, &count, e);
    poll_close(poll);
    return rc;
}

static err_code find(const char *host, resolved *ret, err *e)
{
    resolve *r = NULL;
    err_code rc = resolve_start(&r, host, 80, e);
    if (rc) return rc;
    rc = wait_for(r, e);
    if (rc == ERR_OK) rc = resolve_result(r, ret, e);
    resolve_free(r);
    return rc;
}

/* ---- tests ---- */

static void numbers_need_no_resolver(void)
{
    resolved got;
    CHECK(resolve_numeric("127.0.0.1", 80, &got) && got.count == 1 && sock_addr_port(&got.at[0]) == 80);
    CHECK(resolve_numeric("::1", 81, &got) && got.count == 1 && sock_addr_port(&got.at[0]) == 81);
    CHECK(!resolve_numeric("localhost", 80, &got));
    CHECK_U64(sys_fake_calls(SYS_resolve), 0);
}

static void a_name_is_found_or_told_to_be_none(void)
{
    err e;
    resolved got = {.count = 0};
    CHECK(find("localhost", &got, &e) == ERR_OK);
    CHECK(got.count >= 1 && sock_addr_port(&got.at[0]) == 80);
    sys_fake_script((sys_fault[]){{SYS_resolve, .times = 1, .result = -EINTR},
                                  {SYS_resolve, .times = 1, .result = -ENOENT}}, 2);
    CHECK(find("nowhere.example", &got, &e) == ERR_NOT_FOUND);
    CHECK_STR(e.text, "nowhere.example: no such host");
    sys_fake_script(NULL, 0);
    char longest[RESOLVE_HOST_MAX + 2];
    memset(longest, 'h', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    CHECK(find(longest, &got, &e) == ERR_INVALID);
    CHECK_STR(e.text, "host: expected at most 255 bytes, got 256");
}

static void what_hangs_is_given_up_and_so_many_may_hang(void)
{
    err e;
    resolve *r = NULL;
    long live = mem_live(), fds = sys_fake_fds();
    resolver_hangs(true);
    for (size_t i = 0; i < RESOLVE_LEFT_MAX; i++) {
        CHECK(resolve_start(&r, "h.example", 80, &e) == ERR_OK);
        resolve_free(r);
    }
    await_hanging(RESOLVE_LEFT_MAX);
    CHECK(resolve_start(&r, "h.example", 80, &e) == ERR_UNAVAILABLE);
    CHECK_STR(e.text, "h.example: cannot resolve: 8 look-ups hang already");
    resolver_hangs(false);
    await_no_more_than(live, fds);
    sys_fake_script(NULL, 0);
    resolved got;
    err_code rc = ERR_UNAVAILABLE;   /* the last thread says that it has ended behind giving all back */
    for (int i = 0; i < 60000 && rc == ERR_UNAVAILABLE; i++, usleep(i ? 1000 : 0)) rc = find("localhost", &got, &e);
    CHECK(rc == ERR_OK);
}

/* What a failure made it give up is gone a little later. */
static void finds_once(void)
{
    err e;
    resolved got;
    long live = mem_live(), fds = sys_fake_fds();
    (void)!find("localhost", &got, &e);
    await_no_more_than(live, fds);
}

static void nothing_leaks_wherever_it_fails(void)
{
    FAULT_SWEEP(finds_once());
    SYS_SWEEP(-ENOMEM, finds_once());
}

int main(void)
{
    static const test_case cases[] = {
        TEST(numbers_need_no_resolver),
        TEST(a_name_is_found_or_told_to_be_none),
        TEST(what_hangs_is_given_up_and_so_many_may_hang),
        TEST(nothing_leaks_wherever_it_fails),
    };
    return test_main(cases, COUNTOF(cases));
}
