#include "base/quota.h"

void quota_init(quota *q, size_t max)
{
    q->max = max;
    atomic_init(&q->used, 0);
    atomic_init(&q->refused, 0);
}

static bool refuse(quota *q)
{
    atomic_fetch_add_explicit(&q->refused, 1, memory_order_relaxed);
    return false;
}

bool quota_take(quota *q, size_t n)
{
    size_t used = atomic_load_explicit(&q->used, memory_order_relaxed);
    do {
        if (n > q->max - used) return refuse(q);
    } while (!atomic_compare_exchange_weak_explicit(&q->used, &used, used + n, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

bool quota_has(quota *q, size_t n) { return n <= q->max - quota_used(q) || refuse(q); }

void quota_give(quota *q, size_t n)
{
    size_t before = atomic_fetch_sub_explicit(&q->used, n, memory_order_relaxed);
    INVARIANT(n <= before);
}

bool quota_follow(quota *q, size_t *taken, size_t n)
{
    if (!q || n == *taken) return true;
    if (n > *taken && !quota_take(q, n - *taken)) return false;
    if (n < *taken) quota_give(q, *taken - n);
    *taken = n;
    return true;
}

void quota_give_all(quota *q, size_t *taken)
{
    if (*taken) quota_give(q, *taken);
    *taken = 0;
}

size_t quota_used(const quota *q) { return atomic_load_explicit(&q->used, memory_order_relaxed); }
void quota_refuse(quota *q) { (void)refuse(q); }
uint64_t quota_refused(const quota *q) { return atomic_load_explicit(&q->refused, memory_order_relaxed); }
