/* cmd_top.c - `proa top`: polls a server's /metrics and shows rates and latencies, on a screen or as lines. */
#include "base/mem.h"
#include "cli/call_header.h"
#include "cli/cmd.h"
#include "cli/flags.h"
#include "cli/refusal.h"
#include "cli/top_view.h"
#include "cli/trust_flags.h"
#include "net/client.h"
#include "os/clock.h"
#include "os/console.h"
#include "os/poll.h"
#include "os/proc.h"
#include "os/term.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INTERVAL_S = 1, INTERVAL_S_MAX = 3600, CALL_WAIT_US_MAX = 5000000, METRICS_BYTES_MAX = 64 << 20 };
#define PATH "proa top"
#define ARGS "ADDRESS [flags]"

typedef struct {
    const char *address, *key;
    tls_trust trust;
    uint64_t interval_s;
    bool once, json, help;
} options;

typedef struct {
    const options *o;
    client *http;
    term terminal;
    bool screen, quit, called_wrongly;
    bool answers;                   /* something else than metrics */
    char bearer[CALL_HEADER_BEARER_MAX];
    http_header key;                /* no name = none */
    int signals, poll;
    top_scrape *before, *now;       /* read: now; may be swapped */
    bool has_before, has_now;
    uint64_t down_wall_us;          /* 0 = it is up */
    char why[sizeof(((err *)0)->text)];
    buf out;
} top;

/* ---- asking ------------------------------------------------------------------------------------------------------ */

/* Sets quit when one asks for it; anything else only ends a wait. */
static void take_signals(top *t)
{
    for (int s; (s = proc_signal_next(t->signals)) != 0;) t->quit = t->quit || s != PROC_SIGNAL_WINCH;
}

static err_code scrape(top *t, err *e)
{
    client_reply reply;
    err_code rc = ERR_CANCELLED;
    t->answers = false;
    client_request q = {.target = STR("/metrics"), .headers = &t->key, .header_count = t->key.name.len > 0};
    while (rc == ERR_CANCELLED && !t->quit) {   /* by a signal: the window's size is no reason to stop */
        rc = client_call(t->http, &q, &reply, e);
        take_signals(t);
    }
    if (rc) return rc;
    t->answers = true;
    if (reply.status != 200) return refusal_say(t->http, &reply, e);
    top_scrape *into = t->before;
    rc = top_scrape_read(into, reply.body, clock_now_us(), e);
    if (rc) return err_wrap(e, "%s", client_address(t->http));
    t->before = t->now;
    t->now = into;
    t->has_before = t->has_now;
    t->has_now = true;
    return ERR_OK;
}

/* What comes after a failure is compared with nothing: it may be another process. */
static void ask(top *t)
{
    err e;
    err_code rc = scrape(t, &e);
    if (rc == ERR_OK) {
        t->down_wall_us = 0;
        return;
    }
    if (!t->down_wall_us) t->down_wall_us = clock_wall_us();
    t->has_now = t->has_before = false;
    memcpy(t->why, e.text, sizeof t->why);
}

/* ---- showing ----------------------------------------------------------------------------------------------------- */

static err_code show(top *t, err *e)
{
    top_view v = {.address = client_address(t->http),
                  .before = t->has_before ? t->before : NULL,
                  .now = t->has_now ? t->now : NULL,
                  .down = t->down_wall_us ? t->why : NULL,
                  .answers = t->answers,
                  .down_wall_us = t->down_wall_us,
                  .wall_us = clock_wall_us()};
    buf_clear(&t->out);
    if (t->screen) {
        v.colours = true;
        if (!term_size(&v.columns, &v.rows)) v.columns = v.rows = 0;
        if (v.rows > 1) v.rows--;   /* behind the last line break */
        buf_put_z(&t->out, "\x1b[H\x1b[J");
    }
    if (t->o->json) top_view_json(&t->out, &v);
    else top_view_print(&t->out, &v);
    if (!t->screen && !t->o->json && !t->o->once) buf_put_byte(&t->out, '\n');
    err_code rc = buf_check(&t->out, "screen", e);
    return rc ? rc : console_out((const char *)t->out.p, t->out.len, e);
}

/* Until the time is over; a signal or a key may quit, a new size of the window draws anew. */
static err_code rest(top *t, uint64_t until_us, err *e)
{
    for (uint64_t now; !t->quit && (now = clock_now_us()) < until_us;) {
        poll_event events[POLL_BATCH_MAX];
        size_t count = 0;
        err_code rc = poll_wait(t->poll, events, until_us - now, &count, e);
        if (rc) return rc;
        for (size_t i = 0; i < count; i++) {
            if (events[i].owner) take_signals(t);
            else if (strchr("qQ\3", term_key())) t->quit = true;   /* no more keys, too */
        }
        if (count && !t->quit && t->screen) rc = show(t, e);
        if (rc) return rc;
    }
    return ERR_OK;
}

static err_code run(top *t, err *e)
{
    uint64_t interval_us = t->o->interval_s * 1000000, next_us = clock_now_us();
    ask(t);
    if (t->o->once && !t->down_wall_us && !t->quit) {
        err_code rc = rest(t, next_us + interval_us, e);
        if (rc) return rc;
        if (!t->quit) ask(t);
    }
    while (!t->quit) {
        bool told = t->o->once && !t->o->json && t->down_wall_us;   /* by the reason of the status */
        err_code rc = told ? ERR_OK : show(t, e);
        if (rc || t->o->once) return rc;
        uint64_t now = clock_now_us();
        next_us += interval_us;
        if (next_us < now) next_us = now + interval_us;   /* a slow answer is no reason to ask twice */
        rc = rest(t, next_us, e);
        if (rc) return rc;
        if (!t->quit) ask(t);
    }
    return ERR_OK;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static err_code open_all(top *t, err *e)
{
    static const int signals[] = {PROC_SIGNAL_INT, PROC_SIGNAL_TERM, PROC_SIGNAL_HUP, PROC_SIGNAL_WINCH};
    const char *kind = getenv("TERM");
    uint64_t wait_us = t->o->interval_s * 1000000;
    t->before = mem_new0(top_scrape, 1);
    t->now = mem_new0(top_scrape, 1);
    if (!t->before || !t->now) return err_set(e, ERR_NOMEM, "no memory for metrics");
    err_code rc = proc_signals_open(signals, COUNTOF(signals), &t->signals, e);
    if (rc == ERR_OK) rc = poll_open(&t->poll, e);
    if (rc == ERR_OK) rc = poll_add(t->poll, t->signals, POLL_READ, t, e);
    client_opts co = {.address = t->o->address, .trust = &t->o->trust, .stop_fd = t->signals,
                      .body_bytes_max = METRICS_BYTES_MAX,
                      .wait_us = wait_us < CALL_WAIT_US_MAX ? wait_us : CALL_WAIT_US_MAX};
    if (rc) return rc;
    rc = client_new(&co, &t->http, e);
    t->called_wrongly = rc && rc != ERR_NOMEM;   /* an address, or a file of the flags */
    if (rc) return rc;
    t->screen = !t->o->once && !t->o->json && term_is_output() && term_is_input() && kind && strcmp(kind, "dumb") != 0;
    if (!t->screen) return ERR_OK;
    rc = poll_add(t->poll, 0, POLL_READ, NULL, e);   /* standard input, for 'q' */
    return rc ? rc : term_start(&t->terminal, e);
}

static void close_all(top *t)
{
    term_stop(&t->terminal);
    client_free(t->http);
    poll_close(t->poll);
    proc_signals_close(t->signals);
    mem_free(t->before);
    mem_free(t->now);
    buf_fini(&t->out);
}

static int watch(const options *o)
{
    err e;
    top t = {.o = o, .signals = -1, .poll = -1};
    buf_init(&t.out, 4 << 20);
    if (o->key && *o->key && call_header_bearer(o->key, t.bearer, &t.key, &e)) return cmd_usage(PATH, ARGS, &e);
    trust_flags_warn(PATH, &o->trust);
    err_code rc = open_all(&t, &e);
    int status = CMD_OK;
    if (rc == ERR_OK) rc = run(&t, &e);
    else if (t.called_wrongly) status = CMD_USAGE;
    if (rc == ERR_OK && o->once && t.down_wall_us) {
        status = t.answers ? CMD_FAILED : CMD_UNREACHABLE;
        memcpy(e.text, t.why, sizeof e.text);
    }
    close_all(&t);
    if (status == CMD_USAGE) return cmd_usage(PATH, ARGS, &e);
    if (rc || status) (void)cmd_fail(PATH, &e);
    return rc ? CMD_FAILED : status;
}

int cmd_top(int argc, char **argv)
{
    options o = {.interval_s = INTERVAL_S, .key = getenv("PROA_API_KEY")};
    const flag flags[] = {
        {.name = "interval", .kind = FLAG_NUMBER, .to = &o.interval_s, .value = "S", .min = 1, .max = INTERVAL_S_MAX,
         .help = "seconds between two looks (1)"},
        {.name = "once", .kind = FLAG_SWITCH, .to = &o.once, .help = "look twice, an interval apart, show once, end"},
        {.name = "json", .kind = FLAG_SWITCH, .to = &o.json, .help = "an object per look, on a line"},
        {.name = "api-key", .kind = FLAG_TEXT, .to = &o.key, .value = "KEY",
         .help = "sent as bearer token (PROA_API_KEY)"},
        TRUST_FLAGS(&o.trust)
        {.name = "help", .kind = FLAG_SWITCH, .to = &o.help, .help = "this text"},
    };
    flag_operands operands = {.at = &o.address, .max = 1};
    char help[1024];
    err e;
    err_code rc = flags_parse(flags, COUNTOF(flags), argc, argv, &operands, &e);
    if (!rc && !o.help && operands.count == 0) rc = err_set(&e, ERR_INVALID, "expected an address, got none");
    if (rc) return cmd_usage(PATH, ARGS, &e);
    if (!o.help) return watch(&o);
    flags_help(flags, COUNTOF(flags), help, sizeof help);
    return cmd_show(PATH,
                    "usage: %s %s\n\n%s\nADDRESS  " TRUST_ADDRESS "\n\n"
                    "On a terminal it draws until q or Ctrl-C; elsewhere it prints lines.\n"
                    "Exit status: 0 ended, 2 called wrongly; with --once 1 no metrics in the answer, 3 no answer.\n",
                    PATH, ARGS, help);
}
