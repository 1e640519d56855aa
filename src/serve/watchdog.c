#include "serve/watchdog.h"

#include "base/mem.h"

/* The two messages of one loop; one at a time is under way. */
typedef struct {
    watchdog *of;
    loop_msg ask, answer;
} watched;

struct watchdog {
    const service *by;
    loop *home;                /* loop 0 */
    loop_timer tick;
    uint64_t period_us;
    bool stopped;
    size_t owed;               /* signs that are still to come */
    loop *const *loops;
    watched *each;             /* count of them */
    size_t count;
};

static void on_answer(loop *on, loop_msg *m)
{
    (void)on;
    watched *one = (watched *)(void *)((char *)m - offsetof(watched, answer));
    one->of->owed--;
}

static void on_ask(loop *on, loop_msg *m)
{
    (void)on;
    watched *one = (watched *)(void *)((char *)m - offsetof(watched, ask));
    if (!one->of->stopped) loop_post(one->of->home, &one->answer);
}

static void on_tick(loop_timer *t)
{
    watchdog *w = (watchdog *)(void *)((char *)t - offsetof(watchdog, tick));
    err e;
    if (w->owed == 0) {
        service_alive(w->by);
        w->owed = w->count;
        for (size_t i = 0; i < w->count; i++) loop_post(w->loops[i], &w->each[i].ask);
    }
    err_code rc = loop_timer_set(w->home, t, loop_now_us(w->home) + w->period_us, &e);
    INVARIANT(rc == ERR_OK);   /* in its own callback: cannot fail */
}

err_code watchdog_new(watchdog **ret, const service *s, loop *const *loops, size_t count, err *e)
{
    if (!s->watchdog_us) {
        *ret = NULL;
        return ERR_OK;
    }
    CLEANUP(watchdog) watchdog *w = mem_new0(watchdog, 1);
    if (w) w->each = mem_new0(watched, count);
    if (!w || !w->each) return err_set(e, ERR_NOMEM, "watchdog: no memory for %zu loops", count);
    w->by = s;
    w->home = loops[0];
    w->period_us = s->watchdog_us / 2 ? s->watchdog_us / 2 : 1;
    w->tick.fire = on_tick;
    w->loops = loops;
    w->count = count;
    for (size_t i = 0; i < count; i++)
        w->each[i] = (watched){.of = w, .ask = {.run = on_ask}, .answer = {.run = on_answer}};
    err_code rc = loop_timer_set(w->home, &w->tick, loop_now_us(w->home) + w->period_us, e);
    if (rc) return rc;
    *ret = TAKE(w);
    return ERR_OK;
}

void watchdog_stop(watchdog *w)
{
    if (!w) return;
    w->stopped = true;
    loop_timer_cancel(w->home, &w->tick);
}

void watchdog_free(watchdog *w)
{
    if (!w) return;
    mem_free(w->each);
    mem_free(w);
}
