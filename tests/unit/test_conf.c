/* A later source overrides an earlier one, every source passes the same checks, and each refusal is one exact line that
 * says where. */
#include "serve/conf.h"
#include "conf_rig.h"

#include <stdio.h>

static conf c;

static void fresh(void)
{
    conf_rig_fresh(&c);
}

static err_code flags(const char *line, err *e) { return conf_rig_flags(&c, line, e); }

static const char *environment(const char *name)
{
    if (strcmp(name, "PROA_PORT") == 0) return "81";
    if (strcmp(name, "PROA_QUEUE_MAX") == 0) return "7";
    return NULL;
}

static void later_sources_override_earlier_ones(void)
{
    err e;
    fresh();
    CHECK_U64(c.port, 8080);
    CHECK(str_is(c.address, "127.0.0.1"));
    CHECK(conf_yaml(&c, "f", STR("port: 80\nqueue_max: 5\nbody-bytes-max: 2Mi\nmodels:\n  a: /m\n"), &e) == ERR_OK);
    CHECK_U64(c.port, 80);
    CHECK_U64(c.body_bytes_max, 2 << 20);
    CHECK(conf_env(&c, environment, &e) == ERR_OK);
    CHECK_U64(c.port, 81);
    CHECK(flags("--port=82 b=/n --log-requests --model_name m --model_dir=/d", &e) == ERR_OK);
    CHECK_U64(c.port, 82);
    CHECK_U64(c.queue_max, 7);
    CHECK_U64(c.log_requests, 1);
    CHECK(str_is(c.model_name, "m") && str_is(c.model_dir, "/d"));
    CHECK_U64(c.model_count, 2);
    CHECK(str_is(c.models[0].name, "a") && str_is(c.models[0].path, "/m"));
    CHECK(str_is(c.models[1].name, "b") && str_is(c.models[1].path, "/n"));
    CHECK(conf_check(&c, &e) == ERR_OK);
}

static const char *linked;

static const char *with_a_service(const char *name) { return strcmp(name, "PROA_PORT") == 0 ? linked : NULL; }

static void a_port_that_kubernetes_set_for_a_service_is_ignored(void)
{
    static const char *const links[] = {"tcp://10.0.0.1:8080", "udp://10.0.0.1:53", "sctp://[fd00::1]:1"};
    err e;
    for (size_t i = 0; i < COUNTOF(links); i++) {
        fresh();
        CHECK(conf_yaml(&c, "f", STR("port: 80\n"), &e) == ERR_OK);
        linked = links[i];
        CHECK(conf_env(&c, with_a_service, &e) == ERR_OK);
        CHECK_U64(c.port, 80);
        CHECK_STR(c.service_link, links[i]);
    }
    fresh();
    linked = "http://10.0.0.1:8080";
    CHECK(conf_env(&c, with_a_service, &e) == ERR_INVALID);
    CHECK_STR(e.text, "PROA_PORT: expected an integer in 0..65535, got 'http://10.0.0.1:8080'");
    CHECK(!c.service_link);
}

static void flags_take_every_spelling(void)
{
    err e;
    fresh();
    CHECK(flags("--http_port 9 --log-requests false --log-format json --header-wait-ms=1 --config x -h", &e) == ERR_OK);
    CHECK_U64(c.port, 9);
    CHECK_U64(c.log_requests, 0);
    CHECK(conf_yaml(&c, "f", STR("log-requests: True\n"), &e) == ERR_OK);
    CHECK_U64(c.log_requests, 1);
    CHECK_U64(c.log_format, CONF_LOG_JSON);
    CHECK(c.help);
    CHECK(flags("--log-requests a=/b", &e) == ERR_OK);
    CHECK_U64(c.log_requests, 1);
    CHECK_U64(c.model_count, 1);
}

static void behind_two_dashes_there_are_models(void)
{
    static char end[] = "--", config[] = "--config", file[] = "f.yaml";
    char *const argv[] = {end, config, file, NULL};
    err e;
    fresh();
    CHECK(flags("a=/a --port 9 -- b=/b --port=/c -h=/d", &e) == ERR_OK);
    CHECK_U64(c.port, 9);
    CHECK_U64(c.model_count, 4);
    CHECK(str_is(c.models[2].name, "--port") && str_is(c.models[3].name, "-h") && !c.help);
    CHECK(flags("-- --", &e) == ERR_INVALID);
    CHECK_STR(e.text, "expected NAME=PATH, got '--'");
    CHECK(conf_file_flag(3, argv, environment) == NULL);
}

static void many_models_keep_their_order(void)
{
    err e;
    fresh();
    for (int i = 0; i < 100; i++) {
        char name[16];
        int n = snprintf(name, sizeof name, "m%d", i);
        CHECK(conf_model_add(&c, "w", (str){name, (size_t)n}, STR("/p"), &e) == ERR_OK);
    }
    CHECK(str_is(c.models[0].name, "m0") && str_is(c.models[63].name, "m63") && str_is(c.models[99].name, "m99"));
}

static void as_many_models_as_the_limit_says(void)
{
    err e;
    fresh();
    for (int i = 0; i < CONF_MODELS_MAX; i++) CHECK(conf_model_add(&c, "w", STR("m"), STR("/p"), &e) == ERR_OK);
    CHECK(conf_model_add(&c, "w", STR("m"), STR("/p"), &e) == ERR_LIMIT);
    CHECK_STR(e.text, "w: more than 4096 models");
    CHECK_U64(c.model_count, CONF_MODELS_MAX);
}

static void values_may_be_at_their_bounds(void)
{
    err e;
    fresh();
    CHECK(flags("--port 65535 --queue-max 65536 --body-bytes-max 1Ti --header-bytes-max 256", &e) == ERR_OK);
    CHECK_U64(c.port, 65535);
    CHECK_U64(c.queue_max, 65536);
    CHECK_U64(c.body_bytes_max, 1ull << 40);
    CHECK(flags("--port 0 --queue-max 1 --body-bytes-max 1Ki", &e) == ERR_OK);
    CHECK_U64(c.body_bytes_max, 1024);
}

static const char *config_variable(const char *name) { return strcmp(name, "PROA_CONFIG") == 0 ? "v.yaml" : NULL; }

static void the_file_is_named_by_a_flag_or_a_variable(void)
{
    static char port[] = "--port", one[] = "1", config[] = "--config", file[] = "f.yaml", joined[] = "--config=g.yaml";
    char *const argv[] = {port, one, config, file, joined, config, NULL};
    CHECK_STR(conf_file_flag(4, argv, config_variable), "f.yaml");
    CHECK_STR(conf_file_flag(1, argv + 4, config_variable), "g.yaml");
    CHECK_STR(conf_file_flag(2, argv, config_variable), "v.yaml");
    CHECK_STR(conf_file_flag(1, argv + 5, config_variable), "v.yaml"); /* conf_flags() refuses a flag without a value */
    CHECK(conf_file_flag(2, argv, environment) == NULL);
}

static const char *with_no_keys(const char *name) { return strcmp(name, "PROA_API_KEYS") == 0 ? "" : NULL; }

static void a_path_that_is_given_is_not_empty(void)
{
    static const char *const names[] = {"api-keys", "tls-cert",         "tls-key",   "tls-client-ca",
                                         "jobs-dir", "model-repository", "model-dir", "trace-file",
                                         "handover", "control",          "otlp-cert", "webhook-cacert"};
    err e;
    for (size_t i = 0; i < COUNTOF(names); i++) {
        char line[80], want[80];
        fresh();
        snprintf(line, sizeof line, "--%s=", names[i]);
        snprintf(want, sizeof want, "--%s: expected a path, got ''", names[i]);
        CHECK(flags(line, &e) == ERR_INVALID);
        CHECK_STR(e.text, want);
    }
    fresh();
    CHECK(conf_env(&c, with_no_keys, &e) == ERR_INVALID);
    CHECK_STR(e.text, "PROA_API_KEYS: expected a path, got ''");
    fresh();
    CHECK(conf_yaml(&c, "f", STR("tls-cert: ''\n"), &e) == ERR_INVALID);
    CHECK_STR(e.text, "f:1:1: tls-cert: expected a path, got ''");
    fresh();
    CHECK(conf_yaml(&c, "f", STR("tls-key:\n"), &e) == ERR_INVALID);
    CHECK_STR(e.text, "f:1:9: tls-key: expected a path, got nothing");
}

static void flags_refuse(const char *line, const char *text)
{
    err e = {0};
    fresh();
    err_code rc = flags(line, &e);
    if (rc == ERR_OK) rc = conf_check(&c, &e);
    CHECK(rc != ERR_OK);
    CHECK_STR(e.text, text);
}

static void yaml_refuse(const char *yaml, const char *text)
{
    err e = {0};
    fresh();
    CHECK(conf_yaml(&c, "f.yaml", str_of(yaml), &e) == ERR_INVALID);
    CHECK_STR(e.text, text);
}

static void refusals_say_where_and_what(void)
{
    flags_refuse("--port 65536", "--port: expected an integer in 0..65535, got '65536'");
    flags_refuse("--port -1", "--port: expected an integer in 0..65535, got '-1'");
    flags_refuse("--queue-max 0", "--queue-max: expected an integer in 1..65536, got '0'");
    flags_refuse("--port", "--port: expected a value after it, got nothing");
    flags_refuse("--prot=1", "unknown option 'prot', did you mean 'port'?");
    flags_refuse("--zzzzzzzzzzzz", "unknown option 'zzzzzzzzzzzz'; see proa serve --help");
    flags_refuse("--model-repository /a --port 1 --model-repository=/b",
                 "--model-repository: expected one folder, and other models as NAME=PATH, got '/b' behind '/a'");
    err e;
    fresh();
    CHECK(flags("--port 1 --port=2 --model-dir /a --model-dir /b", &e) == ERR_OK);   /* of others the last counts */
    CHECK(c.port == 2 && str_is(c.model_dir, "/b"));
    flags_refuse("-x", "unknown option '-x'; see proa serve --help");
    flags_refuse("--help=1", "help: expected --help and nothing else");
    flags_refuse("model", "expected NAME=PATH, got 'model'");
    flags_refuse("=p", "command line: expected NAME=PATH, got '=p'");
    flags_refuse("a=", "command line: expected NAME=PATH, got 'a='");
    flags_refuse("a=/1 a=/2", "models: duplicate name 'a' for /1 and /2");
    flags_refuse("--model-name x", "--model-name: expected --model-dir with it, got none");
    flags_refuse("", "expected NAME=PATH, --model-dir or --model-repository, got no model");
    flags_refuse("a=/b --body-bytes-max 1Mi --bodies-bytes-max 2097151",
                 "bodies-bytes-max: expected at least twice body-bytes-max, 2097152, got '2097151'");
    flags_refuse("a=/b --reply-bytes-max 1Mi --replies-bytes-max 2097151",
                 "replies-bytes-max: expected at least twice reply-bytes-max, 2097152, got '2097151'");
    flags_refuse("--body-bytes-max 99999999999999999999Gi",
                 "--body-bytes-max: expected bytes (plain, or with Ki, Mi, Gi) in 1024..1099511627776, got "
                 "'99999999999999999999Gi'");
    flags_refuse("--body-bytes-max 16777217Ti",
                 "--body-bytes-max: expected bytes (plain, or with Ki, Mi, Gi) in 1024..1099511627776, got "
                 "'16777217Ti'");   /* 2^64 + 2^40 */
    flags_refuse("--log-level inf", "--log-level: expected debug, info, warn or error, got 'inf'");
    flags_refuse("--log-requests=maybe", "--log-requests: expected true or false, got 'maybe'");
    yaml_refuse("port: many\n", "f.yaml:1:1: port: expected an integer in 0..65535, got 'many'");
    yaml_refuse("port: [1]\n", "f.yaml:1:7: port: expected an integer in 0..65535, got a list");
    yaml_refuse("body_bytes_max: {a: b}\n", "f.yaml:1:17: body_bytes_max: expected bytes (plain, or with Ki, Mi, Gi) "
                                            "in 1024..1099511627776, got a map");
    yaml_refuse("log-requests:\n", "f.yaml:1:14: log-requests: expected true or false, got nothing");
    yaml_refuse("log-level: []\n", "f.yaml:1:12: log-level: expected debug, info, warn or error, got a list");
    yaml_refuse("model_dir: [a]\n", "f.yaml:1:12: model_dir: expected a path, got a list");
    yaml_refuse("\n  prot: 1\n", "f.yaml:2:3: unknown option 'prot', did you mean 'port'?");
    yaml_refuse("config: g.yaml\n", "f.yaml:1:1: config: a file cannot name another one, only --config and PROA_CONFIG "
                                    "can");
    yaml_refuse("models: 3\n", "f.yaml:1:9: models: expected a map, got '3'");
    yaml_refuse("- a\n", "f.yaml:1:1: expected a map, got a list");
}

static void memory_for_bodies_follows_the_containers(void)
{
    static const struct {
        const char *line;
        uint64_t memory_bytes, want;
    } rows[] = {
        {"a=/b", 0, 1 << 30},
        {"a=/b", 1ull << 40, 1 << 30},
        {"a=/b", 2ull << 30, 512 << 20},
        {"a=/b", 512 << 20, 256 << 20},
        {"a=/b --body-bytes-max 1Mi", 512 << 20, 128 << 20},
        {"a=/b --body-bytes-max 1Gi", 0, 4ull << 30},
        {"a=/b --body-bytes-max 1Mi --bodies-bytes-max 2Mi", 512 << 20, 2 << 20},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e;
        fresh();
        CHECK(flags(rows[i].line, &e) == ERR_OK && conf_check(&c, &e) == ERR_OK);
        CHECK_U64(conf_bodies_bytes(&c, rows[i].memory_bytes), rows[i].want);
    }
}

static void memory_for_waiting_replies_follows_the_containers(void)
{
    static const struct {
        const char *line;
        uint64_t memory_bytes, want;
    } rows[] = {
        {"a=/b", 0, 1 << 30},
        {"a=/b", 3ull << 30, 768 << 20},
        {"a=/b", 512 << 20, 512 << 20},
        {"a=/b --reply-bytes-max 1Mi", 512 << 20, 128 << 20},
        {"a=/b --reply-bytes-max 1Mi --replies-bytes-max 2Mi", 512 << 20, 2 << 20},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e;
        fresh();
        CHECK(flags(rows[i].line, &e) == ERR_OK && conf_check(&c, &e) == ERR_OK);
        CHECK_U64(conf_replies_bytes(&c, rows[i].memory_bytes), rows[i].want);
    }
}

static void help_names_every_option(void)
{
    buf help, docs;
    buf_init(&help, 1 << 20);
    buf_init(&docs, 1 << 20);
    conf_help(&help);
    conf_markdown(&docs);
    CHECK(!help.full && !docs.full);
    buf_put_byte(&help, 0);
    buf_put_byte(&docs, 0);
    CHECK(strstr((char *)help.p, "--body-bytes-max BYTES") != NULL);
    CHECK(strstr((char *)docs.p, "| `--port`, `--http-port` | `PROA_PORT` | `8080` |") != NULL);
    buf_fini(&help);
    buf_fini(&docs);
}

static void construction_survives_every_failed_allocation(void)
{
    err e;
    conf_rig_end();
    FAULT_SWEEP({
        arena small;
        conf made;
        arena_init(&small, NULL, 0, 1 << 20);
        if (conf_init(&made, &small, &e) == ERR_OK) (void)!conf_yaml(&made, "f", STR("port: 1\nmodels: {a: b}\n"), &e);
        arena_fini(&small);
    });
}

static const char *with_a_collectors_certificate(const char *name)
{
    return strcmp(name, "OTEL_EXPORTER_OTLP_CERTIFICATE") == 0 ? "ca.pem" : NULL;
}

static void what_has_no_effect_alone_is_refused(void)
{
    static const char *const otlp[] = {"cacert x", "cert x", "key x", "insecure"};
    static const char *const webhook[] = {"hosts x", "cacert x", "cert x", "key x", "insecure"};
    err e;
    char line[80], want[120];
    for (size_t i = 0; i < COUNTOF(otlp); i++) {
        snprintf(line, sizeof line, "m=/m --otlp-%s", otlp[i]);
        snprintf(want, sizeof want, "otlp-%.*s: expected otlp-endpoint with it, got none", (int)strcspn(otlp[i], " "),
                 otlp[i]);
        flags_refuse(line, want);
    }
    for (size_t i = 0; i < COUNTOF(webhook); i++) {
        snprintf(line, sizeof line, "m=/m --webhook-%s", webhook[i]);
        snprintf(want, sizeof want, "webhook-%.*s: expected jobs-dir with it, got none",
                 (int)strcspn(webhook[i], " "), webhook[i]);
        flags_refuse(line, want);
    }
    static const char *const others[][3] = {
        {"otlp-service-name", "x", "otlp-endpoint"}, {"trace-sample", "0.5", "otlp-endpoint"},
        {"trace-rate", "5", "trace-file"},           {"trace-count", "5", "trace-file"},
        {"trace-log-frequency", "5", "trace-file"},  {"trace-bytes-max", "0", "trace-file"},
        {"jobs-bytes-max", "1Mi", "jobs-dir"},       {"jobs-max", "5", "jobs-dir"},
        {"jobs-keep-s", "5", "jobs-dir"},            {"jobs-running-max", "5", "jobs-dir"},
        {"models-stay-ms", "0", "models-memory-max"}, {"models-wait-ms", "5", "models-memory-max"},
        {"pin-models", "m", "models-memory-max"},    {"handover-wait-ms", "5", "handover"},
        {"tls-min", "1.2", "tls-cert"},              {"metrics-open", "true", "api-keys"}};
    for (size_t i = 0; i < COUNTOF(others); i++) {
        snprintf(line, sizeof line, "m=/m --%s %s", others[i][0], others[i][1]);
        snprintf(want, sizeof want, "%s: expected %s with it, got none", others[i][0], others[i][2]);
        flags_refuse(line, want);
    }
    fresh();
    CHECK(flags("m=/m --poll-secs 3", &e) == ERR_OK && conf_check(&c, &e) == ERR_OK);   /* Triton's own, as there */
    fresh();
    CHECK(flags("m=/m --model-control-mode explicit --repository-poll-secs 3", &e) == ERR_OK);
    CHECK(conf_check(&c, &e) == ERR_OK);
    fresh();
    CHECK(flags("m=/m --metrics-open false", &e) == ERR_OK && conf_check(&c, &e) == ERR_OK);
    fresh();
    CHECK(flags("m=/m --jobs-dir j --jobs-max 5 --handover @h --handover-wait-ms 5", &e) == ERR_OK);
    CHECK(conf_check(&c, &e) == ERR_OK);
    flags_refuse("m=/m --otlp-endpoint xyz",
                 "otlp-endpoint: expected http[s]://HOST[:PORT], HOST:PORT or unix:/PATH, got 'xyz'");
    flags_refuse("m=/m --otlp-endpoint grpc://h:1",
                 "otlp-endpoint: expected http[s]://HOST[:PORT], HOST:PORT or unix:/PATH, got 'grpc://h:1'");
    flags_refuse("m=/m --otlp-endpoint http://h:1 --otlp-cacert x",
                 "otlp-endpoint: otlp-cacert: expected an https address with it, got 'h:1'");
    flags_refuse("m=/m --jobs-dir j --webhook-cert x", "webhook-cert: expected webhook-key with it, got none");
    flags_refuse("a/b=/m", "model name: expected 1..128 characters without blanks and / : ? # % \" \\, got 'a/b'");
    flags_refuse("m=/m --model-control poll", "model-control: expected model-repository with poll, got none");
    flags_refuse("m=/m --jobs-dir j --webhook-hosts a,http://127.0.0.1:1",
                 "webhook-hosts: expected HOST, HOST:PORT or *, got 'http://127.0.0.1:1'");
    fresh();
    CHECK(flags("m=/m --jobs-dir j --webhook-hosts a:1,* --webhook-insecure --otlp-endpoint http://h:1", &e) == ERR_OK);
    CHECK(conf_check(&c, &e) == ERR_OK);
    fresh();   /* it may be there for other programs */
    CHECK(conf_env(&c, with_a_collectors_certificate, &e) == ERR_OK && flags("m=/m", &e) == ERR_OK);
    CHECK(str_is(c.otlp_cacert, "ca.pem") && conf_check(&c, &e) == ERR_OK);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(later_sources_override_earlier_ones),
        TEST(a_port_that_kubernetes_set_for_a_service_is_ignored),
        TEST(flags_take_every_spelling),
        TEST(behind_two_dashes_there_are_models),
        TEST(many_models_keep_their_order),
        TEST(as_many_models_as_the_limit_says),
        TEST(values_may_be_at_their_bounds),
        TEST(a_path_that_is_given_is_not_empty),
        TEST(what_has_no_effect_alone_is_refused),
        TEST(the_file_is_named_by_a_flag_or_a_variable),
        TEST(refusals_say_where_and_what),
        TEST(memory_for_bodies_follows_the_containers),
        TEST(memory_for_waiting_replies_follows_the_containers),
        TEST(help_names_every_option),
        TEST(construction_survives_every_failed_allocation),
    };
    int status = test_main(cases, COUNTOF(cases));
    conf_rig_end();
    return status;
}
