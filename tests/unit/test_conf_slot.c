/* A server has a model, or a way for one to come, and a slot no model; the control socket has a file, which keeps other
 * users out. */
#include "serve/conf_slot.h"
#include "conf_rig.h"

static conf c;

static void refuses(const char *line, const char *want)
{
    err e = {0};
    conf_rig_fresh(&c);
    CHECK(conf_rig_flags(&c, line, &e) == ERR_OK);
    CHECK(conf_check(&c, &e) == ERR_INVALID);
    CHECK_STR(e.text, want);
}

static void takes(const char *line)
{
    err e = {0};
    conf_rig_fresh(&c);
    CHECK(conf_rig_flags(&c, line, &e) == ERR_OK);
    CHECK(conf_check(&c, &e) == ERR_OK);
}

static void a_slot_has_a_way_for_a_model_to_come(void)
{
    refuses("--slot", "slot: expected control or model-repository with it, got neither");
    refuses("--control unix:/c", "expected NAME=PATH, --model-dir or --model-repository, got no model");
    takes("--slot --control unix:/c");
    takes("--slot --model-repository /m");
    takes("--slot --control unix:/c --model-repository /m");
    takes("--control unix:/c m=/m");
}

static void a_slot_begins_without_a_model(void)
{
    refuses("--slot --control unix:/c m=/a", "slot: expected no model with it, got '/a'");
    refuses("--slot --control unix:/c --model-dir /b", "slot: expected no model with it, got '/b'");
}

static void what_is_loaded_at_the_start_is_chosen_where_clients_may_load_the_rest(void)
{
    refuses("--load-model m m=/m", "load-model: expected model-control explicit with it, got 'none'");
    refuses("--load-model m --model-control poll m=/m",
            "load-model: expected model-control explicit with it, got 'poll'");
    refuses("--load-model m --model-control explicit --slot --control unix:/c",
            "slot: expected no load-model with it, got 'm'");
    refuses("--load-model * --load-model m --model-control explicit m=/m",
            "load-model: expected names, or * alone, got '*,m'");
    refuses("--load-model m,,n --model-control explicit m=/m", "load-model: expected names, or * alone, got 'm,,n'");
    takes("--load-model * --model-control explicit m=/m");
    takes("--load-model=m --load-model n,o --model-control-mode=explicit m=/m");
    CHECK(str_is(c.load_model, "m,n,o"));
}

static void aliases_are_read_before_anything_is_opened(void)
{
    refuses("--alias prod m=/m", "alias: expected NAME=MODEL, NAME=MODEL:VERSION or MODEL:LABEL=MODEL:VERSION, got "
                                 "'prod'");
    refuses("--alias a=m,,b=m m=/m", "alias: expected NAME=MODEL, NAME=MODEL:VERSION or MODEL:LABEL=MODEL:VERSION, got "
                                     "''");
    takes("--alias prod=m --alias=m:stable=m:1,a=prod m=/m");
    CHECK(str_is(c.alias, "prod=m,m:stable=m:1,a=prod"));
}

static void the_control_socket_is_a_file(void)
{
    static const struct {
        const char *line, *want;
    } rows[] = {
        {"--slot --control unix:@c", "control: expected unix:PATH, got 'unix:@c'"},
        {"--slot --control unix:", "control: expected unix:PATH, got 'unix:'"},
        {"--slot --control unix://@c", "control: expected unix:PATH, got 'unix://@c'"},
        {"--slot --control /c", "control: expected unix:PATH, got '/c'"},
        {"--slot --control 127.0.0.1:1", "control: expected unix:PATH, got '127.0.0.1:1'"},
        {"--slot --control unix:/c --handover /h", "control: expected no handover with it, got '/h'"},
    };
    sock_addr at;
    err e;
    for (size_t i = 0; i < COUNTOF(rows); i++) refuses(rows[i].line, rows[i].want);
    takes("--slot --control unix:///run/c");
    CHECK(conf_control(&c, &at, &e) == ERR_OK);
    CHECK_STR(sock_addr_path(&at), "/run/c");
}

static void a_descriptor_is_a_number_or_nothing(void)
{
    err e = {0};
    takes("--slot --control unix:/c");
    CHECK_U64(c.ready_fd, CONF_PORT_NONE);
    takes("--slot --control unix:/c --ready-fd 0");
    CHECK_U64(c.ready_fd, 0);
    conf_rig_fresh(&c);
    CHECK(conf_rig_flags(&c, "--ready-fd x", &e) == ERR_INVALID);
    CHECK_STR(e.text, "--ready-fd: expected an integer in 0..65535, got 'x'");
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_slot_has_a_way_for_a_model_to_come),
        TEST(a_slot_begins_without_a_model),
        TEST(aliases_are_read_before_anything_is_opened),
        TEST(what_is_loaded_at_the_start_is_chosen_where_clients_may_load_the_rest),
        TEST(the_control_socket_is_a_file),
        TEST(a_descriptor_is_a_number_or_nothing),
    };
    return test_main(cases, COUNTOF(cases));
}
