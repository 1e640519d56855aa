/* A message arrives whole, at a path or an abstract name; a full queue is waited for and then given up; nobody to tell
 * costs no system call; no step leaks. */
#include "fake/sys_fake.h"
#include "os/notify.h"
#include "test_folder.h"
#include "test_own.h"

/* A service manager's end. */
static int manager_open(const char *address)
{
    sock_addr a;
    err e;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(sock_addr_unix(&a, address, &e) == ERR_OK && bind(fd, (struct sockaddr *)&a.to, a.len) == 0);
    return fd;
}

static const char *heard(int manager)
{
    static char text[512];
    ssize_t n = recv(manager, text, sizeof text - 1, 0);
    text[n < 0 ? 0 : n] = 0;
    return text;
}

static void messages_arrive_whole(void)
{
    err e;
    notify n;
    const char *const places[] = {test_folder_path("n"), test_own("@test_notify")};
    for (size_t i = 0; i < COUNTOF(places); i++) {
        int manager = manager_open(places[i]);
        CHECK(notify_open(&n, places[i], &e) == ERR_OK);
        sys_fake_script((sys_fault[]){{SYS_send_to, .times = 2, .result = -EINTR}}, 1);
        CHECK(notify_send(&n, "READY=1\nSTATUS=up", &e) == ERR_OK);
        CHECK_STR(heard(manager), "READY=1\nSTATUS=up");
        sys_fake_script((sys_fault[]){{SYS_send_to, .times = 1, .result = -EAGAIN}}, 1);
        CHECK(notify_send(&n, "WATCHDOG=1", &e) == ERR_OK);
        CHECK_STR(heard(manager), "WATCHDOG=1");
        sys_fake_script((sys_fault[]){{SYS_send_to, .times = 2, .result = -EAGAIN}}, 1);
        CHECK(notify_send(&n, "WATCHDOG=1", &e) == ERR_LIMIT);
        CHECK_STR(heard(manager), "");
        sys_fake_script(NULL, 0);
        close(manager);
        CHECK(notify_send(&n, "STOPPING=1", &e) == ERR_UNAVAILABLE);
        notify_close(&n);
    }
}

static void nobody_to_tell_costs_nothing(void)
{
    err e;
    notify n;
    uint64_t before = sys_fake_calls(SYS_send_to) + sys_fake_calls(SYS_socket);
    CHECK(notify_open(&n, NULL, &e) == ERR_OK && notify_send(&n, "READY=1", &e) == ERR_OK);
    notify_close(&n);
    CHECK(notify_open(&n, "", &e) == ERR_OK && notify_send(&n, "READY=1", &e) == ERR_OK);
    notify_close(&n);
    notify_close(&n);
    CHECK_U64(sys_fake_calls(SYS_send_to) + sys_fake_calls(SYS_socket), before);
}

static void what_is_no_address_is_refused(void)
{
    err e;
    notify n;
    CHECK(notify_open(&n, "vsock:2:1234", &e) == ERR_INVALID);
    CHECK_STR(e.text, "NOTIFY_SOCKET: expected /PATH or @NAME, got 'vsock:2:1234'");
    CHECK(notify_open(&n, "@", &e) == ERR_INVALID);
    CHECK_STR(e.text, "NOTIFY_SOCKET: unix:@: expected a path of 1 to 107 bytes, got 0");
    SYS_SWEEP(-EMFILE, {
        if (notify_open(&n, "/n", &e) == ERR_OK) notify_close(&n);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(messages_arrive_whole),
        TEST(nobody_to_tell_costs_nothing),
        TEST(what_is_no_address_is_refused),
    };
    if (!test_folder_open()) return 1;
    int failed = test_main(cases, COUNTOF(cases));
    test_folder_close();
    return failed;
}
