/* conf.h - the options of `proa serve`: one table for flags, PROA_* variables, the YAML file, help and docs.
 *
 * A later source overrides an earlier one: defaults, file, environment, flags; a list that is given several times in
 * one source is all of them, of others the last counts, as whoever appends flags to a command wants it, but a second
 * model repository is refused.  Every value passes the same check, so a message differs only in where it points:
 * "--port: ...", "PROA_PORT: ...", "proa.yaml:3:7: port: ...".  On error the conf is unusable and nothing was started.
 * Strings live in the arena given to conf_init(). */
#ifndef SERVE_CONF_H
#define SERVE_CONF_H
#include "base/buf.h"
#include "base/err.h"
#include "models/model_limit.h"
#include "models/named_model.h"
#include "net/tls_trust.h"
#include "sched/resources.h"

enum { CONF_MODELS_MAX = 4096, CONF_EXPECTED_MAX = 160, CONF_ROWS_MAX = 96, CONF_PORT_NONE = 65536 };

typedef enum { CONF_TLS_12, CONF_TLS_13 } conf_tls_min;
typedef enum { CONF_CONTROL_NONE, CONF_CONTROL_POLL, CONF_CONTROL_EXPLICIT } conf_model_control;
typedef enum { CONF_LOG_TEXT, CONF_LOG_JSON } conf_log_format;

typedef struct {
    /* one member per row of the table in conf.c */
    str address, listen, handover, model_repository, model_name, model_dir, cpu;
    str tls_cert, tls_key, tls_client_ca;
    uint64_t port, grpc_port, metrics_port, socket_mode, handover_wait_ms;
    uint64_t queue_bytes_max, max_batch, max_delay_us, batch_mode, latency_objective_ms;
    uint64_t loops, threads, queue_max, inline_us, body_bytes_max, bodies_bytes_max, reply_bytes_max,
        header_bytes_max, connections_max, memory_bytes_max, image_pixels_max;
    uint64_t header_wait_ms, body_wait_ms, idle_wait_ms, write_wait_ms, drain_notice_ms, drain_wait_ms, log_level,
        log_format, log_requests, model_control;
    uint64_t compress_bytes_min, metrics_names;
    str otlp_endpoint, otlp_service_name, trace_sample;
    str otlp_cacert, otlp_cert, otlp_key;
    uint64_t otlp_insecure;
    str trace_file, trace_level, trace_rate, trace_count, trace_frequency;
    uint64_t trace_bytes_max;
    uint64_t compute_wait_ms, poll_secs;
    str jobs_dir, webhook_hosts, webhook_cacert, webhook_cert, webhook_key;
    uint64_t jobs_bytes_max, jobs_max, jobs_keep_s, jobs_running_max, webhook_insecure;
    str cors_origins, api_keys;
    uint64_t metrics_open;
    uint64_t cors_credentials;
    uint64_t replies_bytes_max;
    uint64_t tls_min, tls_cleartext;
    str control;
    uint64_t slot, ready_fd, warm_up, cache_bytes_max, model_memory_max, exit_on_error;
    uint64_t models_memory_max, models_stay_ms, models_wait_ms;
    str cache_config, load_model, pin_models, alias;
    str model_weights, model_rates, rate_limit_resource;
    uint64_t rate_limit;
    /* models named as NAME=PATH, in order */
    named_model *models;
    size_t model_count;
    /* what the lists of weights, rates and resources say: conf_check() */
    model_limit *limits;
    resource_need *resources;
    size_t limit_count, resource_count;
    bool help;
    const char *service_link; /* PROA_PORT as Kubernetes sets it for a service of our name: ignored; NULL = it is not */
    /* private */
    arena *memory;
    uint8_t source, sources[CONF_ROWS_MAX];   /* being read; where each row's value comes from, 0 = the default */
} conf;

typedef const char *conf_getenv(const char *name);

err_code conf_init(conf *c, arena *memory, err *e) MUST_USE; /* the defaults */
/* One option, by its name in any spelling: "body-bytes-max" or "body_bytes_max".  `where` opens the message. */
err_code conf_set(conf *c, const char *where, str key, str value, err *e) MUST_USE;
/* What its value must be: "an integer in 0..65535"; false = there is no such option. */
bool conf_expects(str key, char ret[CONF_EXPECTED_MAX]);
bool conf_is_list(str key); /* of several values, joined by commas */
err_code conf_model_add(conf *c, const char *where, str name, str path, err *e) MUST_USE;
err_code conf_env(conf *c, conf_getenv *get, err *e) MUST_USE;
/* YAML: the option names as keys, and `models:` as a map NAME: PATH. */
err_code conf_yaml(conf *c, const char *file, str text, err *e) MUST_USE;
/* The words after `proa serve`, models alone behind "--"; --config FILE is only skipped here, see conf_file_flag(). */
err_code conf_flags(conf *c, int argc, char *const *argv, err *e) MUST_USE;
/* The value of --config FILE (or PROA_CONFIG), which is read before the other flags; NULL = none. */
const char *conf_file_flag(int argc, char *const *argv, conf_getenv *get);
err_code conf_check(conf *c, err *e) MUST_USE; /* what only the whole can be checked for */
bool conf_port_given(const conf *c); /* not the default */
double conf_trace_share(const conf *c); /* trace_sample as a number; < 0 = it is none in 0..1 */
/* bodies_bytes_max, or what it is by default where memory_bytes may be used; 0 = no limit is known. */
uint64_t conf_bodies_bytes(const conf *c, uint64_t memory_bytes);
uint64_t conf_replies_bytes(const conf *c, uint64_t memory_bytes); /* the same of replies_bytes_max */
void conf_help(buf *out); /* for --help */
void conf_markdown(buf *out); /* docs/serve.md is made of it */

#endif
