#include "net/shard.h"

#include "base/mem.h"
#include "net/openssl.h"
#include "net/spare.h"
#include "os/clock.h"
#include "os/poll.h"
#include "os/sock.h"

#define OWNER(p, member) ((shard *)(void *)((char *)(p) - offsetof(shard, member)))

struct shard_mail {
    loop_msg drain, resume, done, renew, spare, give;
    _Atomic size_t spare_above;   /* what `spare` asks for; 0 = it is not under way */
    _Atomic(tls_context *) tls;   /* what `renew` brings; NULL = it is not under way */
    _Atomic bool giving;     /* `give` is under way */
    shard *of;               /* NULL = the shard is gone: the last message frees this */
    _Atomic unsigned posted;
};

static void mail_free(shard_mail *from)
{
    tls_context_free(atomic_load(&from->tls));
    mem_free(from);
}

static void post(shard_mail *from, loop *to, loop_msg *m)
{
    atomic_fetch_add(&from->posted, 1);
    loop_post(to, m);
}

/* The shard that a message was for, or NULL. */
static shard *arrived(shard_mail *from)
{
    bool last = atomic_fetch_sub(&from->posted, 1) == 1;
    shard *s = from->of;
    if (!s && last) mail_free(from);
    return s;
}

/* ---- waits ---- */

static void arm_tick(shard *s, uint64_t at_us)
{
    if (at_us == s->tick_at_us) return;
    s->tick_at_us = at_us;
    loop_timer_move(s->on, &s->tick, at_us);
}

void shard_unwait(shard *s, conn *c)
{
    if (c->wait == CONN_WAITS) return;   /* in none yet */
    wait_list *list = &s->waits[c->wait];
    *(c->prev ? &c->prev->next : &list->first) = c->next;
    *(c->next ? &c->next->prev : &list->last) = c->prev;
    c->prev = c->next = NULL;
}

static void append(shard *s, conn *c, conn_wait kind)
{
    wait_list *list = &s->waits[kind];
    c->wait = (uint8_t)kind;
    c->since_us = loop_now_us(s->on);
    c->prev = list->last;
    c->next = NULL;
    *(list->last ? &list->last->next : &list->first) = c;
    list->last = c;
    if (kind != WAIT_CALLS && c->since_us + list->wait_us < s->tick_at_us) arm_tick(s, c->since_us + list->wait_us);
}

void shard_wait(shard *s, conn *c, conn_wait kind, bool again)
{
    if (c->wait == kind && !again) return;
    shard_unwait(s, c);
    append(s, c, kind);
}

static void on_tick(loop_timer *t)
{
    shard *s = OWNER(t, tick);
    uint64_t now = loop_now_us(s->on), next = now + LOOP_FAR_US;
    size_t left = SHARD_EXPIRE_MAX;
    for (size_t kind = WAIT_CALLS + 1; kind < CONN_WAITS; kind++) {
        wait_list *list = &s->waits[kind];
        for (; left && list->first && list->first->since_us + list->wait_us <= now; left--) conn_expire(list->first);
        if (list->first && list->first->since_us + list->wait_us < next) next = list->first->since_us + list->wait_us;
    }
    arm_tick(s, next > now ? next : now + 1);   /* later than it was set for, so it is set again in any case */
}

/* ---- pools ---- */

static void live_remove(shard *s, http_call *call)
{
    *(call->live_prev ? &call->live_prev->live_next : &s->live) = call->live_next;
    if (call->live_next) call->live_next->live_prev = call->live_prev;
}

static size_t room_of(const http_call *call)
{
    return http_message_room(&call->message) + http2_stream_room(&call->stream);
}

static void call_free(http_call *call)
{
    http_message_fini(&call->message);
    http2_stream_fini(&call->stream);
    outbox_free(call->reply);
    mem_free(call);
}

http_call *shard_call(shard *s)
{
    http_call *call = s->calls;
    if (call) {
        s->calls = call->next;
        s->call_count--;
        s->bytes_kept -= room_of(call);
        http_message_clear(&call->message);
    } else {
        call = mem_new0(http_call, 1);
        if (!call) return NULL;
        http_message_init(&call->message);
        http2_stream_init(&call->stream, &call->message);
        call->of = s;
    }
    call->answered = call->close = call->bodiless = call->chunked = call->full = call->streamed = false;
    call->status = 0;
    call->untaken = 0;
    call->sent_bytes = 0;
    call->added_count = 0;
    call->gone = call->drained = NULL;
    call->part = NULL;
    call->request_id = (str){0};
    call->inner = NULL;
    call->inner_over = NULL;
    call->live_prev = NULL;
    call->live_next = s->live;
    if (s->live) s->live->live_prev = call;
    s->live = call;
    return call;
}

void shard_call_give(shard *s, http_call *call)
{
    shard_busy(s);
    live_remove(s, call);
    if (call->reply) shard_box_give(s, call->reply);
    call->reply = NULL;
    call->from = NULL;
    if (call->place) http2_stream_clear(&call->stream);
    call->place = 0;
    call->answered = true;   /* a second answer to it is found out */
    size_t room = room_of(call);
    if (s->call_count == SHARD_CALLS_KEPT_MAX || room > s->bytes_kept_max - s->bytes_kept) {
        call_free(call);
        return;
    }
    s->bytes_kept += room;
    s->call_count++;
    call->next = s->calls;
    s->calls = call;
}

outbox *shard_box(shard *s, outbox_kind kind)
{
    outbox *box = s->boxes[kind];
    if (!box) {
        box = outbox_new(kind);
        if (box) box->memory = s->replies;
        return box;
    }
    s->boxes[kind] = box->next;
    s->box_count[kind]--;
    s->box_bytes_kept -= outbox_room(box);
    return box;
}

void shard_box_give(shard *s, outbox *box)
{
    size_t room = outbox_room(box);
    bool counted = box->memory == s->replies;   /* else it was disowned */
    size_t most = s->bytes_kept_max < SHARD_BOX_BYTES_KEPT_MAX ? s->bytes_kept_max : SHARD_BOX_BYTES_KEPT_MAX;
    if (!counted || s->box_count[box->kind] == SHARD_BOXES_KEPT_MAX || room > most - s->box_bytes_kept) {
        outbox_free(box);
        return;
    }
    outbox_clear(box);
    box->next = s->boxes[box->kind];
    s->boxes[box->kind] = box;
    s->box_count[box->kind]++;
    s->box_bytes_kept += room;
}

static conn *conn_take(shard *s, int fd)
{
    conn *c = s->conns;
    if (c) {
        s->conns = c->next;
        s->conn_count--;
        *c = (conn){.prev = NULL};
    } else {
        c = mem_new0(conn, 1);
        if (!c) return NULL;
    }
    conn_init(c, s, fd);
    return c;
}

static void conn_give(shard *s, conn *c)
{
    if (s->conn_count == SHARD_CONNS_KEPT_MAX) {
        mem_free(c);
        return;
    }
    c->next = s->conns;
    s->conns = c;
    s->conn_count++;
}

static void pools_trim(shard *s, size_t bytes_max)
{
    while (s->calls && s->bytes_kept >= bytes_max) {
        http_call *call = s->calls;
        s->calls = call->next;
        s->call_count--;
        s->bytes_kept -= room_of(call);
        call_free(call);
    }
    for (outbox_kind kind = 0; kind < OUTBOX_KINDS; kind++) {
        while (s->boxes[kind] && s->box_bytes_kept >= bytes_max) outbox_free(shard_box(s, kind));
    }
}

static void conns_free(shard *s)
{
    for (conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        mem_free(c);
    }
    s->conns = NULL;
    s->conn_count = 0;
}

/* Every loop rests once in a while, and each time at the same level: nothing is kept of a load but what is open. */
static void on_lull(lull *l, bool last)
{
    shard *s = OWNER(l, lull);
    pools_trim(s, 0);
    conns_free(s);
    buf_fini(&s->head);
    buf_fini(&s->http2_out.text);
    slab_trim(&s->http2_memory);
    loop_trim(s->on);
    if (last) openssl_trim();
    s->rested(s->ctx, s->on, last);
}

/* ---- later ---- */

void shard_resume_later(shard *s, conn *c)
{
    if (c->resuming) return;
    c->resuming = true;
    c->resume_next = s->resume_first;
    s->resume_first = c;
    if (s->resume_posted) return;
    s->resume_posted = true;
    post(s->mail, s->on, &s->mail->resume);
}

/* One at a time: a handler that runs here may end any other connection, which then leaves the list. */
static void on_resume(loop *on, loop_msg *m)
{
    shard *s = arrived((shard_mail *)((char *)m - offsetof(shard_mail, resume)));
    if (!s) return;
    for (size_t i = 0; i < SHARD_RESUME_MAX && s->resume_first; i++) {
        conn *c = s->resume_first;
        s->resume_first = c->resume_next;
        c->resuming = false;
        conn_resume(c);
    }
    s->resume_posted = s->resume_first != NULL;
    if (s->resume_posted) post(s->mail, on, m);
}

static void report(shard *s)
{
    if (!s->draining || !s->left || s->reported || s->open) return;
    s->reported = true;
    loop_timer_move(s->on, &s->grace, loop_now_us(s->on) + LOOP_FAR_US);
    post(s->mail, server_first_loop(s->of), &s->mail->done);
}

void shard_gone(shard *s, conn *c)
{
    shard_busy(s);
    shard_unwait(s, c);
    for (conn **at = &s->resume_first; c->resuming && *at; at = &(*at)->resume_next) {
        if (*at != c) continue;
        *at = c->resume_next;
        break;
    }
    if (c->refused)
        s->refusing--;
    else
        server_leave(s->of);
    conn_give(s, c);
    s->open--;
    if (s->open == 0) {
        arm_tick(s, loop_now_us(s->on) + LOOP_FAR_US);
        pools_trim(s, SHARD_REST_BYTES_MAX);   /* what a burst left behind, at once */
    }
    report(s);
}

/* ---- accept ---- */

static conn *conn_open(shard *s, int fd)
{
    conn *c = conn_take(s, fd);
    if (!c) return NULL;
    shard_busy(s);
    if (conn_start(c)) {
        s->open++;
        return c;
    }
    conn_give(s, c);
    return NULL;
}

static void reserve_open(shard *s)
{
    err e;
    if (s->reserve < 0 && poll_open(&s->reserve, &e)) s->reserve = -1;   /* any descriptor will do; needs no file */
    if (s->lacks && s->reserve >= 0) {
        s->lacks = false;
        server_lack(s->of, false);
    }
}

static void tell_full(shard *s, int fd)
{
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
                               "Connection: close\r\n\r\n";
    size_t n;
    shard_count(&s->refused, 1);
    (void)sock_write(fd, &(struct iovec){.iov_base = (void *)(uintptr_t)text, .iov_len = sizeof text - 1}, 1, &n);
    sock_close(fd);
    reserve_open(s);
}

static void admit(shard *s, int fd, const listener *from)
{
    if (server_lacks(s->of)) {   /* a loop cannot even tell its clients: nobody is let in before it */
        tell_full(s, fd);
        return;
    }
    bool welcome = server_admit(s->of);
    conn *c = welcome || s->refusing < SHARD_REFUSED_MAX ? conn_open(s, fd) : NULL;
    shard_count(welcome && c ? &s->accepted : &s->refused, 1);
    if (c && from->local) c->cleartext = true;
    if (!c) {
        sock_close(fd);
        if (welcome) server_leave(s->of);
    } else if (!welcome) {
        c->refused = true;
        s->refusing++;
        conn_refuse_all(c, "connections: expected fewer, this server has as many as it may");
    }
}

/* One that waits, by the descriptor in reserve. */
static sock_io tell_one(shard *s, const listener *full)
{
    int fd = -1;
    poll_close(s->reserve);
    s->reserve = -1;
    sock_io got = sock_accept(full->fd, &fd, NULL);
    if (got == SOCK_DONE)
        tell_full(s, fd);
    else
        reserve_open(s);
    return got;
}

/* Who says nothing gives his. */
static bool idle_close(shard *s)
{
    if (!s->waits[WAIT_IDLE].first) return false;
    conn_expire(s->waits[WAIT_IDLE].first);
    return true;
}

/* Without descriptors a waiting connection would stay in the queue and wake us for ever.  True = go on accepting. */
static bool out_of_descriptors(shard *s, const listener *full)
{
    bool had = s->reserve >= 0;
    sock_io got = tell_one(s, full);
    if (s->reserve < 0 && idle_close(s)) reserve_open(s);   /* another loop took it */
    if (s->reserve >= 0 && (got != SOCK_FULL || !had)) return got != SOCK_AGAIN;
    if (s->reserve < 0 && !s->lacks) {
        s->lacks = true;
        server_lack(s->of, true);
        server_ask(s->of, s);
    }
    for (size_t i = 0; i < s->listener_count; i++)
        if (s->listeners[i].fd.on) loop_fd_del(&s->listeners[i].fd);
    loop_timer_move(s->on, &s->unpause, loop_now_us(s->on) + SERVER_PAUSE_US);
    return false;
}

static bool accept_one(shard *s, const listener *from)
{
    int fd = -1;
    switch (sock_accept(from->fd, &fd, NULL)) {
    case SOCK_DONE: admit(s, fd, from); return true;
    case SOCK_FULL: return out_of_descriptors(s, from);
    default: return false;
    }
}

static void on_listener(loop_fd *f, uint32_t events)
{
    (void)events;
    const shard_listener *l = (const shard_listener *)f;   /* it begins with its descriptor */
    for (size_t i = 0; i < SHARD_ACCEPT_MAX && accept_one(l->of, l->at); i++) {}
}

static err_code watch(shard *s, err *e)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        shard_listener *l = &s->listeners[i];
        if (!l->at || l->fd.on) continue;
        err_code rc = loop_fd_add(s->on, &l->fd, LOOP_READ | (l->at->shared ? (uint32_t)LOOP_SHARED : 0), e);
        if (rc) return rc;
    }
    return ERR_OK;
}

static void on_unpause(loop_timer *t)
{
    err e;
    shard *s = OWNER(t, unpause);
    reserve_open(s);
    if (s->lacks) server_ask(s->of, s);
    bool later = watch(s, &e) || s->lacks;   /* the kernel is short of memory, or the others keep theirs */
    uint64_t wait_us = later ? SERVER_PAUSE_US : LOOP_FAR_US;
    loop_timer_move(s->on, t, loop_now_us(s->on) + wait_us);
}

/* ---- life ---- */

str shard_date(shard *s)
{
    uint64_t now = loop_now_us(s->on);
    if (now >= s->date_until_us) {
        uint64_t wall = clock_wall_us();
        http_header_date(s->date, wall / 1000000);
        s->date_until_us = now + 1000000 - wall % 1000000;
    }
    return (str){s->date, sizeof s->date};
}

static void stop_listening(shard *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        shard_listener *l = &s->listeners[i];
        if (l->fd.on) loop_fd_del(&l->fd);
        if (l->at) listeners_leave(l->at);
        l->at = NULL;
    }
    s->left = true;
}

/* Those whom the kernel let in already are accepted; no more can come. */
static void shut_door(shard *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        const listener *from = s->listeners[i].at;
        for (size_t k = 0; from && k < SHARD_BACKLOG_MAX && accept_one(s, from); k++) {}
    }
    stop_listening(s);
    report(s);
}

static void on_door(loop_timer *t)
{
    shard *s = OWNER(t, door);
    loop_timer_move(s->on, t, loop_now_us(s->on) + LOOP_FAR_US);
    shut_door(s);
}

/* Before their handlers are told, who may answer others then. */
static void count_cut(shard *s)
{
    uint64_t calls = 0;
    for (const http_call *call = s->live; call; call = call->live_next) calls += call->from && !call->answered;
    shard_count(&s->cut_connections, s->open);
    shard_count(&s->cut_calls, calls);
}

static void break_all(shard *s)
{
    count_cut(s);
    for (size_t kind = 0; kind < CONN_WAITS; kind++) {
        while (s->waits[kind].first) conn_break(s->waits[kind].first);
    }
}

static void on_grace(loop_timer *t)
{
    shard *s = OWNER(t, grace);
    loop_timer_move(s->on, t, loop_now_us(s->on) + LOOP_FAR_US);
    if (!s->draining) return;
    shut_door(s);
    break_all(s);
}

static void on_drain(loop *on, loop_msg *m)
{
    shard *s = arrived((shard_mail *)((char *)m - offsetof(shard_mail, drain)));
    if (!s) return;
    uint64_t now = loop_now_us(on);
    s->draining = true;
    for (size_t kind = WAIT_IDLE; kind <= WAIT_FIRST; kind++) {
        uint64_t *wait_us = &s->waits[kind].wait_us;
        if (*wait_us > server_idle_us(s->of)) *wait_us = server_idle_us(s->of);
    }
    for (size_t kind = 0; kind < CONN_WAITS; kind++) {   /* HTTP/2 says goodbye without waiting */
        for (conn *c = s->waits[kind].first; c; c = c->next)
            if (c->http2) shard_resume_later(s, c);
    }
    arm_tick(s, now + 1);
    loop_timer_move(s->on, &s->grace, now + server_grace_us(s->of));
    if (server_door_us(s->of))
        loop_timer_move(s->on, &s->door, now + server_door_us(s->of));
    else
        shut_door(s);
}

static void on_done(loop *on, loop_msg *m)
{
    (void)on;
    shard *s = arrived((shard_mail *)((char *)m - offsetof(shard_mail, done)));
    if (s) server_drained(s->of);
}

/* Connections keep the context that they began with. */
static void on_renew(loop *on, loop_msg *m)
{
    (void)on;
    shard *s = arrived((shard_mail *)((char *)m - offsetof(shard_mail, renew)));
    if (!s) return;
    tls_context_free(s->tls);
    s->tls = atomic_exchange(&s->mail->tls, NULL);
    shard_busy(s);
    INVARIANT(s->tls);
}

void shard_renew_tls(shard *s, tls_context *x)
{
    tls_context *before = atomic_exchange(&s->mail->tls, tls_context_ref(x));
    if (!before) post(s->mail, s->on, &s->mail->renew);   /* else its message is still to arrive, and brings this one */
    tls_context_free(before);
}

static void on_spare(loop *on, loop_msg *m)
{
    (void)on;
    shard *s = arrived((shard_mail *)((char *)m - offsetof(shard_mail, spare)));
    if (s) spare_cut(s, atomic_exchange(&s->mail->spare_above, 0));
}

void shard_spare(shard *s, size_t above)
{
    if (atomic_exchange(&s->mail->spare_above, above) == 0) post(s->mail, s->on, &s->mail->spare);
}

static void on_give(loop *on, loop_msg *m)
{
    (void)on;
    shard *s = arrived((shard_mail *)((char *)m - offsetof(shard_mail, give)));
    if (!s) return;
    atomic_store(&s->mail->giving, false);
    if (s->waits[WAIT_IDLE].first && server_lacks(s->of) && server_give(s->of)) (void)idle_close(s);
}

void shard_give(shard *s)
{
    if (!atomic_exchange(&s->mail->giving, true)) post(s->mail, s->on, &s->mail->give);
}

void shard_drain(shard *s) { post(s->mail, s->on, &s->mail->drain); }

static void set_limits(shard *s, quota *bodies, quota *replies)
{
    const http_limits *l = s->limits;
    s->waits[WAIT_IDLE].wait_us = l->idle_wait_us;
    s->waits[WAIT_FIRST].wait_us = CONN_HTTP2_FIRST_US;
    s->waits[WAIT_HEADER].wait_us = l->header_wait_us;
    s->waits[WAIT_BODY].wait_us = l->body_wait_us;
    s->waits[WAIT_WRITE].wait_us = l->write_wait_us;
    s->waits[WAIT_LINGER].wait_us = CONN_LINGER_US;
    uint64_t scan_us = l->header_wait_us < l->body_wait_us ? l->header_wait_us : l->body_wait_us;
    if (l->write_wait_us < scan_us) scan_us = l->write_wait_us;
    s->waits[WAIT_STREAMS].wait_us = scan_us / CONN_HTTP2_SCANS + 1;
    s->http2_limits = (http2_limits){
        .streams_max = l->streams_max,
        .line_bytes_max = l->line_bytes_max,
        .header_bytes_max = l->header_bytes_max,
        .header_count_max = l->header_count_max,
        .body_bytes_max = l->body_bytes_max,
        .bodies = bodies,
        .replies = replies,
    };
    s->reader_limits = (http1_limits){
        .line_bytes_max = l->line_bytes_max,
        .header_bytes_max = l->header_bytes_max,
        .header_count_max = l->header_count_max,
        .body_bytes_max = l->body_bytes_max,
        .bodies = bodies,
    };
}

static err_code listeners_take(shard *s, const shard_opts *o, err *e)
{
    size_t n = 0;
    listeners_cursor count = {0}, fill = {0};
    while (listeners_next(o->all, &count, o->index)) n++;
    s->listeners = mem_new0(shard_listener, n);
    if (!s->listeners) return err_set(e, ERR_NOMEM, "server: no memory for %zu listeners", n);
    for (listener *at; (at = listeners_next(o->all, &fill, o->index)) != NULL; s->listener_count++)
        s->listeners[s->listener_count] =
            (shard_listener){.fd = {.fd = at->fd, .ready = on_listener}, .of = s, .at = at};
    return ERR_OK;
}

static err_code set_up(shard *s, _Atomic size_t *awake, err *e)
{
    s->scratch = mem_alloc_raw(SHARD_SCRATCH_BYTES);
    s->mail = mem_new0(shard_mail, 1);
    if (!s->scratch || !s->mail) return err_set(e, ERR_NOMEM, "server: no memory for its share of a loop");
    *s->mail = (shard_mail){.drain.run = on_drain, .resume.run = on_resume, .done.run = on_done,
                            .renew.run = on_renew, .spare.run = on_spare, .give.run = on_give, .of = s};
    uint64_t far = loop_now_us(s->on) + LOOP_FAR_US;
    s->tick_at_us = far;
    err_code rc = loop_timer_set(s->on, &s->tick, far, e);
    if (rc == ERR_OK) rc = loop_timer_set(s->on, &s->unpause, far, e);
    if (rc == ERR_OK) rc = loop_timer_set(s->on, &s->door, far, e);
    if (rc == ERR_OK) rc = loop_timer_set(s->on, &s->grace, far, e);
    if (rc == ERR_OK) rc = low_water_init(&s->low_water, s->on, e);
    const lull_opts lo = {.on = s->on, .wait_us = SERVER_REST_US, .awake = awake, .rests = on_lull};
    if (rc == ERR_OK && s->rested) rc = lull_init(&s->lull, &lo, e);
    if (rc == ERR_OK) rc = poll_open(&s->reserve, e);
    return rc ? rc : watch(s, e);
}

err_code shard_new(shard **ret, const shard_opts *opts, err *e)
{
    CLEANUP(shard) shard *s = mem_new0(shard, 1);
    if (!s) return err_set(e, ERR_NOMEM, "server: no memory for its share of a loop");
    s->of = opts->of;
    s->on = opts->on;
    s->limits = opts->limits;
    s->handler = opts->handler;
    s->begin = opts->begin;
    s->replied = opts->replied;
    s->rested = opts->rested;
    s->ctx = opts->ctx;
    s->id_seed = opts->id_seed;
    s->tls = opts->tls ? tls_context_ref(opts->tls) : NULL;
    s->cleartext = opts->cleartext;
    s->bytes_kept_max = opts->bytes_kept_max < SHARD_BYTES_KEPT_MAX ? opts->bytes_kept_max : SHARD_BYTES_KEPT_MAX;
    s->tick.fire = on_tick;
    s->unpause.fire = on_unpause;
    s->door.fire = on_door;
    s->grace.fire = on_grace;
    s->reserve = -1;
    s->replies = opts->replies;
    set_limits(s, opts->bodies, opts->replies);
    buf_init(&s->head, 1 << 20);
    buf_init(&s->http2_out.text, 1 << 20);
    slab_init(&s->http2_memory);
    err_code rc = listeners_take(s, opts, e);
    if (rc == ERR_OK) rc = set_up(s, opts->awake, e);
    if (rc) return rc;
    *ret = TAKE(s);
    return ERR_OK;
}

void shard_abort(shard *s)
{
    break_all(s);
    stop_listening(s);
}

void shard_free(shard *s)
{
    if (!s) return;
    shard_abort(s);
    poll_close(s->reserve);
    loop_timer_cancel(s->on, &s->tick);
    loop_timer_cancel(s->on, &s->unpause);
    loop_timer_cancel(s->on, &s->door);
    loop_timer_cancel(s->on, &s->grace);
    while (s->live) {
        if (s->live->inner) s->live->inner(s->live->inner_ctx, NULL);
        shard_call_give(s, s->live);
    }
    low_water_fini(&s->low_water);
    lull_fini(&s->lull);
    for (http_call *call = s->calls, *next; call; call = next) {
        next = call->next;
        call_free(call);
    }
    conns_free(s);
    for (outbox_kind kind = 0; kind < OUTBOX_KINDS; kind++) {
        while (s->boxes[kind]) outbox_free(shard_box(s, kind));
    }
    if (s->mail) s->mail->of = NULL;
    if (s->mail && atomic_load(&s->mail->posted) == 0) mail_free(s->mail);
    buf_fini(&s->head);
    buf_fini(&s->http2_out.text);
    slab_fini(&s->http2_memory);
    mem_free(s->listeners);
    tls_context_free(s->tls);
    mem_free(s->tls_plain);
    mem_free(s->tls_stage);
    mem_free(s->scratch);
    mem_free(s);
}
