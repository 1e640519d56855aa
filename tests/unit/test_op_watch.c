/* A watch looks once enough work has added up, no earlier and from then on as often; what it finds carries the node's
 * name, and outside a run it finds nothing. */
#include "engine/op_watch.h"

#include "engine/exec.h"
#include "test.h"

static const op_row row = {.name = "Sums", .domain = "", .since = 3};
static const node one = {.name = {"n", 1}, .op = {"Sums", 4}, .opset = 3, .row = &row};

static void it_looks_once_in_so_much_work(void)
{
    _Atomic bool cancelled = true;
    exec_stop stop = {.cancelled = &cancelled};
    exec around = {.stop = &stop};
    op_call c = {.node = &one, .within = &around};
    op_watch w = {.call = &c};
    err e = {0};
    CHECK(op_watch_add(&w, OP_WATCH_WORK - 1, &e) == ERR_OK);
    CHECK(op_watch_add(&w, 0, &e) == ERR_OK);
    CHECK(op_watch_add(&w, 1, &e) == ERR_CANCELLED);
    CHECK_STR(e.text, "node 'n' (Sums, ai.onnx 3): cancelled before the last node");
    CHECK(op_watch_add(&w, OP_WATCH_WORK - 1, &e) == ERR_OK);
    CHECK(op_watch_add(&w, UINT32_MAX, &e) == ERR_CANCELLED);
    atomic_store(&cancelled, false);
    CHECK(op_watch_look(&w, &e) == ERR_OK);
}

static void time_ends_it_too(void)
{
    exec_stop stop = {.until_us = 1};
    exec around = {.stop = &stop};
    op_call c = {.node = &one, .within = &around};
    op_watch w = {.call = &c};
    err e = {0};
    CHECK(op_watch_look(&w, &e) == ERR_TIMEOUT);
    CHECK_STR(e.text, "node 'n' (Sums, ai.onnx 3): its time was over before the last node");
    stop.until_us = UINT64_MAX;
    CHECK(op_watch_look(&w, &e) == ERR_OK);
}

static void outside_a_run_nothing_ends_it(void)
{
    exec around = {.stop = NULL};
    op_call c = {.node = &one, .within = &around};
    op_watch w = {.call = &c};
    err e = {0};
    CHECK(op_watch_look(&w, &e) == ERR_OK);
    c.within = NULL;
    CHECK(op_watch_look(&w, &e) == ERR_OK);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(it_looks_once_in_so_much_work),
        TEST(time_ends_it_too),
        TEST(outside_a_run_nothing_ends_it),
    };
    return test_main(cases, COUNTOF(cases));
}
