#include "net/low_water.h"

#include "net/conn.h"
#include "os/sock.h"

static void enter(low_water *l, conn *c, uint32_t bytes)
{
    c->low_water = (low_water_mark){.prev = l->last, .since_us = loop_now_us(l->on), .bytes = bytes};
    *(l->last ? &l->last->low_water.next : &l->first) = c;
    l->last = c;
    if (l->set) return;
    l->set = true;
    loop_timer_move(l->on, &l->timer, c->low_water.since_us + LOW_WATER_WAIT_US);
}

void low_water_leave(low_water *l, conn *c)
{
    low_water_mark *m = &c->low_water;
    if (!m->bytes) return;
    *(m->prev ? &m->prev->low_water.next : &l->first) = m->next;
    *(m->next ? &m->next->low_water.prev : &l->last) = m->prev;
    *m = (low_water_mark){.bytes = 0};
}

/* A mark that could not be changed stays among the others: the timer tries again. */
static void put(low_water *l, conn *c, uint32_t bytes)
{
    uint32_t was = c->low_water.bytes;
    bool changed = bytes == was || sock_low_water(c->fd.fd, bytes ? bytes : 1);
    low_water_leave(l, c);
    if (!changed) bytes = was;
    if (bytes) enter(l, c, bytes);
}

void low_water_note(low_water *l, conn *c, size_t came, size_t due)
{
    size_t most = due < LOW_WATER_MAX ? due : LOW_WATER_MAX;
    put(l, c, came >= LOW_WATER_MIN && most >= LOW_WATER_MIN ? (uint32_t)most : 0);
}

static void on_timer(loop_timer *t)
{
    low_water *l = (low_water *)(void *)((char *)t - offsetof(low_water, timer));
    uint64_t now = loop_now_us(l->on);
    for (size_t i = 0; i < LOW_WATER_TURN_MAX; i++) {
        if (!l->first || l->first->low_water.since_us + LOW_WATER_WAIT_US > now) break;
        put(l, l->first, 0);
    }
    uint64_t next = l->first ? l->first->low_water.since_us + LOW_WATER_WAIT_US : now + LOOP_FAR_US;
    l->set = l->first != NULL;
    loop_timer_move(l->on, &l->timer, next > now ? next : now + 1);
}

err_code low_water_init(low_water *l, loop *on, err *e)
{
    *l = (low_water){.on = on, .timer.fire = on_timer};
    return loop_timer_set(on, &l->timer, loop_now_us(on) + LOOP_FAR_US, e);
}

void low_water_fini(low_water *l)
{
    if (l->on) loop_timer_cancel(l->on, &l->timer);
    l->on = NULL;
}
