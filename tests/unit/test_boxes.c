/* Property: of boxes that overlap by more than the limit the best of its kind stays, as torchvision's nms() has it;
 * kinds, limits and numbers that make no sense included. */
#include "media/boxes.h"
#include "base/rng.h"
#include "test.h"

#include <math.h>

/* The indices that stay, as text. */
static void check_best(const box *b, const float *scores, const uint32_t *kinds, size_t n, boxes_options o,
                       const char *want)
{
    arena a;
    err e;
    uint32_t *kept;
    size_t count = 0, len = 0;
    char got[200] = "";
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(boxes_best(&(boxes_scored){b, scores, kinds, n}, &o, &a, &kept, &count, &e) == ERR_OK);
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(got + len, sizeof got - len, "%s%u", i ? " " : "", kept[i]);
    CHECK_STR(got, want);
    arena_fini(&a);
}

static const box four[] = {{0, 0, 10, 10}, {1, 0, 11, 10}, {20, 20, 30, 30}, {0, 0, 10, 5}};
static const float scores[] = {0.8f, 0.9f, 0.1f, 0.85f};
static const boxes_scored scored = {.boxes = four, .scores = scores, .count = 4};

static void overlap_is_intersection_over_union(void)
{
    CHECK(fabs((double)box_overlap(four[0], four[1]) - 90.0 / 110) < 1e-6);
    CHECK(box_overlap(four[0], four[3]) == 0.5f);
    CHECK(box_overlap(four[0], four[2]) == 0);
    CHECK(box_overlap(four[0], (box){10, 0, 20, 10}) == 0);                      /* they touch */
    CHECK(box_overlap((box){10, 10, 0, 0}, four[0]) == 1);
    CHECK(box_overlap(four[0], (box){10, 10, 0, 0}) == 1);                       /* corners the other way round */
    CHECK(box_overlap((box){5, 5, 5, 5}, (box){5, 5, 5, 5}) == 0);
    CHECK(box_overlap(four[0], (box){NAN, 0, 1, 1}) >= 0);
    box c = box_of_center(5, 4, 2, 6);
    CHECK(c.x1 == 4 && c.y1 == 1 && c.x2 == 6 && c.y2 == 7);
}

static void the_best_stays(void)
{
    check_best(four, scores, NULL, 4, (boxes_options){.overlap_max = 0.5f}, "1 3 2");
    check_best(four, scores, NULL, 4, (boxes_options){.overlap_max = 0.4f}, "1 2");
    check_best(four, scores, NULL, 4, (boxes_options){.overlap_max = 0.9f}, "1 3 0 2");
    check_best(four, scores, NULL, 4, (boxes_options){.overlap_max = 0.4f, .score_min = 0.2f}, "1");
    check_best(four, scores, (uint32_t[]){0, 1, 0, 1}, 4, (boxes_options){.overlap_max = 0.4f}, "1 0 2");
    check_best(four, scores, NULL, 4, (boxes_options){.overlap_max = 1, .keep_max = 2}, "1 3");
    check_best(four, scores, NULL, 4, (boxes_options){.overlap_max = 0.4f, .candidates_max = 3}, "1");
    check_best(four, scores, NULL, 0, (boxes_options){.overlap_max = 0.4f}, "");
}

static void what_is_no_number_is_harmless(void)
{
    box odd[] = {{NAN, 0, 1, 1}, {0, 0, INFINITY, 1}, {0, 0, 1, 1}, {-INFINITY, -INFINITY, INFINITY, INFINITY}};
    check_best(odd, (float[]){1, 1, 1, 1}, NULL, 4, (boxes_options){.overlap_max = 0.5f}, "0 1 2 3");
    check_best(four, (float[]){NAN, 0.5f, NAN, 0.4f}, NULL, 4, (boxes_options){.overlap_max = 0.9f, .score_min = -1},
               "1 3");
}

/* Kept ones overlap by no more than the limit, and each that is gone is too close to a better one that is kept. */
static void random_boxes_keep_the_rule(void)
{
    rng r;
    rng_init(&r, 2);
    for (int turn = 0; turn < 100; turn++) {
        enum { N = 60 };
        box b[N];
        float s[N];
        bool is_kept[N] = {false};
        arena a;
        err e;
        uint32_t *kept;
        size_t count;
        for (size_t i = 0; i < N; i++) {
            b[i] = box_of_center((float)rng_below(&r, 40), (float)rng_below(&r, 40), (float)(1 + rng_below(&r, 20)),
                                 (float)(1 + rng_below(&r, 20)));
            s[i] = (float)rng_below(&r, 30);
        }
        arena_init(&a, NULL, 0, 1 << 20);
        boxes_options o = {.overlap_max = 0.3f};
        CHECK(boxes_best(&(boxes_scored){b, s, NULL, N}, &o, &a, &kept, &count, &e) == ERR_OK);
        for (size_t i = 0; i < count; i++) is_kept[kept[i]] = true;
        for (size_t i = 0; i < N; i++) {
            bool close = false;
            for (size_t k = 0; k < count; k++)
                close |= kept[k] != i && s[kept[k]] >= s[i] && box_overlap(b[i], b[kept[k]]) > o.overlap_max;
            CHECK(close == !is_kept[i]);
        }
        arena_fini(&a);
    }
}

static void without_memory_nothing_is_left(void)
{
    FAULT_SWEEP({
        arena a;
        err e = {.text = ""};
        uint32_t *kept;
        size_t count;
        boxes_options o = {.overlap_max = 1};
        arena_init(&a, NULL, 0, 1 << 20);
        CHECK(boxes_best(&scored, &o, &a, &kept, &count, &e) == ERR_OK || e.text[0]);
        arena_fini(&a);
    });
}

int main(void)
{
    static const test_case cases[] = {TEST(overlap_is_intersection_over_union), TEST(the_best_stays),
                                      TEST(what_is_no_number_is_harmless), TEST(random_boxes_keep_the_rule),
                                      TEST(without_memory_nothing_is_left)};
    return test_main(cases, COUNTOF(cases));
}
