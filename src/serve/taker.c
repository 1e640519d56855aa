#include "serve/taker.h"

#include "base/log.h"
#include "base/mem.h"
#include "os/clock.h"
#include "serve/handover.h"

enum { TRIES_MAX = 3 };

struct taker {
    int session, control;
    listeners *all;
    uint32_t sockets;            /* that came */
    bool ended;
    char at[SOCK_ADDR_TEXT_MAX];
};

void taker_free(taker *t)
{
    if (!t) return;
    sock_close(t->session);
    sock_close(t->control);
    listeners_free(t->all);
    mem_free(t);
}

listeners *taker_listeners(taker *t) { return t->all; }

int taker_control(taker *t)
{
    int fd = t->control;
    t->control = -1;
    return fd;
}

/* Takes the descriptors, all or none. */
static err_code keep(taker *t, const handover_msg *m, int *fds, size_t count, err *e)
{
    err_code rc = ERR_OK;
    size_t kept = 0;
    bool sockets = m->kind == HANDOVER_SOCKETS || m->kind == HANDOVER_OWN;
    if (sockets && count == m->count) {
        while (rc == ERR_OK && kept < count) {
            rc = listeners_adopt(t->all, fds[kept], m->kind == HANDOVER_OWN, e);
            if (rc == ERR_OK) kept++;
        }
        t->sockets += (uint32_t)kept;
    } else if (m->kind == HANDOVER_CONTROL && count == 1 && t->control < 0) {
        t->control = fds[kept++];
    } else if (m->kind == HANDOVER_END && count == 0 && m->count == t->sockets && t->control >= 0) {
        t->ended = true;
    } else if (m->kind == HANDOVER_BUSY) {
        rc = err_set(e, ERR_CONFLICT, "%s: refused: another hand-over is under way, or the server there is leaving or "
                     "of another user", t->at);
    } else if (m->kind == HANDOVER_LATE) {
        rc = err_set(e, ERR_TIMEOUT, "%s: the server there lost patience", t->at);
    } else {
        rc = err_set(e, ERR_INVALID, "%s: the server there sent something else than its listeners", t->at);
    }
    for (; kept < count; kept++) sock_close(fds[kept]);
    return rc;
}

/* One message.  ERR_UNAVAILABLE: the old server is gone. */
static err_code hear(taker *t, uint64_t until_us, err *e)
{
    char text[SOCK_PASS_BYTES_MAX];
    int fds[SOCK_PASS_FDS_MAX];
    size_t count = 0;
    handover_msg m;
    sock_io io;
    while ((io = sock_pass_recv(t->session, text, fds, &count)) == SOCK_AGAIN) {
        uint64_t now = clock_now_us();
        if (now >= until_us || !sock_pass_wait(t->session, (uint32_t)((until_us - now) / 1000 + 1)))
            return err_set(e, ERR_TIMEOUT, "%s: the server there does not answer within %d ms", t->at,
                           HANDOVER_STEP_MS);
    }
    if (io != SOCK_DONE) return err_set(e, ERR_UNAVAILABLE, "%s: the server there broke off", t->at);
    if (handover_parse(str_of(text), &m)) return keep(t, &m, fds, count, e);
    for (size_t i = 0; i < count; i++) sock_close(fds[i]);
    return err_set(e, ERR_INVALID, "%s: what is there is no server of this version", t->at);
}

static err_code take_all(taker *t, const sock_addr *at, err *e)
{
    uint64_t until_us = clock_now_us() + HANDOVER_STEP_MS * 1000ull;
    err_code rc = sock_pass_connect(at, &t->session, e);
    if (rc) return rc == ERR_UNAVAILABLE ? ERR_NOT_FOUND : rc;   /* what a dead server left is nobody, too */
    if (!sock_pass_is_ours(t->session))
        return err_set(e, ERR_INVALID, "%s: belongs to another user: expected a server of this one", t->at);
    (void)handover_send(t->session, HANDOVER_TAKE, 0, NULL);   /* why it failed comes out of what is heard */
    while (rc == ERR_OK && !t->ended) rc = hear(t, until_us, e);
    return rc;
}

static err_code taker_new(taker **ret, const sock_addr *at, err *e)
{
    CLEANUP(taker) taker *t = mem_new0(taker, 1);
    if (!t) return err_set(e, ERR_NOMEM, "hand-over: no memory");
    t->session = t->control = -1;
    sock_addr_print(at, t->at);
    err_code rc = listeners_new(&t->all, e);
    if (rc == ERR_OK) rc = take_all(t, at, e);
    if (rc == ERR_OK) *ret = TAKE(t);
    return rc;
}

/* An old server that dies while it sends leaves sockets here that nobody has promised to be all: they are closed, and
 * the next try finds out that it is gone. */
err_code taker_take(taker **ret, const sock_addr *at, err *e)
{
    err_code rc = ERR_UNAVAILABLE;
    taker *t = NULL;
    for (int i = 0; i < TRIES_MAX && rc == ERR_UNAVAILABLE; i++) rc = taker_new(&t, at, e);
    if (rc != ERR_OK && rc != ERR_NOT_FOUND) return err_wrap(e, "hand-over");
    *ret = t;
    return ERR_OK;
}

/* The old server may have given up waiting.  That it is gone is no reason to give up here. */
err_code taker_check(taker *t, err *e)
{
    char text[SOCK_PASS_BYTES_MAX];
    int fds[SOCK_PASS_FDS_MAX];
    size_t count = 0;
    if (t->session < 0) return ERR_OK;
    sock_io io = sock_pass_recv(t->session, text, fds, &count);
    if (io == SOCK_AGAIN) return ERR_OK;
    if (io == SOCK_DONE) {
        for (size_t i = 0; i < count; i++) sock_close(fds[i]);
        return err_set(e, ERR_TIMEOUT, "hand-over: %s: the server there did not wait any longer, and goes on", t->at);
    }
    log_write(LOG_WARN, NULL, "hand-over: the old server ended before this one was ready");
    sock_close(t->session);
    t->session = -1;
    return ERR_OK;
}

err_code taker_ready(taker *t, err *e)
{
    bool told = t->session >= 0 && handover_send(t->session, HANDOVER_READY, 0, NULL) == SOCK_DONE;
    err_code rc = told ? ERR_OK : taker_check(t, e);
    if (rc) return rc;
    listeners_own(t->all);   /* the files of what is not wanted any more go, too */
    listeners_free(t->all);
    t->all = NULL;
    return ERR_OK;
}
