#include "tensor/trees.h"

#include "tensor/unroll.h"

#include <string.h>

/* ---- walks ------------------------------------------------------------------------------------------------------ */

#define WALK(name, NODE, TYPE) \
    ALWAYS_INLINE void name(const NODE *nodes, uint32_t at[TREES_LANES], const TYPE *const *x, bool nan) \
    { \
        uint32_t moved; \
        do { \
            moved = 0; \
            EACH (i, TREES_LANES) { \
                const NODE *n = nodes + at[i]; \
                TYPE v = x[i][nan ? n->feature & ~TREES_NAN : n->feature]; \
                bool first = v <= n->value; \
                if (nan) first |= (v != v) & (n->feature >> 31); \
                uint32_t to = n->next[!first]; \
                moved |= to ^ at[i]; \
                at[i] = to; \
            } \
        } while (moved); \
    }
WALK(walk_f32, trees_node, float)
WALK(walk_f64, trees_node_f64, double)

static void walk(const trees *t, uint32_t at[TREES_LANES], const void *const *x)
{
    if (t->wide)
        walk_f64(t->nodes, at, (const double *const *)x, true);
    else if (t->nan)
        walk_f32(t->nodes, at, (const float *const *)x, true);
    else
        walk_f32(t->nodes, at, (const float *const *)x, false);
}

/* ---- weights ---------------------------------------------------------------------------------------------------- */

static void merge_one(trees_merge how, double *score, bool *has, double v)
{
    if (how == TREES_SUM)
        *score += v;
    else if (!*has || (how == TREES_MIN ? v < *score : v > *score))
        *score = v;
    *has = true;
}

/* The weights of a leaf into the scores of a row. */
static void add(const trees *t, uint32_t node, double *scores, bool *has)
{
    if (t->single) {
        double v = t->wide ? ((const trees_node_f64 *)t->nodes)[node].value
                           : (double)((const trees_node *)t->nodes)[node].value;
        merge_one(t->merge, scores + t->target, has + t->target, v);
        return;
    }
    uint32_t leaf = t->leaf[node];
    for (uint32_t i = t->first[leaf]; i < t->first[leaf + 1]; i++)
        merge_one(t->merge, scores + t->weights[i].target, has + t->weights[i].target, t->weights[i].value);
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

/* Few rows: the lanes are trees.  A lane without a tree stays where the one before it ends: it costs no step. */
static void row_run(const trees *t, const void *x, double *scores, bool *has)
{
    const void *lanes[TREES_LANES];
    uint32_t at[TREES_LANES];
    EACH (i, TREES_LANES) lanes[i] = x;
    for (uint32_t r = 0; r < t->root_count; r += TREES_LANES) {
        uint32_t n = t->root_count - r < TREES_LANES ? t->root_count - r : TREES_LANES;
        for (uint32_t i = 0; i < TREES_LANES; i++) at[i] = t->roots[r + (i < n ? i : n - 1)];
        walk(t, at, lanes);
        for (uint32_t i = 0; i < n; i++) add(t, at[i], scores, has);
    }
}

/* Many rows: the lanes are rows, tree after tree. */
static void block_run(const trees *t, const char *x, size_t rows, size_t row_bytes, double *scores, bool *has)
{
    uint32_t step = t->target_count;
    for (uint32_t root = 0; root < t->root_count; root++) {
        for (size_t r = 0; r < rows; r += TREES_LANES) {
            size_t n = rows - r < TREES_LANES ? rows - r : TREES_LANES;
            const void *lanes[TREES_LANES];
            uint32_t at[TREES_LANES];
            for (size_t i = 0; i < TREES_LANES; i++) {
                lanes[i] = x + (r + (i < n ? i : n - 1)) * row_bytes;
                at[i] = t->roots[root];
            }
            walk(t, at, lanes);
            for (size_t i = 0; i < n; i++) add(t, at[i], scores + (r + i) * step, has + (r + i) * step);
        }
    }
}

void trees_run(const trees *t, const void *x, size_t rows, size_t count, double *scores, bool *has)
{
    INVARIANT(count >= t->feature_count && count > 0);
    uint32_t step = t->target_count;
    size_t row_bytes = count * (t->wide ? sizeof(double) : sizeof(float));
    if (rows == 0) return;
    memset(scores, 0, rows * step * sizeof *scores);
    memset(has, 0, rows * step * sizeof *has);
    for (size_t r = 0; r < rows;) {
        const char *from = (const char *)x + r * row_bytes;
        size_t n = rows - r < TREES_ROWS ? rows - r : TREES_ROWS, odd = n % TREES_LANES;
        if (n > odd && odd < TREES_LANES / 2) n -= odd; /* lanes would idle: those rows go one by one */
        if (n < TREES_LANES / 2) {
            row_run(t, from, scores + r * step, has + r * step);
            n = 1;
        } else {
            block_run(t, from, n, row_bytes, scores + r * step, has + r * step);
        }
        r += n;
    }
}
