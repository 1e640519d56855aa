/* What must hold for sockets: bytes arrive whole through short and interrupted calls; running out of descriptors is
 * told apart from having nothing to accept; a port that another process uses is refused, while listeners of this one
 * share theirs; so is a Unix socket's file where somebody answers, while one of the dead is replaced; what another
 * process opened is taken only if it listens; no failing step leaks; addresses print as they are read. */
#include "fake/sys_fake.h"
#include "let_in.h"
#include "os/poll.h"
#include "os/sock.h"
#include "test_folder.h"
#include "test_own.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <netinet/in.h>

static void open_listener(int *ret_fd, sock_addr *ret)
{
    err e;
    sock_addr any;
    CHECK(sock_addr_parse(&any, "127.0.0.1", 0, &e) == ERR_OK);
    CHECK(sock_listen(&(sock_listen_opts){.addr = &any}, ret_fd, &e) == ERR_OK);
    CHECK(sock_local(*ret_fd, ret, &e) == ERR_OK);
    CHECK(sock_addr_port(ret) != 0);
}

static sock_io accept_soon(int listener, int *ret_fd, sock_addr *ret_peer)
{
    sock_io io = SOCK_AGAIN;
    for (int i = 0; i < 100000 && io == SOCK_AGAIN; i++) io = sock_accept(listener, ret_fd, ret_peer);
    return io;
}

/* A connection within this process. */
static void open_pair(int *ret_client, int *ret_server)
{
    err e;
    int listener;
    sock_addr at, peer;
    open_listener(&listener, &at);
    CHECK(sock_connect(&at, ret_client, &e) == ERR_OK);
    CHECK(accept_soon(listener, ret_server, &peer) == SOCK_DONE);
    CHECK(sock_connected(*ret_client, &at, &e) == ERR_OK);
    CHECK(peer.to.ss_family == AF_INET);
    sock_close(listener);
}

static void addresses_print_as_they_are_read(void)
{
    err e;
    sock_addr a;
    char text[SOCK_ADDR_TEXT_MAX];
    static const char *const rows[][2] = {
        {"127.0.0.1", "127.0.0.1:8080"}, {"0.0.0.0", "0.0.0.0:8080"}, {"::1", "[::1]:8080"}, {"[::]", "[::]:8080"},
        {"2001:db8::5", "[2001:db8::5]:8080"}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        CHECK(sock_addr_parse(&a, rows[i][0], 8080, &e) == ERR_OK);
        sock_addr_print(&a, text);
        CHECK_STR(text, rows[i][1]);
        CHECK_U64(sock_addr_port(&a), 8080);
    }
    CHECK(sock_addr_unix(&a, "/run/a.sock", &e) == ERR_OK);
    sock_addr_print(&a, text);
    CHECK_STR(text, "unix:/run/a.sock");
    CHECK_U64(sock_addr_port(&a), 0);
    CHECK(sock_addr_unix(&a, "", &e) == ERR_INVALID);
    CHECK_STR(e.text, "unix:: expected a path of 1 to 107 bytes, got 0");
    static const char *const wrong[] = {"", "localhost", "[127.0.0.1]", "1.2.3", "[::1", "::g",
                                        "[1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111]"};
    for (size_t i = 0; i < COUNTOF(wrong); i++) CHECK(sock_addr_parse(&a, wrong[i], 1, &e) == ERR_INVALID);
    CHECK(sock_addr_parse(&a, "here", 1, &e) == ERR_INVALID);
    CHECK_STR(e.text, "address: expected an IPv4 or IPv6 address, got 'here'");
}

static void bytes_arrive_whole_through_short_and_interrupted_calls(void)
{
    int client, server;
    uint8_t out[5000], in[5000];
    open_pair(&client, &server);
    static const sys_fault script[] = {
        {SYS_send, .skip = 1, .times = 2, .result = -EINTR}, {SYS_send, .skip = 3, .times = 1, .result = -EAGAIN},
        {SYS_send, .times = SYS_FAKE_EVER, .result = 37},    {SYS_recv, .times = 2, .result = -EINTR},
        {SYS_recv, .skip = 2, .times = 1, .result = -EAGAIN}, {SYS_recv, .times = SYS_FAKE_EVER, .result = 11},
    };
    sys_fake_script(script, COUNTOF(script));
    for (size_t i = 0; i < sizeof out; i++) out[i] = (uint8_t)(i * 7 + i / 256);
    size_t sent = 0, got = 0, n;
    while (sent < sizeof out) {
        size_t half = sent + (sizeof out - sent) / 2;
        struct iovec v[2] = {{out + sent, half - sent}, {out + half, sizeof out - half}};
        sock_io io = sock_write(server, v, 2, &n);
        CHECK(io == SOCK_DONE || io == SOCK_AGAIN);
        if (io == SOCK_DONE) sent += n;
    }
    sock_end(server);
    for (sock_io io; (io = sock_read(client, in + got, sizeof in - got + 1, &n)) != SOCK_EOF;) {
        CHECK(io == SOCK_DONE || io == SOCK_AGAIN);
        if (io == SOCK_DONE) got += n;
        if (got == sizeof in) break;
    }
    CHECK_U64(got, sizeof in);
    CHECK(memcmp(in, out, sizeof in) == 0);
    CHECK(sock_read(client, in, 1, &n) == SOCK_EOF);
    sys_fake_script(NULL, 0);
    sock_close(client);
    sock_close(server);
}

static void a_vanished_peer_is_an_answer_not_a_signal(void)
{
    int client, server;
    char byte = 'x';
    size_t n;
    open_pair(&client, &server);
    sock_abort_on_close(client);
    sock_close(client);
    sock_io io = SOCK_AGAIN;
    for (int i = 0; i < 100000 && io == SOCK_AGAIN; i++) io = sock_read(server, &byte, 1, &n);
    CHECK(io == SOCK_GONE);
    struct iovec v = {&byte, 1};
    CHECK(sock_write(server, &v, 1, &n) == SOCK_GONE);   /* without MSG_NOSIGNAL this test would die here */
    sock_close(server);
}

static void a_full_table_of_descriptors_is_told_apart_from_nothing_to_accept(void)
{
    err e;
    int listener, client, server;
    sock_addr at;
    open_listener(&listener, &at);
    CHECK(sock_accept(listener, &server, NULL) == SOCK_AGAIN);
    CHECK(sock_connect(&at, &client, &e) == ERR_OK);
    static const int64_t full[] = {-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM};
    for (size_t i = 0; i < COUNTOF(full); i++) {
        sys_fake_script((sys_fault[]){{SYS_accept, .times = 1, .result = full[i]}}, 1);
        CHECK(sock_accept(listener, &server, NULL) == SOCK_FULL);
    }
    /* A connection that broke while it waited is passed over, and so is a signal. */
    sys_fake_script((sys_fault[]){{SYS_accept, .times = 1, .result = -ECONNABORTED},
                                  {SYS_accept, .times = 1, .result = -EINTR},
                                  {SYS_accept, .times = 1, .result = -EPROTO}}, 3);
    CHECK(accept_soon(listener, &server, NULL) == SOCK_DONE);
    sys_fake_script((sys_fault[]){{SYS_accept, .times = SYS_FAKE_EVER, .result = -EPERM}}, 1);
    CHECK(sock_accept(listener, &server, NULL) == SOCK_FULL);   /* does not spin for ever */
    sys_fake_script(NULL, 0);
    sock_close(server);
    sock_close(client);
    sock_close(listener);
}

static void who_came_before_the_door_shut_is_in_and_nobody_else(void)
{
    err e;
    int listener, early, server;
    sock_addr at;
    open_listener(&listener, &at);
    CHECK(sock_connect(&at, &early, &e) == ERR_OK);
    CHECK(sock_let_none_in(listener, &at) && sock_let_none_in(listener, &at));
    CHECK(sock_connected(early, &at, &e) == ERR_OK);
    if (kernel_lets_none_in()) CHECK(!is_let_in(&at));
    CHECK(accept_soon(listener, &server, NULL) == SOCK_DONE);
    size_t n;
    char byte = 'x';
    struct iovec v = {&byte, 1};
    CHECK(sock_write(early, &v, 1, &n) == SOCK_DONE && n == 1);
    sock_io io = SOCK_AGAIN;
    for (int i = 0; i < 100000 && io == SOCK_AGAIN; i++) io = sock_read(server, &byte, 1, &n);
    CHECK(io == SOCK_DONE);
    sock_close(server);
    sock_close(early);
    sock_close(listener);
    CHECK(sock_addr_unix(&at, test_folder_path("door"), &e) == ERR_OK);
    CHECK(sock_listen(&(sock_listen_opts){.addr = &at, .mode = 0600}, &listener, &e) == ERR_OK);
    CHECK(sock_connect(&at, &early, &e) == ERR_OK);
    CHECK(!sock_let_none_in(listener, &at));
    CHECK(!is_let_in(&at));
    CHECK(accept_soon(listener, &server, NULL) == SOCK_DONE);
    sock_close(server);
    sock_close(early);
    sock_close(listener);
}

static void listeners_share_a_port_only_when_they_join(void)
{
    err e;
    int first, second, joined;
    sock_addr at;
    char want[200], text[SOCK_ADDR_TEXT_MAX];
    open_listener(&first, &at);
    CHECK(sock_listen(&(sock_listen_opts){.addr = &at}, &second, &e) == ERR_CONFLICT);
    sock_addr_print(&at, text);
    snprintf(want, sizeof want, "%s: cannot listen: Address already in use", text);
    CHECK_STR(e.text, want);
    for (int i = 0; i < 3; i++) {
        CHECK(sock_listen(&(sock_listen_opts){.addr = &at, .join = true}, &joined, &e) == ERR_OK);
        CHECK(sock_listen(&(sock_listen_opts){.addr = &at}, &second, &e) == ERR_CONFLICT);
        sock_close(joined);
    }
    sock_close(first);
}

static void accepted_sockets_send_at_once_and_do_not_block(void)
{
    int client, server, value = 0;
    char byte;
    size_t n;
    open_pair(&client, &server);
    CHECK(sys_real_option_get(server, IPPROTO_TCP, TCP_NODELAY, &value) == 0 && value == 1);
    CHECK(sys_real_option_get(client, IPPROTO_TCP, TCP_NODELAY, &value) == 0 && value == 1);
    CHECK(sock_read(server, &byte, 1, &n) == SOCK_AGAIN);
    CHECK(sock_read(client, &byte, 1, &n) == SOCK_AGAIN);
    sock_close(client);
    sock_close(server);
}

static void no_failing_step_leaks(void)
{
    err e;
    sock_addr any, six, at;
    int listener;
    CHECK(sock_addr_parse(&any, "127.0.0.1", 0, &e) == ERR_OK && sock_addr_parse(&six, "::1", 0, &e) == ERR_OK);
    open_listener(&listener, &at);
    SYS_SWEEP(-ENOBUFS, {
        int fd = -1;
        err_code rc = sock_listen(&(sock_listen_opts){.addr = &any}, &fd, &e);
        CHECK((rc == ERR_OK) == (fd >= 0));
        sock_close(fd);
    });
    SYS_SWEEP(-EMFILE, {
        int fd = -1;
        (void)!sock_listen(&(sock_listen_opts){.addr = &six}, &fd, &e);   /* no IPv6 here is an answer too */
        sock_close(fd);
    });
    SYS_SWEEP(-EMFILE, {
        int fd = -1;
        err_code rc = sock_connect(&at, &fd, &e);
        CHECK((rc == ERR_OK) == (fd >= 0));
        sock_close(fd);
    });
    sock_close(listener);
}

/* ---- Unix sockets ---- */

static err_code unix_listen(const char *path, uint32_t mode, int *ret_fd, err *e)
{
    sock_addr a;
    err_code rc = sock_addr_unix(&a, path, e);
    return rc ? rc : sock_listen(&(sock_listen_opts){.addr = &a, .mode = mode}, ret_fd, e);
}

static void unix_addresses_print_as_they_are_read(void)
{
    err e;
    sock_addr a, b;
    char text[SOCK_ADDR_TEXT_MAX], longest[SOCK_PATH_MAX + 2];
    CHECK(sock_addr_unix(&a, "/run/a.sock", &e) == ERR_OK);
    sock_addr_print(&a, text);
    CHECK_STR(text, "unix:/run/a.sock");
    CHECK(sock_addr_is_unix(&a) && sock_addr_port(&a) == 0);
    CHECK_STR(sock_addr_path(&a), "/run/a.sock");
    CHECK(sock_addr_unix(&b, "@a name\n", &e) == ERR_OK && !sock_addr_path(&b) && !sock_addr_eq(&a, &b));
    sock_addr_print(&b, text);
    CHECK_STR(text, "unix:@a name?");
    memset(longest, 'x', sizeof longest);
    longest[SOCK_PATH_MAX] = 0;
    CHECK(sock_addr_unix(&a, longest, &e) == ERR_OK);
    sock_addr_print(&a, text);
    CHECK_U64(strlen(text), 5 + SOCK_PATH_MAX);
    longest[SOCK_PATH_MAX] = 'x';
    longest[SOCK_PATH_MAX + 1] = 0;
    CHECK(sock_addr_unix(&a, longest, &e) == ERR_INVALID);
    CHECK(strstr(e.text, ": expected a path of 1 to 107 bytes, got 108"));
    CHECK(sock_addr_unix(&a, "@", &e) == ERR_INVALID);
    CHECK_STR(e.text, "unix:@: expected a path of 1 to 107 bytes, got 0");
}

static void a_unix_socket_carries_bytes_and_has_its_mode(void)
{
    err e;
    int listener, client, server;
    sock_addr at, local;
    char byte = 'x', got = 0;
    size_t n;
    const char *const names[] = {"a.sock", test_own("@test_sock")};
    for (size_t i = 0; i < COUNTOF(names); i++) {
        const char *path = names[i][0] == '@' ? names[i] : test_folder_path(names[i]);
        mode_t mask = umask(0077);
        CHECK(unix_listen(path, 0620, &listener, &e) == ERR_OK);
        umask(mask);
        CHECK(sock_addr_unix(&at, path, &e) == ERR_OK && sock_local(listener, &local, &e) == ERR_OK);
        CHECK(sock_addr_eq(&at, &local));
        CHECK(sock_connect(&at, &client, &e) == ERR_OK);
        CHECK(accept_soon(listener, &server, NULL) == SOCK_DONE);
        CHECK(sock_write(client, &(struct iovec){&byte, 1}, 1, &n) == SOCK_DONE);
        CHECK(sock_read(server, &got, 1, &n) == SOCK_DONE && got == 'x');
        sock_close(client);
        sock_close(server);
        if (path[0] != '@') CHECK_U64((uint64_t)test_folder_mode("a.sock"), 0620);
        sock_close(listener);
    }
    unlink(test_folder_path("a.sock"));
}

static void a_path_is_taken_only_from_the_dead(void)
{
    err e;
    int first, second;
    char want[160];
    CHECK(unix_listen(test_folder_path("b"), 0600, &first, &e) == ERR_OK);
    snprintf(want, sizeof want, "unix:%s: cannot listen: Address already in use", test_folder_path("b"));
    CHECK(unix_listen(test_folder_path("b"), 0600, &second, &e) == ERR_CONFLICT);
    CHECK_STR(e.text, want);
    sock_close(first);   /* as a killed process leaves it */
    CHECK(test_folder_mode("b") == 0600);
    CHECK(unix_listen(test_folder_path("b"), 0660, &second, &e) == ERR_OK);
    CHECK(test_folder_mode("b") == 0660);
    sock_close(second);
    /* The dead one's file is there when it is looked at, and another's when it is taken: that one goes back. */
    sys_fake_script((sys_fault[]){{SYS_stat_at, .skip = 1, .times = 1, .result = -EIO}}, 1);
    CHECK(unix_listen(test_folder_path("b"), 0600, &second, &e) == ERR_CONFLICT && test_folder_mode("b") == 0660);
    sys_fake_script((sys_fault[]){{SYS_rename, .times = 1, .result = -ENOENT}}, 1);   /* gone, and then there again */
    CHECK(unix_listen(test_folder_path("b"), 0600, &second, &e) == ERR_CONFLICT);
    sys_fake_script((sys_fault[]){{SYS_connect, .times = 1, .result = -EACCES}}, 1);
    CHECK(unix_listen(test_folder_path("b"), 0600, &second, &e) == ERR_INVALID);
    static const int64_t alive[] = {-EAGAIN, -EPROTOTYPE, 0};
    for (size_t i = 0; i < COUNTOF(alive); i++) {
        sys_fake_script((sys_fault[]){{SYS_connect, .times = 1, .result = alive[i]}}, 1);
        CHECK(unix_listen(test_folder_path("b"), 0600, &second, &e) == ERR_CONFLICT);
    }
    sys_fake_script(NULL, 0);
    unlink(test_folder_path("b"));
    CHECK(file_write(test_folder_path("b"), "x", 1, &e) == ERR_OK);
    snprintf(want, sizeof want, "unix:%s: cannot listen: expected a socket or nothing there, got another file",
             test_folder_path("b"));
    CHECK(unix_listen(test_folder_path("b"), 0600, &second, &e) == ERR_CONFLICT);
    CHECK_STR(e.text, want);
    unlink(test_folder_path("b"));
    CHECK(unix_listen(test_folder_path("no/b"), 0600, &second, &e) == ERR_NOT_FOUND);
}

static void a_file_is_removed_by_whoever_made_it(void)
{
    err e;
    int fd, other;
    file_id made;
    sock_addr a;
    CHECK(unix_listen(test_folder_path("c"), 0600, &fd, &e) == ERR_OK);
    CHECK(sock_addr_unix(&a, test_folder_path("c"), &e) == ERR_OK);
    CHECK(file_identify(test_folder_path("c"), &made, &e) == ERR_OK);
    sock_close(fd);
    CHECK(unix_listen(test_folder_path("c"), 0600, &other, &e) == ERR_OK);
    sock_file_remove(&a, &made);
    CHECK(test_folder_mode("c") == 0600);   /* it is the other's */
    CHECK(file_identify(test_folder_path("c"), &made, &e) == ERR_OK);
    sock_file_remove(&a, &made);
    CHECK(test_folder_mode("c") == -1);
    sock_file_remove(&a, &made);
    sock_close(other);
}

static void only_what_listens_is_adopted(void)
{
    err e;
    sock_addr at, got;
    int listener, flags[2], value = 0;
    open_listener(&listener, &at);
    CHECK(fcntl(listener, F_SETFL, 0) == 0 && fcntl(listener, F_SETFD, 0) == 0);
    CHECK(sock_adopt(listener, &got, &e) == ERR_OK && sock_addr_eq(&at, &got));
    flags[0] = fcntl(listener, F_GETFL);
    flags[1] = fcntl(listener, F_GETFD);
    CHECK((flags[0] & O_NONBLOCK) && (flags[1] & FD_CLOEXEC));
    CHECK(sys_real_option_get(listener, IPPROTO_TCP, TCP_NODELAY, &value) == 0 && value == 1);
    SYS_SWEEP(-ENOBUFS, { CHECK((sock_adopt(listener, &got, &e) == ERR_OK) != sys_fake_fired()); });
    sock_close(listener);
    static const struct {
        int family, kind;
        const char *want;
    } rows[] = {
        {AF_INET, SOCK_STREAM, ": expected a socket that listens, got one that does not"},
        {AF_INET, SOCK_DGRAM, ": expected a stream socket, TCP or Unix, got another kind"},
        {AF_UNIX, SOCK_SEQPACKET, ": expected a stream socket, TCP or Unix, got another kind"},
        {AF_NETLINK, SOCK_DGRAM, ": expected a stream socket, TCP or Unix, got another kind"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        int fd = socket(rows[i].family, rows[i].kind | SOCK_CLOEXEC, 0);
        CHECK(sock_adopt(fd, &got, &e) == ERR_INVALID && strstr(e.text, rows[i].want));
        close(fd);
    }
    CHECK(sock_adopt(9999, &got, &e) == ERR_INVALID);
    CHECK_STR(e.text, "descriptor 9999: expected a socket that listens, got none that is open");
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(sock_adopt(fd, &got, &e) == ERR_INVALID && strstr(e.text, ", got no socket"));
    close(fd);
}

static void no_failing_step_of_a_unix_listener_leaks(void)
{
    err e;
    SYS_SWEEP(-ENOBUFS, {
        int fd = -1;
        err_code rc = unix_listen(test_folder_path("d"), 0600, &fd, &e);
        CHECK((rc == ERR_OK) == (fd >= 0));
        sock_close(fd);   /* its file stays: the next one replaces it */
    });
    unlink(test_folder_path("d"));
}

static void a_refused_connection_says_so(void)
{
    err e;
    int listener, client, poll;
    sock_addr at;
    size_t count = 0;
    poll_event events[POLL_BATCH_MAX];
    open_listener(&listener, &at);
    sock_close(listener);
    err_code rc = sock_connect(&at, &client, &e);
    if (rc == ERR_OK) {
        CHECK(poll_open(&poll, &e) == ERR_OK && poll_add(poll, client, POLL_WRITE, NULL, &e) == ERR_OK);
        CHECK(poll_wait(poll, events, 1000000, &count, &e) == ERR_OK && count == 1);
        rc = sock_connected(client, &at, &e);
        poll_close(poll);
        sock_close(client);
    }
    CHECK(rc == ERR_UNAVAILABLE);
    CHECK(strstr(e.text, ": cannot connect: Connection refused"));
}

int main(void)
{
    static const test_case cases[] = {
        TEST(addresses_print_as_they_are_read),
        TEST(bytes_arrive_whole_through_short_and_interrupted_calls),
        TEST(a_vanished_peer_is_an_answer_not_a_signal),
        TEST(a_full_table_of_descriptors_is_told_apart_from_nothing_to_accept),
        TEST(who_came_before_the_door_shut_is_in_and_nobody_else),
        TEST(listeners_share_a_port_only_when_they_join),
        TEST(accepted_sockets_send_at_once_and_do_not_block),
        TEST(no_failing_step_leaks),
        TEST(unix_addresses_print_as_they_are_read),
        TEST(a_unix_socket_carries_bytes_and_has_its_mode),
        TEST(a_path_is_taken_only_from_the_dead),
        TEST(a_file_is_removed_by_whoever_made_it),
        TEST(only_what_listens_is_adopted),
        TEST(no_failing_step_of_a_unix_listener_leaks),
        TEST(a_refused_connection_says_so),
    };
    if (!test_folder_open()) return 1;
    int failed = test_main(cases, COUNTOF(cases));
    test_folder_close();
    return failed;
}
