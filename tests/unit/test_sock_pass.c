/* A message and its descriptors arrive together and whole, or the connection is broken and nothing of it is left; what
 * a peer said before it closed is heard; a user is told from another. */
#include "fake/sys_fake.h"
#include "os/sock_pass.h"
#include "test_own.h"

#include <fcntl.h>
#include <unistd.h>

static void open_pair(int pair[2])
{
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
}

static void descriptors_come_with_their_message(void)
{
    int pair[2], fds[SOCK_PASS_FDS_MAX], got[SOCK_PASS_FDS_MAX];
    char text[SOCK_PASS_BYTES_MAX];
    size_t count = 0;
    open_pair(pair);
    long before = sys_fake_fds();
    for (size_t i = 0; i < SOCK_PASS_FDS_MAX; i++) fds[i] = pair[0];
    static const size_t counts[] = {0, 1, 2, SOCK_PASS_FDS_MAX};
    for (size_t i = 0; i < COUNTOF(counts); i++) {
        sys_fake_script((sys_fault[]){{SYS_send_fds, .times = 1, .result = -EINTR},
                                      {SYS_recv_fds, .times = 1, .result = -EINTR}}, 2);
        CHECK(sock_pass_send(pair[0], "hello", fds, counts[i]) == SOCK_DONE);
        CHECK(sock_pass_wait(pair[1], 10000));
        CHECK(sock_pass_recv(pair[1], text, got, &count) == SOCK_DONE);
        CHECK_STR(text, "hello");
        CHECK_U64(count, counts[i]);
        for (size_t k = 0; k < count; k++) {
            CHECK(fcntl(got[k], F_GETFD) & FD_CLOEXEC);
            sock_close(got[k]);
        }
    }
    sys_fake_script(NULL, 0);
    CHECK_U64((uint64_t)sys_fake_fds(), (uint64_t)before);
    CHECK(sock_pass_recv(pair[1], text, got, &count) == SOCK_AGAIN);
    CHECK(!sock_pass_wait(pair[1], 1));
    CHECK(sock_pass_is_ours(pair[0]));
    sock_close(pair[0]);
    CHECK(sock_pass_recv(pair[1], text, got, &count) == SOCK_EOF);
    CHECK(sock_pass_send(pair[1], "x", NULL, 0) == SOCK_GONE);
    sock_close(pair[1]);
}

static void what_is_cut_is_nothing(void)
{
    int pair[2], fds[SOCK_PASS_FDS_MAX], got[SOCK_PASS_FDS_MAX];
    char text[SOCK_PASS_BYTES_MAX], longer[SOCK_PASS_BYTES_MAX + 1];
    size_t count = 0;
    open_pair(pair);
    for (size_t i = 0; i < SOCK_PASS_FDS_MAX; i++) fds[i] = pair[0];
    long before = sys_fake_fds();
    memset(longer, 'x', sizeof longer);
    CHECK(sys_real_send_fds(pair[0], longer, sizeof longer, fds, 3) > 0);
    CHECK(sock_pass_recv(pair[1], text, got, &count) == SOCK_GONE);
    CHECK(sys_real_send_fds(pair[0], "x", 1, fds, SOCK_PASS_FDS_MAX) > 0);
    size_t room = 5;
    CHECK(sys_real_recv_fds(pair[1], text, sizeof text, got, &room) == -EMSGSIZE && room == 0);
    CHECK(sys_real_send_fds(pair[0], "", 0, fds, 3) == 0);   /* a message without a byte, which looks like the end */
    CHECK(sock_pass_recv(pair[1], text, got, &count) == SOCK_EOF);
    CHECK_U64(count, 0);
    CHECK_U64((uint64_t)sys_fake_fds(), (uint64_t)before);
    sock_close(pair[0]);
    sock_close(pair[1]);
}

static void last_words_are_heard(void)
{
    int pair[2], got[SOCK_PASS_FDS_MAX];
    char text[SOCK_PASS_BYTES_MAX];
    size_t count = 0;
    open_pair(pair);
    CHECK(sock_pass_send(pair[1], "unread", NULL, 0) == SOCK_DONE);
    CHECK(sock_pass_send(pair[0], "busy", NULL, 0) == SOCK_DONE);
    sock_close(pair[0]);
    CHECK(sock_pass_recv(pair[1], text, got, &count) == SOCK_DONE);
    CHECK_STR(text, "busy");
    CHECK(sock_pass_recv(pair[1], text, got, &count) == SOCK_EOF);
    sock_close(pair[1]);
    open_pair(pair);
    CHECK(sock_pass_send(pair[1], "in time", NULL, 0) == SOCK_DONE);
    sock_pass_deaf(pair[0]);
    CHECK(sock_pass_send(pair[1], "too late", NULL, 0) == SOCK_GONE);
    CHECK(sock_pass_recv(pair[0], text, got, &count) == SOCK_DONE);
    CHECK_STR(text, "in time");
    CHECK(sock_pass_recv(pair[0], text, got, &count) == SOCK_EOF);
    sock_close(pair[0]);
    sock_close(pair[1]);
}

static void nobody_there_is_told_apart(void)
{
    err e;
    sock_addr at;
    int listener = -1, client = -1;
    CHECK(sock_addr_unix(&at, test_own("@test_sock_pass"), &e) == ERR_OK);
    CHECK(sock_pass_connect(&at, &client, &e) == ERR_UNAVAILABLE);
    CHECK_STR(e.text, test_own("unix:@test_sock_pass: cannot connect: Connection refused"));
    CHECK(sock_listen(&(sock_listen_opts){.addr = &at, .packets = true}, &listener, &e) == ERR_OK);
    SYS_SWEEP(-EMFILE, {
        int fd = -1;
        CHECK((sock_pass_connect(&at, &fd, &e) == ERR_OK) == (fd >= 0));
        sock_close(fd);
    });
    CHECK(sock_pass_connect(&at, &client, &e) == ERR_OK);
    sys_fake_script((sys_fault[]){{SYS_user, .times = 1, .result = 12345}, {SYS_peer_user, .times = 1, .result = -EIO}},
                    2);
    CHECK(!sock_pass_is_ours(client) && !sock_pass_is_ours(client) && sock_pass_is_ours(client));
    sys_fake_script(NULL, 0);
    sock_close(client);
    sock_close(listener);
    CHECK(sock_addr_unix(&at, "/nowhere/at/all", &e) == ERR_OK);
    CHECK(sock_pass_connect(&at, &client, &e) == ERR_NOT_FOUND);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(descriptors_come_with_their_message),
        TEST(what_is_cut_is_nothing),
        TEST(last_words_are_heard),
        TEST(nobody_there_is_told_apart),
    };
    return test_main(cases, COUNTOF(cases));
}
