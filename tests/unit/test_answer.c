/* Answers are what a few lines of Python make of the same outputs: the best classes in their order, with labels and
 * as probabilities; boxes of every form that models have, without those that show the same again, in pixels of the
 * picture as it was sent. */
#include "models/answer.h"
#include "test.h"

typedef struct {
    arena memory;
    tensor made[ANSWER_OUTPUTS];
    buf text;
} bench;

/* The parts that boxes and labelled classes have. */
static void parts_set(pipeline_answer *p, bool boxes)
{
    static const struct { answer_part part; dtype type; uint32_t rank; } rows[] = {
        {ANSWER_COUNT, DT_I64, 1}, {ANSWER_BOX, DT_F32, 3}, {ANSWER_LABEL, DT_STRING, 2}, {ANSWER_INDEX, DT_I64, 2},
        {ANSWER_SCORE, DT_F32, 2}};
    for (size_t i = boxes ? 0 : 2; i < COUNTOF(rows); i++) {
        if (rows[i].part == ANSWER_LABEL && !p->labels.count) continue;
        p->parts[p->output_count] = rows[i].part;
        p->outputs[p->output_count++] =
            (model_io){.type = rows[i].type, .shape = shape_make(rows[i].rank, (int64_t[]){-1, -1, 4})};
    }
}

/* All rows as JSON, or the error. */
static const char *made(bench *b, const pipeline_answer *p, const answer_from *from)
{
    err e;
    arena_init(&b->memory, NULL, 0, 1 << 22);
    buf_init(&b->text, 1 << 16);
    err_code rc = answer_make(p, from, &b->memory, b->made, &e);
    for (size_t r = 0; !rc && r < answer_rows(p, b->made); r++) answer_print(&b->text, p, b->made, r);
    if (rc) buf_put_z(&b->text, e.text);
    buf_put_byte(&b->text, 0);
    return (const char *)b->text.p;
}

static void done(bench *b)
{
    arena_fini(&b->memory);
    buf_fini(&b->text);
}

static tensor floats(const float *data, uint32_t rank, const int64_t *dims)
{
    shape s = shape_make(rank, dims);
    return tensor_make(DT_F32, &s, (void *)(uintptr_t)data);
}
#define FLOATS(data, ...) \
    floats(data, (uint32_t)COUNTOF(((const int64_t[]){__VA_ARGS__})), (const int64_t[]){__VA_ARGS__})

static void check(const pipeline_answer *p, const answer_from *from, const char *want)
{
    bench b;
    CHECK_STR(made(&b, p, from), want);
    done(&b);
}

static const str three[] = {{"cat", 3}, {"dog", 3}, {"cow", 3}};

static void the_best_classes_come_with_their_labels(void)
{
    static const float x[] = {1, 3, 2, 7, 7, -1};
    pipeline_answer p = {.kind = ANSWER_CLASSES, .top = 2, .labels = {three, 3}};
    tensor flat = FLOATS(x, 2, 3), deep = FLOATS(x, 2, 3, 1, 1), one = FLOATS(x, 3);
    const char *want = "[{\"label\":\"dog\",\"index\":1,\"score\":3.0},{\"label\":\"cow\",\"index\":2,\"score\":2.0}]"
                       "[{\"label\":\"cat\",\"index\":0,\"score\":7.0},{\"label\":\"dog\",\"index\":1,\"score\":7.0}]";
    parts_set(&p, false);
    check(&p, &(answer_from){.scores = &flat, .place_count = 2}, want);
    check(&p, &(answer_from){.scores = &deep}, want);
    p.top = 100;
    check(&p, &(answer_from){.scores = &one},
          "[{\"label\":\"dog\",\"index\":1,\"score\":3.0},{\"label\":\"cow\",\"index\":2,\"score\":2.0},"
          "{\"label\":\"cat\",\"index\":0,\"score\":1.0}]");
    check(&p, &(answer_from){.scores = &flat, .place_count = 1},
          "answer: classes: expected an output of [1, classes], got [2,3]");
}

static void scores_become_probabilities(void)
{
    static const float x[] = {0, 0.69314718f};       /* 1 to 2 */
    static const uint16_t half[] = {0x0000, 0x398c}; /* the same in FP16, nearly */
    pipeline_answer p = {.kind = ANSWER_CLASSES, .top = 1, .softmax = true};
    tensor t = FLOATS(x, 1, 2), h = FLOATS((const float *)(const void *)half, 1, 2);
    bench b;
    parts_set(&p, false);
    check(&p, &(answer_from){.scores = &t}, "[{\"index\":1,\"score\":0.6666667}]");
    h.type = DT_F16;
    const char *text = made(&b, &p, &(answer_from){.scores = &h});
    CHECK(strncmp(text, "[{\"index\":1,\"score\":0.666", 25) == 0);
    done(&b);
}

static void scores_that_are_no_numbers_are_null(void)
{
    static const float x[] = {1, __builtin_inff()};
    pipeline_answer p = {.kind = ANSWER_CLASSES, .top = 2};
    tensor t = FLOATS(x, 1, 2);
    parts_set(&p, false);
    check(&p, &(answer_from){.scores = &t}, "[{\"index\":1,\"score\":null},{\"index\":0,\"score\":1.0}]");
}

/* Two boxes that overlap by more than a half, one apart, one that is too weak. */
static const float corners[] = {10, 10, 30, 30, 12, 10, 32, 30, 50, 50, 60, 70, 0, 0, 9, 9};
static const float two_classes[] = {0.1f, 0.8f, 0.1f, 0.9f, 0.7f, 0.2f, 0.3f, 0.2f};   /* [4, 2] */

static pipeline_answer boxes_of(void)
{
    pipeline_answer p = {.kind = ANSWER_BOXES, .boxes = 0, .scores = 1, .background = -1,
                         .best = {.score_min = 0.5f, .overlap_max = 0.45f, .keep_max = 10}};
    parts_set(&p, true);
    return p;
}

static void boxes_that_show_the_same_are_one(void)
{
    pipeline_answer p = boxes_of();
    tensor b = FLOATS(corners, 1, 4, 4), s = FLOATS(two_classes, 1, 4, 2);
    answer_from from = {.scores = &s, .boxes = &b, .width = 100, .height = 100};
    check(&p, &from, "[{\"index\":1,\"score\":0.9,\"box\":[12.0,10.0,32.0,30.0]},"
                     "{\"index\":0,\"score\":0.7,\"box\":[50.0,50.0,60.0,70.0]}]");
    p.background = 0;
    check(&p, &from, "[{\"index\":1,\"score\":0.9,\"box\":[12.0,10.0,32.0,30.0]}]");
    p.background = -1;
    p.best.keep_max = 1;
    check(&p, &from, "[{\"index\":1,\"score\":0.9,\"box\":[12.0,10.0,32.0,30.0]}]");
}

static void classes_suppress_each_other_only_where_asked(void)
{
    static const float near[] = {10, 10, 30, 30, 10, 10, 30, 30}, scores[] = {0.9f, 0, 0, 0.8f};
    pipeline_answer p = boxes_of();
    tensor b = FLOATS(near, 1, 2, 4), s = FLOATS(scores, 1, 2, 2);
    answer_from from = {.scores = &s, .boxes = &b, .width = 100, .height = 100};
    check(&p, &from, "[{\"index\":0,\"score\":0.9,\"box\":[10.0,10.0,30.0,30.0]},"
                     "{\"index\":1,\"score\":0.8,\"box\":[10.0,10.0,30.0,30.0]}]");
    p.across_classes = true;
    check(&p, &from, "[{\"index\":0,\"score\":0.9,\"box\":[10.0,10.0,30.0,30.0]}]");
}

static void boxes_lie_in_the_picture_that_was_sent(void)
{
    static const float b01[] = {0.25f, 0.5f, 0.5f, 2};   /* x, y, width, height: parts of 200 x 100 */
    static const float one[] = {0.9f};
    pipeline_answer p = boxes_of();
    p.center = p.relative = true;
    tensor b = FLOATS(b01, 1, 1, 4), s = FLOATS(one, 1, 1);
    /* Twice as large, moved by 10 and -20 pixels. */
    prepare_place place = {.width = 300, .height = 150, .left = 10, .right = 2, .top = -20, .down = 2};
    answer_from from = {.scores = &s, .boxes = &b, .width = 200, .height = 100, .places = &place, .place_count = 1};
    check(&p, &from, "[{\"index\":0,\"score\":0.9,\"box\":[10.0,0.0,210.0,150.0]}]");
    from.places = NULL;
    from.place_count = 0;
    check(&p, &from, "[{\"index\":0,\"score\":0.9,\"box\":[0.0,0.0,100.0,100.0]}]");
}

/* YOLO's: all values of a box together, how sure it is before its classes, or all of one value together. */
static void one_output_may_hold_everything(void)
{
    static const float rows[] = {10, 10, 4, 4, 0.5f, 0.2f, 0.9f, 50, 50, 10, 10, 0.1f, 0.9f, 0.9f};   /* [2, 7] */
    static const float turned[] = {10, 50, 10, 50, 4, 10, 4, 10, 0.2f, 0.9f, 0.9f, 0.1f};             /* [6, 2] */
    pipeline_answer p = boxes_of();
    p.scores = 0;
    p.center = p.objectness = true;
    p.best.score_min = 0.4f;
    tensor t = FLOATS(rows, 1, 2, 7), u = FLOATS(turned, 1, 6, 2);
    check(&p, &(answer_from){.scores = &t, .boxes = &t, .width = 99, .height = 99},
          "[{\"index\":1,\"score\":0.45,\"box\":[8.0,8.0,12.0,12.0]}]");
    p.objectness = false;
    p.transposed = true;
    check(&p, &(answer_from){.scores = &u, .boxes = &u, .width = 99, .height = 99},
          "[{\"index\":1,\"score\":0.9,\"box\":[8.0,8.0,12.0,12.0]},{\"index\":0,\"score\":0.9,\"box\":[45.0,45.0,"
              "55.0,55.0]}]");
}

static void each_picture_has_its_own_number_of_boxes(void)
{
    static const float two[] = {0, 0, 9, 9, 20, 20, 29, 29, 0, 0, 9, 9, 40, 40, 49, 49}, s[] = {0.1f, 0.2f, 0.6f, 0.7f};
    pipeline_answer p = boxes_of();
    tensor b = FLOATS(two, 2, 2, 4), scores = FLOATS(s, 2, 2);
    bench both;
    const char *text = made(&both, &p, &(answer_from){.scores = &scores, .boxes = &b, .width = 99, .height = 99});
    CHECK_STR(text, "[][{\"index\":0,\"score\":0.7,\"box\":[40.0,40.0,49.0,49.0]},{\"index\":0,\"score\":0.6,"
        "\"box\":[0.0,0.0,9.0,9.0]}]");
    CHECK(both.made[1].shape.dim[0] == 2 && both.made[1].shape.dim[1] == 2);
    CHECK(((const float *)both.made[1].data)[0] == 0 && ((const int64_t *)both.made[0].data)[1] == 2);
    done(&both);
}

static void outputs_of_another_form_are_refused(void)
{
    pipeline_answer p = boxes_of();
    tensor b = FLOATS(corners, 1, 4, 4), s = FLOATS(two_classes, 1, 2, 4), n = FLOATS(two_classes, 2, 4);
    const char *want = "answer: boxes: expected outputs of the declared form for 0 pictures, got [1,4,4] and ";
    bench made_of;
    CHECK(strncmp(made(&made_of, &p, &(answer_from){.scores = &s, .boxes = &b}), want, strlen(want)) == 0);
    done(&made_of);
    CHECK(strncmp(made(&made_of, &p, &(answer_from){.scores = &n, .boxes = &b}), want, strlen(want)) == 0);
    done(&made_of);
    p.scores = 0;
    p.objectness = false;
    CHECK(strncmp(made(&made_of, &p, &(answer_from){.scores = &b, .boxes = &b}), want, strlen(want)) == 0);
    done(&made_of);
}

static void no_memory_at_any_point_leaves_nothing(void)
{
    pipeline_answer p = boxes_of();
    tensor b = FLOATS(corners, 1, 4, 4), s = FLOATS(two_classes, 1, 4, 2);
    FAULT_SWEEP({
        arena a;
        tensor ret[ANSWER_OUTPUTS];
        err e;
        arena_init(&a, NULL, 0, 1 << 20);
        err_code rc = answer_make(&p, &(answer_from){.scores = &s, .boxes = &b, .width = 9, .height = 9}, &a, ret, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
        arena_fini(&a);
    })
}

int main(void)
{
    static const test_case cases[] = {
        TEST(the_best_classes_come_with_their_labels),
        TEST(scores_become_probabilities),
        TEST(scores_that_are_no_numbers_are_null),
        TEST(boxes_that_show_the_same_are_one),
        TEST(classes_suppress_each_other_only_where_asked),
        TEST(boxes_lie_in_the_picture_that_was_sent),
        TEST(one_output_may_hold_everything),
        TEST(each_picture_has_its_own_number_of_boxes),
        TEST(outputs_of_another_form_are_refused),
        TEST(no_memory_at_any_point_leaves_nothing),
    };
    return test_main(cases, COUNTOF(cases));
}
