#include "serve/service.h"

#include "base/log.h"
#include "net/listeners.h"
#include "os/clock.h"

#include <stdio.h>

enum { MESSAGE_BYTES_MAX = 400 };

/* 0 when it is not set; a number otherwise. */
static err_code number(conf_getenv *get, const char *name, uint64_t *ret, err *e)
{
    str text = str_of(get(name));
    uint64_t n = 0;
    if (text.len && !str_u64(text, &n))
        return err_set(e, ERR_INVALID, "%s: expected a number, got '" STR_FMT "'", name, STR_ARG(text));
    *ret = n;
    return ERR_OK;
}

err_code service_open(service *ret, conf_getenv *get, uint64_t process, err *e)
{
    service s = {.fd_names = str_of(get("LISTEN_FDNAMES"))};
    uint64_t listen_process = 0, fds = 0, watched_process = 0;
    err_code rc = number(get, "LISTEN_PID", &listen_process, e);
    if (rc == ERR_OK) rc = number(get, "LISTEN_FDS", &fds, e);
    if (rc == ERR_OK) rc = number(get, "WATCHDOG_PID", &watched_process, e);
    if (rc == ERR_OK) rc = number(get, "WATCHDOG_USEC", &s.watchdog_us, e);
    if (rc) return rc;
    if (listen_process != process) fds = 0;   /* inherited from a parent, for whom they were meant */
    if (watched_process && watched_process != process) s.watchdog_us = 0;
    if (fds > LISTENERS_MAX)
        return err_set(e, ERR_LIMIT, "LISTEN_FDS: expected at most %d sockets, got %llu", LISTENERS_MAX,
                       (unsigned long long)fds);
    s.fd_count = (uint32_t)fds;
    rc = notify_open(&s.to, get("NOTIFY_SOCKET"), e);
    if (rc == ERR_OK) *ret = s;
    return rc;
}

void service_close(service *s) { notify_close(&s->to); }

str service_fd_name(const service *s, uint32_t index)
{
    str rest = s->fd_names, one = {0};
    for (uint32_t i = 0; i <= index; i++) {
        if (str_cut(rest, ':', &one, &rest)) continue;
        one = rest;
        rest = (str){0};
    }
    return one;
}

static void tell(const service *s, const char *lines)
{
    err e;
    if (notify_send(&s->to, lines, &e)) log_write(LOG_WARN, NULL, "%s", e.text);
}

static void tell_state(const service *s, const char *state, const char *status)
{
    char lines[MESSAGE_BYTES_MAX];
    snprintf(lines, sizeof lines, "%s%s%s", state, status ? "\nSTATUS=" : "", status ? status : "");
    tell(s, lines);
}

void service_ready(const service *s, const char *status) { tell_state(s, "READY=1", status); }
void service_stopping(const service *s, const char *status) { tell_state(s, "STOPPING=1", status); }
void service_alive(const service *s) { tell(s, "WATCHDOG=1"); }

void service_main(const service *s, uint64_t process)
{
    char lines[MESSAGE_BYTES_MAX];
    snprintf(lines, sizeof lines, "MAINPID=%llu", (unsigned long long)process);
    tell(s, lines);
}

void service_reloading(const service *s)
{
    char lines[MESSAGE_BYTES_MAX];
    snprintf(lines, sizeof lines, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_now_us());
    tell(s, lines);
}
