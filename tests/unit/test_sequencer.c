/* Requests of one sequence run in order and on the states of the one before; each is answered once, whatever becomes of
 * it, on whichever thread; a sequence of a client that is gone leaves its slot. */
#include "models/sequencer.h"

#include "conf_rig.h"
#include "model_folder.h"
#include "models/served.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/thread.h"

static compute *pool;

#define CONFIG(batch, more)                                                                            \
    "max_batch_size: " batch " input { name: \"x\" data_type: TYPE_FP32 dims: 1 } "                     \
    "output { name: \"y\" data_type: TYPE_FP32 dims: 1 } sequence_batching { " more                      \
    " state { input_name: \"in\" output_name: \"out\" data_type: TYPE_FP32 dims: 1 } }"

typedef struct {
    repository *models;
    served *of;
} bench;

static bench bench_open(const char *name, const char *inline_us)
{
    static conf c;
    bench b = {.models = NULL};
    char line[100];
    err e;
    conf_rig_fresh(&c);
    c.model_repository = str_of(model_folder);
    snprintf(line, sizeof line, "--inline-us %s --queue-max 64 --queue-bytes-max 1000000", inline_us);
    CHECK(conf_rig_flags(&c, line, &e) == ERR_OK);
    if (conf_rig_open(&b.models, &c, pool, 1, &e)) printf("# %s\n", e.text);
    INVARIANT(b.models && repository_find(b.models, str_of(name), STR(""), &b.of, &e) == ERR_OK);
    return b;
}

static void bench_close(bench *b)
{
    while (!served_quiet(b->of)) clock_now_us();
    repository_free(b->models);
}

/* Whoever is at the slots counts, which may be the worker that has just answered. */
static void backlog_wait(bench *b, int64_t want)
{
    while (atomic_load(&b->of->metrics.backlog) != want) clock_now_us();
}

typedef struct {
    queue_item item;
    tensor in;
    float x;
    _Atomic uint32_t answered;
    err_code code;
    char why[400];
} ask;

static void done(queue_item *item, const err *e)
{
    ask *a = (ask *)(void *)item;
    a->code = e ? e->code : ERR_OK;
    if (e) snprintf(a->why, sizeof a->why, "%s", e->text);
    atomic_fetch_add(&a->answered, 1);
    futex_wake(&a->answered, 1);
}

static err_code ask_start(ask *a, served *of, uint64_t id, float x, bool start, bool end)
{
    err e = {0};
    *a = (ask){.item = {.done = done, .sequence = {.number = id, .start = start, .end = end}}, .x = x};
    a->in = tensor_make(DT_F32, &(shape){.rank = 2, .dim = {1, 1}}, &a->x);
    a->item.inputs = &a->in;
    served_begin(of, &a->item);
    err_code rc = served_push(of, &a->item, &e);
    if (rc) snprintf(a->why, sizeof a->why, "%s", e.text);
    return rc;
}

static void ask_wait(ask *a)
{
    while (!atomic_load(&a->answered)) (void)futex_wait(&a->answered, 0, clock_now_us() + 100000);
    CHECK_U64(atomic_load(&a->answered), 1);
}

static float ask_end(ask *a)
{
    ask_wait(a);
    float got = a->code == ERR_OK ? *(const float *)queue_output(&a->item, 0).data : -1;
    queue_release(&a->item);
    served_end(&a->item);
    CHECK(!a->item.turn);
    return got;
}

static void each_request_goes_on_where_the_one_before_ended(void)
{
    static const char *const inline_us[] = {"0", "500"};
    for (size_t k = 0; k < COUNTOF(inline_us); k++) {
        bench b = bench_open("four", inline_us[k]);
        static ask all[6][10];
        for (int round = 0; round < 10; round++) {
            for (int i = 0; i < 10; i++)
                for (int s = 0; s < 6; s++)   /* more than slots */
                    CHECK(ask_start(&all[s][i], b.of, (uint64_t)s + 1, (float)(s + i), i == 0, i == 9) == ERR_OK);
            for (int s = 0; s < 6; s++) {
                float sum = 0;
                for (int i = 0; i < 10; i++) {
                    sum += (float)(s + i);
                    CHECK(ask_end(&all[s][i]) == sum);
                }
            }
        }
        bench_close(&b);
    }
}

static void an_answer_stays_while_the_sequence_goes_on(void)
{
    bench b = bench_open("four", "0");
    ask one, more;
    CHECK(ask_start(&one, b.of, 1, 5, true, false) == ERR_OK);
    ask_wait(&one);
    for (int i = 0; i < 20; i++) {
        CHECK(ask_start(&more, b.of, 1, 1, false, i == 19) == ERR_OK && ask_end(&more) == (float)(6 + i));
    }
    CHECK(ask_end(&one) == 5);
    bench_close(&b);
}

static void a_start_within_a_sequence_begins_it_anew(void)
{
    bench b = bench_open("four", "0");
    ask a;
    CHECK(ask_start(&a, b.of, 1, 5, true, false) == ERR_OK && ask_end(&a) == 5);
    CHECK(ask_start(&a, b.of, 1, 1, true, false) == ERR_OK && ask_end(&a) == 1);
    CHECK(ask_start(&a, b.of, 1, 2, false, true) == ERR_OK && ask_end(&a) == 3);
    bench_close(&b);
}

static void what_is_no_sequence_is_refused_in_tritons_words(void)
{
    bench b = bench_open("four", "0");
    ask a;
    CHECK(ask_start(&a, b.of, 0, 1, true, true) == ERR_INVALID);
    CHECK_STR(a.why, "inference request to model 'four' must specify a non-zero or non-empty correlation ID");
    CHECK(ask_start(&a, b.of, 3, 1, false, true) == ERR_OK);
    (void)ask_end(&a);
    CHECK_STR(a.why, "inference request for sequence 3 to model 'four' must specify the START flag on the first "
                     "request of the sequence");
    char longer[130];
    memset(longer, 'a', sizeof longer);
    err e;
    queue_item item = {.inputs = &a.in, .sequence = {.text = {longer, 129}}};
    CHECK(served_push(b.of, &item, &e) == ERR_INVALID);
    CHECK_STR(e.text, "string correlation ID cannot be longer than 128 characters");
    a.in.shape.dim[0] = 2;
    item.sequence.text.len = 128;
    CHECK(served_push(b.of, &item, &e) == ERR_INVALID);
    CHECK_STR(e.text, "inference request to model 'four' must specify batch-size 1 due to requirements of sequence "
                      "batcher");
    a = (ask){.item = {.done = done, .sequence = {.text = {longer, 128}, .start = true, .end = true}}, .x = 5};
    a.in = tensor_make(DT_F32, &(shape){.rank = 2, .dim = {1, 1}}, &a.x);
    a.item.inputs = &a.in;
    CHECK(served_push(b.of, &a.item, &e) == ERR_OK && ask_end(&a) == 5);
    bench_close(&b);
}

/* The next three: a request asks of the model's queue what its client asked for. */
static void push_one(bench *b, ask *a)
{
    err e = {0};
    a->item.done = done;
    a->item.sequence.number = 1;
    a->item.sequence.start = a->item.sequence.end = true;
    a->in = tensor_make(DT_F32, &(shape){.rank = 2, .dim = {1, 1}}, &a->x);
    a->item.inputs = &a->in;
    served_begin(b->of, &a->item);
    CHECK(served_push(b->of, &a->item, &e) == ERR_OK);
}

static void who_was_cancelled_before_does_not_run(void)
{
    bench b = bench_open("four", "0");
    ask a = {.item = {.cancelled = true}};
    push_one(&b, &a);
    (void)ask_end(&a);
    CHECK(a.code == ERR_CANCELLED && a.item.end_ns == 0);
    bench_close(&b);
}

/* Nor does it wait for a slot. */
static void who_was_cancelled_before_waits_for_nobody(void)
{
    bench b = bench_open("one", "0");
    ask first, a = {.item = {.cancelled = true}};
    CHECK(ask_start(&first, b.of, 2, 1, true, false) == ERR_OK && ask_end(&first) == 1);
    push_one(&b, &a);
    (void)ask_end(&a);
    CHECK(a.code == ERR_CANCELLED);
    CHECK(ask_start(&first, b.of, 2, 1, false, true) == ERR_OK && ask_end(&first) == 2);
    bench_close(&b);
}

static void who_waits_longer_than_it_said_is_told_so(void)
{
    bench b = bench_open("most", "0");
    ask a = {.item = {.timeout_us = 2000}};
    push_one(&b, &a);
    (void)ask_end(&a);
    CHECK(a.code == ERR_UNAVAILABLE);
    CHECK_STR(a.why, "Request timeout expired");
    bench_close(&b);
}

static void its_bytes_are_counted(void)
{
    bench b = bench_open("four", "0");
    ask a = {.item = {.bytes = 2000000}};
    push_one(&b, &a);
    (void)ask_end(&a);
    CHECK(a.code == ERR_TOO_LARGE);
    CHECK_STR(a.why, "queue: bytes of one request: the limit is 1000000, got 2000000");
    bench_close(&b);
}

static void each_instance_brings_its_slots(void)
{
    bench b = bench_open("pair", "0");
    ask a[3];
    for (uint64_t i = 0; i < 2; i++) CHECK(ask_start(&a[i], b.of, i + 1, 3, true, false) == ERR_OK);
    for (uint64_t i = 0; i < 2; i++) CHECK(ask_end(&a[i]) == 3);
    CHECK(ask_start(&a[2], b.of, 3, 1, true, true) == ERR_OK);
    backlog_wait(&b, 1);
    CHECK(ask_start(&a[0], b.of, 1, 1, false, true) == ERR_OK && ask_end(&a[0]) == 4 && ask_end(&a[2]) == 1);
    CHECK(ask_start(&a[1], b.of, 2, 1, false, true) == ERR_OK && ask_end(&a[1]) == 4);
    bench_close(&b);
}

static void who_waits_for_a_slot_may_leave(void)
{
    bench b = bench_open("one", "0");
    ask first, waits, late;
    CHECK(ask_start(&first, b.of, 1, 1, true, false) == ERR_OK);
    (void)ask_end(&first);
    CHECK(ask_start(&waits, b.of, 2, 1, true, true) == ERR_OK);
    backlog_wait(&b, 1);
    served_cancel(&waits.item);
    (void)ask_end(&waits);
    CHECK(waits.code == ERR_CANCELLED);
    backlog_wait(&b, 0);
    err e;
    late = (ask){.item = {.done = done, .sequence = {.number = 3, .start = true}}};
    late.item.deadline_us = clock_now_us() + 2000;
    late.in = tensor_make(DT_F32, &(shape){.rank = 2, .dim = {1, 1}}, &late.x);
    late.item.inputs = &late.in;
    CHECK(served_push(b.of, &late.item, &e) == ERR_OK);
    (void)ask_end(&late);
    CHECK(late.code == ERR_TIMEOUT);   /* at its deadline, though nothing else happens */
    CHECK(ask_start(&first, b.of, 1, 1, false, true) == ERR_OK && ask_end(&first) == 2);
    bench_close(&b);
}

static err_code follow(ask *a, served *of, uint64_t id, uint64_t timeout_us, uint64_t deadline_us)
{
    err e = {0};
    *a = (ask){.item = {.done = done, .timeout_us = timeout_us, .sequence = {.number = id}}, .x = 1};
    a->item.deadline_us = deadline_us ? clock_now_us() + deadline_us : 0;
    a->in = tensor_make(DT_F32, &(shape){.rank = 2, .dim = {1, 1}}, &a->x);
    a->item.inputs = &a->in;
    return served_push(of, &a->item, &e);
}

/* Each at its own time, though nothing else happens. */
static void who_waits_for_a_slot_has_its_own_timeout(void)
{
    bench b = bench_open("one", "0");
    ask first, all[3];
    CHECK(ask_start(&first, b.of, 1, 1, true, false) == ERR_OK && ask_end(&first) == 1);
    for (uint32_t i = 0; i < COUNTOF(all); i++) {
        const uint64_t us = 3000 * (i + 1);
        all[i] = (ask){.x = 1};
        err e;
        all[i].item = (queue_item){.done = done, .timeout_us = i == 1 ? 0 : us, .sequence = {.number = 2 + i}};
        all[i].item.deadline_us = i == 1 ? clock_now_us() + us : 0;
        all[i].item.sequence.start = true;
        all[i].in = tensor_make(DT_F32, &(shape){.rank = 2, .dim = {1, 1}}, &all[i].x);
        all[i].item.inputs = &all[i].in;
        CHECK(served_push(b.of, &all[i].item, &e) == ERR_OK);
    }
    for (uint32_t i = 0; i < COUNTOF(all); i++) {
        (void)ask_end(&all[i]);
        CHECK(all[i].code == (i == 1 ? ERR_TIMEOUT : ERR_UNAVAILABLE));
        CHECK(all[i].item.at.drop == (i == 1 ? BATCH_DEADLINE : BATCH_TIMEOUT) && all[i].item.end_ns == 0);
    }
    CHECK(ask_start(&first, b.of, 1, 1, false, true) == ERR_OK && ask_end(&first) == 2);
    bench_close(&b);
}

/* The first is in the model's queue, where it waits for other sequences; those behind it wait for it. */
static void what_waits_behind_a_dropped_request_leaves_with_it(void)
{
    for (int cancels = 0; cancels < 2; cancels++) {
        bench b = bench_open("most", "0");
        ask first, late, behind, more;
        CHECK(ask_start(&first, b.of, 1, 1, true, false) == ERR_OK);
        CHECK(follow(&late, b.of, 1, 0, cancels ? 0 : 2000) == ERR_OK && follow(&behind, b.of, 1, 0, 0) == ERR_OK);
        while (!cancels && !atomic_load(&late.answered)) clock_now_us();
        CHECK(atomic_load(&first.answered) == 0);
        if (cancels) CHECK(atomic_load(&b.of->metrics.in_sequences) == 2);
        served_cancel(&first.item);
        (void)ask_end(&first);
        (void)ask_end(&late);
        (void)ask_end(&behind);
        CHECK(first.code == ERR_CANCELLED && first.item.at.drop == BATCH_CANCELLED);
        CHECK(late.code == (cancels ? ERR_UNAVAILABLE : ERR_TIMEOUT) && behind.code == ERR_UNAVAILABLE);
        CHECK_STR(behind.why, "the sequence ended before this request: one before it was dropped");
        CHECK(follow(&more, b.of, 1, 0, 0) == ERR_OK && ask_end(&more) == -1 && more.code == ERR_INVALID);
        while (atomic_load(&b.of->metrics.sequences)) clock_now_us();
        bench_close(&b);
    }
}

/* Also of what runs at once on the thread that gives it its slot: there are two executions, one for each. */
static void waiting_for_a_slot_is_no_run(void)
{
    bench b = bench_open("one", "500");
    ask first, next;
    for (int i = 0; i < 3; i++) {
        CHECK(ask_start(&first, b.of, 1, 1, true, false) == ERR_OK);
        ask_wait(&first);
        CHECK(ask_start(&next, b.of, 1, 0, false, false) == ERR_OK && ask_end(&next) == 1 && ask_end(&first) == 1);
    }
    CHECK(ask_start(&next, b.of, 2, 5, true, true) == ERR_OK);
    backlog_wait(&b, 1);
    CHECK(ask_start(&first, b.of, 1, 1, false, true) == ERR_OK && ask_end(&first) == 2 && ask_end(&next) == 5);
    CHECK(next.item.since_ns < first.item.since_ns && next.item.start_ns >= first.item.end_ns);
    bench_close(&b);
}

static void the_slot_of_what_the_queue_refuses_comes_back(void)
{
    bench b = bench_open("one", "0");
    ask late = {.item = {.done = done, .deadline_us = 1, .sequence = {.number = 1, .start = true, .end = true}}}, next;
    err e;
    late.in = tensor_make(DT_F32, &(shape){.rank = 2, .dim = {1, 1}}, &late.x);
    late.item.inputs = &late.in;
    CHECK(served_push(b.of, &late.item, &e) == ERR_OK);
    (void)ask_end(&late);
    CHECK(late.code == ERR_TIMEOUT);
    CHECK(ask_start(&next, b.of, 2, 4, true, true) == ERR_OK && ask_end(&next) == 4);
    bench_close(&b);
}

/* More than the queue takes. */
static err_code follow_large(ask *a, served *of, uint64_t id, bool start, bool end)
{
    err e = {0};
    *a = (ask){.item = {.done = done, .bytes = 1000001, .sequence = {.number = id, .start = start, .end = end}}};
    a->in = tensor_make(DT_F32, &(shape){.rank = 2, .dim = {1, 1}}, &a->x);
    a->item.inputs = &a->in;
    return served_push(of, &a->item, &e);
}

static void who_began_with_what_is_refused_has_not_begun(void)
{
    bench b = bench_open("one", "0");
    ask large, next;
    CHECK(follow_large(&large, b.of, 1, true, false) == ERR_OK && ask_end(&large) == -1);
    CHECK(large.code == ERR_TOO_LARGE);
    CHECK(follow(&next, b.of, 1, 0, 0) == ERR_OK && ask_end(&next) == -1 && next.code == ERR_INVALID);
    CHECK(ask_start(&next, b.of, 2, 4, true, true) == ERR_OK && ask_end(&next) == 4);   /* its slot is free */
    bench_close(&b);
}

static void what_is_refused_may_be_sent_again(void)
{
    for (int end = 0; end < 2; end++) {
        bench b = bench_open("one", "0");
        ask large, next;
        CHECK(ask_start(&next, b.of, 1, 5, true, false) == ERR_OK && ask_end(&next) == 5);
        CHECK(follow_large(&large, b.of, 1, false, end) == ERR_OK && ask_end(&large) == -1);
        CHECK(large.code == ERR_TOO_LARGE);
        CHECK(ask_start(&next, b.of, 1, 1, false, end) == ERR_OK && ask_end(&next) == 6);
        CHECK(follow(&next, b.of, 1, 0, 0) == ERR_OK && ask_end(&next) == (end ? -1 : 7));
        bench_close(&b);
    }
}

/* The first waits in the model's queue for those of other sequences. */
static void what_waits_behind_a_refused_request_does_not_run_without_it(void)
{
    bench b = bench_open("most", "0");
    ask first, large, behind, others[2];
    CHECK(ask_start(&first, b.of, 1, 5, true, false) == ERR_OK);
    CHECK(follow_large(&large, b.of, 1, false, false) == ERR_OK && follow(&behind, b.of, 1, 0, 0) == ERR_OK);
    for (uint64_t i = 0; i < 2; i++) CHECK(ask_start(&others[i], b.of, 2 + i, 1, true, false) == ERR_OK);
    CHECK(ask_end(&first) == 5 && ask_end(&large) == -1 && ask_end(&behind) == -1);
    CHECK(large.code == ERR_TOO_LARGE && behind.code == ERR_UNAVAILABLE && behind.item.at.drop == BATCH_CANCELLED);
    CHECK_STR(behind.why, "a request of this sequence before this one was refused");
    for (int i = 0; i < 2; i++) CHECK(ask_end(&others[i]) == 1);
    CHECK(ask_start(&first, b.of, 1, 1, false, false) == ERR_OK);
    for (uint64_t i = 0; i < 2; i++) CHECK(ask_start(&others[i], b.of, 2 + i, 1, false, false) == ERR_OK);
    CHECK(ask_end(&first) == 6 && ask_end(&others[0]) == 2 && ask_end(&others[1]) == 2);
    bench_close(&b);
}

static void a_number_is_not_the_text_of_the_same_bytes(void)
{
    bench b = bench_open("four", "0");
    ask number, text;
    CHECK(ask_start(&number, b.of, 0x4141414141414141, 1, true, false) == ERR_OK && ask_end(&number) == 1);
    text = (ask){.item = {.done = done, .sequence = {.text = STR("AAAAAAAA")}}, .x = 2};
    text.in = tensor_make(DT_F32, &(shape){.rank = 2, .dim = {1, 1}}, &text.x);
    text.item.inputs = &text.in;
    err e;
    CHECK(served_push(b.of, &text.item, &e) == ERR_OK);
    (void)ask_end(&text);
    CHECK(text.code == ERR_INVALID);   /* it has no START */
    CHECK(ask_start(&number, b.of, 0x4141414141414141, 1, false, true) == ERR_OK && ask_end(&number) == 2);
    bench_close(&b);
}

static void the_slot_of_a_client_that_is_gone_comes_back(void)
{
    bench b = bench_open("short", "0");
    ask a;
    CHECK(ask_start(&a, b.of, 1, 1, true, false) == ERR_OK && ask_end(&a) == 1);
    CHECK(ask_start(&a, b.of, 2, 7, true, true) == ERR_OK && ask_end(&a) == 7);   /* by the waker alone */
    CHECK(ask_start(&a, b.of, 1, 1, false, false) == ERR_OK && ask_end(&a) == -1 && a.code == ERR_INVALID);
    bench_close(&b);
}

typedef struct {
    served *of;
    uint64_t id;
    int wrong;
} client;

static void client_run(void *arg)
{
    client *c = arg;
    for (int round = 0; round < 40; round++) {
        float sum = 0;
        for (int i = 0; i < 5; i++) {
            ask a;
            float x = (float)(c->id * 10 + (uint64_t)i);
            sum += x;
            if (ask_start(&a, c->of, c->id, x, i == 0, i == 4) != ERR_OK || ask_end(&a) != sum) c->wrong++;
        }
    }
}

static void threads_do_not_get_in_each_others_way(void)
{
    bench b = bench_open("four", "0");
    client all[8];
    thread threads[8];
    err e;
    for (size_t i = 0; i < COUNTOF(all); i++) {
        all[i] = (client){.of = b.of, .id = i + 1};
        CHECK(thread_start(&threads[i], "client", client_run, &all[i], &e) == ERR_OK);
    }
    for (size_t i = 0; i < COUNTOF(all); i++) {
        thread_join(&threads[i]);
        CHECK_U64((uint64_t)all[i].wrong, 0);
    }
    while (!served_quiet(b.of)) clock_now_us();   /* the last slot comes back behind the last answer */
    CHECK(atomic_load(&b.of->metrics.sequences) == 0);
    bench_close(&b);
}

static void direct_runs_once_enough_slots_have_a_request(void)
{
    bench b = bench_open("most", "0");
    ask a[3];
    for (uint32_t i = 0; i < COUNTOF(a); i++) {
        for (uint32_t k = 0; k < i; k++) CHECK(atomic_load(&a[k].answered) == 0);
        CHECK(ask_start(&a[i], b.of, i + 1, (float)i, true, true) == ERR_OK);
    }
    for (uint32_t i = 0; i < COUNTOF(a); i++) {
        ask_wait(&a[i]);
        CHECK(queue_shares(&a[i].item) && a[i].item.outputs.row == i && a[i].item.outputs.size == 3);
        CHECK(ask_end(&a[i]) == (float)i);
    }
    bench_close(&b);
}

static void no_memory_at_any_point_leaves_nothing(void)
{
    bench b = bench_open("four", "0");
    const sequencer_opts o = {.config = b.of->config, .model = b.of->model, .queue = b.of->queue,
                              .metrics = &b.of->metrics};
    waker *w = NULL;
    err e;
    CHECK(waker_new(&w, &e) == ERR_OK);
    sequencer_opts mine = o;
    mine.waker = w;
    FAULT_SWEEP({
        sequencer *q = NULL;
        err_code rc = sequencer_new(&q, &mine, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
        sequencer_free(q);
    })
    waker_free(w);
    bench_close(&b);
}

static void put(const char *name, const char *text)
{
    onnx_build m;
    onnx_build_start(&m, 17);
    onnx_build_input(&m, "x", DT_F32, "N,1");
    onnx_build_input(&m, "in", DT_F32, "N,1");
    onnx_build_node(&m, "Add", "x,in", "y", "");
    onnx_build_node(&m, "Identity", "y", "out", "");
    onnx_build_output(&m, "y", DT_F32, "N,1");
    onnx_build_output(&m, "out", DT_F32, "N,1");
    model_folder_put(name, &m, text);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(each_request_goes_on_where_the_one_before_ended),
        TEST(an_answer_stays_while_the_sequence_goes_on),
        TEST(a_start_within_a_sequence_begins_it_anew),
        TEST(what_is_no_sequence_is_refused_in_tritons_words),
        TEST(who_was_cancelled_before_does_not_run),
        TEST(who_was_cancelled_before_waits_for_nobody),
        TEST(who_waits_longer_than_it_said_is_told_so),
        TEST(its_bytes_are_counted),
        TEST(each_instance_brings_its_slots),
        TEST(who_waits_for_a_slot_may_leave),
        TEST(who_waits_for_a_slot_has_its_own_timeout),
        TEST(what_waits_behind_a_dropped_request_leaves_with_it),
        TEST(waiting_for_a_slot_is_no_run),
        TEST(the_slot_of_what_the_queue_refuses_comes_back),
        TEST(who_began_with_what_is_refused_has_not_begun),
        TEST(what_is_refused_may_be_sent_again),
        TEST(what_waits_behind_a_refused_request_does_not_run_without_it),
        TEST(a_number_is_not_the_text_of_the_same_bytes),
        TEST(the_slot_of_a_client_that_is_gone_comes_back),
        TEST(threads_do_not_get_in_each_others_way),
        TEST(direct_runs_once_enough_slots_have_a_request),
        TEST(no_memory_at_any_point_leaves_nothing),
    };
    err e;
    if (!model_folder_open() || compute_new(&pool, 4, &e)) return 1;
    put("four", CONFIG("4", "direct { } max_sequence_idle_microseconds: 60000000"));
    put("most", CONFIG("4", "direct { minimum_slot_utilization: 0.75 max_queue_delay_microseconds: 60000000 } "
                            "max_sequence_idle_microseconds: 60000000"));
    put("one", CONFIG("4", "oldest { max_candidate_sequences: 1 } max_sequence_idle_microseconds: 60000000"));
    put("pair", CONFIG("4", "oldest { max_candidate_sequences: 1 } max_sequence_idle_microseconds: 60000000")
                " instance_group { count: 2 }");
    put("short", CONFIG("4", "oldest { max_candidate_sequences: 1 } max_sequence_idle_microseconds: 20000"));
    int rc = test_main(cases, COUNTOF(cases));
    compute_free(pool);
    conf_rig_end();
    model_folder_close();
    return rc;
}
