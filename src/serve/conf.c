#include "serve/conf.h"

#include "base/log.h"
#include "serve/conf_cache.h"
#include "serve/conf_call.h"
#include "serve/conf_listen.h"
#include "serve/conf_names.h"
#include "serve/conf_share.h"
#include "serve/conf_slot.h"
#include "serve/conf_trace.h"
#include "serve/cors.h"

#include <stdio.h>
#include <string.h>

/* A PATH or FOLDER, once it is given, is not empty: who protects a server by a variable that is not set shall know.  Of
 * a FOLDER there is one: to users of Triton a second is one more, and no other value of the first. */
typedef enum { U64, BYTES, BOOL, TEXT, CHOICE, LIST, PORT, MODE, PATH, FOLDER } value_kind;

enum { FROM_DEFAULTS, FROM_FILE, FROM_OTHERS, FROM_ENV, FROM_FLAGS };   /* others: variables that are not ours */

typedef struct {
    const char *name; /* as a flag and a YAML key, with '-'; '_' is taken as '-' */
    const char *alias; /* what KServe's runtimes pass for it; NULL = none */
    value_kind kind;
    size_t offset;
    const char *init;
    uint64_t min, max;
    const char *const *choices;
    const char *what; /* for --help */
} row;

/* The default of bodies-bytes-max: the first, or one part in so many of the memory, but room for so many bodies. */
enum { BODIES_BYTES = 1 << 30, BODIES_SHARE = 4, BODIES_LEAST = 4 };
/* That of replies-bytes-max: the same, with room for so many answers. */
enum { REPLIES_LEAST = 2 };

static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};
static const char *const tls_names[] = {"1.2", "1.3", NULL};
static const char *const control_names[] = {"none", "poll", "explicit", NULL};
static const char *const rate_names[] = {"off", "execution_count", NULL};
static const char *const batch_names[] = {"adaptive", "fixed", "off", NULL};   /* as batch_mode */
static const char *const format_names[] = {"text", "json", NULL};
static const char *const metrics_name_names[] = {"proa", "triton", "both", NULL};

#define AT(field) offsetof(conf, field)
#define U32_MAX UINT32_MAX
/* The rows of tls_trust.h's table. */
#define OTLP_TEXT PATH, AT
#define OTLP_TEXT_INIT ""
#define OTLP_SWITCH BOOL, AT
#define OTLP_SWITCH_INIT "false"
#define OTLP_ROW(of, name, kind, value, help) \
    {"otlp-" #name, NULL, OTLP_##kind(otlp_##name), OTLP_##kind##_INIT, 0, 0, NULL, "for otlp-endpoint: " help},
#define WEBHOOK_ROW(of, name, kind, value, help) \
    {"webhook-" #name, NULL, OTLP_##kind(webhook_##name), OTLP_##kind##_INIT, 0, 0, NULL, "for webhooks: " help},
/* clang-format off */
static const row rows[] = {
    {"address", "http-address", TEXT, AT(address), "127.0.0.1", 0, 0, NULL,
     "numeric address to listen on; 0.0.0.0 or :: for every interface"},
    {"port", "http-port", U64, AT(port), "8080", 0, 65535, NULL,
     "port to listen on; 0 takes a free one"},
    {"listen", NULL, LIST, AT(listen), "", 0, 0, NULL,
     "more addresses, by commas or with the flag again: IP:PORT, [IP]:PORT, unix:PATH, unix:@NAME; without --port and "
     "--address these alone"},
    {"grpc-port", NULL, PORT, AT(grpc_port), "", 0, 65535, NULL,
     "one more port at --address; as each, it serves everything"},
    {"metrics-port", NULL, PORT, AT(metrics_port), "", 0, 65535, NULL,
     "one more port at --address; as each, it serves everything"},
    {"socket-mode", NULL, MODE, AT(socket_mode), "0660", 0, 0777, NULL,
     "permissions of the files of Unix sockets, octal"},
    {"handover", NULL, PATH, AT(handover), "", 0, 0, NULL,
     "path, or @name, at which a new server of the same user takes the listeners of this one, as this one took those "
     "of the server that it found there"},
    {"handover-wait-ms", NULL, U64, AT(handover_wait_ms), "600000", 1, U32_MAX, NULL,
     "how long a new server that took the listeners may need until it is ready"},
    {"model-repository", NULL, FOLDER, AT(model_repository), "", 0, 0, NULL,
     "folder with NAME/VERSION/model.onnx; there is one, models from elsewhere are named as NAME=PATH"},
    {"model-name", NULL, TEXT, AT(model_name), "", 0, 0, NULL,
     "name of the model in --model-dir, as KServe passes it"},
    {"model-dir", NULL, PATH, AT(model_dir), "", 0, 0, NULL,
     "file or folder of one model, as KServe mounts it"},
    {"model-control", "model-control-mode", CHOICE, AT(model_control), "none", 0, 0, control_names,
     "none, poll or explicit: models stay, follow what changes in --model-repository, or clients load and unload them"},
    {"exit-on-error", NULL, BOOL, AT(exit_on_error), "true", 0, 0, NULL,
     "whether the server ends where a model cannot be loaded at the start; false: it stands in the index with the "
     "reason, a request for it gets 404, and the others are served"},
    {"load-model", NULL, LIST, AT(load_model), "", 0, 0, NULL,
     "for --model-control explicit: models that are loaded at the start, by commas or with the flag again, and members "
     "of ensembles among them; * = all, as without it; clients load the others by their names"},
    {"alias", NULL, LIST, AT(alias), "", 0, 0, NULL,
     "names that stand for models, by commas or with the flag again: NAME=MODEL, NAME=MODEL:VERSION, or a label, "
     "MODEL:LABEL=MODEL:VERSION; clients change them where they may load models"},
    {"poll-secs", "repository-poll-secs", U64, AT(poll_secs), "15", 1, 86400, NULL,
     "for --model-control poll: how often it is looked whether --model-repository is another folder, and for all "
     "changes where the system does not tell of them"},
    {"warm-up", NULL, U64, AT(warm_up), "0", 0, 1000, NULL,
     "runs with zeros before a model is ready, where its configuration has no model_warmup and only the number of rows "
     "is open"},
    {"model-memory-max", NULL, BYTES, AT(model_memory_max), "0", 0, 1ull << 44, NULL,
     "memory of all executions of a model together, in use or at rest; more get 429, or 413 where one needs it all; "
     "0 = no limit; a model's own is the parameter model_memory_max in its config.pbtxt, in bytes"},
    {"models-memory-max", NULL, BYTES, AT(models_memory_max), "0", 0, 1ull << 44, NULL,
     "memory of all models together, as it is measured: each is then loaded when it is asked for, and whoever was used "
     "longest ago leaves; 0 = all are loaded at the start, and stay"},
    {"models-stay-ms", NULL, U64, AT(models_stay_ms), "10", 0, U32_MAX, NULL,
     "for models-memory-max: a model that was loaded stays at least so long"},
    {"models-wait-ms", NULL, U64, AT(models_wait_ms), "30000", 1, U32_MAX, NULL,
     "for models-memory-max: how long a request waits for its model to be in memory, where its own deadline is not "
     "sooner; more get 503"},
    {"pin-models", NULL, LIST, AT(pin_models), "", 0, 0, NULL,
     "for models-memory-max: names of models that are loaded at the start and stay, as those do whose config.pbtxt has "
     "the parameter pinned, true"},
    {"cache-bytes-max", "response-cache-byte-size", BYTES, AT(cache_bytes_max), "0", 0, 1ull << 44, NULL,
     "memory of answers that are kept, for the models whose config.pbtxt has response_cache; 0 = none are"},
    {"cache-config", NULL, TEXT, AT(cache_config), "", 0, 0, NULL,
     "the same as Triton has it: local,size=BYTES"},
    {"slot", NULL, BOOL, AT(slot), "false", 0, 0, NULL,
     "start without a model and wait for one, which comes by --control, or by its name from --model-repository"},
    {"control", NULL, PATH, AT(control), "", 0, 0, NULL,
     "unix:PATH of a socket for this user alone: REST without keys, loads and unloads whatever model-control says, "
     "from any path"},
    {"ready-fd", NULL, PORT, AT(ready_fd), "", 0, 65535, NULL,
     "inherited descriptor that is told of each model that came, or did not: ready NAME VERSION, failed NAME: why"},
    {"loops", NULL, U64, AT(loops), "0", 0, 256, NULL,
     "event loops; 0 = one per CPU of the quota"},
    {"threads", NULL, U64, AT(threads), "0", 0, 256, NULL,
     "compute threads; 0 = one per CPU of the quota"},
    {"cpu", NULL, TEXT, AT(cpu), "", 0, 0, NULL,
     "hold kernels down to scalar, avx2 or avx512"},
    {"queue-max", NULL, U64, AT(queue_max), "1024", 1, 65536, NULL,
     "requests waiting per model; more get 429"},
    {"queue-bytes-max", NULL, BYTES, AT(queue_bytes_max), "0", 0, 1ull << 44, NULL,
     "memory that the requests waiting for one model hold; more get 429, or 413 where one is larger by itself; "
     "0 = no limit but bodies-bytes-max"},
    {"model-weights", NULL, LIST, AT(model_weights), "", 0, 0, NULL,
     "NAME=WEIGHT, by commas or with the flag again: a model's part of the compute threads' time where several "
     "compete, 1 to 1000; a model's own is the parameter fair_weight in its config.pbtxt, else 1"},
    {"model-rates", NULL, LIST, AT(model_rates), "", 0, 0, NULL,
     "NAME=N or NAME=N:BURST, by commas or with the flag again: requests per second of a model, a second's at once or "
     "as many as BURST says; more get 429; a model's own are the parameters requests_per_second and requests_burst"},
    {"rate-limit", NULL, CHOICE, AT(rate_limit), "off", 0, 0, rate_names,
     "off or execution_count: whether instance_group.rate_limiter of config.pbtxt is obeyed, as Triton does: models "
     "then share the compute threads by runs and priority, and wait for their resources"},
    {"rate-limit-resource", NULL, LIST, AT(rate_limit_resource), "", 0, 0, NULL,
     "NAME:COUNT or NAME:COUNT:DEVICE, by commas or with the flag again: how much there is of a resource; the CPU is "
     "device 0; without it as much as any model asks for, with it nothing of what is not named"},
    {"batch-mode", NULL, CHOICE, AT(batch_mode), "adaptive", 0, 0, batch_names,
     "adaptive, fixed or off: how requests of a model without a config.pbtxt share runs, where its rows are computed "
     "apart; adaptive never lets a lone one wait, fixed waits max-delay-us for a full batch"},
    {"max-batch", NULL, U64, AT(max_batch), "0", 0, 4096, NULL,
     "rows of one run; 0 = 32"},
    {"max-delay-us", NULL, U64, AT(max_delay_us), "0", 0, 10000000, NULL,
     "how long a request may be held back for others; adaptive: only while that pays, 0 = half a run"},
    {"latency-objective-ms", NULL, U64, AT(latency_objective_ms), "0", 0, 4000000, NULL,
     "adaptive: batches are sized and requests refused (429) so that 99 of 100 of those taken wait and run no longer; "
     "0 = none"},
    {"inline-us", NULL, U64, AT(inline_us), "50", 0, 500, NULL,
     "a model that takes less runs on the event loop, microseconds"},
    {"body-bytes-max", NULL, BYTES, AT(body_bytes_max), "64Mi", 1024, 1ull << 40, NULL,
     "largest request body; more gets 413"},
    {"bodies-bytes-max", NULL, BYTES, AT(bodies_bytes_max), "0", 0, 1ull << 44, NULL,
     "memory for the bodies of all requests until they are answered; more get 503; 0 = a quarter of the container's "
     "memory, 1 GiB at most and 4 bodies at least"},
    {"header-bytes-max", NULL, BYTES, AT(header_bytes_max), "16Ki", 256, 1 << 20, NULL,
     "request line and headers; more gets 431"},
    {"reply-bytes-max", NULL, BYTES, AT(reply_bytes_max), "256Mi", 1024, 1ull << 40, NULL,
     "largest answer, as it is before it is compressed; more gets 413"},
    {"compress-bytes-min", NULL, BYTES, AT(compress_bytes_min), "1Ki", 0, 1ull << 40, NULL,
     "answers from this size on are compressed for clients that accept gzip or deflate; 0 = never"},
    {"api-keys", NULL, PATH, AT(api_keys), "", 0, 0, NULL,
     "file of API keys, as proa key prints its lines: all but the server's health and gRPC's health checks then needs "
     "one; read again on SIGHUP"},
    {"metrics-open", NULL, BOOL, AT(metrics_open), "false", 0, 0, NULL,
     "metrics need no key"},
    {"cors-origins", NULL, LIST, AT(cors_origins), "", 0, 0, NULL,
     "web pages that may read REST's answers: origins like https://example.com, separated by commas, or *"},
    {"cors-credentials", NULL, BOOL, AT(cors_credentials), "false", 0, 0, NULL,
     "those pages may send the browser's cookies and credentials; not with *"},
    {"replies-bytes-max", NULL, BYTES, AT(replies_bytes_max), "0", 0, 1ull << 44, NULL,
     "memory for answers that wait for their clients; beyond it who holds most is cut off; 0 = a quarter of the "
     "container's memory, 1 GiB at most and 2 answers at least"},
    {"connections-max", NULL, U64, AT(connections_max), "16384", 1, 1 << 20, NULL,
     "open connections; more get 503"},
    {"memory-bytes-max", NULL, BYTES, AT(memory_bytes_max), "4Gi", 1 << 20, 1ull << 44, NULL,
     "memory of one request, and of its run; what needs more gets 413"},
    {"image-pixels-max", NULL, U64, AT(image_pixels_max), "50000000", 1, 1ull << 32, NULL,
     "pixels of a picture that a request brings, and a fourth of what all its pictures may have; more gets 400"},
    {"header-wait-ms", NULL, U64, AT(header_wait_ms), "10000", 1, U32_MAX, NULL,
     "from a request's first byte to the end of its headers"},
    {"body-wait-ms", NULL, U64, AT(body_wait_ms), "30000", 1, U32_MAX, NULL,
     "between two reads of a body"},
    {"idle-wait-ms", NULL, U64, AT(idle_wait_ms), "75000", 1, U32_MAX, NULL,
     "a connection without a request is closed then"},
    {"write-wait-ms", NULL, U64, AT(write_wait_ms), "30000", 1, U32_MAX, NULL,
     "a client that takes no byte of its answer for so long is dropped"},
    {"compute-wait-ms", NULL, U64, AT(compute_wait_ms), "300000", 0, U32_MAX, NULL,
     "longest run of a model, ended at its next node or iteration; more gets 504; 0 = no limit"},
    {"tls-cert", NULL, PATH, AT(tls_cert), "", 0, 0, NULL,
     "PEM file of the server's certificate and those up to its authority: turns TLS on; read again on SIGHUP"},
    {"tls-key", NULL, PATH, AT(tls_key), "", 0, 0, NULL,
     "PEM file of its private key, without a passphrase"},
    {"tls-client-ca", NULL, PATH, AT(tls_client_ca), "", 0, 0, NULL,
     "PEM file of the authorities one of which must have signed each client's certificate"},
    {"tls-min", NULL, CHOICE, AT(tls_min), "1.2", 0, 0, tls_names,
     "1.2 or 1.3: the oldest version of TLS"},
    {"tls-cleartext", NULL, BOOL, AT(tls_cleartext), "false", 0, 0, NULL,
     "serve clients without TLS on the same port, too, as Unix sockets always do, instead of refusing them"},
    {"drain-wait-ms", NULL, U64, AT(drain_wait_ms), "30000", 0, U32_MAX, NULL,
     "on SIGTERM: how long accepted requests may take to finish"},
    {"drain-notice-ms", NULL, U64, AT(drain_notice_ms), "200", 0, U32_MAX, NULL,
     "on SIGTERM: how long new connections are still taken, while readiness says 503"},
    {"log-level", NULL, CHOICE, AT(log_level), "info", 0, 0, level_names,
     "debug, info, warn or error"},
    {"log-format", NULL, CHOICE, AT(log_format), "text", 0, 0, format_names,
     "text or json"},
    {"log-requests", NULL, BOOL, AT(log_requests), "false", 0, 0, NULL,
     "one line per request: id, status, bytes, time"},
    {"otlp-endpoint", NULL, TEXT, AT(otlp_endpoint), "", 0, 0, NULL,
     "OpenTelemetry collector that takes spans over HTTP: http[s]://HOST:4318, with a path before /v1/traces where "
     "it has one, or unix:/PATH of its socket; also OTEL_EXPORTER_OTLP_ENDPOINT, whose neighbours _CERTIFICATE, "
     "_CLIENT_CERTIFICATE and _CLIENT_KEY are otlp-cacert, otlp-cert and otlp-key"},
    TLS_TRUST_TABLE(OTLP_ROW, )
    {"otlp-service-name", NULL, TEXT, AT(otlp_service_name), "proa", 0, 0, NULL,
     "service.name of the spans; also OTEL_SERVICE_NAME"},
    {"trace-sample", NULL, TEXT, AT(trace_sample), "1", 0, 0, NULL,
     "share of the inferences that are traced, 0 to 1, where the caller's traceparent does not decide"},
    {"trace-file", NULL, PATH, AT(trace_file), "", 0, 0, NULL,
     "file for Triton's trace extension, or with a number behind it: only here can it be named; clients may then turn "
     "traces on"},
    {"trace-level", NULL, LIST, AT(trace_level), "OFF", 0, 0, NULL,
     "OFF, or TIMESTAMPS and TENSORS: what is traced until a client says otherwise"},
    {"trace-rate", NULL, TEXT, AT(trace_rate), "1000", 0, 0, NULL,
     "one request of so many is traced"},
    {"trace-count", NULL, TEXT, AT(trace_count), "-1", 0, 0, NULL,
     "so many are traced; -1 = no end"},
    {"trace-log-frequency", NULL, TEXT, AT(trace_frequency), "0", 0, 0, NULL,
     "traces of each numbered file; 0 = all in one"},
    {"trace-bytes-max", NULL, BYTES, AT(trace_bytes_max), "1Gi", 0, 1ull << 44, NULL,
     "bytes of all trace files of a process; more are dropped; 0 = no limit"},
    {"jobs-dir", NULL, PATH, AT(jobs_dir), "", 0, 0, NULL,
     "folder where inferences that are answered later (Prefer: respond-async) are kept: docs/jobs.md; without it there "
     "are none"},
    {"jobs-bytes-max", NULL, BYTES, AT(jobs_bytes_max), "1Gi", 1 << 20, 1ull << 44, NULL,
     "size of its files; jobs may fill half of it, more get 507"},
    {"jobs-max", NULL, U64, AT(jobs_max), "100000", 1, 1 << 24, NULL,
     "jobs, with those that have ended and are kept; more get 429"},
    {"jobs-keep-s", NULL, U64, AT(jobs_keep_s), "86400", 1, U32_MAX, NULL,
     "how long a job that has ended is kept, with its answer"},
    {"jobs-running-max", NULL, U64, AT(jobs_running_max), "2", 1, 1024, NULL,
     "jobs that run at a time, beside live requests"},
    {"webhook-hosts", NULL, LIST, AT(webhook_hosts), "", 0, 0, NULL,
     "where jobs may be told to be over (Proa-Webhook): HOST or HOST:PORT, by commas, or * for any; others get 403"},
    TLS_TRUST_TABLE(WEBHOOK_ROW, )
    {"metrics-names", NULL, CHOICE, AT(metrics_names), "proa", 0, 0, metrics_name_names,
     "proa, triton (nv_inference_*) or both"},
};
/* clang-format on */

static bool name_is(const char *name, str key)
{
    size_t i = 0;
    for (; i < key.len && name[i]; i++) {
        char c = key.p[i] == '_' ? '-' : key.p[i];
        if (c != name[i]) return false;
    }
    return !name[i] && i == key.len;
}

static const row *row_find(str key)
{
    for (size_t i = 0; i < COUNTOF(rows); i++)
        if (name_is(rows[i].name, key) || (rows[i].alias && name_is(rows[i].alias, key))) return &rows[i];
    return NULL;
}

static err_code key_unknown(const char *where, str key, err *e)
{
    if (name_is("config", key))
        return err_set(e, ERR_INVALID, "%sconfig: a file cannot name another one, only --config and PROA_CONFIG can",
                       where);
    if (name_is("help", key)) return err_set(e, ERR_INVALID, "%shelp: expected --help and nothing else", where);
    const char *names[COUNTOF(rows) + 2];
    for (size_t i = 0; i < COUNTOF(rows); i++) names[i] = rows[i].name;
    names[COUNTOF(rows)] = "config";
    names[COUNTOF(rows) + 1] = "help";
    const char *near = str_nearest(key, names, COUNTOF(names));
    return err_set(e, ERR_INVALID, "%sunknown option '" STR_FMT "'%s%s%s", where, STR_ARG(key),
                   near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "; see proa serve --help");
}

/* "64Mi", "16Ki", "1Gi" or plain bytes, as Kubernetes writes quantities. */
static bool bytes_parse(str s, uint64_t *ret)
{
    static const struct {
        const char *suffix;
        uint32_t shift;
    } units[] = {{"Ki", 10}, {"Mi", 20}, {"Gi", 30}, {"Ti", 40}};
    uint32_t shift = 0;
    for (size_t i = 0; i < COUNTOF(units); i++)
        if (str_ends(s, str_of(units[i].suffix))) {
            shift = units[i].shift;
            s.len -= 2;
            break;
        }
    uint64_t n = 0;
    if (!str_u64(s, &n) || n > UINT64_MAX >> shift) return false;
    *ret = n << shift;
    return true;
}

static bool bool_parse(str s, uint64_t *ret)
{
    /* In any case: YAML's own forms are true, True and TRUE. */
    if (str_is_nocase(s, "true") || str_is(s, "1") || str_is_nocase(s, "yes") || str_is_nocase(s, "on"))
        *ret = 1;
    else if (str_is_nocase(s, "false") || str_is(s, "0") || str_is_nocase(s, "no") || str_is_nocase(s, "off"))
        *ret = 0;
    else
        return false;
    return true;
}

/* What a value of the row must be, as refusals put it. */
static void expects(const row *r, char *to, size_t room)
{
    switch (r->kind) {
    case U64:
    case PORT:
    case BYTES:
        snprintf(to, room, "%s in %llu..%llu", r->kind == BYTES ? "bytes (plain, or with Ki, Mi, Gi)" : "an integer",
                 (unsigned long long)r->min, (unsigned long long)r->max);
        break;
    case BOOL: snprintf(to, room, "true or false"); break;
    case CHOICE: snprintf(to, room, "%s", r->what); break;
    case MODE: snprintf(to, room, "octal permissions in 0..777"); break;
    case LIST: snprintf(to, room, "text, or a list of it"); break;
    case TEXT: snprintf(to, room, "text"); break;
    case PATH:
    case FOLDER: snprintf(to, room, "a path"); break;
    }
}

static err_code value_wrong(const row *r, const char *where, str value, err *e)
{
    char expected[CONF_EXPECTED_MAX];
    expects(r, expected, sizeof expected);
    return err_set(e, ERR_INVALID, "%s: expected %s, got '" STR_FMT "'", where, expected, STR_ARG(value));
}

static bool choice_parse(const row *r, str value, uint64_t *ret)
{
    for (uint64_t i = 0; r->choices[i]; i++)
        if (str_is(value, r->choices[i])) {
            *ret = i;
            return true;
        }
    return false;
}

static bool octal_parse(str s, uint64_t *ret)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '7' || n > 0777) return false;
        n = n * 8 + (uint64_t)(s.p[i] - '0');
    }
    *ret = n;
    return s.len > 0 && n <= 0777;
}

/* A list grows while one source is read; a later source begins it anew. */
static err_code text_set(conf *c, const row *r, const char *where, str value, err *e)
{
    str *field = (str *)(void *)((char *)c + r->offset);
    bool again = field->len && c->sources[r - rows] == c->source, grows = again && r->kind == LIST;
    if (again && r->kind == FOLDER)
        return err_set(e, ERR_INVALID, "%s: expected one folder, and other models as NAME=PATH, got '" STR_FMT
                       "' behind '" STR_FMT "'", where, STR_ARG(value), STR_ARG(*field));
    size_t before = grows ? field->len + 1 : 0;
    char *copy = arena_push_raw(c->memory, before + value.len + 1, 1);
    if (!copy) return err_set(e, ERR_NOMEM, "%s: no memory for the value", where);
    if (grows) memcpy(copy, field->p, field->len);
    if (grows) copy[field->len] = ',';
    if (value.len) memcpy(copy + before, value.p, value.len);
    copy[before + value.len] = '\0';
    *field = (str){copy, before + value.len};
    return ERR_OK;
}

static err_code value_parse(const row *r, const char *where, str value, uint64_t *ret, err *e)
{
    uint64_t n = 0;
    bool good = false;
    switch (r->kind) {
    case TEXT:
    case PATH:
    case FOLDER:
    case LIST: INVARIANT(!"texts are set as they are");
    case PORT:
        if (value.len == 0) {
            n = CONF_PORT_NONE;
            good = true;
            break;
        }
        __attribute__((fallthrough));
    case U64:
    case BYTES:
        good = (r->kind == BYTES ? bytes_parse(value, &n) : str_u64(value, &n)) && n >= r->min && n <= r->max;
        break;
    case CHOICE: good = choice_parse(r, value, &n); break;
    case BOOL: good = bool_parse(value, &n); break;
    case MODE: good = octal_parse(value, &n); break;
    }
    if (!good) return value_wrong(r, where, value, e);
    *ret = n;
    return ERR_OK;
}

static bool is_path(const row *r) { return r->kind == PATH || r->kind == FOLDER; }
static bool is_text(const row *r) { return r->kind == TEXT || r->kind == LIST || is_path(r); }

static err_code value_set(conf *c, const row *r, const char *where, str value, err *e)
{
    uint64_t *field = (uint64_t *)(void *)((char *)c + r->offset);
    if (is_path(r) && !value.len && c->source != FROM_DEFAULTS) return value_wrong(r, where, value, e);
    err_code rc = is_text(r) ? text_set(c, r, where, value, e) : value_parse(r, where, value, field, e);
    if (rc == ERR_OK) c->sources[r - rows] = c->source;
    return rc;
}

err_code conf_init(conf *c, arena *memory, err *e)
{
    _Static_assert(COUNTOF(rows) <= CONF_ROWS_MAX, "each row has its source");
    *c = (conf){.memory = memory, .source = FROM_DEFAULTS};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err_code rc = value_set(c, &rows[i], rows[i].name, str_of(rows[i].init), e);
        if (rc) return rc;
    }
    c->source = FROM_FILE;
    return ERR_OK;
}

bool conf_expects(str key, char ret[CONF_EXPECTED_MAX])
{
    const row *r = row_find(key);
    if (r) expects(r, ret, CONF_EXPECTED_MAX);
    return r != NULL;
}

bool conf_is_list(str key)
{
    const row *r = row_find(key);
    return r && r->kind == LIST;
}

err_code conf_set(conf *c, const char *where, str key, str value, err *e)
{
    const row *r = row_find(key);
    char whole[360];
    snprintf(whole, sizeof whole, "%s: %s", where, r ? r->name : "");
    return r ? value_set(c, r, whole, value, e) : key_unknown(whole, key, e);
}

/* Doubles when the count is a power of two, so nothing but the count need be kept. */
static bool models_room(conf *c)
{
    size_t n = c->model_count;
    if (n & (n - 1)) return true;
    named_model *bigger = arena_new(c->memory, named_model, n ? 2 * n : 1);
    if (!bigger) return false;
    if (n) memcpy(bigger, c->models, n * sizeof *bigger);
    c->models = bigger;
    return true;
}

err_code conf_model_add(conf *c, const char *where, str name, str path, err *e)
{
    if (name.len == 0 || path.len == 0)
        return err_set(e, ERR_INVALID, "%s: expected NAME=PATH, got '" STR_FMT "=" STR_FMT "'", where, STR_ARG(name),
                       STR_ARG(path));
    if (c->model_count == CONF_MODELS_MAX)
        return err_set(e, ERR_LIMIT, "%s: more than %d models", where, CONF_MODELS_MAX);
    named_model m = {.name = str_copy(c->memory, name), .path = str_copy(c->memory, path)};
    if (!m.name.p || !m.path.p || !models_room(c))
        return err_set(e, ERR_NOMEM, "%s: no memory for the model's name", where);
    c->models[c->model_count++] = m;
    return ERR_OK;
}

static void env_name(const row *r, char *name, size_t room)
{
    int n = snprintf(name, room, "PROA_%s", r->name);
    for (int i = 5; i < n; i++) name[i] = (char)(name[i] == '-' ? '_' : name[i] - ('a' - 'A'));
}

/* Kubernetes tells a pod of every service in its namespace: of one called `proa` as PROA_PORT=tcp://10.0.0.1:8080. */
static bool is_service_link(const char *value)
{
    static const char *const schemes[] = {"tcp://", "udp://", "sctp://"};
    for (size_t i = 0; i < COUNTOF(schemes); i++)
        if (str_starts(str_of(value), str_of(schemes[i]))) return true;
    return false;
}

err_code conf_env(conf *c, conf_getenv *get, err *e)
{
    /* Names that others have given; ours come behind them and win. */
    static const char *const others[][2] = {{"OTEL_EXPORTER_OTLP_ENDPOINT", "otlp-endpoint"},
                                            {"OTEL_EXPORTER_OTLP_CERTIFICATE", "otlp-cacert"},
                                            {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "otlp-cert"},
                                            {"OTEL_EXPORTER_OTLP_CLIENT_KEY", "otlp-key"},
                                            {"OTEL_SERVICE_NAME", "otlp-service-name"}};
    c->source = FROM_OTHERS;
    for (size_t i = 0; i < COUNTOF(others); i++) {
        const char *value = get(others[i][0]);
        const row *r = row_find(str_of(others[i][1]));
        INVARIANT(r);
        if (!value || !*value) continue;
        err_code rc = value_set(c, r, others[i][0], str_of(value), e);
        if (rc) return rc;
    }
    c->source = FROM_ENV;
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        char name[64];
        env_name(&rows[i], name, sizeof name);
        const char *value = get(name);
        if (!value) continue;
        if (rows[i].offset == AT(port) && is_service_link(value)) {
            c->service_link = value;
            continue;
        }
        err_code rc = value_set(c, &rows[i], name, str_of(value), e);
        if (rc) return rc;
    }
    return ERR_OK;
}

/* "--name=value" in one word, or "--name value" in two; a BOOL alone means true. */
static err_code flag_set(conf *c, int argc, char *const *argv, int *at, err *e)
{
    str word = str_of(argv[*at]), key = {word.p + 2, word.len - 2}, value = {0};
    bool joined = str_cut(key, '=', &key, &value);
    char where[96];
    snprintf(where, sizeof where, "--" STR_FMT, (int)(key.len < 80 ? key.len : 80), key.p);
    if (name_is("help", key) && !joined) {
        c->help = true;
        return ERR_OK;
    }
    bool config = name_is("config", key);
    const row *r = row_find(key);
    if (!r && !config) return key_unknown("", key, e);
    if (!joined && r && r->kind == BOOL && (*at + 1 >= argc || !bool_parse(str_of(argv[*at + 1]), &(uint64_t){0})))
        value = STR("true");
    else if (!joined) {
        if (*at + 1 >= argc) return err_set(e, ERR_INVALID, "%s: expected a value after it, got nothing", where);
        value = str_of(argv[++*at]);
    }
    return r ? value_set(c, r, where, value, e) : ERR_OK;   /* --config: conf_file_flag() finds it */
}

err_code conf_flags(conf *c, int argc, char *const *argv, err *e)
{
    bool only_models = false;   /* behind "--" */
    c->source = FROM_FLAGS;
    for (int i = 0; i < argc; i++) {
        str word = str_of(argv[i]), name, path;
        err_code rc;
        if (!only_models && str_is(word, "--")) {
            only_models = true;
        } else if (!only_models && str_is(word, "-h")) {
            c->help = true;
        } else if (!only_models && str_starts(word, STR("--"))) {
            if ((rc = flag_set(c, argc, argv, &i, e)) != ERR_OK) return rc;
        } else if (!only_models && str_starts(word, STR("-"))) {
            return err_set(e, ERR_INVALID, "unknown option '%s'; see proa serve --help", argv[i]);
        } else {
            if (!str_cut(word, '=', &name, &path))
                return err_set(e, ERR_INVALID, "expected NAME=PATH, got '%s'", argv[i]);
            if ((rc = conf_model_add(c, "command line", name, path, e)) != ERR_OK) return rc;
        }
    }
    return ERR_OK;
}

const char *conf_file_flag(int argc, char *const *argv, conf_getenv *get)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0) return argv[i] + 9;
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) return argv[i + 1];
    }
    return get("PROA_CONFIG");
}

static const row *row_at(const conf *c, const void *field)
{
    size_t i = 0;
    while (i < COUNTOF(rows) && (const char *)c + rows[i].offset != (const char *)field) i++;
    INVARIANT(i < COUNTOF(rows));
    return &rows[i];
}

static bool is_given(const conf *c, const void *field) { return c->sources[row_at(c, field) - rows] != FROM_DEFAULTS; }

/* A text that is not empty, a switch that is on, any number but 0. */
static bool is_set(const conf *c, const row *r)
{
    const void *field = (const char *)c + r->offset;
    return is_text(r) ? ((const str *)field)->len > 0 : *(const uint64_t *)field > 0;
}

/* By whoever starts the server: OpenTelemetry's own variables may be there for other programs. */
static bool is_asked(const conf *c, const row *r)
{
    uint8_t from = c->sources[r - rows];
    if (from == FROM_DEFAULTS || from == FROM_OTHERS) return false;
    return is_set(c, r) || !(is_text(r) || r->kind == BOOL);
}

bool conf_port_given(const conf *c) { return is_given(c, &c->port) || is_given(c, &c->address); }

/* What has no effect without another option.  poll-secs is Triton's, who takes it without poll, too. */
static err_code needs_check(const conf *c, err *e)
{
    static const struct {
        size_t of, needs;
    } all[] = {{AT(otlp_cacert), AT(otlp_endpoint)},       {AT(otlp_cert), AT(otlp_endpoint)},
               {AT(otlp_key), AT(otlp_endpoint)},          {AT(otlp_insecure), AT(otlp_endpoint)},
               {AT(otlp_service_name), AT(otlp_endpoint)}, {AT(trace_sample), AT(otlp_endpoint)},
               {AT(trace_rate), AT(trace_file)},           {AT(trace_count), AT(trace_file)},
               {AT(trace_frequency), AT(trace_file)},      {AT(trace_bytes_max), AT(trace_file)},
               {AT(webhook_hosts), AT(jobs_dir)},          {AT(webhook_cacert), AT(jobs_dir)},
               {AT(webhook_cert), AT(jobs_dir)},           {AT(webhook_key), AT(jobs_dir)},
               {AT(webhook_insecure), AT(jobs_dir)},       {AT(jobs_bytes_max), AT(jobs_dir)},
               {AT(jobs_max), AT(jobs_dir)},               {AT(jobs_keep_s), AT(jobs_dir)},
               {AT(jobs_running_max), AT(jobs_dir)},       {AT(pin_models), AT(models_memory_max)},
               {AT(models_stay_ms), AT(models_memory_max)}, {AT(models_wait_ms), AT(models_memory_max)},
               {AT(handover_wait_ms), AT(handover)},       {AT(tls_min), AT(tls_cert)},
               {AT(metrics_open), AT(api_keys)}};
    for (size_t i = 0; i < COUNTOF(all); i++) {
        const row *of = row_at(c, (const char *)c + all[i].of), *needs = row_at(c, (const char *)c + all[i].needs);
        if (is_asked(c, of) && !is_set(c, needs))
            return err_set(e, ERR_INVALID, "%s: expected %s with it, got none", of->name, needs->name);
    }
    if (c->model_control == CONF_CONTROL_POLL && !c->model_repository.len)
        return err_set(e, ERR_INVALID, "model-control: expected model-repository with poll, got none");
    return conf_calls(c, e);
}

err_code conf_check(conf *c, err *e)
{
    conf_addresses addresses;
    sock_addr path;
    err_code rc = conf_listen(c, false, &addresses, e);
    if (rc == ERR_OK && c->handover.len) rc = conf_handover(c, &path, e);
    if (rc) return rc;
    if ((rc = conf_names(c, e)) != ERR_OK) return rc;
    if (conf_trace_share(c) < 0)
        return err_set(e, ERR_INVALID, "trace-sample: expected a number in 0..1, got '" STR_FMT "'",
                       STR_ARG(c->trace_sample));
    if ((rc = conf_trace(c, NULL, e)) != ERR_OK) return rc;
    if (c->model_dir.len == 0 && c->model_name.len > 0)
        return err_set(e, ERR_INVALID, "--model-name: expected --model-dir with it, got none");
    if ((rc = conf_slot(c, e)) != ERR_OK || (rc = needs_check(c, e)) != ERR_OK) return rc;
    if ((rc = conf_cache(c, NULL, e)) != ERR_OK) return rc;
    if ((rc = conf_share(c, c->memory, e)) != ERR_OK) return rc;
    bool cert = c->tls_cert.len > 0, key = c->tls_key.len > 0;
    if (cert != key)
        return err_set(e, ERR_INVALID, "%s: expected %s with it, got none", cert ? "tls-cert" : "tls-key",
                       cert ? "tls-key" : "tls-cert");
    if (!cert && (c->tls_client_ca.len || c->tls_cleartext))
        return err_set(e, ERR_INVALID, "%s: expected tls-cert and tls-key with it, got none",
                       c->tls_client_ca.len ? "tls-client-ca" : "tls-cleartext");
    if (c->bodies_bytes_max && c->bodies_bytes_max / 2 < c->body_bytes_max)
        return err_set(e, ERR_INVALID, "bodies-bytes-max: expected at least twice body-bytes-max, %llu, got '%llu'",
                       2ull * c->body_bytes_max, (unsigned long long)c->bodies_bytes_max);
    if (c->replies_bytes_max && c->replies_bytes_max / 2 < c->reply_bytes_max)
        return err_set(e, ERR_INVALID, "replies-bytes-max: expected at least twice reply-bytes-max, %llu, got '%llu'",
                       2ull * c->reply_bytes_max, (unsigned long long)c->replies_bytes_max);
    return cors_init(&(cors){.count = 0}, c->cors_origins, c->cors_credentials, e);
}

double conf_trace_share(const conf *c)
{
    double share;
    return str_f64(c->trace_sample, &share) && share >= 0 && share <= 1 ? share : -1;
}

static uint64_t share_of(uint64_t memory_bytes, uint64_t least)
{
    uint64_t bytes = BODIES_BYTES;
    if (memory_bytes && memory_bytes / BODIES_SHARE < bytes) bytes = memory_bytes / BODIES_SHARE;
    return bytes > least ? bytes : least;
}

uint64_t conf_bodies_bytes(const conf *c, uint64_t memory_bytes)
{
    return c->bodies_bytes_max ? c->bodies_bytes_max : share_of(memory_bytes, BODIES_LEAST * c->body_bytes_max);
}

uint64_t conf_replies_bytes(const conf *c, uint64_t memory_bytes)
{
    return c->replies_bytes_max ? c->replies_bytes_max : share_of(memory_bytes, REPLIES_LEAST * c->reply_bytes_max);
}

void conf_help(buf *out)
{
    buf_put_z(out, "Serves ONNX models over HTTP: KServe V1 and V2 (Open Inference Protocol).\n\n"
                   "usage: proa serve [options] NAME=PATH ...\n"
                   "       proa serve [options] --model-repository DIR\n\n"
                   "PATH is an .onnx file, or a folder that holds one or VERSION/model.onnx.\n\n"
                   "options (each also as PROA_NAME in the environment and as a key in the YAML file):\n"
                   "  --config FILE            read options from a YAML file; `models:` maps NAME: PATH\n");
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        char flag[64];
        static const char *const words[] = {"N", "BYTES", "", "TEXT", "WORD", "LIST", "N", "OCTAL", "PATH", "DIR"};
        snprintf(flag, sizeof flag, "--%s %s", rows[i].name, words[rows[i].kind]);
        buf_printf(out, "  %-24s %s", flag, rows[i].what);
        if (rows[i].init[0]) buf_printf(out, " (%s)", rows[i].init);
        buf_put_z(out, "\n");
    }
    buf_put_z(out, "  --help                   this text\n");
}

void conf_markdown(buf *out)
{
    buf_put_z(out, "| option | variable | default | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        char name[64];
        env_name(&rows[i], name, sizeof name);
        buf_printf(out, "| `--%s`%s%s%s | `%s` | %s%s%s | %s |\n", rows[i].name, rows[i].alias ? ", `--" : "",
                   rows[i].alias ? rows[i].alias : "", rows[i].alias ? "`" : "", name, rows[i].init[0] ? "`" : "",
                   rows[i].init, rows[i].init[0] ? "`" : "", rows[i].what);
    }
}
