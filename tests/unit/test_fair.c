/* Among shares that always have work each gets its weight's part of the time, whatever a turn costs; one that was idle
 * neither catches up nor is held back; nobody who is ready waits for ever. */
#include "base/rng.h"
#include "sched/fair.h"
#include "test.h"

static fair_share *pick(fair *f)
{
    fair_share *s = fair_first(f, NULL, NULL);
    if (s) fair_pick(f, s);
    return s;
}

static void time_is_shared_by_weight_whatever_turns_cost(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        enum { SHARES = 6 };
        fair f;
        fair_share s[SHARES] = {0};
        rng r;
        rng_init(&r, seed);
        fair_init(&f);
        uint64_t costs[SHARES], all = 0, weights = 0;
        for (uint32_t i = 0; i < SHARES; i++) {
            s[i].weight = 1 + (uint32_t)rng_below(&r, 10);
            costs[i] = 1000 + rng_below(&r, 1000000);
            weights += s[i].weight;
            fair_ready(&f, &s[i], true);
        }
        for (uint32_t turn = 0; turn < 20000; turn++) {
            fair_share *next = pick(&f);
            uint64_t cost = costs[next - s] / 2 + rng_below(&r, costs[next - s]);
            fair_charge(&f, next, (int64_t)costs[next - s]);
            fair_charge(&f, next, (int64_t)cost - (int64_t)costs[next - s]);
            all += cost;
        }
        for (uint32_t i = 0; i < SHARES; i++) {
            double want = (double)all * s[i].weight / (double)weights;
            CHECK((double)s[i].used_ns > want * 0.98 && (double)s[i].used_ns < want * 1.02);
        }
    }
}

static void who_was_idle_is_owed_nothing(void)
{
    fair f;
    fair_share busy = {.weight = 1}, late = {.weight = 1};
    fair_init(&f);
    fair_ready(&f, &busy, true);
    for (int i = 0; i < 1000; i++) fair_charge(&f, pick(&f), 1000);
    fair_ready(&f, &late, true);
    uint64_t before = busy.used_ns;
    for (int i = 0; i < 1000; i++) fair_charge(&f, pick(&f), 1000);
    CHECK(late.used_ns >= 499000 && late.used_ns <= 501000);
    CHECK(busy.used_ns - before >= 499000);
}

static void a_bill_that_is_out_counts_already(void)
{
    fair f;
    fair_share a = {0}, b = {0};
    fair_init(&f);
    fair_ready(&f, &a, true);
    fair_ready(&f, &b, true);
    fair_share *first = pick(&f);
    fair_charge(&f, first, 1000);
    CHECK(pick(&f) != first);
    fair_charge(&f, first, -2000);
    CHECK_U64(first->used_ns, 0);
    CHECK(pick(&f) == first || pick(&f)->used_ns == 0);
    fair_charge(&f, first == &a ? &b : &a, 1);
    CHECK(pick(&f) == first);   /* no time is less than none */
}

static void only_who_is_ready_is_picked(void)
{
    fair f;
    fair_share a = {.weight = FAIR_WEIGHT_MAX}, b = {.weight = 1};
    fair_init(&f);
    CHECK(pick(&f) == NULL);
    fair_ready(&f, &a, true);
    fair_ready(&f, &a, true);
    fair_ready(&f, &b, true);
    fair_ready(&f, &a, false);
    fair_ready(&f, &a, false);
    CHECK(pick(&f) == &b);
    fair_charge(&f, &a, 5);
    fair_ready(&f, &b, false);
    CHECK(pick(&f) == NULL);
}

static void a_priority_divides_what_a_weight_gives(void)
{
    fair f;
    fair_share s[] = {{.weight = 3}, {.weight = 3, .priority = 2}, {.weight = 1}};
    fair_init(&f);
    for (size_t i = 0; i < COUNTOF(s); i++) fair_ready(&f, &s[i], true);
    for (int i = 0; i < 11000; i++) fair_charge(&f, pick(&f), 1000);
    CHECK(s[0].used_ns >= 5990000 && s[0].used_ns <= 6010000);
    CHECK(s[1].used_ns >= 2990000 && s[1].used_ns <= 3010000);
    CHECK(s[2].used_ns >= 1990000 && s[2].used_ns <= 2010000);
}

/* Years of a share that gets least of its time. */
static void virtual_time_does_not_come_round(void)
{
    fair f;
    fair_share a = {.priority = FAIR_PRIORITY_MAX}, b = {.priority = FAIR_PRIORITY_MAX};
    fair_init(&f);
    fair_ready(&f, &a, true);
    fair_ready(&f, &b, true);
    for (int i = 0; i < 10000; i++) fair_charge(&f, pick(&f), INT64_C(10000000000000));
    CHECK_U64(a.used_ns, b.used_ns);
    fair_charge(&f, &a, 1);
    CHECK(pick(&f) == &b);
    fair_charge(&f, &a, -2);
    CHECK(pick(&f) == &a);
    fair_charge(&f, &a, INT64_MIN);
    CHECK(a.used_ns < b.used_ns && pick(&f) == &a);
}

static bool is_not(const fair_share *s, void *of) { return s != of; }

static void who_may_not_go_keeps_his_place(void)
{
    fair f;
    fair_share a = {0}, b = {0};
    fair_init(&f);
    fair_ready(&f, &a, true);
    fair_ready(&f, &b, true);
    for (int i = 0; i < 5; i++) {
        fair_share *s = fair_first(&f, is_not, &a);
        CHECK(s == &b);
        fair_pick(&f, s);
        fair_charge(&f, s, 1000);
    }
    CHECK(fair_first(&f, NULL, NULL) == &a);
    CHECK_U64(fair_count(&f), 2);
    fair_ready(&f, &b, false);
    CHECK(fair_first(&f, is_not, &a) == NULL);
}

static void time_does_not_go_back_with_who_is_behind(void)
{
    fair f;
    fair_share behind = {0}, ahead = {0}, fresh = {0};
    fair_init(&f);
    fair_ready(&f, &behind, true);
    fair_ready(&f, &ahead, true);
    for (int i = 0; i < 5; i++) {
        fair_pick(&f, &ahead);   /* the other may not go */
        fair_charge(&f, &ahead, 1000);
    }
    CHECK(pick(&f) == &behind);
    fair_ready(&f, &fresh, true);
    fair_charge(&f, &behind, 1000);
    CHECK(pick(&f) == &behind);   /* it is owed the time, who joins now is not */
}

/* ---- models at workers, in simulated time ------------------------------------------------------------------------ */

enum { MODELS = 5, WORKERS = 2 };

typedef struct {
    fair_share share;              /* first */
    uint64_t cost_ns;              /* of a run; what is expected is off by half at most */
    uint64_t every_ns;             /* a request comes; 0 = there are always some */
    uint64_t next_ns;              /* when it comes */
    bool waits;
    uint64_t ran, runs_before, before_most; /* others' runs that began while one waited */
} sim_model;

typedef struct {
    fair fair;
    rng rng;
    uint64_t now_ns, began;
    sim_model models[MODELS];
    struct {
        sim_model *model;          /* NULL = idle */
        uint64_t until_ns, charged_ns;
    } workers[WORKERS];
} sim_world;

static void sim_come(sim_world *w, sim_model *m)
{
    m->waits = true;
    m->runs_before = w->began;
    fair_ready(&w->fair, &m->share, true);
}

static void sim_begin(sim_world *w, uint32_t worker)
{
    sim_model *m = (sim_model *)(void *)pick(&w->fair);
    if (!m) return;
    uint64_t expected = m->cost_ns / 2 + rng_below(&w->rng, m->cost_ns);
    if (w->began - m->runs_before > m->before_most) m->before_most = w->began - m->runs_before;
    m->waits = false;
    fair_ready(&w->fair, &m->share, false);
    fair_charge(&w->fair, &m->share, (int64_t)expected);
    w->workers[worker].model = m;
    w->workers[worker].charged_ns = expected;
    w->workers[worker].until_ns = w->now_ns + m->cost_ns;
    w->began++;
    m->ran++;
    if (!m->every_ns) sim_come(w, m);
}

/* To the next event. */
static void sim_step(sim_world *w)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < MODELS; i++) {
        sim_model *m = &w->models[i];
        if (m->every_ns && m->next_ns <= w->now_ns && !m->waits) {
            m->next_ns = w->now_ns + m->every_ns / 2 + rng_below(&w->rng, m->every_ns);
            sim_come(w, m);
        }
        if (m->every_ns && !m->waits && m->next_ns < next) next = m->next_ns;
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        if (w->workers[i].model && w->workers[i].until_ns <= w->now_ns) {
            sim_model *m = w->workers[i].model;
            fair_charge(&w->fair, &m->share, (int64_t)m->cost_ns - (int64_t)w->workers[i].charged_ns);
            w->workers[i].model = NULL;
        }
        if (!w->workers[i].model) sim_begin(w, i);
        if (w->workers[i].model && w->workers[i].until_ns < next) next = w->workers[i].until_ns;
    }
    w->now_ns = next;
}

/* One model floods the workers with long runs, another with short ones; the rest is asked now and then. */
static void a_flood_delays_others_by_a_run_of_each(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        static sim_world w;
        w = (sim_world){.now_ns = 0};
        rng_init(&w.rng, seed);
        fair_init(&w.fair);
        for (uint32_t i = 0; i < MODELS; i++) {
            w.models[i].cost_ns = i ? 1000000 : 50000000;
            w.models[i].every_ns = i < 2 ? 0 : 200000000;
            w.models[i].next_ns = 1 + i;
        }
        sim_come(&w, &w.models[0]);
        sim_come(&w, &w.models[1]);
        for (int i = 0; i < 20000; i++) sim_step(&w);
        CHECK(w.now_ns > UINT64_C(5000000000));
        for (uint32_t i = 2; i < MODELS; i++) {
            CHECK(w.models[i].ran > 20);
            CHECK(w.models[i].before_most <= MODELS - 1);
        }
        double slow = (double)w.models[0].share.used_ns, quick = (double)w.models[1].share.used_ns;
        CHECK(slow < 1.15 * quick && quick < 1.15 * slow);   /* of time, not of runs */
        CHECK(w.models[1].ran > 30 * w.models[0].ran);
    }
}

int main(void)
{
    const test_case cases[] = {
        TEST(time_is_shared_by_weight_whatever_turns_cost),
        TEST(who_was_idle_is_owed_nothing),
        TEST(a_bill_that_is_out_counts_already),
        TEST(only_who_is_ready_is_picked),
        TEST(a_priority_divides_what_a_weight_gives),
        TEST(virtual_time_does_not_come_round),
        TEST(who_may_not_go_keeps_his_place),
        TEST(time_does_not_go_back_with_who_is_behind),
        TEST(a_flood_delays_others_by_a_run_of_each),
    };
    return test_main(cases, COUNTOF(cases));
}
