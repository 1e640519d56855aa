#include "tensor/matmul.h"

/* Row i of the product: b's rows are added, scaled, so that the inner loop runs over neighbours.
 * Signed integers are summed as unsigned ones, where wrapping is defined; what alpha and beta make of them is cut. */
#define AS_IT_IS(v) (v)
#define DEFINE_ROW(name, type, sum, cut) \
    static void row_##name(const matmul_call *m, size_t batch, size_t i) \
    { \
        const type *a = (const type *)m->a + (m->a_at ? m->a_at[batch] : 0) + i * m->a_row; \
        const type *b = (const type *)m->b + (m->b_at ? m->b_at[batch] : 0), *c = m->c; \
        type *y = (type *)m->y + (batch * m->m + i) * m->n; \
        for (size_t j = 0; j < m->n; j++) y[j] = 0; \
        for (size_t p = 0; p < m->k; p++) { \
            sum s = (sum)a[p * m->a_column]; \
            const type *from = b + p * m->b_row; \
            for (size_t j = 0; j < m->n; j++) y[j] = (type)((sum)y[j] + s * (sum)from[j * m->b_column]); \
        } \
        if (m->alpha != 1) \
            for (size_t j = 0; j < m->n; j++) y[j] = (type)cut(m->alpha * (double)y[j]); \
        if (c && m->beta == 1) \
            for (size_t j = 0; j < m->n; j++) y[j] = (type)((sum)y[j] + (sum)c[i * m->c_row + j * m->c_column]); \
        else if (c) \
            for (size_t j = 0; j < m->n; j++) \
                y[j] = (type)cut((double)y[j] + m->beta * (double)c[i * m->c_row + j * m->c_column]); \
    }

DEFINE_ROW(f64, double, double, AS_IT_IS)
DEFINE_ROW(i32, int32_t, uint32_t, dtype_i64_held)
DEFINE_ROW(i64, int64_t, uint64_t, dtype_i64_held)
DEFINE_ROW(u32, uint32_t, uint32_t, dtype_i64_held)
DEFINE_ROW(u64, uint64_t, uint64_t, dtype_u64_held)

static void run_row(void *ctx, uint32_t index)
{
    const matmul_call *m = ctx;
    size_t batch = index / m->m, i = index % m->m;
    switch (m->type) {
    case DT_F64: row_f64(m, batch, i); break;
    case DT_I32: row_i32(m, batch, i); break;
    case DT_I64: row_i64(m, batch, i); break;
    case DT_U32: row_u32(m, batch, i); break;
    case DT_U64: row_u64(m, batch, i); break;
    default: INVARIANT(!"matmul_has() was not asked");
    }
}

bool matmul_has(dtype t) { return t == DT_F64 || t == DT_I32 || t == DT_I64 || t == DT_U32 || t == DT_U64; }

void matmul(const matmul_call *m, compute *pool)
{
    INVARIANT(m->batch * m->m <= UINT32_MAX);
    if (m->n > 0) compute_for(pool, (uint32_t)(m->batch * m->m), run_row, (void *)(uintptr_t)m);
}
