#include "serve/giver.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/server.h"
#include "serve/handover.h"

/* asks --take--> sending --all sent--> loading --ready--> given; all but the last --gone, late, nonsense--> none */
typedef enum { NONE, ASKS, SENDING, LOADING } session_state;

struct giver {
    loop *on;
    sock_addr at;
    file_id file;
    bool made, over;
    listeners *all;
    uint64_t ready_wait_us;
    void (*given)(void *ctx);
    void *ctx;
    loop_fd control;           /* fd -1 = closed */
    loop_fd session;           /* fd -1 = none */
    loop_timer limit;          /* for the step that is due */
    loop_timer pause;          /* out of descriptors: until then nobody is let in */
    session_state state;
    size_t place, socket;      /* what is to be sent next */
    uint32_t sent;             /* sockets */
    bool control_sent;
};

static giver *of_session(loop_fd *f) { return (giver *)(void *)((char *)f - offsetof(giver, session)); }

static void session_close(giver *g)
{
    if (g->session.fd < 0) return;
    loop_timer_cancel(g->on, &g->limit);
    loop_fd_del(&g->session);
    sock_close(g->session.fd);
    g->session.fd = -1;
    g->state = NONE;
}

static void give_up(giver *g, const char *why)
{
    log_write(LOG_WARN, NULL, "hand-over: %s: this server goes on", why);
    session_close(g);
}

static void control_close(giver *g)
{
    if (g->control.fd < 0) return;
    if (g->control.on) loop_fd_del(&g->control);
    loop_timer_cancel(g->on, &g->pause);
    sock_close(g->control.fd);
    g->control.fd = -1;
}

static void step(giver *g, session_state to, uint64_t wait_us)
{
    err e;
    g->state = to;
    if (loop_timer_set(g->on, &g->limit, loop_now_us(g->on) + wait_us, &e)) give_up(g, e.text);
}

/* The next message of sockets, at most SOCK_PASS_FDS_MAX of one address; false = there are no more. */
static bool next_sockets(const giver *g, int fds[SOCK_PASS_FDS_MAX], uint32_t *ret_count)
{
    uint32_t n = 0;
    if (g->place == listeners_count(g->all)) return false;
    while (n < SOCK_PASS_FDS_MAX) {
        int fd = listeners_socket(g->all, g->place, g->socket + n);
        if (fd < 0) break;
        fds[n++] = fd;
    }
    *ret_count = n;
    return true;
}

static sock_io send_next(giver *g, bool *ret_more)
{
    int fds[SOCK_PASS_FDS_MAX];
    uint32_t n = 0;
    *ret_more = true;
    if (next_sockets(g, fds, &n)) {
        handover_kind kind = listeners_made(g->all, g->place) ? HANDOVER_OWN : HANDOVER_SOCKETS;
        sock_io io = n ? handover_send(g->session.fd, kind, n, fds) : SOCK_DONE;
        if (io != SOCK_DONE) return io;
        g->sent += n;
        g->socket += n;
        if (listeners_socket(g->all, g->place, g->socket) < 0) {
            g->place++;
            g->socket = 0;
        }
        return SOCK_DONE;
    }
    if (!g->control_sent) {
        sock_io io = handover_send(g->session.fd, HANDOVER_CONTROL, 1, &g->control.fd);
        g->control_sent = io == SOCK_DONE;
        return io;
    }
    *ret_more = false;
    return handover_send(g->session.fd, HANDOVER_END, g->sent, NULL);
}

static void send_all(giver *g)
{
    sock_io io = SOCK_DONE;
    bool more = true;
    while (io == SOCK_DONE && more) io = send_next(g, &more);
    if (io == SOCK_GONE) {
        give_up(g, "the new server went away");
        return;
    }
    loop_fd_want(&g->session, io == SOCK_AGAIN ? LOOP_READ | LOOP_WRITE : LOOP_READ);
    if (io == SOCK_DONE) step(g, LOADING, g->ready_wait_us);
}

static void hand_over(giver *g)
{
    session_close(g);
    control_close(g);
    g->made = false;
    g->over = true;
    listeners_disown(g->all);
    g->given(g->ctx);
}

/* False = there is no more to hear for now, or the session is over. */
static bool hear(giver *g)
{
    char text[SOCK_PASS_BYTES_MAX];
    int fds[SOCK_PASS_FDS_MAX];
    size_t count = 0;
    handover_msg m;
    sock_io io = sock_pass_recv(g->session.fd, text, fds, &count);
    if (io == SOCK_AGAIN) return false;
    for (size_t i = 0; io == SOCK_DONE && i < count; i++) sock_close(fds[i]);
    if (io != SOCK_DONE) {
        give_up(g, "the new server went away before it was ready");
    } else if (!handover_parse(str_of(text), &m)) {
        give_up(g, "a message was not understood");
    } else if (m.kind == HANDOVER_TAKE && g->state == ASKS) {
        log_write(LOG_INFO, NULL, "hand-over: a new server asks for the listeners");
        step(g, SENDING, HANDOVER_STEP_MS * 1000ull);
        if (g->state == SENDING) send_all(g);
    } else if (m.kind == HANDOVER_READY && g->state == LOADING) {
        hand_over(g);
    } else {
        give_up(g, "a message came out of turn");
    }
    return g->session.fd >= 0;
}

static void on_session(loop_fd *f, uint32_t events)
{
    giver *g = of_session(f);
    if (events & LOOP_WRITE && g->state == SENDING) send_all(g);
    if (g->session.fd >= 0 && events & (LOOP_READ | LOOP_HANGUP)) {
        while (hear(g)) {}
    }
}

/* From `deaf` on nothing more can come: what did come in time counts, and the peer learns that the rest does not. */
static void on_limit(loop_timer *t)
{
    giver *g = (giver *)(void *)((char *)t - offsetof(giver, limit));
    bool loading = g->state == LOADING;
    sock_pass_deaf(g->session.fd);
    if (loading) {
        char text[SOCK_PASS_BYTES_MAX];
        int fds[SOCK_PASS_FDS_MAX];
        size_t count = 0;
        handover_msg m;
        bool came = sock_pass_recv(g->session.fd, text, fds, &count) == SOCK_DONE;
        for (size_t i = 0; came && i < count; i++) sock_close(fds[i]);
        if (came && handover_parse(str_of(text), &m) && m.kind == HANDOVER_READY) {
            hand_over(g);
            return;
        }
    }
    (void)handover_send(g->session.fd, HANDOVER_LATE, 0, NULL);
    give_up(g, loading ? "the new server is not ready in time" : "the new server keeps silent");
}

static void session_open(giver *g, int fd)
{
    err e;
    bool ours = sock_pass_is_ours(fd);
    while (ours && g->session.fd >= 0 && hear(g)) {}   /* the one before may be gone, which its own event tells later */
    if (!ours || g->session.fd >= 0 || g->over) {
        log_write(LOG_WARN, NULL, "hand-over: refused: %s",
                  ours ? "another is under way" : "the new server belongs to another user");
        (void)handover_send(fd, HANDOVER_BUSY, 0, NULL);
        sock_close(fd);
        return;
    }
    g->session = (loop_fd){.fd = fd, .ready = on_session};
    g->place = g->socket = g->sent = 0;
    g->control_sent = false;
    if (loop_fd_add(g->on, &g->session, LOOP_READ, &e)) {
        log_write(LOG_WARN, NULL, "hand-over: %s", e.text);
        sock_close(fd);
        g->session.fd = -1;
        return;
    }
    step(g, ASKS, HANDOVER_STEP_MS * 1000ull);
}

static void on_control(loop_fd *f, uint32_t events)
{
    giver *g = (giver *)(void *)((char *)f - offsetof(giver, control));
    int fd = -1;
    err e;
    (void)events;
    switch (sock_accept(f->fd, &fd, NULL)) {
    case SOCK_DONE: session_open(g, fd); return;
    case SOCK_FULL:   /* whoever waits stays in the queue, and would wake us for ever */
        if (loop_timer_set(g->on, &g->pause, loop_now_us(g->on) + SERVER_PAUSE_US, &e) == ERR_OK) loop_fd_want(f, 0);
        return;
    default: return;
    }
}

static void on_pause(loop_timer *t)
{
    giver *g = (giver *)(void *)((char *)t - offsetof(giver, pause));
    loop_fd_want(&g->control, LOOP_READ);
}

void giver_own(giver *g)
{
    err e;
    const char *path = sock_addr_path(&g->at);
    g->made = path && file_identify(path, &g->file, &e) == ERR_OK;
}

err_code giver_new(giver **ret, const giver_opts *o, err *e)
{
    CLEANUP(giver) giver *g = mem_new0(giver, 1);
    if (!g) {
        sock_close(o->control);
        return err_set(e, ERR_NOMEM, "hand-over: no memory");
    }
    *g = (giver){.on = o->on,
                 .at = *o->at,
                 .all = o->all,
                 .ready_wait_us = o->ready_wait_us,
                 .given = o->given,
                 .ctx = o->ctx,
                 .limit = {.fire = on_limit},
                 .pause = {.fire = on_pause},
                 .control = {.fd = o->control, .ready = on_control},
                 .session = {.fd = -1}};
    err_code rc = ERR_OK;
    if (o->control < 0) {
        rc = sock_listen(&(sock_listen_opts){.addr = o->at, .packets = true, .mode = 0600}, &g->control.fd, e);
        if (rc) return err_wrap(e, "hand-over");
        giver_own(g);
    }
    rc = loop_fd_add(g->on, &g->control, LOOP_READ, e);
    if (rc) return rc;
    *ret = TAKE(g);
    return ERR_OK;
}

void giver_stop(giver *g)
{
    if (!g || g->over) return;
    g->over = true;
    if (g->state == LOADING) {   /* it has all it needs, and owns the files from here on */
        listeners_disown(g->all);
        g->made = false;
    }
    session_close(g);
    control_close(g);
}

void giver_free(giver *g)
{
    if (!g) return;
    session_close(g);
    control_close(g);
    if (g->made) sock_file_remove(&g->at, &g->file);
    mem_free(g);
}
