#include "engine/graph.h"

#include <stdio.h>
#include <string.h>

const attr *node_attr(const node *n, const char *name)
{
    for (uint32_t i = 0; i < n->attr_count; i++) {
        if (str_is(n->attrs[i].name, name)) return &n->attrs[i];
    }
    return NULL;
}

int64_t node_int(const node *n, const char *name, int64_t absent)
{
    const attr *a = node_attr(n, name);
    return a && a->kind == ATTR_INT ? a->i : absent;
}

float node_float(const node *n, const char *name, float absent)
{
    const attr *a = node_attr(n, name);
    return a && a->kind == ATTR_FLOAT ? a->f : absent;
}

str node_str(const node *n, const char *name, str absent)
{
    const attr *a = node_attr(n, name);
    return a && a->kind == ATTR_STRING ? a->s : absent;
}

const int64_t *node_ints(const node *n, const char *name, uint32_t *ret_count)
{
    const attr *a = node_attr(n, name);
    bool there = a && a->kind == ATTR_INTS;
    *ret_count = there ? a->count : 0;
    return there ? a->ints : NULL;
}

/* Room for one more item in an array of the graph's arena; the old array stays behind in the arena. */
static err_code room(const graph *g, void **items, uint32_t count, uint32_t *ret_room, size_t size, err *e)
{
    if (count < *ret_room) return ERR_OK;
    uint32_t bigger = *ret_room ? *ret_room * 2 : 16;
    uint8_t *p = arena_push(g->memory, bigger, size, _Alignof(max_align_t));
    if (!p) return err_set(e, ERR_NOMEM, "graph: no memory for %u more items", bigger);
    if (count) memcpy(p, *items, count * size);
    *items = p;
    *ret_room = bigger;
    return ERR_OK;
}

err_code graph_value_add(graph *g, value_id *ret, err *e)
{
    if (g->value_count >= GRAPH_VALUES_MAX)
        return err_set(e, ERR_LIMIT, "graph: more than %d values", GRAPH_VALUES_MAX);
    void *items = g->values;
    err_code rc = room(g, &items, g->value_count, &g->value_room, sizeof *g->values, e);
    if (rc) return rc;
    g->values = items;
    g->values[g->value_count] = (value){.outer = VALUE_NONE};
    *ret = g->value_count++;
    return ERR_OK;
}

err_code graph_node_add(graph *g, node **ret, err *e)
{
    if (g->node_count >= GRAPH_NODES_MAX) return err_set(e, ERR_LIMIT, "graph: more than %d nodes", GRAPH_NODES_MAX);
    void *items = g->nodes;
    err_code rc = room(g, &items, g->node_count, &g->node_room, sizeof *g->nodes, e);
    if (rc) return rc;
    g->nodes = items;
    *ret = &g->nodes[g->node_count++];
    **ret = (node){0};
    return ERR_OK;
}

graph *node_graph(const node *n, uint32_t i)
{
    for (uint32_t k = 0; k < n->attr_count; k++) {
        const attr *a = &n->attrs[k];
        uint32_t here = a->kind == ATTR_GRAPH ? 1 : a->kind == ATTR_GRAPHS ? a->count : 0;
        if (i < here) return a->kind == ATTR_GRAPH ? a->g : a->graphs[i];
        i -= here;
    }
    return NULL;
}

bool node_reads(const node *n, uint32_t *at, value_id *ret)
{
    if (*at < n->in_count) {
        *ret = n->in[(*at)++];
        return true;
    }
    uint32_t skip = *at - n->in_count;
    const graph *g;
    for (uint32_t i = 0; (g = node_graph(n, i)); i++) {
        if (skip >= g->value_count) {
            skip -= g->value_count;
            continue;
        }
        for (; skip < g->value_count; skip++, ++*at) {
            if (g->values[skip].from != VALUE_OUTER) continue;
            *ret = g->values[skip].outer;
            ++*at;
            return true;
        }
        skip = 0;
    }
    return false;
}

/* Work arrays of one sort, in one arena that it frees. */
typedef struct {
    uint32_t *producer;    /* [values] node index + 1; 0 = not computed by a node */
    uint32_t *waits;       /* [nodes] inputs not yet computed */
    uint32_t *first;       /* [nodes + 1] where the readers of a node's outputs begin in `reader` */
    uint32_t *reader;
    uint32_t *order;       /* [nodes] */
} sort_work;

static err_code not_computed(const graph *g, const node *n, value_id v, err *e)
{
    char text[200];
    return err_set(e, ERR_INVALID, "%s: input '" STR_FMT "': no node computes it", node_text(g, n, text),
                   STR_ARG(g->values[v].name));
}

/* Fills producer; *ret_sorted tells whether the order is right as it is. */
static err_code producers(const graph *g, sort_work *w, bool *ret_sorted, uint64_t *ret_edges, err *e)
{
    uint64_t edges = 0;
    bool sorted = true;
    value_id v;
    for (uint32_t i = 0; i < g->node_count; i++) {
        for (uint32_t k = 0; k < g->nodes[i].out_count; k++) {
            if (g->nodes[i].out[k] != VALUE_NONE) w->producer[g->nodes[i].out[k]] = i + 1;
        }
    }
    for (uint32_t i = 0; i < g->node_count; i++) {
        for (uint32_t at = 0; node_reads(&g->nodes[i], &at, &v);) {
            if (v == VALUE_NONE || g->values[v].from != VALUE_NODE) continue;
            if (!w->producer[v]) return not_computed(g, &g->nodes[i], v, e);
            if (w->producer[v] > i) sorted = false;
            edges++;
        }
    }
    *ret_sorted = sorted;
    *ret_edges = edges;
    return ERR_OK;
}

/* Kahn's algorithm; of several nodes that are ready the one that became ready first goes first. */
static err_code kahn(graph *g, sort_work *w, err *e)
{
    value_id v;
    for (uint32_t i = 0; i < g->node_count; i++) {
        for (uint32_t at = 0; node_reads(&g->nodes[i], &at, &v);) {
            if (v == VALUE_NONE || !w->producer[v]) continue;
            w->first[w->producer[v]]++;
            w->waits[i]++;
        }
    }
    for (uint32_t i = 0; i < g->node_count; i++) w->first[i + 1] += w->first[i];
    w->first[g->node_count + 1] = w->first[g->node_count];
    /* first[p] is now the end of the readers of node p - 1, and moves down to their begin while they are filled in. */
    for (uint32_t i = g->node_count; i-- > 0;) {
        for (uint32_t at = 0; node_reads(&g->nodes[i], &at, &v);) {
            if (v != VALUE_NONE && w->producer[v]) w->reader[--w->first[w->producer[v]]] = i;
        }
    }
    uint32_t done = 0, ready = 0;
    for (uint32_t i = 0; i < g->node_count; i++) {
        if (!w->waits[i]) w->order[ready++] = i;
    }
    for (; done < ready; done++) {
        uint32_t p = w->order[done];
        for (uint32_t r = w->first[p + 1]; r < w->first[p + 2]; r++) {
            if (--w->waits[w->reader[r]] == 0) w->order[ready++] = w->reader[r];
        }
    }
    for (uint32_t i = 0; i < g->node_count && ready < g->node_count; i++) {
        char text[200];
        if (w->waits[i]) return err_set(e, ERR_INVALID, "%s: is part of a cycle", node_text(g, &g->nodes[i], text));
    }
    return ERR_OK;
}

static void drop_dead(graph *g)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < g->node_count; i++) {
        if (!g->nodes[i].dead) g->nodes[kept++] = g->nodes[i];
    }
    g->node_count = kept;
}

static err_code sort(graph *g, arena *scratch, err *e)
{
    sort_work w = {.producer = arena_new(scratch, uint32_t, (size_t)g->value_count + 1)};
    bool sorted;
    uint64_t edges;
    if (!w.producer) return err_set(e, ERR_NOMEM, "graph: no memory to sort %u nodes", g->node_count);
    err_code rc = producers(g, &w, &sorted, &edges, e);
    if (rc || sorted) return rc;
    w.waits = arena_new(scratch, uint32_t, g->node_count);
    w.first = arena_new(scratch, uint32_t, (size_t)g->node_count + 2);
    w.reader = arena_new(scratch, uint32_t, (size_t)edges);
    w.order = arena_new(scratch, uint32_t, g->node_count);
    node *nodes = arena_new(g->memory, node, g->node_room);
    if (!w.waits || !w.first || !w.reader || !w.order || !nodes)
        return err_set(e, ERR_NOMEM, "graph: no memory to sort %u nodes", g->node_count);
    rc = kahn(g, &w, e);
    if (rc) return rc;
    for (uint32_t i = 0; i < g->node_count; i++) nodes[i] = g->nodes[w.order[i]];
    g->nodes = nodes;
    return ERR_OK;
}

err_code graph_sort(graph *g, err *e)
{
    arena scratch;
    drop_dead(g);
    arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
    err_code rc = sort(g, &scratch, e);
    arena_fini(&scratch);
    return rc;
}

const char *node_text(const graph *g, const node *n, char text[200])
{
    const char *domain = n->domain.len ? n->domain.p : "ai.onnx";
    int domain_len = n->domain.len ? (int)(n->domain.len < 40 ? n->domain.len : 40) : 7;
    str name = n->name;
    const char *open = "node '";
    if (!name.len && n->out_count && n->out[0] != VALUE_NONE && n->out[0] < g->value_count) {
        name = g->values[n->out[0]].name;
        open = "node that makes '";
    }
    snprintf(text, 200, "%s%.*s' (%.*s, %.*s %lld)", open, (int)(name.len < 80 ? name.len : 80), name.p ? name.p : "",
             (int)(n->op.len < 40 ? n->op.len : 40), n->op.p ? n->op.p : "", domain_len, domain, (long long)n->opset);
    return text;
}
