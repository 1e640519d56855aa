/* A graph grows without losing items, its nodes can be put in order, and what cannot be ordered is refused by name. */
#include "engine/graph.h"
#include "test.h"

static graph *graph_make(arena *a)
{
    arena_init(a, NULL, 0, 1 << 24);
    graph *g = arena_new(a, graph, 1);
    g->memory = a;
    g->opset = 13;
    return g;
}

static value_id value_make(graph *g, const char *name, value_source from)
{
    value_id v = 0;
    err e;
    CHECK(graph_value_add(g, &v, &e) == ERR_OK);
    g->values[v].name = str_of(name);
    g->values[v].from = from;
    return v;
}

static void node_make(graph *g, const char *op, value_id in, value_id out)
{
    node *n = NULL;
    err e;
    CHECK(graph_node_add(g, &n, &e) == ERR_OK);
    n->op = str_of(op);
    n->opset = 13;
    n->in = arena_new(g->memory, value_id, 1);
    n->out = arena_new(g->memory, value_id, 1);
    n->in[0] = in;
    n->out[0] = out;
    n->in_count = n->out_count = 1;
}

static void arrays_grow_and_keep_their_items(void)
{
    arena a;
    graph *g = graph_make(&a);
    for (uint32_t i = 0; i < 1000; i++) {
        value_id v = value_make(g, i & 1 ? "odd" : "even", VALUE_NODE);
        CHECK_U64(v, i);
    }
    CHECK_U64(g->value_count, 1000);
    for (uint32_t i = 0; i < 1000; i++) CHECK(str_is(g->values[i].name, i & 1 ? "odd" : "even"));
    arena_fini(&a);
}

static void nodes_in_any_order_are_sorted(void)
{
    enum { CHAIN = 50 };
    arena a;
    err e;
    uint64_t seed = 7;
    for (int round = 0; round < 20; round++) {
        graph *g = graph_make(&a);
        value_id v[CHAIN + 1];
        v[0] = value_make(g, "x", VALUE_INPUT);
        for (int i = 1; i <= CHAIN; i++) v[i] = value_make(g, "v", VALUE_NODE);
        int order[CHAIN];
        for (int i = 0; i < CHAIN; i++) order[i] = i;
        for (int i = CHAIN - 1; i > 0; i--) {
            int k = (int)(test_rand(&seed) % (uint64_t)(i + 1)), t = order[i];
            order[i] = order[k];
            order[k] = t;
        }
        for (int i = 0; i < CHAIN; i++) node_make(g, "Relu", v[order[i]], v[order[i] + 1]);
        CHECK(graph_sort(g, &e) == ERR_OK);
        for (uint32_t i = 0; i < CHAIN; i++) CHECK_U64(g->nodes[i].in[0], v[i]);
        arena_fini(&a);
    }
}

static void a_cycle_is_refused_by_name(void)
{
    arena a;
    err e;
    graph *g = graph_make(&a);
    value_id p = value_make(g, "p", VALUE_NODE), q = value_make(g, "q", VALUE_NODE);
    node_make(g, "Relu", p, q);
    node_make(g, "Neg", q, p);
    CHECK(graph_sort(g, &e) == ERR_INVALID);
    CHECK_STR(e.text, "node that makes 'q' (Relu, ai.onnx 13): is part of a cycle");
    arena_fini(&a);
}

static void a_value_that_nobody_computes_is_refused(void)
{
    arena a;
    err e;
    graph *g = graph_make(&a);
    value_id p = value_make(g, "p", VALUE_NODE), q = value_make(g, "q", VALUE_NODE);
    node_make(g, "Relu", p, q);
    CHECK(graph_sort(g, &e) == ERR_INVALID);
    CHECK_STR(e.text, "node that makes 'q' (Relu, ai.onnx 13): input 'p': no node computes it");
    arena_fini(&a);
}

static void dead_nodes_are_dropped(void)
{
    arena a;
    err e;
    graph *g = graph_make(&a);
    value_id x = value_make(g, "x", VALUE_INPUT), p = value_make(g, "p", VALUE_NODE),
             q = value_make(g, "q", VALUE_NODE);
    node_make(g, "Relu", x, p);
    node_make(g, "Neg", x, q);
    g->nodes[0].dead = true;
    CHECK(graph_sort(g, &e) == ERR_OK);
    CHECK_U64(g->node_count, 1);
    CHECK(str_is(g->nodes[0].op, "Neg"));
    arena_fini(&a);
}

static void what_a_subgraph_reads_orders_its_node(void)
{
    arena a;
    err e;
    graph *g = graph_make(&a);
    value_id x = value_make(g, "x", VALUE_INPUT), y = value_make(g, "y", VALUE_NODE),
             z = value_make(g, "z", VALUE_NODE);
    node_make(g, "If", x, z);
    graph *sub = arena_new(&a, graph, 1);
    sub->memory = &a;
    sub->parent = g;
    value_make(sub, "inner", VALUE_NODE);
    value_id outer = value_make(sub, "y", VALUE_OUTER);
    sub->values[outer].outer = y;
    g->nodes[0].attrs = arena_new(&a, attr, 1);
    g->nodes[0].attrs[0] = (attr){.name = STR("then_branch"), .kind = ATTR_GRAPH, .g = sub};
    g->nodes[0].attr_count = 1;
    node_make(g, "Relu", x, y);
    CHECK(graph_sort(g, &e) == ERR_OK);
    CHECK(str_is(g->nodes[0].op, "Relu"));
    CHECK(str_is(g->nodes[1].op, "If"));
    arena_fini(&a);
}

static void build_and_sort(void)
{
    arena a;
    err e;
    arena_init(&a, NULL, 0, 1 << 24);
    graph g = {.memory = &a};
    value_id v[3] = {0};
    node *n;
    value_id *io = arena_new(&a, value_id, 4);
    bool fine = io != NULL;
    for (int i = 0; i < 3 && fine; i++) fine = graph_value_add(&g, &v[i], &e) == ERR_OK;
    for (uint32_t i = 0; i < 2 && fine; i++) {
        fine = graph_node_add(&g, &n, &e) == ERR_OK;
        if (!fine) break;
        io[2 * i] = v[1 - i];
        io[2 * i + 1] = v[2 - i];
        *n = (node){.in_count = 1, .out_count = 1, .in = &io[2 * i], .out = &io[2 * i + 1]};
    }
    if (fine) {
        g.values[v[0]].from = VALUE_INPUT;
        fine = graph_sort(&g, &e) == ERR_OK;
    }
    CHECK(fine || mem_fault_fired());
    arena_fini(&a);
}

static void sorting_survives_every_failed_allocation(void) { FAULT_SWEEP(build_and_sort()); }

int main(void)
{
    static const test_case cases[] = {
        TEST(arrays_grow_and_keep_their_items), TEST(nodes_in_any_order_are_sorted), TEST(a_cycle_is_refused_by_name),
        TEST(a_value_that_nobody_computes_is_refused), TEST(dead_nodes_are_dropped),
        TEST(what_a_subgraph_reads_orders_its_node), TEST(sorting_survives_every_failed_allocation),
    };
    return test_main(cases, COUNTOF(cases));
}
