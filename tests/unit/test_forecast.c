/* A request that comes now is foreseen to start behind what runs, behind its share of the backlog and behind the full
 * batches of its own lane, and to end with all who will have joined it by then; what is not known is not guessed. */
#include "sched/forecast.h"
#include "test.h"

enum { MAX_BATCH = 4, MS = 1000000 };

typedef struct {
    batch_rule rule;
    waiting waiting;
    batch_item items[16];
    size_t count;
} line;

static uint64_t cost(uint64_t rows) { return (1 + rows) * MS; }

static void push(line *l, uint64_t kind, uint32_t rows, uint32_t level)
{
    batch_item *i = &l->items[l->count++];
    *i = (batch_item){.kind = {.hi = kind}, .rows = rows, .level = level};
    i->lane = lanes_pin(&l->waiting.lanes, i->kind);
    CHECK(i->lane != NULL);
    if (!cost_curve_known(&i->lane->curve))
        for (uint64_t n = 0; n < 300; n++) {
            uint64_t work = 1 + n % MAX_BATCH;
            cost_curve_add(&i->lane->curve, work, cost(work));
        }
    waiting_enter(&l->waiting, i, 0);
}

static void open_line(line *l)
{
    *l = (line){.rule = {.mode = BATCH_ADAPTIVE, .max_batch = MAX_BATCH}};
    waiting_init(&l->waiting, &l->rule, 8);
}

static void drop(line *l, batch_item *i)
{
    lane *of = i->lane;
    waiting_take(&l->waiting, i);
    waiting_file(&l->waiting, of, 0);
    waiting_let_go(&l->waiting, i, 0);
}

static void close_line(line *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].lane) drop(l, &l->items[i]);
    waiting_fini(&l->waiting);
}

static forecast of(const line *l, const forecast_facts *f, const batch_item *i)
{
    forecast_facts facts = *f;
    facts.waiting = &l->waiting;
    facts.max_batch = MAX_BATCH;
    if (!facts.instances) facts.instances = 1;
    return forecast_make(&facts, i);
}

static bool about(uint64_t got, uint64_t want) { return got + want / 20 >= want && got <= want + want / 20; }

static const batch_item one = {.kind = {.hi = 1}, .rows = 1};

static void what_is_not_known_is_not_guessed(void)
{
    line l;
    open_line(&l);
    forecast f = of(&l, &(forecast_facts){.busy_ns = 5 * MS, .rows_per_s = 1000}, &one);
    CHECK(f.start_ns == 0 && f.end_ns == 0);
    close_line(&l);
}

static void alone_it_takes_what_runs_and_its_own(void)
{
    line l;
    open_line(&l);
    push(&l, 1, 1, 0);
    drop(&l, &l.items[0]);
    forecast f = of(&l, &(forecast_facts){.busy_ns = 5 * MS}, &one);
    CHECK_U64(f.start_ns, 5 * MS);
    CHECK(about(f.end_ns, 5 * MS + cost(1)));
    close_line(&l);
}

static void who_joins_until_then_makes_its_batch_longer(void)
{
    line l;
    open_line(&l);
    push(&l, 1, 1, 0);
    drop(&l, &l.items[0]);
    forecast f = of(&l, &(forecast_facts){.busy_ns = 10 * MS, .rows_per_s = 200}, &one);
    CHECK(about(f.end_ns, 10 * MS + cost(3)));   /* itself, and two in 10 ms */
    f = of(&l, &(forecast_facts){.busy_ns = 10 * MS, .rows_per_s = 1e6}, &one);
    CHECK(about(f.end_ns, 10 * MS + cost(MAX_BATCH)));
    close_line(&l);
}

static void full_batches_go_before_and_the_rest_goes_with_it(void)
{
    line l;
    open_line(&l);
    for (int i = 0; i < 9; i++) push(&l, 1, 1, 0);
    forecast f = of(&l, &(forecast_facts){.busy_ns = MS}, &one);
    CHECK(about(f.start_ns, MS + 2 * cost(4)));
    CHECK(about(f.end_ns, MS + 2 * cost(4) + cost(2)));
    const batch_item four = {.kind = {.hi = 1}, .rows = 4};   /* it does not fit beside the ninth */
    f = of(&l, &(forecast_facts){.busy_ns = MS}, &four);
    CHECK(about(f.start_ns, MS + 2 * cost(4) + cost(1)));
    CHECK(about(f.end_ns, MS + 2 * cost(4) + cost(1) + cost(4)));
    close_line(&l);
}

static void instances_share_the_backlog(void)
{
    line l;
    open_line(&l);
    for (int i = 0; i < 8; i++) push(&l, 1, 1, 0);
    forecast f = of(&l, &(forecast_facts){.instances = 2}, &one);
    CHECK(about(f.start_ns, cost(4)));
    close_line(&l);
}

static void other_kinds_and_levels_count_by_their_share(void)
{
    line l;
    open_line(&l);
    push(&l, 1, 1, 0);
    drop(&l, &l.items[0]);
    push(&l, 2, 3, 1);
    push(&l, 3, 1, 0);
    forecast last = of(&l, &(forecast_facts){.instances = 1}, &(batch_item){.kind = {.hi = 1}, .rows = 1, .level = 1});
    CHECK(about(last.start_ns, cost(3) + cost(1)));
    forecast first = of(&l, &(forecast_facts){.instances = 1}, &one);
    CHECK(about(first.start_ns, (cost(3) + cost(1)) / 4));   /* one of the four rows is as urgent */
    close_line(&l);
}

int main(void)
{
    const test_case cases[] = {
        TEST(what_is_not_known_is_not_guessed),
        TEST(alone_it_takes_what_runs_and_its_own),
        TEST(who_joins_until_then_makes_its_batch_longer),
        TEST(full_batches_go_before_and_the_rest_goes_with_it),
        TEST(instances_share_the_backlog),
        TEST(other_kinds_and_levels_count_by_their_share),
    };
    return test_main(cases, COUNTOF(cases));
}
