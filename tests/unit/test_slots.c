/* However sequences come, stop and are dropped: requests of one run one at a time and in order, no more sequences than
 * slots have one, whoever waits for a slot gets it in its turn, and what is idle is forgotten. */
#include "sched/slots.h"

#include "test.h"

typedef struct {
    slot_item at;
    int id, number;
    bool gone;
} req;

typedef struct {
    slot_sequence at;
    int last;   /* of its requests that ran */
} kept;

static slots *slots_of(uint32_t count, uint32_t waiting_max)
{
    slots *s = NULL;
    err e;
    const slots_opts o = {.count = count, .waiting_max = waiting_max, .idle_us = 100, .bytes = sizeof(kept)};
    CHECK(slots_new(&s, &o, &e) == ERR_OK);
    return s;
}

static err_code push(slots *s, req *r, int id, bool start, bool end, uint64_t now_us)
{
    char name[8];
    bool again;
    err e;
    snprintf(name, sizeof name, "%d", id);
    *r = (req){.at = {.start = start, .end = end}, .id = id};
    err_code rc = slots_push(s, &r->at, str_of(name), now_us, &again, &e);
    if (rc == ERR_LIMIT) CHECK_STR(e.limit, "queue-max");
    if (rc == ERR_INVALID) CHECK_STR(e.text, "must specify the START flag on the first request of the sequence");
    return rc;
}

static req *take(slots *s, uint64_t now_us) { return (req *)(void *)slots_take(s, now_us); }
static void done(slots *s, req *r, uint64_t now_us) { slots_done(s, r->at.of, now_us); }

static slots_counts counts(const slots *s)
{
    slots_counts c;
    slots_read(s, &c);
    return c;
}

static void a_sequence_begins_with_its_start_and_runs_one_at_a_time(void)
{
    req a, b, c;
    CLEANUP(slots) slots *s = slots_of(2, 0);
    CHECK(push(s, &a, 1, false, false, 0) == ERR_INVALID);
    CHECK(push(s, &a, 1, true, false, 1) == ERR_OK && push(s, &b, 1, false, true, 2) == ERR_OK);
    CHECK(take(s, 3) == &a && !take(s, 3));
    done(s, &a, 4);
    CHECK(take(s, 5) == &b && counts(s).running == 1);
    CHECK(push(s, &c, 1, false, false, 5) == ERR_INVALID);   /* behind its END */
    CHECK(push(s, &c, 1, true, true, 5) == ERR_OK && take(s, 6) == &c);   /* another, with the same id */
    done(s, &b, 7);
    done(s, &c, 7);
    CHECK(counts(s).seated == 0 && counts(s).running == 0);
}

static void who_finds_no_slot_waits_for_the_first_that_ends(void)
{
    req r[4], more;
    CLEANUP(slots) slots *s = slots_of(1, 0);
    for (int i = 0; i < 3; i++) CHECK(push(s, &r[i], i, true, i == 2, 1) == ERR_OK);
    CHECK(take(s, 1) == &r[0] && !take(s, 1) && counts(s).backlog == 2);
    done(s, &r[0], 2);
    CHECK(!take(s, 2));   /* it may go on */
    CHECK(push(s, &more, 0, false, true, 3) == ERR_OK && take(s, 3) == &more);
    done(s, &more, 4);
    CHECK(take(s, 4) == &r[1]);
    done(s, &r[1], 5);
    CHECK_U64(slots_expire(s, 5), 105);
    CHECK(!take(s, 104));
    CHECK_U64(slots_expire(s, 105), SLOTS_NEVER);   /* of a client that is gone */
    CHECK(take(s, 105) == &r[2] && counts(s).forgotten == 1);
    done(s, &r[2], 106);
    CHECK(push(s, &r[3], 1, false, false, 107) == ERR_INVALID);
}

static void another_request_keeps_a_sequence(void)
{
    req r[3];
    CLEANUP(slots) slots *s = slots_of(1, 0);
    CHECK(push(s, &r[0], 1, true, false, 0) == ERR_OK && take(s, 0) == &r[0]);
    CHECK_U64(slots_expire(s, 1000), SLOTS_NEVER);   /* it runs */
    done(s, &r[0], 1000);
    CHECK(push(s, &r[1], 1, false, false, 1099) == ERR_OK && take(s, 1099) == &r[1]);
    done(s, &r[1], 1100);
    CHECK_U64(slots_expire(s, 1199), 1200);
    bool again = false;
    err e;
    r[2] = (req){.at = {.start = true, .end = true}};
    CHECK(slots_push(s, &r[2].at, STR("1"), 1199, &again, &e) == ERR_OK && again && take(s, 1199) == &r[2]);
    done(s, &r[2], 1199);
}

static void the_longest_ready_goes_first(void)
{
    req r[5];
    CLEANUP(slots) slots *s = slots_of(3, 0);
    for (int i = 0; i < 3; i++) CHECK(push(s, &r[i], i, true, false, 1) == ERR_OK);
    CHECK(push(s, &r[3], 0, false, false, 1) == ERR_OK);   /* keeps its turn */
    CHECK(take(s, 1) == &r[0]);
    done(s, &r[0], 1);
    CHECK(take(s, 1) == &r[1] && take(s, 1) == &r[2] && take(s, 1) == &r[3] && !take(s, 1));
    for (int i = 1; i < 4; i++) done(s, &r[i], 1);
}

static bool gone(const slot_item *i) { return ((const req *)(const void *)i)->gone; }

static void what_is_dropped_leaves_its_slot(void)
{
    req r[5];
    CLEANUP(slots) slots *s = slots_of(1, 0);
    CHECK(push(s, &r[0], 0, true, false, 1) == ERR_OK && push(s, &r[1], 0, false, true, 1) == ERR_OK);
    CHECK(push(s, &r[2], 1, true, false, 1) == ERR_OK && push(s, &r[3], 1, false, false, 1) == ERR_OK);
    CHECK(push(s, &r[4], 2, true, true, 1) == ERR_OK);
    r[2].gone = r[3].gone = true;
    slot_item *out = slots_drop(s, gone);
    CHECK(out == &r[2].at && out->next == &r[3].at && !out->next->next && counts(s).backlog == 1);
    r[0].gone = r[1].gone = true;
    out = slots_drop(s, gone);
    CHECK(out == &r[0].at && take(s, 2) == &r[4] && counts(s).waiting == 0);
    done(s, &r[4], 2);
}

static void a_run_that_ends_late_leaves_the_next_sequence_of_that_id(void)
{
    req old, next, more;
    CLEANUP(slots) slots *s = slots_of(2, 0);
    CHECK(push(s, &old, 1, true, true, 0) == ERR_OK && take(s, 0) == &old);
    CHECK(push(s, &next, 1, true, false, 1) == ERR_OK && take(s, 1) == &next);
    done(s, &old, 2);
    done(s, &next, 3);
    CHECK(push(s, &more, 1, false, true, 4) == ERR_OK && take(s, 4) == &more);
    done(s, &more, 5);
}

/* In the backlog, and among those that may run. */
static void who_loses_one_of_several_requests_keeps_its_turn(void)
{
    for (uint32_t count = 1; count <= 3; count += 2) {
        req first, r[4];
        CLEANUP(slots) slots *s = slots_of(count, 0);
        CHECK(push(s, &first, 0, true, true, 0) == ERR_OK && take(s, 0) == &first);
        CHECK(push(s, &r[0], 1, true, false, 0) == ERR_OK && push(s, &r[1], 1, true, true, 0) == ERR_OK);
        CHECK(push(s, &r[2], 2, true, true, 0) == ERR_OK);
        r[0].gone = true;
        CHECK(slots_drop(s, gone) == &r[0].at && !r[0].at.next);   /* the START behind it begins anew */
        done(s, &first, 1);
        CHECK(take(s, 1) == &r[1]);
        done(s, &r[1], 1);
        CHECK(take(s, 1) == &r[2]);
        done(s, &r[2], 1);
    }
}

/* None of them runs on a state without the one that was dropped; its slot is free once those before it have run. */
static void what_comes_behind_a_dropped_request_leaves_with_it(void)
{
    for (int where = 0; where < 3; where++) {   /* in the backlog, ready, while another of it runs */
        req other, r[4], next;
        CLEANUP(slots) slots *s = slots_of(1, 0);
        if (where == 0) CHECK(push(s, &other, 0, true, true, 0) == ERR_OK && take(s, 0) == &other);
        for (int i = 0; i < 4; i++) CHECK(push(s, &r[i], 1, i == 0, i == 3, 0) == ERR_OK);
        CHECK(push(s, &next, 2, true, true, 0) == ERR_OK);
        if (where == 2) CHECK(take(s, 0) == &r[0]);
        r[1].gone = true;
        slot_item *out = slots_drop(s, gone);
        CHECK(out == &r[1].at && out->next == &r[2].at && out->next->next == &r[3].at && !out->next->next->next);
        if (where == 0) done(s, &other, 1);
        if (where != 2) CHECK(take(s, 1) == &r[0]);
        CHECK(counts(s).seated == 1 && counts(s).waiting == 1);
        done(s, &r[0], 1);
        CHECK(take(s, 1) == &next && counts(s).backlog == 0);
        done(s, &next, 2);
        CHECK(counts(s).seated == 0);
    }
}

static void a_sequence_that_lost_a_request_is_over(void)
{
    req a, b, c;
    CLEANUP(slots) slots *s = slots_of(1, 0);
    CHECK(push(s, &a, 1, true, false, 0) == ERR_OK && take(s, 0) == &a);
    done(s, &a, 0);
    CHECK(push(s, &b, 1, false, false, 10) == ERR_OK);
    b.gone = true;
    CHECK(slots_drop(s, gone) == &b.at && counts(s).seated == 0);
    CHECK_U64(slots_expire(s, 11), SLOTS_NEVER);
    CHECK(push(s, &c, 1, false, false, 12) == ERR_INVALID);
}

static void what_ran_for_nothing_loses_those_behind_it_up_to_a_start(void)
{
    for (int starts = 0; starts < 2; starts++) {
        req a, b, c, d;
        CLEANUP(slots) slots *s = slots_of(1, 0);
        CHECK(push(s, &a, 1, true, false, 0) == ERR_OK && take(s, 0) == &a);
        CHECK(push(s, &b, 1, false, false, 0) == ERR_OK);
        if (starts) CHECK(push(s, &c, 1, true, false, 0) == ERR_OK);
        CHECK(slots_lose(s, a.at.of) == &b.at && !b.at.next);
        done(s, &a, 1);
        if (starts) CHECK(take(s, 1) == &c);
        if (starts) done(s, &c, 2);
        CHECK(push(s, &d, 1, false, false, 3) == (starts ? ERR_OK : ERR_INVALID));
        if (starts) CHECK(take(s, 3) == &d);
        if (starts) done(s, &d, 4);
        CHECK(counts(s).seated == (uint32_t)starts && counts(s).waiting == 0);
    }
}

/* `b` is refused; who comes behind it has not seen that yet. */
static void what_is_refused_can_come_again(void)
{
    for (int end = 0; end < 3; end++) {   /* never; behind it; itself */
        req a, b, c, d;
        CLEANUP(slots) slots *s = slots_of(1, 0);
        CHECK(push(s, &a, 1, true, false, 0) == ERR_OK && take(s, 0) == &a);
        done(s, &a, 1);
        CHECK(push(s, &b, 1, false, end == 2, 1) == ERR_OK);
        if (end < 2) CHECK(push(s, &c, 1, false, end == 1, 1) == ERR_OK);
        CHECK(take(s, 1) == &b);
        CHECK(slots_refuse(s, b.at.of) == (end < 2 ? &c.at : NULL));
        done(s, &b, 2);
        CHECK(counts(s).seated == 1 && counts(s).waiting == 0 && !take(s, 2));
        CHECK(push(s, &d, 1, false, true, 3) == ERR_OK && d.at.of == a.at.of && take(s, 3) == &d);
        done(s, &d, 4);
        CHECK(counts(s).seated == 0 && push(s, &d, 1, false, false, 5) == ERR_INVALID);
    }
}

static void behind_what_is_refused_a_start_stays(void)
{
    for (int end = 0; end < 2; end++) {
        req a, b, c, d;
        CLEANUP(slots) slots *s = slots_of(1, 0);
        CHECK(push(s, &a, 1, true, false, 0) == ERR_OK && take(s, 0) == &a);
        CHECK(push(s, &b, 1, false, false, 0) == ERR_OK && push(s, &c, 1, true, end, 0) == ERR_OK);
        CHECK(slots_refuse(s, a.at.of) == &b.at && !b.at.next);
        done(s, &a, 1);
        CHECK(take(s, 1) == &c);
        done(s, &c, 2);
        CHECK(push(s, &d, 1, false, true, 3) == (end ? ERR_INVALID : ERR_OK));
        if (end) continue;
        CHECK(take(s, 3) == &d);
        done(s, &d, 4);
    }
}

static void an_end_that_is_refused_leaves_the_next_sequence_of_that_id(void)
{
    req a, b, c;
    CLEANUP(slots) slots *s = slots_of(1, 0);
    CHECK(push(s, &a, 1, true, true, 0) == ERR_OK && take(s, 0) == &a);
    CHECK(push(s, &b, 1, true, false, 1) == ERR_OK);
    CHECK(!slots_refuse(s, a.at.of));
    done(s, &a, 2);
    CHECK(take(s, 2) == &b && push(s, &c, 1, false, true, 3) == ERR_OK && c.at.of == b.at.of);
    done(s, &b, 4);
    CHECK(take(s, 4) == &c);
    done(s, &c, 5);
    CHECK(counts(s).seated == 0);
}

static void waiting_requests_are_bounded(void)
{
    req r[3];
    CLEANUP(slots) slots *s = slots_of(1, 2);
    CHECK(push(s, &r[0], 0, true, true, 1) == ERR_OK && push(s, &r[1], 1, true, true, 1) == ERR_OK);
    CHECK(push(s, &r[2], 2, true, true, 1) == ERR_LIMIT);
    CHECK(take(s, 1) == &r[0]);
    done(s, &r[0], 1);
    CHECK(take(s, 1) == &r[1]);
    done(s, &r[1], 1);
}

enum { IDS = 6, COUNT = 3, TURNS = 400, REQS = 4000 };

typedef struct {
    slots *s;
    uint64_t seed, now_us;
    req *all, *running[IDS];
    int made;
} world;

static void world_push(world *w)
{
    int id = (int)(test_rand(&w->seed) % IDS);
    bool start = test_rand(&w->seed) % 4 == 0, end = test_rand(&w->seed) % 5 == 0;
    req *r = &w->all[w->made];
    if (w->made == REQS || push(w->s, r, id, start, end, w->now_us)) return;
    r->number = w->made++;
}

static void world_take(world *w)
{
    req *r = take(w->s, w->now_us);
    if (!r) return;
    CHECK(counts(w->s).seated <= COUNT && counts(w->s).running <= COUNT);
    kept *k = (kept *)(void *)r->at.of;
    CHECK(k->last <= r->number);   /* in order */
    k->last = r->number;
    if (w->running[r->id]) CHECK(w->running[r->id]->at.of != r->at.of);   /* never two of one sequence */
    if (w->running[r->id]) done(w->s, r, w->now_us);
    else w->running[r->id] = r;
}

static void world_done(world *w)
{
    int id = (int)(test_rand(&w->seed) % IDS);
    slot_sequence *of = w->running[id] ? w->running[id]->at.of : NULL;
    if (!of) return;
    int how = (int)(test_rand(&w->seed) % 8);
    if (how == 0) (void)slots_lose(w->s, of);
    if (how == 1) (void)slots_refuse(w->s, of);
    done(w->s, w->running[id], w->now_us);
    w->running[id] = NULL;
}

static void any_order_of_events_keeps_the_rules(void)
{
    static req all[REQS];
    for (uint64_t seed = 1; seed <= 200; seed++) {
        world w = {.s = slots_of(COUNT, 50), .seed = seed * 7919, .all = all};
        for (int turn = 0; turn < TURNS; turn++) {
            w.now_us += test_rand(&w.seed) % 20;
            world_push(&w);
            if (turn % 3) world_take(&w);
            world_done(&w);
            if (turn % 10 == 0) (void)slots_expire(w.s, w.now_us);
            if (turn % 50 == 0) {
                for (int i = 0; i < w.made; i += 7) w.all[i].gone = true;
                (void)slots_drop(w.s, gone);
            }
        }
        /* Whoever is still there is answered in a bounded number of turns. */
        for (int i = 0; i < 1000 && (counts(w.s).waiting || counts(w.s).running); i++) {
            w.now_us += 200;
            world_take(&w);
            for (int k = 0; k < IDS; k++) world_done(&w);
            (void)slots_expire(w.s, w.now_us);
        }
        CHECK(counts(w.s).waiting == 0 && counts(w.s).running == 0 && counts(w.s).backlog == 0);
        slots_free(w.s);
    }
}

static void no_memory_at_any_point_leaves_nothing(void)
{
    static const slots_opts small = {.count = 1, .idle_us = 1, .bytes = sizeof(kept)};
    FAULT_SWEEP({
        slots *s = NULL;
        err e;
        req r;
        if (slots_new(&s, &small, &e) == ERR_OK) {
            err_code rc = push(s, &r, 1, true, true, 0);
            CHECK(rc == ERR_OK || rc == ERR_NOMEM);
            if (rc == ERR_OK && take(s, 0)) done(s, &r, 0);
            CHECK(counts(s).backlog == 0 && counts(s).seated == 0);
        }
        slots_free(s);
    })
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_sequence_begins_with_its_start_and_runs_one_at_a_time),
        TEST(who_finds_no_slot_waits_for_the_first_that_ends),
        TEST(another_request_keeps_a_sequence),
        TEST(the_longest_ready_goes_first),
        TEST(what_is_dropped_leaves_its_slot),
        TEST(a_run_that_ends_late_leaves_the_next_sequence_of_that_id),
        TEST(who_loses_one_of_several_requests_keeps_its_turn),
        TEST(what_comes_behind_a_dropped_request_leaves_with_it),
        TEST(a_sequence_that_lost_a_request_is_over),
        TEST(what_ran_for_nothing_loses_those_behind_it_up_to_a_start),
        TEST(what_is_refused_can_come_again),
        TEST(behind_what_is_refused_a_start_stays),
        TEST(an_end_that_is_refused_leaves_the_next_sequence_of_that_id),
        TEST(waiting_requests_are_bounded),
        TEST(any_order_of_events_keeps_the_rules),
        TEST(no_memory_at_any_point_leaves_nothing),
    };
    return test_main(cases, COUNTOF(cases));
}
