#include "async/lull.h"

static void on_timer(loop_timer *t)
{
    lull *l = (lull *)(void *)((char *)t - offsetof(lull, timer));
    uint64_t now = loop_now_us(l->on);
    if (!l->awake || now < l->busy_us + l->wait_us) {
        loop_timer_move(l->on, &l->timer, l->awake ? l->busy_us + l->wait_us : now + LOOP_FAR_US);
        return;
    }
    l->awake = false;
    loop_timer_move(l->on, &l->timer, now + LOOP_FAR_US);
    l->rests(l, atomic_fetch_sub(l->all_awake, 1) == 1);
}

err_code lull_init(lull *l, const lull_opts *opts, err *e)
{
    INVARIANT(opts->wait_us && opts->rests);
    *l = (lull){.on = opts->on,
                .timer.fire = on_timer,
                .wait_us = opts->wait_us,
                .all_awake = opts->awake,
                .rests = opts->rests};
    return loop_timer_set(l->on, &l->timer, loop_now_us(l->on) + LOOP_FAR_US, e);
}

void lull_fini(lull *l)
{
    if (!l->on) return;
    loop_timer_cancel(l->on, &l->timer);
    if (l->awake) atomic_fetch_sub(l->all_awake, 1);
    *l = (lull){.on = NULL};
}

void lull_wake(lull *l)
{
    l->awake = true;
    atomic_fetch_add(l->all_awake, 1);
    loop_timer_move(l->on, &l->timer, l->busy_us + l->wait_us);
}
