#include "sched/order.h"

void order_init(order_tree *o) { *o = (order_tree){0}; }

int order_compare(order_key a, order_key b)
{
    if (a.hi != b.hi) return a.hi < b.hi ? -1 : 1;
    return a.lo < b.lo ? -1 : a.lo > b.lo;
}

bool order_has(const order_node *n) { return n->weight != 0; }

order_node *order_first(const order_tree *o) { return o->first; }

static uint64_t weigh(uint64_t count)
{
    uint64_t z = count * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) | 1;
}

/* Whatever pointed to `old` from above now points to `new`. */
static void hang(order_tree *o, order_node *old, order_node *new)
{
    order_node *up = old->up;
    if (!up)
        o->root = new;
    else if (up->left == old)
        up->left = new;
    else
        up->right = new;
    if (new) new->up = up;
}

/*      n            c
 *    c   z   ->   x   n      and its mirror image: c takes the place of its parent n
 *   x y              y z                                                              */
static void lift(order_tree *o, order_node *c)
{
    order_node *n = c->up;
    INVARIANT(n != NULL);
    hang(o, n, c);
    order_node **to = n->left == c ? &n->left : &n->right;
    order_node **from = to == &n->left ? &c->right : &c->left;
    *to = *from;
    if (*to) (*to)->up = n;
    *from = n;
    n->up = c;
}

void order_put(order_tree *o, order_node *n, order_key key)
{
    INVARIANT(n->weight == 0);
    *n = (order_node){.key = key, .weight = weigh(++o->puts)};
    order_node **at = &o->root, *up = NULL;
    bool first = true;
    while (*at) {
        up = *at;
        bool left = order_compare(key, up->key) < 0;
        if (!left) first = false;
        at = left ? &up->left : &up->right;
    }
    *at = n;
    n->up = up;
    if (first) o->first = n;
    while (n->up && n->up->weight < n->weight) lift(o, n);
    o->count++;
}

void order_del(order_tree *o, order_node *n)
{
    INVARIANT(n->weight != 0 && o->count > 0);
    if (o->first == n) o->first = order_next(n);
    while (n->left && n->right) lift(o, n->left->weight > n->right->weight ? n->left : n->right);
    hang(o, n, n->left ? n->left : n->right);
    *n = (order_node){0};
    o->count--;
}

order_node *order_next(const order_node *n)
{
    if (n->right) {
        n = n->right;
        while (n->left) n = n->left;
        return (order_node *)(uintptr_t)n;
    }
    while (n->up && n->up->right == n) n = n->up;
    return n->up;
}

order_node *order_find(const order_tree *o, order_key key)
{
    order_node *found = NULL;
    for (order_node *n = o->root; n;) {
        int c = order_compare(key, n->key);
        if (c == 0) found = n;
        n = c <= 0 ? n->left : n->right;
    }
    return found;
}
