/* order.h - things in order: a balanced tree whose nodes lie in the things themselves.
 *
 * It allocates nothing; putting, taking out and finding cost O(log n), the first one is at hand.  A node is in one
 * order at most and is taken out before its thing goes.  Equal keys stand in the order in which they were put.  A
 * treap: its balance comes from a counter's hash, not from keys, so that no peer can choose keys that unbalance it.
 * Not thread-safe. */
#ifndef SCHED_ORDER_H
#define SCHED_ORDER_H
#include "base/base.h"

/* The thing in which a node lies; NULL for NULL. */
#define ORDER_OF(node, type, field)                                                                 \
    __extension__({                                                                                 \
        order_node *of_ = (node);                                                                   \
        of_ ? (type *)(void *)((char *)of_ - offsetof(type, field)) : NULL;                         \
    })

typedef struct {
    uint64_t hi, lo;   /* hi decides, then lo */
} order_key;

typedef struct order_node order_node;
struct order_node {
    order_key key;   /* read only */
    /* private */
    order_node *up, *left, *right;
    uint64_t weight;   /* 0 = in no order */
};

typedef struct {
    size_t count;   /* read only */
    /* private */
    order_node *root, *first;
    uint64_t puts;
} order_tree;

void order_init(order_tree *o);
void order_put(order_tree *o, order_node *n, order_key key);
void order_del(order_tree *o, order_node *n);
bool order_has(const order_node *n);                            /* it is in some order; a zeroed node is in none */
order_node *order_first(const order_tree *o);                        /* NULL = empty */
order_node *order_next(const order_node *n);                    /* NULL = it was the last */
order_node *order_find(const order_tree *o, order_key key);          /* the first with exactly this key, or NULL */
int order_compare(order_key a, order_key b);                    /* < 0, 0, > 0 */

#endif
