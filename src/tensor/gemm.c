#include "tensor/gemm.h"

#include "base/mem.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum {
    DIRECT_ROWS = 8, /* products of so few rows read each element of B once: packing it would cost more */
    DIRECT_COLUMNS = 16, /* the same for A, where its rows do not lie together: a kernel reads eight rows as they lie */
    UNITS_PER_THREAD = 3, /* so that a thread that comes late costs a third of its share */
};

size_t gemm_k_block(size_t k)
{
    size_t blocks = (k + GEMM_K_BLOCK - 1) / GEMM_K_BLOCK;
    return blocks ? (k + blocks - 1) / blocks : 0;
}

static size_t room(size_t lines, size_t panel, size_t k)
{
    size_t count;
    if (lines > SIZE_MAX - panel || __builtin_mul_overflow(round_up(lines, panel), k, &count) ||
        count > SIZE_MAX / sizeof(float))
        return SIZE_MAX;
    return count;
}

size_t gemm_a_room(size_t m, size_t k) { return room(m, GEMM_ROWS, k); }

size_t gemm_b_room(size_t k, size_t n) { return room(n, GEMM_COLUMNS, k); }

/* `lines` rows of A (or columns of B), `line` apart, k elements each `step` apart, into panels of `width` lines. */
static void pack(float *to, const float *from, size_t lines, size_t line, size_t k, size_t step, size_t width,
                 const kernel_set *ks)
{
    for (size_t i = 0; i < lines; i += width, to += width * k) {
        size_t n = least(width, lines - i);
        const float *x = from + i * line;
        if (n < width)
            memset(to, 0, width * k * sizeof *to); /* lanes past the edge are multiplied too: keep them finite */
        if (step == 1)
            ks->transpose_f32(to, width, x, line, n, k);
        else if (line == 1)
            for (size_t p = 0; p < k; p++) memcpy(to + p * width, x + p * step, n * sizeof *x);
        else
            for (size_t p = 0; p < k; p++)
                for (size_t q = 0; q < n; q++) to[p * width + q] = x[q * line + p * step];
    }
}

static void pack_all(float *to, const float *from, size_t lines, size_t line, size_t k, size_t step, size_t width,
                     const kernel_set *ks)
{
    size_t block = gemm_k_block(k);
    for (size_t p = 0; p < k; p += block)
        pack(to + p * round_up(lines, width), from + p * step, lines, line, least(block, k - p), step, width, ks);
}

void gemm_pack_a(float *packed, const gemm_matrix *a, size_t m, size_t k, const kernel_set *ks)
{
    pack_all(packed, a->data, m, a->row, k, a->column, GEMM_ROWS, ks);
}

void gemm_pack_b(float *packed, const gemm_matrix *b, size_t k, size_t n, const kernel_set *ks)
{
    pack_all(packed, b->data, n, b->column, k, b->row, GEMM_COLUMNS, ks);
}

void gemm_clamp(gemm_block *b, const activation *act)
{
    b->low = act->kind == ACT_RELU ? 0.0f : act->kind == ACT_CLIP ? act->a : -INFINITY;
    b->high = act->kind == ACT_CLIP ? act->b : INFINITY;
}

void gemm_activate(const activation *act, float *c, size_t c_row, size_t rows, size_t columns, const kernel_set *k)
{
    if (act->kind == ACT_NONE || act->kind == ACT_RELU || act->kind == ACT_CLIP) return;
    for (size_t i = 0; i < rows; i++) k->act_f32(c + i * c_row, c + i * c_row, act, columns);
}

static size_t slots_count(const compute *pool) { return pool ? (size_t)compute_threads(pool) + 1 : 1; }

static size_t slot_floats(size_t floats) { return round_up(floats ? floats : 1, MEM_ALIGN / sizeof(float)); }

size_t gemm_slots_bytes(size_t floats, const compute *pool)
{
    size_t bytes;
    if (floats > SIZE_MAX - MEM_ALIGN ||
        __builtin_mul_overflow(slot_floats(floats), slots_count(pool) * sizeof(float), &bytes) ||
        __builtin_add_overflow(bytes, MEM_ALIGN, &bytes))
        return SIZE_MAX;
    return bytes;
}

err_code gemm_slots_init(gemm_slots *s, size_t floats, const compute *pool, arena *scratch, err *e)
{
    *s = (gemm_slots){.each = slot_floats(floats), .count = slots_count(pool)};
    INVARIANT(s->count <= GEMM_SLOTS_MAX);
    size_t bytes = gemm_slots_bytes(floats, pool);
    s->memory = bytes == SIZE_MAX ? NULL : arena_push_raw(scratch, bytes - MEM_ALIGN, MEM_ALIGN);
    if (!s->memory) return err_set(e, ERR_LIMIT, "no memory for %zu packing buffers of %zu floats", s->count, floats);
    return ERR_OK;
}

float *gemm_slots_take(gemm_slots *s, size_t *ret_slot)
{
    for (size_t i = 0; i < s->count; i++)
        if (!atomic_exchange_explicit(&s->taken[i], true, memory_order_acquire)) {
            *ret_slot = i;
            return s->memory + i * s->each;
        }
    INVARIANT(!"more threads in compute_for() than the pool has");
    return NULL;
}

void gemm_slots_give(gemm_slots *s, size_t slot)
{
    atomic_store_explicit(&s->taken[slot], false, memory_order_release);
}

compute *gemm_pool(compute *pool, size_t batch, size_t m, size_t n, size_t k)
{
    /* About 30 us of one core.  A single row or column takes as long as two: it waits for the other's memory. */
    const double work_min = 1 << 21, work = (double)batch * (double)m * (double)n * (double)k;
    return (m == 1 || n == 1 ? 2 * work : work) < work_min ? NULL : pool;
}

/* Where block `index` of `blocks` begins, of a side of `length` in panels of `width`; the first are the longest. */
static size_t start(size_t length, size_t width, size_t blocks, size_t index)
{
    size_t panels = (length + width - 1) / width;
    return least(length, (panels * index + blocks - 1) / blocks * width);
}

gemm_cut gemm_cut_make(size_t batch, size_t m, size_t n, const compute *pool)
{
    size_t threads = pool ? compute_threads(pool) : 1, want = threads > 1 ? threads * UNITS_PER_THREAD : 1;
    gemm_cut c = {.m = m,
                  .n = n,
                  .row_blocks = (m + GEMM_BLOCK_MAX - 1) / GEMM_BLOCK_MAX,
                  .column_blocks = (n + GEMM_BLOCK_MAX - 1) / GEMM_BLOCK_MAX};
    size_t have = batch * c.row_blocks * c.column_blocks;
    INVARIANT(have > 0);
    if (have < want) {
        c.column_blocks = least(c.column_blocks * ((want + have - 1) / have), (n + GEMM_COLUMNS - 1) / GEMM_COLUMNS);
        have = batch * c.row_blocks * c.column_blocks;
        INVARIANT(have > 0);
        if (have < want)
            c.row_blocks = least(c.row_blocks * ((want + have - 1) / have), (m + GEMM_ROWS - 1) / GEMM_ROWS);
    }
    INVARIANT(c.row_blocks > 0 && c.column_blocks > 0);
    c.rows = round_up(start(m, GEMM_ROWS, c.row_blocks, 1), GEMM_ROWS);
    c.columns = round_up(start(n, GEMM_COLUMNS, c.column_blocks, 1), GEMM_COLUMNS);
    return c;
}

gemm_piece gemm_cut_piece(const gemm_cut *c, size_t index)
{
    size_t each = c->row_blocks * c->column_blocks, row = index % each % c->row_blocks,
           column = index % each / c->row_blocks;
    gemm_piece p = {.product = index / each,
                    .i = start(c->m, GEMM_ROWS, c->row_blocks, row),
                    .j = start(c->n, GEMM_COLUMNS, c->column_blocks, column)};
    p.rows = start(c->m, GEMM_ROWS, c->row_blocks, row + 1) - p.i;
    p.columns = start(c->n, GEMM_COLUMNS, c->column_blocks, column + 1) - p.j;
    return p;
}

/* One product as compute_for() sees it: rows x columns blocks of C for each of the batch. */
typedef struct {
    const gemm_call *g;
    const kernel_set *k;
    gemm_cut cut;
    size_t k_block;
    bool pack_a, pack_b;
    gemm_slots *slots; /* where one of them is packed */
} plan;

/* What a block of A takes of a packing buffer; B follows. */
static size_t a_floats(const plan *p) { return p->pack_a ? p->cut.rows * p->k_block : 0; }

/* A and B of one step in k: as they lie, packed once for all, or packed here into `to`, which is else NULL. */
static void set_a(const plan *p, gemm_block *b, size_t batch, size_t i, size_t at, float *to)
{
    const gemm_matrix *a = &p->g->a;
    const float *data = a->data + (a->batch_at ? a->batch_at[batch] : 0);
    if (!a->packed && !to) {
        b->a = data + i * a->row + at * a->column;
        b->a_row = a->row;
        b->a_step = a->column;
        b->a_panel = GEMM_ROWS * a->row;
        return;
    }
    b->a_row = 1;
    b->a_step = GEMM_ROWS;
    b->a_panel = GEMM_ROWS * b->k;
    b->a = to ? to : data + at * round_up(p->g->m, GEMM_ROWS) + i * b->k;
    if (to) pack(to, data + i * a->row + at * a->column, b->m, a->row, b->k, a->column, GEMM_ROWS, p->k);
}

static void set_b(const plan *p, gemm_block *b, size_t batch, size_t j, size_t at, float *to)
{
    const gemm_matrix *m = &p->g->b;
    const float *data = m->data + (m->batch_at ? m->batch_at[batch] : 0);
    if (!m->packed && !to) {
        b->b = data + j + at * m->row;
        b->b_step = m->row;
        b->b_panel = GEMM_COLUMNS;
        return;
    }
    b->b_step = GEMM_COLUMNS;
    b->b_panel = GEMM_COLUMNS * b->k;
    b->b = to ? to : data + at * round_up(p->g->n, GEMM_COLUMNS) + j * b->k;
    if (to) pack(to, data + j * m->column + at * m->row, b->n, m->column, b->k, m->row, GEMM_COLUMNS, p->k);
}

static void run_block(void *ctx, uint32_t index)
{
    plan *p = ctx;
    const gemm_call *g = p->g;
    const gemm_piece piece = gemm_cut_piece(&p->cut, index);
    size_t batch = piece.product, i = piece.i, j = piece.j, slot = 0;
    float *buffer = p->pack_a || p->pack_b ? gemm_slots_take(p->slots, &slot) : NULL;
    float *to_a = p->pack_a ? buffer : NULL, *to_b = p->pack_b ? buffer + a_floats(p) : NULL;
    gemm_block b = {
        .m = piece.rows,
        .n = piece.columns,
        .c = g->c + batch * g->c_batch + i * g->c_row + j,
        .c_row = g->c_row,
        .alpha = g->alpha,
        .beta = g->beta,
        .residual_row = g->residual_row,
        .bias_row = g->bias_row ? g->bias_row + i : NULL,
        .bias_col = g->bias_column ? g->bias_column + j : NULL,
        .residual = g->residual ? g->residual + batch * g->residual_batch + i * g->residual_row + j : NULL,
    };
    gemm_clamp(&b, &g->act);
    size_t at = 0;
    do {
        b.k = least(p->k_block, g->k - at);
        b.add = at > 0;
        b.last = at + b.k == g->k;
        set_a(p, &b, batch, i, at, to_a);
        set_b(p, &b, batch, j, at, to_b);
        p->k->gemm_f32(&b);
        at += b.k;
    } while (at < g->k);
    gemm_activate(&g->act, b.c, b.c_row, b.m, b.n, p->k);
    if (buffer) gemm_slots_give(p->slots, slot);
}

static plan plan_of(const gemm_call *g, const kernel_set *k, const compute *pool)
{
    plan p = {.g = g, .k = k, .k_block = gemm_k_block(g->k), .cut = gemm_cut_make(g->batch, g->m, g->n, pool)};
    p.pack_a = !g->a.packed && g->a.column != 1 && g->n > DIRECT_COLUMNS && g->m > DIRECT_ROWS;
    p.pack_b = !g->b.packed && (g->b.column != 1 || g->m > DIRECT_ROWS);
    return p;
}

static size_t buffer_of(const plan *p) { return a_floats(p) + (p->pack_b ? p->cut.columns * p->k_block : 0); }

size_t gemm_scratch(const gemm_call *g, compute *pool)
{
    if (g->batch == 0 || g->m == 0 || g->n == 0) return 0;
    pool = gemm_pool(pool, g->batch, g->m, g->n, g->k);
    plan p = plan_of(g, NULL, pool);
    return p.pack_a || p.pack_b ? gemm_slots_bytes(buffer_of(&p), pool) : 0;
}

err_code gemm_f32(const gemm_call *g, const kernel_set *k, compute *pool, arena *scratch, err *e)
{
    if (g->batch == 0 || g->m == 0 || g->n == 0) return ERR_OK;
    pool = gemm_pool(pool, g->batch, g->m, g->n, g->k);
    plan p = plan_of(g, k, pool);
    size_t blocks = g->batch * p.cut.row_blocks * p.cut.column_blocks;
    if (blocks > UINT32_MAX)
        return err_set(e, ERR_LIMIT, "matrix product: %zu blocks are more than %u", blocks, UINT32_MAX);
    gemm_slots slots UNINIT;
    if (p.pack_a || p.pack_b) {
        p.slots = &slots;
        err_code code = gemm_slots_init(&slots, buffer_of(&p), pool, scratch, e);
        if (code != ERR_OK) return code;
    }
    compute_for(pool, (uint32_t)blocks, run_block, &p);
    return ERR_OK;
}
