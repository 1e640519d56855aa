/* cmd_serve.c - `proa serve`: reads the configuration, says where it listens, runs the model server. */
#include "async/log_writer.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/cmd.h"
#include "models/metrics.h"
#include "os/clock.h"
#include "os/console.h"
#include "os/file.h"
#include "os/line_out.h"
#include "os/proc.h"
#include "os/sock.h"
#include "serve/app.h"
#include "tensor/kernel.h"

#include <stdlib.h>
#include <string.h>

enum { CONF_FILE_BYTES_MAX = 1 << 20, CONF_MEMORY_MAX = 64 << 20, HELP_BYTES_MAX = 1 << 16 };

static const char *environment(const char *name) { return getenv(name); }

static err_code conf_file_read(conf *c, const char *path, err *e)
{
    char *text = NULL;
    size_t len = 0;
    if (!*path) return err_set(e, ERR_INVALID, "config: expected a path, got ''");
    err_code rc = file_read(path, CONF_FILE_BYTES_MAX, &text, &len, e);
    if (rc == ERR_OK) rc = conf_yaml(c, path, (str){text, len}, e);
    mem_free(text);
    return rc;
}

static err_code conf_read(conf *c, arena *memory, int argc, char **argv, err *e)
{
    err_code rc = conf_init(c, memory, e);
    const char *file = conf_file_flag(argc, argv, environment);
    if (rc == ERR_OK && file) rc = conf_file_read(c, file, e);
    if (rc == ERR_OK) rc = conf_env(c, environment, e);
    if (rc == ERR_OK) rc = conf_flags(c, argc, argv, e);
    if (rc == ERR_OK && !c->help) rc = conf_check(c, e);
    return rc;
}

/* docs/serve.md, whole: tests/e2e/test_docs.py compares them. */
static void markdown_print(buf *out)
{
    buf_put_z(
        out,
        "# proa serve\n\nMade by `proa serve --help-markdown` from the tables in src/serve; a test keeps it so.\n\n"
        "## Options\n\nDefaults, then the YAML file of `--config`, then variables, then flags: the later wins.\n\n");
    conf_markdown(out);
    buf_put_z(out, "\n## What it tells\n\n`GET /metrics` is described in [metrics.md](metrics.md).\n\nThe first "
                   "line on standard output is `listening on http://ADDRESS:PORT`; a table of the models "
                   "follows. With `--log-format json`\nthere is no table: each model's log line says what it "
                   "holds.\n\nA request with `X-Proa-Timing: 1` is told where its time went, in milliseconds: "
                   "in the header `Server-Timing` of a REST answer,\nin the trailer `server-timing` of a gRPC "
                   "call with one answer.\n");
}

static int help_print(void (*print)(buf *out))
{
    buf out;
    err e;
    buf_init(&out, HELP_BYTES_MAX);
    print(&out);
    err_code rc = console_out((const char *)out.p, out.len, &e);
    buf_fini(&out);
    return rc ? cmd_fail("proa serve", &e) : CMD_OK;
}

/* A wrong option or file: one line, for it says where. */
static int misuse(const err *e)
{
    (void)cmd_fail("proa serve", e);
    return CMD_USAGE;
}

/* Before anything is opened that could get the same number. */
static err_code ready_fd_check(const conf *c, err *e)
{
    err_code rc = c->ready_fd == CONF_PORT_NONE ? ERR_OK : line_out_check((int)c->ready_fd, e);
    return rc ? err_wrap(e, "ready-fd") : ERR_OK;
}

/* One line each, of which programs read the first. */
static void say_where(const char *what, const listeners *l, const char *scheme)
{
    for (size_t i = 0; i < listeners_count(l); i++) {
        char text[SOCK_ADDR_TEXT_MAX];
        const sock_addr *at = listeners_at(l, i);
        sock_addr_print(at, text);
        cmd_say("%s %s%s\n", what, sock_addr_is_unix(at) ? "" : scheme, text);
    }
}

static void table_show(const app *a)
{
    buf out;
    err e;
    buf_init(&out, HELP_BYTES_MAX);
    app_table(a, &out);
    if (!out.full) (void)!console_out((const char *)out.p, out.len, &e);
    buf_fini(&out);
}

/* Signals arrive at the app's descriptor from app_new() on, in the log's thread, too. */
static int open_and_run(const conf *c, const service *by)
{
    err e = {0};
    CLEANUP(tls_context) tls_context *tls = NULL;
    CLEANUP(app) app *a = NULL;
    if (app_tls_open(c, &tls, &e)) return misuse(&e);
    if (app_new(&a, c, by, tls, &e)) return cmd_fail("proa serve", &e);
    if (log_writer_start(console_err, &e)) return cmd_fail("proa serve", &e);
    say_where("listening on", app_listeners(a), tls ? "https://" : "http://");
    if (app_control(a)) say_where("control at", app_control(a), "");
    /* Who reads JSON lines has each model in one of them. */
    if (c->log_format == CONF_LOG_TEXT && !c->slot) table_show(a);
    if (app_run(a, &e)) return cmd_fail("proa serve", &e);
    return CMD_OK;
}

static int serve(const conf *c)
{
    static const log_level levels[] = {LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR};
    err e = {0};
    mem_setup(c->models_memory_max ? 1 : 0);   /* holes do not count in a budget: one heap has the fewest */
    log_setup(&(log_opts){.level = levels[c->log_level],
                          .json = c->log_format == CONF_LOG_JSON,
                          .sink = log_writer_line,
                          .clock_us = clock_wall_us});
    if (c->service_link)
        log_write(LOG_INFO, NULL, "PROA_PORT: '%s' is what Kubernetes sets for a service called proa: ignored",
                  c->service_link);
    const char *forced = c->cpu.len ? c->cpu.p : NULL;
    if (kernel_init(forced, &e)) {
        err_wrap(&e, "cpu");
        return misuse(&e);
    }
    service by;
    if (ready_fd_check(c, &e)) return misuse(&e);
    if (service_open(&by, environment, proc_id(), &e)) return misuse(&e);
    int status = open_and_run(c, &by);
    service_close(&by);
    (void)log_writer_stop();   /* a log that nobody reads is no reason to stay */
    return status;
}

int cmd_serve(int argc, char **argv)
{
    arena memory;
    conf c;
    err e = {0};
    int status;
    if (argc == 1 && strcmp(argv[0], "--help-markdown") == 0) return help_print(markdown_print);
    if (argc == 1 && strcmp(argv[0], "--metrics-markdown") == 0) return help_print(metrics_markdown);
    arena_init(&memory, NULL, 0, CONF_MEMORY_MAX);
    if (conf_read(&c, &memory, argc, argv, &e))
        status = misuse(&e);
    else
        status = c.help ? help_print(conf_help) : serve(&c);
    arena_fini(&memory);
    return status;
}
