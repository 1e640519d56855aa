/* Where a server listens follows from its options alone: the default gives way to what is named, nothing is there
 * twice, and what cannot be an address is refused by one exact line. */
#include "serve/conf_listen.h"
#include "conf_rig.h"

#include <stdio.h>

static conf c;

static void fresh(void)
{
    conf_rig_fresh(&c);
    conf_rig_model(&c, "m", "/m");
}

static err_code flags(const char *line, err *e) { return conf_rig_flags(&c, line, e); }

/* All addresses, with blanks between. */
static const char *addresses(bool given)
{
    static char out[4096];
    conf_addresses all = {.count = 0};
    err e;
    size_t n = 0;
    if (conf_listen(&c, given, &all, &e)) return "refused";
    out[0] = 0;
    for (size_t i = 0; i < all.count; i++) {
        char text[SOCK_ADDR_TEXT_MAX];
        sock_addr_print(&all.at[i], text);
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%s", i ? " " : "", text);
    }
    return out;
}

static void the_default_gives_way(void)
{
    static const struct {
        const char *line, *want, *given;
    } rows[] = {
        {"", "127.0.0.1:8080", ""},
        {"--port 80", "127.0.0.1:80", "127.0.0.1:80"},
        {"--address 0.0.0.0", "0.0.0.0:8080", "0.0.0.0:8080"},
        {"--listen unix:/a", "unix:/a", "unix:/a"},
        {"--listen unix:/a --port 8080", "127.0.0.1:8080 unix:/a", "127.0.0.1:8080 unix:/a"},
        {"--listen=unix:///a,[::1]:0,127.0.0.1:9 --listen unix:@n", "unix:/a [::1]:0 127.0.0.1:9 unix:@n",
         "unix:/a [::1]:0 127.0.0.1:9 unix:@n"},
        {"--http_port 8000 --grpc_port 8001 --metrics-port 8002", "127.0.0.1:8000 127.0.0.1:8001 127.0.0.1:8002",
         "127.0.0.1:8000 127.0.0.1:8001 127.0.0.1:8002"},
        {"--grpc-port 8081", "127.0.0.1:8080 127.0.0.1:8081", "127.0.0.1:8081"},
        {"--port 1 --grpc-port 1 --metrics-port 1 --listen 127.0.0.1:1,unix:x,unix:x", "127.0.0.1:1 unix:x",
         "127.0.0.1:1 unix:x"},
        {"--port 0 --grpc-port 0", "127.0.0.1:0 127.0.0.1:0", "127.0.0.1:0 127.0.0.1:0"},
        {"--listen ,", "refused", "refused"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e;
        fresh();
        CHECK(flags(rows[i].line, &e) == ERR_OK);
        CHECK_STR(addresses(false), rows[i].want);
        CHECK_STR(addresses(true), rows[i].given);
    }
}

static const char *environment(const char *name)
{
    return strcmp(name, "PROA_LISTEN") == 0 ? "unix:env, unix:env2" : strcmp(name, "PROA_GRPC_PORT") == 0 ? "" : NULL;
}

static void a_later_source_begins_the_list_anew(void)
{
    err e;
    fresh();
    CHECK(conf_yaml(&c, "f", STR("listen: [unix:a, 'unix:b']\ngrpc_port: 7\n"), &e) == ERR_OK);
    CHECK_STR(addresses(false), "127.0.0.1:7 unix:a unix:b");
    CHECK(conf_env(&c, environment, &e) == ERR_OK);
    CHECK_STR(addresses(false), "unix:env unix:env2");
    CHECK(flags("--listen unix:f --listen unix:g", &e) == ERR_OK);
    CHECK_STR(addresses(false), "unix:f unix:g");
    CHECK(flags("--listen=", &e) == ERR_OK);
    fresh();
    CHECK(conf_yaml(&c, "f", STR("port: [1]\n"), &e) == ERR_INVALID);
    CHECK_STR(e.text, "f:1:7: port: expected an integer in 0..65535, got a list");
}

static void refuse(const char *line, const char *text)
{
    err e = {0};
    fresh();
    err_code rc = flags(line, &e);
    if (rc == ERR_OK) rc = conf_check(&c, &e);
    CHECK(rc == ERR_INVALID || rc == ERR_LIMIT);
    CHECK_STR(e.text, text);
}

#define LISTEN_WANTS "listen: expected IP:PORT, [IP]:PORT, unix:PATH or unix:@NAME, got "

static void refusals_say_what(void)
{
    char line[200], want[400];
    refuse("--listen here:80", LISTEN_WANTS "'here:80'");
    refuse("--listen 127.0.0.1", LISTEN_WANTS "'127.0.0.1'");
    refuse("--listen 127.0.0.1:", LISTEN_WANTS "'127.0.0.1:'");
    refuse("--listen 127.0.0.1:65536", LISTEN_WANTS "'127.0.0.1:65536'");
    refuse("--listen :80", LISTEN_WANTS "':80'");
    refuse("--listen ::1:80", LISTEN_WANTS "'::1:80'");
    refuse("--listen [::1]", LISTEN_WANTS "'[::1]'");
    refuse("--listen /run/a.sock", LISTEN_WANTS "'/run/a.sock'");
    refuse("--listen unix:a,,unix:b", LISTEN_WANTS "''");
    refuse("--listen unix:", "listen: unix:: expected a path of 1 to 107 bytes, got 0");
    refuse("--listen unix:@", "listen: unix:@: expected a path of 1 to 107 bytes, got 0");
    refuse("--address here", "address: expected an IPv4 or IPv6 address, got 'here'");
    refuse("--grpc-port 65536", "--grpc-port: expected an integer in 0..65535, got '65536'");
    refuse("--grpc-port x", "--grpc-port: expected an integer in 0..65535, got 'x'");
    refuse("--socket-mode 0888", "--socket-mode: expected octal permissions in 0..777, got '0888'");
    refuse("--socket-mode 1000", "--socket-mode: expected octal permissions in 0..777, got '1000'");
    refuse("--socket-mode 7777777777777777777777777",
           "--socket-mode: expected octal permissions in 0..777, got '7777777777777777777777777'");
    refuse("--socket-mode=", "--socket-mode: expected octal permissions in 0..777, got ''");
    snprintf(line, sizeof line, "--listen unix:/%0107d", 1);
    snprintf(want, sizeof want, "listen: unix:/%0107d: expected a path of 1 to 107 bytes, got 108", 1);
    refuse(line, want);
}

static void a_hand_over_has_a_path(void)
{
    static const char *const rows[][2] = {{"--handover=/run/h", "unix:/run/h"},
                                          {"--handover=unix:/run/h", "unix:/run/h"},
                                          {"--handover=@h", "unix:@h"}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e;
        sock_addr at;
        char text[SOCK_ADDR_TEXT_MAX];
        fresh();
        CHECK(flags(rows[i][0], &e) == ERR_OK && conf_check(&c, &e) == ERR_OK && conf_handover(&c, &at, &e) == ERR_OK);
        sock_addr_print(&at, text);
        CHECK_STR(text, rows[i][1]);
    }
    refuse("--handover=@", "handover: unix:@: expected a path of 1 to 107 bytes, got 0");
    refuse("--handover-wait-ms=0", "--handover-wait-ms: expected an integer in 1..4294967295, got '0'");
}

static void permissions_are_octal(void)
{
    err e;
    fresh();
    CHECK_U64(c.socket_mode, 0660);
    CHECK(flags("--socket-mode 600", &e) == ERR_OK && c.socket_mode == 0600);
    CHECK(flags("--socket_mode 0777", &e) == ERR_OK && c.socket_mode == 0777);
}

static void there_is_a_limit(void)
{
    char line[4096];
    size_t n = (size_t)snprintf(line, sizeof line, "--listen=unix:0");
    for (int i = 1; i < LISTENERS_MAX; i++) n += (size_t)snprintf(line + n, sizeof line - n, ",unix:%d", i);
    err e;
    fresh();
    CHECK(flags(line, &e) == ERR_OK && conf_check(&c, &e) == ERR_OK);
    snprintf(line + n, sizeof line - n, ",unix:more");
    refuse(line, "listen: expected at most 64 addresses, got more");
}

static void lists_survive_every_failed_allocation(void)
{
    err e;
    conf_rig_end();
    FAULT_SWEEP({
        arena small;
        conf made;
        arena_init(&small, NULL, 0, 1 << 20);
        if (conf_init(&made, &small, &e) == ERR_OK) (void)!conf_yaml(&made, "f", STR("listen: [unix:a, unix:b]\n"), &e);
        arena_fini(&small);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(the_default_gives_way),
        TEST(a_later_source_begins_the_list_anew),
        TEST(refusals_say_what),
        TEST(a_hand_over_has_a_path),
        TEST(permissions_are_octal),
        TEST(there_is_a_limit),
        TEST(lists_survive_every_failed_allocation),
    };
    int status = test_main(cases, COUNTOF(cases));
    conf_rig_end();
    return status;
}
