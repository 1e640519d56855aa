/* What must hold for any number of sockets and loops: every socket is watched by a loop, every loop watches one of each
 * address; a socket closes when its last loop leaves; a Unix socket's file goes before that, unless it is another's. */
#include "fake/sys_fake.h"
#include "let_in.h"
#include "net/listeners.h"
#include "test_folder.h"

static err_code open_tcp(listeners *l, uint16_t port, size_t sockets, err *e)
{
    sock_addr a;
    err_code rc = sock_addr_parse(&a, "127.0.0.1", port, e);
    return rc ? rc : listeners_open(l, &(listeners_opts){.addr = &a, .sockets = sockets}, e);
}

static err_code open_unix(listeners *l, const char *name, err *e)
{
    sock_addr a;
    err_code rc = sock_addr_unix(&a, test_folder_path(name), e);
    return rc ? rc : listeners_open(l, &(listeners_opts){.addr = &a, .sockets = 9, .mode = 0600}, e);
}

static void every_socket_has_a_loop_and_every_loop_a_socket(void)
{
    err e;
    for (size_t sockets = 1; sockets <= 7; sockets++) {
        for (size_t loops = 1; loops <= 7; loops++) {
            listeners *l = NULL;
            listener *seen[64];
            size_t seen_count = 0, watchers = 0;
            long fds = sys_fake_fds();
            CHECK(listeners_new(&l, &e) == ERR_OK && open_tcp(l, 0, sockets, &e) == ERR_OK);
            CHECK(open_unix(l, "a", &e) == ERR_OK);
            CHECK_U64((uint64_t)(sys_fake_fds() - fds), sockets + 1);
            listeners_deal(l, loops);
            for (size_t loop = 0; loop < loops; loop++) {
                listeners_cursor at = {0};
                size_t mine = 0;
                for (listener *one; (one = listeners_next(l, &at, loop)) != NULL; mine++) {
                    size_t i = 0;
                    CHECK(one->fd >= 0);
                    while (i < seen_count && seen[i] != one) i++;
                    CHECK(i == seen_count || one->shared);
                    if (i == seen_count) seen[seen_count++] = one;
                }
                CHECK(mine >= 2);
                watchers += mine;
            }
            CHECK_U64(seen_count, sockets + 1);
            CHECK_U64(watchers, (sockets > loops ? sockets : loops) + loops);
            listeners_free(l);
            CHECK(sys_fake_fds() == fds && test_folder_mode("a") < 0);
        }
    }
}

static void a_socket_closes_with_its_last_loop(void)
{
    err e;
    listeners *l = NULL;
    listeners_cursor at[2] = {{0}, {0}};
    long fds = sys_fake_fds();
    CHECK(listeners_new(&l, &e) == ERR_OK && open_unix(l, "a", &e) == ERR_OK);
    listeners_deal(l, 2);
    listener *one = listeners_next(l, &at[0], 0);
    CHECK(one && one == listeners_next(l, &at[1], 1) && one->shared && !listeners_next(l, &at[1], 1));
    listeners_hide(l);
    CHECK(test_folder_mode("a") < 0);
    listeners_leave(one);
    CHECK(one->fd >= 0);
    listeners *next = NULL;   /* whoever starts meanwhile has the path to himself */
    CHECK(listeners_new(&next, &e) == ERR_OK && open_unix(next, "a", &e) == ERR_OK);
    listeners_hide(l);
    listeners_leave(one);
    CHECK(one->fd == -1);
    listeners_free(l);
    CHECK(test_folder_mode("a") >= 0);
    listeners_free(next);
    CHECK(test_folder_mode("a") < 0 && sys_fake_fds() == fds);
}

static void sockets_of_one_port_share_it(void)
{
    err e;
    listeners *l = NULL;
    listeners *other = NULL;
    char text[SOCK_ADDR_TEXT_MAX], want[SOCK_ADDR_TEXT_MAX + 64];
    CHECK(listeners_new(&l, &e) == ERR_OK && listeners_new(&other, &e) == ERR_OK);
    CHECK(open_tcp(l, 0, 3, &e) == ERR_OK && listeners_count(l) == 1);
    uint16_t port = sock_addr_port(listeners_at(l, 0));
    CHECK(port > 0);
    sock_addr_print(listeners_at(l, 0), text);
    snprintf(want, sizeof want, "%s: cannot listen: Address already in use", text);
    CHECK(open_tcp(other, port, 3, &e) == ERR_CONFLICT);
    CHECK_STR(e.text, want);
    CHECK_U64(listeners_count(other), 0);
    listeners_free(other);
    listeners_free(l);
    listeners_free(NULL);
}

static void an_adopted_socket_keeps_its_file(void)
{
    err e;
    listeners *l = NULL;
    sock_addr a;
    int fd = -1, plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(sock_addr_unix(&a, test_folder_path("b"), &e) == ERR_OK);
    CHECK(sock_listen(&(sock_listen_opts){.addr = &a, .mode = 0600}, &fd, &e) == ERR_OK);
    CHECK(listeners_new(&l, &e) == ERR_OK);
    CHECK(listeners_adopt(l, plain, false, &e) == ERR_INVALID && listeners_count(l) == 0);
    close(plain);
    CHECK(listeners_adopt(l, fd, false, &e) == ERR_OK && listeners_count(l) == 1);
    CHECK(sock_addr_eq(listeners_at(l, 0), &a));
    listeners_free(l);
    CHECK(test_folder_mode("b") >= 0);
    unlink(test_folder_path("b"));
}

/* As in a hand-over: the heir removes nothing before it owns, the other nothing afterwards. */
static void files_belong_to_one_of_two(void)
{
    err e;
    listeners *old = NULL;
    listeners *heir = NULL;
    CHECK(listeners_new(&old, &e) == ERR_OK && open_tcp(old, 0, 2, &e) == ERR_OK && open_unix(old, "a", &e) == ERR_OK);
    for (int owns = 0; owns < 2; owns++) {
        CHECK(listeners_new(&heir, &e) == ERR_OK);
        for (size_t i = 0; i < 2; i++) {
            for (size_t k = 0; listeners_socket(old, i, k) >= 0; k++)
                CHECK(listeners_adopt(heir, dup(listeners_socket(old, i, k)), listeners_made(old, i), &e) == ERR_OK);
        }
        CHECK(listeners_count(heir) == 2 && listeners_socket(heir, 0, 1) >= 0 && listeners_socket(heir, 0, 2) == -1);
        CHECK(listeners_made(heir, 0) && listeners_made(heir, 1));
        if (owns) {
            listeners_own(heir);
            listeners_disown(old);
            listeners_free(old);
            CHECK(test_folder_mode("a") >= 0);
        }
        listeners_free(heir);
        CHECK((test_folder_mode("a") >= 0) == !owns);
    }
}

/* While two processes have a socket, neither may keep clients from the other; after that none of the sockets that share
 * a port lets anybody in. */
static void only_who_has_sockets_alone_lets_none_in(void)
{
    err e;
    enum { SOCKETS = 3, TRIES = 30 };
    for (int kind = 0; kind < 2; kind++) {
        listeners *old = NULL;
        listeners *heir = NULL;
        CHECK(listeners_new(&old, &e) == ERR_OK && listeners_new(&heir, &e) == ERR_OK);
        CHECK((kind ? open_unix(old, "a", &e) : open_tcp(old, 0, SOCKETS, &e)) == ERR_OK);
        for (size_t k = 0; listeners_socket(old, 0, k) >= 0; k++)
            CHECK(listeners_adopt(heir, dup(listeners_socket(old, 0, k)), listeners_made(old, 0), &e) == ERR_OK);
        listeners_disown(old);
        CHECK(!listeners_hide(old) && is_let_in(listeners_at(old, 0)));
        CHECK(!listeners_hide(heir) && is_let_in(listeners_at(heir, 0)));
        listeners_own(heir);
        CHECK(listeners_hide(heir) == (kind == 0));   /* a handshake takes a while */
        size_t in = 0;
        for (int i = 0; i < TRIES; i++) in += is_let_in(listeners_at(heir, 0));
        CHECK(in == 0 || (kind == 0 && !kernel_lets_none_in()));
        listeners_free(old);
        listeners_free(heir);
    }
}

static void addresses_move_whole(void)
{
    err e;
    listeners *from = NULL;
    listeners *to = NULL;
    long fds = sys_fake_fds();
    CHECK(listeners_new(&from, &e) == ERR_OK && listeners_new(&to, &e) == ERR_OK);
    CHECK(open_tcp(from, 0, 2, &e) == ERR_OK && open_unix(from, "a", &e) == ERR_OK);
    CHECK(open_unix(from, "b", &e) == ERR_OK);
    CHECK(open_unix(to, "c", &e) == ERR_OK);
    CHECK(listeners_move(to, from, 1, &e) == ERR_OK && listeners_count(from) == 2 && listeners_count(to) == 2);
    CHECK_STR(sock_addr_path(listeners_at(to, 1)), test_folder_path("a"));
    CHECK_STR(sock_addr_path(listeners_at(from, 1)), test_folder_path("b"));
    listeners_hide(to);
    CHECK(test_folder_mode("a") < 0 && test_folder_mode("b") >= 0 && test_folder_mode("c") < 0);
    listeners_free(from);
    CHECK(test_folder_mode("b") < 0);
    listeners_free(to);
    CHECK_U64((uint64_t)sys_fake_fds(), (uint64_t)fds);
}

static void there_is_a_limit(void)
{
    err e;
    listeners *l = NULL;
    char name[16];
    CHECK(listeners_new(&l, &e) == ERR_OK);
    for (int i = 0; i < LISTENERS_MAX; i++) {
        snprintf(name, sizeof name, "n%d", i);
        CHECK(open_unix(l, name, &e) == ERR_OK);
    }
    CHECK(open_unix(l, "more", &e) == ERR_LIMIT && test_folder_mode("more") < 0);
    CHECK_STR(e.text, "listeners: expected at most 64 addresses, got one more");
    listeners_free(l);
}

static void construct(void)
{
    err e;
    listeners *l = NULL;
    if (listeners_new(&l, &e)) return;
    (void)!open_tcp(l, 0, 2, &e);
    (void)!open_unix(l, "a", &e);
    listeners_free(l);
}

static void construction_survives_every_fault(void)
{
    FAULT_SWEEP(construct());
    SYS_SWEEP(-ENOBUFS, construct());
    unlink(test_folder_path("a"));
}

int main(void)
{
    static const test_case cases[] = {
        TEST(every_socket_has_a_loop_and_every_loop_a_socket),
        TEST(a_socket_closes_with_its_last_loop),
        TEST(sockets_of_one_port_share_it),
        TEST(an_adopted_socket_keeps_its_file),
        TEST(files_belong_to_one_of_two),
        TEST(only_who_has_sockets_alone_lets_none_in), TEST(addresses_move_whole),
        TEST(there_is_a_limit),
        TEST(construction_survives_every_fault),
    };
    if (!test_folder_open()) return 1;
    int failed = test_main(cases, COUNTOF(cases));
    test_folder_close();
    return failed;
}
