/* A flattened ensemble scores every row as the plain walk over its parts does: all tests, thresholds on the edge,
 * infinities, missing values, sets, float and double, one row or many; and what is no tree is refused. */
#include "engine/tree_build.h"
#include "test.h"

#include <math.h>

enum { PARTS_MAX = 400, FEATURES = 3, TARGETS = 3, ROWS_MAX = 150 };

typedef struct {
    tree_part parts[PARTS_MAX];
    uint32_t roots[PARTS_MAX];
    double members[PARTS_MAX];
    trees_weight weights[2 * PARTS_MAX];
    tree_source s;
    uint64_t seed;
    uint32_t tests;                  /* the kinds that occur, as bits */
    bool one_target;
} forest;

static const double values[] = {-1, 0, -0.0, 0.5, 1, 1e30, (double)INFINITY, -(double)INFINITY, (double)NAN};

static double any_value(forest *f) { return values[test_rand(&f->seed) % COUNTOF(values)]; }

static uint32_t grow(forest *f, int depth)
{
    uint32_t i = f->s.part_count++;
    tree_part *p = &f->parts[i];
    *p = (tree_part){.test = TREE_LEAF};
    if (depth == 0 || f->s.part_count + 2 * (uint32_t)depth + 2 > PARTS_MAX || test_rand(&f->seed) % 5 == 0) {
        p->first = f->s.weight_count;
        p->count = f->one_target ? 1 : (uint32_t)(test_rand(&f->seed) % 3);
        for (uint32_t k = 0; k < p->count; k++)
            f->weights[f->s.weight_count++] = (trees_weight){f->one_target ? 1 : (p->first + k) % TARGETS,
                                                            (double)(test_rand(&f->seed) % 64) / 8 - 4};
        return i;
    }
    do {
        p->test = (tree_test)(test_rand(&f->seed) % TREE_LEAF);
    } while (!(f->tests & 1u << p->test));
    p->nan_yes = test_rand(&f->seed) % 2;
    p->feature = (uint32_t)(test_rand(&f->seed) % FEATURES);
    p->value = any_value(f);
    p->first = (uint32_t)(test_rand(&f->seed) % (PARTS_MAX - 8));
    p->count = (uint32_t)(test_rand(&f->seed) % 8);
    uint32_t yes = grow(f, depth - 1), no = grow(f, depth - 1);
    p->yes = yes;
    p->no = no;
    return i;
}

static bool passes(const forest *f, const tree_part *p, double x)
{
    if (isnan(x)) return p->nan_yes || p->test == TREE_NEQ;
    switch (p->test) {
    case TREE_LEQ: return x <= p->value;
    case TREE_LT: return x < p->value;
    case TREE_GTE: return x >= p->value;
    case TREE_GT: return x > p->value;
    case TREE_EQ: return x == p->value;
    case TREE_NEQ: return x != p->value;
    default:
        for (uint32_t i = 0; i < p->count; i++) {
            if (f->members[p->first + i] == x) return true;
        }
        return false;
    }
}

static void plain(const forest *f, const double *x, double *scores, bool *has)
{
    for (int i = 0; i < TARGETS; i++) {
        scores[i] = 0;
        has[i] = false;
    }
    for (uint32_t r = 0; r < f->s.root_count; r++) {
        const tree_part *p = &f->parts[f->roots[r]];
        while (p->test != TREE_LEAF) p = &f->parts[passes(f, p, x[p->feature]) ? p->yes : p->no];
        for (uint32_t i = p->first; i < p->first + p->count; i++) {
            double v = f->weights[i].value, *s = &scores[f->weights[i].target];
            bool *h = &has[f->weights[i].target];
            *s = f->s.merge == TREES_SUM ? *s + v
                 : f->s.merge == TREES_MIN ? (*h && *s < v ? *s : v)
                                           : (*h && *s > v ? *s : v);
            *h = true;
        }
    }
}

static void check_forest(forest *f, bool wide, size_t rows)
{
    static double x[ROWS_MAX * FEATURES], got[ROWS_MAX * TARGETS], want[TARGETS];
    static float narrow[ROWS_MAX * FEATURES];
    static bool has[ROWS_MAX * TARGETS], want_has[TARGETS];
    for (size_t i = 0; i < rows * FEATURES; i++) {
        x[i] = any_value(f);
        narrow[i] = (float)x[i];
        if (!wide) x[i] = (double)narrow[i];
    }
    arena memory;
    trees t;
    err e;
    arena_init(&memory, NULL, 0, SIZE_MAX / 2);
    CHECK(tree_build(&t, &f->s, wide, &memory, &e) == ERR_OK);
    trees_run(&t, wide ? (const void *)x : narrow, rows, FEATURES, got, has);
    for (size_t r = 0; r < rows; r++) {
        plain(f, x + r * FEATURES, want, want_has);
        for (size_t i = 0; i < TARGETS; i++) {
            if (got[r * TARGETS + i] == want[i] && has[r * TARGETS + i] == want_has[i]) continue;
            printf("# tests %x wide %d rows %zu row %zu target %zu: got %g %d, want %g %d\n", f->tests, wide, rows, r,
                   i, got[r * TARGETS + i], has[r * TARGETS + i], want[i], want_has[i]);
            test_failures++;
            r = rows;
            break;
        }
    }
    arena_fini(&memory);
}

static void forest_make(forest *f, uint64_t seed, uint32_t tests, int trees_count)
{
    *f = (forest){.seed = seed * 7919 + 1, .tests = tests, .one_target = seed % 2};
    f->s = (tree_source){.parts = f->parts, .roots = f->roots, .members = f->members, .weights = f->weights,
                         .target_count = TARGETS, .merge = (trees_merge)(seed % 3)};
    for (int i = 0; i < PARTS_MAX; i++) f->members[i] = values[test_rand(&f->seed) % (COUNTOF(values) - 1)];
    for (int i = 0; i < trees_count && f->s.part_count + 12 < PARTS_MAX; i++) {
        uint32_t root = grow(f, 4);
        f->roots[f->s.root_count++] = root;
    }
}

static void every_test_scores_as_the_plain_walk(void)
{
    static const size_t rows[] = {0, 1, 3, 4, 7, 8, 11, 64, 66, 69, ROWS_MAX};
    static forest f;
    for (uint64_t seed = 0; seed < 600; seed++) {
        forest_make(&f, seed, seed % 8 == TREE_LEAF ? 0x7f : 1u << seed % 8, 1 + (int)(seed % 20));
        check_forest(&f, seed / 8 % 2, rows[seed % COUNTOF(rows)]);
    }
}

static void a_double_threshold_splits_floats_exactly(void)
{
    static const tree_test tests[] = {TREE_LEQ, TREE_LT, TREE_GTE, TREE_GT, TREE_EQ, TREE_NEQ};
    static const double edges[] = {0.1, 1 / 3.0, -0.1, 1e39, -1e39, 0x1p-149, -0x1p-149, 1e-50};
    static forest f;
    for (size_t i = 0; i < COUNTOF(tests) * COUNTOF(edges); i++) {
        double edge = edges[i / COUNTOF(tests)];
        float near = (float)edge, x[3] = {nextafterf(near, -INFINITY), near, nextafterf(near, INFINITY)};
        f = (forest){.parts = {{.test = tests[i % COUNTOF(tests)], .value = edge, .yes = 1, .no = 2},
                               {.test = TREE_LEAF, .first = 0, .count = 1},
                               {.test = TREE_LEAF, .first = 1, .count = 1}},
                     .weights = {{0, 1}, {0, 2}}};
        f.s = (tree_source){f.parts, f.roots, f.members, f.weights, 3, 1, 2, 1, TREES_SUM};
        arena memory;
        trees t;
        err e;
        arena_init(&memory, NULL, 0, SIZE_MAX / 2);
        CHECK(tree_build(&t, &f.s, false, &memory, &e) == ERR_OK);
        for (int k = 0; k < 3; k++) {
            double got;
            bool has;
            trees_run(&t, &x[k], 1, 1, &got, &has);
            CHECK(got == (passes(&f, &f.parts[0], (double)x[k]) ? 1 : 2));
        }
        arena_fini(&memory);
    }
}

static void what_is_reached_twice_is_refused(void)
{
    static forest f;
    f = (forest){.parts = {{.test = TREE_LEQ, .yes = 1, .no = 2}, {.test = TREE_LEQ, .yes = 2, .no = 0},
                           {.test = TREE_LEAF, .count = 1}},
                 .weights = {{0, 1}}};
    f.s = (tree_source){f.parts, f.roots, f.members, f.weights, 3, 1, 1, 1, TREES_SUM};
    arena memory;
    trees t;
    err e;
    arena_init(&memory, NULL, 0, SIZE_MAX / 2);
    CHECK(tree_build(&t, &f.s, false, &memory, &e) == ERR_INVALID);
    CHECK_STR(e.text, "node 0 of the trees is reached twice");
    f.parts[1].no = 2;               /* a leaf may be shared */
    CHECK(tree_build(&t, &f.s, false, &memory, &e) == ERR_OK);
    arena_fini(&memory);
}

static void building_survives_any_failed_allocation(void)
{
    static forest f;
    forest_make(&f, 4, 0x7f, 5);
    FAULT_SWEEP({
        arena memory;
        trees t;
        err e;
        arena_init(&memory, NULL, 0, SIZE_MAX / 2);
        err_code rc = tree_build(&t, &f.s, false, &memory, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
        arena_fini(&memory);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(every_test_scores_as_the_plain_walk),
        TEST(a_double_threshold_splits_floats_exactly),
        TEST(what_is_reached_twice_is_refused),
        TEST(building_survives_any_failed_allocation),
    };
    return test_main(cases, COUNTOF(cases));
}
