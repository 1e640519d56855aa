/* A model that asks for a run gets one, whatever others do; who comes next is decided when a worker is there: the model
 * that had least of its share, by time or by runs; resources are in use by no more runs than there are. */
#include "models/turns.h"

#include "fake/sys_fake.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/thread.h"
#include "test.h"

#include <stdatomic.h>

enum { MODELS = 4, ORDER_MAX = 4000 };

/* A model without a queue: it asks again as long as it is told to, and takes as long as it says. */
typedef struct {
    model_turn turn;             /* first */
    char letter;
    uint64_t took_ns;
    uint32_t left;         /* runs that it asks for yet */
    uint32_t stays;        /* in its run while `held` is that; 0 = it does not */
} player;

static compute *pool;
static turns *all;
static player players[MODELS];
static char order[ORDER_MAX + 1];
static _Atomic uint32_t ran, ended, held, inside, inside_most;

static void hold(uint32_t at)
{
    while (atomic_load(&held) == at) (void)futex_wait(&held, at, clock_now_us() + 100000);
}

static void hold_at(uint32_t at)
{
    atomic_store(&held, at);
    (void)futex_wake(&held, MODELS);
}

static void run(model_turn *m, uint64_t charged_ns)
{
    player *p = (player *)(void *)m;
    uint32_t at = atomic_fetch_add(&ran, 1), now = atomic_fetch_add(&inside, 1) + 1;
    if (at < ORDER_MAX) order[at] = p->letter;
    for (uint32_t most = atomic_load(&inside_most); now > most;)
        if (atomic_compare_exchange_weak(&inside_most, &most, now)) break;
    if (p->stays) hold(p->stays);
    else if (p->left) {
        p->left--;
        turns_ask(all, m, p->took_ns);
    }
    atomic_fetch_sub(&inside, 1);
    turns_end(all, m, charged_ns, p->took_ns);
    atomic_fetch_add(&ended, 1);
}

static void start(uint32_t threads, bool by_runs)
{
    err e;
    CHECK(compute_new(&pool, threads, &e) == ERR_OK && turns_new(&all, pool, by_runs, &e) == ERR_OK);
    CHECK(turns_pool(all) == pool && turns_by_runs(all) == by_runs);
    memset(players, 0, sizeof players);
    memset(order, 0, sizeof order);
    atomic_store(&ran, 0);
    atomic_store(&ended, 0);
    atomic_store(&inside_most, 0);
}

static player *join(uint32_t i, uint64_t took_ns, uint32_t left, const turn_opts *o)
{
    player *p = &players[i];
    err e;
    *p = (player){.turn.run = run, .letter = (char)('a' + i), .took_ns = took_ns, .left = left};
    CHECK(turns_join(all, &p->turn, o, &e) == ERR_OK);
    return p;
}

static void wait_for(const _Atomic uint32_t *what, uint32_t count)
{
    uint64_t until_us = clock_now_us() + 60000000;
    while (atomic_load(what) < count && clock_now_us() < until_us) thread_yield();
    CHECK_U64(atomic_load(what), count);
}

static void wait_ended(uint32_t count) { wait_for(&ended, count); }

static void stop(uint32_t joined)
{
    compute_free(pool);
    for (uint32_t i = 0; i < joined; i++) turns_leave(all, &players[i].turn);
    turns_free(all);
}

static uint32_t count_of(char letter, uint32_t first, uint32_t last)
{
    uint32_t n = 0;
    for (uint32_t i = first; i < last; i++) n += order[i] == letter;
    return n;
}

/* One worker, held by a model of its own until the others have asked. */
static void play(player *holder, uint32_t runs)
{
    hold_at(1);
    holder->stays = 1;
    turns_ask(all, &holder->turn, 1);
    while (!atomic_load(&ran)) thread_yield();
    for (player *p = players; p < players + MODELS; p++)
        if (p != holder && p->turn.run) turns_ask(all, &p->turn, p->took_ns);
    hold_at(0);
    wait_ended(runs + 1);
}

static void time_is_shared_by_weight(void)
{
    start(1, false);
    player *holder = join(0, 1, 0, &(turn_opts){.weight = 1});
    join(1, 1000, 999, &(turn_opts){.weight = 1});
    join(2, 9000, 999, &(turn_opts){.weight = 1});
    join(3, 1000, 999, &(turn_opts){.weight = 3, .priority = 7});   /* that is of no interest by time */
    play(holder, 3000);
    /* By price b and c get a fifth of the time each, d three: of 1,000 runs 244, 27 and 731. */
    CHECK(count_of('b', 1, 1001) > 220 && count_of('b', 1, 1001) < 250);
    CHECK(count_of('c', 1, 1001) > 20 && count_of('c', 1, 1001) < 32);
    CHECK(count_of('d', 1, 1001) > 700 && count_of('d', 1, 1001) < 750);
    stop(4);
}

static void runs_are_shared_by_instances_and_priority(void)
{
    start(1, true);
    player *holder = join(0, 1, 0, &(turn_opts){.instances = 1});
    join(1, 1000, 599, &(turn_opts){.instances = 1, .weight = 900});
    join(2, 9000000, 599, &(turn_opts){.instances = 1, .priority = 2});
    join(3, 1000, 599, &(turn_opts){.instances = 4, .priority = 2});
    play(holder, 1800);
    CHECK(count_of('b', 1, 701) >= 198 && count_of('b', 1, 701) <= 202);
    CHECK(count_of('c', 1, 701) >= 98 && count_of('c', 1, 701) <= 102);
    CHECK(count_of('d', 1, 701) >= 398 && count_of('d', 1, 701) <= 402);
    stop(4);
}

static void a_turn_without_a_run_costs_nothing(void)
{
    for (int by_runs = 0; by_runs < 2; by_runs++) {
        start(1, by_runs);
        player *holder = join(0, 1, 0, &(turn_opts){.instances = 1});
        player *b = join(1, 0, 49, &(turn_opts){.instances = 1});
        join(2, 1000, 49, &(turn_opts){.instances = 1});
        play(holder, 100);
        CHECK_U64(b->turn.share.used_ns, 0);
        stop(3);
    }
}

static void runs_wait_for_resources(void)
{
    err e;
    const resource_need one = {STR("R"), 1, false}, two = {STR("R"), 2, false};
    start(4, true);
    CHECK(turns_say(all, STR("R"), 2, &e) == ERR_OK);
    CHECK(turns_join(all, &(model_turn){.run = run}, &(turn_opts){.needs = &(resource_need){STR("R"), 3, false},
                                                             .need_count = 1}, &e) == ERR_INVALID);
    for (uint32_t i = 0; i < 3; i++)
        join(i, 1000, 0, &(turn_opts){.instances = 1, .needs = i == 2 ? &two : &one, .need_count = 1})->stays = 1;
    player *free = join(3, 1000, 9, &(turn_opts){.instances = 1});
    hold_at(1);
    for (uint32_t i = 0; i < 2; i++) turns_ask(all, &players[i].turn, 1000);
    while (atomic_load(&ran) < 2) thread_yield();
    turns_ask(all, &players[2].turn, 1000);
    turns_ask(all, &free->turn, 1000);   /* needs nothing: it waits for nobody */
    wait_ended(10);
    CHECK_U64(atomic_load(&ran), 12);
    CHECK_U64(count_of('c', 0, 12), 0);
    hold_at(0);
    wait_ended(13);
    CHECK(order[12] == 'c');
    stop(4);
}

/* There is as much as anybody claims who is still there: one after the other, where another claimed two. */
static void what_was_claimed_goes_with_who_claimed_it(void)
{
    const resource_need one = {STR("R"), 1, false}, two = {STR("R"), 2, false};
    start(4, true);
    model_turn gone = {.run = run};
    err e;
    CHECK(turns_join(all, &gone, &(turn_opts){.instances = 1, .needs = &two, .need_count = 1}, &e) == ERR_OK);
    turns_leave(all, &gone);
    for (uint32_t i = 0; i < 2; i++)
        join(i, 1000, 0, &(turn_opts){.instances = 1, .needs = &one, .need_count = 1})->stays = 1;
    player *free = join(2, 1000, 9, &(turn_opts){.instances = 1});
    hold_at(1);
    for (uint32_t i = 0; i < 2; i++) turns_ask(all, &players[i].turn, 1000);
    turns_ask(all, &free->turn, 1000);
    wait_ended(10);
    CHECK_U64(atomic_load(&ran), 11);
    hold_at(0);
    wait_ended(12);
    stop(3);
}

static void all_who_were_waiting_for_what_comes_back_go_at_once(void)
{
    const resource_need one = {STR("R"), 1, false}, two = {STR("R"), 2, false};
    start(4, true);
    for (uint32_t i = 0; i < 3; i++)
        join(i, 1000, 0, &(turn_opts){.instances = 1, .needs = i ? &one : &two, .need_count = 1})->stays = i ? 2 : 1;
    hold_at(1);
    turns_ask(all, &players[0].turn, 1000);
    wait_for(&ran, 1);
    for (uint32_t i = 1; i < 3; i++) turns_ask(all, &players[i].turn, 1000);
    hold_at(2);
    wait_for(&ran, 3);   /* neither has ended */
    wait_ended(1);
    hold_at(0);
    wait_ended(3);
    stop(3);
}

static void resources_of_nobody_bound_nothing_by_time(void)
{
    start(2, false);
    const resource_need one = {STR("R"), 1, false};
    for (uint32_t i = 0; i < 2; i++)
        join(i, 1000, 0, &(turn_opts){.needs = &one, .need_count = 1})->stays = 1;
    hold_at(1);
    for (uint32_t i = 0; i < 2; i++) turns_ask(all, &players[i].turn, 1000);
    while (atomic_load(&ran) < 2) thread_yield();
    hold_at(0);
    wait_ended(2);
    stop(2);
}

/* Threads, asks and ends in any order: every run that was asked for happens, and no more at once than may be. */
static void nobody_is_forgotten(void)
{
    start(4, true);
    const resource_need one = {STR("R"), 1, false}, two = {STR("R"), 2, false};
    for (uint32_t i = 0; i < MODELS; i++)
        join(i, 1000, 499, &(turn_opts){.instances = 1, .needs = i % 2 ? &one : &two, .need_count = 1});
    for (uint32_t i = 0; i < MODELS; i++) turns_ask(all, &players[i].turn, 1000);
    wait_ended(2000);
    CHECK(atomic_load(&inside_most) <= 2);
    stop(MODELS);
}

static void no_memory_at_any_point_leaves_nothing(void)
{
    err e;
    CHECK(compute_new(&pool, 1, &e) == ERR_OK);
    FAULT_SWEEP({
        turns *t = NULL;
        model_turn m = {.run = run};
        if (turns_new(&t, pool, false, &e) == ERR_OK && turns_join(t, &m, &(turn_opts){.weight = 1}, &e) == ERR_OK)
            turns_leave(t, &m);
        else
            CHECK(e.code == ERR_NOMEM);
        turns_free(t);
    });
    compute_free(pool);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(time_is_shared_by_weight),
        TEST(runs_are_shared_by_instances_and_priority),
        TEST(a_turn_without_a_run_costs_nothing),
        TEST(runs_wait_for_resources),
        TEST(what_was_claimed_goes_with_who_claimed_it),
        TEST(all_who_were_waiting_for_what_comes_back_go_at_once),
        TEST(resources_of_nobody_bound_nothing_by_time),
        TEST(nobody_is_forgotten),
        TEST(no_memory_at_any_point_leaves_nothing),
    };
    return test_main(cases, COUNTOF(cases));
}
